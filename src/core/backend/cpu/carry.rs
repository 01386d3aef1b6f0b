//! From atoms to the points of a mesh, and back, in vectors along the third direction.

use super::long_range::Source;
use super::mesh::Mesh;
use super::spreading::{Number, WIDEST, flat};
use super::vector::{Real, Vector};
use crate::system::cell::dot;
use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use std::marker::PhantomData;
use std::ops::Range;

/// Planes of the mesh that a thread takes together, at least.
const PLANES: usize = 8;
/// Atoms that a thread takes together.
const ATOMS: usize = 512;

/// Vectors that hold a bell: a power of two, so that few numbers of them are compiled.
#[inline(always)]
fn vectors<V: Vector>(width: usize) -> usize {
    width.div_ceil(V::N).next_power_of_two()
}

/// Runs an operation with the number of vectors that a bell has.
macro_rules! by_vectors {
    ($operation:tt, $simd:ident, $vector:ty) => {
        match vectors::<$vector>($operation.mesh.bell.width) {
            1 => $operation.run::<$vector, 1>($simd),
            2 => $operation.run::<$vector, 2>($simd),
            4 => $operation.run::<$vector, 4>($simd),
            8 => $operation.run::<$vector, 8>($simd),
            _ => $operation.run::<$vector, WIDEST>($simd),
        }
    };
}

/// How many points the vectors of a bell hold on a machine.
pub(super) struct Filled<R>(usize, PhantomData<R>);

impl<R> Filled<R> {
    pub(super) fn of(width: usize) -> Self {
        Self(width, PhantomData)
    }
}

impl<R: Number> WithSimd for Filled<R> {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> usize {
        vectors::<R::Vector<S>>(self.0) * <R::Vector<S> as Vector>::N
    }
}

/// An atom on the mesh: the first point of its bell along each direction, values and slopes by point along the
/// first two, both in vectors along the third.
struct Place<V: Vector, const K: usize> {
    low: [usize; 3],
    value: [[V::Real; WIDEST]; 2],
    slope: [[V::Real; WIDEST]; 2],
    along: [[V; K]; 2],
}

/// Carries atoms to the planes `own`.
struct Spread<'a, R: Number> {
    mesh: &'a Mesh<R>,
    source: &'a Source<'a>,
    lattice: &'a [[f64; 3]; 3],
    own: Range<usize>,
    points: &'a mut [R],
}

/// Brings the potential, and its derivatives in points, back to atoms.
struct Interpolate<'a, R: Number> {
    mesh: &'a Mesh<R>,
    lattice: &'a [[f64; 3]; 3],
    points: &'a [R],
    positions: &'a [[f64; 3]],
    found: &'a mut [[f64; 4]],
}

impl<R: Number> Mesh<R> {
    #[inline(always)]
    fn place<V: Vector<Real = R>, const K: usize>(
        &self,
        simd: V::Simd,
        r: [f64; 3],
        lattice: &[[f64; 3]; 3],
    ) -> Place<V, K> {
        let (first, a) = (self.bell).at::<V, K>(simd, self.along(0, r, lattice));
        let (second, b) = (self.bell).at::<V, K>(simd, self.along(1, r, lattice));
        let (third, along) = (self.bell).at::<V, K>(simd, self.along(2, r, lattice));
        Place {
            low: [
                turned(first, self.size[0]),
                turned(second, self.size[1]),
                turned(third, self.size[2]),
            ],
            value: [flat(a[0]), flat(b[0])],
            slope: [flat(a[1]), flat(b[1])],
            along,
        }
    }

    /// Where an atom is along a direction, in points.
    #[inline(always)]
    fn along(&self, d: usize, r: [f64; 3], lattice: &[[f64; 3]; 3]) -> f64 {
        let s = dot(lattice[d], r);
        (s - s.floor()) * self.size[d] as f64
    }

    /// Sorts the atoms by the first plane of their bells.
    fn sort(&mut self, source: &Source<'_>, lattice: &[[f64; 3]; 3]) {
        let n0 = self.size[0];
        let first = |r: &[f64; 3]| turned(self.bell.low(self.along(0, *r, lattice)) as i64, n0);
        let planes: Vec<u32> = source
            .positions
            .par_iter()
            .map(|r| first(r) as u32)
            .collect();
        self.starts.clear();
        self.starts.resize(n0 + 1, 0);
        planes
            .iter()
            .for_each(|&p| self.starts[p as usize + 1] += 1);
        (0..n0).for_each(|p| self.starts[p + 1] += self.starts[p]);
        let mut next = self.starts.clone();
        self.order.resize(planes.len(), 0);
        for (i, &p) in planes.iter().enumerate() {
            self.order[next[p as usize]] = i as u32;
            next[p as usize] += 1;
        }
    }

    /// Σ c times the bell, at all points. Each thread has planes of its own, and every point gets its
    /// atoms in the same order whatever the threads.
    pub(super) fn spread(
        &mut self,
        source: &Source<'_>,
        lattice: &[[f64; 3]; 3],
        points: &mut [R],
    ) {
        self.sort(source, lattice);
        let ([n0, n1, _], stride) = (self.size, self.stride);
        let share = n0.div_ceil(2 * rayon::current_num_threads()).max(PLANES);
        let chunks = points.par_chunks_mut(share * n1 * stride).enumerate();
        chunks.for_each(|(chunk, points)| {
            let own = chunk * share..chunk * share + points.len() / (n1 * stride);
            self.arch.dispatch(Spread {
                mesh: self,
                source,
                lattice,
                own,
                points,
            });
        });
    }

    /// The potential at all atoms, and its derivatives in points, to `found`.
    pub(super) fn interpolate(
        &mut self,
        source: &Source<'_>,
        lattice: &[[f64; 3]; 3],
        points: &[R],
    ) {
        let mut found = std::mem::take(&mut self.found);
        found.resize(source.positions.len(), [0.0; 4]);
        let chunks = found.par_chunks_mut(ATOMS);
        let chunks = chunks.zip(source.positions.par_chunks(ATOMS));
        chunks.for_each(|(found, positions)| {
            self.arch.dispatch(Interpolate {
                mesh: self,
                lattice,
                points,
                positions,
                found,
            });
        });
        self.found = found;
    }
}

impl<R: Number> WithSimd for Spread<'_, R> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        by_vectors!(self, simd, R::Vector<S>)
    }
}

impl<R: Number> Spread<'_, R> {
    #[inline(always)]
    fn run<V: Vector<Real = R>, const K: usize>(self, simd: V::Simd) {
        let (mesh, own, points) = (self.mesh, self.own, self.points);
        let ([n0, n1, n2], stride, width) = (mesh.size, mesh.stride, mesh.bell.width);
        points.fill(R::default());
        let reached = (own.len() + width - 1).min(n0);
        // From the first plane whose bells reach into the own ones.
        let start = own.start + (width - 1) / n0 * n0 + n0 - (width - 1) % n0;
        for plane in (0..reached).map(|p| (start + p) % n0) {
            for &i in &mesh.order[mesh.starts[plane]..mesh.starts[plane + 1]] {
                let i = i as usize;
                let place = mesh.place::<V, K>(simd, self.source.positions[i], self.lattice);
                let strength = R::of(self.source.strengths[i]);
                let values = place.along[0];
                for a in 0..width {
                    let plane = next(place.low[0] + a, n0);
                    if !own.contains(&plane) {
                        continue;
                    }
                    let of_plane = strength * place.value[0][a];
                    for b in 0..width {
                        let row = (plane - own.start) * n1 + next(place.low[1] + b, n1);
                        let row = &mut points[row * stride + place.low[2]..][..K * V::N];
                        let c = V::splat(simd, of_plane * place.value[1][b]);
                        let row = V::rows_mut(row);
                        for j in 0..K {
                            values[j].fma(c, V::get(simd, &row[j])).put(&mut row[j]);
                        }
                    }
                }
            }
        }
        // What went beyond the end of a row belongs to its beginning.
        for row in points.chunks_exact_mut(stride) {
            let (row, beyond) = row.split_at_mut(n2);
            for (j, x) in beyond.iter().enumerate() {
                row[next(j, n2)] += *x;
            }
        }
    }
}

impl<R: Number> WithSimd for Interpolate<'_, R> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        by_vectors!(self, simd, R::Vector<S>)
    }
}

impl<R: Number> Interpolate<'_, R> {
    #[inline(always)]
    fn run<V: Vector<Real = R>, const K: usize>(self, simd: V::Simd) {
        for (found, &r) in self.found.iter_mut().zip(self.positions) {
            let place = self.mesh.place::<V, K>(simd, r, self.lattice);
            *found = potential_and_gradient(simd, self.mesh, &place, self.points);
        }
    }
}

#[inline(always)]
fn potential_and_gradient<V: Vector, const K: usize>(
    simd: V::Simd,
    mesh: &Mesh<V::Real>,
    place: &Place<V, K>,
    points: &[V::Real],
) -> [f64; 4]
where
    V::Real: Number,
{
    let ([n0, n1, _], stride, width) = (mesh.size, mesh.stride, mesh.bell.width);
    let zero = V::constant(simd, 0.0);
    // Along the third direction: sums of rows by value; by slope of the first, and of the second.
    let mut sums = [[zero; K]; 3];
    for a in 0..width {
        let plane = next(place.low[0] + a, n0) * n1;
        let (mut value, mut slope) = ([zero; K], [zero; K]);
        for b in 0..width {
            let row = plane + next(place.low[1] + b, n1);
            let row = V::rows(&points[row * stride + place.low[2]..][..K * V::N]);
            let v = V::splat(simd, place.value[1][b]);
            let s = V::splat(simd, place.slope[1][b]);
            for j in 0..K {
                let point = V::get(simd, &row[j]);
                value[j] = point.fma(v, value[j]);
                slope[j] = point.fma(s, slope[j]);
            }
        }
        let v = V::splat(simd, place.value[0][a]);
        let s = V::splat(simd, place.slope[0][a]);
        for j in 0..K {
            sums[0][j] = value[j].fma(v, sums[0][j]);
            sums[1][j] = value[j].fma(s, sums[1][j]);
            sums[2][j] = slope[j].fma(v, sums[2][j]);
        }
    }
    let [values, slopes] = place.along;
    [
        total(sums[0], values),
        total(sums[1], values),
        total(sums[2], values),
        total(sums[0], slopes),
    ]
}

/// The sum of products in f64.
#[inline(always)]
fn total<V: Vector, const K: usize>(mut a: [V; K], b: [V; K]) -> f64 {
    for j in 0..K {
        a[j] = a[j] * b[j];
    }
    flat(a).into_iter().map(Real::wide).sum()
}

/// A place on a ring of `n`, from a place that may be off it.
#[inline(always)]
fn turned(place: i64, n: usize) -> usize {
    place.rem_euclid(n as i64) as usize
}

/// The same for places that are seldom beyond the end.
#[inline(always)]
fn next(mut place: usize, n: usize) -> usize {
    while place >= n {
        place -= n;
    }
    place
}
