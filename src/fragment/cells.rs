//! Candidate cells: which directions are cut, and along which lattices.

use super::lattice::{Subspace, V, WignerSeitz, measure, reduce, scale};
use super::matching;
use super::options::{FragmentOptions, Shape};
use super::parent::Surroundings;
use super::random::SplitMix;
use crate::system::cell::{add, dot, norm, sub};

/// How the directions of space are treated.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// Periodic vectors of the parent that are too short to cut: they stay as they are.
    pub(super) kept: Vec<V>,
    /// The space in which the fragment gets its own lattice.
    pub(super) cut: Subspace,
    /// Unit normals along which the fragment stays non-periodic.
    pub(super) open: Vec<V>,
    /// How far from the target atoms are taken along the open directions, Å.
    pub(super) depth: f64,
    /// True where a non-periodic direction of the parent is cut as if it were bulk.
    pub(super) closed: bool,
}

/// A lattice for the fragment.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) shape: Shape,
    /// The new lattice vectors, reduced; with the kept vectors they span the periodic directions.
    pub(super) cut: Vec<V>,
    /// Their parts in the cut space.
    pub(super) projected: Vec<V>,
    pub(super) cell: WignerSeitz,
}

impl Candidate {
    /// A candidate from vectors in the order given; none if they are degenerate.
    pub(super) fn new(shape: Shape, plan: &Plan, mut cut: Vec<V>) -> Option<Self> {
        reduce(&mut cut, |v| plan.cut.project(v));
        // Along the kept directions a lattice vector means the same after whole periods.
        for v in &mut cut {
            for &k in plan.kept.iter().rev() {
                *v = sub(*v, scale(k, (dot(*v, k) / dot(k, k)).round()));
            }
        }
        let projected: Vec<V> = cut.iter().map(|&v| plan.cut.project(v)).collect();
        let lengths: f64 = projected.iter().map(|&v| norm(v)).product();
        if projected.len() != plan.cut.dim() || measure(&projected) < 0.05 * lengths {
            return None;
        }
        let cell = WignerSeitz::new(&projected);
        Some(Self {
            shape,
            cut,
            projected,
            cell,
        })
    }
}

/// Sizes between which cells are looked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    /// Smallest distance between images for cells that follow the local lattice, Å.
    pub(super) matched: f64,
    /// Smallest distance between images for the others, Å.
    pub(super) free: f64,
    /// Largest distance, Å.
    pub(super) max: f64,
}

/// Smallest distances between images that keep cores apart.
pub(super) fn sizes(s: &Surroundings<'_>, options: &FragmentOptions) -> Sizes {
    // Two images of the core sphere must not overlap; where the seam continues the crystal, its
    // own distances keep frozen atoms apart, elsewhere a contact distance must fit between them.
    let matched = 2.0 * s.core_radius + 0.2;
    let free = matched + s.contacts.largest();
    let ball = s.ball(s.core_radius + 2.0);
    let radius = s.core_radius + 2.0;
    let density = ball.len() as f64 / (4.0 / 3.0 * std::f64::consts::PI * radius.powi(3));
    // A surface target has half the atoms around it: the factor leaves room.
    let affordable = (1.5 * options.n_max as f64 / density.max(1e-6)).cbrt();
    let min = options.min_size;
    Sizes {
        matched: min.unwrap_or(matched).max(matched),
        free: min.unwrap_or(free).max(matched),
        max: options
            .max_size
            .unwrap_or(affordable.min(free + 6.0).max(free)),
    }
}

/// The ways to treat the directions of space, to be tried in turn.
pub(super) fn plans(s: &Surroundings<'_>, sizes: Sizes, options: &FragmentOptions) -> Vec<Plan> {
    let mut kept: Vec<V> = Vec::new();
    for &v in &s.periodic {
        if norm(Subspace::span(&kept).remove(v)) < sizes.matched {
            kept.push(v);
        }
    }
    let kept_space = Subspace::span(&kept);
    let plan = |whole: &Subspace, open: Vec<V>, depth: f64, closed: bool| Plan {
        kept: kept.clone(),
        cut: kept_space.complement_in(whole),
        open,
        depth,
        closed,
    };
    let periodic = Subspace::span(&s.periodic);
    let full = Subspace::full();
    if s.open.is_empty() {
        return vec![plan(&full, Vec::new(), f64::INFINITY, false)];
    }
    let bulk = plan(&full, Vec::new(), f64::INFINITY, true);
    if options.truncated {
        return vec![bulk];
    }
    vec![
        plan(&periodic, s.open.clone(), f64::INFINITY, false),
        bulk,
        plan(&periodic, s.open.clone(), s.core_radius + 4.0, false),
    ]
}

/// All candidate lattices of a plan.
pub(super) fn candidates(
    s: &Surroundings<'_>,
    plan: &Plan,
    sizes: Sizes,
    options: &FragmentOptions,
) -> Vec<Candidate> {
    let mut found = Vec::new();
    if plan.cut.dim() == 0 {
        return found;
    }
    let steps = ((sizes.max - sizes.free) / options.step + 1e-9).floor() as i64;
    let lengths: Vec<f64> = (0..=steps.clamp(0, 200))
        .map(|k| sizes.free + k as f64 * options.step)
        .collect();
    for &shape in &options.shapes {
        match shape {
            Shape::Lattice => found.extend(
                matching::lattices(s, plan, sizes, options)
                    .into_iter()
                    .filter_map(|v| Candidate::new(shape, plan, v)),
            ),
            Shape::Aligned => {
                let directions = aligned(s, plan);
                for &length in &lengths {
                    let vectors = directions.iter().map(|&v| scale(v, length)).collect();
                    found.extend(Candidate::new(shape, plan, vectors));
                }
            }
            Shape::Cube | Shape::Compact => {
                if shape == Shape::Compact && plan.cut.dim() == 1 {
                    continue;
                }
                for frame in frames(plan, options) {
                    let unit = if shape == Shape::Cube {
                        frame
                    } else {
                        compact(&frame)
                    };
                    for &length in &lengths {
                        let vectors = unit.iter().map(|&v| scale(v, length)).collect();
                        found.extend(Candidate::new(shape, plan, vectors));
                    }
                }
            }
        }
    }
    found.retain(|c| c.cell.shortest() > sizes.matched - 1e-6);
    found
}

/// Directions of the parent's lattice in the cut space, scaled so that opposite faces of the
/// parallelepiped are one unit apart.
fn aligned(s: &Surroundings<'_>, plan: &Plan) -> Vec<V> {
    let edges: Vec<V> = s
        .periodic
        .iter()
        .filter(|v| !plan.kept.contains(v))
        .chain(&s.open)
        .map(|&v| plan.cut.project(v))
        .filter(|&v| norm(v) > 1e-6)
        .collect();
    let n = edges.len();
    (0..n)
        .map(|d| {
            let others: Vec<V> = (0..n).filter(|&k| k != d).map(|k| edges[k]).collect();
            let height = norm(Subspace::span(&others).remove(edges[d]));
            scale(edges[d], 1.0 / height.max(1e-9))
        })
        .collect()
}

/// Orthonormal frames of the cut space: along the axes, then random ones.
fn frames(plan: &Plan, options: &FragmentOptions) -> Vec<Vec<V>> {
    let basis = plan.cut.basis().to_vec();
    let n = basis.len();
    let mut random = SplitMix::new(options.seed, 1);
    let mut frames = vec![basis.clone()];
    if n < 2 {
        return frames;
    }
    for _ in 0..options.orientations {
        // Gram–Schmidt on normal vectors gives a uniformly random frame.
        let vectors: Vec<V> = (0..n)
            .map(|_| {
                basis
                    .iter()
                    .fold([0.0; 3], |sum, &e| add(sum, scale(e, random.normal())))
            })
            .collect();
        let space = Subspace::span(&vectors);
        if space.dim() == n {
            frames.push(space.basis().to_vec());
        }
    }
    frames
}

/// Lattice vectors of unit length of the densest packing in two or three dimensions.
fn compact(frame: &[V]) -> Vec<V> {
    if let [x, y] = *frame {
        return vec![x, add(scale(x, 0.5), scale(y, 0.75f64.sqrt()))];
    }
    let h = 0.5f64.sqrt();
    vec![
        scale(add(frame[1], frame[2]), h),
        scale(add(frame[0], frame[2]), h),
        scale(add(frame[0], frame[1]), h),
    ]
}
