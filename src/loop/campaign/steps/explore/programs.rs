//! Runs by other programs, as jobs of the scheduler.
//!
//! A program that fails before its first graded step makes a failed run; the round goes on with the others. What a
//! program left before it was killed, timed out or stepped out of known ground counts as a run that broke off.

use super::walker::{Done, Run, largest};
use crate::campaign::engines::{EngineConfig, EngineKind, EngineRun};
use crate::campaign::ground::Context;
use crate::campaign::jobs::{
    After, JobDriver, JobKind, LOSSES, TIMES, new_folder, open_tickets, runnable,
};
use crate::campaign::store::ExploreRecord;
use crate::campaign::training::POSTERIOR;
use crate::explore::Signal;
use crate::label::Ending;
use crate::schedule::{End, Ended, Finished, Job, Queue, SchedulerConfig, SchedulerKind, Ticket};
use nepal::error::{Error, Result};
use nepal::model::Model;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Runs that share a scheduler.
pub(super) struct Programs<'a> {
    pub context: &'a Context<'a>,
    pub model: &'a Model,
    scheduler: SchedulerConfig,
    /// By key.
    runs: BTreeMap<String, &'a Run<'a>>,
    /// By key.
    pub settled: BTreeMap<String, Done>,
}

/// The desks of a round's runs: one for those that go by the campaign's scheduler, one for each scenario with
/// settings of its own. What is known, or out from an earlier pass, is found again.
pub(super) fn desks<'a>(
    context: &'a Context<'a>,
    model: &'a Model,
    runs: &'a [Run<'a>],
) -> Result<Vec<JobDriver<Programs<'a>>>> {
    let mut groups: BTreeMap<String, Vec<&Run<'_>>> = BTreeMap::new();
    for run in runs {
        let Some(engine) = &run.scenario.engine else {
            continue;
        };
        groups.entry(queue_name(engine, run)).or_default().push(run);
    }
    let mut desks = Vec::new();
    for (name, runs) in groups {
        let Some(engine) = runs[0].scenario.engine.as_ref() else {
            continue;
        };
        let mut scheduler = engine.scheduler(&context.campaign.config.scheduler)?;
        if scheduler.kind == SchedulerKind::Local && scheduler.machine_cores.is_none() {
            scheduler.machine_cores = Some(context.campaign.threads());
        }
        let queue = Queue::open(&context.campaign.running(&name), &scheduler)?;
        let programs = Programs {
            context,
            model,
            scheduler,
            runs: runs.iter().map(|run| (run.key.clone(), *run)).collect(),
            settled: BTreeMap::new(),
        };
        let mut desk = JobDriver::new(queue, programs);
        take_stock(&mut desk, &runs)?;
        desks.push(desk);
    }
    Ok(desks)
}

fn queue_name(engine: &EngineConfig, run: &Run<'_>) -> String {
    match engine.scheduler {
        None => "explore".into(),
        Some(_) => format!("explore-{}", run.scenario.name),
    }
}

fn take_stock(desk: &mut JobDriver<Programs<'_>>, order: &[&Run<'_>]) -> Result<()> {
    let open = open_tickets(&desk.queue);
    for run in order {
        match run.stored(desk.trade.context) {
            Some(done) => {
                desk.trade.settled.insert(run.key.clone(), done);
            }
            None if open.contains_key(&run.key) => {}
            None => desk.due.push_back(run.key.clone()),
        }
    }
    // Known by now, or of another model, other settings, a scenario that is no more. What runs for another round goes
    // on: this one is done again since its files were spoilt.
    let own = desk.trade.context.path("explore");
    let own = std::path::absolute(&own).map_err(|e| Error::io("find", own, e))?;
    let unwanted: Vec<Ticket> = open
        .into_values()
        .filter(|t| {
            let key = &t.job.key;
            let wanted = desk.trade.runs.contains_key(key) && !desk.trade.settled.contains_key(key);
            !wanted && t.job.folder.starts_with(&own)
        })
        .collect();
    desk.queue.cancel(&unwanted)
}

impl Programs<'_> {
    pub fn is_local(&self) -> bool {
        self.scheduler.kind == SchedulerKind::Local
    }

    fn run(&self, key: &str) -> Result<&Run<'_>> {
        let run = self.runs.get(key).copied();
        run.ok_or_else(|| Error::Internal(format!("no run has the key {key}")))
    }

    fn engine<'b>(&'b self, run: &'b Run<'_>, folder: PathBuf) -> Result<EngineRun<'b>> {
        let engine = run.scenario.engine.as_ref();
        let engine = engine.ok_or_else(|| Error::Internal("a run without its program".into()))?;
        let rung = run.scenario.stage(run.stage);
        let campaign = self.context.campaign;
        Ok(EngineRun {
            scenario: run.scenario,
            engine,
            grade: &campaign.config.grade,
            start: &run.start,
            temperature: rung.temperature,
            pressure: rung.pressure,
            steps: rung.steps,
            seed: run.options.md.seed,
            folder,
            base: &campaign.base,
            model: self.context.path("nep.txt"),
            active_set: self.context.path(match engine.kind {
                EngineKind::Gpumd => super::PUBLIC_SET,
                EngineKind::Lammps | EngineKind::Python => "active_set.asi",
            }),
            posterior: (run.scenario.way.goes_by(Signal::Sigma))
                .then(|| self.context.path(POSTERIOR)),
            elements: self
                .model
                .elements()
                .iter()
                .map(|e| e.symbol().to_owned())
                .collect(),
            cutoff: self.model.cutoff(),
            dftd3: campaign
                .config
                .model
                .dftd3
                .as_ref()
                .map(|d| d.replace(',', " ")),
            keep_molecules: campaign.config.fragments.keep_molecules,
        })
    }

    /// What a program left that ended so, or why it left nothing.
    fn collect(&self, run: &Run<'_>, folder: PathBuf, ending: Ending) -> Result<Done> {
        let found = match self.engine(run, folder)?.collect(ending) {
            Ok(found) => found,
            Err(e) => return Ok(run.failed(e.to_string())),
        };
        let mut candidates = found.candidates;
        for frame in &mut candidates {
            frame.info.insert("scenario".into(), run.name.clone());
        }
        let record = ExploreRecord {
            steps: found.steps,
            breaks: found.breaks,
            finished: found.finished,
            candidates: candidates.len(),
            max_grade: largest(&found.trace),
            trace: found.trace,
            ..run.record()
        };
        Ok(run.done(record, &candidates))
    }

    fn settle(
        &mut self,
        ticket: &Ticket,
        done: Done,
        how: Ended,
        queue: &mut Queue,
    ) -> Result<After> {
        let key = &ticket.job.key;
        self.run(key)?.store(self.context, &done)?;
        self.settled.insert(key.clone(), done);
        queue.close(ticket, how)?;
        Ok(After::Settled)
    }
}

impl JobKind for Programs<'_> {
    fn what(&self) -> &'static str {
        "runs"
    }

    fn progress(&self) -> (usize, usize) {
        (self.settled.len(), self.runs.len())
    }

    fn prepare(&mut self, key: &str, queue: &Queue) -> Result<Job> {
        let run = self.run(key)?;
        let history = queue.history(key);
        let parent = self.context.path(&format!("explore/{}", run.name));
        std::fs::create_dir_all(&parent).map_err(|e| Error::io("create", &parent, e))?;
        let folder = new_folder(&parent, &history.len().to_string())?;
        let engine = self.engine(run, folder.clone())?;
        let call = engine.prepare()?;
        let local = self.is_local();
        let command = runnable(call.command.clone(), local).map_err(|e| {
            Error::Failed(format!(
                "explore {}: engine.command: {e}",
                run.scenario.name
            ))
        })?;
        let limit = match self.scheduler.minutes {
            Some(minutes) => 60.0 * minutes,
            None if local => engine.engine.timeout,
            // A batch system counts its own overhead.
            None => engine.engine.timeout + 60.0,
        };
        let memory = self.scheduler.memory;
        let starved = history.iter().any(|past| past.how == Ended::OutOfMemory);
        let job = Job {
            key: key.to_owned(),
            attempt: history.len(),
            variant: 0,
            folder,
            cores: self.scheduler.cores.unwrap_or(engine.engine.cores),
            memory: memory.map(|m| if starved { 2 * m } else { m }),
            seconds: limit,
        };
        job.write_script(&command, &call.env, &call.output)?;
        Ok(job)
    }

    fn receive(&mut self, finished: Finished, queue: &mut Queue) -> Result<After> {
        let Finished { ticket, end, .. } = finished;
        if !self.runs.contains_key(&ticket.job.key) {
            // Of another round, which finds it as it is.
            return Ok(After::Settled);
        }
        let folder = ticket.job.folder.clone();
        let run = self.run(&ticket.job.key)?;
        let (how, why) = match end {
            End::Exited(code) => {
                let done = self.collect(run, folder, Ending::from_code(code))?;
                return self.settle(&ticket, done, Ended::Done, queue);
            }
            End::TimedOut => {
                let done = self.collect(run, folder, Ending::TimedOut)?;
                return self.settle(&ticket, done, Ended::TimedOut, queue);
            }
            End::OutOfMemory => (Ended::OutOfMemory, "it ran out of memory".to_owned()),
            End::Lost(why) => (Ended::Lost, why),
            End::Unknown => (Ended::Lost, "nobody saw its end".to_owned()),
            End::Cancelled(who) => {
                queue.close(&ticket, Ended::Cancelled)?;
                return Ok(After::Cancelled(who));
            }
            End::NeverRuns(why) => {
                queue.cancel(std::slice::from_ref(&ticket))?;
                return Err(Error::Failed(format!(
                    "{} took the run {} but will never run it ({why}); correct the table [scheduler] or the \
                     engine's own",
                    queue.name(),
                    run.name
                )));
            }
        };
        let history = queue.history(&ticket.job.key).iter();
        let times = 1 + history.filter(|past| past.how == how).count();
        if times < if how == Ended::Lost { LOSSES } else { TIMES } {
            queue.close(&ticket, how)?;
            let _ = std::fs::remove_dir_all(&ticket.job.folder);
            return Ok(After::Again(ticket.job.key));
        }
        let reason = format!(
            "explore {}: {why} ({times} attempts ended so); its files are in {}",
            run.scenario.name,
            folder.display()
        );
        let done = run.failed(reason);
        self.settle(&ticket, done, Ended::GivenUp, queue)
    }
}

/// Forgets the attempts of a round that is explored.
pub(super) fn forget(context: &Context<'_>, runs: &[Run<'_>]) -> Result<()> {
    let mut names = std::collections::BTreeSet::new();
    for run in runs {
        let Some(engine) = &run.scenario.engine else {
            continue;
        };
        let name = queue_name(engine, run);
        if names.insert(name.clone()) {
            let config = engine.scheduler(&context.campaign.config.scheduler)?;
            Queue::open(&context.campaign.running(&name), &config)?.clear()?;
        }
    }
    Ok(())
}
