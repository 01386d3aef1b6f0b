// Which atoms may be above a threshold: coefficients and projected residuals from products of halves
// on tensor cores, with bounds of their errors. Twin: src/grade/screen.rs.
//
// Features are taken relative to the set's center, and weights relative to a power of two for each
// column. Coefficients come from single halves: their relative error is 2^-10 of |z| |w|, which only
// makes more candidates. Probes come from pairs of halves, as good as f32, because residuals are small.

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

// nepal_screen_coefficients: the part of gamma and of its bound from 64 columns, a warp 32 rows; each
// lane leaves what its columns give.
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
        for (int m = 0; m < 2; ++m)
            for (int l = 0; l < LANES; ++l)
                for (int up = 0; up < 2; ++up) {
                    const u32 lane = LANE(l);
                    const u64 row = tile32 * 32 + m * 16 + lane / 4 + up * 8;
                    if (row >= rows) continue;
                    const double error = a.error * a.lengths[2 * row] + a.tiny;
                    double value = 0, bound = 0;
                    for (int n = 0; n < 8; ++n)
                        for (int e = 0; e < 2; ++e) {
                            const u64 column = column_tile * 64 + n * 8 + QUAD(lane) * 2 + e;
                            double x = fabs(c[m][n][l][2 * up + e] * a.column_scale[column] + a.column_offset[column]);
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
                    double *out = a.partial + ((row * a.column_tiles + column_tile) * 4 + QUAD(lane)) * 2;
                    out[0] = value, out[1] = bound;
                }
    }
}

// nepal_screen_probes: squares of the residual's projections on 32 probes, a warp 32 rows.
NEPAL_KERNEL nepal_screen_probes(const GradeArgs a) {
    if (!WARP_RUNS) return;
    const u64 rows = rows_here(a), end = (rows + 31) / 32 * a.probe_tiles;
    for (u64 item = warp_id(); item < end; item += warp_count()) {
        const u64 tile32 = item / a.probe_tiles, probe_tile = item % a.probe_tiles;
        double sum[2][4][LANES][4];
        for (int m = 0; m < 2; ++m)
            for (int n = 0; n < 4; ++n)
                for (int l = 0; l < LANES; ++l)
                    for (int e = 0; e < 4; ++e) sum[m][n][l][e] = 0;
        for (u64 t = 0; t < a.tiles; ++t) {
            u32 x[2][LANES][4], rest[2][LANES][4];
            for (int m = 0; m < 2; ++m) {
                load_a(a.high, (2 * tile32 + m) * a.tiles + t, x[m]);
                load_a(a.low, (2 * tile32 + m) * a.tiles + t, rest[m]);
            }
            for (int n = 0; n < 4; ++n) {
                u32 w[LANES][2], w_rest[LANES][2];
                load_b(a.probes_high, (probe_tile * a.tiles + t) * 4 + n, w);
                load_b(a.probes_low, (probe_tile * a.tiles + t) * 4 + n, w_rest);
                for (int m = 0; m < 2; ++m) {
                    float c[LANES][4], cross[LANES][4];
                    for (int l = 0; l < LANES; ++l)
                        for (int e = 0; e < 4; ++e) c[l][e] = cross[l][e] = 0;
                    mma_half(c, x[m], w);
                    mma_half(cross, rest[m], w);
                    mma_half(cross, x[m], w_rest);
                    for (int l = 0; l < LANES; ++l)
                        for (int e = 0; e < 4; ++e) sum[m][n][l][e] += c[l][e] + cross[l][e] * (1 / 2048.0);
                }
            }
        }
        for (int m = 0; m < 2; ++m)
            for (int l = 0; l < LANES; ++l)
                for (int up = 0; up < 2; ++up) {
                    const u32 lane = LANE(l);
                    const u64 row = tile32 * 32 + m * 16 + lane / 4 + up * 8;
                    if (row >= rows) continue;
                    double square = 0;
                    for (int n = 0; n < 4; ++n)
                        for (int e = 0; e < 2; ++e) {
                            const u64 column = a.column_tiles * 64 + probe_tile * 32 + n * 8 + QUAD(lane) * 2 + e;
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
            bound = gamma + a.all_size * (a.error * centered + a.tiny);
        }
        for (u64 k = 0; k < a.probe_tiles * 4; ++k) square += a.probe_partial[row * a.probe_tiles * 4 + k];
        const double unit = whole > 0 ? whole : 1;
        const double residual = sqrt(square) / unit, error = a.probe_error * centered / unit;
        const u32 atom = a.list[a.first + row];
        // NaN goes on.
        if (bound <= a.threshold && residual + error <= a.residual_limit) {
            const double rho = residual / a.residual_scale;
            a.gamma[atom] = gamma, a.rho[atom] = rho;
            a.grade[atom] = rho / a.kappa > gamma ? rho / a.kappa : gamma;
        } else {
            a.passed[atomicAdd(a.passed_count, 1u)] = atom;
        }
    }
}
