//! The deviation of the total energy as something that can be differentiated: what biased dynamics needs.

use super::{Columns, Posterior, product};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::nep::linear;
use crate::nep::network::last_hidden;
use faer::MatRef;

impl Posterior {
    /// The sum over atoms of what the energy is linear in; the atoms of all ranks may be summed.
    ///
    /// **Shapes**: `types` `[n_atoms]`, `neurons` `[n_atoms][neurons]` (those that
    /// [`crate::backend::Request::NEURONS`] gives); the result as [`Columns`] orders it.
    /// **Errors**: [`Error::InvalidArgument`] for arrays or types that do not fit.
    pub fn energy_columns(
        &self,
        model: &Model,
        types: &[u32],
        neurons: &[f64],
    ) -> Result<Vec<f64>> {
        let h = model.header().neurons[0];
        self.check_atoms(types, (neurons, h), "neurons")?;
        let columns = Columns::new(model);
        let mut sum = vec![0.0; columns.len()];
        for (&t, x) in types.iter().zip(neurons.chunks_exact(h)) {
            let phi = last_hidden(&model.network(t as usize), x);
            // Biases are subtracted.
            for (column, phi) in columns.of(t as usize).zip(phi.into_iter().chain([-1.0])) {
                sum[column] += phi;
            }
        }
        Ok(sum)
    }

    /// σ of an energy with these columns, in eV, and dσ/d(column): zero where σ is, which has no direction there.
    ///
    /// **Errors**: [`Error::InvalidArgument`] for another number of columns.
    pub fn energy_slope(&self, columns: &[f64]) -> Result<(f64, Vec<f64>)> {
        let n = self.factor.nrows();
        if columns.len() != n {
            return Err(Error::invalid(format!(
                "{} columns were given; this posterior has {n}",
                columns.len()
            )));
        }
        let phi = MatRef::from_column_major_slice(columns, n, 1);
        let whitened = product(self.factor.transpose(), phi);
        let length = whitened.col(0).iter().map(|x| x * x).sum::<f64>().sqrt();
        if length == 0.0 {
            return Ok((0.0, vec![0.0; n]));
        }
        let along = product(self.factor.as_ref(), whitened.as_ref());
        let scale = self.energy[0] / length;
        let slope = along.col(0).iter().map(|x| scale * x).collect();
        Ok((self.energy[0] * length, slope))
    }

    /// The gradient, with respect to the scaled descriptors, of an energy that is linear in the columns with these
    /// weights.
    ///
    /// **Shapes**: as [`Posterior::energy_columns`]; `weights` by column; the result `[n_atoms][dim]`.
    /// **Errors**: as [`Posterior::energy_columns`].
    pub fn column_gradient(
        &self,
        model: &Model,
        types: &[u32],
        neurons: &[f64],
        weights: &[f64],
    ) -> Result<Vec<f64>> {
        let h = model.header().neurons[0];
        self.check_atoms(types, (neurons, h), "neurons")?;
        let columns = Columns::new(model);
        let of_type = |t: usize| columns.of(t).map(|column| weights[column]).collect();
        let mut gradient = vec![0.0; types.len() * model.dim()];
        linear::add_gradient(model, types, neurons, of_type, &mut gradient);
        Ok(gradient)
    }
}
