// Registers nepal's styles as LAMMPS does with those in its own src folder, then runs a script: the
// same sources, not as a plugin. SPDX-License-Identifier: GPL-2.0-or-later

#include "fix_nepal_bias.h"
#include "fix_nepal_step.h"
#include "pair_nepal.h"

#include "force.h"
#include "input.h"
#include "lammps.h"
#include "modify.h"

#include <mpi.h>

using namespace LAMMPS_NS;

template <class Style> static Pair *new_pair(LAMMPS *lmp)
{
  return new Style(lmp);
}

template <class Style> static Fix *new_fix(LAMMPS *lmp, int narg, char **arg)
{
  return new Style(lmp, narg, arg);
}

static void add_styles(LAMMPS *lmp)
{
#define PAIR_CLASS
#define PairStyle(key, Class) (*lmp->force->pair_map)[#key] = &new_pair<Class>
#include "pair_nepal.h"
#undef PairStyle
#undef PAIR_CLASS
#define FIX_CLASS
#define FixStyle(key, Class) (*lmp->modify->fix_map)[#key] = &new_fix<Class>
#include "fix_nepal_bias.h"
#include "fix_nepal_step.h"
#undef FixStyle
#undef FIX_CLASS
}

int main(int argc, char **argv)
{
  MPI_Init(&argc, &argv);
  const char *script = argv[1];
  const char *words[] = {"compiled", "-log", "none", "-nocite"};
  auto *lmp = new LAMMPS(4, const_cast<char **>(words), MPI_COMM_WORLD);
  add_styles(lmp);
  lmp->input->file(script);
  delete lmp;
  MPI_Finalize();
  return 0;
}
