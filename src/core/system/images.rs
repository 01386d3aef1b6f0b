//! Atoms and those of their periodic images that are near the cell: the places that neighbour lists
//! refer to.

use super::cell::{Cell, cross, norm};
use crate::error::{Error, Result};

/// No matter has so many atoms in 1 Å³: metallic hydrogen at 1 TPa has 2.
const DENSITY: f64 = 16.0;

/// Copies of an atom that memory is spent on where there are few atoms and where there are many.
const FEW_PLACES: usize = 1 << 23;
const COPIES: usize = 64;
/// Copies of an atom that an ordinary cell has at most.
const FEW_COPIES: f64 = 1e6;

/// More neighbours (within `cutoff` Å) than an atom can have.
pub(super) fn most_neighbors(cutoff: f64) -> usize {
    (DENSITY * sphere(cutoff)).max(1000.0) as usize
}

fn sphere(radius: f64) -> f64 {
    4.0 / 3.0 * std::f64::consts::PI * radius.powi(3)
}

/// The cell in which images are looked for, and its vectors in those of `cell` if it is another one.
///
/// Only a cell with far more images than its lattice needs is given up for another: the order of neighbours
/// depends on it.
pub(super) fn searched(cell: &Cell, cutoff: f64) -> (Cell, Option<[[i32; 3]; 3]>) {
    match cell.reduced() {
        Some((short, numbers)) if copies(cell, cutoff) > 2.0 * copies(&short, cutoff) => {
            (short, Some(numbers))
        }
        _ => (cell.clone(), None),
    }
}

/// Refuses cells that are too dense to be meant.
pub(super) fn check(cell: &Cell, n: usize, cutoff: f64) -> Result<()> {
    let expected = expected_neighbors(cell, n, cutoff);
    match expected > most_neighbors(cutoff) as f64 {
        true => Err(too_dense(cell, n, expected, cutoff)),
        false => Ok(()),
    }
}

/// Whether neighbours can be looked for in a cell as it stands: no other cell of its lattice has far fewer images, and
/// neither atoms nor images are more than can be meant.
pub(super) fn is_ordinary(cell: &Cell, n: usize, cutoff: f64) -> bool {
    let (_, numbers) = searched(cell, cutoff);
    numbers.is_none() && check(cell, n, cutoff).is_ok() && copies(cell, cutoff) <= FEW_COPIES
}

/// Copies of an atom near the cell, itself included.
fn copies(cell: &Cell, cutoff: f64) -> f64 {
    let thickness = cell.thickness();
    (0..3)
        .filter(|&d| cell.periodic()[d])
        .map(|d| 1.0 + 2.0 * cutoff / thickness[d])
        .product()
}

/// Neighbours of an atom by the density of `n` atoms, or of its own images where only some
/// directions are periodic.
fn expected_neighbors(cell: &Cell, n: usize, cutoff: f64) -> f64 {
    let v: Vec<[f64; 3]> = (0..3)
        .filter(|&d| cell.periodic()[d])
        .map(|d| cell.vectors()[d])
        .collect();
    match v[..] {
        [] => 0.0,
        [a] => 2.0 * cutoff / norm(a),
        [a, b] => std::f64::consts::PI * cutoff * cutoff / norm(cross(a, b)),
        _ => n as f64 * sphere(cutoff) / cell.volume(),
    }
}

/// The places of a list: each atom's copies side by side, in the order of their translations.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Images {
    /// Place of each atom itself.
    pub(super) local: Vec<u32>,
    /// Atom of each place.
    pub(super) source: Vec<u32>,
    /// Translation of each place after wrapping, as its index in `cells`.
    pub(super) code: Vec<u32>,
    /// All translations that can occur.
    pub(super) cells: Vec<[i32; 3]>,
    /// Translation that wrapping removed from each atom.
    pub(super) wrap: Vec<[i32; 3]>,
}

impl Images {
    /// All copies within `cutoff` of the cell along its periodic directions, given the wrapped
    /// fractional coordinates.
    ///
    /// **Errors**: [`Error::InvalidArgument`] for more images than can be meant.
    pub(super) fn new(
        cell: &Cell,
        fractional: &[[f64; 3]],
        wrap: Vec<[i32; 3]>,
        cutoff: f64,
    ) -> Result<Self> {
        let (thickness, periodic) = (cell.thickness(), cell.periodic());
        // A little more than the cutoff: rounding must not lose a neighbour.
        let margin: [f64; 3] = std::array::from_fn(|d| {
            if periodic[d] {
                cutoff / thickness[d] * (1.0 + 1e-9) + 1e-9
            } else {
                0.0
            }
        });
        let extent: [i64; 3] = std::array::from_fn(|d| {
            if periodic[d] {
                (margin[d].min(1e9)).floor() as i64 + 1
            } else {
                0
            }
        });
        let n = fractional.len();
        check(cell, n, cutoff)?;
        let number = extent.iter().map(|&m| (2 * m + 1) as f64).product::<f64>();
        let limit = FEW_PLACES.max(n.saturating_mul(COPIES)) as f64;
        if number > limit {
            return Err(too_many(number, cutoff));
        }
        let span = |s: &[f64; 3]| -> ([i64; 3], [i64; 3]) {
            let low = |d: usize| (-margin[d] - s[d]).ceil() as i64;
            let high = |d: usize| (1.0 + margin[d] - s[d]).floor() as i64;
            (
                std::array::from_fn(|d| if periodic[d] { low(d) } else { 0 }),
                std::array::from_fn(|d| if periodic[d] { high(d) } else { 0 }),
            )
        };
        let near = |s: &[f64; 3]| {
            let (low, high) = span(s);
            (0..3)
                .map(|d| (high[d] - low[d] + 1) as f64)
                .product::<f64>()
        };
        let places: f64 = fractional.iter().map(near).sum();
        if places > limit.min(f64::from(u32::MAX)) {
            return Err(too_many(places, cutoff));
        }
        let mut images = Self {
            local: room(n)?,
            source: room(places as usize)?,
            code: room(places as usize)?,
            cells: room(number as usize)?,
            wrap,
        };
        for a in -extent[0]..=extent[0] {
            for b in -extent[1]..=extent[1] {
                for c in -extent[2]..=extent[2] {
                    images.cells.push([a as i32, b as i32, c as i32]);
                }
            }
        }
        let size = extent.map(|m| 2 * m + 1);
        for (atom, s) in fractional.iter().enumerate() {
            let (low, high) = span(s);
            for a in low[0]..=high[0] {
                for b in low[1]..=high[1] {
                    for c in low[2]..=high[2] {
                        if [a, b, c] == [0; 3] {
                            images.local.push(images.source.len() as u32);
                        }
                        let code =
                            ((a + extent[0]) * size[1] + b + extent[1]) * size[2] + c + extent[2];
                        images.source.push(atom as u32);
                        images.code.push(code as u32);
                    }
                }
            }
        }
        Ok(images)
    }

    /// The same places with translations of the cell whose vectors `numbers` counts.
    ///
    /// **Errors**: [`Error::InvalidArgument`] for atoms farther out than can be counted.
    pub(super) fn counted_in(&mut self, numbers: &[[i32; 3]; 3]) -> Result<()> {
        for n in self.cells.iter_mut().chain(&mut self.wrap) {
            let mut sum = [0i64; 3];
            for (&times, vector) in n.iter().zip(numbers) {
                for d in 0..3 {
                    sum[d] += i64::from(times) * i64::from(vector[d]);
                }
            }
            for d in 0..3 {
                n[d] = i32::try_from(sum[d]).map_err(|_| far_out())?;
            }
        }
        Ok(())
    }
}

/// An empty vector with room for so many.
///
/// **Errors**: [`Error::Failed`] if the machine does not have it.
pub(super) fn room<T>(n: usize) -> Result<Vec<T>> {
    let mut vector = Vec::new();
    more_room(&mut vector, n)?;
    Ok(vector)
}

/// Room for `n` more; errors as [`room`].
pub(super) fn more_room<T>(vector: &mut Vec<T>, n: usize) -> Result<()> {
    vector.try_reserve(n).map_err(|_| {
        Error::Failed(format!(
            "no memory for a neighbour list: {} bytes were not to be had; are the cell and the cutoff right?",
            (vector.len() + n).saturating_mul(size_of::<T>())
        ))
    })
}

pub(super) fn far_out() -> Error {
    Error::invalid(
        "an atom is so many cells away that its place is not known to 1e-6 Å; expected positions near the cell, in Å",
    )
}

fn too_dense(cell: &Cell, n: usize, neighbors: f64, cutoff: f64) -> Error {
    Error::invalid(format!(
        "with {n} atoms in the cell {:?} an atom has about {neighbors:.3e} neighbours within {cutoff} Å, \
         and at most {} can be meant; is the cell flat, or in other units than Å?",
        cell.vectors(),
        most_neighbors(cutoff)
    ))
}

fn too_many(number: f64, cutoff: f64) -> Error {
    Error::invalid(format!(
        "{number:.3e} images are within {cutoff} Å of the cell, more than can be meant; is the cell flat, or in other units than Å?"
    ))
}
