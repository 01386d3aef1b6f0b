//! Gradients of grades with respect to features and descriptors.

use super::linalg::{dot, max_abs, multiply, multiply_add, rows};
use super::two_part::{Size, TwoPartSet};
use super::{ActiveSet, Sets, gather, reduce, ridge};
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
    /// dΦ/dq of the scaled descriptors, ready for `Calculator::contract`. Shape
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
        if let Sets::Clustered(sets) = &self.sets {
            return smallest_measure(sets, t, rows, measure, n);
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
                Sets::Clustered(_) => {
                    return Err(Error::Internal("clusters are measured one by one".into()));
                }
                Sets::Ridge(_) => {
                    return Err(Error::Unsupported(
                        "the ridge form has gradients by descriptors, not by projections; ask for those"
                            .into(),
                    ));
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
    /// the w_i. Forces -dΦ/dr follow by `Calculator::contract`.
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
            let net = model.network(t);
            let (v, dq) = match &self.sets {
                Sets::Ridge(sets) => {
                    check_measure(measure)?;
                    match sets.get(t).and_then(Option::as_ref) {
                        Some(set) => ridge::gradient(set, &net, &q, measure),
                        None => (vec![f64::INFINITY; atoms.len()], vec![0.0; q.len()]),
                    }
                }
                _ => {
                    let b = super::atoms::projections(&net, &q, dim, n);
                    let (v, db) = self.measure_rows(t, &b, measure)?;
                    let mut dq = vec![0.0; q.len()];
                    let atoms = q.chunks_exact(dim).zip(db.chunks_exact(n));
                    for ((q, db), out) in atoms.zip(dq.chunks_exact_mut(dim)) {
                        network::projection_gradient(&net, q, db, out);
                    }
                    (v, dq)
                }
            };
            for (&i, v) in atoms.iter().zip(v) {
                values[i] = v;
            }
            by_type.push((atoms, dq));
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
        for (atoms, dq) in by_type {
            for (&i, dq) in atoms.iter().zip(dq.chunks_exact(dim)) {
                let out = &mut gradient[i * dim..][..dim];
                if weights[i] != 0.0 {
                    out.iter_mut()
                        .zip(dq)
                        .for_each(|(x, dq)| *x = weights[i] * dq);
                }
            }
        }
        Ok(GradeGradient { values, gradient })
    }
}

/// The measure of the cluster in which it is smallest, with its gradient.
fn smallest_measure(
    sets: &[ActiveSet],
    t: usize,
    rows: &[f64],
    measure: Measure,
    n: usize,
) -> Result<(Vec<f64>, Vec<f64>)> {
    let mut best: Option<(Vec<f64>, Vec<f64>)> = None;
    for set in sets {
        let found = set.measure_rows(t, rows, measure)?;
        let Some((values, gradient)) = &mut best else {
            best = Some(found);
            continue;
        };
        for (k, value) in values.iter_mut().enumerate() {
            if found.0[k] < *value {
                *value = found.0[k];
                gradient[k * n..][..n].copy_from_slice(&found.1[k * n..][..n]);
            }
        }
    }
    Ok(best.unwrap_or_default())
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
            let sum: f64 = c.iter().map(|x| power(x.abs() / gamma, p)).sum();
            let norm = gamma * sum.powf(1.0 / p);
            for x in c {
                *x = x.signum() * power(x.abs() / norm, p - 1.0);
            }
            norm
        }
    }
}

/// x^p of a number from 0 to 1 or so: by products where p is whole, as it mostly is.
fn power(x: f64, p: f64) -> f64 {
    if p == p.trunc() && p < f64::from(i32::MAX) {
        x.powi(p as i32)
    } else {
        x.powf(p)
    }
}

/// Values and gradients of rows in the two-part form.
fn two_part(set: &TwoPartSet, block: &[f64], measure: Measure) -> (Vec<f64>, Vec<f64>) {
    let (n, r, active) = (set.scale.len(), set.rank(), set.rows());
    let count = block.len() / n;
    let z = set.scaled(block);
    let y = set.reduced(&z);
    let mut c = set.coefficients(&y);
    let mut values = Vec::with_capacity(count);
    // What the residual contributes, along the residual and along z.
    let mut from_rho = vec![[0.0; 2]; count];
    for k in 0..count {
        let c = &mut c[k * active..][..active];
        let z = &z[k * n..][..n];
        let y = &y[k * r..][..r];
        let part = of_coefficients(c, measure, set.size);
        if measure == Measure::Gamma {
            values.push(part);
            continue;
        }
        let square = reduce::residual(z, y, &set.directions);
        let ratio = set.rho_of(square.sqrt()) / set.kappa;
        // ρ² = |rest|² / |z|² / scale², d(rest)ᵀ rest = restᵀ dz.
        let length = dot(z, z);
        let half_slope = 1.0 / (length * (set.residual_scale * set.kappa).powi(2));
        let square = [half_slope, -half_slope * square];
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
    let mut dy = multiply(
        rows(&c, count, active),
        rows(&set.inverse, r, active).transpose(),
    );
    // The residual is z less y times the directions, which follow below.
    for (k, [along_rest, _]) in from_rho.iter().enumerate() {
        for (dy, y) in dy[k * r..][..r].iter_mut().zip(&y[k * r..][..r]) {
            *dy -= along_rest * y;
        }
    }
    let mut gradient = vec![0.0; block.len()];
    multiply_add(
        &mut gradient,
        1.0,
        rows(&dy, count, r),
        rows(&set.directions, r, n),
    );
    for k in 0..count {
        let along_z = from_rho[k][0] + from_rho[k][1];
        for j in 0..n {
            let x = &mut gradient[k * n + j];
            *x = (*x + along_z * z[k * n + j]) / set.scale[j];
        }
    }
    (values, gradient)
}
