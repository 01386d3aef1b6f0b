//! The invariants of an atom, all radial functions at once.

use super::lanes::Lanes;
use super::plan::Plan;
use super::scratch::Scratch;
use crate::nep::invariants::{C1111, Term, weight};
use pulp::Simd;

/// Writes the invariants of `scratch.sums` to `scratch.blocks`.
#[inline(always)]
pub(super) fn values<S: Simd>(simd: S, plan: &Plan, scratch: &mut Scratch) {
    let n_pad = plan.n_pad[1];
    for at in (0..plan.n[1]).step_by(Lanes::<S>::N) {
        let s = |index: usize| Lanes::load(simd, &scratch.sums, index * n_pad + at);
        for (block, term) in plan.invariants.terms().iter().enumerate() {
            let mut sum = Lanes::splat(simd, 0.0);
            match *term {
                Term::Square(l) => {
                    for index in l * l - 1..l * (l + 2) {
                        let s = s(index);
                        sum = (s * s).fma(Lanes::splat(simd, weight(l, index)), sum);
                    }
                }
                Term::Cubic(monomials) => {
                    for &(c, [i, j, k]) in monomials {
                        sum = (s(i) * s(j)).fma(s(k) * Lanes::splat(simd, c), sum);
                    }
                }
                Term::Fourth => {
                    let square = s(0).fma(s(0), s(1).fma(s(1), s(2) * s(2)));
                    sum = square * square * Lanes::splat(simd, C1111);
                }
            }
            sum.store(&mut scratch.blocks, block * n_pad + at);
        }
    }
}

/// Writes dU/ds to `scratch.gradient`, given dU/d(invariant) in `scratch.blocks`.
#[inline(always)]
pub(super) fn gradients<S: Simd>(simd: S, plan: &Plan, scratch: &mut Scratch) {
    let n_pad = plan.n_pad[1];
    scratch.gradient[..plan.n_lm * n_pad].fill(0.0);
    for at in (0..plan.n[1]).step_by(Lanes::<S>::N) {
        let s = |index: usize| Lanes::load(simd, &scratch.sums, index * n_pad + at);
        let out = &mut scratch.gradient;
        let mut add = |index: usize, a: Lanes<S>, b: Lanes<S>| {
            let place = index * n_pad + at;
            a.fma(b, Lanes::load(simd, out, place)).store(out, place);
        };
        for (block, term) in plan.invariants.terms().iter().enumerate() {
            let factor = Lanes::load(simd, &scratch.blocks, block * n_pad + at);
            match *term {
                Term::Square(l) => {
                    for index in l * l - 1..l * (l + 2) {
                        let weight = Lanes::splat(simd, 2.0 * weight(l, index));
                        add(index, factor * weight, s(index));
                    }
                }
                Term::Cubic(monomials) => {
                    for &(c, [i, j, k]) in monomials {
                        let f = factor * Lanes::splat(simd, c);
                        let (fi, fj) = (f * s(i), f * s(j));
                        add(i, fj, s(k));
                        add(j, fi, s(k));
                        add(k, fi, s(j));
                    }
                }
                Term::Fourth => {
                    let square = s(0).fma(s(0), s(1).fma(s(1), s(2) * s(2)));
                    let f = factor * square * Lanes::splat(simd, 4.0 * C1111);
                    for index in 0..3 {
                        add(index, f, s(index));
                    }
                }
            }
        }
    }
}
