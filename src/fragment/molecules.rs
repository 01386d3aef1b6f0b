//! Molecules by covalent distances.

use super::draft::Draft;
use super::parent::{Point, PointGrid, Surroundings};
use crate::system::cell::{norm, sub};

/// A bond is shorter than this share of the sum of covalent radii ([`crate::Element::covalent_radius`],
/// which is 4/3 of the usual radius).
pub(super) const BOND_SHARE: f64 = 0.9;
/// Larger connected sets are networks, not molecules: their atoms stand alone.
const MAX_MOLECULE: usize = 60;

/// A number for each point, the same for atoms of one molecule.
pub(super) fn groups(s: &Surroundings<'_>, points: &[Point]) -> Vec<u32> {
    let element = |k: usize| s.parent.elements[points[k].atom];
    let widest = s
        .elements
        .iter()
        .map(|e| 2.0 * BOND_SHARE * e.covalent_radius())
        .fold(0.0, f64::max);
    let grid = PointGrid::new(points, widest);
    let mut group = vec![u32::MAX; points.len()];
    let mut next = 0;
    for first in 0..points.len() {
        if group[first] != u32::MAX {
            continue;
        }
        let mut members = vec![first];
        group[first] = next;
        let mut done = 0;
        while done < members.len() {
            let k = members[done];
            done += 1;
            grid.near(points[k].r, |other, d| {
                let bond =
                    BOND_SHARE * (element(k).covalent_radius() + element(other).covalent_radius());
                if group[other] == u32::MAX && d < bond {
                    group[other] = next;
                    members.push(other);
                }
            });
        }
        // A network: give each atom a number of its own.
        if members.len() > MAX_MOLECULE {
            members.sort_by(|&a, &b| norm(points[a].r).total_cmp(&norm(points[b].r)));
            for k in members {
                group[k] = next;
                next += 1;
            }
        } else {
            next += 1;
        }
    }
    group
}

/// The first bond of a molecule that is longer than a bond can be: two atoms and their distance, Å.
pub(super) fn broken(draft: &Draft) -> Option<(usize, usize, f64)> {
    /// A bond may be stretched to this much more than what counts as one.
    const STRETCH: f64 = 1.15;
    let mut order: Vec<usize> = (0..draft.len()).collect();
    order.sort_by_key(|&i| draft.group[i]);
    order
        .chunk_by(|&a, &b| draft.group[a] == draft.group[b])
        .flat_map(|members| {
            let pairs = move |k: usize| members[..k].iter().map(move |&j| (members[k], j));
            (1..members.len()).flat_map(pairs)
        })
        .find_map(|(i, j)| {
            let radii = draft.elements[i].covalent_radius() + draft.elements[j].covalent_radius();
            let bond = BOND_SHARE * radii;
            let before = norm(sub(draft.home[i], draft.home[j]));
            let now = norm(sub(draft.positions[i], draft.positions[j]));
            (before < bond && now > STRETCH * bond).then_some((i, j, now))
        })
}
