//! Exploration: dynamics under the watch of the extrapolation grade.
//!
//! Above the first threshold an environment is kept, above the second the run goes back to its
//! last safe frame and on with new velocities, so that no time is spent where nothing is known.

use super::dynamics::{Ensemble, Md, MdOptions, Step};
use super::health::HealthOptions;
use super::moves::{Mover, Moves};
use super::potential::{GradedPotential, Grades, Labels};
use super::record::{Candidate, LAST_FRAME, Recorder, TracePoint};
use super::snapshot::Snapshot;
use super::ways::{Guide, Progress, Verdict, Way};
use nepal::calculator::{Calculator, Potential};
use nepal::error::{Error, Result};
use nepal::system::Structure;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How to explore.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    /// What guides the search.
    #[serde(default, skip_serializing_if = "Way::is_plain")]
    pub way: Way,
    /// Monte Carlo moves between the steps of dynamics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moves: Option<Moves>,
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
            way: Way::default(),
            moves: None,
        }
    }
}

impl ExploreOptions {
    /// Checks that the numbers make sense.
    ///
    /// **Errors**: [`Error::InvalidArgument`] naming the option.
    pub fn validate(&self) -> Result<()> {
        self.md.validate()?;
        self.way.validate()?;
        self.check_moves()?;
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

impl ExploreOptions {
    fn check_moves(&self) -> Result<()> {
        let Some(moves) = &self.moves else {
            return Ok(());
        };
        if !self.way.is_dynamics() || self.md.ensemble == Ensemble::Nve {
            return Err(Error::invalid(
                "moves go between the steps of dynamics at a temperature; drop `moves`, or choose langevin, svr or npt and a way of dynamics",
            ));
        }
        moves.validate()
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
    /// True if the way had found what the run was for, so that it ended before its last step.
    pub found: bool,
    /// The way's own numbers, by name, for each graded step. Shape `[trace]` each.
    pub series: BTreeMap<&'static str, Vec<f64>>,
    /// The last safe frame.
    pub last: Structure,
}

impl Exploration {
    /// One that has not begun.
    pub(super) fn begin(start: &Structure) -> Self {
        Self {
            candidates: Vec::new(),
            trace: Vec::new(),
            steps_done: 0,
            breaks: 0,
            rewinds: Vec::new(),
            finished: false,
            escalated: false,
            found: false,
            series: BTreeMap::new(),
            last: start.clone(),
        }
    }
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
    progress: &mut Progress<'_>,
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
    progress: &mut Progress<'_>,
) -> Result<Exploration> {
    options.validate()?;
    if let Some(searched) = options.way.search(potential, start, options, progress) {
        return searched;
    }
    if let Some(moves) = &options.moves {
        moves.check(start)?;
    }
    let mut watched = Watched {
        potential,
        guide: options.way.guide(options),
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
        mover: options.moves.map(|m| Mover::new(m, options.md.seed)),
        recorder: Recorder::new(options.save, options.spacing),
        options: options.clone(),
        trace: Vec::new(),
        series: BTreeMap::new(),
        found: false,
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
    guide: Box<dyn Guide>,
    wanted: bool,
    grades: Grades,
}

impl Potential for Watched<'_> {
    fn energy_forces_virial(&mut self, structure: &Structure) -> Result<Labels> {
        let potential = &mut *self.potential;
        let mut along = None;
        let (mut labels, grades) = match (self.guide.signal(), self.wanted) {
            (Some(signal), wanted) => {
                let (labels, grades, found) = potential.with_signal(structure, signal, wanted)?;
                along = Some(found);
                (labels, grades)
            }
            (None, true) => {
                let (labels, grades) = potential.energy_forces_virial_grades(structure)?;
                (labels, Some(grades))
            }
            (None, false) => (potential.energy_forces_virial(structure)?, None),
        };
        if let Some(grades) = grades {
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
        }
        if let Some(along) = along {
            self.guide.bend(along, &mut labels);
        }
        Ok(labels)
    }
}

impl Watched<'_> {
    /// Tries moves after a step, without grades; the frame that comes of it has them if they are wanted.
    fn moves(&mut self, mover: &mut Mover, md: &mut Md) -> Result<()> {
        let wanted = std::mem::replace(&mut self.wanted, false);
        let done = mover.attempt(md, self);
        self.wanted = wanted;
        done?;
        // The last evaluation may be that of a trial that was not taken.
        md.state_mut().evaluate(self)
    }
}

struct Run {
    md: Md,
    options: ExploreOptions,
    start_volume: f64,
    mover: Option<Mover>,
    recorder: Recorder,
    trace: Vec<TracePoint>,
    series: BTreeMap<&'static str, Vec<f64>>,
    /// The guide has seen enough.
    found: bool,
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
        progress: &mut Progress<'_>,
    ) -> Result<Exploration> {
        let steps = self.options.md.steps;
        let mut step = 0;
        let mut stopped = false;
        loop {
            let graded = self.trace.len();
            let trouble = self.look(watched, step)?;
            if self.trace.len() > graded {
                let moved = self.mover.iter().flat_map(Mover::notes);
                for (name, value) in watched.guide.notes().into_iter().chain(moved) {
                    self.series.entry(name).or_default().push(value);
                }
            }
            if let Some((reason, unhealthy)) = trouble {
                self.go_back(watched, step, reason, unhealthy);
            }
            if watched.wanted {
                let grade = self.trace.last().map_or(f64::INFINITY, |p| p.max_grade);
                stopped = progress(step, grade).is_break();
            }
            if stopped
                || self.found
                || step == steps
                || self.rewinds.len() >= self.options.max_breaks
            {
                break;
            }
            step += 1;
            watched.wanted = step.is_multiple_of(self.options.grade_every) || step == steps;
            if let Step::Unstable(reason) = self.md.step(watched)? {
                self.go_back(watched, step, reason, true);
                watched.wanted = false;
                continue;
            }
            watched.guide.stepped(step);
            if let Some(mover) = self.mover.as_mut().filter(|m| m.is_due(step)) {
                watched.moves(mover, &mut self.md)?;
            }
        }
        let escalated = self.rewinds.len() >= self.options.max_breaks;
        if let Some(last) = self.healthy.take()
            && watched.guide.keeps_last()
            && self.recorder.is_empty()
            && !stopped
        {
            self.recorder.force(last.candidate(LAST_FRAME));
        }
        Ok(Exploration {
            candidates: self.recorder.finish(),
            trace: self.trace,
            steps_done: step,
            breaks: self.rewinds.len(),
            rewinds: self.rewinds,
            finished: (step == steps || self.found) && !escalated && !stopped,
            escalated,
            found: self.found,
            series: self.series,
            last: self.safe.state.structure,
        })
    }

    /// Judges the present frame. Returns what makes the run go back, if anything, and whether that
    /// is physics (true) or the grade (false).
    fn look(&mut self, watched: &mut Watched<'_>, step: usize) -> Result<Option<(String, bool)>> {
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
        let Verdict { keep, stop } = watched.guide.judge(watched.potential, &now)?;
        self.found = stop;
        match keep {
            Some(why) => self.recorder.force(Candidate {
                by_way: true,
                ..now.candidate(why)
            }),
            None if watched.guide.keeps_by_grade() => {
                self.recorder.frame(step, grade, |why| now.candidate(why));
            }
            None => {}
        }
        if grade < self.options.save {
            self.safe = now.clone();
        }
        self.healthy = Some(now);
        Ok(None)
    }

    fn go_back(&mut self, watched: &mut Watched<'_>, step: usize, reason: String, unhealthy: bool) {
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
        watched.guide.restarted();
    }
}

#[cfg(test)]
mod tests;
