/* ----------------------------------------------------------------------
   LAMMPS - Large-scale Atomic/Molecular Massively Parallel Simulator
   https://www.lammps.org/, Sandia National Laboratories
   LAMMPS development team: developers@lammps.org

   This software is distributed under the GNU General Public License,
   version 2 or (at your option) any later version.
   SPDX-License-Identifier: GPL-2.0-or-later
------------------------------------------------------------------------- */

#include "pair_nepal.h"

#include "atom.h"
#include "comm.h"
#include "error.h"
#include "fix_nepal_bias.h"
#include "fix_nepal_step.h"
#include "force.h"
#include "memory.h"
#include "modify.h"
#include "neigh_list.h"
#include "output.h"
#include "timer.h"
#include "update.h"
#include "utils.h"

#include <algorithm>
#include <cstdio>
#include <cstring>

using namespace LAMMPS_NS;

// Grades and deviations of atoms: kept for whoever asks, shown, and what follows from them.

// Where `fix pair` and others find them.

void PairNEPAL::keep_grades()
{
  for (int k = 0; k < NGRADES; ++k) keep(fields[k], scratch.data() + k * atoms.view.n_local);
}

void PairNEPAL::keep(Field &field, const double *found)
{
  field.values.assign(atom->nmax > 0 ? atom->nmax : 1, NOT_GRADED);
  for (size_t i = 0; i < atoms.view.n_local; ++i) field.values[atoms.lammps_index(i)] = found[i];
  field.flag = 0;
}

void PairNEPAL::keep_deviations()
{
  keep(fields[SIGMA], deviations.data());
  deviated = update->ntimestep;
}

NepalHost::List &PairNEPAL::update_atoms(bool with_tags)
{
  atoms.update(lmp, {list, list->inum, list->ilist, list->numneigh, list->firstneigh}, types, with_tags);
  return atoms;
}

// Deviations of the atoms where they are, without forces.

void PairNEPAL::deviate()
{
  update_atoms();
  nepal_results_t results = asking();
  deviations.resize(atoms.view.n_local + 1);
  results.sigma = deviations.data();
  NepalHost::check(lmp, nepal_calculator_compute_list(calculator, &atoms.view, &results),
                   "deviations", &atoms);
  keep_deviations();
}

// True if `scratch` has the grades of the atoms as they are now, on all ranks.

bool PairNEPAL::is_graded() const
{
  bring_home();
  const size_t count = 3 * static_cast<size_t>(atom->nlocal);
  int same = !graded.empty() && graded.size() == count + 1 &&
      (count == 0 || memcmp(graded.data(), atom->x[0], count * sizeof(double)) == 0);
  int all = 0;
  MPI_Allreduce(&same, &all, 1, MPI_INT, MPI_MIN, world);
  return all != 0;
}

void PairNEPAL::remember_graded()
{
  bring_home();
  const size_t count = 3 * static_cast<size_t>(atom->nlocal);
  graded.assign(count + 1, 0.0);
  if (count) memcpy(graded.data(), atom->x[0], count * sizeof(double));
}

// Grades of the atoms where they are, without forces.

void PairNEPAL::grade()
{
  update_atoms();
  nepal_results_t results = asking();
  results.flags |= NEPAL_RESULTS_NO_FRAGMENTS;
  point_to_scratch(results);
  NepalHost::check(lmp, nepal_calculator_compute_list(calculator, &atoms.view, &results), "grades",
                   &atoms);
  remember_graded();
  keep_grades();
}

// Room for the grades of the local atoms.

void PairNEPAL::point_to_scratch(nepal_results_t &results)
{
  const size_t n_local = atoms.view.n_local;
  scratch.resize(NGRADES * n_local + 1);
  double **places[NGRADES] = {&results.gamma, &results.rho, &results.grade};
  for (int k = 0; k < NGRADES; ++k) *places[k] = scratch.data() + k * n_local;
}

void PairNEPAL::examine(bool begins, bool act)
{
  if (!active_set) return;
  const bool known = is_graded();
  // A rerun ends the step that it has set up.
  if (!begins && known && examined == update->ntimestep) return;
  if (!known) grade();
  const double worst = show_largest();
  if (set.rewinds > 0 && update->whichflag == 1) {
    if (begins) rewound = 0;
    if (worst < set.fragment.save || !step->remembers()) step->remember();
  }
  if (!act) return;
  examined = update->ntimestep;
  if (!set.folder.empty() && worst > set.fragment.save) {
    update_atoms(true);
    atoms.view.known = set.reach;
    nepal_results_t results = asking();
    point_to_scratch(results);
    NepalHost::check(lmp, nepal_calculator_compute_list(calculator, &atoms.view, &results),
                     "fragments", &atoms);
    tell_fragments();
  }
  if (set.stop > 0.0 && worst > set.stop && !go_back(worst)) stop_run(worst);
}

// What `compute pair` shows, which sums over ranks; the largest grade of all.

double PairNEPAL::show_largest()
{
  const size_t n_local = atoms.view.n_local;
  double mine[NGRADES], worst[NGRADES];
  for (int k = 0; k < NGRADES; ++k) {
    mine[k] = 0.0;
    for (size_t i = 0; i < n_local; ++i) mine[k] = std::max(mine[k], scratch[k * n_local + i]);
  }
  MPI_Allreduce(mine, worst, NGRADES, MPI_DOUBLE, MPI_MAX, world);
  if (comm->me == 0) {
    extra[0] = worst[GRADE];
    extra[1] = worst[GAMMA];
    extra[2] = worst[RHO];
  }
  return worst[GRADE];
}

void PairNEPAL::tell_fragments()
{
  size_t delivered = 0, covered = 0, refused = 0;
  nepal_calculator_fragment_counts(calculator, &delivered, &covered, &refused);
  extra[3] = static_cast<double>(delivered);
  extra[4] = static_cast<double>(refused);
  if (static_cast<bigint>(refused) > known_refused && known_refused == 0) {
    char text[512] = "";
    size_t needed = 0;
    nepal_calculator_fragment_refusal(calculator, text, sizeof(text), &needed);
    error->warning(FLERR,
                   std::string("nepal: no fragment around an atom above the threshold: ") + text +
                       " (said once; compute pair counts them)");
  }
  known_refused = static_cast<bigint>(refused);
}

// The id of an atom with this grade, 0 without ids. Collective.

bigint PairNEPAL::worst_atom(double worst) const
{
  const size_t n_local = atoms.view.n_local;
  bigint tag = 0, largest = 0;
  for (size_t i = 0; i < n_local && tag == 0; ++i)
    if (scratch[GRADE * n_local + i] == worst && atom->tag_enable)
      tag = static_cast<bigint>(atom->tag[atoms.lammps_index(static_cast<int>(i))]);
  MPI_Allreduce(&tag, &largest, 1, MPI_LMP_BIGINT, MPI_MAX, world);
  return largest;
}

// Back to the last frame below `save`, as often as `rewinds` says.

bool PairNEPAL::go_back(double worst)
{
  if (rewound >= set.rewinds || update->whichflag != 1) return false;
  if (!step->go_back(set.fragment.seed + static_cast<uint64_t>(update->ntimestep))) {
    error->warning(FLERR, "pair_style nepal: atoms have come or gone since the last safe frame");
    return false;
  }
  ++rewound;
  const bigint tag = worst_atom(worst);
  if (comm->me == 0) {
    char text[300];
    snprintf(text, sizeof(text),
             "nepal: the grade of atom %lld is %.4g at step %lld, above break %.4g: back to the atoms of "
             "step %lld with new velocities (%lld of %lld)\n",
             static_cast<long long>(tag), worst, static_cast<long long>(update->ntimestep), set.stop,
             static_cast<long long>(step->back_to()), static_cast<long long>(rewound),
             static_cast<long long>(set.rewinds));
    utils::logmesg(lmp, text);
  }
  return true;
}

// As `fix halt` with `error soft` does: the script goes on after the run.

void PairNEPAL::stop_run(double worst)
{
  const bigint tag = worst_atom(worst);
  timer->force_timeout();
  if (comm->me != 0) return;
  char text[300];
  snprintf(text, sizeof(text),
           "nepal: the grade of atom %lld is %.4g at step %lld, above break %.4g: the run ends here, "
           "and so do later ones until 'timer timeout off'\n",
           static_cast<long long>(tag), worst, static_cast<long long>(update->ntimestep), set.stop);
  utils::logmesg(lmp, text);
}

// Forces of the energy and of what biases it, by one way back from descriptors to atoms, in steps of dynamics in which
// nobody sees more than their sum. True if that was done.

bool PairNEPAL::add_biased(bool seen)
{
  const bool possible = joins && !seen && on_host() && scale == 1.0 && force->pair == this && update->whichflag == 1 &&
      !update->setupflag && output->next != update->ntimestep;
  std::vector<FixNEPALBias *> biases;
  for (Fix *fix : modify->get_fix_by_style("^nepal/bias$"))
    if (auto *bias = dynamic_cast<FixNEPALBias *>(fix)) {
      bias->part();
      if (bias->can_join(this)) biases.push_back(bias);
    }
  if (!possible || biases.empty()) return false;

  gradient.clear();
  nepal_status_t status = NEPAL_STATUS_SUCCESS;
  for (auto *bias : biases) {
    // All have a part in what ranks do together, whatever came before.
    const nepal_status_t found = bias->join(atoms, gradient);
    if (status == NEPAL_STATUS_SUCCESS) status = found;
  }
  forces.resize(3 * static_cast<size_t>(atoms.n_total()) + 1);
  if (status == NEPAL_STATUS_SUCCESS) {
    status = nepal_calculator_contract_with_energy_list(calculator, &atoms.view, gradient.data(), forces.data(),
                                                        nullptr);
    if (status == NEPAL_STATUS_UNSUPPORTED) {
      // On all ranks, as it is the model's.
      joins = false;
      for (auto *bias : biases) bias->part();
      return false;
    }
  }
  failure.note(lmp, status, "forces", &atoms);
  failure.settle(lmp, false);
  if (status != NEPAL_STATUS_SUCCESS) std::fill(forces.begin(), forces.end(), 0.0);
  if (!force->newton_pair) fold_ghosts();
  add_forces();
  return true;
}

void *PairNEPAL::extract_peratom(const char *name, int &ncol)
{
  ncol = 0;
  for (auto &field : fields) {
    if (strcmp(field.name, name) != 0) continue;
    if (&field == &fields[CHARGE]) {
      if (calculator && !has_charges)
        error->all(FLERR, "pair_style nepal: this model has no charges; those of the kinds nep4_charge have");
    } else if (&field == &fields[SIGMA]) {
      if (calculator && !posterior)
        error->all(FLERR,
                   "pair_style nepal: sigma needs a posterior: 'pair_style nepal posterior FILE ...', "
                   "a file that nepal-loop train --posterior writes");
    } else if (calculator && !active_set)
      error->all(FLERR,
                 std::string("pair_style nepal: ") + name +
                     " needs an active set: 'pair_coeff * * nep.txt set.asi ...'");
    if (&field == &fields[RHO] && calculator && !has_rho)
      error->all(FLERR,
                 "pair_style nepal: this active set has no rho (it is of the compatible kind, as "
                 ".asi files are); ask for gamma, or build the set without --compat");
    asked = true;
    // Whoever asks during a run, in whatever order, finds the grades of the atoms as they are.
    if (update->whichflag != 0 && list) {
      if (&field == &fields[CHARGE]) {
        if (charged != update->ntimestep) find_charges();
      } else if (&field != &fields[SIGMA]) {
        if (!is_graded()) grade();
      } else if (deviated != update->ntimestep) {
        deviate();
      }
    }
    if (static_cast<int>(field.values.size()) < atom->nmax)
      field.values.resize(atom->nmax, NOT_GRADED);
    return field.values.data();
  }
  return nullptr;
}
