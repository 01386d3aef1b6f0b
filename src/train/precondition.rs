//! A dense approximation of the loss's Gauss–Newton matrix, for the conjugate gradients of the end
//! game: AᵀA of a random sketch A = S J, which keeps the spectrum that makes the problem stiff.
//!
//! Source: Avron, Maymounkov & Toledo, SIAM J. Sci. Comput. 32, 1217 (2010), for sketching as a
//! preconditioner.

use super::objective::Objective;
use super::optimize::Variables;
use super::residuals::Point;
use faer::linalg::matmul::matmul;
use faer::linalg::solvers::{Llt, Solve};
use faer::{Accum, Mat, MatMut, MatRef, Par, Side};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

/// Most variables for which the dense matrix is made; beyond it, only its diagonal.
const DENSE: usize = 6000;
/// Rows of the sketch for each variable.
const ROWS: f64 = 1.5;
/// Rows for the diagonal alone.
const DIAGONAL_ROWS: usize = 256;
/// Rows added to the matrix together.
const BLOCK: usize = 512;
/// Columns of the matrix that a task fills.
const COLUMNS: usize = 128;

/// Approximate Gauss–Newton matrix 2 JᵀJ of the variables, and its damped factor.
pub(super) struct Preconditioner {
    len: usize,
    /// Lower triangle by columns, empty if only the diagonal is kept.
    matrix: Vec<f64>,
    /// Diagonal of the Gauss–Newton matrix.
    pub diagonal: Vec<f64>,
    factor: Option<(Llt<f64>, f64)>,
}

/// Rows of the sketch for a number of variables, and multiplications for their matrix.
pub(super) fn cost(len: usize) -> (f64, f64) {
    if len > DENSE {
        return (DIAGONAL_ROWS as f64, 0.0);
    }
    let n = len as f64;
    let rows = (ROWS * n).floor();
    (rows, 0.5 * rows * n * n)
}

/// One row of the sketch: a group, the seed of its signs, its scale, whether of energies.
struct Row {
    group: usize,
    seed: u64,
    scale: f64,
    energies: bool,
}

impl Preconditioner {
    /// Sketches the Jacobian of some groups.
    pub fn new(
        objective: &Objective,
        variables: &Variables,
        groups: &[usize],
        at: &Point<'_>,
        rng: &mut ChaCha8Rng,
    ) -> Self {
        let len = at.parameters.len();
        let dense = len <= DENSE;
        let count = cost(len).0 as usize;
        let rows = plan(objective, groups, count, rng);
        let mut matrix = vec![0.0; if dense { len * len } else { 0 }];
        let mut diagonal = vec![0.0; len];
        for block in rows.chunks(BLOCK) {
            let groups: Vec<usize> = block.iter().map(|row| row.group).collect();
            let mut values = objective.pull_rows(&groups, at, |k| signs(objective, &block[k]));
            values
                .par_chunks_mut(len)
                .for_each(|row| variables.pull_back(row));
            for row in values.chunks_exact(len) {
                diagonal
                    .iter_mut()
                    .zip(row)
                    .for_each(|(d, x)| *d += 2.0 * x * x);
            }
            if dense {
                let all = MatRef::from_row_major_slice(&values, block.len(), len);
                matrix
                    .par_chunks_mut(COLUMNS * len)
                    .enumerate()
                    .for_each(|(index, columns)| {
                        let first = index * COLUMNS;
                        let width = columns.len() / len;
                        let target = MatMut::from_column_major_slice_mut(columns, len, width);
                        let target = target.subrows_mut(first, len - first);
                        let left = all.subcols(first, len - first).transpose();
                        let right = all.subcols(first, width);
                        matmul(target, Accum::Add, left, right, 2.0, Par::Seq);
                    });
            }
        }
        Self {
            len,
            matrix,
            diagonal,
            factor: None,
        }
    }

    /// Makes ready to solve with `extra` added to the diagonal. `damping` is only compared with that
    /// of the last time: a factor that is nearly right is good enough.
    pub fn damp(&mut self, extra: &[f64], damping: f64) {
        if let Some((_, old)) = &self.factor
            && (0.3..3.0).contains(&(damping / old))
        {
            return;
        }
        if self.matrix.is_empty() {
            return;
        }
        let matrix = MatRef::from_column_major_slice(&self.matrix, self.len, self.len);
        let mut boost = 1.0;
        // Rounding can leave a singular matrix without its positive eigenvalues.
        for _ in 0..8 {
            let mut damped: Mat<f64> = matrix.to_owned();
            for (i, &x) in extra.iter().enumerate() {
                damped[(i, i)] += boost * x;
            }
            if let Ok(factor) = damped.llt(Side::Lower) {
                self.factor = Some((factor, damping));
                return;
            }
            boost *= 10.0;
        }
        self.factor = None;
    }

    /// Approximately (2 JᵀJ + extra)⁻¹ v.
    pub fn solve(&self, v: &[f64], extra: &[f64]) -> Vec<f64> {
        match &self.factor {
            Some((factor, _)) => {
                let mut out = v.to_vec();
                let column = MatMut::from_column_major_slice_mut(&mut out, self.len, 1);
                factor.solve_in_place(column);
                out
            }
            None => v
                .iter()
                .zip(self.diagonal.iter().zip(extra))
                .map(|(v, (d, e))| v / (d + e).max(f64::MIN_POSITIVE))
                .collect(),
        }
    }
}

/// Shares the rows out: some for the energies, which are few and weigh much, the others for forces
/// and virials.
fn plan(objective: &Objective, groups: &[usize], count: usize, rng: &mut ChaCha8Rng) -> Vec<Row> {
    let mut rows = Vec::new();
    let n = groups.len().max(1);
    let structures: usize = groups
        .iter()
        .map(|&g| objective.groups[g].members.len())
        .sum();
    for energies in [true, false] {
        let wanted = if energies {
            structures.min(count / 4)
        } else {
            count - structures.min(count / 4)
        };
        let mut taken = 0;
        for (index, &group) in groups.iter().enumerate() {
            let until = (wanted * (index + 1)).div_ceil(n);
            let own = until - taken;
            taken = until;
            let exact = energies && own >= objective.groups[group].members.len();
            for k in 0..own {
                if exact && k >= objective.groups[group].members.len() {
                    break;
                }
                let drawn: u64 = rng.next_u64();
                rows.push(Row {
                    group,
                    seed: if exact { k as u64 } else { drawn | 1 << 63 },
                    scale: if exact {
                        1.0
                    } else {
                        // Groups without a row of their own are stood for by the others.
                        ((n as f64 / n.min(wanted) as f64) / own as f64).sqrt()
                    },
                    energies,
                });
            }
        }
    }
    rows
}

/// Signs of a row for the residuals of its group.
fn signs(objective: &Objective, row: &Row) -> Vec<f64> {
    let targets = &objective.groups[row.group].targets;
    let n = targets.structures.len();
    let len = targets.len();
    let mut y = vec![0.0; len];
    if row.energies && row.seed >> 63 == 0 {
        y[row.seed as usize] = row.scale;
        return y;
    }
    let mut rng = ChaCha8Rng::seed_from_u64(row.seed);
    let range = if row.energies { 0..n } else { n..len };
    for y in &mut y[range] {
        *y = if rng.random::<bool>() {
            row.scale
        } else {
            -row.scale
        };
    }
    y
}
