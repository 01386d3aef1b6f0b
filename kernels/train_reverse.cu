// The gradient of S = sum of a U + dU over the atoms of a launch, where a is the slope of the loss
// by the energy, and dU the change of U along the displacements and strains that the slopes by
// forces and virials are: the dual pass of src/train/kernel/tangent.rs, after train_forward.cu.

NEPAL_FN real energy_rate(const TrainArgs &a, u64 p, u32 lane) {
    const u32 structure = a.structure_of[a.block[p] * EIGHT + lane];
    return structure == NONE ? 0 : (real)a.slopes[a.first_structure[p] + structure];
}

// Rates of change of the vectors to the neighbours, and of their lengths.
NEPAL_FN void rates(const TrainArgs &a, u64 p, u32 lane, const u32 *index, const float *rows, int width, u64 first,
                    u64 last, u64 shift, real *moved) {
    const double *displacement = a.slopes + a.structures;
    const double *own = displacement + 3 * (p * EIGHT + lane);
    const u32 structure = a.structure_of[a.block[p] * EIGHT + lane];
    const double *strain = displacement + 3 * EIGHT * a.positions + 9 * (a.first_structure[p] + structure);
    for (u64 b = first; b < last; b += STRANDS) {
        const double *other = displacement + 3 * (a.base[p] * EIGHT + index[b * EIGHT + lane]);
        const float *row = rows + (b * width + width - 4) * EIGHT + lane;
        const real unit[3] = {row[0], row[EIGHT], row[2 * EIGHT]};
        const real r = row[3 * EIGHT];
        real rate[3], along = 0;
        for (int c = 0; c < 3; ++c) rate[c] = (real)(other[c] - own[c]);
        if (a.strained && structure != NONE)
            for (int c = 0; c < 3; ++c)
                for (int k = 0; k < 3; ++k) rate[c] += r * unit[k] * (real)strain[3 * k + c];
        for (int c = 0; c < 3; ++c) along = real_fma(unit[c], rate[c], along);
        real *out = moved + ((b + shift) * EIGHT + lane) * 4;
        out[0] = rate[0], out[1] = rate[1], out[2] = rate[2], out[3] = along;
    }
}

// nepal_train_rates: STRANDS threads an atom. Writes moved.
NEPAL_KERNEL nepal_train_rates(const TrainArgs a) {
    for (u64 t = thread_id(); t < a.positions * STRANDS * EIGHT; t += thread_count()) {
        const u32 lane = t % EIGHT;
        const u64 strand = t / EIGHT % STRANDS, p = t / EIGHT / STRANDS, block = a.block[p];
        const u64 first = a.first_local[block], last = a.first_local[block + 1];
        rates(a, p, lane, a.index_r, a.bonds_r, KR + 4, a.range_r[2 * first] + strand, a.range_r[2 * last - 1],
              a.bond_shift_r[p], a.moved_r);
        rates(a, p, lane, a.index_a, a.bonds_a, 2 * KA + 4, a.range_a[2 * first] + strand, a.range_a[2 * last - 1],
              a.bond_shift_a[p], a.moved_a);
    }
}

// nepal_train_radial_rates: rates of the sums of f_k. A thread an atom and k. Writes rate_r.
NEPAL_KERNEL nepal_train_radial_rates(const TrainArgs a) {
    for (u64 t = thread_id(); t < a.positions * KR * EIGHT; t += thread_count()) {
        const u32 lane = t % EIGHT;
        const u64 k = t / EIGHT % KR, p = t / EIGHT / KR, block = a.block[p];
        const u64 first = a.first_local[block], last = a.first_local[block + 1];
        for (u64 e = first; e < last; ++e) {
            real sum = 0;
            for (u64 b = a.range_r[2 * e]; b < a.range_r[2 * e + 1]; ++b)
                sum = real_fma(R(a.bonds_r[(b * (KR + 4) + k) * EIGHT + lane]),
                               a.moved_r[((b + a.bond_shift_r[p]) * EIGHT + lane) * 4 + 3], sum);
            a.rate_r[at(a.entry_base[p] + e - first, KR, k, lane)] = sum;
        }
    }
}

// nepal_train_angular_rates: rates of the sums of f_k S_lm. A thread an atom and AT_ONCE of k.
// Writes rate_a.
#define AT_ONCE (NLM > 24 ? 1 : 2)
#define TURNS ((KA + AT_ONCE - 1) / AT_ONCE)
NEPAL_KERNEL nepal_train_angular_rates(const TrainArgs a) {
    for (u64 t = thread_id(); t < a.positions * TURNS * EIGHT; t += thread_count()) {
        const u32 lane = t % EIGHT;
        const u64 k0 = t / EIGHT % TURNS * AT_ONCE, p = t / EIGHT / TURNS, block = a.block[p];
        const u64 first = a.first_local[block], last = a.first_local[block + 1];
        for (u64 e = first; e < last; ++e) {
            real sum[AT_ONCE][NLM];
            for (int k = 0; k < AT_ONCE; ++k)
                for (int q = 0; q < NLM; ++q) sum[k][q] = 0;
            for (u64 b = a.range_a[2 * e]; b < a.range_a[2 * e + 1]; ++b) {
                const float *row = a.bonds_a + b * ((2 * KA + 4) * EIGHT) + lane;
                const real *rate = a.moved_a + ((b + a.bond_shift_a[p]) * EIGHT + lane) * 4;
                const real inverse = 1 / R(row[(2 * KA + 3) * EIGHT]), along = rate[3];
                Twin u[3], s[NLM];
                for (int c = 0; c < 3; ++c) {
                    const real unit = row[(2 * KA + c) * EIGHT];
                    u[c] = Twin(unit, (rate[c] - unit * along) * inverse);
                }
                functions(u[0], u[1], u[2], s);
                for (int k = 0; k < AT_ONCE; ++k) {
                    if (k0 + k >= KA) continue;
                    const real f = row[(k0 + k) * EIGHT], df = R(row[(KA + k0 + k) * EIGHT]) * along;
                    for (int q = 0; q < NLM; ++q)
                        sum[k][q] = real_fma(f, s[q].slope, real_fma(df, s[q].value, sum[k][q]));
                }
            }
            real *out = a.rate_a + at(a.entry_base[p] + e - first, KA * NLM, k0 * NLM, lane);
            for (int k = 0; k < AT_ONCE; ++k)
                if (k0 + k < KA)
                    for (int q = 0; q < NLM; ++q) out[(k * NLM + q) * EIGHT] = sum[k][q];
        }
    }
}

// nepal_train_dual_sums: rates of the descriptors and angular sums. A thread an atom and n. Reads s
// and the rates; writes dx, ds.
NEPAL_KERNEL nepal_train_dual_sums(const TrainArgs a) {
    const u64 wide = NR > NA ? NR : NA;
    for (u64 t = thread_id(); t < a.positions * wide * EIGHT; t += thread_count()) {
        const u32 lane = t % EIGHT;
        const u64 n = t / EIGHT % wide, p = t / EIGHT / wide;
        const u64 block = a.block[p], first = a.first_local[block], last = a.first_local[block + 1];
        const u64 types = (u64)a.center[block] * TYPES, from = a.entry_base[p] - first;
        if (n < NR) {
            real sum = 0;
            for (u64 e = first; e < last; ++e) {
                const real *c = a.radial_c + (types + a.local_types[e]) * (KR * NR) + n;
                for (int k = 0; k < KR; ++k) sum = real_fma(c[k * NR], a.rate_r[at(from + e, KR, k, lane)], sum);
            }
            a.dx[at(p, DIM, n, lane)] = sum * a.scaler[n];
        }
        if (n < NA) {
            Twin s[NLM], v[BLOCKS];
            for (int q = 0; q < NLM; ++q) s[q] = Twin(a.s[at(p, TRAIN_SUMS, n * NLM + q, lane)], 0);
            for (u64 e = first; e < last; ++e) {
                const real *c = a.angular_c + (types + a.local_types[e]) * (KA * NA) + n;
                for (int k = 0; k < KA; ++k) {
                    const real *rate = a.rate_a + at(from + e, KA * NLM, k * NLM, lane);
                    for (int q = 0; q < NLM; ++q) s[q].slope = real_fma(c[k * NA], rate[q * EIGHT], s[q].slope);
                }
            }
            for (int q = 0; q < NLM; ++q) a.ds[at(p, TRAIN_SUMS, n * NLM + q, lane)] = s[q].slope;
            values(s, v);
            for (int b = 0; b < BLOCKS; ++b)
                a.dx[at(p, DIM, NR + b * NA + n, lane)] = v[b].slope * a.scaler[NR + b * NA + n];
        }
    }
}

// alpha and beta of the first layer: gradients by what it is given and by the rate of that.
NEPAL_FN void first_gradients(const TrainArgs &a, u64 t, real value, real slope) {
    const real y = a.t1[t], rest = 1 - y * y, beta = slope * rest;
    a.alpha[t] = value * rest - 2 * beta * y * a.du[t];
    a.beta[t] = beta;
}

// nepal_train_dual_first: a thread an atom and neuron. Reads dx, t1; writes du and, of one layer,
// alpha and beta.
NEPAL_KERNEL nepal_train_dual_first(const TrainArgs a) {
    for (u64 t = thread_id(); t < a.positions * N1 * EIGHT; t += thread_count()) {
        const u32 lane = t % EIGHT;
        const u64 m = t / EIGHT % N1, p = t / EIGHT / N1;
        const u32 type = a.center[a.block[p]];
        const real *w = a.parameters + first_w0(type) + m * DIM;
        real sum = 0;
        for (int d = 0; d < DIM; ++d) sum = real_fma(w[d], a.dx[at(p, DIM, d, lane)], sum);
        a.du[t] = sum;
        if (N2 > 0) continue;
        const real own = a.parameters[first_w1(type) + m];
        first_gradients(a, t, energy_rate(a, p, lane) * own, own);
    }
}

// nepal_train_dual_second: a thread an atom and neuron of the second layer. Reads du, t1, t2;
// writes du2, alpha2, beta2.
NEPAL_KERNEL nepal_train_dual_second(const TrainArgs a) {
    for (u64 t = thread_id(); t < a.positions * N2 * EIGHT; t += thread_count()) {
        const u32 lane = t % EIGHT;
        const u64 m = t / EIGHT % (N2 + !N2), p = t / EIGHT / (N2 + !N2);
        const u32 type = a.center[a.block[p]];
        const real *w = a.parameters + first_w1(type) + m * N1;
        real sum = 0;
        for (int k = 0; k < N1; ++k) {
            const real y = a.t1[at(p, N1, k, lane)];
            sum = real_fma(w[k], (1 - y * y) * a.du[at(p, N1, k, lane)], sum);
        }
        const real y = a.t2[t], beta = (1 - y * y) * a.parameters[first_w2(type) + m];
        a.du2[t] = sum;
        a.beta2[t] = beta;
        a.alpha2[t] = beta * (energy_rate(a, p, lane) - 2 * y * sum);
    }
}

// nepal_train_dual_back: a thread an atom and neuron of the first of two layers. Reads alpha2,
// beta2; writes alpha, beta.
NEPAL_KERNEL nepal_train_dual_back(const TrainArgs a) {
    for (u64 t = thread_id(); t < a.positions * N1 * EIGHT; t += thread_count()) {
        const u32 lane = t % EIGHT;
        const u64 m = t / EIGHT % N1, p = t / EIGHT / N1;
        const real *w = a.parameters + first_w1(a.center[a.block[p]]) + m;
        real value = 0, slope = 0;
        for (int k = 0; k < N2; ++k) {
            value = real_fma(w[k * N1], a.alpha2[at(p, N2, k, lane)], value);
            slope = real_fma(w[k * N1], a.beta2[at(p, N2, k, lane)], slope);
        }
        first_gradients(a, t, value, slope);
    }
}

// nepal_train_dual_descriptors: a thread an atom and descriptor. Reads alpha; writes qbar.
NEPAL_KERNEL nepal_train_dual_descriptors(const TrainArgs a) {
    for (u64 t = thread_id(); t < a.positions * DIM * EIGHT; t += thread_count()) {
        const u32 lane = t % EIGHT;
        const u64 d = t / EIGHT % DIM, p = t / EIGHT / DIM;
        const real *w = a.parameters + first_w0(a.center[a.block[p]]) + d;
        real sum = 0;
        for (int m = 0; m < N1; ++m) sum = real_fma(w[m * DIM], a.alpha[at(p, N1, m, lane)], sum);
        a.qbar[t] = sum * a.scaler[d];
    }
}

// nepal_train_dual_slopes: a thread an atom and angular n. Reads s, ds, fp, qbar; writes sbar.
NEPAL_KERNEL nepal_train_dual_slopes(const TrainArgs a) {
    for (u64 t = thread_id(); t < a.positions * NA * EIGHT; t += thread_count()) {
        const u32 lane = t % EIGHT;
        const u64 n = t / EIGHT % NA, p = t / EIGHT / NA;
        Twin s[NLM], out[NLM], factors[BLOCKS];
        for (int q = 0; q < NLM; ++q) {
            const u64 k = at(p, TRAIN_SUMS, n * NLM + q, lane);
            s[q] = Twin(a.s[k], a.ds[k]);
        }
        for (int b = 0; b < BLOCKS; ++b) {
            const u64 k = at(p, DIM, NR + b * NA + n, lane);
            factors[b] = Twin(a.fp[k], a.qbar[k]);
        }
        gradients(s, factors, 1, out);
        for (int q = 0; q < NLM; ++q) a.sbar[at(p, TRAIN_SUMS, n * NLM + q, lane)] = out[q].slope;
    }
}
