//! The way from one minimum to another: a nudged elastic band with a climbing image, its images graded.
//!
//! **Source**: Henkelman & Jónsson, J. Chem. Phys. 113, 9978 (2000) (tangents); Henkelman, Uberuaga & Jónsson, ibid. 9901
//! (climbing); with the cell as further coordinates, Sheppard et al., J. Chem. Phys. 136, 074103 (2012).

mod band;

use super::super::dynamics::{Ensemble, Md, MdOptions, Step};
use super::super::fire::Fire;
use super::super::potential::GradedPotential;
use super::super::run::{Exploration, ExploreOptions};
use super::super::variables::{Frame, MAX_STEP, add_pressure, descend};
use super::Progress;
use super::gathering::{Gathering, snapshot};
use band::{Band, farthest, straight};
use nepal::error::{Error, Result};
use nepal::system::Structure;
use nepal::system::cell::norm;
use nepal::system::xyz;
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;
use std::path::PathBuf;

/// Largest force on the band below which its highest image climbs, eV/Å.
const CLIMBS: f64 = 0.5;
/// Steps that a minimum may take.
const QUENCH: usize = 500;
/// Two minima are two if an atom moves farther than this, Å.
const OTHER: f64 = 0.5;
/// Stretches of dynamics after which no other minimum is looked for.
const HOPS: u64 = 20;

/// Options of a path.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Path {
    /// Extended XYZ file whose last frame is the other end, atoms in the start's order; frames before it lie on the
    /// way. Without it dynamics at the run's temperature look for another minimum.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<PathBuf>,
    /// Images between the ends.
    pub images: usize,
    /// Spring constant, eV/Å².
    pub spring: f64,
    /// Whether the highest image climbs to the saddle point.
    pub climb: bool,
    /// Whether the cell changes along the path.
    pub cell: bool,
    /// Whether the ends are relaxed first.
    pub relax: bool,
    /// Largest force on the band at which it is done, eV/Å.
    pub tolerance: f64,
    /// Steps of dynamics between two quenches, where the other end is looked for.
    pub hop: usize,
}

impl Default for Path {
    fn default() -> Self {
        Self {
            end: None,
            images: 7,
            spring: 1.0,
            climb: true,
            cell: false,
            relax: true,
            tolerance: 0.05,
            hop: 500,
        }
    }
}

impl Path {
    pub(super) fn validate(&self) -> Result<()> {
        let positive = self.spring > 0.0 && self.tolerance > 0.0;
        if !positive || !(1..=100).contains(&self.images) || self.hop == 0 {
            return Err(Error::invalid(
                "path: expected 1 to 100 images, and a positive spring (eV/Å²), tolerance (eV/Å) and hop (steps)",
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
        let pressure = options.md.pressure.0;
        let start = self.quenched(potential, start, pressure)?;
        let frame = Frame::new(&start, self.cell)?;
        let mut gathering = Gathering::new(options, &start);
        let way = match &self.end {
            Some(file) => self.given(potential, &frame, &start, file, pressure)?,
            None => match self.found(potential, &frame, &start, options, progress)? {
                Some(end) => vec![end],
                None => return Ok(gathering.finish(0, false)),
            },
        };
        let mut band = Band::new(&frame, straight(&frame.variables(), &way, self.images));
        band.refuse_clash(&gathering, potential)?;
        let outcome = self.relax_band(potential, &mut band, options, &mut gathering, progress)?;
        let top = band.highest();
        for k in 0..band.z.len() {
            let Some(image) = frame.place(&band.z[k])? else {
                continue;
            };
            let notes = band.notes(k);
            let now = gathering.look(potential, &image, outcome.steps, &notes)?;
            if now.max_grade() >= options.save && !outcome.broken {
                gathering.keep(&now, "image");
            }
            if k == top {
                gathering.leave(image);
            }
        }
        let finished = !outcome.stopped && !outcome.broken;
        let mut found = gathering.finish(outcome.steps, finished);
        found.found = outcome.converged;
        Ok(found)
    }

    fn quenched(
        &self,
        potential: &mut dyn GradedPotential,
        from: &Structure,
        pressure: f64,
    ) -> Result<Structure> {
        if !self.relax {
            return Ok(from.clone());
        }
        let frame = Frame::new(from, self.cell)?;
        let mut z = frame.variables();
        let goal = (pressure, 0.2 * self.tolerance, QUENCH);
        let labels = |s: &Structure| potential.energy_forces_virial(s);
        descend(&frame, &mut z, goal, labels, |_, _| {
            Ok(ControlFlow::Continue(()))
        })?;
        frame.place(&z)?.ok_or_else(|| {
            Error::Failed(
                "an end of the path did not come to rest: the cell collapsed; set relax = false, or label it first"
                    .into(),
            )
        })
    }

    /// The frames of the file, the last one at rest.
    fn given(
        &self,
        potential: &mut dyn GradedPotential,
        frame: &Frame,
        start: &Structure,
        file: &std::path::Path,
        pressure: f64,
    ) -> Result<Vec<Vec<f64>>> {
        let wrong = |what: String| Err(Error::invalid(format!("path: {}: {what}", file.display())));
        let frames = on_the_way(file, start)?;
        let last = frames.len();
        let mut way = Vec::new();
        for (number, mut other) in frames.into_iter().enumerate() {
            if number + 1 == last {
                other = self.quenched(potential, &other, pressure)?;
            }
            match frame.variables_of(&other) {
                Some(z) => way.push(z),
                None => {
                    return wrong(format!(
                        "frame {} has another cell than the start; set cell = true",
                        number + 1
                    ));
                }
            }
        }
        let near = |end: &mut Vec<f64>| farthest(start.len(), &frame.variables(), end) < 1e-3;
        if way.last_mut().is_some_and(near) {
            return wrong("its end is the start (after relaxation); give another minimum".into());
        }
        Ok(way)
    }

    /// Another minimum, by dynamics and quenches from the last one; none when told to stop.
    fn found(
        &self,
        potential: &mut dyn GradedPotential,
        frame: &Frame,
        start: &Structure,
        options: &ExploreOptions,
        progress: &mut Progress<'_>,
    ) -> Result<Option<Vec<f64>>> {
        let home = frame.variables();
        for hop in 0..HOPS {
            let md = MdOptions {
                ensemble: Ensemble::svr(0.05),
                steps: self.hop,
                seed: options.md.seed.wrapping_add(hop),
                ..options.md
            };
            let mut run = Md::new(potential, start, &md)?;
            for _ in 0..self.hop {
                if let Step::Unstable(_) = run.step(potential)? {
                    break;
                }
            }
            if progress(0, 0.0).is_break() {
                return Ok(None);
            }
            let state = run.state();
            let temperature = md.temperature.1;
            let volume = start.cell.volume();
            if options.health.quick(state, temperature, volume).is_some() {
                continue;
            }
            let there = self.quenched(potential, &state.structure, options.md.pressure.0)?;
            if let Some(mut z) = frame.variables_of(&there)
                && farthest(start.len(), &home, &mut z) > OTHER
            {
                return Ok(Some(z));
            }
        }
        Err(Error::Failed(format!(
            "{HOPS} stretches of {} steps at {} K came back to the same minimum; give the other one as end = \"...\", or raise temperature or hop",
            self.hop, options.md.temperature.0
        )))
    }

    /// Moves the band until no force on it is above the tolerance.
    fn relax_band(
        &self,
        potential: &mut dyn GradedPotential,
        band: &mut Band<'_>,
        options: &ExploreOptions,
        gathering: &mut Gathering<'_>,
        progress: &mut Progress<'_>,
    ) -> Result<Outcome> {
        let mut outcome = Outcome::default();
        let inner = band.z[0].len() * self.images;
        let mut fire = Fire::new(inner, MAX_STEP);
        let mut climbs = false;
        for step in 0..=options.md.steps {
            outcome.steps = step;
            let graded = step.is_multiple_of(options.grade_every);
            let mut worst = 0.0f64;
            let top = band.highest();
            for k in 0..band.z.len() {
                let Some(image) = band.frame.place(&band.z[k])? else {
                    gathering.gave_up(step, format!("image {k} lost its cell"), true);
                    outcome.broken = true;
                    return Ok(outcome);
                };
                let mut labels = if graded {
                    let (labels, grades) = potential.energy_forces_virial_grades(&image)?;
                    let now = snapshot(&image, labels.clone(), grades, step)?;
                    if k == top {
                        gathering.note(&now, &band.notes(k));
                    }
                    let grade = now.max_grade();
                    worst = worst.max(grade);
                    let reason = match gathering.trouble(&now)? {
                        None if grade >= options.break_ => {
                            gathering.keep(&now, "break");
                            Some((
                                format!("Γ of image {k} is {grade:.3} (limit {})", options.break_),
                                false,
                            ))
                        }
                        found => found.map(|reason| (format!("image {k}: {reason}"), true)),
                    };
                    if let Some((reason, unhealthy)) = reason {
                        // What comes after it would be a path of a model that knows nothing of it.
                        gathering.gave_up(step, reason, unhealthy);
                        outcome.broken = true;
                    }
                    labels
                } else {
                    potential.energy_forces_virial(&image)?
                };
                add_pressure(&image, options.md.pressure.0, &mut labels);
                band.energy[k] = labels.0;
                let z = &band.z[k];
                band.frame
                    .gradient(z, &labels.1, &labels.2, &mut band.gradient[k])?;
            }
            outcome.stopped = progress(step, worst).is_break();
            let forces = band.forces(self.spring, climbs);
            let of = |x: &[f64]| norm(std::array::from_fn(|a| x[a]));
            let largest = forces.chunks(3).map(of).fold(0.0, f64::max);
            outcome.converged = largest <= self.tolerance && (climbs || !self.climb);
            if outcome.converged || outcome.broken || outcome.stopped || step == options.md.steps {
                break;
            }
            climbs |= self.climb && largest < CLIMBS;
            let mut x: Vec<f64> = band.z[1..=self.images].concat();
            fire.step(&mut x, &forces);
            for (z, x) in band.z[1..].iter_mut().zip(x.chunks(inner / self.images)) {
                z.copy_from_slice(x);
            }
        }
        Ok(outcome)
    }
}

/// How the band ended.
#[derive(Default)]
struct Outcome {
    steps: usize,
    converged: bool,
    broken: bool,
    stopped: bool,
}
#[cfg(test)]
mod tests;

/// The structures of a path's file: atoms of the start in its order.
///
/// **Errors**: [`Error::Io`]; [`Error::InvalidArgument`] where an atom is not the same one at both ends.
pub(super) fn on_the_way(file: &std::path::Path, start: &Structure) -> Result<Vec<Structure>> {
    let wrong = |what: &str| Error::invalid(format!("path: {}: {what}", file.display()));
    let frames = xyz::read_frames(file)?;
    if frames.is_empty() {
        return Err(wrong("it holds no structure"));
    }
    let other = |f: &nepal::Frame| f.structure.elements != start.elements;
    match frames.iter().position(other) {
        Some(number) => Err(wrong(&format!(
            "frame {} has other atoms than the start, or in another order; an atom is the same one at both ends: \
             write them in one order",
            number + 1
        ))),
        None => Ok(frames.into_iter().map(|f| f.structure).collect()),
    }
}
