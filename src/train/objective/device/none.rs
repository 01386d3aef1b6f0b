//! What stands for a device in builds without the CUDA backend: there is none.

use super::Job;
use crate::kernel::Loss;
use crate::objective::Objective;
use nepal::error::{Error, Result};
use std::convert::Infallible;

/// A device, of which there is none.
pub(crate) struct Engine(Infallible);

impl Engine {
    pub fn present() -> bool {
        false
    }

    pub fn new(_: usize, _: &Objective) -> Result<Self> {
        Err(Error::Backend(
            "this build has no CUDA backend; build with the feature `cuda`, or train on the processor (device none)".into(),
        ))
    }

    pub fn name(&self) -> String {
        match self.0 {}
    }

    pub fn run<L: Loss + Send>(
        &mut self,
        _: &Objective,
        _: &[Job],
        _: &[f64],
        _: &[f64],
        _: usize,
        _: impl Fn(usize) -> L + Sync,
    ) -> Result<(Vec<L>, Vec<f64>)> {
        match self.0 {}
    }

    pub fn along(
        &mut self,
        _: &Objective,
        _: &[usize],
        _: &[f64],
        _: &[f64],
        _: &[f64],
    ) -> Result<Vec<Vec<f64>>> {
        match self.0 {}
    }
}
