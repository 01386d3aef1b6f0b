//! Meshes for sums over wave vectors, and the bell that carries atoms to their points and back, with a bounded error.
//!
//! **Source**: the Kaiser–Bessel function with the shape of Beatty et al., IEEE Trans. Med. Imaging 24,
//! 799 (2005), Eq. 5; its values come from polynomials in the place of the atom between two points.

use super::long_range::reach;
use crate::error::{Error, Result};
use crate::system::Cell;
use crate::system::cell::norm;
use std::f64::consts::PI;

/// The widest bell, in points.
pub const WIDEST: usize = 16;
const NARROWEST: usize = 3;
/// Errors that can be asked for.
const ERRORS: std::ops::RangeInclusive<f64> = 1e-11..=1e-2;

/// How fine a mesh is, and how wide its bells are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fineness {
    /// Points of the mesh per wave length of the shortest wave, over two.
    pub oversampling: f64,
    /// Points that a bell covers along each direction.
    pub width: usize,
}

impl Fineness {
    /// Oversamplings, and the bounds of errors of forces that were measured with cells of all shapes:
    /// charges and dispersion stay below `first / second^width`.
    const MEASURED: [(f64, f64, f64); 3] = [(1.1, 5.0, 4.0), (1.25, 60.0, 5.5), (1.5, 110.0, 7.2)];

    /// The cheapest mesh whose error is below a part of what is summed, and its cost in ns: `points` as
    /// without oversampling.
    pub fn cheapest(error: f64, points: f64, atoms: f64) -> (Self, f64) {
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
const LANES: usize = 4;
/// Nanoseconds that a point of the mesh and a point of a bell take, measured.
const POINT: f64 = 14.0;
const TAP: f64 = 0.3;

/// A mesh for the waves of a cell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grid {
    /// Points along each vector of the cell: without prime factors above 7, even along the third.
    pub size: [usize; 3],
    /// The largest multiples of the reciprocal vectors.
    pub most: [usize; 3],
    /// How its points are used.
    pub fineness: Fineness,
}

impl Grid {
    /// The largest multiples of the reciprocal vectors, the cheapest fineness, and what it costs a thread, ns.
    fn cheapest(cell: &Cell, alpha: f64, error: f64, atoms: f64) -> ([usize; 3], Fineness, f64) {
        let most = cell.vectors().map(|a| (alpha * norm(a)).floor() as usize);
        let points = most.iter().map(|&most| (2 * most + 1) as f64).product();
        let (fineness, cost) = Fineness::cheapest(error, points, atoms);
        (most, fineness, cost)
    }

    /// Whether a mesh is faster than the sum term by term.
    pub fn pays(cell: &Cell, alpha: f64, error: f64, atoms: f64) -> bool {
        let waves = reach(alpha).powi(3) * cell.volume() / (24.0 * PI * PI);
        // Nanoseconds a term.
        1.5 * atoms * waves > Self::cheapest(cell, alpha, error, atoms).2
    }

    /// The cheapest mesh whose error in forces is below a part of them.
    ///
    /// **Errors**: [`Error::InvalidArgument`] for an error that no mesh keeps to, and for too many points.
    pub fn new(cell: &Cell, alpha: f64, error: f64, atoms: f64) -> Result<Self> {
        if !ERRORS.contains(&error) {
            return Err(Error::invalid(format!(
                "the error of the mesh is {error}; expected a part of the forces from {:e} to {:e}, or the plain sum",
                ERRORS.start(),
                ERRORS.end()
            )));
        }
        let (most, fineness, _) = Self::cheapest(cell, alpha, error, atoms);
        let least = |d: usize| (fineness.oversampling * (2 * most[d] + 1) as f64).ceil() as usize;
        // Transforms of real rows are fast where these are even.
        let size = [
            smooth(least(0)),
            smooth(least(1)),
            2 * smooth(least(2).div_ceil(2)),
        ];
        let points = (size.iter()).try_fold(1usize, |n, &m| n.checked_mul(m));
        if points.is_none_or(|n| n >= 1 << 33) {
            return Err(Error::invalid(format!(
                "the cell {:?} calls for a mesh of {size:?} points; is it flat, or in other units than Å?",
                cell.vectors()
            )));
        }
        Ok(Self {
            size,
            most,
            fineness,
        })
    }
}

/// The next number without prime factors above 7, for which transforms are fast.
fn smooth(n: usize) -> usize {
    let is_smooth = |&n: &usize| {
        let rest = [2, 3, 5, 7].iter().fold(n, |mut n, p| {
            while n % p == 0 {
                n /= p;
            }
            n
        });
        rest == 1
    };
    (n.max(2)..).find(is_smooth).unwrap_or(n)
}

/// The bell of a fineness.
#[derive(Clone, Copy, Debug)]
pub struct Bell {
    /// Points that it covers.
    pub width: usize,
    shape: f64,
}

impl Bell {
    /// The bell of a fineness.
    pub fn new(fineness: Fineness) -> Self {
        let (width, w) = (fineness.width, fineness.width as f64);
        // The shortest waves weigh little: a steeper bell than theirs, whose ends are lower, has smaller
        // errors in all. Measured, as the bounds are.
        let steeper = (0.62 - 0.08 * (w - 7.0)).max(0.1);
        let shape = w * (PI * (1.0 - 0.5 / fineness.oversampling) + steeper).min(2.5);
        Self { width, shape }
    }

    /// Its value at a distance in points; 0 beyond its ends.
    #[cfg(test)]
    pub(crate) fn at(&self, x: f64) -> f64 {
        let z = 2.0 * x / self.width as f64;
        bessel(self.shape * (1.0 - z * z).max(0.0).sqrt()) / bessel(self.shape)
    }

    /// What is left at its ends, which sets the error of a mesh.
    #[cfg(test)]
    pub(crate) fn end(&self) -> f64 {
        1.0 / bessel(self.shape)
    }

    /// Coefficients of the polynomials in -1..1 of the value at each of its points, highest power first, zero beyond
    /// the width. Shape `[powers][WIDEST]`. For an atom at `u`, in points, the first of the points is
    /// ⌈u − width/2⌉, and the variable is twice its distance from u − width/2, less 1.
    pub fn coefficients(&self) -> Vec<[f64; WIDEST]> {
        let w = self.width as f64;
        let value = |j: usize, t: f64| {
            let z = 2.0 * (0.5 * (t + 1.0) + j as f64) / w - 1.0;
            bessel(self.shape * (1.0 - z * z).max(0.0).sqrt()) / bessel(self.shape)
        };
        // The step at the ends, 1 over the Bessel function, sets the error of a mesh.
        let powers = self.width + 6;
        let mut coefficients = vec![[0.0; WIDEST]; powers];
        for j in 0..self.width {
            for (power, c) in polynomial(powers, |t| value(j, t)).into_iter().enumerate() {
                coefficients[powers - 1 - power][j] = c;
            }
        }
        coefficients
    }

    /// The Fourier transform for a wave with so many turns per point.
    pub fn transform(&self, turns: f64) -> f64 {
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
pub fn polynomial(n: usize, value: impl Fn(f64) -> f64) -> Vec<f64> {
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
