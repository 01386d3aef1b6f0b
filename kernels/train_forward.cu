// Energies, forces and virials of a launch, and their derivatives along a direction of the
// parameters: each kernel is there for numbers and for twins (nepal_along_...). Twin:
// src/train/kernel/forward.rs.

// Descriptors and angular sums from the sums over neighbours. A thread an atom and n.
// Writes x, s.
template <class N> NEPAL_FN void train_sums(const TrainArgs &a) {
    const u64 wide = NR > NA ? NR : NA;
    N *x = (N *)a.x, *sums = (N *)a.s;
    for (u64 t = thread_id(); t < a.positions * wide * EIGHT; t += thread_count()) {
        const u32 lane = t % EIGHT;
        const u64 n = t / EIGHT % wide, p = t / EIGHT / wide;
        const u64 block = a.block[p], first = a.first_local[block], last = a.first_local[block + 1];
        const u64 types = (u64)a.center[block] * TYPES;
        if (n < NR) {
            N sum = 0;
            for (u64 e = first; e < last; ++e) {
                const u64 c = (types + a.local_types[e]) * (KR * NR) + n;
                for (int k = 0; k < KR; ++k)
                    sum = real_fma(From<N>::read(a.radial_c, a.radial_d, c + k * NR),
                                   R(a.radial[(e * KR + k) * EIGHT + lane]), sum);
            }
            x[at(p, DIM, n, lane)] = sum * a.scaler[n];
        }
        if (n < NA) {
            N s[NLM], v[BLOCKS];
            for (int q = 0; q < NLM; ++q) s[q] = 0;
            for (u64 e = first; e < last; ++e) {
                const u64 c = (types + a.local_types[e]) * (KA * NA) + n;
                for (int k = 0; k < KA; ++k) {
                    const N own = From<N>::read(a.angular_c, a.angular_d, c + k * NA);
                    const float *from = a.angular + (e * KA + k) * (NLM * EIGHT) + lane;
                    for (int q = 0; q < NLM; ++q) s[q] = real_fma(own, R(from[q * EIGHT]), s[q]);
                }
            }
            for (int q = 0; q < NLM; ++q) sums[at(p, TRAIN_SUMS, n * NLM + q, lane)] = s[q];
            values(s, v);
            for (int b = 0; b < BLOCKS; ++b) x[at(p, DIM, NR + b * NA + n, lane)] = v[b] * a.scaler[NR + b * NA + n];
        }
    }
}

// First layer. A thread an atom and neuron. Reads x; writes t1 and, of one layer, back.
template <class N> NEPAL_FN void train_first(const TrainArgs &a) {
    const N *x = (const N *)a.x;
    for (u64 t = thread_id(); t < a.positions * N1 * EIGHT; t += thread_count()) {
        const u32 lane = t % EIGHT;
        const u64 m = t / EIGHT % N1, p = t / EIGHT / N1;
        const u32 type = a.center[a.block[p]];
        const u64 w = first_w0(type) + m * DIM;
        N u = R(-1.0) * From<N>::read(a.parameters, a.direction, first_b0(type) + m);
        for (int d = 0; d < DIM; ++d)
            u = real_fma(From<N>::read(a.parameters, a.direction, w + d), x[at(p, DIM, d, lane)], u);
        const N y = tangent(u);
        ((N *)a.t1)[t] = y;
        if (N2 == 0) ((N *)a.back)[t] = (N(1) - y * y) * From<N>::read(a.parameters, a.direction, first_w1(type) + m);
    }
}

// Second layer. A thread an atom and neuron. Reads t1; writes t2 and slope2.
template <class N> NEPAL_FN void train_second(const TrainArgs &a) {
    const N *t1 = (const N *)a.t1;
    for (u64 t = thread_id(); t < a.positions * N2 * EIGHT; t += thread_count()) {
        const u32 lane = t % EIGHT;
        const u64 m = t / EIGHT % (N2 + !N2), p = t / EIGHT / (N2 + !N2);
        const u32 type = a.center[a.block[p]];
        const u64 w = first_w1(type) + m * N1;
        N u = R(-1.0) * From<N>::read(a.parameters, a.direction, first_b1(type) + m);
        for (int k = 0; k < N1; ++k)
            u = real_fma(From<N>::read(a.parameters, a.direction, w + k), t1[at(p, N1, k, lane)], u);
        const N y = tangent(u);
        ((N *)a.t2)[t] = y;
        ((N *)a.slope2)[t] = (N(1) - y * y) * From<N>::read(a.parameters, a.direction, first_w2(type) + m);
    }
}

// Back through the second layer. A thread an atom and neuron of the first. Writes back.
template <class N> NEPAL_FN void train_back(const TrainArgs &a) {
    const N *slope = (const N *)a.slope2;
    for (u64 t = thread_id(); t < a.positions * N1 * EIGHT; t += thread_count()) {
        const u32 lane = t % EIGHT;
        const u64 m = t / EIGHT % N1, p = t / EIGHT / N1;
        const u64 w = first_w1(a.center[a.block[p]]) + m;
        N sum = 0;
        for (int k = 0; k < N2; ++k)
            sum = real_fma(From<N>::read(a.parameters, a.direction, w + k * N1), slope[at(p, N2, k, lane)], sum);
        const N y = ((const N *)a.t1)[t];
        ((N *)a.back)[t] = sum * (N(1) - y * y);
    }
}

// Gradient of the energy by the descriptors, and the energy. A thread an atom and descriptor.
// Reads back and the last activations; writes fp and energies.
template <class N> NEPAL_FN void train_energy(const TrainArgs &a) {
    const N *back = (const N *)a.back;
    for (u64 t = thread_id(); t < a.positions * DIM * EIGHT; t += thread_count()) {
        const u32 lane = t % EIGHT;
        const u64 d = t / EIGHT % DIM, p = t / EIGHT / DIM;
        const u32 type = a.center[a.block[p]];
        const u64 w = first_w0(type) + d;
        N sum = 0;
        for (int m = 0; m < N1; ++m)
            sum = real_fma(From<N>::read(a.parameters, a.direction, w + m * DIM), back[at(p, N1, m, lane)], sum);
        ((N *)a.fp)[t] = sum * a.scaler[d];
        if (d > 0) continue;
        N energy = R(-1.0) * From<N>::read(a.parameters, a.direction, COMMON_BIAS);
        if (TYPE_BIAS) energy -= From<N>::read(a.parameters, a.direction, first_w0(type) + OWN);
        const N *last = (const N *)(N2 == 0 ? a.t1 : a.t2);
        const u64 width = N2 == 0 ? N1 : N2, from = N2 == 0 ? first_w1(type) : first_w2(type);
        for (u64 m = 0; m < width; ++m)
            energy = real_fma(From<N>::read(a.parameters, a.direction, from + m), last[at(p, width, m, lane)], energy);
        ((N *)a.energies)[p * EIGHT + lane] = energy;
    }
}

// Gradient of the energy by the sums. A thread an atom and angular n, or k of the radial sums.
// Reads fp, s; writes d and p.
template <class N> NEPAL_FN void train_slopes(const TrainArgs &a) {
    const N *fp = (const N *)a.fp, *sums = (const N *)a.s;
    for (u64 t = thread_id(); t < a.positions * (NA + KR) * EIGHT; t += thread_count()) {
        const u32 lane = t % EIGHT;
        const u64 n = t / EIGHT % (NA + KR), p = t / EIGHT / (NA + KR), block = a.block[p];
        if (n < NA) {
            N s[NLM], out[NLM], factors[BLOCKS];
            for (int q = 0; q < NLM; ++q) s[q] = sums[at(p, TRAIN_SUMS, n * NLM + q, lane)];
            for (int b = 0; b < BLOCKS; ++b) factors[b] = fp[at(p, DIM, NR + b * NA + n, lane)];
            gradients(s, factors, 1, out);
            for (int q = 0; q < NLM; ++q) ((N *)a.d)[at(p, TRAIN_SUMS, n * NLM + q, lane)] = out[q];
            continue;
        }
        const u64 k = n - NA, first = a.first_local[block], last = a.first_local[block + 1];
        for (u64 e = first; e < last; ++e) {
            const u64 c = (((u64)a.center[block] * TYPES + a.local_types[e]) * KR + k) * NR;
            N sum = 0;
            for (int m = 0; m < NR; ++m)
                sum = real_fma(From<N>::read(a.radial_c, a.radial_d, c + m), fp[at(p, DIM, m, lane)], sum);
            ((N *)a.p)[at(a.entry_base[p] + e - first, KR, k, lane)] = sum;
        }
    }
}

// Partial force of a radial bond: dU/dr along the bond.
template <class N> NEPAL_FN void radial_force(const float *row, const N *slope, N *f) {
    N sum = 0;
    for (int k = 0; k < KR; ++k) sum = real_fma(slope[k], R(row[k * EIGHT]), sum);
    for (int c = 0; c < 3; ++c) f[c] = sum * R(row[(KR + c) * EIGHT]);
}

// Partial force of an angular bond; `c` are the coefficients [k][n], `d` is dU/ds of the centre.
template <class N>
NEPAL_FN void angular_force(const float *row, const real *c, const real *c_along, const N *d, N *f) {
    N u[NLM], v[NLM], grad[3];
    for (int q = 0; q < NLM; ++q) u[q] = v[q] = 0;
    for (int n = 0; n < NA; ++n) {
        N g = 0, dg = 0;
        for (int k = 0; k < KA; ++k) {
            const N own = From<N>::read(c, c_along, k * NA + n);
            g = real_fma(own, R(row[k * EIGHT]), g);
            dg = real_fma(own, R(row[(KA + k) * EIGHT]), dg);
        }
        for (int q = 0; q < NLM; ++q) {
            const N own = d[(n * NLM + q) * EIGHT];
            u[q] = real_fma(own, g, u[q]);
            v[q] = real_fma(own, dg, v[q]);
        }
    }
    const real x = row[2 * KA * EIGHT], y = row[(2 * KA + 1) * EIGHT], z = row[(2 * KA + 2) * EIGHT];
    const real inverse = 1 / R(row[(2 * KA + 3) * EIGHT]);
    N along = contract(x, y, z, u, v, grad);
    along -= (grad[0] * x + grad[1] * y + grad[2] * z) * inverse;
    f[0] = along * x + grad[0] * inverse;
    f[1] = along * y + grad[1] * inverse;
    f[2] = along * z + grad[2] * inverse;
}

// Partial forces dU_i/dr_ij of all bonds. STRANDS threads an atom. Reads d, p; writes moved.
template <class N> NEPAL_FN void train_bonds(const TrainArgs &a) {
    for (u64 t = thread_id(); t < a.positions * STRANDS * EIGHT; t += thread_count()) {
        const u32 lane = t % EIGHT;
        const u64 strand = t / EIGHT % STRANDS, p = t / EIGHT / STRANDS, block = a.block[p];
        const u64 first = a.first_local[block], last = a.first_local[block + 1];
        const u64 types = (u64)a.center[block] * TYPES;
        for (u64 e = first; e < last; ++e) {
            N slope[KR], f[3];
            for (int k = 0; k < KR; ++k) slope[k] = ((const N *)a.p)[at(a.entry_base[p] + e - first, KR, k, lane)];
            for (u64 b = a.range_r[2 * e] + strand; b < a.range_r[2 * e + 1]; b += STRANDS) {
                radial_force(a.bonds_r + b * ((KR + 4) * EIGHT) + lane, slope, f);
                N *out = (N *)a.moved_r + ((b + a.bond_shift_r[p]) * EIGHT + lane) * 4;
                out[0] = f[0], out[1] = f[1], out[2] = f[2];
            }
            const u64 c = (types + a.local_types[e]) * (KA * NA);
            const N *d = (const N *)a.d + at(p, TRAIN_SUMS, 0, lane);
            for (u64 b = a.range_a[2 * e] + strand; b < a.range_a[2 * e + 1]; b += STRANDS) {
                angular_force(a.bonds_a + b * ((2 * KA + 4) * EIGHT) + lane, a.angular_c + c, a.angular_d + c, d, f);
                N *out = (N *)a.moved_a + ((b + a.bond_shift_a[p]) * EIGHT + lane) * 4;
                out[0] = f[0], out[1] = f[1], out[2] = f[2];
            }
        }
    }
}

// Adds what the bonds of an atom give it and the virial, and takes what those of others take.
template <class N>
NEPAL_FN void gather(const N *moved, u64 first, u64 last, u64 shift, u32 lane, const float *rows, int width,
                     const u32 *incoming, u64 from, u64 until, N *force, N *virial) {
    for (u64 b = first; b < last; ++b) {
        const N *f = moved + ((b + shift) * EIGHT + lane) * 4;
        const float *row = rows + (b * width + width - 4) * EIGHT + lane;
        const real r = row[3 * EIGHT];
        const real x = -r * R(row[0]), y = -r * R(row[EIGHT]), z = -r * R(row[2 * EIGHT]);
        const N fx = f[0], fy = f[1], fz = f[2];
        force[0] += fx, force[1] += fy, force[2] += fz;
        virial[0] = real_fma(x, fx, virial[0]), virial[1] = real_fma(y, fy, virial[1]);
        virial[2] = real_fma(z, fz, virial[2]), virial[3] = real_fma(x, fy, virial[3]);
        virial[4] = real_fma(y, fz, virial[4]), virial[5] = real_fma(z, fx, virial[5]);
    }
    for (u64 k = from; k < until; ++k) {
        const N *f = moved + (incoming[k] + shift * EIGHT) * 4;
        for (int c = 0; c < 3; ++c) force[c] -= f[c];
    }
}

// Forces and virials of the atoms. A thread an atom. Reads moved; writes the forces among the
// results, and virials.
template <class N> NEPAL_FN void train_forces(const TrainArgs &a) {
    double *forces = a.results + a.structures;
    for (u64 t = thread_id(); t < a.positions * EIGHT; t += thread_count()) {
        const u32 lane = t % EIGHT;
        const u64 p = t / EIGHT, block = a.block[p], slot = block * EIGHT + lane;
        const u64 first = a.first_local[block], last = a.first_local[block + 1];
        N force[3], virial[6];
        for (int c = 0; c < 3; ++c) force[c] = 0;
        for (int c = 0; c < 6; ++c) virial[c] = 0;
        gather((const N *)a.moved_r, a.range_r[2 * first], a.range_r[2 * last - 1], a.bond_shift_r[p], lane,
               a.bonds_r, KR + 4, a.incoming_r, a.start_r[slot], a.start_r[slot + 1], force, virial);
        gather((const N *)a.moved_a, a.range_a[2 * first], a.range_a[2 * last - 1], a.bond_shift_a[p], lane,
               a.bonds_a, 2 * KA + 4, a.incoming_a, a.start_a[slot], a.start_a[slot + 1], force, virial);
        for (int c = 0; c < 3; ++c) forces[3 * t + c] = told(force[c]);
        for (int c = 0; c < 6; ++c) ((N *)a.virials)[6 * t + c] = virial[c];
    }
}

// Energies and virials of the structures, atom by atom. A thread a structure and component.
template <class N> NEPAL_FN void train_totals(const TrainArgs &a) {
    double *virials = a.results + a.structures + 3 * EIGHT * a.positions;
    for (u64 t = thread_id(); t < a.structures * 7; t += thread_count()) {
        const u64 s = t / 7, c = t % 7, page = a.structure[s];
        double sum = 0;
        for (u64 k = a.member_start[page]; k < a.member_start[page + 1]; ++k) {
            const u64 slot = a.structure_base[s] * EIGHT + a.members[k];
            sum += told(c == 0 ? ((const N *)a.energies)[slot] : ((const N *)a.virials)[6 * slot + c - 1]);
        }
        (c == 0 ? a.results[s] : virials[6 * s + c - 1]) = sum;
    }
}

NEPAL_KERNEL nepal_train_sums(const TrainArgs a) { train_sums<real>(a); }
NEPAL_KERNEL nepal_train_first(const TrainArgs a) { train_first<real>(a); }
NEPAL_KERNEL nepal_train_second(const TrainArgs a) { train_second<real>(a); }
NEPAL_KERNEL nepal_train_back(const TrainArgs a) { train_back<real>(a); }
NEPAL_KERNEL nepal_train_energy(const TrainArgs a) { train_energy<real>(a); }
NEPAL_KERNEL nepal_train_slopes(const TrainArgs a) { train_slopes<real>(a); }
NEPAL_KERNEL nepal_train_bonds(const TrainArgs a) { train_bonds<real>(a); }
NEPAL_KERNEL nepal_train_forces(const TrainArgs a) { train_forces<real>(a); }
NEPAL_KERNEL nepal_train_totals(const TrainArgs a) { train_totals<real>(a); }
NEPAL_KERNEL nepal_along_sums(const TrainArgs a) { train_sums<Twin>(a); }
NEPAL_KERNEL nepal_along_first(const TrainArgs a) { train_first<Twin>(a); }
NEPAL_KERNEL nepal_along_second(const TrainArgs a) { train_second<Twin>(a); }
NEPAL_KERNEL nepal_along_back(const TrainArgs a) { train_back<Twin>(a); }
NEPAL_KERNEL nepal_along_energy(const TrainArgs a) { train_energy<Twin>(a); }
NEPAL_KERNEL nepal_along_slopes(const TrainArgs a) { train_slopes<Twin>(a); }
NEPAL_KERNEL nepal_along_bonds(const TrainArgs a) { train_bonds<Twin>(a); }
NEPAL_KERNEL nepal_along_forces(const TrainArgs a) { train_forces<Twin>(a); }
NEPAL_KERNEL nepal_along_totals(const TrainArgs a) { train_totals<Twin>(a); }
