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

#include <limits>
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
  void setup() override;
  void *extract(const char *, int &) override;
  void *extract_peratom(const char *, int &) override;

  // For fix nepal/step: the atoms are where a step left them, or where a run begins. With `act` fragments
  // are cut and the run ends above `break`; else the grades are shown only.
  void examine(bool begins, bool act);

  // The same fix: a run is over.
  void end_run() { failure.end(lmp); }

  int pack_forward_comm(int, int *, double *, int, int *) override;
  void unpack_forward_comm(int, int, double *) override;
  int pack_reverse_comm(int, int, double *) override;
  void unpack_reverse_comm(int, int *, double *) override;
  double memory_usage() override;

  // For fix nepal/bias.
  nepal_calculator_t *get_calculator() const { return calculator; }
  nepal_model_t *get_model() const { return model; }
  bool has_active_set() const { return active_set != nullptr; }
  bool has_posterior() const { return posterior != nullptr; }
  // Atoms and list on the host.
  virtual NepalHost::List &update_atoms(bool with_tags = false);

 protected:
  // For styles whose atoms are elsewhere: they are brought to the host; counted, at least; evaluated. Forces go
  // to LAMMPS' own if `in_place`.
  virtual void bring_home() const {}
  virtual void count_atoms() { update_atoms(); }
  virtual nepal_status_t evaluate(nepal_results_t &results, bool in_place);
  virtual bool on_host() const { return true; }

  // What is shown before anything was graded.
  static constexpr double NOT_GRADED = std::numeric_limits<double>::quiet_NaN();

  // What pair_style was told.
  struct Settings {
    int threads = 0;
    uint32_t backend = NEPAL_BACKEND_DEFAULT;
    int device = 0;
    uint32_t precision = NEPAL_PRECISION_F64;
    bigint every = 0;
    double stop = 0.0;    // keyword break
    bigint rewinds = 0;
    std::string folder;    // keyword fragments
    std::string posterior;    // its file
    std::string temperature;    // a number or v_NAME
    double charge = 0.0;
    std::string functional;    // keyword dftd3, with its cutoffs
    double pairs_within = 0.0, counted_within = 0.0;
    double mesh_error = 0.0;
    double reach = 0.0;
    nepal_fragment_options_t fragment = NEPAL_FRAGMENT_OPTIONS_INIT;
  };

  // Per-atom numbers that `fix pair` can ask for, and whether it did for the coming step.
  struct Field {
    const char *name;
    std::string flag_name;
    int flag;
    std::vector<double> values;
  };
  enum { GAMMA, RHO, GRADE, NGRADES, SIGMA = NGRADES, CHARGE, NFIELDS };

  nepal_model_t *model;
  nepal_active_set_t *active_set;
  nepal_posterior_t *posterior;
  nepal_calculator_t *calculator;
  double cutoff;
  bool has_rho;
  bool has_charges, is_long_ranged, needs_temperature;    // the model

  Settings set;
  bigint known_refused;

  std::vector<int> types;    // nepal's type of each LAMMPS type, -1 for NULL
  Field fields[NFIELDS];
  double extra[5];    // pvector
  double scale;       // of energy, forces and virial, for fix adapt
  bool joins;         // the energy is one of the descriptors alone, as far as is known
  bool asked;         // somebody wants to keep grades of atoms
  bigint deviated;    // the step of `deviations`
  bigint charged;     // the step of `charges`
  std::string step_id;
  class FixNEPALStep *step;    // has that name
  bigint rewound;              // how often in this run

  // Positions of the local atoms when `scratch` had their grades, and the step that was examined last.
  std::vector<double> graded;
  bigint examined;

  NepalHost::List atoms;
  NepalHost::Failure failure;

  // Results where they cannot go into LAMMPS' arrays directly.
  std::vector<double> energies, forces, virials, scratch, deviations, charges, gradient;
  std::vector<double> shown;    // numbers on their way to ghosts
  std::vector<double> reverse;    // what ghosts owe their atoms, with newton off
  int reverse_width;

  void allocate();
  void clear();
  void make_calculator(const std::string &, const std::string &);
  void set_ranks();
  void set_fragments();
  double electrons() const;
  nepal_results_t asking() const;
  void keep_charges();
  void find_charges();
  static nepal_status_t gather(void *, const void *, size_t, void *);
  static nepal_status_t broadcast(void *, int32_t, void *, size_t);
  static nepal_status_t sum(void *, double *, size_t);
  static nepal_status_t forward(void *, double *);
  bool step_is_due() const;
  bool is_graded() const;
  void remember_graded();
  void grade();
  void watch_steps();
  void point_to_scratch(nepal_results_t &);
  void check_special() const;
  bool excludes() const;
  bool add_biased(bool seen);
  void fold_ghosts();
  void add_forces();
  void add_per_atom();
  void keep_grades();
  void keep(Field &, const double *);
  void keep_deviations();
  void deviate();
  double show_largest();
  void tell_fragments();
  bigint worst_atom(double worst) const;
  bool go_back(double worst);
  void stop_run(double worst);
};

}    // namespace LAMMPS_NS

#endif
#endif
