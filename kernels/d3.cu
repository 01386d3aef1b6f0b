// DFT-D3 with the damping of Becke and Johnson, in double and for atoms whose neighbours are found here. Each
// atom gathers what its pairs do to it, in the order of its list. Twins: src/core/backend/d3.rs, src/core/nep/d3.rs.

// Reference systems of an element at most.
#define MOST 5

// nepal_d3_counts: weights of the reference systems of an atom and their derivatives by its coordination
// number. A thread an atom. screen: cutoff of pairs, of counting, s6, steepness of the count and of weights.
NEPAL_KERNEL nepal_d3_counts(const Args a) {
    for (u64 i = thread_id(); i < a.n_local; i += thread_count()) {
        const Place me = a.places[i];
        const u64 slot = first_slot(a.start_r, i);
        double count = 0;
        for (u32 e = 0; e < a.count_r[i]; ++e) {
            const Place other = a.places[a.list_r[slot + (u64)SLICE * e]];
            double d[3];
            const double r = sqrt(difference(me, other, d));
            if (r < a.screen[1])
                count += 1 / (1 + exp(-a.screen[3] * (a.d3_pairs[3 * (me.type * a.n_types + other.type)] / r - 1)));
        }
        const double *systems = a.d3_systems + (MOST + 1) * me.type;
        const int n = (int)systems[MOST];
        // The least square is taken off everywhere, so that far from all systems the nearest one is left.
        double least = INFINITE, sum = 0, slope = 0;
        for (int k = 0; k < n; ++k) {
            const double off = count - systems[k];
            if (off * off < least) least = off * off;
        }
        double *w = a.d3_weights + 2 * MOST * a.atom[i], *dw = w + MOST;
        for (int k = 0; k < MOST; ++k) {
            const double off = count - systems[k];
            w[k] = k < n ? exp(-a.screen[4] * (off * off - least)) : 0;
            dw[k] = -2 * a.screen[4] * off * w[k];
            sum += w[k], slope += dw[k];
        }
        for (int k = 0; k < MOST; ++k) {
            w[k] /= sum;
            dw[k] = (dw[k] - w[k] * slope) / sum;
        }
    }
}

// A pair of which an atom has half of the virial; `scale` is the derivative of its energy over r.
NEPAL_FN void add_scaled(double scale, const double *d, double *far) {
    for (int k = 0; k < 3; ++k) far[k] += scale * d[k], far[3 + k] -= 0.5 * scale * d[k] * d[k];
    far[6] -= 0.5 * scale * d[0] * d[1];
    far[7] -= 0.5 * scale * d[0] * d[2];
    far[8] -= 0.5 * scale * d[1] * d[2];
}

// nepal_d3_pairs: energies, forces and virials at fixed coordination numbers, and the derivative of all energy
// by that of each atom. A thread an atom. Writes far and acting, adds to out_energy.
NEPAL_KERNEL nepal_d3_pairs(const Args a) {
    for (u64 i = thread_id(); i < a.n_local; i += thread_count()) {
        const Place me = a.places[i];
        const u64 atom = a.atom[i], slot = first_slot(a.start_r, i);
        const double *w = a.d3_weights + 2 * MOST * atom, *dw = w + MOST;
        double energy = 0, acting = 0, far[FAR], own[MOST], of_own[MOST];
        for (int k = 0; k < FAR; ++k) far[k] = 0;
        u32 type = NONE;
        for (u32 e = 0; e < a.count_r[i]; ++e) {
            const u64 p = a.list_r[slot + (u64)SLICE * e];
            const Place other = a.places[p];
            const u64 pair = me.type * a.n_types + other.type;
            double d[3];
            const double r2 = difference(me, other, d), r = sqrt(r2);
            if (!(r < a.screen[0])) continue;
            if (other.type != type) {
                // C6 with each system of the type, once for all its neighbours.
                type = other.type;
                for (int k = 0; k < MOST; ++k) {
                    own[k] = of_own[k] = 0;
                    for (int l = 0; l < MOST; ++l) {
                        const double c6 = a.d3_c6[(pair * MOST + l) * MOST + k];
                        own[k] += w[l] * c6, of_own[k] += dw[l] * c6;
                    }
                }
            }
            const double eight = a.d3_pairs[3 * pair + 1], edge = a.d3_pairs[3 * pair + 2];
            const double e2 = edge * edge, r6 = r2 * r2 * r2, e6 = e2 * e2 * e2;
            const double t6 = 1 / (r6 + e6), t8 = 1 / (r6 * r2 + e6 * e2);
            const double value = -(a.screen[2] * t6 + eight * t8);
            // Over r.
            const double slope = r2 * r2 * (6 * a.screen[2] * t6 * t6 + 8 * eight * r2 * t8 * t8);
            const double *others = a.d3_weights + 2 * MOST * a.atom[p];
            double c6 = 0, dc6 = 0;
            for (int k = 0; k < MOST; ++k) c6 += own[k] * others[k], dc6 += of_own[k] * others[k];
            energy += 0.5 * c6 * value;
            acting += dc6 * value;
            add_scaled(c6 * slope, d, far);
        }
        a.out_energy[atom] += energy;
        a.acting[atom] = acting;
        for (int k = 0; k < FAR; ++k) a.far[FAR * atom + k] = far[k];
    }
}

// nepal_d3_forces: all forces and virials, added to out_forces and out_virials. A thread an atom.
NEPAL_KERNEL nepal_d3_forces(const Args a) {
    for (u64 i = thread_id(); i < a.n_local; i += thread_count()) {
        const Place me = a.places[i];
        const u64 atom = a.atom[i], slot = first_slot(a.start_r, i);
        double far[FAR];
        for (int k = 0; k < FAR; ++k) far[k] = a.far[FAR * atom + k];
        for (u32 e = 0; e < a.count_r[i]; ++e) {
            const u64 p = a.list_r[slot + (u64)SLICE * e];
            const Place other = a.places[p];
            double d[3];
            const double r2 = difference(me, other, d), r = sqrt(r2);
            if (!(r < a.screen[1])) continue;
            const double scale = a.d3_pairs[3 * (me.type * a.n_types + other.type)];
            const double x = exp(-a.screen[3] * (scale / r - 1)), count = 1 / (1 + x);
            const double slope = -count * count * x * a.screen[3] * scale / (r2 * r);
            add_scaled((a.acting[atom] + a.acting[a.atom[p]]) * slope, d, far);
        }
        for (int k = 0; k < 3; ++k) a.out_forces[3 * atom + k] += far[k];
        if (!(a.flags & WANT_VIRIAL)) continue;
        const int place[9] = {3, 6, 7, 6, 4, 8, 7, 8, 5};
        for (int k = 0; k < 9; ++k) a.out_virials[9 * atom + k] += far[place[k]];
    }
}
