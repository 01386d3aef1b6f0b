// MaxVol over the rows of a pool. Twin: src/core/grade/maxvol/work.rs, with whose every rounding the
// exchanges agree: nothing there is contracted or summed in another order.

// nepal_volume_sizes: largest |x A^-1| of 32 rows in 32 columns, a warp each; a lane leaves what its
// columns give.
NEPAL_KERNEL nepal_volume_sizes(const VolumeArgs a) {
    if (!WARP_RUNS) return;
    const u64 tiles = a.columns / 32, end = (a.rows + 31) / 32 * tiles;
    for (u64 item = warp_id(); item < end; item += warp_count()) {
        const u64 row0 = item / tiles * 32, column0 = item % tiles * 32;
        double c[4][4][LANES][2];
        for (int m = 0; m < 4; ++m)
            for (int n = 0; n < 4; ++n)
                for (int l = 0; l < LANES; ++l) c[m][n][l][0] = c[m][n][l][1] = 0;
        for (u64 k = 0; k < a.n; k += 4) {
            double x[4][LANES], w[4][LANES];
            for (int m = 0; m < 4; ++m)
                for (int l = 0; l < LANES; ++l) {
                    const u32 lane = LANE(l);
                    x[m][l] = a.data[(row0 + 8 * m + lane / 4) * a.n + k + lane % 4];
                    w[m][l] = a.inverse[(k + lane % 4) * a.columns + column0 + 8 * m + lane / 4];
                }
            for (int m = 0; m < 4; ++m)
                for (int n = 0; n < 4; ++n) mma_double(c[m][n], x[m], w[n]);
        }
        for (int m = 0; m < 4; ++m)
            for (int l = 0; l < LANES; ++l) {
                const u32 lane = LANE(l);
                const u64 row = row0 + 8 * m + lane / 4;
                double largest = 0;
                for (int n = 0; n < 4; ++n)
                    for (int e = 0; e < 2; ++e) {
                        double size = fabs(c[m][n][l][e]);
                        if (size != size) size = INFINITE;
                        largest = size > largest ? size : largest;
                    }
                if (row < a.rows) a.partial[(row * tiles + item % tiles) * 4 + lane % 4] = largest;
            }
    }
}

// nepal_volume_largest: the largest of what the lanes left, a thread a row.
NEPAL_KERNEL nepal_volume_largest(const VolumeArgs a) {
    const u64 parts = a.columns / 32 * 4;
    for (u64 row = thread_id(); row < a.rows; row += thread_count()) {
        double largest = 0;
        for (u64 k = 0; k < parts; ++k) {
            const double size = a.partial[row * parts + k];
            largest = size > largest ? size : largest;
        }
        a.largest[row] = largest;
    }
}

// The first of the largest |x|, by a warp; the first of all if none is above 0.
NEPAL_FN double first_largest(const double *x, u64 len, u64 &at) {
    double best[LANES];
    u64 where[LANES];
    for (int l = 0; l < LANES; ++l) {
        best[l] = 0, where[l] = 0;
        for (u64 k = LANE(l); k < len; k += 32) {
            const double size = fabs(x[k]);
            if (size > best[l]) best[l] = size, where[l] = k;
        }
    }
    return warp_first(best, where, at);
}

// nepal_volume_pick: the next exchange, if the tolerance asks for one: the row with the largest |C|
// and its column. One warp.
NEPAL_KERNEL nepal_volume_pick(const VolumeArgs a) {
    if (!WARP_RUNS || warp_id() != 0 || a.state[0]) return;
    u64 row, column;
    const double largest = first_largest(a.largest, a.rows, row);
    const bool enough = !(largest > a.tolerance);
    const double *c = a.c + row * a.n;
    first_largest(c, a.n, column);
    const double pivot = c[column];
    for (int l = 0; l < LANES; ++l) {
        for (u64 k = LANE(l); k < a.n && !enough; k += 32) a.step[k] = (k == column ? c[k] - 1 : c[k]) / pivot;
        if (LANE(l) != 0) continue;
        if (enough) {
            a.state[0] = 1;
        } else {
            const u64 made = a.state[1];
            a.swaps[2 * made] = row, a.swaps[2 * made + 1] = column;
            a.pivots[made] = pivot;
            a.state[1] = made + 1, a.state[2] = column;
        }
    }
}

// nepal_volume_update: C less the exchanged row's part, a warp a row.
NEPAL_KERNEL nepal_volume_update(const VolumeArgs a) {
    if (!WARP_RUNS || a.state[0]) return;
    const u64 column = a.state[2];
    for (u64 row = warp_id(); row < a.rows; row += warp_count()) {
        double *c = a.c + row * a.n;
        const double factor = c[column];
        warp_wait(); // the column is changed below
        if (factor == 0) continue;
        double own[LANES];
        for (int l = 0; l < LANES; ++l) {
            own[l] = 0;
            for (u64 k = LANE(l); k < a.n; k += 32) {
                const double x = __dsub_rn(c[k], __dmul_rn(factor, a.step[k]));
                c[k] = x;
                own[l] = fabs(x) > own[l] ? fabs(x) : own[l];
            }
        }
        const double largest = warp_max(own);
        for (int l = 0; l < LANES; ++l)
            if (LANE(l) == 0) a.largest[row] = largest;
    }
}
