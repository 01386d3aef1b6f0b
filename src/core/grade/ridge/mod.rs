//! The ridge form: one formula for known and unknown directions, on a scale that the model sets.
//!
//! With the first layer h = tanh(w0 q − b0) of the network, s = 1 − h² and its descriptors q, an atom has
//! the features x = (ŝ, 1) ⊗ (q̃, 1), ŝ = s/√H, q̃_d = q_d |w0[:,d]|/√H: those of the B projection
//! without the output weights, in units of what a descriptor is worth to the neurons. No data enter the
//! units, so that data that come later do not change them. With the active rows A
//!
//! Γ² = xᵀ (λ I + Σ_A x_i x_iᵀ)⁻¹ x.
//!
//! A row is active if its Γ was above 1 when it was offered; none is ever removed. Then Γ can only fall
//! when data come: the matrix grows by positive terms. The products are never written out:
//! k(x, y) = x·y = (1 + ŝ·ŝ′)(1 + q̃·q̃′), and Γ² = (k(x,x) − |p|²)/λ with L Lᵀ = K_AA + λ I, L p = k_A(x).
//!
//! The two parts: c = (K_AA + λ)⁻¹ k_A(x) are the coefficients of x in the active rows, γ = |c|, and
//! ρ² = λ |M⁻¹ x|² is what lies outside; Γ² = γ² + ρ².
//!
//! Source: ridge leverage scores (Alaoui and Mahoney, NeurIPS 2015) with a threshold on new rows as in
//! online row sampling (Cohen, Musco and Pachocki, 2016); the features are those of the D-optimal grade.

mod build;
pub(super) mod file;
mod gradient;
mod lanes;
mod solver;

pub(super) use build::{Built, build};
pub(super) use gradient::gradient;

use super::{Extension, Grade, Origin};
use crate::model::Network;
use lanes::Source;
use solver::Solver;
use std::sync::OnceLock;

/// λ where there is nothing to take it from.
const FALLBACK: f64 = 1e-3;

/// The active set of one element.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::grade) struct RidgeSet {
    /// What one unit of each descriptor is: √H / |w0[:,d]|, as its inverse. Shape `[D]`.
    pub units: Vec<f64>,
    /// Hidden neurons of a network.
    pub neurons: usize,
    /// λ: the square of the distance that Γ = 1 stands for.
    pub lambda: f64,
    /// ŝ of the active rows, a 1 behind each. Shape `[K][H + 1]`.
    pub s: Vec<f64>,
    /// q̃ of the active rows, a 1 behind each. Shape `[K][D + 1]`.
    pub q: Vec<f64>,
    /// By active row.
    pub origins: Vec<Option<Origin>>,
    /// Environments that the set was built from.
    pub offered: u64,
    /// The factor L, once it was needed.
    pub solver: Kept<Solver>,
}

/// What follows from the rest of a set, made when it is first needed.
#[derive(Clone, Debug)]
pub(in crate::grade) struct Kept<T>(OnceLock<T>);

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self(OnceLock::new())
    }
}

impl<T> Kept<T> {
    /// Makes it if need be.
    pub fn get_or_init(&self, make: impl FnOnce() -> T) -> &T {
        self.0.get_or_init(make)
    }
}

impl<T> PartialEq for Kept<T> {
    /// Sets are equal whether or not it was made.
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// The two sides of some atoms' features, each with a 1 behind it.
#[derive(Clone, Debug)]
pub(in crate::grade) struct Sides {
    /// H + 1 and D + 1.
    widths: [usize; 2],
    /// Shape `[N][H + 1]`.
    pub s: Vec<f64>,
    /// Shape `[N][D + 1]`.
    pub q: Vec<f64>,
}

impl Sides {
    fn count(&self) -> usize {
        self.s.len() / self.widths[0]
    }
}

impl Source for Sides {
    fn put(&self, atom: usize, stride: usize, s: &mut [f64], q: &mut [f64]) {
        for (out, data, width) in [(s, &self.s, self.widths[0]), (q, &self.q, self.widths[1])] {
            let row = &data[atom * width..][..width - 1];
            for (out, x) in out.iter_mut().step_by(stride).zip(row) {
                *out = *x;
            }
        }
    }
}

/// Atoms by their descriptors and hidden neurons, whatever their element. Shapes `[N][D]`, `[N][H]`.
struct Atoms<'a> {
    set: &'a RidgeSet,
    q: &'a [f64],
    x: &'a [f64],
}

impl Atoms<'_> {
    fn s(&self, atom: usize) -> impl Iterator<Item = f64> + '_ {
        let h = self.set.neurons;
        let scale = 1.0 / (h as f64).sqrt();
        let neurons = &self.x[atom * h..][..h];
        neurons.iter().map(move |x| (1.0 - x * x) * scale)
    }

    fn q(&self, atom: usize) -> impl Iterator<Item = f64> + '_ {
        let dim = self.set.dim();
        let descriptors = &self.q[atom * dim..][..dim];
        descriptors
            .iter()
            .zip(&self.set.units)
            .map(|(q, unit)| q * unit)
    }
}

impl Source for Atoms<'_> {
    fn put(&self, atom: usize, stride: usize, s: &mut [f64], q: &mut [f64]) {
        let rows = s.iter_mut().step_by(stride).zip(self.s(atom));
        rows.for_each(|(out, x)| *out = x);
        let rows = q.iter_mut().step_by(stride).zip(self.q(atom));
        rows.for_each(|(out, x)| *out = x);
    }
}

/// The inverse units of the descriptors of a network: |w0[:,d]|/√H.
///
/// A descriptor that no neuron looks at keeps a ten-thousandth of the largest, so that it is not blind.
pub(in crate::grade) fn units(net: &Network<'_>) -> Vec<f64> {
    let h = net.b0.len();
    let dim = net.w0.len() / h;
    let mut units: Vec<f64> = (0..dim)
        .map(|d| {
            let column = net.w0.iter().skip(d).step_by(dim);
            (column.map(|w| w * w).sum::<f64>() / h as f64).sqrt()
        })
        .collect();
    let least = 1e-4 * units.iter().copied().fold(0.0, f64::max);
    for unit in &mut units {
        *unit = unit.max(least);
    }
    units
}

impl RidgeSet {
    /// A set without rows.
    pub fn empty(net: &Network<'_>) -> Self {
        Self {
            units: units(net),
            neurons: net.b0.len(),
            lambda: FALLBACK,
            s: Vec::new(),
            q: Vec::new(),
            origins: Vec::new(),
            offered: 0,
            solver: Kept::default(),
        }
    }

    /// Number of active rows.
    pub fn rows(&self) -> usize {
        self.origins.len()
    }

    fn dim(&self) -> usize {
        self.units.len()
    }

    /// Sides of atoms from their descriptors and hidden neurons. Shapes `[N][D]`, `[N][H]`.
    pub fn sides(&self, q: &[f64], x: &[f64]) -> Sides {
        let (h1, d1) = (self.neurons + 1, self.dim() + 1);
        let count = x.len() / self.neurons;
        let mut sides = Sides {
            widths: [h1, d1],
            s: vec![1.0; count * h1],
            q: vec![1.0; count * d1],
        };
        let atoms = Atoms { set: self, q, x };
        let rows = sides
            .s
            .chunks_exact_mut(h1)
            .zip(sides.q.chunks_exact_mut(d1));
        for (atom, (s, q)) in rows.enumerate() {
            s.iter_mut()
                .zip(atoms.s(atom))
                .for_each(|(out, x)| *out = x);
            q.iter_mut()
                .zip(atoms.q(atom))
                .for_each(|(out, x)| *out = x);
        }
        sides
    }

    /// Sides of B projections: h stands there, and q is a ratio in each neuron's part.
    ///
    /// Where all neurons are saturated to the last digit, or have no output weight, nothing tells q: it is
    /// infinite, as the grade then is.
    pub fn sides_of_rows(&self, rows: &[f64]) -> Sides {
        let (h, dim) = (self.neurons, self.dim());
        let (mut q, mut x) = (Vec::new(), Vec::new());
        for row in rows.chunks_exact(h * (dim + 2)) {
            let parts = || row.chunks_exact(dim + 2);
            x.extend(parts().map(|part| part[dim + 1]));
            let steepest = parts().max_by(|a, b| a[dim].abs().total_cmp(&b[dim].abs()));
            match steepest.filter(|part| part[dim] != 0.0) {
                Some(part) => q.extend(part[..dim].iter().map(|b| -b / part[dim])),
                None => q.resize(q.len() + dim, f64::INFINITY),
            }
        }
        self.sides(&q, &x)
    }

    fn solver(&self) -> &Solver {
        self.solver.get_or_init(|| Solver::new(self))
    }

    /// The sides of the active rows in the order of the factor. Shapes `[K][H + 1]`, `[K][D + 1]`.
    pub fn ordered(&self) -> [Vec<f64>; 2] {
        let order = self.solver().order();
        [(&self.s, self.neurons + 1), (&self.q, self.dim() + 1)].map(|(data, width)| {
            let rows = order.iter().map(|&j| &data[j * width..][..width]);
            rows.flatten().copied().collect()
        })
    }

    /// L⁻¹. Shape `[K][K]`.
    pub fn inverse(&self) -> Vec<f64> {
        self.solver().inverse()
    }

    /// Grades of some atoms; with a threshold, exact for those above it: the others get a bound on Γ that is
    /// at most the threshold, for γ and ρ too.
    pub fn grade(&self, sides: &Sides, threshold: Option<f64>) -> Vec<Grade> {
        let all: Vec<usize> = (0..sides.count()).collect();
        self.solver().grade(sides, &all, threshold)
    }

    /// [`RidgeSet::grade`] of some of the atoms with these descriptors and hidden neurons.
    /// Shapes `[N][D]`, `[N][H]`.
    pub fn grade_of(
        &self,
        (q, x): (&[f64], &[f64]),
        atoms: &[usize],
        threshold: Option<f64>,
    ) -> Vec<Grade> {
        let source = Atoms { set: self, q, x };
        self.solver().grade(&source, atoms, threshold)
    }

    /// The coefficients c of some atoms, then (x − X_Aᵀ c)/√λ, whose length is ρ. Products of these are
    /// xᵀ M⁻¹ y. Gives the number of coordinates, too.
    pub fn coordinates(&self, sides: &Sides) -> (usize, Vec<f64>) {
        let (h1, d1) = (self.neurons + 1, self.dim() + 1);
        let (k, root) = (self.rows(), self.lambda.sqrt());
        let (_, c) = self.solver().coefficients(sides);
        let width = k + h1 * d1;
        let mut out = Vec::with_capacity(sides.s.len() / h1 * width);
        let atoms = sides.s.chunks_exact(h1).zip(sides.q.chunks_exact(d1));
        for (n, (s, q)) in atoms.enumerate() {
            let c = &c[n * k..][..k];
            out.extend_from_slice(c);
            let start = out.len();
            out.extend(s.iter().flat_map(|s| q.iter().map(move |q| s * q / root)));
            let rest = &mut out[start..];
            let active = self.s.chunks_exact(h1).zip(self.q.chunks_exact(d1));
            for (c, (s, q)) in c.iter().zip(active) {
                for (line, s) in rest.chunks_exact_mut(d1).zip(s) {
                    let factor = c * s / root;
                    for (x, q) in line.iter_mut().zip(q) {
                        *x -= factor * q;
                    }
                }
            }
        }
        (width, out)
    }

    /// Takes in an atom if its Γ is above 1.
    pub fn extend(&mut self, sides: &Sides, origin: Option<Origin>) -> Extension {
        let grade = self.grade(sides, None)[0].total;
        // A row that is in the set is below 1; what has no finite features cannot be one.
        if !(grade > 1.0 && sides.q.iter().all(|x| x.is_finite())) {
            return Extension::Unchanged;
        }
        self.push(sides, 0, origin);
        Extension::Grown(self.rows() - 1)
    }

    fn push(&mut self, sides: &Sides, n: usize, origin: Option<Origin>) {
        let (h1, d1) = (self.neurons + 1, self.dim() + 1);
        self.s.extend_from_slice(&sides.s[n * h1..][..h1]);
        self.q.extend_from_slice(&sides.q[n * d1..][..d1]);
        self.origins.push(origin);
        self.solver = Kept::default();
    }
}
