//! From neighbour lists to slots: the neighbours of a group of centres, sorted by class.

use super::plan::Plan;
use super::scratch::{GEOMETRY, Scratch};
use super::vector::{Real, Vector};
use crate::system::neighbors::Entries;

/// Positions and neighbours in the form the loops read.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    /// Position and, as bits, type of each place of the list: atoms and their images.
    pub(super) packed: &'a [[f64; 4]],
    pub(super) types: &'a [u32],
    pub(super) entries: Entries<'a>,
}

/// Squared distance of what fills up lanes: beyond all cutoffs, and a good number in f32.
const FAR: f64 = 1e30;

/// Vector and squared distance from `origin`.
#[inline(always)]
fn distance(place: &[f64; 4], origin: &[f64; 4]) -> ([f64; 3], f64) {
    let d = [
        place[0] - origin[0],
        place[1] - origin[1],
        place[2] - origin[2],
    ];
    (d, d[0] * d[0] + d[1] * d[1] + d[2] * d[2])
}

/// Where a neighbour goes.
struct Slots<'a, T> {
    geometry: &'a mut [T],
    index: &'a mut [u32],
}

impl<T: Real> Slots<'_, T> {
    #[inline(always)]
    fn put<V: Vector<Real = T>>(
        &mut self,
        slot: usize,
        lane: usize,
        (d, r2): ([f64; 3], f64),
        j: u32,
    ) {
        // The compiler sees from the mask that the lane is inside the row.
        let lane = lane & (V::N - 1);
        let row = &mut self.geometry[slot * GEOMETRY * V::N..][..GEOMETRY * V::N];
        row[lane] = T::of(d[0]);
        row[V::N + lane] = T::of(d[1]);
        row[2 * V::N + lane] = T::of(d[2]);
        row[3 * V::N + lane] = T::of(r2);
        self.index[slot * V::N + lane] = j;
    }
}

/// Fills the slots with the neighbours of `centers`, all of type `kind`.
#[inline(always)]
pub(super) fn gather<V: Vector>(
    plan: &Plan<V::Real>,
    view: &View<'_>,
    centers: &[u32],
    kind: usize,
    scratch: &mut Scratch<V::Real>,
) {
    let offsets = view.entries.offsets;
    let longest = centers
        .iter()
        .map(|&i| offsets[i as usize + 1] - offsets[i as usize])
        .max()
        .unwrap_or(0);
    scratch.counts.fill(0);
    if plan.n_types == 1 {
        single::<V>(plan, view, centers, longest, scratch);
    } else {
        several::<V>(plan, view, centers, kind, longest, scratch);
    }
    scratch.n_near = scratch.classes[plan.n_types - 1].end;
    let n_classes = scratch.classes.len();
    for (class, slots) in scratch.classes.iter().enumerate() {
        for lane in 0..V::N {
            let start = slots.start + scratch.counts[lane * n_classes + class] as usize;
            for slot in start..slots.end {
                let mut slots = Slots {
                    geometry: &mut scratch.geometry,
                    index: &mut scratch.index,
                };
                slots.put::<V>(slot, lane, ([0.0; 3], FAR), 0);
            }
        }
    }
}

/// With one type, near and far neighbours go straight to their places.
#[inline(always)]
fn single<V: Vector>(
    plan: &Plan<V::Real>,
    view: &View<'_>,
    centers: &[u32],
    longest: usize,
    scratch: &mut Scratch<V::Real>,
) {
    scratch.reserve(2 * longest + 1, V::N);
    let (near2, reach2) = (plan.pairs[0].near2, plan.reach2[0]);
    let mut most = [0; 2];
    for (lane, &i) in centers.iter().enumerate() {
        let (origin, row) = view.center(i as usize);
        let mut slots = Slots {
            geometry: &mut scratch.geometry,
            index: &mut scratch.index,
        };
        let (mut near, mut far) = (0, longest);
        for &j in row {
            let found = distance(&view.packed[j as usize], origin);
            let is_near = found.1 < near2;
            // Always written, kept only if inside: no branch to mispredict.
            let slot = if is_near { near } else { far };
            slots.put::<V>(slot, lane, found, j);
            near += usize::from(is_near);
            far += usize::from(!is_near & (found.1 < reach2));
        }
        let counts = [near, far - longest];
        for class in 0..2 {
            scratch.counts[2 * lane + class] = counts[class] as u32;
            most[class] = most[class].max(counts[class]);
        }
    }
    scratch.classes[0] = 0..most[0];
    scratch.classes[1] = longest..longest + most[1];
}

/// With several types, neighbours are counted by class first.
#[inline(always)]
fn several<V: Vector>(
    plan: &Plan<V::Real>,
    view: &View<'_>,
    centers: &[u32],
    kind: usize,
    longest: usize,
    scratch: &mut Scratch<V::Real>,
) {
    let n_classes = 2 * plan.n_types;
    let stride = longest + 1;
    if scratch.found.len() < stride * V::N {
        scratch.found.resize(stride * V::N, [0; 2]);
    }
    let pairs = &plan.pairs[kind * plan.n_types..][..plan.n_types];
    let reach2 = plan.reach2[kind];
    for (lane, &i) in centers.iter().enumerate() {
        let (origin, row) = view.center(i as usize);
        let counts = &mut scratch.counts[lane * n_classes..][..n_classes];
        let found = &mut scratch.found[lane * stride..][..row.len() + 1];
        let mut n = 0;
        for &j in row {
            let place = &view.packed[j as usize];
            let (_, r2) = distance(place, origin);
            let kind = place[3].to_bits() as usize;
            let is_far = !(r2 < pairs[kind].near2);
            let class = kind + if is_far { plan.n_types } else { 0 };
            found[n] = [j, class as u32];
            let inside = r2 < reach2;
            n += usize::from(inside);
            counts[class] += u32::from(inside);
        }
    }
    let mut end = 0;
    for (class, slots) in scratch.classes.iter_mut().enumerate() {
        let counts = scratch.counts.iter().skip(class).step_by(n_classes);
        let most = counts.max().map_or(0, |&n| n as usize);
        *slots = end..end + most;
        end += most;
    }
    scratch.reserve(end, V::N);
    for (lane, &i) in centers.iter().enumerate() {
        let (origin, _) = view.center(i as usize);
        let counts = &scratch.counts[lane * n_classes..][..n_classes];
        let n = counts.iter().sum::<u32>() as usize;
        for (cursor, slots) in scratch.cursor.iter_mut().zip(&scratch.classes) {
            *cursor = slots.start;
        }
        let mut slots = Slots {
            geometry: &mut scratch.geometry,
            index: &mut scratch.index,
        };
        for &[j, class] in &scratch.found[lane * stride..][..n] {
            let slot = &mut scratch.cursor[class as usize];
            let found = distance(&view.packed[j as usize], origin);
            slots.put::<V>(*slot, lane, found, j);
            *slot += 1;
        }
    }
}

impl<'a> View<'a> {
    /// Position and list of a centre.
    #[inline(always)]
    fn center(&self, i: usize) -> (&'a [f64; 4], &'a [u32]) {
        let offsets = self.entries.offsets;
        let row = &self.entries.index[offsets[i]..offsets[i + 1]];
        (&self.packed[self.entries.local(i)], row)
    }
}
