//! Labels as jobs: one program a label, handed to the scheduler, collected whoever waited for it.

use super::{
    After, JobDriver, JobKind, LOSSES, TIMES, Turn, new_folder, open_tickets, runnable, work,
};
use crate::campaign::Campaign;
use crate::campaign::event::Observer;
use crate::campaign::ground::Flow;
use crate::campaign::labelling::Claims;
use crate::campaign::store::round_folder;
use crate::label::{Attempt, Cause, Ending, Entry, LabelRunner, Next, Outcome, Verdict};
use crate::schedule::{End, Ended, Finished, Job, Queue, SchedulerKind, Ticket};
use nepal::error::{Error, Result};
use nepal::system::{Structure, xyz};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

/// Labels structures, given by key, as jobs of the campaign's scheduler, those of `tight` with tighter settings. With
/// `once` it halts as soon as nothing is left to do but wait.
pub(in crate::campaign) fn label_by_jobs(
    campaign: &Campaign,
    runner: &LabelRunner,
    structures: &BTreeMap<String, Structure>,
    order: &[String],
    tight: &BTreeSet<String>,
    once: bool,
    observer: &mut dyn Observer,
) -> Flow<HashMap<String, Outcome>> {
    let mut config = campaign.config.scheduler.clone();
    if config.kind == SchedulerKind::Local {
        config.max_jobs = config.max_jobs.min(campaign.config.label.parallel.max(1));
    }
    let labels = Labels {
        campaign,
        runner,
        claims: campaign.claims(runner)?,
        structures,
        tight,
        others: BTreeMap::new(),
        outcomes: HashMap::new(),
    };
    let mut desk = JobDriver::new(Queue::open(runner.work(), &config)?, labels);
    take_stock(&mut desk, order)?;
    work(std::slice::from_mut(&mut desk), once, observer)?;
    Ok(desk.trade.outcomes)
}

/// Forgets the attempts of a round that is over.
pub(in crate::campaign) fn forget_attempts(
    campaign: &Campaign,
    runner: &LabelRunner,
) -> Result<()> {
    Queue::open(runner.work(), &campaign.config.scheduler)?.clear()
}

struct Labels<'a> {
    campaign: &'a Campaign,
    runner: &'a LabelRunner,
    claims: Claims,
    structures: &'a BTreeMap<String, Structure>,
    /// Keys that are looked at a second time.
    tight: &'a BTreeSet<String>,
    /// What other rounds ask for, as far as that is out.
    others: BTreeMap<String, Structure>,
    outcomes: HashMap<String, Outcome>,
}

/// Sorts structures into known ones, those that an earlier driver left in the queue, and those to do.
fn take_stock(desk: &mut JobDriver<Labels<'_>>, order: &[String]) -> Result<()> {
    let open = open_tickets(&desk.queue);
    let labels = &mut desk.trade;
    for key in order {
        let structure = &labels.structures[key];
        let history = desk.queue.history(key);
        let known = match labels.runner.cached(structure)? {
            Some(verdict) => Some(verdict),
            None if history.iter().any(|past| past.how == Ended::GivenUp) => {
                labels.quarantined(key)?
            }
            None => None,
        };
        match known {
            Some(verdict) => labels.settle(key, verdict, true, &desk.queue)?,
            // Where the claim was lost, it is taken again.
            None if open.contains_key(key) => drop(labels.claims.take(key)?),
            None => desk.due.push_back(key.clone()),
        }
    }
    if open.keys().any(|key| !labels.structures.contains_key(key)) {
        labels.others = others(labels)?;
    }
    // Known by now, or of settings that are no more. What another round asks for goes on.
    let unwanted: Vec<Ticket> = open
        .into_values()
        .filter(|t| {
            let key = &t.job.key;
            labels.outcomes.contains_key(key)
                || !labels.structures.contains_key(key) && !labels.others.contains_key(key)
        })
        .collect();
    desk.queue.cancel(&unwanted)
}

/// What all rounds ask for, by key: a round whose files were spoilt is done again while labels of a later one are
/// out.
fn others(labels: &Labels<'_>) -> Result<BTreeMap<String, Structure>> {
    let mut all = BTreeMap::new();
    for round in 0.. {
        let folder = labels.campaign.directory.join(round_folder(round));
        let lists = ["to-label.xyz", "to-label-test.xyz"].map(|name| folder.join(name));
        let there = lists.iter().filter(|path| path.exists());
        let mut any = false;
        for path in there {
            any = true;
            for frame in xyz::read_frames(path)? {
                all.insert(labels.runner.key(&frame.structure), frame.structure);
            }
        }
        if !any {
            break;
        }
    }
    Ok(all)
}

impl Labels<'_> {
    fn quarantined(&self, key: &str) -> Result<Option<Verdict>> {
        Ok(match self.runner.cache().get(key)? {
            Some(Entry::Rejected {
                reason,
                kept,
                cause,
                ..
            }) => Some(Verdict::Rejected {
                reason,
                kept,
                cause,
            }),
            _ => None,
        })
    }

    /// Notes a verdict; all attempts at it have cost their time, those of earlier drivers too.
    fn settle(&mut self, key: &str, verdict: Verdict, cached: bool, queue: &Queue) -> Result<()> {
        self.claims.release(key)?;
        if !self.structures.contains_key(key) {
            return Ok(());
        }
        let seconds = queue.history(key).iter().map(|past| past.seconds).sum();
        let outcome = Outcome {
            key: key.to_owned(),
            verdict,
            cached,
            seconds,
        };
        self.outcomes.insert(key.to_owned(), outcome);
        Ok(())
    }

    /// Another attempt, or none of this round's if another asks for it: that one sees to it.
    fn asked_again(&self, key: String) -> After {
        match self.structures.contains_key(&key) {
            true => After::Again(key),
            false => After::Settled,
        }
    }

    /// Another attempt at what was interrupted, or none if it was so too often.
    fn again(
        &mut self,
        ticket: &Ticket,
        how: Ended,
        reason: String,
        queue: &mut Queue,
    ) -> Result<After> {
        let key = ticket.job.key.clone();
        let before = queue.history(&key).iter();
        let times = 1 + before.filter(|past| past.how == how).count();
        let most = if how == Ended::Lost { LOSSES } else { TIMES };
        if times < most {
            queue.close(ticket, how)?;
            let _ = std::fs::remove_dir_all(&ticket.job.folder);
            return Ok(self.asked_again(key));
        }
        let reason = format!("{reason} (given up after {times} attempts that ended so)");
        let verdict = self.runner.give_up(&key, &reason, &ticket.job.folder)?;
        queue.close(ticket, Ended::GivenUp)?;
        debug_assert!(matches!(
            verdict,
            Verdict::Rejected {
                cause: Cause::Interrupted,
                ..
            }
        ));
        self.settle(&key, verdict, false, queue)?;
        Ok(After::Settled)
    }
}

impl JobKind for Labels<'_> {
    fn turn(&mut self, key: &str, queue: &Queue) -> Result<Turn> {
        if let Some(folder) = self.claims.take(key)? {
            return Ok(Turn::Others(folder));
        }
        // Since it was looked for last another campaign may have come to its end with it.
        match self.runner.cached(&self.structures[key])? {
            Some(verdict) => {
                self.settle(key, verdict, true, queue)?;
                Ok(Turn::Settled)
            }
            None => Ok(Turn::Own),
        }
    }

    fn what(&self) -> &'static str {
        "labels"
    }

    fn progress(&self) -> (usize, usize) {
        (self.outcomes.len(), self.structures.len())
    }

    fn prepare(&mut self, key: &str, queue: &Queue) -> Result<Job> {
        let history = queue.history(key);
        let count = |wanted: Ended| history.iter().filter(|past| past.how == wanted).count();
        let ladder = self.runner.labeller().rungs().len();
        let second = self.tight.contains(key).then(|| self.runner.tight());
        let second = second.flatten();
        let variant = match history.last() {
            Some(past) if past.how == Ended::Unconverged && past.variant > ladder => 0,
            Some(past) if past.how == Ended::Unconverged => past.variant + 1,
            Some(past) if past.how == Ended::Done => second.unwrap_or(past.variant),
            Some(past) => past.variant,
            None => second.unwrap_or(0),
        };
        let structure = &self.structures[key];
        let attempt = history.len();
        let short = key.get(..16).unwrap_or(key);
        let folder = new_folder(self.runner.work(), &format!("{short}-{attempt}"))?;
        let call = self.runner.prepare(structure, variant, &folder)?;
        let call = call.ok_or_else(|| Error::Internal("a label without a program".into()))?;
        let config = &self.campaign.config.scheduler;
        // What ran out of time or memory once gets more of it.
        let more = |wanted: Ended| if count(wanted) > 0 { 2 } else { 1 };
        let local = config.kind == SchedulerKind::Local;
        let limit = match config.minutes {
            Some(minutes) => 60.0 * minutes,
            None if local => call.timeout.as_secs_f64(),
            // A batch system counts its own overhead.
            None => call.timeout.as_secs_f64() + 60.0,
        };
        let job = Job {
            key: key.to_owned(),
            attempt,
            variant,
            folder,
            cores: config
                .cores
                .unwrap_or_else(|| self.runner.labeller().cores()),
            memory: config.memory.map(|m| m * more(Ended::OutOfMemory)),
            seconds: limit * more(Ended::TimedOut) as f64,
        };
        job.write_script(
            &runnable(call.command.clone(), local)?,
            &call.env,
            &call.output,
        )?;
        Ok(job)
    }

    fn receive(&mut self, finished: Finished, queue: &mut Queue) -> Result<After> {
        let Finished { ticket, end, .. } = finished;
        let key = ticket.job.key.clone();
        let ending = match end {
            End::Exited(126 | 127) => {
                queue.close(&ticket, Ended::Void)?;
                return Err(Error::Failed(format!(
                    "the labelling program cannot be started where the jobs run; see the output in {}",
                    ticket.job.folder.display()
                )));
            }
            End::Exited(code) => Ending::from_code(code),
            End::Unknown => Ending::Unknown,
            End::TimedOut => Ending::TimedOut,
            End::OutOfMemory => {
                let reason = "it ran out of memory".to_owned();
                return self.again(&ticket, Ended::OutOfMemory, reason, queue);
            }
            End::Lost(why) => return self.again(&ticket, Ended::Lost, why, queue),
            End::Cancelled(who) => {
                queue.close(&ticket, Ended::Cancelled)?;
                return Ok(After::Cancelled(who));
            }
            End::NeverRuns(why) => {
                queue.cancel(std::slice::from_ref(&ticket))?;
                return Err(Error::Failed(format!(
                    "{} took the job but will never run it ({why}); correct the table [scheduler]",
                    queue.name()
                )));
            }
        };
        let structure = self.structures.get(&key);
        let structure = structure.or_else(|| self.others.get(&key));
        let structure = structure
            .ok_or_else(|| Error::Internal(format!("nobody asked for the label {key}")))?;
        let attempt = Attempt {
            rung: ticket.job.variant,
            workdir: &ticket.job.folder,
            ending,
            timeout: Duration::try_from_secs_f64(ticket.job.seconds).unwrap_or_default(),
            seconds: ticket.job.ran().unwrap_or(0.0),
        };
        Ok(match self.runner.finish(&key, structure, &attempt)? {
            Next::Done(verdict) => {
                queue.close(&ticket, Ended::Done)?;
                self.settle(&key, verdict, false, queue)?;
                // Quarantine has taken the folder of a rejection.
                let _ = std::fs::remove_dir_all(&ticket.job.folder);
                After::Settled
            }
            Next::Rung(_, _) => {
                queue.close(&ticket, Ended::Unconverged)?;
                let _ = std::fs::remove_dir_all(&ticket.job.folder);
                self.asked_again(key)
            }
            Next::Interrupted(reason) => {
                let how = match ending {
                    Ending::TimedOut => Ended::TimedOut,
                    Ending::Unknown => Ended::Lost,
                    _ => Ended::Interrupted,
                };
                self.again(&ticket, how, reason, queue)?
            }
        })
    }
}
