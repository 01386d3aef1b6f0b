//! Square MaxVol: choosing the rows of largest volume.
//!
//! Source: Goreinov et al., *How to find a good submatrix* (2010); batches and ties as in the
//! public selection scripts for NEP, so that their selections are reproduced.

mod device;
#[cfg(test)]
mod tests;
mod work;

pub use device::{Help, Swap, VolumeDevice};

use super::gather;
use super::linalg::{largest as row_max, multiply, rows};
use crate::error::{Error, Result};
use faer::MatMut;
use faer::prelude::Solve;
use work::Work;

/// How [`maxvol`] goes about it.
#[derive(Clone, Debug, PartialEq)]
pub struct MaxvolOptions {
    /// Stop when all |C| are at most this; above 1.
    pub tolerance: f64,
    /// Swaps allowed in each batch and in the final pass together.
    pub max_iterations: usize,
    /// Rows handled together; they are split as `numpy.array_split` does.
    pub batch: usize,
    /// Whether the batches are followed by passes over all rows until none is above the
    /// tolerance. Without, rows of early batches may stay above it.
    pub final_pass: bool,
    /// Swaps after which C is computed afresh; 0 for never.
    pub refresh: usize,
}

/// What [`maxvol`] found.
#[derive(Clone, Debug, PartialEq)]
pub struct Maxvol {
    /// The chosen rows, in the order of the columns of C that belong to them.
    pub selected: Vec<usize>,
    /// Swaps made in each batch; the final pass is the last entry if there was one.
    pub iterations: Vec<usize>,
    /// ln|det| of the chosen square matrix.
    pub ln_det: f64,
    /// Largest |C| over all rows.
    pub max: f64,
}

/// Chooses `n` of the rows of a matrix so that no single exchange enlarges |det| by more than the
/// tolerance.
///
/// **Shapes**: `data` `[N][n]` row-major, N ≥ n, of rank n.
/// **Errors**: [`Error::InvalidArgument`] with fewer rows than columns, a number that is not
/// finite, or rows of lower rank.
pub fn maxvol(data: &[f64], n: usize, options: &MaxvolOptions) -> Result<Maxvol> {
    maxvol_with(data, n, options, None)
}

/// [`maxvol`] with a device's help: the same rows. `max` may differ by rounding.
pub fn maxvol_with(
    data: &[f64],
    n: usize,
    options: &MaxvolOptions,
    mut help: Help<'_>,
) -> Result<Maxvol> {
    let count = data.len().checked_div(n).unwrap_or(0);
    if count < n || n == 0 {
        return Err(Error::invalid(format!(
            "MaxVol chooses {n} rows but only {count} were given; offer more environments"
        )));
    }
    if let Some(bad) = data.iter().position(|x| !x.is_finite()) {
        return Err(Error::invalid(format!(
            "row {} offered to MaxVol has a number that is not finite",
            bad / n
        )));
    }
    if let Some(device) = &mut help {
        device.pool(data, n)?;
    }
    let mut selected: Vec<usize> = Vec::new();
    let mut iterations = Vec::new();
    let mut ln_det = f64::NEG_INFINITY;
    for batch in batches(count, n, options.batch) {
        let candidates: Vec<usize> = selected.iter().copied().chain(batch).collect();
        let mut work = Work::from_lu(data, n, candidates)?;
        iterations.push(work.run(options, options.max_iterations, help.as_deref_mut())?);
        ln_det = work.ln_det;
        selected = work.selection();
    }
    let mut max = largest(data, n, &selected, options, help.as_deref_mut())?;
    if options.final_pass {
        let mut spent = 0;
        while !max.above.is_empty() && spent < options.max_iterations {
            let candidates = selected.iter().chain(&max.above).copied().collect();
            let mut work = Work::from_first(data, n, candidates)?;
            let swaps = work.run(options, options.max_iterations - spent, help.as_deref_mut())?;
            spent += swaps;
            ln_det = work.ln_det;
            selected = work.selection();
            max = largest(data, n, &selected, options, help.as_deref_mut())?;
            if swaps == 0 {
                // Rounding alone separates the two ways of computing C.
                break;
            }
        }
        iterations.push(spent);
    }
    Ok(Maxvol {
        selected,
        iterations,
        ln_det,
        max: max.value,
    })
}

/// Consecutive ranges as `numpy.array_split` makes them, each long enough to choose from.
fn batches(count: usize, n: usize, batch: usize) -> Vec<std::ops::Range<usize>> {
    let pieces = count.div_ceil(batch.max(1)).min(count / n).max(1);
    let (size, longer) = (count / pieces, count % pieces);
    let mut start = 0;
    (0..pieces)
        .map(|k| {
            let end = start + size + usize::from(k < longer);
            let range = start..end;
            start = end;
            range
        })
        .collect()
}

/// Largest |C| over all rows, and the first rows that are above the tolerance.
struct Largest {
    value: f64,
    above: Vec<usize>,
}

fn largest(
    data: &[f64],
    n: usize,
    selected: &[usize],
    options: &MaxvolOptions,
    help: Help<'_>,
) -> Result<Largest> {
    let lu = rows(&gather(data, n, selected), n, n).partial_piv_lu();
    let mut inverse = identity(n);
    lu.solve_in_place(MatMut::from_row_major_slice_mut(&mut inverse, n, n));
    if inverse.iter().any(|x| !x.is_finite()) {
        return Err(singular(n));
    }
    let mut out = Largest {
        value: 0.0,
        above: Vec::new(),
    };
    let limit = options.batch.max(n);
    const BLOCK: usize = 1024;
    let exact = |range: std::ops::Range<usize>| -> Vec<f64> {
        let block = &data[range.start * n..range.end * n];
        let c = multiply(rows(block, range.len(), n), rows(&inverse, n, n));
        c.chunks_exact(n).map(row_max).collect()
    };
    let count = data.len() / n;
    let sizes = match help {
        None => (0..count)
            .step_by(BLOCK)
            .flat_map(|start| exact(start..(start + BLOCK).min(count)))
            .collect(),
        Some(device) => {
            let mut sizes = device.sizes(0..count, &inverse)?;
            let bounds = device::bounds(data, &inverse, n);
            // They are taken in their order, not by size.
            device::settle(&mut sizes, &bounds, options.tolerance, 0, BLOCK, exact);
            sizes
        }
    };
    for (k, &max) in sizes.iter().enumerate() {
        out.value = out.value.max(max);
        if max > options.tolerance && out.above.len() < limit {
            out.above.push(k);
        }
    }
    out.above.retain(|row| !selected.contains(row));
    Ok(out)
}

fn identity(n: usize) -> Vec<f64> {
    let mut out = vec![0.0; n * n];
    for k in 0..n {
        out[k * n + k] = 1.0;
    }
    out
}

fn singular(n: usize) -> Error {
    Error::invalid(format!(
        "the rows offered to MaxVol do not span all {n} columns; use the ridge form, which \
         reduces the features first"
    ))
}
