//! Exploring a round: all scenarios and replicas, each with its own seed.

use super::event::{Event, Observer};
use super::journal::{Journal, hash_file};
use super::rounds::{Context, run_step};
use super::store::{ExploreRecord, write_json};
use super::{selection, sources};
use crate::backend::BackendKind;
use crate::calculator::Calculator;
use crate::error::{Error, Result};
use crate::explore::{Exploration, ExploreOptions};
use crate::grade::ActiveSet;
use crate::model::Model;
use crate::schedule;
use crate::system::{Structure, xyz};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

pub(super) fn explore_step(
    context: &Context<'_>,
    journal: &mut Journal,
    observer: &mut dyn Observer,
) -> Result<()> {
    let campaign = context.campaign;
    let config = &campaign.config;
    let starts: Vec<String> = config
        .explore
        .iter()
        .filter_map(|s| s.start.file.as_ref())
        .map(|file| hash_file(&campaign.base.join(file)))
        .collect::<Result<_>>()?;
    let trained = (
        hash_file(&context.path("nep.txt"))?,
        hash_file(&context.path("active_set.asi"))?,
    );
    let inputs = (trained, &config.explore, &config.grade, config.seed, starts);
    run_step(context, journal, observer, "explore", &inputs, |observer| {
        let model = Arc::new(Model::load(context.path("nep.txt"))?);
        let set = Arc::new(ActiveSet::load(context.path("active_set.asi"), &model)?);
        let runs = runs(context)?;
        let stop = observer.stop_flag();
        let mut results: Vec<Option<Result<Exploration>>> = runs.iter().map(|_| None).collect();
        let total: u64 = runs.iter().map(|r| r.options.md.steps as u64).sum();
        let work = |_: usize, run: &Run| -> Result<Exploration> {
            let mut calculator = Calculator::new(Arc::clone(&model), BackendKind::Cpu)?;
            calculator.set_active_set(Some(Arc::clone(&set)))?;
            crate::explore::explore(&mut calculator, &run.start, &run.options, &mut |_, _| {
                if stop.load(Ordering::Relaxed) {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            })
        };
        let mut done = 0;
        schedule::run_local(&runs, campaign.threads(), &stop, work, |index, result| {
            done += runs[index].options.md.steps as u64;
            observer.event(Event::Progress {
                what: "exploring".into(),
                done,
                total,
                detail: runs[index].name.clone(),
            });
            results[index] = Some(result);
        });
        if observer.stop_requested() {
            return Err(Error::Failed(
                "stopped while exploring, as asked; run again to continue".into(),
            ));
        }
        let mut records = Vec::new();
        let mut candidates = Vec::new();
        for (run, result) in runs.iter().zip(results) {
            let found = result
                .ok_or_else(|| Error::Failed(format!("run {} gave no result", run.name)))??;
            records.push(explore_record(run, &found));
            candidates.extend(
                found
                    .candidates
                    .iter()
                    .map(|c| selection::candidate_frame(&run.name, c)),
            );
        }
        write_json(&context.path("explore.json"), &records)?;
        xyz::write_frames(context.path("candidates.xyz"), &candidates)?;
        Ok(["explore.json", "candidates.xyz"]
            .map(|name| context.relative(name))
            .into())
    })
}

/// One exploration to do.
struct Run {
    name: String,
    start: Structure,
    options: ExploreOptions,
}

/// All scenarios and replicas of a round, each with its own seed.
fn runs(context: &Context<'_>) -> Result<Vec<Run>> {
    let campaign = context.campaign;
    let config = &campaign.config;
    let mut runs = Vec::new();
    for (index, scenario) in config.explore.iter().enumerate() {
        for replica in 0..scenario.replicas {
            let name = if scenario.replicas == 1 {
                scenario.name.clone()
            } else {
                format!("{}.{replica}", scenario.name)
            };
            let tag = format!("{name}/{}", context.round);
            let seed = config.seed ^ crate::files::fnv1a(tag.as_bytes()) ^ index as u64;
            let source = std::slice::from_ref(&scenario.start);
            let start = sources::frames(source, &campaign.base, seed, &name)?
                .into_iter()
                .next()
                .ok_or_else(|| Error::invalid(format!("scenario {name} has no start structure")))?
                .structure;
            runs.push(Run {
                options: selection::explore_options(scenario, &config.grade, seed),
                name,
                start,
            });
        }
    }
    Ok(runs)
}

fn explore_record(run: &Run, found: &Exploration) -> ExploreRecord {
    let trace: Vec<[f64; 6]> = found
        .trace
        .iter()
        .map(|p| {
            [
                p.step as f64,
                p.temperature,
                p.pressure,
                p.max_gamma,
                p.max_rho,
                p.max_grade,
            ]
        })
        .collect();
    ExploreRecord {
        name: run.name.clone(),
        steps: found.steps_done,
        planned: run.options.md.steps,
        breaks: found.breaks,
        finished: found.finished,
        candidates: found.candidates.len(),
        max_grade: found.trace.iter().map(|p| p.max_grade).fold(0.0, f64::max),
        trace,
    }
}
