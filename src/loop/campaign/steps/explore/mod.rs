//! Exploring a round: all scenarios, stages and walkers, each with its own seed, by the built-in
//! dynamics in this process, or by another program as jobs of the scheduler.
//!
//! What each run gave is kept in a file until the round is explored, so that a driver that comes later has no run
//! to do twice.

mod programs;
mod resume;
#[cfg(test)]
mod tests;
mod walker;

use crate::campaign::config::Scenario;
use crate::campaign::engines::EngineKind;
use crate::campaign::event::{Event, Observer};
use crate::campaign::ground::{Context, Flow, Halt, Step};
use crate::campaign::jobs::work;
use crate::campaign::journal::{hash_file, hash_json};
use crate::campaign::pause::{Pause, PausedBy};
use crate::campaign::store::{ExploreRecord, read_json, write_json};
use crate::campaign::{selection, sources, training};
use crate::explore::{Exploration, Signal};
use crate::schedule;
use nepal::calculator::Calculator;
use nepal::error::{Error, Result};
use nepal::grade::{ActiveSet, BuildOptions, Features};
use nepal::model::Model;
use nepal::posterior::Posterior;
use nepal::{BackendKind, Request};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use walker::{Done, Run};

/// The active set in the public form, of a round in which a program needs it.
const PUBLIC_SET: &str = "public.asi";

/// The exploration of a round.
pub(in crate::campaign) struct Explore;

impl Step for Explore {
    fn name(&self) -> &'static str {
        "explore"
    }

    fn inputs(&self, context: &Context<'_>) -> Result<String> {
        let campaign = context.campaign;
        let config = &campaign.config;
        let scenarios = campaign.scenarios(context.round)?;
        let active: Vec<&str> = campaign
            .active(context.round)?
            .iter()
            .map(|s| s.name.as_str())
            .collect();
        let mut starts: Vec<String> = scenarios
            .iter()
            .flat_map(|s| s.start.files().map(PathBuf::as_path).chain(s.way.file()))
            .map(|file| hash_file(&campaign.base.join(file)))
            .collect::<Result<_>>()?;
        // What is usual is measured there.
        if scenarios.iter().any(|s| s.way.asks_what_is_usual()) {
            starts.push(hash_file(&context.of(0).path("test.xyz"))?);
        }
        let engines: Vec<Vec<String>> = scenarios
            .iter()
            .filter_map(|s| s.engine.as_ref())
            .map(|engine| engine.fingerprint(&campaign.base))
            .collect::<Result<_>>()?;
        let inputs = (
            trained(context)?,
            &scenarios,
            &config.grade,
            config.seed,
            starts,
            engines,
            stages(context)?,
            active,
        );
        Ok(hash_json(&inputs))
    }

    fn work(&self, context: &Context<'_>, observer: &mut dyn Observer) -> Flow<Vec<String>> {
        let campaign = context.campaign;
        let trained = trained(context)?;
        let mut runs = runs(context, &stages(context)?)?;
        for run in &mut runs {
            let engine = run.scenario.engine.as_ref();
            let engine = engine.map(|e| e.fingerprint(&campaign.base)).transpose()?;
            run.set_key(&(&trained, &campaign.config.grade, engine));
        }
        let done = explore(context, &runs, observer)?;
        let failed = |d: &&Done| d.record.failed.is_some();
        if let Some(first) = done.iter().find(failed)
            && done.iter().all(|d| failed(&d))
        {
            // They shall be tried again once what is wrong is put right.
            runs.iter().for_each(|run| run.forget(context));
            let why = first.record.failed.as_deref().unwrap_or_default();
            return Err(Halt::Failed(Error::Failed(format!(
                "no run of round {} came to anything: {why}",
                context.round
            ))));
        }
        for reason in done.iter().filter_map(|d| d.record.failed.as_ref()) {
            observer.event(Event::Warning(format!(
                "{reason}; the round goes on without it"
            )));
        }
        let paused = failing(context, &done);
        for pause in &paused {
            observer.event(Event::Warning(format!(
                "{}: no run came to anything; the scenario is paused (`nepal-loop resume` ends that)",
                pause.scenario
            )));
        }
        campaign.set_pauses(PausedBy::Explore, context.round, &paused)?;
        let candidates: String = done.iter().map(|d| d.candidates.as_str()).collect();
        let records: Vec<ExploreRecord> = done.into_iter().map(|d| d.record).collect();
        write_json(&context.path("explore.json"), &records)?;
        nepal::files::write_atomically(&context.path("candidates.xyz"), candidates.as_bytes())?;
        Ok(["explore.json", "candidates.xyz"]
            .map(|name| context.relative(name))
            .into())
    }

    fn clear(&self, context: &Context<'_>) -> Result<()> {
        let runs = runs(context, &stages(context)?)?;
        runs.iter().for_each(|run| run.forget(context));
        programs::forget(context, &runs)
    }
}

/// Hashes of the model, its active set, and its posterior where that counts; and the dispersion on top of it.
fn trained(context: &Context<'_>) -> Result<Vec<String>> {
    let posterior = context.campaign.needs_posterior(context.round)?;
    let files = ["nep.txt", "active_set.asi", training::POSTERIOR];
    let count = if posterior { 3 } else { 2 };
    let mut hashes: Vec<String> = (files[..count].iter())
        .map(|name| hash_file(&context.path(name)))
        .collect::<Result<_>>()?;
    if context.campaign.needs_committee(context.round)? {
        for k in 1..context.campaign.config.model.committee {
            hashes.push(hash_file(&context.path(&training::member(k)))?);
        }
    }
    hashes.extend(context.campaign.config.model.dftd3.clone());
    Ok(hashes)
}

/// The scenarios of which no run came to anything.
fn failing(context: &Context<'_>, done: &[Done]) -> Vec<Pause> {
    let config = &context.campaign.config;
    let mut pauses = Vec::new();
    for scenario in &config.explore {
        let own = || {
            done.iter()
                .filter(|d| config.scenario_of(&d.record.name) == scenario.name)
        };
        let reason = own().find_map(|d| d.record.failed.clone());
        if let Some(reason) = reason.filter(|_| own().all(|d| d.record.failed.is_some())) {
            pauses.push(Pause {
                scenario: scenario.name.clone(),
                by: PausedBy::Explore,
                round: context.round,
                reason,
                resumed: None,
            });
        }
    }
    pauses
}

/// Does all runs of a round, in their order.
fn explore(
    context: &Context<'_>,
    runs: &[Run<'_>],
    observer: &mut dyn Observer,
) -> Flow<Vec<Done>> {
    let model = Arc::new(Model::load(context.path("nep.txt"))?);
    public_set(context, &model)?;
    let desks = programs::desks(context, &model, runs)?;
    // Jobs of this machine would be in the way of the runs in this process, others go on beside them.
    let (here, mut desks): (Vec<_>, Vec<_>) = desks.into_iter().partition(|d| d.trade.is_local());
    if !desks.is_empty() {
        match work(&mut desks, true, observer) {
            Ok(()) | Err(Halt::Waiting(_)) => {}
            halted => halted?,
        }
    }
    let mut done = explore_here(context, &model, runs, observer)?;
    desks.extend(here);
    if !desks.is_empty() {
        work(&mut desks, context.once, observer)?;
    }
    for desk in desks {
        done.extend(desk.trade.settled);
    }
    let mut in_order = Vec::new();
    for run in runs {
        let found = done.remove(&run.key);
        in_order
            .push(found.ok_or_else(|| Error::Failed(format!("run {} gave no result", run.name)))?);
    }
    Ok(in_order)
}

/// The runs of the built-in dynamics, by their keys.
fn explore_here(
    context: &Context<'_>,
    model: &Arc<Model>,
    runs: &[Run<'_>],
    observer: &mut dyn Observer,
) -> Flow<BTreeMap<String, Done>> {
    let mut all = BTreeMap::new();
    let mut due = Vec::new();
    for run in runs.iter().filter(|run| run.scenario.engine.is_none()) {
        match run.stored(context) {
            Some(done) => drop(all.insert(run.key.clone(), done)),
            None => due.push(run),
        }
    }
    if due.is_empty() {
        return Ok(all);
    }
    let set = Arc::new(ActiveSet::load(context.path("active_set.asi"), model)?);
    let posterior = match context.campaign.needs_posterior(context.round)? {
        true => {
            let path = context.path(training::POSTERIOR);
            Some(Arc::new(Posterior::load(path, model)?))
        }
        false => None,
    };
    let stop = observer.stop_flag();
    let work = |_: usize, run: &&Run<'_>| -> Result<Done> {
        let mut calculator = Calculator::new(Arc::clone(model), BackendKind::Cpu)?;
        calculator.set_dispersion(context.campaign.config.dispersion()?)?;
        calculator.set_active_set(Some(Arc::clone(&set)))?;
        calculator.set_posterior(posterior.clone())?;
        let mut options = run.options.clone();
        let held_out = || resume::held_out(context, run);
        let others = match run.scenario.way.goes_by(Signal::Committee) {
            true => committee(context, &calculator)?,
            false => Vec::new(),
        };
        let mut student = (context.campaign.with_baseline(calculator)?).with_committee(others);
        options.way.inform(&mut student, held_out)?;
        let mut told = |_, _| match stop.load(Ordering::Relaxed) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        };
        let found =
            match crate::explore::explore_with(&mut student, &run.start, &options, &mut told) {
                Ok(found) => found,
                // A path without another end, a search without a structure: the others go on.
                Err(Error::Failed(why)) => {
                    return Ok(run.failed(format!("explore {}: {why}", run.name)));
                }
                Err(e) => return Err(e),
            };
        let mut done = run.explored(&found);
        if posterior.is_some() && !done.record.composition.is_empty() {
            done.record.max_sigma = Some(largest_sigma(&mut student.model, &found)?);
        }
        // One that was broken off is no result.
        if !stop.load(Ordering::Relaxed) {
            run.store(context, &done)?;
        }
        Ok(done)
    };
    let total: u64 = due.iter().map(|r| r.options.md.steps as u64).sum();
    let mut results = Vec::new();
    let mut steps = 0;
    schedule::run_local(
        &due,
        context.campaign.threads(),
        &stop,
        work,
        |task, result| {
            steps += due[task].options.md.steps as u64;
            observer.event(Event::Progress {
                what: "exploring".into(),
                done: steps,
                total,
                detail: due[task].name.clone(),
            });
            results.push((due[task].key.clone(), result));
        },
    );
    for (key, result) in results {
        all.insert(key, result?);
    }
    match observer.stop_requested() {
        true => Err(Halt::Stopped),
        false => Ok(all),
    }
}

/// The others of the round's committee, with what its model has on top of it.
fn committee(context: &Context<'_>, model: &Calculator) -> Result<Vec<Calculator>> {
    let config = &context.campaign.config;
    let files = (1..config.model.committee).map(|k| context.path(&training::member(k)));
    let models = files.map(Model::load).collect::<Result<Vec<_>>>()?;
    let mut members = crate::explore::committee::members(models, model)?;
    for member in &mut members {
        member.set_dispersion(config.dispersion()?)?;
    }
    Ok(members)
}

/// The largest σ of a force in the frames that a run kept, and in its last.
fn largest_sigma(calculator: &mut Calculator, found: &Exploration) -> Result<f64> {
    let kept = found.candidates.iter().map(|c| &c.structure);
    let mut largest = 0.0f64;
    for structure in kept.chain([&found.last]) {
        let sigma = &calculator.compute(structure, Request::SIGMA)?.sigma;
        largest = sigma.iter().copied().fold(largest, f64::max);
    }
    // Records hold finite numbers only.
    Ok(largest.min(f64::MAX))
}

/// The stage of each scenario in this round: one further than in the last that it was in, if that was clean.
fn stages(context: &Context<'_>) -> Result<Vec<usize>> {
    let campaign = context.campaign;
    let config = &campaign.config;
    // Newest first.
    let before: Vec<Vec<ExploreRecord>> = (0..context.round)
        .rev()
        .map(|round| read_json(&context.of(round).path("explore.json")))
        .collect::<Result<_>>()?;
    Ok(campaign
        .scenarios(context.round)?
        .iter()
        .map(|scenario| {
            let of = |e: &&ExploreRecord| config.scenario_of(&e.name) == scenario.name;
            let last = before.iter().find(|round| round.iter().any(|e| of(&e)));
            let mut own = last.into_iter().flatten().filter(of).peekable();
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
    let active = campaign.active(context.round)?;
    let mut runs = Vec::new();
    let scenarios = campaign.scenarios(context.round)?;
    for (index, (scenario, &stage)) in scenarios.into_iter().zip(stages).enumerate() {
        if !active.iter().any(|s| s.name == scenario.name) {
            continue;
        }
        let worst = match scenario.way.resumes() {
            true => resume::worst(context, &scenario.name)?,
            false => Vec::new(),
        };
        // Of a scenario over compositions each walker has its own.
        let mixes = mixes(context, scenario)?;
        let walkers = scenario.replicas * mixes.len().max(1);
        for replica in 0..walkers {
            let name = if walkers == 1 {
                scenario.name.clone()
            } else {
                format!("{}.{replica}", scenario.name)
            };
            let tag = format!("{name}/{}", context.round);
            let seed = config.seed ^ nepal::files::fnv1a(tag.as_bytes()) ^ index as u64;
            let mut source = scenario.start.clone();
            if let (Some(own), false) = (&mut source.composition, mixes.is_empty()) {
                *own = own.only(&mixes[replica % mixes.len()]);
            }
            let path = context.path("nep.txt");
            let own = || campaign.potential(&path);
            let model = path.exists().then_some(&own as sources::Own<'_>);
            let mut starts = sources::frames_with(&[source], &campaign.base, seed, &name, model)?;
            if starts.is_empty() {
                let message = format!("scenario {name} has no start structure");
                return Err(Error::invalid(message));
            }
            let start = starts.swap_remove(replica % starts.len()).structure;
            let rung = scenario.stage(stage);
            let mut start = rung
                .strained(&start)
                .map_err(|e| Error::invalid(format!("scenario {name}: {e}")))?;
            let resumed = match worst.len() {
                0 => None,
                n => {
                    let (record, structure) = worst[replica % n].clone();
                    start = structure;
                    Some(record)
                }
            };
            let mut options = selection::explore_options(scenario, &config.grade, seed);
            options.md.temperature = (rung.temperature[0], rung.temperature[1]);
            options.md.pressure = (rung.pressure[0], rung.pressure[1]);
            options.md.steps = rung.steps;
            options.way = options.way.within(&campaign.base);
            runs.push(Run {
                options,
                name,
                scenario,
                stage,
                start,
                resumed,
                key: String::new(),
            });
        }
    }
    Ok(runs)
}

/// The compositions of a scenario's walkers in this round, as numbers of atoms: its own, and after the first round new
/// ones where the last had high grades.
fn mixes(context: &Context<'_>, scenario: &Scenario) -> Result<Vec<Vec<usize>>> {
    let campaign = context.campaign;
    let mut mixes = sources::compositions(&scenario.start, &campaign.base, &scenario.name)?;
    let further = scenario
        .start
        .composition
        .as_ref()
        .map_or(0, |c| c.adaptive);
    if further == 0 {
        return Ok(mixes);
    }
    for round in (0..context.round).rev() {
        let before: Vec<ExploreRecord> = read_json(&context.of(round).path("explore.json"))?;
        let own = before.iter().filter(|e| {
            let of = campaign.config.scenario_of(&e.name) == scenario.name;
            of && e.failed.is_none() && !e.composition.is_empty()
        });
        let known: Vec<(Vec<usize>, f64)> = own
            .map(|e| (e.composition.iter().map(|c| c.1).collect(), e.max_grade))
            .collect();
        if !known.is_empty() {
            let tag = format!("{}/{}", scenario.name, context.round);
            let seed = campaign.config.seed ^ nepal::files::fnv1a(tag.as_bytes());
            mixes.extend(crate::explore::alloy::drawn(&known, further, seed));
            break;
        }
    }
    Ok(mixes)
}

/// Writes the active set in the public form, if a program needs it and it is not there.
fn public_set(context: &Context<'_>, model: &Model) -> Result<()> {
    let needed = context.campaign.config.explore.iter().any(|s| {
        s.engine
            .as_ref()
            .is_some_and(|e| e.kind == EngineKind::Gpumd)
    });
    if !needed {
        return Ok(());
    }
    // Beside it, of which model it is: another pass need not build it again.
    let (path, of) = (context.path(PUBLIC_SET), context.path("public.json"));
    let now = hash_file(&context.path("nep.txt"))?;
    if path.exists() && read_json::<String>(&of).is_ok_and(|of| of == now) {
        return Ok(());
    }
    let frames = training::training_frames(context.campaign, context.round)?;
    let mut backend = BackendKind::Cpu.create()?;
    let all = frames.iter().map(|f| &f.structure);
    let features = Features::collect(model, &mut *backend, all)?;
    let (set, _) = ActiveSet::build(model, &features, &BuildOptions::compat())?;
    set.save(&path)?;
    write_json(&of, &now)
}
