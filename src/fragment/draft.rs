//! A fragment in the making: atoms of the parent in a candidate cell, the target at the origin.

use super::cells::{Candidate, Plan};
use super::lattice::{Subspace, V, WignerSeitz, measure, scale};
use super::options::{FragmentOptions, Shape};
use super::outcome::Neutrality;
use super::parent::{Point, Surroundings};
use crate::element::Element;
use crate::error::Result;
use crate::system::cell::{add, dot, norm, sub};
use crate::system::{Cell, NeighborList, Structure};

/// Offset of the Wigner–Seitz cell from the target, Å: keeps the sites of a perfect crystal off its
/// faces, where rounding would decide.
const OFFSET: V = [0.0131, 0.0073, 0.0107];

/// How far an atom may be from the middle of its molecule, Å.
const MOLECULE: f64 = 6.0;

/// Atom, atom, image of the second, distance in Å.
pub(super) type Contact = (usize, usize, [i32; 3], f64);

/// Atoms of the parent in a periodic cell of their own. Atom 0 is the target, at the origin.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub(super) shape: Shape,
    pub(super) size: f64,
    /// Kept vectors, then cut vectors, then vacuum directions.
    pub(super) cell: Cell,
    /// Which cell vectors lead across a seam.
    pub(super) seam: [bool; 3],
    /// The space in which the cell may be strained.
    pub(super) cut: Subspace,
    pub(super) elements: Vec<Element>,
    pub(super) types: Vec<u32>,
    pub(super) positions: Vec<V>,
    /// Positions as carved.
    pub(super) home: Vec<V>,
    pub(super) core: Vec<bool>,
    pub(super) parent: Vec<Option<usize>>,
    /// Atoms of one molecule share a number.
    pub(super) group: Vec<u32>,
    /// Number of atoms of the parent in the same volume.
    pub(super) expected: f64,
    pub(super) merged: usize,
    pub(super) deleted: usize,
    pub(super) edited: usize,
    /// What was done for the charge.
    pub(super) neutrality: Neutrality,
    /// Relative change of the boundary atoms' number of near neighbours.
    pub(super) misfit: f64,
    pub(super) score: f64,
}

impl Draft {
    /// Number of atoms.
    pub(super) fn len(&self) -> usize {
        self.positions.len()
    }

    /// Atoms over what the parent has in the same volume.
    pub(super) fn density_ratio(&self) -> f64 {
        self.len() as f64 / self.expected.max(1e-9)
    }

    /// True if an image lies across a seam.
    pub(super) fn crosses(&self, image: [i32; 3]) -> bool {
        (0..3).any(|d| self.seam[d] && image[d] != 0)
    }

    /// True if atom `i` and the image of atom `j` stand to each other as in the parent: both
    /// untouched, and no seam between them.
    pub(super) fn inherited(&self, i: usize, j: usize, image: [i32; 3]) -> bool {
        self.parent[i].is_some() && self.parent[j].is_some() && !self.crosses(image)
    }

    /// True if such a pair is no closer than it is in the parent.
    pub(super) fn as_in_parent(&self, i: usize, j: usize, image: [i32; 3], distance: f64) -> bool {
        // Kept vectors are never strained, so the translation is the parent's.
        let there = sub(
            add(self.home[j], self.cell.translation(image)),
            self.home[i],
        );
        self.inherited(i, j, image) && distance > norm(there) - 1e-6
    }

    /// Pairs of atoms closer than a cutoff, each once: `i <= j`, image of `j`, distance.
    pub(super) fn pairs(&self, cutoff: f64) -> Result<Vec<Contact>> {
        let list = NeighborList::build(&self.cell, &self.positions, cutoff)?;
        let mut pairs = Vec::new();
        for i in 0..self.len() {
            let vectors = list.vectors(i, &self.cell, &self.positions);
            for ((j, image), (_, r)) in list.of(i).zip(vectors) {
                let once = j > i || (j == i && image > [0; 3]);
                if once {
                    pairs.push((i, j, image, norm(r)));
                }
            }
        }
        Ok(pairs)
    }

    /// The structure with the target at the origin.
    pub(super) fn structure(&self) -> Structure {
        Structure {
            cell: self.cell.clone(),
            elements: self.elements.clone(),
            positions: self.positions.clone(),
        }
    }

    /// The structure for the world: the target in the middle of the cell (of the material along
    /// non-periodic directions), atoms wrapped into the cell.
    pub(super) fn placed(&self) -> Structure {
        let periodic = self.cell.periodic();
        let mut middle = [0.5; 3];
        for (d, m) in middle.iter_mut().enumerate() {
            if !periodic[d] {
                let s = self.positions.iter().map(|&r| self.cell.fractional(r)[d]);
                let (low, high) = s.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), x| {
                    (l.min(x), h.max(x))
                });
                *m -= 0.5 * (low + high);
            }
        }
        let shift = self.cell.cartesian(middle);
        Structure {
            cell: self.cell.clone(),
            elements: self.elements.clone(),
            positions: self
                .positions
                .iter()
                .map(|&r| self.cell.wrap(add(r, shift)))
                .collect(),
        }
    }

    /// Keeps the atoms for which `keep` holds.
    pub(super) fn retain(&mut self, keep: &[bool]) {
        fn filter<T>(values: &mut Vec<T>, keep: &[bool]) {
            let mut flags = keep.iter();
            values.retain(|_| flags.next().copied().unwrap_or(true));
        }
        filter(&mut self.elements, keep);
        filter(&mut self.types, keep);
        filter(&mut self.positions, keep);
        filter(&mut self.home, keep);
        filter(&mut self.core, keep);
        filter(&mut self.parent, keep);
        filter(&mut self.group, keep);
    }
}

/// The parent's atoms around the target, prepared for cutting many cells from them.
pub(super) struct Stock {
    points: Vec<Point>,
    /// Molecule of each point; each atom its own without molecules.
    group: Vec<u32>,
    /// Position by which a point is in or out: its own, or its molecule's middle.
    anchor: Vec<V>,
    /// Distance of the anchor from the target in the cut space, Å.
    distance: Vec<f64>,
    /// Whether any atom of the point's molecule lies in the core.
    holds_core: Vec<bool>,
}

impl Stock {
    /// Everything that cells up to `radius` from the target can hold.
    pub(super) fn new(
        s: &Surroundings<'_>,
        plan: &Plan,
        radius: f64,
        options: &FragmentOptions,
    ) -> Self {
        // Molecules at the edge of the stock must be whole to know their middle.
        let margin = 2.0
            + if options.keep_molecules {
                MOLECULE
            } else {
                0.0
            };
        let mut points = s.region(&plan.cut, &plan.kept, radius + margin);
        points.retain(|p| plan.open.iter().all(|&n| dot(p.r, n).abs() <= plan.depth));
        let group = if options.keep_molecules {
            super::molecules::groups(s, &points)
        } else {
            (0..points.len() as u32).collect()
        };
        let n_groups = group.iter().max().map_or(0, |&g| g as usize + 1);
        let mut sum = vec![([0.0; 3], 0.0); n_groups];
        let mut core = vec![false; n_groups];
        for (p, &g) in points.iter().zip(&group) {
            let entry = &mut sum[g as usize];
            entry.0 = add(entry.0, p.r);
            entry.1 += 1.0;
            core[g as usize] |= is_core(s, plan, p.r);
        }
        let anchor: Vec<V> = group
            .iter()
            .map(|&g| scale(sum[g as usize].0, 1.0 / sum[g as usize].1))
            .collect();
        let distance = anchor.iter().map(|&r| norm(plan.cut.project(r))).collect();
        let holds_core = group.iter().map(|&g| core[g as usize]).collect();
        Self {
            points,
            group,
            anchor,
            distance,
            holds_core,
        }
    }

    /// Number of atoms per cell, averaged over places near the target.
    pub(super) fn expected(&self, plan: &Plan, candidate: &Candidate) -> f64 {
        let reach = WignerSeitz::outer_radius(&candidate.projected) + 1.0;
        let mut places = vec![OFFSET];
        for &e in plan.cut.basis() {
            for step in [-0.7, 0.7] {
                places.push(add(OFFSET, scale(e, step)));
            }
        }
        let count: usize = places
            .iter()
            .map(|&place| {
                (0..self.points.len())
                    .filter(|&k| {
                        self.distance[k] < reach + MOLECULE && {
                            let x = plan.cut.project(sub(self.points[k].r, place));
                            candidate.cell.excess(x) < 0.0
                        }
                    })
                    .count()
            })
            .sum();
        count as f64 / places.len() as f64
    }

    /// Fills a cell. Atoms up to `skin` Å outside it come along: on a seam the repair then has a
    /// choice, and no gap where both sides were just outside.
    ///
    /// None if the cell would not hold the target.
    pub(super) fn fill(
        &self,
        s: &Surroundings<'_>,
        plan: &Plan,
        candidate: &Candidate,
        expected: f64,
        skin: f64,
        options: &FragmentOptions,
    ) -> Result<Option<Draft>> {
        let mut chosen: Vec<usize> = Vec::new();
        let reach = WignerSeitz::outer_radius(&candidate.projected) + skin + 0.1;
        for k in 0..self.points.len() {
            if self.distance[k] > reach && !self.holds_core[k] {
                continue;
            }
            let x = plan.cut.project(sub(self.anchor[k], OFFSET));
            if self.holds_core[k] || candidate.cell.excess(x) < skin {
                chosen.push(k);
            }
        }
        if chosen
            .first()
            .is_none_or(|&k| norm(self.points[k].r) > 1e-9)
        {
            return Ok(None);
        }
        let positions: Vec<V> = chosen.iter().map(|&k| self.points[k].r).collect();
        let mut vectors: Vec<V> = plan.kept.clone();
        vectors.extend(&candidate.cut);
        let n_periodic = vectors.len();
        for &n in &plan.open {
            let (low, high) = positions
                .iter()
                .map(|&r| dot(r, n))
                .fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), x| {
                    (l.min(x), h.max(x))
                });
            vectors.push(scale(n, high - low + options.vacuum.max(s.model_cutoff)));
        }
        let mut rows = [[0.0; 3]; 3];
        for (d, &v) in vectors.iter().take(3).enumerate() {
            rows[d] = v;
        }
        // Right-handed, for the programs that insist.
        if dot(rows[0], crate::system::cell::cross(rows[1], rows[2])) < 0.0 {
            rows[2] = scale(rows[2], -1.0);
        }
        debug_assert!(measure(&rows) > 0.0);
        let seam = std::array::from_fn(|d| (plan.kept.len()..n_periodic).contains(&d));
        let cell = Cell::new(rows, std::array::from_fn(|d| d < n_periodic))?;
        let atoms: Vec<usize> = chosen.iter().map(|&k| self.points[k].atom).collect();
        Ok(Some(Draft {
            shape: candidate.shape,
            size: candidate.cell.shortest(),
            cell,
            seam,
            cut: plan.cut.clone(),
            elements: atoms.iter().map(|&a| s.parent.elements[a]).collect(),
            types: atoms.iter().map(|&a| s.types[a]).collect(),
            core: positions.iter().map(|&r| is_core(s, plan, r)).collect(),
            home: positions.clone(),
            positions,
            parent: atoms.into_iter().map(Some).collect(),
            group: chosen.iter().map(|&k| self.group[k]).collect(),
            expected,
            merged: 0,
            deleted: 0,
            edited: 0,
            neutrality: Neutrality::default(),
            misfit: 0.0,
            score: 0.0,
        }))
    }
}

/// True if the atom, or an image of it along the kept vectors, lies inside the core.
fn is_core(s: &Surroundings<'_>, plan: &Plan, r: V) -> bool {
    if plan.kept.is_empty() {
        return norm(r) < s.core_radius;
    }
    let reach = |k: V| {
        // Enough images to cover the core from one period around the target.
        let height = plan
            .kept
            .iter()
            .map(|&v| norm(v))
            .fold(f64::INFINITY, f64::min);
        ((s.core_radius + norm(k)) / height.min(norm(k)).max(1e-6)).ceil() as i32 + 1
    };
    let mut shifts = vec![[0.0; 3]];
    for &k in &plan.kept {
        let n = reach(k).min(50);
        shifts = shifts
            .iter()
            .flat_map(|&t| (-n..=n).map(move |m| add(t, scale(k, f64::from(m)))))
            .collect();
    }
    shifts.iter().any(|&t| norm(add(r, t)) < s.core_radius)
}
