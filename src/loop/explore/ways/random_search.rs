//! Random crystals with the symmetry of a space group, on their way to rest.
//!
//! **Source**: Pickard & Needs, J. Phys.: Condens. Matter 23, 053201 (2011) (random search with symmetry). Groups and
//! their positions are those of `moyo`.

use super::super::potential::GradedPotential;
use super::super::prototypes::symmetry;
use super::super::random::generator;
use super::super::record::Recorder;
use super::super::run::{Exploration, ExploreOptions};
use super::super::variables::{Frame, descend};
use super::Progress;
use super::active::Nearest;
use super::gathering::{Gathering, snapshot};
use moyo::data::{Setting, iter_wyckoff_positions_from_hall_number};
use nepal::element::Element;
use nepal::error::{Error, Result};
use nepal::system::{Cell, Structure};
use rand::seq::IndexedRandom;
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// Tries to put atoms on the positions of one group, and structures thrown away, before it is given up.
const TRIES: usize = 200;
const STRUCTURES: usize = 2000;

/// Options of random structure search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RandomSearch {
    /// Atoms of each element in a cell, such as `{ Na = 4, Cl = 4 }`; those of the start unless given.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub counts: BTreeMap<String, usize>,
    /// Space groups to draw from; all 230 unless given.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<i32>,
    /// Smallest and largest volume per atom over the start's.
    pub volume: [f64; 2],
    /// Smallest distance, as a share of what counts as a contact.
    pub closest: f64,
    /// Steps of the relaxation of one structure; the steps of the run go on with structures.
    pub iterations: usize,
    /// Force at which a structure is at rest, eV/Å.
    pub tolerance: f64,
}

impl Default for RandomSearch {
    fn default() -> Self {
        Self {
            counts: BTreeMap::new(),
            groups: Vec::new(),
            volume: [0.9, 1.3],
            closest: 0.9,
            iterations: 100,
            tolerance: 0.05,
        }
    }
}

impl RandomSearch {
    pub(super) fn validate(&self) -> Result<()> {
        let [low, high] = self.volume;
        let wide = low > 0.0 && high >= low && high < 10.0;
        if !(wide && (0.0..=1.5).contains(&self.closest)) {
            return Err(Error::invalid(format!(
                "random-search: expected volume = [low, high] with 0 < low <= high < 10 and 0 <= closest <= 1.5, found {:?} and {}",
                self.volume, self.closest
            )));
        }
        if self.iterations == 0 || !(self.tolerance > 0.0) {
            return Err(Error::invalid(
                "random-search: expected at least one iteration a structure, and a positive tolerance (eV/Å)",
            ));
        }
        if let Some(group) = self.groups.iter().find(|g| !(1..=230).contains(*g)) {
            return Err(Error::invalid(format!(
                "random-search: space groups go from 1 to 230, found {group}"
            )));
        }
        for (symbol, count) in &self.counts {
            Element::from_symbol(symbol)?;
            if !(1..=1000).contains(count) {
                return Err(Error::invalid(format!(
                    "random-search: counts: expected 1 to 1000 atoms of {symbol}, found {count}"
                )));
            }
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
        let recipe = Recipe::new(self, start)?;
        let mut rng = generator(options.md.seed, 6);
        let mut gathering = Gathering::new(options, start);
        let (steps, mut done, mut stopped) = (options.md.steps, 0, false);
        let mut number = 0;
        while done < steps && !stopped {
            let (group, made) = recipe.draw(&mut rng)?;
            number += 1;
            gathering.measure_from(made.cell.volume());
            let budget = self.iterations.min(steps - done);
            let frame = Frame::new(&made, true)?;
            let mut z = frame.variables();
            let mut recorder = Recorder::new(options.save, options.spacing);
            let notes = |energy: f64| {
                let per_atom = energy / made.len() as f64;
                [
                    ("structure", f64::from(number)),
                    ("space group", f64::from(group)),
                    ("energy (eV/atom)", per_atom),
                ]
            };
            // Two closures take turns with the potential.
            let shared = std::cell::RefCell::new(&mut *potential);
            let goal = (options.md.pressure.0, self.tolerance, budget);
            let mut given_up = false;
            let labels = |s: &Structure| shared.borrow_mut().energy_forces_virial(s);
            let (used, rested) = descend(&frame, &mut z, goal, labels, |step, s| {
                let at = done + step;
                if !step.is_multiple_of(options.grade_every) {
                    return Ok(ControlFlow::Continue(()));
                }
                let (labels, grades) = shared.borrow_mut().energy_forces_virial_grades(s)?;
                let now = snapshot(s, labels, grades, at)?;
                gathering.note(&now, &notes(now.state.energy));
                let grade = now.max_grade();
                stopped = progress(at, grade).is_break();
                let trouble = gathering.trouble(&now)?;
                given_up = trouble.is_some() || grade >= options.break_;
                match trouble {
                    Some(reason) => gathering.gave_up(at, reason, true),
                    None if given_up => {
                        // Farther down lies what the model makes up: another structure.
                        recorder.force(now.candidate("break"));
                        let limit = options.break_;
                        gathering.gave_up(at, format!("Γ is {grade:.3} (limit {limit})"), false);
                    }
                    None => recorder.frame(at, grade, |why| now.candidate(why)),
                }
                Ok(if stopped || given_up {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                })
            })?;
            // A structure that is given up at once has cost its evaluation.
            done += used.max(1).min(budget);
            if !(stopped || given_up)
                && let Some(rest) = frame.place(&z)?
            {
                let (labels, grades) = potential.energy_forces_virial_grades(&rest)?;
                let now = snapshot(&rest, labels, grades, done)?;
                gathering.note(&now, &notes(now.state.energy));
                if now.max_grade() >= options.save && gathering.trouble(&now)?.is_none() {
                    recorder.force(now.candidate(if rested { "at rest" } else { "on its way" }));
                }
                gathering.leave(rest);
            }
            gathering.keep_all(recorder.finish());
        }
        Ok(gathering.finish(done, !stopped))
    }
}

/// What structures are drawn from.
struct Recipe<'a> {
    way: &'a RandomSearch,
    counts: Vec<(Element, usize)>,
    /// Of a cell, from and to, Å³.
    volume: [f64; 2],
    nearest: Nearest,
    /// Groups with the orbits that their positions are.
    groups: Vec<(i32, Vec<Orbit>)>,
}

/// A Wyckoff position.
#[derive(Clone, Copy)]
struct Orbit {
    multiplicity: usize,
    coordinates: &'static str,
}

impl Orbit {
    fn is_fixed(self) -> bool {
        !self.coordinates.contains(['x', 'y', 'z'])
    }
}

impl<'a> Recipe<'a> {
    fn new(way: &'a RandomSearch, start: &Structure) -> Result<Self> {
        if start.cell.periodic() != [true; 3] {
            return Err(Error::invalid(
                "random-search makes crystals: it needs a start structure that is periodic in all directions",
            ));
        }
        let mut counts: BTreeMap<Element, usize> = BTreeMap::new();
        for (symbol, count) in &way.counts {
            counts.insert(Element::from_symbol(symbol)?, *count);
        }
        if counts.is_empty() {
            for element in &start.elements {
                *counts.entry(*element).or_default() += 1;
            }
        }
        let atoms: usize = counts.values().sum();
        let per_atom = start.cell.volume() / start.len() as f64;
        let known: Vec<i32> = if way.groups.is_empty() {
            (1..=230).collect()
        } else {
            way.groups.clone()
        };
        let mut groups = Vec::new();
        for group in known {
            let hall = Setting::Standard.hall_number(group).unwrap_or(1);
            let orbits: Vec<Orbit> = iter_wyckoff_positions_from_hall_number(hall)
                .map(|w| Orbit {
                    multiplicity: w.multiplicity,
                    coordinates: w.coordinates,
                })
                .collect();
            // A group whose smallest orbit is larger than any element has no place for it.
            let least = orbits.iter().map(|o| o.multiplicity).min().unwrap_or(1);
            if counts.values().all(|&n| n >= least) {
                groups.push((group, orbits));
            }
        }
        let mut kinds = start.clone();
        kinds.elements.clear();
        kinds.positions.clear();
        // Distances by radii: the start says nothing of other crystals.
        for (k, element) in counts.keys().enumerate() {
            kinds.elements.push(*element);
            kinds.positions.push([100.0 * k as f64, 0.0, 0.0]);
        }
        kinds.cell = Cell::isolated();
        let recipe = Self {
            way,
            counts: counts.into_iter().collect(),
            volume: way.volume.map(|v| v * per_atom * atoms as f64),
            nearest: Nearest::new(&kinds)?,
            groups,
        };
        match recipe.groups.is_empty() {
            true => Err(recipe.nothing()),
            false => Ok(recipe),
        }
    }

    fn nothing(&self) -> Error {
        let all: Vec<String> = self
            .counts
            .iter()
            .map(|(e, n)| format!("{n} {e}"))
            .collect();
        Error::invalid(format!(
            "random-search: no structure of {} keeps its atoms apart in these groups and volumes; allow more groups, a larger volume, a smaller closest, or other counts",
            all.join(", ")
        ))
    }

    /// A structure and its group.
    fn draw(&self, rng: &mut impl Rng) -> Result<(i32, Structure)> {
        for _ in 0..STRUCTURES {
            let Some((group, orbits)) = self.groups.choose(rng) else {
                break;
            };
            let Some(sites) = self.occupy(orbits, rng) else {
                continue;
            };
            let volume = rng.random_range(self.volume[0]..=self.volume[1]);
            let cell = lattice(*group, volume, rng)?;
            let (mut elements, mut positions) = (Vec::new(), Vec::new());
            for (element, orbit) in sites {
                let free: [f64; 3] = std::array::from_fn(|_| rng.random());
                let places = symmetry::orbit(*group, evaluate(orbit.coordinates, free))?;
                for place in places {
                    elements.push(element);
                    positions.push(cell.cartesian(place));
                }
            }
            let wanted: usize = self.counts.iter().map(|c| c.1).sum();
            let made = Structure::new(cell, elements, positions)?;
            // A free site that fell onto a special one has fewer places.
            if made.len() == wanted && !self.nearest.clash(&made, self.way.closest)? {
                return Ok((*group, made));
            }
        }
        Err(self.nothing())
    }

    /// Positions for all atoms, those without freedom at most once; none if they do not come out even.
    fn occupy(&self, orbits: &[Orbit], rng: &mut impl Rng) -> Option<Vec<(Element, Orbit)>> {
        'tries: for _ in 0..TRIES {
            let mut taken = vec![false; orbits.len()];
            let mut sites = Vec::new();
            for &(element, count) in &self.counts {
                let mut left = count;
                while left > 0 {
                    let fits: Vec<usize> = (0..orbits.len())
                        .filter(|&k| orbits[k].multiplicity <= left && !taken[k])
                        .collect();
                    let Some(&k) = fits.choose(rng) else {
                        continue 'tries;
                    };
                    taken[k] = orbits[k].is_fixed();
                    left -= orbits[k].multiplicity;
                    sites.push((element, orbits[k]));
                }
            }
            return Some(sites);
        }
        None
    }
}

/// A cell of the group's system with this volume (Å³): edges within a factor of two, angles from 60° to 120°.
fn lattice(group: i32, volume: f64, rng: &mut impl Rng) -> Result<Cell> {
    let edge = |rng: &mut dyn Rng| rng.random_range(0.7..1.4);
    let (mut edges, mut angles) = ([1.0; 3], [90.0f64; 3]);
    match group {
        195.. => {}
        143.. => {
            edges[2] = edge(rng);
            angles[2] = 120.0;
        }
        75.. => edges[2] = edge(rng),
        _ => edges = std::array::from_fn(|_| edge(rng)),
    }
    match group {
        16.. => {}
        // The unique axis is b.
        3.. => angles[1] = rng.random_range(90.0..120.0),
        _ => angles = std::array::from_fn(|_| rng.random_range(70.0..110.0)),
    }
    let [ca, cb, cc] = angles.map(|x| x.to_radians().cos());
    let sc = (1.0 - cc * cc).sqrt();
    let y = (ca - cb * cc) / sc;
    let z = (1.0 - cb * cb - y * y).max(0.05).sqrt();
    let [a, b, c] = edges;
    let unit = Cell::new(
        [[a, 0.0, 0.0], [b * cc, b * sc, 0.0], [c * cb, c * y, c * z]],
        [true; 3],
    )?;
    let scale = (volume / unit.volume()).cbrt();
    Cell::new(unit.vectors().map(|v| v.map(|x| x * scale)), [true; 3])
}

/// The place that coordinates such as `x,-y+1/2,2x` mean.
fn evaluate(coordinates: &str, free: [f64; 3]) -> [f64; 3] {
    let mut place = [0.0; 3];
    for (sum, text) in place.iter_mut().zip(coordinates.split(',')) {
        let text = text.replace(' ', "").replace('-', "+-");
        for term in text.split('+').filter(|t| !t.is_empty()) {
            let (sign, term) = match term.strip_prefix('-') {
                Some(rest) => (-1.0, rest),
                None => (1.0, term),
            };
            let number = |text: &str| -> f64 {
                let (above, below) = text.split_once('/').unwrap_or((text, "1"));
                let value = |t: &str| t.parse().unwrap_or(1.0);
                value(above) / value(below)
            };
            let variable = ["x", "y", "z"].iter().position(|v| term.ends_with(v));
            *sum += sign
                * match variable {
                    Some(k) => number(&term[..term.len() - 1]) * free[k],
                    None => number(term),
                };
        }
    }
    place
}

#[cfg(test)]
mod tests;
