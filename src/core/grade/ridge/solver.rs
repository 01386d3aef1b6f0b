//! The factor of a set, and Γ, γ and ρ of many atoms by it, with an early end for those on known ground.

use super::lanes::{Found, Packed, Pass, Source, TALL};
use super::{RidgeSet, Sides};
use crate::grade::Grade;
use crate::grade::linalg::dot;
use faer::{MatMut, MatRef, Par};

/// Groups of active rows after which atoms on known ground leave, before all are used: the order is that
/// of pivots, so that few rows tell most atoms.
const LOOKS: [usize; 2] = [6, 32];

/// Rows that are chosen for what they tell about the others.
const TELLING: usize = 128;

/// Atoms that a thread takes at once: whole blocks of lanes for every width of vectors.
#[cfg(feature = "cpu")]
const SHARE: usize = 384;

/// The active rows of a set in the order of a pivoted Cholesky factorisation, with the inverse of its
/// factor.
#[derive(Clone, Debug)]
pub(in crate::grade) struct Solver {
    lambda: f64,
    /// Place of each row of the factor in the set.
    order: Vec<usize>,
    packed: Packed,
}

impl Solver {
    /// Pivots: first the rows that tell most about all others, so that few rows tell most of what is
    /// known; then the row that the rows before it know least.
    pub fn new(set: &RidgeSet) -> Self {
        let (h1, d1, k) = (set.neurons + 1, set.units.len() + 1, set.rows());
        let (s, q) = (
            |i: usize| &set.s[i * h1..][..h1],
            |i: usize| &set.q[i * d1..][..d1],
        );
        let kernel = |i: usize, j: usize| dot(s(i), s(j)) * dot(q(i), q(j));
        // What is left of the kernel when the rows so far are known.
        let mut rest: Vec<Vec<f64>> = (0..k)
            .map(|i| (0..k).map(|j| kernel(i, j)).collect())
            .collect();
        let mut order: Vec<usize> = (0..k).collect();
        // L[:, m] for all rows of the set.
        let mut found: Vec<Vec<f64>> = Vec::with_capacity(k);
        for m in 0..k {
            let told = |j: usize| match m < TELLING {
                true => dot(&rest[j], &rest[j]) / (rest[j][j] + set.lambda),
                false => rest[j][j],
            };
            let best = (m..k)
                .map(|i| (i, told(order[i])))
                .max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)));
            order.swap(m, best.map_or(m, |b| b.0));
            let j = order[m];
            let root = (rest[j][j] + set.lambda).max(set.lambda * 1e-3).sqrt();
            let mut column: Vec<f64> = rest[j].iter().map(|x| x / root).collect();
            for &i in &order[m + 1..] {
                let factor = column[i];
                for (x, l) in rest[i].iter_mut().zip(&column) {
                    *x -= factor * l;
                }
            }
            column[j] = root;
            found.push(column);
        }
        let mut factor = vec![0.0; k * k];
        for (row, &j) in order.iter().enumerate() {
            for column in 0..=row {
                factor[row * k + column] = found[column][j];
            }
        }
        let mut inverse = vec![0.0; k * k];
        faer::linalg::triangular_inverse::invert_lower_triangular(
            MatMut::from_row_major_slice_mut(&mut inverse, k, k),
            MatRef::from_row_major_slice(&factor, k, k),
            Par::Seq,
        );
        let s: Vec<f64> = order.iter().flat_map(|&j| s(j)).copied().collect();
        let q: Vec<f64> = order.iter().flat_map(|&j| q(j)).copied().collect();
        Self {
            lambda: set.lambda,
            packed: Packed::new((h1, &s), (d1, &q), &inverse),
            order,
        }
    }

    /// Place of each row of the factor in the set.
    pub fn order(&self) -> &[usize] {
        &self.order
    }

    /// L⁻¹. Shape `[K][K]`.
    pub fn inverse(&self) -> Vec<f64> {
        let all = 0..self.order.len();
        let entries = all
            .clone()
            .flat_map(|row| all.clone().map(move |c| (row, c)));
        entries
            .map(|(row, c)| self.packed.inverse(row, c))
            .collect()
    }

    /// See [`RidgeSet::grade`]; of these atoms of a source, in this order.
    pub fn grade(
        &self,
        source: &impl Source,
        atoms: &[usize],
        threshold: Option<f64>,
    ) -> Vec<Grade> {
        let mut grades = vec![Grade::UNKNOWN; atoms.len()];
        if self.order.is_empty() {
            return grades;
        }
        // Places in `atoms` of those that are open, and λΓ² in terms of the rows so far.
        let mut open: Vec<(usize, f64)> = (0..atoms.len()).map(|k| (k, 0.0)).collect();
        let all = self.packed.groups();
        let looks = LOOKS.iter().copied().filter(|&g| g < all).chain([all]);
        for groups in looks.filter(|_| threshold.is_some()) {
            let limit = self.lambda * threshold.unwrap_or(0.0).powi(2);
            // Lanes that go together end together: atoms far out keep each other company.
            open.sort_by(|a, b| b.1.total_cmp(&a.1));
            let those: Vec<usize> = open.iter().map(|o| atoms[o.0]).collect();
            let found = self.pass(source, &those, groups, limit, false);
            open = open
                .iter()
                .zip(found)
                .filter_map(|(&(place, _), found)| {
                    if found.left <= limit {
                        let bound = (found.left.max(0.0) / self.lambda).sqrt();
                        grades[place] = Grade {
                            gamma: bound,
                            rho: bound,
                            total: bound,
                        };
                        return None;
                    }
                    Some((place, found.left))
                })
                .collect();
        }
        let those: Vec<usize> = open.iter().map(|o| atoms[o.0]).collect();
        let found = self.pass(source, &those, all, f64::NEG_INFINITY, true);
        for (&(place, _), found) in open.iter().zip(&found) {
            grades[place] = self.exact(found);
        }
        grades
    }
    fn exact(&self, found: &Found) -> Grade {
        let (total, gamma) = (found.left.max(0.0) / self.lambda, found.gamma2);
        if !total.is_finite() || !gamma.is_finite() {
            return Grade::UNKNOWN;
        }
        Grade {
            gamma: gamma.min(total).sqrt(),
            rho: (total - gamma).max(0.0).sqrt(),
            total: total.sqrt(),
        }
    }

    /// Atoms on all threads.
    fn pass(
        &self,
        source: &impl Source,
        atoms: &[usize],
        groups: usize,
        enough: f64,
        back: bool,
    ) -> Vec<Found> {
        let mut found = vec![Found::default(); atoms.len()];
        let one = |(atoms, found): (&[usize], &mut [Found])| {
            let pass = Pass {
                packed: &self.packed,
                source,
                atoms,
                groups,
                enough,
                back,
                found,
                coefficients: &mut [],
            };
            crate::simd::arch().dispatch(pass);
        };
        #[cfg(feature = "cpu")]
        if atoms.len() > SHARE && rayon::current_num_threads() > 1 {
            use rayon::prelude::*;
            let shares = atoms.par_chunks(SHARE).zip(found.par_chunks_mut(SHARE));
            shares.for_each(one);
            return found;
        }
        one((atoms, &mut found));
        found
    }

    /// λΓ², γ² and c of some atoms; c in the order of the set. Shape of c `[N][K]`.
    pub fn coefficients(&self, sides: &Sides) -> (Vec<Found>, Vec<f64>) {
        let (k, wide) = (self.order.len(), TALL * self.packed.groups());
        let atoms: Vec<usize> = (0..sides.count()).collect();
        let mut found = vec![Found::default(); atoms.len()];
        let mut c = vec![0.0; atoms.len() * wide];
        crate::simd::arch().dispatch(Pass {
            packed: &self.packed,
            source: sides,
            atoms: &atoms,
            groups: self.packed.groups(),
            enough: f64::NEG_INFINITY,
            back: true,
            found: &mut found,
            coefficients: &mut c,
        });
        let mut out = vec![0.0; atoms.len() * k];
        if k > 0 {
            for (out, c) in out.chunks_exact_mut(k).zip(c.chunks_exact(wide)) {
                for (&place, &c) in self.order.iter().zip(c) {
                    out[place] = c;
                }
            }
        }
        (found, out)
    }

    /// (K_AA + λ)⁻¹ b, in the order of the set.
    pub fn solve(&self, b: &[f64]) -> Vec<f64> {
        let ordered: Vec<f64> = self.order.iter().map(|&j| b[j]).collect();
        let solved = self.packed.solve(&ordered);
        let mut out = vec![0.0; b.len()];
        for (&place, x) in self.order.iter().zip(solved) {
            out[place] = x;
        }
        out
    }
}
