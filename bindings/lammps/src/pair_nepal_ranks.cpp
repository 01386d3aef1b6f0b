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
#include "input.h"
#include "modify.h"
#include "update.h"
#include "utils.h"
#include "variable.h"

#include <algorithm>
#include <cmath>

using namespace LAMMPS_NS;

// Sums over ranks, and what models with charges or a temperature are told and tell.

void PairNEPAL::set_ranks()
{
  nepal_ranks_t ranks = NEPAL_RANKS_INIT;
  ranks.rank = comm->me;
  ranks.n_ranks = comm->nprocs;
  ranks.gather = gather;
  ranks.broadcast = broadcast;
  ranks.sum = sum;
  ranks.forward = forward;
  ranks.user_data = this;
  NepalHost::check(lmp, nepal_calculator_set_ranks(calculator, &ranks), "pair_style");
}

// MPI as libnepal wants it.

nepal_status_t PairNEPAL::gather(void *user, const void *send, size_t bytes, void *receive)
{
  const int n = static_cast<int>(bytes);
  const auto world = static_cast<PairNEPAL *>(user)->world;
  return MPI_Allgather(send, n, MPI_BYTE, receive, n, MPI_BYTE, world) == MPI_SUCCESS ? 0 : -1;
}

nepal_status_t PairNEPAL::broadcast(void *user, int32_t root, void *data, size_t bytes)
{
  const auto world = static_cast<PairNEPAL *>(user)->world;
  return MPI_Bcast(data, static_cast<int>(bytes), MPI_BYTE, root, world) == MPI_SUCCESS ? 0 : -1;
}

nepal_status_t PairNEPAL::sum(void *user, double *numbers, size_t n)
{
  const auto world = static_cast<PairNEPAL *>(user)->world;
  constexpr size_t part = 1 << 30;
  for (size_t from = 0; from < n; from += part) {
    const int count = static_cast<int>(std::min(part, n - from));
    if (MPI_Allreduce(MPI_IN_PLACE, numbers + from, count, MPI_DOUBLE, MPI_SUM, world) != MPI_SUCCESS)
      return -1;
  }
  return 0;
}

nepal_status_t PairNEPAL::forward(void *user, double *numbers)
{
  auto *pair = static_cast<PairNEPAL *>(user);
  const auto &atoms = pair->atoms;
  pair->shown.assign(static_cast<size_t>(pair->atom->nlocal) + pair->atom->nghost + 1, 0.0);
  for (int k = 0; k < atoms.n_local(); ++k) pair->shown[atoms.lammps_index(k)] = numbers[k];
  pair->comm->forward_comm(pair);
  for (int k = atoms.n_local(); k < atoms.n_total(); ++k) numbers[k] = pair->shown[atoms.lammps_index(k)];
  return 0;
}

int PairNEPAL::pack_forward_comm(int n, int *which, double *buf, int, int *)
{
  for (int i = 0; i < n; ++i) buf[i] = shown[which[i]];
  return n;
}

void PairNEPAL::unpack_forward_comm(int n, int first, double *buf)
{
  std::copy(buf, buf + n, &shown[first]);
}

// The temperature of the electrons as it is now, K.

double PairNEPAL::electrons() const
{
  const std::string &word = set.temperature;
  if (word.compare(0, 2, "v_") != 0) return utils::numeric(FLERR, word, false, lmp);
  const int which = input->variable->find(word.c_str() + 2);
  if (which < 0 || !input->variable->equalstyle(which))
    error->all(FLERR,
               "pair_style nepal: the keyword temperature is a number or an equal-style variable; found " + word);
  modify->clearstep_compute();
  const double value = input->variable->compute_equal(which);
  modify->addstep_compute(update->ntimestep + 1);
  if (!(value >= 0.0) || !std::isfinite(value))
    error->all(FLERR,
               "pair_style nepal: the temperature of the electrons, " + word + ", is " + std::to_string(value) +
                   " at step " + std::to_string(update->ntimestep) + "; expected a number from 0, in K");
  return value;
}

// Results with what the model is told besides atoms.

nepal_results_t PairNEPAL::asking() const
{
  nepal_results_t results = NEPAL_RESULTS_INIT;
  results.charge = set.charge;
  results.mesh_error = set.mesh_error;
  if (needs_temperature) {
    results.flags |= NEPAL_RESULTS_TEMPERATURE;
    results.temperature = electrons();
  }
  return results;
}

void PairNEPAL::keep_charges()
{
  keep(fields[CHARGE], charges.data());
  charged = update->ntimestep;
}

// Charges of the atoms where they are, without forces.

void PairNEPAL::find_charges()
{
  update_atoms();
  nepal_results_t results = asking();
  charges.resize(atoms.view.n_local + 1);
  results.charges = charges.data();
  NepalHost::check(lmp, nepal_calculator_compute_list(calculator, &atoms.view, &results), "charges",
                   &atoms);
  keep_charges();
}
