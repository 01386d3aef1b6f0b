//! The buffers of one thread for one group of centres, a centre in each lane of the vectors.
//!
//! A *slot* is a row of lanes: one neighbour of each centre of the group. Slots of one *class* hold
//! neighbours of one type that are near (inside the angular cutoff) or far; lanes that have fewer
//! neighbours of a class than others are filled up with neighbours beyond all cutoffs.

use super::kernel::MAX_LANES;
use super::plan::{Plan, tiled};
use super::vector::{Buffer, Real};
use std::ops::Range;

/// Numbers per slot and lane: vector and squared distance.
pub(super) const GEOMETRY: usize = 4;
/// Numbers per slot and lane that the radial part keeps: 1/r, the argument of the Chebyshev
/// polynomials, f_c', f_c times the argument's derivative.
pub(super) const RADIAL: usize = 4;
/// Numbers per slot and lane of a partial force.
pub(super) const FORCE: usize = 3;

/// Slots of angular functions that are summed while they are in the first cache.
pub(super) const CHUNK: usize = 8;

/// Buffers of one thread. They grow and are never shrunk.
#[derive(Default)]
pub(super) struct Scratch<T> {
    /// First slot and end of each class: near ones by type, then far ones by type.
    pub(super) classes: Vec<Range<usize>>,
    /// A counter of each class, and the most neighbours of it that any lane has.
    pub(super) counts: Vec<u32>,
    pub(super) most: Vec<usize>,
    /// Slots that hold near neighbours are the first ones.
    pub(super) n_near: usize,
    /// Found neighbours with their class, by lane; used with several types.
    pub(super) found: Vec<[u32; 2]>,
    /// The number of each lane in the rows of `index`, see [`super::vector::row_of_lane`].
    pub(super) rows: [usize; MAX_LANES],
    /// Neighbours. Shape `[slot][row of lane]`.
    pub(super) index: Buffer<u32>,
    /// Shapes `[slot][GEOMETRY][lane]` and so on.
    pub(super) geometry: Buffer<T>,
    pub(super) radial: Buffer<T>,
    pub(super) force: Buffer<T>,
    /// Sums of f_c T_k; then the series of a type. Shape `[tiled(k)][lane]`.
    pub(super) moments: Buffer<T>,
    pub(super) series: Buffer<T>,
    pub(super) slopes: Buffer<T>,
    /// Chebyshev polynomials of two slots. Shape `[k][2][lane]`.
    pub(super) basis: Buffer<T>,
    /// g_n and g_n' of the near slots. Shape `[slot][n][lane]`.
    pub(super) g: Buffer<T>,
    pub(super) dg: Buffer<T>,
    /// Angular functions of the near slots. Shape `[slot][lm_rows][lane]`.
    pub(super) s: Buffer<T>,
    /// Gradients with respect to the functions of two slots. Shape `[2][lm_rows][lane]`.
    pub(super) h: Buffer<T>,
    /// s_nlm and the energy's gradient. Shape `[n][lm_rows][lane]`.
    pub(super) sums: Buffer<T>,
    pub(super) gradient: Buffer<T>,
    /// Descriptor without scale and the gradient with respect to it. Shape `[tiled(dim)][lane]`.
    pub(super) q: Buffer<T>,
    pub(super) fp: Buffer<T>,
    /// Neurons and what the energy's gradient makes of them. Shape `[tiled(n1)][lane]`.
    pub(super) hidden: Buffer<T>,
    pub(super) slope: Buffer<T>,
}

impl<T: Real> Scratch<T> {
    /// Makes room for the fixed sizes of a model and `lanes` centres at once.
    pub(super) fn fit(&mut self, plan: &Plan<T>, lanes: usize) {
        let k = plan.k.map(tiled);
        let neurons = plan.networks.iter().map(|n| tiled(n.n1)).max().unwrap_or(0);
        for (buffer, rows) in [
            (&mut self.moments, k[0]),
            (&mut self.series, k[0]),
            (&mut self.slopes, k[0]),
            (&mut self.basis, 2 * k[1]),
            (&mut self.h, 2 * plan.lm_rows),
            (&mut self.sums, plan.n[1] * plan.lm_rows),
            (&mut self.gradient, plan.n[1] * plan.lm_rows),
            (&mut self.q, tiled(plan.dim) + tiled(plan.n[0])),
            (&mut self.fp, tiled(plan.dim) + tiled(plan.n[0])),
            (&mut self.hidden, neurons),
            (&mut self.slope, neurons),
        ] {
            buffer.resize(rows * lanes);
            // Another model may have left numbers where this one has padding.
            buffer.fill(T::default());
        }
        self.classes.clear();
        self.classes.resize(2 * plan.n_types, 0..0);
        self.counts.resize(2 * plan.n_types, 0);
        self.most.clear();
        self.most.resize(2 * plan.n_types, 0);
        // The rows beyond the last function are read and must be zero.
        self.s.fill(T::default());
    }

    /// Makes room for so many slots.
    pub(super) fn reserve(&mut self, slots: usize, lanes: usize) {
        if slots * lanes > self.index.len() {
            let slots = slots + slots / 4;
            self.geometry.resize(slots * GEOMETRY * lanes);
            self.radial.resize(slots * RADIAL * lanes);
            self.force.resize(slots * FORCE * lanes);
            self.index.resize(slots * lanes);
        }
    }

    /// Makes room for so many near slots.
    pub(super) fn reserve_near(&mut self, slots: usize, plan: &Plan<T>, lanes: usize) {
        if slots * plan.lm_rows * lanes > self.s.len() || slots * plan.n[1] * lanes > self.g.len() {
            let slots = slots + slots / 4;
            self.g.resize(slots * plan.n[1] * lanes);
            self.dg.resize(slots * plan.n[1] * lanes);
            self.s.resize(slots * plan.lm_rows * lanes);
        }
    }

    /// All slots in use: the near ones and the far ones.
    #[inline(always)]
    pub(super) fn used(&self) -> [Range<usize>; 2] {
        let n_types = self.classes.len() / 2;
        let far = self.classes[n_types].start..self.classes[2 * n_types - 1].end;
        [0..self.n_near, far]
    }

    /// The slots of the near and the far neighbours of a type.
    #[inline(always)]
    pub(super) fn of_kind(&self, kind: usize) -> [Range<usize>; 2] {
        let n_types = self.classes.len() / 2;
        [
            self.classes[kind].clone(),
            self.classes[n_types + kind].clone(),
        ]
    }
}
