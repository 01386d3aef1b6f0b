/* ----------------------------------------------------------------------
   LAMMPS - Large-scale Atomic/Molecular Massively Parallel Simulator
   https://www.lammps.org/, Sandia National Laboratories
   LAMMPS development team: developers@lammps.org

   This software is distributed under the GNU General Public License,
   version 2 or (at your option) any later version.
   SPDX-License-Identifier: GPL-2.0-or-later
------------------------------------------------------------------------- */

#include "fix_nepal_step.h"

#include "error.h"
#include "pair_nepal.h"
#include "update.h"
#include "utils.h"

using namespace LAMMPS_NS;
using namespace FixConst;

// fix ID all nepal/step N

FixNEPALStep::FixNEPALStep(LAMMPS *lmp, int narg, char **arg) : Fix(lmp, narg, arg), pair(nullptr)
{
  if (narg != 4) error->all(FLERR, "fix nepal/step belongs to pair_style nepal: use its keyword every");
  nevery = utils::inumeric(FLERR, arg[3], false, lmp);
}

int FixNEPALStep::setmask()
{
  return END_OF_STEP;
}

// The beginning of a run.

void FixNEPALStep::setup(int)
{
  if (pair) pair->examine(true, update->ntimestep % nevery == 0);
}

// That of a minimization is shown only: the run before it has seen it.

void FixNEPALStep::min_setup(int)
{
  if (pair) pair->examine(true, false);
}

void FixNEPALStep::end_of_step()
{
  if (pair) pair->examine(false, true);
}

// A minimizer tries many places in an iteration, and does not say which it keeps before it ends.

void FixNEPALStep::post_run()
{
  if (pair && update->whichflag == 2) pair->examine(false, true);
}
