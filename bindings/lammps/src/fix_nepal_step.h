/* -*- c++ -*- ----------------------------------------------------------
   LAMMPS - Large-scale Atomic/Molecular Massively Parallel Simulator
   https://www.lammps.org/, Sandia National Laboratories
   LAMMPS development team: developers@lammps.org

   This software is distributed under the GNU General Public License,
   version 2 or (at your option) any later version.
   SPDX-License-Identifier: GPL-2.0-or-later
------------------------------------------------------------------------- */

// Where a step ends: pair style nepal adds this fix for itself, since a pair style cannot tell forces of a
// step from those of a trial (Monte Carlo, finite differences, line searches).

#ifdef FIX_CLASS
// clang-format off
FixStyle(nepal/step,FixNEPALStep);
// clang-format on
#else

#ifndef LMP_FIX_NEPAL_STEP_H
#define LMP_FIX_NEPAL_STEP_H

#include "fix.h"

namespace LAMMPS_NS {

class FixNEPALStep : public Fix {
 public:
  FixNEPALStep(class LAMMPS *, int, char **);

  int setmask() override;
  void setup(int) override;
  void min_setup(int) override;
  void end_of_step() override;
  void post_run() override;

  class PairNEPAL *pair;
};

}    // namespace LAMMPS_NS

#endif
#endif
