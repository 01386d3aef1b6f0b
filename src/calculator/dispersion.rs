//! What a calculator adds to a model: DFT-D3.

use super::kept::Ready;
use super::view::View;
use super::{Calculator, bring_back};
use crate::backend::{Evaluation, Request, d3};
use crate::error::{Error, Result};
use crate::nep::d3::{D3, Kind};

impl Calculator {
    /// The dispersion correction, if one is added.
    pub fn dispersion(&self) -> Option<&D3> {
        self.dispersion.as_ref()
    }

    /// Adds a dispersion correction to energies, forces and virials from now on, or adds none. It belongs to models
    /// whose training data had none.
    ///
    /// **Errors**: [`Error::Unsupported`] for an element beyond its tables, and a model without energies;
    /// [`Error::Backend`] when a device fails.
    pub fn set_dispersion(&mut self, dispersion: Option<D3>) -> Result<()> {
        if dispersion.is_some() {
            if self.model.kind().is_tensor() {
                return Err(Error::Unsupported(format!(
                    "D3 adds to energies, but this model ({}) gives {}; leave it out",
                    self.model.header().token(),
                    self.model.kind().name()
                )));
            }
            self.model
                .elements()
                .iter()
                .try_for_each(|&e| Kind::new(e).map(|_| ()))?;
        }
        self.adds_dispersion = self.backend.set_dispersion(dispersion.as_ref())?;
        self.dispersion = dispersion;
        Ok(())
    }

    /// Adds the correction, which has a list of its own, to the results, unless the machine did.
    pub(super) fn add_dispersion(&mut self, view: View<'_>, request: Request) -> Result<()> {
        let Some(d3) = &self.dispersion else {
            return Ok(());
        };
        let done = self.adds_dispersion && !matches!(view, View::Listed(_));
        if done || request.contains(Request::WITHOUT_ENERGIES) {
            return Ok(());
        }
        let mut more = Evaluation::default();
        match self.far.ready(&self.model, d3.reach(), false, view)? {
            Ready::Atoms(_) => return Err(Error::Internal("D3 got atoms without a list".into())),
            Ready::Listed(system, order) => {
                d3::evaluate(d3, self.model.elements(), &system, request, &mut more)?;
                if !order.is_empty() {
                    bring_back(order, &mut more);
                }
            }
        }
        let out = &mut self.results;
        let add = |to: &mut [f64], from: &[f64]| {
            to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
        };
        out.energy += more.energy;
        add(&mut out.energies, &more.energies);
        add(&mut out.virial, &more.virial);
        add(out.forces.as_flattened_mut(), more.forces.as_flattened());
        add(out.virials.as_flattened_mut(), more.virials.as_flattened());
        Ok(())
    }
}
