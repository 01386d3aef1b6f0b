// Sums and scans in a fixed order, so that a repeat gives the same bits.

// nepal_sum: rows t, t + out_rows, ... of `in` added up in row t of `out`. A thread a row of `out`;
// few launches, each over fewer rows, end in one.
NEPAL_KERNEL nepal_sum(const Args a) {
    for (u64 t = thread_id(); t < a.out_rows; t += thread_count())
        for (u64 c = 0; c < a.columns; ++c) {
            double sum = 0;
            for (u64 r = t; r < a.rows; r += a.out_rows) sum += a.input[r * a.columns + c];
            a.out[t * a.columns + c] = sum;
        }
}

// nepal_widen: 32-bit counts to be scanned. A thread a number.
NEPAL_KERNEL nepal_widen(const Args a) {
    for (u64 k = thread_id(); k < a.rows; k += thread_count()) a.scan[k] = a.scratch_u32[k];
}

// nepal_scan_parts, nepal_scan: the numbers of `scan` [rows] replaced by the sums of those before, and the
// sum of all after them ([rows + 1]). Thread t of `columns` sees to its share; the first launch leaves the
// sum of each, which is scanned in between.
NEPAL_KERNEL nepal_scan_parts(const Args a) {
    for (u64 t = thread_id(); t < a.columns; t += thread_count()) {
        u64 sum = 0;
        for (u64 k = a.rows * t / a.columns; k < a.rows * (t + 1) / a.columns; ++k) sum += a.scan[k];
        a.scan_part[t] = sum;
    }
}

NEPAL_KERNEL nepal_scan(const Args a) {
    for (u64 t = thread_id(); t < a.columns; t += thread_count()) {
        u64 sum = t > 0 ? a.scan_part[t] : 0;
        for (u64 k = a.rows * t / a.columns; k < a.rows * (t + 1) / a.columns; ++k) {
            const u64 own = a.scan[k];
            a.scan[k] = sum;
            sum += own;
        }
        if (t + 1 == a.columns) a.scan[a.rows] = sum;
    }
}
