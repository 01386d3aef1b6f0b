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
// The largest with the smallest of its places.
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
NEPAL_FN void warp_wait() { __syncwarp(); }
// C += A B, 8 x 4 by 4 x 8 doubles (mma.m8n8k4): a lane has A[lane / 4][lane % 4], B[lane % 4][lane / 4]
// and C[lane / 4][2 (lane % 4) + 0, 1]. Volatile: the lanes of a warp do it together, so that no compiler may
// move it to where only some come by.
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

// C += A B, 16 x 16 by 16 x 8 doubles (mma.m16n8k16): a lane has A[lane / 4 + 8 (i % 2)][lane % 4 + 4 (i / 2)],
// B[lane % 4 + 4 i][lane / 4] and C[lane / 4 + 8 h][2 (lane % 4) + 0, 1], h = 0, 1. Volatile as above.
NEPAL_FN void mma_double_16(double (*c)[LANES][2], const double (*a)[LANES], const double (*b)[LANES]) {
#if __CUDA_ARCH__ >= 900
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f64.f64.f64.f64 {%0,%1,%2,%3}, "
                 "{%4,%5,%6,%7,%8,%9,%10,%11}, {%12,%13,%14,%15}, {%0,%1,%2,%3};"
        : "+d"(c[0][0][0]), "+d"(c[0][0][1]), "+d"(c[1][0][0]), "+d"(c[1][0][1])
        : "d"(a[0][0]), "d"(a[1][0]), "d"(a[2][0]), "d"(a[3][0]), "d"(a[4][0]), "d"(a[5][0]), "d"(a[6][0]),
          "d"(a[7][0]), "d"(b[0][0]), "d"(b[1][0]), "d"(b[2][0]), "d"(b[3][0]));
#else
    for (int k = 0; k < 4; ++k)
        for (int h = 0; h < 2; ++h) mma_double(c[h], a[2 * k + h], b[k]);
#endif
}

// Number of this warp in its launch, and of all.
NEPAL_FN u64 warp_id() { return thread_id() / 32; }
NEPAL_FN u64 warp_count() { return thread_count() / 32; }
