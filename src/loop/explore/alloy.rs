//! Compositions, and atoms of several elements on the sites of one structure.

use super::random::generator;
use nepal::element::Element;
use nepal::error::{Error, Result};
use nepal::system::cell::norm;
use nepal::system::{NeighborList, Structure};
use rand::RngExt;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

/// How far a fraction may be off the multiple of one atom that it means.
const EXACT: f64 = 1e-6;
/// Shells of neighbours whose pairs are to be as in a random alloy, with weights 1, 1/2, 1/3.
const SHELLS: usize = 3;
/// Tries of a swap for each site.
const TRIES: usize = 300;
const MOST_TRIES: usize = 50_000;
/// Most points of a grid.
const POINTS: usize = 5000;

/// How elements are put on sites.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Occupancy {
    /// Pair correlations of the first shells as near as can be to those of the infinite random alloy.
    #[default]
    QuasiRandom,
    /// Any site alike.
    Random,
}

/// All ways to give `atoms` sites to `parts` elements, in order.
fn divisions(atoms: usize, parts: usize) -> Vec<Vec<usize>> {
    if parts == 1 {
        return vec![vec![atoms]];
    }
    let all = (0..=atoms).flat_map(|first| {
        divisions(atoms - first, parts - 1)
            .into_iter()
            .map(move |mut rest| {
                rest.insert(0, first);
                rest
            })
    });
    all.collect()
}

fn binomial(n: usize, k: usize) -> f64 {
    (0..k).map(|i| (n - i) as f64 / (k - i) as f64).product()
}

/// The grid over the simplex with this step, as numbers of atoms on `sites` sites.
///
/// **Errors**: [`Error::InvalidArgument`] for a step that is no part of one or that no cell of the size allows.
pub fn grid(step: f64, sites: usize, parts: usize) -> Result<Vec<Vec<usize>>> {
    let intervals = (1.0 / step).round();
    if !(step > 0.0 && step <= 1.0) || (intervals * step - 1.0).abs() > EXACT {
        return Err(Error::invalid(format!(
            "composition: the step must be one over a whole number, such as 0.25 or 0.125; found {step}"
        )));
    }
    let intervals = intervals as usize;
    if sites == 0 || !sites.is_multiple_of(intervals) {
        return Err(Error::invalid(format!(
            "composition: a step of {step} needs a multiple of {intervals} sites to mix on, and the cell has {sites}; \
             repeat it to {} or {} sites, or take a step of one over a divisor of {sites}",
            (sites / intervals + 1) * intervals,
            (sites / intervals + 2) * intervals
        )));
    }
    if binomial(intervals + parts - 1, parts - 1) > POINTS as f64 {
        return Err(Error::invalid(format!(
            "composition: a step of {step} over {parts} elements has more than {POINTS} points; take a larger step, or points = ..."
        )));
    }
    let each = sites / intervals;
    let all = divisions(intervals, parts).into_iter();
    Ok(all
        .map(|p| p.into_iter().map(|x| x * each).collect())
        .collect())
}

/// Compositions that fill the simplex evenly, as numbers of atoms; those that a cell cannot tell apart come once.
///
/// **Source**: the additive recurrence on the generalised golden ratio (Roberts 2018), mapped to the simplex by the gaps
/// between its sorted coordinates.
pub fn spread(points: usize, sites: usize, parts: usize) -> Vec<Vec<usize>> {
    let d = parts - 1;
    let mut ratio = 2.0f64;
    for _ in 0..60 {
        ratio = (1.0 + ratio).powf(1.0 / (d as f64 + 1.0));
    }
    let mut found: Vec<Vec<usize>> = Vec::new();
    for k in 0..points {
        let mut cuts: Vec<f64> = (1..=d)
            .map(|a| (0.5 + (k + 1) as f64 * ratio.powi(-(a as i32))).fract())
            .collect();
        cuts.sort_by(f64::total_cmp);
        cuts.push(1.0);
        let mut last = 0.0;
        let x: Vec<f64> = cuts
            .iter()
            .map(|c| c - std::mem::replace(&mut last, *c))
            .collect();
        let counts = nearest(&x, sites);
        if !found.contains(&counts) {
            found.push(counts);
        }
    }
    found
}

/// The numbers of atoms nearest to fractions, by largest remainders.
fn nearest(x: &[f64], sites: usize) -> Vec<usize> {
    let share: Vec<f64> = x.iter().map(|x| x * sites as f64).collect();
    let mut counts: Vec<usize> = share.iter().map(|s| s.floor() as usize).collect();
    let mut order: Vec<usize> = (0..x.len()).collect();
    order.sort_by(|&a, &b| share[b].fract().total_cmp(&share[a].fract()));
    let left = sites.saturating_sub(counts.iter().sum());
    order.iter().take(left).for_each(|&k| counts[k] += 1);
    counts
}

/// The numbers of atoms that fractions mean.
///
/// **Errors**: [`Error::InvalidArgument`] for fractions that do not add up to one, or that no cell of the size allows.
pub fn exact(x: &[f64], sites: usize, parts: usize) -> Result<Vec<usize>> {
    let whole = (x.iter().sum::<f64>() - 1.0).abs() < EXACT && x.iter().all(|x| *x >= 0.0);
    if x.len() != parts || !whole {
        return Err(Error::invalid(format!(
            "composition: expected {parts} fractions that add up to 1, found {x:?}"
        )));
    }
    let fits = |n: usize| {
        let off = |x: &f64| (x * n as f64 - (x * n as f64).round()).abs();
        x.iter().all(|x| off(x) < EXACT * n as f64)
    };
    if !fits(sites) {
        let sizes: Vec<String> = (1..=10_000)
            .filter(|&n| fits(n))
            .take(3)
            .map(|n| n.to_string())
            .collect();
        return Err(Error::invalid(format!(
            "composition: no cell with {sites} sites to mix on has {x:?}; {}",
            match sizes.is_empty() {
                true => "give fractions with fewer digits".to_owned(),
                false => format!(
                    "cells with {} sites (and multiples) do: change repeat",
                    sizes.join(", ")
                ),
            }
        )));
    }
    Ok(nearest(x, sites))
}

/// New compositions where a map is high: drawn without repetition with chances as the square of the map, which is
/// interpolated from its points.
pub fn drawn(known: &[(Vec<usize>, f64)], count: usize, seed: u64) -> Vec<Vec<usize>> {
    let Some((first, _)) = known.first() else {
        return Vec::new();
    };
    let (sites, parts) = (first.iter().sum(), first.len());
    let all = match binomial(sites + parts - 1, parts - 1) <= POINTS as f64 {
        true => divisions(sites, parts),
        false => spread(POINTS, sites, parts),
    };
    let mut open: Vec<(Vec<usize>, f64)> = all
        .into_iter()
        .filter(|x| known.iter().all(|(k, _)| k != x))
        .map(|x| {
            // Shepard's interpolation; sharp, so that a peak stays where it is.
            let weights = known.iter().map(|(k, value)| {
                let square: f64 = k
                    .iter()
                    .zip(&x)
                    .map(|(&a, &b)| (a as f64 - b as f64).powi(2))
                    .sum();
                (square.powi(-2), value)
            });
            let (sum, total) = weights.fold((0.0, 0.0), |(s, t), (w, v)| (s + w * v, t + w));
            let value = sum / total;
            (x, value * value)
        })
        .collect();
    let mut rng = generator(seed, 7);
    let mut chosen = Vec::new();
    while chosen.len() < count && !open.is_empty() {
        let total: f64 = open.iter().map(|o| o.1).sum();
        let mut left = rng.random::<f64>() * total;
        let hit = open.iter().position(|o| {
            left -= o.1;
            left < 0.0
        });
        chosen.push(open.swap_remove(hit.unwrap_or(open.len() - 1)).0);
    }
    chosen
}

/// Puts `counts` atoms of the elements on sites of a structure.
///
/// **Errors**: [`Error::InvalidArgument`] if there are not as many sites; those of the neighbour list.
pub fn occupy(
    structure: &Structure,
    sites: &[usize],
    counts: &[(Element, usize)],
    how: Occupancy,
    seed: u64,
) -> Result<Structure> {
    let mut kinds: Vec<usize> = Vec::new();
    for (kind, (_, n)) in counts.iter().enumerate() {
        kinds.extend(std::iter::repeat_n(kind, *n));
    }
    if kinds.len() != sites.len() {
        return Err(Error::invalid(format!(
            "{} atoms for {} sites",
            kinds.len(),
            sites.len()
        )));
    }
    let mut rng = generator(seed, 8);
    kinds.shuffle(&mut rng);
    if how == Occupancy::QuasiRandom {
        let pairs = Pairs::new(structure, sites)?;
        let mut best = pairs.misfit(&kinds, counts.len());
        // Downhill, with ever less of a chance uphill.
        let tries = (TRIES * sites.len()).min(MOST_TRIES);
        let hot = 0.1 * best;
        for step in 0..tries {
            let (a, b) = (
                rng.random_range(0..sites.len()),
                rng.random_range(0..sites.len()),
            );
            let chance: f64 = rng.random();
            if kinds[a] == kinds[b] {
                continue;
            }
            kinds.swap(a, b);
            let now = pairs.misfit(&kinds, counts.len());
            let heat = hot * (1.0 - 2.0 * step as f64 / tries as f64).max(0.0);
            if now <= best - heat * chance.ln() {
                best = now;
            } else {
                kinds.swap(a, b);
            }
            if best < 1e-12 {
                break;
            }
        }
    }
    let mut out = structure.clone();
    for (&site, &kind) in sites.iter().zip(&kinds) {
        out.elements[site] = counts[kind].0;
    }
    Ok(out)
}

/// Pairs of sites by shell.
struct Pairs {
    shells: Vec<Vec<(usize, usize)>>,
}

impl Pairs {
    fn new(structure: &Structure, sites: &[usize]) -> Result<Self> {
        let positions: Vec<[f64; 3]> = sites.iter().map(|&i| structure.positions[i]).collect();
        // Three shells of any common lattice lie within 2.2 cube roots of the volume of a site.
        let reach = 2.2 * (structure.cell.volume() / sites.len().max(1) as f64).cbrt();
        let list = NeighborList::build(&structure.cell, &positions, reach)?;
        let mut all = Vec::new();
        for i in 0..sites.len() {
            for (j, r) in list.vectors(i, &structure.cell, &positions) {
                all.push((norm(r), i, j));
            }
        }
        all.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut shells: Vec<Vec<(usize, usize)>> = Vec::new();
        let mut last = 0.0;
        for (distance, i, j) in all {
            // Farther than a hundredth beyond the first of a shell the next begins.
            if distance > 1.01 * last {
                if shells.len() == SHELLS {
                    break;
                }
                shells.push(Vec::new());
                last = distance;
            }
            if let Some(shell) = shells.last_mut() {
                shell.push((i, j));
            }
        }
        Ok(Self { shells })
    }

    /// How far the shares of pairs are from those of a random alloy, squared and summed.
    fn misfit(&self, kinds: &[usize], parts: usize) -> f64 {
        let mut fraction = vec![0.0; parts];
        for &kind in kinds {
            fraction[kind] += 1.0 / kinds.len() as f64;
        }
        let mut sum = 0.0;
        let mut found = vec![0.0; parts * parts];
        for (k, shell) in self.shells.iter().enumerate() {
            found.fill(0.0);
            for &(i, j) in shell {
                found[parts * kinds[i] + kinds[j]] += 1.0 / shell.len() as f64;
            }
            for a in 0..parts {
                for b in 0..parts {
                    let off = found[parts * a + b] - fraction[a] * fraction[b];
                    sum += off * off / (k + 1) as f64;
                }
            }
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explore::generate::crystal;

    fn element(symbol: &str) -> Element {
        Element::from_symbol(symbol).unwrap()
    }

    #[test]
    fn grids_and_sequences_fill_the_simplex() {
        let found = grid(0.25, 8, 3).unwrap();
        assert_eq!(found.len(), 15);
        assert!(found.contains(&vec![8, 0, 0]) && found.contains(&vec![2, 2, 4]));
        assert!(found.iter().all(|x| x.iter().sum::<usize>() == 8));
        let spread = spread(40, 108, 3);
        assert!(spread.len() > 35 && spread.iter().all(|x| x.iter().sum::<usize>() == 108));
        // Each of the four equal triangles of the simplex gets its part.
        let half = |x: &Vec<usize>| x.iter().position(|&n| n > 54).unwrap_or(3);
        for part in 0..4 {
            let share =
                spread.iter().filter(|x| half(x) == part).count() as f64 / spread.len() as f64;
            assert!((0.15..0.36).contains(&share), "{part}: {share}");
        }
        for (message, word) in [
            (grid(0.125, 108, 2), "112 or 120 sites"),
            (grid(0.3, 10, 2), "one over a whole number"),
            (
                exact(&[0.3, 0.7], 8, 2).map(|x| vec![x]),
                "10, 20, 30 sites",
            ),
            (exact(&[0.5, 0.6], 8, 2).map(|x| vec![x]), "add up to 1"),
        ] {
            let text = message.unwrap_err().to_string();
            assert!(text.contains(word), "{text}");
        }
        assert_eq!(exact(&[0.25, 0.75], 8, 2).unwrap(), [2, 6]);
    }

    #[test]
    fn quasi_random_alloys_have_the_pairs_of_a_random_one() {
        let start = crystal("fcc", &[element("Al")], 4.0, [3; 3]).unwrap();
        let sites: Vec<usize> = (0..start.len()).collect();
        let counts = [(element("Al"), 54), (element("Ni"), 54)];
        let misfit = |how, seed| {
            let s = occupy(&start, &sites, &counts, how, seed).unwrap();
            assert_eq!(s.elements.iter().filter(|e| e.symbol() == "Ni").count(), 54);
            let kinds: Vec<usize> = s
                .elements
                .iter()
                .map(|e| usize::from(e.symbol() == "Ni"))
                .collect();
            // Warren and Cowley's parameter 1 - p(Ni next to Al)/c of the first shell of fcc, at a/√2.
            let list = NeighborList::build(&s.cell, &s.positions, 3.0).unwrap();
            let (mut unlike, mut all) = (0, 0);
            for i in (0..s.len()).filter(|&i| kinds[i] == 0) {
                for (j, _) in list.vectors(i, &s.cell, &s.positions) {
                    all += 1;
                    unlike += kinds[j];
                }
            }
            let order = 1.0 - f64::from(unlike as u32) / f64::from(all) / 0.5;
            (Pairs::new(&s, &sites).unwrap().misfit(&kinds, 2), order)
        };
        let random: f64 = (0..5).map(|k| misfit(Occupancy::Random, k).0).sum::<f64>() / 5.0;
        let (quasi, order) = misfit(Occupancy::QuasiRandom, 1);
        assert!(
            quasi < 0.05 * random && order.abs() < 0.01,
            "{quasi} {random} {order}"
        );
        let again = || occupy(&start, &sites, &counts, Occupancy::QuasiRandom, 1).unwrap();
        assert_eq!(again(), again());
    }

    #[test]
    fn new_compositions_are_drawn_where_the_map_is_high() {
        let known: Vec<(Vec<usize>, f64)> = grid(0.125, 64, 2)
            .unwrap()
            .into_iter()
            .map(|x| {
                let peak = if x[0] == 16 { 20.0 } else { 1.0 };
                (x, peak)
            })
            .collect();
        let found = drawn(&known, 6, 3);
        assert_eq!(found.len(), 6);
        assert!(found.iter().all(|x| known.iter().all(|k| k.0 != *x)));
        let near = found.iter().filter(|x| x[0].abs_diff(16) < 8).count();
        assert!(near >= 5, "{found:?}");
        assert_eq!(drawn(&known, 6, 3), found);
    }
}
