//! The radial part: sums of the basis over the neighbours of each type, and its forces.

use super::cutoff::{arguments, cutoff};
use super::plan::{Pair, Plan, TILE, tiled};
use super::scratch::{FORCE, GEOMETRY, RADIAL, Scratch};
use super::vector::Vector;
use std::ops::Range;

/// Slots taken together: sums are loaded and stored once for all.
const SLOTS: usize = 4;
/// The same where five numbers of each slot have to stay in 16 registers.
const FEW: usize = 2;

/// Fills the radial rows of `scratch` and sets the radial descriptors in `scratch.q`.
#[inline(always)]
pub(super) fn descriptors<V: Vector>(
    simd: V::Simd,
    plan: &Plan<V::Real>,
    center: usize,
    scratch: &mut Scratch<V::Real>,
    slope: bool,
) {
    let (n, k) = (plan.n[0], plan.k[0]);
    scratch.q[..tiled(n) * V::N].fill(V::Real::default());
    for kind in 0..plan.n_types {
        let pair = plan.pair(center, kind);
        let ranges = scratch.of_kind(kind);
        if ranges.iter().all(Range::is_empty) {
            continue;
        }
        scratch.moments[..k * V::N].fill(V::Real::default());
        for slots in ranges {
            let (mut slot, end) = (slots.start, slots.end);
            while slot < end {
                if end - slot >= SLOTS {
                    moments::<V, SLOTS>(simd, pair, scratch, k, slot, slope);
                    slot += SLOTS;
                } else {
                    moments::<V, 1>(simd, pair, scratch, k, slot, slope);
                    slot += 1;
                }
            }
        }
        // q_n += Σ_k a_nk M_k.
        let moments = &V::rows(&scratch.moments)[..k];
        let table = &pair.series[0].by_k;
        let q = &mut V::rows_mut(&mut scratch.q)[..tiled(n)];
        for (tile, q) in q.chunks_exact_mut(TILE).enumerate() {
            let mut sum = load::<V>(simd, q);
            for (row, moment) in table.chunks_exact(tiled(n)).zip(moments) {
                let moment = V::get(simd, moment);
                let row = &row[tile * TILE..][..TILE];
                for i in 0..TILE {
                    sum[i] = moment.fma(V::splat(simd, row[i]), sum[i]);
                }
            }
            for i in 0..TILE {
                sum[i].put(&mut q[i]);
            }
        }
    }
}

#[inline(always)]
fn load<V: Vector>(simd: V::Simd, rows: &[V::Raw]) -> [V; TILE] {
    let mut out = [V::constant(simd, 0.0); TILE];
    for i in 0..TILE {
        out[i] = V::get(simd, &rows[i]);
    }
    out
}

/// Adds f_c T_k of `M` slots to the moments.
#[inline(always)]
fn moments<V: Vector, const M: usize>(
    simd: V::Simd,
    pair: &Pair<V::Real>,
    scratch: &mut Scratch<V::Real>,
    k: usize,
    slot: usize,
    slope: bool,
) {
    let zero = V::constant(simd, 0.0);
    let inverse_rc = V::constant(simd, 1.0 / pair.cutoff[0]);
    let (mut x2, mut t0, mut t1) = ([zero; M], [zero; M], [zero; M]);
    let geometry = &V::rows(&scratch.geometry)[slot * GEOMETRY..][..M * GEOMETRY];
    let radial = &mut V::rows_mut(&mut scratch.radial)[slot * RADIAL..][..M * RADIAL];
    for i in 0..M {
        let r2 = V::get(simd, &geometry[i * GEOMETRY + 3]);
        let r = r2.sqrt();
        let inverse = r.inverse();
        let (w, x) = arguments(simd, r, inverse_rc);
        let (fc, dfc) = cutoff(simd, w, slope);
        t0[i] = fc;
        t1[i] = fc * x;
        x2[i] = x + x;
        if slope {
            let row = &mut radial[i * RADIAL..][..RADIAL];
            inverse.put(&mut row[0]);
            x.put(&mut row[1]);
            (dfc * inverse_rc).put(&mut row[2]);
            let step = V::constant(simd, -4.0 / pair.cutoff[0]);
            (fc * step * w).put(&mut row[3]);
        }
    }
    for row in &mut V::rows_mut(&mut scratch.moments)[..k] {
        let mut sum = V::get(simd, row);
        for i in 0..M {
            sum = sum + t0[i];
            (t0[i], t1[i]) = (t1[i], x2[i].fms(t1[i], t0[i]));
        }
        sum.put(row);
    }
}

/// Sets the partial forces f_ij to the radial part, given dU/dq (unscaled) in `scratch.fp`.
#[inline(always)]
pub(super) fn forces<V: Vector>(
    simd: V::Simd,
    plan: &Plan<V::Real>,
    center: usize,
    scratch: &mut Scratch<V::Real>,
) {
    let (n, k) = (plan.n[0], plan.k[0]);
    for kind in 0..plan.n_types {
        let series = &plan.pair(center, kind).series[0];
        let ranges = scratch.of_kind(kind);
        if ranges.iter().all(Range::is_empty) {
            continue;
        }
        let fp = &V::rows(&scratch.fp)[..n];
        let out = &mut V::rows_mut(&mut scratch.series)[..tiled(k)];
        contract::<V>(simd, fp, &series.by_n, out);
        let out = &mut V::rows_mut(&mut scratch.slopes)[..tiled(k)];
        contract::<V>(simd, fp, &series.slope_by_n, out);
        for slots in ranges {
            let (mut slot, end) = (slots.start, slots.end);
            while slot < end {
                if V::MANY && end - slot >= SLOTS {
                    slopes::<V, SLOTS>(simd, scratch, k, slot);
                    slot += SLOTS;
                } else if !V::MANY && end - slot >= FEW {
                    slopes::<V, FEW>(simd, scratch, k, slot);
                    slot += FEW;
                } else {
                    slopes::<V, 1>(simd, scratch, k, slot);
                    slot += 1;
                }
            }
        }
    }
}

/// The radial forces of `M` slots.
#[inline(always)]
fn slopes<V: Vector, const M: usize>(
    simd: V::Simd,
    scratch: &mut Scratch<V::Real>,
    k: usize,
    slot: usize,
) {
    let zero = V::constant(simd, 0.0);
    let (mut x2, mut t0, mut t1) = ([zero; M], [V::constant(simd, 1.0); M], [zero; M]);
    let (mut p, mut dp) = ([zero; M], [zero; M]);
    let radial = &V::rows(&scratch.radial)[slot * RADIAL..][..M * RADIAL];
    for i in 0..M {
        let x = V::get(simd, &radial[i * RADIAL + 1]);
        t1[i] = x;
        x2[i] = x + x;
    }
    let series = &V::rows(&scratch.series)[..k];
    for (a, d) in series.iter().zip(&V::rows(&scratch.slopes)[..k]) {
        let (a, d) = (V::get(simd, a), V::get(simd, d));
        for i in 0..M {
            p[i] = t0[i].fma(a, p[i]);
            dp[i] = t0[i].fma(d, dp[i]);
            (t0[i], t1[i]) = (t1[i], x2[i].fms(t1[i], t0[i]));
        }
    }
    let geometry = &V::rows(&scratch.geometry)[slot * GEOMETRY..][..M * GEOMETRY];
    let force = &mut V::rows_mut(&mut scratch.force)[slot * FORCE..][..M * FORCE];
    for i in 0..M {
        let row = &radial[i * RADIAL..][..RADIAL];
        let (dfc, fcdx) = (V::get(simd, &row[2]), V::get(simd, &row[3]));
        let slope = dfc.fma(p[i], fcdx * dp[i]) * V::get(simd, &row[0]);
        for a in 0..3 {
            let d = V::get(simd, &geometry[i * GEOMETRY + a]);
            (slope * d).put(&mut force[i * FORCE + a]);
        }
    }
}

/// `out_k = Σ_n fp_n table_nk`.
#[inline(always)]
fn contract<V: Vector>(simd: V::Simd, fp: &[V::Raw], table: &[V::Real], out: &mut [V::Raw]) {
    let stride = out.len();
    for (tile, out) in out.chunks_exact_mut(TILE).enumerate() {
        let mut sum = [V::constant(simd, 0.0); TILE];
        for (f, row) in fp.iter().zip(table.chunks_exact(stride)) {
            let f = V::get(simd, f);
            let row = &row[tile * TILE..][..TILE];
            for i in 0..TILE {
                sum[i] = f.fma(V::splat(simd, row[i]), sum[i]);
            }
        }
        for i in 0..TILE {
            sum[i].put(&mut out[i]);
        }
    }
}
