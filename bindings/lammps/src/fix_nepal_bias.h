/* -*- c++ -*- ----------------------------------------------------------
   LAMMPS - Large-scale Atomic/Molecular Massively Parallel Simulator
   https://www.lammps.org/, Sandia National Laboratories
   LAMMPS development team: developers@lammps.org

   This software is distributed under the GNU General Public License,
   version 2 or (at your option) any later version.
   SPDX-License-Identifier: GPL-2.0-or-later
------------------------------------------------------------------------- */

#ifdef FIX_CLASS
// clang-format off
FixStyle(nepal/bias,FixNEPALBias);
// clang-format on
#else

#ifndef LMP_FIX_NEPAL_BIAS_H
#define LMP_FIX_NEPAL_BIAS_H

#include "fix.h"
#include "nepal_host.h"

#include <vector>

namespace LAMMPS_NS {

class FixNEPALBias : public Fix {
 public:
  FixNEPALBias(class LAMMPS *, int, char **);
  ~FixNEPALBias() override;

  int setmask() override;
  void init() override;
  void setup(int) override;
  void min_setup(int) override;
  void post_force(int) override;
  void min_post_force(int) override;
  void post_run() override;
  double compute_scalar() override;
  double compute_vector(int) override;
  int pack_reverse_comm(int, int, double *) override;
  void unpack_reverse_comm(int, int *, double *) override;
  double memory_usage() override;

  // For a pair style that carries the gradients of all biases and of the energy to forces at once.
  bool can_join(const class PairNEPAL *asking) const { return pair == asking && separable; }
  // Adds the gradient of this bias with respect to descriptors to `sum`, and has the coming post_force() do nothing.
  nepal_status_t join(const NepalHost::List &, std::vector<double> &sum);
  void part() { joined = false; }

 private:
  double depth, width;         // keyword push
  double stiffness, limit;     // keyword wall
  double exponent;
  double tau;                  // keyword sigma
  int history;                 // keyword relative; 0: tau is absolute
  double now;                  // what sigma is multiplied with
  double means[2];             // mean sizes of the forces and of those of sigma
  bigint seen;                 // steps that they are of
  bool starting;               // the forces of a setup are those of the step before
  bool pushed;                 // the bias has a slope at an atom of this rank
  bool separable;              // nobody needs the model's forces without the bias
  bool joined;                 // the pair style has added this bias
  class PairNEPAL *pair;
  NepalHost::Failure failure;

  std::vector<double> values, gradient, forces, reverse, shown, columns;
  double totals[3];    // energy, largest grade of this rank, of sigma that of all; its factor
  double sums[3];
  bool summed;

  double potential(double, double &) const;
  bool flat() const { return tau == 0.0 && depth == 0.0 && limit >= 1.0; }
  nepal_status_t differentiate(const NepalHost::List &);
  nepal_status_t grades(const NepalHost::List &, size_t);
  nepal_status_t sigma(const NepalHost::List &);
  double add(int);
  void sum();
};

}    // namespace LAMMPS_NS

#endif
#endif
