//! The threaded CPU backend (f64).

use super::{Backend, Contraction, Evaluation, Request, System, reference::Reference};
use crate::error::Result;
use crate::model::Model;

/// The threaded CPU backend.
#[derive(Clone, Debug, Default)]
pub struct Cpu {
    inner: Reference,
}

impl Backend for Cpu {
    fn name(&self) -> &'static str {
        "cpu"
    }

    fn evaluate(
        &mut self,
        model: &Model,
        system: &System<'_>,
        request: Request,
        out: &mut Evaluation,
    ) -> Result<()> {
        self.inner.evaluate(model, system, request, out)
    }

    fn contract(
        &mut self,
        model: &Model,
        system: &System<'_>,
        gradient: &[f64],
        out: &mut Contraction,
    ) -> Result<()> {
        self.inner.contract(model, system, gradient, out)
    }
}
