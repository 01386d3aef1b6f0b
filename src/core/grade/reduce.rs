//! Building the two-part form: units, subspace, residuals, active rows.

use super::calibrate::{self, HeldOut, quantile};
use super::linalg::{dot, lower_gram, map_blocks, multiply, orthonormal_rows, orthonormalised};
use super::linalg::{pseudo_inverse, rows, sum_of_blocks, symmetric_eigen};
use super::maxvol::{Help, maxvol_streaming_with, rectangular};
use super::prefilter::{Prefilter, share};
use super::scales::{Shape, Units, units};
use super::two_part::{DEFAULT_THRESHOLD, Kept, Size, TwoPartSet};
use super::{BuildOptions, Origin};
use crate::error::Result;

/// Rows handled together.
const BLOCK: usize = 512;

/// Relative square of a residual down to which it may come from a difference of squares: eight
/// digits are left.
const CANCELLATION: f64 = 1e-8;

/// What [`build`] has to tell.
pub(super) struct TwoPartReport {
    pub iterations: Vec<usize>,
    pub ln_det: f64,
    pub condition: f64,
    /// Largest γ of the environments.
    pub max: f64,
    /// Directions added for environments that the principal ones leave out.
    pub added: usize,
    /// Features that no environment has.
    pub unseen: usize,
    /// Grades of held-out environments, if there were enough to calibrate κ.
    pub held_out: Option<HeldOut>,
}

/// Feature rows of one type in scaled form, made block by block.
#[derive(Clone, Copy)]
pub(super) struct Scaled<'a> {
    pub data: &'a [f64],
    pub n: usize,
    pub scale: &'a [f64],
}

/// Rows in a subspace.
pub(super) struct Reduced {
    /// Coordinates. Shape `[N][r]`.
    pub y: Vec<f64>,
    /// Length of what lies outside, relative to the whole row. Shape `[N]`.
    pub residuals: Vec<f64>,
}

impl Scaled<'_> {
    /// Scaled rows.
    pub fn block(&self, indices: &[usize]) -> Vec<f64> {
        let mut z = Vec::with_capacity(indices.len() * self.n);
        for &k in indices {
            let row = &self.data[k * self.n..][..self.n];
            z.extend(row.iter().zip(self.scale).map(|(x, s)| x / s));
        }
        z
    }

    /// Lower triangle of Zᵀ Z.
    pub fn gram(&self, indices: &[usize]) -> Vec<f64> {
        let n = self.n;
        sum_of_blocks(indices, BLOCK, n * n, |block, gram| {
            lower_gram(gram, &self.block(block), n);
        })
    }

    /// Z Zᵀ of few rows.
    pub fn products(&self, indices: &[usize]) -> Vec<f64> {
        let z = self.block(indices);
        let z = rows(&z, indices.len(), self.n);
        multiply(z, z.transpose())
    }

    /// Coordinates in a subspace, and residuals.
    pub fn reduced(&self, indices: &[usize], directions: &[f64]) -> Reduced {
        let (n, r) = (self.n, directions.len() / self.n);
        let v = rows(directions, r, n);
        let parts = map_blocks(indices, BLOCK, |block| {
            let z = self.block(block);
            let y = multiply(rows(&z, block.len(), n), v.transpose());
            let residuals: Vec<f64> = z
                .chunks_exact(n)
                .zip(y.chunks_exact(r.max(1)))
                .map(|(z, y)| residual(z, y, directions).sqrt())
                .collect();
            (y, residuals)
        });
        let mut out = Reduced {
            y: Vec::with_capacity(indices.len() * r),
            residuals: Vec::with_capacity(indices.len()),
        };
        for (y, residuals) in parts {
            out.y.extend(y);
            out.residuals.extend(residuals);
        }
        out
    }
}

/// |z − y V|² / |z|² for y = z Vᵀ with orthonormal directions V; 0 for a row of zeros.
pub(super) fn residual(z: &[f64], y: &[f64], directions: &[f64]) -> f64 {
    let length = dot(z, z);
    if length == 0.0 {
        return 0.0;
    }
    let square = length - dot(y, y);
    if square > CANCELLATION * length {
        return square / length;
    }
    if !length.is_finite() {
        return f64::INFINITY;
    }
    // Where the difference cancels, it is formed before it is squared.
    let mut rest = z.to_vec();
    for (y, v) in y.iter().zip(directions.chunks_exact(z.len())) {
        for (x, v) in rest.iter_mut().zip(v) {
            *x -= y * v;
        }
    }
    dot(&rest, &rest) / length
}

/// Number of leading eigenvalues above `tau`² times the largest.
fn kept(values: &[f64], tau: f64) -> usize {
    values
        .iter()
        .take_while(|&&x| x > tau * tau * values[0] && x > 0.0)
        .count()
}

/// Principal directions from Zᵀ Z, as rows.
pub(super) fn directions_of_gram(gram: &[f64], n: usize, tau: f64) -> Result<Vec<f64>> {
    let (values, mut vectors) = symmetric_eigen(gram, n)?;
    vectors.truncate(kept(&values, tau) * n);
    Ok(vectors)
}

/// Principal directions from Z Zᵀ of fewer rows than columns: Z Zᵀ = U σ² Uᵀ, directions Uᵀ Z / σ.
pub(super) fn directions_of_products(
    products: &[f64],
    z: &[f64],
    n: usize,
    tau: f64,
) -> Result<Vec<f64>> {
    let count = z.len() / n;
    let (values, vectors) = symmetric_eigen(products, count)?;
    let kept = kept(&values, tau);
    let mut directions = multiply(
        rows(&vectors[..kept * count], kept, count),
        rows(z, count, n),
    );
    for (row, value) in directions.chunks_exact_mut(n).zip(&values) {
        let sigma = value.sqrt();
        for x in row {
            *x /= sigma;
        }
    }
    orthonormal_rows(&mut directions, n);
    Ok(directions)
}

/// Adds directions until no row's residual is above the threshold.
fn complete(
    scaled: &Scaled<'_>,
    directions: &mut Vec<f64>,
    reduced: Reduced,
    threshold: f64,
) -> Reduced {
    let n = scaled.n;
    // New directions only make residuals smaller, so no other row can come to be above.
    let above: Vec<usize> = (0..reduced.residuals.len())
        .filter(|&k| reduced.residuals[k] > threshold)
        .collect();
    if above.is_empty() {
        return reduced;
    }
    let z = scaled.block(&above);
    let mut left: Vec<f64> = above.iter().map(|&k| reduced.residuals[k]).collect();
    while let Some(worst) = (0..above.len())
        .filter(|&k| left[k] > threshold)
        .max_by(|&a, &b| left[a].total_cmp(&left[b]))
    {
        let Some(v) = orthonormalised(directions, &z[worst * n..][..n]) else {
            break;
        };
        for (left, z) in left.iter_mut().zip(z.chunks_exact(n)) {
            let gone = dot(z, &v).powi(2) / dot(z, z);
            *left = (*left * *left - gone).max(0.0).sqrt();
        }
        directions.extend(v);
    }
    let all: Vec<usize> = (0..reduced.residuals.len()).collect();
    scaled.reduced(&all, directions)
}

/// Builds the set of one element from given rows on; `None` if all features are zero.
pub(super) fn build(
    data: &[f64],
    shape: Shape<'_>,
    (origins, start): (&[Origin], &[usize]),
    options: &BuildOptions,
    mut help: Help<'_>,
) -> Result<Option<(TwoPartSet, TwoPartReport)>> {
    let Some(Units { scale, unseen }) = units(data, shape) else {
        return Ok(None);
    };
    let n = scale.len();
    let scaled = Scaled {
        data,
        n,
        scale: &scale,
    };
    let (mut directions, held_out) =
        calibrate::directions(&scaled, shape, origins, options, help.as_deref_mut())?;
    let principal = directions.len() / n;
    // Residuals of the order of tau are what was cut off on purpose.
    let threshold = held_out
        .as_ref()
        .map_or(DEFAULT_THRESHOLD, |h| h.threshold)
        .max(options.tau);
    let all: Vec<usize> = (0..origins.len()).collect();
    let reduced = scaled.reduced(&all, &directions);
    let Reduced { y, residuals } = complete(&scaled, &mut directions, reduced, threshold);
    let r = directions.len() / n;
    let residual_scale = quantile(&residuals, 0.99).max(options.tau);
    let chosen = maxvol_streaming_with(&y, r, start, &options.maxvol(options.tolerance), help)?;
    let selected = match options.length {
        None => chosen.selected.clone(),
        Some(length) => rectangular(&y, r, &chosen.selected, length)?,
    };
    let inverse = pseudo_inverse(&super::gather(&y, r, &selected), r, 1e-14)?;
    let max = match options.length {
        None => chosen.max,
        Some(_) => map_blocks(&all, BLOCK, |block| {
            let y = &y[block[0] * r..][..block.len() * r];
            let a = rows(&inverse.matrix, r, selected.len());
            let c = multiply(rows(y, block.len(), r), a);
            let c = c.chunks_exact(selected.len());
            c.map(|c| Size::Length.of(c)).fold(0.0, f64::max)
        })
        .into_iter()
        .fold(0.0, f64::max),
    };
    let passing = held_out
        .as_ref()
        .map_or_else(|| share(&[]), |held_out| held_out.passing);
    let set = TwoPartSet {
        center: center(data, &scale),
        directions,
        inverse: inverse.matrix,
        size: if options.length.is_some() {
            Size::Length
        } else {
            Size::Largest
        },
        residual_scale,
        kappa: threshold.max(residual_scale) / residual_scale,
        origins: selected.iter().map(|&k| Some(origins[k])).collect(),
        tau: options.tau,
        offered: origins.len() as u64,
        prefilter: Some(Prefilter::new(data, shape, &all, passing)?),
        screen: Kept::default(),
        scale,
    };
    let report = TwoPartReport {
        iterations: chosen.iterations,
        ln_det: chosen.ln_det,
        condition: inverse.condition,
        max,
        added: r - principal,
        unseen: unseen.len(),
        held_out,
    };
    Ok(Some((set, report)))
}

/// Mean of the scaled rows.
fn center(data: &[f64], scale: &[f64]) -> Vec<f64> {
    let n = scale.len();
    let mut sum = vec![0.0; n];
    for row in data.chunks_exact(n) {
        for (s, x) in sum.iter_mut().zip(row) {
            *s += x;
        }
    }
    let count = (data.len() / n) as f64;
    sum.iter().zip(scale).map(|(x, s)| x / s / count).collect()
}
