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
        scratch.moments[..k * PAD].fill(0.0);
        let mut at = bucket.start;
        let end = bucket.padded_end();
        while at < end {
            let many = if end - at >= 2 * n { 2 } else { 1 };
            for at in (at..at + many * n).step_by(n) {
                let r2 = Lanes::load(simd, &scratch.r2, at);
                let inverse = r2.sqrt().inverse();
                let w = (one - r2 * inverse * inverse_rc).max(zero);
                let (fc, dfc) = cutoff(simd, w, slope);
                inverse.store(&mut scratch.inverse, at);
                (w * w).fms(two, one).store(&mut scratch.cheb, at);
                fc.store(&mut scratch.fc, at);
                if slope {
                    (dfc * inverse_rc).store(&mut scratch.dfc, at);
                    (fc * step * w).store(&mut scratch.fcdx, at);
                }
            }
            if many == 2 {
                moments::<S, 2>(simd, scratch, k, at);
            } else {
                moments::<S, 1>(simd, scratch, k, at);
            }
            at += many * n;
        }
        for (m, row) in scratch.moments[..k * PAD].chunks_exact(PAD).enumerate() {
            scratch.moment[m] = Lanes::load(simd, row, 0).sum();
        }
        let series = &pair.series[0].by_k;
        for at in (0..plan.n[0]).step_by(n) {
            let mut q = Lanes::load(simd, &scratch.q, at);
            for (&m, row) in scratch.moment[..k].iter().zip(series.chunks_exact(n_pad)) {
                q = Lanes::load(simd, row, at).fma(Lanes::splat(simd, m), q);
            }
            q.store(&mut scratch.q, at);
        }
    }
}

/// Adds f_c T_k of `N` vectors of neighbours to the moments.
#[inline(always)]
fn moments<S: Simd, const N: usize>(simd: S, scratch: &mut Scratch, k: usize, at: usize) {
    let zero = Lanes::splat(simd, 0.0);
    let (mut x2, mut t0, mut t1) = ([zero; N], [zero; N], [zero; N]);
    for i in 0..N {
        let place = at + i * Lanes::<S>::N;
        let x = Lanes::load(simd, &scratch.cheb, place);
        t0[i] = Lanes::load(simd, &scratch.fc, place);
        t1[i] = t0[i] * x;
        x2[i] = x + x;
    }
    for row in scratch.moments[..k * PAD].chunks_exact_mut(PAD) {
        let mut sum = Lanes::load(simd, row, 0);
        for i in 0..N {
            sum = sum + t0[i];
            (t0[i], t1[i]) = (t1[i], x2[i].fms(t1[i], t0[i]));
        }
        sum.store(row, 0);
    }
}

/// Sets the partial forces f_ij to the radial part, given dU/dq (unscaled) in `scratch.fp`.
#[inline(always)]
pub(super) fn forces<S: Simd>(simd: S, plan: &Plan, center: usize, scratch: &mut Scratch) {
    let n = Lanes::<S>::N;
    let (k, k_pad) = (plan.k[0], plan.k_pad[0]);
    for b in 0..scratch.buckets.len() {
        let bucket = scratch.buckets[b];
        let series = &plan.pairs[center * plan.n_types + bucket.kind].series[0];
        let fp = &scratch.fp[..plan.n[0]];
        contract(simd, fp, &series.by_n, &mut scratch.series[..k_pad]);
        contract(simd, fp, &series.slope_by_n, &mut scratch.slopes[..k_pad]);
        let mut at = bucket.start;
        let end = bucket.padded_end();
        while at < end {
            if end - at >= 2 * n {
                slopes::<S, 2>(simd, scratch, k, at);
                at += 2 * n;
            } else {
                slopes::<S, 1>(simd, scratch, k, at);
                at += n;
            }
        }
    }
}

/// The radial forces of `N` vectors of neighbours.
#[inline(always)]
fn slopes<S: Simd, const N: usize>(simd: S, scratch: &mut Scratch, k: usize, at: usize) {
    let zero = Lanes::splat(simd, 0.0);
    let (mut x2, mut t0, mut t1) = ([zero; N], [Lanes::splat(simd, 1.0); N], [zero; N]);
    let (mut p, mut dp) = ([zero; N], [zero; N]);
    for i in 0..N {
        let x = Lanes::load(simd, &scratch.cheb, at + i * Lanes::<S>::N);
        t1[i] = x;
        x2[i] = x + x;
    }
    for (&a, &d) in scratch.series[..k].iter().zip(&scratch.slopes[..k]) {
        let (a, d) = (Lanes::splat(simd, a), Lanes::splat(simd, d));
        for i in 0..N {
            p[i] = t0[i].fma(a, p[i]);
            dp[i] = t0[i].fma(d, dp[i]);
            (t0[i], t1[i]) = (t1[i], x2[i].fms(t1[i], t0[i]));
        }
    }
    for i in 0..N {
        let at = at + i * Lanes::<S>::N;
        let dfc = Lanes::load(simd, &scratch.dfc, at);
        let fcdx = Lanes::load(simd, &scratch.fcdx, at);
        let slope = dfc.fma(p[i], fcdx * dp[i]) * Lanes::load(simd, &scratch.inverse, at);
        (slope * Lanes::load(simd, &scratch.x, at)).store(&mut scratch.fx, at);
        (slope * Lanes::load(simd, &scratch.y, at)).store(&mut scratch.fy, at);
        (slope * Lanes::load(simd, &scratch.z, at)).store(&mut scratch.fz, at);
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
