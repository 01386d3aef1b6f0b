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
#include "citeme.h"
#include "comm.h"
#include "domain.h"
#include "error.h"
#include "force.h"
#include "memory.h"
#include "neigh_list.h"
#include "neighbor.h"
#include "platform.h"
#include "timer.h"
#include "update.h"
#include "utils.h"

#include <algorithm>
#include <cerrno>
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
    Pair(lmp), model(nullptr), active_set(nullptr), calculator(nullptr), cutoff(0.0),
    has_rho(false), known_refused(0), reverse_width(0)
{
  NepalHost::check_library(lmp);
  single_enable = 0;
  restartinfo = 0;
  one_coeff = 1;
  manybody_flag = 1;
  no_virial_fdotr_compute = 1;
  centroidstressflag = CENTROID_AVAIL;
  // With newton off: forces, and nine numbers of the virial when they are asked for.
  comm_reverse_off = 12;

  nextra = NEXTRA;
  pvector = extra;
  for (auto &x : extra) x = 0.0;

  const char *names[NFIELDS] = {"gamma", "rho", "grade"};
  for (int k = 0; k < NFIELDS; ++k)
    fields[k] = {names[k], std::string(names[k]) + "_flag", 0, std::vector<double>(1, 0.0)};
  if (lmp->citeme) lmp->citeme->add(cite_nep);
}

PairNEPAL::~PairNEPAL()
{
  clear();
  if (allocated) {
    memory->destroy(setflag);
    memory->destroy(cutsq);
  }
}

void PairNEPAL::clear()
{
  nepal_calculator_free(calculator);
  nepal_active_set_free(active_set);
  nepal_model_free(model);
  calculator = nullptr;
  active_set = nullptr;
  model = nullptr;
}

// Words that follow a keyword, with errors that name it.

namespace {
class Words {
 public:
  Words(LAMMPS *lmp, int narg, char **arg) : lmp(lmp), narg(narg), arg(arg), next(0) {}

  bool more() const { return next < narg; }

  std::string key()
  {
    name = arg[next++];
    return name;
  }
  std::string word()
  {
    if (next == narg) fail("lacks its value");
    return arg[next++];
  }
  double positive()
  {
    const std::string text = word();
    const double value = utils::numeric(FLERR, text, false, lmp);
    if (!(value > 0.0) || !std::isfinite(value)) fail("needs a positive number; found " + text);
    return value;
  }
  bigint count(bigint least)
  {
    const std::string text = word();
    const bigint value = utils::bnumeric(FLERR, text, false, lmp);
    if (value < least)
      fail("needs a whole number of at least " + std::to_string(least) + "; found " + text);
    return value;
  }
  bool logical() { return utils::logical(FLERR, word(), false, lmp) != 0; }

  [[noreturn]] void fail(const std::string &text)
  {
    lmp->error->all(FLERR, "pair_style nepal: the keyword " + name + " " + text);
  }

 private:
  LAMMPS *lmp;
  int narg;
  char **arg;
  int next;
  std::string name;
};

// Number of this rank among those on its machine: one GPU each.

int rank_on_node(MPI_Comm world)
{
  MPI_Comm node;
  int rank;
  MPI_Comm_split_type(world, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &node);
  MPI_Comm_rank(node, &rank);
  MPI_Comm_free(&node);
  return rank;
}
}    // namespace

void PairNEPAL::settings(int narg, char **arg)
{
  set = Settings();
  set.threads = comm->nthreads > 0 ? comm->nthreads : 1;
  bool fragment_words = false;
  Words words(lmp, narg, arg);
  while (words.more()) {
    const std::string key = words.key();
    if (key == "threads") {
      set.threads = static_cast<int>(words.count(1));
    } else if (key == "backend") {
      const std::string name = words.word();
      if (name == "cpu")
        set.backend = NEPAL_BACKEND_CPU;
      else if (name == "reference")
        set.backend = NEPAL_BACKEND_REFERENCE;
      else if (name == "cuda")
        set.backend = NEPAL_BACKEND_CUDA;
      else
        words.fail("is cpu, reference or cuda; found " + name);
    } else if (key == "precision") {
      const std::string name = words.word();
      if (name != "f64" && name != "mixed") words.fail("is f64 or mixed; found " + name);
      set.precision = name == "mixed" ? NEPAL_PRECISION_MIXED : NEPAL_PRECISION_F64;
    } else if (key == "device") {
      const std::string which = words.word();
      set.backend = NEPAL_BACKEND_CUDA;
      if (which == "auto") {
        // Without a device the calculator says what is missing.
        size_t count = 0;
        const bool any = nepal_device_count(&count) == NEPAL_STATUS_SUCCESS;
        set.device = any ? rank_on_node(world) % static_cast<int>(count) : 0;
      } else {
        set.device = utils::inumeric(FLERR, which, false, lmp);
      }
      if (set.device < 0) words.fail("is auto or the number of a GPU; found " + which);
    } else if (key == "every") {
      set.every = words.count(1);
    } else if (key == "save") {
      set.fragment.save = words.positive();
      fragment_words = true;
    } else if (key == "break") {
      set.stop = words.positive();
    } else if (key == "fragments") {
      set.folder = words.word();
    } else if (key == "optimise" || key == "optimize") {
      if (words.logical()) set.fragment.flags |= NEPAL_FRAGMENT_OPTIMISE;
      fragment_words = true;
    } else if (key == "molecules") {
      if (words.logical()) set.fragment.flags |= NEPAL_FRAGMENT_KEEP_MOLECULES;
      fragment_words = true;
    } else if (key == "max_atoms") {
      set.fragment.max_atoms = static_cast<size_t>(words.count(1));
      fragment_words = true;
    } else if (key == "max_fragments") {
      set.fragment.max_fragments = static_cast<uint32_t>(words.count(1));
      fragment_words = true;
    } else if (key == "max_size") {
      set.fragment.max_size = words.positive();
      fragment_words = true;
    } else if (key == "core") {
      set.fragment.core_radius = words.positive();
      fragment_words = true;
    } else if (key == "reach") {
      set.reach = words.positive();
      fragment_words = true;
    } else if (key == "seed") {
      set.fragment.seed = static_cast<uint64_t>(words.count(0));
      fragment_words = true;
    } else {
      error->all(FLERR,
                 "pair_style nepal: unknown keyword " + key +
                     "; known are threads, backend, precision, device, every, break, fragments, and with "
                     "fragments save, optimise, molecules, max_atoms, max_fragments, max_size, core, "
                     "reach, seed (the model file belongs to pair_coeff: 'pair_coeff * * nep.txt Si')");
    }
  }
  if (fragment_words && set.folder.empty())
    error->all(FLERR,
               "pair_style nepal: save, optimise, molecules, max_atoms, max_fragments, max_size, "
               "core, reach and seed are about fragments: say 'fragments DIR' as well");
  const bool watching = set.stop > 0.0 || !set.folder.empty();
  if (watching && set.every == 0) set.every = 10;
  if (set.stop > 0.0 && set.fragment.save > set.stop)
    error->all(FLERR, "pair_style nepal: break must not be below save, or nothing is ever saved");
}

void PairNEPAL::allocate()
{
  const int n = atom->ntypes;
  if (allocated) {
    memory->destroy(setflag);
    memory->destroy(cutsq);
  }
  allocated = 1;
  memory->create(setflag, n + 1, n + 1, "pair:setflag");
  memory->create(cutsq, n + 1, n + 1, "pair:cutsq");
  for (int i = 0; i <= n; ++i)
    for (int j = 0; j <= n; ++j) setflag[i][j] = 0;
}

// pair_coeff * * nep.txt [set.asi] El1 El2 ... NULL

void PairNEPAL::coeff(int narg, char **arg)
{
  NepalHost::check_units(lmp, "pair_style nepal");
  const int ntypes = atom->ntypes;
  const std::string usage = "pair_coeff * * nep.txt [set.asi] and one element (or NULL) for each of the " +
      std::to_string(ntypes) + " atom types";
  if (narg < 3 || strcmp(arg[0], "*") != 0 || strcmp(arg[1], "*") != 0)
    error->all(FLERR, "pair_style nepal: expected " + usage);
  const int extra = narg - 3 - ntypes;
  if (extra != 0 && extra != 1)
    error->all(FLERR,
               "pair_style nepal: expected " + usage + "; found " + std::to_string(narg - 3) +
                   " words after the model");

  clear();
  allocate();
  make_calculator(arg[2], extra ? arg[3] : "");

  types.assign(ntypes + 1, -1);
  for (int i = 1; i <= ntypes; ++i) {
    const char *symbol = arg[2 + extra + i];
    if (strcmp(symbol, "NULL") == 0) continue;
    int32_t type = -1;
    NepalHost::check(lmp, nepal_model_type(model, symbol, &type),
                     "atom type " + std::to_string(i) + " of pair_coeff");
    types[i] = type;
  }
  set_fragments();

  int count = 0;
  for (int i = 1; i <= ntypes; ++i)
    for (int j = i; j <= ntypes; ++j)
      if (types[i] >= 0 && types[j] >= 0) {
        setflag[i][j] = 1;
        ++count;
      }
  if (count == 0) error->all(FLERR, "pair_style nepal: all elements of pair_coeff are NULL");
}

// The content of a file, which one rank reads. Files are found as LAMMPS finds potentials: as given,
// or in LAMMPS_POTENTIALS.

static std::string read_file(LAMMPS *lmp, const std::string &name)
{
  const bool reads = lmp->comm->me == 0;
  std::string content;
  long long size = 0;
  int trouble = 0;
  if (reads) {
    std::string path = utils::get_potential_file_path(name);
    if (path.empty()) path = name;
    errno = 0;
    FILE *file = platform::path_is_directory(path) ? nullptr : fopen(path.c_str(), "rb");
    trouble = file ? 0 : (errno ? errno : EISDIR);
    std::vector<char> block(1 << 20);
    size_t n;
    while (file && (n = fread(block.data(), 1, block.size(), file)) > 0)
      content.append(block.data(), n);
    if (file && ferror(file)) trouble = errno ? errno : EIO;
    if (file) fclose(file);
    size = static_cast<long long>(content.size());
  }
  MPI_Bcast(&trouble, 1, MPI_INT, 0, lmp->world);
  if (trouble)
    lmp->error->all(FLERR,
                    "nepal: pair_coeff: cannot read " + name + ": " + std::strerror(trouble));
  MPI_Bcast(&size, 1, MPI_LONG_LONG, 0, lmp->world);
  content.resize(static_cast<size_t>(size));
  constexpr long long part = 1 << 30;
  for (long long from = 0; from < size; from += part)
    MPI_Bcast(&content[from], static_cast<int>(std::min(part, size - from)), MPI_CHAR, 0,
              lmp->world);
  return content;
}

void PairNEPAL::make_calculator(const std::string &model_name, const std::string &set_name)
{
  std::string content = read_file(lmp, model_name);
  NepalHost::check(lmp,
                   nepal_model_parse(content.data(), content.size(), model_name.c_str(), &model),
                   "pair_coeff");
  NepalHost::check(lmp, nepal_model_cutoff(model, &cutoff), "pair_coeff");

  nepal_calculator_options_t options = NEPAL_CALCULATOR_OPTIONS_INIT;
  options.backend = set.backend;
  options.threads = static_cast<uint32_t>(set.threads);
  options.device = static_cast<uint32_t>(set.device);
  options.precision = set.precision;
  NepalHost::check(lmp, nepal_calculator_new(model, &options, &calculator), "pair_style");

  std::string about = "no active set";
  has_rho = false;
  if (!set_name.empty()) {
    content = read_file(lmp, set_name);
    NepalHost::check(lmp,
                     nepal_active_set_parse(content.data(), content.size(), set_name.c_str(), model,
                                            &active_set),
                     "pair_coeff");
    NepalHost::check(lmp, nepal_calculator_set_active_set(calculator, active_set), "pair_coeff");
    uint32_t kind = 0;
    NepalHost::check(lmp, nepal_active_set_kind(active_set, &kind), "pair_coeff");
    has_rho = kind == NEPAL_GRADE_TWO_PART;
    about = "active set " + set_name + (has_rho ? " (two-part grade)" : " (compatible grade)");
  }
  char name[32] = "";
  size_t needed = 0;
  NepalHost::check(lmp, nepal_calculator_backend(calculator, name, sizeof(name), &needed),
                   "pair_style");
  if (comm->me == 0) {
    char reach[32];
    snprintf(reach, sizeof(reach), "%g", cutoff);
    utils::logmesg(lmp,
                   "nepal: model " + model_name + ", cutoff " + reach + " Angstrom, backend " + name +
                       (set.precision == NEPAL_PRECISION_MIXED ? " in mixed precision, " : ", ") +
                       std::to_string(set.threads) +
                       (set.threads == 1 ? " thread" : " threads") +
                       " per rank, " + about + "\n");
  }
}

// MPI as libnepal wants it.

static nepal_status_t gather(void *user, const void *send, size_t bytes, void *receive)
{
  const int n = static_cast<int>(bytes);
  const auto world = *static_cast<MPI_Comm *>(user);
  return MPI_Allgather(send, n, MPI_BYTE, receive, n, MPI_BYTE, world) == MPI_SUCCESS ? 0 : -1;
}

static nepal_status_t broadcast(void *user, int32_t root, void *data, size_t bytes)
{
  const auto world = *static_cast<MPI_Comm *>(user);
  return MPI_Bcast(data, static_cast<int>(bytes), MPI_BYTE, root, world) == MPI_SUCCESS ? 0 : -1;
}

// Fragments go to one file for each rank, which it appends to.

void PairNEPAL::set_fragments()
{
  if (set.folder.empty()) return;
  if (comm->me == 0 && !platform::path_is_directory(set.folder)) platform::mkdir(set.folder);
  MPI_Barrier(world);

  nepal_ranks_t ranks = NEPAL_RANKS_INIT;
  ranks.rank = comm->me;
  ranks.n_ranks = comm->nprocs;
  ranks.gather = gather;
  ranks.broadcast = broadcast;
  ranks.user_data = &world;
  NepalHost::check(lmp, nepal_calculator_set_ranks(calculator, &ranks), "fragments");

  const std::string path =
      set.folder + "/fragments." + std::to_string(comm->me) + ".xyz";
  NepalHost::check(lmp,
                   nepal_calculator_set_fragment_file(calculator, &set.fragment, path.c_str()),
                   "fragments");

  // A crystal is cut along its own translations: those that part two cores, and where they carry the
  // target's surroundings to, must be seen. The odd digits keep the sites of a perfect crystal off
  // the limit.
  const double core = set.fragment.core_radius > 0.0 ? set.fragment.core_radius : cutoff + 0.05;
  if (set.reach == 0.0) set.reach = 3.0 * core + 0.0137;
  if (set.reach < core + 1.0)
    error->all(FLERR,
               "pair_style nepal: reach must be at least the core radius and 1 Angstrom, " +
                   std::to_string(core + 1.0));
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
  if (neighbor->exclude && comm->me == 0)
    error->warning(FLERR,
                   "pair_style nepal: neigh_modify exclude takes neighbors out of the environments, "
                   "which changes the energies of all atoms around");
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

double PairNEPAL::init_one(int i, int j)
{
  if (setflag[i][j] == 0) error->all(FLERR, "All pair coeffs are not set");
  return cutoff;
}

// Fragments are cut from owned and ghost atoms: there must be enough of them.

void PairNEPAL::setup()
{
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

// True on the steps of `every`.

bool PairNEPAL::step_is_due() const
{
  return set.every > 0 && update->ntimestep % set.every == 0;
}

void PairNEPAL::compute(int eflag, int vflag)
{
  ev_init(eflag, vflag);
  const bool due = step_is_due();
  bool grades = due;
  for (const auto &field : fields)
    if (field.flag) grades = true;
  if (grades && !active_set)
    error->all(FLERR,
               "pair_style nepal: grades need an active set: 'pair_coeff * * nep.txt set.asi ...'");

  atoms.update(lmp, list, types, due && !set.folder.empty());
  atoms.view.known = set.folder.empty() ? 0.0 : set.reach;
  const size_t n_local = atoms.view.n_local;
  const size_t n_total = atoms.view.n_total;

  double energy = 0.0, total_virial[9];
  nepal_results_t results = NEPAL_RESULTS_INIT;
  results.energy = &energy;
  if (!due) results.flags |= NEPAL_RESULTS_NO_FRAGMENTS;
  const bool in_place = atoms.direct && force->newton_pair;
  if (in_place) {
    results.flags |= NEPAL_RESULTS_ADD_FORCES;
    results.forces = n_total ? atom->f[0] : nullptr;
  } else {
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
  double **places[NFIELDS] = {&results.gamma, &results.rho, &results.grade};
  if (grades) {
    scratch.resize(NFIELDS * n_local + 1);
    for (int k = 0; k < NFIELDS; ++k) *places[k] = scratch.data() + k * n_local;
  }

  const nepal_status_t status = nepal_calculator_compute_list(calculator, &atoms.view, &results);
  NepalHost::check(lmp, status, "forces", &atoms);

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

  if (grades) {
    keep_grades();
    summarise(due);
  }
}

// Where `fix pair` and others find them.

void PairNEPAL::keep_grades()
{
  const size_t n_local = atoms.view.n_local;
  for (int k = 0; k < NFIELDS; ++k) {
    auto &values = fields[k].values;
    values.assign(atom->nmax > 0 ? atom->nmax : 1, 0.0);
    for (size_t i = 0; i < n_local; ++i)
      values[atoms.lammps_index(i)] = scratch[k * n_local + i];
    fields[k].flag = 0;
  }
}

// What `compute pair` shows, and whether the run goes on. That compute sums over ranks.

void PairNEPAL::summarise(bool due)
{
  const size_t n_local = atoms.view.n_local;
  double mine[NFIELDS], worst[NFIELDS];
  int where = -1;
  for (int k = 0; k < NFIELDS; ++k) {
    mine[k] = 0.0;
    for (size_t i = 0; i < n_local; ++i)
      if (scratch[k * n_local + i] > mine[k]) {
        mine[k] = scratch[k * n_local + i];
        if (k == GRADE) where = static_cast<int>(i);
      }
  }
  MPI_Allreduce(mine, worst, NFIELDS, MPI_DOUBLE, MPI_MAX, world);
  if (comm->me == 0) {
    extra[0] = worst[GRADE];
    extra[1] = worst[GAMMA];
    extra[2] = worst[RHO];
  }
  if (!due) return;

  if (!set.folder.empty()) {
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
  if (set.stop > 0.0 && worst[GRADE] > set.stop)
    stop_run(worst[GRADE], mine[GRADE] == worst[GRADE] ? where : -1);
}

// As `fix halt` with `error soft` does: the script goes on after the run.

void PairNEPAL::stop_run(double worst, int index)
{
  const int i = index < 0 ? -1 : atoms.lammps_index(index);
  bigint tag = (i >= 0 && atom->tag_enable) ? static_cast<bigint>(atom->tag[i]) : 0, largest;
  MPI_Allreduce(&tag, &largest, 1, MPI_LMP_BIGINT, MPI_MAX, world);
  timer->force_timeout();
  if (comm->me != 0) return;
  char text[300];
  snprintf(text, sizeof(text),
           "nepal: the grade of atom %lld is %.4g at step %lld, above break %.4g: the run ends here, "
           "and so do later ones until 'timer timeout off'\n",
           static_cast<long long>(largest), worst, static_cast<long long>(update->ntimestep),
           set.stop);
  utils::logmesg(lmp, text);
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
  for (auto &field : fields)
    if (field.flag_name == name) return &field.flag;
  return nullptr;
}

void *PairNEPAL::extract_peratom(const char *name, int &ncol)
{
  ncol = 0;
  for (auto &field : fields) {
    if (strcmp(field.name, name) != 0) continue;
    if (calculator && !active_set)
      error->all(FLERR,
                 std::string("pair_style nepal: ") + name +
                     " needs an active set: 'pair_coeff * * nep.txt set.asi ...'");
    if (&field == &fields[RHO] && calculator && !has_rho)
      error->all(FLERR,
                 "pair_style nepal: this active set has no rho (it is of the compatible kind, as "
                 ".asi files are); ask for gamma, or build the set without --compat");
    return field.values.data();
  }
  return nullptr;
}

double PairNEPAL::memory_usage()
{
  double bytes = Pair::memory_usage();
  for (const auto *buffer : {&energies, &forces, &virials, &scratch, &reverse})
    bytes += static_cast<double>(buffer->capacity() * sizeof(double));
  for (const auto &field : fields)
    bytes += static_cast<double>(field.values.capacity() * sizeof(double));
  return bytes;
}
