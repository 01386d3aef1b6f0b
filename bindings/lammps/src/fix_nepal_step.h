/* -*- c++ -*- ----------------------------------------------------------
   LAMMPS - Large-scale Atomic/Molecular Massively Parallel Simulator
   https://www.lammps.org/, Sandia National Laboratories
   LAMMPS development team: developers@lammps.org

   This software is distributed under the GNU General Public License,
   version 2 or (at your option) any later version.
   SPDX-License-Identifier: GPL-2.0-or-later
------------------------------------------------------------------------- */

// Where a step ends: pair style nepal adds this fix for itself, since a pair style cannot tell forces of a
// step from those of a trial (Monte Carlo, finite differences, line searches). It also keeps the last safe
// frame, whose rows go from rank to rank with their atoms, and brings it back.

#ifdef FIX_CLASS
// clang-format off
FixStyle(nepal/step,FixNEPALStep);
// clang-format on
#else

#ifndef LMP_FIX_NEPAL_STEP_H
#define LMP_FIX_NEPAL_STEP_H

#include "fix.h"

#include <cstdint>

namespace LAMMPS_NS {

class FixNEPALStep : public Fix {
 public:
  FixNEPALStep(class LAMMPS *, int, char **);

  ~FixNEPALStep() override;

  int setmask() override;
  void init() override;
  void post_integrate() override;
  void setup(int) override;
  void min_setup(int) override;
  void end_of_step() override;
  void post_run() override;

  void grow_arrays(int) override;
  void copy_arrays(int, int, int) override;
  void set_arrays(int) override;
  int pack_exchange(int, double *) override;
  int unpack_exchange(int, double *) override;
  double memory_usage() override;

  // Keeps the frame as it is, or knows that one is kept.
  void remember();
  bool remembers() const { return safe_step >= 0; }

  // Goes back to the kept frame in the next step, with velocities from `seed`; false if there is none of
  // these atoms. Collective.
  bool go_back(uint64_t seed);
  bigint back_to() const { return safe_step; }

  class PairNEPAL *pair;

 private:
  enum { X, V = 3, IMAGE = 6, KNOWN, WIDTH };
  double **safe;    // x, v, image and whether the atom has them
  double box[9];    // low, high, xy, xz, yz
  bigint safe_step, safe_atoms;
  bool pending;
  uint64_t velocity_seed;

  void restore_box();
  void draw_velocities();
};

}    // namespace LAMMPS_NS

#endif
#endif
