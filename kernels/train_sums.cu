// Sums of the gradient over the atoms: parts of a few blocks of one type first, atom by atom, then
// the parts in their order, so that a repeat gives the same bits.

// Descriptors or functions that a thread sees to.
#define TILE 4
#define TILES(n) (((n) + TILE - 1) / TILE)

// nepal_train_weights: the first layer's weights. A thread a part, neuron and tile of descriptors.
NEPAL_KERNEL nepal_train_weights(const TrainArgs a) {
    for (u64 t = thread_id(); t < a.parts * N1 * TILES(DIM); t += thread_count()) {
        const u64 d0 = t % TILES(DIM) * TILE, m = t / TILES(DIM) % N1, part = t / TILES(DIM) / N1;
        accum sum[TILE];
        for (int d = 0; d < TILE; ++d) sum[d] = 0;
        for (u64 k = a.part_start[part]; k < a.part_start[part + 1]; ++k) {
            const u64 p = a.part_positions[k];
            for (u32 lane = 0; lane < EIGHT; ++lane) {
                const real alpha = a.alpha[at(p, N1, m, lane)], beta = a.beta[at(p, N1, m, lane)];
                for (int d = 0; d < TILE; ++d) {
                    if (d0 + d >= DIM) continue;
                    const u64 from = at(p, DIM, d0 + d, lane);
                    sum[d] += real_fma(alpha, a.x[from], beta * a.dx[from]);
                }
            }
        }
        for (int d = 0; d < TILE; ++d)
            if (d0 + d < DIM) a.partial[part * PART + m * DIM + d0 + d] = sum[d];
    }
}

// What an atom adds to number k after the first layer's weights.
NEPAL_FN real own_gradient(const TrainArgs &a, u64 p, u32 lane, u64 k) {
    if (k < N1) return -a.alpha[at(p, N1, k, lane)];
    k -= N1;
    const real rate = energy_rate(a, p, lane);
    if (N2 == 0) {
        if (k == N1) return -rate;
        const real y = a.t1[at(p, N1, k, lane)];
        return real_fma(rate, y, (1 - y * y) * a.du[at(p, N1, k, lane)]);
    }
    if (k < N1 * N2) {
        const u64 from = at(p, N1, k % N1, lane), second = at(p, N2, k / N1, lane);
        const real y = a.t1[from];
        return a.alpha2[second] * y + a.beta2[second] * ((1 - y * y) * a.du[from]);
    }
    k -= N1 * N2;
    if (k < N2) return -a.alpha2[at(p, N2, k, lane)];
    k -= N2;
    if (k == N2) return -rate;
    const u64 second = at(p, N2, k, lane);
    const real y = a.t2[second];
    return real_fma(rate, y, (1 - y * y) * a.du2[second]);
}

// nepal_train_biases: all other numbers of a network. A thread a part and number.
NEPAL_KERNEL nepal_train_biases(const TrainArgs a) {
    const u64 numbers = OWN + 1 - N1 * DIM;
    for (u64 t = thread_id(); t < a.parts * numbers; t += thread_count()) {
        const u64 number = t % numbers, part = t / numbers;
        accum sum = 0;
        for (u64 k = a.part_start[part]; k < a.part_start[part + 1]; ++k)
            for (u32 lane = 0; lane < EIGHT; ++lane) sum += own_gradient(a, a.part_positions[k], lane, number);
        a.partial[part * PART + N1 * DIM + number] = sum;
    }
}

// Coefficients n0 to n0 + TILE - 1 of one k and type of neighbour: `width` sums each and their rates
// meet the gradients by the functions and by their rates.
NEPAL_FN void coefficients(const TrainArgs &a, u64 part, u32 other, u64 rows, u64 k, int width, int count, int n0,
                           const float *sums, const real *rates, u64 gradient_rows, const real *bar, const real *own,
                           double *out) {
    accum sum[TILE];
    for (int n = 0; n < TILE; ++n) sum[n] = 0;
    for (u64 i = a.part_start[part]; i < a.part_start[part + 1]; ++i) {
        const u64 p = a.part_positions[i], block = a.block[p];
        const u32 local = a.local_of[block * TYPES + other];
        if (local == NONE) continue;
        const u64 here = at(a.first_local[block] + local, rows, k * width, 0);
        const u64 there = at(a.entry_base[p] + local, rows, k * width, 0);
        for (u64 q = 0; q < (u64)width * EIGHT; ++q) {
            const real value = sums[here + q], rate = rates[there + q];
            for (int n = 0; n < TILE; ++n) {
                if (n0 + n >= count) continue;
                const u64 from = at(p, gradient_rows, (u64)(n0 + n) * width, 0) + q;
                sum[n] += real_fma(bar[from], value, own[from] * rate);
            }
        }
    }
    for (int n = 0; n < TILE; ++n)
        if (n0 + n < count) out[n0 + n] = sum[n];
}

// nepal_train_coefficients: a thread a part, type of neighbour, k, and tile of functions.
NEPAL_KERNEL nepal_train_coefficients(const TrainArgs a) {
    const u64 radial = KR * TILES(NR), all = radial + KA * TILES(NA);
    for (u64 t = thread_id(); t < a.parts * TYPES * all; t += thread_count()) {
        const u64 u = t % all, other = t / all % TYPES, part = t / all / TYPES;
        double *out = a.partial + part * PART + OWN + 1;
        if (u < radial) {
            const u64 k = u / TILES(NR);
            coefficients(a, part, other, KR, k, 1, NR, u % TILES(NR) * TILE, a.radial, a.rate_r, DIM, a.qbar, a.fp,
                         out + (other * KR + k) * NR);
        } else {
            const u64 k = (u - radial) / TILES(NA);
            coefficients(a, part, other, KA * NLM, k, NLM, NA, (u - radial) % TILES(NA) * TILE, a.angular, a.rate_a,
                         TRAIN_SUMS, a.sbar, a.d, out + TYPES * (KR * NR) + (other * KA + k) * NA);
        }
    }
}

// nepal_train_gradient: a thread a result and number.
NEPAL_KERNEL nepal_train_gradient(const TrainArgs a) {
    for (u64 t = thread_id(); t < a.outs * PART; t += thread_count()) {
        const u64 k = t % PART, out = t / PART;
        double sum = 0;
        for (u64 part = a.out_start[out]; part < a.out_start[out + 1]; ++part) sum += a.partial[part * PART + k];
        a.gradient[t] = sum;
    }
}
