// nepal_network: energies and the gradient with respect to the descriptors, a thread an atom.
// Reads q; writes out_energy (caller's order) and the columns of neurons and fp. In a contraction
// the gradient is the caller's and there is no energy. Twin: src/core/nep/network.rs.
//
// Of a model of polarizabilities the networks of the scalar part stand behind the others, and give the energy.
//
// Weights are read eight at a time by all threads alike, and meet eight neurons or descriptors in
// registers: rows are padded with zeros to multiples of eight.

NEPAL_FN void load8(const real *from, real *to) {
    const real4 a = ((const real4 *)from)[0], b = ((const real4 *)from)[1];
    to[0] = a.x, to[1] = a.y, to[2] = a.z, to[3] = a.w;
    to[4] = b.x, to[5] = b.y, to[6] = b.z, to[7] = b.w;
}

// First layer; gives what it adds to the energy where it is the only one.
NEPAL_FN accum first_layer(const Args &a, u64 b, u32 t) {
    accum energy = 0;
    for (int m0 = 0; m0 < N1P; m0 += 8) {
        real u[8], w[8];
        load8(a.b0 + t * N1P + m0, u);
        for (int m = 0; m < 8; ++m) u[m] = -u[m];
        for (int d = 0; d < DIM; ++d) {
            const real q = a.q[d * a.stride + b];
            load8(a.w0t + ((u64)t * DIM + d) * N1P + m0, w);
            for (int m = 0; m < 8; ++m) u[m] = real_fma(w[m], q, u[m]);
        }
        if (N2 == 0) load8(a.w1 + t * N1P + m0, w);
        real part = 0;
        for (int m = 0; m < 8; ++m) {
            const real x = real_tanh(u[m]);
            a.neurons[(m0 + m) * a.stride + b] = x;
            if (N2 == 0) part = real_fma(w[m], x, part);
        }
        energy += part;
    }
    return energy;
}

// Second layer, and the energy's gradient with respect to the first.
NEPAL_FN accum second_layer(const Args &a, u64 b, u32 t) {
    accum energy = 0;
    for (int m = 0; m < N1; ++m) a.slope[m * a.stride + b] = 0;
    for (int v = 0; v < N2; ++v) {
        const real *w = a.w1 + ((u64)t * N2 + v) * N1P;
        real u = -a.b1[t * N2 + v];
        for (int m = 0; m < N1; ++m) u = real_fma(w[m], a.neurons[m * a.stride + b], u);
        const real x = real_tanh(u), out = a.w2[t * N2 + v], g = out * (1 - x * x);
        energy += out * x;
        for (int m = 0; m < N1; ++m) {
            real *slope = a.slope + m * a.stride + b;
            *slope = real_fma(g, w[m], *slope);
        }
    }
    return energy;
}

// What a network gives.
NEPAL_FN accum output(const Args &a, u64 b, u32 t) {
    accum energy = first_layer(a, b, t);
    if (N2 > 0) energy = second_layer(a, b, t);
    return energy - a.bias[t];
}

// dU/d(descriptor), scale included; with several heads (far.cu) what acts on the neurons is in `slope`.
NEPAL_FN void backward(const Args &a, u64 b, u32 t) {
    for (int d0 = 0; d0 < DIMP; d0 += 8) {
        real sum[8], w[8];
        for (int d = 0; d < 8; ++d) sum[d] = 0;
        for (int m = 0; m < N1; ++m) {
            const real x = a.neurons[m * a.stride + b];
            const real out = N2 == 0 && HEADS == 0 ? a.w1[t * N1P + m] : a.slope[m * a.stride + b];
            const real g = out * (1 - x * x);
            load8(a.w0 + ((u64)t * N1P + m) * DIMP + d0, w);
            for (int d = 0; d < 8; ++d) sum[d] = real_fma(g, w[d], sum[d]);
        }
        for (int d = 0; d < 8; ++d)
            if (d0 + d < DIM) a.fp[(d0 + d) * a.stride + b] = sum[d] * a.scaler[d0 + d];
    }
}

NEPAL_KERNEL nepal_network(const Args a) {
    for (u64 b = thread_id(); b < a.count; b += thread_count()) {
        const u32 t = a.places[a.first + b].type;
        const u64 atom = a.atom[a.first + b];
        if (a.flags & CONTRACT) {
            for (int d = 0; d < DIM; ++d)
                a.fp[d * a.stride + b] = (real)a.gradient[atom * DIM + d] * a.scaler[d];
            continue;
        }
        if (TENSOR == 2) a.out_energy[atom] = output(a, b, t + (u32)a.n_types);
        const accum energy = output(a, b, t);
        if (TENSOR != 2) a.out_energy[atom] = energy;
        if (!(a.flags & ENERGY_ONLY)) backward(a, b, t);
    }
}

// nepal_features: descriptors, neurons and B projections in double and the caller's order, a thread
// an atom. Twin: network::projection.
NEPAL_KERNEL nepal_features(const Args a) {
    for (u64 b = thread_id(); b < a.count; b += thread_count()) {
        const u64 atom = a.atom[a.first + b];
        const u32 t = a.places[a.first + b].type;
        if (a.flags & WANT_DESCRIPTORS)
            for (int d = 0; d < DIM; ++d) a.out_descriptors[atom * DIM + d] = a.q[d * a.stride + b];
        if (a.flags & WANT_GRADES)
            for (int d = 0; d < DIM; ++d) a.out_q[atom * DIM + d] = a.q[d * a.stride + b];
        if (a.flags & WANT_NEURONS)
            for (int m = 0; m < N1; ++m) a.out_neurons[atom * N1 + m] = a.neurons[m * a.stride + b];
        if (a.flags & WANT_PROJECTIONS)
            for (int m = 0; m < N1; ++m) {
                double *row = a.out_projections + (atom * N1 + m) * (DIM + 2);
                const double x = a.neurons[m * a.stride + b];
                const double slope = a.w1[t * N1P + m] * (1 - x * x);
                for (int d = 0; d < DIM; ++d) row[d] = slope * a.q[d * a.stride + b];
                row[DIM] = -slope, row[DIM + 1] = x;
            }
    }
}
