//! Rectangular MaxVol: more rows than columns, until no row is longer than it may be.

use crate::error::{Error, Result};
use crate::grade::linalg::{dot, map_blocks, multiply, rows};
use faer::MatMut;
use faer::prelude::Solve;

/// Rows handled together.
const BLOCK: usize = 512;

/// Adds rows to a selection until |x A⁺| is at most `length` for all rows, the longest first.
///
/// |x A⁺|² = x (AᵀA)⁻¹ xᵀ is the leverage of x; (AᵀA)⁻¹ and the leverages follow each added row by
/// a rank-one update.
///
/// **Shapes**: `data` `[N][n]`; `selected` rows of rank n, such as those of
/// [`maxvol`](super::maxvol). **Errors**: [`Error::InvalidArgument`] for a length that is not
/// positive, or a selection of lower rank.
/// **Source**: Mikhalev and Oseledets, Linear Algebra Appl. 538, 187 (2018), Algorithm 2, in terms
/// of leverages.
pub fn rectangular(data: &[f64], n: usize, selected: &[usize], length: f64) -> Result<Vec<usize>> {
    if !(length > 0.0 && length.is_finite()) {
        return Err(Error::invalid(format!(
            "the largest length of rectangular MaxVol is {length}; expected a positive number"
        )));
    }
    if selected.len() < n {
        return Err(super::singular(n));
    }
    let active = crate::grade::gather(data, n, selected);
    let a = rows(&active, selected.len(), n);
    let mut inverse = super::identity(n);
    rows(&multiply(a.transpose(), a), n, n)
        .partial_piv_lu()
        .solve_in_place(MatMut::from_row_major_slice_mut(&mut inverse, n, n));
    if inverse.iter().any(|x| !x.is_finite()) {
        return Err(super::singular(n));
    }
    let all: Vec<usize> = (0..data.len() / n).collect();
    let mut leverages = map_blocks(&all, BLOCK, |block| -> Vec<f64> {
        let x = &data[block[0] * n..][..block.len() * n];
        let y = multiply(rows(x, block.len(), n), rows(&inverse, n, n));
        let pairs = x.chunks_exact(n).zip(y.chunks_exact(n));
        pairs.map(|(x, y)| dot(x, y)).collect()
    })
    .concat();
    let mut chosen = selected.to_vec();
    let mut open = vec![true; leverages.len()];
    for &k in selected {
        open[k] = false;
    }
    let mut longest = last_longest(&leverages, &open);
    loop {
        let Some((k, _)) = longest.filter(|&(_, leverage)| leverage > length * length) else {
            return Ok(chosen);
        };
        let x = &data[k * n..][..n];
        let step = multiply(rows(x, 1, n), rows(&inverse, n, n));
        let factor = 1.0 / (1.0 + dot(&step, x));
        for (row, s) in inverse.chunks_exact_mut(n).zip(&step) {
            for (x, t) in row.iter_mut().zip(&step) {
                *x -= factor * s * t;
            }
        }
        chosen.push(k);
        open[k] = false;
        let products = map_blocks(&all, BLOCK, |block| -> Vec<f64> {
            let x = &data[block[0] * n..][..block.len() * n];
            x.chunks_exact(n).map(|x| dot(x, &step)).collect()
        });
        for (leverage, product) in leverages.iter_mut().zip(products.concat()) {
            *leverage -= factor * product * product;
        }
        longest = last_longest(&leverages, &open);
    }
}

/// The last of the open rows with the largest leverage.
fn last_longest(leverages: &[f64], open: &[bool]) -> Option<(usize, f64)> {
    let rows = leverages.iter().copied().enumerate().filter(|r| open[r.0]);
    rows.max_by(|a, b| a.1.total_cmp(&b.1))
}
