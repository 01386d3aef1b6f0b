//! Full neighbour lists, for any cell and periodicity.
//!
//! The only module that knows periodic images, with its helpers. A list entry is an atom or one of
//! its images, so that cells smaller than the cutoff, down to one atom, need no special case.

use super::bins::{Bins, MAX_ENTRIES, Part, too_many, wrapped};
use super::cell::{Cell, add, sub};
use super::images::{self, Images, more_room, searched};
use crate::error::{Error, Result};
use std::sync::Arc;

/// For each centre, the atoms (with their periodic images) within a cutoff.
///
/// Every image counts as a neighbour of its own; only the centre itself, untranslated, is left out.
/// Memory: 4 bytes an entry, 8 a centre, and 24 an atom with 8 for each image near the cell. Copies of a
/// host's list share it, and comparing them costs nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NeighborList {
    offsets: Arc<Vec<usize>>,
    /// Places of the neighbours: copies of atoms in `images`, or the atoms of a host.
    index: Arc<Vec<u32>>,
    /// Empty for a host's list.
    images: Images,
}

/// The inside of a list, for backends. A place is an atom or a copy of it: place `p` is at
/// `r[source[p]] - wrap[source[p]] + cells[code[p]]` (translations of the cell); of a host's list,
/// which has no images, it is atom `p` itself.
#[derive(Clone, Copy, Debug)]
pub struct Entries<'a> {
    /// Where the neighbours of each atom begin. Shape `[n_local + 1]`.
    pub offsets: &'a [usize],
    /// Places of the neighbours.
    pub index: &'a [u32],
    /// The atom at each place.
    pub source: &'a [u32],
    /// Which of `cells` a place is in.
    pub code: &'a [u32],
    /// Translations, in lattice vectors.
    pub cells: &'a [[i32; 3]],
    /// By how many lattice vectors an atom was outside the cell. Shape `[n_atoms]`.
    pub wrap: &'a [[i32; 3]],
    /// The place of each atom itself; empty for a host's list.
    pub local: &'a [u32],
}

#[cfg(feature = "cpu")]
impl Entries<'_> {
    /// Place of an atom itself.
    #[inline(always)]
    pub fn local(&self, atom: usize) -> usize {
        if self.local.is_empty() {
            atom
        } else {
            self.local[atom] as usize
        }
    }

    /// All places of an atom.
    #[inline(always)]
    pub fn places(&self, atom: usize) -> std::ops::Range<usize> {
        let own = self.local(atom);
        if self.local.is_empty() {
            return own..own + 1;
        }
        let same = |&&source: &&u32| source as usize == atom;
        let before = self.source[..own].iter().rev().take_while(same).count();
        let after = self.source[own..].iter().take_while(same).count();
        own - before..own + after
    }
}

/// Below this number of atoms a list is built by one thread.
#[cfg(feature = "cpu")]
const PARALLEL: usize = 512;

impl NeighborList {
    /// The neighbours with `r < cutoff` of every atom, in a fixed order.
    ///
    /// **Shapes**: `positions` `[n_atoms]`. **Units**: Å. Cost and memory are proportional to the
    /// number of atoms and neighbours.
    ///
    /// **Errors**: [`Error::InvalidArgument`] for a cutoff that is not positive and finite,
    /// coordinates that are not finite, a cell or atoms with more neighbours than can be meant, or a list
    /// beyond 2³¹ entries; [`Error::Failed`] if there is no memory for it.
    pub fn build(cell: &Cell, positions: &[[f64; 3]], cutoff: f64) -> Result<Self> {
        if !(cutoff > 0.0 && cutoff.is_finite()) {
            return Err(Error::invalid(format!(
                "the neighbour cutoff is {cutoff} Å; expected a positive number"
            )));
        }
        super::structure::check_finite(positions)?;
        if positions.len() > u32::MAX as usize {
            return Err(Error::invalid(format!(
                "{} atoms; at most {} fit one list",
                positions.len(),
                u32::MAX
            )));
        }
        let (searched, numbers) = searched(cell, cutoff);
        let (fractional, wrap) = wrapped(&searched, positions)?;
        let mut images = Images::new(&searched, &fractional, wrap, cutoff)?;
        let bins = Bins::new(&searched, positions, &fractional, &images, cutoff)?;
        drop(fractional);
        let parts = parts(&bins, positions.len(), cutoff)?;
        drop(bins);
        if let Some(numbers) = numbers {
            images.counted_in(&numbers)?;
        }
        let (mut offsets, mut index) = (Vec::with_capacity(positions.len() + 1), Vec::new());
        offsets.push(0);
        for part in parts {
            if index.len() + part.index.len() > MAX_ENTRIES {
                return Err(too_many(0, cutoff));
            }
            let mut end = index.len();
            offsets.extend(part.counts.iter().map(|n| {
                end += n;
                end
            }));
            if index.is_empty() {
                index = part.index;
            } else {
                more_room(&mut index, part.index.len())?;
                index.extend_from_slice(&part.index);
            }
        }
        Ok(Self {
            offsets: Arc::new(offsets),
            index: Arc::new(index),
            images,
        })
    }

    /// Refuses a cell that is too dense for `n` atoms, as [`NeighborList::build`] would.
    ///
    /// **Errors**: [`Error::InvalidArgument`].
    pub fn check_density(cell: &Cell, n: usize, cutoff: f64) -> Result<()> {
        images::check(cell, n, cutoff)
    }

    /// Whether others than [`NeighborList::build`] may look for the neighbours of `n` atoms: their images in the cell as
    /// it stands are not too many.
    pub fn is_ordinary(cell: &Cell, n: usize, cutoff: f64) -> bool {
        images::is_ordinary(cell, n, cutoff)
    }

    /// A list handed over by a host code, whose ghost atoms stand for periodic images.
    ///
    /// **Shapes**: `counts` `[n_centres]`; `index` `[sum of counts]`, the neighbours of centre 0,
    /// then of centre 1, and so on, below `n_total`.
    ///
    /// **Errors**: [`Error::InvalidArgument`] if the lengths disagree or an index is out of range.
    pub fn from_host(counts: &[usize], index: Vec<u32>, n_total: usize) -> Result<Self> {
        let mut offsets = Vec::with_capacity(counts.len() + 1);
        offsets.push(0usize);
        let mut sum = 0usize;
        for &count in counts {
            sum = sum.saturating_add(count);
            offsets.push(sum);
        }
        if sum != index.len() {
            return Err(Error::invalid(format!(
                "the neighbour counts add up to {sum} but {} neighbours were given",
                index.len()
            )));
        }
        if let Some(bad) = index.iter().position(|&j| j as usize >= n_total) {
            return Err(Error::invalid(format!(
                "entry {bad} of the neighbour list is atom {}; there are {n_total} atoms (ghosts included)",
                index[bad]
            )));
        }
        Ok(Self {
            offsets: Arc::new(offsets),
            index: Arc::new(index),
            ..Self::default()
        })
    }

    /// Replaces the list by a host's, row by row, in the memory that it has unless a copy shares that.
    ///
    /// **Shapes**: `rows` one slice of neighbours per centre. Of each entry the bits in `mask` count;
    /// they name an atom below `n_total`, never the centre itself.
    ///
    /// **Errors**: the first error of `rows`, or [`Error::InvalidArgument`] for an entry that is no
    /// such atom; the list is then empty.
    pub fn refill<'a>(
        &mut self,
        n_total: usize,
        mask: u32,
        rows: impl Iterator<Item = Result<&'a [i32]>>,
    ) -> Result<()> {
        self.images = Images::default();
        let (offsets, index) = (emptied(&mut self.offsets), emptied(&mut self.index));
        let filled = fill(offsets, index, n_total, mask, rows);
        if filled.is_err() {
            offsets.clear();
            index.clear();
        }
        filled
    }

    /// Number of centres.
    pub fn len(&self) -> usize {
        self.offsets.len().saturating_sub(1)
    }

    /// True without centres.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of entries of all centres.
    pub fn entries(&self) -> usize {
        self.index.len()
    }

    /// Number of neighbours of a centre.
    pub fn count(&self, center: usize) -> usize {
        self.offsets[center + 1] - self.offsets[center]
    }

    /// Neighbours of a centre: atom and lattice translation (zero for a host's list).
    pub fn of(&self, center: usize) -> impl Iterator<Item = (usize, [i32; 3])> + '_ {
        let row = &self.index[self.offsets[center]..self.offsets[center + 1]];
        let images = &self.images;
        row.iter().map(move |&place| {
            if images.source.is_empty() {
                return (place as usize, [0; 3]);
            }
            let j = images.source[place as usize] as usize;
            let cells = images.cells[images.code[place as usize] as usize];
            // Undo the wrapping of both atoms.
            let image =
                std::array::from_fn(|d| cells[d] + images.wrap[center][d] - images.wrap[j][d]);
            (j, image)
        })
    }

    /// Neighbours of a centre with the vector `r_ij = r_j + translation - r_i` in Å.
    pub fn vectors<'a>(
        &'a self,
        center: usize,
        cell: &'a Cell,
        positions: &'a [[f64; 3]],
    ) -> impl Iterator<Item = (usize, [f64; 3])> + 'a {
        let origin = positions[center];
        self.of(center).map(move |(j, image)| {
            let direct = sub(positions[j], origin);
            if image == [0; 3] {
                (j, direct)
            } else {
                (j, add(direct, cell.translation(image)))
            }
        })
    }

    /// The list as arrays.
    pub fn raw(&self) -> Entries<'_> {
        Entries {
            offsets: &self.offsets,
            index: &self.index,
            source: &self.images.source,
            code: &self.images.code,
            cells: &self.images.cells,
            wrap: &self.images.wrap,
            local: &self.images.local,
        }
    }
}

/// The vector without its content, or a new one of its size if others have it too.
fn emptied<T: Clone>(shared: &mut Arc<Vec<T>>) -> &mut Vec<T> {
    if Arc::get_mut(shared).is_none() {
        *shared = Arc::new(Vec::with_capacity(shared.len()));
    }
    let own = Arc::make_mut(shared);
    own.clear();
    own
}

fn fill<'a>(
    offsets: &mut Vec<usize>,
    index: &mut Vec<u32>,
    n_total: usize,
    mask: u32,
    rows: impl Iterator<Item = Result<&'a [i32]>>,
) -> Result<()> {
    offsets.push(0);
    for (center, row) in rows.enumerate() {
        let row = row?;
        let start = index.len();
        // The bits of a negative entry make it too large, unless the mask clears the sign.
        index.extend(row.iter().map(|&j| j as u32 & mask));
        if let Some(bad) = index[start..]
            .iter()
            .position(|&j| j as usize >= n_total || j as usize == center)
        {
            return Err(Error::invalid(format!(
                "neighbour {bad} of atom {center} is atom {}; expected another atom below {n_total} (ghosts included)",
                index[start + bad]
            )));
        }
        offsets.push(index.len());
    }
    Ok(())
}

#[cfg(feature = "cpu")]
fn parts(bins: &Bins, n: usize, cutoff: f64) -> Result<Vec<Part>> {
    use rayon::prelude::*;
    if n < PARALLEL || rayon::current_num_threads() == 1 {
        return Ok(vec![bins.part(0..n, cutoff)?]);
    }
    let chunks = 4 * rayon::current_num_threads();
    (0..chunks)
        .into_par_iter()
        .map(|c| bins.part(n * c / chunks..n * (c + 1) / chunks, cutoff))
        .collect()
}

#[cfg(not(feature = "cpu"))]
fn parts(bins: &Bins, n: usize, cutoff: f64) -> Result<Vec<Part>> {
    Ok(vec![bins.part(0..n, cutoff)?])
}

#[cfg(test)]
mod tests;
