//! Normal equations, their eigenvalues, and the precisions that the evidence asks for.

use faer::{Accum, Mat, MatRef, Par, Side};
use nepal::error::{Error, Result};
use nepal::posterior::product;

/// Rounds of the evidence iteration; it settles within a few tens.
const ROUNDS: usize = 200;
/// Smallest prior precision relative to the data's largest: below it rounding would decide.
const LEAST: f64 = 1e-12;
/// What is left of a direction at least when the rows that know it are left out.
const ROUNDING: f64 = 1e-10;

/// Sums over the rows of a weighted least-squares problem.
pub(super) struct Normal {
    matrix: Mat<f64>,
    /// Rows times residuals.
    pub right: Vec<f64>,
    /// Rows.
    pub count: usize,
    /// Sum of the squared residuals.
    square: f64,
}

/// What the evidence iteration ends with.
pub(super) struct Solved {
    /// The covariance as this times its transpose.
    pub factor: Mat<f64>,
    pub alpha: f64,
    pub beta: f64,
}

impl Solved {
    /// The step of the output weights that fits a right side of residuals.
    pub fn step(&self, right: &[f64]) -> Vec<f64> {
        step(self.factor.as_ref(), right, self.beta)
    }

    /// The factor of the covariance, and the step of the output weights, had some of the rows not been there; `all` is the
    /// step with them.
    ///
    /// With these rows Φ, residuals r and S = L Lᵀ, the covariance without them is L (1 − β LᵀΦᵀΦ L)⁻¹ Lᵀ, and
    /// the step changes by it times −β Φᵀ(r − Φ step).
    pub fn without(
        &self,
        rows: MatRef<'_, f64>,
        residuals: &[f64],
        all: &[f64],
    ) -> Result<(Mat<f64>, Vec<f64>)> {
        let seen = product(rows, self.factor.as_ref());
        let mut left = product(seen.transpose(), seen.as_ref());
        let n = left.nrows();
        for j in 0..n {
            for i in 0..n {
                let one = if i == j { 1.0 + ROUNDING } else { 0.0 };
                left[(i, j)] = one - self.beta * left[(i, j)];
            }
        }
        let root = left.llt(Side::Lower).map_err(|_| {
            Error::Failed("the posterior without one of its frames has no finite deviations".into())
        })?;
        let mut factor = self.factor.transpose().to_owned();
        faer::linalg::triangular_solve::solve_lower_triangular_in_place(
            root.L(),
            factor.as_mut(),
            Par::Seq,
        );
        let factor = factor.transpose().to_owned();
        let fitted = product(rows, MatRef::from_column_major_slice(all, n, 1));
        let rest = Mat::from_fn(residuals.len(), 1, |i, _| fitted[(i, 0)] - residuals[i]);
        let right = product(rows.transpose(), rest.as_ref());
        let more = step(factor.as_ref(), right.col_as_slice(0), self.beta);
        let moved = all.iter().zip(more).map(|(a, b)| a + b).collect();
        Ok((factor, moved))
    }
}

fn step(factor: MatRef<'_, f64>, right: &[f64], beta: f64) -> Vec<f64> {
    let right = MatRef::from_column_major_slice(right, right.len(), 1);
    let inner = product(factor.transpose(), right);
    let step = product(factor, inner.as_ref());
    (0..step.nrows()).map(|k| beta * step[(k, 0)]).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What is left without a frame is what the other frames alone give, at the same precisions.
    #[test]
    fn leaving_out_is_as_if_it_had_never_been_there() {
        let n = 7;
        let number = |k: usize| ((k * 7919 % 1009) as f64 / 504.5 - 1.0).powi(3);
        let frames: Vec<(Mat<f64>, Vec<f64>)> = (0..4)
            .map(|f| {
                let rows = Mat::from_fn(12, n, |i, j| number(1 + 97 * f + 12 * j + i));
                // The last column is known to one frame only.
                let rows = Mat::from_fn(12, n, |i, j| {
                    if j + 1 == n && f > 0 {
                        0.0
                    } else {
                        rows[(i, j)]
                    }
                });
                (rows, (0..12).map(|i| number(500 + 31 * f + i)).collect())
            })
            .collect();
        let mut total = Normal::new(n);
        frames
            .iter()
            .for_each(|(rows, residuals)| total.add(rows.as_ref(), residuals));
        let solved = total.solve(&[0.3; 7]).unwrap();
        let all = solved.step(&total.right);
        let units = total.units();
        for (left, (rows, residuals)) in frames.iter().enumerate() {
            let (factor, step) = solved.without(rows.as_ref(), residuals, &all).unwrap();
            let mut rest = Normal::new(n);
            for (_, (rows, residuals)) in frames.iter().enumerate().filter(|(k, _)| *k != left) {
                rest.add(rows.as_ref(), residuals);
            }
            let precision = Mat::from_fn(n, n, |i, j| {
                let prior = if i == j {
                    solved.alpha / units[i].powi(2)
                } else {
                    0.0
                };
                solved.beta * rest.matrix[(i, j)] + prior
            });
            let covariance = product(factor.as_ref(), factor.transpose());
            let one = product(precision.as_ref(), covariance.as_ref());
            let met = product(
                precision.as_ref(),
                MatRef::from_column_major_slice(&step, n, 1),
            );
            for i in 0..n {
                for j in 0..n {
                    let expected = f64::from(u8::from(i == j));
                    assert!((one[(i, j)] - expected).abs() < 1e-5, "{left}: {one:?}");
                }
                let expected = solved.beta * rest.right[i];
                assert!(
                    (met[(i, 0)] - expected).abs() < 1e-5 * expected.abs().max(1.0),
                    "{left} {i}"
                );
            }
        }
    }
}
