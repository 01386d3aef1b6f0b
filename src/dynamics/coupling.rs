//! Thermostats and barostats: what a bath does to a state in one time step.

use super::options::{Anisotropy, Barostat};
use super::state::State;
use crate::random::{gaussian, gaussian_vector, sum_of_squares};
use nepal::error::Result;
use nepal::units::{BOLTZMANN, EV_PER_A3_IN_GPA};
use rand::Rng;
use std::f64::consts::FRAC_1_SQRT_2;

/// Largest change of the logarithm of a length in one step. Physical runs stay far below; a
/// simulation that blows up is stopped by its pressure otherwise before anyone can look at it.
const LARGEST_CHANGE: f64 = 0.1;

/// The exact Ornstein-Uhlenbeck step of Langevin dynamics over `time` (ps).
pub fn langevin(state: &mut State, friction: f64, temperature: f64, time: f64, rng: &mut impl Rng) {
    let keep = (-friction * time).exp();
    let spread = (1.0 - keep * keep) * BOLTZMANN * temperature;
    let widths: Vec<f64> = state.masses().iter().map(|m| (spread / m).sqrt()).collect();
    for (v, width) in state.velocities.iter_mut().zip(widths) {
        let kick = gaussian_vector(rng);
        for a in 0..3 {
            v[a] = keep * v[a] + width * kick[a];
        }
    }
}

/// Stochastic velocity rescaling over `time` (ps): the kinetic energy follows its own exact
/// stochastic equation, all velocities share one factor.
///
/// **Source**: Bussi, Donadio & Parrinello, J. Chem. Phys. 126, 014101 (2007), Eq. (A7).
pub fn svr(state: &mut State, tau: f64, temperature: f64, time: f64, rng: &mut impl Rng) {
    let kinetic = state.kinetic();
    // At rest there is no direction to scale; a blown-up state is the caller's to notice.
    if !(kinetic > 0.0 && kinetic.is_finite()) {
        return;
    }
    let n = state.degrees_of_freedom();
    let keep = (-time / tau).exp();
    // Kinetic energy per degree of freedom of the bath over that of the system, times 1 - keep.
    let feed = (1.0 - keep) * 0.5 * BOLTZMANN * temperature / kinetic;
    let first = gaussian(rng);
    let others = sum_of_squares(n - 1, rng);
    let square = keep + feed * (first * first + others) + 2.0 * first * (keep * feed).sqrt();
    let sign = if first + (keep / feed).sqrt() < 0.0 {
        -1.0
    } else {
        1.0
    };
    let factor = sign * square.max(0.0).sqrt();
    for v in &mut state.velocities {
        *v = v.map(|x| x * factor);
    }
}

/// Stochastic cell rescaling over `time` (ps) towards `pressure` (GPa).
///
/// Shape kept: for λ = √V the noise does not depend on λ,
/// dλ = -(βλ/2τ)(P₀ - P - kT/2V) dt + √(kTβ/2τ) dW. By axes, with ε_a = ln L_a:
/// dε_a = (β/3τ)(P_aa - P₀) dt + √(2kTβ/3Vτ) dW_a, whose sum is the isotropic equation for ln V. In full, the cell is
/// multiplied by exp(dε) with dε_ab = (β/3τ)(P_ab - P₀ δ_ab) dt + noise of that width on the diagonal, of 1/√2 of it
/// beside: rotations, which change nothing, are left out.
/// Where the total momentum is removed, the centre of mass takes no part in the kinetic pressure
/// although it has the whole volume to be in: kT/V is added to P.
///
/// **Source**: Bernetti & Bussi, J. Chem. Phys. 153, 114107 (2020); Del Tatto et al., Appl. Sci. 12, 1139 (2022).
pub fn rescale_cell(
    state: &mut State,
    barostat: &Barostat,
    temperature: f64,
    pressure: f64,
    time: f64,
    rng: &mut impl Rng,
) -> Result<()> {
    let volume = state.structure.cell.volume();
    let kt = BOLTZMANN * temperature;
    let target = pressure / EV_PER_A3_IN_GPA;
    // β/τ in Å³/(eV ps).
    let rate = barostat.compressibility * EV_PER_A3_IN_GPA / barostat.tau;
    let mut tensor = state.pressure_tensor();
    for a in 0..3 {
        tensor[a][a] -= target;
        if state.momentum_removed() {
            tensor[a][a] += kt / volume;
        }
    }
    let width = (2.0 * kt * rate * time / (3.0 * volume)).sqrt();
    let mut change = [[0.0; 3]; 3];
    match barostat.anisotropic {
        Anisotropy::Shape => {
            let mean = (tensor[0][0] + tensor[1][1] + tensor[2][2]) / 3.0;
            let root = volume.sqrt();
            let moved = root
                + 0.5 * rate * root * (mean + 0.5 * kt / volume) * time
                + (0.5 * kt * rate * time).sqrt() * gaussian(rng);
            // V = λ², and each length is its cube root.
            let by = (moved / root).max(0.5).ln() * 2.0 / 3.0;
            (0..3).for_each(|a| change[a][a] = by);
        }
        Anisotropy::Axes => {
            for a in 0..3 {
                change[a][a] = rate / 3.0 * tensor[a][a] * time + width * gaussian(rng);
            }
        }
        Anisotropy::Full => {
            for a in 0..3 {
                for b in a..3 {
                    let share = if a == b { 1.0 } else { FRAC_1_SQRT_2 };
                    let by = rate / 3.0 * tensor[a][b] * time + share * width * gaussian(rng);
                    (change[a][b], change[b][a]) = (by, by);
                }
            }
        }
    }
    let change = change.map(|row| row.map(|x| x.clamp(-LARGEST_CHANGE, LARGEST_CHANGE)));
    state.rescale(&change)
}
