//! The dense linear algebra that the grades need, on row-major slices.

use crate::error::{Error, Result};
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

/// A row-major slice as a matrix.
pub(super) fn rows(data: &[f64], n_rows: usize, n_cols: usize) -> MatRef<'_, f64> {
    MatRef::from_row_major_slice(data, n_rows, n_cols)
}

/// `a b`, row-major.
pub(super) fn multiply(a: MatRef<'_, f64>, b: MatRef<'_, f64>) -> Vec<f64> {
    let mut out = vec![0.0; a.nrows() * b.ncols()];
    let target = MatMut::from_row_major_slice_mut(&mut out, a.nrows(), b.ncols());
    matmul(target, Accum::Replace, a, b, 1.0, Par::Seq);
    out
}

/// `out = factor a b`, or `out += factor a b`; `out` row-major.
pub(super) fn multiply_into(
    out: &mut [f64],
    accum: Accum,
    factor: f64,
    a: MatRef<'_, f64>,
    b: MatRef<'_, f64>,
) {
    let target = MatMut::from_row_major_slice_mut(out, a.nrows(), b.ncols());
    matmul(target, accum, a, b, factor, Par::Seq);
}

/// Fewest and most rows handled together: enough that a product pays for packing its matrix, few
/// enough that the rows stay in cache.
const BLOCK: std::ops::RangeInclusive<usize> = 64..=128;

/// Applies a function to blocks of rows, on all threads where the build has them, and joins what
/// it gives.
pub(super) fn blockwise<D: Sync, T: Send>(
    data: &[D],
    width: usize,
    function: impl Fn(&[D]) -> Vec<T> + Sync,
) -> Vec<T> {
    let mut all = Vec::new();
    each_block(data, width, function, |_, found| all.extend(found));
    all
}

/// Applies a function to blocks of rows as [`blockwise`] does, and takes what it gives for each, in order.
pub(super) fn each_block<D: Sync, R: Send>(
    data: &[D],
    width: usize,
    function: impl Fn(&[D]) -> R + Sync,
    mut take: impl FnMut(&[D], R),
) {
    #[cfg(feature = "cpu")]
    if data.len() > BLOCK.start() * width && rayon::current_num_threads() > 1 {
        use rayon::prelude::*;
        let share = (data.len() / width).div_ceil(rayon::current_num_threads());
        let size = width * share.clamp(*BLOCK.start(), *BLOCK.end());
        let found: Vec<R> = data.par_chunks(size).map(&function).collect();
        let blocks = data.chunks(size).zip(found);
        return blocks.for_each(|(block, found)| take(block, found));
    }
    for block in data.chunks(BLOCK.end() * width) {
        take(block, function(block));
    }
}

/// A pseudo-inverse and what is known about its matrix.
pub(super) struct Inverse {
    /// The (pseudo-)inverse, row-major.
    pub matrix: Vec<f64>,
    /// Largest over smallest singular value.
    pub condition: f64,
    /// Singular values kept.
    pub kept: usize,
}

/// Pseudo-inverse of a row-major matrix with `n` columns and at least as many rows; singular values at or below `cutoff` times the
/// largest are dropped.
pub(super) fn pseudo_inverse(a: &[f64], n: usize, cutoff: f64) -> Result<Inverse> {
    if n == 0 {
        return Ok(Inverse {
            matrix: Vec::new(),
            condition: 1.0,
            kept: 0,
        });
    }
    let count = a.len() / n;
    let svd = rows(a, count, n).thin_svd().map_err(|_| {
        Error::Internal(format!(
            "the SVD of a {count} x {n} matrix did not converge"
        ))
    })?;
    let sigma: Vec<f64> = svd.S().column_vector().iter().copied().collect();
    let kept = sigma.iter().filter(|&&s| s > cutoff * sigma[0]).count();
    let u = svd.U().get(.., ..kept);
    let mut v = svd.V().get(.., ..kept).to_owned();
    for (k, &s) in sigma[..kept].iter().enumerate() {
        for x in v.col_mut(k).iter_mut() {
            *x /= s;
        }
    }
    Ok(Inverse {
        matrix: multiply(v.as_ref(), u.transpose()),
        condition: sigma[0] / sigma[n - 1],
        kept,
    })
}

/// Lanes that let the compiler keep several sums or maxima at once.
const LANES: usize = 8;

/// Scalar product.
pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0f64; LANES];
    let (a, b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let tail = a.remainder().iter().zip(b.remainder());
    let tail: f64 = tail.map(|(a, b)| a * b).sum();
    for (a, b) in a.zip(b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    sums.iter().sum::<f64>() + tail
}

/// Largest |x|; infinite if one is NaN.
pub(super) fn largest(values: &[f64]) -> f64 {
    let mut lanes = [0.0f64; LANES];
    let mut nan = false;
    let chunks = values.chunks_exact(LANES);
    let tail = chunks.remainder();
    for chunk in chunks {
        for (m, x) in lanes.iter_mut().zip(chunk) {
            nan |= x.is_nan();
            *m = if x.abs() > *m { x.abs() } else { *m };
        }
    }
    if nan || tail.iter().any(|x| x.is_nan()) {
        return f64::INFINITY;
    }
    let all = lanes.into_iter().chain(tail.iter().map(|x| x.abs()));
    all.fold(0.0, f64::max)
}

/// Largest |x| and where it is first reached; NaN counts as infinite.
pub(super) fn max_abs(values: &[f64]) -> (usize, f64) {
    let mut best = (0, 0.0);
    for (k, x) in values.iter().enumerate() {
        if x.is_nan() {
            return (k, f64::INFINITY);
        }
        if x.abs() > best.1 {
            best = (k, x.abs());
        }
    }
    best
}
