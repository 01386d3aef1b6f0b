/* ----------------------------------------------------------------------
   LAMMPS - Large-scale Atomic/Molecular Massively Parallel Simulator
   https://www.lammps.org/, Sandia National Laboratories
   LAMMPS development team: developers@lammps.org

   This software is distributed under the GNU General Public License,
   version 2 or (at your option) any later version.
   SPDX-License-Identifier: GPL-2.0-or-later
------------------------------------------------------------------------- */

#include "fix_nepal_step.h"

#include "atom.h"
#include "domain.h"
#include "error.h"
#include "force.h"
#include "kspace.h"
#include "lmptype.h"
#include "memory.h"
#include "modify.h"
#include "pair_nepal.h"
#include "update.h"
#include "utils.h"

#include <cmath>

using namespace LAMMPS_NS;
using namespace FixConst;

// fix ID all nepal/step N [rewinds]; with N = 0 it only sees runs end.

FixNEPALStep::FixNEPALStep(LAMMPS *lmp, int narg, char **arg) :
    Fix(lmp, narg, arg), pair(nullptr), safe(nullptr), box(), safe_step(-1), safe_atoms(0),
    pending(false), velocity_seed(0)
{
  if (narg < 4) error->all(FLERR, "fix nepal/step belongs to pair_style nepal: use its keyword every");
  nevery = utils::inumeric(FLERR, arg[3], false, lmp);
  if (narg == 4) return;
  force_reneighbor = 1;
  next_reneighbor = -1;
  maxexchange = WIDTH;
  grow_arrays(atom->nmax);
  for (int i = 0; i < atom->nlocal; ++i) set_arrays(i);
  atom->add_callback(Atom::GROW);
}

FixNEPALStep::~FixNEPALStep()
{
  if (safe && modify->get_fix_by_id(id)) atom->delete_callback(id, Atom::GROW);
  memory->destroy(safe);
}

int FixNEPALStep::setmask()
{
  return (nevery ? END_OF_STEP : 0) | (safe ? POST_INTEGRATE : 0);
}

void FixNEPALStep::init()
{
  if (!safe) return;
  if (!atom->tag_enable) error->all(FLERR, "pair_style nepal: rewinds needs atom IDs");
  if (!utils::strmatch(update->integrate_style, "^verlet"))
    error->all(FLERR, "pair_style nepal: rewinds needs run_style verlet");
  for (const char *style : {"^rigid", "^shake", "^rattle"})
    if (!modify->get_fix_by_style(style).empty())
      error->all(FLERR,
                 "pair_style nepal: rewinds draws velocities for each atom by itself, which "
                 "fix rigid, shake and rattle do not allow");
}

// The beginning of a run.

void FixNEPALStep::setup(int)
{
  if (pair && nevery) pair->examine(true, update->ntimestep % nevery == 0);
}

// That of a minimization is shown only: the run before it has seen it.

void FixNEPALStep::min_setup(int)
{
  if (pair && nevery) pair->examine(true, false);
}

void FixNEPALStep::end_of_step()
{
  if (pair) pair->examine(false, true);
}

// A minimizer tries many places in an iteration, and does not say which it keeps before it ends.

void FixNEPALStep::post_run()
{
  if (!pair) return;
  pair->end_run();
  if (nevery && update->whichflag == 2) pair->examine(false, true);
}

void FixNEPALStep::remember()
{
  double **x = atom->x, **v = atom->v;
  for (int i = 0; i < atom->nlocal; ++i) {
    for (int d = 0; d < 3; ++d) {
      safe[i][X + d] = x[i][d];
      safe[i][V + d] = v[i][d];
    }
    safe[i][IMAGE] = ubuf(atom->image[i]).d;
    safe[i][KNOWN] = 1.0;
  }
  for (int d = 0; d < 3; ++d) {
    box[d] = domain->boxlo[d];
    box[3 + d] = domain->boxhi[d];
  }
  box[6] = domain->xy;
  box[7] = domain->xz;
  box[8] = domain->yz;
  safe_step = update->ntimestep;
  safe_atoms = atom->natoms;
}

bool FixNEPALStep::go_back(uint64_t seed)
{
  int missing = 0, any = 0;
  for (int i = 0; i < atom->nlocal; ++i)
    if (safe[i][KNOWN] == 0.0) missing = 1;
  MPI_Allreduce(&missing, &any, 1, MPI_INT, MPI_MAX, world);
  if (any || !remembers() || atom->natoms != safe_atoms) return false;
  velocity_seed = seed;
  pending = true;
  // Lists, ghosts and forces are those of the frame when the next step is evaluated.
  next_reneighbor = update->ntimestep + 1;
  return true;
}

// The atoms have moved and are not yet on their way to other ranks: whatever the integrator has done with
// the forces of the frame that is left is undone here.

void FixNEPALStep::post_integrate()
{
  if (!pending) return;
  pending = false;
  restore_box();
  double **x = atom->x, **v = atom->v;
  for (int i = 0; i < atom->nlocal; ++i) {
    for (int d = 0; d < 3; ++d) {
      x[i][d] = safe[i][X + d];
      v[i][d] = safe[i][V + d];
    }
    atom->image[i] = static_cast<imageint>(ubuf(safe[i][IMAGE]).i);
  }
  draw_velocities();
}

void FixNEPALStep::restore_box()
{
  if (!domain->box_change) return;
  for (int d = 0; d < 3; ++d) {
    domain->boxlo[d] = box[d];
    domain->boxhi[d] = box[3 + d];
  }
  domain->xy = box[6];
  domain->xz = box[7];
  domain->yz = box[8];
  domain->set_global_box();
  domain->set_local_box();
  if (force->kspace) force->kspace->setup();
}

// A number of the normal distribution that depends on its arguments alone, not on ranks.

static double normal(uint64_t seed, uint64_t atom, uint64_t which)
{
  auto uniform = [&](uint64_t k) {
    // splitmix64
    uint64_t z = seed + 0x9e3779b97f4a7c15ULL * (6 * atom + 2 * which + k + 1);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return (static_cast<double>((z ^ (z >> 31)) >> 11) + 0.5) / 9007199254740992.0;
  };
  return std::sqrt(-2.0 * std::log(uniform(0))) * std::cos(2.0 * M_PI * uniform(1));
}

// New velocities with the momentum and the kinetic energy of the old ones. Components that are zero stay
// so: atoms that are held, and the third dimension of two.

void FixNEPALStep::draw_velocities()
{
  double **v = atom->v;
  auto mass = [&](int i) { return atom->rmass ? atom->rmass[i] : atom->mass[atom->type[i]]; };
  // Mass, momentum before and after, for each direction.
  double mine[9] = {}, all[9];
  for (int i = 0; i < atom->nlocal; ++i)
    for (int d = 0; d < 3; ++d) {
      const double old = safe[i][V + d], m = mass(i);
      if (old == 0.0) continue;
      v[i][d] = normal(velocity_seed, atom->tag[i], d) / std::sqrt(m);
      mine[d] += m;
      mine[3 + d] += m * old;
      mine[6 + d] += m * v[i][d];
    }
  MPI_Allreduce(mine, all, 9, MPI_DOUBLE, MPI_SUM, world);
  auto mean = [&](int which, int d) { return all[d] > 0.0 ? all[which + d] / all[d] : 0.0; };
  double energy[2] = {}, energies[2];
  for (int i = 0; i < atom->nlocal; ++i)
    for (int d = 0; d < 3; ++d) {
      if (safe[i][V + d] == 0.0) continue;
      energy[0] += mass(i) * std::pow(safe[i][V + d] - mean(3, d), 2);
      energy[1] += mass(i) * std::pow(v[i][d] - mean(6, d), 2);
    }
  MPI_Allreduce(energy, energies, 2, MPI_DOUBLE, MPI_SUM, world);
  const double factor = energies[1] > 0.0 ? std::sqrt(energies[0] / energies[1]) : 0.0;
  for (int i = 0; i < atom->nlocal; ++i)
    for (int d = 0; d < 3; ++d)
      if (safe[i][V + d] != 0.0) v[i][d] = mean(3, d) + factor * (v[i][d] - mean(6, d));
}

// The kept rows follow their atoms.

void FixNEPALStep::grow_arrays(int nmax)
{
  memory->grow(safe, nmax > 0 ? nmax : 1, WIDTH, "nepal/step:safe");
}

void FixNEPALStep::copy_arrays(int from, int to, int)
{
  for (int k = 0; k < WIDTH; ++k) safe[to][k] = safe[from][k];
}

void FixNEPALStep::set_arrays(int i)
{
  for (int k = 0; k < WIDTH; ++k) safe[i][k] = 0.0;
}

int FixNEPALStep::pack_exchange(int i, double *buf)
{
  for (int k = 0; k < WIDTH; ++k) buf[k] = safe[i][k];
  return WIDTH;
}

int FixNEPALStep::unpack_exchange(int i, double *buf)
{
  for (int k = 0; k < WIDTH; ++k) safe[i][k] = buf[k];
  return WIDTH;
}

double FixNEPALStep::memory_usage()
{
  return safe ? static_cast<double>(atom->nmax) * WIDTH * sizeof(double) : 0.0;
}
