//! What a residual weighs against γ: held-out environments decide.

use super::linalg::{max_abs, multiply, pseudo_inverse, rows};
use super::maxvol::{MaxvolOptions, maxvol};
use super::reduce::Scaled;
use super::{BuildOptions, Origin};
use crate::error::Result;

/// Part of the environments that each split holds out.
const HELD_OUT: usize = 5;

/// Fewer environments than this do not tell a quantile.
const MIN_ROWS: usize = 20;

/// The quantile that γ and ρ/κ of held-out environments shall have in common.
const QUANTILE: f64 = 0.999;

/// The relative residual that weighs as much as γ = 1, from random splits that hold out whole
/// structures (single atoms where there are fewer than five structures); `None` if there are too
/// few environments to tell.
pub(super) fn calibrate(
    scaled: &Scaled<'_>,
    origins: &[Origin],
    options: &BuildOptions,
) -> Result<Option<f64>> {
    if origins.len() < MIN_ROWS || options.splits == 0 {
        return Ok(None);
    }
    let mut structures: Vec<u32> = origins.iter().map(|o| o.structure).collect();
    structures.sort_unstable();
    structures.dedup();
    let by_structure = structures.len() >= HELD_OUT;
    let group_of = |k: usize| -> usize {
        if by_structure {
            structures.partition_point(|&s| s < origins[k].structure)
        } else {
            k
        }
    };
    let n_groups = if by_structure {
        structures.len()
    } else {
        origins.len()
    };
    let mut random = SplitMix(options.seed);
    let (mut gammas, mut residuals) = (Vec::new(), Vec::new());
    for _ in 0..options.splits {
        let held = random.choose(n_groups, n_groups.div_ceil(HELD_OUT));
        let (out, rest): (Vec<usize>, Vec<usize>) =
            (0..origins.len()).partition(|&k| held[group_of(k)]);
        let directions = scaled.directions(&rest, options.tau)?;
        let r = directions.len() / scaled.n;
        if r == 0 {
            continue;
        }
        residuals.extend(scaled.residuals(&out, &directions));
        let y = scaled.reduced(&rest, &directions);
        let chosen = maxvol(
            &y,
            r,
            &MaxvolOptions {
                tolerance: options.tolerance.max(1.05),
                max_iterations: options.max_iterations,
                batch: options.batch,
                final_pass: true,
                refresh: options.refresh,
            },
        )?;
        let inverse = pseudo_inverse(&super::gather(&y, r, &chosen.selected), r, 1e-14)?;
        let y = scaled.reduced(&out, &directions);
        let c = multiply(rows(&y, out.len(), r), rows(&inverse.matrix, r, r));
        gammas.extend(c.chunks_exact(r).map(|c| max_abs(c).1));
    }
    let (gamma, residual) = (quantile(&gammas, QUANTILE), quantile(&residuals, QUANTILE));
    // Environments that are all alike leave nothing to compare.
    Ok((gamma > 0.0 && residual > 0.0).then(|| residual / gamma))
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

    /// Marks `count` of `total` things.
    fn choose(&mut self, total: usize, count: usize) -> Vec<bool> {
        let mut order: Vec<usize> = (0..total).collect();
        for k in (1..total).rev() {
            order.swap(k, (self.next() % (k as u64 + 1)) as usize);
        }
        let mut marked = vec![false; total];
        for &k in &order[..count] {
            marked[k] = true;
        }
        marked
    }
}
