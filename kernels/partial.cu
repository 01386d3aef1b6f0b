// nepal_partial: what the forces of all atoms need of an atom, a thread an atom: the slopes of its
// radial sums by neighbour type, and the partial forces f_ij = dU_i/dr_ij of its angular
// neighbours, repulsion included. Reads sums and fp; writes radial_slope and partial, and adds the
// repulsion to out_energy. Twins: Setup::partial_forces, ZblPair::energy.

// Contracts the gradient with the coefficients, once for each type of neighbour.
NEPAL_FN void radial_slopes(const Args &a, u64 i, u64 b, u32 t) {
    for (u32 t2 = 0; t2 < a.n_types; ++t2) {
        const real *c = a.radial + (t * a.n_types + t2) * (NR * KR);
        real *out = a.radial_slope + (i * a.n_types + t2) * KRP;
        real sum[KRP];
        for (int k = 0; k < KRP; ++k) sum[k] = 0;
        for (int n = 0; n < NR; ++n) {
            const real fp = a.fp[n * a.stride + b];
            for (int k = 0; k < KR; ++k) sum[k] = real_fma(fp, c[n * KR + k], sum[k]);
        }
        for (int k = 0; k < KRP; k += 4) *(real4 *)(out + k) = {sum[k], sum[k + 1], sum[k + 2], sum[k + 3]};
    }
}

// Half of the repulsion of a pair of types and its derivative. Parameters: inner, outer, four
// amplitudes and exponents, K Z Z', 1 / length.
NEPAL_FN void repulsion(const real *p, real r, real &energy, real &slope) {
    energy = slope = 0;
    if (!(r < p[1])) return;
    const real x = r * p[11];
    real phi = 0, dphi = 0;
    for (int k = 0; k < 4; ++k) {
        const real value = p[2 + 2 * k] * real_exp(-p[3 + 2 * k] * x);
        phi += value;
        dphi -= p[3 + 2 * k] * value;
    }
    const real bare = p[10] * phi / r;
    const real dbare = (p[10] * dphi * p[11] - bare) / r;
    real on = 1, don = 0;
    if (r >= p[0]) {
        // (1 + cos(pi y)) / 2 = cos^2(pi y / 2)
        const real rate = 1 / (p[1] - p[0]);
        real s, c;
        quarter((r - p[0]) * rate, s, c);
        on = c * c, don = R(-3.141592653589793) * rate * s * c;
    }
    energy = R(0.5) * bare * on;
    slope = R(0.5) * (dbare * on + bare * don);
}

// D = dU/ds of the functions n0 to n0 + NC.
NEPAL_FN void sum_slopes(const Args &a, u64 b, int n0, real *d) {
    for (int n = 0; n < NC; ++n) {
        if (n0 + n >= NA) {
            for (int k = 0; k < NLM; ++k) d[n * NLM + k] = 0;
            continue;
        }
        real s[NLM];
        for (int k = 0; k < NLM; ++k) s[k] = a.sums[((n0 + n) * NLM + k) * a.stride + b];
        gradients(s, a.fp + (NR + n0 + n) * a.stride + b, NA * a.stride, d + n * NLM);
    }
}

NEPAL_KERNEL nepal_partial(const Args a) {
    for (u64 b = thread_id(); b < a.count; b += thread_count()) {
        const u64 i = a.first + b;
        const Place me = a.places[i];
        radial_slopes(a, i, b, me.type);
        const u32 count = a.count_a[i];
        const u64 slot = first_slot(a.start_a, i);
        accum energy = 0;
        for (int n0 = 0; n0 < NAP; n0 += NC) {
            real slopes[NC * NLM];
            sum_slopes(a, b, n0, slopes);
            for (u32 e = 0; e < count; ++e) {
                const u64 at = slot + (u64)SLICE * e;
                const Place other = a.places[a.list_a[at]];
                const u64 types = me.type * a.n_types + other.type;
                const real rc = cutoff(a, me.type, other.type, 1);
                real4 force = {0, 0, 0, 0};
                if (n0 > 0) force = a.partial[at];
                real d[3];
                const real r2 = difference(me, other, d);
                if (r2 < rc * rc) {
                    const real inverse = real_rsqrt(r2), r = r2 * inverse;
                    for (int k = 0; k < 3; ++k) d[k] *= inverse;
                    real f[KA], df[KA], u[NLM], v[NLM], grad[3];
                    basis_and_slopes<KA>(r, inverse_cutoff(a, me.type, other.type, 1), f, df);
                    const real *c = a.angular + (types * NAP + n0) * KA;
                    for (int k = 0; k < NLM; ++k) u[k] = v[k] = 0;
                    for (int n = 0; n < NC; ++n) {
                        real g = 0, dg = 0;
                        for (int k = 0; k < KA; ++k) {
                            g = real_fma(c[n * KA + k], f[k], g);
                            dg = real_fma(c[n * KA + k], df[k], dg);
                        }
                        for (int k = 0; k < NLM; ++k) {
                            u[k] = real_fma(slopes[n * NLM + k], g, u[k]);
                            v[k] = real_fma(slopes[n * NLM + k], dg, v[k]);
                        }
                    }
                    real along = contract(d[0], d[1], d[2], u, v, grad);
                    along -= inverse * (d[0] * grad[0] + d[1] * grad[1] + d[2] * grad[2]);
                    if (ZBL && n0 == 0 && !(a.flags & CONTRACT)) {
                        real half, slope;
                        repulsion(a.zbl + types * 12, r, half, slope);
                        energy += half, along += slope;
                    }
                    force.x += along * d[0] + inverse * grad[0];
                    force.y += along * d[1] + inverse * grad[1];
                    force.z += along * d[2] + inverse * grad[2];
                }
                a.partial[at] = force;
            }
        }
        if (ZBL && !(a.flags & CONTRACT)) a.out_energy[a.atom[i]] += energy;
    }
}
