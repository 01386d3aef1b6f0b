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
struct alignas(8) uint2 {
    unsigned x, y;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
static inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
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
static inline void sincospi(double x, double *s, double *c) {
    *s = std::sin(M_PI * x);
    *c = std::cos(M_PI * x);
}

// The host's side of kernels/warp.cuh. Fragments are those of PTX (mma.m16n8k16, mma.m8n8k4).
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
static inline double warp_last(const double *own, const unsigned long long *where, unsigned long long &at) {
    int best = 0;
    for (int l = 1; l < 32; ++l)
        if (own[l] > own[best] || (own[l] == own[best] && where[l] > where[best])) best = l;
    at = where[best];
    return own[best];
}
static inline void warp_wait() {}
struct Halves {
    float value[65536];
    Halves() {
        for (unsigned bits = 0; bits < 65536; ++bits) {
            const int exponent = bits >> 10 & 31;
            const float m = bits & 1023;
            const float size = exponent == 0    ? std::ldexp(m, -24)
                               : exponent == 31 ? (m == 0 ? INFINITY : NAN)
                                                : std::ldexp(1024 + m, exponent - 25);
            value[bits] = bits >> 15 ? -size : size;
        }
    }
};
static const Halves halves;
static inline float half_value(unsigned bits) { return halves.value[bits]; }
static inline unsigned half_bits(float x) {
    const unsigned sign = std::signbit(x) ? 0x8000 : 0;
    const float size = std::fabs(x);
    if (x != x) return 0x7fff;
    if (size >= 65520.0f) return sign | 0x7c00;
    if (size < std::ldexp(1.0f, -14)) return sign | (unsigned)std::nearbyint(std::ldexp(size, 24));
    int e;
    std::frexp(size, &e); // size = m 2^e with 1/2 <= m < 1
    const unsigned m = (unsigned)std::nearbyint(std::ldexp(size, 11 - e)); // 1024 to 2048
    return sign | (((unsigned)(e + 14) << 10) + (m - 1024));
}
// How tensor cores are said to sum: all addends cut to 24 bits of the largest, without rounding. The sum
// is cut likewise. FAKE_MMA=truncate asks for it.
static const bool truncates = [] {
    const char *how = std::getenv("FAKE_MMA");
    return how && std::strcmp(how, "truncate") == 0;
}();
static inline float truncated_sum(float c, const float *a, const float (*b)[8], int column) {
    double addends[17], largest = std::fabs((double)c);
    addends[16] = c;
    for (int k = 0; k < 16; ++k) {
        addends[k] = (double)a[k] * b[k][column];
        if (!(std::fabs(addends[k]) <= largest)) largest = std::fabs(addends[k]);
    }
    double sum = 0;
    for (double x : addends) sum += x;
    if (!(largest > 0 && std::isfinite(sum))) return (float)sum;
    int e;
    std::frexp(largest, &e);
    const double unit = std::ldexp(1.0, e - 24);
    sum = 0;
    for (double x : addends) sum += std::trunc(x / unit) * unit;
    if (sum == 0) return 0;
    std::frexp(sum, &e);
    const double last = std::ldexp(1.0, e - 24);
    return (float)(std::trunc(sum / last) * last);
}
static inline void mma_half(float (*c)[4], const unsigned (*a)[4], const unsigned (*b)[2]) {
    float A[16][16], B[16][8];
    for (int l = 0; l < 32; ++l) {
        const int g = l / 4, t = l % 4;
        for (int i = 0; i < 8; ++i)
            A[i / 2 % 2 ? g + 8 : g][2 * t + i % 2 + (i < 4 ? 0 : 8)] = half_value(a[l][i / 2] >> (i % 2 ? 16 : 0) & 0xffff);
        for (int i = 0; i < 4; ++i) B[2 * t + i % 2 + (i < 2 ? 0 : 8)][g] = half_value(b[l][i / 2] >> (i % 2 ? 16 : 0) & 0xffff);
    }
    float C[16][8];
    const auto at = [&C](int l, int i) -> float & { return C[l / 4 + (i < 2 ? 0 : 8)][2 * (l % 4) + i % 2]; };
    for (int l = 0; l < 32; ++l)
        for (int i = 0; i < 4; ++i) at(l, i) = c[l][i];
    if (truncates) {
        for (int row = 0; row < 16; ++row)
            for (int column = 0; column < 8; ++column) C[row][column] = truncated_sum(C[row][column], A[row], B, column);
    } else {
        for (int row = 0; row < 16; ++row)
            for (int k = 0; k < 16; ++k)
                for (int column = 0; column < 8; ++column) C[row][column] += A[row][k] * B[k][column];
    }
    for (int l = 0; l < 32; ++l)
        for (int i = 0; i < 4; ++i) c[l][i] = at(l, i);
}
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
