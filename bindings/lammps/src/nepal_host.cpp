/* ----------------------------------------------------------------------
   LAMMPS - Large-scale Atomic/Molecular Massively Parallel Simulator
   https://www.lammps.org/, Sandia National Laboratories
   LAMMPS development team: developers@lammps.org

   This software is distributed under the GNU General Public License,
   version 2 or (at your option) any later version.
   SPDX-License-Identifier: GPL-2.0-or-later
------------------------------------------------------------------------- */

#include "nepal_host.h"

#include "atom.h"
#include "comm.h"
#include "domain.h"
#include "error.h"
#include "neighbor.h"
#include "output.h"
#include "update.h"

#include <atomic>
#include <cctype>
#include <cmath>
#include <cstring>
#include <utility>

using namespace LAMMPS_NS;

// Plain steps until the ranks agree that none has failed.
static constexpr int AGREE = 10;

// The text of the last failure on this rank.

static std::string last_error()
{
  size_t needed = 0;
  nepal_last_error(nullptr, 0, &needed);
  std::string text(needed, '\0');
  if (needed == 0 || nepal_last_error(&text[0], text.size(), &needed) != NEPAL_STATUS_SUCCESS)
    return "no text";
  text.resize(needed - 1);
  return text;
}

void NepalHost::Failure::note(LAMMPS *lmp, nepal_status_t found, const std::string &what,
                              const List *atoms)
{
  if (found == NEPAL_STATUS_SUCCESS || status != NEPAL_STATUS_SUCCESS) return;
  status = found;
  text = last_error();
  if (atoms) {
    text = atoms->with_ids(lmp, text);
    const std::string more = atoms->diagnose(lmp);
    if (!more.empty()) text += " (" + more + ")";
  }
  text = "nepal: " + what + ": " + text;
}

void NepalHost::Failure::settle(LAMMPS *lmp, bool sees)
{
  const Update *update = lmp->update;
  const bool plain = !sees && !update->setupflag && update->whichflag == 1 &&
      lmp->output->next != update->ntimestep;
  const bool alone = lmp->comm->nprocs == 1 && status != NEPAL_STATUS_SUCCESS;
  if (alone || !plain || ++unsaid >= AGREE) return agree(lmp);
  // Whatever ends the program before then, somebody has heard of it.
  if (status != NEPAL_STATUS_SUCCESS && !told)
    lmp->error->warning(FLERR, text + "; the run ends as soon as all ranks agree");
  told = status != NEPAL_STATUS_SUCCESS;
}

void NepalHost::Failure::end(LAMMPS *lmp)
{
  // As many on each rank.
  if (unsaid > 0) agree(lmp);
}

void NepalHost::Failure::agree(LAMMPS *lmp)
{
  unsaid = 0;
  told = false;
  int me, nprocs;
  MPI_Comm_rank(lmp->world, &me);
  MPI_Comm_size(lmp->world, &nprocs);
  // Ranks that only heard of the failure from another come last.
  int mine = me, first;
  if (status == NEPAL_STATUS_SUCCESS)
    mine = 2 * nprocs;
  else if (status == NEPAL_STATUS_FAILED)
    mine = nprocs + me;
  MPI_Allreduce(&mine, &first, 1, MPI_INT, MPI_MIN, lmp->world);
  if (first == 2 * nprocs) return;
  first %= nprocs;

  // The program may go on after this error.
  std::string said;
  std::swap(said, text);
  status = NEPAL_STATUS_SUCCESS;
  int length = static_cast<int>(said.size());
  MPI_Bcast(&length, 1, MPI_INT, first, lmp->world);
  said.resize(length);
  MPI_Bcast(&said[0], length, MPI_CHAR, first, lmp->world);
  lmp->error->all(FLERR, said);
}

void NepalHost::check(LAMMPS *lmp, nepal_status_t status, const std::string &what,
                      const List *atoms)
{
  Failure failure;
  failure.note(lmp, status, what, atoms);
  failure.agree(lmp);
}

void NepalHost::check_library(LAMMPS *lmp)
{
  if (nepal_abi_version() == NEPAL_ABI_VERSION) return;
  lmp->error->all(FLERR,
                  "nepal: libnepal has ABI version " + std::to_string(nepal_abi_version()) +
                      "; this LAMMPS style was compiled for version " +
                      std::to_string(NEPAL_ABI_VERSION) +
                      ": build the style again with the nepal.h of that library");
}

void NepalHost::check_units(LAMMPS *lmp, const std::string &style)
{
  if (strcmp(lmp->update->unit_style, "metal") == 0) return;
  lmp->error->all(FLERR,
                  style + " needs 'units metal' (eV, Angstrom, ps); this script has 'units " +
                      lmp->update->unit_style + "': say 'units metal' at its beginning");
}

static std::array<bigint, 4> list_now(const LAMMPS *lmp)
{
  const Atom *atom = lmp->atom;
  const Neighbor *neighbor = lmp->neighbor;
  return {neighbor->lastcall, neighbor->ncalls, atom->nlocal, atom->nlocal + atom->nghost};
}

// Age 0 is that of each list of a step, of which there may be several.

bool NepalHost::Number::is_of(LAMMPS *lmp, const void *list) const
{
  return generation && lmp->neighbor->ago > 0 && from == list && made == list_now(lmp);
}

void NepalHost::Number::renew(LAMMPS *lmp, const void *list)
{
  // Fixes may share a calculator, and so the numbers.
  static std::atomic<uint64_t> lists{0};
  generation = ++lists;
  from = list;
  made = list_now(lmp);
}

void NepalHost::List::count(LAMMPS *lmp)
{
  view = NEPAL_HOST_LIST_INIT;
  view.n_local = lmp->atom->nlocal;
  view.n_total = lmp->atom->nlocal + lmp->atom->nghost;
  direct = true;
}

void NepalHost::List::update(LAMMPS *lmp, const Rows &list, const std::vector<int> &types,
                             bool with_tags)
{
  const Atom *atom = lmp->atom;
  const int nlocal = atom->nlocal;
  const int nall = nlocal + atom->nghost;

  bool same = number.is_of(lmp, list.of);
  // Types may change without a list, as Monte Carlo does it.
  bool all = true;
  seen.resize(nall);
  for (int i = 0; i < nall; ++i) {
    const int kind = types[atom->type[i]];
    if (kind < 0) all = false;
    if (same && (kind < 0) != (seen[i] < 0)) same = false;
    seen[i] = kind;
  }
  if (!same) {
    number.renew(lmp, list.of);
    numbered = all && list.inum == nlocal;
    for (int k = 0; numbered && k < nlocal; ++k) numbered = list.ilist[k] == k;
    if (!numbered) renumber(list);
  }
  direct = numbered;

  view = NEPAL_HOST_LIST_INIT;
  view.step = lmp->update->ntimestep;
  view.generation = number.value();
  if (direct) {
    view.n_local = nlocal;
    view.n_total = nall;
    view.positions = nall ? atom->x[0] : nullptr;
    view.types = seen.data();
    view.counts = list.numneigh;
    view.rows = list.firstneigh;
    view.mask = NEPAL_NEIGHBOR_MASK_LAMMPS;
  } else {
    view.n_local = counts.size();
    view.n_total = atoms.size();
    positions.resize(3 * view.n_total);
    kinds.resize(view.n_total);
    for (int k = 0; k < n_total(); ++k) {
      for (int d = 0; d < 3; ++d) positions[3 * k + d] = atom->x[atoms[k]][d];
      kinds[k] = seen[atoms[k]];
    }
    view.positions = positions.data();
    view.types = kinds.data();
    view.counts = counts.data();
    view.neighbors = neighbors.data();
  }

  const Domain *box = lmp->domain;
  if (box->xperiodic && box->yperiodic && box->zperiodic) {
    const double *h = box->h;
    const double rows[9] = {h[0], 0.0, 0.0, h[5], h[1], 0.0, h[4], h[3], h[2]};
    std::memcpy(cell, rows, sizeof(rows));
    view.cell = cell;
  }

  if (with_tags) {
    names.resize(view.n_total);
    for (int k = 0; k < n_total(); ++k) names[k] = atom->tag[lammps_index(k)];
    view.tags = names.data();
  }
}

// Sub-styles of hybrid see some of the atoms only: nepal gets those, numbered anew.

void NepalHost::List::renumber(const Rows &list)
{
  const int nall = static_cast<int>(seen.size());
  inverse.assign(nall, -1);
  atoms.clear();
  counts.clear();
  neighbors.clear();

  for (int ii = 0; ii < list.inum; ++ii) {
    const int i = list.ilist[ii];
    if (seen[i] < 0) continue;
    inverse[i] = static_cast<int>(atoms.size());
    atoms.push_back(i);
  }
  const int n_local = static_cast<int>(atoms.size());
  for (int i = 0; i < nall; ++i) {
    if (inverse[i] >= 0 || seen[i] < 0) continue;
    inverse[i] = static_cast<int>(atoms.size());
    atoms.push_back(i);
  }

  for (int k = 0; k < n_local; ++k) {
    const int i = atoms[k];
    const size_t before = neighbors.size();
    for (int jj = 0; jj < list.numneigh[i]; ++jj) {
      const int j = inverse[list.firstneigh[i][jj] & NEIGHMASK];
      if (j >= 0) neighbors.push_back(j);
    }
    counts.push_back(static_cast<int>(neighbors.size() - before));
  }
  if (neighbors.empty()) neighbors.push_back(0);
}

std::string NepalHost::List::name(LAMMPS *lmp, int k) const
{
  const Atom *atom = lmp->atom;
  return atom->tag_enable ? "atom " + std::to_string(atom->tag[lammps_index(k)]) : "an atom";
}

std::string NepalHost::List::diagnose(LAMMPS *lmp) const
{
  for (int k = 0; k < n_total(); ++k) {
    const double *r = view.positions + 3 * k;
    if (std::isfinite(r[0]) && std::isfinite(r[1]) && std::isfinite(r[2])) continue;
    return name(lmp, k) + " is at " + std::to_string(r[0]) + " " + std::to_string(r[1]) + " " +
        std::to_string(r[2]);
  }
  double closest = HUGE_VAL;
  int a = -1, b = -1;
  for (int k = 0, start = 0; k < n_local(); start += view.counts[k], ++k) {
    const int *row = view.rows ? view.rows[k] : view.neighbors + start;
    for (int jj = 0; jj < view.counts[k]; ++jj) {
      const int j = row[jj] & NEIGHMASK;
      double rsq = 0.0;
      for (int d = 0; d < 3; ++d) {
        const double delta = view.positions[3 * k + d] - view.positions[3 * j + d];
        rsq += delta * delta;
      }
      if (rsq < closest) {
        closest = rsq;
        a = k;
        b = j;
      }
    }
  }
  if (a < 0) return "";
  const tagint *tag = lmp->atom->tag;
  if (lmp->atom->tag_enable && tag[lammps_index(a)] > tag[lammps_index(b)]) std::swap(a, b);
  char text[64];
  snprintf(text, sizeof(text), " are %.3g Angstrom apart", std::sqrt(closest));
  return "step " + std::to_string(lmp->update->ntimestep) + "; the closest pair, " +
      name(lmp, a) + " and " + name(lmp, b) + "," + text;
}

std::string NepalHost::List::with_ids(LAMMPS *lmp, const std::string &text) const
{
  static const std::string word = "atom ";
  std::string out;
  size_t from = 0;
  for (;;) {
    const size_t at = text.find(word, from);
    if (at == std::string::npos) break;
    size_t end = at + word.size();
    while (end < text.size() && end < at + word.size() + 10 && std::isdigit(text[end])) ++end;
    out += text.substr(from, at - from);
    const long long k =
        end > at + word.size() ? std::stoll(text.substr(at + word.size(), end - at - word.size())) : -1;
    out += (k >= 0 && k < n_total()) ? name(lmp, static_cast<int>(k)) : text.substr(at, end - at);
    from = end;
  }
  return out + text.substr(from);
}
