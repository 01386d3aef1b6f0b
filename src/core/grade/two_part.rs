//! The two-part form: γ in the scaled, reduced subspace, and ρ for what lies outside it.

use super::compat::exchange;
use super::linalg::{
    blockwise, dot, largest, max_abs, multiply, multiply_add, orthonormalised, rows,
};
use super::prefilter::Prefilter;
use super::reduce;
use super::scales::{Shape, units};
use super::screen::Screen;
use super::{EDGE, Extension, Grade, Origin};
use std::sync::OnceLock;

/// Relative residual that counts as Γ = 1 where there are too few environments to calibrate it:
/// 1 % of the scaled features outside the subspace.
pub(super) const DEFAULT_THRESHOLD: f64 = 1e-2;

/// The active set of one element.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct TwoPartSet {
    /// What one unit of each scaled feature is. Shape `[n]`.
    pub scale: Vec<f64>,
    /// Mean of the training environments' scaled features. Shape `[n]`.
    pub center: Vec<f64>,
    /// Orthonormal directions of the subspace in scaled features. Shape `[r][n]`.
    pub directions: Vec<f64>,
    /// (Pseudo-)inverse of the active rows' reduced features. Shape `[r][rows]`.
    pub inverse: Vec<f64>,
    /// What of the coefficients is γ.
    pub size: Size,
    /// The 99 % quantile of the training environments' relative residual: the unit of ρ.
    pub residual_scale: f64,
    /// The ρ that weighs as much as γ = 1.
    pub kappa: f64,
    /// By active row.
    pub origins: Vec<Option<Origin>>,
    /// Relative singular value below which directions were left out.
    pub tau: f64,
    /// Environments that the set was built from.
    pub offered: u64,
    /// Which atoms are worth a grade; `None` where there is nothing to tell it from.
    pub prefilter: Option<Prefilter>,
    /// The set in single precision, once it was needed.
    pub screen: Kept<Screen>,
}

/// What of the coefficients c is γ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size {
    /// The largest |c|, of square MaxVol.
    Largest,
    /// The length of c, of rectangular MaxVol.
    Length,
}

impl Size {
    pub fn of(self, c: &[f64]) -> f64 {
        let size = match self {
            Self::Largest => largest(c),
            Self::Length => dot(c, c).sqrt(),
        };
        if size.is_nan() { f64::INFINITY } else { size }
    }
}

/// What follows from the rest of a set, made when it is first needed.
#[derive(Clone, Debug)]
pub(super) struct Kept<T>(OnceLock<T>);

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

/// Feature rows in terms of the set.
pub(super) struct Projected {
    /// Scaled features. Shape `[N][n]`.
    pub z: Vec<f64>,
    /// Coefficients in terms of the active rows. Shape `[N][rows]`.
    pub c: Vec<f64>,
    /// Part of `z` outside the subspace. Shape `[N][n]`.
    pub residual: Vec<f64>,
}

impl TwoPartSet {
    /// Dimensions of the subspace.
    pub fn rank(&self) -> usize {
        self.directions.len() / self.scale.len()
    }

    /// Number of active rows.
    pub fn rows(&self) -> usize {
        self.origins.len()
    }

    fn width(&self) -> usize {
        self.scale.len()
    }

    /// A set that knows a single environment; `None` if all its features are zero.
    pub fn single(row: &[f64], shape: Shape<'_>, origin: Option<Origin>) -> Option<Self> {
        let scale = units(row, shape)?.scale;
        let z: Vec<f64> = row.iter().zip(&scale).map(|(x, s)| x / s).collect();
        let length = dot(&z, &z).sqrt();
        Some(Self {
            scale,
            center: z.clone(),
            directions: z.iter().map(|x| x / length).collect(),
            inverse: vec![1.0 / length],
            size: Size::Largest,
            residual_scale: DEFAULT_THRESHOLD,
            kappa: 1.0,
            origins: vec![origin],
            tau: 0.0,
            offered: 1,
            prefilter: None,
            screen: Kept::default(),
        })
    }

    /// Scaled features, coefficients and residuals of some rows.
    pub fn project(&self, data: &[f64]) -> Projected {
        let z = self.scaled(data);
        let y = self.reduced(&z);
        Projected {
            c: self.coefficients(&y),
            residual: self.residual(&z, &y),
            z,
        }
    }

    pub(super) fn scaled(&self, data: &[f64]) -> Vec<f64> {
        let mut z = data.to_vec();
        for row in z.chunks_exact_mut(self.width()) {
            for (x, s) in row.iter_mut().zip(&self.scale) {
                *x /= s;
            }
        }
        z
    }

    /// y = z Vᵀ with the directions V.
    pub(super) fn reduced(&self, z: &[f64]) -> Vec<f64> {
        let n = self.width();
        let v = rows(&self.directions, self.rank(), n);
        multiply(rows(z, z.len() / n, n), v.transpose())
    }

    /// c = y A⁻¹.
    pub(super) fn coefficients(&self, y: &[f64]) -> Vec<f64> {
        let r = self.rank();
        multiply(rows(y, y.len() / r, r), rows(&self.inverse, r, self.rows()))
    }

    /// z − y V.
    fn residual(&self, z: &[f64], y: &[f64]) -> Vec<f64> {
        let r = self.rank();
        let v = rows(&self.directions, r, self.width());
        let mut residual = z.to_vec();
        multiply_add(&mut residual, -1.0, rows(y, y.len() / r, r), v);
        residual
    }

    /// ρ from a scaled row and its residual.
    pub fn rho(&self, z: &[f64], residual: &[f64]) -> f64 {
        let length = dot(z, z);
        if length == 0.0 {
            return 0.0;
        }
        self.rho_of((dot(residual, residual) / length).sqrt())
    }

    /// ρ from a relative residual; NaN counts as infinite.
    pub(super) fn rho_of(&self, residual: f64) -> f64 {
        let rho = residual / self.residual_scale;
        if rho.is_finite() { rho } else { f64::INFINITY }
    }

    pub fn grade(&self, data: &[f64]) -> Vec<Grade> {
        blockwise(data, self.width(), |block| self.grade_block(block))
    }

    fn grade_block(&self, block: &[f64]) -> Vec<Grade> {
        let (n, r, k) = (self.width(), self.rank(), self.rows());
        let z = self.scaled(block);
        let y = self.reduced(&z);
        let c = self.coefficients(&y);
        let mut grades = Vec::with_capacity(block.len() / n);
        let parts = z
            .chunks_exact(n)
            .zip(y.chunks_exact(r))
            .zip(c.chunks_exact(k));
        for ((z, y), c) in parts {
            let gamma = self.size.of(c);
            let residual = reduce::residual(z, y, &self.directions).sqrt();
            grades.push(self.combine(gamma, residual));
        }
        grades
    }

    /// The grade of γ and a relative residual.
    pub fn combine(&self, gamma: f64, residual: f64) -> Grade {
        let rho = self.rho_of(residual);
        Grade {
            gamma,
            rho,
            total: gamma.max(rho / self.kappa),
        }
    }

    /// The set in single precision.
    pub fn screen(&self) -> &Screen {
        self.screen.get_or_init(|| Screen::new(self))
    }

    /// Takes in a row: a new direction if its residual is too large, then an exchange if γ is.
    pub fn extend(&mut self, row: &[f64], origin: Option<Origin>) -> Extension {
        self.screen = Kept::default();
        let p = self.project(row);
        let mut done = Extension::Unchanged;
        let mut c = p.c;
        if self.rho(&p.z, &p.residual) > EDGE * self.kappa
            && let Some(direction) = orthonormalised(&self.directions, &p.residual)
        {
            let amplitude = dot(&direction, &p.residual);
            self.directions.extend(direction);
            self.grow_inverse(amplitude);
            self.origins.push(origin);
            c.push(1.0);
            done = Extension::Grown(self.rank() - 1);
        }
        if self.size.of(&c) <= EDGE {
            return done;
        }
        match self.size {
            Size::Largest => {
                let (j, _) = max_abs(&c);
                exchange(&mut self.inverse, &c, j);
                self.origins[j] = origin;
                if done == Extension::Unchanged {
                    done = Extension::Swapped(j);
                }
            }
            Size::Length => {
                append(&mut self.inverse, &c);
                self.origins.push(origin);
                if done == Extension::Unchanged {
                    done = Extension::Grown(self.rows() - 1);
                }
            }
        }
        done
    }

    /// Adds the active row (0, …, 0, amplitude): one unit of the new direction is what the row that
    /// brought it has, whatever its other features are.
    fn grow_inverse(&mut self, amplitude: f64) {
        let k = self.rows();
        let mut grown = Vec::with_capacity(self.inverse.len() + self.rank() + k + 1);
        for row in self.inverse.chunks_exact(k) {
            grown.extend_from_slice(row);
            grown.push(0.0);
        }
        grown.resize(grown.len() + k, 0.0);
        grown.push(1.0 / amplitude);
        self.inverse = grown;
    }
}

/// A⁺ ← [A⁺ − g c / (1 + |c|²), g / (1 + |c|²)] with g = A⁺ cᵀ: one more active row, whose
/// coefficients are c.
fn append(inverse: &mut Vec<f64>, c: &[f64]) {
    let factor = 1.0 / (1.0 + dot(c, c));
    let mut grown = Vec::with_capacity(inverse.len() + inverse.len() / c.len());
    for row in inverse.chunks_exact(c.len()) {
        let g = factor * dot(row, c);
        grown.extend(row.iter().zip(c).map(|(x, c)| x - g * c));
        grown.push(g);
    }
    *inverse = grown;
}
