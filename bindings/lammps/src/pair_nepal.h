/* -*- c++ -*- ----------------------------------------------------------
   LAMMPS - Large-scale Atomic/Molecular Massively Parallel Simulator
   https://www.lammps.org/, Sandia National Laboratories
   LAMMPS development team: developers@lammps.org

   This software is distributed under the GNU General Public License,
   version 2 or (at your option) any later version.
   SPDX-License-Identifier: GPL-2.0-or-later
------------------------------------------------------------------------- */

#ifdef PAIR_CLASS
// clang-format off
PairStyle(nepal,PairNEPAL);
// clang-format on
#else

#ifndef LMP_PAIR_NEPAL_H
#define LMP_PAIR_NEPAL_H

#include "nepal_host.h"
#include "pair.h"

#include <string>
#include <vector>

namespace LAMMPS_NS {

class PairNEPAL : public Pair {
 public:
  PairNEPAL(class LAMMPS *);
  ~PairNEPAL() override;

  void compute(int, int) override;
  void settings(int, char **) override;
  void coeff(int, char **) override;
  void init_style() override;
  double init_one(int, int) override;
  void *extract(const char *, int &) override;
  void *extract_peratom(const char *, int &) override;
  int pack_reverse_comm(int, int, double *) override;
  void unpack_reverse_comm(int, int *, double *) override;
  double memory_usage() override;

 private:
  // Per-atom numbers that `fix pair` can ask for, and whether it did for the coming step.
  struct Field {
    const char *name;
    std::string flag_name;
    int flag;
    std::vector<double> values;
  };
  enum { GAMMA, RHO, GRADE, NFIELDS };

  nepal_model_t *model;
  nepal_active_set_t *active_set;
  nepal_calculator_t *calculator;
  double cutoff;
  bool has_rho;

  int threads;
  uint32_t backend;

  std::vector<int> types;    // nepal's type of each LAMMPS type, -1 for NULL
  Field fields[NFIELDS];
  NepalHost::List atoms;

  // Results where they cannot go into LAMMPS' arrays directly.
  std::vector<double> energies, forces, virials, scratch;
  std::vector<double> reverse;    // what ghosts owe their atoms, with newton off
  int reverse_width;

  void allocate();
  void clear();
  void make_calculator(const std::string &, const std::string &);
  bool wants_grades() const;
  void check_special() const;
  void fold_ghosts();
  void add_forces();
  void add_per_atom();
  void summarise_grades();
};

}    // namespace LAMMPS_NS

#endif
#endif
