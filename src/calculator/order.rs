//! Atoms in an order in which neighbours in space are near in memory.

use crate::system::Cell;
use crate::system::cell::{norm, sub};

/// Fewer atoms than this stay in the caches in any order.
const FEW: usize = 4096;

/// An order is good if so large a share of the atoms is near the atom before.
const GOOD: f64 = 0.5;

/// Bits of a bin's number along one direction.
const BITS: u32 = 20;

/// Atoms along a Z-order curve (Morton, IBM technical report, 1966) through bins of width `reach`
/// (Å), if there are many of them and they are in disorder; `None` where they may stay.
///
/// **Shapes**: `positions` and the result `[n_atoms]`: at each place of the new order, the number of
/// the atom.
pub(crate) fn of_places(cell: &Cell, positions: &[[f64; 3]], reach: f64) -> Option<Vec<u32>> {
    if positions.len() < FEW || is_good(cell, positions, reach) {
        return None;
    }
    let (thickness, periodic) = (cell.thickness(), cell.periodic());
    let at: Vec<[f64; 3]> = positions
        .iter()
        .map(|&r| {
            let s = cell.fractional(r);
            std::array::from_fn(|d| {
                if periodic[d] {
                    s[d] - s[d].floor()
                } else {
                    s[d]
                }
            })
        })
        .collect();
    let low: [f64; 3] =
        std::array::from_fn(|d| at.iter().map(|s| s[d]).fold(f64::INFINITY, f64::min));
    let mut keyed: Vec<(u64, u32)> = at
        .iter()
        .zip(0..)
        .map(|(s, atom)| {
            let bin = |d: usize| {
                // Saturates: atoms far out share a bin.
                let bin = ((s[d] - low[d]) * thickness[d] / reach) as u64;
                spread(bin.min((1 << BITS) - 1)) << d
            };
            (bin(0) | bin(1) | bin(2), atom)
        })
        .collect();
    keyed.sort_unstable();
    Some(keyed.into_iter().map(|(_, atom)| atom).collect())
}

/// Whether most atoms are near the atom before them.
fn is_good(cell: &Cell, positions: &[[f64; 3]], reach: f64) -> bool {
    let periodic = cell.periodic();
    let near = |pair: &&[[f64; 3]]| {
        let mut s = cell.fractional(sub(pair[1], pair[0]));
        for d in 0..3 {
            if periodic[d] {
                s[d] -= s[d].round();
            }
        }
        norm(cell.cartesian(s)) < 2.0 * reach
    };
    let count = positions.windows(2).filter(near).count();
    count as f64 >= GOOD * positions.len() as f64
}

/// The bits of a number, two zeros between them.
fn spread(number: u64) -> u64 {
    (0..BITS).fold(0, |sum, bit| sum | (number >> bit & 1) << (3 * bit))
}

/// Takes rows of `width` numbers into an order.
pub(crate) fn gather<T: Copy>(order: &[u32], rows: &[T], width: usize) -> Vec<T> {
    let row = |&atom: &u32| &rows[atom as usize * width..][..width];
    order.iter().flat_map(row).copied().collect()
}

/// Brings rows that are in an order back.
pub(crate) fn scatter<T: Copy + Default>(order: &[u32], rows: &mut Vec<T>) {
    if rows.is_empty() {
        return;
    }
    let width = rows.len() / order.len();
    let mut out = vec![T::default(); rows.len()];
    for (row, &atom) in rows.chunks_exact(width).zip(order) {
        out[atom as usize * width..][..width].copy_from_slice(row);
    }
    *rows = out;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disorder_is_seen_and_undone() {
        let cell = Cell::orthorhombic([48.0; 3]).unwrap();
        let grid = |m: usize| [m / 256, m / 16 % 16, m % 16].map(|x| 3.0 * x as f64 - 20.0);
        let ordered: Vec<[f64; 3]> = (0..4096).map(grid).collect();
        assert_eq!(of_places(&cell, &ordered, 5.0), None);
        // 1597 has no common divisor with 4096.
        let mixed: Vec<[f64; 3]> = (0..4096).map(|m| grid(1597 * m % 4096)).collect();
        let order = of_places(&cell, &mixed, 5.0).unwrap();
        let sorted = gather(&order, &mixed, 1);
        assert_eq!(of_places(&cell, &sorted, 5.0), None);
        let mut back = sorted.clone();
        scatter(&order, &mut back);
        assert_eq!(back, mixed);
        assert_eq!(of_places(&cell, &mixed[..4000], 5.0), None);
        assert_eq!(spread(0b101), 0b1000001);
    }
}
