//! Force constants of a crystal from a few displaced supercells, and the frequencies at the wave vectors that fit.
//!
//! **Source**: Parlinski, Li & Kawazoe, Phys. Rev. Lett. 78, 4063 (1997): forces of one displaced atom, and what the
//! symmetry makes of them.

use super::symmetry::{Operation, rotations};
use faer::{Mat, Side};
use nepal::error::{Error, Result};
use nepal::system::cell::{dot, norm, sub};
use nepal::system::{Cell, Structure};
use nepal::units::MASS;
use serde::{Deserialize, Serialize};

/// Two directions, or wave vectors, are one within this.
const SAME: f64 = 1e-4;

/// An atom that is moved, and by how much, Å.
pub type Move = (usize, [f64; 3]);

/// The moves from which all force constants of a supercell follow. One that the symmetry does not turn around is made
/// both ways, so that forces at rest cancel.
pub fn moves(s: &Structure, operations: &[Operation], size: f64) -> Vec<Move> {
    let mut all = Vec::new();
    for atom in 0..s.len() {
        // The first atom of those that are alike stands for them.
        if operations.iter().any(|o| o.to[atom] < atom) {
            continue;
        }
        let mut known: Vec<[f64; 3]> = Vec::new();
        for axis in 0..3 {
            let along: [f64; 3] = std::array::from_fn(|k| if k == axis { 1.0 } else { 0.0 });
            if !outside(along, &mut known.clone()) {
                continue;
            }
            all.push((atom, along.map(|x| x * size)));
            let mut turned = false;
            for o in operations.iter().filter(|o| o.to[atom] == atom) {
                let image = o.turned(along);
                outside(image, &mut known);
                turned |= dot(image, along) < -1.0 + SAME;
            }
            if !turned {
                all.push((atom, along.map(|x| -x * size)));
            }
        }
    }
    all
}

/// Whether a unit vector leaves the span of some orthonormal ones; they then span it too.
fn outside(v: [f64; 3], known: &mut Vec<[f64; 3]>) -> bool {
    let mut rest = v;
    for k in known.iter() {
        let along = dot(rest, *k);
        rest = std::array::from_fn(|c| rest[c] - along * k[c]);
    }
    let left = norm(rest);
    if left > SAME {
        known.push(rest.map(|x| x / left));
    }
    left > SAME
}

/// Force constants of a supercell: d²E/du du, eV/Å². Shape `[3 n_atoms][3 n_atoms]`.
pub struct ForceConstants(Mat<f64>);

impl ForceConstants {
    /// From the forces (eV/Å) after each move.
    ///
    /// **Errors**: [`Error::Failed`] if the moves do not suffice.
    pub fn new(
        s: &Structure,
        operations: &[Operation],
        moved: &[(Move, &[[f64; 3]])],
    ) -> Result<Self> {
        let n = s.len();
        let mut constants = Mat::<f64>::zeros(3 * n, 3 * n);
        let mut known = vec![false; n];
        let mut movers: Vec<usize> = moved.iter().map(|m| m.0.0).collect();
        movers.dedup();
        for atom in movers {
            let mut squares = [[0.0; 3]; 3];
            let mut products = vec![[[0.0; 3]; 3]; n];
            for ((_, by), forces) in moved.iter().filter(|m| m.0.0 == atom) {
                for o in operations.iter().filter(|o| o.to[atom] == atom) {
                    let u = o.turned(*by);
                    add_product(&mut squares, u, u);
                    for (j, f) in forces.iter().enumerate() {
                        add_product(&mut products[o.to[j]], o.turned(*f), u);
                    }
                }
            }
            // A symmetric matrix of full rank is a cell to the library.
            let inverse = Cell::new(squares, [true; 3])
                .map_err(|_| Error::Failed("the moves do not span all directions".into()))?;
            let own: Vec<[[f64; 3]; 3]> = products
                .iter()
                .map(|p| p.map(|row| inverse.fractional(row).map(|x| -x)))
                .collect();
            for o in operations {
                let column = o.to[atom];
                if std::mem::replace(&mut known[column], true) {
                    continue;
                }
                for (j, block) in own.iter().enumerate() {
                    let half = block.map(|row| o.turned(row));
                    for a in 0..3 {
                        for b in 0..3 {
                            let x = (0..3).map(|k| o.rotation[a][k] * half[k][b]).sum::<f64>();
                            constants[(3 * o.to[j] + a, 3 * column + b)] = x;
                        }
                    }
                }
            }
        }
        if known.contains(&false) {
            return Err(Error::Failed(
                "an atom that is like no moved one has no force constants".into(),
            ));
        }
        let mut out = Self(Mat::from_fn(3 * n, 3 * n, |i, j| {
            0.5 * (constants[(i, j)] + constants[(j, i)])
        }));
        out.rest_together();
        Ok(out)
    }

    /// Moving all atoms alike costs nothing.
    fn rest_together(&mut self) {
        let m = &mut self.0;
        for row in 0..m.nrows() {
            let own = row / 3;
            for b in 0..3 {
                let others = (0..m.ncols() / 3).filter(|&j| j != own);
                let sum: f64 = others.map(|j| m[(row, 3 * j + b)]).sum();
                m[(row, 3 * own + b)] = -sum;
            }
        }
    }

    /// Frequencies at the wave vectors that fit into the supercell, which is a cell `repeat` times; of those that the
    /// symmetry makes alike the first.
    ///
    /// **Errors**: [`Error::Failed`] if there are no eigenvalues.
    pub fn branches(
        &self,
        cell: &Structure,
        repeat: [usize; 3],
        operations: &[Operation],
    ) -> Result<Vec<Branches>> {
        let turns = rotations(operations);
        let mut all: Vec<Branches> = Vec::new();
        for i in 0..repeat[0] {
            for j in 0..repeat[1] {
                for k in 0..repeat[2] {
                    let numbers = [i, j, k];
                    let q = std::array::from_fn(|d| numbers[d] as f64 / repeat[d] as f64);
                    if !all.iter().any(|b| alike(&cell.cell, &turns, b.q, q)) {
                        let frequencies = self.frequencies(cell, repeat, q)?;
                        all.push(Branches { q, frequencies });
                    }
                }
            }
        }
        Ok(all)
    }

    fn frequencies(&self, cell: &Structure, repeat: [usize; 3], q: [f64; 3]) -> Result<Vec<f64>> {
        let n = cell.len();
        let roots: Vec<f64> = cell
            .elements
            .iter()
            .map(|e| (e.mass() * MASS).sqrt())
            .collect();
        // A Hermitian matrix A + iB has the eigenvalues of [A -B; B A], each of them twice there.
        let mut real = Mat::<f64>::zeros(6 * n, 6 * n);
        let mut copy = 0;
        for i in 0..repeat[0] {
            for j in 0..repeat[1] {
                for k in 0..repeat[2] {
                    let phase = q[0] * i as f64 + q[1] * j as f64 + q[2] * k as f64;
                    let (sin, cos) = (std::f64::consts::TAU * phase).sin_cos();
                    for row in 0..3 * n {
                        for column in 0..3 * n {
                            let weight = 1.0 / (roots[row / 3] * roots[column / 3]);
                            let x = self.0[(row, 3 * n * copy + column)] * weight;
                            real[(row, column)] += cos * x;
                            real[(row + 3 * n, column + 3 * n)] += cos * x;
                            real[(row + 3 * n, column)] += sin * x;
                            real[(row, column + 3 * n)] -= sin * x;
                        }
                    }
                    copy += 1;
                }
            }
        }
        let both = Mat::from_fn(6 * n, 6 * n, |i, j| 0.5 * (real[(i, j)] + real[(j, i)]));
        let squares = both.self_adjoint_eigenvalues(Side::Lower).map_err(|_| {
            Error::Failed("the force constants have no eigenvalues; are all forces finite?".into())
        })?;
        let frequency = |s: &f64| s.signum() * s.abs().sqrt() / std::f64::consts::TAU;
        Ok(squares.iter().step_by(2).map(frequency).collect())
    }
}

/// Frequencies at a wave vector.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Branches {
    /// In units of the reciprocal vectors of the cell.
    pub q: [f64; 3],
    /// THz, ascending; imaginary ones as negative numbers.
    pub frequencies: Vec<f64>,
}

fn add_product(sum: &mut [[f64; 3]; 3], a: [f64; 3], b: [f64; 3]) {
    for (row, x) in sum.iter_mut().zip(a) {
        for (s, y) in row.iter_mut().zip(b) {
            *s += x * y;
        }
    }
}

/// Whether two wave vectors differ by a rotation, the sign, and a vector of the reciprocal lattice.
fn alike(cell: &Cell, turns: &[[[f64; 3]; 3]], p: [f64; 3], q: [f64; 3]) -> bool {
    let cartesian = |q: [f64; 3]| -> [f64; 3] {
        std::array::from_fn(|c| {
            let unit = std::array::from_fn(|k| f64::from(u8::from(k == c)));
            dot(q, cell.fractional(unit))
        })
    };
    let (p, q) = (cartesian(p), cartesian(q));
    turns.iter().any(|r| {
        let turned = r.map(|row| dot(row, p));
        let whole = |v: [f64; 3]| {
            let parts = cell.vectors().map(|a| dot(v, a));
            parts.iter().all(|x| (x - x.round()).abs() < SAME)
        };
        whole(sub(turned, q)) || whole(sub(turned.map(|x| -x), q))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explore::crystal::equilibrium;
    use crate::explore::phonons::Modes;
    use crate::explore::symmetry::operations;
    use crate::explore::testing;
    use nepal::calculator::Potential;

    #[test]
    fn few_moves_give_the_modes_of_all_of_them() {
        let (mut potential, start) = testing::silicon();
        let e = equilibrium(&mut potential, &start).unwrap().scale - 1.0;
        let mut cell = start
            .strained(&[[e, 0.0, 0.0], [0.0, e, 0.0], [0.0, 0.0, e]])
            .unwrap();
        let mut compare = |cell: &Structure, repeat: [usize; 3], count: usize, points: usize| {
            let s = cell.repeated(repeat).unwrap();
            let symmetry = operations(&s);
            let moves = moves(&s, &symmetry, 0.01);
            assert_eq!(moves.len(), count);
            let forces: Vec<_> = moves
                .iter()
                .map(|(atom, by)| {
                    let mut moved = s.clone();
                    moved.positions[*atom] =
                        std::array::from_fn(|k| moved.positions[*atom][k] + by[k]);
                    potential.energy_forces_virial(&moved).unwrap().1
                })
                .collect();
            let moved: Vec<_> = moves
                .iter()
                .copied()
                .zip(forces.iter().map(Vec::as_slice))
                .collect();
            let constants = ForceConstants::new(&s, &symmetry, &moved).unwrap();
            let branches = constants.branches(cell, repeat, &symmetry).unwrap();
            assert_eq!(branches.len(), points);
            // Those of the supercell itself are all of them, as often as there are such wave vectors.
            let modes = Modes::of(&mut potential, &s).unwrap().frequencies();
            for b in &branches {
                assert_eq!(b.frequencies.len(), 3 * cell.len());
                for f in &b.frequencies {
                    let near = modes
                        .iter()
                        .map(|m| (m - f).abs())
                        .fold(f64::INFINITY, f64::min);
                    assert!(near < 0.03, "{f} at {:?} is none of {modes:?}", b.q);
                }
            }
            let top = branches.iter().flat_map(|b| b.frequencies.iter().copied());
            let (top, all) = (
                top.fold(0.0, f64::max),
                modes.iter().copied().fold(0.0, f64::max),
            );
            assert!((top / all - 1.0).abs() < 1e-3, "{top} {all}");
        };
        // One direction is unlike the others by the shape of the supercell.
        compare(&cell, [2, 1, 1], 2, 2);
        compare(&cell, [2, 2, 2], 1, 4);
        // Without symmetry each atom moves along each axis, both ways, also where it is not at rest.
        let shifted: Vec<[f64; 3]> = cell.positions.clone();
        for (k, r) in cell.positions.iter_mut().enumerate() {
            r[k % 3] = shifted[k][k % 3] + 0.02 + 0.01 * k as f64;
        }
        compare(&cell, [1; 3], 48, 1);
    }
}
