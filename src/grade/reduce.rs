//! Building the two-part form: scales, subspace, residuals, active rows.

use super::calibrate::{calibrate, quantile};
use super::linalg::{dot, multiply, multiply_add, orthonormal_rows, pseudo_inverse, rows};
use super::linalg::{lower_gram, symmetric_eigen};
use super::maxvol::{MaxvolOptions, maxvol};
use super::two_part::{DEFAULT_THRESHOLD, TwoPartSet, append_direction};
use super::{BuildOptions, Origin};
use crate::error::Result;

/// Rows handled together.
const BLOCK: usize = 1024;

/// Columns below this fraction of the largest column count as never seen.
const NEVER_SEEN: f64 = 1e-12;

/// What [`build`] has to tell.
pub(super) struct TwoPartReport {
    pub iterations: Vec<usize>,
    pub ln_det: f64,
    pub condition: f64,
    pub max: f64,
    /// Directions added for environments that the principal ones leave out.
    pub added: usize,
    /// Whether κ comes from held-out environments.
    pub calibrated: bool,
}

/// Root mean squares of the columns and the list of those never seen, which get the smallest scale
/// of the others; `None` if all are zero.
pub(super) fn column_scales(data: &[f64], n: usize) -> Option<(Vec<f64>, Vec<u32>)> {
    let mut scale = vec![0.0f64; n];
    for row in data.chunks_exact(n) {
        for (s, x) in scale.iter_mut().zip(row) {
            *s += x * x;
        }
    }
    let count = (data.len() / n) as f64;
    for s in &mut scale {
        *s = (*s / count).sqrt();
    }
    let largest = scale.iter().copied().fold(0.0, f64::max);
    if largest == 0.0 {
        return None;
    }
    let seen = |s: f64| s >= NEVER_SEEN * largest;
    let smallest = scale
        .iter()
        .copied()
        .filter(|&s| seen(s))
        .fold(largest, f64::min);
    let unseen: Vec<u32> = (0..n)
        .filter(|&j| !seen(scale[j]))
        .map(|j| j as u32)
        .collect();
    for &j in &unseen {
        scale[j as usize] = smallest;
    }
    Some((scale, unseen))
}

/// Feature rows of one type in scaled form, copied block by block.
#[derive(Clone, Copy)]
pub(super) struct Scaled<'a> {
    pub data: &'a [f64],
    pub n: usize,
    pub scale: &'a [f64],
    pub unseen: &'a [u32],
}

impl Scaled<'_> {
    /// Scaled rows; features never seen are left out (zero), so that rounding in them cannot
    /// become a direction.
    pub fn block(&self, indices: &[usize]) -> Vec<f64> {
        let mut z = Vec::with_capacity(indices.len() * self.n);
        for &k in indices {
            let row = &self.data[k * self.n..][..self.n];
            let start = z.len();
            z.extend(row.iter().zip(self.scale).map(|(x, s)| x / s));
            for &j in self.unseen {
                z[start + j as usize] = 0.0;
            }
        }
        z
    }

    /// Principal directions whose singular value is above `tau` times the largest, as rows.
    pub fn directions(&self, indices: &[usize], tau: f64) -> Result<Vec<f64>> {
        let n = self.n;
        let keep = |values: &[f64]| {
            values
                .iter()
                .take_while(|&&x| x > tau * tau * values[0] && x > 0.0)
                .count()
        };
        if indices.len() < n {
            // Fewer rows than columns: Z Zᵀ = U σ² Uᵀ, directions Uᵀ Z / σ.
            let z = self.block(indices);
            let count = indices.len();
            let z = rows(&z, count, n);
            let (values, vectors) = symmetric_eigen(&multiply(z, z.transpose()), count)?;
            let kept = keep(&values);
            let mut directions = multiply(rows(&vectors[..kept * count], kept, count), z);
            for (row, value) in directions.chunks_exact_mut(n).zip(&values) {
                let sigma = value.sqrt();
                for x in row {
                    *x /= sigma;
                }
            }
            orthonormal_rows(&mut directions, n);
            return Ok(directions);
        }
        let mut gram = vec![0.0; n * n];
        for block in indices.chunks(BLOCK) {
            lower_gram(&mut gram, &self.block(block), n);
        }
        let (values, mut vectors) = symmetric_eigen(&gram, n)?;
        vectors.truncate(keep(&values) * n);
        Ok(vectors)
    }

    /// Coordinates in a subspace. Shape `[indices][r]`.
    pub fn reduced(&self, indices: &[usize], directions: &[f64]) -> Vec<f64> {
        let r = directions.len() / self.n;
        let v = rows(directions, r, self.n);
        let mut y = Vec::with_capacity(indices.len() * r);
        for block in indices.chunks(BLOCK) {
            let z = self.block(block);
            y.extend(multiply(rows(&z, block.len(), self.n), v.transpose()));
        }
        y
    }

    /// |z − V Vᵀ z| / |z| of each row.
    pub fn residuals(&self, indices: &[usize], directions: &[f64]) -> Vec<f64> {
        let (n, r) = (self.n, directions.len() / self.n);
        let v = rows(directions, r, n);
        let mut out = Vec::with_capacity(indices.len());
        for block in indices.chunks(BLOCK) {
            let z = self.block(block);
            let y = multiply(rows(&z, block.len(), n), v.transpose());
            let mut rest = z.clone();
            multiply_add(&mut rest, -1.0, rows(&y, block.len(), r), v);
            for (z, rest) in z.chunks_exact(n).zip(rest.chunks_exact(n)) {
                let length = dot(z, z);
                out.push(if length > 0.0 {
                    (dot(rest, rest) / length).sqrt()
                } else {
                    0.0
                });
            }
        }
        out
    }

    /// Adds directions until no row's residual is above the threshold; gives the final residuals.
    fn complete(&self, indices: &[usize], directions: &mut Vec<f64>, threshold: f64) -> Vec<f64> {
        let n = self.n;
        let residuals = self.residuals(indices, directions);
        // New directions only make residuals smaller, so no other row can come to be above.
        let above: Vec<usize> = (0..indices.len())
            .filter(|&k| residuals[k] > threshold)
            .map(|k| indices[k])
            .collect();
        if above.is_empty() {
            return residuals;
        }
        let z = self.block(&above);
        let mut left: Vec<f64> = residuals.into_iter().filter(|&x| x > threshold).collect();
        while let Some(worst) = (0..above.len())
            .filter(|&k| left[k] > threshold)
            .max_by(|&a, &b| left[a].total_cmp(&left[b]))
        {
            if append_direction(directions, &z[worst * n..][..n]).is_none() {
                break;
            }
            let v = &directions[directions.len() - n..];
            for (left, z) in left.iter_mut().zip(z.chunks_exact(n)) {
                let gone = dot(z, v).powi(2) / dot(z, z);
                *left = (*left * *left - gone).max(0.0).sqrt();
            }
        }
        orthonormal_rows(directions, n);
        self.residuals(indices, directions)
    }
}

/// Builds the set of one element; `None` if all features are zero.
pub(super) fn build(
    data: &[f64],
    n: usize,
    origins: &[Origin],
    options: &BuildOptions,
) -> Result<Option<(TwoPartSet, TwoPartReport)>> {
    let Some((scale, unseen)) = column_scales(data, n) else {
        return Ok(None);
    };
    let scaled = Scaled {
        data,
        n,
        scale: &scale,
        unseen: &unseen,
    };
    let all: Vec<usize> = (0..origins.len()).collect();
    let mut directions = scaled.directions(&all, options.tau)?;
    let principal = directions.len() / n;
    let calibration = calibrate(&scaled, origins, options)?;
    // Residuals of the order of tau are what was cut off on purpose.
    let threshold = calibration.unwrap_or(DEFAULT_THRESHOLD).max(options.tau);
    let residuals = scaled.complete(&all, &mut directions, threshold);
    let r = directions.len() / n;
    let residual_scale = quantile(&residuals, 0.99).max(options.tau);
    let y = scaled.reduced(&all, &directions);
    let chosen = maxvol(
        &y,
        r,
        &MaxvolOptions {
            tolerance: options.tolerance,
            max_iterations: options.max_iterations,
            batch: options.batch,
            final_pass: options.final_pass,
            refresh: options.refresh,
        },
    )?;
    let active = super::gather(&y, r, &chosen.selected);
    let inverse = pseudo_inverse(&active, r, 1e-14)?;
    let set = TwoPartSet {
        unseen,
        directions,
        inverse: inverse.matrix,
        residual_scale,
        kappa: threshold.max(residual_scale) / residual_scale,
        origins: chosen.selected.iter().map(|&k| Some(origins[k])).collect(),
        tau: options.tau,
        offered: origins.len() as u64,
        scale,
    };
    let report = TwoPartReport {
        iterations: chosen.iterations,
        ln_det: chosen.ln_det,
        condition: inverse.condition,
        max: chosen.max,
        added: r - principal,
        calibrated: calibration.is_some(),
    };
    Ok(Some((set, report)))
}
