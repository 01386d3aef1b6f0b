//! What the device finds out of all atoms at once: whether types are others, the largest grade, totals.

use super::{BY_ROWS, DeviceAtoms, DeviceResults, Strided, give};
use crate::args::{Address, Args};
use crate::driver::Device;
use crate::memory::Buffer;
use crate::program::Program;
use crate::reduce::Reduction;
use nepal_core::error::{Error, Result};
use nepal_core::model::Model;
use std::sync::Arc;

/// What the device needs to look at the caller's arrays.
#[derive(Debug)]
pub(super) struct Buffers {
    types: Buffer<u32>,
    changed: Buffer<u32>,
    rows: Reduction,
}

impl Buffers {
    pub fn new(device: &Arc<Device>) -> Self {
        Self {
            types: Buffer::new(device),
            changed: Buffer::new(device),
            rows: Reduction::new(device),
        }
    }

    /// The caller's types, on the host and in the model's terms.
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
        if let Some(map) = atoms.type_map {
            translate(&mut types, map)?;
        }
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
        let found = self.rows.run(program, "nepal_largest", numbers, [n, 1])?;
        let mut largest = [0.0];
        found.download(&mut largest)?;
        Ok(largest[0])
    }

    /// The sums of energies, forces and virials where they are wanted: those of local atoms, those of all.
    pub fn totals(
        &mut self,
        program: &Program,
        [energies, forces, virials]: [Address; 3],
        [local, all]: [usize; 2],
        results: &DeviceResults,
        order: u64,
    ) -> Result<()> {
        let wanted = [
            (results.total_energy, energies, [local, 1], BY_ROWS),
            (results.total_virial, virials, [all, 9], order),
            (results.dipole, forces, [all, 3], BY_ROWS),
            (results.polarizability, virials, [all, 9], BY_ROWS),
        ];
        for (address, from, shape, order) in wanted {
            if address == 0 {
                continue;
            }
            let sum = self.rows.run(program, "nepal_sum", from, shape)?;
            let columns = shape[1];
            let strides = [columns, 1];
            let to = Strided { address, strides };
            give(program, 1, sum.address(), to, columns as u64, order, false)?;
        }
        Ok(())
    }
}

/// The caller's types in the model's terms.
///
/// **Errors**: [`Error::InvalidArgument`] for a type that the map does not have, or has no element for.
fn translate(types: &mut [u32], map: &[i32]) -> Result<()> {
    for (atom, of) in types.iter_mut().enumerate() {
        let found = map
            .get(*of as usize)
            .and_then(|&own| u32::try_from(own).ok());
        *of = found.ok_or_else(|| {
            Error::invalid(format!(
                "the type of atom {atom} is {}, which `type_map` of {} types gives no type of the model; on a device each atom has one",
                of.cast_signed(),
                map.len()
            ))
        })?;
    }
    Ok(())
}
