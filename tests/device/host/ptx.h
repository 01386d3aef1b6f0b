// What PTX means, for the C++ that ptx.py writes: a register holds bits, an instruction is the function
// of its name and types. Written from the PTX ISA, fragments of matrices as well, independent of the
// kernels. It stops on loads that are not aligned, on lanes of a warp that wait at different places, on
// lanes that have left while others wait for all, and on local arrays that are left; the stand-in
// driver has guard pages around what it allocates. With FAKE_CUDA_COUNTS=FILE each launch adds a line
// there: instructions of its warps by class, loads and stores of warps, and the 128-byte lines that
// these touch.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <type_traits>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int8_t s8;
typedef int16_t s16;
typedef int32_t s32;
typedef int64_t s64;

#define OP template <class T> static inline __attribute__((always_inline))
#define FN static inline __attribute__((always_inline))

[[noreturn]] static void stop(const char *what, const char *why, u64 number) {
    fprintf(stderr, "PTX: %s: %s (%llx)\n", what, why, (unsigned long long)number);
    abort();
}

// Bits and values.

template <class T> struct Bits { using type = std::make_unsigned_t<T>; };
template <> struct Bits<float> { using type = u32; };
template <> struct Bits<double> { using type = u64; };
template <> struct Bits<bool> { using type = bool; };
template <class T> using Raw = typename Bits<T>::type;
template <class T> FN T value(Raw<T> bits) {
    T x;
    memcpy(&x, &bits, sizeof x);
    return x;
}
template <class T> FN Raw<T> bits_of(T x) {
    Raw<T> bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}
FN double number(u64 bits) { return value<double>(bits); }
FN u64 address(const void *p) { return (u64)p; }

// Instructions of a lane by itself.

#define UNARY(name, expression) OP Raw<T> i_##name(Raw<T> x) { const T a = value<T>(x); return bits_of<T>((T)(expression)); }
#define BINARY(name, expression) \
    OP Raw<T> i_##name(Raw<T> x, Raw<T> y) { const T a = value<T>(x), b = value<T>(y); return bits_of<T>((T)(expression)); }
#define TERNARY(name, expression) \
    OP Raw<T> i_##name(Raw<T> x, Raw<T> y, Raw<T> z) { \
        const T a = value<T>(x), b = value<T>(y), c = value<T>(z); return bits_of<T>((T)(expression)); }
OP T larger(T a, T b) { if constexpr (std::is_floating_point_v<T>) return std::fmax(a, b); else return a > b ? a : b; }
OP T smaller(T a, T b) { if constexpr (std::is_floating_point_v<T>) return std::fmin(a, b); else return a < b ? a : b; }
OP T opposite(T a) { if constexpr (std::is_floating_point_v<T>) return -a; else return 0 - a; }
OP T size(T a) { if constexpr (std::is_floating_point_v<T>) return std::fabs(a); else return a < 0 ? 0 - a : a; }
OP T rounded_down(T a, T b, T c) {
    static_assert(sizeof(T) == 4);
    const double exact = (double)a * b + c;
    const T near = (T)exact;
    return near > exact ? std::nextafter(near, (T)-INFINITY) : near;
}
OP T flush(T a) { return std::fabs(a) < 1.17549435e-38f ? std::copysign((T)0, a) : a; }
// Of doubles the hardware gives the upper half.
OP T approximate_inverse(T a) {
    if constexpr (sizeof(T) == 8) return value<T>(bits_of<T>(1 / a) & 0xffffffff00000000ull);
    else return flush<T>(1 / flush<T>(a));
}
OP T saturated(T a) { return !(a > 0) ? 0 : a < 1 ? a : 1; }

OP Raw<T> i_mov(Raw<T> x) { return x; }
UNARY(neg, opposite(a)) UNARY(abs, size(a))
BINARY(add, a + b) BINARY(sub, a - b) BINARY(mul, a * b) BINARY(div, a / b) BINARY(rem, a % b)
BINARY(add_rn, a + b) BINARY(sub_rn, a - b) BINARY(mul_rn, a * b) BINARY(div_rn, a / b)
BINARY(mul_lo, a * b) TERNARY(mad_lo, a * b + c)
BINARY(max, larger(a, b)) BINARY(min, smaller(a, b)) BINARY(copysign, std::copysign(b, a))
TERNARY(fma_rn, std::fma(a, b, c)) TERNARY(fma_rm, rounded_down(a, b, c))
UNARY(rcp_rn, 1 / a) UNARY(sqrt_rn, std::sqrt(a)) UNARY(rsqrt_approx, 1 / std::sqrt(a)) UNARY(rsqrt_approx_ftz, approximate_inverse(std::sqrt(a))) UNARY(rcp_approx_ftz, approximate_inverse(a))
UNARY(ex2_approx_ftz, flush(std::exp2(flush(a)))) UNARY(lg2_approx_ftz, std::log2(flush(a)))
template <class T> FN Raw<T> i_not(Raw<T> x) { return std::is_same_v<T, bool> ? !x : ~x; }
OP Raw<T> i_and(Raw<T> x, Raw<T> y) { return x & y; }
OP Raw<T> i_or(Raw<T> x, Raw<T> y) { return x | y; }
OP Raw<T> i_xor(Raw<T> x, Raw<T> y) { return x ^ y; }
OP Raw<T> i_selp(Raw<T> x, Raw<T> y, bool p) { return p ? x : y; }
OP Raw<T> i_shl(Raw<T> x, u32 n) { return n >= 8 * sizeof(T) ? 0 : x << n; }
OP Raw<T> i_shr(Raw<T> x, u32 n) {
    const u32 most = 8 * sizeof(T) - 1;
    if (n > most) return std::is_signed_v<T> ? value<T>(x) >> most : 0;
    return value<T>(x) >> n;
}
OP Raw<T> i_bfi(Raw<T> x, Raw<T> y, u32 at, u32 n) {
    const Raw<T> ones = n >= 8 * sizeof(T) ? ~(Raw<T>)0 : ((Raw<T>)1 << n) - 1, mask = ones << at;
    return (y & ~mask) | ((x << at) & mask);
}
template <class T> struct Twice;
template <> struct Twice<u16> { using type = u32; };
template <> struct Twice<s16> { using type = s32; };
template <> struct Twice<u32> { using type = u64; };
template <> struct Twice<s32> { using type = s64; };
template <> struct Twice<u64> { using type = unsigned __int128; };
template <> struct Twice<s64> { using type = __int128; };
template <class T> using Wide = typename Twice<T>::type;
OP Wide<T> product(Raw<T> x, Raw<T> y) { return (Wide<T>)value<T>(x) * value<T>(y); }
OP auto i_mul_wide(Raw<T> x, Raw<T> y) { return (std::make_unsigned_t<Wide<T>>)product<T>(x, y); }
OP auto i_mad_wide(Raw<T> x, Raw<T> y, std::make_unsigned_t<Wide<T>> z) { return i_mul_wide<T>(x, y) + z; }
OP Raw<T> i_mul_hi(Raw<T> x, Raw<T> y) { return (Raw<T>)(product<T>(x, y) >> 8 * sizeof(T)); }

// Comparisons: ordered ones are false with a NaN, unordered ones true.
#define COMPARE(name, expression) \
    OP bool i_setp_##name(Raw<T> x, Raw<T> y) { const T a = value<T>(x), b = value<T>(y); return expression; }
COMPARE(eq, a == b) COMPARE(ne, a < b || a > b) COMPARE(lt, a < b) COMPARE(le, a <= b) COMPARE(gt, a > b)
COMPARE(ge, a >= b) COMPARE(lo, a < b) COMPARE(ls, a <= b) COMPARE(hi, a > b) COMPARE(hs, a >= b)
COMPARE(equ, !(a < b || a > b)) COMPARE(neu, !(a == b)) COMPARE(ltu, !(a >= b)) COMPARE(leu, !(a > b))
COMPARE(gtu, !(a <= b)) COMPARE(geu, !(a < b)) COMPARE(num, a == a && b == b) COMPARE(nan, a != a || b != b)

// Conversions. To integers they stop at the ends; what is no number is 0, or from 64 to 64 bits the lowest.
template <class D, class S> FN D converted(S x) {
    if constexpr (std::is_integral_v<D> && std::is_floating_point_v<S>) {
        const bool wide = sizeof(S) == 8 && sizeof(D) == 8;
        if (x != x) return wide ? (D)0x8000000000000000ull : 0;
        const S low = std::is_signed_v<D> ? -std::ldexp((S)1, 8 * sizeof(D) - 1) : 0;
        const S high = std::ldexp((S)1, 8 * sizeof(D) - std::is_signed_v<D>);
        const D lowest = std::is_signed_v<D> ? (D)1 << (8 * sizeof(D) - 1) : 0;
        return x <= low ? lowest : x >= high ? (D)~lowest : (D)x;
    } else {
        return (D)x;
    }
}
#define CONVERT(name, expression) \
    template <class D, class S> FN Raw<D> i_cvt##name(Raw<S> x) { \
        const S a = value<S>(x); return bits_of<D>(converted<D, S>(expression)); }
CONVERT(, a) CONVERT(_rn, a) CONVERT(_rzi, std::trunc(a)) CONVERT(_rni, std::nearbyint(a))
CONVERT(_rmi, std::floor(a)) CONVERT(_rpi, std::ceil(a)) CONVERT(_sat, saturated(a))

OP Raw<T> a_add(Raw<T> *p, Raw<T> x) { const Raw<T> old = *p; *p = old + x; return old; }
OP Raw<T> a_max(Raw<T> *p, Raw<T> x) { const Raw<T> old = *p; *p = i_max<T>(old, x); return old; }

// Warps.

enum Sync { NOTHING, WAIT, SHUFFLE, PRODUCT_8_4, PRODUCT_16_4, PRODUCT_16_8, PRODUCT_16_16 };
const int LEFT = -1, LANES = 32, MOST_ACCESSES = 4096;

FN int source_bfly(u32 lane, u32 k) { return lane ^ (k & 31); }
FN int source_idx(u32, u32 k) { return k & 31; }
FN int source_up(u32 lane, u32 k) { return (int)lane - (int)(k & 31); }
FN int source_down(u32 lane, u32 k) { return lane + (k & 31); }

// What the lanes of a warp have in common, and what they do at once.
struct Warp {
    u32 in[LANES], out[LANES];
    int source[LANES];
    double a[LANES][8], b[LANES][4], c[LANES][4];
    // With counts: where each access of a block went, and how wide it is.
    bool counting;
    u64 where[MOST_ACCESSES][LANES];
    u8 width[MOST_ACCESSES];
};

struct Lane {
    u32 tid, ntid, ctaid, nctaid, lane;
    Warp *w;
    const u8 *parameters;
    size_t n_parameters;

    void give(u32 x, int from, u32 clamp, u32 mask) {
        if (clamp != 31 || mask != ~0u) stop("a shuffle", "that is not of the whole warp", mask);
        w->in[lane] = x, w->source[lane] = from;
    }
    bool had_source() const { return w->source[lane] >= 0 && w->source[lane] < LANES; }
    u32 given() const { return w->out[lane]; }
    double &a(int i) { return w->a[lane][i]; }
    double &b(int i) { return w->b[lane][i]; }
    double &c(int i) { return w->c[lane][i]; }

    template <class T, int N> T *aligned(u64 at) {
        if (at % (sizeof(T) * N)) stop("an access is not aligned", "address", at);
        return (T *)at;
    }
    template <class T, int N> T *parameter(u64 at) {
        if (at < (u64)parameters || at + sizeof(T) * N > (u64)parameters + n_parameters) stop("a parameter", "beyond them", at);
        return aligned<T, N>(at);
    }
    template <class T, int N> T *global(u64 at, int access) {
        if (w->counting) w->where[access][lane] = at, w->width[access] = sizeof(T) * N;
        return aligned<T, N>(at);
    }
};
// The local array of a lane; addresses of no space may be there.
#define LANE_MEMORY(size) \
    template <class T, int N> T *local(u64 at, int) { \
        if (at < (u64)depot || at + sizeof(T) * N > (u64)depot + size) stop("a local access", "outside of its array", at); \
        return aligned<T, N>(at); \
    } \
    template <class T, int N> T *generic(u64 at, int access) { \
        return size > 0 && at - (u64)depot < size ? local<T, N>(at, access) : global<T, N>(at, access); \
    }

// C += A B of matrices of doubles, A of M x K (M is 8 or 16), B of K x 8: element i of a lane's part of A is in
// row lane / 4 + 8 (i % 2) and column lane % 4 + 4 (i / 2), of B in row lane % 4 + 4 i and column lane / 4, of C
// in row lane / 4 + 8 (i / 2) and column 2 (lane % 4) + i % 2. With 8 rows a lane has one element of A.
template <int M, int K> static void multiply(Warp &w) {
    double a[16][16], b[16][8];
    for (int l = 0; l < LANES; ++l) {
        for (int i = 0; i < M * K / LANES; ++i) a[l / 4 + (M == 8 ? 0 : 8 * (i % 2))][l % 4 + (M == 8 ? 4 * i : i / 2 * 4)] = w.a[l][i];
        for (int i = 0; i < K * 8 / LANES; ++i) b[l % 4 + 4 * i][l / 4] = w.b[l][i];
    }
    for (int l = 0; l < LANES; ++l)
        for (int i = 0; i < M * 8 / LANES; ++i)
            for (int k = 0; k < K; ++k) w.c[l][i] = std::fma(a[l / 4 + i / 2 * 8][k], b[k][2 * (l % 4) + i % 2], w.c[l][i]);
}

// What happens once all lanes wait.
static void together(Warp &w, Sync sync) {
    switch (sync) {
    case SHUFFLE:
        for (int l = 0; l < LANES; ++l) w.out[l] = w.in[w.source[l] >= 0 && w.source[l] < LANES ? w.source[l] : l];
        break;
    case PRODUCT_8_4: return multiply<8, 4>(w);
    case PRODUCT_16_4: return multiply<16, 4>(w);
    case PRODUCT_16_8: return multiply<16, 8>(w);
    case PRODUCT_16_16: return multiply<16, 16>(w);
    default: break;
    }
}

template <class S> struct Block {
    int (*code)(S &);
    Sync sync; // what its end waits for
    int accesses;
    u32 counts[N_CLASSES];
};

struct Counts {
    u64 issued[N_CLASSES], requests, lines;
};

// The lines that the lanes of a warp touch in one access: 16 bytes a lane are read in quarters of a warp,
// 8 in halves.
static void count_lines(const Warp &w, int accesses, Counts &counts) {
    for (int k = 0; k < accesses; ++k) {
        const int together = w.width[k] >= 16 ? 8 : w.width[k] >= 8 ? 16 : 32;
        u64 lines = 0;
        for (int first = 0; first < LANES; first += together)
            for (int l = first; l < first + together; ++l) {
                bool seen = w.where[k][l] == 0;
                for (int m = first; m < l && !seen; ++m) seen = w.where[k][m] != 0 && w.where[k][m] / 128 == w.where[k][l] / 128;
                lines += !seen;
            }
        counts.lines += lines, counts.requests += lines > 0;
    }
}

// Leads the lanes of a warp through the blocks: of those that do not wait the ones that are furthest behind,
// together, as hardware that lets lanes meet again does.
template <class S> static void run_warp(const char *name, const Block<S> *blocks, S *lanes, Warp &w, Counts &counts) {
    int at[LANES] = {};
    bool waits[LANES] = {};
    for (;;) {
        int next = INT32_MAX, live = 0;
        for (int l = 0; l < LANES; ++l) {
            live += at[l] != LEFT;
            if (at[l] != LEFT && !waits[l] && at[l] < next) next = at[l];
        }
        if (live == 0) return;
        if (next == INT32_MAX) {
            if (live < LANES) stop(name, "lanes wait for all, and some have left", live);
            for (int l = 1; l < LANES; ++l)
                if (at[l] != at[0]) stop(name, "lanes wait at different places", l);
            together(w, blocks[at[0] - 1].sync);
            for (bool &wait : waits) wait = false;
            continue;
        }
        const Block<S> &block = blocks[next];
        if (block.accesses > MOST_ACCESSES) stop(name, "more accesses in a block than are counted", block.accesses);
        if (w.counting) memset(w.where, 0, block.accesses * sizeof w.where[0]);
        for (int l = 0; l < LANES; ++l)
            if (at[l] == next && !waits[l]) at[l] = block.code(lanes[l]), waits[l] = block.sync != NOTHING;
        if (w.counting) {
            for (int k = 0; k < N_CLASSES; ++k) counts.issued[k] += block.counts[k];
            count_lines(w, block.accesses, counts);
        }
    }
}

static void write_counts(const char *file, const char *name, u64 warps, const Counts &counts) {
    static const char *classes[] = {CLASSES};
    FILE *out = fopen(file, "a");
    if (!out) stop(file, "cannot be written", 0);
    fprintf(out, "%s warps %llu", name, (unsigned long long)warps);
    for (int k = 0; k < N_CLASSES; ++k) fprintf(out, " %s %llu", classes[k], (unsigned long long)counts.issued[k]);
    fprintf(out, " requests %llu lines %llu\n", (unsigned long long)counts.requests, (unsigned long long)counts.lines);
    fclose(out);
}

// A launch; `step`, which has no factor in common with the number of threads, makes the order of its warps.
template <class S>
static void run(const char *name, const Block<S> *blocks, size_t n_parameters, unsigned grid, unsigned block, unsigned long step, void **p) {
    static thread_local S lanes[LANES];
    static thread_local Warp w;
    alignas(16) u8 parameters[4096];
    if (n_parameters > sizeof parameters || block % LANES) stop(name, "a launch", n_parameters);
    memcpy(parameters, p[0], n_parameters);
    const char *file = getenv("FAKE_CUDA_COUNTS");
    w.counting = file != nullptr;
    Counts counts = {};
    const u64 warps = (u64)grid * block / LANES;
    for (u64 n = 0, at = step % warps; n < warps; ++n, at = (at + step) % warps) {
        for (u32 l = 0; l < LANES; ++l) {
            const u64 thread = at * LANES + l;
            S &s = lanes[l];
            s.tid = thread % block, s.ntid = block, s.ctaid = thread / block, s.nctaid = grid, s.lane = l;
            s.w = &w, s.parameters = parameters, s.n_parameters = n_parameters;
            memset(s.depot, 0xff, sizeof s.depot); // NaN in every precision
        }
        run_warp(name, blocks, lanes, w, counts);
    }
    if (file) write_counts(file, name, warps, counts);
}
