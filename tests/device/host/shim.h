// CUDA's words for a C++ compiler: the threads of a launch run one after another, in an order that
// changes from launch to launch, so that nothing can depend on it.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstdlib>
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
static inline unsigned long long atomicAdd(unsigned long long *p, unsigned long long x) {
    const unsigned long long old = *p;
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
static inline double __longlong_as_double(long long bits) {
    double x;
    std::memcpy(&x, &bits, sizeof x);
    return x;
}
// Through memory, so that no compiler contracts them.
static inline double __dmul_rn(double x, double y) {
    volatile double z = x * y;
    return z;
}
static inline double __dadd_rn(double x, double y) {
    volatile double z = x + y;
    return z;
}
static inline double __dsub_rn(double x, double y) { return __dadd_rn(x, -y); }
static inline double rsqrt(double x) { return 1 / sqrt(x); }
static inline float rsqrtf(float x) { return 1 / sqrtf(x); }
static inline void sincospi(double x, double *s, double *c) {
    *s = std::sin(M_PI * x);
    *c = std::cos(M_PI * x);
}
static inline void sincospif(float x, float *s, float *c) {
    *s = std::sin((float)M_PI * x);
    *c = std::cos((float)M_PI * x);
}

// The host's side of kernels/warp.cuh. Fragments are those of PTX (mma.m8n8k4).
#define NEPAL_HOST 1
#define LANES 32
#define LANE(l) (l)
#define WARP_RUNS (threadIdx.x % 32 == 0)
static inline double warp_sum(const double *own) {
    double v[32];
    std::memcpy(v, own, sizeof v);
    for (int k = 16; k > 0; k /= 2) {
        double w[32];
        for (int l = 0; l < 32; ++l) w[l] = v[l] + v[l ^ k];
        std::memcpy(v, w, sizeof v);
    }
    return v[0];
}
static inline double warp_max(const double *own) {
    double x = own[0];
    for (int l = 1; l < 32; ++l) x = own[l] > x ? own[l] : x;
    return x;
}
static inline double warp_first(const double *own, const unsigned long long *where, unsigned long long &at) {
    int best = 0;
    for (int l = 1; l < 32; ++l)
        if (own[l] > own[best] || (own[l] == own[best] && where[l] < where[best])) best = l;
    at = where[best];
    return own[best];
}
static inline void warp_wait() {}
static inline void mma_double(double (*c)[2], const double *a, const double *b) {
    for (int l = 0; l < 32; ++l)
        for (int i = 0; i < 2; ++i)
            for (int k = 0; k < 4; ++k) c[l][i] = std::fma(a[l / 4 * 4 + k], b[(2 * (l % 4) + i) * 4 + k], c[l][i]);
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
