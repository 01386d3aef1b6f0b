//! How wrong a model may be: deviations of forces and energies from what the training data left open.
//!
//! Forces: the deviation of the last layer's posterior is a sum over many contractions. What a calculator
//! gives is a small network per element that learnt it from the atom's own descriptors ([`LocalDeviation`]), so
//! that it costs no evaluation, is the same on every machine and needs no neighbour's part.
//! Energies: the posterior's own deviations, φᵀSφ of the last hidden neurons φ.
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
/// Version of the file.
pub const SCHEMA: u32 = 2;

/// The deviations of a model, tied to it by a fingerprint; never changes.
#[derive(Clone, Debug, PartialEq)]
pub struct Posterior {
    fingerprint: u64,
    /// Covariance of the columns as this times its transpose. Shape `[columns][columns]`.
    factor: Mat<f64>,
    /// Factor of the energy deviations.
    energy: f64,
    /// By element; none for those that the training data lack.
    forces: Vec<Option<LocalDeviation>>,
    /// By element: R with |R φ| the energy deviation of an atom with neurons and bias φ.
    own: Vec<Mat<f64>>,
}

/// Standard deviations of what a model says of some atoms.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Deviations {
    /// Of the force on each atom: root of the summed variances of its components, eV/Å; infinite for an
    /// element that the training data lack. Shape `[n_atoms]`.
    pub forces: Vec<f64>,
    /// Of each atom's energy, eV. Shape `[n_atoms]`.
    pub energies: Vec<f64>,
    /// Of the sum of the energies, eV.
    pub energy: f64,
}

impl Posterior {
    /// From the covariance of the columns, as `factor` times its transpose, the factor of energy deviations,
    /// and the force deviations by element.
    ///
    /// **Errors**: [`Error::InvalidArgument`] if one of them does not fit the model.
    pub fn new(
        model: &Model,
        factor: Mat<f64>,
        energy: f64,
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
        if !(finite && energy.is_finite() && energy >= 0.0) {
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

    /// Refuses a model that the posterior does not belong to.
    ///
    /// **Errors**: [`Error::InvalidArgument`].
    pub fn check_model(&self, model: &Model) -> Result<()> {
        check_fingerprint(self.fingerprint, model)
    }

    /// Deviations of atoms, which have these types, from their scaled descriptors and first hidden neurons.
    ///
    /// **Shapes**: `types` `[n_atoms]`, `descriptors` `[n_atoms][dim]`, `neurons` `[n_atoms][neurons]`.
    /// **Errors**: [`Error::InvalidArgument`] for arrays or types that do not fit.
    pub fn deviations(
        &self,
        model: &Model,
        types: &[u32],
        (descriptors, neurons): (&[f64], &[f64]),
        out: &mut Deviations,
    ) -> Result<()> {
        let (n, dim, h) = (types.len(), model.dim(), model.header().neurons[0]);
        if descriptors.len() != n * dim || neurons.len() != n * h {
            return Err(Error::invalid(format!(
                "{} descriptors and {} neurons were given for {n} atoms of {dim} and {h} each",
                descriptors.len(),
                neurons.len()
            )));
        }
        self.check_types(types)?;
        let columns = Columns::new(model);
        out.forces.clear();
        out.forces.resize(n, 0.0);
        out.energies.clear();
        out.energies.resize(n, 0.0);
        let mut sum = Mat::zeros(1, columns.len());
        for t in 0..self.forces.len() {
            let atoms: Vec<usize> = (0..n).filter(|&i| types[i] as usize == t).collect();
            if atoms.is_empty() {
                continue;
            }
            let found = by_blocks(&atoms, |atoms| {
                self.block(model, t, atoms, (descriptors, neurons))
            });
            let found = atoms.chunks(BLOCK).zip(found);
            for (atoms, (forces, energies, phi)) in found {
                for (&i, (f, e)) in atoms.iter().zip(forces.into_iter().zip(energies)) {
                    (out.forces[i], out.energies[i]) = (f, e);
                }
                for (x, column) in phi.into_iter().zip(columns.of(t)) {
                    sum[(0, column)] += x;
                }
            }
        }
        out.energy = self.energy * variances(sum.as_ref(), self.factor())[0].sqrt();
        Ok(())
    }

    fn check_types(&self, types: &[u32]) -> Result<()> {
        if types.iter().all(|&t| (t as usize) < self.forces.len()) {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "a type is above the last of the model, {}",
            self.forces.len() - 1
        )))
    }

    /// Force and energy deviations of some atoms of a type, and the sum of their neurons and biases.
    fn block(
        &self,
        model: &Model,
        t: usize,
        atoms: &[usize],
        (descriptors, neurons): (&[f64], &[f64]),
    ) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
        let h = model.header().neurons[0];
        let forces = match &self.forces[t] {
            Some(local) => local.deviations(&gather(descriptors, model.dim(), atoms)),
            None => vec![f64::INFINITY; atoms.len()],
        };
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
            forces,
            energies.iter().map(|v| self.energy * v.sqrt()).collect(),
            (0..phi.ncols()).map(sum).collect(),
        )
    }
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

fn gather(rows: &[f64], width: usize, places: &[usize]) -> Vec<f64> {
    places
        .iter()
        .flat_map(|&i| &rows[i * width..][..width])
        .copied()
        .collect()
}
