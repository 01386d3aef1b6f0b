//! Which numbers of atoms a fragment may have, and the edits of its boundary that get there.

use super::distances::Contacts;
use super::draft::Draft;
use super::lattice::V;
use super::options::FragmentOptions;
use super::outcome::{ChargeEdit, Refusal};
use super::parent::{Point, PointGrid, Surroundings};
use super::repair::CLASH_SHARE;
use crate::error::Result;
use crate::system::cell::{add, norm};

/// Most edits made to one fragment.
const MAX_EDITS: usize = 6;
/// A swap needs covalent radii within this share of each other.
const SWAP_SHARE: f64 = 0.15;
/// Charges that differ by less are the same, e.
const SAME: f64 = 1e-6;
/// Atoms that every element may be off.
const ALWAYS_ALLOWED: f64 = 2.0;

/// The rule: shares of the elements, and formal charges.
#[derive(Clone, Debug)]
pub(super) struct Composition {
    /// Shares in the whole parent and around the target; the nearer one counts.
    shares: [Vec<f64>; 2],
    tolerance: f64,
    charges: Option<Vec<f64>>,
    /// Charge that is none, e.
    neutral: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Edit {
    Delete(u32),
    Insert(u32),
}

/// How a charge is cancelled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Way {
    /// In a thin draft atoms are put in, in another taken out where the seam is tightest.
    Density,
    /// The other way around.
    Against,
    /// Atoms are taken out as far from the target as may be.
    Far,
}

impl Way {
    const ALL: [Self; 3] = [Self::Density, Self::Far, Self::Against];

    /// Whether atoms are rather put in.
    fn inserts(self, draft: &Draft) -> bool {
        let thin = draft.density_ratio() < 1.0;
        match self {
            Self::Density => thin,
            Self::Against => !thin,
            Self::Far => false,
        }
    }
}

impl Composition {
    /// The rule for a parent.
    pub(super) fn new(s: &Surroundings<'_>, options: &FragmentOptions) -> Self {
        let n_types = s.elements.len();
        let share = |types: &mut dyn Iterator<Item = u32>| {
            let mut counts = vec![0.0; n_types];
            let mut total = 0.0;
            for t in types {
                counts[t as usize] += 1.0;
                total += 1.0;
            }
            counts.iter().map(|c| c / total).collect::<Vec<f64>>()
        };
        let near = s.ball(s.core_radius + 2.0);
        Self {
            shares: [
                share(&mut s.types.iter().copied()),
                share(&mut near.iter().map(|p| s.types[p.atom])),
            ],
            tolerance: options.composition_tolerance,
            neutral: options.charge_tolerance,
            charges: options.formal_charges.as_ref().map(|table| {
                s.elements
                    .iter()
                    .map(|e| table.get(e).copied().unwrap_or(0.0))
                    .collect()
            }),
        }
    }

    /// Number of atoms of each type.
    pub(super) fn count(&self, types: &[u32]) -> Vec<usize> {
        let mut counts = vec![0; self.shares[0].len()];
        for &t in types {
            counts[t as usize] += 1;
        }
        counts
    }

    /// True if there are more atoms of a type than the parent's composition asks for.
    pub(super) fn surplus(&self, counts: &[usize], t: u32) -> bool {
        let total: usize = counts.iter().sum();
        counts[t as usize] as f64 > self.shares[0][t as usize] * total as f64 + 0.5
    }

    /// Formal charge, e.
    fn charge(&self, counts: &[usize]) -> f64 {
        self.charges.as_ref().map_or(0.0, |charges| {
            counts.iter().zip(charges).map(|(&n, q)| n as f64 * q).sum()
        })
    }

    /// The type farthest beyond what is allowed: type, excess (signed), expected number.
    fn worst(&self, counts: &[usize]) -> Option<(u32, f64, f64)> {
        let total: usize = counts.iter().sum();
        let allowed = ALWAYS_ALLOWED.max(self.tolerance * total as f64);
        (0..counts.len())
            .filter_map(|t| {
                let off = |share: &Vec<f64>| counts[t] as f64 - share[t] * total as f64;
                let [global, local] = [off(&self.shares[0]), off(&self.shares[1])];
                let nearer = if local.abs() < global.abs() {
                    local
                } else {
                    global
                };
                (nearer.abs() > allowed + 1e-9)
                    .then(|| (t as u32, nearer, counts[t] as f64 - nearer))
            })
            .max_by(|a, b| a.1.abs().total_cmp(&b.1.abs()))
    }

    /// Sum over the elements of the deviation from the parent's composition, per atom.
    pub(super) fn error(&self, draft: &Draft) -> f64 {
        let counts = self.count(&draft.types);
        let total = draft.len() as f64;
        counts
            .iter()
            .zip(&self.shares[0])
            .map(|(&n, share)| (n as f64 / total - share).abs())
            .sum()
    }

    /// The ways in which a draft can be made to obey the rule; one for a draft that is neutral.
    pub(super) fn ways(&self, draft: &Draft) -> &'static [Way] {
        match self.charge(&self.count(&draft.types)).abs() > self.neutral {
            true => &Way::ALL,
            false => &Way::ALL[..1],
        }
    }

    /// Edits movable atoms until the rule holds: swaps, deletions, insertions into the largest void. What is done for
    /// the charge goes by `way`.
    pub(super) fn enforce(
        &self,
        draft: &mut Draft,
        s: &Surroundings<'_>,
        way: Way,
    ) -> Result<Option<Refusal>> {
        let carved = self.charge(&self.count(&draft.types));
        draft.neutrality.carved = carved;
        let inserts = way.inserts(draft);
        let Some(edits) = self.neutralising(&self.count(&draft.types), inserts) else {
            return Ok(Some(Refusal::Charge { charge: carved }));
        };
        for edit in edits {
            let gone = match edit {
                Edit::Delete(t) => delete(draft, t, &s.contacts, way == Way::Far)?,
                // The place is the last one's.
                Edit::Insert(t) => insert(draft, t, s).then(|| draft.positions[draft.len() - 1]),
            };
            let Some(place) = gone else {
                return Ok(Some(Refusal::Charge {
                    charge: self.charge(&self.count(&draft.types)),
                }));
            };
            let (Edit::Delete(t) | Edit::Insert(t)) = edit;
            draft.neutrality.edits.push(ChargeEdit {
                element: s.elements[t as usize],
                inserted: matches!(edit, Edit::Insert(_)),
                distance: nearest_image(draft, place, draft.positions[0]),
            });
        }
        let left = self.charge(&self.count(&draft.types));
        draft.neutrality.left = if left.abs() > SAME { left } else { 0.0 };
        for _ in 0..MAX_EDITS {
            let Some((t, off, _)) = self.worst(&self.count(&draft.types)) else {
                return Ok(None);
            };
            // Charges are settled; edits of the composition alone would undo that.
            let done = if self.charges.is_some() {
                false
            } else if off > 0.0 {
                self.swap(draft, s, t) || delete(draft, t, &s.contacts, false)?.is_some()
            } else {
                insert(draft, t, s)
            };
            if !done {
                break;
            }
        }
        Ok(self.refusal(draft, s))
    }

    /// Why a draft's numbers of atoms break the rule, if they do.
    pub(super) fn refusal(&self, draft: &Draft, s: &Surroundings<'_>) -> Option<Refusal> {
        let counts = self.count(&draft.types);
        let charge = self.charge(&counts);
        if charge.abs() > self.neutral {
            return Some(Refusal::Charge { charge });
        }
        self.worst(&counts)
            .map(|(t, _, expected)| Refusal::Composition {
                element: s.elements[t as usize],
                found: counts[t as usize],
                expected,
            })
    }

    /// The shortest list of edits that cancels the charge; insertions preferred in thin drafts.
    fn neutralising(&self, counts: &[usize], thin: bool) -> Option<Vec<Edit>> {
        let Some(charges) = &self.charges else {
            return Some(Vec::new());
        };
        // Elements that the parent lacks are not brought in.
        let charged = || (0..charges.len()).filter(|&t| charges[t] != 0.0 && counts[t] > 0);
        let deletions = charged().map(|t| (Edit::Delete(t as u32), -charges[t]));
        let insertions = charged().map(|t| (Edit::Insert(t as u32), charges[t]));
        let options: Vec<(Edit, f64)> = if thin {
            insertions.chain(deletions).collect()
        } else {
            deletions.chain(insertions).collect()
        };
        let mut lists: Vec<(Vec<Edit>, f64)> = vec![(Vec::new(), self.charge(counts))];
        for _ in 0..=MAX_EDITS {
            if let Some((edits, _)) = lists.iter().find(|(_, q)| q.abs() <= self.neutral) {
                return Some(edits.clone());
            }
            let mut next: Vec<(Vec<Edit>, f64)> = Vec::new();
            for (edits, q) in &lists {
                for &(edit, change) in &options {
                    let sum = q + change;
                    if next.iter().all(|(_, other)| (other - sum).abs() > SAME) {
                        let mut longer = edits.clone();
                        longer.push(edit);
                        next.push((longer, sum));
                    }
                }
            }
            lists = next;
        }
        None
    }

    /// Turns a movable atom of a surplus type into one of a type that is short, if they are of
    /// about the same size.
    fn swap(&self, draft: &mut Draft, s: &Surroundings<'_>, surplus: u32) -> bool {
        let counts = self.count(&draft.types);
        let total = draft.len() as f64;
        let radius = |t: u32| s.elements[t as usize].covalent_radius();
        let short = (0..counts.len() as u32)
            .filter(|&t| t != surplus)
            .filter(|&t| (radius(t) - radius(surplus)).abs() < SWAP_SHARE * radius(surplus))
            .map(|t| {
                let t_share = self.shares[0][t as usize];
                (t, counts[t as usize] as f64 - t_share * total)
            })
            .filter(|(_, off)| *off < -0.5)
            .min_by(|a, b| a.1.total_cmp(&b.1));
        let Some((t, _)) = short else {
            return false;
        };
        let farthest = (0..draft.len())
            .filter(|&i| !draft.core[i] && draft.types[i] == surplus && alone(draft, i))
            .max_by(|&a, &b| norm(draft.positions[a]).total_cmp(&norm(draft.positions[b])));
        let Some(i) = farthest else {
            return false;
        };
        draft.types[i] = t;
        draft.elements[i] = s.elements[t as usize];
        draft.parent[i] = None;
        draft.edited += 1;
        true
    }
}

/// True if the atom is not part of a molecule.
fn alone(draft: &Draft, i: usize) -> bool {
    draft.group.iter().filter(|&&g| g == draft.group[i]).count() == 1
}

/// Deletes the movable atom of a type that is tightest across the seam, else the farthest one; of `far` the one farthest
/// from the target and its images in any case. Gives its place.
fn delete(draft: &mut Draft, t: u32, contacts: &Contacts, far: bool) -> Result<Option<V>> {
    let mut tightness = vec![0.0f64; draft.len()];
    for (i, j, image, r) in draft.pairs(1.6 * contacts.largest())? {
        if draft.crosses(image) {
            let d = contacts.of(draft.types[i], draft.types[j]);
            for k in [i, j] {
                tightness[k] = tightness[k].max(d / r.max(1e-9));
            }
        }
    }
    let worst = (0..draft.len())
        .filter(|&i| !draft.core[i] && draft.types[i] == t && alone(draft, i))
        .max_by(|&a, &b| {
            let from = |i: usize| nearest_image(draft, draft.positions[i], draft.positions[0]);
            match far {
                true => from(a).total_cmp(&from(b)),
                false => tightness[a]
                    .total_cmp(&tightness[b])
                    .then(norm(draft.positions[a]).total_cmp(&norm(draft.positions[b]))),
            }
        });
    let Some(worst) = worst else {
        return Ok(None);
    };
    let place = draft.positions[worst];
    let keep: Vec<bool> = (0..draft.len()).map(|i| i != worst).collect();
    draft.retain(&keep);
    draft.edited += 1;
    Ok(Some(place))
}

/// Inserts an atom where the smallest ratio of its distances to the allowed ones is largest.
fn insert(draft: &mut Draft, t: u32, s: &Surroundings<'_>) -> bool {
    const SPACING: f64 = 0.6;
    let reach = 1.3 * s.contacts.largest();
    let thickness = draft.cell.thickness();
    let periodic = draft.cell.periodic();
    // All images near the cell, as points; `atom` counts in the draft here.
    let images: [i32; 3] = std::array::from_fn(|d| i32::from(periodic[d]));
    let mut points = Vec::new();
    for atom in 0..draft.len() {
        for i in -images[0]..=images[0] {
            for j in -images[1]..=images[1] {
                for k in -images[2]..=images[2] {
                    let r = add(
                        draft.cell.wrap(draft.positions[atom]),
                        draft.cell.translation([i, j, k]),
                    );
                    let near = draft.cell.fractional(r).iter().enumerate().all(|(d, &x)| {
                        let margin = reach / thickness[d];
                        !periodic[d] || (-margin..=1.0 + margin).contains(&x)
                    });
                    if near {
                        points.push(Point { atom, r });
                    }
                }
            }
        }
    }
    let grid = PointGrid::new(&points, reach);
    let steps: [usize; 3] =
        std::array::from_fn(|d| ((thickness[d] / SPACING).ceil() as usize).clamp(1, 100));
    let mut best: Option<(f64, V)> = None;
    for i in 0..steps[0] {
        for j in 0..steps[1] {
            for k in 0..steps[2] {
                let place = draft.cell.cartesian([
                    i as f64 / steps[0] as f64,
                    j as f64 / steps[1] as f64,
                    k as f64 / steps[2] as f64,
                ]);
                let mut room = f64::INFINITY;
                let mut near_movable = false;
                grid.near(place, |index, d| {
                    let atom = points[index].atom;
                    room = room.min(d / s.contacts.of(t, draft.types[atom]));
                    near_movable |= !draft.core[atom];
                });
                let target = draft.cell.wrap(draft.positions[0]);
                let outside = nearest_image(draft, place, target) > s.core_radius;
                if outside && near_movable && best.is_none_or(|(b, _)| room > b) {
                    best = Some((room, place));
                }
            }
        }
    }
    let Some((room, place)) = best else {
        return false;
    };
    if room < CLASH_SHARE {
        return false;
    }
    let group = draft.group.iter().max().map_or(0, |&g| g + 1);
    draft.elements.push(s.elements[t as usize]);
    draft.types.push(t);
    draft.positions.push(place);
    draft.home.push(place);
    draft.core.push(false);
    draft.parent.push(None);
    draft.group.push(group);
    draft.edited += 1;
    true
}

/// Distance to the nearest image, over the first shell of cells.
fn nearest_image(draft: &Draft, a: V, b: V) -> f64 {
    let periodic = draft.cell.periodic();
    let span = |d: usize| if periodic[d] { -1..=1 } else { 0..=0 };
    let mut nearest = f64::INFINITY;
    for i in span(0) {
        for j in span(1) {
            for k in span(2) {
                let t = draft.cell.translation([i, j, k]);
                let r = std::array::from_fn(|x| a[x] + t[x] - b[x]);
                nearest = nearest.min(norm(r));
            }
        }
    }
    nearest
}
