// SPDX-License-Identifier: MIT OR Apache-2.0
//
// nepal for C++17: nepal.h with destructors and exceptions. Header only; link libnepal.
//
// Every call that fails throws nepal::Error. Shapes, units and threads are those of nepal.h.

#ifndef NEPAL_HPP
#define NEPAL_HPP

#include <array>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "nepal.h"

namespace nepal {

// A call failed: what() is nepal's text, status() one of NEPAL_STATUS_....
class Error : public std::runtime_error {
 public:
  Error(nepal_status_t status, const std::string &text)
      : std::runtime_error(text), status_(status) {}
  nepal_status_t status() const noexcept { return status_; }

 private:
  nepal_status_t status_;
};

namespace detail {

// A text that a function gives as (buf, capacity, needed).
template <class Function>
std::string text(Function function, nepal_status_t *status = nullptr) {
  std::string buf(64, '\0');
  for (;;) {
    std::size_t needed = 0;
    const nepal_status_t s = function(&buf[0], buf.size(), &needed);
    if (s == NEPAL_STATUS_BUFFER_TOO_SMALL && needed > buf.size()) {
      buf.resize(needed);
      continue;
    }
    if (status != nullptr) *status = s;
    buf.resize(s == NEPAL_STATUS_SUCCESS && needed > 0 ? needed - 1 : 0);
    return buf;
  }
}

inline void check(nepal_status_t status) {
  if (status != NEPAL_STATUS_SUCCESS) throw Error(status, text(nepal_last_error));
}

// A text whose function may fail.
template <class Function>
std::string checked_text(Function function) {
  nepal_status_t status = NEPAL_STATUS_SUCCESS;
  std::string result = text(function, &status);
  check(status);
  return result;
}

template <class T>
std::vector<T> copy(const T *first, std::size_t n) {
  return first == nullptr ? std::vector<T>() : std::vector<T>(first, first + n);
}

// Frees with the function of the handle's type.
template <class Handle, void (*Free)(Handle *)>
struct Deleter {
  void operator()(Handle *handle) const noexcept { Free(handle); }
};

template <class Handle, void (*Free)(Handle *)>
using Owner = std::unique_ptr<Handle, Deleter<Handle, Free>>;

}  // namespace detail

// Throws unless the library that was loaded has the ABI of this header.
inline void check_abi() {
  if (nepal_abi_version() != NEPAL_ABI_VERSION) {
    throw Error(NEPAL_STATUS_UNSUPPORTED,
                "the nepal library has ABI version " + std::to_string(nepal_abi_version()) +
                    "; this program was built for version " + std::to_string(NEPAL_ABI_VERSION));
  }
}

// A pointer and a length, made of a std::vector, std::array, std::span or anything else that has
// data() and size(); empty means "not given" or "not wanted".
template <class T>
class Span {
 public:
  constexpr Span() noexcept = default;
  constexpr Span(T *data, std::size_t size) noexcept : data_(data), size_(size) {}
  // As in std::span, an array of T must be what is behind the pointer, not of something derived.
  template <class Container,
            class = std::enable_if_t<std::is_convertible_v<
                std::remove_pointer_t<decltype(std::declval<Container &>().data())> (*)[], T (*)[]>>>
  constexpr Span(Container &&container) noexcept  // NOLINT: conversion is the purpose
      : data_(container.data()), size_(container.size()) {}
  constexpr T *data() const noexcept { return data_; }
  constexpr std::size_t size() const noexcept { return size_; }

 private:
  T *data_ = nullptr;
  std::size_t size_ = 0;
};

// A potential. Any number of threads may use one.
class Model {
 public:
  explicit Model(const std::string &path) {
    check_abi();
    nepal_model_t *handle = nullptr;
    detail::check(nepal_model_load(path.c_str(), &handle));
    handle_.reset(handle);
  }

  // From the text of a nep.txt; name stands for the file in errors.
  static Model parse(std::string_view data, const std::string &name) {
    check_abi();
    nepal_model_t *handle = nullptr;
    detail::check(nepal_model_parse(data.data(), data.size(), name.c_str(), &handle));
    return Model(handle);
  }

  void save(const std::string &path) const {
    detail::check(nepal_model_save(get(), path.c_str()));
  }

  // Symbols in the order of the types.
  std::vector<std::string> elements() const {
    const auto n = static_cast<std::int32_t>(number<std::size_t>(nepal_model_n_types));
    std::vector<std::string> symbols;
    for (std::int32_t t = 0; t < n; ++t) {
      symbols.push_back(
          detail::checked_text([&](char *buf, std::size_t capacity, std::size_t *needed) {
            return nepal_model_element(get(), t, buf, capacity, needed);
          }));
    }
    return symbols;
  }

  // Type of an element.
  std::int32_t type(const std::string &symbol) const {
    std::int32_t type = 0;
    detail::check(nepal_model_type(get(), symbol.c_str(), &type));
    return type;
  }

  // First word of the file, such as "nep4_zbl" or "nep4_charge1".
  std::string kind() const {
    return detail::checked_text([&](char *buf, std::size_t capacity, std::size_t *needed) {
      return nepal_model_kind(get(), buf, capacity, needed);
    });
  }

  double cutoff() const { return number<double>(nepal_model_cutoff); }
  std::size_t dim() const { return number<std::size_t>(nepal_model_dim); }
  std::size_t projection_length() const {
    return number<std::size_t>(nepal_model_projection_length);
  }

  const nepal_model_t *get() const noexcept { return handle_.get(); }

 private:
  explicit Model(nepal_model_t *handle) : handle_(handle) {}

  template <class T>
  T number(nepal_status_t (*getter)(const nepal_model_t *, T *)) const {
    T value{};
    detail::check(getter(get(), &value));
    return value;
  }

  detail::Owner<nepal_model_t, nepal_model_free> handle_;
};

// Atoms in a cell; the fields are those of nepal_structure_t.
struct Structure {
  std::vector<double> positions;    // [n_atoms][3]
  std::vector<std::int32_t> types;  // [n_atoms]
  std::array<double, 9> cell{};
  std::array<std::int32_t, 3> periodic{};
  std::vector<std::int64_t> tags;  // empty or [n_atoms]
  std::int64_t step = 0;

  std::size_t size() const noexcept { return types.size(); }

  // As C sees it, for as long as this object is not changed. Throws if the lengths disagree.
  nepal_structure_t view() const;
};

// The same in arrays of the caller's, which are used where they are.
struct Atoms {
  Span<const double> positions;        // [n_atoms][3]
  Span<const std::int32_t> types;      // [n_atoms]
  Span<const double> cell;             // [9], empty if nothing is periodic
  std::array<std::int32_t, 3> periodic{};
  Span<const std::int64_t> tags;  // empty or [n_atoms]
  std::int64_t step = 0;

  // As C sees it. Throws if the lengths disagree.
  nepal_structure_t view() const {
    const std::size_t n = types.size();
    if (positions.size() != 3 * n || (tags.size() != 0 && tags.size() != n)) {
      throw Error(NEPAL_STATUS_INVALID_ARGUMENT,
                  "a structure has " + std::to_string(n) + " types, " +
                      std::to_string(positions.size()) + " coordinates and " +
                      std::to_string(tags.size()) +
                      " tags; expected 3 coordinates and 1 or no tag per type");
    }
    const bool any = periodic[0] != 0 || periodic[1] != 0 || periodic[2] != 0;
    if (any && cell.size() != 9) {
      throw Error(NEPAL_STATUS_INVALID_ARGUMENT, "a periodic structure has a cell of " +
                                                     std::to_string(cell.size()) +
                                                     " numbers; expected 9");
    }
    nepal_structure_t view = NEPAL_STRUCTURE_INIT;
    view.n_atoms = n;
    view.positions = positions.data();
    view.types = types.data();
    view.cell = any ? cell.data() : nullptr;
    for (int d = 0; d < 3; ++d) view.periodic[d] = periodic[static_cast<std::size_t>(d)];
    view.tags = tags.size() == 0 ? nullptr : tags.data();
    view.step = step;
    return view;
  }
};

inline nepal_structure_t Structure::view() const {
  return Atoms{positions, types, cell, periodic, tags, step}.view();
}

// How ActiveSet::build goes about it; the fields are those of nepal_active_set_options_t.
struct ActiveSetOptions {
  std::uint32_t kind = NEPAL_GRADE_RIDGE;
  std::uint32_t backend = NEPAL_BACKEND_DEFAULT;
  double tolerance = 0.0;
  double resolution = 0.0;
};

// What a model was trained on. Any number of threads may use one.
class ActiveSet {
 public:
  ActiveSet(const std::string &path, const Model &model) {
    nepal_active_set_t *handle = nullptr;
    detail::check(nepal_active_set_load(path.c_str(), model.get(), &handle));
    handle_.reset(handle);
  }

  // Over structures, as a rule the training data.
  static ActiveSet build(const Model &model, const std::vector<Structure> &structures,
                         const ActiveSetOptions &options = {}) {
    std::vector<nepal_structure_t> views;
    for (const Structure &structure : structures) views.push_back(structure.view());
    std::vector<const nepal_structure_t *> pointers;
    for (const nepal_structure_t &view : views) pointers.push_back(&view);
    nepal_active_set_options_t given = NEPAL_ACTIVE_SET_OPTIONS_INIT;
    given.kind = options.kind;
    given.backend = options.backend;
    given.tolerance = options.tolerance;
    given.resolution = options.resolution;
    nepal_active_set_t *handle = nullptr;
    detail::check(
        nepal_active_set_build(model.get(), pointers.data(), pointers.size(), &given, &handle));
    return ActiveSet(handle);
  }

  // .asi text in the compatible form, nepal's own format otherwise.
  void save(const std::string &path) const {
    detail::check(nepal_active_set_save(get(), path.c_str()));
  }

  // NEPAL_GRADE_COMPAT or NEPAL_GRADE_RIDGE.
  std::uint32_t kind() const {
    std::uint32_t kind = 0;
    detail::check(nepal_active_set_kind(get(), &kind));
    return kind;
  }

  // Number of active environments of a type.
  std::size_t rank(std::int32_t type) const {
    std::size_t rank = 0;
    detail::check(nepal_active_set_rank(get(), type, &rank));
    return rank;
  }

  // How it was built, a line for each element; empty for a set from a file.
  std::string report() const {
    return detail::checked_text([&](char *buf, std::size_t capacity, std::size_t *needed) {
      return nepal_active_set_report(get(), buf, capacity, needed);
    });
  }

  const nepal_active_set_t *get() const noexcept { return handle_.get(); }

 private:
  explicit ActiveSet(nepal_active_set_t *handle) : handle_(handle) {}

  detail::Owner<nepal_active_set_t, nepal_active_set_free> handle_;
};

// How wrong a model may be, from `nepal-loop train --posterior`. Any number of threads may use one.
class Posterior {
 public:
  Posterior(const std::string &path, const Model &model) {
    nepal_posterior_t *handle = nullptr;
    detail::check(nepal_posterior_load(path.c_str(), model.get(), &handle));
    handle_.reset(handle);
  }

  const nepal_posterior_t *get() const noexcept { return handle_.get(); }

 private:
  detail::Owner<nepal_posterior_t, nepal_posterior_free> handle_;
};

// A fragment to keep: a copy of what a callback is handed. Tags of the structure are those of the
// host, -1 for an inserted atom.
struct Fragment {
  Structure structure;
  std::vector<std::int32_t> core;  // [n_atoms]
  std::vector<double> mask;        // [n_atoms]
  std::vector<double> grades;      // [n_atoms], empty unless it was optimised
  std::size_t target = 0;
  std::int64_t target_tag = 0;
  double grade = 0.0, gamma = 0.0, rho = 0.0;
  bool whole = false;
  std::string summary;

  explicit Fragment(const nepal_fragment_t &view)
      : core(detail::copy(view.core, view.n_atoms)),
        mask(detail::copy(view.mask, view.n_atoms)),
        grades(detail::copy(view.grades, view.n_atoms)),
        target(view.target),
        target_tag(view.target_tag),
        grade(view.grade),
        gamma(view.gamma),
        rho(view.rho),
        whole(view.whole != 0),
        summary(view.summary != nullptr ? view.summary : "") {
    structure.positions = detail::copy(view.positions, 3 * view.n_atoms);
    structure.types = detail::copy(view.types, view.n_atoms);
    structure.tags = detail::copy(view.tags, view.n_atoms);
    structure.step = view.step;
    for (std::size_t k = 0; k < 9; ++k) structure.cell[k] = view.cell[k];
    for (std::size_t d = 0; d < 3; ++d) structure.periodic[d] = view.periodic[d];
  }
};

// What to compute besides the energy; combine with |.
enum Wanted : unsigned {
  energies = 1U << 0,
  forces = 1U << 1,
  virial = 1U << 2,
  virials = 1U << 3,
  descriptors = 1U << 4,
  projections = 1U << 5,
  grades = 1U << 6,
  // Of models that have them; those of a dipole or a polarizability have neither energy nor forces.
  charges = 1U << 7,
  born_charges = 1U << 8,
  dipole = 1U << 9,
  polarizability = 1U << 10,
  sigma = 1U << 11
};

// What some models want besides atoms; the fields are those of nepal_results_t.
struct Conditions {
  std::optional<double> temperature;
  double charge = 0.0;
  double mesh_error = 0.0;
};

// Results; what was not asked for is empty. The shapes are those of nepal_results_t.
struct Results {
  double energy = 0.0;
  std::vector<double> energies, forces, virials, descriptors, projections, gamma, rho, grade, sigma,
      sigma_energies;
  double sigma_energy = 0.0;
  std::array<double, 9> virial{};
  std::vector<double> charges, born_charges, dipoles, polarizabilities;
  std::array<double, 3> dipole{};
  std::array<double, 9> polarizability{};
};

// Places for results in arrays of the caller's; an empty one means not wanted.
struct Places {
  double *energy = nullptr, *sigma_energy = nullptr;
  Span<double> energies, forces, virial, virials, descriptors, projections, gamma, rho, grade, sigma,
      sigma_energies;
  Span<double> charges, born_charges, dipole, dipoles, polarizability, polarizabilities;
};

// A model on a backend. One thread at a time.
class Calculator {
 public:
  // Of 0 threads there is one for each core; `device` is the number of a GPU; `precision` one of
  // NEPAL_PRECISION_....
  explicit Calculator(const Model &model, std::uint32_t backend = NEPAL_BACKEND_DEFAULT,
                      std::uint32_t threads = 0, std::uint32_t device = 0,
                      std::uint32_t precision = NEPAL_PRECISION_F64)
      : dim_(model.dim()), projection_length_(model.projection_length()) {
    nepal_calculator_options_t options = NEPAL_CALCULATOR_OPTIONS_INIT;
    options.backend = backend;
    options.threads = threads;
    options.device = device;
    options.precision = precision;
    nepal_calculator_t *handle = nullptr;
    detail::check(nepal_calculator_new(model.get(), &options, &handle));
    handle_.reset(handle);
  }

  std::string backend() {
    return detail::checked_text([&](char *buf, std::size_t capacity, std::size_t *needed) {
      return nepal_calculator_backend(get(), buf, capacity, needed);
    });
  }

  void set_active_set(const ActiveSet &set) {
    detail::check(nepal_calculator_set_active_set(get(), set.get()));
  }

  // For the calls that follow.
  void set_conditions(const Conditions &conditions) { conditions_ = conditions; }

  void remove_active_set() { detail::check(nepal_calculator_set_active_set(get(), nullptr)); }

  void set_posterior(const Posterior &posterior) {
    detail::check(nepal_calculator_set_posterior(get(), posterior.get()));
  }

  // The dispersion correction D3 (Becke-Johnson); an empty name adds none.
  void set_dftd3(const std::string &functional, double cutoff = 0.0, double coordination_cutoff = 0.0) {
    detail::check(nepal_calculator_set_dftd3(get(), functional.empty() ? nullptr : functional.c_str(),
                                             cutoff, coordination_cutoff));
  }

  void remove_posterior() { detail::check(nepal_calculator_set_posterior(get(), nullptr)); }

  Results compute(const Structure &structure, unsigned wanted = forces) {
    const nepal_structure_t view = structure.view();
    return collect(structure.size(), structure.size(), wanted,
                   [&](const nepal_results_t &places) { compute(view, places); });
  }

  Results compute(const nepal_host_list_t &list, unsigned wanted = forces) {
    return collect(list.n_local, list.n_total, wanted,
                   [&](const nepal_results_t &places) { compute(list, places); });
  }

  // From and into arrays of the caller's, without a copy. Throws if a length is wrong.
  void compute(const Atoms &atoms, const Places &places) {
    const nepal_structure_t view = atoms.view();
    const std::size_t n = atoms.types.size();
    nepal_results_t results = NEPAL_RESULTS_INIT;
    results.energy = places.energy;
    results.energies = place("energies", places.energies, n);
    results.forces = place("forces", places.forces, 3 * n);
    results.virial = place("virial", places.virial, 9);
    results.virials = place("virials", places.virials, 9 * n);
    results.descriptors = place("descriptors", places.descriptors, n * dim_);
    results.projections = place("projections", places.projections, n * projection_length_);
    results.gamma = place("gamma", places.gamma, n);
    results.rho = place("rho", places.rho, n);
    results.grade = place("grade", places.grade, n);
    results.charges = place("charges", places.charges, n);
    results.born_charges = place("born_charges", places.born_charges, 9 * n);
    results.dipole = place("dipole", places.dipole, 3);
    results.dipoles = place("dipoles", places.dipoles, 3 * n);
    results.polarizability = place("polarizability", places.polarizability, 9);
    results.polarizabilities = place("polarizabilities", places.polarizabilities, 9 * n);
    results.sigma = place("sigma", places.sigma, n);
    results.sigma_energies = place("sigma_energies", places.sigma_energies, n);
    results.sigma_energy = places.sigma_energy;
    set(results);
    compute(view, results);
  }

  // As the C interface has it.
  void compute(const nepal_structure_t &structure, const nepal_results_t &results) {
    finish(nepal_calculator_compute(get(), &structure, &results));
  }

  void compute(const nepal_host_list_t &list, const nepal_results_t &results) {
    finish(nepal_calculator_compute_list(get(), &list, &results));
  }

  // Atoms and results in the memory of the calculator's GPU; see nepal.h.
  void compute(const nepal_device_atoms_t &atoms, const nepal_device_results_t &results) {
    detail::check(nepal_calculator_compute_device(get(), &atoms, &results));
  }

  // Forces and virial of a scalar of the descriptors, from its gradient [n_atoms][dim].
  Results contract(const Structure &structure, const std::vector<double> &dphi_dq) {
    if (dphi_dq.size() != structure.size() * dim_) {
      throw Error(NEPAL_STATUS_INVALID_ARGUMENT,
                  "a gradient has " + std::to_string(dphi_dq.size()) + " numbers; expected " +
                      std::to_string(structure.size()) + " x " + std::to_string(dim_));
    }
    const nepal_structure_t view = structure.view();
    Results results;
    results.forces.resize(3 * structure.size());
    detail::check(nepal_calculator_contract(get(), &view, dphi_dq.data(), results.forces.data(),
                                            results.virial.data()));
    return results;
  }

  // A NEPAL_MEASURE_... of each atom's grade [n_atoms], and its gradient by the atom's descriptors
  // [n_atoms][dim], ready for `contract` once multiplied by the derivative of a potential.
  struct Measured {
    std::vector<double> values, gradient;
  };

  Measured grade_gradient(const Structure &structure, std::uint32_t measure, double exponent = 0.0) {
    const nepal_structure_t view = structure.view();
    Measured found;
    found.values.resize(structure.size());
    found.gradient.resize(structure.size() * dim_);
    detail::check(nepal_calculator_grade_gradient(get(), &view, measure, exponent,
                                                  found.values.data(), found.gradient.data()));
    return found;
  }

  // Appends fragments to an extended XYZ file, in the place of a callback.
  void set_fragment_file(const nepal_fragment_options_t &options, const std::string &path) {
    detail::check(nepal_calculator_set_fragment_file(get(), &options, path.c_str()));
    hook_.reset();
  }

  // Gives each fragment to `callback(const Fragment &)`, or, without a copy, to
  // `callback(const nepal_fragment_t &)`. It may return nothing, or an
  // integer: 0 to go on, a negative number to stop, which is then the status of the Error that the
  // compute call throws. An exception of the callback stops as well and leaves the compute call.
  template <class Callback>
  void set_fragment_callback(const nepal_fragment_options_t &options, Callback callback) {
    auto hook = std::make_unique<HookOf<Callback>>(std::move(callback));
    detail::check(nepal_calculator_set_fragment_callback(get(), &options, &Hook::trampoline,
                                                         static_cast<Hook *>(hook.get())));
    hook_ = std::move(hook);
  }

  void remove_fragment_callback() {
    detail::check(nepal_calculator_set_fragment_callback(get(), nullptr, nullptr, nullptr));
    hook_.reset();
  }

  // A fragment around one atom, counted from 0. Throws with the reason if none can be made.
  Fragment fragment_around(const Structure &structure, std::size_t target,
                           const nepal_fragment_options_t &options) {
    const nepal_structure_t view = structure.view();
    std::unique_ptr<Fragment> found;
    auto keep = [&found](const nepal_fragment_t &fragment) {
      found = std::make_unique<Fragment>(fragment);
    };
    HookOf<decltype(keep)> hook(std::move(keep));
    const nepal_status_t status = nepal_calculator_fragment_around(
        get(), &view, target, &options, &Hook::trampoline, static_cast<Hook *>(&hook));
    if (hook.thrown) std::rethrow_exception(hook.thrown);
    detail::check(status);
    return std::move(*found);
  }

  // What became of the selected atoms since the callback was set.
  struct FragmentCounts {
    std::size_t delivered = 0, covered = 0, refused = 0;
  };

  FragmentCounts fragment_counts() {
    FragmentCounts counts;
    detail::check(nepal_calculator_fragment_counts(get(), &counts.delivered, &counts.covered,
                                                   &counts.refused));
    return counts;
  }

  // Why the last refused fragment could not be made; empty if none was refused.
  std::string fragment_refusal() {
    return detail::checked_text([&](char *buf, std::size_t capacity, std::size_t *needed) {
      return nepal_calculator_fragment_refusal(get(), buf, capacity, needed);
    });
  }

  nepal_calculator_t *get() noexcept { return handle_.get(); }

 private:
  // A callable of any type behind the plain function that C knows.
  struct Hook {
    virtual ~Hook() = default;
    virtual nepal_status_t call(const nepal_fragment_t &fragment) = 0;

    // No exception may pass through the library: it waits in `thrown` until the call is over.
    static nepal_status_t trampoline(void *user_data, const nepal_fragment_t *fragment) {
      Hook &hook = *static_cast<Hook *>(user_data);
      try {
        return hook.call(*fragment);
      } catch (...) {
        hook.thrown = std::current_exception();
        return std::numeric_limits<nepal_status_t>::min();
      }
    }

    std::exception_ptr thrown;
  };

  template <class Callback>
  struct HookOf final : Hook {
    explicit HookOf(Callback callback) : callback_(std::move(callback)) {}

    nepal_status_t call(const nepal_fragment_t &fragment) override {
      if constexpr (std::is_invocable_v<Callback &, const Fragment &>) {
        return answer(Fragment(fragment));
      } else {
        return answer(fragment);
      }
    }

   private:
    template <class View>
    nepal_status_t answer(const View &fragment) {
      if constexpr (std::is_void_v<decltype(callback_(fragment))>) {
        callback_(fragment);
        return 0;
      } else {
        return static_cast<nepal_status_t>(callback_(fragment));
      }
    }

    Callback callback_;
  };

  static double *place(const char *name, const Span<double> &span, std::size_t n) {
    if (span.size() != 0 && span.size() != n) {
      throw Error(NEPAL_STATUS_INVALID_ARGUMENT,
                  std::string("the place for ") + name + " has " + std::to_string(span.size()) +
                      " numbers; expected " + std::to_string(n));
    }
    return span.size() == 0 ? nullptr : span.data();
  }

  template <class Compute>
  Results collect(std::size_t n_local, std::size_t n_total, unsigned wanted, Compute compute) {
    Results found;
    const auto room = [wanted](unsigned what, std::vector<double> &values, std::size_t n) {
      if ((wanted & what) == 0) return static_cast<double *>(nullptr);
      // Never NULL, which would mean "not wanted", also without atoms.
      values.reserve(n + 1);
      values.resize(n);
      return values.data();
    };
    nepal_results_t places = NEPAL_RESULTS_INIT;
    const bool tensor = (wanted & (nepal::dipole | nepal::polarizability)) != 0;
    places.energy = tensor ? nullptr : &found.energy;
    places.energies = room(nepal::energies, found.energies, n_local);
    places.forces = room(nepal::forces, found.forces, 3 * n_total);
    places.virial = (wanted & nepal::virial) != 0 ? found.virial.data() : nullptr;
    places.virials = room(nepal::virials, found.virials, 9 * n_total);
    places.descriptors = room(nepal::descriptors, found.descriptors, n_local * dim_);
    places.projections = room(nepal::projections, found.projections, n_local * projection_length_);
    places.gamma = room(nepal::grades, found.gamma, n_local);
    places.rho = room(nepal::grades, found.rho, n_local);
    places.grade = room(nepal::grades, found.grade, n_local);
    places.charges = room(nepal::charges, found.charges, n_local);
    places.born_charges = room(nepal::born_charges, found.born_charges, 9 * n_local);
    places.dipole = (wanted & nepal::dipole) != 0 ? found.dipole.data() : nullptr;
    places.dipoles = room(nepal::dipole, found.dipoles, 3 * n_total);
    const bool polarizable = (wanted & nepal::polarizability) != 0;
    places.polarizability = polarizable ? found.polarizability.data() : nullptr;
    places.polarizabilities = room(nepal::polarizability, found.polarizabilities, 9 * n_total);
    places.sigma = room(nepal::sigma, found.sigma, n_local);
    places.sigma_energies = room(nepal::sigma, found.sigma_energies, n_local);
    places.sigma_energy = (wanted & nepal::sigma) != 0 ? &found.sigma_energy : nullptr;
    set(places);
    compute(places);
    return found;
  }

  void set(nepal_results_t &places) const {
    places.charge = conditions_.charge;
    places.mesh_error = conditions_.mesh_error;
    if (conditions_.temperature) {
      places.flags |= NEPAL_RESULTS_TEMPERATURE;
      places.temperature = *conditions_.temperature;
    }
  }

  void finish(nepal_status_t status) {
    if (hook_ != nullptr && hook_->thrown) {
      std::rethrow_exception(std::exchange(hook_->thrown, nullptr));
    }
    detail::check(status);
  }

  std::size_t dim_;
  std::size_t projection_length_;
  Conditions conditions_;
  std::unique_ptr<Hook> hook_;  // before handle_, so that it outlives it
  detail::Owner<nepal_calculator_t, nepal_calculator_free> handle_;
};

}  // namespace nepal

#endif  // NEPAL_HPP
