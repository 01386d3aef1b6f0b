//! Atoms and results that are on the device already, in the caller's arrays.

mod look;

use super::{Atoms, Engine};
use crate::args::{Address, Args};
use crate::driver::Handle;
use crate::grades::Pace;
use crate::lists::Origin;
use crate::memory::Buffer;
use crate::program::Program;
use crate::source;
use look::Buffers;
use nepal_core::backend::Request;
use nepal_core::error::{Error, Result};
use nepal_core::grade::{ActiveSet, Effort};
use nepal_core::model::Model;
use nepal_core::system::Cell;
use std::sync::Arc;

/// An array of doubles of the caller's on the device: number `c` of atom `i` is at
/// `strides[0] * i + strides[1] * c`, counted in doubles.
#[derive(Clone, Copy, Debug, Default)]
pub struct Strided {
    /// Address on the device; 0 for none.
    pub address: u64,
    /// Distance from atom to atom, and from number to number.
    pub strides: [usize; 2],
}

/// Atoms on the device, all of them local.
#[derive(Clone, Copy, Debug)]
pub struct DeviceAtoms<'a> {
    /// Number of atoms.
    pub n_atoms: usize,
    /// Positions in Å, three for each atom.
    pub positions: Strided,
    /// Types, 32-bit integers. Shape `[n_atoms]`.
    pub types: u64,
    /// Whether types may differ from those of the last call.
    pub new_types: bool,
    /// Whether the device shall look if they do, which the host waits for.
    pub compare_types: bool,
    /// Whether the caller knows that no atom has moved by 0.3 Å since its last call without this. The
    /// device then is not asked, where that is enough: where lists were made at that call, and the cell is
    /// as it was.
    pub still: bool,
    /// Whether the host shall go on without what it can hear later: how far atoms moved, which it then
    /// knows from the call before, and which grades are within rounding of the threshold. See
    /// [`Cuda::finish`](crate::Cuda::finish).
    pub ahead: bool,
    /// Cell, with the directions that are periodic.
    pub cell: &'a Cell,
    /// The caller's stream (`CUstream`), null for the default one: positions are ready in its order, and
    /// results are.
    pub stream: *mut std::ffi::c_void,
}

/// Where results go on the device; an address of 0 for what is not wanted.
#[derive(Clone, Copy, Debug, Default)]
pub struct DeviceResults {
    /// Energies in eV, shape `[n_atoms]`.
    pub energies: u64,
    /// Forces in eV/Å, three for each atom.
    pub forces: Strided,
    /// Virials in eV, nine for each atom.
    pub virials: Strided,
    /// Whether a row of virials is xx yy zz xy xz yz yx zx zy instead of the rows of the matrix.
    pub diagonal_first: bool,
    /// Whether energies, forces and virials are added to what is there.
    pub adding: bool,
    /// γ, ρ and Γ, shape `[n_atoms]`.
    pub gamma: u64,
    /// See `gamma`.
    pub rho: u64,
    /// See `gamma`.
    pub grade: u64,
    /// Where the largest Γ goes, on the host, which waits for it; 0 if it is not wanted.
    pub largest: u64,
}

impl DeviceResults {
    fn grades(&self) -> bool {
        [self.gamma, self.rho, self.grade, self.largest] != [0; 4]
    }
}

/// What calls with the caller's arrays keep.
#[derive(Debug, Default)]
pub(super) struct Resident {
    program: Option<Program>,
    types: Vec<u32>,
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
        if results.grades() && set.is_none() {
            return Err(Error::invalid(
                "grades were asked for but the calculator has no active set; load one first",
            ));
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
        let done = self.resident(&mut kept, model, set, atoms, results);
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
        atoms: &DeviceAtoms<'_>,
        results: &DeviceResults,
    ) -> Result<()> {
        let n = atoms.n_atoms;
        if n == 0 {
            return Ok(());
        }
        let Resident {
            program,
            types,
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
        let mut same_types = !atoms.new_types && types.len() == n;
        if same_types && atoms.compare_types {
            same_types = buffers.still_has(program, atoms)?;
        }
        if !same_types {
            *types = buffers.take_types(program, model, atoms)?;
        }
        let mut args = Args {
            rows: n as u64,
            columns: 3,
            input: atoms.positions.address,
            out: self.positions.reserve(n)?,
            ..Args::default()
        };
        [args.row_stride, args.column_stride] = atoms.positions.strides.map(|s| s as u64);
        program.launch("nepal_take", n as u64, &args)?;
        let mut request = Request::empty();
        request.set(Request::FORCES, results.forces.address != 0);
        request.set(Request::VIRIALS, results.virials.address != 0);
        request.set(Request::GRADES, results.grades());
        let here = Atoms {
            cell: atoms.cell,
            positions: None,
            types,
            n_local: n,
            n_total: n,
            origin: Origin::Bins,
            same_types,
            still: atoms.still,
        };
        self.evaluate_here(model, here, request)?;
        let give =
            |from, to, columns, order| give(program, n, from, to, columns, order, results.adding);
        let order = if results.diagonal_first {
            DIAGONAL_FIRST
        } else {
            BY_ROWS
        };
        let [energies, forces, virials] = self.results();
        give(energies, packed(results.energies), 1, BY_ROWS)?;
        give(forces, results.forces, 3, BY_ROWS)?;
        give(virials, results.virials, 9, order)?;
        if let (true, Some((set, effort))) = (results.grades(), set) {
            let pace = if atoms.ahead { Pace::Later } else { Pace::Wait };
            self.grade_here(model, set, effort, types, pace)?;
            self.give_grades(program, n, results)?;
            if results.largest != 0 {
                let [.., grades] = self.grader.values();
                let largest = buffers.largest(program, grades.address(), n)?;
                // SAFETY: an address of the host that the caller promises to be writable.
                unsafe { (results.largest as *mut f64).write(largest) };
            }
            if atoms.ahead && effort != Effort::Full {
                *pending = Some(Pending {
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
        let (Some(program), Some(pending)) = (&kept.program, kept.pending.take()) else {
            return Ok(false);
        };
        if !self.grader.open()? {
            return Ok(false);
        }
        let Pending {
            set,
            effort,
            results,
            stream,
        } = pending;
        self.grade_here(model, &set, effort, &kept.types, Pace::Wait)?;
        self.device.order(stream as Handle, self.device.stream)?;
        let given = self.give_grades(program, kept.types.len(), &results);
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
        let all = [
            ("positions", atoms.positions.address),
            ("types", atoms.types),
            ("energies", results.energies),
            ("forces", results.forces.address),
            ("virials", results.virials.address),
            ("gamma", results.gamma),
            ("rho", results.rho),
            ("grade", results.grade),
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
