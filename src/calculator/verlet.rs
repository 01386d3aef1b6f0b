//! Neighbour lists that outlive small moves.

use crate::error::Result;
use crate::system::Cell;
use crate::system::NeighborList;
use crate::system::cell::{norm, sub};

/// How far (Å) a list reaches beyond the cutoff once a trajectory is recognised.
const SKIN: f64 = 0.6;

/// Bounds of the skin (Å) as it is adapted, the upper one also as a share of the cutoff.
const SKINS: [f64; 2] = [0.3, 1.5];
const LARGEST_SHARE: f64 = 0.2;

/// A list shall serve so many calls: with fewer, making lists costs more than what is listed too far
/// out, with more it is the other way round.
const LIFE: std::ops::RangeInclusive<usize> = 50..=200;

/// By how much a skin is changed from one list to the next.
const CHANGE: f64 = 1.25;

/// A neighbour list that is built again only when an atom may have come inside the cutoff
/// unlisted.
///
/// **Source**: Verlet, Phys. Rev. 159, 98 (1967), with the bound extended to cells that change.
#[derive(Debug, Default)]
pub(crate) struct VerletList {
    /// Where the list was made; `None` before the first.
    made: Option<(Cell, Vec<[f64; 3]>)>,
    list: NeighborList,
    /// All pairs nearer than this in `made` are in the list.
    radius: f64,
    /// Calls that the list has served.
    calls: usize,
}

impl VerletList {
    /// A list with at least all neighbours inside `cutoff`.
    ///
    /// Structures that have nothing to do with one another get exact lists; small changes from one
    /// call to the next get a list with a skin, kept as long as it serves. The skin grows where lists
    /// do not last, and shrinks where they last long.
    ///
    /// **Errors**: as [`NeighborList::build`].
    pub(crate) fn update(
        &mut self,
        cell: &Cell,
        positions: &[[f64; 3]],
        cutoff: f64,
    ) -> Result<&NeighborList> {
        crate::system::structure::check_finite(positions)?;
        let needed = self.made.as_ref().map_or(f64::INFINITY, |(then, from)| {
            needed_radius(then, from, cell, positions, cutoff)
        });
        if needed > self.radius {
            let last = self.radius - cutoff;
            let skin = if !(needed <= self.radius + SKIN) {
                0.0
            } else if !(last >= SKINS[0]) {
                SKIN
            } else if self.calls < *LIFE.start() {
                (last * CHANGE).min(SKINS[1].min(LARGEST_SHARE * cutoff).max(SKIN))
            } else if self.calls > *LIFE.end() {
                (last / CHANGE).max(SKINS[0])
            } else {
                last
            };
            self.calls = 0;
            self.made = None;
            self.list = NeighborList::build(cell, positions, cutoff + skin)?;
            self.radius = cutoff + skin;
            self.made = Some((cell.clone(), positions.to_vec()));
        }
        self.calls += 1;
        Ok(&self.list)
    }

    /// Whether the last [`VerletList::update`] made a list.
    pub(crate) fn is_new(&self) -> bool {
        self.calls == 1
    }

    /// Forgets the list: the atoms have got other numbers.
    pub(crate) fn forget(&mut self) {
        self.made = None;
    }

    /// The list of the last [`VerletList::update`].
    pub(crate) fn list(&self) -> &NeighborList {
        &self.list
    }
}

/// How far apart two atoms that are now within the cutoff can have been then.
///
/// With the deformation F of the cell and u = r - r₀ F, a pair vector was d₀ = (d + u_i - u_j) F⁻¹,
/// so |d₀| ≤ |F⁻¹| (cutoff + 2 max|u - c|) for any common shift c.
fn needed_radius(
    then: &Cell,
    from: &[[f64; 3]],
    cell: &Cell,
    positions: &[[f64; 3]],
    cutoff: f64,
) -> f64 {
    if from.len() != positions.len() || then.periodic() != cell.periodic() {
        return f64::INFINITY;
    }
    let same = then.vectors() == cell.vectors();
    let moved = |(&r, &before): (&[f64; 3], &[f64; 3])| {
        let carried = if same {
            before
        } else {
            cell.cartesian(then.fractional(before))
        };
        sub(r, carried)
    };
    let mut low = [f64::INFINITY; 3];
    let mut high = [f64::NEG_INFINITY; 3];
    for u in positions.iter().zip(from).map(moved) {
        for d in 0..3 {
            low[d] = low[d].min(u[d]);
            high[d] = high[d].max(u[d]);
        }
    }
    if positions.is_empty() {
        (low, high) = ([0.0; 3], [0.0; 3]);
    }
    let common: [f64; 3] = std::array::from_fn(|d| 0.5 * (low[d] + high[d]));
    let farthest = positions
        .iter()
        .zip(from)
        .map(|pair| norm(sub(moved(pair), common)))
        .fold(0.0, f64::max);
    cell.stretch(then) * (cutoff + 2.0 * farthest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inside(list: &NeighborList, cell: &Cell, r: &[[f64; 3]]) -> Vec<Vec<(usize, [i32; 3])>> {
        (0..list.len())
            .map(|i| {
                let near = list.vectors(i, cell, r).map(|(_, d)| norm(d) < 3.0);
                let entries = list.of(i).zip(near);
                entries.filter(|(_, near)| *near).map(|(e, _)| e).collect()
            })
            .collect()
    }

    /// Follows a trajectory whose cell breathes and shears; every list must hold what a new one
    /// holds, in the same order.
    #[test]
    fn a_kept_list_misses_nothing() {
        let mut state = 5u64;
        let mut random = || {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (state >> 11) as f64 / (1u64 << 53) as f64 - 0.5
        };
        let mut verlet = VerletList::default();
        let mut r: Vec<[f64; 3]> = (0..60)
            .map(|_| std::array::from_fn(|_| 9.0 * random()))
            .collect();
        let mut built = 0;
        let mut made = Vec::new();
        for step in 0..200 {
            let t = f64::from(step) * 0.01;
            let cell = Cell::new(
                [
                    [7.0 + 0.3 * t, 0.0, 0.0],
                    [0.5 * t, 6.5, 0.0],
                    [0.0, -t * 0.2, 7.0],
                ],
                [true, true, step % 150 != 149],
            )
            .unwrap();
            for x in r.iter_mut().flatten() {
                // A drift of all atoms alone moves nothing.
                *x += 0.08 * random() + 0.05;
            }
            verlet.update(&cell, &r, 3.0).unwrap();
            let fresh = NeighborList::build(&cell, &r, 3.0).unwrap();
            let found = inside(verlet.list(), &cell, &r);
            assert_eq!(found, inside(&fresh, &cell, &r), "step {step}");
            let now = verlet.made.as_ref().map(|m| m.1.clone()).unwrap();
            built += usize::from(now != made);
            made = now;
        }
        assert!((3..100).contains(&built), "{built} lists");
    }

    #[test]
    fn unrelated_structures_get_exact_lists() {
        let cell = Cell::orthorhombic([8.0; 3]).unwrap();
        let mut verlet = VerletList::default();
        verlet
            .update(&cell, &[[0.0; 3], [3.3, 0.0, 0.0]], 3.0)
            .unwrap();
        assert_eq!(verlet.list().entries(), 0);
        verlet
            .update(&cell, &[[0.0; 3], [3.1, 0.0, 0.0]], 3.0)
            .unwrap();
        assert_eq!(verlet.list().entries(), 2);
        verlet.update(&cell, &[[0.0; 3]], 3.0).unwrap();
        assert_eq!(verlet.list().len(), 1);
        assert!(verlet.update(&cell, &[[f64::NAN; 3]], 3.0).is_err());
        verlet.update(&cell, &[[0.0; 3]], 9.0).unwrap();
        assert_eq!(verlet.list().entries(), 6);
        verlet.update(&Cell::isolated(), &[], 3.0).unwrap();
        assert!(verlet.list().is_empty());
    }
}
