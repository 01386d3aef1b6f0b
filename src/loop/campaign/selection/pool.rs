//! What can be chosen: candidates, or parts of large ones, with the environments that a label would
//! teach.

use super::gain::Row;
use nepal::error::Result;
use nepal::grade::ActiveSet;
use nepal::system::Structure;
use nepal::system::cell::{norm, sub};
use nepal::{Calculator, Request};

/// Atoms beyond this number add little to what the most novel ones of a group tell.
const MAX_ROWS: usize = 32;
/// Grades up to here are known ground.
const EDGE: f64 = 1.0 + 1e-6;

/// One thing to label: a cell, or the surroundings of an atom in a large one.
#[derive(Clone, Debug)]
pub(super) struct Group {
    /// Number of the candidate.
    pub candidate: usize,
    /// The most novel atom: the target of a fragment.
    pub atom: usize,
    /// Its grade.
    pub grade: f64,
    /// Environments beyond known ground, in the active set's coordinates, most novel first.
    pub rows: Vec<Row>,
    /// The same as the model's features, for the active set.
    pub features: Vec<Vec<f64>>,
    /// What a label costs, in units of one of a single atom.
    pub cost: f64,
    /// Name of the scenario that found it.
    pub scenario: String,
}

/// How groups are made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grouping {
    /// Cells up to this many atoms are labelled whole.
    pub whole: usize,
    /// Most atoms of a fragment.
    pub fragment: usize,
    /// Most groups of one large cell.
    pub targets: usize,
    /// Grade from which a group is worth a label.
    pub threshold: f64,
    /// Cost of a label is atoms to this power.
    pub exponent: f64,
}

/// Atoms that a fragment around an atom of a structure will have, roughly: its cell must be wider
/// than two cutoffs.
fn fragment_atoms(structure: &Structure, cutoff: f64, limit: usize) -> usize {
    let density = structure.len() as f64 / structure.cell.volume().max(1.0);
    let atoms = density * (2.0 * cutoff + 2.0).powi(3);
    (atoms as usize).clamp(1, limit.min(structure.len()).max(1))
}

/// The groups of one candidate, most novel first.
pub(super) fn groups(
    calculator: &mut Calculator,
    set: &ActiveSet,
    structure: &Structure,
    (candidate, scenario): (usize, &str),
    grouping: &Grouping,
) -> Result<Vec<Group>> {
    let types = calculator.model().types_of(&structure.elements)?;
    let cutoff = calculator.model().cutoff();
    let found = calculator.compute(structure, Request::PROJECTIONS)?;
    let width = set.width();
    let mut novel: Vec<(usize, f64)> = Vec::new();
    for (atom, row) in found.projections.chunks_exact(width).enumerate() {
        let grade = set.grade_rows(types[atom] as usize, row)?[0].total;
        if grade > EDGE {
            novel.push((atom, grade));
        }
    }
    if novel.is_empty() && grouping.threshold == 0.0 {
        // Worth a label for another reason than its grades: by its least known atom.
        let grade = |atom: usize| -> Result<f64> {
            let row = &found.projections[atom * width..][..width];
            Ok(set.grade_rows(types[atom] as usize, row)?[0].total)
        };
        let mut best = (0, f64::NEG_INFINITY);
        for atom in 0..structure.len() {
            let grade = grade(atom)?;
            if grade > best.1 {
                best = (atom, grade);
            }
        }
        novel.extend((!structure.is_empty()).then_some(best));
    }
    novel.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let whole = structure.len() <= grouping.whole;
    let atoms = if whole {
        structure.len()
    } else {
        fragment_atoms(structure, cutoff, grouping.fragment)
    };
    let mut groups = Vec::new();
    let mut spoken_for = vec![false; structure.len()];
    while groups.len() < if whole { 1 } else { grouping.targets } {
        let target = novel.iter().find(|n| !spoken_for[n.0]).copied();
        let Some((atom, grade)) = target.filter(|t| t.1 > grouping.threshold) else {
            break;
        };
        let mut group = Group {
            candidate,
            atom,
            grade,
            rows: Vec::new(),
            features: Vec::new(),
            cost: (atoms as f64).powf(grouping.exponent),
            scenario: scenario.to_owned(),
        };
        for &(other, _) in &novel {
            let near = whole || distance(structure, atom, other) < cutoff;
            if !near || spoken_for[other] {
                continue;
            }
            spoken_for[other] = true;
            if group.rows.len() < MAX_ROWS {
                let t = types[other] as usize;
                let feature = found.projections[other * width..][..width].to_vec();
                let x = set.coordinates(t, &feature)?.1;
                group.rows.push(Row { t, x });
                group.features.push(feature);
            }
        }
        groups.push(group);
    }
    Ok(groups)
}

/// Distance of two atoms, of the nearest images in cells that are not too oblique.
fn distance(structure: &Structure, a: usize, b: usize) -> f64 {
    let cell = &structure.cell;
    let mut s = cell.fractional(sub(structure.positions[a], structure.positions[b]));
    for (x, periodic) in s.iter_mut().zip(cell.periodic()) {
        if periodic {
            *x -= x.round();
        }
    }
    norm(cell.cartesian(s))
}
