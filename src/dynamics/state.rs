//! Positions, velocities and forces at one instant.

use crate::random::gaussian_vector;
use nepal::calculator::Potential;
use nepal::error::{Error, Result};
use nepal::system::Structure;
use nepal::system::cell::{dot, strain_vector};
use nepal::units::{BOLTZMANN, EV_PER_A3_IN_GPA, MASS};
use rand::Rng;

/// The state of a simulation with the forces that belong to it.
#[derive(Clone, Debug)]
pub struct State {
    /// Cell, elements and positions. Positions are never wrapped, so that displacements can be
    /// measured.
    pub structure: Structure,
    /// Velocities in Å/ps. Shape `[n_atoms]`.
    pub velocities: Vec<[f64; 3]>,
    /// Potential energy in eV.
    pub energy: f64,
    /// Forces in eV/Å. Shape `[n_atoms]`.
    pub forces: Vec<[f64; 3]>,
    /// Virial in eV, `-dE/d(strain)`.
    pub virial: [f64; 9],
    /// Masses in eV ps²/Å². Shape `[n_atoms]`.
    masses: Vec<f64>,
    /// Degrees of freedom of the kinetic energy.
    freedom: usize,
}

impl State {
    /// A state at rest.
    ///
    /// **Errors**: those of the potential, and [`Error::InvalidArgument`] without atoms.
    pub fn at_rest(
        potential: &mut dyn Potential,
        structure: &Structure,
        conserves_momentum: bool,
    ) -> Result<Self> {
        let n = structure.len();
        if n == 0 {
            return Err(Error::invalid(
                "dynamics need at least one atom; the structure is empty",
            ));
        }
        let mut state = Self {
            structure: structure.clone(),
            velocities: vec![[0.0; 3]; n],
            energy: 0.0,
            forces: Vec::new(),
            virial: [0.0; 9],
            masses: structure.elements.iter().map(|e| e.mass() * MASS).collect(),
            // A single atom keeps its momentum: there would be nothing left to move.
            freedom: if conserves_momentum && n > 1 {
                3 * n - 3
            } else {
                3 * n
            },
        };
        state.evaluate(potential)?;
        Ok(state)
    }

    /// Evaluates energy, forces and virial at the present positions.
    ///
    /// **Errors**: those of the potential.
    pub fn evaluate(&mut self, potential: &mut dyn Potential) -> Result<()> {
        let (energy, forces, virial) = potential.energy_forces_virial(&self.structure)?;
        if forces.len() != self.structure.len() {
            return Err(Error::Internal(format!(
                "the potential returned {} forces for {} atoms",
                forces.len(),
                self.structure.len()
            )));
        }
        self.energy = energy;
        self.forces = forces;
        self.virial = virial;
        Ok(())
    }

    /// Draws velocities from the Maxwell-Boltzmann distribution and removes the total momentum
    /// where it is conserved.
    ///
    /// With momentum removed the mean kinetic energy is that of the remaining degrees of freedom.
    pub fn draw_velocities(&mut self, temperature: f64, rng: &mut impl Rng) {
        for (v, &m) in self.velocities.iter_mut().zip(&self.masses) {
            let width = (BOLTZMANN * temperature / m).sqrt();
            *v = gaussian_vector(rng).map(|x| x * width);
        }
        if self.momentum_removed() {
            self.remove_momentum();
        }
    }

    /// Whether three degrees of freedom are frozen.
    pub fn momentum_removed(&self) -> bool {
        self.freedom < 3 * self.velocities.len()
    }

    /// Degrees of freedom that carry kinetic energy.
    pub fn degrees_of_freedom(&self) -> usize {
        self.freedom
    }

    /// Sets the total momentum to zero.
    pub fn remove_momentum(&mut self) {
        let total: f64 = self.masses.iter().sum();
        let mut drift = [0.0; 3];
        for (v, &m) in self.velocities.iter().zip(&self.masses) {
            for a in 0..3 {
                drift[a] += m * v[a] / total;
            }
        }
        for v in &mut self.velocities {
            for a in 0..3 {
                v[a] -= drift[a];
            }
        }
    }

    /// Masses in eV ps²/Å².
    pub fn masses(&self) -> &[f64] {
        &self.masses
    }

    /// Kinetic energy in eV.
    pub fn kinetic(&self) -> f64 {
        let double = |(v, m): (&[f64; 3], &f64)| m * dot(*v, *v);
        0.5 * self
            .velocities
            .iter()
            .zip(&self.masses)
            .map(double)
            .sum::<f64>()
    }

    /// Instantaneous temperature in K.
    pub fn temperature(&self) -> f64 {
        2.0 * self.kinetic() / (self.freedom as f64 * BOLTZMANN)
    }

    /// Instantaneous pressure tensor, kinetic part included and symmetric, in eV/Å³.
    pub fn pressure_tensor(&self) -> [[f64; 3]; 3] {
        let volume = self.structure.cell.volume();
        let w = &self.virial;
        let mut sum: [[f64; 3]; 3] = std::array::from_fn(|a| {
            std::array::from_fn(|b| 0.5 * (w[3 * a + b] + w[3 * b + a]) / volume)
        });
        for (v, &m) in self.velocities.iter().zip(&self.masses) {
            for a in 0..3 {
                for b in 0..3 {
                    sum[a][b] += m * v[a] * v[b] / volume;
                }
            }
        }
        sum
    }

    /// Instantaneous pressure in GPa; zero unless all directions are periodic.
    pub fn pressure(&self) -> f64 {
        if self.structure.cell.periodic() != [true; 3] {
            return 0.0;
        }
        let p = self.pressure_tensor();
        (p[0][0] + p[1][1] + p[2][2]) / 3.0 * EV_PER_A3_IN_GPA
    }

    /// Adds `time` (ps) of force to the velocities.
    pub fn kick(&mut self, time: f64) {
        for ((v, f), &m) in self
            .velocities
            .iter_mut()
            .zip(&self.forces)
            .zip(&self.masses)
        {
            for a in 0..3 {
                v[a] += f[a] * time / m;
            }
        }
    }

    /// Moves the atoms along their velocities for `time` (ps).
    pub fn drift(&mut self, time: f64) {
        for (r, v) in self.structure.positions.iter_mut().zip(&self.velocities) {
            for a in 0..3 {
                r[a] += v[a] * time;
            }
        }
    }

    /// Strains cell and positions by exp(ε), with a symmetric ε, and velocities by exp(-ε).
    ///
    /// **Errors**: as [`nepal::Cell::new`].
    pub fn rescale(&mut self, strain: &[[f64; 3]; 3]) -> Result<()> {
        let stretched = exponential(strain, 1.0);
        let slowed = exponential(strain, -1.0);
        self.structure = self.structure.strained(&stretched)?;
        for v in &mut self.velocities {
            *v = strain_vector(*v, &slowed);
        }
        Ok(())
    }
}

/// exp(sign ε) - 1, by its series; components of ε are far below one.
fn exponential(strain: &[[f64; 3]; 3], sign: f64) -> [[f64; 3]; 3] {
    let mut term = strain.map(|row| row.map(|x| sign * x));
    let mut sum = term;
    for order in 2..12 {
        term = term.map(|row| {
            std::array::from_fn(|b| {
                let product: f64 = (0..3).map(|k| row[k] * strain[k][b]).sum();
                sign * product / f64::from(order)
            })
        });
        for a in 0..3 {
            for b in 0..3 {
                sum[a][b] += term[a][b];
            }
        }
    }
    sum
}
