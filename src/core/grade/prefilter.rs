//! Which atoms are worth a grade: the hidden neurons tell, at a hundredth of the cost.

use super::calibrate::quantile;
use super::linalg::{dot, lower_gram, multiply, rows, symmetric_eigen};
use super::scales::Shape;
use crate::error::Result;

/// Share of the training environments that pass where nothing tells a better one.
const PASS: f64 = 0.1;

/// Least and largest share that may be better.
const SHARES: [f64; 2] = [0.02, 0.5];

/// So many of a hundred held-out environments that are novel shall pass, with three times the share that
/// they need.
const RECALL: f64 = 0.99;
const MARGIN: f64 = 3.0;

/// Variances below this fraction of the largest count as so large.
const FLOOR: f64 = 1e-10;

/// The share that shall pass, given what novel environments need.
pub(super) fn share(needed: &[f64]) -> f64 {
    if needed.is_empty() {
        return PASS;
    }
    (MARGIN * quantile(needed, RECALL)).clamp(SHARES[0], SHARES[1])
}

/// The distance of an atom's hidden neurons from their mean, in units of their spread over the
/// training environments: the leverage of the last layer.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Prefilter {
    /// Mean neurons. Shape `[H]`.
    pub mean: Vec<f64>,
    /// Takes deviations to independent numbers with a mean square of 1/H. Shape `[H][H]`.
    pub whitening: Vec<f64>,
    /// Atoms from this distance on pass.
    pub level: f64,
}

impl Prefilter {
    /// From feature rows of a type, of which a share passes.
    pub fn new(data: &[f64], shape: Shape<'_>, indices: &[usize], share: f64) -> Result<Self> {
        let (mut out, distances) = Self::fit(data, shape, indices)?;
        out.level = quantile(&distances, 1.0 - share);
        Ok(out)
    }

    /// From feature rows of a type, without a level, and their distances, ascending.
    pub fn fit(data: &[f64], shape: Shape<'_>, indices: &[usize]) -> Result<(Self, Vec<f64>)> {
        let h = shape.weights.len();
        let width = h * (shape.dim + 2);
        let mut neurons = Vec::with_capacity(indices.len() * h);
        for &k in indices {
            neurons.extend(shape.neurons(&data[k * width..][..width]));
        }
        let count = indices.len() as f64;
        let mut mean = vec![0.0; h];
        for row in neurons.chunks_exact(h) {
            for (m, x) in mean.iter_mut().zip(row) {
                *m += x / count;
            }
        }
        let mut deviations = neurons.clone();
        for row in deviations.chunks_exact_mut(h) {
            for (x, m) in row.iter_mut().zip(&mean) {
                *x -= m;
            }
        }
        let mut covariance = vec![0.0; h * h];
        lower_gram(&mut covariance, &deviations, h);
        let (values, mut whitening) = symmetric_eigen(&covariance, h)?;
        let floor = (FLOOR * values[0]).max(f64::MIN_POSITIVE);
        for (row, value) in whitening.chunks_exact_mut(h).zip(&values) {
            let unit = (value.max(floor) / count * h as f64).sqrt();
            for x in row {
                *x /= unit;
            }
        }
        let out = Self {
            mean,
            whitening,
            level: 0.0,
        };
        let mut distances = lengths(&out.whitened(&neurons), h);
        distances.sort_by(f64::total_cmp);
        Ok((out, distances))
    }

    /// The smallest share of `known` distances, ascending, with which atoms of these neurons pass.
    pub fn needed(&self, known: &[f64], neurons: &[f64]) -> Vec<f64> {
        let distances = lengths(&self.whitened(neurons), self.mean.len());
        let needed = |d: f64| {
            let below = known.partition_point(|known| *known <= d);
            1.0 - below as f64 / known.len().max(1) as f64
        };
        distances.into_iter().map(needed).collect()
    }

    /// Which atoms with these neurons pass; NaN does. **Shapes**: `neurons` `[N][H]`.
    pub fn pass(&self, neurons: &[f64]) -> Vec<bool> {
        let distances = lengths(&self.whitened(neurons), self.mean.len());
        // Not `>=`: NaN shall pass.
        distances.iter().map(|d| !(*d < self.level)).collect()
    }

    /// Independent deviations of the neurons from their mean. **Shapes**: `[N][H]`.
    pub fn whitened(&self, neurons: &[f64]) -> Vec<f64> {
        let h = self.mean.len();
        let mut deviations = neurons.to_vec();
        for row in deviations.chunks_exact_mut(h) {
            for (x, m) in row.iter_mut().zip(&self.mean) {
                *x -= m;
            }
        }
        multiply(
            rows(&deviations, deviations.len() / h, h),
            rows(&self.whitening, h, h).transpose(),
        )
    }
}

fn lengths(points: &[f64], h: usize) -> Vec<f64> {
    points.chunks_exact(h).map(|d| dot(d, d).sqrt()).collect()
}
