//! Grades of the atoms of an evaluation, or of descriptors.

use super::super::grades::{Graded, Pace};
use super::super::memory::Buffer;
use super::super::source::Shape;
use super::Engine;
use nepal_core::backend::Precision;
use nepal_core::error::{Error, Result};
use nepal_core::grade::{ActiveSet, Effort};
use nepal_core::model::Model;
use std::sync::Arc;

impl Engine {
    /// Grades of the atoms of the last evaluation, which was asked to keep their descriptors.
    pub fn grade(
        &mut self,
        model: &Model,
        set: &Arc<ActiveSet>,
        effort: Effort,
        types: &[u32],
    ) -> Result<[Vec<f64>; 3]> {
        self.grade_here(model, set, effort, types, Pace::Wait)?;
        self.grades(types.len())
    }

    /// [`Engine::grade`], left on the device.
    pub fn grade_here(
        &mut self,
        model: &Model,
        set: &Arc<ActiveSet>,
        effort: Effort,
        types: &[u32],
        pace: Pace,
    ) -> Result<()> {
        if self.described != Some(types.len()) {
            return Err(Error::Internal(
                "grades without an evaluation before them".into(),
            ));
        }
        let shape = Shape::new(model, self.precision, 1);
        let graded = Graded {
            types,
            q: self.outputs.q.address(),
            effort,
            pace,
        };
        self.grader.grade(model, set, &shape, &self.options, graded)
    }

    /// The grades that are on the device.
    fn grades(&self, n: usize) -> Result<[Vec<f64>; 3]> {
        let mut out = [0; 3].map(|_| vec![0.0; n]);
        for (out, buffer) in out.iter_mut().zip(self.grader.values()) {
            buffer.download(out)?;
        }
        Ok(out)
    }

    /// Grades of atoms from descriptors of the caller's.
    pub fn grade_descriptors(
        &mut self,
        model: &Model,
        set: &Arc<ActiveSet>,
        effort: Effort,
        types: &[u32],
        descriptors: &[f64],
    ) -> Result<[Vec<f64>; 3]> {
        self.described = None;
        self.resident.forget_grades();
        let bytes: Vec<u8> = match self.precision {
            Precision::F64 => descriptors.iter().flat_map(|x| x.to_ne_bytes()).collect(),
            _ => {
                let single = descriptors.iter().map(|&x| x as f32);
                single.flat_map(f32::to_ne_bytes).collect()
            }
        };
        let mut q = Buffer::<u8>::new(&self.device);
        q.upload(&bytes)?;
        let shape = Shape::new(model, self.precision, 1);
        let graded = Graded {
            types,
            q: q.address(),
            effort,
            pace: Pace::Wait,
        };
        self.grader
            .grade(model, set, &shape, &self.options, graded)?;
        self.grades(types.len())
    }
}
