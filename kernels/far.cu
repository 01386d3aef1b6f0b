// Charges and dispersion of all atoms: what the heads give, its sums over reciprocal space and over screened
// pairs, and what acts back on the descriptors. All sums over atoms and waves are in double and in an order of
// the numbers of atoms and waves alone. Twins: src/core/backend/reference/long_range.rs, src/core/nep/long_range.rs.
//
// Atoms are in the caller's order. `strengths`, `acting` have a row [n_total] for each head, the charge first;
// kernels for one interaction get the address of its row.

// Waves that a thread takes at once: they differ by one in the last multiple; what fills the last run of a row
// has no weight. Numbers of an atom in `fraction`.
#define RUN 8
#define TURN 5

// nepal_heads: what the network gives beside the energy (charges, which are not neutral yet; roots of C6), and
// fractional coordinates. A thread an atom of a batch.
NEPAL_KERNEL nepal_heads(const Args a) {
    for (u64 b = thread_id(); b < a.count; b += thread_count()) {
        const u32 t = a.places[a.first + b].type;
        const u64 atom = a.atom[a.first + b];
        for (int h = 0; h < HEADS; ++h) {
            accum sum = 0;
            for (int m0 = 0; m0 < N1P; m0 += 8) {
                real w[8], part = 0;
                load8(a.w1 + ((u64)(h + 1) * a.n_types + t) * N1P + m0, w);
                for (int m = 0; m < 8; ++m) part = real_fma(w[m], a.neurons[(m0 + m) * a.stride + b], part);
                sum += part;
            }
            if (DISPERSION && h == HEADS - 1) sum = a.free_root[t] * exp(0.1 * sum);
            a.strengths[h * a.n_total + atom] = sum;
        }
        const double *r = a.positions + 3 * atom;
        double *s = a.fraction + TURN * atom;
        for (int c = 0; c < 3; ++c) s[c] = r[0] * a.inverse[c] + r[1] * a.inverse[3 + c] + r[2] * a.inverse[6 + c];
        sincospi(2 * (s[2] - rint(s[2])), s + 4, s + 3);
    }
}

// nepal_shift: the same number added to `rows` numbers: `share`, or what takes their sum (`input`) to `share`.
NEPAL_KERNEL nepal_shift(const Args a) {
    for (u64 i = thread_id(); i < a.rows; i += thread_count())
        a.out[i] += a.input ? (a.share - *a.input) / a.rows : a.share;
}

// exp(2 pi i n.s) of a wave and an atom; what is whole is taken off in double.
struct Phase {
    double c, s;
};

NEPAL_FN Phase phase(const double *wave, const double *s) {
    double turns = wave[0] * s[0] + wave[1] * s[1] + wave[2] * s[2];
    turns -= rint(turns);
    real sine, cosine;
    real_sincospi((real)(2 * turns), &sine, &cosine);
    return {cosine, sine};
}

// That of the next wave of the run.
NEPAL_FN Phase next(Phase z, const double *s) { return {z.c * s[3] - z.s * s[4], z.s * s[3] + z.c * s[4]}; }

// nepal_factors, nepal_factor_sums: S(k) = sum of c_j exp(-i k r_j), parts of the atoms first. A thread a run
// and part; a thread a number.
NEPAL_KERNEL nepal_factors(const Args a) {
    const u64 runs = a.n_waves / RUN;
    for (u64 w = thread_id(); w < runs * a.parts; w += thread_count()) {
        const u64 k = RUN * (w % runs), p = w / runs;
        double re[RUN], im[RUN];
        for (int m = 0; m < RUN; ++m) re[m] = im[m] = 0;
        for (u64 i = a.n_local * p / a.parts; i < a.n_local * (p + 1) / a.parts; ++i) {
            const double *s = a.fraction + TURN * i, strength = a.strengths[i];
            Phase z = phase(a.waves + 8 * k, s);
            for (int m = 0; m < RUN; ++m) {
                re[m] += strength * z.c, im[m] -= strength * z.s;
                z = next(z, s);
            }
        }
        double *out = a.factor_parts + 2 * (p * a.n_waves + k);
        for (int m = 0; m < RUN; ++m) out[2 * m] = re[m], out[2 * m + 1] = im[m];
    }
}

NEPAL_KERNEL nepal_factor_sums(const Args a) {
    for (u64 k = thread_id(); k < 2 * a.n_waves; k += thread_count()) {
        double sum = 0;
        for (u64 p = 0; p < a.parts; ++p) sum += a.factor_parts[2 * a.n_waves * p + k];
        a.factors[k] = sum;
    }
}

// Numbers of an atom in the field: potential, force, and its virial xx yy zz xy xz yz, each over its strength; the
// virial is zero where it is not wanted.
#define FIELD 10

// nepal_field_parts: sums over parts of the waves at each atom. A thread an atom and part.
NEPAL_KERNEL nepal_field_parts(const Args a) {
    const u64 runs = a.n_waves / RUN;
    for (u64 w = thread_id(); w < a.n_local * a.parts; w += thread_count()) {
        const u64 i = w % a.n_local, p = w / a.n_local;
        double sum[FIELD];
        for (int c = 0; c < FIELD; ++c) sum[c] = 0;
        const double *s = a.fraction + TURN * i;
        for (u64 run = runs * p / a.parts; run < runs * (p + 1) / a.parts; ++run) {
            Phase z = phase(a.waves + 8 * RUN * run, s);
            for (u64 n = RUN * run; n < RUN * (run + 1); ++n) {
                const double *wave = a.waves + 8 * n, *k = wave + 3;
                // Real and imaginary part of S exp(i k r).
                const double re = a.factors[2 * n], im = a.factors[2 * n + 1];
                const double even = re * z.c - im * z.s, gm = wave[6] * (re * z.s + im * z.c);
                sum[0] += wave[6] * even;
                for (int d = 0; d < 3; ++d) sum[1 + d] += gm * k[d];
                z = next(z, s);
                if (!(a.flags & WANT_VIRIAL)) continue;
                const double hp = wave[7] * even;
                for (int d = 0; d < 3; ++d) sum[4 + d] -= hp * k[d] * k[d];
                sum[7] -= hp * k[0] * k[1], sum[8] -= hp * k[0] * k[2], sum[9] -= hp * k[1] * k[2];
            }
        }
        for (int c = 0; c < FIELD; ++c) a.field_parts[(p * FIELD + c) * a.n_local + i] = sum[c];
    }
}

// nepal_field: energies, forces and virials of an interaction, and what acts back on the head. A thread an atom.
// `mean`, times the sum of all strengths (`input`) if that is here, is the potential of the wave k = 0; `own` c^2
// is what an atom has with itself. The head is the logarithm of the strength over `chain`, or the strength where that is 0.
NEPAL_KERNEL nepal_field(const Args a) {
    for (u64 i = thread_id(); i < a.n_local; i += thread_count()) {
        double sum[FIELD];
        for (int c = 0; c < FIELD; ++c) {
            sum[c] = 0;
            for (u64 p = 0; p < a.parts; ++p) sum[c] += a.field_parts[(p * FIELD + c) * a.n_local + i];
        }
        sum[0] += a.input ? a.mean * *a.input : a.mean;
        const double strength = a.strengths[i], potential = sum[0] + a.own * strength;
        a.out_energy[i] += strength * potential;
        a.acting[i] = 2 * potential * (a.chain != 0 ? a.chain * strength : 1.0);
        double *far = a.far + FAR * i;
        for (int d = 0; d < 3; ++d) far[d] += 2 * strength * sum[1 + d], far[3 + d] += strength * (sum[0] + sum[4 + d]);
        for (int d = 6; d < 9; ++d) far[d] += strength * sum[1 + d];
    }
}

// nepal_screened: energies of screened pairs, and what acts back on the charges. A thread an atom.
NEPAL_KERNEL nepal_screened(const Args a) {
    for (u64 i = thread_id(); i < a.n_local; i += thread_count()) {
        const Place me = a.places[i];
        const u64 atom = a.atom[i], slot = first_slot(a.start_r, i);
        accum sum = 0;
        for (u32 e = 0; e < a.count_r[i]; ++e) {
            const u64 p = a.list_r[slot + (u64)SLICE * e];
            const Place other = a.places[p];
            const real rc = cutoff(a, me.type, other.type, 0);
            real d[3], phi, slope;
            const real r2 = difference(me, other, d);
            if (!(r2 < rc * rc)) continue;
            screened(a, real_sqrt(r2), phi, slope);
            sum += a.strengths[a.atom[p]] * phi;
        }
        a.out_energy[atom] += 0.5 * a.strengths[atom] * sum;
        a.acting[atom] += sum;
    }
}

// nepal_carry: the gradient of the energy with respect to the descriptors, with what acts on the heads; or
// that of the charge, for Born charges. A thread an atom of a batch; reads neurons, writes slope and fp.
NEPAL_KERNEL nepal_carry(const Args a) {
    for (u64 b = thread_id(); b < a.count; b += thread_count()) {
        const u32 t = a.places[a.first + b].type;
        const u64 atom = a.atom[a.first + b];
        real act[HEADS + 1];
        act[0] = a.flags & BORN ? 0 : 1;
        for (int h = 0; h < HEADS; ++h)
            act[h + 1] = a.flags & BORN ? R(h == 0) : (real)a.acting[h * a.n_total + atom];
        for (int m = 0; m < N1; ++m) {
            real slope = 0;
            for (int h = 0; h <= HEADS; ++h)
                slope = real_fma(act[h], a.w1[((u64)h * a.n_types + t) * N1P + m], slope);
            a.slope[m * a.stride + b] = slope;
        }
        backward(a, b, t);
    }
}
