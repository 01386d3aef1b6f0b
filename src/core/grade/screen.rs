//! Which atoms are above a threshold, without exact grades of all: single precision first.
//!
//! One product in f32 gives the coefficients of an atom with a bound of their error, and the
//! residual as seen through random projections. Atoms that may be above the threshold are graded
//! in f64.

use super::calibrate::SplitMix;
use super::linalg::{dot, multiply, multiply_add, rows};
use super::two_part::{Size, TwoPartSet};
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

/// Random directions that a residual is projected on.
pub(super) const PROBES: usize = 64;

/// Estimated residuals from this fraction of the limit on are computed exactly. The squared ratio
/// of estimate and residual is χ²/64 with 64 degrees of freedom: it is below 1/4 with a probability
/// of 1.3e-10.
pub(super) const MARGIN: f64 = 0.5;

/// Features summed in f32 before they are added in f64: the error bound grows with it.
const CHUNK: usize = 176;

/// Atoms handled together: their features stay in cache.
const BLOCK: usize = 64;

/// Rounding of f32, and of what enters a product: feature, weight, sum of chunks.
const UNIT: f64 = (f32::EPSILON / 2.0) as f64;
const CONVERSIONS: usize = 4;

/// A two-part set in single precision.
#[derive(Clone, Debug)]
pub(super) struct Screen {
    /// Coefficients, then probes, per unit of each scaled feature. Shape `[n][columns]`.
    pub(super) weights: Vec<f32>,
    pub(super) columns: usize,
    /// 1 / scale. Shape `[n]`.
    pub(super) units: Vec<f64>,
    /// Center in scaled features. Shape `[n]`.
    pub(super) center: Vec<f64>,
    /// What the center of the set gives. Shape `[columns]`.
    pub(super) offsets: Vec<f64>,
    /// Length of the weights of a coefficient (of all where γ is their length) and of a probe, at
    /// most.
    pub(super) lengths: [f64; 2],
    size: Size,
}

/// What the screen tells about an atom.
#[derive(Clone, Copy, Debug)]
pub(super) struct Estimate {
    pub gamma: f64,
    /// γ is at most this.
    pub gamma_bound: f64,
    /// Relative residual.
    pub residual: f64,
    /// What rounding may have taken from the estimated residual.
    residual_error: f64,
}

impl Estimate {
    /// Whether the atom can have γ or a relative residual above limits. NaN can.
    pub fn may_exceed(&self, gamma: f64, residual: f64) -> bool {
        let inside =
            self.gamma_bound <= gamma && self.residual + self.residual_error <= MARGIN * residual;
        !inside
    }
}

impl Screen {
    pub fn new(set: &TwoPartSet) -> Self {
        let (n, r, k) = (set.scale.len(), set.rank(), set.rows());
        let v = rows(&set.directions, r, n);
        let coefficients = multiply(v.transpose(), rows(&set.inverse, r, k));
        let mut random = Normal(SplitMix(0x5eed));
        let unit = 1.0 / (PROBES as f64).sqrt();
        let mut probes: Vec<f64> = (0..PROBES * n).map(|_| unit * random.next()).collect();
        let inside = multiply(rows(&probes, PROBES, n), v.transpose());
        multiply_add(&mut probes, -1.0, rows(&inside, PROBES, r), v);
        let columns = k + PROBES;
        let mut weights = Vec::with_capacity(n * columns);
        let mut squares = vec![0.0; columns];
        let mut offsets = vec![0.0; columns];
        for j in 0..n {
            let row = coefficients[j * k..][..k].iter().copied();
            let row = row.chain((0..PROBES).map(|p| probes[p * n + j]));
            for ((x, square), offset) in row.zip(&mut squares).zip(&mut offsets) {
                weights.push(x as f32);
                *square += x * x;
                *offset += x * set.center[j];
            }
        }
        let longest = |squares: &[f64]| squares.iter().copied().fold(0.0, f64::max).sqrt();
        Self {
            weights,
            columns,
            units: set.scale.iter().map(|s| 1.0 / s).collect(),
            center: set.center.clone(),
            offsets,
            lengths: [
                match set.size {
                    Size::Largest => longest(&squares[..k]),
                    Size::Length => squares[..k].iter().sum::<f64>().sqrt(),
                },
                longest(&squares[k..]),
            ],
            size: set.size,
        }
    }

    /// Estimates for some atoms from their descriptors `[N][dim]`, slopes and hidden neurons
    /// `[N][H]`.
    pub fn estimate(
        &self,
        q: &[f64],
        slopes: &[f64],
        neurons: &[f64],
        dim: usize,
    ) -> Vec<Estimate> {
        let h = self.units.len() / (dim + 2);
        let blocks = q
            .chunks(BLOCK * dim)
            .zip(slopes.chunks(BLOCK * h))
            .zip(neurons.chunks(BLOCK * h));
        let mut z = Vec::new();
        let mut row = vec![0.0; self.units.len()];
        let mut out = Vec::with_capacity(q.len() / dim);
        for ((q, slopes), neurons) in blocks {
            z.clear();
            z.resize(q.len() / dim * self.units.len(), 0.0);
            let lengths: Vec<[f64; 2]> = q
                .chunks_exact(dim)
                .zip(slopes.chunks_exact(h))
                .zip(neurons.chunks_exact(h))
                .zip(z.chunks_exact_mut(self.units.len()))
                .map(|(((q, slopes), neurons), z)| self.scale(q, slopes, neurons, &mut row, z))
                .collect();
            out.extend(self.product(&z, &lengths));
        }
        out
    }

    /// Scaled features less the center; gives their length and that of the scaled features.
    fn scale(
        &self,
        q: &[f64],
        slopes: &[f64],
        neurons: &[f64],
        row: &mut [f64],
        z: &mut [f32],
    ) -> [f64; 2] {
        let dim = q.len();
        let width = dim + 2;
        let blocks = row
            .chunks_exact_mut(width)
            .zip(self.units.chunks_exact(width))
            .zip(slopes.iter().zip(neurons));
        for ((row, units), (&slope, &x)) in blocks {
            for ((row, q), unit) in row.iter_mut().zip(q).zip(units) {
                *row = slope * q * unit;
            }
            row[dim] = -slope * units[dim];
            row[dim + 1] = x * units[dim + 1];
        }
        let length = dot(row, row);
        for ((row, z), center) in row.iter_mut().zip(z).zip(&self.center) {
            *row -= center;
            *z = *row as f32;
        }
        [dot(row, row).sqrt(), length.sqrt()]
    }

    /// Estimates from scaled features less the center and the lengths.
    fn product(&self, z: &[f32], lengths: &[[f64; 2]]) -> Vec<Estimate> {
        let columns = self.columns;
        let n = self.weights.len() / columns;
        let count = lengths.len();
        let mut sums = self.offsets.repeat(count);
        let mut part = vec![0.0f32; count * columns];
        let mut chunks = 0;
        for start in (0..n).step_by(CHUNK) {
            let width = CHUNK.min(n - start);
            let z = MatRef::from_row_major_slice(z, count, n).subcols(start, width);
            let weights = &self.weights[start * columns..][..width * columns];
            matmul(
                MatMut::from_row_major_slice_mut(&mut part, count, columns),
                Accum::Replace,
                z,
                MatRef::from_row_major_slice(weights, width, columns),
                1.0,
                Par::Seq,
            );
            for (sum, &x) in sums.iter_mut().zip(&part) {
                *sum += f64::from(x);
            }
            chunks += 1;
        }
        // A sum of m products has an error of at most m u / (1 - m u) times the sum of their sizes,
        // in whatever order; that sum is at most the product of the lengths (Higham, Accuracy and
        // Stability of Numerical Algorithms, 3.1).
        let operations = (CHUNK + chunks + CONVERSIONS) as f64 * UNIT;
        let relative = operations / (1.0 - operations);
        let k = columns - PROBES;
        let probes = (PROBES as f64).sqrt();
        sums.chunks_exact(columns)
            .zip(lengths)
            .map(|(sums, &[centered, length])| {
                let gamma = self.size.of(&sums[..k]);
                let square = dot(&sums[k..], &sums[k..]);
                // A row of zeros has no residual.
                let unit = if length > 0.0 { length } else { 1.0 };
                Estimate {
                    gamma,
                    gamma_bound: gamma + relative * self.lengths[0] * centered,
                    residual: square.sqrt() / unit,
                    residual_error: relative * self.lengths[1] * probes * centered / unit,
                }
            })
            .collect()
    }
}

/// Normal deviates by Box and Muller's transformation.
struct Normal(SplitMix);

impl Normal {
    fn next(&mut self) -> f64 {
        let mut uniform = || ((self.0.next() >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
        let (a, b) = (uniform(), uniform());
        (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos()
    }
}
