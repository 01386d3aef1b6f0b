// Neighbour lists, radial and angular, with a skin: counted, then filled, from the bins or from the
// list of a host code, copied or where it is. Entries of an atom stand type by type, so that what belongs to a type of
// neighbour is read once.

// Calls take(place) for every place that may be a neighbour of atom i.
template <class F> NEPAL_FN void candidates(const Args &a, u64 i, F take) {
    if (!a.from_bins) {
        for (u64 e = a.offsets[i]; e < a.offsets[i + 1]; ++e) take(a.index[e]);
        return;
    }
    if (a.from_bins == 2) {
        for (u64 k = 0; k < a.host_counts[i]; ++k)
            take(a.host_list[i * a.host_row + k * a.host_entry] & (u32)a.host_mask);
        return;
    }
    const u64 bin = a.place_bin[i];
    const u64 own[3] = {bin / (a.bins[1] * a.bins[2]), bin / a.bins[2] % a.bins[1], bin % a.bins[2]};
    u64 low[3], high[3];
    // Bins are at least half as thick as the reach.
    for (int c = 0; c < 3; ++c) {
        low[c] = own[c] > 2 ? own[c] - 2 : 0;
        high[c] = own[c] + 2 < a.bins[c] ? own[c] + 2 : a.bins[c] - 1;
    }
    for (u64 x = low[0]; x <= high[0]; ++x)
        for (u64 y = low[1]; y <= high[1]; ++y) {
            const u64 row = (x * a.bins[1] + y) * a.bins[2];
            const u64 end = a.bin_start[row + high[2] + 1];
            for (u64 e = a.bin_start[row + low[2]]; e < end; ++e)
                if (a.bin_places[e] != i) take(a.bin_places[e]);
        }
}

// Which lists a pair belongs to: 1 both parts (all within the larger cutoff), 2 the angular one.
NEPAL_FN u32 belongs(const Args &a, const Place &me, const Place &other) {
    real d[3];
    const real r2 = difference(me, other, d);
    const real ra = cutoff(a, me.type, other.type, 1);
    real rr = cutoff(a, me.type, other.type, 0);
    if (rr < ra) rr = ra;
    // A hair more: rounding must not lose a neighbour.
    const real skin = (real)a.skin + R(1e-4);
    return (r2 < (rr + skin) * (rr + skin) ? 1 : 0) + (r2 < (ra + skin) * (ra + skin) ? 2 : 0);
}

// nepal_count: lengths of both lists. A thread an atom.
NEPAL_KERNEL nepal_count(const Args a) {
    for (u64 i = thread_id(); i < a.n_local; i += thread_count()) {
        const Place me = a.places[i];
        u32 radial = 0, angular = 0;
        candidates(a, i, [&](u32 p) {
            const u32 in = belongs(a, me, a.places[p]);
            radial += in & 1, angular += in >> 1;
        });
        a.count_r[i] = radial;
        a.count_a[i] = angular;
    }
}

// nepal_slices: slots of each slice, that of its longest row for all. A thread a slice; count_r is
// the list's counts, scan the result.
NEPAL_KERNEL nepal_slices(const Args a) {
    for (u64 s = thread_id(); s < a.rows; s += thread_count()) {
        u32 longest = 0;
        for (u64 i = s * SLICE; i < (s + 1) * SLICE && i < a.n_local; ++i)
            if (a.count_r[i] > longest) longest = a.count_r[i];
        a.scan[s] = (u64)longest * SLICE;
    }
}

// Types that are counted at once.
#define TYPES_AT_ONCE 16

// nepal_fill: both lists, type by type, empty where there is no room for all; and what the host hears of
// their sizes. A thread an atom.
NEPAL_KERNEL nepal_fill(const Args a) {
    const u64 slices = (a.n_local + SLICE - 1) / SLICE;
    const u64 slots_r = a.start_r[slices], slots_a = a.start_a[slices];
    if (thread_id() == 0) {
        a.sizes->images = a.n_images ? *a.n_images : 0;
        a.sizes->slots_r = slots_r, a.sizes->slots_a = slots_a;
    }
    for (u64 i = thread_id(); i < a.n_local; i += thread_count()) {
        if (slots_r > a.room_r || slots_a > a.room_a) {
            a.count_r[i] = a.count_a[i] = 0;
            continue;
        }
        const Place me = a.places[i];
        const u64 slot_r = first_slot(a.start_r, i), slot_a = first_slot(a.start_a, i);
        u32 done_r = 0, done_a = 0;
        for (u32 base = 0; base < a.n_types; base += TYPES_AT_ONCE) {
            u32 next_r[TYPES_AT_ONCE], next_a[TYPES_AT_ONCE];
            for (int t = 0; t < TYPES_AT_ONCE; ++t) next_r[t] = next_a[t] = 0;
            candidates(a, i, [&](u32 p) {
                const Place other = a.places[p];
                const u32 t = other.type - base, in = belongs(a, me, other);
                if (t < TYPES_AT_ONCE) next_r[t] += in & 1, next_a[t] += in >> 1;
            });
            for (int t = 0; t < TYPES_AT_ONCE; ++t) {
                const u32 n_r = next_r[t], n_a = next_a[t];
                next_r[t] = done_r, next_a[t] = done_a;
                done_r += n_r, done_a += n_a;
            }
            candidates(a, i, [&](u32 p) {
                const Place other = a.places[p];
                const u32 t = other.type - base, in = belongs(a, me, other);
                if (t >= TYPES_AT_ONCE) return;
                if (in & 1) a.list_r[slot_r + (u64)SLICE * next_r[t]++] = p;
                if (in & 2) a.list_a[slot_a + (u64)SLICE * next_a[t]++] = p;
            });
        }
    }
}

// nepal_reverse: for each angular entry i -> p, a copy of atom j by some translation, the slot of
// the entry j -> copy of i by the opposite one; NONE if j is a ghost. A thread an atom.
NEPAL_KERNEL nepal_reverse(const Args a) {
    for (u64 i = thread_id(); i < a.n_local; i += thread_count()) {
        const u64 slot = first_slot(a.start_a, i);
        const int *own = a.shift + 3 * i;
        for (u32 e = 0; e < a.count_a[i]; ++e) {
            const u64 p = a.list_a[slot + (u64)SLICE * e];
            const u32 j = a.source[p];
            u32 found = NONE;
            if (j != NONE) {
                const u64 other = first_slot(a.start_a, j);
                for (u32 n = 0; n < a.count_a[j] && found == NONE; ++n) {
                    const u64 at = other + (u64)SLICE * n, back = a.list_a[at];
                    bool same = a.source[back] == i;
                    for (int c = 0; c < 3 && same; ++c)
                        same = a.shift[3 * back + c] + a.shift[3 * p + c] == own[c] + a.shift[3 * (u64)j + c];
                    if (same) found = (u32)at;
                }
            }
            a.reverse[slot + (u64)SLICE * e] = found;
        }
    }
}

// nepal_ghost_count, nepal_ghost_fill, nepal_ghost_sort: the centres that see each ghost, ascending.
// A thread an atom; a thread a ghost. Places from n_local on are the ghosts.
NEPAL_KERNEL nepal_ghost_count(const Args a) {
    for (u64 i = thread_id(); i < a.n_local; i += thread_count()) {
        const u64 slot = first_slot(a.start_r, i);
        for (u32 e = 0; e < a.count_r[i]; ++e) {
            const u64 p = a.list_r[slot + (u64)SLICE * e];
            if (p >= a.n_local) atomicAdd(a.ghost_cursor + (p - a.n_local), 1u);
        }
    }
}

NEPAL_KERNEL nepal_ghost_fill(const Args a) {
    for (u64 i = thread_id(); i < a.n_local; i += thread_count()) {
        const u64 slot = first_slot(a.start_r, i);
        for (u32 e = 0; e < a.count_r[i]; ++e) {
            const u64 p = a.list_r[slot + (u64)SLICE * e];
            if (p < a.n_local) continue;
            const u64 g = p - a.n_local;
            a.ghost_list[a.ghost_start[g] + atomicAdd(a.ghost_cursor + g, 1u)] = (u32)i;
        }
    }
}

NEPAL_KERNEL nepal_ghost_sort(const Args a) {
    for (u64 g = thread_id(); g < a.n_total - a.n_local; g += thread_count())
        sort(a.ghost_list + a.ghost_start[g], a.ghost_start[g + 1] - a.ghost_start[g]);
}
