//! Labels in other units, found without a model.
//!
//! Energies: a frame whose energy per atom is that of its like, by composition, times a known factor. Forces: a pair
//! potential is fitted to all forces; a frame whose forces point along the fitted ones but are a known
//! factor longer or shorter stands out. What all frames have in common, [`consistency`] finds.

use super::consistency;
use super::pairs::{self, Rows};
use super::virials::{composition, near};
use nalgebra::{DMatrix, DVector};
use nepal::element::Element;
use nepal::model::Header;
use nepal::system::Frame;
use nepal::units::{BOHR, HARTREE};
use std::collections::BTreeMap;

/// Atoms that are looked at.
const ATOMS: usize = 30_000;
/// Fewest frames that tell what is usual.
pub(super) const FEWEST: usize = 5;
/// Share of a force's size by which fitted forces must be alike before anything is concluded.
const ALIKE: f64 = 0.6;
/// Fitted forces smaller than this share of what the fit usually leaves say nothing,
const LEFT: f64 = 0.5;
/// and forces of the other sign are otherwise within this factor of what they should be.
const SIZE: f64 = 2.5;

pub(super) const KCAL: f64 = 23.060_548;
pub(super) const KJ: f64 = 96.485_332;

/// Units that people mix up with eV, Å and eV/Å, by the factor of numbers in them.
const ENERGY_UNITS: [(f64, &str); 4] = [
    (1.0 / HARTREE, "hartree"),
    (2.0 / HARTREE, "rydberg"),
    (KCAL, "kcal/mol"),
    (KJ, "kJ/mol"),
];
const FORCE_UNITS: [(f64, &str); 4] = [
    (BOHR / HARTREE, "hartree/bohr"),
    (2.0 * BOHR / HARTREE, "rydberg/bohr"),
    (KCAL, "kcal/mol/Å"),
    (KJ, "kJ/mol/Å"),
];

/// Frames that look as if a label had another unit.
pub(super) struct Suspects {
    pub what: String,
    pub frames: Vec<(usize, String)>,
    /// Only the virial is in doubt.
    pub virial: bool,
    /// A fit of a pair potential says so, but not clearly enough to refuse anything.
    pub vague: bool,
}

/// Frames that look as if they had other units, by what is suspected.
pub(super) fn suspects(header: &Header, frames: &[Frame], used: &[usize]) -> Vec<Suspects> {
    let mut found = energies(header, frames, used);
    let atoms: usize = used.iter().map(|&i| frames[i].len()).sum();
    let stride = atoms.div_ceil(ATOMS).max(1);
    let rows: Vec<Rows> = (used.iter().step_by(stride))
        .filter_map(|&i| Rows::of(header, frames, i))
        .collect();
    found.extend(forces(header, frames, &rows));
    if found.is_empty() {
        found = consistency::suspects(header, frames, &rows, used);
    }
    found
}

/// Frames with an energy by their reduced composition.
fn compositions(frames: &[Frame], used: &[usize]) -> Vec<Vec<usize>> {
    let mut groups: BTreeMap<Vec<(Element, usize)>, Vec<usize>> = BTreeMap::new();
    for &i in used.iter().filter(|&&i| frames[i].energy.is_some()) {
        let mut counts: BTreeMap<Element, usize> = BTreeMap::new();
        for &e in &frames[i].structure.elements {
            *counts.entry(e).or_default() += 1;
        }
        let divisor = counts.values().fold(0, |a, &b| gcd(a, b)).max(1);
        let key = counts.into_iter().map(|(e, n)| (e, n / divisor)).collect();
        groups.entry(key).or_default().push(i);
    }
    groups.into_values().filter(|g| g.len() >= FEWEST).collect()
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The unit whose numbers are `ratio` times those in ours, within a factor `slack`.
fn unit(ratio: f64, units: &[(f64, &'static str)], slack: f64) -> Option<(f64, String)> {
    let distance = |factor: f64| (ratio / factor).ln().abs();
    let candidates = units
        .iter()
        .flat_map(|&(f, name)| [(f, name.to_owned()), (1.0 / f, format!("not {name}"))]);
    candidates
        .filter(|(f, _)| distance(*f) < slack.ln())
        .min_by(|a, b| distance(a.0).total_cmp(&distance(b.0)))
}

/// In words: how far off, and which unit that would be.
fn told(ratio: f64, unit: &str) -> String {
    match unit.strip_prefix("not ") {
        Some(others) => format!("{ratio:.3} times the usual, as if the others were in {others}"),
        None => format!("{ratio:.3} times the usual, as in {unit}"),
    }
}

fn energies(header: &Header, frames: &[Frame], used: &[usize]) -> Vec<Suspects> {
    let of = |i: usize| frames[i].energy.unwrap_or(0.0) / frames[i].len() as f64;
    let mut found = Vec::new();
    let mut judge = |places: &[usize], usual: &[f64], spread: f64| {
        for (&i, &usual) in places.iter().zip(usual) {
            let off = (of(i) - usual).abs();
            // Energies around zero have no ratio to speak of.
            if usual.abs() < 5.0 * spread || usual == 0.0 || off <= 10.0 * spread {
                continue;
            }
            if let Some((_, name)) = unit(of(i) / usual, &ENERGY_UNITS, 1.15) {
                let detail = format!("energy per atom {}", told(of(i) / usual, &name));
                found.push((i, detail));
            }
        }
    };
    let off = |places: &[usize], usual: &[f64]| -> f64 {
        let pairs = places.iter().zip(usual);
        1.5 * median(&pairs.map(|(&i, u)| (of(i) - u).abs()).collect::<Vec<_>>())
    };
    let groups = compositions(frames, used);
    for group in &groups {
        let values: Vec<f64> = group.iter().map(|&i| of(i)).collect();
        let usual = vec![median(&values); group.len()];
        judge(group, &usual, off(group, &usual));
    }
    // Those of rarer compositions lie near a plane over it.
    let all: Vec<usize> = (used.iter().copied())
        .filter(|&i| frames[i].energy.is_some())
        .collect();
    let alone = |i: &usize| !groups.iter().any(|group| group.contains(i));
    let rare = all.iter().filter(|i| alone(i)).count();
    if rare > 0 && all.len() >= 2 * (FEWEST + header.n_types()) {
        let values: Vec<f64> = all.iter().map(|&i| of(i)).collect();
        if let Some(usual) = plane(&composition(header, frames, &all), &values) {
            let spread = off(&all, &usual);
            let pairs = all.iter().copied().zip(usual);
            let (places, usual): (Vec<_>, Vec<_>) = pairs.filter(|(i, _)| alone(i)).unzip();
            judge(&places, &usual, spread);
        }
    }
    if found.is_empty() {
        return Vec::new();
    }
    found.sort_by_key(|f| f.0);
    vec![Suspects {
        what: "energies apparently in another unit".into(),
        frames: found,
        virial: false,
        vague: false,
    }]
}

/// A plane over the composition through most of the values, at each of them: least absolute deviations, so that those
/// which are far off do not count.
fn plane(composition: &DMatrix<f64>, values: &[f64]) -> Option<Vec<f64>> {
    let mut usual = vec![median(values); values.len()];
    for _ in 0..50 {
        let far: Vec<f64> = values
            .iter()
            .zip(&usual)
            .map(|(v, u)| (v - u).abs())
            .collect();
        let least = 1e-3 * median(&far) + 1e-12;
        let weights = DVector::from_iterator(far.len(), far.iter().map(|d| 1.0 / d.max(least)));
        let mut weighted = composition.clone();
        for (mut row, w) in weighted.row_iter_mut().zip(&weights) {
            row *= *w;
        }
        let right = weighted.tr_mul(&DVector::from_column_slice(values));
        let solution = pairs::solve(weighted.tr_mul(composition), &right)?;
        usual = (composition * solution).iter().copied().collect();
    }
    Some(usual)
}

/// What the pair potential makes of the forces of one frame.
struct Seen {
    frame: usize,
    slope: f64,
    alike: f64,
    /// Mean squares of the fitted forces and of the frame's.
    fitted: f64,
    label: f64,
}

/// Frames whose forces are a known factor longer or shorter than those of others.
fn forces(header: &Header, frames: &[Frame], rows: &[Rows]) -> Vec<Suspects> {
    let columns = pairs::columns(header);
    let mut parts = Vec::new();
    let (mut matrix, mut right) = (DMatrix::zeros(columns, columns), DVector::zeros(columns));
    for row in rows {
        let Some(label) = &frames[row.frame].forces else {
            continue;
        };
        let label = DVector::from_column_slice(label.as_flattened());
        let square = label.norm_squared() / label.len().max(1) as f64;
        // Forces of relaxed structures are noise.
        if square < 1e-8 {
            continue;
        }
        // Each frame counts by the shape of its forces, whatever their size.
        matrix += row.forces.tr_mul(&row.forces) / square;
        right += row.forces.tr_mul(&label) / square;
        parts.push((row, label));
    }
    if parts.len() < FEWEST {
        return Vec::new();
    }
    let Some(coefficients) = pairs::solve(matrix, &right) else {
        return Vec::new();
    };
    let seen: Vec<Seen> = parts
        .iter()
        .map(|(row, label)| {
            let fitted = &row.forces * &coefficients;
            let product = fitted.dot(label);
            let size = label.len().max(1) as f64;
            Seen {
                frame: row.frame,
                slope: product / fitted.norm_squared().max(1e-300),
                alike: product / (fitted.norm() * label.norm()).max(1e-300),
                fitted: fitted.norm_squared() / size,
                label: label.norm_squared() / size,
            }
        })
        .collect();
    let alike: Vec<f64> = seen.iter().map(|s| s.alike).collect();
    if !(median(&alike) > ALIKE) {
        return Vec::new();
    }
    let trusted: Vec<&Seen> = seen.iter().filter(|s| s.alike.abs() > ALIKE).collect();
    let slopes: Vec<f64> = trusted.iter().map(|s| s.slope).collect();
    let usual = median(&slopes);
    // What the potential, at the usual size, leaves of a frame's forces.
    let left = |s: &Seen| s.label + (usual - 2.0 * s.slope) * usual * s.fitted;
    let left = median(&trusted.iter().map(|s| left(s)).collect::<Vec<_>>());
    let found: Vec<(usize, String)> = trusted
        .iter()
        // Of nearly relaxed structures the fit tells its own error.
        .filter(|s| usual * usual * s.fitted > LEFT * LEFT * left)
        .filter_map(|s| {
            let ratio = s.slope / usual;
            let name = unit(ratio.abs(), &FORCE_UNITS, 1.4).map(|(_, name)| name);
            let detail = match name {
                Some(name) => told(ratio, &name),
                None if near(ratio, -1.0, SIZE) => "of the other sign, as gradients are".to_owned(),
                None => return None,
            };
            Some((s.frame, format!("forces {detail}")))
        })
        .collect();
    if found.is_empty() {
        return Vec::new();
    }
    vec![Suspects {
        what: "forces apparently in another unit or of the other sign".into(),
        frames: found,
        virial: false,
        vague: false,
    }]
}
