//! Structures displaced along their phonons: harmonic sampling.
//!
//! Force constants come from finite displacements of every atom of a cell, so that a cell's own modes are those
//! that fit into it. What is drawn costs no dynamics, is free of correlation, and takes the stiff and the soft
//! modes at their own amplitudes, which a uniform rattle does not.

use super::random::{gaussian, generator};
use faer::{Mat, Side};
use nepal::calculator::Potential;
use nepal::error::{Error, Result};
use nepal::system::Structure;
use nepal::units::{BOLTZMANN, HBAR, MASS};

/// Displacement that force constants are differences over, Å.
const STEP: f64 = 0.01;
/// Largest cell: the effort grows with the square of its atoms.
const MOST: usize = 500;
/// Modes below this frequency (THz) are the cell's own motion, or so soft that no amplitude is known.
const SOFT: f64 = 0.1;

/// The harmonic modes of a cell.
pub struct Modes {
    /// Angular frequencies squared, 1/ps², ascending; negative where the energy falls.
    squares: Vec<f64>,
    /// Columns: the modes in coordinates weighted by the square roots of masses.
    vectors: Mat<f64>,
    /// Square roots of the masses, in eV^½ ps/Å. Shape `[n_atoms]`.
    roots: Vec<f64>,
}

impl Modes {
    /// The modes of a structure as it is: at rest they are those of its harmonic motion.
    ///
    /// **Errors**: [`Error::InvalidArgument`] for more than 500 atoms; those of the potential.
    pub fn of(potential: &mut dyn Potential, structure: &Structure) -> Result<Self> {
        let n = structure.len();
        if n == 0 || n > MOST {
            return Err(Error::invalid(format!(
                "harmonic displacements are for 1 to {MOST} atoms, found {n}; repeat a smaller cell less often"
            )));
        }
        let masses = structure.elements.iter().map(|e| e.mass() * MASS);
        let roots: Vec<f64> = masses.map(f64::sqrt).collect();
        let mut moved = structure.clone();
        let mut dynamical = Mat::<f64>::zeros(3 * n, 3 * n);
        for column in 0..3 * n {
            let (atom, axis) = (column / 3, column % 3);
            let rest = structure.positions[atom][axis];
            let mut forces = |shift: f64| -> Result<Vec<[f64; 3]>> {
                moved.positions[atom][axis] = rest + shift;
                Ok(potential.energy_forces_virial(&moved)?.1)
            };
            let (plus, minus) = (forces(STEP)?, forces(-STEP)?);
            moved.positions[atom][axis] = rest;
            for row in 0..3 * n {
                let slope = (minus[row / 3][row % 3] - plus[row / 3][row % 3]) / (2.0 * STEP);
                // Half to either side: only differences leave it unsymmetric.
                let weighted = 0.5 * slope / (roots[row / 3] * roots[atom]);
                dynamical[(row, column)] += weighted;
                dynamical[(column, row)] += weighted;
            }
        }
        let eigen = dynamical.self_adjoint_eigen(Side::Lower).map_err(|_| {
            Error::Failed("the force constants have no eigenvalues; are all forces finite?".into())
        })?;
        Ok(Self {
            squares: eigen.S().column_vector().iter().copied().collect(),
            vectors: eigen.U().to_owned(),
            roots,
        })
    }

    /// Frequencies in THz, ascending; imaginary ones as negative numbers.
    pub fn frequencies(&self) -> Vec<f64> {
        let frequency = |s: &f64| s.signum() * s.abs().sqrt() / std::f64::consts::TAU;
        self.squares.iter().map(frequency).collect()
    }

    /// The structure with each mode displaced at random as it is at a temperature (K); with `quantum` its motion at
    /// rest is among that. Imaginary modes count with the size of their frequency.
    pub fn displaced(
        &self,
        structure: &Structure,
        temperature: f64,
        quantum: bool,
        seed: u64,
    ) -> Structure {
        let mut rng = generator(seed, 32);
        let mut out = structure.clone();
        for (mode, frequency) in self.frequencies().into_iter().enumerate() {
            // A draw in any case, so that one mode does not shift the others' numbers.
            let draw = gaussian(&mut rng);
            if frequency.abs() < SOFT {
                continue;
            }
            let omega = frequency.abs() * std::f64::consts::TAU;
            let thermal = BOLTZMANN * temperature;
            let square = if quantum {
                // coth x → 1 where nothing is warm.
                0.5 * HBAR / omega / (0.5 * HBAR * omega / thermal).tanh()
            } else {
                thermal / omega.powi(2)
            };
            for (i, (r, root)) in out.positions.iter_mut().zip(&self.roots).enumerate() {
                for (c, x) in r.iter_mut().enumerate() {
                    *x += draw * square.sqrt() * self.vectors[(3 * i + c, mode)] / root;
                }
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explore::crystal::equilibrium;
    use crate::explore::testing::{IdealGas, LennardJones, argon_fcc, argon_grid};
    use nepal::system::Cell;

    #[test]
    fn a_dimer_vibrates_as_its_formula_says() {
        let mut potential = LennardJones {
            shifted: false,
            ..LennardJones::argon()
        };
        let rest = 2f64.powf(1.0 / 6.0) * potential.sigma;
        let mut dimer = argon_grid(1, 30.0).repeated([2, 1, 1]).unwrap();
        dimer.cell = Cell::orthorhombic([40.0; 3]).unwrap();
        dimer.positions = vec![[5.0; 3], [5.0 + rest, 5.0, 5.0]];
        let modes = Modes::of(&mut potential, &dimer).unwrap();
        // k = 72 ε / (2^⅓ σ²), reduced mass m/2.
        let stiffness = 72.0 * potential.epsilon / (2f64.cbrt() * potential.sigma.powi(2));
        let mass = dimer.elements[0].mass() * MASS;
        let exact = (2.0 * stiffness / mass).sqrt() / std::f64::consts::TAU;
        let found = modes.frequencies();
        assert!((found[5] / exact - 1.0).abs() < 1e-3, "{found:?} {exact}");
        assert!(found[..5].iter().all(|f| f.abs() < SOFT), "{found:?}");
        // No interaction, no amplitude.
        let free = Modes::of(&mut IdealGas, &dimer).unwrap();
        assert_eq!(free.displaced(&dimer, 300.0, false, 1), dimer);
    }

    #[test]
    fn each_mode_has_its_share_of_energy() {
        let mut potential = LennardJones::argon();
        let crystal = argon_fcc(2, 5.26);
        let scale = equilibrium(&mut potential, &crystal).unwrap().scale;
        let e = scale - 1.0;
        let rest = crystal
            .strained(&[[e, 0.0, 0.0], [0.0, e, 0.0], [0.0, 0.0, e]])
            .unwrap();
        let modes = Modes::of(&mut potential, &rest).unwrap();
        let frequencies = modes.frequencies();
        assert_eq!(frequencies.iter().filter(|f| **f < SOFT).count(), 3);
        let ground = potential.energy_forces_virial(&rest).unwrap().0;
        let mut mean = |temperature, quantum| {
            let count = 200;
            let sum: f64 = (0..count)
                .map(|seed| {
                    let s = modes.displaced(&rest, temperature, quantum, seed);
                    potential.energy_forces_virial(&s).unwrap().0 - ground
                })
                .sum();
            sum / count as f64
        };
        let freedom = (frequencies.len() - 3) as f64;
        let classical = mean(2.0, false) / (0.5 * freedom * BOLTZMANN * 2.0);
        assert!((classical - 1.0).abs() < 0.05, "{classical}");
        // Half of the energy of the motion at rest is potential energy.
        let zero: f64 = frequencies[3..]
            .iter()
            .map(|f| 0.25 * HBAR * f * std::f64::consts::TAU)
            .sum();
        let quantum = mean(0.0, true) / zero;
        // Argon at rest is anharmonic by some per cent.
        assert!((quantum - 1.0).abs() < 0.12, "{quantum}");
        let error = Modes::of(&mut potential, &argon_fcc(6, 5.26))
            .err()
            .unwrap();
        assert!(error.to_string().contains("864"), "{error}");
    }
}
