//! A bell that carries atoms to the points of a mesh and back, in vectors.

use super::vector::{Real, Vector};
pub(super) use crate::nep::bell::WIDEST;
use crate::nep::bell::{self, Fineness};
use std::ops::AddAssign;

/// Numbers on a mesh.
pub(super) trait Number: Real + rustfft::FftNum + AddAssign {}

impl Number for f64 {}
impl Number for f32 {}

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
    pub(super) shape: bell::Bell,
    /// As [`bell::Bell::coefficients`].
    coefficients: Vec<[R; WIDEST]>,
}

impl<R: Number> Bell<R> {
    pub(super) fn new(fineness: Fineness) -> Self {
        let shape = bell::Bell::new(fineness);
        let rows = shape.coefficients().into_iter();
        Self {
            width: shape.width,
            shape,
            coefficients: rows.map(|row| row.map(R::of)).collect(),
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::PI;

    #[test]
    fn polynomials_are_the_bell_and_its_transform_its_integral() {
        for width in [4, 9, WIDEST] {
            let oversampling = 1.5;
            let bell = Bell::<f64>::new(Fineness {
                oversampling,
                width,
            });
            let exact = |x: f64| bell.shape.at(x);
            for u in [-3.3, 0.0, 0.49999, 7.2501] {
                type One = <f64 as Real>::Vector<pulp::Scalar>;
                let (low, found) = bell.at::<One, WIDEST>(pulp::Scalar, u);
                let [value, slope] = found.map(flat);
                for j in 0..width {
                    let x = (low + j as i64) as f64 - u;
                    assert!(x.abs() <= 0.5 * width as f64 + 1e-12);
                    // Small against the step at the ends, which sets the error of a mesh.
                    let close = 1e-2 * bell.shape.end() + 1e-14;
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
                let found = bell.shape.transform(turns);
                assert!((found - integral).abs() < 1e-8, "{found} {integral}");
            }
        }
    }
}
