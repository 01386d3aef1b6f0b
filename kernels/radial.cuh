// Pairs of places and their radial functions. The twin of src/core/nep/radial.rs.

// Vector from one place to another, and its square.
NEPAL_FN real difference(const Place &from, const Place &to, real *d) {
    for (int c = 0; c < 3; ++c) {
        d[c] = to.x[c] - from.x[c];
#if !NEPAL_DOUBLE
        d[c] += to.low[c] - from.low[c];
#endif
    }
    return d[0] * d[0] + d[1] * d[1] + d[2] * d[2];
}

// Sine and cosine of pi v / 2 for 0 <= v <= 1. In single precision their series, whose next terms
// are below rounding.
NEPAL_FN void quarter(real v, real &s, real &c) {
#if NEPAL_DOUBLE
    sincospi(0.5 * v, &s, &c);
#else
    const real t = R(1.5707963267948966) * v, x = t * t;
    s = real_fma(R(1.6059043836821613e-10), x, R(-2.505210838544172e-08));
    s = real_fma(s, x, R(2.7557319223985893e-06));
    s = real_fma(s, x, R(-1.984126984126984e-04));
    s = real_fma(s, x, R(8.333333333333333e-03));
    s = real_fma(s, x, R(-1.6666666666666666e-01));
    s = real_fma(s * x, t, t);
    c = real_fma(R(-1.1470745597729725e-11), x, R(2.08767569878681e-09));
    c = real_fma(c, x, R(-2.755731922398589e-07));
    c = real_fma(c, x, R(2.48015873015873e-05));
    c = real_fma(c, x, R(-1.388888888888889e-03));
    c = real_fma(c, x, R(4.1666666666666664e-02));
    c = real_fma(c, x, R(-0.5));
    c = real_fma(c, x, R(1.0));
#endif
}

// The basis f_k of one distance, k < K: f_0 = f_c and f_k = (T_k(x) + 1) f_c / 2 with
// f_c = sin^2(pi v / 2), x = 2 v^2 - 1, v = 1 - r / cutoff. `inverse` is 1 / cutoff.
template <int K> NEPAL_FN void basis(real r, real inverse, real *f) {
    const real v = real_fma(-r, inverse, R(1.0));
    real s, c;
    quarter(v, s, c);
    const real half = R(0.5) * s * s, x2 = R(4.0) * v * v - R(2.0);
    real t0 = 1, t1 = R(0.5) * x2;
    f[0] = 2 * half;
#pragma unroll
    for (int k = 1; k < K; ++k) {
        f[k] = real_fma(half, t1, half);
        const real t2 = x2 * t1 - t0;
        t0 = t1, t1 = t2;
    }
}

// The basis and its derivative.
template <int K> NEPAL_FN void basis_and_slopes(real r, real inverse, real *f, real *df) {
    const real v = real_fma(-r, inverse, R(1.0));
    real s, c;
    quarter(v, s, c);
    const real half = R(0.5) * s * s, x2 = R(4.0) * v * v - R(2.0);
    const real fall = R(-1.5707963267948966) * inverse * s * c;
    const real lean = R(-4.0) * v * inverse * half;
    real t0 = 1, t1 = R(0.5) * x2, u0 = 0, u1 = 1;
    f[0] = 2 * half, df[0] = 2 * fall;
#pragma unroll
    for (int k = 1; k < K; ++k) {
        f[k] = real_fma(half, t1, half);
        df[k] = real_fma(fall, t1, fall) + R(k) * lean * u1;
        const real t2 = x2 * t1 - t0, u2 = x2 * u1 - u0;
        t0 = t1, t1 = t2, u0 = u1, u1 = u2;
    }
}

// Radial (0) or angular (1) cutoff of a pair of types, and one over it.
NEPAL_FN real cutoff(const Args &a, u32 t, u32 t2, int part) {
    return a.cutoffs[(t * a.n_types + t2) * 4 + part];
}

NEPAL_FN real inverse_cutoff(const Args &a, u32 t, u32 t2, int part) {
    return cutoff(a, t, t2, 2 + part);
}

// Slot of the first entry of an atom; the next ones follow 32 slots apart.
NEPAL_FN u64 first_slot(const u64 *start, u64 i) { return start[i / SLICE] + i % SLICE; }
