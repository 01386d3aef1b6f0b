//! Labels in other units, found without a model.
//!
//! Energies: a frame whose energy per atom is that of its like times a known factor. Forces: a pair
//! potential is fitted to all forces; a frame whose forces point along the fitted ones but are a known
//! factor longer or shorter stands out, and so does a set whose energies vary by such a factor more
//! or less than its forces say.

use nalgebra::{DMatrix, DVector};
use nepal::element::Element;
use nepal::model::Header;
use nepal::system::cell::norm;
use nepal::system::{Frame, NeighborList};
use nepal::units::{BOHR, HARTREE};
use std::collections::BTreeMap;

/// Powers of the distance functions (1 - r/rc)^m of the pair potential.
const POWERS: [i32; 8] = [2, 3, 4, 6, 8, 12, 18, 26];
/// Range of the pair potential, Å.
const RANGE: f64 = 6.0;
/// Atoms that are looked at, and kinds of pairs beyond which all pairs are taken as alike.
const ATOMS: usize = 30_000;
const KINDS: usize = 6;
/// Fewest frames of one composition that tell what is usual.
const FEWEST: usize = 5;
/// Share of a force's size by which fitted forces must be alike before anything is concluded.
const ALIKE: f64 = 0.6;

/// Units that people mix up with eV, Å and eV/Å, by the factor of numbers in them.
const ENERGY_UNITS: [(f64, &str); 4] = [
    (1.0 / HARTREE, "hartree"),
    (2.0 / HARTREE, "rydberg"),
    (23.060_548, "kcal/mol"),
    (96.485_332, "kJ/mol"),
];
const FORCE_UNITS: [(f64, &str); 4] = [
    (BOHR / HARTREE, "hartree/bohr"),
    (2.0 * BOHR / HARTREE, "rydberg/bohr"),
    (23.060_548, "kcal/mol/Å"),
    (96.485_332, "kJ/mol/Å"),
];

type Suspects = (String, Vec<(usize, String)>);

/// Frames that look as if they had other units, by what is suspected.
pub(super) fn suspects(header: &Header, frames: &[Frame], used: &[usize]) -> Vec<Suspects> {
    let groups = compositions(frames, used);
    let mut found = energies(frames, &groups);
    found.extend(forces(header, frames, used, &groups));
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

fn energies(frames: &[Frame], groups: &[Vec<usize>]) -> Vec<Suspects> {
    let mut found = Vec::new();
    for group in groups {
        let of = |i: usize| frames[i].energy.unwrap_or(0.0) / frames[i].len() as f64;
        let values: Vec<f64> = group.iter().map(|&i| of(i)).collect();
        let usual = median(&values);
        let off: Vec<f64> = values.iter().map(|e| (e - usual).abs()).collect();
        let spread = 1.5 * median(&off);
        // Energies around zero have no ratio to speak of.
        if usual.abs() < 5.0 * spread || usual == 0.0 {
            continue;
        }
        for &i in group {
            let ratio = of(i) / usual;
            if (of(i) - usual).abs() > 10.0 * spread
                && let Some((_, name)) = unit(ratio, &ENERGY_UNITS, 1.15)
            {
                let detail = format!("energy per atom {}", told(ratio, &name));
                found.push((i, detail));
            }
        }
    }
    if found.is_empty() {
        return Vec::new();
    }
    found.sort_by_key(|f| f.0);
    vec![("energies apparently in another unit".into(), found)]
}

/// Energy and forces of each distance function for each kind of pair: columns of a linear
/// problem. Shapes `[columns]`, `[3 n_atoms][columns]`.
fn design(kinds: usize, header: &Header, frame: &Frame) -> Option<(DVector<f64>, DMatrix<f64>)> {
    let s = &frame.structure;
    let types: Vec<usize> = s
        .elements
        .iter()
        .map(|e| header.elements.iter().position(|x| x == e))
        .collect::<Option<_>>()?;
    let list = NeighborList::build(&s.cell, &s.positions, RANGE).ok()?;
    let columns = kinds * POWERS.len();
    let mut energy = DVector::zeros(columns);
    let mut forces = DMatrix::zeros(3 * s.len(), columns);
    for i in 0..s.len() {
        for (j, vector) in list.vectors(i, &s.cell, &s.positions) {
            let r = norm(vector);
            if r >= RANGE || r == 0.0 {
                continue;
            }
            let (low, high) = (types[i].min(types[j]), types[i].max(types[j]));
            let kind = if kinds == 1 {
                0
            } else {
                high * (high + 1) / 2 + low
            };
            let x = 1.0 - r / RANGE;
            for (m, &power) in POWERS.iter().enumerate() {
                let column = kind * POWERS.len() + m;
                energy[column] += 0.5 * x.powi(power);
                // Force on i along the bond to j: dφ/dr, which is negative for these functions.
                let slope = -f64::from(power) * x.powi(power - 1) / RANGE;
                for (a, v) in vector.iter().enumerate() {
                    forces[(3 * i + a, column)] += slope * v / r;
                }
            }
        }
    }
    Some((energy, forces))
}

/// What the pair potential makes of one frame.
struct Seen {
    frame: usize,
    slope: f64,
    alike: f64,
    energy: f64,
}

fn forces(
    header: &Header,
    frames: &[Frame],
    used: &[usize],
    groups: &[Vec<usize>],
) -> Vec<Suspects> {
    let with: Vec<usize> = used
        .iter()
        .copied()
        .filter(|&i| frames[i].forces.is_some())
        .collect();
    let atoms: usize = with.iter().map(|&i| frames[i].len()).sum();
    let stride = atoms.div_ceil(ATOMS).max(1);
    let n = header.n_types();
    let kinds = if n * (n + 1) / 2 > KINDS {
        1
    } else {
        n * (n + 1) / 2
    };
    let mut parts = Vec::new();
    let columns = kinds * POWERS.len();
    let (mut matrix, mut right) = (DMatrix::zeros(columns, columns), DVector::zeros(columns));
    for &i in with.iter().step_by(stride) {
        let label = frames[i].forces.as_deref().unwrap_or_default();
        let label = DVector::from_column_slice(label.as_flattened());
        let square = label.norm_squared() / label.len().max(1) as f64;
        // Forces of relaxed structures are noise.
        if square < 1e-8 {
            continue;
        }
        let Some((energy, design)) = design(kinds, header, &frames[i]) else {
            continue;
        };
        // Each frame counts by the shape of its forces, whatever their size.
        matrix += design.tr_mul(&design) / square;
        right += design.tr_mul(&label) / square;
        parts.push((i, energy, design, label));
    }
    if parts.len() < FEWEST {
        return Vec::new();
    }
    for k in 0..columns {
        matrix[(k, k)] *= 1.0 + 1e-8;
        matrix[(k, k)] += 1e-300;
    }
    let Some(coefficients) = matrix.cholesky().map(|c| c.solve(&right)) else {
        return Vec::new();
    };
    let seen: Vec<Seen> = parts
        .iter()
        .map(|(frame, energy, design, label)| {
            let fitted = design * &coefficients;
            let product = fitted.dot(label);
            Seen {
                frame: *frame,
                slope: product / fitted.norm_squared().max(1e-300),
                alike: product / (fitted.norm() * label.norm()).max(1e-300),
                energy: energy.dot(&coefficients) / frames[*frame].len() as f64,
            }
        })
        .collect();
    let alike: Vec<f64> = seen.iter().map(|s| s.alike).collect();
    if !(median(&alike) > ALIKE) {
        return Vec::new();
    }
    let trusted: Vec<&Seen> = seen.iter().filter(|s| s.alike > ALIKE).collect();
    let slopes: Vec<f64> = trusted.iter().map(|s| s.slope).collect();
    let usual = median(&slopes);
    let found: Vec<(usize, String)> = trusted
        .iter()
        .filter_map(|s| {
            let (_, name) = unit(s.slope / usual, &FORCE_UNITS, 1.4)?;
            Some((s.frame, format!("forces {}", told(s.slope / usual, &name))))
        })
        .collect();
    if !found.is_empty() {
        return vec![("forces apparently in another unit".into(), found)];
    }
    consistency(frames, groups, &seen, usual)
}

/// Whether the energies vary as the forces say.
fn consistency(
    frames: &[Frame],
    groups: &[Vec<usize>],
    seen: &[Seen],
    usual: f64,
) -> Vec<Suspects> {
    let (mut fitted, mut labels) = (Vec::new(), Vec::new());
    for group in groups {
        let members: Vec<(f64, f64)> = seen
            .iter()
            .filter(|s| group.binary_search(&s.frame).is_ok())
            .filter_map(|s| {
                let frame = &frames[s.frame];
                Some((usual * s.energy, frame.energy? / frame.len() as f64))
            })
            .collect();
        if members.len() < FEWEST {
            continue;
        }
        let count = members.len() as f64;
        let mean = members
            .iter()
            .fold([0.0; 2], |a, m| [a[0] + m.0 / count, a[1] + m.1 / count]);
        fitted.extend(members.iter().map(|m| m.0 - mean[0]));
        labels.extend(members.iter().map(|m| m.1 - mean[1]));
    }
    if fitted.len() < 2 * FEWEST {
        return Vec::new();
    }
    let dot = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
    let (ff, fl, ll) = (
        dot(&fitted, &fitted),
        dot(&fitted, &labels),
        dot(&labels, &labels),
    );
    if !(fl / (ff * ll).sqrt() > 0.7) {
        return Vec::new();
    }
    // Energies that vary `slope` times what forces say: forces are in a unit with smaller numbers.
    let slope = fl / ff;
    if unit(1.0 / slope, &FORCE_UNITS, 1.8).is_none() {
        return Vec::new();
    }
    let known: Vec<String> = FORCE_UNITS
        .iter()
        .map(|(f, u)| format!("{u} {f:.3}"))
        .collect();
    let detail = format!(
        "forces {:.3} times what the energies say; such factors have {}",
        1.0 / slope,
        known.join(", ")
    );
    let all = seen.iter().map(|s| (s.frame, detail.clone())).collect();
    vec![("forces that do not go with the energies".into(), all)]
}
