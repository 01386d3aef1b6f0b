//! Exploration: dynamics under the watch of the extrapolation grade.
//!
//! Above the first threshold an environment is kept, above the second the run goes back to its
//! last safe frame and on with new velocities, so that no time is spent where nothing is known.

use super::dynamics::{Ensemble, Md, MdOptions, State, Step};
use super::health::HealthOptions;
use super::record::{Candidate, Recorder, TracePoint};
use nepal::backend::Request;
use nepal::calculator::{Calculator, Potential};
use nepal::error::{Error, Result};
use nepal::system::Structure;
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;

/// Energy (eV), forces (eV/Å) and virial (eV).
type Labels = (f64, Vec<[f64; 3]>, [f64; 9]);

/// Grades of all atoms of a frame. **Shapes**: `[n_atoms]` each.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Grades {
    /// γ.
    pub gamma: Vec<f64>,
    /// ρ; NaN where the active set has none.
    pub rho: Vec<f64>,
    /// Γ.
    pub grade: Vec<f64>,
}

/// A potential that knows how far it can be trusted.
pub trait GradedPotential: Potential {
    /// What [`Potential::energy_forces_virial`] gives, and the grades of all atoms.
    ///
    /// **Errors**: as there, and [`Error::InvalidArgument`] without an active set.
    fn energy_forces_virial_grades(&mut self, structure: &Structure) -> Result<(Labels, Grades)>;
}

impl GradedPotential for Calculator {
    fn energy_forces_virial_grades(&mut self, structure: &Structure) -> Result<(Labels, Grades)> {
        let results = self.compute(
            structure,
            Request::FORCES | Request::VIRIAL | Request::GRADES,
        )?;
        Ok((
            (results.energy, results.forces.clone(), results.virial),
            Grades {
                gamma: results.gamma.clone(),
                rho: results.rho.clone(),
                grade: results.grade.clone(),
            },
        ))
    }
}

/// How to explore.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExploreOptions {
    /// The dynamics.
    pub md: MdOptions,
    /// Steps between evaluations of the grades.
    pub grade_every: usize,
    /// Γ from which an environment is kept.
    pub save: f64,
    /// Γ from which the run goes back.
    #[serde(rename = "break")]
    pub break_: f64,
    /// Least number of steps between two kept frames.
    pub spacing: usize,
    /// Number of breaks after which the run is given up.
    pub max_breaks: usize,
    /// Limits of physics, which break the run as well.
    pub health: HealthOptions,
}

impl Default for ExploreOptions {
    /// 10 ps at 300 K and constant volume; thresholds 2 and 10, grades every 10 steps, kept frames
    /// 200 steps apart, at most 3 breaks.
    fn default() -> Self {
        Self {
            md: MdOptions {
                ensemble: Ensemble::svr(0.1),
                temperature: (300.0, 300.0),
                pressure: (0.0, 0.0),
                timestep: 0.001,
                steps: 10_000,
                seed: 0,
            },
            grade_every: 10,
            save: 1.5,
            break_: 4.0,
            spacing: 200,
            max_breaks: 3,
            health: HealthOptions::default(),
        }
    }
}

impl ExploreOptions {
    /// Checks that the numbers make sense.
    ///
    /// **Errors**: [`Error::InvalidArgument`] naming the option.
    pub fn validate(&self) -> Result<()> {
        self.md.validate()?;
        for (name, value) in [
            ("grade_every", self.grade_every),
            ("max_breaks", self.max_breaks),
        ] {
            if value == 0 {
                return Err(Error::invalid(format!(
                    "the option {name} of the exploration is 0; expected at least 1"
                )));
            }
        }
        let ordered = self.save > 0.0 && self.break_ > self.save;
        if !ordered {
            return Err(Error::invalid(format!(
                "the grade thresholds are {} (save) and {} (break); expected 0 < save < break",
                self.save, self.break_
            )));
        }
        Ok(())
    }
}

/// One time that a run had to go back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rewind {
    /// Step of the run.
    pub step: usize,
    /// Step of the frame that it went back to.
    pub back_to: usize,
    /// What was wrong.
    pub reason: String,
    /// True if a limit of physics was passed, false if the grade was too large.
    pub unhealthy: bool,
}

/// What an exploration brought.
#[derive(Clone, Debug)]
pub struct Exploration {
    /// Environments worth a label, in the order of their steps.
    pub candidates: Vec<Candidate>,
    /// All graded steps.
    pub trace: Vec<TracePoint>,
    /// Steps done.
    pub steps_done: usize,
    /// How often the run went back.
    pub breaks: usize,
    /// When, where to and why the run went back, each time.
    pub rewinds: Vec<Rewind>,
    /// True if all steps were done.
    pub finished: bool,
    /// True if the run was given up after too many breaks.
    pub escalated: bool,
    /// The last safe frame.
    pub last: Structure,
}

/// Runs dynamics from `start`, watching the grades.
///
/// `progress` gets the step and the largest Γ of every graded step and may end the run. The result
/// depends on the inputs alone, not on time or threads, as far as the calculator repeats itself.
///
/// **Errors**: [`Error::InvalidArgument`] for options that make no sense or a calculator without
/// active set; those of the calculator.
pub fn explore(
    calculator: &mut Calculator,
    start: &Structure,
    options: &ExploreOptions,
    progress: &mut dyn FnMut(usize, f64) -> ControlFlow<()>,
) -> Result<Exploration> {
    explore_with(calculator, start, options, progress)
}

/// [`explore`] with any potential that has grades.
///
/// **Errors**: as [`explore`].
pub fn explore_with(
    potential: &mut dyn GradedPotential,
    start: &Structure,
    options: &ExploreOptions,
    progress: &mut dyn FnMut(usize, f64) -> ControlFlow<()>,
) -> Result<Exploration> {
    options.validate()?;
    let mut watched = Watched {
        potential,
        wanted: true,
        grades: Grades::default(),
    };
    let md = Md::new(&mut watched, start, &options.md)?;
    let snapshot = Snapshot {
        state: md.state().clone(),
        grades: watched.grades.clone(),
        step: 0,
    };
    let run = Run {
        start_volume: start.cell.volume(),
        options: *options,
        recorder: Recorder::new(options.save, options.spacing),
        trace: Vec::new(),
        rewinds: Vec::new(),
        safe: snapshot,
        healthy: None,
        md,
    };
    run.all(&mut watched, progress)
}

/// Evaluates grades along with the forces when they are wanted, so that both cost one evaluation.
struct Watched<'a> {
    potential: &'a mut dyn GradedPotential,
    wanted: bool,
    grades: Grades,
}

impl Potential for Watched<'_> {
    fn energy_forces_virial(&mut self, structure: &Structure) -> Result<Labels> {
        if !self.wanted {
            return self.potential.energy_forces_virial(structure);
        }
        let (labels, grades) = self.potential.energy_forces_virial_grades(structure)?;
        for values in [&grades.gamma, &grades.rho, &grades.grade] {
            if values.len() != structure.len() {
                return Err(Error::Internal(format!(
                    "{} grades came back for {} atoms",
                    values.len(),
                    structure.len()
                )));
            }
        }
        self.grades = grades;
        Ok(labels)
    }
}

/// A graded frame to go back to.
#[derive(Clone)]
struct Snapshot {
    state: State,
    grades: Grades,
    step: usize,
}

impl Snapshot {
    /// The atom with the largest grade; a NaN counts as largest.
    fn worst(&self) -> usize {
        let grade = &self.grades.grade;
        let key = |i: usize| {
            if grade[i].is_nan() {
                f64::INFINITY
            } else {
                grade[i]
            }
        };
        // The first of equals, so that the choice does not depend on anything else.
        (0..grade.len()).fold(0, |best, i| if key(i) > key(best) { i } else { best })
    }

    fn max_grade(&self) -> f64 {
        let worst = self.grades.grade[self.worst()];
        if worst.is_nan() { f64::INFINITY } else { worst }
    }

    fn candidate(&self, why: &'static str) -> Candidate {
        let atom = self.worst();
        let mut structure = self.state.structure.clone();
        for r in &mut structure.positions {
            *r = structure.cell.wrap(*r);
        }
        Candidate {
            structure,
            atom,
            gamma: self.grades.gamma[atom],
            rho: self.grades.rho[atom],
            grade: self.grades.grade[atom],
            grades: self.grades.grade.clone(),
            step: self.step,
            temperature: self.state.temperature(),
            pressure: self.state.pressure(),
            why,
        }
    }

    fn trace_point(&self) -> TracePoint {
        let cell = &self.state.structure.cell;
        // `f64::max` passes over NaN, so that a missing ρ stays NaN and nothing else does.
        let largest = |values: &[f64]| values.iter().copied().fold(f64::NAN, f64::max);
        TracePoint {
            step: self.step,
            temperature: self.state.temperature(),
            energy: self.state.energy,
            pressure: self.state.pressure(),
            volume: if cell.periodic() == [true; 3] {
                cell.volume()
            } else {
                0.0
            },
            max_gamma: largest(&self.grades.gamma),
            max_rho: largest(&self.grades.rho),
            max_grade: self.max_grade(),
        }
    }
}

struct Run {
    md: Md,
    options: ExploreOptions,
    start_volume: f64,
    recorder: Recorder,
    trace: Vec<TracePoint>,
    rewinds: Vec<Rewind>,
    /// Where to go back to: the last frame below the first threshold, else the start.
    safe: Snapshot,
    /// The last graded frame within the limits of physics since the run last went back.
    healthy: Option<Snapshot>,
}

impl Run {
    fn all(
        mut self,
        watched: &mut Watched<'_>,
        progress: &mut dyn FnMut(usize, f64) -> ControlFlow<()>,
    ) -> Result<Exploration> {
        let steps = self.options.md.steps;
        let mut step = 0;
        let mut stopped = false;
        loop {
            let trouble = self.look(watched, step)?;
            if let Some((reason, unhealthy)) = trouble {
                self.go_back(step, reason, unhealthy);
            }
            if watched.wanted {
                let grade = self.trace.last().map_or(f64::INFINITY, |p| p.max_grade);
                stopped = progress(step, grade).is_break();
            }
            if stopped || step == steps || self.rewinds.len() >= self.options.max_breaks {
                break;
            }
            step += 1;
            watched.wanted = step.is_multiple_of(self.options.grade_every) || step == steps;
            if let Step::Unstable(reason) = self.md.step(watched)? {
                self.go_back(step, reason, true);
                watched.wanted = false;
            }
        }
        let escalated = self.rewinds.len() >= self.options.max_breaks;
        Ok(Exploration {
            candidates: self.recorder.finish(),
            trace: self.trace,
            steps_done: step,
            breaks: self.rewinds.len(),
            rewinds: self.rewinds,
            finished: step == steps && !escalated && !stopped,
            escalated,
            last: self.safe.state.structure,
        })
    }

    /// Judges the present frame. Returns what makes the run go back, if anything, and whether that
    /// is physics (true) or the grade (false).
    fn look(&mut self, watched: &Watched<'_>, step: usize) -> Result<Option<(String, bool)>> {
        let health = self.options.health;
        let state = self.md.state();
        let target = self.options.md.temperature_at(step);
        if let Some(reason) = health.quick(state, target, self.start_volume) {
            return Ok(Some((reason, true)));
        }
        if !watched.wanted {
            return Ok(None);
        }
        let now = Snapshot {
            state: state.clone(),
            grades: watched.grades.clone(),
            step,
        };
        let grade = now.max_grade();
        self.trace.push(now.trace_point());
        if let Some(reason) = health.distances(&now.state.structure)? {
            return Ok(Some((reason, true)));
        }
        if grade >= self.options.break_ {
            self.recorder.force(now.candidate("break"));
            let limit = self.options.break_;
            return Ok(Some((
                format!("Γ is {grade:.3} at atom {} (limit {limit})", now.worst()),
                false,
            )));
        }
        self.recorder.frame(step, grade, |why| now.candidate(why));
        if grade < self.options.save {
            self.safe = now.clone();
        }
        self.healthy = Some(now);
        Ok(None)
    }

    fn go_back(&mut self, step: usize, reason: String, unhealthy: bool) {
        // The frame before a failure is what the model has to learn to avoid it.
        if let (true, Some(healthy)) = (unhealthy, self.healthy.take()) {
            self.recorder.force(healthy.candidate("before failure"));
        }
        self.healthy = None;
        self.rewinds.push(Rewind {
            step,
            back_to: self.safe.step,
            reason,
            unhealthy,
        });
        self.md.restart_from(&self.safe.state);
    }
}

#[cfg(test)]
mod tests;
