//! The equation of state of a crystal: E(V) through a few cells.
//!
//! **Source**: Birch, Phys. Rev. 71, 809 (1947), third order: a cubic polynomial in V^(-2/3).

use faer::linalg::solvers::Solve;
use faer::{Mat, Side};
use nepal::error::{Error, Result};
use nepal::units::EV_PER_A3_IN_GPA;
use serde::{Deserialize, Serialize};

/// Coefficients of the polynomial.
const TERMS: usize = 4;

/// Where the energy is lowest, and how it rises.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct StateEquation {
    /// Volume, Å³.
    pub volume: f64,
    /// Energy there, eV.
    pub energy: f64,
    /// Bulk modulus there, GPa.
    pub bulk: f64,
}

impl StateEquation {
    /// Through points of volume (Å³) and energy (eV) of one crystal.
    ///
    /// **Errors**: [`Error::Failed`] for fewer than four volumes, and without a minimum among them.
    pub fn fit(points: &[(f64, f64)]) -> Result<Self> {
        let count = points.len() as f64;
        let scale = points.iter().map(|p| p.0).sum::<f64>() / count;
        let base = points.iter().map(|p| p.1).sum::<f64>() / count;
        // About 1 in the middle, so that the powers stay apart.
        let variable = |volume: f64| (volume / scale).powf(-2.0 / 3.0) - 1.0;
        let rows = Mat::from_fn(points.len(), TERMS, |i, k| {
            variable(points[i].0).powi(k as i32)
        });
        let right = Mat::from_fn(points.len(), 1, |i, _| points[i].1 - base);
        let none = || {
            Error::Failed(format!(
                "the energies of {} cells have no minimum between {:.3} and {:.3} Å³",
                points.len(),
                points.iter().map(|p| p.0).fold(f64::INFINITY, f64::min),
                points.iter().map(|p| p.0).fold(0.0, f64::max)
            ))
        };
        let normal = rows.transpose() * &rows;
        let factor = normal.llt(Side::Lower).map_err(|_| none())?;
        let c = factor.solve(rows.transpose() * &right);
        let [a, b, k] = [c[(1, 0)], 2.0 * c[(2, 0)], 3.0 * c[(3, 0)]];
        // The root of a + b x + k x² at which the slope rises.
        let root = (b * b - 4.0 * a * k).sqrt();
        let x = -2.0 * a / (b + root);
        let second = b + 2.0 * k * x;
        let ends = points.iter().map(|p| variable(p.0));
        let (low, high) = ends.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), x| {
            (l.min(x), h.max(x))
        });
        if !(second > 0.0 && (low..=high).contains(&x)) {
            return Err(none());
        }
        let ratio = (1.0 + x).powf(-1.5);
        let energy: f64 = (0..TERMS).map(|n| c[(n, 0)] * x.powi(n as i32)).sum();
        Ok(Self {
            volume: scale * ratio,
            energy: base + energy,
            // B = V d²E/dV², of which only the second derivative in x is left where the first vanishes.
            bulk: 4.0 / 9.0 * second * ratio.powf(-7.0 / 3.0) / scale * EV_PER_A3_IN_GPA,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explore::crystal::{elastic, equilibrium};
    use crate::explore::testing::{LennardJones, argon_fcc};
    use nepal::calculator::Potential;

    #[test]
    fn the_crystal_of_another_way_is_found() {
        let mut potential = LennardJones::argon();
        let crystal = argon_fcc(3, 5.26);
        let rest = equilibrium(&mut potential, &crystal).unwrap();
        let points: Vec<(f64, f64)> = (-3..=3)
            .map(|k| {
                let e = (1.05 + 0.01 * f64::from(k)).cbrt() - 1.0;
                let s = crystal
                    .strained(&[[e, 0.0, 0.0], [0.0, e, 0.0], [0.0, 0.0, e]])
                    .unwrap();
                (
                    s.cell.volume(),
                    potential.energy_forces_virial(&s).unwrap().0,
                )
            })
            .collect();
        let found = StateEquation::fit(&points).unwrap();
        let volume = crystal.cell.volume() * rest.scale.powi(3);
        assert!(
            (found.volume / volume - 1.0).abs() < 1e-4,
            "{found:?} {volume}"
        );
        let energy = rest.energy * crystal.len() as f64;
        assert!(
            (found.energy / energy - 1.0).abs() < 1e-5,
            "{found:?} {energy}"
        );
        let bulk = elastic(&mut potential, &crystal).unwrap().bulk();
        assert!((found.bulk / bulk - 1.0).abs() < 0.01, "{found:?} {bulk}");
        // All on one side of it.
        let far: Vec<_> = points.iter().map(|p| (p.0, p.0)).collect();
        assert!(
            StateEquation::fit(&far)
                .unwrap_err()
                .to_string()
                .contains("minimum")
        );
        assert!(StateEquation::fit(&points[..2]).is_err());
    }
}
