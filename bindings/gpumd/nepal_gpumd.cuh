// SPDX-License-Identifier: MIT OR Apache-2.0
//
// Grades, fragments and a halt flag for GPUMD and its forks: one class that a fork owns and calls at
// the end of each step with its device pointers and stream. README.md has the lines to add.
//
// On NVIDIA's devices grades are computed where the atoms are, in the order of the fork's stream; what
// comes to the host on a checked step is the largest of them. Positions follow on the steps that are
// dumped or have a fragment to cut. Elsewhere (HIP, or NEPAL_BACKEND_CPU asked for) the processor grades
// copies. On all other steps nothing is touched.
//
// Includes nepal.hpp; link libnepal. C++17, CUDA (cudart) or HIP.

#ifndef NEPAL_GPUMD_CUH
#define NEPAL_GPUMD_CUH

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "nepal.hpp"

#if defined(USE_HIP)
#include <hip/hip_runtime.h>
#elif defined(__CUDACC__) || defined(NEPAL_GPUMD_CUDA)
#include <cuda_runtime.h>
#endif

namespace nepal {
namespace gpumd {

#if defined(USE_HIP) || defined(__CUDACC__) || defined(NEPAL_GPUMD_CUDA)
// Copies between the device and the host, in the order of a stream.
struct DeviceMemory {
#if defined(USE_HIP)
  using Stream = hipStream_t;
  static constexpr std::uint32_t backend = NEPAL_BACKEND_DEFAULT;
#else
  using Stream = cudaStream_t;
  static constexpr std::uint32_t backend = NEPAL_BACKEND_CUDA;
  // Of the device that is current: its primary context, which the library uses as well.
  static std::uint32_t device() {
    int number = 0;
    check(cudaGetDevice(&number), "asking for the device");
    return static_cast<std::uint32_t>(number);
  }
#endif

  static void to_host(void *to, const void *from, std::size_t bytes, Stream stream) {
#if defined(USE_HIP)
    check(hipMemcpyAsync(to, from, bytes, hipMemcpyDeviceToHost, stream), "copying to the host");
#else
    check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream), "copying to the host");
#endif
  }

  static void to_device(void *to, const void *from, std::size_t bytes, Stream stream) {
#if defined(USE_HIP)
    check(hipMemcpyAsync(to, from, bytes, hipMemcpyHostToDevice, stream), "copying to the device");
#else
    check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream), "copying to the device");
#endif
  }

  static void wait(Stream stream) {
#if defined(USE_HIP)
    check(hipStreamSynchronize(stream), "waiting for the stream");
#else
    check(cudaStreamSynchronize(stream), "waiting for the stream");
#endif
  }

 private:
#if defined(USE_HIP)
  static void check(hipError_t error, const char *what) {
    if (error != hipSuccess) fail(what, hipGetErrorString(error));
  }
#else
  static void check(cudaError_t error, const char *what) {
    if (error != cudaSuccess) fail(what, cudaGetErrorString(error));
  }
#endif
  static void fail(const char *what, const char *why) {
    throw Error(NEPAL_STATUS_BACKEND, std::string(what) + ": " + why);
  }
};
#endif

// "Device" memory that is the host's: for tests, and for codes that run on the host.
struct HostMemory {
  using Stream = void *;
  static constexpr std::uint32_t backend = NEPAL_BACKEND_DEFAULT;
  static void to_host(void *to, const void *from, std::size_t bytes, Stream) {
    std::memcpy(to, from, bytes);
  }
  static void to_device(void *to, const void *from, std::size_t bytes, Stream) {
    std::memcpy(to, from, bytes);
  }
  static void wait(Stream) {}
};

// The keywords of compute_extrapolation, with its defaults, and what nepal adds.
struct Options {
  std::string model = "nep.txt";
  std::string active_set = "active_set.asi";  // .asi, or nepal's own format
  double gamma_low = 0.0;     // dump from here on
  double gamma_high = 1e100;  // halt above
  int check_interval = 1;
  int dump_interval = 1;
  std::string dump = "extrapolation_dump.xyz";  // appended to; empty: no dump
  std::string fragments;         // extended XYZ for fragments; empty: none
  double save = 1.5;             // grade above which a fragment is cut
  std::uint32_t threads = 0;     // of the processor; 0: one a core
  // NEPAL_BACKEND_DEFAULT: the device that has the atoms, where the library can, else the processor.
  std::uint32_t backend = NEPAL_BACKEND_DEFAULT;
};

// What a step looks like in GPUMD's memory.
struct Step {
  int number_of_atoms = 0;
  const double *positions = nullptr;  // device: all x, then all y, then all z
  const int *types = nullptr;         // device: 0-based, in the order of the elements of nep.txt
  // Host: Box::cpu_h, lattice vectors in columns: a is h[0] h[3] h[6]. Releases of GPUMD with
  // Box::triclinic keep the three edges in h[0] h[1] h[2] where that is 0.
  const double *h = nullptr;
  bool orthogonal_form = false;
  std::array<int, 3> pbc{1, 1, 1};
};

// Owned by the fork, one for each simulation. Not to be used from two threads at once.
template <class Memory>
class BasicMonitor {
 public:
  using Stream = typename Memory::Stream;

  // Throws nepal::Error with nepal's text for a file that is not there or does not fit.
  explicit BasicMonitor(const Options &options)
      : options_(options),
        model_(options.model),
        elements_(model_.elements()),
        backend_(options.backend == NEPAL_BACKEND_DEFAULT ? Memory::backend : options.backend),
        // GPUMD works in single precision itself.
        calculator_(model_, backend_, options.threads, device<Memory>(0),
                    backend_ == NEPAL_BACKEND_CUDA ? NEPAL_PRECISION_MIXED : NEPAL_PRECISION_F64) {
    if (options.check_interval < 1 || options.dump_interval < 1) {
      throw Error(NEPAL_STATUS_INVALID_ARGUMENT,
                  "check_interval and dump_interval are " + std::to_string(options.check_interval) +
                      " and " + std::to_string(options.dump_interval) + "; expected at least 1");
    }
    const ActiveSet set(options.active_set, model_);
    kind_ = set.kind();
    calculator_.set_active_set(set);
    if (!options.fragments.empty()) {
      nepal_fragment_options_t given = NEPAL_FRAGMENT_OPTIONS_INIT;
      given.save = options.save;
      calculator_.set_fragment_file(given, options.fragments);
    }
  }

  // Call it at the end of each step. True if the step was one of those that are checked: then
  // max_grade() and halt() are those of this step, and `gamma`, a device array with a number for each
  // atom or NULL, has been filled with the reported grade (γ itself for an .asi set).
  bool end_of_step(int step, const Step &now, double *gamma, Stream stream) {
    if (step % options_.check_interval != 0) return false;
    check(now);
    const bool here = backend_ == NEPAL_BACKEND_CUDA;
    frame(now, step);
    max_grade_ = 0.0;
    if (here && now.number_of_atoms > 0) grade_on_device(now, gamma, stream);
    // The processor has the atoms to grade all of them, to cut fragments, and for the dump.
    const auto due = [&] { return max_grade_ >= options_.gamma_low && due_at(step); };
    if (!here || max_grade_ > options_.gamma_high || due() || cuts()) {
      collect(now, stream);
      Places places;
      places.grade = grade_;
      if (!grade_.empty()) calculator_.compute(atoms(), places);
    }
    if (!here) {
      for (const double grade : grade_) max_grade_ = std::max(max_grade_, grade);
      if (gamma != nullptr && !grade_.empty()) {
        Memory::to_device(gamma, grade_.data(), grade_.size() * sizeof(double), stream);
        Memory::wait(stream);
      }
    }
    halt_ = max_grade_ > options_.gamma_high;
    if (halt_ || due()) {
      if (!halt_) last_dump_ = step;
      dump();
    }
    return true;
  }

  // Largest grade of the last checked step.
  double max_grade() const noexcept { return max_grade_; }
  // Whether it was above gamma_high: end the run.
  bool halt() const noexcept { return halt_; }
  // NEPAL_GRADE_COMPAT or NEPAL_GRADE_RIDGE; say it where a grade is printed.
  std::uint32_t kind() const noexcept { return kind_; }
  const Model &model() const noexcept { return model_; }
  // Fragments written, passed over and refused so far; only with Options::fragments.
  Calculator::FragmentCounts fragment_counts() { return calculator_.fragment_counts(); }

 private:
  // The device that has the atoms, where the memory knows of one.
  template <class M>
  static auto device(int) -> decltype(M::device()) {
    return M::device();
  }
  template <class M>
  static std::uint32_t device(long) {
    return 0;
  }

  static void check(const Step &now) {
    if (now.number_of_atoms < 0 || now.h == nullptr ||
        (now.number_of_atoms > 0 && (now.positions == nullptr || now.types == nullptr))) {
      throw Error(NEPAL_STATUS_INVALID_ARGUMENT,
                  "a step needs positions, types and a box; found a null pointer");
    }
  }

  bool due_at(int step) const {
    return step == 0 || step - last_dump_ >= options_.dump_interval;
  }
  bool cuts() const { return !options_.fragments.empty() && max_grade_ > options_.save; }

  // Cell and step, from GPUMD's layout to nepal's.
  void frame(const Step &now, int step) {
    structure_.step = step;
    structure_.cell = {};
    for (std::size_t v = 0; v < 3; ++v) {
      for (std::size_t d = 0; d < 3; ++d) {
        if (!now.orthogonal_form) {
          structure_.cell[3 * v + d] = now.h[3 * d + v];
        } else if (v == d) {
          structure_.cell[3 * v + d] = now.h[v];
        }
      }
      structure_.periodic[v] = now.pbc[v] != 0 ? 1 : 0;
    }
  }

  // Grades all atoms where they are; the largest grade comes to the host.
  void grade_on_device(const Step &now, double *gamma, Stream stream) {
    const auto n = static_cast<std::size_t>(now.number_of_atoms);
    nepal_device_atoms_t atoms = NEPAL_DEVICE_ATOMS_INIT;
    atoms.n_atoms = n;
    atoms.positions = now.positions;
    atoms.position_strides[0] = 1;
    atoms.position_strides[1] = n;
    atoms.types = now.types;
    atoms.cell = structure_.cell.data();
    std::copy(structure_.periodic.begin(), structure_.periodic.end(), atoms.periodic);
    atoms.flags = NEPAL_DEVICE_COMPARE_TYPES;
    atoms.stream = stream;
    nepal_device_results_t results = NEPAL_DEVICE_RESULTS_INIT;
    results.grade = gamma;
    results.largest_grade = &max_grade_;
    calculator_.compute(atoms, results);
  }

  // Positions and types on the host.
  void collect(const Step &now, Stream stream) {
    const auto n = static_cast<std::size_t>(now.number_of_atoms);
    soa_.resize(3 * n);
    grade_.resize(n);
    structure_.positions.resize(3 * n);
    structure_.types.resize(n);
    if (n > 0) {
      static_assert(sizeof(int) == sizeof(std::int32_t), "types are 32 bits wide");
      Memory::to_host(soa_.data(), now.positions, 3 * n * sizeof(double), stream);
      Memory::to_host(structure_.types.data(), now.types, n * sizeof(int), stream);
      Memory::wait(stream);
    }
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t d = 0; d < 3; ++d) structure_.positions[3 * i + d] = soa_[d * n + i];
    }
  }

  // Atoms in arrays, with the fields that Structure has.
  Atoms atoms() const {
    return {structure_.positions, structure_.types,    structure_.cell,
            structure_.periodic,  structure_.tags, structure_.step};
  }

  // A frame as compute_extrapolation writes it, in one go.
  void dump() const {
    if (options_.dump.empty()) return;
    std::string text = std::to_string(structure_.size()) + "\n";
    char line[400];
    const auto &p = structure_.periodic;
    const auto &c = structure_.cell;
    std::snprintf(line, sizeof line, "max_gamma=%.8f pbc=\"%c %c %c\" ", max_grade_,
                  p[0] != 0 ? 'T' : 'F', p[1] != 0 ? 'T' : 'F', p[2] != 0 ? 'T' : 'F');
    text += line;
    std::snprintf(line, sizeof line, "Lattice=\"%.8f %.8f %.8f %.8f %.8f %.8f %.8f %.8f %.8f\" ", c[0],
                  c[1], c[2], c[3], c[4], c[5], c[6], c[7], c[8]);
    text += line;
    text += "Properties=species:S:1:pos:R:3:gamma:R:1\n";
    for (std::size_t i = 0; i < structure_.size(); ++i) {
      const double *r = &structure_.positions[3 * i];
      const auto type = static_cast<std::size_t>(structure_.types[i]);
      std::snprintf(line, sizeof line, "%s %.8f %.8f %.8f %8f\n", elements_[type].c_str(), r[0], r[1],
                    r[2], grade_[i]);
      text += line;
    }
    std::unique_ptr<std::FILE, int (*)(std::FILE *)> file(std::fopen(options_.dump.c_str(), "a"),
                                                          std::fclose);
    if (!file || std::fwrite(text.data(), 1, text.size(), file.get()) != text.size()) {
      throw Error(NEPAL_STATUS_IO, "cannot append to " + options_.dump);
    }
  }

  Options options_;
  Model model_;
  std::vector<std::string> elements_;
  std::uint32_t backend_;
  Calculator calculator_;
  std::uint32_t kind_ = 0;
  Structure structure_;
  std::vector<double> soa_, grade_;
  double max_grade_ = 0.0;
  bool halt_ = false;
  int last_dump_ = 0;
};

#if defined(USE_HIP) || defined(__CUDACC__) || defined(NEPAL_GPUMD_CUDA)
using Monitor = BasicMonitor<DeviceMemory>;
#endif

}  // namespace gpumd
}  // namespace nepal

#endif  // NEPAL_GPUMD_CUH
