// What the threads of a warp do together. On the host the first thread of each warp does the work of
// all: arrays over `LANES` hold what each of them has, and a loop over them is there once on the
// device. The tests' shim has the host's side of this file.

#ifndef NEPAL_HOST
#define LANES 1
#define LANE(l) (threadIdx.x & 31)
#define WARP_RUNS true

NEPAL_FN double warp_sum(const double *own) {
    double x = own[0];
    for (int k = 16; k > 0; k /= 2) x += __shfl_xor_sync(0xffffffffu, x, k);
    return x;
}
NEPAL_FN double warp_max(const double *own) {
    double x = own[0];
    for (int k = 16; k > 0; k /= 2) {
        const double y = __shfl_xor_sync(0xffffffffu, x, k);
        x = y > x ? y : x;
    }
    return x;
}
// The largest with the smallest of its places, or with the largest.
NEPAL_FN double warp_first(const double *own, const u64 *where, u64 &at) {
    double x = own[0];
    u64 i = where[0];
    for (int k = 16; k > 0; k /= 2) {
        const double y = __shfl_xor_sync(0xffffffffu, x, k);
        const u64 j = __shfl_xor_sync(0xffffffffu, i, k);
        if (y > x || (y == x && j < i)) x = y, i = j;
    }
    at = i;
    return x;
}
NEPAL_FN double warp_last(const double *own, const u64 *where, u64 &at) {
    double x = own[0];
    u64 i = where[0];
    for (int k = 16; k > 0; k /= 2) {
        const double y = __shfl_xor_sync(0xffffffffu, x, k);
        const u64 j = __shfl_xor_sync(0xffffffffu, i, k);
        if (y > x || (y == x && j > i)) x = y, i = j;
    }
    at = i;
    return x;
}
NEPAL_FN void warp_wait() { __syncwarp(); }
NEPAL_FN u32 half_bits(float x) {
    unsigned short bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(x));
    return bits;
}
NEPAL_FN float half_value(u32 bits) {
    float x;
    asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"((unsigned short)bits));
    return x;
}
// C += A B, 16 x 16 by 16 x 8 halves, sums in f32. Fragments as PTX has them (mma.m16n8k16). Volatile:
// the lanes of a warp do it together, so that no compiler may move it to where only some come by.
NEPAL_FN void mma_half(float (*c)[4], const u32 (*a)[4], const u32 (*b)[2]) {
#if __CUDA_ARCH__ >= 800
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c[0][0]), "+f"(c[0][1]), "+f"(c[0][2]), "+f"(c[0][3])
        : "r"(a[0][0]), "r"(a[0][1]), "r"(a[0][2]), "r"(a[0][3]), "r"(b[0][0]), "r"(b[0][1]));
#else
    __trap(); // never launched there
#endif
}
// C += A B, 8 x 4 by 4 x 8 doubles (mma.m8n8k4): a lane has A[lane / 4][lane % 4], B[lane % 4][lane / 4]
// and C[lane / 4][2 (lane % 4) + 0, 1].
NEPAL_FN void mma_double(double (*c)[2], const double *a, const double *b) {
#if __CUDA_ARCH__ >= 800
    asm volatile("mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64 {%0,%1}, {%2}, {%3}, {%0,%1};"
        : "+d"(c[0][0]), "+d"(c[0][1])
        : "d"(a[0]), "d"(b[0]));
#else
    const u32 row = (threadIdx.x & 31) / 4, column = threadIdx.x & 3;
    for (u32 k = 0; k < 4; ++k) {
        const double x = __shfl_sync(0xffffffffu, a[0], 4 * row + k);
        c[0][0] = fma(x, __shfl_sync(0xffffffffu, b[0], 8 * column + k), c[0][0]);
        c[0][1] = fma(x, __shfl_sync(0xffffffffu, b[0], 8 * column + 4 + k), c[0][1]);
    }
#endif
}
#endif

// Number of this warp in its launch, and of all.
NEPAL_FN u64 warp_id() { return thread_id() / 32; }
NEPAL_FN u64 warp_count() { return thread_count() / 32; }
