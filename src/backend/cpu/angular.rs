//! The angular part: radial functions and directions of the neighbours, their sums, the forces.

use super::lanes::{Lanes, PAD};
use super::plan::Plan;
use super::radial::cutoff;
use super::scratch::Scratch;
use crate::nep::angular::Z;
use pulp::Simd;

/// Fills g (and g' if `slope`) and the angular functions of all angular neighbours, and sums
/// s_nlm.
#[inline(always)]
pub(super) fn sums<S: Simd>(
    simd: S,
    plan: &Plan,
    center: usize,
    scratch: &mut Scratch,
    slope: bool,
) {
    let width = Lanes::<S>::N;
    for at in (0..scratch.n_angular).step_by(width) {
        basis(simd, plan, scratch, at, slope);
        let kind = scratch.kind[at];
        let pure = scratch.kind[at..at + width].iter().all(|&t| t == kind);
        if pure {
            radial_functions(simd, plan, center, scratch, at, slope);
        } else {
            radial_functions_in_twos(simd, plan, center, scratch, at, slope);
        }
        directions(simd, plan, scratch, at);
    }
    let mut n = 0;
    while n < plan.n[1] {
        match plan.n[1] - n {
            1 => tiles::<S, 1>(simd, plan, scratch, n),
            2 => tiles::<S, 2>(simd, plan, scratch, n),
            4 => tiles::<S, 2>(simd, plan, scratch, n),
            _ => tiles::<S, 3>(simd, plan, scratch, n),
        }
        n += match plan.n[1] - n {
            1 => 1,
            2 | 4 => 2,
            _ => 3,
        };
    }
}

/// Chebyshev polynomials T_k, then f_c, f_c' and f_c x' of the neighbours from `at` on.
#[inline(always)]
fn basis<S: Simd>(simd: S, plan: &Plan, scratch: &mut Scratch, at: usize, slope: bool) {
    let k = plan.k[1];
    let one = Lanes::splat(simd, 1.0);
    let inverse_rc = Lanes::load(simd, &scratch.irc, at);
    let w = Lanes::load(simd, &scratch.w, at);
    let (fc, dfc) = cutoff(simd, w, slope);
    let x = (w * w).fms(Lanes::splat(simd, 2.0), one);
    let x2 = x + x;
    let (mut t0, mut t1) = (one, x);
    for row in scratch.basis[..k * PAD].chunks_exact_mut(PAD) {
        t0.store(row, 0);
        (t0, t1) = (t1, x2.fms(t1, t0));
    }
    let step = Lanes::splat(simd, -4.0) * inverse_rc;
    fc.store(&mut scratch.basis, k * PAD);
    (dfc * inverse_rc).store(&mut scratch.basis, (k + 1) * PAD);
    (fc * step * w).store(&mut scratch.basis, (k + 2) * PAD);
}

/// g_n and g_n' of a vector of neighbours of one type.
#[inline(always)]
fn radial_functions<S: Simd>(
    simd: S,
    plan: &Plan,
    center: usize,
    scratch: &mut Scratch,
    at: usize,
    slope: bool,
) {
    let (k, k_pad, stride) = (plan.k[1], plan.k_pad[1], scratch.stride);
    let kind = scratch.kind[at] as usize;
    let series = &plan.pairs[center * plan.n_types + kind].series[1];
    let (polynomials, cut) = scratch.basis.split_at(k * PAD);
    let fc = Lanes::load(simd, cut, 0);
    let dfc = Lanes::load(simd, cut, PAD);
    let fcdx = Lanes::load(simd, cut, 2 * PAD);
    let zero = Lanes::splat(simd, 0.0);
    for n in 0..plan.n[1] {
        let a = &series.by_n[n * k_pad..n * k_pad + k];
        let d = &series.slope_by_n[n * k_pad..n * k_pad + k];
        let (mut p, mut dp) = (zero, zero);
        if slope {
            for ((t, &a), &d) in polynomials.chunks_exact(PAD).zip(a).zip(d) {
                let t = Lanes::load(simd, t, 0);
                p = t.fma(Lanes::splat(simd, a), p);
                dp = t.fma(Lanes::splat(simd, d), dp);
            }
            dfc.fma(p, fcdx * dp)
                .store(&mut scratch.dg, n * stride + at);
        } else {
            for (t, &a) in polynomials.chunks_exact(PAD).zip(a) {
                p = Lanes::load(simd, t, 0).fma(Lanes::splat(simd, a), p);
            }
        }
        (fc * p).store(&mut scratch.g, n * stride + at);
    }
}

/// The same for neighbours of several types: two after two, vectors over n.
#[inline(always)]
fn radial_functions_in_twos<S: Simd>(
    simd: S,
    plan: &Plan,
    center: usize,
    scratch: &mut Scratch,
    at: usize,
    slope: bool,
) {
    let (k, n_pad, stride) = (plan.k[1], plan.n_pad[1], scratch.stride);
    let width = Lanes::<S>::N;
    let zero = Lanes::splat(simd, 0.0);
    let mut values = [0.0; PAD];
    let mut slopes = [0.0; PAD];
    for lane in (0..width).step_by(2) {
        let first = center * plan.n_types + scratch.kind[at + lane] as usize;
        let second = center * plan.n_types + scratch.kind[at + lane + 1] as usize;
        let series = [&plan.pairs[first].series[1], &plan.pairs[second].series[1]];
        for start in (0..plan.n[1]).step_by(width) {
            // Four sums that do not wait for one another.
            let (mut p, mut dp) = ([zero; 2], [zero; 2]);
            for (m, row) in scratch.basis[..k * PAD].chunks_exact(PAD).enumerate() {
                let place = m * n_pad + start;
                for i in 0..2 {
                    let t = Lanes::splat(simd, row[lane + i]);
                    p[i] = Lanes::load(simd, &series[i].by_k, place).fma(t, p[i]);
                    if slope {
                        dp[i] = Lanes::load(simd, &series[i].slope_by_k, place).fma(t, dp[i]);
                    }
                }
            }
            let rows = plan.n[1].min(start + width) - start;
            for i in 0..2 {
                let column = lane + i;
                let fc = Lanes::splat(simd, scratch.basis[k * PAD + column]);
                (fc * p[i]).store(&mut values, 0);
                let place = start * stride + at + lane + i;
                for (n, &g) in values[..rows].iter().enumerate() {
                    scratch.g[n * stride + place] = g;
                }
                if slope {
                    let dfc = Lanes::splat(simd, scratch.basis[(k + 1) * PAD + column]);
                    let fcdx = Lanes::splat(simd, scratch.basis[(k + 2) * PAD + column]);
                    dfc.fma(p[i], fcdx * dp[i]).store(&mut slopes, 0);
                    for (n, &dg) in slopes[..rows].iter().enumerate() {
                        scratch.dg[n * stride + place] = dg;
                    }
                }
            }
        }
    }
}

/// Value of Z_lm and, with `slope`, its derivative.
#[inline(always)]
fn z_function<S: Simd>(
    simd: S,
    (l, m): (usize, usize),
    z: Lanes<S>,
    z2: Lanes<S>,
) -> (Lanes<S>, Lanes<S>) {
    // Every second coefficient is zero: a polynomial in z², times z if odd.
    let c = Z[l - 1][m];
    let degree = l - m;
    let mut value = Lanes::splat(simd, c[degree]);
    let mut slope = Lanes::splat(simd, c[degree] * degree as f64);
    let mut power = degree;
    while power >= 2 {
        power -= 2;
        value = value.fma(z2, Lanes::splat(simd, c[power]));
        if power >= 1 {
            slope = slope.fma(z2, Lanes::splat(simd, c[power] * power as f64));
        }
    }
    if degree % 2 == 1 {
        (value * z, slope)
    } else {
        (value, slope * z)
    }
}

/// The angular functions of the neighbours from `at` on.
#[inline(always)]
fn directions<S: Simd>(simd: S, plan: &Plan, scratch: &mut Scratch, at: usize) {
    let stride = scratch.stride;
    let x = Lanes::load(simd, &scratch.ux, at);
    let y = Lanes::load(simd, &scratch.uy, at);
    let z = Lanes::load(simd, &scratch.uz, at);
    let z2 = z * z;
    let (mut re, mut im) = (Lanes::splat(simd, 1.0), Lanes::splat(simd, 0.0));
    for m in 0..=plan.l_max {
        for l in m.max(1)..=plan.l_max {
            let (value, _) = z_function(simd, (l, m), z, z2);
            if m == 0 {
                value.store(&mut scratch.s, (l * l - 1) * stride + at);
            } else {
                let row = l * l + 2 * m - 2;
                (value * re).store(&mut scratch.s, row * stride + at);
                (value * im).store(&mut scratch.s, (row + 1) * stride + at);
            }
        }
        (re, im) = ((re * x).sub_product(im, y), (re * y).add_product(im, x));
    }
}

/// s_nlm of `N` radial functions from `n` on, four angular functions at a time.
#[inline(always)]
fn tiles<S: Simd, const N: usize>(simd: S, plan: &Plan, scratch: &mut Scratch, n: usize) {
    let (stride, n_pad) = (scratch.stride, plan.n_pad[1]);
    let width = Lanes::<S>::N;
    let end = scratch.n_angular.next_multiple_of(width);
    let rows = &scratch.g[n * stride..(n + N) * stride];
    for first in (0..plan.lm_rows).step_by(4) {
        let functions = &scratch.s[first * stride..(first + 4) * stride];
        let mut sum = [[Lanes::splat(simd, 0.0); 4]; N];
        for at in (0..end).step_by(width) {
            let s = [
                Lanes::load(simd, functions, at),
                Lanes::load(simd, functions, at + stride),
                Lanes::load(simd, functions, at + 2 * stride),
                Lanes::load(simd, functions, at + 3 * stride),
            ];
            for (i, sum) in sum.iter_mut().enumerate() {
                let g = Lanes::load(simd, rows, i * stride + at);
                for (sum, s) in sum.iter_mut().zip(s) {
                    *sum = g.fma(s, *sum);
                }
            }
        }
        for (i, sum) in sum.iter().enumerate() {
            for (row, sum) in sum.iter().enumerate() {
                scratch.sums[(first + row) * n_pad + n + i] = sum.sum();
            }
        }
    }
}

/// Adds the angular part to the partial forces, given dU/ds in `scratch.gradient`.
#[inline(always)]
pub(super) fn forces<S: Simd>(simd: S, plan: &Plan, scratch: &mut Scratch) {
    let (stride, n_pad) = (scratch.stride, plan.n_pad[1]);
    let width = Lanes::<S>::N;
    let zero = Lanes::splat(simd, 0.0);
    let mut f = [[0.0; PAD]; 3];
    for at in (0..scratch.n_angular).step_by(width) {
        // h = Σ_n g_n dU/ds_n, and along the bond Σ_n g_n' dU/ds_n S.
        let mut along = [zero; 4];
        for first in (0..plan.lm_rows).step_by(4) {
            let mut h = [zero; 4];
            let mut p = [zero; 4];
            for n in 0..plan.n[1] {
                let g = Lanes::load(simd, &scratch.g, n * stride + at);
                let dg = Lanes::load(simd, &scratch.dg, n * stride + at);
                for i in 0..4 {
                    let d = Lanes::splat(simd, scratch.gradient[(first + i) * n_pad + n]);
                    h[i] = g.fma(d, h[i]);
                    p[i] = dg.fma(d, p[i]);
                }
            }
            for i in 0..4 {
                let s = Lanes::load(simd, &scratch.s, (first + i) * stride + at);
                along[i] = p[i].fma(s, along[i]);
                h[i].store(&mut scratch.h, (first + i) * PAD);
            }
        }
        let along = (along[0] + along[1]) + (along[2] + along[3]);
        let u = Lanes::load3(simd, [&scratch.ux, &scratch.uy, &scratch.uz], at);
        let v = slope(simd, plan.l_max, u, &scratch.h);
        let inverse = Lanes::load(simd, &scratch.ui, at);
        let radial = u[0].fma(v[0], u[1].fma(v[1], u[2] * v[2]));
        let along = along - radial * inverse;
        for a in 0..3 {
            v[a].fma(inverse, u[a] * along).store(&mut f[a], 0);
        }
        let end = scratch.n_angular.min(at + width);
        for (lane, &source) in scratch.source[at..end].iter().enumerate() {
            let source = source as usize;
            scratch.fx[source] += f[0][lane];
            scratch.fy[source] += f[1][lane];
            scratch.fz[source] += f[2][lane];
        }
    }
}

/// The gradient of Σ_lm h_lm S_lm with respect to x, y, z as free variables.
#[inline(always)]
fn slope<S: Simd>(simd: S, l_max: usize, u: [Lanes<S>; 3], h: &[f64]) -> [Lanes<S>; 3] {
    let [x, y, z] = u;
    let z2 = z * z;
    let zero = Lanes::splat(simd, 0.0);
    let (mut re, mut im) = (Lanes::splat(simd, 1.0), zero);
    let (mut re_before, mut im_before) = (zero, zero);
    let mut v = [zero; 3];
    for m in 0..=l_max {
        let (mut a_re, mut a_im, mut b_re, mut b_im) = (zero, zero, zero, zero);
        for l in m.max(1)..=l_max {
            let (value, dz) = z_function(simd, (l, m), z, z2);
            if m == 0 {
                b_re = dz.fma(Lanes::load(simd, h, (l * l - 1) * PAD), b_re);
            } else {
                let row = (l * l + 2 * m - 2) * PAD;
                let h_re = Lanes::load(simd, h, row);
                let h_im = Lanes::load(simd, h, row + PAD);
                a_re = value.fma(h_re, a_re);
                a_im = value.fma(h_im, a_im);
                b_re = dz.fma(h_re, b_re);
                b_im = dz.fma(h_im, b_im);
            }
        }
        // d/dx (x + iy)^m = m (x + iy)^(m-1), d/dy = i d/dx.
        let factor = Lanes::splat(simd, m as f64);
        let (a_re, a_im) = (a_re * factor, a_im * factor);
        v[0] = a_re.fma(re_before, a_im.fma(im_before, v[0]));
        v[1] = (a_im.fma(re_before, v[1])).sub_product(a_re, im_before);
        v[2] = b_re.fma(re, b_im.fma(im, v[2]));
        (re_before, im_before) = (re, im);
        (re, im) = ((re * x).sub_product(im, y), (re * y).add_product(im, x));
    }
    v
}
