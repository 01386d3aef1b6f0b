//! Systems as C hands them over, checked and borrowed.

use super::arguments::{input, optional};
use super::options::{SizedStruct, reserved};
use crate::backend::{self, Peers, Whole};
use crate::calculator::View;
use crate::element::Element;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::system::{Cell, NeighborList};
use std::borrow::Cow;

/// Bits of a neighbour index that LAMMPS uses for the atom; the others mark special bonds.
/// Since: 0.1.
pub const NEPAL_NEIGHBOR_MASK_LAMMPS: u32 = 0x1FFFFFFF;

/// Atoms in a cell; nepal builds the neighbour list. Set up with `NEPAL_STRUCTURE_INIT`.
///
/// Units: Å. Ownership: nothing is kept after the call.
///
/// Since: 0.1.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct nepal_structure_t {
    /// Size of this struct, set by the macro.
    pub struct_size: usize,
    /// Number of atoms; with 0 no array is read.
    pub n_atoms: usize,
    /// Positions [n_atoms][3], finite; they may lie outside the cell.
    pub positions: *const f64,
    /// Types [n_atoms], 0-based in the order of the model's elements. Give these or
    /// `atomic_numbers`, the other NULL.
    pub types: *const i32,
    /// Atomic numbers [n_atoms], if `types` is NULL.
    pub atomic_numbers: *const i32,
    /// Cell [3][3], one lattice vector a row; NULL only if nothing is periodic.
    pub cell: *const f64,
    /// 1 along periodic lattice vectors, 0 along others.
    pub periodic: [i32; 3],
    /// Reserved, 0.
    pub reserved: u32,
    /// The host's own names of the atoms [n_atoms], handed to the fragment callback; NULL: the
    /// indices.
    pub tags: *const i64,
    /// The host's step, handed to the fragment callback.
    pub step: i64,
}

// SAFETY: plain numbers and pointers, size first.
unsafe impl SizedStruct for nepal_structure_t {
    const NAME: &'static str = "nepal_structure_t";
}

/// Local atoms, ghosts, and the host's own full neighbour list, as in LAMMPS. Set up with
/// `NEPAL_HOST_LIST_INIT`.
///
/// The first `n_local` atoms carry energy; ghosts follow and stand for periodic images and atoms
/// of other processes. The list of an atom names at least all others within `nepal_model_cutoff`,
/// never the atom itself; farther ones are ignored.
///
/// Units: Å. Ownership: nothing is kept after the call.
///
/// Since: 0.1.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct nepal_host_list_t {
    /// Size of this struct, set by the macro.
    pub struct_size: usize,
    /// Number of local atoms.
    pub n_local: usize,
    /// Number of atoms, ghosts included; with 0 no array is read.
    pub n_total: usize,
    /// Positions [n_total][3], finite, ghosts where their image is.
    pub positions: *const f64,
    /// Types [n_total], 0-based in the order of the model's elements.
    pub types: *const i32,
    /// Number of neighbours of each local atom [n_local].
    pub counts: *const i32,
    /// Indices of the neighbours [sum of counts]: those of atom 0, then of atom 1, and so on. Give
    /// these or `rows`, the other NULL.
    pub neighbors: *const i32,
    /// One pointer to the neighbours of each local atom [n_local], as LAMMPS' `firstneigh`, if
    /// `neighbors` is NULL.
    pub rows: *const *const i32,
    /// Bits of an index that count, such as `NEPAL_NEIGHBOR_MASK_LAMMPS`; 0: all.
    pub mask: u32,
    /// Reserved, 0.
    pub reserved: u32,
    /// The host's own names of the atoms [n_total], handed to the fragment callback; NULL: the
    /// indices.
    pub tags: *const i64,
    /// The host's step, handed to the fragment callback.
    pub step: i64,
    /// How far around each local atom, along each axis, all atoms are among these, Å; fragments are
    /// cut from just those, whatever else is known. 0: as far as the atoms go in each case.
    pub known: f64,
    /// A number of the host's for the list, another one for each other list. Where it is that of the
    /// calculator's last list, `counts`, `neighbors`, `rows` and `mask` are as they were, by the host's word,
    /// and are not read: what a list costs is paid when it is made, not in each step. 0: they are read.
    /// Since: 0.2.
    pub generation: u64,
    /// Cell [3][3] in which the local atoms of all processes together repeat in three directions, one
    /// lattice vector a row; NULL if they do not. Read for models with charges or dispersion, whose
    /// sums over reciprocal space need it. Since: 0.2.
    pub cell: *const f64,
}

// SAFETY: as above.
unsafe impl SizedStruct for nepal_host_list_t {
    const NAME: &'static str = "nepal_host_list_t";
}

/// A cell of a struct, whose rows may be missing if nothing is periodic, and its `periodic`.
///
/// **Errors**: other flags than 0 and 1; something periodic without rows; a flat cell.
pub(super) fn cell_of(rows: Option<&[f64]>, flags: [i32; 3], name: &str) -> Result<Cell> {
    let periodic = periodic_of(flags, name)?;
    match rows {
        None if periodic == [false; 3] => Ok(Cell::isolated()),
        None => Err(Error::invalid("`cell` is NULL; expected an array of 9")),
        Some(rows) => Cell::new(
            std::array::from_fn(|i| std::array::from_fn(|j| rows[3 * i + j])),
            periodic,
        ),
    }
}

fn periodic_of(flags: [i32; 3], name: &str) -> Result<[bool; 3]> {
    let mut periodic = [false; 3];
    for (flag, given) in periodic.iter_mut().zip(flags) {
        *flag = match given {
            0 => false,
            1 => true,
            other => {
                return Err(Error::invalid(format!(
                    "`periodic` of the {name} holds {other}; expected 0 or 1"
                )));
            }
        };
    }
    Ok(periodic)
}

/// The list that a host handed over last.
#[derive(Debug, Default)]
pub(super) struct HostList {
    pub list: NeighborList,
    /// The host's number for it, 0 for none.
    generation: u64,
    n_total: usize,
}

/// A system of either kind, without its neighbour list.
pub(super) struct Atoms<'a> {
    pub cell: Cell,
    pub positions: &'a [[f64; 3]],
    pub types: Cow<'a, [u32]>,
    pub tags: Option<&'a [i64]>,
    pub step: i64,
    /// The host's list, if that is how the atoms came.
    pub list: Option<&'a NeighborList>,
    /// `known` of a host's list; 0 for a structure, of which all is known.
    pub known: f64,
    /// In which all atoms of a host repeat, if they do.
    pub whole: Option<Cell>,
}

impl<'a> Atoms<'a> {
    /// Number of atoms that carry energy.
    pub fn n_local(&self) -> usize {
        self.list.map_or(self.positions.len(), NeighborList::len)
    }

    /// The atoms for a calculator.
    pub fn view(&self) -> View<'_> {
        self.shared(None)
    }

    /// The atoms for a calculator that sums over those of all processes.
    pub fn shared<'s>(&'s self, peers: Option<&'s dyn Peers>) -> View<'s> {
        let (cell, positions, types) = (&self.cell, self.positions, &*self.types);
        match self.list {
            None => View::Atoms(backend::Atoms {
                cell,
                positions,
                types,
            }),
            Some(neighbors) => View::Listed(backend::System {
                cell,
                positions,
                types,
                neighbors,
                whole: peers.map(|peers| Whole {
                    cell: self.whole.as_ref(),
                    peers,
                }),
            }),
        }
    }

    /// The host's name of an atom.
    pub fn tag(&self, i: usize) -> i64 {
        self.tags.map_or(i as i64, |tags| tags[i])
    }

    /// # Safety
    ///
    /// The arrays are as [`nepal_structure_t`] says.
    pub unsafe fn of_structure(s: &nepal_structure_t, model: &Model) -> Result<Self> {
        let name = "nepal_structure_t";
        reserved(s.reserved, name, "reserved")?;
        let n = s.n_atoms;
        // SAFETY: promised by the caller.
        unsafe {
            let cell = match (n, s.cell.is_null()) {
                (0, _) => periodic_of(s.periodic, name).map(|_| Cell::isolated())?,
                (_, true) => cell_of(None, s.periodic, name)?,
                _ => cell_of(Some(input(s.cell, 9, "cell")?), s.periodic, name)?,
            };
            let types = match (s.types.is_null(), s.atomic_numbers.is_null()) {
                (false, false) => {
                    return Err(Error::invalid(format!(
                        "the {name} has both `types` and `atomic_numbers`; give one, the other NULL"
                    )));
                }
                (true, false) => Cow::Owned(types_of(
                    input(s.atomic_numbers, n, "atomic_numbers")?,
                    model,
                )?),
                _ => types_in(input(s.types, n, "types")?, model)?,
            };
            Ok(Self {
                cell,
                positions: positions(s.positions, n)?,
                types,
                tags: optional(s.tags, n, "tags")?,
                step: s.step,
                list: None,
                known: 0.0,
                whole: None,
            })
        }
    }

    /// # Safety
    ///
    /// The arrays are as [`nepal_host_list_t`] says.
    pub unsafe fn of_list(
        s: &nepal_host_list_t,
        model: &Model,
        kept: &mut HostList,
    ) -> Result<Self> {
        let name = "nepal_host_list_t";
        reserved(s.reserved, name, "reserved")?;
        if s.n_local > s.n_total {
            return Err(Error::invalid(format!(
                "the {name} has n_local {} above n_total {}; n_total counts locals and ghosts",
                s.n_local, s.n_total
            )));
        }
        if !(s.known >= 0.0 && s.known.is_finite()) {
            return Err(Error::invalid(format!(
                "`known` of the {name} is {}; expected a distance in Å, or 0",
                s.known
            )));
        }
        // SAFETY: promised by the caller.
        unsafe {
            let atoms = Self {
                cell: Cell::isolated(),
                positions: positions(s.positions, s.n_total)?,
                types: types_in(input(s.types, s.n_total, "types")?, model)?,
                tags: optional(s.tags, s.n_total, "tags")?,
                step: s.step,
                list: None,
                known: s.known,
                whole: optional(s.cell, 9, "cell")?
                    .map(|rows| cell_of(Some(rows), [1; 3], name))
                    .transpose()?,
            };
            if s.generation != 0 && s.generation == kept.generation {
                let [local, total] = [kept.list.len(), kept.n_total];
                if [local, total] != [s.n_local, s.n_total] {
                    return Err(Error::invalid(format!(
                        "`generation` {} of the {name} is that of a list with n_local {local} and n_total {total}; found {} and {}: give each list a number of its own",
                        s.generation, s.n_local, s.n_total
                    )));
                }
                return Ok(atoms);
            }
            kept.generation = 0;
            let list = &mut kept.list;
            let counts = counts(input(s.counts, s.n_local, "counts")?)?;
            let mask = if s.mask == 0 { u32::MAX } else { s.mask };
            match (s.neighbors.is_null(), s.rows.is_null()) {
                (false, false) => Err(Error::invalid(format!(
                    "the {name} has both `neighbors` and `rows`; give one, the other NULL"
                ))),
                (true, false) => {
                    let rows = input(s.rows, s.n_local, "rows")?;
                    list.refill(
                        s.n_total,
                        mask,
                        rows.iter()
                            .zip(counts)
                            .map(|(&row, &n)| input(row, n as usize, "rows[i]")),
                    )
                }
                _ => {
                    let total = counts.iter().map(|&n| n as usize).sum();
                    let mut rest = input(s.neighbors, total, "neighbors")?;
                    list.refill(
                        s.n_total,
                        mask,
                        counts.iter().map(|&n| {
                            let (row, tail) = rest.split_at(n as usize);
                            rest = tail;
                            Ok(row)
                        }),
                    )
                }
            }?;
            (kept.generation, kept.n_total) = (s.generation, s.n_total);
            Ok(atoms)
        }
    }
}

/// # Safety
///
/// `pointer` has `[n][3]` numbers.
unsafe fn positions<'a>(pointer: *const f64, n: usize) -> Result<&'a [[f64; 3]]> {
    // SAFETY: promised by the caller; [f64; 3] has the alignment of f64.
    let positions = unsafe { input(pointer.cast::<[f64; 3]>(), n, "positions") }?;
    crate::system::structure::check_finite(positions)?;
    Ok(positions)
}

fn counts(counts: &[i32]) -> Result<&[i32]> {
    match counts.iter().position(|&n| n < 0) {
        None => Ok(counts),
        Some(atom) => Err(Error::invalid(format!(
            "atom {atom} has {} neighbours; expected 0 or more",
            counts[atom]
        ))),
    }
}

/// Types as they came, without a copy: once no one is negative, both integer types mean the same.
fn types_in<'a>(types: &'a [i32], model: &Model) -> Result<Cow<'a, [u32]>> {
    let n_types = model.elements().len();
    if let Some(atom) = types
        .iter()
        .position(|&t| usize::try_from(t).map_or(true, |t| t >= n_types))
    {
        return Err(Error::invalid(format!(
            "atom {atom} has type {}; the model has the types 0 to {}",
            types[atom],
            n_types - 1
        )));
    }
    // SAFETY: i32 and u32 have the same layout, and every bit pattern is valid.
    let types = unsafe { std::slice::from_raw_parts(types.as_ptr().cast::<u32>(), types.len()) };
    Ok(Cow::Borrowed(types))
}

fn types_of(numbers: &[i32], model: &Model) -> Result<Vec<u32>> {
    numbers
        .iter()
        .enumerate()
        .map(|(atom, &z)| {
            usize::try_from(z)
                .map_err(|_| Error::invalid(format!("atomic number {z} does not exist")))
                .and_then(Element::from_number)
                .and_then(|element| model.type_of(element))
                .map_err(|e| Error::invalid(format!("atom {atom}: {e}")))
        })
        .collect()
}
