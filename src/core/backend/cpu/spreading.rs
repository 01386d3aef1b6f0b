//! A bell that carries atoms to the points of a mesh and back, with a bounded error.
//!
//! **Source**: the Kaiser–Bessel function with the shape of Beatty et al., IEEE Trans. Med. Imaging 24,
//! 799 (2005), Eq. 5; its values come from polynomials in the place of the atom between two points.

use std::f64::consts::PI;

/// Points of the mesh per wave length of the shortest wave, over two.
pub(super) const OVERSAMPLING: f64 = 1.5;
/// The widest bell, in points.
pub(super) const WIDEST: usize = 17;
const NARROWEST: usize = 3;

/// The bell of a width: value and slope at each of its points.
#[derive(Debug)]
pub(super) struct Bell {
    pub(super) width: usize,
    shape: f64,
    /// Coefficients of the polynomials in -1..1, highest power first. Shape `[powers][width]`.
    coefficients: Vec<[f64; WIDEST]>,
}

impl Bell {
    /// The width whose error is below a part of what is summed.
    pub(super) fn width_for(error: f64) -> usize {
        // Measured: forces of cells of all shapes are within 350 / 7.2^width.
        let width = ((500.0 / error).ln() / 7.2f64.ln()).ceil() as usize;
        width.clamp(NARROWEST, WIDEST)
    }

    pub(super) fn new(width: usize) -> Self {
        let w = width as f64;
        let shape = PI * ((w / OVERSAMPLING * (OVERSAMPLING - 0.5)).powi(2) - 0.8).sqrt();
        let powers = width + 7;
        let mut coefficients = vec![[0.0; WIDEST]; powers];
        for j in 0..width {
            let value = |t: f64| {
                let z = 2.0 * (0.5 * (t + 1.0) + j as f64) / w - 1.0;
                bessel(shape * (1.0 - z * z).max(0.0).sqrt()) / bessel(shape)
            };
            for (power, c) in polynomial(powers, value).into_iter().enumerate() {
                coefficients[powers - 1 - power][j] = c;
            }
        }
        Self {
            width,
            shape,
            coefficients,
        }
    }

    /// The first point (which may be outside the mesh) of an atom at `u`, in points; value and slope
    /// at this and the following ones.
    #[inline(always)]
    pub(super) fn at(&self, u: f64) -> (i64, [f64; WIDEST], [f64; WIDEST]) {
        let low = (u - 0.5 * self.width as f64).ceil();
        let t = 2.0 * (low - u + 0.5 * self.width as f64) - 1.0;
        let (mut value, mut slope) = ([0.0; WIDEST], [0.0; WIDEST]);
        for row in &self.coefficients {
            for j in 0..WIDEST {
                slope[j] = slope[j] * t + value[j];
                value[j] = value[j] * t + row[j];
            }
        }
        // The point moves against the atom, and t by 2 a point.
        (low as i64, value, slope.map(|s| -2.0 * s))
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
fn polynomial(n: usize, value: impl Fn(f64) -> f64) -> Vec<f64> {
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
            let bell = Bell::new(width);
            let exact = |x: f64| {
                let z = 2.0 * x / width as f64;
                bessel(bell.shape * (1.0 - z * z).max(0.0).sqrt()) / bessel(bell.shape)
            };
            for u in [-3.3, 0.0, 0.49999, 7.2501] {
                let (low, value, slope) = bell.at(u);
                for j in 0..width {
                    let x = (low + j as i64) as f64 - u;
                    assert!(x.abs() <= 0.5 * width as f64 + 1e-12);
                    // Small against the step at the ends, which sets the error of a mesh.
                    let close = 1e-3 / bessel(bell.shape) + 1e-14;
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
