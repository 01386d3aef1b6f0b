/* -*- c++ -*- ----------------------------------------------------------
   LAMMPS - Large-scale Atomic/Molecular Massively Parallel Simulator
   https://www.lammps.org/, Sandia National Laboratories
   LAMMPS development team: developers@lammps.org

   This software is distributed under the GNU General Public License,
   version 2 or (at your option) any later version.
   SPDX-License-Identifier: GPL-2.0-or-later
------------------------------------------------------------------------- */

// What the styles of nepal share: errors that all ranks see, and LAMMPS' atoms and neighbour lists as
// libnepal takes them.

#ifndef LMP_NEPAL_HOST_H
#define LMP_NEPAL_HOST_H

#include "pointers.h"

#include "nepal.h"

#include <array>
#include <string>
#include <vector>

namespace LAMMPS_NS {
namespace NepalHost {

  class List;

  // What failed first on this rank since the ranks last agreed. A rank that ended the run by itself would leave
  // the others waiting for it in LAMMPS.
  class Failure {
   public:
    // Takes down a failure; `what` says of what. With `atoms` the text names atoms by their ids, and the
    // closest pair is added.
    void note(LAMMPS *lmp, nepal_status_t status, const std::string &what,
              const List *atoms = nullptr);

    // Ends with an error on all ranks if there was a failure on any, with the text of the first that has one.
    // Collective.
    void agree(LAMMPS *lmp);

    // The same in a step that somebody `sees`, and every tenth time otherwise: in plain steps of dynamics a rank
    // that failed says so and goes on without forces until all agree. Nobody looks at what comes of it, and no
    // rank waits for one that has gone.
    void settle(LAMMPS *lmp, bool sees);

    // The end of a run, as fix halt may end one before all agree. Collective.
    void end(LAMMPS *lmp);

   private:
    int unsaid = 0;    // evaluations since the ranks last agreed that none has failed
    nepal_status_t status = NEPAL_STATUS_SUCCESS;
    std::string text;
    bool told = false;    // by this rank alone
  };

  // Both at once. Collective.
  void check(LAMMPS *lmp, nepal_status_t status, const std::string &what,
             const List *atoms = nullptr);

  // Refuses a libnepal with another ABI than the one that this was compiled for.
  void check_library(LAMMPS *lmp);

  // Refuses units other than metal; `style` is who needs them.
  void check_units(LAMMPS *lmp, const std::string &style);

  // A neighbour list as LAMMPS keeps it on the host; `of` tells lists apart.
  struct Rows {
    const void *of;
    int inum;
    const int *ilist, *numneigh;
    int **firstneigh;
  };

  // The number that nepal knows a list of LAMMPS' by, another one for each that LAMMPS makes.
  class Number {
   public:
    // True if the list that LAMMPS has now is the one of the number.
    bool is_of(LAMMPS *lmp, const void *list) const;
    void renew(LAMMPS *lmp, const void *list);
    uint64_t value() const { return generation; }

   private:
    // When LAMMPS made the list, of how many atoms.
    std::array<bigint, 4> made{};
    const void *from = nullptr;
    uint64_t generation = 0;
  };

  // Local atoms, ghosts and a full list in the form of `nepal_calculator_compute_list`.
  class List {
   public:
    nepal_host_list_t view;

    // True if nepal's atoms are numbered as LAMMPS' are; otherwise `atoms` has LAMMPS' index of each.
    bool direct;
    std::vector<int> atoms;

    // `types` has nepal's type of each LAMMPS type (from 1), or -1 for one that nepal does not see.
    void update(LAMMPS *lmp, const Rows &list, const std::vector<int> &types, bool with_tags);

    // Only how many atoms there are, in LAMMPS' order.
    void count(LAMMPS *lmp);

    int n_local() const { return static_cast<int>(view.n_local); }
    int n_total() const { return static_cast<int>(view.n_total); }
    int lammps_index(int k) const { return direct ? k : atoms[k]; }

    // What is wrong with the atoms around a failure: a lost position, or the closest pair.
    std::string diagnose(LAMMPS *lmp) const;

    // A text of nepal's, which counts the atoms of this list, with LAMMPS' ids instead.
    std::string with_ids(LAMMPS *lmp, const std::string &text) const;

   private:
    // nepal's types, of all of LAMMPS' atoms and in nepal's order.
    std::vector<int> seen, kinds;
    std::vector<int> inverse;
    std::vector<int> counts;
    std::vector<int> neighbors;
    std::vector<double> positions;
    std::vector<int64_t> names;
    double cell[9];

    Number number;
    bool numbered = false;    // `direct`, of the list with that number

    std::string name(LAMMPS *lmp, int k) const;
    void renumber(const Rows &list);
  };

}    // namespace NepalHost
}    // namespace LAMMPS_NS

#endif
