//! The deviation of the total energy as something that can be differentiated: what biased dynamics needs.

use super::{BLOCK, Columns, Posterior, product};
use crate::error::{Error, Result};
use crate::model::{Model, Network};
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
        let (dim, columns) = (model.dim(), Columns::new(model));
        let mut gradient = vec![0.0; types.len() * dim];
        for t in 0..self.forces.len() {
            let atoms: Vec<usize> = (0..types.len())
                .filter(|&i| types[i] as usize == t)
                .collect();
            let network = model.network(t);
            let w0 = MatRef::from_row_major_slice(network.w0, h, dim);
            let weights: Vec<f64> = columns.of(t).map(|column| weights[column]).collect();
            for atoms in atoms.chunks(BLOCK) {
                let slopes: Vec<f64> = atoms
                    .iter()
                    .flat_map(|&i| slopes(&network, &neurons[i * h..][..h], &weights))
                    .collect();
                let slopes = MatRef::from_column_major_slice(&slopes, h, atoms.len());
                let rows = product(w0.transpose(), slopes);
                for (k, &i) in atoms.iter().enumerate() {
                    let out = gradient[i * dim..][..dim].iter_mut();
                    out.zip(rows.col(k).iter()).for_each(|(out, x)| *out = *x);
                }
            }
        }
        Ok(gradient)
    }
}

/// dU/du of the arguments u of the first layer's neurons `x`, for U that is linear in the last layer's with these
/// weights.
fn slopes(network: &Network<'_>, x: &[f64], weights: &[f64]) -> Vec<f64> {
    let mut back = weights[..weights.len() - 1].to_vec();
    if !network.w2.is_empty() {
        let mut first = vec![0.0; x.len()];
        let rows = network.w1.chunks_exact(x.len());
        for ((row, y), w) in rows.zip(last_hidden(network, x)).zip(&back) {
            let slope = w * (1.0 - y * y);
            first.iter_mut().zip(row).for_each(|(f, w)| *f += slope * w);
        }
        back = first;
    }
    back.iter_mut().zip(x).for_each(|(g, x)| *g *= 1.0 - x * x);
    back
}
