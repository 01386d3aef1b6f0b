//! Lattices of rank one to three: reduction, Wigner–Seitz cells, subspaces.

use crate::system::cell::{add, cross, dot, norm, sub};

/// A vector in space, Å.
pub(super) type V = [f64; 3];

/// `v` times a number.
pub(super) fn scale(v: V, factor: f64) -> V {
    v.map(|x| x * factor)
}

/// A linear subspace given by an orthonormal basis.
#[derive(Clone, Debug, Default)]
pub(super) struct Subspace {
    basis: Vec<V>,
}

impl Subspace {
    /// All of space, along the axes.
    pub(super) fn full() -> Self {
        Self::span(&[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    }

    /// The span of some vectors; those that depend on earlier ones add nothing.
    pub(super) fn span(vectors: &[V]) -> Self {
        let mut space = Self::default();
        for &v in vectors {
            let rest = space.remove(space.remove(v));
            if norm(rest) > 1e-9 * norm(v).max(1e-300) {
                space.basis.push(scale(rest, 1.0 / norm(rest)));
            }
        }
        space
    }

    /// Orthonormal basis.
    pub(super) fn basis(&self) -> &[V] {
        &self.basis
    }

    /// Dimension.
    pub(super) fn dim(&self) -> usize {
        self.basis.len()
    }

    /// The part of `v` inside the subspace.
    pub(super) fn project(&self, v: V) -> V {
        self.basis
            .iter()
            .fold([0.0; 3], |sum, &e| add(sum, scale(e, dot(e, v))))
    }

    /// The part of `v` perpendicular to the subspace.
    pub(super) fn remove(&self, v: V) -> V {
        sub(v, self.project(v))
    }

    /// What `outer` has beyond this subspace.
    pub(super) fn complement_in(&self, outer: &Self) -> Self {
        let rest: Vec<V> = outer.basis.iter().map(|&e| self.remove(e)).collect();
        // Long remainders first, so that rounding dust never starts a direction.
        let mut order: Vec<usize> = (0..rest.len()).collect();
        order.sort_by(|&a, &b| norm(rest[b]).total_cmp(&norm(rest[a])));
        let mut space = Self::default();
        for index in order {
            let v = space.remove(space.remove(rest[index]));
            if space.dim() + self.dim() < outer.dim() && norm(v) > 1e-6 {
                space.basis.push(scale(v, 1.0 / norm(v)));
            }
        }
        space
    }
}

/// Minkowski-reduces a basis of rank 1 to 3 in place, lengths measured after `project`; shortest
/// first. Bounded: degenerate input comes back as far as it got.
pub(super) fn reduce(basis: &mut [V], project: impl Fn(V) -> V) {
    let length = |v: V| norm(project(v));
    for _ in 0..100 {
        basis.sort_by(|&a, &b| length(a).total_cmp(&length(b)));
        let mut changed = false;
        for k in 1..basis.len() {
            let old = length(basis[k]);
            let mut best = basis[k];
            for j in 0..k {
                let e = project(basis[j]);
                let times = (dot(project(best), e) / dot(e, e).max(1e-300)).round();
                best = sub(best, scale(basis[j], times));
            }
            let center = best;
            for a in -1..=1 {
                for b in if k > 1 { -1..=1 } else { 0..=0 } {
                    let mut v = add(center, scale(basis[0], f64::from(a)));
                    if k > 1 {
                        v = add(v, scale(basis[1], f64::from(b)));
                    }
                    if length(v) < length(best) * (1.0 - 1e-12) {
                        best = v;
                    }
                }
            }
            if length(best) < old * (1.0 - 1e-12) {
                basis[k] = best;
                changed = true;
                break;
            }
        }
        if !changed {
            return;
        }
    }
}

/// Volume (area, length) spanned by the projected vectors.
pub(super) fn measure(vectors: &[V]) -> f64 {
    match *vectors {
        [] => 1.0,
        [a] => norm(a),
        [a, b] => norm(cross(a, b)),
        [a, b, c, ..] => dot(a, cross(b, c)).abs(),
    }
}

/// The region nearer to the origin than to any other point of a lattice.
#[derive(Clone, Debug)]
pub(super) struct WignerSeitz {
    /// Unit vector and half length of the lattice vectors that can bound the cell, one of each
    /// pair ±T.
    faces: Vec<(V, f64)>,
    shortest: f64,
}

impl WignerSeitz {
    /// The cell of a reduced basis.
    pub(super) fn new(basis: &[V]) -> Self {
        let mut faces = Vec::new();
        let digits = |index: usize, k: usize| (index / 3usize.pow(k as u32) % 3) as f64 - 1.0;
        let count = 3usize.pow(basis.len() as u32);
        // Indices above the middle (the zero vector) hold one of each pair ±T.
        for index in count / 2 + 1..count {
            let t = basis.iter().enumerate().fold([0.0; 3], |sum, (k, &v)| {
                add(sum, scale(v, digits(index, k)))
            });
            let length = norm(t);
            faces.push((scale(t, 1.0 / length.max(1e-300)), 0.5 * length));
        }
        faces.sort_by(|a, b| a.1.total_cmp(&b.1));
        let shortest = faces.first().map_or(f64::INFINITY, |face| 2.0 * face.1);
        Self { faces, shortest }
    }

    /// Length of the shortest lattice vector, Å; infinite without a lattice.
    pub(super) fn shortest(&self) -> f64 {
        self.shortest
    }

    /// How far a point lies outside the nearest face, Å; negative inside.
    pub(super) fn excess(&self, x: V) -> f64 {
        self.faces
            .iter()
            .map(|(unit, half)| dot(*unit, x).abs() - half)
            .fold(f64::NEG_INFINITY, f64::max)
    }

    /// Radius of a sphere that holds the cell of a basis: no point is farther from a lattice point
    /// than half the diagonal of the orthogonalised basis (Babai's nearest plane).
    pub(super) fn outer_radius(basis: &[V]) -> f64 {
        0.5 * basis.iter().map(|&v| dot(v, v)).sum::<f64>().sqrt()
    }

    /// How far the cell reaches along a unit direction, Å, to about one percent.
    pub(super) fn reach(&self, direction: V) -> f64 {
        const SAMPLES: usize = 2000;
        let golden = std::f64::consts::PI * (3.0 - 5.0f64.sqrt());
        (0..SAMPLES)
            .map(|k| {
                let z = 1.0 - (2.0 * k as f64 + 1.0) / SAMPLES as f64;
                let (s, c) = (golden * k as f64).sin_cos();
                let ring = (1.0 - z * z).sqrt();
                let u = [ring * c, ring * s, z];
                let distance = self
                    .faces
                    .iter()
                    .map(|(unit, half)| half / dot(*unit, u).abs().max(1e-12))
                    .fold(f64::INFINITY, f64::min);
                distance * dot(u, direction).max(0.0)
            })
            .fold(0.0, f64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skewed_basis_is_reduced_to_the_shortest_vectors() {
        let mut basis = [[4.0, 0.0, 0.0], [8.1, 3.9, 0.0], [12.3, 7.7, 5.0]];
        let volume = measure(&basis);
        reduce(&mut basis, |v| v);
        assert!((measure(&basis) - volume).abs() < 1e-9);
        let mut shortest = f64::INFINITY;
        for a in -6i32..=6 {
            for b in -6i32..=6 {
                for c in -6i32..=6 {
                    if (a, b, c) != (0, 0, 0) {
                        let v = add(
                            add(
                                scale([4.0, 0.0, 0.0], a.into()),
                                scale([8.1, 3.9, 0.0], b.into()),
                            ),
                            scale([12.3, 7.7, 5.0], c.into()),
                        );
                        shortest = shortest.min(norm(v));
                    }
                }
            }
        }
        assert!((norm(basis[0]) - shortest).abs() < 1e-9);
        assert!((WignerSeitz::new(&basis).shortest() - shortest).abs() < 1e-9);
    }

    #[test]
    fn the_wigner_seitz_cell_holds_the_nearest_image() {
        let mut basis = [[7.0, 0.3, 0.0], [3.0, 6.0, 0.5], [-2.0, 3.0, 8.0]];
        reduce(&mut basis, |v| v);
        let cell = WignerSeitz::new(&basis);
        for k in 0..200 {
            let f = |m: f64| (f64::from(k) * m).fract() * 16.0 - 8.0;
            let x = [f(0.618_034), f(0.754_878), f(0.569_84)];
            let mut nearest = f64::INFINITY;
            for i in 0..27 {
                let n = [i / 3 / 3 % 3 - 1, i / 3 % 3 - 1, i % 3 - 1];
                if n == [0; 3] {
                    continue;
                }
                let t = (0..3).fold([0.0; 3], |s, d| add(s, scale(basis[d], f64::from(n[d]))));
                nearest = nearest.min(norm(sub(x, t)));
            }
            assert_eq!(cell.excess(x) < 0.0, norm(x) < nearest, "{x:?}");
        }
        // A cube reaches half its edge along an axis.
        let cube = WignerSeitz::new(&[[10.0, 0.0, 0.0], [0.0, 10.0, 0.0], [0.0, 0.0, 10.0]]);
        assert!((cube.reach([0.0, 0.0, 1.0]) - 5.0).abs() < 0.1);
    }

    #[test]
    fn subspaces_split_space() {
        let plane = Subspace::span(&[[1.0, 1.0, 0.0], [2.0, 2.0, 0.0], [0.0, 1.0, 0.0]]);
        assert_eq!(plane.dim(), 2);
        let normal = plane.complement_in(&Subspace::full());
        assert_eq!(normal.dim(), 1);
        assert!((normal.basis()[0][2].abs() - 1.0).abs() < 1e-12);
        assert!(norm(sub(plane.project([3.0, 4.0, 5.0]), [3.0, 4.0, 0.0])) < 1e-12);
    }
}
