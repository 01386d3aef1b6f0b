//! Atoms and results that are on the device already, in the caller's arrays.

mod look;

use super::{Atoms, Engine};
use crate::args::{Address, Args};
pub use crate::arrays::{DeviceAtoms, DeviceList, DeviceResults, Strided};
use crate::driver::Handle;
use crate::grades::Pace;
use crate::lists::Origin;
use crate::memory::Buffer;
use crate::program::Program;
use crate::source;
use look::Buffers;
use nepal_core::error::{Error, Result};
use nepal_core::grade::{ActiveSet, Effort};
use nepal_core::model::Model;
use std::sync::Arc;

/// What calls with the caller's arrays keep.
#[derive(Debug, Default)]
pub(super) struct Resident {
    program: Option<Program>,
    /// In the model's terms.
    types: Vec<u32>,
    map: Option<Vec<i32>>,
    generation: u64,
    /// Types as the caller has them, and the scratch of what is asked of all atoms.
    buffers: Option<Buffers>,
    /// Addresses that the driver knows.
    known: Vec<u64>,
    pending: Option<Pending>,
}

/// Places of a row in the order of the matrix, and with the diagonal first.
const BY_ROWS: u64 = 0x8_7654_3210;
const DIAGONAL_FIRST: u64 = 0x2_8751_6430;

/// Grades that may not be final.
#[derive(Debug)]
struct Pending {
    n_local: usize,
    set: Arc<ActiveSet>,
    effort: Effort,
    results: DeviceResults,
    /// The caller's stream, as a number.
    stream: usize,
}

impl Resident {
    /// Other atoms came between.
    pub fn forget(&mut self) {
        self.types.clear();
        self.pending = None;
    }

    /// Other grades came between.
    pub fn forget_grades(&mut self) {
        self.pending = None;
    }
}

impl Engine {
    /// Evaluates atoms that are on the device and leaves the results there.
    ///
    /// # Safety
    ///
    /// All addresses are those of arrays on this device that are as large as the structs say.
    pub unsafe fn compute_resident(
        &mut self,
        model: &Model,
        set: Option<(&Arc<ActiveSet>, Effort)>,
        atoms: &DeviceAtoms<'_>,
        results: &DeviceResults,
    ) -> Result<()> {
        let n_local = atoms.n_local()?;
        if model.kind().is_tensor() && results.energies | results.total_energy != 0 {
            return Err(Error::Unsupported(format!(
                "energies were asked for, but this model ({}) gives {}; leave their places empty",
                model.header().token(),
                model.kind().name()
            )));
        }
        if results.grades() && set.is_none() {
            return Err(Error::invalid(
                "grades were asked for but the calculator has no active set; load one first",
            ));
        }
        if atoms.list.is_some() {
            self.check_correction()?;
        }
        let own = self.device.stream;
        let mut kept = std::mem::take(&mut self.resident);
        let told = self.addresses(&mut kept, atoms, results);
        let ordered = told.and_then(|()| self.device.order(atoms.stream, own));
        if ordered.is_err() {
            self.resident = kept;
            return ordered;
        }
        kept.pending = None;
        self.ahead = atoms.ahead;
        let done = self.resident(&mut kept, model, set, (atoms, n_local), results);
        self.ahead = false;
        if done.is_err() {
            kept.forget();
        }
        self.resident = kept;
        // The caller's stream goes on behind all that was begun, also by a call that failed: what is done
        // with the arrays next must not meet kernels that are under way.
        let behind = self.device.order(own, atoms.stream);
        done.and(behind)
    }

    fn resident(
        &mut self,
        kept: &mut Resident,
        model: &Model,
        set: Option<(&Arc<ActiveSet>, Effort)>,
        (atoms, n_local): (&DeviceAtoms<'_>, usize),
        results: &DeviceResults,
    ) -> Result<()> {
        let n = atoms.n_atoms;
        let Resident {
            program,
            types,
            map,
            generation,
            buffers,
            pending,
            ..
        } = kept;
        let program = match program {
            Some(program) => program,
            None => program.insert(Program::new(
                &self.device,
                &source::exchange(),
                &self.options,
            )?),
        };
        let buffers = buffers.get_or_insert_with(|| Buffers::new(&self.device));
        let order = if results.diagonal_first {
            DIAGONAL_FIRST
        } else {
            BY_ROWS
        };
        if n == 0 {
            return buffers.totals(program, [0; 3], [0; 2], results, order);
        }
        let listed = atoms.list.map_or(0, |list| list.generation);
        let mut same_types = !atoms.new_types
            && types.len() == n
            && map.as_deref() == atoms.type_map
            && atoms
                .list
                .is_none_or(|_| listed != 0 && *generation == listed);
        if same_types && atoms.compare_types {
            same_types = buffers.still_has(program, atoms)?;
        }
        if !same_types {
            *types = buffers.take_types(program, model, atoms)?;
            *map = atoms.type_map.map(<[i32]>::to_vec);
        }
        *generation = listed;
        let mut args = Args {
            rows: n as u64,
            columns: 3,
            input: atoms.positions.address,
            out: self.positions.reserve(n)?,
            ..Args::default()
        };
        [args.row_stride, args.column_stride] = atoms.positions.strides.map(|s| s as u64);
        program.launch("nepal_take", n as u64, &args)?;
        let here = Atoms {
            cell: atoms.cell,
            positions: None,
            types,
            n_local,
            n_total: n,
            whole: None,
            origin: atoms.list.as_ref().map_or(Origin::Bins, Origin::Device),
            same_types,
            still: atoms.still,
        };
        self.evaluate_here(model, here, results.request())?;
        let give = |rows, from, to, columns, order| {
            give(program, rows, from, to, columns, order, results.adding)
        };
        let [energies, forces, virials] = self.results();
        give(n_local, energies, packed(results.energies), 1, BY_ROWS)?;
        give(n, forces, results.forces, 3, BY_ROWS)?;
        give(n, virials, results.virials, 9, order)?;
        let born = self.far.born.address();
        for (rows, from, to, columns) in [
            (n_local, self.far.charges().address(), results.charges, 1),
            (n, born, results.born_charges, 9),
            (n, forces, results.dipoles, 3),
            (n, virials, results.polarizabilities, 9),
        ] {
            let to = Strided {
                address: to,
                strides: [columns as usize, 1],
            };
            self::give(program, rows, from, to, columns, BY_ROWS, false)?;
        }
        let from = [energies, forces, virials];
        buffers.totals(program, from, [n_local, n], results, order)?;
        if let (true, Some((set, effort))) = (results.grades(), set) {
            let pace = if atoms.ahead { Pace::Later } else { Pace::Wait };
            self.grade_here(model, set, effort, &types[..n_local], pace)?;
            self.give_grades(program, n_local, results)?;
            if results.largest != 0 {
                let [.., grades] = self.grader.values();
                let largest = buffers.largest(program, grades.address(), n_local)?;
                // SAFETY: an address of the host that the caller promises to be writable.
                unsafe { (results.largest as *mut f64).write(largest) };
            }
            if atoms.ahead && effort != Effort::Full {
                *pending = Some(Pending {
                    n_local,
                    set: Arc::clone(set),
                    effort,
                    results: *results,
                    stream: atoms.stream as usize,
                });
            }
        }
        Ok(())
    }

    fn give_grades(&self, program: &Program, n: usize, results: &DeviceResults) -> Result<()> {
        let values = self.grader.values().each_ref().map(Buffer::address);
        let places = [results.gamma, results.rho, results.grade];
        for (from, to) in values.into_iter().zip(places) {
            give(program, n, from, packed(to), 1, BY_ROWS, false)?;
        }
        Ok(())
    }

    /// Waits for the last call with the caller's arrays and completes its grades there; says whether
    /// any were open.
    pub fn finish_resident(&mut self, model: &Model) -> Result<bool> {
        let mut kept = std::mem::take(&mut self.resident);
        let done = self.finish(&mut kept, model);
        if done.is_err() {
            kept.forget();
        }
        self.resident = kept;
        done
    }

    fn finish(&mut self, kept: &mut Resident, model: &Model) -> Result<bool> {
        self.device.wait()?;
        self.lists.finish()?;
        if let Some(correction) = &mut self.correction {
            correction.lists.finish()?;
        }
        let (Some(program), Some(pending)) = (&kept.program, kept.pending.take()) else {
            return Ok(false);
        };
        if !self.grader.open()? {
            return Ok(false);
        }
        let Pending {
            n_local,
            set,
            effort,
            results,
            stream,
        } = pending;
        self.grade_here(model, &set, effort, &kept.types[..n_local], Pace::Wait)?;
        self.device.order(stream as Handle, self.device.stream)?;
        let given = self.give_grades(program, n_local, &results);
        let ended = self.device.wait();
        given.and(ended)?;
        Ok(true)
    }

    /// Asks the driver for addresses of the caller's that were not there before.
    ///
    /// **Errors**: [`Error::InvalidArgument`] for one that is none of the device.
    fn addresses(
        &self,
        kept: &mut Resident,
        atoms: &DeviceAtoms<'_>,
        results: &DeviceResults,
    ) -> Result<()> {
        let list = atoms.list;
        let all = [
            ("positions", atoms.positions.address),
            ("types", atoms.types),
            ("neighbor_counts", list.map_or(0, |list| list.counts)),
            ("neighbors", list.map_or(0, |list| list.neighbors.address)),
            ("energies", results.energies),
            ("forces", results.forces.address),
            ("virials", results.virials.address),
            ("total_energy", results.total_energy),
            ("total_virial", results.total_virial),
            ("gamma", results.gamma),
            ("rho", results.rho),
            ("grade", results.grade),
            ("charges", results.charges),
            ("born_charges", results.born_charges),
            ("dipole", results.dipole),
            ("dipoles", results.dipoles),
            ("polarizability", results.polarizability),
            ("polarizabilities", results.polarizabilities),
        ];
        let given = all.into_iter().filter(|(_, address)| *address != 0);
        for (name, address) in given.clone() {
            if !kept.known.contains(&address) {
                self.device.check_address(name, address)?;
            }
        }
        kept.known = given.map(|(_, address)| address).collect();
        Ok(())
    }
}

/// Rows of `columns` to an array of the caller's.
fn give(
    program: &Program,
    rows: usize,
    from: Address,
    to: Strided,
    columns: u64,
    order: u64,
    adding: bool,
) -> Result<()> {
    let mut args = Args {
        rows: rows as u64,
        columns,
        input: from,
        out: to.address,
        order,
        adding: u64::from(adding),
        ..Args::default()
    };
    [args.row_stride, args.column_stride] = to.strides.map(|s| s as u64);
    match to.address {
        0 => Ok(()),
        _ => program.launch("nepal_give", rows as u64, &args),
    }
}

/// Numbers one after another.
fn packed(address: Address) -> Strided {
    Strided {
        address,
        strides: [1, 1],
    }
}
