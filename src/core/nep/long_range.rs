//! Interactions through reciprocal space: charges that are smeared to Gaussians, and dispersion.
//!
//! An interaction of strengths c_i (charges in e, or √C6 in √eV Å³) is the sum over half of the wave
//! vectors E = Σ_k G(k) |S(k)|² with S(k) = Σ_j c_j exp(-i k·r_j), |k| below [`reach`]; its strain
//! derivative adds -H(k) k⊗k to G.

use crate::element::Element;
use crate::model::Electrostatics;
use crate::system::Cell;
use crate::units::COULOMB;
use std::f64::consts::PI;

/// √C6 of free atoms, √(eV Å⁶), H to Pu.
///
/// **Source**: Tkatchenko and Scheffler, Phys. Rev. Lett. 102, 073005 (2009), as in libMBD.
#[rustfmt::skip]
const ROOT_C6: [f64; 94] = [
    1.97076845, 0.93401822, 28.7883751, 11.30800023, 7.71064063, 5.27681515,
    3.8026522, 3.05310135, 2.3850495, 1.95249199, 30.49184606, 19.35586982,
    17.76216432, 13.49984686, 10.51392286, 8.94811015, 7.51838377, 6.19846864,
    48.25520057, 36.42949924, 28.74683341, 24.97636149, 22.29669973, 18.96606208,
    18.16136392, 16.97080492, 15.61381408, 14.92909006, 12.2953015, 13.0268104,
    17.25017851, 14.54388906, 12.1240153, 11.20181948, 9.8386708, 8.79997469,
    52.94337691, 43.5219708, 34.29694653, 31.66381601, 27.47802088, 24.79303107,
    28.82850971, 19.08781649, 16.74038121, 9.70106024, 14.23242065, 16.43418379,
    20.55430312, 18.73493444, 16.56675866, 15.38248553, 15.16733527, 13.07031336,
    62.7134222, 58.49820145, 48.17774682, 47.07259162, 48.34699255, 48.3278939,
    47.94887203, 47.07487644, 45.80767446, 40.76813048, 43.20787737, 42.22789509,
    41.19402888, 40.3452155, 39.23896944, 37.77055278, 37.64592342, 27.59941962,
    24.68663956, 22.50914105, 20.60009656, 18.88191435, 14.64827973, 14.40145027,
    13.34403137, 15.30459902, 20.70483221, 20.40775873, 18.47127934, 17.81121168,
    16.53441029, 15.27783161, 50.2416039, 53.84047507, 46.40833796, 49.17841153,
    37.61114702, 33.49057677, 38.71081351, 35.56862233,
];

/// √C6 of a free atom, √(eV Å⁶).
pub fn root_c6(element: Element) -> f64 {
    ROOT_C6[element.number() - 1]
}

/// The logarithm of √C6 over its value in the free atom is this times the output of the network.
pub const DISPERSION_SCALE: f64 = 0.1;

/// Wave vectors are shorter than this (1/Å) for a screening α (1/Å).
pub fn reach(alpha: f64) -> f64 {
    2.0 * PI * alpha
}

/// What interacts through reciprocal space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interaction {
    /// Charges, e.
    Charges,
    /// √C6.
    Dispersion,
}

impl Interaction {
    /// G and H of a wave vector of squared length `k2` (1/Å²), and of the opposite one.
    pub fn weights(self, k2: f64, alpha: f64, volume: f64) -> (f64, f64) {
        let k = k2.sqrt();
        match self {
            Self::Charges => {
                let g = self.unit(volume) * (-k2 / (4.0 * alpha * alpha)).exp() / k2;
                (g, g * (0.5 / (alpha * alpha) + 2.0 / k2))
            }
            Self::Dispersion => {
                let b = k / (2.0 * alpha);
                let factor = self.unit(volume);
                let (tail, gauss) = (PI.sqrt() * libm::erfc(b), (-b * b).exp() / b);
                let g = -factor * k * k2 * (tail + (0.5 / (b * b) - 1.0) * gauss);
                (g, 3.0 * factor * k * (tail - gauss))
            }
        }
    }

    /// What the weights of all waves of a volume (Å³) have in common.
    pub fn unit(self, volume: f64) -> f64 {
        match self {
            Self::Charges => COULOMB * 4.0 * PI / volume,
            Self::Dispersion => 2.0 * PI / volume * PI.sqrt() / 24.0,
        }
    }

    /// Factor of c_i² in the energy that takes off what an atom's own Gaussian has with itself.
    pub fn own(self, alpha: f64) -> f64 {
        match self {
            Self::Charges => -COULOMB * alpha / PI.sqrt(),
            Self::Dispersion => alpha.powi(6) / 12.0,
        }
    }
}

/// G of k = 0 for dispersion, once: charges have a neutralizing background there instead.
pub fn dispersion_mean(alpha: f64, volume: f64) -> f64 {
    -2.0 * PI / volume * PI.sqrt() * alpha.powi(3) / 12.0
}

/// The screened interaction in real space of two unit charges at a distance `r` (Å) below `cutoff`,
/// and its derivative with respect to `r`; eV/e² and eV/Å/e².
pub fn screened_pair(r: f64, alpha: f64, cutoff: f64, how: Electrostatics) -> (f64, f64) {
    let slope = 2.0 * alpha / PI.sqrt();
    let value = |r: f64| libm::erfc(alpha * r) / r;
    let derivative = |r: f64| -value(r) / r - slope * (-(alpha * r).powi(2)).exp() / r;
    let (mut phi, mut dphi) = (value(r), derivative(r));
    if how == Electrostatics::RealSpace {
        // A straight line, so that value and derivative are zero at the cutoff.
        let end = derivative(cutoff);
        phi -= value(cutoff) + end * (r - cutoff);
        dphi -= end;
    }
    (COULOMB * phi, COULOMB * dphi)
}

/// The rows 2π b_d of the reciprocal lattice, 1/Å.
pub fn reciprocal(cell: &Cell) -> [[f64; 3]; 3] {
    let unit = |a: usize| cell.fractional(std::array::from_fn(|c| f64::from(u8::from(c == a))));
    let columns = [0, 1, 2].map(unit);
    std::array::from_fn(|d| columns.map(|column| 2.0 * PI * column[d]))
}

/// The wave vectors of half of reciprocal space shorter than [`reach`], as multiples of the rows of
/// [`reciprocal`] and in 1/Å.
pub fn wave_vectors(cell: &Cell, alpha: f64) -> Vec<([i32; 3], [f64; 3])> {
    use crate::system::cell::{dot, norm};
    let rows = reciprocal(cell);
    let most = cell.vectors().map(|a| (alpha * norm(a)).floor() as i32);
    let limit = reach(alpha).powi(2);
    let mut all = Vec::new();
    for a in 0..=most[0] {
        for b in if a == 0 { 0 } else { -most[1] }..=most[1] {
            for c in if a == 0 && b == 0 { 1 } else { -most[2] }..=most[2] {
                let n = [a, b, c];
                let k: [f64; 3] =
                    std::array::from_fn(|x| (0..3).map(|d| f64::from(n[d]) * rows[d][x]).sum());
                if dot(k, k) < limit {
                    all.push((n, k));
                }
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::cell::{dot, norm};

    #[test]
    fn wave_vectors_are_half_of_a_sphere() {
        let skewed = [[5.0, 0.3, 0.0], [4.5, 6.0, 0.1], [-2.0, 3.0, -7.0]];
        let cell = Cell::new(skewed, [true; 3]).unwrap();
        let found = wave_vectors(&cell, 0.6);
        let rows = reciprocal(&cell);
        let mut inside = 0;
        for n in (-30..=30).flat_map(|a| (-30..=30).map(move |b| [a, b])) {
            for c in -30..=30 {
                let n = [f64::from(n[0]), f64::from(n[1]), f64::from(c)];
                let k: [f64; 3] = std::array::from_fn(|x| (0..3).map(|d| n[d] * rows[d][x]).sum());
                inside += usize::from(norm(k) < reach(0.6) && norm(k) > 0.0);
            }
        }
        assert_eq!(2 * found.len(), inside);
        // exp(i k·a) = 1 for lattice vectors a.
        for (n, k) in found {
            for d in 0..3 {
                let turns = dot(k, cell.vectors()[d]) / (2.0 * PI);
                assert!((turns - f64::from(n[d])).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn a_shifted_pair_ends_at_the_cutoff_with_its_slope() {
        let at = |r: f64| screened_pair(r, PI / 6.0, 6.0, Electrostatics::RealSpace);
        assert!(at(6.0).0.abs() < 1e-15 && at(6.0).1.abs() < 1e-15);
        for how in [Electrostatics::Full, Electrostatics::RealSpace] {
            let at = |r: f64| screened_pair(r, PI / 6.0, 6.0, how);
            let slope = (at(2.3 + 1e-5).0 - at(2.3 - 1e-5).0) / 2e-5;
            assert!((slope - at(2.3).1).abs() < 1e-8);
        }
    }
}
