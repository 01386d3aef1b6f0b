// Grades of atoms of one type from their descriptors, in f64. Twins: src/core/grade/ridge/lanes.rs and
// solver.rs, compat.rs.

// Entries of the list that this launch has.
NEPAL_FN u64 rows_here(const GradeArgs &a) {
    const u64 total = a.count ? *a.count : a.total;
    const u64 left = total > a.first ? total - a.first : 0;
    return left < a.rows ? left : a.rows;
}

NEPAL_FN const real *descriptor_of(const GradeArgs &a, u64 row) { return a.q + (u64)a.list[a.first + row] * DIM; }

NEPAL_FN double neuron(const GradeArgs &a, const real *q, u64 m) {
    double u = 0;
    for (int d = 0; d < DIM; ++d) u = fma(a.w0t[d * N1 + m], (double)q[d], u);
    return tanh(u - a.b0[m]);
}

// nepal_grade_neurons: neurons and their slopes, a thread a neuron of a row.
NEPAL_KERNEL nepal_grade_neurons(const GradeArgs a) {
    const u64 end = rows_here(a) * N1;
    for (u64 i = thread_id(); i < end; i += thread_count()) {
        const u64 m = i % N1;
        const double x = neuron(a, descriptor_of(a, i / N1), m);
        a.x[i] = x;
        a.slope[i] = a.w1[m] * (1 - x * x);
    }
}

// nepal_grade_features: the B projection, neuron by neuron, a thread a feature.
NEPAL_KERNEL nepal_grade_features(const GradeArgs a) {
    const u64 end = rows_here(a) * a.k;
    for (u64 i = thread_id(); i < end; i += thread_count()) {
        const u64 row = i / a.k, m = i % a.k / (DIM + 2), d = i % a.k % (DIM + 2);
        double z = 0;
        if (m < N1) {
            const double slope = a.slope[row * N1 + m];
            z = d == DIM + 1 ? a.x[row * N1 + m] : d == DIM ? -slope : slope * (double)descriptor_of(a, row)[d];
        }
        a.z[i] = z;
    }
}

// nepal_grade_sides: both sides of the features of the ridge form, a thread a number.
NEPAL_KERNEL nepal_grade_sides(const GradeArgs a) {
    const u64 width = a.h + a.d, end = rows_here(a) * width;
    for (u64 i = thread_id(); i < end; i += thread_count()) {
        const u64 row = i / width, j = i % width;
        const real *q = descriptor_of(a, row);
        if (j < a.h) {
            double s = j == N1 ? 1 : 0;
            if (j < N1) {
                const double x = neuron(a, q, j);
                s = (1 - x * x) * (1 / sqrt((double)N1));
            }
            a.s[row * a.h + j] = s;
        } else {
            const u64 d = j - a.h;
            a.t[row * a.d + d] = d < DIM ? (double)q[d] * a.units[d] : d == DIM ? 1 : 0;
        }
    }
}

// Two numbers that are read and written at once.
struct alignas(16) Two {
    double x, y;
};

// nepal_grade_product: a product of matrices of doubles, a warp 32 x 32 of its numbers. The warps of a block
// have the same columns, so that they read the same of b for as long. Of 16 inner numbers a lane takes four
// that lie side by side: the sum does not ask for their order.
NEPAL_KERNEL nepal_grade_product(const GradeArgs a) {
    if (!WARP_RUNS) return;
    const u64 tall = (rows_here(a) + 31) / 32, end = tall * (a.columns / 32);
    for (u64 item = warp_id(); item < end; item += warp_count()) {
        const u64 row0 = item % tall * 32, column0 = item / tall * 32;
        if (a.need && !a.need[row0 / 32]) continue;
        const double *b = a.b + column0 * a.inner;
        const u64 from = a.flags & FROM ? column0 : 0;
        const u64 to = a.flags & UP_TO ? column0 + 32 : a.inner;
        double c[2][4][2][LANES][2];
        for (int m = 0; m < 2; ++m)
            for (int n = 0; n < 4; ++n)
                for (int h = 0; h < 2; ++h)
                    for (int l = 0; l < LANES; ++l) c[m][n][h][l][0] = c[m][n][h][l][1] = 0;
        for (u64 k = from; k < to; k += 16) {
            double x[2][8][LANES], w[4][LANES];
            for (int m = 0; m < 2; ++m)
                for (int h = 0; h < 2; ++h)
                    for (int l = 0; l < LANES; ++l) {
                        const u32 lane = LANE(l);
                        const u64 row = row0 + 16 * m + 8 * h + lane / 4;
                        const Two *own = (const Two *)(a.a + row * a.inner + k + 4 * (lane % 4));
                        const Two low = own[0], high = own[1];
                        x[m][h][l] = low.x, x[m][2 + h][l] = low.y;
                        x[m][4 + h][l] = high.x, x[m][6 + h][l] = high.y;
                    }
            for (int n = 0; n < 4; ++n) {
                for (int i = 0; i < 4; ++i)
                    for (int l = 0; l < LANES; ++l) {
                        const u32 lane = LANE(l);
                        w[i][l] = b[(k + 4 * (lane % 4) + i) * 32 + 8 * n + lane / 4];
                    }
                for (int m = 0; m < 2; ++m) mma_double_16(c[m][n], x[m], w);
            }
        }
        for (int m = 0; m < 2; ++m)
            for (int n = 0; n < 4; ++n)
                for (int h = 0; h < 2; ++h)
                    for (int l = 0; l < LANES; ++l) {
                        const u32 lane = LANE(l);
                        const u64 row = row0 + 16 * m + 8 * h + lane / 4;
                        Two *out = (Two *)(a.out + row * a.columns + column0 + 8 * n + 2 * (lane % 4));
                        const double *own = c[m][n][h][l];
                        Two now = {1, 1};
                        if (a.flags & MULTIPLY) now = *out;
                        *out = {now.x * own[0], now.y * own[1]};
                    }
    }
}

// The square of a row's length, by a warp.
NEPAL_FN double row_square(const double *row, u64 len) {
    double own[LANES];
    for (int l = 0; l < LANES; ++l) {
        own[l] = 0;
        for (u64 j = LANE(l); j < len; j += 32) own[l] = fma(row[j], row[j], own[l]);
    }
    return warp_sum(own);
}

NEPAL_FN void put(const GradeArgs &a, u32 atom, double gamma, double rho, double grade) {
    a.gamma[atom] = gamma, a.rho[atom] = rho, a.grade[atom] = grade;
}

// A grade about which nothing is known but that it is not more.
NEPAL_FN void put_bound(const GradeArgs &a, u32 atom, double left) {
    const double bound = sqrt((left > 0 ? left : 0) / a.lambda);
    put(a, atom, bound, bound, bound);
}

NEPAL_FN void mark_near(const GradeArgs &a, u32 atom, double value, double error) {
    if (a.near && fabs(value - a.limit) <= a.near_share * fabs(a.limit) + error)
        a.near[atomicAdd(a.near_count, 1u)] = atom;
}

// nepal_grade_left: lambda Gamma^2 in terms of the active rows that were used, a warp a row. After a look,
// rows that are below the limit whatever rounding did have their bound, and the others go on; `need` is zero
// before.
NEPAL_KERNEL nepal_grade_left(const GradeArgs a) {
    if (!WARP_RUNS) return;
    const u64 end = rows_here(a);
    for (u64 row = warp_id(); row < end; row += warp_count()) {
        const double side = row_square(a.t + row * a.d, a.d);
        const double all = row_square(a.s + row * a.h, a.h) * side;
        const double left = all - row_square(a.p + row * a.k, a.k);
        const double error = all * (a.rounding[0] + a.rounding[1] * sqrt(side));
        for (int l = 0; l < LANES; ++l) {
            if (LANE(l) != 0) continue;
            const u32 atom = a.list[a.first + row];
            // NaN goes on.
            if (!(a.flags & LOOK)) {
                a.left[row] = left;
                if (a.need && !(left <= a.limit)) a.need[row / 32] = 1;
                mark_near(a, atom, left, error);
            } else if (left + error <= a.limit) {
                put_bound(a, atom, left);
            } else {
                a.passed[atomicAdd(a.passed_count, 1u)] = atom;
            }
        }
    }
}

// nepal_grade_parts: grades of the ridge form from lambda Gamma^2 and coefficients, a warp a row.
NEPAL_KERNEL nepal_grade_parts(const GradeArgs a) {
    if (!WARP_RUNS) return;
    const u64 end = rows_here(a);
    for (u64 row = warp_id(); row < end; row += warp_count()) {
        const double left = a.left[row];
        const bool below = a.need && left <= a.limit;
        const double gamma2 = below ? 0 : row_square(a.c + row * a.k, a.k);
        for (int l = 0; l < LANES; ++l) {
            if (LANE(l) != 0) continue;
            const u32 atom = a.list[a.first + row];
            const double total = (left > 0 ? left : 0) / a.lambda;
            if (below) {
                put_bound(a, atom, left);
            } else if (left < INFINITE && gamma2 < INFINITE) {
                const double rest = total - gamma2;
                put(a, atom, sqrt(gamma2 < total ? gamma2 : total), sqrt(rest > 0 ? rest : 0), sqrt(total));
            } else {
                put(a, atom, INFINITE, INFINITE, INFINITE);
            }
        }
    }
}

// nepal_grade_largest: grades of the compatibility form from coefficients, a warp a row.
NEPAL_KERNEL nepal_grade_largest(const GradeArgs a) {
    if (!WARP_RUNS) return;
    const u64 end = rows_here(a);
    for (u64 row = warp_id(); row < end; row += warp_count()) {
        double own[LANES];
        for (int l = 0; l < LANES; ++l) {
            own[l] = 0;
            for (u64 j = LANE(l); j < a.k; j += 32) {
                double x = fabs(a.c[row * a.k + j]);
                if (x != x) x = INFINITE;
                own[l] = x > own[l] ? x : own[l];
            }
        }
        const double gamma = warp_max(own);
        const double error = a.near ? a.rounding[0] * sqrt(row_square(a.z + row * a.k, a.k)) : 0;
        for (int l = 0; l < LANES; ++l) {
            if (LANE(l) != 0) continue;
            const u32 atom = a.list[a.first + row];
            put(a, atom, gamma, NOT_A_NUMBER, gamma);
            mark_near(a, atom, gamma, error);
        }
    }
}

// nepal_grade_fill: one number for all grades of a list, a thread a row.
NEPAL_KERNEL nepal_grade_fill(const GradeArgs a) {
    const u64 end = rows_here(a);
    for (u64 row = thread_id(); row < end; row += thread_count())
        put(a, a.list[a.first + row], a.fill, a.fill, a.fill);
}
