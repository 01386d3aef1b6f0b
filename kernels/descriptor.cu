// nepal_descriptor: scaled descriptors and angular sums of `count` atoms from `first` on, a thread
// an atom. Reads places and lists; writes the columns of q and sums.
// Twin: Setup::environment of src/core/backend/reference.

// Radial part: the basis is summed over the neighbours of a type, which stand together, before it
// meets the coefficients.
NEPAL_FN void radial_part(const Args &a, u64 i, const Place &me, real *q) {
    real sum[KR];
    for (int k = 0; k < KR; ++k) sum[k] = 0;
    for (int n = 0; n < NR; ++n) q[n] = 0;
    const u32 count = a.count_r[i];
    const u64 slot = first_slot(a.start_r, i);
    u32 type = 0;
    real rc = cutoff(a, me.type, 0, 0), inverse = inverse_cutoff(a, me.type, 0, 0);
    for (u32 e = 0; e <= count; ++e) {
        const bool end = e == count;
        const Place other = a.places[end ? i : a.list_r[slot + (u64)SLICE * e]];
        if (end || (!SINGLE && other.type != type)) {
            const real *c = a.radial + (me.type * a.n_types + type) * (NR * KR);
            for (int n = 0; n < NR; ++n)
                for (int k = 0; k < KR; ++k) q[n] = real_fma(c[n * KR + k], sum[k], q[n]);
            if (end) break;
            for (int k = 0; k < KR; ++k) sum[k] = 0;
            type = other.type;
            rc = cutoff(a, me.type, type, 0), inverse = inverse_cutoff(a, me.type, type, 0);
        }
        real d[3], f[KR];
        const real r2 = difference(me, other, d);
        if (!(r2 < rc * rc)) continue;
        basis<KR>(real_sqrt(r2), inverse, f);
        for (int k = 0; k < KR; ++k) sum[k] += f[k];
    }
}

// Angular sums of the functions n0 to n0 + NC.
NEPAL_FN void angular_part(const Args &a, u64 i, const Place &me, int n0, real *sums) {
    for (int k = 0; k < NC * NLM; ++k) sums[k] = 0;
    const u32 count = a.count_a[i];
    const u64 slot = first_slot(a.start_a, i);
    for (u32 e = 0; e < count; ++e) {
        const Place other = a.places[a.list_a[slot + (u64)SLICE * e]];
        const real rc = cutoff(a, me.type, other.type, 1);
        real d[3], f[KA], s[NLM];
        const real r2 = difference(me, other, d);
        if (!(r2 < rc * rc)) continue;
        const real unit = real_rsqrt(r2), r = r2 * unit;
        basis<KA>(r, inverse_cutoff(a, me.type, other.type, 1), f);
        functions(d[0] * unit, d[1] * unit, d[2] * unit, s);
        const real *c = a.angular + ((me.type * a.n_types + other.type) * NAP + n0) * KA;
        for (int n = 0; n < NC; ++n) {
            real g = 0;
            for (int k = 0; k < KA; ++k) g = real_fma(c[n * KA + k], f[k], g);
            for (int k = 0; k < NLM; ++k) sums[n * NLM + k] = real_fma(g, s[k], sums[n * NLM + k]);
        }
    }
}

NEPAL_KERNEL nepal_descriptor(const Args a) {
    for (u64 b = thread_id(); b < a.count; b += thread_count()) {
        const u64 i = a.first + b;
        const Place me = a.places[i];
        real q[NR];
        radial_part(a, i, me, q);
        for (int n = 0; n < NR; ++n) a.q[n * a.stride + b] = q[n] * a.scaler[n];
        for (int n0 = 0; n0 < NAP; n0 += NC) {
            real sums[NC * NLM];
            angular_part(a, i, me, n0, sums);
            for (int n = 0; n < NC; ++n) {
                real out[BLOCKS];
                for (int k = 0; k < NLM; ++k)
                    a.sums[((n0 + n) * NLM + k) * a.stride + b] = sums[n * NLM + k];
                if (n0 + n >= NA) continue;
                values(sums + n * NLM, out);
                for (int k = 0; k < BLOCKS; ++k) {
                    const int d = NR + k * NA + n0 + n;
                    a.q[d * a.stride + b] = out[k] * a.scaler[d];
                }
            }
        }
        if (TEMPERATURE) a.q[(DIM - 1) * a.stride + b] = (real)a.temperature * a.scaler[DIM - 1];
    }
}
