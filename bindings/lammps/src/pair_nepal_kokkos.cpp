/* ----------------------------------------------------------------------
   LAMMPS - Large-scale Atomic/Molecular Massively Parallel Simulator
   https://www.lammps.org/, Sandia National Laboratories
   LAMMPS development team: developers@lammps.org

   This software is distributed under the GNU General Public License,
   version 2 or (at your option) any later version.
   SPDX-License-Identifier: GPL-2.0-or-later
------------------------------------------------------------------------- */

// A plugin for a LAMMPS without Kokkos has nothing of this.
#ifdef LMP_KOKKOS

#include "pair_nepal_kokkos.h"

#include "atom_kokkos.h"
#include "atom_masks.h"
#include "error.h"
#include "force.h"
#include "kokkos.h"
#include "neigh_list_kokkos.h"
#include "neigh_request.h"
#include "neighbor.h"

#include <algorithm>
#include <cmath>
#include <cstring>

using namespace LAMMPS_NS;

static_assert(sizeof(X_FLOAT) == sizeof(double) && sizeof(F_FLOAT) == sizeof(double),
              "nepal/kk needs a Kokkos with positions and forces in double precision");

template <class DeviceType>
PairNEPALKokkos<DeviceType>::PairNEPALKokkos(LAMMPS *lmp) : PairNEPAL(lmp)
{
  if (!lmp->kokkos)
    error->all(FLERR, "pair_style nepal/kk needs Kokkos: start LAMMPS with '-k on', or say pair_style nepal");
  respa_enable = 0;
  kokkosable = 1;
  atomKK = static_cast<AtomKokkos *>(atom);
  execution_space = ExecutionSpaceFromDevice<DeviceType>::space;
  // What is computed is told by compute(), which knows where.
  datamask_read = EMPTY_MASK;
  datamask_modify = EMPTY_MASK;
}

// The GPU of this rank is the one that Kokkos has chosen.

template <class DeviceType> void PairNEPALKokkos<DeviceType>::settings(int narg, char **arg)
{
  std::vector<char *> words(arg, arg + narg);
#ifdef KOKKOS_ENABLE_CUDA
  std::string device = "device", which = std::to_string(Kokkos::device_id());
  auto says = [&](const char *key) {
    return std::any_of(words.begin(), words.end(), [&](const char *w) { return strcmp(w, key) == 0; });
  };
  if (!says("backend") && !says("device")) words.insert(words.end(), {&device[0], &which[0]});
#endif
  PairNEPAL::settings(static_cast<int>(words.size()), words.data());
}

template <class DeviceType> void PairNEPALKokkos<DeviceType>::init_style()
{
  PairNEPAL::init_style();
  auto *request = neighbor->find_request(this);
  request->set_kokkos_host(std::is_same_v<DeviceType, LMPHostType> && !std::is_same_v<DeviceType, LMPDeviceType>);
  request->set_kokkos_device(std::is_same_v<DeviceType, LMPDeviceType>);
  if (on_device() && std::any_of(types.begin() + 1, types.end(), [](int type) { return type < 0; }))
    error->all(FLERR, "pair_style nepal/kk: on a GPU each atom type needs an element; found NULL: say pair_style nepal");
}

template <class DeviceType> void PairNEPALKokkos<DeviceType>::compute(int eflag, int vflag)
{
  // Where forces are added up: nepal's are, if they need nothing more, where Kokkos has them.
  const bool stays = on_device() && force->newton_pair && scale == 1.0;
  const ExecutionSpace space = stays ? execution_space : Host;
  atomKK->sync(space, F_MASK);
  PairNEPAL::compute(eflag, vflag);
  atomKK->modified(space, F_MASK);
}

template <class DeviceType> void PairNEPALKokkos<DeviceType>::bring_home() const
{
  atomKK->sync(Host, X_MASK | TYPE_MASK | TAG_MASK);
}

template <class DeviceType> void PairNEPALKokkos<DeviceType>::count_atoms()
{
  if (on_device())
    atoms.count(lmp);
  else
    update_atoms();
}

template <class DeviceType> NepalHost::List &PairNEPALKokkos<DeviceType>::update_atoms(bool with_tags)
{
  bring_home();
  if (!copied.is_of(lmp, list)) {
    copied.renew(lmp, list);
    auto *there = static_cast<NeighListKokkos<DeviceType> *>(list);
    const auto ilist = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), there->d_ilist);
    const auto numbers = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), there->d_numneigh);
    const auto found = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), there->d_neighbors);
    const int nlocal = atom->nlocal;
    order.assign(list->inum + 1, 0);
    counts.assign(nlocal + 1, 0);
    rows.assign(nlocal + 1, nullptr);
    size_t total = 0;
    for (int ii = 0; ii < list->inum; ++ii) {
      order[ii] = ilist(ii);
      counts[order[ii]] = numbers(order[ii]);
      total += counts[order[ii]];
    }
    neighbors.resize(total + 1);
    int *next = neighbors.data();
    for (int ii = 0; ii < list->inum; ++ii) {
      const int i = order[ii];
      rows[i] = next;
      for (int jj = 0; jj < counts[i]; ++jj) *next++ = found(i, jj);
    }
  }
  atoms.update(lmp, {list, list->inum, order.data(), counts.data(), rows.data()}, types, with_tags);
  return atoms;
}

template <class DeviceType>
typename PairNEPALKokkos<DeviceType>::Numbers PairNEPALKokkos<DeviceType>::room(Numbers &view, size_t n)
{
  if (view.extent(0) < n)
    view = Numbers(Kokkos::view_alloc(Kokkos::WithoutInitializing, "nepal"), n + n / 8);
  return view;
}

// Numbers of the device to the host, which waits for them.

template <class View> static void fetch(double *to, const View &from, size_t n)
{
  Kokkos::View<double *, Kokkos::HostSpace, Kokkos::MemoryUnmanaged> there(to, n);
  Kokkos::deep_copy(there, Kokkos::subview(from, std::make_pair(size_t(0), n)));
}

template <class DeviceType>
nepal_status_t PairNEPALKokkos<DeviceType>::evaluate(nepal_results_t &wanted, bool in_place)
{
  // What a device does not have yet is computed from the host.
  if (!on_device() || wanted.sigma || wanted.charges) {
    if (on_device()) update_atoms();
    if (on_device() && in_place) atomKK->sync(Host, F_MASK);
    const nepal_status_t status = PairNEPAL::evaluate(wanted, in_place);
    if (on_device() && in_place) {
      atomKK->modified(Host, F_MASK);
      atomKK->sync(execution_space, F_MASK);
    }
    return status;
  }
  atomKK->sync(execution_space, X_MASK | TYPE_MASK);
  const auto x = atomKK->k_x.template view<DeviceType>();
  const auto f = atomKK->k_f.template view<DeviceType>();
  const auto *there = static_cast<NeighListKokkos<DeviceType> *>(list);
  const size_t n_local = atom->nlocal, n_total = n_local + atom->nghost;
  if (list->inum != atom->nlocal)
    error->one(FLERR, "pair_style nepal/kk: on a GPU all atoms are its own; as a part of hybrid say nepal");
  if (!number.is_of(lmp, list)) number.renew(lmp, list);

  nepal_device_atoms_t here = NEPAL_DEVICE_ATOMS_INIT;
  here.n_atoms = n_total;
  here.n_ghosts = atom->nghost;
  here.positions = x.data();
  here.position_strides[0] = x.stride(0);
  here.position_strides[1] = x.stride(1);
  here.types = atomKK->k_type.template view<DeviceType>().data();
  here.type_map = types.data();
  here.n_type_map = static_cast<uint32_t>(types.size());
  here.neighbor_counts = there->d_numneigh.data();
  here.neighbors = there->d_neighbors.data();
  here.neighbor_strides[0] = there->d_neighbors.stride(0);
  here.neighbor_strides[1] = there->d_neighbors.stride(1);
  here.neighbor_mask = NEPAL_NEIGHBOR_MASK_LAMMPS;
  here.generation = number.value();
  // Types may change without a list, as Monte Carlo does it.
  here.flags = NEPAL_DEVICE_COMPARE_TYPES;
#ifdef KOKKOS_ENABLE_CUDA
  here.stream = DeviceType().cuda_stream();
#endif

  nepal_device_results_t out = NEPAL_DEVICE_RESULTS_INIT;
  if (in_place) {
    out.flags = NEPAL_RESULTS_ADD_FORCES;
    out.forces = f.data();
    out.force_strides[0] = f.stride(0);
    out.force_strides[1] = f.stride(1);
  } else if (wanted.forces) {
    out.forces = room(d_forces, 3 * n_total).data();
  }
  room(d_total, 10);
  if (wanted.energy) out.total_energy = d_total.data();
  if (wanted.virial) out.total_virial = d_total.data() + 1;
  if (wanted.energies) Kokkos::deep_copy(room(d_energies, n_local), 0.0);
  if (wanted.virials) Kokkos::deep_copy(room(d_virials, 9 * n_total), 0.0);
  if (wanted.energies) out.energies = d_energies.data();
  if (wanted.virials) out.virials = d_virials.data();
  const struct {
    double *to, **at;
  } grades[NGRADES] = {{wanted.gamma, &out.gamma}, {wanted.rho, &out.rho}, {wanted.grade, &out.grade}};
  for (int k = 0; k < NGRADES; ++k)
    if (grades[k].to) *grades[k].at = room(d_grades[k], n_local).data();

  const nepal_status_t status = nepal_calculator_compute_device(calculator, &here, &out);
  if (status != NEPAL_STATUS_SUCCESS) {
    // Whoever tells of it looks at the atoms.
    update_atoms();
    return status;
  }
  if (!in_place && wanted.forces) fetch(wanted.forces, d_forces, 3 * n_total);
  if (wanted.energy) fetch(wanted.energy, d_total, 1);
  if (wanted.virial) fetch(wanted.virial, Kokkos::subview(d_total, std::make_pair(1, 10)), 9);
  if (wanted.energies) fetch(wanted.energies, d_energies, n_local);
  if (wanted.virials) fetch(wanted.virials, d_virials, 9 * n_total);
  for (int k = 0; k < NGRADES; ++k)
    if (grades[k].to) fetch(grades[k].to, d_grades[k], n_local);
  if (!wanted.energy || std::isfinite(*wanted.energy)) return status;
  // A device looks at no number: the host finds out which atom it is.
  update_atoms();
  nepal_results_t again = asking();
  again.energy = wanted.energy;
  return nepal_calculator_compute_list(calculator, &atoms.view, &again);
}

namespace LAMMPS_NS {
template class PairNEPALKokkos<LMPDeviceType>;
}

#endif
