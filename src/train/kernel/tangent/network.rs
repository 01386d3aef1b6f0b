//! The dual pass through a network, and the products that gradients of coefficients are.

use super::Head;
use crate::kernel::chunk::{Row, Shape};
use crate::kernel::forward::{contract, rows_times};
use crate::kernel::lanes::{Lanes, Load};
use crate::kernel::{NetworkGradient, Scratch, by_tile};
use nepal::model::Network;
use nepal::nep::scalar::Scalar;

/// Dual pass through a network: gradients of its parameters, and dS/dx in `scratch.qbar`.
#[inline(always)]
pub(super) fn network<const F: bool>(
    shape: &Shape,
    net: &Network<'_>,
    (x, dx, [t1, t2]): (&[Lanes<F>], &[Lanes<F>], &[Vec<Lanes<F>>; 2]),
    heads: [Head<F>; 3],
    scratch: &mut Scratch<F>,
    acc: &mut NetworkGradient<F>,
) {
    let [n1, n2] = shape.neurons;
    let dim = shape.dim;
    let one = Lanes::splat(1.0);
    let Head { rate, along } = heads[0];
    let du = &mut scratch.du[..n1];
    by_tile!(n1, first, W => rows_times::<F, W>(net.w0, first, dx, du));
    acc.bias = acc.bias - rate;
    // dS/d(first layer) and dS/d(its rate).
    let (value, slope) = (&mut scratch.a[..n1], &mut scratch.b[..n1]);
    if n2 == 0 {
        for mu in 0..n1 {
            let t = t1[mu];
            let dt = (one - t * t) * du[mu];
            (value[mu], slope[mu]) = (Lanes::ZERO, Lanes::ZERO);
            let outputs = [net.w1, net.charge, net.dispersion].into_iter().zip(&heads);
            for (o, (weights, head)) in outputs.take(shape.outputs).enumerate() {
                let own = &mut acc.w1[o * n1 + mu];
                *own = own.add_product(head.rate, t).add_product(head.along, dt);
                value[mu] = value[mu].add_scaled(head.rate, weights[mu]);
                slope[mu] = slope[mu].add_scaled(head.along, weights[mu]);
            }
        }
    } else {
        let dt1 = &mut scratch.dt[..n1];
        for mu in 0..n1 {
            dt1[mu] = (one - t1[mu] * t1[mu]) * du[mu];
        }
        let du2 = &mut scratch.du2[..n2];
        by_tile!(n2, first, W => rows_times::<F, W>(net.w1, first, dt1, du2));
        let (alpha, beta) = scratch.second.split_at_mut(n2);
        for nu in 0..n2 {
            let t = t2[nu];
            let tt = one - t * t;
            let dt = along * du2[nu];
            acc.w2[nu] = acc.w2[nu].add_product(rate, t).add_product(tt, dt);
            beta[nu] = tt.scale(net.w2[nu]);
            alpha[nu] = beta[nu] * (rate - (t * dt).scale(2.0));
            beta[nu] = beta[nu] * along;
            acc.b1[nu] = acc.b1[nu] - alpha[nu];
            for mu in 0..n1 {
                let at = nu * n1 + mu;
                acc.w1[at] = acc.w1[at]
                    .add_product(alpha[nu], t1[mu])
                    .add_product(beta[nu], dt1[mu]);
            }
        }
        by_tile!(n1, first, W => contract::<F, W, Lanes<F>>(net.w1, n1, first, alpha, 1, value));
        by_tile!(n1, first, W => contract::<F, W, Lanes<F>>(net.w1, n1, first, beta, 1, slope));
    }
    for mu in 0..n1 {
        let t = t1[mu];
        let beta = slope[mu] * (one - t * t);
        let alpha = (value[mu] * (one - t * t)).add_product(beta, (t * du[mu]).scale(-2.0));
        acc.b0[mu] = acc.b0[mu] - alpha;
        value[mu] = alpha;
        slope[mu] = beta;
        let row = &mut acc.w0[mu * dim..][..dim];
        for ((w, &x), &dx) in row.iter_mut().zip(x).zip(dx) {
            *w = w.add_product(alpha, x).add_product(beta, dx);
        }
    }
    let qbar = &mut scratch.qbar[..dim];
    by_tile!(dim, first, W => contract::<F, W, Lanes<F>>(net.w0, dim, first, value, 1, qbar));
}

/// `acc[row][n] += Σ_column bar[n] sum[row] + d[n] rate[row]` for `W` values of n.
#[allow(clippy::too_many_arguments)]
#[inline(always)]
pub(super) fn outer<const F: bool, const W: usize>(
    n: usize,
    first: usize,
    width: usize,
    sums: &[Row],
    rates: &[Lanes<F>],
    bar: &[Lanes<F>],
    d: &[Lanes<F>],
    acc: &mut [Lanes<F>],
) {
    let bar = &bar[first * width..][..W * width];
    let d = &d[first * width..][..W * width];
    let rows = sums.chunks_exact(width).zip(rates.chunks_exact(width));
    for ((sums, rates), acc) in rows.zip(acc.chunks_exact_mut(n)) {
        let mut sum = [Lanes::ZERO; W];
        for column in 0..width {
            let (value, rate): (Lanes<F>, Lanes<F>) = (sums[column].load(), rates[column]);
            for w in 0..W {
                sum[w] = sum[w]
                    .add_product(bar[w * width + column], value)
                    .add_product(d[w * width + column], rate);
            }
        }
        for w in 0..W {
            acc[first + w] += sum[w];
        }
    }
}
