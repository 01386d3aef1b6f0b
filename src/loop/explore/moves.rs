//! Monte Carlo moves between the steps of dynamics: atoms of unlike elements that change places, cells that change
//! volume or shape. On whatever the dynamics run on, bias included.

use super::dynamics::Md;
use super::random::generator;
use super::trials;
use nepal::calculator::Potential;
use nepal::error::{Error, Result};
use nepal::system::Structure;
use nepal::units::{BOLTZMANN, EV_PER_A3_IN_GPA};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use std::str::FromStr;

/// The moves of a scenario: how many of each are tried, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Moves {
    /// Steps between two times that moves are tried.
    pub every: usize,
    /// Exchanges of two unlike atoms that are tried each time.
    pub swaps: usize,
    /// Changes of the volume alone that are tried each time.
    pub volume: usize,
    /// Changes of volume and shape that are tried each time.
    pub cell: usize,
    /// Largest strain of a change of the cell; without it 0.01 for 40 atoms at 500 K, and in the measure of T/N.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strain: Option<f64>,
}

impl Default for Moves {
    fn default() -> Self {
        Self {
            every: 10,
            swaps: 0,
            volume: 0,
            cell: 0,
            strain: None,
        }
    }
}

impl Moves {
    /// Checks that the numbers make sense.
    ///
    /// **Errors**: [`Error::InvalidArgument`] naming the option.
    pub fn validate(&self) -> Result<()> {
        if self.every == 0 || self.swaps + self.volume + self.cell == 0 {
            return Err(Error::invalid(
                "moves: expected every >= 1 and at least one of swaps, volume and cell above 0; drop `moves` to have none",
            ));
        }
        if let Some(strain) = self.strain
            && !(strain > 0.0 && strain <= 0.2)
        {
            return Err(Error::invalid(format!(
                "moves: strain is {strain}; expected a number above 0 and of at most 0.2"
            )));
        }
        Ok(())
    }

    /// Refuses a structure that these moves cannot be done in.
    ///
    /// **Errors**: [`Error::InvalidArgument`].
    pub fn check(&self, structure: &Structure) -> Result<()> {
        if self.swaps > 0 {
            trials::check_swappable(structure)?;
        }
        if self.volume + self.cell > 0 {
            trials::check_periodic(structure)?;
        }
        Ok(())
    }
}

impl FromStr for Moves {
    type Err = Error;

    /// Options between commas: `swaps=5,every=10`.
    fn from_str(text: &str) -> Result<Self> {
        let moves: Self = super::ways::options(text)?
            .try_into()
            .map_err(|e| Error::invalid(format!("moves {text:?}: {}", e.to_string().trim())))?;
        moves.validate()?;
        Ok(moves)
    }
}

/// The moves of a run.
pub(super) struct Mover {
    options: Moves,
    rng: ChaCha8Rng,
    /// Swaps, and moves of the cell: tried and taken.
    counts: [[usize; 2]; 2],
}

#[derive(Clone, Copy)]
enum Kind {
    Swap,
    Cell { isotropic: bool },
}

impl Mover {
    pub fn new(options: Moves, seed: u64) -> Self {
        Self {
            options,
            // The dynamics have stream 0.
            rng: generator(seed, 1),
            counts: [[0; 2]; 2],
        }
    }

    /// True if moves are due after a step.
    pub fn is_due(&self, step: usize) -> bool {
        step.is_multiple_of(self.options.every)
    }

    /// Tries the moves. The state has the energy, forces and virial of its positions afterwards.
    ///
    /// **Errors**: those of the potential.
    pub fn attempt(&mut self, md: &mut Md, potential: &mut dyn Potential) -> Result<()> {
        // The bias may be another one than when the step was done.
        md.state_mut().evaluate(potential)?;
        let Moves {
            swaps,
            volume,
            cell,
            ..
        } = self.options;
        for _ in 0..swaps {
            self.trial(md, potential, Kind::Swap)?;
        }
        for isotropic in std::iter::repeat_n(true, volume).chain(std::iter::repeat_n(false, cell)) {
            self.trial(md, potential, Kind::Cell { isotropic })?;
        }
        Ok(())
    }

    fn trial(&mut self, md: &mut Md, potential: &mut dyn Potential, kind: Kind) -> Result<()> {
        let temperature = md.target_temperature();
        let pressure = md.target_pressure() / EV_PER_A3_IN_GPA;
        let kt = BOLTZMANN * temperature;
        let rng = &mut self.rng;
        let state = md.state_mut();
        let before = state.clone();
        let energy = |state: &super::dynamics::State| match kind {
            Kind::Swap => state.energy + state.kinetic(),
            Kind::Cell { .. } => state.energy + pressure * state.structure.cell.volume(),
        };
        let (was, n) = (energy(state), state.structure.len());
        let (counts, log) = match kind {
            Kind::Swap => {
                let Some(pair) = trials::unlike(&state.structure, rng) else {
                    return Ok(());
                };
                trials::exchange(state, pair);
                (&mut self.counts[0], 0.0)
            }
            Kind::Cell { isotropic } => {
                let usual = || trials::usual_strain(n, temperature);
                let size = self.options.strain.unwrap_or_else(usual);
                let grown = trials::strain(&mut state.structure, size, isotropic, rng)?;
                (&mut self.counts[1], (n + 1) as f64 * grown)
            }
        };
        state.evaluate(potential)?;
        counts[0] += 1;
        if trials::accepts(log - (energy(state) - was) / kt, rng) {
            counts[1] += 1;
            if state.momentum_removed() {
                state.remove_momentum();
            }
        } else {
            *state = before;
        }
        Ok(())
    }

    /// The parts of moves that were taken, as far as there are such moves.
    pub fn notes(&self) -> impl Iterator<Item = (&'static str, f64)> {
        let there = [self.options.swaps, self.options.volume + self.options.cell];
        let names = ["swaps taken", "cell moves taken"];
        (0..2).filter(move |&k| there[k] > 0).map(move |k| {
            let [tried, taken] = self.counts[k];
            (names[k], taken as f64 / tried.max(1) as f64)
        })
    }
}

#[cfg(test)]
mod tests;
