/* ----------------------------------------------------------------------
   LAMMPS - Large-scale Atomic/Molecular Massively Parallel Simulator
   https://www.lammps.org/, Sandia National Laboratories
   LAMMPS development team: developers@lammps.org

   This software is distributed under the GNU General Public License,
   version 2 or (at your option) any later version.
   SPDX-License-Identifier: GPL-2.0-or-later
------------------------------------------------------------------------- */

#include "pair_nepal.h"

#include "fix_nepal_step.h"

#include "atom.h"
#include "citeme.h"
#include "comm.h"
#include "domain.h"
#include "error.h"
#include "force.h"
#include "group.h"
#include "memory.h"
#include "modify.h"
#include "neigh_list.h"
#include "neighbor.h"
#include "output.h"
#include "update.h"
#include "utils.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>

using namespace LAMMPS_NS;

// compute pair: largest grade, gamma, rho; fragments written and refused so far.
static constexpr int NEXTRA = 5;

static const char cite_nep[] =
    "pair style nepal (neuroevolution potentials): doi:10.1103/PhysRevB.104.104309\n\n"
    "@Article{Fan2021,\n"
    " author = {Z. Fan and Z. Zeng and C. Zhang and Y. Wang and K. Song and H. Dong and Y. Chen and\n"
    "  T. Ala-Nissila},\n"
    " title = {Neuroevolution machine learning potentials: Combining high accuracy and low cost in\n"
    "  atomistic simulations and application to heat transport},\n"
    " journal = {Phys.\\ Rev.\\ B},\n"
    " year = 2021,\n"
    " volume = 104,\n"
    " pages = {104309}\n"
    "}\n\n";

PairNEPAL::PairNEPAL(LAMMPS *lmp) :
    Pair(lmp), model(nullptr), active_set(nullptr), posterior(nullptr), calculator(nullptr), cutoff(0.0),
    has_rho(false), has_charges(false), is_long_ranged(false), needs_temperature(false), known_refused(0), scale(1.0),
    joins(true), asked(false), deviated(-1), charged(-1), step(nullptr), rewound(0), examined(-1),
    reverse_width(0)
{
  static int count = 0;
  step_id = "NEPAL_STEP_" + std::to_string(++count);
  NepalHost::check_library(lmp);
  single_enable = 0;
  restartinfo = 0;
  one_coeff = 1;
  manybody_flag = 1;
  no_virial_fdotr_compute = 1;
  centroidstressflag = CENTROID_AVAIL;
  // With newton off: forces, and nine numbers of the virial when they are asked for.
  comm_reverse_off = 12;
  comm_forward = 1;

  nextra = NEXTRA;
  pvector = extra;
  for (auto &x : extra) x = 0.0;
  // compute pair sums over ranks.
  if (comm->me == 0) extra[0] = extra[1] = extra[2] = NOT_GRADED;

  const char *names[NFIELDS] = {"gamma", "rho", "grade", "sigma", "charge"};
  for (int k = 0; k < NFIELDS; ++k)
    fields[k] = {names[k], std::string(names[k]) + "_flag", 0, std::vector<double>(1, NOT_GRADED)};
  if (lmp->citeme) lmp->citeme->add(cite_nep);
}

PairNEPAL::~PairNEPAL()
{
  clear();
  if (modify->get_fix_by_id(step_id)) modify->delete_fix(step_id);
  if (allocated) {
    memory->destroy(setflag);
    memory->destroy(cutsq);
  }
}

void PairNEPAL::clear()
{
  nepal_calculator_free(calculator);
  nepal_active_set_free(active_set);
  nepal_posterior_free(posterior);
  nepal_model_free(model);
  calculator = nullptr;
  active_set = nullptr;
  posterior = nullptr;
  model = nullptr;
  joins = true;
}

void PairNEPAL::init_style()
{
  NepalHost::check_units(lmp, "pair_style nepal");
  check_special();
  if (set.every > 0 && calculator && !active_set)
    error->all(FLERR,
               "pair_style nepal: every, break and fragments need an active set: "
               "'pair_coeff * * nep.txt set.asi ...'");
  if (!set.folder.empty() && !atom->tag_enable)
    error->all(FLERR, "pair_style nepal: fragments need atom IDs");
  if (calculator && needs_temperature != !set.temperature.empty())
    error->all(FLERR,
               needs_temperature
                   ? "pair_style nepal: this model gives free energies at a temperature of the electrons: say "
                     "which, in K, with the keyword temperature (a number or an equal-style variable v_NAME)"
                   : "pair_style nepal: this model has no use for the keyword temperature; leave it out");
  if (calculator && needs_temperature) electrons();
  if (asked && utils::strmatch(update->integrate_style, "^respa") &&
      !modify->get_fix_by_style("^pair$").empty())
    error->all(FLERR,
               "pair_style nepal: under run_style respa LAMMPS calls fix pair at the beginning only, and "
               "its grades would stay those: use run_style verlet, or the keyword every and compute pair");
  neighbor->add_request(this, NeighConst::REQ_FULL);
}

// Neighbours that LAMMPS leaves out are missing from the environments, and the energies wrong.

void PairNEPAL::check_special() const
{
  if (atom->molecular == Atom::ATOMIC) return;
  bool lost = false;
  for (int k = 1; k <= 3; ++k)
    if (force->special_lj[k] == 0.0 && force->special_coul[k] == 0.0) lost = true;
  const bool bonds = atom->nbonds > 0 || atom->nangles > 0 || atom->ndihedrals > 0;
  if (!lost || !bonds) return;
  const std::string text =
      "pair_style nepal: special_bonds takes bonded atoms off the neighbour list, but the model "
      "needs all neighbours: say 'special_bonds lj/coul 1 1 1'";
  if (utils::strmatch(force->pair_style, "^hybrid"))
    error->warning(FLERR, text + " unless the bonded atoms are NULL here");
  else
    error->all(FLERR, text);
}

// True if neighbours are left out. Monte Carlo excludes groups that are empty but for a trial.

bool PairNEPAL::excludes() const
{
  if (!neighbor->exclude) return false;
  if (neighbor->nex_type > 0 || neighbor->nex_mol > 0) return true;
  for (int k = 0; k < neighbor->nex_group; ++k)
    if (group->count(neighbor->ex1_group[k]) > 0 && group->count(neighbor->ex2_group[k]) > 0)
      return true;
  return false;
}

double PairNEPAL::init_one(int i, int j)
{
  if (setflag[i][j] == 0) error->all(FLERR, "All pair coeffs are not set");
  // Neighbours of the dispersion correction are farther away.
  return std::max({cutoff, set.pairs_within, set.counted_within});
}

// LAMMPS knows by now what is excluded. Fragments are cut from owned and ghost atoms: there must be
// enough of them.

void PairNEPAL::setup()
{
  if (excludes() && comm->me == 0)
    error->warning(FLERR,
                   "pair_style nepal: neigh_modify exclude takes neighbors out of the environments, "
                   "which changes the energies of all atoms around");
  if (set.folder.empty()) return;
  // A cube around an atom must lie between the skewed faces that LAMMPS shifts outwards.
  double skew = 1.0;
  if (domain->triclinic) {
    const double *h = domain->h_inv;
    const double rows[3][3] = {{h[0], h[5], h[4]}, {0.0, h[1], h[3]}, {0.0, 0.0, h[2]}};
    for (const auto &row : rows) {
      double sum = 0.0, square = 0.0;
      for (const double x : row) {
        sum += std::fabs(x);
        square += x * x;
      }
      skew = std::max(skew, sum / std::sqrt(square));
    }
  }
  // Between two borders calls each of a pair may have moved by half the skin.
  const double need = set.reach * skew + neighbor->skin;
  const double have = comm->get_comm_cutoff();
  if (have >= need) return;
  char text[400];
  snprintf(text, sizeof(text),
           "pair_style nepal: fragments are cut from all atoms within %.2f Angstrom of their target "
           "along each axis, and with the skin that takes ghost atoms up to %.2f; the communication "
           "cutoff is %.2f: say 'comm_modify cutoff %.1f' (or make the keyword reach smaller)",
           set.reach, need, have, std::ceil(10.0 * need) / 10.0);
  error->all(FLERR, text);
}

// LAMMPS tells a fix of ours where a step ends. It comes before the fixes of the script, if those follow
// pair_coeff as usual, so that fix halt sees what it found.

void PairNEPAL::watch_steps()
{
  if (modify->get_fix_by_id(step_id)) modify->delete_fix(step_id);
  step = nullptr;
  auto *fix = dynamic_cast<FixNEPALStep *>(
      modify->add_fix(step_id + " all nepal/step " + std::to_string(set.every) +
                      (set.rewinds > 0 ? " rewinds" : "")));
  if (!fix) error->all(FLERR, "pair_style nepal: fix nepal/step of another plugin; load one only");
  fix->pair = this;
  step = fix;
}

// True on the steps of `every`.

bool PairNEPAL::step_is_due() const
{
  return set.every > 0 && update->ntimestep % set.every == 0;
}

void PairNEPAL::compute(int eflag, int vflag)
{
  ev_init(eflag, vflag);
  bool flagged = false;
  for (int k = 0; k < NGRADES; ++k)
    if (fields[k].flag) flagged = true;
  const bool deviates = fields[SIGMA].flag != 0;
  const bool shows_charges = fields[CHARGE].flag != 0;
  // A minimizer shows what it evaluated last; other steps are examined once they are over.
  const bool minimizes = update->whichflag == 2 && set.every > 0 &&
      (step_is_due() || output->next_thermo == update->ntimestep);
  const bool grades = flagged || minimizes || step_is_due();
  if (grades && !active_set)
    error->all(FLERR,
               "pair_style nepal: grades need an active set: 'pair_coeff * * nep.txt set.asi ...'");

  count_atoms();
  if (add_biased(evflag || grades || deviates || shows_charges)) return;
  const size_t n_local = atoms.view.n_local;
  const size_t n_total = atoms.view.n_total;

  double energy = 0.0, total_virial[9] = {};
  nepal_results_t results = asking();
  if (eflag_global) results.energy = &energy;
  results.flags |= NEPAL_RESULTS_NO_FRAGMENTS;
  const bool in_place = atoms.direct && force->newton_pair && scale == 1.0;
  if (!in_place) {
    forces.resize(3 * n_total + 1);
    results.forces = forces.data();
  }
  if (eflag_atom) {
    energies.resize(n_local + 1);
    results.energies = energies.data();
  }
  if (vflag_global) results.virial = total_virial;
  if (vflag_atom || cvflag_atom) {
    virials.resize(9 * n_total + 1);
    results.virials = virials.data();
  }
  if (grades) point_to_scratch(results);
  if (deviates) {
    deviations.resize(n_local + 1);
    results.sigma = deviations.data();
  }
  if (shows_charges) {
    charges.resize(n_local + 1);
    results.charges = charges.data();
  }

  const nepal_status_t status = evaluate(results, in_place);
  failure.note(lmp, status, "forces", &atoms);
  failure.settle(lmp, evflag || grades || deviates);
  if (status != NEPAL_STATUS_SUCCESS) std::fill(forces.begin(), forces.end(), 0.0);

  if (scale != 1.0) {
    energy *= scale;
    for (auto &w : total_virial) w *= scale;
    for (auto *values : {&forces, &energies, &virials})
      for (auto &x : *values) x *= scale;
  }
  if (eflag_global) eng_vdwl += energy;
  if (vflag_global) {
    const double *w = total_virial;
    virial[0] += w[0];
    virial[1] += w[4];
    virial[2] += w[8];
    virial[3] += 0.5 * (w[1] + w[3]);
    virial[4] += 0.5 * (w[2] + w[6]);
    virial[5] += 0.5 * (w[5] + w[7]);
  }
  if (eflag_atom)
    for (size_t k = 0; k < n_local; ++k) eatom[atoms.lammps_index(k)] += energies[k];
  if (!force->newton_pair) fold_ghosts();
  if (!in_place) add_forces();
  if (vflag_atom || cvflag_atom) add_per_atom();

  if (deviates) keep_deviations();
  if (shows_charges) keep_charges();
  if (grades) {
    remember_graded();
    keep_grades();
    if (flagged || minimizes) show_largest();
  }
}

nepal_status_t PairNEPAL::evaluate(nepal_results_t &results, bool in_place)
{
  if (in_place) {
    results.flags |= NEPAL_RESULTS_ADD_FORCES;
    results.forces = atoms.view.n_total ? atom->f[0] : nullptr;
  }
  return nepal_calculator_compute_list(calculator, &atoms.view, &results);
}

// With newton off LAMMPS does not bring forces of ghosts home: we do.

void PairNEPAL::fold_ghosts()
{
  const int nall = atom->nlocal + atom->nghost;
  const bool with_virials = vflag_atom || cvflag_atom;
  reverse_width = with_virials ? 12 : 3;
  reverse.assign(static_cast<size_t>(nall) * reverse_width + 1, 0.0);
  for (int k = 0; k < atoms.n_total(); ++k) {
    double *row = &reverse[static_cast<size_t>(atoms.lammps_index(k)) * reverse_width];
    for (int d = 0; d < 3; ++d) row[d] = forces[3 * k + d];
    for (int d = 0; with_virials && d < 9; ++d) row[3 + d] = virials[9 * k + d];
  }
  // LAMMPS' buffers were made for the twelve of the constructor.
  const int widest = comm_reverse_off;
  comm_reverse_off = reverse_width;
  comm->reverse_comm(this);
  comm_reverse_off = widest;
}

int PairNEPAL::pack_reverse_comm(int n, int first, double *buf)
{
  const double *from = &reverse[static_cast<size_t>(first) * reverse_width];
  const int count = n * reverse_width;
  for (int k = 0; k < count; ++k) buf[k] = from[k];
  return count;
}

void PairNEPAL::unpack_reverse_comm(int n, int *list, double *buf)
{
  for (int i = 0; i < n; ++i) {
    double *to = &reverse[static_cast<size_t>(list[i]) * reverse_width];
    for (int d = 0; d < reverse_width; ++d) to[d] += *buf++;
  }
}

void PairNEPAL::add_forces()
{
  double **f = atom->f;
  if (force->newton_pair) {
    for (int k = 0; k < atoms.n_total(); ++k)
      for (int d = 0; d < 3; ++d) f[atoms.lammps_index(k)][d] += forces[3 * k + d];
  } else {
    for (int i = 0; i < atom->nlocal; ++i)
      for (int d = 0; d < 3; ++d) f[i][d] += reverse[static_cast<size_t>(i) * reverse_width + d];
  }
}

void PairNEPAL::add_per_atom()
{
  // nepal: row-major, position first, force second, as the heat flux needs it.
  auto add = [&](int i, const double *w) {
    if (vflag_atom) {
      vatom[i][0] += w[0];
      vatom[i][1] += w[4];
      vatom[i][2] += w[8];
      vatom[i][3] += 0.5 * (w[1] + w[3]);
      vatom[i][4] += 0.5 * (w[2] + w[6]);
      vatom[i][5] += 0.5 * (w[5] + w[7]);
    }
    if (cvflag_atom) {
      static const int order[9] = {0, 4, 8, 1, 2, 5, 3, 6, 7};
      for (int d = 0; d < 9; ++d) cvatom[i][d] += w[order[d]];
    }
  };
  if (force->newton_pair)
    for (int k = 0; k < atoms.n_total(); ++k) add(atoms.lammps_index(k), &virials[9 * k]);
  else
    for (int i = 0; i < atom->nlocal; ++i)
      add(i, &reverse[static_cast<size_t>(i) * reverse_width + 3]);
}

void *PairNEPAL::extract(const char *name, int &dim)
{
  dim = 0;
  if (strcmp(name, "scale") == 0) return &scale;
  for (auto &field : fields)
    if (field.flag_name == name) return &field.flag;
  return nullptr;
}

double PairNEPAL::memory_usage()
{
  double bytes = Pair::memory_usage();
  for (const auto *buffer : {&energies, &forces, &virials, &scratch, &deviations, &charges, &gradient, &shown,
                             &reverse, &graded})
    bytes += static_cast<double>(buffer->capacity() * sizeof(double));
  for (const auto &field : fields)
    bytes += static_cast<double>(field.values.capacity() * sizeof(double));
  return bytes;
}
