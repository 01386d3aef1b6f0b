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
PairStyle(nepal/kk,PairNEPALKokkos<LMPDeviceType>);
PairStyle(nepal/kk/device,PairNEPALKokkos<LMPDeviceType>);
// clang-format on
#else

#ifndef LMP_PAIR_NEPAL_KOKKOS_H
#define LMP_PAIR_NEPAL_KOKKOS_H

#include "kokkos_type.h"
#include "pair_nepal.h"

namespace LAMMPS_NS {

// Atoms, neighbour list and forces stay where Kokkos has them, and nepal computes there with backend cuda. With
// another backend, and for what is rare (fragments, sigma, the bias), they are brought to the host.

template <class DeviceType> class PairNEPALKokkos : public PairNEPAL {
 public:
  PairNEPALKokkos(class LAMMPS *);

  void compute(int, int) override;
  void settings(int, char **) override;
  void init_style() override;
  NepalHost::List &update_atoms(bool with_tags = false) override;

 protected:
  void bring_home() const override;
  void count_atoms() override;
  nepal_status_t evaluate(nepal_results_t &results, bool in_place) override;
  bool on_host() const override { return false; }

 private:
  using Numbers = Kokkos::View<double *, DeviceType>;

  bool on_device() const { return set.backend == NEPAL_BACKEND_CUDA; }
  Numbers room(Numbers &view, size_t n);

  NepalHost::Number number;    // of the list on the device
  Numbers d_total, d_forces, d_energies, d_virials, d_grades[NGRADES];

  // The list on the host, as it was when it was asked for last.
  NepalHost::Number copied;
  std::vector<int> order, counts, neighbors;
  std::vector<int *> rows;
};

}    // namespace LAMMPS_NS

#endif
#endif
