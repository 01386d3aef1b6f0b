//! What the device finds out of all atoms at once: whether types are others, the largest grade.

use super::DeviceAtoms;
use crate::args::{Address, Args};
use crate::driver::Device;
use crate::memory::Buffer;
use crate::program::Program;
use nepal_core::error::Result;
use nepal_core::model::Model;
use std::sync::Arc;

/// Numbers that the launches for the largest of all end in.
const LARGEST: [usize; 3] = [16384, 128, 1];

/// What the device needs to look at the caller's arrays.
#[derive(Debug)]
pub(super) struct Buffers {
    types: Buffer<u32>,
    changed: Buffer<u32>,
    largest: [Buffer<f64>; 2],
}

impl Buffers {
    pub fn new(device: &Arc<Device>) -> Self {
        Self {
            types: Buffer::new(device),
            changed: Buffer::new(device),
            largest: [0; 2].map(|_| Buffer::new(device)),
        }
    }

    /// The caller's types, on the host.
    pub fn take_types(
        &mut self,
        program: &Program,
        model: &Model,
        atoms: &DeviceAtoms<'_>,
    ) -> Result<Vec<u32>> {
        let n = atoms.n_atoms;
        let args = Args {
            rows: n as u64,
            types: atoms.types,
            scratch_u32: self.types.reserve(n)?,
            ..Args::default()
        };
        program.launch("nepal_take_types", n as u64, &args)?;
        let mut types = vec![0u32; n];
        self.types.download(&mut types)?;
        nepal_core::backend::check_types(model, &types, n)?;
        Ok(types)
    }

    /// Whether the caller's types are those that were taken.
    pub fn still_has(&mut self, program: &Program, atoms: &DeviceAtoms<'_>) -> Result<bool> {
        let args = Args {
            rows: atoms.n_atoms as u64,
            types: atoms.types,
            scratch_u32: self.types.address(),
            moved: self.changed.zero(1)?,
            ..Args::default()
        };
        program.launch("nepal_compare_types", args.rows, &args)?;
        let mut changed = [0];
        self.changed.download(&mut changed)?;
        Ok(changed == [0])
    }

    /// The largest of numbers on the device that are not negative.
    pub fn largest(&mut self, program: &Program, numbers: Address, n: usize) -> Result<f64> {
        let mut args = Args {
            rows: n as u64,
            input: numbers,
            ..Args::default()
        };
        for (pass, out_rows) in LARGEST.into_iter().enumerate() {
            args.out = self.largest[pass % 2].reserve(out_rows)?;
            args.out_rows = out_rows as u64;
            program.launch("nepal_largest", args.out_rows, &args)?;
            args.rows = args.out_rows;
            args.input = args.out;
        }
        let mut largest = [0.0];
        self.largest[(LARGEST.len() - 1) % 2].download(&mut largest)?;
        Ok(largest[0])
    }
}
