//! Uncertain and energetically viable: frames that the material will visit and the model does not know.
//!
//! Dynamics with the model as it is; of each graded frame the probability P_U P_E that it is worth a label is
//! drawn, so that rare, strongly anharmonic motion is caught while the model is wrong about it and hot spikes
//! are not. Source: ALmoMD (Kang et al., 2024), with calibrated deviations in place of a committee's, robust
//! statistics, and kept frames that are apart by their autocorrelation.

use super::probability::{EnergyRule, Rule, Spread, Usual};
use super::{Guide, Verdict};
use crate::explore::dynamics::{Ensemble, MdOptions};
use crate::explore::potential::{GradedPotential, Signal};
use crate::explore::random::generator;
use crate::explore::run::ExploreOptions;
use crate::explore::snapshot::Snapshot;
use nepal::error::{Error, Result};
use nepal::system::Structure;
use nepal::units::BOLTZMANN;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// Held-out frames that say what is usual; fewer say too little.
const FEWEST: usize = 8;
/// A run's energies beyond twice this window of their autocorrelation are noise (Sokal's rule).
const WINDOW: f64 = 5.0;

/// Options of the way `anharmonic`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Anharmonic {
    /// What is uncertain: `sigma`, the largest calibrated deviation of a force; `committee`, that over models of other seeds;
    /// or `grade`, the largest Γ.
    pub signal: Signal,
    /// Standard deviations above the usual uncertainty at which the probability is 1/2.
    pub shift: f64,
    /// Width of its rise, in standard deviations.
    pub grad: f64,
    /// How energies are judged; not at all where the ensemble changes the volume.
    pub rule: EnergyRule,
    /// Graded frames at the start of a run that say what is usual: which energies, and which uncertainties unless
    /// those of held-out frames are smaller.
    pub settle: usize,
    /// Whether the next round's walkers go on from the frames whose labels the model missed by most.
    pub resume: bool,
    /// What is usual, where it is known; measured otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usual: Option<Usual>,
    /// Uncertainties of frames that the model was not trained on.
    #[serde(skip)]
    held_out: Option<Spread>,
}

impl Default for Anharmonic {
    fn default() -> Self {
        let Rule {
            shift,
            grad,
            energy,
        } = Rule::default();
        Self {
            signal: Signal::Sigma,
            shift,
            grad,
            rule: energy,
            settle: 30,
            resume: true,
            usual: None,
            held_out: None,
        }
    }
}

impl Anharmonic {
    pub(super) fn validate(&self) -> Result<()> {
        if !(self.grad > 0.0 && self.grad.is_finite() && self.shift.is_finite()) {
            return Err(Error::invalid(format!(
                "the way anharmonic has shift = {} and grad = {}; expected numbers, and grad above 0",
                self.shift, self.grad
            )));
        }
        if self.settle < FEWEST {
            return Err(Error::invalid(format!(
                "the way anharmonic has settle = {}; expected at least {FEWEST} frames, which say what is usual",
                self.settle
            )));
        }
        Ok(())
    }

    pub(super) fn inform(
        &mut self,
        potential: &mut dyn GradedPotential,
        held_out: &[Structure],
    ) -> Result<()> {
        if held_out.len() >= FEWEST {
            self.held_out = measured(potential, self.signal, held_out)?.map(|u| u.uncertainty);
        }
        Ok(())
    }

    pub(super) fn guide(&self, options: &ExploreOptions) -> Box<dyn Guide> {
        Box::new(Judge {
            rule: Rule {
                shift: self.shift,
                grad: self.grad,
                energy: self.rule,
            },
            signal: self.signal,
            settle: self.settle,
            usual: self.usual,
            held_out: self.held_out,
            own: self.usual.is_none(),
            md: options.md,
            every: options.grade_every,
            spacing: options.spacing,
            seen: Vec::new(),
            last: None,
            // Apart from the velocities of the same seed.
            rng: generator(options.md.seed, 31),
            notes: [0.0; 3],
        })
    }
}

/// What is usual of some structures; `None` without any.
///
/// **Errors**: those of the potential.
pub fn measured<'a>(
    potential: &mut dyn GradedPotential,
    signal: Signal,
    structures: impl IntoIterator<Item = &'a Structure>,
) -> Result<Option<Usual>> {
    let mut found = Vec::new();
    for structure in structures {
        let ((energy, ..), grades) = potential.energy_forces_virial_grades(structure)?;
        let uncertainty = match signal {
            Signal::Grade => largest(&grades.grade),
            signal => largest(&potential.deviations(structure, signal)?),
        };
        found.push([uncertainty, energy / structure.len().max(1) as f64]);
    }
    Ok(Usual::of(&found))
}

/// The largest of some values; one that is no number counts as infinite.
fn largest(values: &[f64]) -> f64 {
    let known = |x: &f64| if x.is_nan() { f64::INFINITY } else { *x };
    values.iter().map(known).fold(0.0, f64::max)
}

struct Judge {
    rule: Rule,
    signal: Signal,
    settle: usize,
    usual: Option<Usual>,
    held_out: Option<Spread>,
    /// Whether this run itself has to say what is usual. Its energies are then counted from those of harmonic
    /// motion at the temperature of the step, so that a ramp alone makes nothing unusual.
    own: bool,
    md: MdOptions,
    every: usize,
    spacing: usize,
    /// Uncertainty and energy per atom of each judged frame.
    seen: Vec<[f64; 2]>,
    /// Step of the last kept frame.
    last: Option<usize>,
    rng: ChaCha8Rng,
    /// Uncertainty, P_U, P_E.
    notes: [f64; 3],
}

impl Judge {
    /// Steps after which another frame is independent of the last one kept.
    fn apart(&self) -> usize {
        let energies: Vec<f64> = self.seen.iter().map(|s| s[1]).collect();
        let time = 2.0 * correlation_time(&energies) * self.every as f64;
        self.spacing.max(time.ceil() as usize)
    }
}

impl Guide for Judge {
    fn judge(&mut self, potential: &mut dyn GradedPotential, frame: &Snapshot) -> Result<Verdict> {
        let structure = &frame.state.structure;
        let uncertainty = match self.signal {
            Signal::Grade => frame.max_grade(),
            signal => largest(&potential.deviations(structure, signal)?),
        };
        let mut energy = frame.state.energy / structure.len().max(1) as f64;
        if self.own {
            energy -= 1.5 * BOLTZMANN * self.md.temperature_at(frame.step);
        }
        self.seen.push([uncertainty, energy]);
        self.notes = [uncertainty, 0.0, 0.0];
        let Some(usual) = self.usual else {
            if self.seen.len() >= self.settle {
                self.usual = Usual::of(&self.seen);
                // Test frames may be shaken harder than any run: they are asked where they are the calmer ones.
                if let (Some(usual), Some(calm)) = (&mut self.usual, self.held_out)
                    && calm.middle < usual.uncertainty.middle
                {
                    usual.uncertainty = calm;
                }
            }
            return Ok(Verdict::default());
        };
        let uncertain = self.rule.uncertain(uncertainty, usual.uncertainty);
        let viable = match self.md.ensemble {
            Ensemble::Npt(..) => 1.0,
            _ => self.rule.viable(energy, usual.energy),
        };
        self.notes = [uncertainty, uncertain, viable];
        let draw: f64 = self.rng.random();
        let wanted = draw < uncertain * viable;
        if !wanted || (self.last).is_some_and(|last| frame.step < last + self.apart()) {
            return Ok(Verdict::default());
        }
        self.last = Some(frame.step);
        Ok(Verdict {
            keep: Some("uncertain and viable"),
            stop: false,
        })
    }

    fn keeps_by_grade(&self) -> bool {
        false
    }

    fn notes(&self) -> Vec<(&'static str, f64)> {
        let name = match self.signal {
            Signal::Sigma | Signal::Committee => "largest σ (eV/Å)",
            Signal::Grade => "largest Γ",
        };
        ["P_U", "P_E"]
            .into_iter()
            .zip(self.notes[1..].iter().copied())
            .chain([(name, self.notes[0])])
            .collect()
    }
}

/// Integrated autocorrelation time of a series, in units of its spacing; ½ for what is uncorrelated.
///
/// **Source**: Sokal, Monte Carlo methods in statistical mechanics (1997), the self-consistent window.
fn correlation_time(values: &[f64]) -> f64 {
    let n = values.len();
    let mean = values.iter().sum::<f64>() / n.max(1) as f64;
    let off: Vec<f64> = values.iter().map(|x| x - mean).collect();
    let at = |lag: usize| -> f64 {
        let pairs = off.iter().zip(&off[lag..]);
        pairs.map(|(a, b)| a * b).sum::<f64>() / (n - lag) as f64
    };
    let mut time = 0.5;
    if n < 4 || at(0) <= 0.0 {
        return time;
    }
    for lag in 1..n / 2 {
        time += at(lag) / at(0);
        if lag as f64 >= WINDOW * time {
            break;
        }
    }
    time.max(0.5)
}

#[cfg(test)]
mod tests;
