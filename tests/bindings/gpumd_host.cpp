// A small host that keeps its atoms as GPUMD does and owns a monitor: struct-of-arrays positions,
// types, Box::cpu_h. With NEPAL_GPUMD_CUDA the arrays are on a device, else the host's memory stands
// for one. Arguments: the folder of the examples' data, a folder to write to, and `cuda` where the library
// finds a device (or a stand-in) in the host's memory.
#include <nepal_gpumd.cuh>

#include <cstdio>
#include <cstdlib>

namespace {

namespace gpumd = nepal::gpumd;

#ifdef NEPAL_GPUMD_CUDA
using Monitor = gpumd::Monitor;
template <class T>
T *device(const std::vector<T> &host) {
  T *pointer = nullptr;
  const cudaError_t error = cudaMalloc(reinterpret_cast<void **>(&pointer), host.size() * sizeof(T));
  if (error != cudaSuccess) {
    std::fprintf(stderr, "error: no memory of a device: %s\n", cudaGetErrorString(error));
    std::exit(1);
  }
  cudaMemcpy(pointer, host.data(), host.size() * sizeof(T), cudaMemcpyHostToDevice);
  return pointer;
}
template <class T>
std::vector<T> host(const T *pointer, std::size_t n) {
  std::vector<T> values(n);
  cudaMemcpy(values.data(), pointer, n * sizeof(T), cudaMemcpyDeviceToHost);
  return values;
}
constexpr cudaStream_t stream = nullptr;
#else
using Monitor = gpumd::BasicMonitor<gpumd::HostMemory>;
template <class T>
T *device(const std::vector<T> &host) {
  T *pointer = static_cast<T *>(std::malloc(host.size() * sizeof(T)));
  std::copy(host.begin(), host.end(), pointer);
  return pointer;
}
template <class T>
std::vector<T> host(const T *pointer, std::size_t n) {
  return {pointer, pointer + n};
}
constexpr void *stream = nullptr;
#endif

constexpr int cells = 3, atoms = 8 * cells * cells * cells;
constexpr double edge = 5.431 * cells;

// Diamond as GPUMD lays it out; atom 4 goes astray by `far` Å.
std::vector<double> positions(double far) {
  constexpr int basis[8][3] = {{0, 0, 0}, {0, 2, 2}, {2, 0, 2}, {2, 2, 0},
                               {1, 1, 1}, {1, 3, 3}, {3, 1, 3}, {3, 3, 1}};
  std::vector<double> x(3 * atoms);
  for (int i = 0; i < atoms; ++i) {
    const int c = i / 8;
    const int shift[3] = {c / (cells * cells), c / cells % cells, c % cells};
    for (int d = 0; d < 3; ++d) {
      x[static_cast<std::size_t>(d * atoms + i)] =
          5.431 * (shift[d] + 0.25 * basis[i % 8][d]) + 0.03 * std::sin(1.7 * i + 2.1 * d);
    }
  }
  x[4] += far;
  return x;
}

void run(const std::string &data, const std::string &out, std::uint32_t backend) {
  gpumd::Options options;
  options.backend = backend;
  options.model = data + "/nep.txt";
  options.active_set = data + "/active_set.nas";
  options.gamma_low = 1.0;
  options.gamma_high = 6.0;
  options.check_interval = 2;
  options.dump = out + "/extrapolation_dump.xyz";
  options.fragments = out + "/fragments.xyz";
  options.save = 5.0;
  Monitor monitor(options);

  const std::vector<int> types(atoms, 0);
  int *device_types = device(types);
  double *device_gamma = device(std::vector<double>(atoms, -1.0));
  const double h[18] = {edge, 0, 0, 0, edge, 0, 0, 0, edge};
  for (int step = 0; step <= 8; ++step) {
    double *device_positions = device(positions(0.13 * step));
    gpumd::Step now;
    now.number_of_atoms = atoms;
    now.positions = device_positions;
    now.types = device_types;
    now.h = h;
    if (!monitor.end_of_step(step, now, device_gamma, stream)) continue;
    const std::vector<double> gamma = host(device_gamma, atoms);
    const double largest = *std::max_element(gamma.begin(), gamma.end());
    if (largest != monitor.max_grade()) std::exit(1);
    std::printf("step %d: largest grade %.6f%s\n", step, largest, monitor.halt() ? ", halt" : "");
    if (monitor.halt()) break;
  }
  std::printf("fragments: %zu\n", monitor.fragment_counts().delivered);

  // The same box, as releases with Box::triclinic keep an orthogonal one, and skewed by a period.
  const double edges[18] = {edge, edge, edge};
  const double skewed[18] = {edge, edge, 0, 0, edge, 0, 0, 0, edge};
  options.fragments.clear();
  options.dump.clear();
  options.check_interval = 1;
  Monitor plain(options);
  gpumd::Step now;
  now.number_of_atoms = atoms;
  now.positions = device(positions(0.5));
  now.types = device_types;
  double found[3];
  const double *boxes[3] = {h, edges, skewed};
  for (int k = 0; k < 3; ++k) {
    now.h = boxes[k];
    now.orthogonal_form = k == 1;
    plain.end_of_step(k, now, nullptr, stream);
    found[k] = plain.max_grade();
  }
  // A device sums in single precision, in the order of its neighbour lists.
  const double close = backend == NEPAL_BACKEND_CUDA ? 1e-4 : 1e-9;
  for (const double other : found)
    if (std::abs(found[0] - other) > close * found[0]) std::exit(1);
  now.pbc = {0, 0, 0};
  now.h = h;
  now.orthogonal_form = false;
  plain.end_of_step(3, now, nullptr, stream);
  std::printf("open boundaries change the grade: %s\n", plain.max_grade() != found[0] ? "yes" : "no");
}

}  // namespace

int main(int argc, char **argv) {
  try {
    run(argv[1], argv[2], argc > 3 ? NEPAL_BACKEND_CUDA : NEPAL_BACKEND_DEFAULT);
    gpumd::Options options;
    options.model = "no/such/nep.txt";
    Monitor monitor(options);
  } catch (const nepal::Error &error) {
    std::printf("error: %s\n", error.what());
    return 0;
  }
  return 1;
}
