//! What a calculator does with its posterior.

use super::Calculator;
use crate::backend::Request;
use crate::error::{Error, Result};
use crate::posterior::{Deviations, Posterior};
use std::sync::Arc;

impl Calculator {
    /// Adds the deviations of atoms of these types, if they are asked for, to the results.
    pub(super) fn deviate(&mut self, types: &[u32], request: Request) -> Result<()> {
        let out = &mut self.results;
        let mut found = Deviations {
            forces: std::mem::take(&mut out.sigma),
            energies: std::mem::take(&mut out.sigma_energies),
            energy: 0.0,
        };
        found.forces.clear();
        found.energies.clear();
        if request.contains(Request::SIGMA) {
            let posterior = self.needed_posterior()?;
            let parts = (&self.results.descriptors[..], &self.results.neurons[..]);
            posterior.deviations(&self.model, types, parts, &mut found)?;
        }
        let out = &mut self.results;
        (out.sigma, out.sigma_energies, out.sigma_energy) =
            (found.forces, found.energies, found.energy);
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
