//! What a calculator does with its posterior.

use super::Calculator;
use crate::backend::Request;
use crate::error::{Error, Result};
use crate::posterior::Posterior;
use std::sync::Arc;

impl Calculator {
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
