//! Several active sets for mixed data: an environment is known if one of them knows it.
//!
//! One set over different materials takes its extremes from the widest of them and calls what lies
//! between two materials known. With a set for each cluster of environments the grade is the
//! smallest of theirs. Source: for the idea, arXiv:2508.03405.

use super::calibrate::SplitMix;
use super::maxvol::Help;
use super::prefilter::Prefilter;
use super::{ActiveSet, BuildOptions, BuildReport, ElementReport, Features, shape};
use crate::error::Result;
use crate::model::Model;

/// Clusters of fewer environments are given to the others.
const FEWEST: usize = 50;

/// Passes of k-means.
const PASSES: usize = 25;

/// Builds one set for each cluster of the environments of each element.
pub(super) fn build(
    model: &Model,
    features: &Features,
    weights: &[Vec<f64>],
    options: &BuildOptions,
    mut help: Help<'_>,
) -> Result<(Vec<ActiveSet>, BuildReport)> {
    let mut parts: Vec<Features> = (0..options.clusters)
        .map(|_| Features::with_shape(features.n_types(), features.width()))
        .collect();
    for (t, weights) in weights.iter().enumerate() {
        if features.count(t) == 0 {
            continue;
        }
        let of_row = assign(features, t, weights, options)?;
        let rows = features.rows(t).chunks_exact(features.width());
        for ((row, &origin), cluster) in rows.zip(features.origins(t)).zip(of_row) {
            parts[cluster].push(t, row, origin)?;
        }
    }
    let alone = BuildOptions {
        clusters: 1,
        ..options.clone()
    };
    let mut sets = Vec::new();
    let mut reports = Vec::new();
    for part in parts {
        let (set, report) = ActiveSet::build_with(model, &part, &alone, None, help.as_deref_mut())?;
        sets.push(set);
        reports.push(report);
    }
    Ok((sets, join(reports)))
}

/// The cluster of each environment of a type: k-means in the whitened hidden neurons.
fn assign(
    features: &Features,
    t: usize,
    weights: &[f64],
    options: &BuildOptions,
) -> Result<Vec<usize>> {
    let shape = shape(weights, features.width());
    let all: Vec<usize> = (0..features.count(t)).collect();
    let (prefilter, _) = Prefilter::fit(features.rows(t), shape, &all)?;
    let mut neurons = Vec::with_capacity(all.len() * weights.len());
    for row in features.rows(t).chunks_exact(features.width()) {
        neurons.extend(shape.neurons(row));
    }
    let points = prefilter.whitened(&neurons);
    Ok(k_means(
        &points,
        weights.len(),
        options.clusters,
        options.seed,
    ))
}

/// Nearest center of each point.
fn nearest(points: &[f64], n: usize, centers: &[Vec<f64>]) -> Vec<usize> {
    let square =
        |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum() };
    points
        .chunks_exact(n)
        .map(|point| {
            let distances: Vec<f64> = centers.iter().map(|c| square(point, c)).collect();
            (0..centers.len())
                .min_by(|&a, &b| distances[a].total_cmp(&distances[b]))
                .unwrap_or(0)
        })
        .collect()
}

/// Cluster of each point by Lloyd's algorithm from far apart starts; clusters too small to build a
/// set from are given up.
fn k_means(points: &[f64], n: usize, k: usize, seed: u64) -> Vec<usize> {
    let count = points.len() / n;
    let point = |i: usize| points[i * n..][..n].to_vec();
    let mut centers = vec![point((SplitMix(seed).next() % count as u64) as usize)];
    while centers.len() < k.min(count) {
        // The point farthest from its nearest center.
        let of = nearest(points, n, &centers);
        let distance = |i: usize| -> f64 {
            let pairs = points[i * n..][..n].iter().zip(&centers[of[i]]);
            pairs.map(|(a, b)| (a - b).powi(2)).sum()
        };
        let far = (0..count).max_by(|&a, &b| distance(a).total_cmp(&distance(b)));
        centers.push(point(far.unwrap_or(0)));
    }
    loop {
        let mut of = nearest(points, n, &centers);
        for _ in 0..PASSES {
            let mut sums = vec![(0.0f64, vec![0.0; n]); centers.len()];
            for (i, &c) in of.iter().enumerate() {
                sums[c].0 += 1.0;
                for (s, x) in sums[c].1.iter_mut().zip(&points[i * n..][..n]) {
                    *s += x;
                }
            }
            for (center, (count, sum)) in centers.iter_mut().zip(sums) {
                if count > 0.0 {
                    *center = sum.iter().map(|s| s / count).collect();
                }
            }
            let next = nearest(points, n, &centers);
            if next == of {
                break;
            }
            of = next;
        }
        let size = |c: usize| of.iter().filter(|&&o| o == c).count();
        let smallest = (0..centers.len()).min_by_key(|&c| size(c)).unwrap_or(0);
        if centers.len() == 1 || size(smallest) >= FEWEST {
            return of;
        }
        centers.swap_remove(smallest);
    }
}

/// One report of several: counts are sums, the rest is the worst.
fn join(reports: Vec<BuildReport>) -> BuildReport {
    let mut reports = reports.into_iter();
    let mut all = reports.next().unwrap_or_else(|| BuildReport {
        kind: super::GradeKind::TwoPart,
        elements: Vec::new(),
    });
    for report in reports {
        for (sum, e) in all.elements.iter_mut().zip(report.elements) {
            if e.rank > 0 {
                add(sum, e);
            }
        }
    }
    all
}

fn add(sum: &mut ElementReport, other: ElementReport) {
    if sum.rank == 0 {
        *sum = other;
        return;
    }
    sum.offered += other.offered;
    sum.rank += other.rank;
    sum.condition = sum.condition.max(other.condition);
    sum.iterations.extend(other.iterations);
    sum.ln_det += other.ln_det;
    sum.max_gamma = sum.max_gamma.max(other.max_gamma);
    sum.kappa = sum.kappa.max(other.kappa);
    sum.residual_scale = sum.residual_scale.max(other.residual_scale);
    sum.held_out = None;
    if !other.note.is_empty() {
        sum.note.push_str("; ");
        sum.note.push_str(&other.note);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_far_apart_are_told_apart() {
        let mut random = SplitMix(3);
        let mut points = Vec::new();
        for i in 0..300 {
            for d in 0..4 {
                let noise = (random.next() >> 11) as f64 / (1u64 << 53) as f64;
                points.push(noise + if d == i % 3 { 20.0 } else { 0.0 });
            }
        }
        let of = k_means(&points, 4, 3, 0);
        assert!((0..300).all(|i| of[i] == of[i % 3]));
        assert!(of[0] != of[1] && of[1] != of[2] && of[0] != of[2]);
        // 100 points in each; a fourth cluster would have too few.
        points.extend([200.0; 4]);
        let of = k_means(&points, 4, 4, 0);
        assert!((0..4).all(|c| {
            let size = of.iter().filter(|&&o| o == c).count();
            size == 0 || size >= FEWEST
        }));
        assert!(k_means(&points[..8], 4, 5, 0).iter().all(|&c| c == 0));
    }
}
