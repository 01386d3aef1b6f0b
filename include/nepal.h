// SPDX-License-Identifier: MIT OR Apache-2.0
//
// nepal: neuroevolution potentials (NEP) with extrapolation grades.
//
// Generated from src/capi by `NEPAL_BLESS=1 cargo test --test abi`; do not edit.
//
// Conventions, which hold everywhere unless a function says otherwise
//
// Status. Every function returns a nepal_status_t, 0 for success; nepal_last_error has the text for
// the calling thread. No function prints (but for the one line of a caught internal panic), exits,
// or lets a panic out.
//
// Arguments come in the order object, inputs, outputs. NULL is an error where it is not allowed by
// name. Handles that a function makes are set to NULL first and filled on success only; results are
// written on success only. Nothing that you hand over is kept after the call, and no pointer into
// the library is handed out but to callbacks, for the time of the callback.
//
// Handles. _load, _parse and _new make one, _free frees it and accepts NULL. A function that takes
// a const handle may be called by any number of threads at once; one that takes another handle by
// one thread at a time, whichever it is. Objects keep what they need of those that they were made
// from, so the order of freeing is yours.
//
// Structs begin with their own size and are set up with their ..._INIT macro, which zeroes the rest;
// zero means the default. A program built with an older header runs with a newer library. One built
// with a newer header runs with an older library unless it uses a field that the library lacks.
//
// Text comes out as (buf, capacity, needed): buf receives as much as fits, always ended by NUL, and
// needed the bytes that the whole takes, its NUL included. Text is UTF-8; file names are bytes.
//
// Units are those of LAMMPS metal: Å, eV, eV/Å, ps, K. Arrays are C order. Atoms and types
// count from 0. No atoms at all are a legal system: sums are zero and no array is read.


#ifndef NEPAL_H
#define NEPAL_H

#include <stddef.h>
#include <stdint.h>

/// Values that set up a struct: `nepal_results_t results = NEPAL_RESULTS_INIT;` Since: 0.1.
#define NEPAL_CALCULATOR_OPTIONS_INIT {sizeof(nepal_calculator_options_t), 0, 0, 0, 0}
/// As above. Since: 0.1.
#define NEPAL_ACTIVE_SET_OPTIONS_INIT {sizeof(nepal_active_set_options_t), 0, 0, 0, 0, 0}
/// As above. Since: 0.1.
#define NEPAL_STRUCTURE_INIT \
  {sizeof(nepal_structure_t), 0, NULL, NULL, NULL, NULL, {0, 0, 0}, 0, NULL, 0}
/// As above. Since: 0.1.
#define NEPAL_HOST_LIST_INIT \
  {sizeof(nepal_host_list_t), 0, 0, NULL, NULL, NULL, NULL, NULL, 0, 0, NULL, 0, 0, 0, NULL}
/// As above. Since: 0.1.
#define NEPAL_DEVICE_ATOMS_INIT \
  {sizeof(nepal_device_atoms_t), 0, NULL, {0, 0}, NULL, NULL, {0, 0, 0}, 0, NULL, 0, NULL, NULL, {0, 0}, 0, 0, 0, NULL}
/// As above. Since: 0.1.
#define NEPAL_DEVICE_RESULTS_INIT \
  {sizeof(nepal_device_results_t), 0, 0, NULL, NULL, {0, 0}, NULL, {0, 0}, NULL, NULL, NULL, NULL, NULL, NULL, \
   NULL, NULL, NULL, NULL, NULL, NULL, 0.0, 0.0}
/// As above. Since: 0.1.
#define NEPAL_RANKS_INIT {sizeof(nepal_ranks_t), 0, 0, NULL, NULL, NULL, NULL, NULL}
/// As above. Since: 0.1.
#define NEPAL_FRAGMENT_OPTIONS_INIT {sizeof(nepal_fragment_options_t), 0, 0, 0, 0, 0, 0, 0}
/// As above. Since: 0.1.
#define NEPAL_RESULTS_INIT \
  {sizeof(nepal_results_t), 0, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, \
   NULL, NULL, NULL, NULL, NULL, NULL, 0.0, 0.0, 0.0, NULL, NULL, NULL}


/// Version of the header: 10000 major + 100 minor + patch. Since: 0.1.
#define NEPAL_VERSION_NUMBER 200

/// Version of the ABI that the header describes. A library with another one is refused by the
/// bindings; additions do not change it. Since: 0.1.
#define NEPAL_ABI_VERSION 2

/// The public form: γ = max|B A⁻¹| as `.asi` files define it; there is no ρ. Directions that never
/// occurred in training count as safe. Since: 0.1.
#define NEPAL_GRADE_COMPAT 1

/// nepal's form of version 0.1, whose scale drifted with the data; refused since 0.2. Since: 0.1.
#define NEPAL_GRADE_TWO_PART 2

/// nepal's own form, the default: one formula for known and unknown directions, on one scale for all
/// elements and amounts of data. Since: 0.2.
#define NEPAL_GRADE_RIDGE 3

/// The fastest backend of this build that needs no device. Since: 0.1.
#define NEPAL_BACKEND_DEFAULT 0

/// Plain double precision on one thread, the one the others are held against. Since: 0.1.
#define NEPAL_BACKEND_REFERENCE 1

/// Threads on the processor. Since: 0.1.
#define NEPAL_BACKEND_CPU 2

/// An NVIDIA GPU. Since: 0.1.
#define NEPAL_BACKEND_CUDA 3

/// Double precision throughout. Since: 0.1.
#define NEPAL_PRECISION_F64 0

/// Positions subtracted and results summed in double, the work on pairs and neurons in single
/// precision: about twice as fast on `NEPAL_BACKEND_CPU`. Since: 0.1.
#define NEPAL_PRECISION_MIXED 1

/// Bits of a neighbour index that LAMMPS uses for the atom; the others mark special bonds.
/// Since: 0.1.
#define NEPAL_NEIGHBOR_MASK_LAMMPS 536870911

/// Forces are added to what the array holds instead of replacing it. Since: 0.1.
#define NEPAL_RESULTS_ADD_FORCES 1

/// Grades only: the call cuts no fragments although a callback or file is set. Since: 0.1.
#define NEPAL_RESULTS_NO_FRAGMENTS 2

/// `temperature` is given. Since: 0.1.
#define NEPAL_RESULTS_TEMPERATURE 4

/// γ: the length of the coefficients c, in compatible sets the largest |c|. Since: 0.1.
#define NEPAL_MEASURE_GAMMA 1

/// ρ: the part of the features outside the active rows; infinite for compatible sets. Since: 0.1.
#define NEPAL_MEASURE_RHO 2

/// The grade as it is reported: √(γ² + ρ²), in compatible sets γ. Since: 0.1.
#define NEPAL_MEASURE_TOTAL 3

/// A smooth form of the grade: of compatible sets ‖c‖_p, where `exponent` is p, at least 2; in the ridge form
/// the grade itself, which is smooth. Since: 0.1.
#define NEPAL_MEASURE_SMOOTH 4

/// Exact grades of all atoms, the default. Since: 0.1.
#define NEPAL_EFFORT_FULL 0

/// Exact grades of all atoms above a threshold; the others, all at most the threshold, get a bound of theirs.
/// Since: 0.1.
#define NEPAL_EFFORT_ABOVE 1

/// The same as `NEPAL_EFFORT_ABOVE`, which is as cheap as this was in version 0.1. Since: 0.1.
#define NEPAL_EFFORT_LIKELY 2

/// Relax the boundary of each fragment and minimise its grade before it is handed over. Takes
/// hundreds of force evaluations of the fragment, during which the caller waits. Since: 0.1.
#define NEPAL_FRAGMENT_OPTIMISE 1

/// Keep or drop molecules (atoms linked by covalent distances) as a whole. Since: 0.1.
#define NEPAL_FRAGMENT_KEEP_MOLECULES 2

/// Keep only what the angular descriptors of the target see, and 0.5 Å more, exactly as it is; with
/// `NEPAL_FRAGMENT_OPTIMISE` the rest moves as long as the target's grade changes by 5 % at most.
/// Smaller fragments where the radial cutoff is the longer one. Since: 0.1.
#define NEPAL_FRAGMENT_ANGULAR 4

/// As `NEPAL_FRAGMENT_ANGULAR`, for what is within 0.7 of the cutoff. Since: 0.1.
#define NEPAL_FRAGMENT_TOLERANT 8

/// Types may differ from those of the calculator's last call. Since: 0.1.
#define NEPAL_DEVICE_NEW_TYPES 1

/// No atom moved by 0.3 Å or more since the last call without this flag: neighbour lists that were made
/// at that call stay, and without grades the host waits for nothing. Since: 0.1.
#define NEPAL_DEVICE_STILL 2

/// The host goes on without what it can hear later; `nepal_calculator_finish_device` makes results
/// final. Since: 0.1.
#define NEPAL_DEVICE_NO_WAIT 4

/// The device looks whether types differ from those of the calculator's last call, and the host waits to
/// hear of it. Since: 0.1.
#define NEPAL_DEVICE_COMPARE_TYPES 8

/// Among the flags of results: a row of virials is xx yy zz xy xz yz yx zx zy. Since: 0.1.
#define NEPAL_DEVICE_DIAGONAL_FIRST 2

/// What a model was trained on, boiled down to what grades need; never changes.
///
/// Threads and ownership: any number of threads may use one set at once. Calculators keep what they
/// need of it: free it when you no longer need it yourself.
///
/// Since: 0.1.
typedef struct nepal_active_set_t nepal_active_set_t;

/// A model on a backend, with the buffers of its last call.
///
/// Threads and ownership: one thread at a time, any thread; a second call meanwhile is refused.
/// Keeps what it needs of the model and the active set, which may be freed before it. After `fork` it
/// serves parent and child, each for itself, with threads that the child makes at its first call; on a
/// GPU it is refused in the child.
///
/// Since: 0.1.
typedef struct nepal_calculator_t nepal_calculator_t;

/// A potential, read from a `nep.txt`; never changes.
///
/// Threads and ownership: any number of threads may use one model at once. Calculators and active
/// sets keep what they need of it: free it when you no longer need it yourself.
///
/// Since: 0.1.
typedef struct nepal_model_t nepal_model_t;

/// Deviations of a model's forces and energies, fitted and calibrated with its training data; never
/// changes.
///
/// Threads and ownership: any number of threads may use one posterior at once. Calculators keep what
/// they need of it: free it when you no longer need it yourself.
///
/// Since: 0.2.
typedef struct nepal_posterior_t nepal_posterior_t;

/// What every function returns: `NEPAL_STATUS_SUCCESS`, a positive `NEPAL_STATUS_...`, or the
/// negative number with which the caller's own callback stopped the call.
///
/// Since: 0.1.
typedef int32_t nepal_status_t;

/// Atoms in a cell; nepal builds the neighbour list. Set up with `NEPAL_STRUCTURE_INIT`.
///
/// Units: Å. Ownership: nothing is kept after the call.
///
/// Since: 0.1.
typedef struct nepal_structure_t {
  /// Size of this struct, set by the macro.
  size_t struct_size;
  /// Number of atoms; with 0 no array is read.
  size_t n_atoms;
  /// Positions [n_atoms][3], finite; they may lie outside the cell.
  const double *positions;
  /// Types [n_atoms], 0-based in the order of the model's elements. Give these or
  /// `atomic_numbers`, the other NULL.
  const int32_t *types;
  /// Atomic numbers [n_atoms], if `types` is NULL.
  const int32_t *atomic_numbers;
  /// Cell [3][3], one lattice vector a row; NULL only if nothing is periodic.
  const double *cell;
  /// 1 along periodic lattice vectors, 0 along others.
  int32_t periodic[3];
  /// Reserved, 0.
  uint32_t reserved;
  /// The host's own names of the atoms [n_atoms], handed to the fragment callback; NULL: the
  /// indices.
  const int64_t *tags;
  /// The host's step, handed to the fragment callback.
  int64_t step;
} nepal_structure_t;

/// How an active set is built. Set up with `NEPAL_ACTIVE_SET_OPTIONS_INIT`; zero means the default.
///
/// Since: 0.1.
typedef struct nepal_active_set_options_t {
  /// Size of this struct, set by the macro.
  size_t struct_size;
  /// `NEPAL_GRADE_...`; the default is `NEPAL_GRADE_RIDGE`.
  uint32_t kind;
  /// `NEPAL_BACKEND_...` that evaluates the structures.
  uint32_t backend;
  /// Compatible form: largest γ that an environment of the structures may have, above 1. Default 1.001.
  double tolerance;
  /// Ridge form: a grade of 1 is so small a part of the way from an ordinary environment to the free
  /// atom. Default 50. `tau` was here in version 0.1.
  double resolution;
  /// Not looked at: nothing is drawn any more.
  uint64_t seed;
} nepal_active_set_options_t;

/// How to make a calculator. Set up with `NEPAL_CALCULATOR_OPTIONS_INIT`; zero means the default.
///
/// Since: 0.1.
typedef struct nepal_calculator_options_t {
  /// Size of this struct, set by the macro.
  size_t struct_size;
  /// `NEPAL_BACKEND_...`.
  uint32_t backend;
  /// Number of threads to compute with; 0: one for each core, shared with other calculators. A
  /// host with several processes on a machine says how many each may have.
  uint32_t threads;
  /// Number of the GPU for `NEPAL_BACKEND_CUDA`, from 0; 0 for the others.
  uint32_t device;
  /// `NEPAL_PRECISION_...`.
  uint32_t precision;
} nepal_calculator_options_t;

/// Places for results: the caller fills in pointers to its own arrays, NULL for what it does not
/// want. Set up with `NEPAL_RESULTS_INIT`.
///
/// `n_local` atoms carry energy and grades, forces come back on all `n_total`, ghosts included; with
/// a `nepal_structure_t` both are `n_atoms`. The arrays are written on success only.
///
/// Asking for `gamma`, `rho` or `grade` switches the grades on: the calculator then needs an active
/// set, and a fragment callback or file that was set is served.
///
/// Since: 0.1.
typedef struct nepal_results_t {
  /// Size of this struct, set by the macro.
  size_t struct_size;
  /// `NEPAL_RESULTS_...` flags or 0.
  uint32_t flags;
  /// Reserved, 0.
  uint32_t reserved;
  /// Energy of the local atoms, one number. eV.
  double *energy;
  /// Energy of each local atom [n_local]. eV.
  double *energies;
  /// Forces [n_total][3]. eV/Å.
  double *forces;
  /// Virial [3][3], the sum of r_i f_i over all atoms and images, -dE/d(strain): positive in
  /// compression. Stress is -virial/volume. eV.
  double *virial;
  /// Virial of each atom [n_total][3][3], ghosts included, not symmetric. eV.
  double *virials;
  /// Descriptors [n_local][dim], scaled as the network sees them.
  double *descriptors;
  /// Projections [n_local][projection length]: the gradient of the atom's energy with respect to
  /// its network's parameters, from which grades are made.
  double *projections;
  /// γ of each local atom [n_local]: above 1 the environment extrapolates.
  double *gamma;
  /// ρ of each local atom [n_local]: the part of the environment that no training data reach; NaN
  /// if the active set has no such part.
  double *rho;
  /// The reported grade of each local atom [n_local]: γ and ρ in one number, above 1 outside known
  /// ground; γ itself for an active set of the compatible kind.
  double *grade;
  /// Charge of each local atom [n_local], of models that have them. e.
  double *charges;
  /// Born effective charges [n_total][3][3], of models with charges: first the direction of the
  /// polarization, then that of the atom. The host adds those of ghosts to their atoms, as forces. e.
  double *born_charges;
  /// Dipole moment [3], of models of it, in the unit of the training data. Such a model has no
  /// energy.
  double *dipole;
  /// Share of each atom in it [n_total][3].
  double *dipoles;
  /// Polarizability [3][3], of models of it, in the unit of the training data. Such a model has no
  /// energy.
  double *polarizability;
  /// Share of each atom in it [n_total][3][3], not symmetric.
  double *polarizabilities;
  /// Input with the flag `NEPAL_RESULTS_TEMPERATURE`: temperature of the electrons, which models of
  /// free energies need; kept for the calls of other functions that follow. K.
  double temperature;
  /// Input: charge of all atoms together, for models with charges; 0 for a neutral system. e.
  double charge;
  /// Input: error of sums over reciprocal space as a part of their forces, from 1e-11 to 1e-2, to
  /// which a mesh is made; 0: plain sums for few atoms and 1e-6 (mixed precision: 1e-5) for many; -1: plain sums.
  double mesh_error;
  /// σ of the force of each local atom [n_local]: 68 % of force errors, as lengths, are at most this; 95 % are within a
  /// factor of it, 1.5 for Gaussian errors and more for real ones, that the posterior's file has by element (`at_95`).
  /// Infinite for an element that the posterior's training data lack. Needs a posterior
  /// (`nepal_calculator_set_posterior`), and no evaluation beside the one of the energies. eV/Å.
  /// Since: 0.2.
  double *sigma;
  /// σ of the energy of each local atom [n_local], its deviation times the factor of `sigma_energy`; needs a posterior. eV. Since: 0.2.
  double *sigma_energies;
  /// σ of the energy of the local atoms together, one number: 68 % of energy errors are at most this. Those of several
  /// processes do not add up. Needs a posterior. eV. Since: 0.2.
  double *sigma_energy;
} nepal_results_t;

/// Local atoms, ghosts, and the host's own full neighbour list, as in LAMMPS. Set up with
/// `NEPAL_HOST_LIST_INIT`.
///
/// The first `n_local` atoms carry energy; ghosts follow and stand for periodic images and atoms
/// of other processes. The list of an atom names at least all others within `nepal_model_cutoff`,
/// never the atom itself; farther ones are ignored.
///
/// Units: Å. Ownership: nothing is kept after the call.
///
/// Since: 0.1.
typedef struct nepal_host_list_t {
  /// Size of this struct, set by the macro.
  size_t struct_size;
  /// Number of local atoms.
  size_t n_local;
  /// Number of atoms, ghosts included; with 0 no array is read.
  size_t n_total;
  /// Positions [n_total][3], finite, ghosts where their image is.
  const double *positions;
  /// Types [n_total], 0-based in the order of the model's elements.
  const int32_t *types;
  /// Number of neighbours of each local atom [n_local].
  const int32_t *counts;
  /// Indices of the neighbours [sum of counts]: those of atom 0, then of atom 1, and so on. Give
  /// these or `rows`, the other NULL.
  const int32_t *neighbors;
  /// One pointer to the neighbours of each local atom [n_local], as LAMMPS' `firstneigh`, if
  /// `neighbors` is NULL.
  const int32_t *const *rows;
  /// Bits of an index that count, such as `NEPAL_NEIGHBOR_MASK_LAMMPS`; 0: all.
  uint32_t mask;
  /// Reserved, 0.
  uint32_t reserved;
  /// The host's own names of the atoms [n_total], handed to the fragment callback; NULL: the
  /// indices.
  const int64_t *tags;
  /// The host's step, handed to the fragment callback.
  int64_t step;
  /// How far around each local atom, along each axis, all atoms are among these, Å; fragments are
  /// cut from just those, whatever else is known. 0: as far as the atoms go in each case.
  double known;
  /// A number of the host's for the list, another one for each other list. Where it is that of the
  /// calculator's last list, `counts`, `neighbors`, `rows` and `mask` are as they were, by the host's word,
  /// and are not read: what a list costs is paid when it is made, not in each step. 0: they are read.
  /// Since: 0.2.
  uint64_t generation;
  /// Cell [3][3] in which the local atoms of all processes together repeat in three directions, one
  /// lattice vector a row; NULL if they do not. Read for models with charges or dispersion, whose
  /// sums over reciprocal space need it. Since: 0.2.
  const double *cell;
} nepal_host_list_t;

/// Which atoms are handed over, and how large their fragments are. Set up with
/// `NEPAL_FRAGMENT_OPTIONS_INIT`; zero means the default.
///
/// Since: 0.1.
typedef struct nepal_fragment_options_t {
  /// Size of this struct, set by the macro.
  size_t struct_size;
  /// Atoms whose reported grade is above this are selected. Default 1.5.
  double save;
  /// `NEPAL_FRAGMENT_...` flags or 0.
  uint32_t flags;
  /// Largest number of fragments tried in one call, so that a simulation that blows up does not
  /// stand still. Default 16; atoms left over come up again in the next call.
  uint32_t max_fragments;
  /// Radius around the target within which nothing moves, at least the cutoff. Å. Default: a
  /// little more than the cutoff.
  double core_radius;
  /// Largest distance between periodic images. Å. Default: what `max_atoms` allows.
  double max_size;
  /// Largest number of atoms of a fragment. Default 300.
  size_t max_atoms;
  /// Seed of everything random: the same calls give the same fragments.
  uint64_t seed;
} nepal_fragment_options_t;

/// A small periodic structure around one atom whose grade is above the threshold.
///
/// What the target sees within the model's cutoff is what it sees in the simulation; the atoms
/// farther out are as the cut left them, or as the optimisation moved them.
///
/// Units: Å. Threads and ownership: all pointers are valid during the callback only.
///
/// Since: 0.1.
typedef struct nepal_fragment_t {
  /// Size of this struct in the library; fields beyond it do not exist.
  size_t struct_size;
  /// Number of atoms.
  size_t n_atoms;
  /// Positions [n_atoms][3].
  const double *positions;
  /// Types [n_atoms].
  const int32_t *types;
  /// The host's names of the atoms [n_atoms], -1 for an inserted one.
  const int64_t *tags;
  /// 1 for atoms that stand where they stand in the simulation, 0 for others [n_atoms].
  const int32_t *core;
  /// Weights of the forces in training [n_atoms], 0 to 1.
  const double *mask;
  /// Cell [3][3], one lattice vector a row.
  double cell[9];
  /// 1 along periodic lattice vectors, 0 along others.
  int32_t periodic[3];
  /// 1 if this is the whole structure of the caller, too small to cut anything smaller from.
  int32_t whole;
  /// Index of the target among these atoms.
  size_t target;
  /// The host's name of the target.
  int64_t target_tag;
  /// Reported grade of the target in the simulation, before it entered the active set.
  double grade;
  /// γ of the target.
  double gamma;
  /// ρ of the target; NaN if the active set has no such part.
  double rho;
  /// The host's step.
  int64_t step;
  /// Reported grade of each atom of the fragment [n_atoms]; NULL unless it was optimised.
  const double *grades;
  /// How it was made, in a sentence that ends with NUL.
  const char *summary;
} nepal_fragment_t;

/// Gets a fragment. Returns 0 to go on, or a negative number to stop: the compute call then returns
/// that number, untouched.
///
/// Threads and ownership: called from within the compute call, on its thread. Copy what you want to
/// keep. Must not throw, jump out, or use the calculator.
///
/// Since: 0.1.
typedef nepal_status_t (*nepal_fragment_callback_t)(void *user_data,
                                                    const struct nepal_fragment_t *fragment);

/// Gives every process what all of them hold, in the order of their ranks, as `MPI_Allgather` does.
///
/// `send` has `bytes` bytes, `receive` has room for `n_ranks` times as many. Returns 0, or a negative
/// number: the compute call then returns it.
///
/// Since: 0.1.
typedef nepal_status_t (*nepal_gather_callback_t)(void *user_data,
                                                  const void *send,
                                                  size_t bytes,
                                                  void *receive);

/// Gives every process what one of them holds, as `MPI_Bcast` does.
///
/// `data` has `bytes` bytes, to be read on the process `root` and filled on the others. Returns 0, or
/// a negative number: the compute call then returns it.
///
/// Since: 0.1.
typedef nepal_status_t (*nepal_broadcast_callback_t)(void *user_data,
                                                     int32_t root,
                                                     void *data,
                                                     size_t bytes);

/// Replaces each of `n` numbers by its sum over all processes, the same on all of them, as
/// `MPI_Allreduce` with `MPI_SUM` does. Returns as the others do.
///
/// Since: 0.2.
typedef nepal_status_t (*nepal_sum_callback_t)(void *user_data,
                                               double *numbers,
                                               size_t n);

/// Fills in numbers of ghosts: `numbers` has one for each atom of the host list that is computed
/// [n_total], those of local atoms are given. Returns as the others do.
///
/// Since: 0.2.
typedef nepal_status_t (*nepal_forward_callback_t)(void *user_data,
                                                   double *numbers);

/// How the processes that share a system talk to each other. Set up with `NEPAL_RANKS_INIT`.
///
/// Since: 0.1.
typedef struct nepal_ranks_t {
  /// Size of this struct, set by the macro.
  size_t struct_size;
  /// Number of this process, from 0.
  int32_t rank;
  /// Number of processes.
  int32_t n_ranks;
  /// Gives all what all hold.
  nepal_gather_callback_t gather;
  /// Gives all what one holds.
  nepal_broadcast_callback_t broadcast;
  /// Handed to all functions; must live as long as the calculator has this struct.
  void *user_data;
  /// Sums numbers over all; NULL: `gather` serves, which takes more memory. Since: 0.2.
  nepal_sum_callback_t sum;
  /// Fills in numbers of ghosts; NULL: found by their `tags`, through `gather`. Since: 0.2.
  nepal_forward_callback_t forward;
} nepal_ranks_t;

/// Atoms in the memory of the calculator's GPU. Set up with `NEPAL_DEVICE_ATOMS_INIT`.
///
/// Arrays are in device memory unless said otherwise. Strides count doubles: number c of atom i is at
/// strides[0] * i + strides[1] * c, so that {3, 1} is [n_atoms][3] and {1, n_atoms} is
/// [3][n_atoms]; {0, 0} means one atom after another.
///
/// Units: Å. Ownership: nothing is kept after the work in the stream is done.
///
/// Since: 0.1.
typedef struct nepal_device_atoms_t {
  /// Size of this struct, set by the macro.
  size_t struct_size;
  /// Number of atoms, `n_ghosts` included.
  size_t n_atoms;
  /// Positions, three for each atom.
  const double *positions;
  /// Strides of `positions`.
  size_t position_strides[2];
  /// Types [n_atoms], 0-based in the order of the model's elements or by `type_map`; read again when the
  /// number of atoms, the map or the list's `generation` changes, `NEPAL_DEVICE_NEW_TYPES` is set, or
  /// `NEPAL_DEVICE_COMPARE_TYPES` finds others.
  const int32_t *types;
  /// Cell [3][3] in host memory, one lattice vector a row; NULL only if nothing is periodic.
  const double *cell;
  /// 1 along periodic lattice vectors, 0 along others.
  int32_t periodic[3];
  /// `NEPAL_DEVICE_...` flags or 0.
  uint32_t flags;
  /// A `CUstream` (or `cudaStream_t`) of the device's primary context; NULL: the default stream.
  void *stream;
  /// How many of the atoms, the last ones, are ghosts: copies that the host made as neighbours of the
  /// others, the local ones. They carry no energy; forces and virials on them are the host's to bring
  /// home. Needs a list. Since: 0.3.
  size_t n_ghosts;
  /// The host's full neighbour list, with all neighbours of each local atom within the model's cutoff:
  /// how many there are [n_atoms - n_ghosts]. NULL: nepal finds the neighbours in `cell`. Since: 0.3.
  const int32_t *neighbor_counts;
  /// Index of neighbour k of atom i, in the bits of `neighbor_mask`, at neighbor_strides[0] * i +
  /// neighbor_strides[1] * k. Since: 0.3.
  const int32_t *neighbors;
  /// Strides of `neighbors`, in its numbers. Since: 0.3.
  size_t neighbor_strides[2];
  /// A number of the host's for the list, another one for each other list. Where it is that of the
  /// calculator's last call, the list and the types of the atoms are as they were, by the host's word.
  /// 0: both are read. Since: 0.3.
  uint64_t generation;
  /// Bits of a neighbour that count, such as `NEPAL_NEIGHBOR_MASK_LAMMPS`; 0: all. Since: 0.3.
  uint32_t neighbor_mask;
  /// Number of types in `type_map`. Since: 0.3.
  uint32_t n_type_map;
  /// The model's type for each of the host's [n_type_map], in host memory, -1 for one that no atom has.
  /// NULL: they are the model's. Since: 0.3.
  const int32_t *type_map;
} nepal_device_atoms_t;

/// Places for results in the memory of the calculator's GPU, NULL for what is not wanted. Set up with
/// `NEPAL_DEVICE_RESULTS_INIT`. Strides as in `nepal_device_atoms_t`; units as in `nepal_results_t`.
///
/// Since: 0.1.
typedef struct nepal_device_results_t {
  /// Size of this struct, set by the macro.
  size_t struct_size;
  /// `NEPAL_RESULTS_ADD_FORCES`, here for energies and virials too, `NEPAL_DEVICE_DIAGONAL_FIRST`,
  /// `NEPAL_RESULTS_TEMPERATURE`, or 0.
  uint32_t flags;
  /// Reserved, 0.
  uint32_t reserved;
  /// Energy of each local atom [n_atoms - n_ghosts]. eV.
  double *energies;
  /// Forces, three for each atom. eV/Å.
  double *forces;
  /// Strides of `forces`.
  size_t force_strides[2];
  /// Virial of each atom, nine for each, xx xy xz yx yy yz zx zy zz. eV.
  double *virials;
  /// Strides of `virials`.
  size_t virial_strides[2];
  /// γ of each local atom [n_atoms - n_ghosts].
  double *gamma;
  /// ρ of each local atom.
  double *rho;
  /// The reported grade of each local atom.
  double *grade;
  /// The largest reported grade, in host memory; the host waits for it.
  double *largest_grade;
  /// Sum of the energies, one number on the device, which is not added to anything. eV. Since: 0.3.
  double *total_energy;
  /// Sum of the virials of all atoms, ghosts included: nine numbers on the device, in the order of a row of
  /// `virials`, which are not added to anything. eV. Since: 0.3.
  double *total_virial;
  /// Charge of each local atom [n_atoms - n_ghosts], of models that have them; one after another, and not
  /// added to anything, as what follows. e. Since: 0.3.
  double *charges;
  /// Born effective charges [n_atoms][3][3], as in `nepal_results_t`. e. Since: 0.3.
  double *born_charges;
  /// Dipole moment [3], of models of it. Since: 0.3.
  double *dipole;
  /// Share of each atom in it [n_atoms][3]. Since: 0.3.
  double *dipoles;
  /// Polarizability [3][3], of models of it. Since: 0.3.
  double *polarizability;
  /// Share of each atom in it [n_atoms][3][3], not symmetric. Since: 0.3.
  double *polarizabilities;
  /// Input with the flag `NEPAL_RESULTS_TEMPERATURE`, as in `nepal_results_t`. K. Since: 0.3.
  double temperature;
  /// Input: charge of all atoms together, for models with charges. e. Since: 0.3.
  double charge;
} nepal_device_results_t;

/// The call did what was asked. Since: 0.1.
#define NEPAL_STATUS_SUCCESS 0

/// An argument is not acceptable: NULL, out of range, NaN, of the wrong kind. Since: 0.1.
#define NEPAL_STATUS_INVALID_ARGUMENT 1

/// The operating system refused a file operation. Since: 0.1.
#define NEPAL_STATUS_IO 2

/// A file does not follow its format; the text names file and line. Since: 0.1.
#define NEPAL_STATUS_PARSE 3

/// The input is legal but this version or build does not support it. Since: 0.1.
#define NEPAL_STATUS_UNSUPPORTED 4

/// A text does not fit the caller's buffer; `needed` says how many bytes it takes. Since: 0.1.
#define NEPAL_STATUS_BUFFER_TOO_SMALL 5

/// The compute backend is not available or failed. Since: 0.1.
#define NEPAL_STATUS_BACKEND 6

/// A callback returned a positive number, which has no meaning. Since: 0.1.
#define NEPAL_STATUS_CALLBACK 7

/// A broken promise inside nepal, a caught panic among them; please report it. Since: 0.1.
#define NEPAL_STATUS_INTERNAL 8

/// A step that nepal ran failed. Since: 0.1.
#define NEPAL_STATUS_FAILED 9

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/// Version of the library that was loaded, as `NEPAL_VERSION_NUMBER` counts. Since: 0.1.
uint32_t nepal_version_number(void);

/// Version of the ABI of the library that was loaded; compare it with `NEPAL_ABI_VERSION` once, at
/// the start. Since: 0.1.
uint32_t nepal_abi_version(void);

/// Copies out the text of the calling thread's last failure; empty if there was none.
///
/// The text stays until the thread's next failure; success and this function do not change it.
///
/// Shapes: `buf` [capacity], filled with as much as fits and always ended by NUL; NULL only with
/// `capacity` 0. `needed` receives the bytes that the whole text takes, its NUL included.
///
/// Errors: `NEPAL_STATUS_BUFFER_TOO_SMALL` if the text was cut, `NEPAL_STATUS_INVALID_ARGUMENT`
/// for NULL.
///
/// Threads and ownership: any; each thread has its own text.
///
/// Since: 0.1.
nepal_status_t nepal_last_error(char *buf,
                                size_t capacity,
                                size_t *needed);

/// Reads a model from a file.
///
/// `path` ends with NUL. `model` is set to NULL first and filled on success.
///
/// Errors: `NEPAL_STATUS_IO`; `NEPAL_STATUS_PARSE` with the line, what was expected and what was
/// found; `NEPAL_STATUS_UNSUPPORTED` for members of the NEP family that are not potentials.
///
/// Threads and ownership: any thread; the caller frees with `nepal_model_free`.
///
/// Source: the file format of GPUMD.
///
/// Since: 0.1.
nepal_status_t nepal_model_load(const char *path,
                                struct nepal_model_t **model);

/// Reads a model from memory that holds the text of a `nep.txt`.
///
/// Shapes: `data` [length] bytes, no NUL needed. `name` ends with NUL and stands for the file in
/// error messages. `model` is set to NULL first and filled on success.
///
/// Errors: as `nepal_model_load`.
///
/// Threads and ownership: any thread; `data` may be freed afterwards; the caller frees the model
/// with `nepal_model_free`.
///
/// Since: 0.1.
nepal_status_t nepal_model_parse(const char *data,
                                 size_t length,
                                 const char *name,
                                 struct nepal_model_t **model);

/// Writes a model as a `nep.txt` that reads back to the same numbers.
///
/// An existing file is replaced by a complete one or not at all.
///
/// Errors: `NEPAL_STATUS_IO`.
///
/// Threads and ownership: any number of threads, each with its own file.
///
/// Since: 0.1.
nepal_status_t nepal_model_save(const struct nepal_model_t *model,
                                const char *path);

/// Frees a model; NULL is allowed.
///
/// Threads and ownership: calculators and active sets made from it stay valid.
///
/// Since: 0.1.
void nepal_model_free(struct nepal_model_t *model);

/// Number of types, one for each element that the model knows.
///
/// Errors: `NEPAL_STATUS_INVALID_ARGUMENT` for NULL. Threads: any number.
///
/// Since: 0.1.
nepal_status_t nepal_model_n_types(const struct nepal_model_t *model,
                                   size_t *n_types);

/// Symbol of the element of a type, such as "Si".
///
/// Shapes: `type` from 0 to `n_types` - 1; `buf` [capacity], filled with as much as fits and ended
/// by NUL; NULL only with `capacity` 0. `needed` receives the bytes that the text takes, its NUL
/// included.
///
/// Errors: `NEPAL_STATUS_BUFFER_TOO_SMALL` if the text was cut; `NEPAL_STATUS_INVALID_ARGUMENT`.
/// Threads: any number.
///
/// Since: 0.1.
nepal_status_t nepal_model_element(const struct nepal_model_t *model,
                                   int32_t type,
                                   char *buf,
                                   size_t capacity,
                                   size_t *needed);

/// Type of an element: the number that stands for it in `types`.
///
/// `symbol` ends with NUL, such as "Si".
///
/// Errors: `NEPAL_STATUS_INVALID_ARGUMENT` if the model was not trained for it; the text names the
/// elements that it knows. Threads: any number.
///
/// Since: 0.1.
nepal_status_t nepal_model_type(const struct nepal_model_t *model,
                                const char *symbol,
                                int32_t *type);

/// The kind of the model as the first word of its file has it, such as "nep4_zbl" or "nep4_charge1".
///
/// Shapes: as `nepal_model_element`.
///
/// Errors: `NEPAL_STATUS_BUFFER_TOO_SMALL` if the text was cut; `NEPAL_STATUS_INVALID_ARGUMENT`.
/// Threads: any number.
///
/// Since: 0.1.
nepal_status_t nepal_model_kind(const struct nepal_model_t *model,
                                char *buf,
                                size_t capacity,
                                size_t *needed);

/// Largest interaction range of any pair.
///
/// Neighbour lists of a host must reach this far, and ghosts must be there up to it.
///
/// Units: Å. Errors: `NEPAL_STATUS_INVALID_ARGUMENT` for NULL. Threads: any number.
///
/// Since: 0.1.
nepal_status_t nepal_model_cutoff(const struct nepal_model_t *model,
                                  double *cutoff);

/// Length of an atom's descriptor: the `dim` of `nepal_results_t.descriptors`.
///
/// Errors: `NEPAL_STATUS_INVALID_ARGUMENT` for NULL. Threads: any number.
///
/// Since: 0.1.
nepal_status_t nepal_model_dim(const struct nepal_model_t *model,
                               size_t *dim);

/// Length of an atom's projection: neurons times (`dim` + 2).
///
/// Errors: `NEPAL_STATUS_INVALID_ARGUMENT` for NULL. Threads: any number.
///
/// Since: 0.1.
nepal_status_t nepal_model_projection_length(const struct nepal_model_t *model,
                                             size_t *length);

/// Reads the active set of a model from a file, nepal's own or the public `.asi` text.
///
/// `path` ends with NUL. `active_set` is set to NULL first and filled on success.
///
/// Errors: `NEPAL_STATUS_IO`; `NEPAL_STATUS_PARSE` for a file that does not follow its format or is
/// damaged; `NEPAL_STATUS_INVALID_ARGUMENT` for a set that was made for another model.
///
/// Threads and ownership: any thread; the caller frees with `nepal_active_set_free`. The model may
/// be freed before.
///
/// Since: 0.1.
nepal_status_t nepal_active_set_load(const char *path,
                                     const struct nepal_model_t *model,
                                     struct nepal_active_set_t **active_set);

/// Reads the active set of a model from memory that holds what such a file holds.
///
/// Shapes: `data` [length] bytes, no NUL needed. `name` ends with NUL and stands for the file in
/// error messages. `active_set` is set to NULL first and filled on success.
///
/// Errors: as `nepal_active_set_load`.
///
/// Threads and ownership: as `nepal_active_set_load`; `data` may be freed afterwards.
///
/// Since: 0.1.
nepal_status_t nepal_active_set_parse(const char *data,
                                      size_t length,
                                      const char *name,
                                      const struct nepal_model_t *model,
                                      struct nepal_active_set_t **active_set);

/// Which form the grades of a set have: `NEPAL_GRADE_...`.
///
/// Say it wherever you print a grade: the numbers of the two forms do not compare.
///
/// Errors: `NEPAL_STATUS_INVALID_ARGUMENT` for NULL. Threads: any number.
///
/// Since: 0.1.
nepal_status_t nepal_active_set_kind(const struct nepal_active_set_t *active_set,
                                     uint32_t *kind);

/// Frees an active set; NULL is allowed.
///
/// Threads and ownership: calculators that use it stay valid.
///
/// Since: 0.1.
void nepal_active_set_free(struct nepal_active_set_t *active_set);

/// Builds the active set of a model over structures, as a rule its training data.
///
/// All environments are held in memory: 8 bytes times atoms times projection length.
///
/// Shapes: `structures` [n_structures], each a pointer to a structure; `tags` and `step` are not
/// looked at. `options` may be NULL for the defaults. `active_set` is set to NULL first and filled
/// on success.
///
/// Errors: `NEPAL_STATUS_INVALID_ARGUMENT` for options out of range and for a structure that
/// `nepal_calculator_compute` would refuse; the text says which, counted from 0.
///
/// Threads and ownership: any thread; the caller frees with `nepal_active_set_free`.
///
/// Source: ridge leverage scores (Alaoui and Mahoney 2015), and MaxVol (Goreinov et al. 2010), of the
/// gradients of the network.
///
/// Since: 0.1.
nepal_status_t nepal_active_set_build(const struct nepal_model_t *model,
                                      const struct nepal_structure_t *const *structures,
                                      size_t n_structures,
                                      const struct nepal_active_set_options_t *options,
                                      struct nepal_active_set_t **active_set);

/// Writes a set: `.asi` text in the compatible form, which GPUMD reads, nepal's own format otherwise.
///
/// An existing file is replaced by a complete one or not at all.
///
/// Errors: `NEPAL_STATUS_IO`.
///
/// Threads and ownership: any number of threads, each with its own file.
///
/// Since: 0.1.
nepal_status_t nepal_active_set_save(const struct nepal_active_set_t *active_set,
                                     const char *path);

/// Number of active environments of a type, 0 if nothing is known about it.
///
/// Errors: `NEPAL_STATUS_INVALID_ARGUMENT` for NULL and for a type that the model lacks. Threads:
/// any number.
///
/// Since: 0.1.
nepal_status_t nepal_active_set_rank(const struct nepal_active_set_t *active_set,
                                     int32_t type,
                                     size_t *rank);

/// How a set was built, a line for each element, with what was done beyond the ordinary; empty for a
/// set that was read from a file.
///
/// Shapes: `buf` [capacity], filled with as much as fits and ended by NUL; NULL only with
/// `capacity` 0. `needed` receives the bytes that the text takes, its NUL included.
///
/// Errors: `NEPAL_STATUS_BUFFER_TOO_SMALL` if the text was cut; `NEPAL_STATUS_INVALID_ARGUMENT`.
/// Threads: any number.
///
/// Since: 0.1.
nepal_status_t nepal_active_set_report(const struct nepal_active_set_t *active_set,
                                       char *buf,
                                       size_t capacity,
                                       size_t *needed);

/// Grades of projections of one type, as a computation with grades gives them.
///
/// Shapes: `projections` [n_rows][projection length]; `gamma`, `rho` and `grade` [n_rows], NULL if
/// not wanted.
///
/// Errors: `NEPAL_STATUS_INVALID_ARGUMENT` for NULL, for a type that the model lacks, and for one
/// that an `.asi` file says nothing about. Threads: any number.
///
/// Since: 0.1.
nepal_status_t nepal_active_set_grade(const struct nepal_active_set_t *active_set,
                                      int32_t type,
                                      const double *projections,
                                      size_t n_rows,
                                      double *gamma,
                                      double *rho,
                                      double *grade);

/// Makes a calculator for a model.
///
/// `options` may be NULL for the defaults. `calculator` is set to NULL first and filled on success.
///
/// Errors: `NEPAL_STATUS_UNSUPPORTED` if this build lacks the backend or it lacks the precision,
/// `NEPAL_STATUS_BACKEND` if the machine does.
///
/// Threads and ownership: any thread; the caller frees with `nepal_calculator_free`. The model may
/// be freed before.
///
/// Since: 0.1.
nepal_status_t nepal_calculator_new(const struct nepal_model_t *model,
                                    const struct nepal_calculator_options_t *options,
                                    struct nepal_calculator_t **calculator);

/// Frees a calculator; NULL is allowed.
///
/// Threads and ownership: not from its own callback.
///
/// Since: 0.1.
void nepal_calculator_free(struct nepal_calculator_t *calculator);

/// Name of the backend in use: "reference", "cpu" or "cuda".
///
/// Shapes: `buf` [capacity], filled with as much as fits and ended by NUL; NULL only with
/// `capacity` 0. `needed` receives the bytes that the text takes, its NUL included.
///
/// Errors: `NEPAL_STATUS_BUFFER_TOO_SMALL` if the text was cut.
///
/// Threads: one at a time.
///
/// Since: 0.1.
nepal_status_t nepal_calculator_backend(struct nepal_calculator_t *calculator,
                                        char *buf,
                                        size_t capacity,
                                        size_t *needed);

/// Gives the calculator the active set that grades need; NULL takes it away.
///
/// Errors: `NEPAL_STATUS_INVALID_ARGUMENT` if the set was made for another model.
///
/// Threads and ownership: one thread at a time. The set may be shared between calculators and freed
/// before them; what a calculator adds to its set while it runs stays its own.
///
/// Since: 0.1.
nepal_status_t nepal_calculator_set_active_set(struct nepal_calculator_t *calculator,
                                               const struct nepal_active_set_t *active_set);

/// Adds DFT-D3 with the damping of Becke and Johnson to energies, forces and virials of the calls that
/// follow, as GPUMD's keyword `dftd3` does: without three-body terms, and cut off without smoothing.
///
/// It belongs to models whose training data had no dispersion correction. `functional` is the name of the
/// functional of these data, such as "pbe" or "b3lyp"; NULL adds none any more. Pairs interact below
/// `cutoff`, and count as coordinated below `coordination_cutoff`. The neighbours of a host's list must
/// reach as far as the larger of both, and its ghosts as `nepal_calculator_set_ranks` says for charges.
///
/// Units: cutoffs in Å, up to 100. Errors: `NEPAL_STATUS_INVALID_ARGUMENT` for a functional without
/// parameters, a cutoff that is none; `NEPAL_STATUS_UNSUPPORTED` for an element of the model beyond Pu, for
/// a model of tensors.
///
/// Threads and ownership: one thread at a time on a calculator; nothing is kept.
///
/// Source: Grimme et al., J. Chem. Phys. 132, 154104 (2010); J. Comput. Chem. 32, 1456 (2011).
///
/// Since: 0.2.
nepal_status_t nepal_calculator_set_dftd3(struct nepal_calculator_t *calculator,
                                          const char *functional,
                                          double cutoff,
                                          double coordination_cutoff);

/// Reads the posterior of a model from a file that `nepal-loop train --posterior` wrote.
///
/// `path` ends with NUL. `posterior` is set to NULL first and filled on success.
///
/// Errors: `NEPAL_STATUS_IO`; `NEPAL_STATUS_PARSE` for a file that does not follow its format or is of
/// an older version; `NEPAL_STATUS_INVALID_ARGUMENT` for a posterior of another model.
///
/// Threads and ownership: any thread; the caller frees with `nepal_posterior_free`. The model may be
/// freed before.
///
/// Since: 0.2.
nepal_status_t nepal_posterior_load(const char *path,
                                    const struct nepal_model_t *model,
                                    struct nepal_posterior_t **posterior);

/// Reads the posterior of a model from memory that holds what such a file holds.
///
/// Shapes: `data` [length] bytes, no NUL needed. `name` ends with NUL and stands for the file in
/// error messages. `posterior` is set to NULL first and filled on success.
///
/// Errors: as `nepal_posterior_load`.
///
/// Threads and ownership: as `nepal_posterior_load`; `data` may be freed afterwards.
///
/// Since: 0.2.
nepal_status_t nepal_posterior_parse(const char *data,
                                     size_t length,
                                     const char *name,
                                     const struct nepal_model_t *model,
                                     struct nepal_posterior_t **posterior);

/// Frees a posterior; NULL is allowed.
///
/// Threads and ownership: calculators that use it stay valid.
///
/// Since: 0.2.
void nepal_posterior_free(struct nepal_posterior_t *posterior);

/// Gives the calculator the posterior that deviations need; NULL takes it away.
///
/// Errors: `NEPAL_STATUS_INVALID_ARGUMENT` if the posterior belongs to another model.
///
/// Threads and ownership: one thread at a time. The posterior may be shared between calculators and
/// freed before them.
///
/// Since: 0.2.
nepal_status_t nepal_calculator_set_posterior(struct nepal_calculator_t *calculator,
                                              const struct nepal_posterior_t *posterior);

/// Evaluates atoms in a cell; nepal builds the neighbour list, and keeps it while the atoms move
/// little from one call to the next.
///
/// Cells may be smaller than the cutoff. Shapes and units: see the structs.
///
/// Errors: `NEPAL_STATUS_INVALID_ARGUMENT` for a type or an element that the model does not know,
/// positions that are not finite, a flat cell, grades without an active set; a negative status of
/// the fragment callback, untouched. Results are then not written.
///
/// Threads and ownership: one thread at a time on a calculator; no pointer is kept.
///
/// Since: 0.1.
nepal_status_t nepal_calculator_compute(struct nepal_calculator_t *calculator,
                                        const struct nepal_structure_t *structure,
                                        const struct nepal_results_t *results);

/// Evaluates local atoms with the host's own neighbour list; forces come back on ghosts too.
///
/// The sum of the results of all processes is that of the whole system: energies belong to local
/// atoms only, and forces on a ghost are added to its atom by the host. Shapes and units: see the
/// structs.
///
/// Errors: as `nepal_calculator_compute`, and for a neighbour that does not exist or is the atom
/// itself.
///
/// Threads and ownership: as `nepal_calculator_compute`.
///
/// Since: 0.1.
nepal_status_t nepal_calculator_compute_list(struct nepal_calculator_t *calculator,
                                             const struct nepal_host_list_t *list,
                                             const struct nepal_results_t *results);

/// Carries the gradient of a scalar Φ of the descriptors to positions and strain.
///
/// Give dΦ/dq for any Φ of the scaled descriptors of all atoms, such as a grade or a distance from
/// a training set, and get what an energy Φ would give: forces -dΦ/dr and the virial -dΦ/d(strain),
/// at the cost of one force evaluation.
///
/// Shapes: `dphi_dq` [n_atoms][dim]; `forces` [n_atoms][3] and `virial` [3][3], NULL if not wanted.
/// Units: those of Φ, per Å for forces.
///
/// Errors: as `nepal_calculator_compute`, and for a gradient that is not finite.
///
/// Threads and ownership: one thread at a time on a calculator; nothing is kept.
///
/// Source: the ordinary NEP force with dΦ/dq in the place of dE/dq.
///
/// Since: 0.1.
nepal_status_t nepal_calculator_contract(struct nepal_calculator_t *calculator,
                                         const struct nepal_structure_t *structure,
                                         const double *dphi_dq,
                                         double *forces,
                                         double *virial);

/// `nepal_calculator_contract` with the host's own neighbour list.
///
/// Shapes: `dphi_dq` [n_local][dim]; `forces` [n_total][3], ghosts included, and `virial` [3][3],
/// NULL if not wanted. Units, errors, threads and source: as `nepal_calculator_contract`.
///
/// Since: 0.1.
nepal_status_t nepal_calculator_contract_list(struct nepal_calculator_t *calculator,
                                              const struct nepal_host_list_t *list,
                                              const double *dphi_dq,
                                              double *forces,
                                              double *virial);

/// Forces and virial of the energy plus Φ: `nepal_calculator_contract_list` with the energy's own gradient added to
/// `dphi_dq`.
///
/// A biased step costs one force evaluation and half of one, if Φ is of the grades or of σ, asked for before with the same
/// list; forces and the contraction cost two.
///
/// Shapes, units, threads and source: as `nepal_calculator_contract_list`.
///
/// Errors: as there; `NEPAL_STATUS_UNSUPPORTED` if the energy has parts beside that of the descriptors: a repulsion (ZBL),
/// charges, a dispersion correction. That depends on model and calculator alone, not on the atoms.
///
/// Since: 0.2.
nepal_status_t nepal_calculator_contract_with_energy_list(struct nepal_calculator_t *calculator,
                                                          const struct nepal_host_list_t *list,
                                                          const double *dphi_dq,
                                                          double *forces,
                                                          double *virial);

/// Carries the gradient of Φ = Σ w_i g_i, a weighted sum of the atoms' grades, to positions and
/// strain.
///
/// For any other function Φ of grades give its derivatives dΦ/dg_i as the weights; for functions of
/// the descriptors use `nepal_calculator_contract`.
///
/// Shapes: `weights` [n_atoms], NULL for ones; `values` [n_atoms] the g_i, `forces` [n_atoms][3] and
/// `virial` [3][3], NULL if not wanted. `measure` is one of `NEPAL_MEASURE_...`; `exponent` counts
/// for `NEPAL_MEASURE_SMOOTH` alone and is 0 for the others. Units: forces -dΦ/dr in 1/Å; virial -dΦ/d(strain).
///
/// Errors: as `nepal_calculator_compute`; without an active set; for an unknown measure, an exponent
/// below 2 or weights that are not finite.
///
/// Threads and ownership: one thread at a time on a calculator; nothing is kept.
///
/// Source: differentiation of the B projection.
///
/// Since: 0.1.
nepal_status_t nepal_calculator_contract_grade(struct nepal_calculator_t *calculator,
                                               const struct nepal_structure_t *structure,
                                               uint32_t measure,
                                               double exponent,
                                               const double *weights,
                                               double *values,
                                               double *forces,
                                               double *virial);

/// `nepal_calculator_contract_grade` with the host's own neighbour list.
///
/// Shapes: `weights` and `values` [n_local]; `forces` [n_total][3], ghosts included, and `virial`
/// [3][3]. Units, errors, threads and source: as `nepal_calculator_contract_grade`.
///
/// Since: 0.1.
nepal_status_t nepal_calculator_contract_grade_list(struct nepal_calculator_t *calculator,
                                                    const struct nepal_host_list_t *list,
                                                    uint32_t measure,
                                                    double exponent,
                                                    const double *weights,
                                                    double *values,
                                                    double *forces,
                                                    double *virial);

/// Grades of all atoms and their gradients with respect to the descriptors.
///
/// Multiply the row of each atom with the derivative of a potential of its grade, and
/// `nepal_calculator_contract` gives that potential's forces and virial: this is how simulations are
/// pushed towards or kept from what the model does not know.
///
/// `measure` is one of `NEPAL_MEASURE_...`, of which only the last has no kinks; `exponent` is the p of
/// `NEPAL_MEASURE_SMOOTH`, at least 2, and 0 for the others. Shapes: `values` [n_atoms]; `gradient` [n_atoms][dim], that of an atom's
/// own measure with respect to its own scaled descriptors. With `NEPAL_EFFORT_ABOVE` atoms whose grade is at most the
/// threshold have a bound of it and a gradient of 0, for potentials that are flat there.
///
/// Errors: as `nepal_calculator_compute`; a calculator without an active set.
///
/// Threads and ownership: one thread at a time on a calculator; nothing is kept.
///
/// Source: Lysogorskiy et al., Phys. Rev. Materials 7, 043801 (2023).
///
/// Since: 0.1.
nepal_status_t nepal_calculator_grade_gradient(struct nepal_calculator_t *calculator,
                                               const struct nepal_structure_t *structure,
                                               uint32_t measure,
                                               double exponent,
                                               double *values,
                                               double *gradient);

/// `nepal_calculator_grade_gradient` with the host's own neighbour list.
///
/// Shapes: `values` [n_local]; `gradient` [n_local][dim], ready for
/// `nepal_calculator_contract_list`. All else as there.
///
/// Since: 0.1.
nepal_status_t nepal_calculator_grade_gradient_list(struct nepal_calculator_t *calculator,
                                                    const struct nepal_host_list_t *list,
                                                    uint32_t measure,
                                                    double exponent,
                                                    double *values,
                                                    double *gradient);

/// The deviation σ of the total energy, and its gradient with respect to positions and strain.
///
/// Where σ is zero, so is its gradient. Ranks of a parallel host have each a part of the energy alone: they
/// use `nepal_calculator_sigma_columns_list` and `nepal_calculator_sigma_gradient_list`.
///
/// Shapes: `forces` [n_atoms][3], `virial` [3][3], NULL if not wanted. Units: `sigma` in eV; forces -dσ/dr in eV/Å;
/// virial -dσ/d(strain) in eV.
///
/// Errors: as `nepal_calculator_compute`; a calculator without a posterior.
///
/// Threads and ownership: one thread at a time on a calculator; nothing is kept.
///
/// Source: σ² = φᵀSφ of the energy's linear parameters; dσ = (S φ)ᵀ dφ / σ.
///
/// Since: 0.2.
nepal_status_t nepal_calculator_contract_sigma(struct nepal_calculator_t *calculator,
                                               const struct nepal_structure_t *structure,
                                               double *sigma,
                                               double *forces,
                                               double *virial);

/// How many columns the energy is linear in, for `nepal_calculator_sigma_columns_list`.
///
/// `count` is filled on success.
///
/// Errors: a calculator without a posterior.
///
/// Threads and ownership: one thread at a time on a calculator.
///
/// Since: 0.2.
nepal_status_t nepal_calculator_sigma_count(struct nepal_calculator_t *calculator,
                                            size_t *count);

/// The sum over local atoms of what the energy is linear in: those of all ranks are to be added up.
///
/// Shapes: `columns` [`nepal_calculator_sigma_count`].
///
/// Errors: as `nepal_calculator_compute`; a calculator without a posterior.
///
/// Threads and ownership: one thread at a time on a calculator; nothing is kept.
///
/// Since: 0.2.
nepal_status_t nepal_calculator_sigma_columns_list(struct nepal_calculator_t *calculator,
                                                   const struct nepal_host_list_t *list,
                                                   double *columns);

/// The deviation σ of the total energy of all ranks, and its gradient with respect to the descriptors of the local
/// atoms, ready for `nepal_calculator_contract_list`.
///
/// Shapes: `columns` [`nepal_calculator_sigma_count`], summed over all ranks; `gradient` [n_local][dim]. Units: `sigma` in
/// eV.
///
/// Errors: as `nepal_calculator_sigma_columns_list`.
///
/// Threads and ownership: one thread at a time on a calculator; nothing is kept.
///
/// Source: as `nepal_calculator_contract_sigma`.
///
/// Since: 0.2.
nepal_status_t nepal_calculator_sigma_gradient_list(struct nepal_calculator_t *calculator,
                                                    const struct nepal_host_list_t *list,
                                                    const double *columns,
                                                    double *sigma,
                                                    double *gradient);

/// Takes the environments whose grade is above a threshold into the calculator's active set, worst
/// first, so that they and their like are not above it any more.
///
/// A run that exports what it does not know calls this for each export, and exports nothing twice.
/// The set of `nepal_calculator_set_active_set` and other calculators keep what they have. Building
/// the set afresh from the labelled data is what makes grades comparable again.
///
/// Shapes: `n_learned` 1, the number of environments taken in. `threshold` is at least 1.
///
/// Errors: as `nepal_calculator_compute`; without an active set.
///
/// Threads and ownership: one thread at a time on a calculator.
///
/// Since: 0.1.
nepal_status_t nepal_calculator_learn(struct nepal_calculator_t *calculator,
                                      const struct nepal_structure_t *structure,
                                      double threshold,
                                      size_t *n_learned);

/// `nepal_calculator_learn` with the host's own neighbour list.
///
/// Shapes, errors, threads: as `nepal_calculator_learn`.
///
/// Since: 0.1.
nepal_status_t nepal_calculator_learn_list(struct nepal_calculator_t *calculator,
                                           const struct nepal_host_list_t *list,
                                           double threshold,
                                           size_t *n_learned);

/// Chooses how much later computations do to grade atoms.
///
/// With `NEPAL_EFFORT_ABOVE` an atom is above the threshold if and only if it is with
/// `NEPAL_EFFORT_FULL`. Sets in the compatibility form are always graded in full.
///
/// `effort` is one of `NEPAL_EFFORT_...`; `threshold`, the grade that matters, is at least 1, and 0
/// for `NEPAL_EFFORT_FULL`.
///
/// Errors: an unknown effort, or a threshold that does not fit.
///
/// Threads and ownership: one thread at a time on a calculator.
///
/// Since: 0.1.
nepal_status_t nepal_calculator_set_grade_effort(struct nepal_calculator_t *calculator,
                                                 uint32_t effort,
                                                 double threshold);

/// Sets the callback that gets fragments, or removes it with NULL.
///
/// During a compute call with grades on, each local atom whose reported grade is above
/// `options.save` is selected, the largest grade first. Around it a small periodic structure is
/// carved and handed over; once the callback has returned 0, the atom's environment enters the
/// calculator's own copy of the active set, so that the same environment does not come back. Atoms
/// that are inside the set by then, or frozen part of a fragment of the same call, are passed over.
/// Where no fragment can be made nothing is handed over or learned; it is counted.
///
/// Grades that the call returns are those before its fragments entered the set.
///
/// `options` may be NULL for the defaults. Counts start again at 0.
///
/// Errors: `NEPAL_STATUS_INVALID_ARGUMENT` for options out of range. Threads and ownership: one
/// thread at a time on a calculator, and not from its own callback; `user_data` is handed back to
/// the callback and must live as long as that is set.
///
/// Since: 0.1.
nepal_status_t nepal_calculator_set_fragment_callback(struct nepal_calculator_t *calculator,
                                                      const struct nepal_fragment_options_t *options,
                                                      nepal_fragment_callback_t callback,
                                                      void *user_data);

/// What became of the selected atoms since the callback was set.
///
/// `delivered` receives the number of fragments handed over; `covered` the number of atoms passed
/// over because a fragment of the same call speaks for them; `refused` the number of atoms around
/// which no fragment could be made.
///
/// Errors: `NEPAL_STATUS_INVALID_ARGUMENT` for NULL or without a callback. Threads: one at a time.
///
/// Since: 0.1.
nepal_status_t nepal_calculator_fragment_counts(struct nepal_calculator_t *calculator,
                                                size_t *delivered,
                                                size_t *covered,
                                                size_t *refused);

/// Why the last refused fragment could not be made, in a sentence; empty if none was refused.
///
/// Shapes: `buf` [capacity], filled with as much as fits and ended by NUL; NULL only with
/// `capacity` 0. `needed` receives the bytes that the text takes, its NUL included.
///
/// Errors: `NEPAL_STATUS_BUFFER_TOO_SMALL` if the text was cut; `NEPAL_STATUS_INVALID_ARGUMENT`
/// without a callback. Threads: one at a time.
///
/// Since: 0.1.
nepal_status_t nepal_calculator_fragment_refusal(struct nepal_calculator_t *calculator,
                                                 char *buf,
                                                 size_t capacity,
                                                 size_t *needed);

/// Carves a small periodic structure around one atom and hands it to a callback, once.
///
/// With `NEPAL_FRAGMENT_OPTIMISE` the boundary is relaxed and, if the calculator has an active set,
/// its grade minimised; the calculator's active set is not changed. `save` and `max_fragments` of
/// the options are not looked at. The grades of the target are NaN without an active set.
///
/// `target` counts from 0. `options` may be NULL for the defaults; `user_data` is handed back to the
/// callback.
///
/// Errors: `NEPAL_STATUS_FAILED` with the reason if no fragment can be made: the callback is then
/// not called. As `nepal_calculator_compute`; `NEPAL_STATUS_INVALID_ARGUMENT` for a target that does
/// not exist, options out of range, a missing callback; a negative status of the callback,
/// untouched.
///
/// Threads and ownership: one thread at a time on a calculator; nothing is kept.
///
/// Since: 0.1.
nepal_status_t nepal_calculator_fragment_around(struct nepal_calculator_t *calculator,
                                                const struct nepal_structure_t *structure,
                                                size_t target,
                                                const struct nepal_fragment_options_t *options,
                                                nepal_fragment_callback_t callback,
                                                void *user_data);

/// Appends fragments to an extended XYZ file, in the place of a callback; NULL ends it.
///
/// Everything else is as with `nepal_calculator_set_fragment_callback`. Each fragment is one frame,
/// written whole in one go, so that a killed simulation leaves complete frames; processes of a
/// parallel host give each its own file. Columns: `mask` (weights of the forces in training), `core` (1
/// for atoms that stand where they stand in the simulation), `parent_id` (the host's names of the
/// atoms, -1 for inserted ones), and `grade` if it was optimised. The comment line tells the index of
/// the `target`, the host's name of it (`parent_atom`), the `step`, `target_grade`, `target_gamma`,
/// `target_rho`, which kind of grade it is, and how the fragment was made (`fragment_...`).
///
/// `path` ends with NUL; the file is made with the first fragment, in a folder that exists.
/// `options` may be NULL for the defaults.
///
/// Errors: `NEPAL_STATUS_IO` if the folder is missing; later, from the compute call, if writing
/// fails; `NEPAL_STATUS_INVALID_ARGUMENT` for options out of range. Threads: one at a time on a
/// calculator, and not from its own callback.
///
/// Since: 0.1.
nepal_status_t nepal_calculator_set_fragment_file(struct nepal_calculator_t *calculator,
                                                  const struct nepal_fragment_options_t *options,
                                                  const char *path);

/// Makes the processes of a parallel host agree on which fragments are cut, and sums charges and
/// dispersion over all of them.
///
/// `nepal_calculator_compute_list` is then to be called by all processes together, with the same
/// results asked for, where it has grades and a fragment callback or file, and where a model with
/// charges or dispersion is asked for more than features and grades. If such a call fails on one
/// process it fails on all: with its own status there, and with `NEPAL_STATUS_FAILED` and the same
/// text elsewhere.
///
/// Fragments: the worst atom of the whole system comes first, is served by the process that owns it,
/// and enters the active set of all, so that fragments do not depend on the number of processes. For
/// that `nepal_host_list_t.known` must be given and `tags` must name atoms across processes.
///
/// Charges and dispersion: `nepal_host_list_t.cell` is the cell of all atoms, and `forward` or `tags`
/// say whose atoms the ghosts are. Results are those of this process's atoms, which add up to those of
/// the whole system. Without this call a host list is the whole system.
///
/// `ranks` may be NULL: each process for itself again.
///
/// Errors: `NEPAL_STATUS_INVALID_ARGUMENT` for a rank out of range or a missing function. Threads
/// and ownership: one thread at a time on a calculator; the struct is copied.
///
/// Since: 0.1.
nepal_status_t nepal_calculator_set_ranks(struct nepal_calculator_t *calculator,
                                          const struct nepal_ranks_t *ranks);

/// Number of GPUs that `NEPAL_BACKEND_CUDA` can be had on; 0 is an error that says why.
///
/// Errors: `NEPAL_STATUS_BACKEND` without driver or device, `NEPAL_STATUS_UNSUPPORTED` if this build
/// has no such backend.
///
/// Threads and ownership: any thread.
///
/// Since: 0.1.
nepal_status_t nepal_device_count(size_t *count);

/// Evaluates atoms that are on the calculator's GPU and leaves the results there; the calculator is
/// one of `NEPAL_BACKEND_CUDA`.
///
/// Work is done in the order of the stream: what was given to it before is waited for, and what is
/// given to it later finds the results. No fragments are cut, and results are not checked for NaN.
///
/// The host waits
/// - where types are new, and where the neighbour lists of other atoms are made, whose sizes it has to know;
///   lists that follow others of a trajectory are made with room for as many, and then it waits once to hear
///   that it was enough, unless `NEPAL_DEVICE_NO_WAIT` is set;
/// - to hear whether they must be made (one number), unless `NEPAL_DEVICE_STILL` or
///   `NEPAL_DEVICE_NO_WAIT` is set. With the latter it hears how far atoms had moved at the call
///   before, and makes lists at three quarters of what they are good for; should they have been too
///   old after all, or have had too little room, the next call or `nepal_calculator_finish_device` is an error;
/// - for the number of atoms within rounding of the threshold, if there is one, which the processor
///   grades, unless `NEPAL_DEVICE_NO_WAIT` is set: then they are where the device puts them until
///   `nepal_calculator_finish_device`;
/// - for the largest grade, and to hear whether types are others, if these are asked for;
/// - where memory on the device grows, and at the first call with a model or an active set.
///
/// Errors: `NEPAL_STATUS_UNSUPPORTED` for a calculator on another backend,
/// `NEPAL_STATUS_INVALID_ARGUMENT` as `nepal_calculator_compute`, and for an array in host memory, `NEPAL_STATUS_BACKEND` when the
/// device fails; results are then undefined.
///
/// Threads and ownership: one thread at a time on a calculator; several calculators on one device or
/// on several do not disturb each other.
///
/// Since: 0.1.
nepal_status_t nepal_calculator_compute_device(struct nepal_calculator_t *calculator,
                                               const struct nepal_device_atoms_t *atoms,
                                               const struct nepal_device_results_t *results);

/// Waits for the calculator's last `nepal_calculator_compute_device` and completes in its arrays what
/// `NEPAL_DEVICE_NO_WAIT` left open: grades then are those of a call that waits. To be called before
/// anything else is computed with the calculator. Without anything open it only waits.
///
/// Errors: `NEPAL_STATUS_UNSUPPORTED` for a calculator on another backend, `NEPAL_STATUS_BACKEND` when
/// the device failed, and if neighbour lists were too old for the call, whose results are then not
/// right: the next call makes new ones.
///
/// Threads and ownership: as `nepal_calculator_compute_device`; the arrays for grades of that call must
/// still be there.
///
/// Since: 0.1.
nepal_status_t nepal_calculator_finish_device(struct nepal_calculator_t *calculator);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* NEPAL_H */
