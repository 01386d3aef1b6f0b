// Arrays of a caller on the device, in any layout: number c of atom i is at `row_stride` i +
// `column_stride` c.

// nepal_take: the caller's numbers (`input`) to rows of `columns`, a thread an atom.
NEPAL_KERNEL nepal_take(const Args a) {
    for (u64 i = thread_id(); i < a.rows; i += thread_count())
        for (u64 c = 0; c < a.columns; ++c)
            a.out[i * a.columns + c] = a.input[i * a.row_stride + c * a.column_stride];
}

// nepal_give: rows of `columns` to the caller, each number in its place by `order`, added to what is there
// if `adding`. A thread an atom.
NEPAL_KERNEL nepal_give(const Args a) {
    for (u64 i = thread_id(); i < a.rows; i += thread_count())
        for (u64 c = 0; c < a.columns; ++c) {
            double *to = a.out + i * a.row_stride + (a.order >> 4 * c & 15) * a.column_stride;
            const double x = a.input[i * a.columns + c];
            *to = a.adding ? *to + x : x;
        }
}

// nepal_take_types: the caller's types, a thread an atom. Negative ones become large.
NEPAL_KERNEL nepal_take_types(const Args a) {
    for (u64 i = thread_id(); i < a.rows; i += thread_count()) a.scratch_u32[i] = a.types[i];
}

// nepal_compare_types: 1 in `moved` if a type of the caller's is not the one of before (scratch_u32). A
// thread an atom.
NEPAL_KERNEL nepal_compare_types(const Args a) {
    for (u64 i = thread_id(); i < a.rows; i += thread_count())
        if (a.types[i] != a.scratch_u32[i] && *a.moved == 0) atomicMax(a.moved, 1u);
}

// nepal_largest: the largest of the numbers t, t + out_rows, ... of `input`, none below 0, in place t of
// `out`. A thread a number of `out`; few launches end in one.
NEPAL_KERNEL nepal_largest(const Args a) {
    for (u64 t = thread_id(); t < a.out_rows; t += thread_count()) {
        double largest = 0;
        for (u64 r = t; r < a.rows; r += a.out_rows) largest = a.input[r] > largest ? a.input[r] : largest;
        a.out[t] = largest;
    }
}
