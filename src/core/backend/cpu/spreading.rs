//! A bell that carries atoms to the points of a mesh and back, with a bounded error.
//!
//! **Source**: the Kaiser–Bessel function with the shape of Beatty et al., IEEE Trans. Med. Imaging 24,
//! 799 (2005), Eq. 5; its values come from polynomials in the place of the atom between two points.

use super::vector::{Real, Vector};
use std::f64::consts::PI;
use std::ops::AddAssign;

/// The widest bell, in points.
pub(super) const WIDEST: usize = 16;
const NARROWEST: usize = 3;

/// Numbers on a mesh.
pub(super) trait Number: Real + rustfft::FftNum + AddAssign {}

impl Number for f64 {}
impl Number for f32 {}

/// How fine a mesh is, and how wide its bells are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Fineness {
    /// Points of the mesh per wave length of the shortest wave, over two.
    pub(super) oversampling: f64,
    pub(super) width: usize,
}

impl Fineness {
    /// Oversamplings, and the bounds of errors of forces that were measured with cells of all shapes:
    /// charges and dispersion stay below `first / second^width`.
    const MEASURED: [(f64, f64, f64); 3] = [(1.1, 5.0, 4.0), (1.25, 60.0, 5.5), (1.5, 110.0, 7.2)];

    /// The cheapest mesh whose error is below a part of what is summed, and its cost in ns: `points` as
    /// without oversampling.
    pub(super) fn cheapest(error: f64, points: f64, atoms: f64) -> (Self, f64) {
        let all = Self::MEASURED.map(|(oversampling, first, base)| {
            let width = ((first / error).ln() / base.ln()).ceil() as usize;
            let width = width.max(NARROWEST);
            let fineness = Self {
                oversampling,
                width: width.min(WIDEST),
            };
            let taps = width.pow(2) * width.next_multiple_of(LANES);
            let cost = POINT * points * oversampling.powi(3) + TAP * atoms * taps as f64;
            (fineness, if width > WIDEST { f64::INFINITY } else { cost })
        });
        // The last one holds all errors that can be asked for.
        let [first, second, third] = all;
        let cheaper = |a: (Self, f64), b: (Self, f64)| if a.1 < b.1 { a } else { b };
        cheaper(first, cheaper(second, third))
    }
}

/// Bells are filled up to a multiple of so many points.
pub(super) const LANES: usize = 4;
/// Nanoseconds that a point of the mesh and a point of a bell take, measured.
const POINT: f64 = 14.0;
const TAP: f64 = 0.3;

/// The numbers of some vectors, one after another. Loops over vectors have no closures: those of the standard
/// library's functions are not compiled for the instruction set.
#[inline(always)]
pub(super) fn flat<V: Vector, const K: usize>(vectors: [V; K]) -> [V::Real; WIDEST] {
    let mut out = [V::Real::default(); WIDEST];
    let raw = V::rows_mut(&mut out);
    for j in 0..K {
        vectors[j].put(&mut raw[j]);
    }
    out
}

/// The bell of a width: value and slope at each of its points.
#[derive(Debug)]
pub(super) struct Bell<R> {
    pub(super) width: usize,
    shape: f64,
    /// Coefficients of the polynomials in -1..1, highest power first. Shape `[powers][width]`.
    coefficients: Vec<[R; WIDEST]>,
}

impl<R: Number> Bell<R> {
    pub(super) fn new(fineness: Fineness) -> Self {
        let (width, w) = (fineness.width, fineness.width as f64);
        // The shortest waves weigh little: a steeper bell than theirs, whose ends are lower, has smaller
        // errors in all. Measured, as the bounds are.
        let steeper = (0.62 - 0.08 * (w - 7.0)).max(0.1);
        let shape = w * (PI * (1.0 - 0.5 / fineness.oversampling) + steeper).min(2.5);
        let value = |j: usize, t: f64| {
            let z = 2.0 * (0.5 * (t + 1.0) + j as f64) / w - 1.0;
            bessel(shape * (1.0 - z * z).max(0.0).sqrt()) / bessel(shape)
        };
        // The step at the ends, 1 over the Bessel function, sets the error of a mesh.
        let powers = width + 6;
        let mut coefficients = vec![[R::default(); WIDEST]; powers];
        for j in 0..width {
            for (power, c) in polynomial(powers, |t| value(j, t)).into_iter().enumerate() {
                coefficients[powers - 1 - power][j] = R::of(c);
            }
        }
        Self {
            width,
            shape,
            coefficients,
        }
    }

    /// The first point (which may be outside the mesh) of an atom at `u`, in points.
    #[inline(always)]
    pub(super) fn low(&self, u: f64) -> f64 {
        (u - 0.5 * self.width as f64).ceil()
    }

    /// The first point of an atom at `u`; value and slope at this and the following ones, in `K` vectors, zero
    /// beyond the width.
    #[inline(always)]
    pub(super) fn at<V: Vector<Real = R>, const K: usize>(
        &self,
        simd: V::Simd,
        u: f64,
    ) -> (i64, [[V; K]; 2]) {
        let low = self.low(u);
        let t = V::constant(simd, 2.0 * (low - u + 0.5 * self.width as f64) - 1.0);
        let zero = V::constant(simd, 0.0);
        let (mut value, mut slope) = ([zero; K], [zero; K]);
        for row in &self.coefficients {
            let row = V::rows(row);
            for j in 0..K {
                slope[j] = slope[j].fma(t, value[j]);
                value[j] = value[j].fma(t, V::get(simd, &row[j]));
            }
        }
        // The point moves against the atom, and t by 2 a point.
        let two = V::constant(simd, -2.0);
        for j in 0..K {
            slope[j] = slope[j] * two;
        }
        (low as i64, [value, slope])
    }

    /// The Fourier transform for a wave with so many turns per point.
    pub(super) fn transform(&self, turns: f64) -> f64 {
        let argument = self.shape.powi(2) - (PI * self.width as f64 * turns).powi(2);
        let root = argument.abs().sqrt();
        let sine = if argument > 0.0 {
            root.sinh()
        } else {
            root.sin()
        };
        self.width as f64 / bessel(self.shape) * if root > 1e-8 { sine / root } else { 1.0 }
    }
}

/// The modified Bessel function I₀.
fn bessel(x: f64) -> f64 {
    let square = 0.25 * x * x;
    let (mut sum, mut term) = (1.0, 1.0);
    for k in 1..200 {
        term *= square / f64::from(k * k);
        sum += term;
        if term < 1e-17 * sum {
            break;
        }
    }
    sum
}

/// Coefficients, lowest power first, of the polynomial through a function's values at Chebyshev nodes.
pub(super) fn polynomial(n: usize, value: impl Fn(f64) -> f64) -> Vec<f64> {
    let angle = |i: usize| PI * (i as f64 + 0.5) / n as f64;
    let values: Vec<f64> = (0..n).map(|i| value(angle(i).cos())).collect();
    let (mut out, mut before, mut now) = (vec![0.0; n], vec![0.0; n], vec![0.0; n]);
    now[0] = 1.0;
    for k in 0..n {
        let sum: f64 = (0..n)
            .map(|i| values[i] * (k as f64 * angle(i)).cos())
            .sum();
        let c = if k == 0 { 1.0 } else { 2.0 } / n as f64 * sum;
        out.iter_mut().zip(&now).for_each(|(out, t)| *out += c * t);
        let mut next = vec![0.0; n];
        for i in 0..n {
            let shifted = if i > 0 { now[i - 1] } else { 0.0 };
            next[i] = if k == 0 { shifted } else { 2.0 * shifted } - before[i];
        }
        before = std::mem::replace(&mut now, next);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polynomials_are_the_bell_and_its_transform_its_integral() {
        for width in [4, 9, WIDEST] {
            let oversampling = 1.5;
            let bell = Bell::<f64>::new(Fineness {
                oversampling,
                width,
            });
            let exact = |x: f64| {
                let z = 2.0 * x / width as f64;
                bessel(bell.shape * (1.0 - z * z).max(0.0).sqrt()) / bessel(bell.shape)
            };
            for u in [-3.3, 0.0, 0.49999, 7.2501] {
                type One = <f64 as Real>::Vector<pulp::Scalar>;
                let (low, found) = bell.at::<One, WIDEST>(pulp::Scalar, u);
                let [value, slope] = found.map(flat);
                for j in 0..width {
                    let x = (low + j as i64) as f64 - u;
                    assert!(x.abs() <= 0.5 * width as f64 + 1e-12);
                    // Small against the step at the ends, which sets the error of a mesh.
                    let close = 1e-2 / bessel(bell.shape) + 1e-14;
                    let apart = (value[j] - exact(x)).abs();
                    assert!(apart < close, "{width} {u} {j}: {apart:e} {close:e}");
                    let numeric = (exact(x - 1e-5) - exact(x + 1e-5)) / 2e-5;
                    if x.abs() < 0.5 * width as f64 - 1e-4 {
                        assert!(
                            (slope[j] - numeric).abs() < 1e-6 + 100.0 * close,
                            "{width} {u} {j}"
                        );
                    }
                }
            }
            let n = 20_000;
            let step = width as f64 / n as f64;
            for turns in [0.0, 0.2, 1.0 / 3.0] {
                let integral: f64 = (0..n)
                    .map(|i| (i as f64 + 0.5) * step - 0.5 * width as f64)
                    .map(|x| exact(x) * (2.0 * PI * turns * x).cos() * step)
                    .sum();
                let found = bell.transform(turns);
                assert!((found - integral).abs() < 1e-8, "{found} {integral}");
            }
        }
    }
}
