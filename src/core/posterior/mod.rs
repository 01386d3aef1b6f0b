//! How wrong a model may be: deviations of forces and energies from what the training data left open.
//!
//! Forces: the deviation of the last layer's posterior is a sum over many contractions. What a calculator
//! gives is a small network per element that learnt it from the atom's own descriptors ([`LocalDeviation`]), so
//! that it costs no evaluation, is the same on every machine and needs no neighbour's part.
//! Energies: the posterior's own deviations, φᵀSφ of the last hidden neurons φ.
//!
//! Both are scaled to bounds: σ is what 68 % of the errors do not exceed, of an energy or of a force's length; a few σ,
//! which the file names, hold 95 %. Errors have heavier tails than a Gaussian, so that one number cannot say both.
//!
//! A posterior is fitted by the crate `nepal-train`.

mod columns;
mod file;
mod gradient;
mod local;
#[cfg(test)]
mod tests;

pub use columns::Columns;
pub use file::Saved;
pub use local::LocalDeviation;

use crate::error::{Error, Result};
use crate::model::Model;
use crate::nep::network::last_hidden;
use faer::{Accum, Mat, MatRef, Par};

/// Atoms that are done at once.
const BLOCK: usize = 128;
/// Version of the file. Version 2 had deviations of Gaussian errors in place of bounds.
pub const SCHEMA: u32 = 3;
/// σ of Gaussian errors over their deviation, and the bound of 95 % over σ: of the length of a force's error, whose
/// deviation is the root of the three summed variances, and of an energy's.
pub const GAUSSIAN: [[f64; 2]; 2] = [[1.081_030_7, 1.492_994_7], [0.994_457_9, 1.970_886_9]];

/// The deviations of a model, tied to it by a fingerprint; never changes.
#[derive(Clone, Debug, PartialEq)]
pub struct Posterior {
    fingerprint: u64,
    /// Covariance of the columns as this times its transpose. Shape `[columns][columns]`.
    factor: Mat<f64>,
    /// Factor of the energy deviations, and how many σ hold 95 % of the errors.
    energy: [f64; 2],
    /// Whether the file was of an older version.
    older: bool,
    /// By element; none for those that the training data lack.
    forces: Vec<Option<LocalDeviation>>,
    /// By element: R with |R φ| the energy deviation of an atom with neurons and bias φ.
    own: Vec<Mat<f64>>,
}

impl Posterior {
    /// From the covariance of the columns, as `factor` times its transpose, the factor of energy deviations
    /// and how many of them hold 95 % of the errors, and the force deviations by element.
    ///
    /// **Errors**: [`Error::InvalidArgument`] if one of them does not fit the model.
    pub fn new(
        model: &Model,
        factor: Mat<f64>,
        energy: [f64; 2],
        forces: Vec<Option<LocalDeviation>>,
    ) -> Result<Self> {
        let columns = Columns::new(model);
        let n = columns.len();
        if (factor.nrows(), factor.ncols()) != (n, n) || forces.len() != model.elements().len() {
            return Err(Error::invalid(format!(
                "the posterior has {} x {} numbers and {} elements; this model needs {n} x {n} and {}",
                factor.nrows(),
                factor.ncols(),
                forces.len(),
                model.elements().len()
            )));
        }
        forces
            .iter()
            .flatten()
            .try_for_each(|f| f.check(model.dim()))?;
        let finite = (0..n).all(|j| factor.col(j).iter().all(|x| x.is_finite()));
        let known = energy.iter().all(|x| x.is_finite()) && energy[0] >= 0.0 && energy[1] >= 1.0;
        if !(finite && known) {
            return Err(Error::invalid(
                "the posterior's covariance holds numbers that are not finite",
            ));
        }
        let own = (0..forces.len())
            .map(|t| {
                let rows: Vec<usize> = columns.of(t).collect();
                // F Fᵀ = Rᵀ R for Fᵀ = Q R: no variance is lost in a difference.
                Mat::from_fn(n, rows.len(), |i, k| factor[(rows[k], i)])
                    .qr()
                    .thin_R()
                    .to_owned()
            })
            .collect();
        Ok(Self {
            fingerprint: model.fingerprint(),
            factor,
            energy,
            older: false,
            forces,
            own,
        })
    }

    /// The covariance of the output weights and biases as this times its transpose.
    pub fn factor(&self) -> MatRef<'_, f64> {
        self.factor.as_ref()
    }

    /// The force deviations of an element's atoms; none if the training data lack it.
    pub fn local(&self, t: usize) -> Option<&LocalDeviation> {
        self.forces.get(t)?.as_ref()
    }

    /// How many σ hold 95 % of the errors of an element's forces; σ itself holds 68 %.
    pub fn at_95(&self, t: usize) -> Option<f64> {
        Some(self.local(t)?.at_95)
    }

    /// The same for energies.
    pub fn energy_at_95(&self) -> f64 {
        self.energy[1]
    }

    /// What to tell the user of a file of an older version, if it was one.
    pub fn note(&self) -> Option<&'static str> {
        self.older.then_some(
            "this posterior is of an older version, whose σ was calibrated as if errors were Gaussian and the training \
             set's own: expect fewer errors than 95 % within its bounds; make it anew: nepal-loop train --posterior",
        )
    }

    /// Refuses a model that the posterior does not belong to.
    ///
    /// **Errors**: [`Error::InvalidArgument`].
    pub fn check_model(&self, model: &Model) -> Result<()> {
        check_fingerprint(self.fingerprint, model)
    }

    /// σ of the forces on atoms, which have these types, from their scaled descriptors, eV/Å; infinite for
    /// an element that the training data lack.
    ///
    /// **Shapes**: `types` and the result `[n_atoms]`, `descriptors` `[n_atoms][dim]`.
    /// **Errors**: [`Error::InvalidArgument`] for arrays or types that do not fit.
    pub fn of_forces(&self, model: &Model, types: &[u32], descriptors: &[f64]) -> Result<Vec<f64>> {
        let dim = model.dim();
        self.check_atoms(types, (descriptors, dim), "descriptors")?;
        let mut out = vec![f64::INFINITY; types.len()];
        for (t, local) in self.forces.iter().enumerate() {
            let (atoms, Some(local)) = (of_type(types, t), local) else {
                continue;
            };
            let found = by_blocks(&atoms, |atoms| {
                local.deviations(atoms.iter().map(|&i| &descriptors[i * dim..][..dim]))
            });
            for (&i, deviation) in atoms.iter().zip(found.into_iter().flatten()) {
                out[i] = deviation;
            }
        }
        Ok(out)
    }

    /// Deviations of the energies of atoms, which have these types, from their first hidden neurons, and of their
    /// sum; eV.
    ///
    /// **Shapes**: `types` and the result `[n_atoms]`, `neurons` `[n_atoms][neurons]`.
    /// **Errors**: as [`Posterior::of_forces`].
    pub fn of_energies(
        &self,
        model: &Model,
        types: &[u32],
        neurons: &[f64],
    ) -> Result<(Vec<f64>, f64)> {
        self.check_atoms(types, (neurons, model.header().neurons[0]), "neurons")?;
        let columns = Columns::new(model);
        let mut out = vec![0.0; types.len()];
        let mut sum = Mat::zeros(1, columns.len());
        for t in 0..self.forces.len() {
            let atoms = of_type(types, t);
            let found = by_blocks(&atoms, |atoms| self.energies(model, t, atoms, neurons));
            for (atoms, (energies, phi)) in atoms.chunks(BLOCK).zip(found) {
                for (&i, e) in atoms.iter().zip(energies) {
                    out[i] = e;
                }
                for (x, column) in phi.into_iter().zip(columns.of(t)) {
                    sum[(0, column)] += x;
                }
            }
        }
        let whole = variances(sum.as_ref(), self.factor())[0];
        Ok((out, self.energy[0] * whole.sqrt()))
    }

    fn check_atoms(
        &self,
        types: &[u32],
        (numbers, width): (&[f64], usize),
        what: &str,
    ) -> Result<()> {
        let n = types.len();
        if numbers.len() != n * width {
            return Err(Error::invalid(format!(
                "{} {what} were given for {n} atoms of {width} each",
                numbers.len()
            )));
        }
        if types.iter().all(|&t| (t as usize) < self.forces.len()) {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "a type is above the last of the model, {}",
            self.forces.len() - 1
        )))
    }

    /// Energy deviations of some atoms of a type, and the sum of their neurons and biases.
    fn energies(
        &self,
        model: &Model,
        t: usize,
        atoms: &[usize],
        neurons: &[f64],
    ) -> (Vec<f64>, Vec<f64>) {
        let h = model.header().neurons[0];
        let network = model.network(t);
        let mut phi = Vec::new();
        for &i in atoms {
            phi.extend(last_hidden(&network, &neurons[i * h..][..h]));
            // Biases are subtracted.
            phi.push(-1.0);
        }
        let phi = MatRef::from_row_major_slice(&phi, atoms.len(), phi.len() / atoms.len());
        let energies = variances(phi, self.own[t].transpose());
        let sum = |k: usize| phi.col(k).iter().sum();
        (
            energies.iter().map(|v| self.energy[0] * v.sqrt()).collect(),
            (0..phi.ncols()).map(sum).collect(),
        )
    }
}

/// The places of a type's atoms.
fn of_type(types: &[u32], t: usize) -> Vec<usize> {
    let all = types.iter().enumerate();
    all.filter(|(_, u)| **u as usize == t)
        .map(|(i, _)| i)
        .collect()
}

fn check_fingerprint(found: u64, model: &Model) -> Result<()> {
    let own = model.fingerprint();
    if found == own {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "the posterior belongs to another model (fingerprint {found:016x}, this one has {own:016x}); make it anew with this model"
    )))
}

/// Applies a function to blocks of atoms, on all threads where the build has them.
fn by_blocks<T: Send>(atoms: &[usize], function: impl Fn(&[usize]) -> T + Sync + Send) -> Vec<T> {
    #[cfg(feature = "cpu")]
    {
        use rayon::prelude::*;
        atoms.par_chunks(BLOCK).map(function).collect()
    }
    #[cfg(not(feature = "cpu"))]
    atoms.chunks(BLOCK).map(function).collect()
}

/// Variances of linear functions of the columns whose covariance is `factor` times its transpose.
///
/// **Shapes**: `rows` `[n][columns]`.
pub fn variances(rows: MatRef<'_, f64>, factor: MatRef<'_, f64>) -> Vec<f64> {
    let product = product(rows, factor);
    (0..product.nrows())
        .map(|i| product.row(i).iter().map(|x| x * x).sum())
        .collect()
}

/// A matrix product on one thread.
pub fn product(a: MatRef<'_, f64>, b: MatRef<'_, f64>) -> Mat<f64> {
    let mut out = Mat::zeros(a.nrows(), b.ncols());
    faer::linalg::matmul::matmul(out.as_mut(), Accum::Replace, a, b, 1.0, Par::Seq);
    out
}
