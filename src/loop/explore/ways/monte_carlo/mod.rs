//! Monte Carlo under the watch of the grade: atoms that move, change places or elements, come and go, in cells that
//! may change their volume; at one temperature, or at several that exchange what they have (parallel tempering).
//!
//! A step is one trial in each replica. What is too close by the limits of health is never taken, and a replica
//! whose grade goes beyond the second threshold goes back to its last safe frame.

mod sampler;
#[cfg(test)]
mod tests;

use super::super::random::generator;
use super::super::record::{Candidate, Recorder};
use super::super::run::{Exploration, ExploreOptions, Rewind};
use super::super::trials;
use super::{GradedPotential, Progress};
use nepal::element::Element;
use nepal::error::{Error, Result};
use nepal::system::Structure;
use sampler::{At, Config, Sampler};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Options of the way `monte-carlo`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MonteCarlo {
    /// How often an atom is moved, in relation to the other trials.
    pub displace: f64,
    /// How often two unlike atoms change places.
    pub swap: f64,
    /// How often an atom becomes another element, by the differences of `substitutions`.
    pub substitute: f64,
    /// How often an atom comes or goes, by the chemical potentials of `reservoir`.
    pub exchange: f64,
    /// How often the volume changes; at the pressure of the scenario.
    pub volume: f64,
    /// Width of a displacement along each axis, Å.
    pub size: f64,
    /// Largest strain of a change of volume; without it as in `moves`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strain: Option<f64>,
    /// Elements that may replace each other, with their chemical potentials (eV), of which only differences count.
    /// Kinetic energy is not part of them.
    pub substitutions: BTreeMap<String, f64>,
    /// Elements that come and go, with their chemical potentials (eV), that of the ideal gas at the temperature being
    /// kT ln(ρΛ³) with the thermal wavelength Λ.
    pub reservoir: BTreeMap<String, f64>,
    /// Temperatures of replicas, K, in place of the scenario's.
    pub temperatures: Vec<f64>,
    /// Pressures of the replicas, GPa, one for each temperature; without it the scenario's.
    pub pressures: Vec<f64>,
    /// Steps between trials to exchange neighbouring replicas.
    pub exchange_every: usize,
}

impl Default for MonteCarlo {
    fn default() -> Self {
        Self {
            displace: 1.0,
            swap: 0.0,
            substitute: 0.0,
            exchange: 0.0,
            volume: 0.0,
            size: 0.1,
            strain: None,
            substitutions: BTreeMap::new(),
            reservoir: BTreeMap::new(),
            temperatures: Vec::new(),
            pressures: Vec::new(),
            exchange_every: 100,
        }
    }
}

impl MonteCarlo {
    fn rates(&self) -> [f64; 5] {
        [
            self.displace,
            self.swap,
            self.substitute,
            self.exchange,
            self.volume,
        ]
    }

    pub(super) fn validate(&self) -> Result<()> {
        let bad = |text: String| Err(Error::invalid(format!("the way monte-carlo: {text}")));
        let rates = self.rates();
        if !rates.iter().all(|r| (0.0..=1e6).contains(r)) || rates.iter().sum::<f64>() <= 0.0 {
            return bad(format!(
                "expected displace, swap, substitute, exchange and volume of at least 0 and one above it; found {rates:?}"
            ));
        }
        let strain = self.strain.unwrap_or(0.1);
        if !(self.size > 0.0 && self.size <= 5.0 && strain > 0.0 && strain <= 0.2) {
            return bad(format!(
                "expected a size above 0 and of at most 5 Å, and a strain above 0 and of at most 0.2; found {} and {strain}",
                self.size
            ));
        }
        if (self.substitute > 0.0) != (self.substitutions.len() > 1) {
            return bad("substitute > 0 goes with substitutions = { A = 0.0, B = 0.1 } of at least two elements, and these with it".into());
        }
        if (self.exchange > 0.0) == self.reservoir.is_empty() {
            return bad(
                "exchange > 0 goes with reservoir = { A = -3.0 } of at least one element, and that with it"
                    .into(),
            );
        }
        for (symbol, mu) in self.substitutions.iter().chain(&self.reservoir) {
            Element::from_symbol(symbol)?;
            if !mu.is_finite() {
                return bad(format!("the chemical potential of {symbol} is {mu}"));
            }
        }
        let hot = self.temperatures.iter().all(|t| *t > 0.0 && t.is_finite());
        let pressed = self.pressures.iter().all(|p| p.is_finite());
        let paired = self.pressures.is_empty() || self.pressures.len() == self.temperatures.len();
        if !(hot && pressed && paired && self.exchange_every > 0) {
            return bad(format!(
                "expected positive temperatures (K), a pressure for each or none, and exchange_every of at least 1; found {:?}, {:?} and {}",
                self.temperatures, self.pressures, self.exchange_every
            ));
        }
        Ok(())
    }

    fn check(&self, start: &Structure) -> Result<()> {
        if start.is_empty() {
            return Err(Error::invalid(
                "Monte Carlo needs at least one atom to begin with; the structure is empty",
            ));
        }
        if self.swap > 0.0 {
            trials::check_swappable(start)?;
        }
        if self.volume > 0.0 || self.exchange > 0.0 {
            trials::check_periodic(start)?;
        }
        let known = |e: &Element| self.substitutions.contains_key(e.symbol());
        if self.substitute > 0.0 && !start.elements.iter().any(known) {
            let names: Vec<&String> = self.substitutions.keys().collect();
            return Err(Error::invalid(format!(
                "substitutions are among {names:?}, of which the start has no atom; name the start's elements as well"
            )));
        }
        Ok(())
    }

    /// What each replica is held at after a number of steps.
    fn at(&self, options: &ExploreOptions, step: usize) -> Vec<At> {
        let pressure = options.md.pressure_at(step);
        match self.temperatures.as_slice() {
            [] => vec![At {
                temperature: options.md.temperature_at(step),
                pressure,
            }],
            all => (0..all.len())
                .map(|k| At {
                    temperature: all[k],
                    pressure: self.pressures.get(k).copied().unwrap_or(pressure),
                })
                .collect(),
        }
    }

    pub(super) fn search(
        &self,
        potential: &mut dyn GradedPotential,
        start: &Structure,
        options: &ExploreOptions,
        progress: &mut Progress<'_>,
    ) -> Result<Exploration> {
        self.check(start)?;
        let energy = potential.energy_forces_virial(start)?.0;
        let first = Config {
            structure: start.clone(),
            energy,
        };
        let count = self.temperatures.len().max(1);
        let mut search = Search {
            options,
            sampler: Sampler::new(self, options.health, start.cell.volume())?,
            // Dynamics and moves have streams 0 and 1.
            rng: generator(options.md.seed, 2),
            replicas: (0..count)
                .map(|_| Replica {
                    safe: (0, first.clone()),
                    now: first.clone(),
                    recorder: Recorder::new(options.save, options.spacing),
                })
                .collect(),
            found: Exploration::begin(start),
        };
        let mut stopped = false;
        let mut step = 0;
        loop {
            if step % options.grade_every == 0 || step == options.md.steps {
                let grade = search.look(potential, step, &self.at(options, step))?;
                stopped = progress(step, grade).is_break();
            }
            let escalated = search.found.rewinds.len() >= options.max_breaks;
            if stopped || escalated || step == options.md.steps {
                break;
            }
            step += 1;
            let at = self.at(options, step);
            for (replica, &at) in search.replicas.iter_mut().zip(&at) {
                let rng = &mut search.rng;
                search.sampler.trial(&mut replica.now, at, potential, rng)?;
            }
            if count > 1 && step % self.exchange_every == 0 {
                search.exchange(step / self.exchange_every, &at);
            }
        }
        Ok(search.finish(step, stopped))
    }
}

/// A run at one temperature and pressure.
struct Replica {
    now: Config,
    /// Where to go back to, and its step.
    safe: (usize, Config),
    recorder: Recorder,
}

struct Search<'a> {
    options: &'a ExploreOptions,
    sampler: Sampler,
    rng: rand_chacha::ChaCha8Rng,
    replicas: Vec<Replica>,
    found: Exploration,
}

impl Search<'_> {
    /// Grades all replicas, and gives the largest grade.
    fn look(&mut self, potential: &mut dyn GradedPotential, step: usize, at: &[At]) -> Result<f64> {
        let mut worst = None;
        for (k, (replica, at)) in self.replicas.iter_mut().zip(at).enumerate() {
            let Config { structure, energy } = &replica.now;
            let (_, grades) = potential.energy_forces_virial_grades(structure)?;
            let grade = grades.largest();
            let make = |why| Candidate {
                step,
                temperature: at.temperature,
                pressure: at.pressure,
                ..grades.candidate(structure, why)
            };
            if worst
                .as_ref()
                .is_none_or(|(largest, _, _)| grade > *largest)
            {
                let mut point = grades.trace_point(structure, *energy);
                (point.step, point.temperature) = (step, at.temperature);
                point.pressure = at.pressure;
                worst = Some((grade, point, structure.len()));
            }
            if grade >= self.options.break_ {
                let limit = self.options.break_;
                let atom = grades.worst();
                replica.recorder.force(make("break"));
                self.found.rewinds.push(Rewind {
                    step,
                    back_to: replica.safe.0,
                    reason: format!(
                        "Γ is {grade:.3} at atom {atom} of replica {k} (limit {limit})"
                    ),
                    unhealthy: false,
                });
                replica.now = replica.safe.1.clone();
                continue;
            }
            replica.recorder.frame(step, grade, make);
            if grade < self.options.save {
                replica.safe = (step, replica.now.clone());
            }
        }
        let (grade, point, atoms) =
            worst.ok_or_else(|| Error::Internal("a search without replicas".into()))?;
        self.found.trace.push(point);
        let [trials, exchanges] = self.sampler.taken();
        for (name, value) in [
            ("trials taken", trials),
            ("exchanges taken", exchanges),
            ("atoms", atoms as f64),
        ] {
            self.found.series.entry(name).or_default().push(value);
        }
        Ok(grade)
    }

    /// Tries to exchange each second pair of neighbours.
    fn exchange(&mut self, turn: usize, at: &[At]) {
        for k in (turn % 2..self.replicas.len() - 1).step_by(2) {
            let [low, high] = [k, k + 1].map(|k| &self.replicas[k].now);
            let rng = &mut self.rng;
            if self.sampler.exchanges([low, high], [at[k], at[k + 1]], rng) {
                let (head, tail) = self.replicas.split_at_mut(k + 1);
                std::mem::swap(&mut head[k].now, &mut tail[0].now);
            }
        }
    }

    fn finish(self, step: usize, stopped: bool) -> Exploration {
        let mut found = self.found;
        for replica in self.replicas.into_iter().rev() {
            found.candidates.extend(replica.recorder.finish());
            // That of the first in the end.
            found.last = replica.safe.1.structure;
        }
        found.candidates.sort_by_key(|c| c.step);
        found.breaks = found.rewinds.len();
        found.escalated = found.breaks >= self.options.max_breaks;
        found.finished = step == self.options.md.steps && !found.escalated && !stopped;
        found.steps_done = step;
        found
    }
}
