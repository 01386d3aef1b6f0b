//! A model on the device.

use super::super::program::Program;
use super::super::source::Shape;
use super::super::tables::Tables;
use super::Engine;
use nepal_core::error::Result;
use nepal_core::model::{Identity, Model};

/// A model on the device, for the types that were present.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) of: Identity,
    pub(super) present: Vec<u32>,
    pub(super) shape: Shape,
    pub(super) program: Program,
    pub(super) tables: Tables,
}

impl Engine {
    /// Kernels and tables for a model and the types present, and the atoms' types in their terms.
    /// Says whether anything is new.
    ///
    /// **Errors**: [`Error::Backend`](nepal_core::Error::Backend) when the device fails.
    pub(super) fn load(&mut self, model: &Model, types: &[u32], same: bool) -> Result<bool> {
        let known = matches!(&self.loaded, Some(loaded) if loaded.of.same(model.identity()));
        let same = same && self.known_types.len() == types.len();
        if known && (same || self.known_types == types) {
            return Ok(false);
        }
        let mut here = vec![false; model.elements().len()];
        for &t in types {
            here[t as usize] = true;
        }
        let present: Vec<u32> = (0..here.len() as u32)
            .filter(|&t| here[t as usize])
            .collect();
        if !(known && matches!(&self.loaded, Some(loaded) if loaded.present == present)) {
            let shape = Shape::new(model, self.precision, present.len());
            let kept = self.loaded.take().filter(|loaded| loaded.shape == shape);
            let program = match kept {
                Some(loaded) => loaded.program,
                None => {
                    let mut program = Program::new(&self.device, &shape.source(), &self.options)?;
                    program.time(self.timed);
                    program
                }
            };
            let tables = Tables::new(&self.device, model, &shape, &present)?;
            let of = model.identity();
            self.loaded = Some(Loaded {
                of,
                present: present.clone(),
                shape,
                program,
                tables,
            });
        }
        let mut number = vec![0; here.len()];
        for (k, &t) in present.iter().enumerate() {
            number[t as usize] = k as u32;
        }
        let compact: Vec<u32> = types.iter().map(|&t| number[t as usize]).collect();
        self.types.upload(&compact)?;
        self.types_number += 1;
        self.known_types.clear();
        self.known_types.extend_from_slice(types);
        Ok(true)
    }
}
