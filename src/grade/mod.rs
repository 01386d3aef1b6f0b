//! Extrapolation grades: active sets, MaxVol, γ and ρ and their gradients.
//!
//! Two forms. The *compatibility* form is the public one, digit for digit: γ = max|B·A⁻¹| with the
//! `.asi` file's inverse; it calls directions never seen in training safe. The *two-part* form
//! scales and reduces the features first and reports what lies outside the subspace as ρ.
//! Knows nothing of where structures come from.

use crate::backend::{Evaluation, System};
use crate::error::Result;
use crate::model::Model;

/// Active sets of a model, one per element, in one of the two forms.
#[derive(Clone, Debug)]
pub struct ActiveSet {}

impl ActiveSet {
    /// Refuses a model of another shape.
    ///
    /// **Errors**: [`crate::Error::InvalidArgument`] saying what differs.
    pub fn check_model(&self, _model: &Model) -> Result<()> {
        Ok(())
    }

    /// Fills `gamma`, `rho` and `grade` of the local atoms from their `projections`.
    ///
    /// **Errors**: [`crate::Error::Internal`] if the projections are missing.
    pub fn grade_atoms(&self, _system: &System<'_>, _results: &mut Evaluation) -> Result<()> {
        Ok(())
    }
}
