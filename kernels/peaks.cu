// What a device can do at most, for the benchmark: the yardstick that other kernels are held to.

// nepal_copy: `rows` doubles from input to out, a thread each.
NEPAL_KERNEL nepal_copy(const Args a) {
    for (u64 k = thread_id(); k < a.rows; k += thread_count()) a.out[k] = a.input[k];
}

// nepal_multiply_add: 8 independent chains of `columns` multiply-adds a thread, in the precision of pairs, of
// `rows` threads; the sum is written so that none of it is left out.
NEPAL_KERNEL nepal_multiply_add(const Args a) {
    for (u64 t = thread_id(); t < a.rows; t += thread_count()) {
        real x[8];
        const real y = R(0.999), z = R(1e-3);
        for (int k = 0; k < 8; ++k) x[k] = (real)(t + k);
        for (u64 n = 0; n < a.columns; ++n)
            for (int k = 0; k < 8; ++k) x[k] = real_fma(x[k], y, z);
        double sum = 0;
        for (int k = 0; k < 8; ++k) sum += x[k];
        a.out[t] = sum;
    }
}
