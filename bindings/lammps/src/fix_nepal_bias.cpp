/* ----------------------------------------------------------------------
   LAMMPS - Large-scale Atomic/Molecular Massively Parallel Simulator
   https://www.lammps.org/, Sandia National Laboratories
   LAMMPS development team: developers@lammps.org

   This software is distributed under the GNU General Public License,
   version 2 or (at your option) any later version.
   SPDX-License-Identifier: GPL-2.0-or-later
------------------------------------------------------------------------- */

#include "fix_nepal_bias.h"

#include "atom.h"
#include "comm.h"
#include "error.h"
#include "force.h"
#include "modify.h"
#include "pair_nepal.h"
#include "update.h"
#include "utils.h"

#include <algorithm>
#include <cmath>
#include <cstring>

using namespace LAMMPS_NS;
using namespace FixConst;

// fix ID group nepal/bias [push A w] [wall k g] [exponent p]
// fix ID all nepal/bias sigma t [relative n]

FixNEPALBias::FixNEPALBias(LAMMPS *lmp, int narg, char **arg) :
    Fix(lmp, narg, arg), depth(0.0), width(1.0), stiffness(0.0), limit(0.0), exponent(8.0),
    tau(0.0), history(0), now(0.0), means{0.0, 0.0}, seen(0), starting(false), pushed(false),
    separable(false), joined(false), pair(nullptr), totals{0.0, 0.0, 0.0}, sums{0.0, 0.0, 0.0}, summed(false)
{
  NepalHost::check_units(lmp, "fix nepal/bias");
  for (int iarg = 3; iarg < narg;) {
    const std::string key = arg[iarg];
    const int count = key == "push" || key == "wall" ? 2 : 1;
    if (count == 1 && key != "exponent" && key != "sigma" && key != "relative")
      error->all(FLERR, "fix nepal/bias: unknown keyword " + key +
                     "; known are push A w, wall k g, exponent p, sigma t and relative n");
    double x[2] = {0.0, 0.0};
    for (int k = 0; k < count; ++k) {
      if (iarg + 1 + k >= narg)
        error->all(FLERR, "fix nepal/bias: the keyword " + key + " takes " + std::to_string(count) +
                       (count == 1 ? " number" : " numbers"));
      x[k] = utils::numeric(FLERR, arg[iarg + 1 + k], false, lmp);
      if (!(x[k] > 0.0) || !std::isfinite(x[k]))
        error->all(FLERR, "fix nepal/bias: the numbers of " + key + " must be positive; found " +
                       arg[iarg + 1 + k]);
    }
    if (key == "push") {
      depth = x[0];
      width = x[1];
    } else if (key == "wall") {
      stiffness = x[0];
      limit = x[1];
    } else if (key == "sigma") {
      tau = x[0];
    } else if (key == "relative") {
      if (x[0] != std::floor(x[0]) || x[0] > MAXSMALLINT)
        error->all(FLERR, "fix nepal/bias: relative takes a whole number of steps; found " +
                       std::string(arg[iarg + 1]));
      history = static_cast<int>(x[0]);
    } else {
      exponent = x[0];
      if (exponent < 2.0) error->all(FLERR, "fix nepal/bias: exponent must be at least 2");
    }
    iarg += count + 1;
  }
  const bool by_grade = depth > 0.0 || stiffness > 0.0;
  if (!by_grade && tau == 0.0)
    error->all(FLERR, "fix nepal/bias does nothing: give push A w, wall k g, or both; or sigma t");
  if (tau > 0.0 && (by_grade || igroup != 0))
    error->all(FLERR, "fix nepal/bias: sigma is of the whole system: give it alone, to the group all, and "
                      "grades to another fix nepal/bias");
  if (history > 0 && tau == 0.0)
    error->all(FLERR, "fix nepal/bias: relative says what the number of sigma is; give sigma t, too");
  if (history == 0) now = tau;

  scalar_flag = 1;
  vector_flag = 1;
  size_vector = 3;
  extscalar = 1;
  extvector = 0;
  global_freq = 1;
  peratom_flag = 1;
  size_peratom_cols = 0;
  peratom_freq = 1;
  energy_global_flag = 1;
  virial_global_flag = 1;
  // Part of the potential energy and of the pressure unless fix_modify says otherwise.
  thermo_energy = 1;
  thermo_virial = 1;
  comm_reverse = 3;
  shown.assign(1, 0.0);
  vector_atom = shown.data();
}

FixNEPALBias::~FixNEPALBias()
{
  vector_atom = nullptr;
}

int FixNEPALBias::setmask()
{
  return POST_FORCE | MIN_POST_FORCE;
}

void FixNEPALBias::init()
{
  if (utils::strmatch(update->integrate_style, "^respa"))
    error->all(FLERR, "fix nepal/bias does not work with run_style respa: use run_style verlet");
  pair = dynamic_cast<PairNEPAL *>(force->pair_match("nepal", 1));
  if (!pair)
    error->all(FLERR,
               "fix nepal/bias needs one pair_style nepal (also as part of hybrid): define it "
               "before the run");
  if (tau > 0.0 && !pair->has_posterior())
    error->all(FLERR,
               "fix nepal/bias: sigma needs a posterior: 'pair_style nepal posterior FILE ...', a file "
               "that nepal-loop train --posterior writes");
  if (tau == 0.0 && !pair->has_active_set())
    error->all(FLERR,
               "fix nepal/bias needs an active set: 'pair_coeff * * nep.txt set.asi ...'");

  // A bias that is held back by the forces needs them; a wall is cheaper alone while nothing is beyond it.
  separable = history == 0 && !flat();
  joined = false;
  bool before = true;
  for (Fix *fix : modify->get_fix_list()) {
    if (fix == this) before = false;
    const auto *bias = dynamic_cast<FixNEPALBias *>(fix);
    if (bias && bias->history == 0) continue;
    const int mask = modify->get_fix_mask(fix);
    if ((mask & PRE_REVERSE) || (before && (mask & POST_FORCE))) separable = false;
  }
}

void FixNEPALBias::setup(int vflag)
{
  starting = true;
  post_force(vflag);
  starting = false;
}

void FixNEPALBias::min_setup(int vflag)
{
  setup(vflag);
}

void FixNEPALBias::post_run()
{
  failure.end(lmp);
}

void FixNEPALBias::min_post_force(int vflag)
{
  post_force(vflag);
}

// Energy and slope at a grade: a well that ends where the grade is far above `width`, so that
// nothing is pushed once it is out, and a wall from `limit` on.

double FixNEPALBias::potential(double g, double &slope) const
{
  double energy = 0.0;
  slope = 0.0;
  // An element without an active set: unknown, and no direction to go.
  if (!std::isfinite(g)) return -depth;
  if (depth > 0.0) {
    const double gauss = std::exp(-g * g / (width * width));
    energy += depth * (gauss - 1.0);
    slope -= 2.0 * depth * g / (width * width) * gauss;
  }
  if (stiffness > 0.0 && g > limit) {
    energy += 0.5 * stiffness * (g - limit) * (g - limit);
    slope += stiffness * (g - limit);
  }
  return energy;
}

// The grades of the local atoms, and the gradient of their bias with respect to descriptors.

nepal_status_t FixNEPALBias::grades(const NepalHost::List &atoms, size_t dim)
{
  nepal_calculator_t *calculator = pair->get_calculator();
  // A wall alone is flat up to its limit: atoms there need no more than to be known as such.
  nepal_status_t status = NEPAL_STATUS_SUCCESS;
  if (flat()) status = nepal_calculator_set_grade_effort(calculator, NEPAL_EFFORT_ABOVE, limit);
  if (status == NEPAL_STATUS_SUCCESS)
    status = nepal_calculator_grade_gradient_list(calculator, &atoms.view, NEPAL_MEASURE_SMOOTH,
                                                  exponent, values.data(), gradient.data());
  if (flat()) nepal_calculator_set_grade_effort(calculator, NEPAL_EFFORT_FULL, 0.0);
  if (status != NEPAL_STATUS_SUCCESS) return status;
  for (int k = 0; k < atoms.n_local(); ++k) {
    const int i = atoms.lammps_index(k);
    const double g = values[k];
    shown[i] = g;
    double slope = 0.0;
    if (atom->mask[i] & groupbit) {
      totals[0] += potential(g, slope);
      totals[1] = std::max(totals[1], g);
    }
    if (slope != 0.0) pushed = true;
    for (size_t d = 0; d < dim; ++d) gradient[k * dim + d] *= slope;
  }
  return status;
}

// The deviation of the total energy, to which all ranks add, and the gradient of -sigma.

nepal_status_t FixNEPALBias::sigma(const NepalHost::List &atoms)
{
  nepal_calculator_t *calculator = pair->get_calculator();
  size_t count = 0;
  nepal_status_t status = nepal_calculator_sigma_count(calculator, &count);
  if (status != NEPAL_STATUS_SUCCESS) return status;
  columns.assign(2 * count, 0.0);
  status = nepal_calculator_sigma_columns_list(calculator, &atoms.view, columns.data());
  // Other ranks wait for this one, whatever its status.
  MPI_Allreduce(columns.data(), columns.data() + count, static_cast<int>(count), MPI_DOUBLE,
                MPI_SUM, world);
  if (status != NEPAL_STATUS_SUCCESS) return status;
  double value = 0.0;
  status = nepal_calculator_sigma_gradient_list(calculator, &atoms.view, columns.data() + count,
                                                &value, gradient.data());
  for (double &x : gradient) x *= -1.0;
  // Of all, and so counted once.
  totals[0] = comm->me == 0 ? -now * value : 0.0;
  totals[1] = value;
  totals[2] = now;
  return status;
}

// Adds the bias to the forces of this rank's atoms; returns what the virial is multiplied with.
//
// With `relative` the bias on an atom is at most its force, and tau is such that the mean size of the bias would be
// the wanted part of that of the forces, both over the last steps.

double FixNEPALBias::add(int nlocal)
{
  double **f = atom->f;
  double mine[5] = {0.0, 0.0, 0.0, 0.0, static_cast<double>(nlocal)}, all[5];
  const double factor = tau > 0.0 ? now : 1.0;
  for (int i = 0; i < nlocal; ++i) {
    const double *g = &reverse[3 * i];
    double part = 1.0;
    if (history > 0) {
      const double force = std::sqrt(f[i][0] * f[i][0] + f[i][1] * f[i][1] + f[i][2] * f[i][2]);
      const double along = std::sqrt(g[0] * g[0] + g[1] * g[1] + g[2] * g[2]);
      const double wanted = now * along;
      if (wanted > force) part = force / wanted;
      mine[0] += force;
      mine[1] += along;
      mine[2] += wanted;
      mine[3] += part * wanted;
    }
    for (int d = 0; d < 3; ++d) f[i][d] += part * factor * g[d];
  }
  if (history == 0) return factor;
  MPI_Allreduce(mine, all, 5, MPI_DOUBLE, MPI_SUM, world);
  // What is held back of the forces is held back of the pressure.
  const double given = factor * (all[2] > 0.0 ? all[3] / all[2] : 1.0);
  if (!starting && all[4] > 0.0) {
    ++seen;
    const double mixing = 1.0 / static_cast<double>(std::min<bigint>(seen, history));
    for (int k = 0; k < 2; ++k) means[k] += mixing * (all[k] / all[4] - means[k]);
    now = seen > history && means[1] > 0.0 ? tau * means[0] / means[1] : 0.0;
  }
  return given;
}

// The energy of the bias and its gradient with respect to the descriptors of the local atoms.

nepal_status_t FixNEPALBias::differentiate(const NepalHost::List &atoms)
{
  size_t dim = 0;
  nepal_model_dim(pair->get_model(), &dim);
  values.resize(atoms.n_local() + 1);
  gradient.resize(atoms.n_local() * dim + 1);
  shown.assign(atom->nmax > 0 ? atom->nmax : 1, 0.0);
  vector_atom = shown.data();
  totals[0] = totals[1] = totals[2] = 0.0;
  summed = false;
  pushed = tau > 0.0;
  return tau > 0.0 ? sigma(atoms) : grades(atoms, dim);
}

nepal_status_t FixNEPALBias::join(const NepalHost::List &atoms, std::vector<double> &sum)
{
  joined = true;
  const nepal_status_t status = differentiate(atoms);
  const double factor = tau > 0.0 ? now : 1.0;
  for (double &x : gradient) x *= pushed ? factor : 0.0;
  if (sum.empty())
    sum.swap(gradient);
  else
    for (size_t k = 0; k < gradient.size(); ++k) sum[k] += gradient[k];
  return status;
}

void FixNEPALBias::post_force(int vflag)
{
  v_init(vflag);
  if (joined) {
    joined = false;
    return;
  }
  const NepalHost::List &atoms = pair->update_atoms();
  const int n_total = atoms.n_total();
  forces.resize(3 * static_cast<size_t>(n_total) + 1);
  double w[9] = {0.0};
  nepal_status_t status = differentiate(atoms);
  if (status == NEPAL_STATUS_SUCCESS && pushed)
    status = nepal_calculator_contract_list(pair->get_calculator(), &atoms.view, gradient.data(),
                                            forces.data(), w);
  failure.note(lmp, status, "fix nepal/bias", &atoms);
  failure.settle(lmp, vflag);
  if (status != NEPAL_STATUS_SUCCESS || !pushed) std::fill(forces.begin(), forces.end(), 0.0);

  // LAMMPS has brought the forces of ghosts home already: bring these home alike.
  const int nall = atom->nlocal + atom->nghost;
  reverse.assign(3 * static_cast<size_t>(nall) + 1, 0.0);
  for (int k = 0; k < n_total; ++k)
    for (int d = 0; d < 3; ++d) reverse[3 * atoms.lammps_index(k) + d] = forces[3 * k + d];
  comm->reverse_comm(this, 3);
  const double part = add(atom->nlocal);

  if (vflag_global) {
    virial[0] += part * w[0];
    virial[1] += part * w[4];
    virial[2] += part * w[8];
    virial[3] += 0.5 * part * (w[1] + w[3]);
    virial[4] += 0.5 * part * (w[2] + w[6]);
    virial[5] += 0.5 * part * (w[5] + w[7]);
  }
}

int FixNEPALBias::pack_reverse_comm(int n, int first, double *buf)
{
  for (int k = 0; k < 3 * n; ++k) buf[k] = reverse[3 * first + k];
  return 3 * n;
}

void FixNEPALBias::unpack_reverse_comm(int n, int *index, double *buf)
{
  for (int i = 0; i < n; ++i)
    for (int d = 0; d < 3; ++d) reverse[3 * index[i] + d] += *buf++;
}

void FixNEPALBias::sum()
{
  if (summed) return;
  MPI_Allreduce(&totals[0], &sums[0], 1, MPI_DOUBLE, MPI_SUM, world);
  MPI_Allreduce(&totals[1], &sums[1], 2, MPI_DOUBLE, MPI_MAX, world);
  summed = true;
}

// Energy of the bias.

double FixNEPALBias::compute_scalar()
{
  sum();
  return sums[0];
}

// Energy of the bias, the largest grade in the group, or sigma, and what sigma is multiplied with.

double FixNEPALBias::compute_vector(int k)
{
  sum();
  return sums[k];
}

double FixNEPALBias::memory_usage()
{
  double bytes = 0.0;
  for (const auto *buffer : {&values, &gradient, &forces, &reverse, &shown, &columns})
    bytes += static_cast<double>(buffer->capacity() * sizeof(double));
  return bytes;
}
