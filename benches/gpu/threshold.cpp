// Millions of vectors near a threshold, through the kernels' own text on the host: features in halves, the
// bound, f64 for what it leaves open, as src/backend/cuda/grades launches them. The set above the threshold
// has to be that of f64. What cargo test does with some ten thousand (src/backend/cuda/grades/tests.rs,
// tests/device/threshold.rs) takes seconds a million here.
//
//   c++ -std=c++17 -O2 -march=native -ffp-contract=off -w -include tests/device/host/shim.h \
//       benches/gpu/threshold.cpp -o threshold && ./threshold 1000000 && FAKE_MMA=truncate ./threshold 1000000
//
// The number is that of vectors for each kind of product; Markdown is printed, and the status is 1 if a
// vector is on the wrong side.
#define NEPAL_DOUBLE 1
#define DIM 94
#define N1 1
#include "../../kernels/dialect.cuh"
#include "../../kernels/warp.cuh"
#include "../../kernels/grade_args.cuh"
#include "../../kernels/grades.cu"
#include "../../kernels/screen.cu"
#include <cstdio>
#include <random>
#include <vector>

namespace {
const int FEATURES = 96, COLUMNS = 32, ROWS = 2048, TILES = FEATURES / 16;
const double THRESHOLD = 2;
std::mt19937_64 generator(17);
double uniform() { return std::uniform_real_distribution<double>(0, 1)(generator); }
double signed_uniform() { return 2 * uniform() - 1; }
double power(double x) { return std::pow(10.0, x); }
// As far above a half as rounds down to it.
double just_below_halfway(double x) { return half_value(half_bits((float)x)) * (1 + 0.999 * std::ldexp(1.0, -11)); }

struct Set {
    std::vector<double> weights, sizes, inverse;
    std::vector<uint2> high, low;
    bool pairs;
    GradeArgs args;

    // Weights of a kind; one in the last feature but one, which is fixed, would not scale.
    Set(int kind, bool pairs) : weights(FEATURES * COLUMNS), sizes(64, 0), pairs(pairs) {
        for (int j = 0; j < FEATURES; ++j)
            for (int c = 0; c < COLUMNS; ++c) {
                double w = kind == 0 ? signed_uniform() : kind == 1 ? 0.9 * std::pow(uniform(), 3) : 0.5 + 0.49 * uniform();
                if (kind == 2) w = just_below_halfway(w);
                if (j == FEATURES - 2) w = 0;
                weights[j * COLUMNS + c] = (float)w;
                sizes[c] += w * w;
            }
        for (double &size : sizes) size = std::sqrt(size);
        inverse = weights;
        const int columns = pairs ? 32 : 64;
        for (int t = 0; t < TILES; ++t)
            for (int e = 0; e < columns / 8; ++e)
                for (int lane = 0; lane < 32; ++lane) {
                    u32 h[4], l[4];
                    for (int i = 0; i < 4; ++i) {
                        const int j = t * 16 + lane % 4 * 2 + i % 2 + i / 2 * 8, c = e * 8 + lane / 4;
                        const double w = c < COLUMNS ? weights[j * COLUMNS + c] : 0;
                        h[i] = half_bits((float)w);
                        l[i] = half_bits((float)((w - half_value(h[i])) * 2048));
                    }
                    high.push_back({h[0] | h[1] << 16, h[2] | h[3] << 16});
                    low.push_back({l[0] | l[1] << 16, l[2] | l[3] << 16});
                }
    }

    double f64(const double *z) const {
        double largest = 0;
        for (int c = 0; c < COLUMNS; ++c) {
            double sum = 0;
            for (int j = 0; j < FEATURES; ++j) sum += z[j] * weights[j * COLUMNS + c];
            largest = std::fmax(largest, std::fabs(sum));
        }
        return largest;
    }
};

template <class T>
std::vector<T> room(size_t n) { return std::vector<T>(n); }
template <class A>
void run(void (*kernel)(A), A &args, unsigned threads) {
    void *parameters[] = {&args};
    run_all(kernel, (threads + 127) / 128, 128, 1, parameters);
}
}

int main(int count, char **arguments) {
    const long wanted = count > 1 ? std::atol(arguments[1]) : 100000;
    auto q = room<double>(ROWS * DIM), x = room<double>(ROWS), slope = std::vector<double>(ROWS, 1);
    auto lengths = room<double>(2 * ROWS), partial = room<double>(ROWS * 8), z = room<double>(ROWS * FEATURES);
    auto y = room<double>(ROWS * FEATURES), c = room<double>(ROWS * COLUMNS), x_going = room<double>(ROWS);
    const std::vector<double> units(FEATURES, 1), center(FEATURES, 0), scale(64, 1), offset(64, 0);
    auto gamma = room<double>(ROWS), rho = room<double>(ROWS), grade = room<double>(ROWS);
    auto high = room<uint4>(ROWS * TILES * 2), low = room<uint4>(ROWS * TILES * 2);
    auto list = room<u32>(ROWS), passed = room<u32>(ROWS), near = room<u32>(ROWS);
    for (int k = 0; k < ROWS; ++k) list[k] = k;
    std::printf("| products | sums | vectors | above, alike | held back by the bound | near enough for the CPU | nearer than 1e-6 | to 1e-5 | to 1e-4 | to 1e-3 | to 1e-2 | beyond |\n|---|---|---|---|---|---|---|---|---|---|---|---|\n");
    bool wrong = false;
    for (bool pairs : {false, true}) {
        long done = 0, above = 0, held = 0, settled = 0, tally[6] = {0};
        for (int batch = 0; done < wanted; ++batch, done += ROWS) {
            const Set set(batch % 3, pairs);
            for (int k = 0; k < ROWS; ++k) {
                double *row = &z[k * FEATURES];
                const int kind = generator() % 4, column = generator() % COLUMNS;
                for (int j = 0; j < FEATURES; ++j) {
                    const double w = set.weights[j * COLUMNS + column];
                    row[j] = kind == 0 ? signed_uniform() : kind == 1 ? signed_uniform() * power(-6 * uniform()) : w * (1 + 0.05 * signed_uniform());
                }
                row[FEATURES - 2] = 0;
                const double size = k % 8 == 7 ? power(-2 + 1.9 * uniform()) : power(-7 + 5 * uniform());
                const double factor = THRESHOLD * (1 + (uniform() < 0.5 ? size : -size)) / set.f64(row);
                for (int j = 0; j < FEATURES; ++j) {
                    row[j] *= factor;
                    // All roundings one way; then it is near no more, but as bad as can be.
                    if (kind == 3 && k % 16 == 3) row[j] = just_below_halfway(row[j]);
                }
                row[FEATURES - 2] = -1;
                for (int d = 0; d < DIM; ++d) q[k * DIM + d] = row[d];
                x[k] = row[FEATURES - 1];
            }
            u32 going = 0, open[2] = {0, 0};
            GradeArgs a;
            std::memset(&a, 0, sizeof a);
            a.rows = a.total = ROWS, a.list = list.data(), a.q = q.data(), a.x = x.data(), a.slope = slope.data();
            a.units = units.data(), a.center = center.data(), a.lengths = lengths.data();
            a.high = high.data(), a.low = low.data(), a.tiles = TILES;
            a.weights = set.high.data(), a.weights_low = pairs ? set.low.data() : nullptr;
            a.column_scale = scale.data(), a.column_offset = offset.data(), a.column_size = set.sizes.data();
            a.column_tiles = 1, a.partial = partial.data();
            // As Products::error and Look::new (src/backend/cuda/grades/look.rs).
            const double u = std::ldexp(1, -11), n = FEATURES;
            a.error = pairs ? 1.1 * (std::ldexp(1, -18) + std::ldexp(1, -20) + n * std::ldexp(1, -32))
                            : 1.01 * (2 * u + u * u + std::sqrt(n) * std::ldexp(1, -24) + n * std::ldexp(1, -22));
            a.tiny = 1.01 * std::sqrt(n) * std::ldexp(1, pairs ? -36 : -25);
            double longest = 0;
            for (double size : set.sizes) longest = std::fmax(longest, size);
            a.rounding[1] = 2 * std::ldexp(1, -52) * n, a.rounding[0] = a.rounding[1] * longest;
            a.threshold = THRESHOLD, a.near_share = 1e-9, a.near = near.data(), a.near_count = open;
            a.residual_scale = a.kappa = 1, a.residual_limit = 1, a.passed = passed.data(), a.passed_count = &going;
            a.gamma = gamma.data(), a.rho = rho.data(), a.grade = grade.data();
            run(nepal_screen_lengths, a, ROWS);
            run(nepal_screen_features, a, ROWS * TILES * 2);
            run(pairs ? nepal_screen_pairs : nepal_screen_coefficients, a, ROWS);
            run(nepal_screen_end, a, ROWS);
            // Neurons are those of the rows of a launch, which nepal_grade_neurons would compute.
            for (u32 k = 0; k < going; ++k) x_going[k] = x[passed[k]];
            a.list = passed.data(), a.total = going, a.x = x_going.data();
            a.n = FEATURES, a.k = COLUMNS, a.z = y.data(), a.c = c.data();
            run(nepal_grade_features, a, ROWS * FEATURES);
            a.a = a.z, a.b = set.inverse.data(), a.out = a.c, a.inner = FEATURES, a.columns = COLUMNS;
            run(nepal_grade_product, a, ROWS);
            run(nepal_grade_values, a, ROWS * 32);
            for (u32 k = 0; k < open[0]; ++k) grade[near[k]] = set.f64(&z[near[k] * FEATURES]);
            held += ROWS - going, settled += open[0];
            for (int k = 0; k < ROWS; ++k) {
                const double exact = set.f64(&z[k * FEATURES]), far = std::fabs(exact / THRESHOLD - 1);
                ++tally[far < 1e-6 ? 0 : far < 1e-5 ? 1 : far < 1e-4 ? 2 : far < 1e-3 ? 3 : far < 1e-2 ? 4 : 5];
                above += exact > THRESHOLD;
                if ((grade[k] > THRESHOLD) == (exact > THRESHOLD)) continue;
                std::fprintf(stderr, "%s: %.17g instead of %.17g\n", pairs ? "pairs" : "single", grade[k], exact);
                wrong = true;
            }
        }
        std::printf("| %s | %s | %ld | %ld | %ld | %ld |", pairs ? "pairs of halves" : "halves", truncates ? "cut off" : "rounded", done, above, held, settled);
        for (long t : tally) std::printf(" %ld |", t);
        std::printf("\n");
    }
    return wrong;
}
