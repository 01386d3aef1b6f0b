//! What a calculator does with its posterior.

use super::Calculator;
use super::grading::types;
use super::view::View;
use crate::backend::Request;
use crate::error::{Error, Result};
use crate::posterior::Posterior;
use std::sync::Arc;

impl Calculator {
    /// σ of the total energy, eV; its gradient, carried to positions and strain, is in
    /// [`Calculator::contraction`]: zero where σ is zero.
    ///
    /// What `request` asks for is evaluated along with it, and in [`Calculator::results`]: with forces both cost two
    /// force evaluations.
    ///
    /// **Errors**: as [`Calculator::compute`]; without a posterior.
    /// **Source**: σ² = φᵀSφ of the energy's columns φ; dσ = (S φ)ᵀ dφ / σ.
    pub fn contract_sigma<'a>(
        &mut self,
        atoms: impl Into<View<'a>>,
        request: Request,
    ) -> Result<f64> {
        let posterior = self.needed_posterior()?;
        self.with_atoms(atoms.into(), |own, ready| {
            own.evaluate(ready, request | Request::NEURONS)?;
            let (types, neurons) = (types(ready), &own.results.neurons);
            let columns = posterior.energy_columns(&own.model, &types, neurons)?;
            let (sigma, slope) = posterior.energy_slope(&columns)?;
            let gradient = posterior.column_gradient(&own.model, &types, neurons, &slope)?;
            own.carry(ready, &gradient)?;
            Ok(sigma)
        })
    }

    /// Adds the deviations of atoms of these types, if they are asked for, to the results.
    pub(super) fn deviate(&mut self, types: &[u32], request: Request) -> Result<()> {
        let out = &mut self.results;
        out.sigma.clear();
        out.sigma_energies.clear();
        out.sigma_energy = 0.0;
        if request.contains(Request::SIGMA) {
            let posterior = self.needed_posterior()?;
            let q = &self.results.descriptors;
            self.results.sigma = posterior.of_forces(&self.model, types, q)?;
        }
        if request.contains(Request::SIGMA_ENERGIES) {
            let posterior = self.needed_posterior()?;
            let found = posterior.of_energies(&self.model, types, &self.results.neurons)?;
            (self.results.sigma_energies, self.results.sigma_energy) = found;
        }
        Ok(())
    }

    pub(super) fn needed_posterior(&self) -> Result<Arc<Posterior>> {
        self.posterior.clone().ok_or_else(|| {
            Error::invalid(
                "deviations were asked for but the calculator has no posterior; load one first",
            )
        })
    }
}
