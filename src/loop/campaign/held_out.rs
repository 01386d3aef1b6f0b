//! Held-out frames: what the scenarios visit with the final model, labelled and never trained on.
//!
//! Their errors are those of the model's use. New labels before training are where exploration left known ground, and
//! made test frames may be nothing that any scenario meets.

use super::Campaign;
use super::config::Scenario;
use super::event::{Event, Observer};
use super::ground::{Context, Flow, Halt};
use super::selection::{Cut, cut, explore_options, whole};
use super::sources;
use super::store::{ExploreRecord, LabelRecord, read_if_there, read_json};
use crate::explore::random::generator;
use crate::explore::{ExploreOptions, Sampled, Visited, Way, sample};
use crate::schedule;
use nepal::BackendKind;
use nepal::calculator::Calculator;
use nepal::error::Result;
use nepal::grade::ActiveSet;
use nepal::model::Model;
use nepal::system::{Frame, Structure, xyz};
use nepal_train::Errors;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Atoms that are tried for a fragment of a frame.
const TRIES: usize = 4;
/// The key of a frame that says it is held out.
const KEY: &str = "held_out";

/// A run that held-out frames come from. In `final/drawn.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DrawnRun {
    /// Its scenario.
    pub scenario: String,
    /// Start and end temperature, K.
    pub temperature: [f64; 2],
    /// Start and end pressure, GPa.
    pub pressure: [f64; 2],
    /// Steps done, and those of a complete run.
    pub steps: [usize; 2],
    /// Frames that it left.
    pub frames: usize,
    /// Why it ended before its last step, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
}

/// Errors on the held-out frames of a scenario, or of all of them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HeldOutErrors {
    /// Labelled frames.
    pub frames: usize,
    /// Those of them that are fragments, of which only the forces in the core count.
    pub fragments: usize,
    /// Errors of the final model.
    pub errors: Errors,
    /// Root mean square of the reference force components, eV/Å.
    pub force_rms: f64,
}

impl HeldOutErrors {
    /// In words.
    pub fn words(&self) -> String {
        let milli = |x: Option<f64>| 1e3 * x.unwrap_or(f64::NAN);
        let energy = match self.errors.energy_rmse {
            Some(_) => format!("energy {:.2} meV/atom, ", milli(self.errors.energy_rmse)),
            None => String::new(),
        };
        let cut = match self.fragments {
            0 => String::new(),
            n => format!(", {n} of them fragments"),
        };
        format!(
            "{energy}force {:.1} meV/Å ({:.1} % of the rms force; {} frames{cut})",
            milli(self.errors.force_rmse),
            100.0 * self.errors.force_rmse.unwrap_or(f64::NAN) / self.force_rms,
            self.frames
        )
    }
}

/// The held-out frames and what the models make of them. In `final/validation.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HeldOut {
    /// All of them.
    pub all: HeldOutErrors,
    /// By scenario.
    pub scenarios: Vec<(String, HeldOutErrors)>,
    /// Where they come from.
    pub runs: Vec<DrawnRun>,
    /// Training structures of each round, and the force error of its model on the same frames, eV/Å.
    pub curve: Vec<(f64, f64)>,
}

/// A run to be done.
struct Run<'a> {
    scenario: &'a Scenario,
    start: Structure,
    options: ExploreOptions,
    frames: usize,
}

/// The frames of all scenarios, unlabelled, and the runs that they come from.
pub(super) fn draw(
    context: &Context<'_>,
    frames: usize,
    observer: &mut dyn Observer,
) -> Flow<(Vec<Frame>, Vec<DrawnRun>)> {
    let campaign = context.campaign;
    let folder = campaign.final_folder();
    let model = Arc::new(Model::load(folder.join("nep.txt"))?);
    let set = Arc::new(ActiveSet::load(folder.join("active_set.asi"), &model)?);
    let runs = runs(context, frames)?;
    let stop = observer.stop_flag();
    let go_on = || match stop.load(Ordering::Relaxed) {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    };
    let work = |_: usize, run: &Run<'_>| -> Result<(Sampled, Vec<Frame>)> {
        let mut calculator = Calculator::new(Arc::clone(&model), BackendKind::Cpu)?;
        calculator.set_dispersion(campaign.config.dispersion()?)?;
        calculator.set_active_set(Some(Arc::clone(&set)))?;
        let mut student = campaign.with_baseline(calculator)?;
        let found = sample(&mut student, &run.start, &run.options, run.frames, &go_on)?;
        let made = (found.frames.iter())
            .map(|visited| made(campaign, &mut student.model, run, visited))
            .collect::<Result<Vec<_>>>()?;
        Ok((found, made.into_iter().flatten().collect()))
    };
    let mut results: Vec<Option<Result<(Sampled, Vec<Frame>)>>> =
        runs.iter().map(|_| None).collect();
    let mut done = 0;
    schedule::run_local(&runs, campaign.threads(), &stop, work, |task, result| {
        done += 1;
        observer.event(Event::Progress {
            what: "drawing held-out frames".into(),
            done,
            total: runs.len() as u64,
            detail: runs[task].scenario.name.clone(),
        });
        results[task] = Some(result);
    });
    if observer.stop_requested() {
        return Err(Halt::Stopped);
    }
    let (mut all, mut records) = (Vec::new(), Vec::new());
    for (run, result) in runs.iter().zip(results) {
        let Some(result) = result else { continue };
        let (found, made) = result?;
        let (md, name) = (&run.options.md, &run.scenario.name);
        if let Some(reason) = &found.ended {
            observer.event(Event::Warning(format!(
                "held-out frames of {name}: the run ended after {} of {} steps: {reason}",
                found.steps, md.steps
            )));
        }
        if made.len() < found.frames.len() {
            observer.event(Event::Warning(format!(
                "held-out frames of {name}: no fragment could be cut of {} of {} frames",
                found.frames.len() - made.len(),
                found.frames.len()
            )));
        }
        records.push(DrawnRun {
            scenario: name.clone(),
            temperature: [md.temperature.0, md.temperature.1],
            pressure: [md.pressure.0, md.pressure.1],
            steps: [found.steps, md.steps],
            frames: made.len(),
            ended: found.ended,
        });
        all.extend(made);
    }
    Ok((all, records))
}

/// What is labelled of a frame: the cell, or of a larger one a fragment around some atom of it.
fn made(
    campaign: &Campaign,
    calculator: &mut Calculator,
    run: &Run<'_>,
    visited: &Visited,
) -> Result<Option<Frame>> {
    let name = &run.scenario.name;
    let mut frame = None;
    if visited.structure.len() <= campaign.config.select.whole_cell_atoms {
        frame = Some(whole(&visited.structure));
    } else {
        let options = campaign.config.fragment_options()?;
        let mut atoms: Vec<usize> = (0..visited.structure.len()).collect();
        atoms.shuffle(&mut generator(run.options.md.seed ^ visited.step as u64, 7));
        for &atom in atoms.iter().take(TRIES) {
            let Cut { frame: found, form } = cut(calculator, &visited.structure, atom, &options)?;
            if let Some(mut found) = found {
                found.info.insert("form".into(), form);
                frame = Some(found);
                break;
            }
        }
    }
    Ok(frame.map(|mut frame| {
        for (key, value) in [
            (KEY, "yes".to_owned()),
            ("scenario", name.clone()),
            ("step", visited.step.to_string()),
            ("temperature", format!("{:.1}", visited.temperature)),
        ] {
            frame.info.insert(key.into(), value);
        }
        frame
    }))
}

/// Runs of all scenarios of dynamics, each start structure in its own, none of which has the seed of an exploration.
fn runs<'a>(context: &Context<'a>, frames: usize) -> Result<Vec<Run<'a>>> {
    let campaign = context.campaign;
    let config = &campaign.config;
    let last: Vec<ExploreRecord> = read_json(&context.path("explore.json"))?;
    let model = campaign.directory.join("final/nep.txt");
    let own = || campaign.potential(&model);
    let mut runs = Vec::new();
    for scenario in config.explore.iter().filter(|s| s.way.is_dynamics()) {
        let tag = format!("held-out/{}", scenario.name);
        let seed = config.seed ^ nepal::files::fnv1a(tag.as_bytes());
        let source = std::slice::from_ref(&scenario.start);
        let starts = sources::frames_with(source, &campaign.base, seed, &tag, Some(&own))?;
        let own = last
            .iter()
            .filter(|e| config.scenario_of(&e.name) == scenario.name);
        let rung = scenario.stage(own.map(|e| e.stage).max().unwrap_or(0));
        let walkers = starts.len().min(frames);
        for walker in 0..walkers {
            let start = &starts[walker * starts.len() / walkers].structure;
            let mut options = explore_options(scenario, &config.grade, seed ^ walker as u64);
            options.way = Way::default();
            options.md.temperature = (rung.temperature[0], rung.temperature[1]);
            options.md.pressure = (rung.pressure[0], rung.pressure[1]);
            options.md.steps = rung.steps;
            runs.push(Run {
                scenario,
                start: rung.strained(start)?,
                options,
                frames: (walker + 1) * frames / walkers - walker * frames / walkers,
            });
        }
    }
    Ok(runs)
}

/// The labelled frames, if there are any.
pub(super) fn frames(campaign: &Campaign) -> Result<Vec<Frame>> {
    let path = campaign.directory.join("final/labelled.xyz");
    if !path.exists() {
        return Ok(Vec::new());
    }
    let mut frames = xyz::read_frames(path)?;
    frames.retain(|f| f.info.contains_key(KEY));
    for frame in frames.iter_mut().filter(|f| f.force_mask.is_some()) {
        // The energy of a fragment is its boundary's as much as its core's.
        frame.energy = None;
    }
    Ok(frames)
}

/// What the models of all rounds and the final one make of the frames; none if there are none.
pub(super) fn judge(context: &Context<'_>, model: &Model) -> Result<Option<HeldOut>> {
    let campaign = context.campaign;
    let frames = frames(campaign)?;
    if frames.is_empty() {
        return Ok(None);
    }
    let of = |frames: &[Frame]| -> Result<HeldOutErrors> {
        Ok(HeldOutErrors {
            frames: frames.len(),
            fragments: frames.iter().filter(|f| f.force_mask.is_some()).count(),
            errors: nepal_train::errors(
                model,
                &campaign.learnt(frames.to_vec())?,
                BackendKind::Cpu,
            )?,
            force_rms: super::collect::force_rms(frames).unwrap_or(0.0),
        })
    };
    let mut scenarios = Vec::new();
    for scenario in &campaign.config.explore {
        let own = |f: &&Frame| f.info.get("scenario") == Some(&scenario.name);
        let own: Vec<Frame> = frames.iter().filter(own).cloned().collect();
        if !own.is_empty() {
            scenarios.push((scenario.name.clone(), of(&own)?));
        }
    }
    let learnt = campaign.learnt(frames.clone())?;
    let mut curve = Vec::new();
    for round in campaign.rounds()?.iter().take(context.round + 1) {
        let Some(training) = &round.training else {
            continue;
        };
        let model = Model::load(context.of(round.round).path("nep.txt"))?;
        let errors = nepal_train::errors(&model, &learnt, BackendKind::Cpu)?;
        curve.extend(errors.force_rmse.map(|e| (training.structures as f64, e)));
    }
    let runs: Option<Vec<DrawnRun>> = read_if_there(campaign.directory.join("final/drawn.json"))?;
    Ok(Some(HeldOut {
        all: of(&frames)?,
        scenarios,
        runs: runs.unwrap_or_default(),
        curve,
    }))
}

impl Campaign {
    /// Held-out frames that are asked for.
    pub(super) fn held_out_frames(&self) -> usize {
        let each = self.config.validate.as_ref().map_or(0, |v| v.frames);
        each * self
            .config
            .explore
            .iter()
            .filter(|s| s.way.is_dynamics())
            .count()
    }

    /// Labels that are set apart for the end of the campaign, so that rounds leave enough of the budgets.
    pub(super) fn reserved(&self) -> Result<usize> {
        let properties = self.property_labels()?;
        let cells = properties.iter().flat_map(|p| p.1).sum::<usize>();
        Ok(self.held_out_frames() + cells)
    }

    /// The labels at the end of the campaign, if there are some by now.
    pub(super) fn final_labels(&self) -> Result<Option<LabelRecord>> {
        read_if_there(self.directory.join("final/labels.json"))
    }
}
