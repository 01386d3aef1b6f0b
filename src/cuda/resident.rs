//! Atoms and results that are on the device already, in the caller's arrays.

use super::args::{Address, Args};
use super::driver::Handle;
use super::engine::{Atoms, Engine};
use super::grades::Pace;
use super::lists::Origin;
use super::memory::Buffer;
use super::program::Program;
use super::source;
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
    /// Whether the caller knows that no atom has moved by 0.3 Å since its last call without this. The
    /// device then is not asked, where that is enough: where lists were made at that call, and the cell is
    /// as it was.
    pub still: bool,
    /// Whether the host shall go on without what it can hear later: how far atoms moved, which it then
    /// knows from the call before, and which grades are within rounding of the threshold. See
    /// [`Cuda::finish`](super::Cuda::finish).
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
    /// Whether energies, forces and virials are added to what is there.
    pub adding: bool,
    /// γ, ρ and Γ, shape `[n_atoms]`.
    pub gamma: u64,
    /// See `gamma`.
    pub rho: u64,
    /// See `gamma`.
    pub grade: u64,
}

impl DeviceResults {
    fn grades(&self) -> bool {
        self.gamma != 0 || self.rho != 0 || self.grade != 0
    }
}

/// What calls with the caller's arrays keep.
#[derive(Debug, Default)]
pub(super) struct Resident {
    program: Option<Program>,
    types: Vec<u32>,
    pending: Option<Pending>,
}

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
        self.device.order(atoms.stream, own)?;
        let mut kept = std::mem::take(&mut self.resident);
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
            pending,
        } = kept;
        let program = match program {
            Some(program) => program,
            None => program.insert(Program::new(
                &self.device,
                &source::exchange(),
                &self.options,
            )?),
        };
        let same_types = !atoms.new_types && types.len() == n;
        if !same_types {
            *types = self.take_types(program, model, atoms)?;
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
        let give = |from, to, columns, adding| give(program, n, from, to, columns, adding);
        let add = results.adding;
        let [energies, forces, virials] = self.results();
        give(energies, packed(results.energies), 1, add)?;
        give(forces, results.forces, 3, add)?;
        give(virials, results.virials, 9, add)?;
        if let (true, Some((set, effort))) = (results.grades(), set) {
            let pace = if atoms.ahead { Pace::Later } else { Pace::Wait };
            self.grade_here(model, set, effort, types, pace)?;
            self.give_grades(program, n, results)?;
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
            give(program, n, from, packed(to), 1, false)?;
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

    /// The caller's types, on the host.
    fn take_types(
        &self,
        program: &Program,
        model: &Model,
        atoms: &DeviceAtoms<'_>,
    ) -> Result<Vec<u32>> {
        let n = atoms.n_atoms;
        let mut buffer = Buffer::new(&self.device);
        let args = Args {
            rows: n as u64,
            types: atoms.types,
            scratch_u32: buffer.reserve(n)?,
            ..Args::default()
        };
        program.launch("nepal_take_types", n as u64, &args)?;
        let mut types = vec![0u32; n];
        buffer.download(&mut types)?;
        nepal_core::backend::check_types(model, &types, n)?;
        Ok(types)
    }
}

/// Rows of `columns` to an array of the caller's.
fn give(
    program: &Program,
    rows: usize,
    from: Address,
    to: Strided,
    columns: u64,
    adding: bool,
) -> Result<()> {
    let mut args = Args {
        rows: rows as u64,
        columns,
        input: from,
        out: to.address,
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
