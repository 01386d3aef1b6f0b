// The words in which the kernels are written. NVRTC reads this text as it is; a C++ compiler reads
// it after the tests' shim, which gives CUDA's words a meaning on the host.

typedef unsigned int u32;
typedef unsigned long long u64;

// Numbers of the work on pairs and neurons (`real`), and of sums over atoms (`accum`).
#if NEPAL_DOUBLE
typedef double real;
#define real_sqrt sqrt
#define real_rsqrt rsqrt
#define real_exp exp
#define real_erfc erfc
#define real_sincospi sincospi
#define real_tanh tanh
#define real_fma fma
#else
typedef float real;
#define real_sqrt sqrtf
#define real_rsqrt rsqrtf
#define real_exp expf
#define real_erfc erfcf
#define real_sincospi sincospif
#define real_tanh tanhf
#define real_fma fmaf
#endif
typedef double accum;

#define NEPAL_FN static __device__ __forceinline__
// Blocks of 128 threads; every kernel is right for any block, down to one thread.
#define NEPAL_KERNEL extern "C" __global__ void __launch_bounds__(128)
#define R(x) ((real)(x))
#define NONE 0xffffffffu
#define INFINITE __longlong_as_double(0x7ff0000000000000ll)
#define NOT_A_NUMBER __longlong_as_double(0x7ff8000000000000ll)
// Atoms of a slice of a neighbour list: entry k of a slice's atoms lies side by side.
#define SLICE 32

// Four numbers that are read and written at once.
struct alignas(4 * sizeof(real)) real4 {
    real x, y, z, w;
};

// Number of this thread in its launch, and of all threads.
NEPAL_FN u64 thread_id() { return (u64)blockIdx.x * blockDim.x + threadIdx.x; }
NEPAL_FN u64 thread_count() { return (u64)gridDim.x * blockDim.x; }
