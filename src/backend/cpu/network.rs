//! The network of an atom: vectors over neurons, then over descriptors.

use super::lanes::Lanes;
use super::plan::Network;
use super::scratch::Scratch;
use pulp::Simd;

/// Fills the hidden neurons from `scratch.q`; returns the energy in eV.
#[inline(always)]
pub(super) fn energy<S: Simd>(simd: S, net: &Network, dim: usize, scratch: &mut Scratch) -> f64 {
    let width = Lanes::<S>::N;
    let q = &scratch.q[..dim];
    let mut at = 0;
    while at < net.n1_pad {
        let left = (net.n1_pad - at) / width;
        at += width
            * if left >= 8 {
                layer::<S, 8>(simd, net, q, at, &mut scratch.hidden)
            } else if left >= 4 {
                layer::<S, 4>(simd, net, q, at, &mut scratch.hidden)
            } else {
                layer::<S, 1>(simd, net, q, at, &mut scratch.hidden)
            };
    }
    for x in &mut scratch.hidden[..net.n1_pad] {
        *x = tanh(*x);
    }
    let mut energy = Lanes::splat(simd, 0.0);
    for at in (0..net.n1_pad).step_by(width) {
        let x = Lanes::load(simd, &scratch.hidden, at);
        energy = x.fma(Lanes::load(simd, &net.w1, at), energy);
    }
    energy.sum() - net.bias
}

/// `N` vectors of w0·q - b0; returns `N`.
#[inline(always)]
fn layer<S: Simd, const N: usize>(
    simd: S,
    net: &Network,
    q: &[f64],
    at: usize,
    out: &mut [f64],
) -> usize {
    let width = Lanes::<S>::N;
    let zero = Lanes::splat(simd, 0.0);
    let mut u = [zero; N];
    for (i, u) in u.iter_mut().enumerate() {
        *u = zero - Lanes::load(simd, &net.b0, at + i * width);
    }
    for (&q, row) in q.iter().zip(net.by_q.chunks_exact(net.n1_pad)) {
        let q = Lanes::splat(simd, q);
        let row = &row[at..at + N * width];
        for (i, u) in u.iter_mut().enumerate() {
            *u = Lanes::load(simd, row, i * width).fma(q, *u);
        }
    }
    for (i, u) in u.iter().enumerate() {
        u.store(out, at + i * width);
    }
    N
}

/// w1 (1 - tanh²) of the neurons, to `scratch.slope`.
#[inline(always)]
pub(super) fn slopes<S: Simd>(simd: S, net: &Network, scratch: &mut Scratch) {
    let one = Lanes::splat(simd, 1.0);
    for at in (0..net.n1_pad).step_by(Lanes::<S>::N) {
        let x = Lanes::load(simd, &scratch.hidden, at);
        let w1 = Lanes::load(simd, &net.w1, at);
        (w1 * one.sub_product(x, x)).store(&mut scratch.slope, at);
    }
}

/// dU/dq of the scaled descriptor to `scratch.fp`; needs [`slopes`].
#[inline(always)]
pub(super) fn gradient<S: Simd>(simd: S, net: &Network, scratch: &mut Scratch) {
    let width = Lanes::<S>::N;
    let slope = &scratch.slope[..net.n1];
    let mut at = 0;
    while at < net.dim_pad {
        let left = (net.dim_pad - at) / width;
        at += width
            * if left >= 8 {
                back::<S, 8>(simd, net, slope, at, &mut scratch.fp)
            } else if left >= 4 {
                back::<S, 4>(simd, net, slope, at, &mut scratch.fp)
            } else {
                back::<S, 1>(simd, net, slope, at, &mut scratch.fp)
            };
    }
}

/// `N` vectors of the gradient; returns `N`.
#[inline(always)]
fn back<S: Simd, const N: usize>(
    simd: S,
    net: &Network,
    slope: &[f64],
    at: usize,
    out: &mut [f64],
) -> usize {
    let width = Lanes::<S>::N;
    let mut sum = [Lanes::splat(simd, 0.0); N];
    for (&slope, row) in slope.iter().zip(net.by_neuron.chunks_exact(net.dim_pad)) {
        let slope = Lanes::splat(simd, slope);
        let row = &row[at..at + N * width];
        for (i, sum) in sum.iter_mut().enumerate() {
            *sum = Lanes::load(simd, row, i * width).fma(slope, *sum);
        }
    }
    for (i, sum) in sum.iter().enumerate() {
        sum.store(out, at + i * width);
    }
    N
}

/// 1/n!: the exponential less one to rounding within half a power of two.
const EXPONENTIAL: [f64; 13] = {
    let mut table = [1.0; 13];
    let mut n = 1;
    while n < 13 {
        table[n] = table[n - 1] / (n + 1) as f64;
        n += 1;
    }
    table
};

/// tanh without branches, so that a loop of it becomes vectors.
#[inline(always)]
fn tanh(x: f64) -> f64 {
    // Adding 1.5 2^52 rounds to an integer and leaves it in the last bits.
    const ROUND: f64 = 6755399441055744.0;
    // ln 2 in two parts, the first with zeros at its end: its multiples are exact.
    const LN2: [f64; 2] = [0.6931471803691238, 1.9082149292705877e-10];
    let y = (2.0 * x).clamp(-50.0, 50.0);
    let shifted = y * std::f64::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = y - n * LN2[0] - n * LN2[1];
    let mut p = EXPONENTIAL[12];
    for &c in EXPONENTIAL[..12].iter().rev() {
        p = p * r + c;
    }
    let power = f64::from_bits((shifted.to_bits() << 52).wrapping_add(1f64.to_bits()));
    // e^y - 1 without losing the digits of a small one.
    let e = power * (p * r) + (power - 1.0);
    e / (e + 2.0)
}

#[cfg(test)]
mod tests {
    use super::tanh;

    #[test]
    fn tanh_agrees_with_the_library() {
        for i in -40_000..=40_000 {
            let x = f64::from(i) * 1e-3 + 1e-7;
            assert!(
                (tanh(x) - x.tanh()).abs() <= 1e-15 * x.abs().min(1.0),
                "{x}"
            );
        }
        for x in [0.0, 1e-300, 1e-12, 20.0, 1e5, f64::MAX, f64::INFINITY] {
            assert!((tanh(x) - x.tanh()).abs() <= 1e-15 * x.tanh(), "{x}");
            assert!((tanh(-x) + x.tanh()).abs() <= 1e-15 * x.tanh(), "{x}");
        }
        assert!(tanh(f64::NAN).is_nan());
    }
}
