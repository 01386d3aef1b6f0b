// nepal_forces: force and virial of each atom, gathered from its neighbours, a thread an atom; no
// two threads write the same number, so a repeat gives the same bits. Writes out_forces and
// out_virials in the caller's order. Of tensors the virials are the polarizabilities, but for the scalar part,
// and the dipoles take the place of forces; with BORN they are Born charges, of h_ij = dQ_i/dr_ij. Twins: add_pair and tensor::add of src/core/backend/reference.

// Sums of a few pairs in `real`, handed over to doubles before rounding adds up.
struct Gathered {
    accum force[3], virial[9];
    real f[3], w[9];
};

NEPAL_FN void clear(Gathered &s) {
    for (int k = 0; k < 3; ++k) s.force[k] = 0, s.f[k] = 0;
    for (int k = 0; k < 9; ++k) s.virial[k] = 0, s.w[k] = 0;
}

NEPAL_FN void hand_over(Gathered &s, bool virial) {
    for (int k = 0; k < 3; ++k) s.force[k] += s.f[k], s.f[k] = 0;
    if (virial)
        for (int k = 0; k < 9; ++k) s.virial[k] += s.w[k], s.w[k] = 0;
}

// What is gathered besides forces.
struct Wanted {
    bool virial, dipole, born, far;
};

NEPAL_FN Wanted wanted(const Args &a) {
    return {(a.flags & WANT_VIRIAL) != 0, TENSOR == 1 && !(a.flags & CONTRACT),
            CHARGES != 0 && (a.flags & BORN) != 0, HEADS != 0 && !(a.flags & (CONTRACT | BORN))};
}

// `force` on this atom; `back` is f_ji, and d is r_ij.
NEPAL_FN void add(Gathered &s, const real *d, const real *force, const real *back, Wanted want) {
    if (want.dipole) {
        const real r2 = d[0] * d[0] + d[1] * d[1] + d[2] * d[2];
        for (int k = 0; k < 3; ++k) s.f[k] -= r2 * back[k];
        return;
    }
    if (want.born) {
        for (int k = 0; k < 3; ++k)
            for (int l = 0; l < 3; ++l)
                s.w[3 * k + l] = real_fma(R(0.5) * d[k], force[l] + 2 * back[l], s.w[3 * k + l]);
        return;
    }
    for (int k = 0; k < 3; ++k) s.f[k] += force[k];
    if (want.virial)
        for (int k = 0; k < 3; ++k)
            for (int l = 0; l < 3; ++l) s.w[3 * k + l] = real_fma(d[k], back[l], s.w[3 * k + l]);
}

NEPAL_FN void write(const Args &a, u64 atom, const Gathered &s) {
    for (int k = 0; k < 3; ++k) a.out_forces[atom * 3 + k] = s.force[k];
    if (a.flags & WANT_VIRIAL)
        for (int k = 0; k < 9; ++k) a.out_virials[atom * 9 + k] = s.virial[k];
}

// What comes from far away; or the end of Born charges, of an atom with a charge.
NEPAL_FN void add_far(const Args &a, u64 atom, Gathered &s) {
    const double *far = a.far + FAR * atom;
    for (int k = 0; k < 3; ++k) s.force[k] += far[k], s.virial[4 * k] += far[3 + k];
    s.virial[1] += far[6], s.virial[3] += far[6];
    s.virial[2] += far[7], s.virial[6] += far[7];
    s.virial[5] += far[8], s.virial[7] += far[8];
}

NEPAL_FN void end_born(const Args &a, double charge, Gathered &s) {
    for (int k = 0; k < 9; ++k) s.virial[k] = a.dielectric * (s.virial[k] + (k % 4 == 0 ? charge : 0));
}

// dU/dr of a pair's radial part: the slopes of an atom's sums times those of the basis.
NEPAL_FN real radial_force(const real *slopes, const real *df) {
    real sum = 0;
    for (int k = 0; k < KRP; k += 4) {
        const real4 four = *(const real4 *)(slopes + k);
        const real s[4] = {four.x, four.y, four.z, four.w};
        for (int l = 0; l < 4 && k + l < KR; ++l) sum = real_fma(s[l], df[k + l], sum);
    }
    return sum;
}

NEPAL_KERNEL nepal_forces(const Args a) {
    const Wanted want = wanted(a);
    for (u64 i = thread_id(); i < a.n_local; i += thread_count()) {
        const Place me = a.places[i];
        Gathered s;
        clear(s);
        const real *own = a.radial_slope + i * a.n_types * KRP;
        u32 count = a.count_r[i];
        u64 slot = first_slot(a.start_r, i);
        for (u32 e = 0; e < count; ++e) {
            const Place other = a.places[a.list_r[slot + (u64)SLICE * e]];
            const real rc = cutoff(a, me.type, other.type, 0);
            real d[3], f[KR], df[KR], force[3], back[3];
            const real r2 = difference(me, other, d);
            if (r2 < rc * rc) {
                const real inverse = real_rsqrt(r2), r = r2 * inverse;
                basis_and_slopes<KR>(r, inverse_cutoff(a, me.type, other.type, 0), f, df);
                real mine = radial_force(own + other.type * KRP, df) * inverse;
                real theirs = 0;
                if (other.source != NONE)
                    theirs = inverse *
                             radial_force(a.radial_slope + ((u64)other.source * a.n_types + me.type) * KRP, df);
                if (SCREENED && want.far) {
                    const real half = inverse * screened_slope(a, i, a.list_r[slot + (u64)SLICE * e], r);
                    mine += half;
                    if (other.source != NONE) theirs += half;
                }
                for (int k = 0; k < 3; ++k) {
                    back[k] = -theirs * d[k];
                    force[k] = mine * d[k] - back[k];
                }
                add(s, d, force, back, want);
            }
            if (e % 8 == 7) hand_over(s, want.virial);
        }
        hand_over(s, want.virial);
        count = a.count_a[i];
        slot = first_slot(a.start_a, i);
        for (u32 e = 0; e < count; ++e) {
            const u64 at = slot + (u64)SLICE * e;
            const u32 opposite = a.reverse[at];
            const real4 out = a.partial[at];
            real4 in = {0, 0, 0, 0};
            if (opposite != NONE) in = a.partial[opposite];
            const real force[3] = {out.x - in.x, out.y - in.y, out.z - in.z};
            const real back[3] = {in.x, in.y, in.z};
            real d[3] = {0, 0, 0};
            if (want.virial || want.dipole) difference(me, a.places[a.list_a[at]], d);
            add(s, d, force, back, want);
            if (e % 8 == 7) hand_over(s, want.virial);
        }
        hand_over(s, want.virial);
        if (TENSOR == 2 && !(a.flags & CONTRACT))
            for (int k = 0; k < 9; k += 4) s.virial[k] += a.out_energy[a.atom[i]];
        if (want.far) add_far(a, a.atom[i], s);
        if (want.born) end_born(a, a.strengths[a.atom[i]], s);
        write(a, a.atom[i], s);
    }
}

// nepal_ghost_forces: the same for the ghosts of a host code, from the centres that see them: a
// ghost has no energy, so F_j = - sum of f_ij and W_j = - sum of r_ij f_ij. A thread a ghost.
NEPAL_KERNEL nepal_ghost_forces(const Args a) {
    const Wanted want = wanted(a);
    for (u64 g = thread_id(); g < a.n_total - a.n_local; g += thread_count()) {
        const u64 p = a.n_local + g;
        const Place me = a.places[p];
        Gathered s;
        clear(s);
        for (u64 e = a.ghost_start[g]; e < a.ghost_start[g + 1]; ++e) {
            const u64 i = a.ghost_list[e];
            const Place center = a.places[i];
            const real rc = cutoff(a, center.type, me.type, 0);
            real d[3], f[KR], df[KR], back[3] = {0, 0, 0};
            const real r2 = difference(me, center, d);
            if (r2 < rc * rc) {
                const real inverse = real_rsqrt(r2), r = r2 * inverse;
                basis_and_slopes<KR>(r, inverse_cutoff(a, center.type, me.type, 0), f, df);
                real slope = inverse * radial_force(a.radial_slope + (i * a.n_types + me.type) * KRP, df);
                if (SCREENED && want.far) slope += inverse * screened_slope(a, i, p, r);
                for (int k = 0; k < 3; ++k) back[k] = -slope * d[k];
            }
            const u64 slot = first_slot(a.start_a, i);
            for (u32 n = 0; n < a.count_a[i]; ++n)
                if (a.list_a[slot + (u64)SLICE * n] == p) {
                    const real4 in = a.partial[slot + (u64)SLICE * n];
                    back[0] += in.x, back[1] += in.y, back[2] += in.z;
                }
            const real force[3] = {-back[0], -back[1], -back[2]};
            add(s, d, force, back, want);
            hand_over(s, want.virial);
        }
        if (want.born) end_born(a, 0, s);
        write(a, a.atom[p], s);
    }
}
