//! Γ, γ and ρ of many atoms at once: kernel products, triangular solves, and an early end for those that
//! are on known ground.

use super::{RidgeSet, Sides};
use crate::grade::Grade;
use crate::grade::linalg::{blockwise_by, dot, multiply_into, rows};
use faer::Accum;

/// Active rows solved for together.
const STRIP: usize = 32;

/// A block of fewer atoms is not worth making smaller.
const LEAST: usize = 16;

/// The active rows of a set in the order of a pivoted Cholesky factorisation, with its factor.
#[derive(Clone, Debug)]
pub(in crate::grade) struct Solver {
    h1: usize,
    d1: usize,
    lambda: f64,
    /// Place of each row of the factor in the set.
    order: Vec<usize>,
    /// Shape `[K][H + 1]`, `[K][D + 1]`, in that order.
    s: Vec<f64>,
    q: Vec<f64>,
    /// L, its upper triangle 0. Shape `[K][K]`.
    factor: Vec<f64>,
}

impl Solver {
    /// Pivots: the row that the rows before it know least, so that few rows tell most.
    pub fn new(set: &RidgeSet) -> Self {
        let (h1, d1, k) = (set.neurons + 1, set.units.len() + 1, set.rows());
        let mut order: Vec<usize> = (0..k).collect();
        let at =
            |m: &[f64], width: usize, i: usize| -> Vec<f64> { m[i * width..][..width].to_vec() };
        let kernel = |i: usize| -> Vec<f64> {
            let (si, qi) = (at(&set.s, h1, i), at(&set.q, d1, i));
            (0..k)
                .map(|j| dot(&set.s[j * h1..][..h1], &si) * dot(&set.q[j * d1..][..d1], &qi))
                .collect()
        };
        let mut left: Vec<f64> = (0..k)
            .map(|j| {
                let (s, q) = (&set.s[j * h1..][..h1], &set.q[j * d1..][..d1]);
                dot(s, s) * dot(q, q)
            })
            .collect();
        // Row m of `found`: L[:, m] for all rows of the set.
        let mut found: Vec<Vec<f64>> = Vec::with_capacity(k);
        for m in 0..k {
            let best =
                (m..k).max_by(|&a, &b| left[order[a]].total_cmp(&left[order[b]]).then(b.cmp(&a)));
            if let Some(best) = best {
                order.swap(m, best);
            }
            let j = order[m];
            let mut column = kernel(j);
            column[j] += set.lambda;
            for earlier in &found {
                let factor = earlier[j];
                for (x, l) in column.iter_mut().zip(earlier) {
                    *x -= factor * l;
                }
            }
            let root = column[j].max(set.lambda * 1e-3).sqrt();
            for (x, left) in column.iter_mut().zip(&mut left) {
                *x /= root;
                *left -= *x * *x;
            }
            found.push(column);
        }
        let mut factor = vec![0.0; k * k];
        for (row, &j) in order.iter().enumerate() {
            for column in 0..=row {
                factor[row * k + column] = found[column][j];
            }
        }
        Self {
            h1,
            d1,
            lambda: set.lambda,
            s: order.iter().flat_map(|&j| at(&set.s, h1, j)).collect(),
            q: order.iter().flat_map(|&j| at(&set.q, d1, j)).collect(),
            order,
            factor,
        }
    }

    fn rows(&self) -> usize {
        self.order.len()
    }

    /// See [`RidgeSet::grade`].
    pub fn grade(&self, sides: &Sides, threshold: Option<f64>) -> Vec<Grade> {
        let count = sides.s.len() / self.h1;
        let mut grades = vec![Grade::UNKNOWN; count];
        if self.rows() == 0 {
            return grades;
        }
        let mut open: Vec<u32> = (0..count as u32).collect();
        if let Some(threshold) = threshold {
            let limit = self.lambda * threshold * threshold;
            // Fewer rows give a bound from above: most atoms leave after the first strip, and those that stay
            // fill blocks of their own again.
            for rows in [STRIP, self.rows()] {
                let found = blockwise_by(&open, |atoms| {
                    Work::new(self, sides, atoms).descend(rows, limit)
                });
                let mut next = Vec::new();
                for (&atom, left) in open.iter().zip(found) {
                    if left <= limit {
                        let bound = (left.max(0.0) / self.lambda).sqrt();
                        grades[atom as usize] = Grade {
                            gamma: bound,
                            rho: bound,
                            total: bound,
                        };
                    } else {
                        next.push(atom);
                    }
                }
                open = next;
            }
        }
        let found = blockwise_by(&open, |atoms| self.exact(sides, atoms));
        for (&atom, grade) in open.iter().zip(found) {
            grades[atom as usize] = grade;
        }
        grades
    }

    fn exact(&self, sides: &Sides, atoms: &[u32]) -> Vec<Grade> {
        let n = atoms.len();
        let mut work = Work::new(self, sides, atoms);
        work.forward();
        work.backward();
        let mut squares = vec![0.0; n];
        for c in work.p.chunks_exact(n) {
            for (sum, c) in squares.iter_mut().zip(c) {
                *sum += c * c;
            }
        }
        let lambda = self.lambda;
        let grade = |(left, gamma): (&f64, &f64)| {
            let total = left.max(0.0) / lambda;
            if !total.is_finite() || !gamma.is_finite() {
                return Grade::UNKNOWN;
            }
            Grade {
                gamma: gamma.min(total).sqrt(),
                rho: (total - gamma).max(0.0).sqrt(),
                total: total.sqrt(),
            }
        };
        work.left.iter().zip(&squares).map(grade).collect()
    }

    /// c of some atoms in the order of the set. Shape `[N][K]`.
    pub fn coefficients(&self, sides: &Sides) -> Vec<f64> {
        let k = self.rows();
        let all: Vec<u32> = (0..(sides.s.len() / self.h1) as u32).collect();
        let mut out = vec![0.0; all.len() * k];
        for (block, atoms) in all.chunks(64).enumerate() {
            let mut work = Work::new(self, sides, atoms);
            work.forward();
            work.backward();
            let n = atoms.len();
            for (row, &place) in self.order.iter().enumerate() {
                for a in 0..n {
                    out[(64 * block + a) * k + place] = work.p[row * n + a];
                }
            }
        }
        out
    }
}

/// Some atoms on their way through the factor.
struct Work<'a> {
    solver: &'a Solver,
    n: usize,
    /// Shape `[H + 1][n]`, `[D + 1][n]`.
    s: Vec<f64>,
    q: Vec<f64>,
    /// p, or after the way back c. Shape `[K][n]`.
    p: Vec<f64>,
    /// k(x, x) − |p|² = λ Γ².
    left: Vec<f64>,
}

impl<'a> Work<'a> {
    fn new(solver: &'a Solver, sides: &Sides, atoms: &[u32]) -> Self {
        let n = atoms.len();
        let columns = |data: &[f64], width: usize| {
            let mut out = vec![0.0; width * n];
            let mut squares = vec![0.0; n];
            for (a, &atom) in atoms.iter().enumerate() {
                let row = &data[atom as usize * width..][..width];
                for (d, x) in row.iter().enumerate() {
                    out[d * n + a] = *x;
                }
                squares[a] = dot(row, row);
            }
            (out, squares)
        };
        let (s, ss) = columns(&sides.s, solver.h1);
        let (q, qq) = columns(&sides.q, solver.d1);
        Self {
            solver,
            n,
            s,
            q,
            p: Vec::new(),
            left: ss.iter().zip(&qq).map(|(s, q)| s * q).collect(),
        }
    }

    /// p of all rows.
    fn forward(&mut self) {
        for from in (0..self.solver.rows()).step_by(STRIP) {
            self.strip(from);
        }
    }

    /// What is left of each atom after at most so many rows; an atom ends where that is at most the limit.
    fn descend(mut self, rows: usize, limit: f64) -> Vec<f64> {
        let mut ended = self.left.clone();
        // Where the columns belong that are still in hand.
        let mut places: Vec<usize> = (0..self.n).collect();
        for from in (0..rows.min(self.solver.rows())).step_by(STRIP) {
            self.strip(from);
            for (&place, left) in places.iter().zip(&self.left) {
                ended[place] = *left;
            }
            let open: Vec<usize> = (0..self.n).filter(|&a| !(self.left[a] <= limit)).collect();
            if open.is_empty() {
                break;
            }
            if self.n > LEAST && 2 * open.len() <= self.n {
                for data in [&mut self.s, &mut self.q, &mut self.p, &mut self.left] {
                    let rows = data.chunks_exact(self.n);
                    *data = rows.flat_map(|row| open.iter().map(|&a| row[a])).collect();
                }
                places = open.iter().map(|&a| places[a]).collect();
                self.n = open.len();
            }
        }
        ended
    }

    /// p of the rows from `from` on, which follow those before.
    fn strip(&mut self, from: usize) {
        let (solver, n, k) = (self.solver, self.n, self.solver.rows());
        let (h1, d1) = (solver.h1, solver.d1);
        let to = (from + STRIP).min(k);
        let wide = to - from;
        self.p.resize(to * n, 0.0);
        let (done, strip) = self.p.split_at_mut(from * n);
        let mut other = vec![0.0; wide * n];
        let s = rows(&solver.s[from * h1..to * h1], wide, h1);
        multiply_into(strip, Accum::Replace, 1.0, s, rows(&self.s, h1, n));
        let q = rows(&solver.q[from * d1..to * d1], wide, d1);
        multiply_into(&mut other, Accum::Replace, 1.0, q, rows(&self.q, d1, n));
        for (x, y) in strip.iter_mut().zip(&other) {
            *x *= y;
        }
        if from > 0 {
            let factor = faer::MatRef::from_row_major_slice(&solver.factor, k, k);
            let before = factor.submatrix(from, 0, wide, from);
            multiply_into(strip, Accum::Add, -1.0, before, rows(done, from, n));
        }
        for i in 0..wide {
            let (before, here) = strip.split_at_mut(i * n);
            let here = &mut here[..n];
            let line = &solver.factor[(from + i) * k + from..][..=i];
            for (j, l) in line[..i].iter().enumerate() {
                for (x, y) in here.iter_mut().zip(&before[j * n..][..n]) {
                    *x -= l * y;
                }
            }
            let inverse = 1.0 / line[i];
            for (x, left) in here.iter_mut().zip(&mut self.left) {
                *x *= inverse;
                *left -= *x * *x;
            }
        }
    }

    /// From p of all rows to c.
    fn backward(&mut self) {
        let (n, k) = (self.n, self.solver.rows());
        let factor = faer::MatRef::from_row_major_slice(&self.solver.factor, k, k);
        let starts: Vec<usize> = (0..k).step_by(STRIP).collect();
        for &from in starts.iter().rev() {
            let to = (from + STRIP).min(k);
            let wide = to - from;
            let (before, rest) = self.p.split_at_mut(from * n);
            let strip = &mut rest[..wide * n];
            for i in (0..wide).rev() {
                let (above, here) = strip.split_at_mut(i * n);
                let here = &mut here[..n];
                let line = &self.solver.factor[(from + i) * k + from..][..=i];
                let inverse = 1.0 / line[i];
                for x in here.iter_mut() {
                    *x *= inverse;
                }
                for (j, l) in line[..i].iter().enumerate() {
                    for (x, y) in above[j * n..][..n].iter_mut().zip(&*here) {
                        *x -= l * y;
                    }
                }
            }
            if from > 0 {
                let block = factor.submatrix(from, 0, wide, from);
                multiply_into(
                    before,
                    Accum::Add,
                    -1.0,
                    block.transpose(),
                    rows(strip, wide, n),
                );
            }
        }
    }
}

impl Solver {
    /// (K_AA + λ)⁻¹ b, in the order of the set.
    pub fn solve(&self, b: &[f64]) -> Vec<f64> {
        let k = self.rows();
        let mut y = vec![0.0; k];
        for row in 0..k {
            let line = &self.factor[row * k..][..=row];
            y[row] = (b[self.order[row]] - dot(&line[..row], &y[..row])) / line[row];
        }
        let mut out = vec![0.0; k];
        for row in (0..k).rev() {
            let line = &self.factor[row * k..][..=row];
            let x = y[row] / line[row];
            for (y, l) in y[..row].iter_mut().zip(line) {
                *y -= l * x;
            }
            out[self.order[row]] = x;
        }
        out
    }
}
