//! Simulation cells.

use crate::error::{Error, Result};
use nalgebra::Matrix3;

/// Three lattice vectors (rows, Å) and which of them are periodic.
///
/// The handedness is free and the vectors may be arbitrarily skewed. Along a non-periodic vector
/// there are no images; its length matters only as a direction.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    vectors: [[f64; 3]; 3],
    inverse: [[f64; 3]; 3],
    periodic: [bool; 3],
}

impl Cell {
    /// A cell from its vectors (rows) and periodicity.
    ///
    /// A zero vector along a non-periodic direction is replaced by a unit vector perpendicular to
    /// the others, so that a cluster may come with an all-zero cell.
    ///
    /// **Units**: Å. **Errors**: [`Error::InvalidArgument`] if a component is not finite, a
    /// periodic vector is zero, or the three vectors do not span space.
    pub fn new(vectors: [[f64; 3]; 3], periodic: [bool; 3]) -> Result<Self> {
        let mut vectors = vectors;
        if vectors.iter().flatten().any(|x| !x.is_finite()) {
            return Err(Error::invalid(format!(
                "the cell has a component that is not finite: {vectors:?}; give three finite vectors in Å"
            )));
        }
        complete(&mut vectors, periodic)?;
        let matrix = to_matrix(&vectors);
        let scale: f64 = vectors.iter().map(|v| norm(*v)).product();
        let volume = matrix.determinant().abs();
        let inverse = matrix
            .try_inverse()
            .filter(|m| m.iter().all(|x| x.is_finite()) && volume > 1e-10 * scale)
            .ok_or_else(|| {
                Error::invalid(format!(
                    "the cell vectors {vectors:?} do not span a volume (found {volume:.3e} Å^3); \
                     give three linearly independent vectors"
                ))
            })?;
        Ok(Self {
            vectors,
            inverse: from_matrix(&inverse),
            periodic,
        })
    }

    /// A periodic box with edges along x, y and z.
    ///
    /// **Errors**: as [`Cell::new`].
    pub fn orthorhombic(lengths: [f64; 3]) -> Result<Self> {
        let mut vectors = [[0.0; 3]; 3];
        for (axis, length) in lengths.into_iter().enumerate() {
            vectors[axis][axis] = length;
        }
        Self::new(vectors, [true; 3])
    }

    /// The cell of a cluster: no periodic direction.
    pub fn isolated() -> Self {
        let identity = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        Self {
            vectors: identity,
            inverse: identity,
            periodic: [false; 3],
        }
    }

    /// Lattice vectors as rows, Å.
    pub fn vectors(&self) -> &[[f64; 3]; 3] {
        &self.vectors
    }

    /// Which lattice vectors are periodic.
    pub fn periodic(&self) -> [bool; 3] {
        self.periodic
    }

    /// Volume in Å³; meaningless unless all directions are periodic.
    pub fn volume(&self) -> f64 {
        to_matrix(&self.vectors).determinant().abs()
    }

    /// Distances between opposite faces, Å.
    pub fn thickness(&self) -> [f64; 3] {
        // Column d of the inverse is the reciprocal vector of direction d.
        std::array::from_fn(|d| 1.0 / norm(std::array::from_fn(|a| self.inverse[a][d])))
    }

    /// Fractional coordinates of a point.
    pub fn fractional(&self, r: [f64; 3]) -> [f64; 3] {
        row_times(r, &self.inverse)
    }

    /// Cartesian coordinates (Å) of a fractional point.
    pub fn cartesian(&self, s: [f64; 3]) -> [f64; 3] {
        row_times(s, &self.vectors)
    }

    /// The lattice translation of an image, Å.
    pub fn translation(&self, image: [i32; 3]) -> [f64; 3] {
        self.cartesian(image.map(f64::from))
    }

    /// The point moved into the cell along the periodic directions.
    pub fn wrap(&self, r: [f64; 3]) -> [f64; 3] {
        let mut s = self.fractional(r);
        for (d, x) in s.iter_mut().enumerate() {
            if self.periodic[d] {
                *x -= x.floor();
            }
        }
        self.cartesian(s)
    }

    /// The deformation F of this cell into another: `r` goes to `r F`, rows first index.
    pub fn deformation(&self, to: &Self) -> [[f64; 3]; 3] {
        let unit = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        if self.vectors == to.vectors {
            return unit;
        }
        unit.map(|e| to.cartesian(self.fractional(e)))
    }

    /// A bound on how much the deformation into another cell lengthens a vector; 1 for the same cell.
    pub fn stretch(&self, to: &Self) -> f64 {
        let mut change = self.deformation(to);
        for d in 0..3 {
            change[d][d] -= 1.0;
        }
        1.0 + norm(change.map(norm))
    }

    /// The same lattice with periodic vectors as short as they can be and the others perpendicular to
    /// them, in which neighbours are looked for; and its vectors in those of this cell. `None` where
    /// that takes more lattice vectors than can be counted with.
    ///
    /// **Source**: Minkowski's reduction by steps of Lagrange's (Nguyen and Stehlé, ACM Trans. Algorithms
    /// 5, 46 (2009)).
    pub(super) fn reduced(&self) -> Option<(Self, [[i32; 3]; 3])> {
        const LARGEST: f64 = 1e8;
        let vector = |n: &[f64; 3]| self.cartesian(*n);
        let unit = |d: usize| std::array::from_fn(|k| f64::from(u8::from(k == d)));
        let mut basis: Vec<[f64; 3]> = (0..3).filter(|&d| self.periodic[d]).map(unit).collect();
        let mut changed = true;
        while std::mem::take(&mut changed) {
            basis.sort_by(|a, b| norm(vector(a)).total_cmp(&norm(vector(b))));
            for k in 1..basis.len() {
                let shorter = shortened(&basis[k], &basis[..k], vector);
                if norm(vector(&shorter)) < norm(vector(&basis[k])) * (1.0 - 1e-9) {
                    basis[k] = shorter;
                    changed = true;
                    break;
                }
            }
            if basis.iter().flatten().any(|n| n.abs() > LARGEST) {
                return None;
            }
        }
        let (mut vectors, mut numbers) = ([[0.0; 3]; 3], [[0; 3]; 3]);
        let periodic = (0..3).filter(|&d| self.periodic[d]);
        for (d, n) in periodic.zip(&basis) {
            vectors[d] = vector(n);
            numbers[d] = n.map(|x| x as i32);
        }
        Some((Self::new(vectors, self.periodic).ok()?, numbers))
    }

    /// The cell strained by `r -> r (1 + strain)`, rows of `strain` first index.
    ///
    /// **Errors**: as [`Cell::new`], when the strain flattens the cell.
    pub fn strained(&self, strain: &[[f64; 3]; 3]) -> Result<Self> {
        let vectors = self.vectors.map(|v| strain_vector(v, strain));
        Self::new(vectors, self.periodic)
    }
}

/// `v (1 + strain)`: the homogeneous deformation used throughout for virials and stress.
pub fn strain_vector(v: [f64; 3], strain: &[[f64; 3]; 3]) -> [f64; 3] {
    let moved = row_times(v, strain);
    std::array::from_fn(|a| v[a] + moved[a])
}

/// The shortest of a lattice vector less multiples of shorter ones, all in numbers of lattice vectors.
fn shortened(
    long: &[f64; 3],
    shorter: &[[f64; 3]],
    vector: impl Fn(&[f64; 3]) -> [f64; 3],
) -> [f64; 3] {
    let less = |n: [f64; 3], by: &[f64; 3], times: f64| -> [f64; 3] {
        std::array::from_fn(|k| n[k] - times * by[k])
    };
    let mut best = *long;
    for by in shorter.iter().rev() {
        let e = vector(by);
        best = less(best, by, (dot(vector(&best), e) / dot(e, e)).round());
    }
    let near = shorter.iter().fold(vec![best], |all, by| {
        let around = |n: &[f64; 3]| [-1.0, 0.0, 1.0].map(|times| less(*n, by, times));
        all.iter().flat_map(around).collect()
    });
    let length = |n: &[f64; 3]| norm(vector(n));
    let shortest = near
        .into_iter()
        .min_by(|a, b| length(a).total_cmp(&length(b)));
    shortest.unwrap_or(best)
}

/// Replaces zero vectors along non-periodic directions by perpendicular unit vectors.
fn complete(vectors: &mut [[f64; 3]; 3], periodic: [bool; 3]) -> Result<()> {
    for d in 0..3 {
        if norm(vectors[d]) > 0.0 {
            continue;
        }
        if periodic[d] {
            return Err(Error::invalid(format!(
                "cell vector {} is zero but periodic; give its length in Å or make it non-periodic",
                d + 1
            )));
        }
        let (u, v) = (vectors[(d + 1) % 3], vectors[(d + 2) % 3]);
        let candidate = match (norm(u) > 0.0, norm(v) > 0.0) {
            (true, true) => cross(u, v),
            (true, false) | (false, true) => {
                let w = if norm(u) > 0.0 { u } else { v };
                let axis = (0..3)
                    .min_by(|&a, &b| w[a].abs().total_cmp(&w[b].abs()))
                    .unwrap_or(0);
                let mut e = [0.0; 3];
                e[axis] = 1.0;
                cross(w, e)
            }
            (false, false) => {
                let mut e = [0.0; 3];
                e[d] = 1.0;
                e
            }
        };
        let length = norm(candidate);
        if length > 0.0 {
            vectors[d] = candidate.map(|x| x / length);
        }
    }
    Ok(())
}

/// Euclidean length.
pub fn norm(v: [f64; 3]) -> f64 {
    dot(v, v).sqrt()
}

/// Scalar product.
pub fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

/// `a - b`.
pub fn sub(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

/// `a + b`.
pub fn add(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [a[0] + b[0], a[1] + b[1], a[2] + b[2]]
}

/// Vector product.
pub fn cross(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [
        a[1] * b[2] - a[2] * b[1],
        a[2] * b[0] - a[0] * b[2],
        a[0] * b[1] - a[1] * b[0],
    ]
}

fn row_times(v: [f64; 3], m: &[[f64; 3]; 3]) -> [f64; 3] {
    std::array::from_fn(|a| v[0] * m[0][a] + v[1] * m[1][a] + v[2] * m[2][a])
}

fn to_matrix(rows: &[[f64; 3]; 3]) -> Matrix3<f64> {
    Matrix3::from_fn(|i, j| rows[i][j])
}

fn from_matrix(m: &Matrix3<f64>) -> [[f64; 3]; 3] {
    std::array::from_fn(|i| std::array::from_fn(|j| m[(i, j)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractional_and_cartesian_are_inverse() {
        let cell = Cell::new(
            [[4.0, 0.1, 0.0], [1.0, 5.0, -0.3], [7.0, 2.0, -3.0]],
            [true; 3],
        )
        .unwrap();
        let r = [1.3, -2.2, 9.1];
        let back = cell.cartesian(cell.fractional(r));
        for a in 0..3 {
            assert!((back[a] - r[a]).abs() < 1e-12);
        }
        let t = cell.thickness();
        let v = cell.vectors();
        let expected = cell.volume() / norm(cross(v[1], v[2]));
        assert!((t[0] - expected).abs() < 1e-12);
    }

    #[test]
    fn bad_cells_are_refused() {
        assert!(Cell::orthorhombic([0.0, 1.0, 1.0]).is_err());
        assert!(Cell::orthorhombic([f64::NAN, 1.0, 1.0]).is_err());
        let flat = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 1.0, 0.0]];
        assert!(Cell::new(flat, [true; 3]).is_err());
    }

    #[test]
    fn a_lattice_is_reduced_to_its_shortest_vectors() {
        let cube = [[4.0, 0.0, 0.0], [0.0, 4.0, 0.0], [0.0, 0.0, 4.0]];
        let cell = Cell::new(
            [[4.0, 0.0, 0.0], [4000.0, 4.0, 0.0], [-8e4, 2000.0, 4.0]],
            [true; 3],
        )
        .unwrap();
        let (short, numbers) = cell.reduced().unwrap();
        assert!((short.volume() - 64.0).abs() < 1e-6);
        for d in 0..3 {
            assert!((norm(short.vectors()[d]) - 4.0).abs() < 1e-9, "{short:?}");
            let again = cell.translation(numbers[d]);
            assert!(norm(sub(again, short.vectors()[d])) < 1e-9);
        }
        // Only periodic vectors count: the others are perpendicular to them.
        let slab = Cell::new(
            [[4.0, 0.0, 0.0], [400.0, 4.0, 0.0], [900.0, 900.0, 0.1]],
            [true, true, false],
        )
        .unwrap();
        let (short, _) = slab.reduced().unwrap();
        assert!(short.thickness().iter().all(|&t| t > 0.99), "{short:?}");
        let kept = Cell::new(cube, [true; 3]).unwrap().reduced().unwrap().0;
        assert_eq!(kept.vectors(), &cube);
    }

    #[test]
    fn zero_vectors_are_completed_where_not_periodic() {
        let slab = Cell::new(
            [[3.0, 0.0, 0.0], [0.0, 4.0, 0.0], [0.0; 3]],
            [true, true, false],
        )
        .unwrap();
        assert!((slab.volume() - 12.0).abs() < 1e-12);
        assert!(Cell::new([[0.0; 3]; 3], [false; 3]).is_ok());
        let wire = [[0.0; 3], [0.0, 0.0, 2.0], [0.0; 3]];
        assert!(Cell::new(wire, [false, true, false]).is_ok());
    }
}
