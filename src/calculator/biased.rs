//! Forces of an energy and of what biases it, together.

use super::Calculator;
use super::grading::types;
use super::view::View;
use crate::backend::{Contraction, Request};
use crate::error::{Error, Result};
use crate::nep::linear;

impl Calculator {
    /// [`Calculator::contract`] of the energy plus Φ: the forces of a biased step. Features that were asked for
    /// before, to find `gradient`, are not made again: with these both cost one force evaluation and half of one.
    ///
    /// **Errors**: as [`Calculator::contract`]; [`Error::Unsupported`] if the energy has parts beside that of the
    /// descriptors.
    pub fn contract_with_energy<'a>(
        &mut self,
        atoms: impl Into<View<'a>>,
        gradient: &[f64],
    ) -> Result<&Contraction> {
        let kind = self.model.kind();
        let other = match self.model.header().zbl {
            Some(_) => Some("a repulsion"),
            None if kind.is_tensor() => Some("no energy"),
            None if kind.is_long_ranged() => Some("charges"),
            None => self.dispersion().map(|_| "a dispersion correction"),
        };
        if let Some(other) = other {
            return Err(Error::Unsupported(format!(
                "forces of energy and bias together need an energy of the descriptors alone, and there is {other}; \
                 compute the forces and contract the bias"
            )));
        }
        self.with_atoms(atoms.into(), |own, ready| {
            own.check_gradient(ready, gradient)?;
            own.features(ready, Request::NEURONS)?;
            let (mut sum, neurons) = (gradient.to_vec(), &own.ahead.neurons);
            linear::add_energy_gradient(&own.model, &types(ready), neurons, &mut sum);
            own.carry(ready, &sum)
        })?;
        Ok(&self.contraction)
    }
}
