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
#include "pair_nepal.h"

#include "lammps.h"

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

static void *new_bias(LAMMPS *lmp, int narg, char **arg)
{
  return new FixNEPALBias(lmp, narg, arg);
}

void lammpsplugin_init(void *lmp, void *handle, void *regfunc)
{
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

  plugin.style = "fix";
  plugin.name = "nepal/bias";
  plugin.info = "bias by the extrapolation grade of pair style nepal";
  plugin.creator.v2 = new_bias;
  enter(&plugin, lmp);
}
