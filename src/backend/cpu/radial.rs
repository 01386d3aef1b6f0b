//! The radial part: sums of the basis over the neighbours of each type, and its forces.

use super::lanes::{Lanes, PAD};
use super::plan::Plan;
use super::scratch::Scratch;
use pulp::Simd;
use std::f64::consts::PI;

/// 1/(2n+1)! with alternating sign: the sine to rounding on [0, π/2].
const SINE: [f64; 11] = alternating(1);
/// 1/(2n)! with alternating sign: the cosine to rounding on [0, π/2].
const COSINE: [f64; 12] = alternating(0);

const fn alternating<const N: usize>(first: usize) -> [f64; N] {
    let mut table = [0.0; N];
    let mut factorial = 1.0;
    let mut n = 0;
    while n < N {
        table[n] = if n % 2 == 0 {
            1.0 / factorial
        } else {
            -1.0 / factorial
        };
        let k = 2 * n + first;
        factorial *= ((k + 1) * (k + 2)) as f64;
        n += 1;
    }
    table
}

#[inline(always)]
fn horner<S: Simd>(simd: S, table: &[f64], x: Lanes<S>) -> Lanes<S> {
    let mut value = Lanes::splat(simd, table[table.len() - 1]);
    for &c in table[..table.len() - 1].iter().rev() {
        value = value.fma(x, Lanes::splat(simd, c));
    }
    value
}

/// f_c of w = 1 - r/r_c in [0, 1], and f_c' r_c if `slope`.
///
/// f_c = (1 + cos(π r/r_c))/2 = sin²(π w/2), exactly zero at the cutoff.
#[inline(always)]
pub(super) fn cutoff<S: Simd>(simd: S, w: Lanes<S>, slope: bool) -> (Lanes<S>, Lanes<S>) {
    let angle = w * Lanes::splat(simd, 0.5 * PI);
    let square = angle * angle;
    let sine = angle * horner(simd, &SINE, square);
    let dfc = if slope {
        sine * horner(simd, &COSINE, square) * Lanes::splat(simd, -PI)
    } else {
        sine
    };
    (sine * sine, dfc)
}

/// Fills the radial arrays of `scratch` and adds the radial descriptors to `scratch.q`.
#[inline(always)]
pub(super) fn descriptors<S: Simd>(
    simd: S,
    plan: &Plan,
    center: usize,
    scratch: &mut Scratch,
    slope: bool,
) {
    let n = Lanes::<S>::N;
    let (k, n_pad) = (plan.k[0], plan.n_pad[0]);
    scratch.q[..n_pad].fill(0.0);
    let one = Lanes::splat(simd, 1.0);
    let two = Lanes::splat(simd, 2.0);
    let zero = Lanes::splat(simd, 0.0);
    for b in 0..scratch.buckets.len() {
        let bucket = scratch.buckets[b];
        let pair = &plan.pairs[center * plan.n_types + bucket.kind];
        let inverse_rc = Lanes::splat(simd, 1.0 / pair.cutoff[0]);
        let step = Lanes::splat(simd, -4.0) * inverse_rc;
        let moments = &mut scratch.moments[..k * PAD];
        moments.fill(0.0);
        for at in (bucket.start..bucket.padded_end()).step_by(n) {
            let r2 = Lanes::load(simd, &scratch.r2, at);
            let inverse = r2.sqrt().inverse();
            let w = (one - r2 * inverse * inverse_rc).max(zero);
            let (fc, dfc) = cutoff(simd, w, slope);
            let x = (w * w).fma(two, zero - one);
            inverse.store(&mut scratch.inverse, at);
            if slope {
                x.store(&mut scratch.cheb, at);
                fc.store(&mut scratch.fc, at);
                (dfc * inverse_rc).store(&mut scratch.dfc, at);
                (fc * step * w).store(&mut scratch.fcdx, at);
            }
            let x2 = x + x;
            let (mut t0, mut t1) = (fc, fc * x);
            for row in moments.chunks_exact_mut(PAD) {
                (Lanes::load(simd, row, 0) + t0).store(row, 0);
                (t0, t1) = (t1, x2.fms(t1, t0));
            }
        }
        for (m, row) in moments.chunks_exact(PAD).enumerate() {
            scratch.moment[m] = Lanes::load(simd, row, 0).sum();
        }
        let series = &pair.series[0].by_k;
        for (&m, row) in scratch.moment[..k].iter().zip(series.chunks_exact(n_pad)) {
            let m = Lanes::splat(simd, m);
            for at in (0..n_pad).step_by(n) {
                let q = Lanes::load(simd, &scratch.q, at);
                Lanes::load(simd, row, at)
                    .fma(m, q)
                    .store(&mut scratch.q, at);
            }
        }
    }
}

/// Sets the partial forces f_ij to the radial part, given dU/dq (unscaled) in `scratch.fp`.
#[inline(always)]
pub(super) fn forces<S: Simd>(simd: S, plan: &Plan, center: usize, scratch: &mut Scratch) {
    let n = Lanes::<S>::N;
    let (k, k_pad) = (plan.k[0], plan.k_pad[0]);
    let zero = Lanes::splat(simd, 0.0);
    for b in 0..scratch.buckets.len() {
        let bucket = scratch.buckets[b];
        let series = &plan.pairs[center * plan.n_types + bucket.kind].series[0];
        let fp = &scratch.fp[..plan.n[0]];
        contract(simd, fp, &series.by_n, &mut scratch.series[..k_pad]);
        contract(simd, fp, &series.slope_by_n, &mut scratch.slopes[..k_pad]);
        for at in (bucket.start..bucket.padded_end()).step_by(n) {
            let x = Lanes::load(simd, &scratch.cheb, at);
            let x2 = x + x;
            let (mut t0, mut t1) = (Lanes::splat(simd, 1.0), x);
            let (mut p, mut dp) = (zero, zero);
            for (&a, &d) in scratch.series[..k].iter().zip(&scratch.slopes[..k]) {
                p = t0.fma(Lanes::splat(simd, a), p);
                dp = t0.fma(Lanes::splat(simd, d), dp);
                (t0, t1) = (t1, x2.fms(t1, t0));
            }
            let dfc = Lanes::load(simd, &scratch.dfc, at);
            let fcdx = Lanes::load(simd, &scratch.fcdx, at);
            let slope = dfc.fma(p, fcdx * dp) * Lanes::load(simd, &scratch.inverse, at);
            (slope * Lanes::load(simd, &scratch.x, at)).store(&mut scratch.fx, at);
            (slope * Lanes::load(simd, &scratch.y, at)).store(&mut scratch.fy, at);
            (slope * Lanes::load(simd, &scratch.z, at)).store(&mut scratch.fz, at);
        }
    }
}

/// `out_k = Σ_n fp_n table_nk`.
#[inline(always)]
fn contract<S: Simd>(simd: S, fp: &[f64], table: &[f64], out: &mut [f64]) {
    let stride = out.len();
    for at in (0..stride).step_by(Lanes::<S>::N) {
        let mut sum = Lanes::splat(simd, 0.0);
        for (&f, row) in fp.iter().zip(table.chunks_exact(stride)) {
            sum = Lanes::load(simd, row, at).fma(Lanes::splat(simd, f), sum);
        }
        sum.store(out, at);
    }
}
