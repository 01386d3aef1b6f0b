//! GPUs, and atoms that are on one already.

use super::arguments::{self, input, number};
use super::calculator::nepal_calculator_t;
use super::guard::guard;
use super::handle;
use super::options::{self, SizedStruct, reserved};
use super::results::{NEPAL_RESULTS_ADD_FORCES, NEPAL_RESULTS_TEMPERATURE, temperature};
use super::status::nepal_status_t;
use super::system::cell_of;
use crate::backend::Conditions;
use crate::error::{Error, Result};
use std::ffi::c_void;

/// Types may differ from those of the calculator's last call. Since: 0.1.
pub const NEPAL_DEVICE_NEW_TYPES: u32 = 1;
/// No atom moved by 0.3 Å or more since the last call without this flag: neighbour lists that were made
/// at that call stay, and without grades the host waits for nothing. Since: 0.1.
pub const NEPAL_DEVICE_STILL: u32 = 2;
/// The host goes on without what it can hear later; `nepal_calculator_finish_device` makes results
/// final. Since: 0.1.
pub const NEPAL_DEVICE_NO_WAIT: u32 = 4;

/// The device looks whether types differ from those of the calculator's last call, and the host waits to
/// hear of it. Since: 0.1.
pub const NEPAL_DEVICE_COMPARE_TYPES: u32 = 8;
/// Among the flags of results: a row of virials is xx yy zz xy xz yz yx zx zy. Since: 0.1.
pub const NEPAL_DEVICE_DIAGONAL_FIRST: u32 = 2;

/// Atoms in the memory of the calculator's GPU. Set up with `NEPAL_DEVICE_ATOMS_INIT`.
///
/// Arrays are in device memory unless said otherwise. Strides count doubles: number c of atom i is at
/// strides[0] * i + strides[1] * c, so that {3, 1} is [n_atoms][3] and {1, n_atoms} is
/// [3][n_atoms]; {0, 0} means one atom after another.
///
/// Units: Å. Ownership: nothing is kept after the work in the stream is done.
///
/// Since: 0.1.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct nepal_device_atoms_t {
    /// Size of this struct, set by the macro.
    pub struct_size: usize,
    /// Number of atoms, `n_ghosts` included.
    pub n_atoms: usize,
    /// Positions, three for each atom.
    pub positions: *const f64,
    /// Strides of `positions`.
    pub position_strides: [usize; 2],
    /// Types [n_atoms], 0-based in the order of the model's elements or by `type_map`; read again when the
    /// number of atoms, the map or the list's `generation` changes, `NEPAL_DEVICE_NEW_TYPES` is set, or
    /// `NEPAL_DEVICE_COMPARE_TYPES` finds others.
    pub types: *const i32,
    /// Cell [3][3] in host memory, one lattice vector a row; NULL only if nothing is periodic.
    pub cell: *const f64,
    /// 1 along periodic lattice vectors, 0 along others.
    pub periodic: [i32; 3],
    /// `NEPAL_DEVICE_...` flags or 0.
    pub flags: u32,
    /// A `CUstream` (or `cudaStream_t`) of the device's primary context; NULL: the default stream.
    pub stream: *mut c_void,
    /// How many of the atoms, the last ones, are ghosts: copies that the host made as neighbours of the
    /// others, the local ones. They carry no energy; forces and virials on them are the host's to bring
    /// home. Needs a list. Since: 0.3.
    pub n_ghosts: usize,
    /// The host's full neighbour list, with all neighbours of each local atom within the model's cutoff:
    /// how many there are [n_atoms - n_ghosts]. NULL: nepal finds the neighbours in `cell`. Since: 0.3.
    pub neighbor_counts: *const i32,
    /// Index of neighbour k of atom i, in the bits of `neighbor_mask`, at neighbor_strides[0] * i +
    /// neighbor_strides[1] * k. Since: 0.3.
    pub neighbors: *const i32,
    /// Strides of `neighbors`, in its numbers. Since: 0.3.
    pub neighbor_strides: [usize; 2],
    /// A number of the host's for the list, another one for each other list. Where it is that of the
    /// calculator's last call, the list and the types of the atoms are as they were, by the host's word.
    /// 0: both are read. Since: 0.3.
    pub generation: u64,
    /// Bits of a neighbour that count, such as `NEPAL_NEIGHBOR_MASK_LAMMPS`; 0: all. Since: 0.3.
    pub neighbor_mask: u32,
    /// Number of types in `type_map`. Since: 0.3.
    pub n_type_map: u32,
    /// The model's type for each of the host's [n_type_map], in host memory, -1 for one that no atom has.
    /// NULL: they are the model's. Since: 0.3.
    pub type_map: *const i32,
}

// SAFETY: plain numbers and pointers, size first.
unsafe impl SizedStruct for nepal_device_atoms_t {
    const NAME: &'static str = "nepal_device_atoms_t";
}

/// Places for results in the memory of the calculator's GPU, NULL for what is not wanted. Set up with
/// `NEPAL_DEVICE_RESULTS_INIT`. Strides as in `nepal_device_atoms_t`; units as in `nepal_results_t`.
///
/// Since: 0.1.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct nepal_device_results_t {
    /// Size of this struct, set by the macro.
    pub struct_size: usize,
    /// `NEPAL_RESULTS_ADD_FORCES`, here for energies and virials too, `NEPAL_DEVICE_DIAGONAL_FIRST`,
    /// `NEPAL_RESULTS_TEMPERATURE`, or 0.
    pub flags: u32,
    /// Reserved, 0.
    pub reserved: u32,
    /// Energy of each local atom [n_atoms - n_ghosts]. eV.
    pub energies: *mut f64,
    /// Forces, three for each atom. eV/Å.
    pub forces: *mut f64,
    /// Strides of `forces`.
    pub force_strides: [usize; 2],
    /// Virial of each atom, nine for each, xx xy xz yx yy yz zx zy zz. eV.
    pub virials: *mut f64,
    /// Strides of `virials`.
    pub virial_strides: [usize; 2],
    /// γ of each local atom [n_atoms - n_ghosts].
    pub gamma: *mut f64,
    /// ρ of each local atom.
    pub rho: *mut f64,
    /// The reported grade of each local atom.
    pub grade: *mut f64,
    /// The largest reported grade, in host memory; the host waits for it.
    pub largest_grade: *mut f64,
    /// Sum of the energies, one number on the device, which is not added to anything. eV. Since: 0.3.
    pub total_energy: *mut f64,
    /// Sum of the virials of all atoms, ghosts included: nine numbers on the device, in the order of a row of
    /// `virials`, which are not added to anything. eV. Since: 0.3.
    pub total_virial: *mut f64,
    /// Charge of each local atom [n_atoms - n_ghosts], of models that have them; one after another, and not
    /// added to anything, as what follows. e. Since: 0.3.
    pub charges: *mut f64,
    /// Born effective charges [n_atoms][3][3], as in `nepal_results_t`. e. Since: 0.3.
    pub born_charges: *mut f64,
    /// Dipole moment [3], of models of it. Since: 0.3.
    pub dipole: *mut f64,
    /// Share of each atom in it [n_atoms][3]. Since: 0.3.
    pub dipoles: *mut f64,
    /// Polarizability [3][3], of models of it. Since: 0.3.
    pub polarizability: *mut f64,
    /// Share of each atom in it [n_atoms][3][3], not symmetric. Since: 0.3.
    pub polarizabilities: *mut f64,
    /// Input with the flag `NEPAL_RESULTS_TEMPERATURE`, as in `nepal_results_t`. K. Since: 0.3.
    pub temperature: f64,
    /// Input: charge of all atoms together, for models with charges. e. Since: 0.3.
    pub charge: f64,
}

// SAFETY: as above.
unsafe impl SizedStruct for nepal_device_results_t {
    const NAME: &'static str = "nepal_device_results_t";
}

/// Number of GPUs that `NEPAL_BACKEND_CUDA` can be had on; 0 is an error that says why.
///
/// Errors: `NEPAL_STATUS_BACKEND` without driver or device, `NEPAL_STATUS_UNSUPPORTED` if this build
/// has no such backend.
///
/// Threads and ownership: any thread.
///
/// Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nepal_device_count(count: *mut usize) -> nepal_status_t {
    guard(|| {
        arguments::check(count, 1, "count")?;
        // SAFETY: the caller's promise, passed on.
        unsafe { number(count, devices()?, "count") }
    })
}

#[cfg(feature = "cuda")]
fn devices() -> Result<usize> {
    Ok(nepal_cuda::devices()?.len())
}

#[cfg(not(feature = "cuda"))]
fn devices() -> Result<usize> {
    Err(no_device())
}

/// Evaluates atoms that are on the calculator's GPU and leaves the results there; the calculator is
/// one of `NEPAL_BACKEND_CUDA`.
///
/// Work is done in the order of the stream: what was given to it before is waited for, and what is
/// given to it later finds the results. No fragments are cut, and results are not checked for NaN.
///
/// The host waits
/// - where types are new, and where the neighbour lists of other atoms are made, whose sizes it has to know;
///   lists that follow others of a trajectory are made with room for as many, and then it waits once to hear
///   that it was enough, unless `NEPAL_DEVICE_NO_WAIT` is set;
/// - to hear whether they must be made (one number), unless `NEPAL_DEVICE_STILL` or
///   `NEPAL_DEVICE_NO_WAIT` is set. With the latter it hears how far atoms had moved at the call
///   before, and makes lists at three quarters of what they are good for; should they have been too
///   old after all, or have had too little room, the next call or `nepal_calculator_finish_device` is an error;
/// - for the number of atoms within rounding of the threshold, if there is one, which the processor
///   grades, unless `NEPAL_DEVICE_NO_WAIT` is set: then they are where the device puts them until
///   `nepal_calculator_finish_device`;
/// - for the largest grade, and to hear whether types are others, if these are asked for;
/// - where memory on the device grows, and at the first call with a model or an active set.
///
/// Errors: `NEPAL_STATUS_UNSUPPORTED` for a calculator on another backend,
/// `NEPAL_STATUS_INVALID_ARGUMENT` as `nepal_calculator_compute`, and for an array in host memory, `NEPAL_STATUS_BACKEND` when the
/// device fails; results are then undefined.
///
/// Threads and ownership: one thread at a time on a calculator; several calculators on one device or
/// on several do not disturb each other.
///
/// Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nepal_calculator_compute_device(
    calculator: *mut nepal_calculator_t,
    atoms: *const nepal_device_atoms_t,
    results: *const nepal_device_results_t,
) -> nepal_status_t {
    // SAFETY: the caller's promises, passed on.
    unsafe {
        handle::call(calculator, |inner| {
            let results = options::read(results)?;
            let atoms = options::read(atoms)?;
            reserved(results.reserved, "nepal_device_results_t", "reserved")?;
            check(&atoms, &results)?;
            let conditions = Conditions {
                temperature: temperature(
                    results.flags,
                    results.temperature,
                    "nepal_device_results_t",
                )?,
                charge: results.charge,
                ..Conditions::default()
            };
            let map = if atoms.type_map.is_null() {
                None
            } else {
                Some(input(
                    atoms.type_map,
                    atoms.n_type_map as usize,
                    "type_map",
                )?)
            };
            let cell = match atoms.cell.is_null() {
                true => cell_of(None, atoms.periodic, "nepal_device_atoms_t")?,
                false => {
                    let rows = input(atoms.cell, 9, "cell")?;
                    cell_of(Some(rows), atoms.periodic, "nepal_device_atoms_t")?
                }
            };
            inner.calculator.set_conditions(conditions);
            compute(inner, &atoms, &results, &cell, map)
        })
    }
}

/// Waits for the calculator's last `nepal_calculator_compute_device` and completes in its arrays what
/// `NEPAL_DEVICE_NO_WAIT` left open: grades then are those of a call that waits. To be called before
/// anything else is computed with the calculator. Without anything open it only waits.
///
/// Errors: `NEPAL_STATUS_UNSUPPORTED` for a calculator on another backend, `NEPAL_STATUS_BACKEND` when
/// the device failed, and if neighbour lists were too old for the call, whose results are then not
/// right: the next call makes new ones.
///
/// Threads and ownership: as `nepal_calculator_compute_device`; the arrays for grades of that call must
/// still be there.
///
/// Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nepal_calculator_finish_device(
    calculator: *mut nepal_calculator_t,
) -> nepal_status_t {
    guard(|| {
        // SAFETY: the caller's promises, passed on.
        unsafe { handle::exclusive(calculator, |inner| finish(inner)) }
    })
}

fn check(atoms: &nepal_device_atoms_t, results: &nepal_device_results_t) -> Result<()> {
    const KNOWN: u32 = NEPAL_DEVICE_NEW_TYPES
        | NEPAL_DEVICE_STILL
        | NEPAL_DEVICE_NO_WAIT
        | NEPAL_DEVICE_COMPARE_TYPES;
    if atoms.flags & !KNOWN != 0 {
        return Err(Error::invalid(format!(
            "the flags of the nepal_device_atoms_t are {:#x}; expected NEPAL_DEVICE_... flags or 0",
            atoms.flags
        )));
    }
    const PLACES: u32 =
        NEPAL_RESULTS_ADD_FORCES | NEPAL_DEVICE_DIAGONAL_FIRST | NEPAL_RESULTS_TEMPERATURE;
    if results.flags & !PLACES != 0 {
        return Err(Error::invalid(format!(
            "the flags of the nepal_device_results_t are {:#x}; expected NEPAL_RESULTS_ADD_FORCES, NEPAL_DEVICE_DIAGONAL_FIRST, NEPAL_RESULTS_TEMPERATURE or 0",
            results.flags
        )));
    }
    if atoms.n_atoms > 0 && (atoms.positions.is_null() || atoms.types.is_null()) {
        return Err(Error::invalid(
            "`positions` or `types` of the nepal_device_atoms_t is NULL; expected arrays on the device",
        ));
    }
    let listed = !atoms.neighbor_counts.is_null();
    if atoms.n_ghosts > 0 && !listed {
        return Err(Error::invalid(format!(
            "{} ghosts are in the nepal_device_atoms_t, but `neighbor_counts` is NULL; expected the list that they were made for",
            atoms.n_ghosts
        )));
    }
    if listed
        && (atoms.neighbors.is_null() || atoms.neighbor_strides == [0, 0])
        && atoms.n_atoms > atoms.n_ghosts
    {
        return Err(Error::invalid(
            "`neighbors` of the nepal_device_atoms_t is NULL or `neighbor_strides` is {0, 0}; expected a list on the device and how it lies there",
        ));
    }
    Ok(())
}

#[cfg(feature = "cuda")]
unsafe fn compute(
    inner: &mut super::calculator::Inner,
    atoms: &nepal_device_atoms_t,
    results: &nepal_device_results_t,
    cell: &crate::system::Cell,
    type_map: Option<&[i32]>,
) -> Result<()> {
    use nepal_cuda::{DeviceAtoms, DeviceList, DeviceResults, Strided};
    let strided = |pointer: *const f64, strides: [usize; 2], columns: usize| Strided {
        address: pointer as u64,
        strides: if strides == [0, 0] {
            [columns, 1]
        } else {
            strides
        },
    };
    let here = DeviceAtoms {
        n_atoms: atoms.n_atoms,
        positions: strided(atoms.positions, atoms.position_strides, 3),
        types: atoms.types as u64,
        type_map,
        list: (!atoms.neighbor_counts.is_null()).then_some(DeviceList {
            n_ghosts: atoms.n_ghosts,
            counts: atoms.neighbor_counts as u64,
            neighbors: Strided {
                address: atoms.neighbors as u64,
                strides: atoms.neighbor_strides,
            },
            mask: match atoms.neighbor_mask {
                0 => u32::MAX,
                mask => mask,
            },
            generation: atoms.generation,
        }),
        new_types: atoms.flags & NEPAL_DEVICE_NEW_TYPES != 0,
        compare_types: atoms.flags & NEPAL_DEVICE_COMPARE_TYPES != 0,
        ahead: atoms.flags & NEPAL_DEVICE_NO_WAIT != 0,
        still: atoms.flags & NEPAL_DEVICE_STILL != 0,
        cell,
        stream: atoms.stream,
    };
    let there = DeviceResults {
        energies: results.energies as u64,
        forces: strided(results.forces, results.force_strides, 3),
        virials: strided(results.virials, results.virial_strides, 9),
        diagonal_first: results.flags & NEPAL_DEVICE_DIAGONAL_FIRST != 0,
        total_energy: results.total_energy as u64,
        total_virial: results.total_virial as u64,
        adding: results.flags & NEPAL_RESULTS_ADD_FORCES != 0,
        gamma: results.gamma as u64,
        rho: results.rho as u64,
        grade: results.grade as u64,
        charges: results.charges as u64,
        born_charges: results.born_charges as u64,
        dipole: results.dipole as u64,
        dipoles: results.dipoles as u64,
        polarizability: results.polarizability as u64,
        polarizabilities: results.polarizabilities as u64,
        largest: results.largest_grade as u64,
    };
    if inner.backend != crate::calculator::BackendKind::Cuda {
        return Err(no_device());
    }
    // SAFETY: promised by the caller.
    unsafe { inner.calculator.compute_device(&here, &there) }
}

#[cfg(feature = "cuda")]
unsafe fn finish(inner: &mut super::calculator::Inner) -> Result<()> {
    if inner.backend != crate::calculator::BackendKind::Cuda {
        return Err(no_device());
    }
    // SAFETY: promised by the caller.
    unsafe { inner.calculator.finish_device() }.map(|_| ())
}

#[cfg(not(feature = "cuda"))]
unsafe fn finish(_: &mut super::calculator::Inner) -> Result<()> {
    Err(no_device())
}

#[cfg(not(feature = "cuda"))]
unsafe fn compute(
    _: &mut super::calculator::Inner,
    _: &nepal_device_atoms_t,
    _: &nepal_device_results_t,
    _: &crate::system::Cell,
    _: Option<&[i32]>,
) -> Result<()> {
    Err(no_device())
}

fn no_device() -> Error {
    Error::Unsupported(
        "arrays on a GPU need a calculator on NEPAL_BACKEND_CUDA; make one, or use nepal_calculator_compute".into(),
    )
}
