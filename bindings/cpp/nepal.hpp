// SPDX-License-Identifier: MIT OR Apache-2.0
//
// nepal for C++17: nepal.h with destructors and exceptions. Header only; link libnepal.
//
// Every call that fails throws nepal::Error. Shapes, units and threads are those of nepal.h.

#ifndef NEPAL_HPP
#define NEPAL_HPP

#include <array>
#include <cstdint>
#include <exception>
#include <limits>
#include <memory>
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

// What a model was trained on. Any number of threads may use one.
class ActiveSet {
 public:
  ActiveSet(const std::string &path, const Model &model) {
    nepal_active_set_t *handle = nullptr;
    detail::check(nepal_active_set_load(path.c_str(), model.get(), &handle));
    handle_.reset(handle);
  }

  // NEPAL_GRADE_COMPAT or NEPAL_GRADE_TWO_PART.
  std::uint32_t kind() const {
    std::uint32_t kind = 0;
    detail::check(nepal_active_set_kind(get(), &kind));
    return kind;
  }

  const nepal_active_set_t *get() const noexcept { return handle_.get(); }

 private:
  detail::Owner<nepal_active_set_t, nepal_active_set_free> handle_;
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
  nepal_structure_t view() const {
    if (positions.size() != 3 * size() || (!tags.empty() && tags.size() != size())) {
      throw Error(NEPAL_STATUS_INVALID_ARGUMENT,
                  "a structure has " + std::to_string(size()) + " types, " +
                      std::to_string(positions.size()) + " coordinates and " +
                      std::to_string(tags.size()) + " tags; expected 3 coordinates and 1 or no tag per type");
    }
    nepal_structure_t view = NEPAL_STRUCTURE_INIT;
    view.n_atoms = size();
    view.positions = positions.data();
    view.types = types.data();
    const bool any = periodic[0] != 0 || periodic[1] != 0 || periodic[2] != 0;
    view.cell = any ? cell.data() : nullptr;
    for (int d = 0; d < 3; ++d) view.periodic[d] = periodic[static_cast<std::size_t>(d)];
    view.tags = tags.empty() ? nullptr : tags.data();
    view.step = step;
    return view;
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
  grades = 1U << 6
};

// Results; what was not asked for is empty. The shapes are those of nepal_results_t.
struct Results {
  double energy = 0.0;
  std::vector<double> energies, forces, virials, descriptors, projections, gamma, rho, grade;
  std::array<double, 9> virial{};
};

// A model on a backend. One thread at a time.
class Calculator {
 public:
  explicit Calculator(const Model &model, std::uint32_t backend = NEPAL_BACKEND_DEFAULT)
      : dim_(model.dim()), projection_length_(model.projection_length()) {
    nepal_calculator_options_t options = NEPAL_CALCULATOR_OPTIONS_INIT;
    options.backend = backend;
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

  void remove_active_set() { detail::check(nepal_calculator_set_active_set(get(), nullptr)); }

  Results compute(const Structure &structure, unsigned wanted = forces) {
    const nepal_structure_t view = structure.view();
    return collect(structure.size(), structure.size(), wanted,
                   [&](const nepal_results_t &places) { compute(view, places); });
  }

  Results compute(const nepal_host_list_t &list, unsigned wanted = forces) {
    return collect(list.n_local, list.n_total, wanted,
                   [&](const nepal_results_t &places) { compute(list, places); });
  }

  // Into arrays of the caller's.
  void compute(const nepal_structure_t &structure, const nepal_results_t &results) {
    finish(nepal_calculator_compute(get(), &structure, &results));
  }

  void compute(const nepal_host_list_t &list, const nepal_results_t &results) {
    finish(nepal_calculator_compute_list(get(), &list, &results));
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

  // Gives each fragment to `callback(const nepal_fragment_t &)`. It may return nothing, or an
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
      if constexpr (std::is_void_v<decltype(callback_(fragment))>) {
        callback_(fragment);
        return 0;
      } else {
        return static_cast<nepal_status_t>(callback_(fragment));
      }
    }

    Callback callback_;
  };

  template <class Compute>
  Results collect(std::size_t n_local, std::size_t n_total, unsigned wanted, Compute compute) {
    Results found;
    const auto place = [wanted](unsigned what, std::vector<double> &values, std::size_t n) {
      if ((wanted & what) == 0) return static_cast<double *>(nullptr);
      // Never NULL, which would mean "not wanted", also without atoms.
      values.reserve(n + 1);
      values.resize(n);
      return values.data();
    };
    nepal_results_t places = NEPAL_RESULTS_INIT;
    places.energy = &found.energy;
    places.energies = place(nepal::energies, found.energies, n_local);
    places.forces = place(nepal::forces, found.forces, 3 * n_total);
    places.virial = (wanted & nepal::virial) != 0 ? found.virial.data() : nullptr;
    places.virials = place(nepal::virials, found.virials, 9 * n_total);
    places.descriptors = place(nepal::descriptors, found.descriptors, n_local * dim_);
    places.projections = place(nepal::projections, found.projections, n_local * projection_length_);
    places.gamma = place(nepal::grades, found.gamma, n_local);
    places.rho = place(nepal::grades, found.rho, n_local);
    places.grade = place(nepal::grades, found.grade, n_local);
    compute(places);
    return found;
  }

  void finish(nepal_status_t status) {
    if (hook_ != nullptr && hook_->thrown) {
      std::rethrow_exception(std::exchange(hook_->thrown, nullptr));
    }
    detail::check(status);
  }

  std::size_t dim_;
  std::size_t projection_length_;
  std::unique_ptr<Hook> hook_;  // before handle_, so that it outlives it
  detail::Owner<nepal_calculator_t, nepal_calculator_free> handle_;
};

}  // namespace nepal

#endif  // NEPAL_HPP
