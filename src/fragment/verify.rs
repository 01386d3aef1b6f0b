//! The checks that a fragment must pass.

use super::assessment::Assessment;
use super::draft::Draft;
use super::options::FragmentOptions;
use super::outcome::{Refusal, Verification};
use super::parent::{Point, Surroundings};
use super::reference::Reference;
use crate::error::Result;
use crate::system::NeighborList;
use crate::system::cell::{norm, sub};

/// Largest deviation of a neighbour of the target from its place in the parent, Å.
const EXACT: f64 = 1e-6;
/// Largest relative difference of the target's descriptors.
const EXACT_DESCRIPTORS: f64 = 1e-10;
/// Verified share of the smallest pair distances; repair and penalties aim higher.
const CONTACT_SHARE: f64 = 0.9;

/// The target's environment in the parent: neighbours within the cutoff.
pub(super) fn environment(s: &Surroundings<'_>) -> Vec<Point> {
    let mut points = s.ball(s.cutoff + EXACT);
    points.retain(|p| p.atom != s.target || norm(p.r) > 1e-9);
    points
}

/// Geometry: the target's environment, contacts, number of atoms, density. Fills the numbers of
/// `found`; gives the first check that failed.
pub(super) fn geometry(
    s: &Surroundings<'_>,
    draft: &Draft,
    options: &FragmentOptions,
    found: &mut Verification,
) -> Result<Option<Refusal>> {
    let structure = draft.placed();
    let reach = (s.cutoff + EXACT).max(s.contacts.largest());
    let list = NeighborList::build(&structure.cell, &structure.positions, reach)?;
    let parent = environment(s);
    let here: Vec<(u32, [f64; 3])> = list
        .vectors(0, &structure.cell, &structure.positions)
        .map(|(j, r)| (draft.types[j], r))
        .filter(|(_, r)| norm(*r) < s.cutoff + EXACT)
        .collect();
    // Neighbours on the cutoff itself contribute nothing and may be missing on either side.
    let well_inside = |r: [f64; 3]| norm(r) < s.cutoff - EXACT;
    let nearest = |list: &mut dyn Iterator<Item = (u32, [f64; 3])>, t: u32, r: [f64; 3]| {
        list.filter(|(other, _)| *other == t)
            .map(|(_, p)| norm(sub(p, r)))
            .fold(f64::INFINITY, f64::min)
    };
    let mut deviation = 0.0f64;
    for p in parent.iter().filter(|p| well_inside(p.r)) {
        let d = nearest(&mut here.iter().copied(), s.types[p.atom], p.r);
        deviation = deviation.max(d);
    }
    for &(t, r) in here.iter().filter(|(_, r)| well_inside(*r)) {
        let known = parent.iter().map(|p| (s.types[p.atom], p.r));
        deviation = deviation.max(nearest(&mut { known }, t, r));
    }
    let neighbors = [
        here.iter().filter(|(_, r)| well_inside(*r)).count(),
        parent.iter().filter(|p| well_inside(p.r)).count(),
    ];
    found.neighbors = neighbors[0];
    found.deviation = deviation;
    let target_moved = draft.parent[0] != Some(s.target) || !draft.core[0];
    if neighbors[0] != neighbors[1] || deviation.is_nan() || deviation > EXACT || target_moved {
        return Ok(Some(Refusal::Exactness {
            neighbors,
            deviation,
            descriptors: f64::NAN,
        }));
    }
    if draft.len() > options.n_max {
        return Ok(Some(Refusal::TooLarge {
            atoms: draft.len(),
            n_max: options.n_max,
        }));
    }
    if let Some(refusal) = contacts(s, draft, found)? {
        return Ok(Some(refusal));
    }
    if options.keep_molecules
        && let Some((i, j, distance)) = super::molecules::broken(draft)
    {
        let pair = (draft.elements[i], draft.elements[j]);
        return Ok(Some(Refusal::Molecule { pair, distance }));
    }
    let ratio = draft.density_ratio();
    if !(options.density[0]..=options.density[1]).contains(&ratio) {
        return Ok(Some(Refusal::Density { ratio }));
    }
    Ok(None)
}

/// Smallest distances, over the pairs that do not stand as they stand in the parent.
fn contacts(
    s: &Surroundings<'_>,
    draft: &Draft,
    found: &mut Verification,
) -> Result<Option<Refusal>> {
    found.contact = f64::INFINITY;
    let mut worst = None;
    for (i, j, image, distance) in draft.pairs(s.contacts.largest())? {
        if draft.core[i] && draft.core[j] && !draft.crosses(image) {
            continue;
        }
        // A pair that was this close in the parent is no fault of the fragment.
        if draft.as_in_parent(i, j, image, distance) {
            continue;
        }
        let ratio = distance / s.contacts.of(draft.types[i], draft.types[j]);
        if ratio < found.contact {
            found.contact = ratio;
            worst = Some((i, j, distance));
        }
    }
    Ok(match worst {
        Some((i, j, distance)) if found.contact < CONTACT_SHARE => Some(Refusal::Contact {
            pair: (draft.elements[i], draft.elements[j]),
            distance,
            allowed: CONTACT_SHARE * s.contacts.of(draft.types[i], draft.types[j]),
        }),
        _ => None,
    })
}

/// What the model says: descriptors, boundary grade, forces.
pub(super) fn model(
    draft: &Draft,
    state: &Assessment,
    carved: &Assessment,
    reference: &Reference,
    tolerance: Option<f64>,
    options: &FragmentOptions,
    found: &mut Verification,
) -> Option<Refusal> {
    found.descriptor_deviation = reference.change(0, state.of(0, reference.dim()));
    found.grade = state.grade_max;
    found.force = state.force_max;
    found.energy = if state.energy.is_finite() {
        state.energy
    } else {
        f64::NAN
    };
    found.long_range = state.force_change;
    // In a melt the parent itself is out of bounds: its own median is then good enough.
    found.grade_limit = if reference.grade.is_finite() {
        options.gamma_b.max(reference.grade)
    } else {
        options.gamma_b
    };
    found.target_grade = [
        reference.target_grade,
        state.grades.first().copied().unwrap_or(f64::NAN),
    ];
    match tolerance {
        Some(limit) => {
            let change = state.target_change;
            if change.is_nan() || change > limit {
                return Some(Refusal::Target { change, limit });
            }
        }
        None => {
            let deviation = found.descriptor_deviation;
            if deviation.is_nan() || deviation > EXACT_DESCRIPTORS {
                return Some(Refusal::Exactness {
                    neighbors: [found.neighbors; 2],
                    deviation: found.deviation,
                    descriptors: deviation,
                });
            }
        }
    }
    if draft.core.iter().all(|&c| c) {
        return None;
    }
    let worse =
        state.grade_max > carved.grade_max * (1.0 + 1e-9) && state.grade_max > options.gamma_b;
    let unknown = !state.grades.is_empty() && state.grade_max.is_nan();
    if state.grade_max > found.grade_limit || worse || unknown {
        return Some(Refusal::Grade {
            reached: state.grade_max,
            limit: if worse {
                carved.grade_max
            } else {
                found.grade_limit
            },
        });
    }
    if state.force_max > options.f_max {
        return Some(Refusal::Force {
            found: state.force_max,
            limit: options.f_max,
        });
    }
    // A parent's own defect energy counts here too: twice the window that the optimiser keeps.
    (state.energy > 2.0 * options.e_max).then_some(Refusal::Energy {
        found: state.energy,
        limit: 2.0 * options.e_max,
    })
}
