//! The coefficients of some rows, while rows are exchanged.

use super::{Help, MaxvolOptions, VolumeDevice, gather, singular};
use crate::error::Result;
use crate::grade::linalg::{largest as largest_of, rows};
use faer::linalg::triangular_solve::solve_unit_upper_triangular_in_place;
use faer::prelude::Solve;
use faer::{MatMut, Par};

/// C = X X[active]⁻¹ of some candidate rows, kept up to date while rows are exchanged.
pub(super) struct Work<'a> {
    data: &'a [f64],
    n: usize,
    /// Rows of `data`.
    candidates: Vec<usize>,
    /// Positions in `candidates`.
    active: Vec<usize>,
    c: Vec<f64>,
    /// Largest |C| of each row.
    largest: Vec<f64>,
    pub ln_det: f64,
}

impl<'a> Work<'a> {
    /// Starts from the pivot rows of an LU factorisation with row pivoting.
    pub fn from_lu(data: &'a [f64], n: usize, candidates: Vec<usize>) -> Result<Self> {
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
    pub fn from_first(data: &'a [f64], n: usize, candidates: Vec<usize>) -> Result<Self> {
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
        let largest = c.chunks_exact(n).map(largest_of).collect();
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

    /// Exchanges rows until all |C| are within the tolerance; gives the number of exchanges. With
    /// help C is not kept up to date here.
    pub fn run(&mut self, options: &MaxvolOptions, limit: usize, help: Help<'_>) -> Result<usize> {
        if let Some(device) = help {
            return self.run_on(device, options, limit);
        }
        for swaps in 0..limit {
            let (i, max) = first_max(&self.largest);
            if max <= options.tolerance {
                return Ok(swaps);
            }
            let row = &self.c[i * self.n..][..self.n];
            let (j, _) = first_max(&row.iter().map(|x| x.abs()).collect::<Vec<_>>());
            self.swap(i, j);
            if options.refresh > 0 && (swaps + 1) % options.refresh == 0 {
                self.refresh()?;
            }
        }
        Ok(limit)
    }

    /// [`Work::run`] on a device, which gets C where it is computed afresh.
    fn run_on(
        &mut self,
        device: &mut (dyn VolumeDevice + 'static),
        options: &MaxvolOptions,
        limit: usize,
    ) -> Result<usize> {
        let mut swaps = 0;
        while swaps < limit {
            let until = match options.refresh {
                0 => limit,
                refresh => limit.min(swaps + refresh),
            };
            let made = device.exchange(&self.c, &self.largest, options.tolerance, until - swaps)?;
            for swap in &made {
                self.active[swap.column] = swap.row;
                self.ln_det += swap.pivot.abs().ln();
            }
            swaps += made.len();
            if swaps < until {
                break;
            }
            if options.refresh > 0 && swaps % options.refresh == 0 {
                self.refresh()?;
            }
        }
        Ok(swaps)
    }

    /// Computes C afresh.
    fn refresh(&mut self) -> Result<()> {
        (self.c, self.ln_det) = coefficients(self.data, self.n, &self.candidates, &self.active);
        if !self.ln_det.is_finite() || self.c.iter().any(|x| !x.is_finite()) {
            return Err(singular(self.n));
        }
        self.largest = self.c.chunks_exact(self.n).map(largest_of).collect();
        Ok(())
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

    pub fn selection(&self) -> Vec<usize> {
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
