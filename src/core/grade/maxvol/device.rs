//! What a device takes over of MaxVol. The result is the CPU's to the last bit: exchanges are made by
//! the same operations in the same order, and products, whose rounding differs, only decide where no
//! rounding can matter; the rows between are computed here.

use crate::error::Result;
use std::ops::Range;

/// An exchange of rows: candidate `row` takes the place of active row `column`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Swap {
    /// The candidate.
    pub row: usize,
    /// The active row that goes.
    pub column: usize,
    /// C\[row\]\[column\] before it.
    pub pivot: f64,
}

/// A device with the rows of a pool, among which it chooses.
pub trait VolumeDevice {
    /// Takes a pool of rows of a length, instead of the last one.
    fn pool(&mut self, data: &[f64], n: usize) -> Result<()>;

    /// Largest |x A⁻¹| of rows of the pool in f64, infinite for NaN. **Shapes**: `inverse` `[n][n]`.
    fn sizes(&mut self, rows: Range<usize>, inverse: &[f64]) -> Result<Vec<f64>>;

    /// The exchanges of largest |C|, one after another, without computing C afresh, at most `limit`
    /// times; `c` has rows of `n`, `largest` the largest |C| of each.
    fn exchange(
        &mut self,
        c: &[f64],
        largest: &[f64],
        tolerance: f64,
        limit: usize,
    ) -> Result<Vec<Swap>>;
}

/// A device that helps, if there is one.
pub type Help<'a> = Option<&'a mut (dyn VolumeDevice + 'static)>;

/// By how much products of rows with a matrix can differ between machines, whatever the order of their
/// sums (Higham, Accuracy and Stability of Numerical Algorithms, 3.1), with room: for each row.
pub(super) fn bounds(data: &[f64], inverse: &[f64], n: usize) -> Vec<f64> {
    let mut squares = vec![0.0; n];
    for row in inverse.chunks_exact(n) {
        for (s, x) in squares.iter_mut().zip(row) {
            *s += x * x;
        }
    }
    let longest = squares.iter().copied().fold(0.0, f64::max).sqrt();
    let unit = 4.0 * n as f64 * f64::EPSILON * longest;
    let rows = data.chunks_exact(n);
    rows.map(|row| unit * row.iter().map(|x| x * x).sum::<f64>().sqrt())
        .collect()
}

/// Puts the CPU's sizes where a device's leave open whether a row is above the tolerance, or, of the
/// first `ordered` above it, which of two is larger. `exact` computes the sizes of a block of rows.
pub(super) fn settle(
    sizes: &mut [f64],
    bounds: &[f64],
    tolerance: f64,
    ordered: usize,
    block: usize,
    mut exact: impl FnMut(Range<usize>) -> Vec<f64>,
) {
    let mut open = vec![false; sizes.len().div_ceil(block)];
    let mut above = Vec::new();
    let mut widest = 0.0f64;
    for (k, (&size, &bound)) in sizes.iter().zip(bounds).enumerate() {
        let certain = (size - tolerance).abs() > bound;
        open[k / block] |= !certain;
        if size > tolerance {
            above.push(k);
            widest = widest.max(bound);
        }
    }
    above.sort_by(|&a, &b| sizes[b].total_cmp(&sizes[a]));
    for (k, pair) in above.windows(2).enumerate() {
        // Beyond the first, only who ties with their last matters, and with whom those tie.
        let apart = sizes[pair[0]] - sizes[pair[1]] > 2.0 * widest;
        if k >= ordered && apart {
            break;
        }
        if !apart {
            open[pair[0] / block] = true;
            open[pair[1] / block] = true;
        }
    }
    for (b, _) in open.iter().enumerate().filter(|(_, open)| **open) {
        let range = b * block..((b + 1) * block).min(sizes.len());
        sizes[range.clone()].copy_from_slice(&exact(range));
    }
}

#[cfg(test)]
mod tests {
    use super::settle;

    #[test]
    fn only_blocks_that_rounding_could_decide_are_computed_again() {
        // Blocks of two: at the tolerance; clear; a near tie among the first; a tie beyond them.
        let exact = [1.0, 0.5, 9.0, 0.2, 5.0, 5.0 + 1e-13, 1.5, 1.5];
        let mut sizes = exact.map(|x| x + 1e-14);
        let mut seen = Vec::new();
        settle(&mut sizes, &[1e-12; 8], 1.0, 2, 2, |rows| {
            seen.push(rows.start / 2);
            exact[rows].to_vec()
        });
        assert_eq!(seen, [0, 2]);
        assert_eq!(sizes[0], 1.0);
        assert_eq!(sizes[5], 5.0 + 1e-13);
        assert_ne!(sizes[2], 9.0);
        // One more is looked at, and its tie counts.
        seen.clear();
        settle(&mut sizes, &[1e-12; 8], 1.0, 4, 2, |rows| {
            seen.push(rows.start / 2);
            exact[rows].to_vec()
        });
        assert_eq!(seen, [0, 2, 3]);
    }
}
