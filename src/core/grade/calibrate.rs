//! What a residual weighs against γ: held-out environments decide.

use super::linalg::{max_abs, multiply, pseudo_inverse, rows};
use super::maxvol::{Help, maxvol_streaming_with};
use super::prefilter::{Prefilter, share};
use super::reduce::{Scaled, directions_of_gram, directions_of_products};
use super::scales::Shape;
use super::{BuildOptions, Origin};
use crate::error::Result;

/// The environments are cut into so many folds.
pub(super) const FOLDS: usize = 5;

/// Fewer environments than this do not tell a quantile.
const MIN_ROWS: usize = 20;

/// The quantile that γ and ρ/κ of held-out environments shall have in common.
const QUANTILE: f64 = 0.999;

/// Γ from which on a held-out environment counts as novel.
const NOVEL: f64 = 2.0;

/// Tolerance of the held-out sets: their γ is compared, not reported.
const TOLERANCE: f64 = 1.05;

/// What environments looked like to sets that were built without them.
#[derive(Clone, Debug, PartialEq)]
pub struct HeldOut {
    /// Number of environments held out, all folds together.
    pub count: usize,
    /// Their γ at the quantiles 50, 90, 99 and 99.9 %.
    pub gamma: [f64; 4],
    /// Their relative residual at the same quantiles.
    pub residual: [f64; 4],
    /// The relative residual that weighs as much as γ = 1.
    pub threshold: f64,
    /// How many of them have a Γ above 2.
    pub novel: usize,
    /// Share of ordinary environments that the prefilter of [`Effort::Likely`](super::Effort::Likely)
    /// lets pass: three times what 99 % of the novel ones need, between 2 and 50 %; 10 % if there are none.
    pub passing: f64,
    /// Share of the novel ones that pass with it; 1 if there are none.
    pub recall: f64,
}

/// Principal directions of all environments, and what held-out folds tell; `None` if there are too
/// few environments or they are all alike.
///
/// Folds hold out whole structures, single atoms where there are fewer than five structures. Sums
/// of products of the folds are made once; those of a fold's rest are differences.
pub(super) fn directions(
    scaled: &Scaled<'_>,
    shape: Shape<'_>,
    origins: &[Origin],
    options: &BuildOptions,
    help: Help<'_>,
) -> Result<(Vec<f64>, Option<HeldOut>)> {
    let count = origins.len();
    let all: Vec<usize> = (0..count).collect();
    let splits = if count < MIN_ROWS {
        0
    } else {
        options.splits.min(FOLDS)
    };
    let mut folds = folds(origins, options.seed);
    folds.truncate(splits);
    if count < scaled.n {
        let z = scaled.block(&all);
        let products = scaled.products(&all);
        let directions = directions_of_products(&products, &z, scaled.n, options.tau)?;
        let held_out = evaluate(scaled, shape, folds, count, options, help, |_, rest| {
            let (z, products) = (scaled.block(rest), part(&products, count, rest));
            directions_of_products(&products, &z, scaled.n, options.tau)
        })?;
        return Ok((directions, held_out));
    }
    let grams: Vec<Vec<f64>> = folds.iter().map(|fold| scaled.gram(fold)).collect();
    let mut total = scaled.gram(&complement(count, &folds.concat()));
    for gram in &grams {
        add(&mut total, 1.0, gram);
    }
    let directions = directions_of_gram(&total, scaled.n, options.tau)?;
    let held_out = evaluate(scaled, shape, folds, count, options, help, |fold, _| {
        let mut gram = total.clone();
        add(&mut gram, -1.0, &grams[fold]);
        directions_of_gram(&gram, scaled.n, options.tau)
    })?;
    Ok((directions, held_out))
}

/// Grades each fold with a set made of its rest.
fn evaluate(
    scaled: &Scaled<'_>,
    shape: Shape<'_>,
    folds: Vec<Vec<usize>>,
    count: usize,
    options: &BuildOptions,
    mut help: Help<'_>,
    directions: impl Fn(usize, &[usize]) -> Result<Vec<f64>>,
) -> Result<Option<HeldOut>> {
    let (mut gammas, mut residuals, mut needed) = (Vec::new(), Vec::new(), Vec::new());
    for (k, out) in folds.iter().enumerate() {
        let rest = complement(count, out);
        let directions = directions(k, &rest)?;
        let r = directions.len() / scaled.n;
        if r == 0 {
            continue;
        }
        let known = scaled.reduced(&rest, &directions).y;
        let chosen = maxvol_streaming_with(
            &known,
            r,
            &[],
            &options.maxvol(options.tolerance.max(TOLERANCE)),
            help.as_deref_mut(),
        )?;
        let inverse = pseudo_inverse(&super::gather(&known, r, &chosen.selected), r, 1e-14)?;
        let (prefilter, known) = Prefilter::fit(scaled.data, shape, &rest)?;
        let mut neurons = Vec::with_capacity(out.len() * shape.weights.len());
        for &k in out {
            neurons.extend(shape.neurons(&scaled.data[k * scaled.n..][..scaled.n]));
        }
        needed.extend(prefilter.needed(&known, &neurons));
        let held = scaled.reduced(out, &directions);
        residuals.extend(held.residuals);
        let c = multiply(rows(&held.y, out.len(), r), rows(&inverse.matrix, r, r));
        gammas.extend(c.chunks_exact(r).map(|c| max_abs(c).1));
    }
    let (gamma, residual) = (quantile(&gammas, QUANTILE), quantile(&residuals, QUANTILE));
    // Environments that are all alike leave nothing to compare.
    if gamma == 0.0 || residual == 0.0 {
        return Ok(None);
    }
    let threshold = residual / gamma;
    let novel: Vec<f64> = (0..gammas.len())
        .filter(|&k| gammas[k].max(residuals[k] / threshold) > NOVEL)
        .map(|k| needed[k])
        .collect();
    let passing = share(&novel);
    let found = novel.iter().filter(|&&needed| needed <= passing).count();
    Ok(Some(HeldOut {
        count: gammas.len(),
        gamma: quantiles(&gammas),
        residual: quantiles(&residuals),
        threshold,
        novel: novel.len(),
        passing,
        recall: if novel.is_empty() {
            1.0
        } else {
            found as f64 / novel.len() as f64
        },
    }))
}

/// Rows of each fold.
fn folds(origins: &[Origin], seed: u64) -> Vec<Vec<usize>> {
    let mut structures: Vec<u32> = origins.iter().map(|o| o.structure).collect();
    structures.sort_unstable();
    structures.dedup();
    let by_structure = structures.len() >= FOLDS;
    let groups = if by_structure {
        structures.len()
    } else {
        origins.len()
    };
    let order = SplitMix(seed).permutation(groups);
    let mut folds = vec![Vec::new(); FOLDS];
    for (k, origin) in origins.iter().enumerate() {
        let group = if by_structure {
            structures.partition_point(|&s| s < origin.structure)
        } else {
            k
        };
        folds[order[group] % FOLDS].push(k);
    }
    folds
}

/// All numbers below `count` that are not in a list.
fn complement(count: usize, list: &[usize]) -> Vec<usize> {
    let mut inside = vec![false; count];
    for &k in list {
        inside[k] = true;
    }
    (0..count).filter(|&k| !inside[k]).collect()
}

/// The rows and columns of a square matrix that belong to some indices.
fn part(matrix: &[f64], n: usize, indices: &[usize]) -> Vec<f64> {
    let mut out = Vec::with_capacity(indices.len() * indices.len());
    for &i in indices {
        out.extend(indices.iter().map(|&j| matrix[i * n + j]));
    }
    out
}

fn add(sum: &mut [f64], factor: f64, other: &[f64]) {
    for (x, y) in sum.iter_mut().zip(other) {
        *x += factor * y;
    }
}

/// The quantiles that [`HeldOut`] tells.
fn quantiles(values: &[f64]) -> [f64; 4] {
    [0.5, 0.9, 0.99, 0.999].map(|fraction| quantile(values, fraction))
}

/// The smallest value that at least this fraction of the values does not exceed; 0 for none.
pub(super) fn quantile(values: &[f64], fraction: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (fraction * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
}

/// A small deterministic generator, the same on every machine.
/// Source: Steele, Lea and Flood, OOPSLA 2014 (SplitMix64).
pub(super) struct SplitMix(pub u64);

impl SplitMix {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Numbers from 0, shuffled.
    pub fn permutation(&mut self, total: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..total).collect();
        for k in (1..total).rev() {
            order.swap(k, (self.next() % (k as u64 + 1)) as usize);
        }
        order
    }
}
