//! The cutoff function as a polynomial.

use super::vector::Vector;
use std::f64::consts::PI;

/// 1/(2n+1)! with alternating sign: the sine to rounding on [0, π/2].
const SINE: [f64; 11] = alternating(1);
/// 1/(2n)! with alternating sign: the cosine to rounding on [0, π/2].
const COSINE: [f64; 12] = alternating(0);
/// Terms that are enough in single precision: the next is below 1e-8.
const SINGLE: usize = 7;

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
fn horner<V: Vector>(simd: V::Simd, table: &[f64], x: V) -> V {
    let terms = if size_of::<V::Real>() == 4 {
        SINGLE
    } else {
        table.len()
    };
    let mut value = V::constant(simd, table[terms - 1]);
    for &c in table[..terms - 1].iter().rev() {
        value = value.fma(x, V::constant(simd, c));
    }
    value
}

/// f_c of w = 1 - r/r_c in [0, 1], and f_c' r_c if `slope`.
///
/// f_c = (1 + cos(π r/r_c))/2 = sin²(π w/2), exactly zero at the cutoff.
#[inline(always)]
pub(super) fn cutoff<V: Vector>(simd: V::Simd, w: V, slope: bool) -> (V, V) {
    let angle = w * V::constant(simd, 0.5 * PI);
    let square = angle * angle;
    let sine = angle * horner(simd, &SINE, square);
    let dfc = if slope {
        sine * horner(simd, &COSINE, square) * V::constant(simd, -PI)
    } else {
        sine
    };
    (sine * sine, dfc)
}

/// w = 1 - t and the argument 2 w² - 1 of the Chebyshev polynomials, for t = r/r_c up to 1; farther
/// neighbours count as at the cutoff.
///
/// From t and not from w: a near neighbour's small t has more digits.
#[inline(always)]
pub(super) fn arguments<V: Vector>(simd: V::Simd, r: V, inverse_rc: V) -> (V, V) {
    let one = V::constant(simd, 1.0);
    let t = (r * inverse_rc).min(one);
    (one - t, t.fma(t + t - V::constant(simd, 4.0), one))
}
