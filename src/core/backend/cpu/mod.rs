//! The threaded CPU backend, vectorised for the machine it finds itself on, in f64 or mixed
//! precision.
//!
//! The same formulas as [`super::reference`], arranged so that nothing is done twice. Centres of one
//! type fill the lanes of the vectors, a neighbour of each in a row: all sums over neighbours,
//! angular functions and neurons then run without shuffles, with weights and coefficients as
//! scalars. Basis functions are summed per neighbour type before they meet the coefficients, and the
//! energy's gradient is contracted with the coefficients once per atom.
//!
//! A run repeats to the last bit with the same number of threads on the same machine.

mod angular;
mod angular_forces;
mod carry;
mod cutoff;
mod directions;
mod engine;
mod evaluate;
mod ewald;
mod fft;
mod gather;
mod invariants;
mod kernel;
mod long_range;
mod mesh;
mod network;
mod plan;
mod radial;
mod repulsion;
mod scratch;
mod screened;
mod share;
mod spread;
mod spreading;
mod tanh;
mod vector;
mod waves;

#[cfg(test)]
mod long_range_tests;
#[cfg(test)]
mod tests;

use super::{Backend, Conditions, Contraction, Evaluation, Precision, Request, System};
use crate::error::Result;
use crate::model::Model;
use engine::Engine;

/// The threaded CPU backend.
#[derive(Debug)]
pub struct Cpu(Of);

/// One engine, compiled for two kinds of numbers.
#[derive(Debug)]
enum Of {
    Double(Box<Engine<f64>>),
    Single(Box<Engine<f32>>),
}

impl Cpu {
    /// A backend of a precision, for the instruction set of [`crate::simd`].
    pub fn new(precision: Precision) -> Self {
        Self::on(crate::simd::arch(), precision)
    }

    fn on(arch: pulp::Arch, precision: Precision) -> Self {
        Self(match precision {
            Precision::F64 => Of::Double(Box::new(Engine::new(arch))),
            Precision::Mixed => Of::Single(Box::new(Engine::new(arch))),
        })
    }
}

impl Default for Cpu {
    fn default() -> Self {
        Self::new(Precision::F64)
    }
}

impl Backend for Cpu {
    fn name(&self) -> &'static str {
        "cpu"
    }

    fn precision(&self) -> Precision {
        match &self.0 {
            Of::Double(_) => Precision::F64,
            Of::Single(_) => Precision::Mixed,
        }
    }

    fn set_conditions(&mut self, conditions: Conditions) {
        match &mut self.0 {
            Of::Double(engine) => engine.conditions = conditions,
            Of::Single(engine) => engine.conditions = conditions,
        }
    }

    fn evaluate(
        &mut self,
        model: &Model,
        system: &System<'_>,
        request: Request,
        out: &mut Evaluation,
    ) -> Result<()> {
        match &mut self.0 {
            Of::Double(engine) => engine.evaluate(model, system, request, out),
            Of::Single(engine) => engine.evaluate(model, system, request, out),
        }
    }

    fn contract(
        &mut self,
        model: &Model,
        system: &System<'_>,
        gradient: &[f64],
        out: &mut Contraction,
    ) -> Result<()> {
        match &mut self.0 {
            Of::Double(engine) => engine.contract(model, system, gradient, out),
            Of::Single(engine) => engine.contract(model, system, gradient, out),
        }
    }
}
