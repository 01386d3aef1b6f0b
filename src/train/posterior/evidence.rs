//! Normal equations, their eigenvalues, and the precisions that the evidence asks for.

use faer::{Accum, Mat, MatRef, Par, Side};
use nepal::error::{Error, Result};
use nepal::posterior::product;

/// Rounds of the evidence iteration; it settles within a few tens.
const ROUNDS: usize = 200;
/// Smallest prior precision relative to the data's largest: below it rounding would decide.
const LEAST: f64 = 1e-12;

/// Sums over the rows of a weighted least-squares problem.
#[derive(Clone, Debug)]
pub(super) struct Normal {
    matrix: Mat<f64>,
    /// Rows times residuals.
    pub right: Vec<f64>,
    /// Rows.
    pub count: usize,
    /// Sum of the squared residuals.
    square: f64,
}

/// A covariance in its own units, as a factor times its transpose.
pub(super) struct Covariance {
    pub factor: Mat<f64>,
}

/// What the evidence iteration ends with.
pub(super) struct Solved {
    pub factor: Mat<f64>,
    pub alpha: f64,
    pub beta: f64,
}

impl Covariance {
    /// The step of the output weights that fits a right side of residuals.
    pub fn update(&self, right: &[f64], beta: f64) -> Vec<f64> {
        let right = MatRef::from_column_major_slice(right, right.len(), 1);
        let inner = product(self.factor.transpose(), right);
        let step = product(self.factor.as_ref(), inner.as_ref());
        (0..step.nrows()).map(|k| beta * step[(k, 0)]).collect()
    }
}

impl Normal {
    pub fn new(columns: usize) -> Self {
        Self {
            matrix: Mat::zeros(columns, columns),
            right: vec![0.0; columns],
            count: 0,
            square: 0.0,
        }
    }

    pub fn add(&mut self, rows: MatRef<'_, f64>, residuals: &[f64]) {
        let par = Par::Seq;
        let add = Accum::Add;
        faer::linalg::matmul::matmul(self.matrix.as_mut(), add, rows.transpose(), rows, 1.0, par);
        for (i, r) in residuals.iter().enumerate() {
            for (k, x) in rows.row(i).iter().enumerate() {
                self.right[k] += x * r;
            }
            self.square += r * r;
        }
        self.count += residuals.len();
    }

    /// Adds (`sign` 1) or takes away (-1) the rows of another sum.
    pub fn merge(&mut self, other: &Self, sign: f64) {
        let n = self.right.len();
        for j in 0..n {
            for i in 0..n {
                self.matrix[(i, j)] += sign * other.matrix[(i, j)];
            }
            self.right[j] += sign * other.right[j];
        }
        self.square += sign * other.square;
        if sign > 0.0 {
            self.count += other.count;
        } else {
            self.count -= other.count;
        }
    }

    /// Sizes of the columns, 1 for those that no row has.
    fn units(&self) -> Vec<f64> {
        let rows = self.count.max(1) as f64;
        (0..self.right.len())
            .map(|k| match self.matrix[(k, k)] / rows {
                x if x > 0.0 => 1.0 / x.sqrt(),
                _ => 1.0,
            })
            .collect()
    }

    fn eigen(&self, units: &[f64]) -> Result<(Mat<f64>, Vec<f64>)> {
        let n = units.len();
        let scaled = Mat::from_fn(n, n, |i, j| units[i] * self.matrix[(i, j)] * units[j]);
        let eigen = scaled
            .self_adjoint_eigen(Side::Lower)
            .map_err(|_| Error::Failed("the posterior's eigenvalues did not converge".into()))?;
        let values = eigen.S().column_vector().iter().map(|x| x.max(0.0));
        Ok((eigen.U().to_owned(), values.collect()))
    }

    /// The covariance for given precisions of the prior and of the data.
    pub fn covariance(&self, alpha: f64, beta: f64) -> Result<Covariance> {
        let units = self.units();
        let (vectors, values) = self.eigen(&units)?;
        Ok(Covariance {
            factor: factor(&units, &vectors, &values, alpha, beta),
        })
    }

    /// The covariance with the precisions that maximise the evidence; `weights` are the trained
    /// output weights, the first of the columns.
    pub fn solve(&self, weights: &[f64]) -> Result<Solved> {
        let units = self.units();
        let (vectors, values) = self.eigen(&units)?;
        let count = self.count as f64;
        let size: f64 = weights
            .iter()
            .zip(&units)
            .map(|(w, u)| (w / u).powi(2))
            .sum();
        let largest = values.iter().copied().fold(0.0, f64::max);
        let (mut alpha, mut beta) = (LEAST * largest, count / self.square.max(1e-12 * count));
        for _ in 0..ROUNDS {
            let known: f64 = values
                .iter()
                .map(|l| beta * l / (beta * l + alpha.max(f64::MIN_POSITIVE)))
                .sum();
            let next = [
                (known / size.max(f64::MIN_POSITIVE)).max(LEAST * beta * largest),
                (count - known).max(0.1 * count) / self.square.max(1e-12 * count),
            ];
            let change = (next[0] / alpha).ln().abs() + (next[1] / beta).ln().abs();
            [alpha, beta] = next;
            if change < 1e-8 {
                break;
            }
        }
        if !(alpha > 0.0 && alpha.is_finite() && beta > 0.0 && beta.is_finite()) {
            return Err(Error::Failed(
                "the posterior has no finite precision; are all output weights or all labels zero?"
                    .into(),
            ));
        }
        Ok(Solved {
            factor: factor(&units, &vectors, &values, alpha, beta),
            alpha,
            beta,
        })
    }
}

fn factor(units: &[f64], vectors: &Mat<f64>, values: &[f64], alpha: f64, beta: f64) -> Mat<f64> {
    let n = units.len();
    Mat::from_fn(n, n, |i, k| {
        units[i] * vectors[(i, k)] / (beta * values[k] + alpha).sqrt()
    })
}

/// The inverse of a symmetric matrix whose eigenvalues must all be above `least`.
pub(super) fn inverse(matrix: MatRef<'_, f64>, least: f64) -> Option<Mat<f64>> {
    let eigen = matrix.self_adjoint_eigen(Side::Lower).ok()?;
    let values: Vec<f64> = eigen.S().column_vector().iter().copied().collect();
    if values.iter().any(|&l| !(l > least)) {
        return None;
    }
    let vectors = eigen.U();
    let n = values.len();
    let scaled = Mat::from_fn(n, n, |i, k| vectors[(i, k)] / values[k]);
    Some(product(scaled.as_ref(), vectors.transpose()))
}
