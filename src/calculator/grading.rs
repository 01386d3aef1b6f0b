//! What a calculator does with its active set.

use super::Calculator;
use super::kept::Ready;
use super::view::View;
use crate::backend::{Evaluation, Request};
use crate::error::{Error, Result};
use crate::grade::{ActiveSet, Effort, GradeColumns, GradeGradient, Help, Measure};
use std::sync::Arc;

impl Calculator {
    /// The gradient of a function Φ of the atoms' grades, carried to positions and strain.
    ///
    /// `weigh` gets the measures of all atoms and gives dΦ/d(measure); for Φ = Σ w_i g_i it gives
    /// the w_i. Gives the measures; the gradient is in [`Calculator::contraction`].
    ///
    /// **Shapes**: measures and the result of `weigh` `[n_local]`. **Errors**: as
    /// [`Calculator::contract`] and [`ActiveSet::gradient_of_grade`]; without an active set.
    pub fn contract_grade<'a>(
        &mut self,
        atoms: impl Into<View<'a>>,
        measure: Measure,
        weigh: impl FnOnce(&[f64]) -> Vec<f64>,
    ) -> Result<Vec<f64>> {
        let view = atoms.into();
        let found = self.gradient_of_grade(view, measure, weigh)?;
        self.contract(view, &found.gradient)?;
        Ok(found.values)
    }

    /// The gradient of a function Φ of the atoms' grades with respect to their scaled descriptors, as
    /// [`ActiveSet::gradient_of_grade`] gives it, or with [`Effort::Above`]
    /// [`ActiveSet::gradient_of_grade_above`]; [`Calculator::contract`] carries it to positions.
    ///
    /// **Errors**: as [`Calculator::contract_grade`].
    pub fn gradient_of_grade<'a>(
        &mut self,
        atoms: impl Into<View<'a>>,
        measure: Measure,
        weigh: impl FnOnce(&[f64]) -> Vec<f64>,
    ) -> Result<GradeGradient> {
        let set = self.needed_set()?;
        let types = self.with_atoms(atoms.into(), |own, ready| {
            own.features(ready, Request::DESCRIPTORS | Request::NEURONS)?;
            Ok(types(ready))
        })?;
        let parts = (&self.ahead.descriptors[..], &self.ahead.neurons[..]);
        match self.effort {
            Effort::Full => set.gradient_of_grade(&self.model, &types, parts, measure, weigh),
            Effort::Above(threshold) => {
                let measure = (measure, threshold);
                set.gradient_of_grade_above(&self.model, &types, parts, measure, weigh)
            }
        }
    }

    /// Takes the environments of atoms whose Γ is above a threshold into the active set in memory,
    /// worst first, so that neither they nor their like are above it any more. Gives their number.
    ///
    /// Other calculators that share the set keep theirs as it was.
    ///
    /// **Errors**: as [`Calculator::compute`]; for a threshold below 1; without an active set.
    pub fn learn<'a>(&mut self, atoms: impl Into<View<'a>>, threshold: f64) -> Result<usize> {
        if threshold.is_nan() || threshold < 1.0 {
            return Err(Error::invalid(format!(
                "the threshold is {threshold}; expected at least 1, where what is learnt ends"
            )));
        }
        let mut set = self.needed_set()?;
        let types = self.with_atoms(atoms.into(), |own, ready| {
            own.evaluate(ready, Request::PROJECTIONS | Request::WITHOUT_ENERGIES)?;
            Ok(types(ready))
        })?;
        let projections = &self.results.projections;
        let learnt = Arc::make_mut(&mut set).learn(&types, projections, threshold)?;
        if learnt > 0 {
            self.active_set = Some(set);
        }
        Ok(learnt)
    }

    /// The backend's machine as one that chooses rows for active sets, if it is one.
    ///
    /// **Errors**: [`Error::Backend`] when it fails.
    pub fn volume(&mut self) -> Result<Help<'_>> {
        self.backend.volume()
    }

    /// What the backend has to give for a request.
    pub(super) fn wanted(&mut self, request: Request) -> Result<Request> {
        let mut wanted = request;
        if request.contains(Request::SIGMA) {
            self.needed_posterior()?;
            wanted |= Request::DESCRIPTORS;
        }
        if request.contains(Request::SIGMA_ENERGIES) {
            self.needed_posterior()?;
            wanted |= Request::NEURONS;
        }
        if request.contains(Request::GRADES) {
            self.needed_set()?;
            if self.backend.grader().is_none() {
                // A force evaluation on the processor has both anyway.
                wanted |= Request::DESCRIPTORS | Request::NEURONS;
            }
        }
        Ok(wanted)
    }

    /// Adds the grades of atoms of these types, if they are asked for, to the results.
    pub(super) fn grade(&mut self, types: &[u32], request: Request) -> Result<()> {
        let Evaluation {
            descriptors,
            neurons,
            gamma,
            rho,
            grade,
            ..
        } = &mut self.results;
        for column in [&mut *gamma, rho, grade] {
            column.clear();
        }
        if let (true, Some(set)) = (request.contains(Request::GRADES), &self.active_set) {
            let out = GradeColumns { gamma, rho, grade };
            if let Some(grader) = self.backend.grader() {
                grader.grade(&self.model, types, set, self.effort, out)?;
            } else {
                let parts = (&descriptors[..], &neurons[..]);
                set.grade_atoms(&self.model, types, self.effort, parts, out)?;
            }
        }
        Ok(())
    }

    fn needed_set(&self) -> Result<Arc<ActiveSet>> {
        self.active_set.clone().ok_or_else(|| {
            Error::invalid(
                "grades were asked for but the calculator has no active set; load one first",
            )
        })
    }
}

/// Types of the local atoms as the caller counts them.
pub(super) fn types(ready: &Ready<'_>) -> Vec<u32> {
    let mut types = ready.types().to_vec();
    if !ready.order().is_empty() {
        super::order::scatter(ready.order(), &mut types);
    }
    types
}
