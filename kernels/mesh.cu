// Sums over waves on a mesh, for many atoms: atoms are spread to points by a bell, the mesh is transformed, its
// waves are weighed and transformed back, and the bell brings potentials and forces to the atoms. In double, in an
// order that does not depend on the run: points are summed as whole numbers. Twins: src/core/nep/bell.rs (bell, size),
// src/core/backend/cpu/mesh.rs.
//
// A mesh has the shape [mesh[0]][mesh[1]][mesh[2]], of complex numbers.

// Strengths times bells are whole numbers of this part; a point holds up to 2^22.
#define WHOLE 1099511627776.0
#define WIDEST 16

// The bell of an atom along a direction: its first point, and values and slopes (per point) at the points.
NEPAL_FN u64 bell(const Args &a, double s, u64 n, double *value, double *slope) {
    const int width = (int)a.bell;
    const double u = (s - floor(s)) * (double)n, low = ceil(u - 0.5 * width);
    const double t = 2 * (low - u + 0.5 * width) - 1;
    for (int j = 0; j < width; ++j) {
        double v = 0, d = 0;
        for (u64 p = 0; p < a.powers; ++p) {
            d = fma(d, t, v);
            v = fma(v, t, a.bell_rows[WIDEST * p + j]);
        }
        // The point moves against the atom, and t by 2 a point.
        value[j] = v, slope[j] = -2 * d;
    }
    const long long first = (long long)low % (long long)n;
    return (u64)(first < 0 ? first + (long long)n : first);
}

// A point behind the first one, on a ring.
NEPAL_FN u64 ring(u64 first, u64 n, int j) {
    u64 place = first + j;
    while (place >= n) place -= n;
    return place;
}

// nepal_mesh_clear, nepal_mesh_spread, nepal_mesh_read: strengths to points, as whole numbers and then as complex
// ones. A thread a point; an atom and plane of its bell; a point.
NEPAL_KERNEL nepal_mesh_clear(const Args a) {
    for (u64 i = thread_id(); i < a.rows; i += thread_count()) a.mesh_whole[i] = 0;
}

NEPAL_KERNEL nepal_mesh_spread(const Args a) {
    for (u64 w = thread_id(); w < a.n_local * a.bell; w += thread_count()) {
        const u64 i = w / a.bell, plane = w % a.bell;
        const double *s = a.fraction + TURN * i;
        double v0[WIDEST], v1[WIDEST], v2[WIDEST], slope[WIDEST];
        const u64 first = bell(a, s[0], a.mesh[0], v0, slope);
        const u64 second = bell(a, s[1], a.mesh[1], v1, slope);
        const u64 third = bell(a, s[2], a.mesh[2], v2, slope);
        const double own = WHOLE * a.strengths[i] * v0[plane];
        const u64 x = ring(first, a.mesh[0], (int)plane);
        for (int b = 0; b < (int)a.bell; ++b) {
            u64 *row = a.mesh_whole + (x * a.mesh[1] + ring(second, a.mesh[1], b)) * a.mesh[2];
            for (int c = 0; c < (int)a.bell; ++c)
                atomicAdd(row + ring(third, a.mesh[2], c), (u64)(long long)rint(own * v1[b] * v2[c]));
        }
    }
}

NEPAL_KERNEL nepal_mesh_read(const Args a) {
    for (u64 i = thread_id(); i < a.rows; i += thread_count()) {
        a.mesh_to[2 * i] = (double)(long long)a.mesh_whole[i] / WHOLE;
        a.mesh_to[2 * i + 1] = 0;
    }
}

// One step of a transform along a direction: `RADIX` numbers at a time, by exp(turn 2 pi i ...).
// Source: Stockham's transform, which needs no reordering (Van Loan, Computational Frameworks for the FFT, 1.7).
template <int RADIX> NEPAL_FN void transform(const Args &a, u64 w) {
    const u64 n = a.mesh[a.along], each = n / RADIX;
    const u64 inner = w % a.inner, i = w / a.inner % each, outer = w / a.inner / each;
    const u64 k = i % a.done;
    double re[RADIX], im[RADIX], s, c;
    sincospi(a.turn * 2 * (double)k / (double)(a.done * RADIX), &s, &c);
    double wr = 1, wi = 0;
    for (int j = 0; j < RADIX; ++j) {
        const double *x = a.mesh_from + 2 * ((outer * n + i + j * each) * a.inner + inner);
        re[j] = x[0] * wr - x[1] * wi, im[j] = x[0] * wi + x[1] * wr;
        const double next = wr * c - wi * s;
        wi = wr * s + wi * c, wr = next;
    }
    sincospi(a.turn * 2.0 / RADIX, &s, &c);
    const u64 first = (i - k) * RADIX + k;
    double rr = 1, ri = 0; // the root of the output, then of the products
    for (int q = 0; q < RADIX; ++q) {
        double sr = 0, si = 0, pr = 1, pi = 0;
        for (int j = 0; j < RADIX; ++j) {
            sr += re[j] * pr - im[j] * pi, si += re[j] * pi + im[j] * pr;
            const double next = pr * rr - pi * ri;
            pi = pr * ri + pi * rr, pr = next;
        }
        double *y = a.mesh_to + 2 * ((outer * n + first + q * a.done) * a.inner + inner);
        y[0] = sr, y[1] = si;
        const double next = rr * c - ri * s;
        ri = rr * s + ri * c, rr = next;
    }
}

// nepal_mesh_transform: one step along `along` with `radix`. A thread a group of numbers.
NEPAL_KERNEL nepal_mesh_transform(const Args a) {
    for (u64 w = thread_id(); w < a.rows / a.radix; w += thread_count()) {
        if (a.radix == 2) transform<2>(a, w);
        else if (a.radix == 3) transform<3>(a, w);
        else if (a.radix == 4) transform<4>(a, w);
        else if (a.radix == 5) transform<5>(a, w);
        else transform<7>(a, w);
    }
}

// Weights G and H of a wave, and of its opposite.
NEPAL_FN void weights(const Args &a, double k2, double &g, double &h) {
    const double alpha = a.screening, unit = a.wave_unit;
    if (a.chain == 0) {
        g = unit * exp(-k2 / (4 * alpha * alpha)) / k2;
        h = g * (0.5 / (alpha * alpha) + 2 / k2);
    } else {
        const double root = 1.7724538509055160273, k = sqrt(k2), b = k / (2 * alpha);
        const double tail = root * erfc(b), gauss = exp(-b * b) / b;
        g = -unit * k * k2 * (tail + (0.5 / (b * b) - 1) * gauss);
        h = 3 * unit * k * (tail - gauss);
    }
}

// nepal_mesh_weigh: the transform of the potential, G S, or, with a component, that of H k k S. A thread a point.
NEPAL_KERNEL nepal_mesh_weigh(const Args a) {
    const double alpha = a.screening, limit = 4 * 9.86960440108935861883 * alpha * alpha;
    for (u64 i = thread_id(); i < a.rows; i += thread_count()) {
        const u64 place[3] = {i / a.mesh[2] / a.mesh[1], i / a.mesh[2] % a.mesh[1], i % a.mesh[2]};
        double k[3] = {0, 0, 0}, factor = 1;
        const double *factors = a.mesh_factors;
        for (int d = 0; d < 3; ++d) {
            const double n = (double)place[d] - (2 * place[d] > a.mesh[d] ? (double)a.mesh[d] : 0.0);
            for (int x = 0; x < 3; ++x) k[x] += n * a.inverse[3 * x + d] * 6.28318530717958647693;
            factor *= factors[place[d]];
            factors += a.mesh[d];
        }
        const double k2 = k[0] * k[0] + k[1] * k[1] + k[2] * k[2];
        double own = 0;
        if (k2 < limit && k2 > 0) {
            double g, h;
            weights(a, k2, g, h);
            const u64 c = a.component;
            if (c == 0) own = g;
            else if (c < 4) own = h * k[c - 1] * k[c - 1];
            else own = h * (c == 6 ? k[1] : k[0]) * (c == 4 ? k[1] : k[2]);
        }
        a.mesh_to[2 * i] = own * factor * a.mesh_from[2 * i];
        a.mesh_to[2 * i + 1] = own * factor * a.mesh_from[2 * i + 1];
    }
}

// nepal_mesh_atoms: half of the potential, and of its slopes for forces, as numbers of the field; or, with a
// component, half of the virial's. A thread an atom.
NEPAL_KERNEL nepal_mesh_atoms(const Args a) {
    for (u64 i = thread_id(); i < a.n_local; i += thread_count()) {
        const double *s = a.fraction + TURN * i;
        double v0[WIDEST], v1[WIDEST], v2[WIDEST], d0[WIDEST], d1[WIDEST], d2[WIDEST];
        const u64 first = bell(a, s[0], a.mesh[0], v0, d0);
        const u64 second = bell(a, s[1], a.mesh[1], v1, d1);
        const u64 third = bell(a, s[2], a.mesh[2], v2, d2);
        double value = 0, along[3] = {0, 0, 0};
        for (int x = 0; x < (int)a.bell; ++x) {
            const u64 plane = ring(first, a.mesh[0], x) * a.mesh[1];
            for (int y = 0; y < (int)a.bell; ++y) {
                const double *row = a.mesh_from + 2 * (plane + ring(second, a.mesh[1], y)) * a.mesh[2];
                double sum = 0, slope = 0;
                for (int z = 0; z < (int)a.bell; ++z) {
                    const double point = row[2 * ring(third, a.mesh[2], z)];
                    sum += v2[z] * point, slope += d2[z] * point;
                }
                value += v0[x] * v1[y] * sum;
                along[0] += d0[x] * v1[y] * sum, along[1] += v0[x] * d1[y] * sum;
                along[2] += v0[x] * v1[y] * slope;
            }
        }
        if (a.component > 0) {
            a.field_parts[(3 + a.component) * a.n_local + i] = -0.5 * value;
            continue;
        }
        a.field_parts[i] = 0.5 * value;
        for (int x = 0; x < 3; ++x) {
            double sum = 0;
            for (int d = 0; d < 3; ++d) sum += a.inverse[3 * x + d] * (double)a.mesh[d] * along[d];
            a.field_parts[(1 + x) * a.n_local + i] = -0.5 * sum;
            for (int c = 0; c < 2; ++c) a.field_parts[(4 + 2 * x + c) * a.n_local + i] = 0;
        }
    }
}

// nepal_mesh_drift: takes off what all forces have in common (`input`, times `share`), which is error. A thread an atom.
NEPAL_KERNEL nepal_mesh_drift(const Args a) {
    for (u64 i = thread_id(); i < a.n_local; i += thread_count())
        for (int d = 0; d < 3; ++d) a.far[FAR * i + d] -= a.share * a.input[d];
}
