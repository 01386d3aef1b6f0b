// Places from positions, and how far atoms have moved since the lists were made.

// Places that there are, as far as there is room for them.
NEPAL_FN u64 place_count(const Args &a) {
    if (!a.n_images) return a.n_places;
    const u64 n = a.n_local + *a.n_images;
    return n < a.n_places ? n : a.n_places;
}

// nepal_host_places: the atoms and ghosts of a host code are places in its order. A thread an atom.
NEPAL_KERNEL nepal_host_places(const Args a) {
    for (u64 p = thread_id(); p < a.n_total; p += thread_count()) {
        a.atom_out[p] = (u32)p;
        a.source_out[p] = p < a.n_local ? (u32)p : NONE;
        for (int c = 0; c < 3; ++c) a.shift_out[3 * p + c] = 0;
    }
}

// nepal_places: position and type of every place, a thread a place.
NEPAL_KERNEL nepal_places(const Args a) {
    const u64 n = place_count(a);
    for (u64 p = thread_id(); p < n; p += thread_count()) {
        const u64 atom = a.atom[p];
        const int *shift = a.shift + 3 * p;
        Place place;
        for (int c = 0; c < 3; ++c) {
            const double x = a.positions[3 * atom + c] + (shift[0] * a.cell[c] +
                             shift[1] * a.cell[3 + c] + shift[2] * a.cell[6 + c]);
            place.x[c] = (real)x;
#if !NEPAL_DOUBLE
            place.low[c] = (float)(x - place.x[c]);
#endif
        }
        place.type = a.types[atom];
        place.source = a.source[p];
        a.places[p] = place;
    }
}

// nepal_moved: the largest squared distance of an atom from where it was when the lists were made,
// carried along by the cell, as the bits of a float that is not smaller; NaN counts as infinite. A
// thread an atom.
NEPAL_KERNEL nepal_moved(const Args a) {
    for (u64 i = thread_id(); i < a.n_total; i += thread_count()) {
        const double *was = a.reference + 3 * i, *f = a.deformation;
        double square = 0;
        for (int c = 0; c < 3; ++c) {
            const double d = a.positions[3 * i + c] - (was[0] * f[c] + was[1] * f[3 + c] + was[2] * f[6 + c]);
            square += d * d;
        }
        // Half a part in a million more than rounding to float can take away.
        float up = (float)(square * 1.000001);
        if (!(up < 3.0e38f)) up = 3.0e38f;
        // Bits of floats that are not negative are in the order of the floats.
        const u32 bits = __float_as_uint(up);
        if (bits > *a.moved) atomicMax(a.moved, bits);
    }
}

// nepal_wrap: atom i as place i in the cell along periodic directions, with its bin; how far atoms reach along
// the others. A thread an atom; image_range tells which directions are periodic.
NEPAL_FN void fractional(const Args &a, u64 atom, double *s) {
    for (int c = 0; c < 3; ++c)
        s[c] = a.positions[3 * atom] * a.inverse[c] + a.positions[3 * atom + 1] * a.inverse[3 + c] +
               a.positions[3 * atom + 2] * a.inverse[6 + c];
}

NEPAL_FN u32 bin_of(const Args &a, const double *s) {
    u64 bin = 0;
    for (int c = 0; c < 3; ++c) {
        const double x = (s[c] - a.origin[c]) * a.per_unit[c];
        u64 b = 0;
        if (x > 0) b = x < (double)a.bins[c] ? (u64)x : a.bins[c] - 1;
        if (b >= a.bins[c]) b = a.bins[c] - 1;
        bin = bin * a.bins[c] + b;
    }
    return (u32)bin;
}

NEPAL_FN void raise(u32 *largest, double s) {
    const u32 bits = __float_as_uint((float)s);
    const u32 ordered = bits >> 31 ? ~bits : bits | 0x80000000u;
    if (ordered > *largest) atomicMax(largest, ordered);
}

NEPAL_KERNEL nepal_wrap(const Args a) {
    for (u64 i = thread_id(); i < a.n_local; i += thread_count()) {
        double s[3];
        fractional(a, i, s);
        for (int c = 0; c < 3; ++c) {
            const double cells = a.image_range[c] > 0 ? -floor(s[c]) : 0;
            if (a.image_range[c] == 0) {
                raise(a.sizes->high + c, s[c]);
                raise(a.sizes->low + c, -s[c]);
            }
            a.shift_out[3 * i + c] = (int)cells;
            s[c] += cells;
        }
        a.place_bin[i] = bin_of(a, s);
    }
}

// Lowest and highest translation that brings a wrapped coordinate near the cell.
NEPAL_FN void image_bounds(const Args &a, int c, double s, int &low, int &high) {
    low = high = 0;
    if (a.image_range[c] == 0) return;
    low = (int)ceil(-a.margin[c] - s);
    high = (int)floor(1 + a.margin[c] - s);
}

// nepal_order: atoms in the order of the bins become the places 0, 1, ...; and the number of images
// of each. A thread an atom.
NEPAL_KERNEL nepal_order(const Args a) {
    for (u64 i = thread_id(); i < a.n_local; i += thread_count()) {
        const u32 atom = a.bin_places[i];
        double s[3];
        fractional(a, atom, s);
        u64 number = 1;
        for (int c = 0; c < 3; ++c) {
            const int shift = a.shift[3 * atom + c];
            int low, high;
            image_bounds(a, c, s[c] + shift, low, high);
            a.shift_out[3 * i + c] = shift;
            number *= high - low + 1;
        }
        a.atom_out[i] = atom;
        a.source_out[i] = (u32)i;
        a.scan[i] = number - 1;
    }
}

// nepal_images: the images of each atom become the places after the atoms. A thread an atom.
NEPAL_KERNEL nepal_images(const Args a) {
    for (u64 i = thread_id(); i < a.n_local; i += thread_count()) {
        const u32 atom = a.atom_out[i];
        double s[3];
        int low[3], high[3], own[3];
        fractional(a, atom, s);
        for (int c = 0; c < 3; ++c) {
            own[c] = a.shift_out[3 * i + c];
            image_bounds(a, c, s[c] + own[c], low[c], high[c]);
        }
        u64 p = a.n_local + a.scan[i];
        for (int x = low[0]; x <= high[0]; ++x)
            for (int y = low[1]; y <= high[1]; ++y)
                for (int z = low[2]; z <= high[2]; ++z) {
                    if (x == 0 && y == 0 && z == 0) continue;
                    if (p >= a.n_places) return;
                    a.atom_out[p] = atom;
                    a.source_out[p] = (u32)i;
                    a.shift_out[3 * p] = own[0] + x;
                    a.shift_out[3 * p + 1] = own[1] + y;
                    a.shift_out[3 * p + 2] = own[2] + z;
                    ++p;
                }
    }
}

// nepal_bins: the bin of every place. A thread a place.
NEPAL_KERNEL nepal_bins(const Args a) {
    const u64 n = place_count(a);
    for (u64 p = thread_id(); p < n; p += thread_count()) {
        double s[3];
        fractional(a, a.atom[p], s);
        for (int c = 0; c < 3; ++c) s[c] += a.shift[3 * p + c];
        a.place_bin[p] = bin_of(a, s);
    }
}

// nepal_bin_count, nepal_bin_fill, nepal_bin_sort: places by bin. The fill's order is that of
// chance; sorting each bin makes it the same every time. A thread a place; a thread a bin.
NEPAL_KERNEL nepal_bin_count(const Args a) {
    const u64 n = place_count(a);
    for (u64 p = thread_id(); p < n; p += thread_count())
        atomicAdd(a.bin_count + a.place_bin[p], 1u);
}

NEPAL_KERNEL nepal_bin_fill(const Args a) {
    const u64 n = place_count(a);
    for (u64 p = thread_id(); p < n; p += thread_count()) {
        const u32 bin = a.place_bin[p];
        a.bin_places[a.bin_start[bin] + atomicAdd(a.bin_count + bin, 1u)] = (u32)p;
    }
}

NEPAL_FN void sort(u32 *list, u64 n) {
    for (u64 k = 1; k < n; ++k) {
        const u32 x = list[k];
        u64 at = k;
        for (; at > 0 && list[at - 1] > x; --at) list[at] = list[at - 1];
        list[at] = x;
    }
}

NEPAL_KERNEL nepal_bin_sort(const Args a) {
    for (u64 bin = thread_id(); bin < a.rows; bin += thread_count())
        sort(a.bin_places + a.bin_start[bin], a.bin_start[bin + 1] - a.bin_start[bin]);
}
