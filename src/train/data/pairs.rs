//! A pair potential that is linear in its coefficients: what energies, forces and virials say of one
//! another, without a model.

use nalgebra::{DMatrix, DVector};
use nepal::model::Header;
use nepal::system::cell::norm;
use nepal::system::{Frame, NeighborList};

/// Powers of the distance functions (1 - r/rc)^m.
const POWERS: [i32; 8] = [2, 3, 4, 6, 8, 12, 18, 26];
/// Range of the pair potential, Å.
const RANGE: f64 = 6.0;
/// Kinds of pairs beyond which all pairs are taken as alike.
const KINDS: usize = 6;

/// One frame as columns of a linear problem, a column for each distance function of each kind of pair.
pub(super) struct Rows {
    /// Place of the frame.
    pub frame: usize,
    /// eV/atom.
    pub energy: DVector<f64>,
    /// eV/Å, `[3 n_atoms][columns]`.
    pub forces: DMatrix<f64>,
    /// eV/atom, xx yy zz xy yz zx, `[6][columns]`.
    pub virial: DMatrix<f64>,
}

/// Kinds of pairs that are told apart.
fn kinds(header: &Header) -> usize {
    let pairs = header.n_types() * (header.n_types() + 1) / 2;
    if pairs > KINDS { 1 } else { pairs }
}

/// Coefficients of the potential.
pub(super) fn columns(header: &Header) -> usize {
    kinds(header) * POWERS.len()
}

impl Rows {
    pub fn of(header: &Header, frames: &[Frame], index: usize) -> Option<Self> {
        let s = &frames[index].structure;
        let kinds = kinds(header);
        let types: Vec<usize> = s
            .elements
            .iter()
            .map(|e| header.elements.iter().position(|x| x == e))
            .collect::<Option<_>>()?;
        let list = NeighborList::build(&s.cell, &s.positions, RANGE).ok()?;
        let (columns, n) = (columns(header), s.len() as f64);
        let mut energy = DVector::zeros(columns);
        let mut forces = DMatrix::zeros(3 * s.len(), columns);
        let mut virial = DMatrix::zeros(6, columns);
        for i in 0..s.len() {
            for (j, vector) in list.vectors(i, &s.cell, &s.positions) {
                let r = norm(vector);
                if r >= RANGE || r == 0.0 {
                    continue;
                }
                let (low, high) = (types[i].min(types[j]), types[i].max(types[j]));
                let kind = if kinds == 1 {
                    0
                } else {
                    high * (high + 1) / 2 + low
                };
                let x = 1.0 - r / RANGE;
                for (m, &power) in POWERS.iter().enumerate() {
                    let column = kind * POWERS.len() + m;
                    energy[column] += 0.5 * x.powi(power) / n;
                    // Force on i along the bond to j: dφ/dr, which is negative for these functions.
                    let slope = -f64::from(power) * x.powi(power - 1) / RANGE / r;
                    for (a, v) in vector.iter().enumerate() {
                        forces[(3 * i + a, column)] += slope * v;
                    }
                    for (c, [ab, _]) in super::COMPONENTS.iter().enumerate() {
                        let product = vector[ab / 3] * vector[ab % 3];
                        virial[(c, column)] -= 0.5 * slope * product / n;
                    }
                }
            }
        }
        Some(Self {
            frame: index,
            energy,
            forces,
            virial,
        })
    }
}

/// Solves regularised normal equations.
pub(super) fn solve(mut matrix: DMatrix<f64>, right: &DVector<f64>) -> Option<DVector<f64>> {
    for k in 0..matrix.nrows() {
        matrix[(k, k)] *= 1.0 + 1e-8;
        matrix[(k, k)] += 1e-300;
    }
    matrix.cholesky().map(|c| c.solve(right))
}
