//! Molecular dynamics over any [`Potential`].
//!
//! One splitting serves all ensembles: half a kick, the barostat, half a drift, the Langevin bath,
//! half a drift, new forces, half a kick, velocity rescaling. Without baths it is velocity Verlet,
//! with Langevin alone BAOAB. Knows nothing of grades.

mod coupling;
#[doc(hidden)]
pub mod lennard_jones;
mod options;
pub mod random;
mod state;
#[cfg(test)]
mod tests;

pub use options::{Anisotropy, Barostat, Ensemble, MdOptions, Thermostat};
pub use state::State;

use crate::random::generator;
use nepal::calculator::Potential;
use nepal::error::{Error, Result};
use nepal::system::Structure;
use rand_chacha::ChaCha8Rng;

/// An atom that moves farther than this in one step (Å) is lost to any integrator.
const LARGEST_MOVE: f64 = 1.0;
/// Rounding lets the total momentum creep; it is taken out this often (steps).
const MOMENTUM_INTERVAL: usize = 100;

/// How a step ended.
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub enum Step {
    /// As it should.
    Done,
    /// The dynamics blew up; the state is of no use any more. Says what was seen.
    Unstable(String),
}

/// A molecular-dynamics run in progress.
///
/// The same structure, potential and options give the same trajectory, bit for bit, if the
/// potential repeats itself bit for bit.
#[derive(Clone, Debug)]
pub struct Md {
    state: State,
    options: MdOptions,
    step: usize,
    rng: ChaCha8Rng,
}

impl Md {
    /// Starts a run with velocities drawn at the initial temperature.
    ///
    /// **Errors**: [`Error::InvalidArgument`] for options that make no sense or constant pressure
    /// without three periodic directions, and those of the potential.
    pub fn new(
        potential: &mut dyn Potential,
        start: &Structure,
        options: &MdOptions,
    ) -> Result<Self> {
        options.validate()?;
        if options.ensemble.barostat().is_some() && start.cell.periodic() != [true; 3] {
            return Err(Error::invalid(format!(
                "constant pressure needs three periodic directions; the cell has {:?}: use constant volume",
                start.cell.periodic()
            )));
        }
        let mut md = Self {
            state: State::at_rest(potential, start, options.ensemble.conserves_momentum())?,
            options: *options,
            step: 0,
            rng: generator(options.seed, 0),
        };
        md.draw_velocities();
        Ok(md)
    }

    /// Draws new Maxwell-Boltzmann velocities at the present target temperature.
    pub fn draw_velocities(&mut self) {
        let temperature = self.target_temperature();
        self.state.draw_velocities(temperature, &mut self.rng);
    }

    /// Goes back to an earlier state with new velocities; the step counter and the ramps go on.
    pub fn restart_from(&mut self, state: &State) {
        self.state = state.clone();
        self.draw_velocities();
    }

    /// Advances by one time step.
    ///
    /// **Errors**: those of the potential; dynamics that blow up are not an error but
    /// [`Step::Unstable`].
    pub fn step(&mut self, potential: &mut dyn Potential) -> Result<Step> {
        let dt = self.options.timestep;
        let temperature = self.target_temperature();
        let pressure = self.target_pressure();
        let thermostat = self.options.ensemble.thermostat();
        self.step += 1;
        let state = &mut self.state;
        state.kick(0.5 * dt);
        if let Some(reason) = too_fast(state, dt) {
            return Ok(Step::Unstable(reason));
        }
        if let Some(barostat) = self.options.ensemble.barostat() {
            let rng = &mut self.rng;
            coupling::rescale_cell(state, &barostat, temperature, pressure, dt, rng)?;
        }
        if let Some(Thermostat::Langevin { friction }) = thermostat {
            state.drift(0.5 * dt);
            coupling::langevin(state, friction, temperature, dt, &mut self.rng);
            state.drift(0.5 * dt);
        } else {
            state.drift(dt);
        }
        state.evaluate(potential)?;
        if !(state.energy.is_finite() && state.virial.iter().all(|w| w.is_finite())) {
            return Ok(Step::Unstable(format!(
                "the potential energy is {} eV and the virial {:?} eV",
                state.energy, state.virial
            )));
        }
        state.kick(0.5 * dt);
        if let Some(Thermostat::Svr { tau }) = thermostat {
            coupling::svr(state, tau, temperature, dt, &mut self.rng);
            if state.momentum_removed() && self.step.is_multiple_of(MOMENTUM_INTERVAL) {
                state.remove_momentum();
            }
        }
        Ok(match too_fast(state, dt) {
            Some(reason) => Step::Unstable(reason),
            None => Step::Done,
        })
    }

    /// Advances by `steps`, handing the state to `each` after every step.
    ///
    /// **Errors**: those of the potential, and [`Error::Failed`] when the dynamics blow up.
    pub fn run(
        &mut self,
        potential: &mut dyn Potential,
        steps: usize,
        mut each: impl FnMut(&Md),
    ) -> Result<()> {
        for _ in 0..steps {
            if let Step::Unstable(reason) = self.step(potential)? {
                return Err(Error::Failed(format!(
                    "the dynamics blew up in step {}: {reason}; use a shorter time step or check the potential",
                    self.step
                )));
            }
            each(self);
        }
        Ok(())
    }

    /// The present state.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The present state, to be changed with care: forces must stay those of the positions.
    pub fn state_mut(&mut self) -> &mut State {
        &mut self.state
    }

    /// Steps done.
    pub fn steps_done(&self) -> usize {
        self.step
    }

    /// Potential plus kinetic energy in eV.
    pub fn total_energy(&self) -> f64 {
        self.state.energy + self.state.kinetic()
    }

    /// Target pressure of the next step in GPa.
    pub fn target_pressure(&self) -> f64 {
        self.options.pressure_at(self.step)
    }

    /// Target temperature of the next step in K.
    pub fn target_temperature(&self) -> f64 {
        self.options.temperature_at(self.step)
    }
}

/// Says so if an atom would leap in the next drift, or is nowhere any more.
fn too_fast(state: &State, dt: f64) -> Option<String> {
    let limit = LARGEST_MOVE / dt;
    state.velocities.iter().enumerate().find_map(|(atom, v)| {
        let speed = nepal::system::cell::norm(*v);
        (speed > limit || speed.is_nan()).then(|| {
            format!(
                "atom {atom} would move {:.3} Å in one step (limit {LARGEST_MOVE} Å)",
                speed * dt
            )
        })
    })
}
