// Which atoms may be above a threshold: coefficients and projected residuals from products of halves
// on tensor cores, with bounds of their errors. Twin: src/core/grade/screen.rs.
//
// Features are taken relative to the set's center, and weights relative to a power of two for each
// column. Coefficients come from single halves: their relative error is 2^-10 of |z| |w|, which only
// makes more candidates; where it would make too many, as in most sets of the compatibility form, and
// for probes, because residuals are small, products are of pairs of halves, as good as f32.

// Where the columns of a lane begin, in pairs.
#define QUAD(lane) ((lane) % 4)

// nepal_screen_lengths: lengths of centered and of scaled features, a thread a row.
NEPAL_KERNEL nepal_screen_lengths(const GradeArgs a) {
    const u64 end = rows_here(a);
    for (u64 row = thread_id(); row < end; row += thread_count()) {
        const real *q = a.q + (u64)a.list[a.first + row] * DIM;
        double centered = 0, whole = 0;
        for (u64 j = 0; j < N1 * WIDTH; ++j) {
            const double z = feature(a, row, q, j) * a.units[j], d = z - a.center[j];
            whole = fma(z, z, whole);
            centered = fma(d, d, centered);
        }
        a.lengths[2 * row] = sqrt(centered);
        a.lengths[2 * row + 1] = sqrt(whole);
    }
}

// nepal_screen_features: centered features as halves and what they leave, times 2^11, in the order
// of fragments of A. A thread eight numbers of one lane.
NEPAL_KERNEL nepal_screen_features(const GradeArgs a) {
    const u64 rows = rows_here(a), end = (rows + 31) / 32 * 2 * a.tiles * 32;
    for (u64 i = thread_id(); i < end; i += thread_count()) {
        const u64 lane = i % 32, tile = i / 32 % a.tiles, row0 = i / 32 / a.tiles * 16;
        u32 high[4] = {0, 0, 0, 0}, low[4] = {0, 0, 0, 0};
        for (u64 e = 0; e < 8; ++e) {
            const u64 row = row0 + lane / 4 + (e / 2 % 2) * 8;
            const u64 j = tile * 16 + lane % 4 * 2 + e % 2 + e / 4 * 8;
            if (row >= rows || j >= N1 * WIDTH) continue;
            const real *q = a.q + (u64)a.list[a.first + row] * DIM;
            const float z = (float)(feature(a, row, q, j) * a.units[j] - a.center[j]);
            const u32 h = half_bits(z), l = half_bits((z - half_value(h)) * 2048.0f);
            high[e / 2] |= h << (e % 2 * 16);
            low[e / 2] |= l << (e % 2 * 16);
        }
        a.high[i] = make_uint4(high[0], high[1], high[2], high[3]);
        a.low[i] = make_uint4(low[0], low[1], low[2], low[3]);
    }
}

NEPAL_FN void load_a(const uint4 *from, u64 at, u32 (*to)[4]) {
    for (int l = 0; l < LANES; ++l) {
        const uint4 x = from[at * 32 + LANE(l)];
        to[l][0] = x.x, to[l][1] = x.y, to[l][2] = x.z, to[l][3] = x.w;
    }
}
NEPAL_FN void load_b(const uint2 *from, u64 at, u32 (*to)[2]) {
    for (int l = 0; l < LANES; ++l) {
        const uint2 x = from[at * 32 + LANE(l)];
        to[l][0] = x.x, to[l][1] = x.y;
    }
}

// Bound of the error of a row's coefficients, per length of their weights. What f64 loses grows with the
// features as they are, whatever remains of them about the center.
NEPAL_FN double row_error(const GradeArgs &a, u64 row) {
    return a.error * a.lengths[2 * row] + a.rounding[1] * a.lengths[2 * row + 1] + a.tiny;
}

// Takes a coefficient into the part of gamma and of its bound that a lane has.
NEPAL_FN void take(const GradeArgs &a, u64 column, double x, double error, double &value, double &bound) {
    x = fabs(x * a.column_scale[column] + a.column_offset[column]);
    if (x != x) x = INFINITE;
    if (a.flags & LENGTH) {
        value = fma(x, x, value);
    } else {
        value = x > value ? x : value;
        x += error * a.column_size[column];
        if (x != x) x = INFINITE;
        bound = x > bound ? x : bound;
    }
}

// Leaves what a warp's columns, N times 8, give to the gamma of 32 rows and to its bound; each lane what its
// own give.
template <int N, class T>
NEPAL_FN void leave(const GradeArgs &a, u64 rows, u64 tile32, u64 column_tile, const T (*sum)[N][LANES][4]) {
#pragma unroll
    for (int m = 0; m < 2; ++m)
        for (int l = 0; l < LANES; ++l)
#pragma unroll
            for (int up = 0; up < 2; ++up) {
                const u32 lane = LANE(l);
                const u64 row = tile32 * 32 + m * 16 + lane / 4 + up * 8;
                if (row >= rows) continue;
                const double error = row_error(a, row);
                double value = 0, bound = 0;
#pragma unroll
                for (int n = 0; n < N; ++n)
#pragma unroll
                    for (int e = 0; e < 2; ++e) {
                        const u64 column = column_tile * (8 * N) + n * 8 + QUAD(lane) * 2 + e;
                        take(a, column, sum[m][n][l][2 * up + e], error, value, bound);
                    }
                double *out = a.partial + ((row * a.column_tiles + column_tile) * 4 + QUAD(lane)) * 2;
                out[0] = value, out[1] = bound;
            }
}

// nepal_screen_coefficients: the part of gamma and of its bound from 64 columns, a warp 32 rows.
NEPAL_KERNEL nepal_screen_coefficients(const GradeArgs a) {
    if (!WARP_RUNS) return;
    const u64 rows = rows_here(a), end = (rows + 31) / 32 * a.column_tiles;
    for (u64 item = warp_id(); item < end; item += warp_count()) {
        const u64 tile32 = item / a.column_tiles, column_tile = item % a.column_tiles;
        float c[2][8][LANES][4];
        for (int m = 0; m < 2; ++m)
            for (int n = 0; n < 8; ++n)
                for (int l = 0; l < LANES; ++l)
                    for (int e = 0; e < 4; ++e) c[m][n][l][e] = 0;
        for (u64 t = 0; t < a.tiles; ++t) {
            u32 x[2][LANES][4];
            for (int m = 0; m < 2; ++m) load_a(a.high, (2 * tile32 + m) * a.tiles + t, x[m]);
            for (int n = 0; n < 8; ++n) {
                u32 w[LANES][2];
                load_b(a.weights, (column_tile * a.tiles + t) * 8 + n, w);
                for (int m = 0; m < 2; ++m) mma_half(c[m][n], x[m], w);
            }
        }
        leave<8>(a, rows, tile32, column_tile, c);
    }
}

// Products of 32 rows with 32 columns from pairs of halves. Sums of 16 products are of f32 and added
// without a loss: what rounding leaves (Knuth) goes, times 2^11, to the products with the second halves,
// which are 2^-11 of the others and summed in f32. Turning each sum into a double would take longer than
// the products.
NEPAL_FN void pair_products(const GradeArgs &a, u64 tile32, u64 column_tile, const uint2 *high, const uint2 *low,
                            double (*sum)[4][LANES][4]) {
    float first[2][4][LANES][4], rest[2][4][LANES][4];
    for (int m = 0; m < 2; ++m)
        for (int n = 0; n < 4; ++n)
            for (int l = 0; l < LANES; ++l)
                for (int e = 0; e < 4; ++e) first[m][n][l][e] = rest[m][n][l][e] = 0;
    for (u64 t = 0; t < a.tiles; ++t) {
        u32 x[2][LANES][4], x_low[2][LANES][4];
        for (int m = 0; m < 2; ++m) {
            load_a(a.high, (2 * tile32 + m) * a.tiles + t, x[m]);
            load_a(a.low, (2 * tile32 + m) * a.tiles + t, x_low[m]);
        }
        for (int n = 0; n < 4; ++n) {
            u32 w[LANES][2], w_low[LANES][2];
            load_b(high, (column_tile * a.tiles + t) * 4 + n, w);
            load_b(low, (column_tile * a.tiles + t) * 4 + n, w_low);
            for (int m = 0; m < 2; ++m) {
                float c[LANES][4];
                for (int l = 0; l < LANES; ++l)
                    for (int e = 0; e < 4; ++e) c[l][e] = 0;
                mma_half(c, x[m], w);
                mma_half(rest[m][n], x_low[m], w);
                mma_half(rest[m][n], x[m], w_low);
                for (int l = 0; l < LANES; ++l)
                    for (int e = 0; e < 4; ++e) {
                        const float old = first[m][n][l][e], x = c[l][e], both = old + x, part = both - old;
                        rest[m][n][l][e] += ((old - (both - part)) + (x - part)) * 2048.0f;
                        first[m][n][l][e] = both;
                    }
            }
        }
    }
    for (int m = 0; m < 2; ++m)
        for (int n = 0; n < 4; ++n)
            for (int l = 0; l < LANES; ++l)
                for (int e = 0; e < 4; ++e) sum[m][n][l][e] = first[m][n][l][e] + rest[m][n][l][e] * (1 / 2048.0);
}

// nepal_screen_pairs: as nepal_screen_coefficients, from pairs of halves, 32 columns.
NEPAL_KERNEL nepal_screen_pairs(const GradeArgs a) {
    if (!WARP_RUNS) return;
    const u64 rows = rows_here(a), end = (rows + 31) / 32 * a.column_tiles;
    for (u64 item = warp_id(); item < end; item += warp_count()) {
        const u64 tile32 = item / a.column_tiles, column_tile = item % a.column_tiles;
        double sum[2][4][LANES][4];
        pair_products(a, tile32, column_tile, a.weights, a.weights_low, sum);
        leave<4>(a, rows, tile32, column_tile, sum);
    }
}

// nepal_screen_probes: squares of the residual's projections on 32 probes, a warp 32 rows.
NEPAL_KERNEL nepal_screen_probes(const GradeArgs a) {
    if (!WARP_RUNS) return;
    const u64 rows = rows_here(a), end = (rows + 31) / 32 * a.probe_tiles;
    for (u64 item = warp_id(); item < end; item += warp_count()) {
        const u64 tile32 = item / a.probe_tiles, probe_tile = item % a.probe_tiles;
        double sum[2][4][LANES][4];
        pair_products(a, tile32, probe_tile, a.probes_high, a.probes_low, sum);
#pragma unroll
        for (int m = 0; m < 2; ++m)
            for (int l = 0; l < LANES; ++l)
#pragma unroll
                for (int up = 0; up < 2; ++up) {
                    const u32 lane = LANE(l);
                    const u64 row = tile32 * 32 + m * 16 + lane / 4 + up * 8;
                    if (row >= rows) continue;
                    double square = 0;
#pragma unroll
                    for (int n = 0; n < 4; ++n)
#pragma unroll
                        for (int e = 0; e < 2; ++e) {
                            const u64 column = a.column_tiles * (a.weights_low ? 32 : 64) + probe_tile * 32 + n * 8 + QUAD(lane) * 2 + e;
                            const double x = sum[m][n][l][2 * up + e] * a.column_scale[column] + a.column_offset[column];
                            square = fma(x, x, square);
                        }
                    a.probe_partial[(row * a.probe_tiles + probe_tile) * 4 + QUAD(lane)] = square;
                }
    }
}

// nepal_screen_end: rows that cannot be above the threshold get their estimate, the others go on. A
// thread a row.
NEPAL_KERNEL nepal_screen_end(const GradeArgs a) {
    const u64 end = rows_here(a);
    for (u64 row = thread_id(); row < end; row += thread_count()) {
        const double centered = a.lengths[2 * row], whole = a.lengths[2 * row + 1];
        double gamma = 0, bound = 0, square = 0;
        for (u64 k = 0; k < a.column_tiles * 4; ++k) {
            const double *part = a.partial + (row * a.column_tiles * 4 + k) * 2;
            if (a.flags & LENGTH) {
                gamma += part[0];
            } else {
                gamma = part[0] > gamma ? part[0] : gamma;
                bound = part[1] > bound ? part[1] : bound;
            }
        }
        if (a.flags & LENGTH) {
            gamma = sqrt(gamma);
            bound = gamma + a.all_size * row_error(a, row);
        }
        for (u64 k = 0; k < a.probe_tiles * 4; ++k) square += a.probe_partial[row * a.probe_tiles * 4 + k];
        const double unit = whole > 0 ? whole : 1;
        const double residual = sqrt(square) / unit, error = (a.probe_error * centered + a.probe_tiny) / unit;
        const u32 atom = a.list[a.first + row];
        // NaN goes on.
        if (bound <= a.threshold && residual + error <= a.residual_limit) {
            const double rho = residual / a.residual_scale;
            a.gamma[atom] = gamma, a.rho[atom] = a.flags & TWO_PART ? rho : NOT_A_NUMBER;
            a.grade[atom] = rho / a.kappa > gamma ? rho / a.kappa : gamma;
        } else {
            a.passed[atomicAdd(a.passed_count, 1u)] = atom;
        }
    }
}
