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
    /// What is uncertain: `sigma`, the largest calibrated deviation of a force, or `grade`, the largest Γ.
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
            Signal::Sigma => largest(&potential.deviations(structure)?),
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
            Signal::Sigma => largest(&potential.deviations(structure)?),
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
            Signal::Sigma => "largest σ (eV/Å)",
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
mod tests {
    use super::*;
    use crate::explore::health::HealthOptions;
    use crate::explore::potential::{Grades, Labels};
    use crate::explore::random::gaussian;
    use crate::explore::testing::{LennardJones, argon_fcc};
    use crate::explore::{Way, explore_with};
    use nepal::calculator::Potential;
    use std::ops::ControlFlow;

    /// Argon whose forces are known well where they are small.
    struct Doubtful(LennardJones);

    impl Potential for Doubtful {
        fn energy_forces_virial(&mut self, structure: &Structure) -> Result<Labels> {
            self.0.energy_forces_virial(structure)
        }
    }

    impl GradedPotential for Doubtful {
        fn energy_forces_virial_grades(&mut self, s: &Structure) -> Result<(Labels, Grades)> {
            let flat = || vec![0.5; s.len()];
            let grades = Grades {
                gamma: flat(),
                rho: flat(),
                grade: flat(),
            };
            Ok((self.energy_forces_virial(s)?, grades))
        }

        fn deviations(&mut self, s: &Structure) -> Result<Vec<f64>> {
            let (_, forces, _) = self.energy_forces_virial(s)?;
            Ok(forces
                .iter()
                .map(|f| nepal::system::cell::norm(*f).powi(2))
                .collect())
        }
    }

    fn options(way: Anharmonic, temperature: (f64, f64)) -> ExploreOptions {
        ExploreOptions {
            md: MdOptions {
                ensemble: Ensemble::langevin(2.0),
                temperature,
                pressure: (0.0, 0.0),
                timestep: 0.004,
                steps: 1500,
                seed: 3,
            },
            grade_every: 5,
            spacing: 10,
            health: HealthOptions::default(),
            way: Way::Anharmonic(way),
            ..ExploreOptions::default()
        }
    }

    fn run(options: &ExploreOptions) -> crate::explore::Exploration {
        let mut potential = Doubtful(LennardJones::argon());
        let start = argon_fcc(2, 5.26);
        explore_with(&mut potential, &start, options, &mut |_, _| {
            ControlFlow::Continue(())
        })
        .unwrap()
    }

    #[test]
    fn uncertain_frames_are_kept_where_they_are_viable() {
        let way = Anharmonic::default();
        let found = run(&options(way.clone(), (20.0, 40.0)));
        // Nothing is novel by its grade; what is kept is kept for its deviation.
        assert!(!found.candidates.is_empty());
        let sigma = &found.series["largest σ (eV/Å)"];
        assert_eq!(sigma.len(), found.trace.len());
        let mut usual = sigma[..30].to_vec();
        usual.sort_by(f64::total_cmp);
        let median = usual[usual.len() / 2];
        for (k, candidate) in found.candidates.iter().enumerate() {
            assert_eq!(candidate.why, "uncertain and viable");
            let at = found.trace.iter().position(|p| p.step == candidate.step);
            assert!(sigma[at.unwrap()] > median, "candidate {k}");
        }
        for pair in found.candidates.windows(2) {
            assert!(pair[1].step >= pair[0].step + 10);
        }
        assert!(found.series["P_U"][..29].iter().all(|p| *p == 0.0));
        // The same again, and frame by frame as uncertain, with energies far above the usual: none is viable.
        let again = run(&options(way.clone(), (20.0, 40.0)));
        assert_eq!(again.candidates, found.candidates);
        let mut potential = Doubtful(LennardJones::argon());
        let held_out = vec![argon_fcc(2, 5.26); FEWEST];
        let mut told = Way::Anharmonic(way.clone());
        told.inform(&mut potential, || Ok(held_out)).unwrap();
        let Way::Anharmonic(told) = told else {
            panic!("another way")
        };
        // All forces of the crystal vanish: once energies are known, everything else is uncertain.
        let calm = run(&options(told, (20.0, 40.0)));
        assert!(calm.series["P_U"][30..].iter().all(|p| *p > 0.99));
        assert!(calm.candidates.len() > found.candidates.len());
        // Told that the energy of the crystal at rest is usual, no other is viable.
        let crystal = argon_fcc(2, 5.26);
        let told = Anharmonic {
            usual: measured(&mut potential, Signal::Sigma, [&crystal]).unwrap(),
            ..way
        };
        let cold = options(told.clone(), (20.0, 40.0));
        let refused = run(&cold);
        assert!(refused.candidates.is_empty());
        assert!(refused.series["P_U"][1..].iter().all(|p| *p > 0.99));
        // Under constant pressure energies are not asked.
        let mut moved = cold.clone();
        moved.md.ensemble = Ensemble::Npt(
            crate::explore::Thermostat::Langevin { friction: 2.0 },
            crate::explore::Barostat {
                tau: 1.0,
                compressibility: 0.3,
                anisotropic: crate::explore::Anisotropy::Shape,
            },
        );
        assert!(!run(&moved).candidates.is_empty());
        // The other rule finds all high energies viable.
        let head = Anharmonic {
            rule: EnergyRule::Head,
            ..told
        };
        assert!(!run(&options(head, (20.0, 40.0))).candidates.is_empty());
    }

    #[test]
    fn options_come_from_words() {
        let way: Way = "anharmonic,signal=grade,rule=head,settle=20"
            .parse()
            .unwrap();
        let wanted = Anharmonic {
            signal: Signal::Grade,
            rule: EnergyRule::Head,
            settle: 20,
            ..Anharmonic::default()
        };
        assert_eq!(way, Way::Anharmonic(wanted));
        assert!(way.resumes() && !Way::Dynamics.resumes());
        for (text, word) in [
            ("anharmonic,grad=0", "grad"),
            ("anharmonic,settle=2", "settle"),
            ("anharmonic,shfit=2", "shfit"),
        ] {
            let error = text.parse::<Way>().unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn the_correlation_time_is_that_of_the_process() {
        // x' = a x + noise has ½ (1 + a) / (1 − a).
        let mut rng = generator(4, 0);
        for a in [0.0, 0.8] {
            let mut x = 0.0;
            let series: Vec<f64> = (0..20_000)
                .map(|_| {
                    x = a * x + gaussian(&mut rng);
                    x
                })
                .collect();
            let exact = 0.5 * (1.0 + a) / (1.0 - a);
            let found = correlation_time(&series);
            assert!((found / exact - 1.0).abs() < 0.15, "{found} {exact}");
        }
        assert_eq!(correlation_time(&[1.0; 50]), 0.5);
        assert_eq!(correlation_time(&[]), 0.5);
    }
}
