//! The compatibility form: γ = max|B·A⁻¹| with a pseudo-inverse, as the public programs have it.

use super::linalg::{blockwise, max_abs, multiply, pseudo_inverse, rows};
use super::maxvol::{Help, MaxvolOptions, maxvol_with};
use super::{BuildOptions, EDGE, Extension, Grade, Origin};
use crate::error::{Error, Result};

/// Relative cutoff of singular values in the public scripts.
pub(super) const PINV_CUTOFF: f64 = 1e-8;

/// Amplitude, relative to a column's largest value, of the rows that stand in for directions that
/// no environment has.
const STAND_IN: f64 = 1e-10;

/// The active set of one element.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct CompatSet {
    /// Row-major, row: feature, column: active row.
    pub inverse: Vec<f64>,
    /// By active row; `None` for rows of unknown origin.
    pub origins: Vec<Option<Origin>>,
}

/// What [`CompatSet::build`] has to tell.
pub(super) struct CompatReport {
    pub iterations: Vec<usize>,
    pub ln_det: f64,
    pub condition: f64,
    pub kept: usize,
    /// Directions that no environment has.
    pub missing: usize,
}

impl CompatSet {
    /// Chooses the rows and inverts.
    pub fn build(
        data: &[f64],
        width: usize,
        origins: &[Origin],
        options: &BuildOptions,
        mut help: Help<'_>,
    ) -> Result<(Self, CompatReport)> {
        let count = origins.len();
        if count < width {
            return Err(Error::invalid(format!(
                "the compatibility form needs at least {width} environments, found {count}; add \
                 structures or use the ridge form, which does with any number"
            )));
        }
        let plan = MaxvolOptions {
            tolerance: options.tolerance,
            max_iterations: options.max_iterations,
            batch: options.batch,
            final_pass: options.final_pass,
            // The public scripts never compute C afresh.
            refresh: if options.final_pass {
                options.refresh
            } else {
                0
            },
        };
        let chosen = match maxvol_with(data, width, &plan, help.as_deref_mut()) {
            Err(Error::InvalidArgument(_)) if data.iter().all(|x| x.is_finite()) => {
                // The stand-ins come last, so an earlier batch would still lack them.
                let batch = usize::MAX;
                let plan = MaxvolOptions { batch, ..plan };
                maxvol_with(&with_stand_ins(data, width), width, &plan, help)?
            }
            other => other?,
        };
        let mut matrix = Vec::with_capacity(width * width);
        let mut sources = Vec::with_capacity(width);
        for &row in &chosen.selected {
            match origins.get(row) {
                Some(&origin) => {
                    matrix.extend_from_slice(&data[row * width..][..width]);
                    sources.push(Some(origin));
                }
                None => {
                    matrix.resize(matrix.len() + width, 0.0);
                    sources.push(None);
                }
            }
        }
        let inverse = pseudo_inverse(&matrix, width, PINV_CUTOFF)?;
        let report = CompatReport {
            iterations: chosen.iterations,
            ln_det: chosen.ln_det,
            condition: inverse.condition,
            kept: inverse.kept,
            missing: sources.iter().filter(|s| s.is_none()).count(),
        };
        let set = Self {
            inverse: inverse.matrix,
            origins: sources,
        };
        Ok((set, report))
    }

    pub fn grade(&self, data: &[f64], width: usize) -> Vec<Grade> {
        blockwise(data, width, |block| {
            let grade = |c: &[f64]| {
                let gamma = max_abs(c).1;
                Grade {
                    gamma,
                    rho: f64::NAN,
                    total: gamma,
                }
            };
            let c = self.coefficients(block, width);
            c.chunks_exact(width).map(grade).collect()
        })
    }

    /// B A⁻¹ of some rows.
    pub fn coefficients(&self, data: &[f64], width: usize) -> Vec<f64> {
        let x = rows(data, data.len() / width, width);
        multiply(x, rows(&self.inverse, width, width))
    }

    pub fn extend(&mut self, row: &[f64], origin: Option<Origin>) -> Extension {
        let n = row.len();
        let c = self.coefficients(row, n);
        let (j, gamma) = max_abs(&c);
        if gamma <= EDGE {
            return Extension::Unchanged;
        }
        exchange(&mut self.inverse, &c, j);
        self.origins[j] = origin;
        Extension::Swapped(j)
    }
}

/// A⁻¹ ← A⁻¹ − A⁻¹[:,j] ⊗ (c − e_j) / c_j: the row with coefficients `c` takes the place of active
/// row `j`.
pub(super) fn exchange(inverse: &mut [f64], c: &[f64], j: usize) {
    let mut step = c.to_vec();
    step[j] -= 1.0;
    for row in inverse.chunks_exact_mut(c.len()) {
        let factor = row[j] / c[j];
        for (x, s) in row.iter_mut().zip(&step) {
            *x -= factor * s;
        }
    }
}

/// The rows, followed by a tiny unit row for each column: they make the matrix full rank and are
/// chosen only where the environments span nothing.
fn with_stand_ins(data: &[f64], width: usize) -> Vec<f64> {
    let mut largest = vec![0.0f64; width];
    for row in data.chunks_exact(width) {
        for (m, x) in largest.iter_mut().zip(row) {
            *m = m.max(x.abs());
        }
    }
    let overall = largest.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    let mut out = data.to_vec();
    for (j, &m) in largest.iter().enumerate() {
        let start = out.len();
        out.resize(start + width, 0.0);
        out[start + j] = STAND_IN * if m > 0.0 { m } else { overall };
    }
    out
}
