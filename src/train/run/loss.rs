//! The loss of a run: weights, regularisation, and their derivatives.

use super::Run;
use crate::RobustLoss;
use crate::objective::Evaluation;
use crate::optimize::common;
use crate::targets::{Sums, TERMS};
use nepal::model::Kind;

/// Smallest running errors of energy (eV/atom), force (eV/Å), virial (eV/atom), total charge (e/atom)
/// and Born charges (e) that the loss divides by: below them more weight only brings noise.
const FLOOR: [f64; TERMS] = [2e-4, 5e-3, 5e-4, 1e-4, 1e-3];
/// The same of a tensor (its unit per atom, which is not known here), to the spread of the targets.
const TENSOR_FLOOR: f64 = 1e-4;

impl Run<'_> {
    /// Factors of the sums of squared errors whose gradient is that of the weighted root mean
    /// squares, for given mean squares and counts.
    pub(super) fn factors(&self, squares: [f64; TERMS], counts: [f64; TERMS]) -> [f64; TERMS] {
        let lambda = self.lambda();
        let floor = |i: usize| match self.config.kind {
            Kind::Dipole | Kind::Polarizability => TENSOR_FLOOR * self.spread,
            _ => FLOOR[i],
        };
        std::array::from_fn(|i| {
            let rms = squares[i].sqrt().max(floor(i));
            if counts[i] > 0.0 {
                lambda[i] / (2.0 * rms * counts[i])
            } else {
                0.0
            }
        })
    }

    /// Makes the sums of squares touch robust losses at some parameters.
    pub(super) fn touch(&mut self, z: &[f64]) {
        let q_scaler = std::mem::take(&mut self.q_scaler);
        self.train.touch(z, &q_scaler);
        self.q_scaler = q_scaler;
    }

    /// The same for first-order methods, whose steps need it for the energies only.
    pub(super) fn touch_energies(&mut self) {
        if self.config.energy_loss != RobustLoss::Square {
            let z = self.parameters();
            self.touch(&z);
        }
    }

    pub(super) fn lambda(&self) -> [f64; TERMS] {
        let c = self.config;
        [c.lambda_e, c.lambda_f, c.lambda_v, c.lambda_q, c.lambda_z]
    }

    /// The L1 and L2 terms.
    pub(super) fn regularisation(&self, z: &[f64]) -> [f64; 2] {
        let z = &z[..self.train.layout.len()];
        let n = z.len() as f64;
        let (mut one, mut two) = (0.0, 0.0);
        for index in common(&self.train.layout) {
            one -= z[index].abs();
            two -= z[index] * z[index];
        }
        for x in z {
            one += x.abs();
            two += x * x;
        }
        [
            self.lambdas[0] * one / n,
            self.lambdas[1] * (two / n).max(0.0).sqrt(),
        ]
    }

    /// The loss of some parameters with the energies shifted, and its sums.
    pub(super) fn loss_at(&self, z: &[f64]) -> (f64, Sums) {
        let all: Vec<usize> = (0..self.train.groups.len()).collect();
        let evaluation = Evaluation {
            parameters: z,
            q_scaler: &self.q_scaler,
            factors: None,
        };
        let (sums, _) = self.train.evaluate(&all, &evaluation);
        let lambda = self.lambda();
        let squares = sums.weighted(sums.shift());
        let errors: f64 = (0..TERMS).map(|i| lambda[i] * squares[i].sqrt()).sum();
        let [l1, l2] = self.regularisation(z);
        (errors + l1 + l2, sums)
    }

    /// Curvature of the quadratic bound of the L1 and L2 terms.
    pub(super) fn regularisation_curvature(&self, z: &[f64]) -> Vec<f64> {
        let common = common(&self.train.layout);
        let z = &z[..self.train.layout.len()];
        let n = z.len() as f64;
        let [_, l2] = self.regularisation(z);
        let rms = l2 / self.lambdas[1].max(f64::MIN_POSITIVE);
        let a = self.lambdas[0] / n;
        let b = if rms > 0.0 {
            self.lambdas[1] / (n * rms)
        } else {
            0.0
        };
        let mut out: Vec<f64> = z.iter().map(|x| a / x.abs().max(1e-4) + b).collect();
        common.into_iter().for_each(|index| out[index] = 0.0);
        // The repulsion is not regularised.
        out.resize(self.y.len(), 0.0);
        out
    }

    /// Adds the gradient of the L1 and L2 terms.
    pub(super) fn add_regularisation(&self, z: &[f64], gradient: &mut [f64]) {
        let common = common(&self.train.layout);
        let z = &z[..self.train.layout.len()];
        let n = z.len() as f64;
        let [_, l2] = self.regularisation(z);
        let rms = l2 / self.lambdas[1].max(f64::MIN_POSITIVE);
        let a = self.lambdas[0] / n;
        let b = if rms > 0.0 {
            self.lambdas[1] / (n * rms)
        } else {
            0.0
        };
        for (index, (g, &x)) in gradient.iter_mut().zip(z).enumerate() {
            if !common.contains(&index) && x != 0.0 {
                *g += a * x.signum() + b * x;
            }
        }
    }
}
