//! Active exploration: atoms and cell climb the grade into a window, within limits of distance, energy and strain.
//!
//! What comes of it is condensed: an environment that is new around every atom of one cell. Source: active exploration
//! of Lysogorskiy et al. (Phys. Rev. Mater. 7, 043801 (2023)), whose one-atom form is an option; here with gradients, for all
//! atoms at once.

use super::super::potential::{GradedPotential, Labels};
use super::super::random::{gaussian_vector, generator};
use super::super::run::{Exploration, ExploreOptions};
use super::super::variables::{Frame, MAX_STEP};
use super::Progress;
use super::gathering::Gathering;
use nepal::element::Element;
use nepal::error::{Error, Result};
use nepal::fragment::lbfgs::{self, Settings};
use nepal::fragment::{Contacts, minimum_distances};
use nepal::system::cell::norm;
use nepal::system::{NeighborList, Structure};
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};
use std::cell::RefCell;

/// Weights of the penalties beside a mean square grade off its window: per Å², (eV/atom)² and squares of log volume
/// and strain. Large enough that a limit passed by a hundredth weighs more than a grade of the window.
const DISTANCE_WEIGHT: f64 = 200.0;
const ENERGY_WEIGHT: f64 = 100.0;
const CELL_WEIGHT: f64 = 1000.0;

/// Which atoms move at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Atoms {
    /// All, and the cell.
    #[default]
    All,
    /// One after another, each until it is new.
    One,
}

/// Options of active exploration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Active {
    /// Which atoms move at once.
    pub atoms: Atoms,
    /// Grade that every atom is to have; between save and break (their geometric mean) unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<f64>,
    /// How far from it a grade may be; a quarter of break less save unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<f64>,
    /// Largest change of the energy from the start's, eV per atom, to either side.
    pub energy: f64,
    /// Whether the cell moves too.
    pub cell: bool,
    /// Largest component of its strain.
    pub strain: f64,
    /// Smallest and largest volume over the start's.
    pub volume: [f64; 2],
    /// Standard deviation of the displacements that each try begins with, Å.
    pub shake: f64,
    /// Steps of the optimiser in one try; the steps of the run go on with tries.
    pub iterations: usize,
}

impl Default for Active {
    fn default() -> Self {
        Self {
            atoms: Atoms::All,
            target: None,
            tolerance: None,
            energy: 0.5,
            cell: true,
            strain: 0.1,
            volume: [0.8, 1.3],
            shake: 0.1,
            iterations: 100,
        }
    }
}

impl Active {
    pub(super) fn validate(&self) -> Result<()> {
        let [low, high] = self.volume;
        let positive = |x: f64| x > 0.0 && x.is_finite();
        let given = self.target.into_iter().chain(self.tolerance);
        if !given.chain([self.energy]).all(positive) {
            return Err(Error::invalid(
                "active: target, tolerance and energy (eV per atom) must be positive numbers",
            ));
        }
        if !(low > 0.0 && low <= 1.0 && high >= 1.0 && (0.0..0.5).contains(&self.strain)) {
            return Err(Error::invalid(format!(
                "active: expected volume = [at most 1, at least 1] and 0 <= strain < 0.5, found {:?} and {}",
                self.volume, self.strain
            )));
        }
        if self.iterations == 0 || !(0.0..=1.0).contains(&self.shake) {
            return Err(Error::invalid(
                "active: expected at least one iteration a try, and a shake between 0 and 1 Å",
            ));
        }
        Ok(())
    }

    pub(super) fn search(
        &self,
        potential: &mut dyn GradedPotential,
        start: &Structure,
        options: &ExploreOptions,
        progress: &mut Progress<'_>,
    ) -> Result<Exploration> {
        let all = self.atoms == Atoms::All;
        let frame = Frame::new(start, self.cell && all)?;
        let mut gathering = Gathering::new(options, start);
        let mut rng = generator(options.md.seed, 5);
        let (labels, _) = potential.energy_forces_virial_grades(start)?;
        let mut ascent = Ascent {
            way: self,
            potential,
            window: self.window(options),
            contacts: Nearest::new(start)?,
            // At the start, eV.
            energy: labels.0,
            volume: start.cell.volume(),
            one: None,
        };
        let steps = options.md.steps;
        let mut done = 0;
        let mut stopped = false;
        while done < steps && !stopped {
            let mut z = frame.variables();
            for x in z[..3 * start.len()].chunks_mut(3) {
                let by = gaussian_vector(&mut rng);
                for a in 0..3 {
                    x[a] += self.shake * by[a];
                }
            }
            let mut movers: Vec<Option<usize>> = vec![None];
            if !all {
                movers = (0..start.len()).map(Some).collect();
                movers.shuffle(&mut rng);
            }
            let mut budget = self.iterations.min(steps - done);
            for one in movers {
                if budget == 0 || stopped {
                    break;
                }
                ascent.one = one;
                let used = ascent.climb(&frame, &mut z, budget, done, &mut gathering, progress)?;
                stopped = used.1;
                // A try that ends at once has used a step, so that tries come to an end.
                let used = used.0.max(1).min(budget);
                (budget, done) = (budget - used, done + used);
                if let (Some(_), Some(now)) = (one, frame.place(&z)?) {
                    // What is new is known for the next atom, so that it becomes new in its own way.
                    ascent.potential.learn(&now)?;
                }
            }
            if let Some(found) = frame.place(&z)? {
                ascent.settle(&found, done, options.save, &mut gathering)?;
                gathering.leave(found);
            }
        }
        Ok(gathering.finish(done, !stopped))
    }

    /// Lowest and highest grade wanted.
    fn window(&self, options: &ExploreOptions) -> [f64; 2] {
        let target = (options.save * options.break_).sqrt();
        let target = self.target.unwrap_or(target);
        let tolerance = 0.25 * (options.break_ - options.save);
        let tolerance = self.tolerance.unwrap_or(tolerance);
        [target - tolerance, target + tolerance]
    }
}

/// The objective of one try.
struct Ascent<'a> {
    way: &'a Active,
    potential: &'a mut dyn GradedPotential,
    window: [f64; 2],
    contacts: Nearest,
    energy: f64,
    volume: f64,
    /// The atom that moves, if not all do.
    one: Option<usize>,
}

/// Grade, share of atoms in the window and energy per atom, for the plots.
#[derive(Clone, Copy, Default)]
struct Told {
    objective: f64,
    mean: f64,
    inside: f64,
    energy: f64,
}

impl Ascent<'_> {
    /// The objective and -dΦ/dr, -dΦ/d(strain).
    fn value(&mut self, s: &Structure, strain: &[[f64; 3]; 3]) -> Result<(Labels, Told)> {
        let n = s.len() as f64;
        let [low, high] = self.window;
        let off = |g: f64| {
            if g < low {
                g - low
            } else {
                (g - high).max(0.0)
            }
        };
        // Of all atoms the mean square; of one that moves the largest grade decides.
        let only = self.one.is_some();
        let largest = |grades: &[f64]| {
            (0..grades.len()).fold(0, |best, i| if grades[i] > grades[best] { i } else { best })
        };
        let mut weigh = |grades: &[f64]| -> Vec<f64> {
            let worst = largest(grades);
            let of = |(i, &g): (usize, &f64)| match only {
                true if i != worst => 0.0,
                true => 2.0 * off(g),
                false => 2.0 * off(g) / n,
            };
            grades.iter().enumerate().map(of).collect()
        };
        let (grades, mut forces, mut virial) = self.potential.pull(s, &mut weigh)?;
        let mut value = if only {
            off(grades[largest(&grades)]).powi(2)
        } else {
            grades.iter().map(|&g| off(g).powi(2)).sum::<f64>() / n
        };
        let (energy, f, w) = self.potential.energy_forces_virial(s)?;
        let change = (energy - self.energy) / n;
        let over = change.signum() * (change.abs() - self.way.energy).max(0.0);
        value += ENERGY_WEIGHT * over * over;
        let slope = 2.0 * ENERGY_WEIGHT * over / n;
        for (sum, f) in forces.iter_mut().zip(&f) {
            for a in 0..3 {
                sum[a] += slope * f[a];
            }
        }
        for (sum, w) in virial.iter_mut().zip(&w) {
            *sum += slope * w;
        }
        value += self.contacts.penalty(s, &mut forces, &mut virial)?;
        let log = (s.cell.volume() / self.volume).ln();
        let [smallest, greatest] = self.way.volume.map(f64::ln);
        let over = log.min(greatest).max(smallest) - log;
        value += CELL_WEIGHT * over * over;
        for a in 0..3 {
            virial[4 * a] += 2.0 * CELL_WEIGHT * over;
            for b in 0..3 {
                let over = (strain[a][b].abs() - self.way.strain).max(0.0);
                value += CELL_WEIGHT * over * over;
            }
        }
        if let Some(one) = self.one {
            let own = forces[one];
            forces.fill([0.0; 3]);
            forces[one] = own;
        }
        let told = Told {
            objective: value,
            mean: grades.iter().sum::<f64>() / n,
            inside: grades.iter().filter(|&&g| off(g) == 0.0).count() as f64 / n,
            energy: change,
        };
        Ok(((value, forces, virial), told))
    }

    /// Climbs from `z`. Gives steps, and whether the run was told to stop.
    fn climb(
        &mut self,
        frame: &Frame,
        z: &mut [f64],
        budget: usize,
        before: usize,
        gathering: &mut Gathering<'_>,
        progress: &mut Progress<'_>,
    ) -> Result<(usize, bool)> {
        let settings = Settings {
            iterations: budget,
            max_step: MAX_STEP,
            gradient: 1e-5,
        };
        let every = gathering.every();
        let limit = self.way.strain;
        let mut stopped = false;
        let this = RefCell::new((self, Told::default()));
        let used = lbfgs::minimise(
            z,
            settings,
            |z, out| {
                let Some(s) = frame.place(z)? else {
                    return Ok(f64::INFINITY);
                };
                let strain = frame.strain(z);
                let mut this = this.borrow_mut();
                let (labels, told) = this.0.value(&s, &strain)?;
                this.1 = told;
                frame.gradient(z, &labels.1, &labels.2, out)?;
                frame.add_strain(out, |a, b| {
                    let over = (strain[a][b].abs() - limit).max(0.0);
                    2.0 * CELL_WEIGHT * over * strain[a][b].signum()
                });
                Ok(labels.0)
            },
            |step, z| {
                let mut this = this.borrow_mut();
                let (ascent, told) = &mut *this;
                let mut grade = told.mean;
                if (before + step).is_multiple_of(every)
                    && let Some(s) = frame.place(z)?
                {
                    let now = gathering.look(ascent.potential, &s, before + step, &told.notes())?;
                    grade = now.max_grade();
                }
                stopped = progress(before + step, grade).is_break();
                // Every atom is where it should be.
                let there = told.inside == 1.0 && told.objective == 0.0;
                let there = there || (ascent.one.is_some() && told.objective == 0.0);
                Ok(stopped || there)
            },
        )?;
        Ok((used, stopped))
    }

    /// Keeps what a try came to, if it is new and sound, and learns it.
    fn settle(
        &mut self,
        found: &Structure,
        step: usize,
        save: f64,
        gathering: &mut Gathering<'_>,
    ) -> Result<()> {
        self.one = None;
        let (_, told) = self.value(found, &[[0.0; 3]; 3])?;
        let now = gathering.look(self.potential, found, step, &told.notes())?;
        let energetic = told.energy.abs() > 1.1 * self.way.energy;
        let trouble = match energetic {
            true => Some(format!(
                "the energy is {:.2} eV per atom off the start's (limit {})",
                told.energy, self.way.energy
            )),
            false => gathering.trouble(&now)?,
        };
        if let Some(reason) = trouble {
            gathering.gave_up(step, reason, true);
        } else if now.max_grade() >= save || self.way.atoms == Atoms::One {
            gathering.keep(&now, "climbed");
            self.potential.learn(found)?;
        }
        Ok(())
    }
}

impl Told {
    fn notes(&self) -> [(&'static str, f64); 4] {
        [
            ("objective", self.objective),
            ("mean grade", self.mean),
            ("share in window", self.inside),
            ("energy change (eV/atom)", self.energy),
        ]
    }
}

/// Smallest distances of the pairs of a structure.
pub(super) struct Nearest {
    kinds: Vec<Element>,
    contacts: Contacts,
}

impl Nearest {
    /// From the distances in the structure itself and the covalent radii.
    ///
    /// **Errors**: those of the neighbour list.
    pub fn new(s: &Structure) -> Result<Self> {
        let mut kinds = s.elements.clone();
        kinds.sort();
        kinds.dedup();
        let contacts = Contacts::new(&kinds, None, &minimum_distances([s])?);
        Ok(Self { kinds, contacts })
    }

    fn kind(&self, element: Element) -> u32 {
        self.kinds.binary_search(&element).unwrap_or(0) as u32
    }

    /// The sum over pairs of their squared overlap, weighed, by atom; adds its part to forces and virial.
    fn penalty(
        &self,
        s: &Structure,
        forces: &mut [[f64; 3]],
        virial: &mut [f64; 9],
    ) -> Result<f64> {
        let weight = DISTANCE_WEIGHT / s.len() as f64;
        let list = NeighborList::build(&s.cell, &s.positions, self.contacts.largest())?;
        let mut value = 0.0;
        for i in 0..s.len() {
            let kind = self.kind(s.elements[i]);
            for (j, r) in list.vectors(i, &s.cell, &s.positions) {
                let distance = norm(r);
                let over = self.contacts.of(kind, self.kind(s.elements[j])) - distance;
                if over <= 0.0 {
                    continue;
                }
                // Each pair comes twice.
                value += 0.5 * weight * over * over;
                let push = weight * over / distance;
                for a in 0..3 {
                    forces[i][a] -= 2.0 * push * r[a];
                    for b in 0..3 {
                        virial[3 * a + b] += push * r[a] * r[b];
                    }
                }
            }
        }
        Ok(value)
    }

    /// Whether any pair is closer than that, by a share.
    ///
    /// **Errors**: those of the neighbour list.
    pub fn clash(&self, s: &Structure, share: f64) -> Result<bool> {
        let reach = share * self.contacts.largest();
        let list = NeighborList::build(&s.cell, &s.positions, reach)?;
        Ok((0..s.len()).any(|i| {
            let kind = self.kind(s.elements[i]);
            list.vectors(i, &s.cell, &s.positions)
                .any(|(j, r)| norm(r) < share * self.contacts.of(kind, self.kind(s.elements[j])))
        }))
    }
}

#[cfg(test)]
mod tests;
