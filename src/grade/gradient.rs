//! Gradients of grades with respect to features and descriptors.

use super::linalg::{dot, max_abs, multiply, multiply_add, rows};
use super::two_part::{Projected, Size, TwoPartSet};
use super::{ActiveSet, Sets, gather};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::nep::network;

/// Rows handled together.
const BLOCK: usize = 256;

/// A number made of the coefficients c and the residual ρ of one atom.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Measure {
    /// γ = max|c|; its gradient jumps where another active row takes over.
    Gamma,
    /// ρ, the part of the features outside the subspace; infinite in the compatibility form, which
    /// has none.
    Rho,
    /// Γ = max(γ, ρ/κ); as [`Measure::Gamma`].
    Total,
    /// √(‖c‖_p² + (ρ/κ)²), smooth. `p` = 2 gives the leverage, larger `p` come closer to Γ.
    Smooth {
        /// Exponent of the norm, at least 2.
        p: f64,
    },
}

/// A measure of all atoms of a structure, and the gradient of a function of them.
#[derive(Clone, Debug, PartialEq)]
pub struct GradeGradient {
    /// The measure of each atom. Shape `[n_local]`.
    pub values: Vec<f64>,
    /// dΦ/dq of the scaled descriptors, ready for [`crate::Calculator::contract`]. Shape
    /// `[n_local][dim]`.
    pub gradient: Vec<f64>,
}

impl ActiveSet {
    /// A measure of feature rows of one type, and its gradient.
    ///
    /// Rows of a type without a set have an infinite value and no gradient (two-part form).
    ///
    /// **Shapes**: `rows` `[N][width]`; the results `[N]` and `[N][width]`.
    /// **Errors**: as [`ActiveSet::grade_rows`], and for an exponent below 2.
    pub fn measure_rows(
        &self,
        t: usize,
        rows: &[f64],
        measure: Measure,
    ) -> Result<(Vec<f64>, Vec<f64>)> {
        check_measure(measure)?;
        let n = self.width();
        if !rows.len().is_multiple_of(n) {
            return Err(Error::invalid(format!(
                "{} feature values are not a whole number of rows of {n}",
                rows.len()
            )));
        }
        let mut values = Vec::with_capacity(rows.len() / n);
        let mut gradient = Vec::with_capacity(rows.len());
        for block in rows.chunks(BLOCK * n) {
            match &self.sets {
                Sets::Compat(sets) => {
                    let Some(set) = sets.get(t).and_then(Option::as_ref) else {
                        return Err(self.no_set(t));
                    };
                    let mut c = set.coefficients(block, n);
                    values.extend(
                        c.chunks_exact_mut(n)
                            .map(|c| of_coefficients(c, measure, Size::Largest)),
                    );
                    let inverse = super::linalg::rows(&set.inverse, n, n);
                    let dc = super::linalg::rows(&c, block.len() / n, n);
                    gradient.extend(multiply(dc, inverse.transpose()));
                }
                Sets::TwoPart(sets) => match sets.get(t).and_then(Option::as_ref) {
                    Some(set) => {
                        let (v, g) = two_part(set, block, measure);
                        values.extend(v);
                        gradient.extend(g);
                    }
                    None => {
                        values.resize(values.len() + block.len() / n, f64::INFINITY);
                        gradient.resize(gradient.len() + block.len(), 0.0);
                    }
                },
            }
        }
        Ok((values, gradient))
    }

    /// The gradient of a function Φ of the atoms' measures with respect to the scaled descriptors.
    ///
    /// `weigh` gets the measures of all atoms and gives dΦ/d(measure); for Φ = Σ w_i g_i it gives
    /// the w_i. Forces -dΦ/dr follow by [`crate::Calculator::contract`].
    ///
    /// **Shapes**: `types` `[n_local]`, `descriptors` `[n_local][dim]` (those that
    /// [`crate::Request::DESCRIPTORS`] gives), the result of `weigh` `[n_local]`.
    /// **Errors**: as [`ActiveSet::grade_rows`]; for arrays of the wrong length.
    /// **Source**: differentiation of the B projection; Lysogorskiy et al., Phys. Rev. Mater. 7,
    /// 043801 (2023) for biasing by γ.
    pub fn gradient_of_grade(
        &self,
        model: &Model,
        types: &[u32],
        descriptors: &[f64],
        measure: Measure,
        weigh: impl FnOnce(&[f64]) -> Vec<f64>,
    ) -> Result<GradeGradient> {
        let (dim, n) = (model.dim(), self.width());
        super::check_width(n, model)?;
        super::atoms::check_descriptors(model, types, descriptors)?;
        let n_types = model.elements().len();
        let mut values = vec![0.0; types.len()];
        let mut by_type = Vec::new();
        for t in 0..n_types {
            let atoms: Vec<usize> = (0..types.len())
                .filter(|&i| types[i] as usize == t)
                .collect();
            let q = gather(descriptors, dim, &atoms);
            if atoms.is_empty() {
                continue;
            }
            let b = super::atoms::projections(&model.network(t), &q, dim, n);
            let (v, db) = self.measure_rows(t, &b, measure)?;
            for (&i, v) in atoms.iter().zip(v) {
                values[i] = v;
            }
            by_type.push((t, atoms, db));
        }
        let weights = weigh(&values);
        if weights.len() != types.len() {
            return Err(Error::invalid(format!(
                "{} weights were given for {} atoms",
                weights.len(),
                types.len()
            )));
        }
        let mut gradient = vec![0.0; descriptors.len()];
        for (t, atoms, db) in by_type {
            let net = model.network(t);
            for (&i, db) in atoms.iter().zip(db.chunks_exact(n)) {
                if weights[i] == 0.0 {
                    continue;
                }
                let out = &mut gradient[i * dim..][..dim];
                network::projection_gradient(&net, &descriptors[i * dim..][..dim], db, out);
                for x in out {
                    *x *= weights[i];
                }
            }
        }
        Ok(GradeGradient { values, gradient })
    }
}

fn check_measure(measure: Measure) -> Result<()> {
    match measure {
        Measure::Smooth { p } if !(p >= 2.0 && p.is_finite()) => Err(Error::invalid(format!(
            "the exponent of the smooth grade is {p}; expected a number of at least 2"
        ))),
        _ => Ok(()),
    }
}

/// A measure of coefficients alone; they are replaced by its gradient.
fn of_coefficients(c: &mut [f64], measure: Measure, size: Size) -> f64 {
    let (k, gamma) = max_abs(c);
    match measure {
        Measure::Rho => {
            // Without a subspace nothing is known of what lies outside it.
            c.fill(0.0);
            f64::INFINITY
        }
        Measure::Gamma | Measure::Total if size == Size::Length => {
            let length = dot(c, c).sqrt();
            for x in c {
                *x /= length.max(f64::MIN_POSITIVE);
            }
            length
        }
        Measure::Gamma | Measure::Total => {
            let sign = c[k].signum();
            c.fill(0.0);
            c[k] = sign;
            gamma
        }
        Measure::Smooth { p } => {
            if gamma == 0.0 {
                return 0.0;
            }
            // By the largest first: |c|^p overflows for atoms far outside.
            let norm = gamma
                * c.iter()
                    .map(|x| (x.abs() / gamma).powf(p))
                    .sum::<f64>()
                    .powf(1.0 / p);
            for x in c {
                *x = x.signum() * (x.abs() / norm).powf(p - 1.0);
            }
            norm
        }
    }
}

/// Values and gradients of rows in the two-part form.
fn two_part(set: &TwoPartSet, block: &[f64], measure: Measure) -> (Vec<f64>, Vec<f64>) {
    let (n, r, active) = (set.scale.len(), set.rank(), set.rows());
    let count = block.len() / n;
    let Projected { z, mut c, residual } = set.project(block);
    let mut values = Vec::with_capacity(count);
    // What the residual contributes, along the residual and along z.
    let mut from_rho = vec![[0.0; 2]; count];
    for k in 0..count {
        let c = &mut c[k * active..][..active];
        let z = &z[k * n..][..n];
        let rest = &residual[k * n..][..n];
        let part = of_coefficients(c, measure, set.size);
        if measure == Measure::Gamma {
            values.push(part);
            continue;
        }
        let ratio = set.rho(z, rest) / set.kappa;
        // ρ² = |rest|² / |z|² / scale², d(rest)ᵀ rest = restᵀ dz.
        let length = dot(z, z);
        let half_slope = 1.0 / (length * (set.residual_scale * set.kappa).powi(2));
        let square = [half_slope, -half_slope * dot(rest, rest) / length];
        let (value, of_part, of_ratio) = match measure {
            Measure::Rho => (ratio * set.kappa, 0.0, set.kappa / ratio),
            Measure::Smooth { .. } => {
                let value = part.hypot(ratio);
                (value, part / value, 1.0 / value)
            }
            _ if ratio > part => (ratio, 0.0, 1.0 / ratio),
            _ => (part, 1.0, 0.0),
        };
        values.push(value);
        if value > 0.0 && value.is_finite() {
            for x in c {
                *x *= of_part;
            }
            from_rho[k] = square.map(|s| s * of_ratio);
        } else {
            c.fill(0.0);
        }
    }
    let dy = multiply(
        rows(&c, count, active),
        rows(&set.inverse, r, active).transpose(),
    );
    let mut gradient = vec![0.0; block.len()];
    multiply_add(
        &mut gradient,
        1.0,
        rows(&dy, count, r),
        rows(&set.directions, r, n),
    );
    for k in 0..count {
        let [along_rest, along_z] = from_rho[k];
        for j in 0..n {
            let x = &mut gradient[k * n + j];
            *x += along_rest * residual[k * n + j] + along_z * z[k * n + j];
            *x /= set.scale[j];
        }
    }
    (values, gradient)
}
