//! The network of a group of centres: weights are scalars, centres fill the vectors.

use super::plan::{Network, TILE, tiled};
use super::scratch::Scratch;
use super::vector::{Real, Vector};

/// Fills the hidden neurons from `scratch.q`.
#[inline(always)]
pub(super) fn hidden<V: Vector>(
    simd: V::Simd,
    net: &Network<V::Real>,
    dim: usize,
    scratch: &mut Scratch<V::Real>,
) {
    let n1 = tiled(net.n1);
    let q = &V::rows(&scratch.q)[..dim];
    let out = &mut V::rows_mut(&mut scratch.hidden)[..n1];
    let mut at = 0;
    while at < n1 {
        at += if n1 - at >= 2 * TILE {
            product::<V, { 2 * TILE }>(simd, q, &net.by_q, Some(&net.b0), at, out)
        } else {
            product::<V, TILE>(simd, q, &net.by_q, Some(&net.b0), at, out)
        };
    }
    let hidden = &mut scratch.hidden[..n1 * V::N];
    // Machines with vectors have it; without, it would be a call.
    if V::N > 1 {
        V::Real::tanh_all::<true>(hidden);
    } else {
        V::Real::tanh_all::<false>(hidden);
    }
}

/// `out = Σ_d x_d table_d - shift` for `M` columns from `at` on; returns `M`.
#[inline(always)]
fn product<V: Vector, const M: usize>(
    simd: V::Simd,
    x: &[V::Raw],
    table: &[V::Real],
    shift: Option<&[V::Real]>,
    at: usize,
    out: &mut [V::Raw],
) -> usize {
    let zero = V::constant(simd, 0.0);
    let mut sum = [zero; M];
    if let Some(shift) = shift {
        let shift = &shift[at..][..M];
        for i in 0..M {
            sum[i] = zero - V::splat(simd, shift[i]);
        }
    }
    for (x, row) in x.iter().zip(table.chunks_exact(out.len())) {
        let x = V::get(simd, x);
        let row = &row[at..][..M];
        for i in 0..M {
            sum[i] = x.fma(V::splat(simd, row[i]), sum[i]);
        }
    }
    let out = &mut out[at..][..M];
    for i in 0..M {
        sum[i].put(&mut out[i]);
    }
    M
}

/// What a head makes of the hidden neurons of each lane.
#[inline(always)]
pub(super) fn output<V: Vector>(
    weights: &[V::Real],
    bias: f64,
    n1: usize,
    scratch: &Scratch<V::Real>,
    out: &mut [f64],
) {
    out.fill(-bias);
    let hidden = scratch.hidden.chunks_exact(V::N);
    for (row, w) in hidden.zip(&weights[..n1]) {
        for (out, x) in out.iter_mut().zip(row) {
            *out += x.wide() * w.wide();
        }
    }
}

/// w1 (1 - tanh²) of the neurons, to `scratch.slope`.
#[inline(always)]
pub(super) fn slopes<V: Vector>(
    simd: V::Simd,
    net: &Network<V::Real>,
    scratch: &mut Scratch<V::Real>,
) {
    let one = V::constant(simd, 1.0);
    let slopes = V::rows_mut(&mut scratch.slope);
    for ((x, &w), out) in V::rows(&scratch.hidden).iter().zip(&net.w1).zip(slopes) {
        let x = V::get(simd, x);
        (V::splat(simd, w) * one.sub_product(x, x)).put(out);
    }
}

/// The same for the sum of all heads, each times a number of each lane. **Shapes**: `factors`
/// `[3][lane]`, the first for the energy.
#[inline(always)]
pub(super) fn slopes_of_heads<V: Vector>(
    simd: V::Simd,
    net: &Network<V::Real>,
    factors: &[V::Real],
    scratch: &mut Scratch<V::Real>,
) {
    let one = V::constant(simd, 1.0);
    let factors = V::rows(factors);
    let slopes = V::rows_mut(&mut scratch.slope);
    let hidden = V::rows(&scratch.hidden).iter();
    for (mu, (x, out)) in hidden.zip(slopes).enumerate().take(net.n1) {
        let mut w = V::splat(simd, net.w1[mu]) * V::get(simd, &factors[0]);
        for (head, factor) in net.heads.iter().zip(&factors[1..]) {
            w = V::splat(simd, head[mu]).fma(V::get(simd, factor), w);
        }
        let x = V::get(simd, x);
        (w * one.sub_product(x, x)).put(out);
    }
}

/// dU/dq of the descriptor without scale to `scratch.fp`; needs [`slopes`].
#[inline(always)]
pub(super) fn gradient<V: Vector>(
    simd: V::Simd,
    net: &Network<V::Real>,
    dim: usize,
    scratch: &mut Scratch<V::Real>,
) {
    let slope = &V::rows(&scratch.slope)[..net.n1];
    let dim = tiled(dim);
    let out = &mut V::rows_mut(&mut scratch.fp)[..dim];
    let mut at = 0;
    while at < dim {
        at += if dim - at >= 2 * TILE {
            product::<V, { 2 * TILE }>(simd, slope, &net.by_neuron, None, at, out)
        } else {
            product::<V, TILE>(simd, slope, &net.by_neuron, None, at, out)
        };
    }
}
