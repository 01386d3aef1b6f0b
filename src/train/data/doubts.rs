//! Labels that another frame, or the structure itself, makes doubtful.

use super::screen::{Action, Finding};
use nepal::element::Element;
use nepal::system::cell::{add, norm};
use nepal::system::{Frame, NeighborList};
use std::collections::BTreeMap;

/// A force is huge from this size on, eV/Å,
const HUGE: f64 = 20.0;
/// if it is also this many times the size that 99 % of all forces stay below.
const ISOLATED: f64 = 10.0;
/// The mean force of all atoms is told from this size on, eV/Å, and as a part of their root mean square: grids and
/// printed digits are below.
const NET: [f64; 2] = [0.02, 0.05];
/// Energies of one composition and density may be of two references from this gap on, and are beyond what any bond
/// explains, at any density: eV/atom.
const GAPS: [f64; 2] = [1.0, 20.0];
/// The gap is this many times the range of the energies on its larger side,
const CLEAR: f64 = 1.5;
/// and volumes per atom are alike within this part.
const ALIKE: f64 = 0.1;
/// How far neighbours make a site asymmetric, Å, and from which part of the sum of their pulls on.
const SITE: f64 = 5.0;
const ASYMMETRIC: f64 = 0.02;

fn rms(forces: &[[f64; 3]]) -> f64 {
    let sum: f64 = forces.as_flattened().iter().map(|x| x * x).sum();
    (sum / forces.len().max(1) as f64).sqrt()
}

/// Frames whose virial is one number nine times although there are forces.
pub(super) fn placeholders(frames: &[Frame], used: &[usize]) -> Vec<(usize, String)> {
    let forced = |frame: &Frame| {
        let forces = frame.forces.as_deref().unwrap_or_default();
        forces.iter().any(|&f| norm(f) > 1e-3)
    };
    used.iter()
        .filter_map(|&i| {
            let w = frames[i].virial?;
            let equal = w.iter().all(|x| (x - w[0]).abs() <= 1e-12 * w[0].abs());
            (equal && forced(&frames[i])).then(|| (i, format!("all are {}", w[0])))
        })
        .collect()
}

/// Frames whose forces are all 0 although an atom has more neighbours on one side than on the other.
pub(super) fn zero_forces(frames: &[Frame], used: &[usize]) -> Vec<(usize, String)> {
    let zero = |f: &&[[f64; 3]]| f.as_flattened().iter().all(|x| *x == 0.0);
    used.iter()
        .filter(|&&i| frames[i].forces.as_deref().filter(zero).is_some())
        .filter_map(|&i| {
            let s = &frames[i].structure;
            let list = NeighborList::build(&s.cell, &s.positions, SITE).ok()?;
            let pulled = |atom: &usize| {
                let (mut pull, mut size) = ([0.0; 3], 0.0);
                for (_, v) in list.vectors(*atom, &s.cell, &s.positions) {
                    let r = norm(v);
                    let weight = (1.0 - r / SITE).powi(2) / r;
                    pull = add(pull, v.map(|x| x * weight / r));
                    size += weight;
                }
                norm(pull) > ASYMMETRIC * size
            };
            let atom = (0..s.len()).find(pulled)?;
            Some((i, format!("atom {} is pulled to one side", atom + 1)))
        })
        .collect()
}

/// Frames whose forces would move the whole of them.
pub(super) fn net_forces(frames: &[Frame], used: &[usize]) -> Finding {
    let told = |&i: &usize| {
        let forces = frames[i].forces.as_deref()?;
        let n = forces.len().max(1) as f64;
        let mean = norm(forces.iter().fold([0.0; 3], |sum, f| add(sum, *f))) / n;
        let large = mean > NET[0].max(NET[1] * rms(forces));
        large.then(|| (i, format!("{mean:.3} eV/Å on every atom")))
    };
    Finding {
        what: "forces that do not sum to zero, as where those of fixed atoms are written as 0, or of another order of atoms"
            .into(),
        frames: used.iter().filter_map(told).collect(),
        action: Action::Kept,
        advice: "",
    }
}

/// Frames whose energies are so far from others of the same composition that they were computed with other
/// pseudopotentials, another program or other settings.
pub(super) fn references(frames: &[Frame], used: &[usize], sure: Action) -> Vec<Finding> {
    let mut groups: BTreeMap<Vec<(Element, u64)>, Vec<(f64, usize)>> = BTreeMap::new();
    for &i in used.iter().filter(|&&i| frames[i].len() > 1) {
        let Some(energy) = frames[i].energy else {
            continue;
        };
        let n = frames[i].len() as f64;
        let mut counts: BTreeMap<Element, f64> = BTreeMap::new();
        for e in &frames[i].structure.elements {
            *counts.entry(*e).or_default() += 1.0;
        }
        // In thousandths.
        let parts = counts
            .into_iter()
            .map(|(e, count)| (e, (1e3 * count / n).round() as u64));
        groups
            .entry(parts.collect())
            .or_default()
            .push((energy / n, i));
    }
    let (mut doubted, mut certain) = (Vec::new(), Vec::new());
    for mut group in groups.into_values().filter(|g| g.len() > 2) {
        group.sort_by(|a, b| a.0.total_cmp(&b.0));
        let widest = (1..group.len()).map(|k| (group[k].0 - group[k - 1].0, k));
        let Some((gap, at)) = widest.max_by(|a, b| a.0.total_cmp(&b.0)) else {
            continue;
        };
        let (low, high) = group.split_at(at);
        let (few, many) = if low.len() < high.len() {
            (low, high)
        } else {
            (high, low)
        };
        if gap < GAPS[0].max(CLEAR * (many[many.len() - 1].0 - many[0].0)) {
            continue;
        }
        // Atoms on top of each other are high in energy, and pushed apart.
        let calm = |i: usize| frames[i].forces.as_deref().is_none_or(|f| rms(f) < gap);
        let volume = |i: usize| frames[i].structure.cell.volume() / frames[i].len() as f64;
        let alike = |i: usize| {
            let like = |other: &&(f64, usize)| (volume(other.1) / volume(i) - 1.0).abs() < ALIKE;
            many.iter().find(like)
        };
        for &(energy, i) in few.iter().filter(|f| calm(f.1)) {
            let other = alike(i);
            let list = match (gap > GAPS[1], other) {
                (true, _) => &mut certain,
                (false, Some(_)) => &mut doubted,
                _ => continue,
            };
            let (theirs, there) = *other.unwrap_or(&many[0]);
            list.push((
                i,
                format!(
                    "{energy:.2} eV/atom, but {theirs:.2} in frame {} of the same composition",
                    there + 1
                ),
            ));
        }
    }
    let finding = |what: &str, mut frames: Vec<(usize, String)>, action| {
        frames.sort();
        Finding {
            what: what.into(),
            frames,
            action,
            advice: "label them again with one method",
        }
    };
    vec![
        finding(
            "energies of another reference than the others",
            certain,
            sure,
        ),
        Finding {
            advice: "",
            ..finding(
                "energies that may be of another reference (pseudopotential, program, settings) than the others",
                doubted,
                Action::Kept,
            )
        },
    ]
}

/// Frames with a force far above nearly all others.
pub(super) fn huge(frames: &[Frame], used: &[usize]) -> Vec<(usize, String)> {
    let sizes = |i: usize| {
        let forces = frames[i].forces.as_deref().unwrap_or_default();
        forces.iter().map(|&f| norm(f))
    };
    let mut all: Vec<f64> = used.iter().flat_map(|&i| sizes(i)).collect();
    if all.is_empty() {
        return Vec::new();
    }
    let place = (all.len() - 1) * 99 / 100;
    let (_, &mut ordinary, _) = all.select_nth_unstable_by(place, f64::total_cmp);
    let limit = HUGE.max(ISOLATED * ordinary);
    used.iter()
        .filter_map(|&i| {
            let (atom, size) = sizes(i)
                .enumerate()
                .max_by(|a, b| a.1.total_cmp(&b.1))
                .filter(|(_, size)| *size > limit)?;
            Some((i, format!("{size:.0} eV/Å on atom {}", atom + 1)))
        })
        .collect()
}
