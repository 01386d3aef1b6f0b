//! Atoms and those of their periodic images that are near the cell: the places that neighbour lists
//! refer to.

use super::bins::MAX_ENTRIES;
use super::cell::Cell;
use crate::error::{Error, Result};

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
        let number = extent.iter().map(|&m| (2 * m + 1) as f64).product::<f64>();
        let limit = MAX_ENTRIES as f64 / 16.0;
        if number > limit {
            return Err(too_many(number, cutoff));
        }
        let mut images = Self {
            local: Vec::with_capacity(fractional.len()),
            wrap,
            ..Self::default()
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
            let low: [i64; 3] = std::array::from_fn(|d| {
                if periodic[d] {
                    (-margin[d] - s[d]).ceil() as i64
                } else {
                    0
                }
            });
            let high: [i64; 3] = std::array::from_fn(|d| {
                if periodic[d] {
                    (1.0 + margin[d] - s[d]).floor() as i64
                } else {
                    0
                }
            });
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
            if images.source.len() as f64 > limit.max(16.0 * fractional.len() as f64) {
                return Err(too_many(images.source.len() as f64, cutoff));
            }
        }
        if images.source.len() > u32::MAX as usize {
            return Err(too_many(images.source.len() as f64, cutoff));
        }
        Ok(images)
    }
}

fn too_many(number: f64, cutoff: f64) -> Error {
    Error::invalid(format!(
        "the cell has {number:.0} images within {cutoff} Å; is it flat, or in other units than Å?"
    ))
}
