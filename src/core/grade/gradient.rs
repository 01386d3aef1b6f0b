//! Gradients of grades with respect to features and descriptors.

use super::linalg::{each_block, max_abs, multiply};
use super::{ActiveSet, Effort, GradeColumns, Sets, gather, ridge};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::nep::network;

/// Rows handled together.
const BLOCK: usize = 256;

/// A number made of the coefficients c and the residual ρ of one atom.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Measure {
    /// γ; in the compatibility form max|c|, whose gradient jumps where another active row takes over.
    Gamma,
    /// ρ, the part of the features outside the active rows; infinite in the compatibility form, which
    /// has none.
    Rho,
    /// Γ, which is smooth in the ridge form and γ in the compatibility form.
    Total,
    /// Γ; in the compatibility form ‖c‖_p. `p` = 2 gives the leverage, larger `p` come closer to Γ.
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
    /// A measure of feature rows of one type, and its gradient, in the compatibility form.
    ///
    /// **Shapes**: `rows` `[N][width]`; the results `[N]` and `[N][width]`.
    /// **Errors**: as [`ActiveSet::grade_rows`]; for an exponent below 2; [`Error::Unsupported`] for a set
    /// in the ridge form, whose gradients are by descriptors.
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
        let Sets::Compat(sets) = &self.sets else {
            return Err(Error::Unsupported(
                "the ridge form has gradients by descriptors, not by projections; ask for those"
                    .into(),
            ));
        };
        let Some(set) = sets.get(t).and_then(Option::as_ref) else {
            return Err(self.no_set(t));
        };
        let mut values = Vec::with_capacity(rows.len() / n);
        let mut gradient = Vec::with_capacity(rows.len());
        let inverse = super::linalg::rows(&set.inverse, n, n);
        for block in rows.chunks(BLOCK * n) {
            let mut c = set.coefficients(block, n);
            values.extend(c.chunks_exact_mut(n).map(|c| of_coefficients(c, measure)));
            let dc = super::linalg::rows(&c, block.len() / n, n);
            gradient.extend(multiply(dc, inverse.transpose()));
        }
        Ok((values, gradient))
    }

    /// The gradient of a function Φ of the atoms' measures with respect to the scaled descriptors.
    ///
    /// `weigh` gets the measures of all atoms and gives dΦ/d(measure); for Φ = Σ w_i g_i it gives
    /// the w_i. Forces -dΦ/dr follow by `Calculator::contract`.
    ///
    /// **Shapes**: `types` `[n_local]`; `descriptors` `[n_local][dim]` and `neurons` `[n_local][neurons]` (what
    /// [`crate::Request::DESCRIPTORS`] and [`crate::Request::NEURONS`] give), the latter empty if they are to be
    /// computed; the result of `weigh` `[n_local]`.
    /// **Errors**: as [`ActiveSet::grade_rows`]; for arrays of the wrong length.
    /// **Source**: differentiation of the B projection; Lysogorskiy et al., Phys. Rev. Mater. 7,
    /// 043801 (2023) for biasing by γ.
    pub fn gradient_of_grade(
        &self,
        model: &Model,
        types: &[u32],
        (descriptors, neurons): (&[f64], &[f64]),
        measure: Measure,
        weigh: impl FnOnce(&[f64]) -> Vec<f64>,
    ) -> Result<GradeGradient> {
        let (dim, n) = (model.dim(), self.width());
        super::check_width(n, model)?;
        super::atoms::check_descriptors(model, types, descriptors)?;
        let (n_types, h) = (model.elements().len(), model.header().neurons[0]);
        if !neurons.is_empty() && neurons.len() != types.len() * h {
            return Err(Error::invalid(format!(
                "{} neurons were given for {} atoms of {h} each; ask for neurons, or give none",
                neurons.len(),
                types.len()
            )));
        }
        let mut values = vec![0.0; types.len()];
        let mut gradient = vec![0.0; descriptors.len()];
        for t in 0..n_types {
            let atoms: Vec<usize> = (0..types.len())
                .filter(|&i| types[i] as usize == t)
                .collect();
            if atoms.is_empty() {
                continue;
            }
            let net = model.network(t);
            let mut put = |atoms: &[usize], (found, rows): (Vec<f64>, Vec<f64>)| {
                let rows = found.into_iter().zip(rows.chunks_exact(dim));
                for (&i, (value, row)) in atoms.iter().zip(rows) {
                    values[i] = value;
                    gradient[i * dim..][..dim].copy_from_slice(row);
                }
            };
            match &self.sets {
                Sets::Ridge(sets) => {
                    check_measure(measure)?;
                    let Some(set) = sets.get(t).and_then(Option::as_ref) else {
                        atoms.iter().for_each(|&i| values[i] = f64::INFINITY);
                        continue;
                    };
                    let one = |atoms: &[usize]| {
                        let q = gather(descriptors, dim, atoms);
                        let x = match neurons {
                            [] => super::atoms::neurons(&net, &q, dim),
                            _ => gather(neurons, h, atoms),
                        };
                        ridge::gradient(set, &net, (&q, &x), measure)
                    };
                    each_block(&atoms, 1, one, put);
                }
                Sets::Compat(_) => {
                    let q = gather(descriptors, dim, &atoms);
                    let b = super::atoms::projections(&net, &q, dim, n);
                    let (v, db) = self.measure_rows(t, &b, measure)?;
                    let mut dq = vec![0.0; q.len()];
                    let rows = q.chunks_exact(dim).zip(db.chunks_exact(n));
                    for ((q, db), out) in rows.zip(dq.chunks_exact_mut(dim)) {
                        network::projection_gradient(&net, q, db, out);
                    }
                    put(&atoms, (v, dq));
                }
            }
        }
        let weights = weigh(&values);
        check_weights(&weights, types)?;
        for (row, &weight) in gradient.chunks_exact_mut(dim).zip(&weights) {
            match weight {
                0.0 => row.fill(0.0),
                1.0 => {}
                _ => row.iter_mut().for_each(|x| *x *= weight),
            }
        }
        Ok(GradeGradient { values, gradient })
    }
}

impl ActiveSet {
    /// [`ActiveSet::gradient_of_grade`] at less cost for functions that are flat up to a threshold: atoms whose Γ
    /// is at most that have a bound of it as their measure and no gradient. In the compatibility form, and for
    /// γ or ρ alone, all atoms are exact.
    pub fn gradient_of_grade_above(
        &self,
        model: &Model,
        types: &[u32],
        (descriptors, neurons): (&[f64], &[f64]),
        (measure, threshold): (Measure, f64),
        weigh: impl FnOnce(&[f64]) -> Vec<f64>,
    ) -> Result<GradeGradient> {
        let total = matches!(measure, Measure::Total | Measure::Smooth { .. });
        if !total || !matches!(self.sets, Sets::Ridge(_)) {
            return self.gradient_of_grade(model, types, (descriptors, neurons), measure, weigh);
        }
        check_measure(measure)?;
        let (mut values, mut others) = (Vec::new(), [Vec::new(), Vec::new()]);
        let [gamma, rho] = &mut others;
        let out = GradeColumns {
            gamma,
            rho,
            grade: &mut values,
        };
        let effort = Effort::Above(threshold);
        self.grade_atoms(model, types, effort, (descriptors, neurons), out)?;
        let far: Vec<usize> = (0..types.len())
            .filter(|&i| values[i] > threshold)
            .collect();
        let (dim, h) = (model.dim(), model.header().neurons[0]);
        let own_types: Vec<u32> = far.iter().map(|&i| types[i]).collect();
        let own = gather(descriptors, dim, &far);
        let known = match neurons {
            [] => Vec::new(),
            _ => gather(neurons, h, &far),
        };
        let mut weights = Vec::new();
        let found =
            self.gradient_of_grade(model, &own_types, (&own, &known), measure, |exact| {
                far.iter().zip(exact).for_each(|(&i, v)| values[i] = *v);
                weights = weigh(&values);
                far.iter()
                    .map(|&i| weights.get(i).copied().unwrap_or(0.0))
                    .collect()
            })?;
        check_weights(&weights, types)?;
        let mut gradient = vec![0.0; descriptors.len()];
        for (&i, row) in far.iter().zip(found.gradient.chunks_exact(dim)) {
            gradient[i * dim..][..dim].copy_from_slice(row);
        }
        Ok(GradeGradient { values, gradient })
    }
}

fn check_weights(weights: &[f64], types: &[u32]) -> Result<()> {
    if weights.len() != types.len() {
        return Err(Error::invalid(format!(
            "{} weights were given for {} atoms",
            weights.len(),
            types.len()
        )));
    }
    Ok(())
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
fn of_coefficients(c: &mut [f64], measure: Measure) -> f64 {
    let (k, gamma) = max_abs(c);
    match measure {
        Measure::Rho => {
            // Without a subspace nothing is known of what lies outside it.
            c.fill(0.0);
            f64::INFINITY
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
