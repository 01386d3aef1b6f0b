//! Translations that carry the target's surroundings onto themselves, found from the atoms alone.
//!
//! In a crystal, hot, strained, rotated or with defects, these are its lattice vectors. A cell whose
//! edges are among them closes without a seam.

use super::cells::{Plan, Sizes};
use super::lattice::{V, WignerSeitz, measure, reduce, scale};
use super::options::FragmentOptions;
use super::parent::{Point, PointGrid, Surroundings};
use crate::system::cell::{add, dot, norm, sub};

/// Share of the sampled atoms that must land on an atom of their element.
const MATCH: f64 = 0.7;
/// Atoms whose images are looked up for each translation.
const SAMPLES: usize = 90;
/// Atoms from which translations are proposed.
const PROPOSERS: usize = 6;
/// Translations combined to lattices, for each range of lengths.
const COMBINED: usize = 44;
/// Lattices handed on.
const LATTICES: usize = 24;

/// Bases of lattices whose translations match, best first.
pub(super) fn lattices(
    s: &Surroundings<'_>,
    plan: &Plan,
    sizes: Sizes,
    options: &FragmentOptions,
) -> Vec<Vec<V>> {
    let dim = plan.cut.dim();
    let longest = 1.35 * sizes.max.max(sizes.matched);
    let sample_radius = 0.5 * sizes.matched + 1.0;
    // Along kept directions a translation is only defined up to whole periods.
    let kept: f64 = plan.kept.iter().map(|&v| norm(v)).sum();
    let ball = s.ball(longest + kept + sample_radius + 1.0);
    let inner = ball.iter().filter(|p| norm(p.r) < sample_radius).count();
    if inner < 4 {
        return Vec::new();
    }
    let tolerance = 0.28 * spacing(&ball[..inner]);
    let grid = PointGrid::new(&ball, tolerance);
    let stride = inner.div_ceil(SAMPLES);
    let samples: Vec<Point> = ball[..inner].iter().step_by(stride).copied().collect();
    let found = translations(s, plan, &ball, &grid, &samples, [sizes.matched, longest]);
    combine(&found, plan, sizes, options, density(&ball, dim, plan, s))
        .into_iter()
        .take(LATTICES)
        .collect()
}

/// Median distance to the nearest neighbour.
fn spacing(points: &[Point]) -> f64 {
    let mut nearest: Vec<f64> = points
        .iter()
        .enumerate()
        .map(|(i, a)| {
            points
                .iter()
                .enumerate()
                .filter(|(j, _)| *j != i)
                .map(|(_, b)| norm(sub(a.r, b.r)))
                .fold(f64::INFINITY, f64::min)
        })
        .collect();
    nearest.sort_by(f64::total_cmp);
    nearest[nearest.len() / 2]
}

/// Atoms per measure of the cut space around the target.
fn density(ball: &[Point], dim: usize, plan: &Plan, s: &Surroundings<'_>) -> f64 {
    let radius = s.core_radius + 4.0;
    let count = if plan.open.is_empty() && plan.kept.is_empty() {
        ball.iter().take_while(|p| norm(p.r) < radius).count()
    } else {
        s.region(&plan.cut, &plan.kept, radius)
            .iter()
            .filter(|p| plan.open.iter().all(|&n| dot(p.r, n).abs() <= plan.depth))
            .count()
    };
    let volume = match dim {
        1 => 2.0 * radius,
        2 => std::f64::consts::PI * radius.powi(2),
        _ => 4.0 / 3.0 * std::f64::consts::PI * radius.powi(3),
    };
    count as f64 / volume
}

/// Matching translations with a part in the cut space of a length in `range`, refined to the mean
/// over the matched atoms, one of each pair ±T, by length.
fn translations(
    s: &Surroundings<'_>,
    plan: &Plan,
    ball: &[Point],
    grid: &PointGrid<'_>,
    samples: &[Point],
    range: [f64; 2],
) -> Vec<V> {
    let mut found: Vec<V> = Vec::new();
    let mut refused: Vec<Point> = Vec::new();
    let step = samples.len().div_ceil(PROPOSERS).max(1);
    for proposer in samples.iter().step_by(step) {
        let known: Vec<Point> = found
            .iter()
            .flat_map(|&r| [r, scale(r, -1.0)])
            .map(|r| Point { atom: 0, r })
            .chain(refused.iter().copied())
            .collect();
        let known = PointGrid::new(&known, 0.5);
        for q in ball {
            if s.types[q.atom] != s.types[proposer.atom] {
                continue;
            }
            let t = sub(q.r, proposer.r);
            let length = norm(plan.cut.project(t));
            let out = plan.open.iter().any(|&n| dot(t, n).abs() > 0.5);
            if length < range[0] || length > range[1] || !positive(t) || out {
                continue;
            }
            // Along a kept vector one period stands for all.
            if plan
                .kept
                .iter()
                .any(|&k| dot(t, k).abs() > 0.51 * dot(k, k))
            {
                continue;
            }
            let mut seen = false;
            known.near(t, |_, _| seen = true);
            if seen {
                continue;
            }
            match refine(s, ball, grid, samples, t) {
                Some(t) => {
                    let flat = plan
                        .open
                        .iter()
                        .fold(t, |v, &n| sub(v, scale(n, dot(v, n))));
                    if norm(plan.cut.project(flat)) >= range[0] {
                        found.push(flat);
                    }
                }
                None => refused.push(Point { atom: 0, r: t }),
            }
        }
    }
    found.sort_by(|&a, &b| norm(plan.cut.project(a)).total_cmp(&norm(plan.cut.project(b))));
    let mut distinct: Vec<V> = Vec::new();
    for t in found {
        if distinct.iter().all(|&d| norm(sub(t, d)) > 0.5) {
            distinct.push(t);
        }
    }
    distinct
}

/// True for one of `t` and `-t`.
fn positive(t: V) -> bool {
    let first = t.iter().find(|x| x.abs() > 1e-6);
    first.is_some_and(|&x| x > 0.0)
}

/// The translation averaged over the atoms that it carries onto atoms of their element, if they are
/// many enough. Gives up early on translations that match nothing.
fn refine(
    s: &Surroundings<'_>,
    ball: &[Point],
    grid: &PointGrid<'_>,
    samples: &[Point],
    t: V,
) -> Option<V> {
    let mut sum = [0.0; 3];
    let mut matched = 0usize;
    for (done, p) in samples.iter().enumerate() {
        let mut best: Option<(f64, usize)> = None;
        grid.near(add(p.r, t), |index, d| {
            if s.types[ball[index].atom] == s.types[p.atom] && best.is_none_or(|(b, _)| d < b) {
                best = Some((d, index));
            }
        });
        if let Some((_, index)) = best {
            sum = add(sum, sub(ball[index].r, p.r));
            matched += 1;
        }
        if done == 11 && matched < 5 {
            return None;
        }
    }
    (matched as f64 >= MATCH * samples.len() as f64).then(|| scale(sum, 1.0 / matched as f64))
}

/// Combines translations to lattices whose images are far enough apart: for each number of atoms
/// the most compact one, fewest atoms first.
fn combine(
    found: &[V],
    plan: &Plan,
    sizes: Sizes,
    options: &FragmentOptions,
    density: f64,
) -> Vec<Vec<V>> {
    let dim = plan.cut.dim();
    let largest = 1.05 * options.n_max as f64 / density.max(1e-9);
    // (atoms, -shortest vector, basis)
    let mut best: Vec<(usize, f64, Vec<V>)> = Vec::new();
    let mut consider = |basis: &[V]| {
        let flat: Vec<V> = basis.iter().map(|&v| plan.cut.project(v)).collect();
        let volume = measure(&flat);
        let lengths: f64 = flat.iter().map(|&v| norm(v)).product();
        if volume > largest || volume < 0.1 * lengths {
            return;
        }
        let mut reduced = basis.to_vec();
        reduce(&mut reduced, |v| plan.cut.project(v));
        let flat: Vec<V> = reduced.iter().map(|&v| plan.cut.project(v)).collect();
        let shortest = WignerSeitz::new(&flat).shortest();
        if shortest < sizes.matched {
            return;
        }
        let atoms = (volume * density).round() as usize;
        match best
            .iter_mut()
            .find(|entry| entry.0.abs_diff(atoms) * 40 <= atoms)
        {
            Some(entry) if entry.1 < shortest - 0.05 => *entry = (atoms, shortest, reduced),
            Some(_) => {}
            None => best.push((atoms, shortest, reduced)),
        }
    };
    let length = |v: V| norm(plan.cut.project(v));
    for from in [sizes.matched, 1.2 * sizes.matched, 1.45 * sizes.matched] {
        let list: Vec<V> = found
            .iter()
            .copied()
            .filter(|&v| length(v) >= from)
            .take(COMBINED)
            .collect();
        for (i, &a) in list.iter().enumerate() {
            if dim == 1 {
                consider(&[a]);
                continue;
            }
            for (j, &b) in list.iter().enumerate().skip(i + 1) {
                if dim == 2 {
                    consider(&[a, b]);
                    continue;
                }
                for &c in &list[j + 1..] {
                    consider(&[a, b, c]);
                }
            }
        }
    }
    best.sort_by_key(|entry| entry.0);
    best.into_iter().map(|entry| entry.2).collect()
}
