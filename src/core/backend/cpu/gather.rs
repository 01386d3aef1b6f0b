//! From neighbour lists to slots: the neighbours of a group of centres, sorted by class.

use super::kernel::MAX_LANES;
use super::plan::Plan;
use super::scratch::{GEOMETRY, Scratch};
use super::vector::{Real, Vector};
use crate::system::neighbors::Entries;

/// Positions and neighbours in the form the loops read.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    /// Position and type ([`Real::type_in`]) of each place of the list, atoms and their images; then
    /// [`NOWHERE`] for each lane.
    pub(super) packed: &'a [[f64; 4]],
    pub(super) types: &'a [u32],
    pub(super) entries: Entries<'a>,
}

/// Where the neighbours are that fill up lanes: beyond all cutoffs, and not too far for f32. Each
/// lane has its own such place, so that no lane waits for the force of another.
pub(super) const NOWHERE: [f64; 4] = [1e15, 0.0, 0.0, 0.0];

/// Slots that are filled lane after lane.
const BLOCK: usize = 64;

impl<'a> View<'a> {
    /// Number of places of the list.
    pub(super) fn n_places(&self) -> usize {
        self.packed.len() - MAX_LANES
    }

    /// Position and list of a centre.
    #[inline(always)]
    fn center(&self, i: usize) -> (&'a [f64; 4], &'a [u32]) {
        let offsets = self.entries.offsets;
        let row = &self.entries.index[offsets[i]..offsets[i + 1]];
        (&self.packed[self.entries.local(i)], row)
    }
}

/// Squared distance of a place from `origin`.
#[inline(always)]
fn square(place: &[f64; 4], origin: &[f64; 4]) -> f64 {
    let d = [
        place[0] - origin[0],
        place[1] - origin[1],
        place[2] - origin[2],
    ];
    d[0] * d[0] + d[1] * d[1] + d[2] * d[2]
}

/// Fills the slots with the neighbours of `centers`, all of type `kind`.
#[inline(always)]
pub(super) fn gather<V: Vector>(
    simd: V::Simd,
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
    if plan.n_types == 1 {
        single::<V>(plan, view, centers, longest, scratch);
    } else {
        several::<V>(plan, view, centers, kind, longest, scratch);
    }
    scratch.n_near = scratch.classes[plan.n_types - 1].end;
    let mut origins = [[0.0; 4]; MAX_LANES];
    for (&row, &i) in scratch.rows.iter().zip(centers) {
        let [x, y, z, _] = *view.center(i as usize).0;
        origins[row] = [x, y, z, 0.0];
    }
    for slots in scratch.used() {
        let index = &scratch.index[slots.start * V::N..slots.end * V::N];
        let rows = &mut scratch.geometry[slots.start * GEOMETRY * V::N..][..index.len() * GEOMETRY];
        let rows = rows.chunks_mut(FEW * GEOMETRY * V::N);
        for (rows, index) in rows.zip(index.chunks(FEW * V::N)) {
            distances::<V>(simd, view, &origins, index, rows);
        }
    }
}

/// Rows that are written before they are read as vectors: a vector that is read right after its
/// numbers were written one by one waits for them.
const FEW: usize = 16;

/// Vectors, subtracted in f64, and squared distances of a few rows of neighbours.
#[inline(always)]
fn distances<V: Vector>(
    simd: V::Simd,
    view: &View<'_>,
    origins: &[[f64; 4]; MAX_LANES],
    index: &[u32],
    rows: &mut [V::Real],
) {
    // Counted loops: zipped iterators keep their state in memory here.
    for slot in 0..index.len() / V::N {
        let index = &index[slot * V::N..][..V::N];
        let out = &mut rows[slot * GEOMETRY * V::N..][..GEOMETRY * V::N];
        for i in 0..V::N {
            let place = &view.packed[index[i] as usize];
            let d = of_difference::<V::Real>(place, &origins[i]);
            out[GEOMETRY * i..][..GEOMETRY].copy_from_slice(&d);
        }
    }
    for row in V::rows_mut(rows).chunks_exact_mut(GEOMETRY) {
        let [x, y, z, _] = V::columns(simd, [0, 1, 2, 3].map(|i| V::get(simd, &row[i])));
        x.put(&mut row[0]);
        y.put(&mut row[1]);
        z.put(&mut row[2]);
        x.fma(x, y.fma(y, z * z)).put(&mut row[3]);
    }
}

#[inline(always)]
fn of_difference<T: Real>(a: &[f64; 4], b: &[f64; 4]) -> [T; 4] {
    let d = [a[0] - b[0], a[1] - b[1], a[2] - b[2], a[3] - b[3]];
    [T::of(d[0]), T::of(d[1]), T::of(d[2]), T::of(d[3])]
}

/// Points the lanes of some slots to nowhere.
#[inline(always)]
fn clear<V: Vector>(view: &View<'_>, index: &mut [u32]) {
    let nowhere = view.n_places() as u32;
    for row in index.chunks_exact_mut(V::N) {
        for (lane, j) in row.iter_mut().enumerate() {
            *j = nowhere + lane as u32;
        }
    }
}

/// With one type, near and far neighbours go straight to their slots.
#[inline(always)]
fn single<V: Vector>(
    plan: &Plan<V::Real>,
    view: &View<'_>,
    centers: &[u32],
    longest: usize,
    scratch: &mut Scratch<V::Real>,
) {
    // A row more on each side for what is written and not kept.
    let far_start = longest + 1;
    scratch.reserve(2 * far_start, V::N);
    let (near2, reach2) = (plan.near2[0], plan.reach2[0]);
    let rows = scratch.rows;
    // Local: what is behind `scratch` would be read anew for every neighbour.
    let index = &mut scratch.index[..];
    let packed = view.packed;
    let mut done = [0; MAX_LANES];
    let mut ends = [[0, far_start]; MAX_LANES];
    let mut stop = far_start;
    let mut open = true;
    while open {
        // A few slots of all lanes before the next: the rows stay in the first cache.
        stop += BLOCK;
        open = false;
        for (lane, &i) in centers.iter().enumerate() {
            let (origin, row) = view.center(i as usize);
            let row = &row[done[lane]..];
            let [mut near, mut far] = ends[lane];
            let column = &mut index[rows[lane]..];
            let mut n = 0;
            for &j in row {
                if far == stop {
                    break;
                }
                n += 1;
                let r2 = square(&packed[j as usize], origin);
                let is_near = r2 < near2;
                // Always written, kept only if inside: no branch to mispredict.
                let slot = if is_near { near } else { far };
                column[slot * V::N] = j;
                near += usize::from(is_near);
                far += usize::from(!is_near & (r2 < reach2));
            }
            open |= n < row.len();
            done[lane] += n;
            ends[lane] = [near, far];
        }
    }
    let mut most = [0, far_start];
    for end in &ends[..centers.len()] {
        most = [most[0].max(end[0]), most[1].max(end[1])];
    }
    scratch.classes[0] = 0..most[0];
    scratch.classes[1] = far_start..most[1];
    let nowhere = view.n_places();
    for lane in 0..V::N {
        let at = rows[lane];
        for class in 0..2 {
            for slot in ends[lane][class]..most[class] {
                index[slot * V::N + at] = (nowhere + at) as u32;
            }
        }
    }
}

/// A counter of each class.
trait Counters {
    fn clear(&mut self);
    fn get(&self, class: usize) -> usize;
    fn add(&mut self, class: usize, count: usize);
}

impl Counters for [u32] {
    #[inline(always)]
    fn clear(&mut self) {
        self.fill(0);
    }

    #[inline(always)]
    fn get(&self, class: usize) -> usize {
        self[class] as usize
    }

    #[inline(always)]
    fn add(&mut self, class: usize, count: usize) {
        self[class] += count as u32;
    }
}

/// Four counters below [`PACKED`] in a register: one in memory makes each neighbour of its class wait
/// for the one before.
impl Counters for u64 {
    #[inline(always)]
    fn clear(&mut self) {
        *self = 0;
    }

    #[inline(always)]
    fn get(&self, class: usize) -> usize {
        usize::from((self >> (16 * class)) as u16)
    }

    #[inline(always)]
    fn add(&mut self, class: usize, count: usize) {
        *self += (count as u64) << (16 * class);
    }
}

const PACKED: usize = 1 << 16;

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
    if plan.n_types == 2 && 4 * longest < PACKED {
        return counted::<V, _>(plan, view, centers, kind, longest, scratch, &mut 0u64);
    }
    let mut counters = std::mem::take(&mut scratch.counts);
    counted::<V, _>(
        plan,
        view,
        centers,
        kind,
        longest,
        scratch,
        &mut counters[..],
    );
    scratch.counts = counters;
}

#[inline(always)]
fn counted<V: Vector, C: Counters + ?Sized>(
    plan: &Plan<V::Real>,
    view: &View<'_>,
    centers: &[u32],
    kind: usize,
    longest: usize,
    scratch: &mut Scratch<V::Real>,
    counters: &mut C,
) {
    let stride = longest + 1;
    if scratch.found.len() < stride * V::N {
        scratch.found.resize(stride * V::N, [0; 2]);
    }
    let pairs = &plan.near2[kind * plan.n_types..][..plan.n_types];
    let reach2 = plan.reach2[kind];
    scratch.most.fill(0);
    let mut n_found = [0; MAX_LANES];
    for (lane, &i) in centers.iter().enumerate() {
        let (origin, row) = view.center(i as usize);
        counters.clear();
        let found = &mut scratch.found[lane * stride..][..row.len() + 1];
        let mut n = 0;
        let packed = view.packed;
        for &j in row {
            let place = &packed[j as usize];
            let r2 = square(place, origin);
            let kind = V::Real::type_in(place[3]);
            let is_far = !(r2 < pairs[kind]);
            let class = kind + if is_far { plan.n_types } else { 0 };
            found[n] = [j, class as u32];
            let inside = r2 < reach2;
            n += usize::from(inside);
            counters.add(class, usize::from(inside));
        }
        n_found[lane] = n;
        for (class, most) in scratch.most.iter_mut().enumerate() {
            *most = counters.get(class).max(*most);
        }
    }
    let mut end = 0;
    for (slots, &most) in scratch.classes.iter_mut().zip(&scratch.most) {
        *slots = end..end + most;
        end += most;
    }
    scratch.reserve(end, V::N);
    clear::<V>(view, &mut scratch.index[..end * V::N]);
    for lane in 0..centers.len() {
        counters.clear();
        for (class, slots) in scratch.classes.iter().enumerate() {
            counters.add(class, slots.start);
        }
        let column = &mut scratch.index[scratch.rows[lane]..];
        for &[j, class] in &scratch.found[lane * stride..][..n_found[lane]] {
            let slot = counters.get(class as usize);
            column[slot * V::N] = j;
            counters.add(class as usize, 1);
        }
    }
}
