//! Exploring a round: all scenarios, stages and walkers, each with its own seed, by the built-in
//! dynamics or another program.

use super::config::Scenario;
use super::engines::{EngineKind, EngineRun};
use super::event::{Event, Observer};
use super::journal::{Journal, hash_file};
use super::rounds::{Context, run_step};
use super::store::{ExploreRecord, read_json, write_json};
use super::{selection, sources};
use crate::backend::BackendKind;
use crate::calculator::Calculator;
use crate::error::{Error, Result};
use crate::explore::{Exploration, ExploreOptions};
use crate::grade::{ActiveSet, BuildOptions, Features};
use crate::label::StopFlag;
use crate::model::Model;
use crate::schedule;
use crate::system::{Frame, Structure, xyz};
use std::ops::ControlFlow;
use std::path::PathBuf;
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
        .flat_map(|s| s.start.files())
        .map(|file| hash_file(&campaign.base.join(file)))
        .collect::<Result<_>>()?;
    let trained = (
        hash_file(&context.path("nep.txt"))?,
        hash_file(&context.path("active_set.asi"))?,
    );
    let engines: Vec<Vec<String>> = config
        .explore
        .iter()
        .filter_map(|s| s.engine.as_ref())
        .map(|engine| engine.fingerprint(&campaign.base))
        .collect::<Result<_>>()?;
    let stages = stages(context)?;
    let inputs = (
        trained,
        &config.explore,
        &config.grade,
        config.seed,
        starts,
        engines,
        &stages,
    );
    run_step(context, journal, observer, "explore", &inputs, |observer| {
        let model = Arc::new(Model::load(context.path("nep.txt"))?);
        let set = Arc::new(ActiveSet::load(context.path("active_set.asi"), &model)?);
        let runs = runs(context, &stages)?;
        let public = public_set(context, &model)?;
        let mut results: Vec<Option<Result<Done>>> = runs.iter().map(|_| None).collect();
        let total: u64 = runs.iter().map(|r| r.options.md.steps as u64).sum();
        let stop = observer.stop_flag();
        let work = |_: usize, &index: &usize| -> Result<Done> {
            let run = &runs[index];
            if run.scenario.engine.is_some() {
                return by_engine(context, run, &model, public.as_ref(), &stop.clone().into());
            }
            let mut calculator = Calculator::new(Arc::clone(&model), BackendKind::Cpu)?;
            calculator.set_active_set(Some(Arc::clone(&set)))?;
            let found =
                crate::explore::explore(&mut calculator, &run.start, &run.options, &mut |_, _| {
                    if stop.load(Ordering::Relaxed) {
                        ControlFlow::Break(())
                    } else {
                        ControlFlow::Continue(())
                    }
                })?;
            Ok(Done {
                record: explore_record(run, &found),
                candidates: found
                    .candidates
                    .iter()
                    .map(|c| selection::candidate_frame(&run.name, c))
                    .collect(),
            })
        };
        let mut done = 0;
        for (cores, group) in by_cores(&runs) {
            let parallel = (campaign.threads() / cores).max(1);
            schedule::run_local(&group, parallel, &stop, work, |task, result| {
                let index = group[task];
                done += runs[index].options.md.steps as u64;
                observer.event(Event::Progress {
                    what: "exploring".into(),
                    done,
                    total,
                    detail: runs[index].name.clone(),
                });
                results[index] = Some(result);
            });
        }
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
            records.push(found.record);
            candidates.extend(found.candidates);
        }
        write_json(&context.path("explore.json"), &records)?;
        xyz::write_frames(context.path("candidates.xyz"), &candidates)?;
        Ok(["explore.json", "candidates.xyz"]
            .map(|name| context.relative(name))
            .into())
    })
}

/// What a run gave.
struct Done {
    record: ExploreRecord,
    candidates: Vec<Frame>,
}

/// One exploration to do.
struct Run<'a> {
    name: String,
    scenario: &'a Scenario,
    stage: usize,
    start: Structure,
    options: ExploreOptions,
}

/// The runs by the cores that each keeps busy.
fn by_cores(runs: &[Run<'_>]) -> std::collections::BTreeMap<usize, Vec<usize>> {
    let mut groups = std::collections::BTreeMap::new();
    for (index, run) in runs.iter().enumerate() {
        let cores = run.scenario.engine.as_ref().map_or(1, |e| e.cores);
        groups.entry(cores).or_insert_with(Vec::new).push(index);
    }
    groups
}

/// The stage of each scenario in this round: one further than in the last if that was clean.
fn stages(context: &Context<'_>) -> Result<Vec<usize>> {
    let config = &context.campaign.config;
    if context.round == 0 {
        return Ok(vec![0; config.explore.len()]);
    }
    let before: Vec<ExploreRecord> =
        read_json(&context.of(context.round - 1).path("explore.json"))?;
    Ok(config
        .explore
        .iter()
        .map(|scenario| {
            let mut own = before
                .iter()
                .filter(|e| config.scenario_of(&e.name) == scenario.name)
                .peekable();
            let stage = own.peek().map_or(0, |e| e.stage);
            let clean = own.peek().is_some() && own.all(|e| e.finished && e.candidates == 0);
            (stage + usize::from(clean)).min(scenario.ladder.len())
        })
        .collect())
}

/// All scenarios and walkers of a round, each with its own seed.
fn runs<'a>(context: &Context<'a>, stages: &[usize]) -> Result<Vec<Run<'a>>> {
    let campaign = context.campaign;
    let config = &campaign.config;
    let mut runs = Vec::new();
    for (index, (scenario, &stage)) in config.explore.iter().zip(stages).enumerate() {
        for replica in 0..scenario.replicas {
            let name = if scenario.replicas == 1 {
                scenario.name.clone()
            } else {
                format!("{}.{replica}", scenario.name)
            };
            let tag = format!("{name}/{}", context.round);
            let seed = config.seed ^ crate::files::fnv1a(tag.as_bytes()) ^ index as u64;
            let source = std::slice::from_ref(&scenario.start);
            let mut starts = sources::frames(source, &campaign.base, seed, &name)?;
            if starts.is_empty() {
                let message = format!("scenario {name} has no start structure");
                return Err(Error::invalid(message));
            }
            let start = starts.swap_remove(replica % starts.len()).structure;
            let rung = scenario.stage(stage);
            let start = rung
                .strained(&start)
                .map_err(|e| Error::invalid(format!("scenario {name}: {e}")))?;
            let mut options = selection::explore_options(scenario, &config.grade, seed);
            options.md.temperature = (rung.temperature[0], rung.temperature[1]);
            options.md.pressure = (rung.pressure[0], rung.pressure[1]);
            options.md.steps = rung.steps;
            runs.push(Run {
                options,
                name,
                scenario,
                stage,
                start,
            });
        }
    }
    Ok(runs)
}

/// The active set in the public form, if a program needs it.
fn public_set(context: &Context<'_>, model: &Model) -> Result<Option<PathBuf>> {
    let needed = context.campaign.config.explore.iter().any(|s| {
        s.engine
            .as_ref()
            .is_some_and(|e| e.kind == EngineKind::Gpumd)
    });
    if !needed {
        return Ok(None);
    }
    let frames = super::training::training_frames(context.campaign, context.round)?;
    let mut backend = BackendKind::Cpu.create()?;
    let all = frames.iter().map(|f| &f.structure);
    let features = Features::collect(model, &mut *backend, all)?;
    let (set, _) = ActiveSet::build(model, &features, &BuildOptions::compat())?;
    let path = context.path("public.asi");
    set.save(&path)?;
    Ok(Some(path))
}

/// A run by another program.
fn by_engine(
    context: &Context<'_>,
    run: &Run<'_>,
    model: &Model,
    public: Option<&PathBuf>,
    stop: &StopFlag,
) -> Result<Done> {
    let campaign = context.campaign;
    let engine = run
        .scenario
        .engine
        .as_ref()
        .ok_or_else(|| Error::Internal("a run without its program".into()))?;
    let rung = run.scenario.stage(run.stage);
    let active_set = match (engine.kind, public) {
        (EngineKind::Gpumd, Some(path)) => path.clone(),
        _ => context.path("active_set.asi"),
    };
    let found = EngineRun {
        scenario: run.scenario,
        engine,
        grade: &campaign.config.grade,
        start: &run.start,
        temperature: rung.temperature,
        pressure: rung.pressure,
        steps: rung.steps,
        seed: run.options.md.seed,
        folder: context.path(&format!("explore/{}", run.name)),
        base: &campaign.base,
        model: context.path("nep.txt"),
        active_set,
        elements: model
            .elements()
            .iter()
            .map(|e| e.symbol().to_owned())
            .collect(),
        cutoff: model.cutoff(),
    }
    .run(stop)?;
    let mut candidates = found.candidates;
    for frame in &mut candidates {
        frame.info.insert("scenario".into(), run.name.clone());
    }
    let record = ExploreRecord {
        name: run.name.clone(),
        steps: found.steps,
        planned: rung.steps,
        breaks: found.breaks,
        finished: found.finished,
        candidates: candidates.len(),
        max_grade: largest(&found.trace),
        stage: run.stage,
        stages_left: run.scenario.ladder.len() - run.stage,
        trace: found.trace,
    };
    Ok(Done { record, candidates })
}

/// The largest grade of a trace, finite because records hold finite numbers only.
fn largest(trace: &[[f64; 6]]) -> f64 {
    trace.iter().map(|p| p[5]).fold(0.0, f64::max).min(f64::MAX)
}

fn explore_record(run: &Run<'_>, found: &Exploration) -> ExploreRecord {
    let trace: Vec<[f64; 6]> = found
        .trace
        .iter()
        .map(|p| {
            let finite = |x: f64| x.min(f64::MAX);
            [
                p.step as f64,
                p.temperature,
                p.pressure,
                finite(p.max_gamma),
                finite(p.max_rho),
                finite(p.max_grade),
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
        max_grade: largest(&trace),
        stage: run.stage,
        stages_left: run.scenario.ladder.len() - run.stage,
        trace,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaign::Campaign;

    const CAMPAIGN: &str = r#"
title = "ladders"
initial = [{ prototype = "sc", elements = ["Na"], lattice = 4.0 }]
[model]
first_epochs = 1
epochs = 1
nep_in = "type 1 Na\ncutoff 4 4\nn_max 1 1\nl_max 1 0 0\nneuron 1\n"
[label]
kind = "stillinger-weber"
[[explore]]
name = "a"
start = { file = "start.xyz" }
ensemble = "svr"
temperature = [300, 400]
steps = 10
replicas = 3
strain = [0.01, 0.01, 0.01, 0, 0, 0]
ladder = [{ strain = [0, 0, 0.1, 0, 0, 0], temperature = [400, 500] }]
[[explore]]
name = "b"
start = { prototype = "sc", elements = ["Na"], lattice = 4.0, rattle = 0.1 }
ensemble = "nve"
temperature = [300, 300]
steps = 10
"#;

    fn done(name: &str, stage: usize, clean: bool) -> ExploreRecord {
        serde_json::from_value(serde_json::json!({
            "name": name, "steps": 10, "planned": 10, "breaks": 0, "finished": clean,
            "candidates": 0, "max_grade": 1.0, "trace": [], "stage": stage, "stages_left": 0,
        }))
        .unwrap()
    }

    #[test]
    fn walkers_differ_and_climb_together() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("c.toml"), CAMPAIGN).unwrap();
        let frame = |a: f64| {
            format!(
                "1\nLattice=\"{a} 0 0 0 {a} 0 0 0 {a}\" Properties=species:S:1:pos:R:3\nNa 0 0 0\n"
            )
        };
        std::fs::write(dir.path().join("start.xyz"), frame(4.0) + &frame(5.0)).unwrap();
        let campaign = Campaign::load(&dir.path().join("c.toml"), StopFlag::default()).unwrap();
        let round = |round| Context {
            campaign: &campaign,
            round,
        };
        let edges = |stages: &[usize]| -> Vec<[f64; 2]> {
            let found = runs(&round(0), stages).unwrap();
            let names: Vec<&str> = found.iter().map(|r| r.name.as_str()).collect();
            assert_eq!(names, ["a.0", "a.1", "a.2", "b"]);
            let seeds: std::collections::BTreeSet<u64> =
                found.iter().map(|r| r.options.md.seed).collect();
            assert_eq!(seeds.len(), 4);
            let cell = |r: &Run<'_>| r.start.cell.vectors()[0][0];
            let high = |r: &Run<'_>| r.start.cell.vectors()[2][2];
            let rounded = |x: f64| (1e9 * x).round() / 1e9;
            found
                .iter()
                .map(|r| [rounded(cell(r)), rounded(high(r))])
                .collect()
        };
        let b = [4.0, 4.0];
        assert_eq!(edges(&[0, 0]), [[4.04; 2], [5.05; 2], [4.04; 2], b]);
        assert_eq!(edges(&[1, 0]), [[4.0, 4.4], [5.0, 5.5], [4.0, 4.4], b]);
        let after = |clean: [bool; 4]| {
            let names = ["a.0", "a.1", "a.2", "b"];
            let records: Vec<ExploreRecord> = names
                .iter()
                .zip(clean)
                .map(|(n, c)| done(n, 0, c))
                .collect();
            let path = round(0).path("explore.json");
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            write_json(&path, &records).unwrap();
            stages(&round(1)).unwrap()
        };
        // One walker that is not quiet keeps its scenario down; the top of a ladder is its top.
        assert_eq!(after([true, true, false, true]), [0, 0]);
        assert_eq!(after([true, true, true, false]), [1, 0]);
        assert_eq!(after([true; 4]), [1, 0]);
    }
}
