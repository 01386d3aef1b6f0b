//! The invariants of the angular sums, and the way back.

use super::plan::Plan;
use super::scratch::Scratch;
use super::vector::Vector;
use crate::nep::invariants::{C1111, Term, weight};

/// Writes the invariants of `scratch.sums` behind the radial descriptors in `scratch.q`.
#[inline(always)]
pub(super) fn values<V: Vector>(
    simd: V::Simd,
    plan: &Plan<V::Real>,
    scratch: &mut Scratch<V::Real>,
) {
    let (n, rows) = (plan.n[1], plan.lm_rows);
    let sums = &V::rows(&scratch.sums)[..n * rows];
    let q = &mut V::rows_mut(&mut scratch.q)[plan.n[0]..plan.dim];
    for (row, sums) in sums.chunks_exact(rows).enumerate() {
        let s = |index: usize| V::get(simd, &sums[index]);
        for (block, term) in plan.invariants.terms().iter().enumerate() {
            let mut sum = V::constant(simd, 0.0);
            match *term {
                Term::Square(l) => {
                    for index in l * l - 1..l * (l + 2) {
                        let s = s(index);
                        sum = (s * s).fma(V::constant(simd, weight(l, index)), sum);
                    }
                }
                Term::Cubic(monomials) => {
                    for &(c, [i, j, k]) in monomials {
                        sum = (s(i) * s(j)).fma(s(k) * V::constant(simd, c), sum);
                    }
                }
                Term::Fourth => {
                    let square = s(0).fma(s(0), s(1).fma(s(1), s(2) * s(2)));
                    sum = square * square * V::constant(simd, C1111);
                }
            }
            sum.put(&mut q[block * n + row]);
        }
    }
}

/// Writes dU/ds to `scratch.gradient`, given dU/dq (unscaled) in `scratch.fp`.
#[inline(always)]
pub(super) fn gradients<V: Vector>(
    simd: V::Simd,
    plan: &Plan<V::Real>,
    scratch: &mut Scratch<V::Real>,
) {
    let (n, rows) = (plan.n[1], plan.lm_rows);
    scratch.gradient[..n * rows * V::N].fill(V::Real::default());
    let sums = &V::rows(&scratch.sums)[..n * rows];
    let gradients = &mut V::rows_mut(&mut scratch.gradient)[..n * rows];
    let fp = &V::rows(&scratch.fp)[plan.n[0]..plan.dim];
    let blocks = sums
        .chunks_exact(rows)
        .zip(gradients.chunks_exact_mut(rows));
    for (row, (sums, out)) in blocks.enumerate() {
        let s = |index: usize| V::get(simd, &sums[index]);
        for (block, term) in plan.invariants.terms().iter().enumerate() {
            let factor = V::get(simd, &fp[block * n + row]);
            match *term {
                Term::Square(l) => {
                    for index in l * l - 1..l * (l + 2) {
                        let weight = V::constant(simd, 2.0 * weight(l, index));
                        add(simd, &mut out[index], factor * weight, s(index));
                    }
                }
                Term::Cubic(monomials) => {
                    for &(c, [i, j, k]) in monomials {
                        let f = factor * V::constant(simd, c);
                        let (fi, fj) = (f * s(i), f * s(j));
                        add(simd, &mut out[i], fj, s(k));
                        add(simd, &mut out[j], fi, s(k));
                        add(simd, &mut out[k], fi, s(j));
                    }
                }
                Term::Fourth => {
                    let square = s(0).fma(s(0), s(1).fma(s(1), s(2) * s(2)));
                    let f = factor * square * V::constant(simd, 4.0 * C1111);
                    for index in 0..3 {
                        add(simd, &mut out[index], f, s(index));
                    }
                }
            }
        }
    }
}

#[inline(always)]
fn add<V: Vector>(simd: V::Simd, place: &mut V::Raw, a: V, b: V) {
    a.fma(b, V::get(simd, place)).put(place);
}
