//! The trials, each in detailed balance.

use super::MonteCarlo;
use crate::explore::health::HealthOptions;
use crate::explore::trials;
use nepal::calculator::Potential;
use nepal::element::Element;
use nepal::error::Result;
use nepal::system::Structure;
use nepal::units::{BOLTZMANN, EV_PER_A3_IN_GPA, HBAR, MASS};
use rand::{Rng, RngExt};
use std::f64::consts::PI;

/// Atoms and their potential energy.
#[derive(Clone, Debug)]
pub struct Config {
    pub structure: Structure,
    /// eV.
    pub energy: f64,
}

/// What a replica is held at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct At {
    /// K.
    pub temperature: f64,
    /// GPa.
    pub pressure: f64,
}

impl At {
    fn kt(self) -> f64 {
        BOLTZMANN * self.temperature
    }

    /// eV/Å³.
    fn pressure(self) -> f64 {
        self.pressure / EV_PER_A3_IN_GPA
    }

    /// ln Λ³ of an element's thermal wavelength in Å.
    fn log_wavelength(self, element: Element) -> f64 {
        let mass = element.mass() * MASS;
        3.0 * (HBAR * (2.0 * PI / (mass * self.kt())).sqrt()).ln()
    }
}

/// Proposes and decides.
pub struct Sampler {
    rates: [f64; 5],
    size: f64,
    strain: Option<f64>,
    substitutions: Vec<(Element, f64)>,
    reservoir: Vec<(Element, f64)>,
    health: HealthOptions,
    start_volume: f64,
    /// Trials and exchanges of replicas: tried and taken.
    counts: [[usize; 2]; 2],
}

impl Sampler {
    pub fn new(options: &MonteCarlo, health: HealthOptions, start_volume: f64) -> Result<Self> {
        let elements = |map: &std::collections::BTreeMap<String, f64>| -> Result<Vec<_>> {
            map.iter()
                .map(|(symbol, mu)| Ok((Element::from_symbol(symbol)?, *mu)))
                .collect()
        };
        Ok(Self {
            rates: options.rates(),
            size: options.size,
            strain: options.strain,
            substitutions: elements(&options.substitutions)?,
            reservoir: elements(&options.reservoir)?,
            health,
            start_volume,
            counts: [[0; 2]; 2],
        })
    }

    /// The parts of trials and of exchanges that were taken.
    pub fn taken(&self) -> [f64; 2] {
        self.counts
            .map(|[tried, taken]| taken as f64 / tried.max(1) as f64)
    }

    /// One trial.
    pub fn trial(
        &mut self,
        now: &mut Config,
        at: At,
        potential: &mut (impl Potential + ?Sized),
        rng: &mut impl Rng,
    ) -> Result<()> {
        self.counts[0][0] += 1;
        let mut structure = now.structure.clone();
        let Some(log) = self.propose(&mut structure, at, rng)? else {
            return Ok(());
        };
        // Walls that stand in both directions.
        if self.is_out(&structure) || self.health.distances(&structure)?.is_some() {
            return Ok(());
        }
        let energy = potential.energy_forces_virial(&structure)?.0;
        if trials::accepts(log - (energy - now.energy) / at.kt(), rng) {
            self.counts[0][1] += 1;
            *now = Config { structure, energy };
        }
        Ok(())
    }

    fn is_out(&self, structure: &Structure) -> bool {
        let ratio = structure.cell.volume() / self.start_volume;
        let (low, high) = self.health.volume_ratio;
        structure.cell.periodic() == [true; 3] && !(low..=high).contains(&ratio)
    }

    /// Changes a structure; gives the logarithm of the acceptance but for the potential energy, or none if
    /// there is nothing to change.
    fn propose(&self, s: &mut Structure, at: At, rng: &mut impl Rng) -> Result<Option<f64>> {
        let mut draw = rng.random::<f64>() * self.rates.iter().sum::<f64>();
        let kind = self.rates.iter().position(|rate| {
            draw -= rate;
            draw < 0.0
        });
        let n = s.len();
        Ok(match kind.unwrap_or(0) {
            0 => {
                let atom = rng.random_range(0..n);
                trials::shake(&mut s.positions[atom], self.size, rng);
                Some(0.0)
            }
            1 => trials::unlike(s, rng).map(|(i, j)| {
                s.positions.swap(i, j);
                0.0
            }),
            2 => self.substitute(s, at, rng),
            3 => self.come_or_go(s, at, rng),
            _ => {
                let usual = || trials::usual_strain(n, at.temperature);
                let size = self.strain.unwrap_or_else(usual);
                let before = s.cell.volume();
                let grown = trials::strain(s, size, true, rng)?;
                let work = at.pressure() * (s.cell.volume() - before);
                Some((n + 1) as f64 * grown - work / at.kt())
            }
        })
    }

    /// Another element for an atom, each with the same probability.
    fn substitute(&self, s: &mut Structure, at: At, rng: &mut impl Rng) -> Option<f64> {
        let all = &self.substitutions;
        let atom = rng.random_range(0..s.len());
        let old = all.iter().position(|(e, _)| *e == s.elements[atom])?;
        let new = (old + rng.random_range(1..all.len())) % all.len();
        s.elements[atom] = all[new].0;
        Some((all[new].1 - all[old].1) / at.kt())
    }

    /// An atom that comes from the reservoir, anywhere, or goes there; as likely both. The last one stays.
    fn come_or_go(&self, s: &mut Structure, at: At, rng: &mut impl Rng) -> Option<f64> {
        let (element, mu) = self.reservoir[rng.random_range(0..self.reservoir.len())];
        let own: Vec<usize> = (0..s.len()).filter(|&i| s.elements[i] == element).collect();
        // ln V e^(μ/kT)/Λ³: the number of atoms that an ideal gas would have.
        let ideal = s.cell.volume().ln() + mu / at.kt() - at.log_wavelength(element);
        if rng.random::<bool>() {
            s.positions.push(trials::anywhere(s, rng));
            s.elements.push(element);
            return Some(ideal - ((own.len() + 1) as f64).ln());
        }
        if own.is_empty() || s.len() == 1 {
            return None;
        }
        let atom = own[rng.random_range(0..own.len())];
        s.positions.remove(atom);
        s.elements.remove(atom);
        Some((own.len() as f64).ln() - ideal)
    }

    /// Whether two replicas exchange what they have.
    pub fn exchanges(&mut self, what: [&Config; 2], at: [At; 2], rng: &mut impl Rng) -> bool {
        let log = self.weight(what[1], at[0]) + self.weight(what[0], at[1])
            - self.weight(what[0], at[0])
            - self.weight(what[1], at[1]);
        self.counts[1][0] += 1;
        let taken = trials::accepts(log, rng);
        self.counts[1][1] += usize::from(taken);
        taken
    }

    /// The logarithm of a configuration's weight, but for what does not depend on temperature and pressure.
    fn weight(&self, config: &Config, at: At) -> f64 {
        let s = &config.structure;
        let mut enthalpy = config.energy;
        if s.cell.periodic() == [true; 3] {
            enthalpy += at.pressure() * s.cell.volume();
        }
        let mut log = 0.0;
        for element in &s.elements {
            let mu = |of: &[(Element, f64)]| of.iter().find(|(e, _)| e == element).map(|f| f.1);
            enthalpy -= mu(&self.substitutions).unwrap_or(0.0);
            if let Some(mu) = mu(&self.reservoir) {
                enthalpy -= mu;
                log -= at.log_wavelength(*element);
            }
        }
        log - enthalpy / at.kt()
    }
}
