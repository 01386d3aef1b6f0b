// Grades of atoms of one type from their descriptors, in f64. Twins: src/core/grade/atoms.rs and
// two_part.rs.

#define WIDTH (DIM + 2)
// Squared residuals below this part of the square are formed before they are squared, as in
// src/core/grade/reduce.rs.
#define CANCELLATION 1e-8

// Entries of the list that this launch has.
NEPAL_FN u64 rows_here(const GradeArgs &a) {
    const u64 total = a.count ? *a.count : a.total;
    const u64 left = total > a.first ? total - a.first : 0;
    return left < a.rows ? left : a.rows;
}

// nepal_grade_neurons: neurons and their slopes, a thread a neuron of a row.
NEPAL_KERNEL nepal_grade_neurons(const GradeArgs a) {
    const u64 end = rows_here(a) * N1;
    for (u64 i = thread_id(); i < end; i += thread_count()) {
        const u64 row = i / N1, m = i % N1;
        const real *q = a.q + (u64)a.list[a.first + row] * DIM;
        double u = 0;
        for (int d = 0; d < DIM; ++d) u = fma(a.w0t[d * N1 + m], (double)q[d], u);
        const double x = tanh(u - a.b0[m]);
        a.x[i] = x;
        a.slope[i] = a.w1[m] * (1 - x * x);
    }
}

// Feature j of a row: the B projection, neuron by neuron.
NEPAL_FN double feature(const GradeArgs &a, u64 row, const real *q, u64 j) {
    const u64 m = j / WIDTH, d = j % WIDTH;
    if (d == DIM + 1) return a.x[row * N1 + m];
    const double slope = a.slope[row * N1 + m];
    return d == DIM ? -slope : slope * (double)q[d];
}

// nepal_prefilter: rows whose neurons are far enough from their mean go on; the others' grades are
// 0. A thread a row.
NEPAL_KERNEL nepal_prefilter(const GradeArgs a) {
    const u64 end = rows_here(a);
    for (u64 row = thread_id(); row < end; row += thread_count()) {
        const double *x = a.x + row * N1;
        double square = 0;
        for (int h = 0; h < N1; ++h) {
            double sum = 0;
            for (int m = 0; m < N1; ++m) sum = fma(a.whitening[h * N1 + m], x[m] - a.mean[m], sum);
            square = fma(sum, sum, square);
        }
        const u32 atom = a.list[a.first + row];
        // Not `>=`: NaN goes on.
        if (sqrt(square) < a.level) {
            a.gamma[atom] = a.rho[atom] = a.grade[atom] = 0;
        } else {
            a.passed[atomicAdd(a.passed_count, 1u)] = atom;
        }
    }
}

// nepal_grade_features: scaled features, a thread a feature.
NEPAL_KERNEL nepal_grade_features(const GradeArgs a) {
    const u64 end = rows_here(a) * a.n;
    for (u64 i = thread_id(); i < end; i += thread_count()) {
        const u64 row = i / a.n, j = i % a.n;
        double z = 0;
        if (j < N1 * WIDTH) {
            z = feature(a, row, a.q + (u64)a.list[a.first + row] * DIM, j);
            if (a.scale) z /= a.scale[j];
        }
        a.z[i] = z;
    }
}

// nepal_grade_product: a product of matrices of doubles, a warp 32 x 32 of its numbers.
NEPAL_KERNEL nepal_grade_product(const GradeArgs a) {
    if (!WARP_RUNS) return;
    const u64 tiles = a.columns / 32, end = (rows_here(a) + 31) / 32 * tiles;
    for (u64 item = warp_id(); item < end; item += warp_count()) {
        const u64 row0 = item / tiles * 32, column0 = item % tiles * 32;
        if (a.need && !a.need[item / tiles]) continue;
        double c[4][4][LANES][2];
        for (int m = 0; m < 4; ++m)
            for (int n = 0; n < 4; ++n)
                for (int l = 0; l < LANES; ++l) c[m][n][l][0] = c[m][n][l][1] = 0;
        for (u64 k = 0; k < a.inner; k += 4) {
            double x[4][LANES], w[4][LANES];
            for (int m = 0; m < 4; ++m)
                for (int l = 0; l < LANES; ++l) {
                    const u32 lane = LANE(l);
                    x[m][l] = a.a[(row0 + 8 * m + lane / 4) * a.inner + k + lane % 4];
                    w[m][l] = a.b[(k + lane % 4) * a.columns + column0 + 8 * m + lane / 4];
                }
            for (int m = 0; m < 4; ++m)
                for (int n = 0; n < 4; ++n) mma_double(c[m][n], x[m], w[n]);
        }
        for (int m = 0; m < 4; ++m)
            for (int n = 0; n < 4; ++n)
                for (int l = 0; l < LANES; ++l) {
                    const u32 lane = LANE(l);
                    double *out = a.out + (row0 + 8 * m + lane / 4) * a.columns + column0 + 8 * n + 2 * (lane % 4);
                    for (int e = 0; e < 2; ++e) out[e] = a.subtract ? out[e] - c[m][n][l][e] : c[m][n][l][e];
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

// nepal_grade_squares: lengths of scaled and reduced features, and where their difference cancels. A
// warp a row; `need` is zero before.
NEPAL_KERNEL nepal_grade_squares(const GradeArgs a) {
    if (!WARP_RUNS) return;
    const u64 end = rows_here(a);
    for (u64 row = warp_id(); row < end; row += warp_count()) {
        const double length = row_square(a.z + row * a.n, a.n);
        const double inside = row_square(a.y + row * a.r, a.r);
        for (int l = 0; l < LANES; ++l)
            if (LANE(l) == 0) {
                a.length[row] = length;
                a.inside[row] = inside;
                if (!(length - inside > CANCELLATION * length)) a.need[row / 32] = 1;
            }
    }
}

// nepal_grade_values: grades from coefficients and residuals, a warp a row.
NEPAL_KERNEL nepal_grade_values(const GradeArgs a) {
    if (!WARP_RUNS) return;
    const u64 end = rows_here(a);
    for (u64 row = warp_id(); row < end; row += warp_count()) {
        const double *c = a.c + row * a.k;
        double gamma;
        if (a.flags & LENGTH) {
            gamma = sqrt(row_square(c, a.k));
        } else {
            double own[LANES];
            for (int l = 0; l < LANES; ++l) {
                own[l] = 0;
                for (u64 j = LANE(l); j < a.k; j += 32) {
                    double x = fabs(c[j]);
                    if (x != x) x = INFINITE;
                    own[l] = x > own[l] ? x : own[l];
                }
            }
            gamma = warp_max(own);
        }
        if (gamma != gamma) gamma = INFINITE;
        double rho = NOT_A_NUMBER, grade = gamma, error = 0;
        if (a.near) error = a.rounding[0] * sqrt(a.flags & TWO_PART ? a.length[row] : row_square(a.z + row * a.n, a.n));
        if (a.flags & TWO_PART) {
            const double length = a.length[row], square = length - a.inside[row];
            double residual = 0;
            if (length != 0) {
                if (square > CANCELLATION * length) residual = sqrt(square / length);
                else residual = sqrt(row_square(a.z + row * a.n, a.n) / length);
            }
            // Of a difference, what the squares lose weighs the more the smaller it is.
            error += a.rounding[1] / (square > 0.5 * CANCELLATION * length ? residual : 1) / a.residual_scale / a.kappa;
            rho = residual / a.residual_scale;
            if (!(rho < INFINITE)) rho = INFINITE;
            grade = rho / a.kappa > gamma ? rho / a.kappa : gamma;
        }
        for (int l = 0; l < LANES; ++l)
            if (LANE(l) == 0) {
                const u32 atom = a.list[a.first + row];
                a.gamma[atom] = gamma, a.rho[atom] = rho, a.grade[atom] = grade;
                if (a.near && fabs(grade - a.threshold) <= a.near_share * fabs(a.threshold) + error)
                    a.near[atomicAdd(a.near_count, 1u)] = atom;
            }
    }
}

// nepal_grade_fill: one number for all grades of a list, a thread a row.
NEPAL_KERNEL nepal_grade_fill(const GradeArgs a) {
    const u64 end = rows_here(a);
    for (u64 row = thread_id(); row < end; row += thread_count()) {
        const u32 atom = a.list[a.first + row];
        a.gamma[atom] = a.rho[atom] = a.grade[atom] = a.fill;
    }
}

// nepal_grade_best: the smaller of the grades of two sets, a thread an atom.
NEPAL_KERNEL nepal_grade_best(const GradeArgs a) {
    for (u64 i = thread_id(); i < a.rows; i += thread_count()) {
        if (!(a.flags & FIRST_SET) && !(a.grade[i] < a.best_grade[i])) continue;
        a.best_gamma[i] = a.gamma[i], a.best_rho[i] = a.rho[i], a.best_grade[i] = a.grade[i];
    }
}

// nepal_grade_left: entries of the list from `first` on are left ungraded: infinite, and counted. A
// thread an entry.
NEPAL_KERNEL nepal_grade_left(const GradeArgs a) {
    const u64 total = *a.count;
    for (u64 i = a.first + thread_id(); i < total; i += thread_count()) {
        const u32 atom = a.list[i];
        a.gamma[atom] = a.rho[atom] = a.grade[atom] = INFINITE;
        atomicAdd(a.near_count + 1, 1u);
    }
}
