//! Square MaxVol: choosing the rows of largest volume.
//!
//! Source: Goreinov et al., *How to find a good submatrix* (2010); batches and ties as in the
//! public selection scripts for NEP, so that their selections are reproduced.

use super::linalg::{multiply, rows};
use crate::error::{Error, Result};
use faer::linalg::triangular_solve::solve_unit_upper_triangular_in_place;
use faer::prelude::Solve;
use faer::{MatMut, Par};

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
    let mut selected: Vec<usize> = Vec::new();
    let mut iterations = Vec::new();
    let mut ln_det = f64::NEG_INFINITY;
    for batch in batches(count, n, options.batch) {
        let candidates: Vec<usize> = selected.iter().copied().chain(batch).collect();
        let mut work = Work::from_lu(data, n, candidates)?;
        iterations.push(work.run(options, options.max_iterations)?);
        ln_det = work.ln_det;
        selected = work.selection();
    }
    let mut max = largest(data, n, &selected, options.tolerance, options.batch)?;
    if options.final_pass {
        let mut spent = 0;
        while !max.above.is_empty() && spent < options.max_iterations {
            let candidates = selected.iter().chain(&max.above).copied().collect();
            let mut work = Work::from_first(data, n, candidates)?;
            let swaps = work.run(options, options.max_iterations - spent)?;
            spent += swaps;
            ln_det = work.ln_det;
            selected = work.selection();
            max = largest(data, n, &selected, options.tolerance, options.batch)?;
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
    tolerance: f64,
    batch: usize,
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
    let limit = batch.max(n);
    const BLOCK: usize = 1024;
    for (b, block) in data.chunks(BLOCK * n).enumerate() {
        let c = multiply(rows(block, block.len() / n, n), rows(&inverse, n, n));
        for (k, row) in c.chunks_exact(n).enumerate() {
            let max = row_max(row);
            out.value = out.value.max(max);
            if max > tolerance && out.above.len() < limit {
                out.above.push(b * BLOCK + k);
            }
        }
    }
    out.above.retain(|row| !selected.contains(row));
    Ok(out)
}

/// C = X X[active]⁻¹ of some candidate rows, kept up to date while rows are exchanged.
struct Work<'a> {
    data: &'a [f64],
    n: usize,
    /// Rows of `data`.
    candidates: Vec<usize>,
    /// Positions in `candidates`.
    active: Vec<usize>,
    c: Vec<f64>,
    /// Largest |C| of each row.
    largest: Vec<f64>,
    ln_det: f64,
}

impl<'a> Work<'a> {
    /// Starts from the pivot rows of an LU factorisation with row pivoting.
    fn from_lu(data: &'a [f64], n: usize, candidates: Vec<usize>) -> Result<Self> {
        let count = candidates.len();
        let lu = rows(&gather(data, n, &candidates), count, n).partial_piv_lu();
        let order = lu.P().arrays().0;
        let ln_det = (0..n).map(|k| lu.U()[(k, k)].abs().ln()).sum::<f64>();
        // X = L U up to row order, so C = L L_top⁻¹ and U is not needed: Cᵀ solves
        // L_topᵀ Cᵀ = Lᵀ.
        let (top, bottom) = lu.L().split_at_row(n);
        let mut transposed = bottom.transpose().to_owned();
        solve_unit_upper_triangular_in_place(top.transpose(), transposed.as_mut(), Par::Seq);
        let mut c = vec![0.0; count * n];
        for (k, &row) in order.iter().enumerate() {
            let target = &mut c[row * n..][..n];
            if k < n {
                target[k] = 1.0;
            } else {
                for (x, &y) in target.iter_mut().zip(transposed.col(k - n).iter()) {
                    *x = y;
                }
            }
        }
        let active = order[..n].to_vec();
        Self::new(data, n, candidates, active, c, ln_det)
    }

    /// Starts from the first `n` candidates.
    fn from_first(data: &'a [f64], n: usize, candidates: Vec<usize>) -> Result<Self> {
        let active: Vec<usize> = (0..n).collect();
        let (c, ln_det) = coefficients(data, n, &candidates, &active);
        Self::new(data, n, candidates, active, c, ln_det)
    }

    fn new(
        data: &'a [f64],
        n: usize,
        candidates: Vec<usize>,
        active: Vec<usize>,
        c: Vec<f64>,
        ln_det: f64,
    ) -> Result<Self> {
        if !ln_det.is_finite() || c.iter().any(|x| !x.is_finite()) {
            return Err(singular(n));
        }
        let largest = c.chunks_exact(n).map(row_max).collect();
        Ok(Self {
            data,
            n,
            candidates,
            active,
            c,
            largest,
            ln_det,
        })
    }

    /// Exchanges rows until all |C| are within the tolerance; gives the number of exchanges.
    fn run(&mut self, options: &MaxvolOptions, limit: usize) -> Result<usize> {
        for swaps in 0..limit {
            let (i, max) = first_max(&self.largest);
            if max <= options.tolerance {
                return Ok(swaps);
            }
            let row = &self.c[i * self.n..][..self.n];
            let (j, _) = first_max(&row.iter().map(|x| x.abs()).collect::<Vec<_>>());
            self.swap(i, j);
            if options.refresh > 0 && (swaps + 1) % options.refresh == 0 {
                (self.c, self.ln_det) =
                    coefficients(self.data, self.n, &self.candidates, &self.active);
                if !self.ln_det.is_finite() || self.c.iter().any(|x| !x.is_finite()) {
                    return Err(singular(self.n));
                }
                self.largest = self.c.chunks_exact(self.n).map(row_max).collect();
            }
        }
        Ok(limit)
    }

    /// C ← C − C[:,j] ⊗ (C[i,:] − e_j) / C_ij.
    fn swap(&mut self, i: usize, j: usize) {
        let n = self.n;
        let pivot = self.c[i * n + j];
        let mut step = self.c[i * n..][..n].to_vec();
        step[j] -= 1.0;
        for x in &mut step {
            *x /= pivot;
        }
        self.ln_det += pivot.abs().ln();
        self.active[j] = i;
        for (row, largest) in self.c.chunks_exact_mut(n).zip(&mut self.largest) {
            let factor = row[j];
            if factor != 0.0 {
                *largest = subtract(row, factor, &step);
            }
        }
    }

    fn selection(&self) -> Vec<usize> {
        self.active.iter().map(|&k| self.candidates[k]).collect()
    }
}

/// C = X X[active]⁻¹ from a fresh factorisation, and ln|det X[active]|.
fn coefficients(data: &[f64], n: usize, candidates: &[usize], active: &[usize]) -> (Vec<f64>, f64) {
    let mut c = gather(data, n, candidates);
    let chosen: Vec<usize> = active.iter().map(|&k| candidates[k]).collect();
    let lu = rows(&gather(data, n, &chosen), n, n).partial_piv_lu();
    let ln_det = (0..n).map(|k| lu.U()[(k, k)].abs().ln()).sum();
    lu.solve_transpose_in_place(MatMut::from_column_major_slice_mut(
        &mut c,
        n,
        candidates.len(),
    ));
    for (j, &k) in active.iter().enumerate() {
        c[k * n..][..n].fill(0.0);
        c[k * n + j] = 1.0;
    }
    (c, ln_det)
}

fn gather(data: &[f64], n: usize, indices: &[usize]) -> Vec<f64> {
    let mut out = Vec::with_capacity(indices.len() * n);
    for &k in indices {
        out.extend_from_slice(&data[k * n..][..n]);
    }
    out
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
        "the rows offered to MaxVol do not span all {n} columns; use the two-part form, which \
         reduces the features first"
    ))
}

/// First largest value of a list of non-negative numbers.
fn first_max(values: &[f64]) -> (usize, f64) {
    let mut best = (0, 0.0);
    for (k, &x) in values.iter().enumerate() {
        if x > best.1 {
            best = (k, x);
        }
    }
    best
}

/// Lanes that let the compiler keep several maxima at once.
const LANES: usize = 8;

/// Largest |x| of a row.
fn row_max(row: &[f64]) -> f64 {
    let mut lanes = [0.0f64; LANES];
    let chunks = row.chunks_exact(LANES);
    let tail = chunks.remainder();
    for chunk in chunks {
        for (m, x) in lanes.iter_mut().zip(chunk) {
            *m = if x.abs() > *m { x.abs() } else { *m };
        }
    }
    lanes
        .into_iter()
        .chain(tail.iter().map(|x| x.abs()))
        .fold(0.0, f64::max)
}

/// `row -= factor step`; gives the new largest |x|.
fn subtract(row: &mut [f64], factor: f64, step: &[f64]) -> f64 {
    let mut lanes = [0.0f64; LANES];
    let cut = row.len() - row.len() % LANES;
    let (head, tail) = row.split_at_mut(cut);
    for (chunk, s) in head
        .chunks_exact_mut(LANES)
        .zip(step[..cut].chunks_exact(LANES))
    {
        for ((x, s), m) in chunk.iter_mut().zip(s).zip(&mut lanes) {
            *x -= factor * s;
            *m = if x.abs() > *m { x.abs() } else { *m };
        }
    }
    for (x, s) in tail.iter_mut().zip(&step[cut..]) {
        *x -= factor * s;
    }
    lanes
        .into_iter()
        .chain(tail.iter().map(|x| x.abs()))
        .fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nalgebra::DMatrix;

    const TIGHT: MaxvolOptions = MaxvolOptions {
        tolerance: 1.01,
        max_iterations: 10_000,
        batch: 10_000,
        final_pass: true,
        refresh: 200,
    };

    fn random(count: usize, n: usize, seed: u64) -> Vec<f64> {
        let mut state = super::super::calibrate::SplitMix(seed);
        (0..count * n)
            .map(|_| (state.next() >> 11) as f64 / (1u64 << 52) as f64 - 1.0)
            .collect()
    }

    fn ln_det(data: &[f64], n: usize, selected: &[usize]) -> f64 {
        let matrix = DMatrix::from_row_slice(n, n, &gather(data, n, selected));
        matrix
            .lu()
            .u()
            .diagonal()
            .iter()
            .map(|x| x.abs().ln())
            .sum()
    }

    /// Largest |C| over all rows, by another library.
    fn largest(data: &[f64], n: usize, selected: &[usize]) -> f64 {
        let chosen = DMatrix::from_row_slice(n, n, &gather(data, n, selected));
        let all = DMatrix::from_row_slice(data.len() / n, n, data);
        (all * chosen.try_inverse().unwrap()).amax()
    }

    #[test]
    fn no_row_is_above_the_tolerance_in_batches_or_without() {
        for (count, n) in [(400, 1), (400, 7), (500, 40), (40, 40), (41, 40)] {
            let data = random(count, n, 11);
            for batch in [10_000, 100, 1] {
                let found = maxvol(&data, n, &MaxvolOptions { batch, ..TIGHT }).unwrap();
                let max = largest(&data, n, &found.selected);
                assert!(max <= TIGHT.tolerance + 1e-9, "{count} {n} {batch}: {max}");
                assert!((found.max - max).abs() < 1e-9);
                assert!((found.ln_det - ln_det(&data, n, &found.selected)).abs() < 1e-9);
                let mut rows = found.selected.clone();
                rows.sort_unstable();
                rows.dedup();
                assert_eq!(rows.len(), n);
            }
        }
    }

    #[test]
    fn batches_without_a_final_pass_leave_rows_behind() {
        let data = random(500, 20, 5);
        let options = MaxvolOptions {
            batch: 50,
            final_pass: false,
            ..TIGHT
        };
        let found = maxvol(&data, 20, &options).unwrap();
        assert_eq!(found.iterations.len(), 10);
        assert!(found.max > TIGHT.tolerance);
        assert!((found.max - largest(&data, 20, &found.selected)).abs() < 1e-9);
    }

    #[test]
    fn the_volume_grows_with_each_exchange() {
        let data = random(600, 30, 3);
        let mut last = f64::NEG_INFINITY;
        for max_iterations in 0..40 {
            let options = MaxvolOptions {
                max_iterations,
                final_pass: false,
                ..TIGHT
            };
            let found = maxvol(&data, 30, &options).unwrap();
            assert!(found.ln_det >= last, "{max_iterations}");
            let expected = ln_det(&data, 30, &found.selected);
            assert!((found.ln_det - expected).abs() < 1e-9);
            last = found.ln_det;
            if found.iterations[0] < max_iterations {
                assert!(max_iterations > 5, "too easy to test anything");
                return;
            }
        }
        panic!("did not converge");
    }

    #[test]
    fn computing_afresh_changes_nothing() {
        let data = random(600, 30, 8);
        let rare = maxvol(&data, 30, &TIGHT).unwrap();
        let often = maxvol(
            &data,
            30,
            &MaxvolOptions {
                refresh: 1,
                ..TIGHT
            },
        )
        .unwrap();
        assert_eq!(rare.selected, often.selected);
        assert!((rare.ln_det - often.ln_det).abs() < 1e-9);
    }

    #[test]
    fn duplicates_and_order_do_not_spoil_the_bound() {
        let n = 12;
        let data = random(100, n, 21);
        let once = maxvol(&data, n, &TIGHT).unwrap();
        let twice = maxvol(&data.repeat(2), n, &TIGHT).unwrap();
        assert!((once.ln_det - twice.ln_det).abs() < 1e-9);
        let backwards: Vec<f64> = data.chunks_exact(n).rev().flatten().copied().collect();
        let reversed = maxvol(&backwards, n, &TIGHT).unwrap();
        assert!(largest(&backwards, n, &reversed.selected) <= TIGHT.tolerance + 1e-9);
    }

    #[test]
    fn rows_that_do_not_span_are_refused() {
        let mut data = random(50, 6, 2);
        for row in data.chunks_exact_mut(6) {
            row[4] = 0.0;
        }
        assert!(maxvol(&data, 6, &TIGHT).is_err());
        assert!(maxvol(&random(5, 6, 2), 6, &TIGHT).is_err());
        assert!(maxvol(&[], 0, &TIGHT).is_err());
        let mut data = random(50, 6, 2);
        data[17] = f64::NAN;
        let message = maxvol(&data, 6, &TIGHT).unwrap_err().to_string();
        assert!(message.contains("row 2"), "{message}");
    }

    #[test]
    fn ranges_are_those_of_array_split() {
        let split = |count, n, batch| -> Vec<usize> {
            batches(count, n, batch).iter().map(|r| r.len()).collect()
        };
        assert_eq!(split(3125, 144, 1000), [782, 781, 781, 781]);
        assert_eq!(split(10, 1, 4), [4, 3, 3]);
        assert_eq!(split(10, 6, 4), [10]);
    }
}
