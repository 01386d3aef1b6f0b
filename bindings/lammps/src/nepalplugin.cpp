/* ----------------------------------------------------------------------
   LAMMPS - Large-scale Atomic/Molecular Massively Parallel Simulator
   https://www.lammps.org/, Sandia National Laboratories
   LAMMPS development team: developers@lammps.org

   This software is distributed under the GNU General Public License,
   version 2 or (at your option) any later version.
   SPDX-License-Identifier: GPL-2.0-or-later
------------------------------------------------------------------------- */

// What LAMMPS calls when it loads nepalplugin.so.

#include "fix_nepal_bias.h"
#include "fix_nepal_step.h"
#include "pair_nepal.h"
#ifdef LMP_KOKKOS
#include "pair_nepal_kokkos.h"
#endif

#include "lammps.h"
#include "library.h"

#include <string>

using namespace LAMMPS_NS;

// Installed LAMMPS lack lammpsplugin.h; this is what it declares.
extern "C" {
typedef void *(*plugin_factory1)(LAMMPS *);
typedef void *(*plugin_factory2)(LAMMPS *, int, char **);
typedef struct {
  const char *version;
  const char *style;
  const char *name;
  const char *info;
  const char *author;
  union {
    plugin_factory1 v1;
    plugin_factory2 v2;
  } creator;
  void *handle;
} nepal_lammpsplugin_t;
typedef void (*plugin_register)(nepal_lammpsplugin_t *, void *);

__attribute__((visibility("default"))) void lammpsplugin_init(void *, void *, void *);
}

static void *new_pair(LAMMPS *lmp)
{
  return new PairNEPAL(lmp);
}

#ifdef LMP_KOKKOS
static void *new_pair_kokkos(LAMMPS *lmp)
{
  return new PairNEPALKokkos<LMPDeviceType>(lmp);
}
#endif

static void *new_bias(LAMMPS *lmp, int narg, char **arg)
{
  return new FixNEPALBias(lmp, narg, arg);
}

static void *new_step(LAMMPS *lmp, int narg, char **arg)
{
  return new FixNEPALStep(lmp, narg, arg);
}

// A sentence if this LAMMPS is not the one that the plugin was built for, else an empty text. Only
// functions of the C library are called, which mean the same in every release: where symbols are
// weak (build.sh) this is reached although others of LAMMPS' are missing.

static std::string misfit(void *lmp)
{
  const std::string again = ": build it again for this LAMMPS with bindings/lammps/build.sh";
#ifdef NEPAL_LAMMPS_VERSION
  const int found = lammps_version(lmp);
  if (found != NEPAL_LAMMPS_VERSION)
    return "nepal: this plugin was built for the LAMMPS of " +
        std::to_string(NEPAL_LAMMPS_VERSION) + ", this is that of " + std::to_string(found) + again;
#endif
  const struct {
    const char *name;
    size_t size;
  } types[] = {{"tagint", sizeof(tagint)}, {"bigint", sizeof(bigint)},
               {"imageint", sizeof(imageint)}};
  for (const auto &type : types) {
    const int size = lammps_extract_setting(lmp, type.name);
    if (size != static_cast<int>(type.size))
      return std::string("nepal: this plugin was built for a LAMMPS whose ") + type.name + " has " +
          std::to_string(8 * type.size) + " bits, in this one it has " + std::to_string(8 * size) +
          again;
  }
  if (nepal_abi_version() != NEPAL_ABI_VERSION)
    return "nepal: this plugin was compiled with the nepal.h of ABI version " +
        std::to_string(NEPAL_ABI_VERSION) + ", but its libnepal has version " +
        std::to_string(nepal_abi_version()) + again;
  return "";
}

void lammpsplugin_init(void *lmp, void *handle, void *regfunc)
{
  const std::string trouble = misfit(lmp);
  if (!trouble.empty()) {
    // Not an error: LAMMPS may have found the plugin by itself, and the script may not want it.
    lammps_error(lmp, 0, trouble.c_str());
    return;
  }
  auto enter = reinterpret_cast<plugin_register>(regfunc);
  nepal_lammpsplugin_t plugin;
  plugin.version = static_cast<LAMMPS *>(lmp)->version;
  plugin.author = "the nepal developers";
  plugin.handle = handle;

  plugin.style = "pair";
  plugin.name = "nepal";
  plugin.info = "neuroevolution potentials with extrapolation grades";
  plugin.creator.v1 = new_pair;
  enter(&plugin, lmp);

#ifdef LMP_KOKKOS
  plugin.name = "nepal/kk";
  plugin.info = "the same, with atoms and lists where Kokkos has them";
  plugin.creator.v1 = new_pair_kokkos;
  enter(&plugin, lmp);
#endif

  plugin.style = "fix";
  plugin.name = "nepal/bias";
  plugin.info = "bias by the extrapolation grade of pair style nepal";
  plugin.creator.v2 = new_bias;
  enter(&plugin, lmp);

  plugin.style = "fix";
  plugin.name = "nepal/step";
  plugin.info = "tells pair style nepal where a step ends";
  plugin.creator.v2 = new_step;
  enter(&plugin, lmp);
}
