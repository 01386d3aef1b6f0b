//! The parent as the target sees it: everything relative to the target, periodic images unrolled.

use super::distances::{Contacts, PairDistances};
use super::lattice::{Subspace, V, reduce};
use super::options::FragmentOptions;
use super::outcome::Refusal;
use crate::element::Element;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::system::cell::{dot, norm, sub};
use crate::system::{Cell, Structure};

/// An atom of the parent, or an image of one, relative to the target.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    /// Index in the parent.
    pub(super) atom: usize,
    /// Position relative to the target, Å.
    pub(super) r: V,
}

/// A pair closer than this share of the sum of covalent radii is unphysical.
const UNPHYSICAL_SHARE: f64 = 0.35;

/// So many times as many atoms as a fragment may have are too many in its core; fewer than a number that
/// costs nothing never are.
const MOST_IN_CORE: usize = 8;
const FEW_IN_CORE: usize = 4000;

/// The parent around a target.
pub(super) struct Surroundings<'a> {
    pub(super) parent: &'a Structure,
    pub(super) target: usize,
    /// Type of each atom of the parent.
    pub(super) types: Vec<u32>,
    /// Elements by type.
    pub(super) elements: &'a [Element],
    /// How far around the target everything must stay exact, Å: in mode `Exact` the largest cutoff
    /// of the target's type.
    pub(super) cutoff: f64,
    /// Allowed relative change of the target's grade where not all that it sees stays exact.
    pub(super) tolerance: Option<f64>,
    /// Largest cutoff of the model, Å.
    pub(super) model_cutoff: f64,
    /// Radius of the frozen core, Å.
    pub(super) core_radius: f64,
    /// Smallest pair distances.
    pub(super) contacts: Contacts,
    /// Reduced periodic vectors of the parent.
    pub(super) periodic: Vec<V>,
    /// Unit vectors perpendicular to them, one for each non-periodic direction.
    pub(super) open: Vec<V>,
    /// The periodic vectors and the normals, as a cell.
    frame: Cell,
}

impl<'a> Surroundings<'a> {
    /// Looks at a parent from one of its atoms.
    ///
    /// **Errors**: [`Error::InvalidArgument`] for a target that is not there, options out of range,
    /// unknown elements or a core smaller than the cutoff.
    pub(super) fn new(
        model: &'a Model,
        parent: &'a Structure,
        target: usize,
        options: &FragmentOptions,
    ) -> Result<Self> {
        options.validate()?;
        parent.validate()?;
        if target >= parent.len() {
            return Err(Error::invalid(format!(
                "the target is atom {target}; the parent has {} atoms, counted from 0",
                parent.len()
            )));
        }
        let types = model.types_of(&parent.elements)?;
        let header = model.header();
        let pairs = (0..header.n_types())
            .map(|t| header.pair_cutoff(types[target] as usize, t))
            .fold([0.0f64; 2], |m, c| [m[0].max(c[0]), m[1].max(c[1])]);
        let sight = pairs[0].max(pairs[1]);
        let chosen = options.mode.core_radius(sight, pairs[1]);
        let core_radius = options.core_radius.unwrap_or(chosen);
        let whole = core_radius >= sight;
        let tolerance = options.mode.tolerance().filter(|_| !whole);
        if tolerance.is_none() && !whole {
            return Err(Error::invalid(format!(
                "the core radius is {core_radius} Å; expected at least the model's cutoff {sight} Å \
                 around {}, or another mode than exact",
                parent.elements[target]
            )));
        }
        let cutoff = sight.min((core_radius - 0.05).max(0.5 * core_radius));
        let mut periodic: Vec<V> = (0..3)
            .filter(|&d| parent.cell.periodic()[d])
            .map(|d| parent.cell.vectors()[d])
            .collect();
        reduce(&mut periodic, |v| v);
        let open = Subspace::span(&periodic)
            .complement_in(&Subspace::full())
            .basis()
            .to_vec();
        let mut vectors = [[0.0; 3]; 3];
        let mut flags = [false; 3];
        for (d, &v) in periodic.iter().chain(&open).enumerate() {
            vectors[d] = v;
            flags[d] = d < periodic.len();
        }
        let mut surroundings = Self {
            parent,
            target,
            types,
            elements: model.elements(),
            cutoff: if whole { sight } else { cutoff },
            tolerance,
            model_cutoff: model.cutoff(),
            core_radius,
            contacts: Contacts::new(
                model.elements(),
                options.d_min.as_ref(),
                &PairDistances::default(),
            ),
            periodic,
            open,
            frame: Cell::new(vectors, flags)?,
        };
        let most = (MOST_IN_CORE * options.n_max).max(FEW_IN_CORE);
        if surroundings.holds_more(core_radius, most) {
            return Err(Error::invalid(format!(
                "within the core radius of {core_radius} Å around atom {target} there are more than {most} \
                 atoms, and a fragment may have {}; expected a radius little above the model's cutoff {sight} Å",
                options.n_max
            )));
        }
        let near = surroundings.ball(core_radius + 2.0);
        surroundings.contacts = Contacts::new(
            model.elements(),
            options.d_min.as_ref(),
            &observed(&near, parent),
        );
        Ok(surroundings)
    }

    /// All atoms and images within a distance of the target, itself first, by distance.
    pub(super) fn ball(&self, radius: f64) -> Vec<Point> {
        self.collect(|r| norm(r) <= radius, radius, &[])
    }

    /// All atoms and images whose part in the subspace `cut` is at most `radius` long: one period
    /// along the `kept` lattice vectors, everything along the other directions.
    pub(super) fn region(&self, cut: &Subspace, kept: &[V], radius: f64) -> Vec<Point> {
        self.collect(|r| norm(cut.project(r)) <= radius, radius, kept)
    }

    /// Whether there are more than `limit` atoms and images in a sphere; looks no farther than it has to.
    fn holds_more(&self, radius: f64, limit: usize) -> bool {
        // The images around a sphere lie in a box that it fills to a quarter at least.
        const AROUND: usize = 16;
        let (mut inside, mut images, mut last) = (0, 0, usize::MAX);
        self.visit(radius, &[], |atom, r| {
            inside += usize::from(norm(r) <= radius);
            images += usize::from(atom == last);
            last = atom;
            inside <= limit && images <= AROUND * limit
        });
        inside > limit || images > AROUND * limit
    }

    fn collect(&self, inside: impl Fn(V) -> bool, radius: f64, kept: &[V]) -> Vec<Point> {
        let mut points = Vec::new();
        self.visit(radius, kept, |atom, r| {
            if inside(r) {
                points.push(Point { atom, r });
            }
            true
        });
        points.sort_by(|a, b| norm(a.r).total_cmp(&norm(b.r)).then(a.atom.cmp(&b.atom)));
        points
    }

    /// Calls `found` with atoms and images, relative to the target, all within `radius` among them; one
    /// period along the `kept` vectors. Ends when it gives false.
    fn visit(&self, radius: f64, kept: &[V], mut found: impl FnMut(usize, V) -> bool) {
        let origin = self.parent.positions[self.target];
        let thickness = self.frame.thickness();
        let n_periodic = self.periodic.len();
        for (atom, &position) in self.parent.positions.iter().enumerate() {
            let direct = sub(position, origin);
            let s = self.frame.fractional(direct);
            let range: [(i32, i32); 3] = std::array::from_fn(|d| {
                if d >= n_periodic {
                    (0, 0)
                } else if kept.contains(&self.periodic[d]) {
                    let n = -(s[d] + 0.5).floor() as i32;
                    (n, n)
                } else {
                    let reach = radius / thickness[d];
                    ((-reach - s[d]).ceil() as i32, (reach - s[d]).floor() as i32)
                }
            });
            for i in range[0].0..=range[0].1 {
                for j in range[1].0..=range[1].1 {
                    for k in range[2].0..=range[2].1 {
                        let t = self.frame.translation([i, j, k]);
                        let r = std::array::from_fn(|a| direct[a] + t[a]);
                        if !found(atom, r) {
                            return;
                        }
                    }
                }
            }
        }
    }

    /// Extent of the parent along a direction, relative to the target, Å.
    pub(super) fn extent(&self, direction: V) -> [f64; 2] {
        let origin = self.parent.positions[self.target];
        self.parent
            .positions
            .iter()
            .map(|&r| dot(sub(r, origin), direction))
            .fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], x| {
                [low.min(x), high.max(x)]
            })
    }

    /// Refuses parents whose atoms overlap around the target.
    pub(super) fn check_physical(&self) -> Option<Refusal> {
        let near = self.ball(self.cutoff);
        for (i, a) in near.iter().enumerate() {
            for b in &near[..i] {
                let pair = (self.parent.elements[a.atom], self.parent.elements[b.atom]);
                let distance = norm(sub(a.r, b.r));
                let sum = pair.0.covalent_radius() + pair.1.covalent_radius();
                if distance < UNPHYSICAL_SHARE * sum {
                    return Some(Refusal::Parent { pair, distance });
                }
            }
        }
        None
    }
}

/// Smallest pair distances among some points.
fn observed(points: &[Point], parent: &Structure) -> PairDistances {
    let mut table = PairDistances::default();
    for (i, a) in points.iter().enumerate() {
        for b in &points[..i] {
            let r = norm(sub(a.r, b.r));
            if r < 5.0 {
                table.observe(parent.elements[a.atom], parent.elements[b.atom], r);
            }
        }
    }
    table
}

/// Points in bins, to look up what lies near a place.
pub(super) struct PointGrid<'a> {
    points: &'a [Point],
    low: V,
    width: f64,
    reach: f64,
    count: [usize; 3],
    start: Vec<u32>,
    order: Vec<u32>,
}

impl<'a> PointGrid<'a> {
    /// Bins for looking up what lies closer than `reach` Å.
    pub(super) fn new(points: &'a [Point], reach: f64) -> Self {
        let mut low = [f64::INFINITY; 3];
        let mut high = [f64::NEG_INFINITY; 3];
        for p in points {
            for a in 0..3 {
                low[a] = low[a].min(p.r[a]);
                high[a] = high[a].max(p.r[a]);
            }
        }
        // No more bins than a few per point: an atom far out must not cost memory.
        let limit = 2.0 * (points.len().max(1) as f64).cbrt() + 2.0;
        let extent = (0..3).map(|a| high[a] - low[a]).fold(0.0, f64::max);
        let width = reach.max(extent / limit);
        let count: [usize; 3] = std::array::from_fn(|a| {
            if points.is_empty() {
                1
            } else {
                ((high[a] - low[a]) / width) as usize + 1
            }
        });
        let bin = |r: V| -> usize {
            let b: [usize; 3] =
                std::array::from_fn(|a| (((r[a] - low[a]) / width) as usize).min(count[a] - 1));
            (b[0] * count[1] + b[1]) * count[2] + b[2]
        };
        let mut start = vec![0u32; count[0] * count[1] * count[2] + 1];
        for p in points {
            start[bin(p.r) + 1] += 1;
        }
        for b in 1..start.len() {
            start[b] += start[b - 1];
        }
        let mut next = start.clone();
        let mut order = vec![0u32; points.len()];
        for (index, p) in points.iter().enumerate() {
            let b = bin(p.r);
            order[next[b] as usize] = index as u32;
            next[b] += 1;
        }
        Self {
            points,
            low,
            width,
            reach,
            count,
            start,
            order,
        }
    }

    /// Calls `visit` with the index and distance of every point closer than the reach.
    pub(super) fn near(&self, place: V, mut visit: impl FnMut(usize, f64)) {
        if self.points.is_empty() {
            return;
        }
        let b: [i64; 3] = std::array::from_fn(|a| {
            let bin = (place[a] - self.low[a]) / self.width;
            // Far outside is as good as just outside.
            bin.floor().clamp(-2.0, self.count[a] as f64 + 2.0) as i64
        });
        let span = |a: usize| {
            let n = self.count[a] as i64;
            (b[a] - 1).clamp(0, n)..(b[a] + 2).clamp(0, n)
        };
        for i in span(0) {
            for j in span(1) {
                for k in span(2) {
                    let bin =
                        (i as usize * self.count[1] + j as usize) * self.count[2] + k as usize;
                    for &index in
                        &self.order[self.start[bin] as usize..self.start[bin + 1] as usize]
                    {
                        let d = norm(sub(self.points[index as usize].r, place));
                        if d < self.reach {
                            visit(index as usize, d);
                        }
                    }
                }
            }
        }
    }
}
