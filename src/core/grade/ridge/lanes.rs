//! Many atoms through the matrices of a set at once: four rows times three vectors of atoms, which fill
//! sixteen registers.

use pulp::{Simd, WithSimd, bytemuck};

/// Rows of a matrix that are handled together, and interleaved in memory.
pub(super) const TALL: usize = 4;

/// Vectors of atoms that are handled together.
const WIDE: usize = 3;

/// Four rows, interleaved.
type Column = [f64; TALL];

/// Where the two sides of atoms come from.
pub(in crate::grade) trait Source: Sync {
    /// Puts ŝ and q̃ of an atom, without the 1 behind each, at these strides.
    fn put(&self, atom: usize, stride: usize, s: &mut [f64], q: &mut [f64]);
}

/// Active rows and the inverse factor, as the products read them. The number of rows is filled up to whole
/// groups with rows that give 0.
#[derive(Clone, Debug)]
pub(super) struct Packed {
    groups: usize,
    /// Lengths of the sides, with the 1.
    h1: usize,
    d1: usize,
    /// Shape `[groups][h1]`, `[groups][d1]`.
    s: Vec<Column>,
    q: Vec<Column>,
    /// L⁻¹ by rows: of group g the first 4 (g + 1) columns.
    inverse: Vec<Column>,
    /// L⁻¹ by columns: of group g the rows from 4 g on.
    transposed: Vec<Column>,
}

/// Interleaves the rows of a matrix by fours.
fn interleaved(data: &[f64], width: usize) -> Vec<Column> {
    let mut out = Vec::new();
    for four in data.chunks(TALL * width) {
        let at = |column: usize, row: usize| four.get(row * width + column).copied().unwrap_or(0.0);
        out.extend((0..width).map(|c| std::array::from_fn(|r| at(c, r))));
    }
    out
}

impl Packed {
    /// From the sides of the active rows and L⁻¹, `[k][k]`, row-major.
    pub fn new((h1, s): (usize, &[f64]), (d1, q): (usize, &[f64]), inverse: &[f64]) -> Self {
        let k = s.len() / h1;
        let groups = k.div_ceil(TALL);
        let at = |row: usize, column: usize| match row < k && column <= row {
            true => inverse[row * k + column],
            false => 0.0,
        };
        let (mut by_rows, mut by_columns) = (Vec::new(), Vec::new());
        for first in (0..groups).map(|g| TALL * g) {
            by_rows.extend((0..first + TALL).map(|c| std::array::from_fn(|r| at(first + r, c))));
            let rest = first..TALL * groups;
            by_columns.extend(rest.map(|r| std::array::from_fn(|c| at(r, first + c))));
        }
        Self {
            groups,
            h1,
            d1,
            s: interleaved(s, h1),
            q: interleaved(q, d1),
            inverse: by_rows,
            transposed: by_columns,
        }
    }

    /// Groups of four active rows.
    pub fn groups(&self) -> usize {
        self.groups
    }

    fn rows_of(&self, g: usize) -> [&[Column]; 3] {
        [
            &self.s[g * self.h1..][..self.h1],
            &self.q[g * self.d1..][..self.d1],
            &self.inverse[2 * g * (g + 1)..][..TALL * (g + 1)],
        ]
    }

    /// A number of L⁻¹.
    pub fn inverse(&self, row: usize, column: usize) -> f64 {
        let four = self.rows_of(row / TALL)[2].get(column);
        four.map_or(0.0, |four| four[row % TALL])
    }

    fn columns_of(&self, g: usize) -> &[Column] {
        let all = TALL * self.groups;
        &self.transposed[g * all + 2 * g - 2 * g * g..][..all - TALL * g]
    }

    /// L⁻ᵀ L⁻¹ b of one vector.
    pub fn solve(&self, b: &[f64]) -> Vec<f64> {
        let times = |four: &[Column], x: &[f64]| {
            let mut sum = [0.0; TALL];
            for (column, x) in four.iter().zip(x) {
                for (sum, a) in sum.iter_mut().zip(column) {
                    *sum += a * x;
                }
            }
            sum
        };
        let all = 0..self.groups;
        let p: Vec<f64> = all
            .clone()
            .flat_map(|g| times(self.rows_of(g)[2], b))
            .collect();
        all.flat_map(|g| times(self.columns_of(g), &p[TALL * g..]))
            .collect()
    }
}

/// What comes of an atom.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::grade) struct Found {
    /// λΓ² in terms of the rows that were used: k(x, x) − |p|².
    pub left: f64,
    /// γ² = |c|², if asked for.
    pub gamma2: f64,
}

/// Some atoms on their way through the factor.
pub(super) struct Pass<'a, A> {
    pub packed: &'a Packed,
    pub source: &'a A,
    pub atoms: &'a [usize],
    /// Groups of active rows that are used: fewer give a `left` that is too large.
    pub groups: usize,
    /// Where atoms need no more rows: their `left` is at most this.
    pub enough: f64,
    /// Whether the way back, to c and γ, is made: with all groups.
    pub back: bool,
    /// Shape `[atoms]`.
    pub found: &'a mut [Found],
    /// c of each atom, in the factor's order, if it is wanted. Shape `[atoms][4 groups]` or empty.
    pub coefficients: &'a mut [f64],
}

impl<A: Source> WithSimd for Pass<'_, A> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let n = WIDE * S::F64_LANES;
        let (h1, d1, k) = (self.packed.h1, self.packed.d1, TALL * self.groups);
        let rows = |count: usize, x: f64| vec![[simd.splat_f64s(x); WIDE]; count];
        // What is not overwritten is the 1 behind each side.
        let (mut s, mut q) = (rows(h1, 1.0), rows(d1, 1.0));
        let (mut kernel, mut p) = (rows(k, 0.0), rows(k, 0.0));
        for (number, atoms) in self.atoms.chunks(n).enumerate() {
            {
                let s: &mut [f64] = bytemuck::cast_slice_mut(&mut s[..h1 - 1]);
                let q: &mut [f64] = bytemuck::cast_slice_mut(&mut q[..d1 - 1]);
                for (lane, &atom) in atoms.iter().enumerate() {
                    self.source.put(atom, n, &mut s[lane..], &mut q[lane..]);
                }
            }
            let (ss, qq) = (squares(simd, &s), squares(simd, &q));
            let mut left: [S::f64s; WIDE] = std::array::from_fn(|v| simd.mul_f64s(ss[v], qq[v]));
            for g in 0..self.groups {
                let [s_rows, q_rows, inverse] = self.packed.rows_of(g);
                let (by_s, by_q) = (tile(simd, s_rows, &s), tile(simd, q_rows, &q));
                for r in 0..TALL {
                    for v in 0..WIDE {
                        kernel[TALL * g + r][v] = simd.mul_f64s(by_s[r][v], by_q[r][v]);
                    }
                }
                let found = tile(simd, inverse, &kernel[..TALL * (g + 1)]);
                for (p, row) in p[TALL * g..].iter_mut().zip(&found) {
                    for v in 0..WIDE {
                        left[v] = simd.negate_mul_add_e_f64s(row[v], row[v], left[v]);
                    }
                    *p = *row;
                }
                if g % 4 == 3 {
                    let left: &[f64] = bytemuck::cast_slice(&left);
                    if left[..atoms.len()].iter().all(|&x| x <= self.enough) {
                        break;
                    }
                }
            }
            let mut gamma2 = [simd.splat_f64s(0.0); WIDE];
            if self.back {
                for g in 0..self.groups {
                    let c = tile(simd, self.packed.columns_of(g), &p[TALL * g..]);
                    for (kept, row) in kernel[TALL * g..].iter_mut().zip(&c) {
                        for v in 0..WIDE {
                            gamma2[v] = simd.mul_add_e_f64s(row[v], row[v], gamma2[v]);
                        }
                        *kept = *row;
                    }
                }
            }
            let left: &[f64] = bytemuck::cast_slice(&left);
            let gamma2: &[f64] = bytemuck::cast_slice(&gamma2);
            let found = &mut self.found[number * n..][..atoms.len()];
            for (lane, found) in found.iter_mut().enumerate() {
                *found = Found {
                    left: left[lane],
                    gamma2: gamma2[lane],
                };
            }
            if !self.coefficients.is_empty() {
                let c: &[f64] = bytemuck::cast_slice(&kernel);
                for lane in 0..atoms.len() {
                    let out = &mut self.coefficients[(number * n + lane) * k..][..k];
                    for (out, row) in out.iter_mut().zip(c.chunks_exact(n)) {
                        *out = row[lane];
                    }
                }
            }
        }
    }
}

/// Σ x² over rows.
#[inline(always)]
fn squares<S: Simd>(simd: S, rows: &[[S::f64s; WIDE]]) -> [S::f64s; WIDE] {
    let mut sum = [simd.splat_f64s(0.0); WIDE];
    for row in rows {
        for v in 0..WIDE {
            sum[v] = simd.mul_add_e_f64s(row[v], row[v], sum[v]);
        }
    }
    sum
}

/// Four rows of a matrix times columns of atoms.
#[inline(always)]
fn tile<S: Simd>(simd: S, rows: &[Column], columns: &[[S::f64s; WIDE]]) -> [[S::f64s; WIDE]; TALL] {
    let mut sums = [[simd.splat_f64s(0.0); WIDE]; TALL];
    for (row, column) in rows.iter().zip(columns) {
        for (sum, &x) in sums.iter_mut().zip(row) {
            let x = simd.splat_f64s(x);
            for (sum, &y) in sum.iter_mut().zip(column) {
                *sum = simd.mul_add_e_f64s(x, y, *sum);
            }
        }
    }
    sums
}
