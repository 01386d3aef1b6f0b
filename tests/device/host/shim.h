// CUDA's words for a C++ compiler: the threads of a launch run one after another, in an order that
// changes from launch to launch, so that nothing can depend on it.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

#define __device__
#define __global__
#define __forceinline__ inline
#define __launch_bounds__(n)

struct Index {
    unsigned x, y, z;
};
static thread_local Index threadIdx, blockIdx, blockDim, gridDim;

static inline unsigned atomicAdd(unsigned *p, unsigned x) {
    const unsigned old = *p;
    *p = old + x;
    return old;
}
static inline unsigned atomicMax(unsigned *p, unsigned x) {
    const unsigned old = *p;
    if (x > old) *p = x;
    return old;
}
static inline unsigned __float_as_uint(float x) {
    unsigned bits;
    std::memcpy(&bits, &x, sizeof bits);
    return bits;
}
static inline void sincospi(double x, double *s, double *c) {
    *s = std::sin(M_PI * x);
    *c = std::cos(M_PI * x);
}

// Runs all threads of a launch; `step` has no factor in common with their number.
template <class A>
static void run_all(void (*kernel)(A), unsigned grid, unsigned block, unsigned long step, void **parameters) {
    const A args = *static_cast<const A *>(parameters[0]);
    const unsigned long total = (unsigned long)grid * block;
    blockDim = {block, 1, 1};
    gridDim = {grid, 1, 1};
    unsigned long at = step % total;
    for (unsigned long n = 0; n < total; ++n, at = (at + step) % total) {
        threadIdx = {(unsigned)(at % block), 0, 0};
        blockIdx = {(unsigned)(at / block), 0, 0};
        kernel(args);
    }
}

#define HOST_LAUNCHER(name)                                                                        \
    extern "C" void launch_##name(unsigned g, unsigned b, unsigned long step, void **p) {          \
        run_all(name, g, b, step, p);                                                              \
    }
