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
#include "memory.h"
#include "platform.h"
#include "utils.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>

using namespace LAMMPS_NS;

// What the pair style is told in the input: pair_style, pair_coeff, and what they set up.

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
  bool fragment_words = false, exact = false;
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
      exact = name == "f64";
      set.precision = exact ? NEPAL_PRECISION_F64 : NEPAL_PRECISION_MIXED;
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
    } else if (key == "rewinds") {
      set.rewinds = words.count(0);
    } else if (key == "fragments") {
      set.folder = words.word();
    } else if (key == "posterior") {
      set.posterior = words.word();
    } else if (key == "temperature") {
      set.temperature = words.word();
    } else if (key == "dftd3") {
      set.functional = words.word();
      set.pairs_within = words.positive();
      set.counted_within = words.positive();
    } else if (key == "charge") {
      set.charge = utils::numeric(FLERR, words.word(), false, lmp);
    } else if (key == "mesh_error") {
      const std::string word = words.word();
      set.mesh_error = word == "ewald" ? -1.0 : utils::numeric(FLERR, word, false, lmp);
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
                     "; known are threads, backend, precision, device, every, break, rewinds, posterior, temperature, charge, dftd3, "
                     "mesh_error, fragments, and with "
                     "fragments save, optimise, molecules, max_atoms, max_fragments, max_size, core, "
                     "reach, seed (the model file belongs to pair_coeff: 'pair_coeff * * nep.txt Si')");
    }
  }
  // Most GPUs do doubles at a small part of their speed.
  if (set.backend == NEPAL_BACKEND_CUDA && !exact) set.precision = NEPAL_PRECISION_MIXED;
  if (fragment_words && set.folder.empty())
    error->all(FLERR,
               "pair_style nepal: save, optimise, molecules, max_atoms, max_fragments, max_size, "
               "core, reach and seed are about fragments: say 'fragments DIR' as well");
  if (set.rewinds > 0 && set.stop == 0.0)
    error->all(FLERR, "pair_style nepal: rewinds is how often a run goes back above break: say 'break X' as well");
  const bool watching = set.stop > 0.0 || !set.folder.empty();
  if (watching && set.every == 0) set.every = 10;
  if (set.stop > 0.0 && set.fragment.save > set.stop)
    error->all(FLERR, "pair_style nepal: break must not be below save, or nothing is ever saved");
  // That of libnepal, by which is seen whether there is anything to cut.
  if (set.fragment.save == 0.0) set.fragment.save = 1.5;
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
  if (is_long_ranged || !set.functional.empty() || !set.folder.empty()) set_ranks();
  set_fragments();
  watch_steps();

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

  char kind[64] = "";
  size_t length = 0;
  NepalHost::check(lmp, nepal_model_kind(model, kind, sizeof(kind), &length), "pair_coeff");
  has_charges = strstr(kind, "_charge") != nullptr;
  is_long_ranged = has_charges || strstr(kind, "_vdw") != nullptr;
  needs_temperature = strstr(kind, "_temperature") != nullptr;

  nepal_calculator_options_t options = NEPAL_CALCULATOR_OPTIONS_INIT;
  options.backend = set.backend;
  options.threads = static_cast<uint32_t>(set.threads);
  options.device = static_cast<uint32_t>(set.device);
  options.precision = set.precision;
  NepalHost::check(lmp, nepal_calculator_new(model, &options, &calculator), "pair_style");
  const double far = std::max(set.pairs_within, set.counted_within);
  if (far > 0.0)
    NepalHost::check(lmp,
                     nepal_calculator_set_dftd3(calculator, set.functional.c_str(), set.pairs_within,
                                                set.counted_within),
                     "the keyword dftd3");

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
    has_rho = kind != NEPAL_GRADE_COMPAT;
    const char *form = kind == NEPAL_GRADE_COMPAT ? "compatible" : "ridge";
    about = "active set " + set_name + " (" + form + " grade)";
  }
  if (!set.posterior.empty()) {
    content = read_file(lmp, set.posterior);
    NepalHost::check(lmp,
                     nepal_posterior_parse(content.data(), content.size(), set.posterior.c_str(),
                                           model, &posterior),
                     "the keyword posterior");
    NepalHost::check(lmp, nepal_calculator_set_posterior(calculator, posterior), "pair_style");
    about += ", posterior " + set.posterior;
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

// Fragments go to one file for each rank, which it appends to.

void PairNEPAL::set_fragments()
{
  if (set.folder.empty()) return;
  if (comm->me == 0 && !platform::path_is_directory(set.folder)) platform::mkdir(set.folder);
  MPI_Barrier(world);

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
