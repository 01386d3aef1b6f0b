//! What a calculator does with its posterior.

use super::Calculator;
use super::grading::types;
use super::kept::Ready;
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
        let view = atoms.into();
        let sigma = self.with_atoms(view, |own, ready| {
            own.needed_posterior()?;
            own.evaluate(ready, request | Request::NEURONS)?;
            let neurons = &own.results.neurons;
            let columns = own.columns_of(ready, neurons)?;
            let (sigma, gradient) = own.gradient_of(ready, neurons, &columns)?;
            own.carry(ready, &gradient)?;
            Ok(sigma)
        })?;
        self.add_dispersion(view, request)?;
        Ok(sigma)
    }

    /// How many columns the energy is linear in.
    ///
    /// **Errors**: [`Error::InvalidArgument`] without a posterior.
    pub fn sigma_count(&self) -> Result<usize> {
        Ok(self.needed_posterior()?.factor().nrows())
    }

    /// The sum over local atoms of what the energy is linear in; see [`Posterior::energy_columns`].
    ///
    /// **Errors**: as [`Calculator::contract_sigma`].
    pub fn sigma_columns<'a>(&mut self, atoms: impl Into<View<'a>>) -> Result<Vec<f64>> {
        self.with_atoms(atoms.into(), |own, ready| {
            own.needed_posterior()?;
            own.features(ready, Request::NEURONS)?;
            own.columns_of(ready, &own.ahead.neurons)
        })
    }

    /// σ of the energy whose columns, of all ranks, these are, and its gradient with respect to the descriptors of the
    /// local atoms; [`Calculator::contract`] carries it to positions.
    ///
    /// **Errors**: as [`Calculator::contract_sigma`]; for another number of columns.
    pub fn sigma_gradient<'a>(
        &mut self,
        atoms: impl Into<View<'a>>,
        columns: &[f64],
    ) -> Result<(f64, Vec<f64>)> {
        self.with_atoms(atoms.into(), |own, ready| {
            own.features(ready, Request::NEURONS)?;
            own.gradient_of(ready, &own.ahead.neurons, columns)
        })
    }

    fn columns_of(&self, ready: &Ready<'_>, neurons: &[f64]) -> Result<Vec<f64>> {
        let posterior = self.needed_posterior()?;
        posterior.energy_columns(&self.model, &types(ready), neurons)
    }

    fn gradient_of(
        &self,
        ready: &Ready<'_>,
        neurons: &[f64],
        columns: &[f64],
    ) -> Result<(f64, Vec<f64>)> {
        let posterior = self.needed_posterior()?;
        let (sigma, slope) = posterior.energy_slope(columns)?;
        let gradient = posterior.column_gradient(&self.model, &types(ready), neurons, &slope)?;
        Ok((sigma, gradient))
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
