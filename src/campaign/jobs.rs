//! Labels as jobs: one program a label, handed to the scheduler, collected whoever waited for it.

use super::Campaign;
use super::event::{Event, Observer};
use crate::error::{Error, Result};
use crate::label::{Attempt, Call, Cause, Ending, Entry, LabelRunner, Next, Outcome, Verdict};
use crate::schedule::{End, Ended, Finished, Job, Queue, SchedulerKind, Ticket};
use crate::system::Structure;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::PathBuf;
use std::time::Duration;

/// Attempts that end in the same way before a structure is given up for this round.
const TIMES: usize = 2;
/// The same for nodes that fail and jobs that are thrown off, which is nobody's fault.
const LOSSES: usize = 6;

/// What came of a pass over all labels.
pub(super) enum Flow {
    /// All are there, by key.
    Done(HashMap<String, Outcome>),
    /// Jobs are out; in words.
    Waiting(String),
}

/// Labels structures, given by key, as jobs of the campaign's scheduler. With `once` it returns as soon as
/// nothing is left to do but wait.
pub(super) fn label_by_jobs(
    campaign: &Campaign,
    runner: &LabelRunner,
    structures: &BTreeMap<String, &Structure>,
    order: &[String],
    once: bool,
    observer: &mut dyn Observer,
) -> Result<Flow> {
    let mut config = campaign.config.scheduler.clone();
    if config.kind == SchedulerKind::Local {
        config.max_jobs = config.max_jobs.min(campaign.config.label.parallel.max(1));
    }
    let mut desk = Desk {
        queue: Queue::open(runner.work(), &config)?,
        campaign,
        runner,
        structures,
        outcomes: HashMap::new(),
        due: VecDeque::new(),
        cancelled: Vec::new(),
        spent: HashMap::new(),
    };
    desk.take_stock(order)?;
    let result = desk.work(once, observer);
    if result.is_err() || observer.stop_requested() {
        let left = desk.queue.leave()?;
        if left > 0 {
            observer.event(Event::Info(format!(
                "{left} jobs go on without the driver; run again to collect them"
            )));
        }
        result?;
        return Err(Error::Failed(
            "stopped while labelling, as asked; finished labels are kept, run again to continue"
                .into(),
        ));
    }
    if let Some(line) = result? {
        return Ok(Flow::Waiting(line));
    }
    Ok(Flow::Done(desk.outcomes))
}

/// Forgets the attempts of a round that is over.
pub(super) fn forget_attempts(campaign: &Campaign, runner: &LabelRunner) -> Result<()> {
    Queue::open(runner.work(), &campaign.config.scheduler)?.clear()
}

struct Desk<'a> {
    queue: Queue,
    campaign: &'a Campaign,
    runner: &'a LabelRunner,
    structures: &'a BTreeMap<String, &'a Structure>,
    outcomes: HashMap<String, Outcome>,
    /// Keys to hand over.
    due: VecDeque<String>,
    cancelled: Vec<String>,
    /// Seconds of attempts at labels that are not settled.
    spent: HashMap<String, f64>,
}

impl Desk<'_> {
    /// Sorts structures into known ones, those that an earlier driver left in the queue, and those to do.
    fn take_stock(&mut self, order: &[String]) -> Result<()> {
        let open: HashMap<String, Ticket> = self
            .queue
            .tickets()
            .map(|t| (t.job.key.clone(), t.clone()))
            .collect();
        for key in order {
            let structure = self.structures[key];
            let known = match self.runner.cached(structure)? {
                Some(verdict) => Some(verdict),
                None if self.given_up(key) => self.quarantined(key)?,
                None => None,
            };
            match known {
                Some(verdict) => self.settle(key, verdict, true),
                None if open.contains_key(key) => {}
                None => self.due.push_back(key.clone()),
            }
        }
        // Known by now, or of settings that are no more.
        let unwanted: Vec<Ticket> = open
            .into_values()
            .filter(|t| {
                !self.structures.contains_key(&t.job.key) || self.outcomes.contains_key(&t.job.key)
            })
            .collect();
        self.queue.cancel(&unwanted)
    }

    fn given_up(&self, key: &str) -> bool {
        let history = self.queue.history(key);
        history.iter().any(|(how, _)| *how == Ended::GivenUp)
    }

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

    /// Notes a verdict; all attempts at it have cost their time.
    fn settle(&mut self, key: &str, verdict: Verdict, cached: bool) {
        let seconds = self.spent.remove(key).unwrap_or(0.0);
        let outcome = Outcome {
            key: key.to_owned(),
            verdict,
            cached,
            seconds,
        };
        self.outcomes.insert(key.to_owned(), outcome);
    }

    /// Passes until all is done; with `once` until there is nothing to do but wait, which is told.
    fn work(&mut self, once: bool, observer: &mut dyn Observer) -> Result<Option<String>> {
        let mut pause = Duration::from_millis(2);
        let mut told = String::new();
        let (mut shown, mut passes) = (usize::MAX, 0);
        loop {
            while self.queue.room() > 0
                && let Some(key) = self.due.pop_front()
            {
                self.hand_over(&key)?;
            }
            let calls = self.queue.calls();
            let finished = self.queue.pass()?;
            passes += usize::from(self.queue.calls() > calls);
            let busy = !finished.is_empty();
            for job in finished {
                self.receive(job)?;
            }
            if !self.cancelled.is_empty() {
                return Err(Error::Failed(format!(
                    "{} jobs were cancelled outside of nepal ({}); run again to submit them again",
                    self.cancelled.len(),
                    self.cancelled[0]
                )));
            }
            if shown != self.outcomes.len() {
                shown = self.outcomes.len();
                observer.event(Event::Progress {
                    what: "labels".into(),
                    done: shown as u64,
                    total: self.structures.len() as u64,
                    detail: self.detail(),
                });
            }
            if self.outcomes.len() == self.structures.len() {
                return Ok(None);
            }
            let trouble = self.queue.trouble().unwrap_or_default().to_owned();
            if trouble != told && !trouble.is_empty() {
                observer.event(Event::Warning(trouble.clone()));
            }
            told = trouble;
            if observer.stop_requested() {
                return Ok(None);
            }
            let looked = passes >= 2 || self.queue.out() == 0;
            if once && !busy && looked && !self.queue.wants_to_submit() {
                return Ok(Some(self.waiting_line(&told)));
            }
            if busy {
                pause = Duration::from_millis(2);
            }
            // Short naps, so that a request to stop is heard.
            let nap = self.queue.pause().clamp(pause, Duration::from_millis(200));
            std::thread::sleep(nap);
            pause = (pause * 2).min(Duration::from_millis(100));
        }
    }

    fn detail(&self) -> String {
        format!("{} in hand", self.queue.out())
    }

    fn waiting_line(&self, trouble: &str) -> String {
        let mut line = format!(
            "{} of {} labels are there, {} jobs with {}, {} to submit",
            self.outcomes.len(),
            self.structures.len(),
            self.queue.out(),
            self.queue.name(),
            self.queue.waiting() + self.due.len()
        );
        if !trouble.is_empty() {
            line.push_str("; ");
            line.push_str(trouble);
        }
        line
    }

    /// Prepares the next attempt at a key, by what became of those before.
    fn hand_over(&mut self, key: &str) -> Result<()> {
        let history = self.queue.history(key).to_vec();
        let count = |wanted: Ended| history.iter().filter(|(how, _)| *how == wanted).count();
        let variant = match history.last() {
            Some((Ended::Unconverged, variant)) => variant + 1,
            Some((_, variant)) => *variant,
            None => 0,
        };
        let structure = self.structures[key];
        let attempt = history.len();
        let folder = self.new_folder(key, attempt)?;
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
        job.write_script(&self.command(&call)?, &call.env, &call.output)?;
        self.queue.push(job);
        Ok(())
    }

    /// The command as the job can run it: programs with a folder by their full path.
    fn command(&self, call: &Call) -> Result<Vec<String>> {
        let mut command = call.command.clone();
        let Some(program) = command.first_mut() else {
            return Err(Error::invalid("the command is empty; name a program"));
        };
        if std::path::Path::new(program.as_str()).components().count() > 1 {
            let path = std::path::absolute(&*program);
            let path = path.map_err(|e| Error::io("find", &*program, e))?;
            *program = path.to_string_lossy().into_owned();
        }
        let local = self.campaign.config.scheduler.kind == SchedulerKind::Local;
        if local && crate::label::find_program_file(program).is_none() {
            return Err(Error::Failed(format!(
                "cannot start {program}: it is not there; install it or give its path in `command`"
            )));
        }
        Ok(command)
    }

    /// A folder that no program has run in.
    fn new_folder(&self, key: &str, attempt: usize) -> Result<PathBuf> {
        let short = key.get(..16).unwrap_or(key);
        for more in 0.. {
            let name = match more {
                0 => format!("{short}-{attempt}"),
                more => format!("{short}-{attempt}.{more}"),
            };
            let folder = self.runner.work().join(name);
            match std::fs::create_dir(&folder) {
                Ok(()) => {
                    return std::path::absolute(&folder).map_err(|e| Error::io("find", folder, e));
                }
                // Left by a driver that died before it had noted the job.
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(Error::io("create", folder, e)),
            }
        }
        Err(Error::Internal("no name is left for a folder".into()))
    }

    /// Deals with a job that is over.
    fn receive(&mut self, finished: Finished) -> Result<()> {
        let Finished { ticket, end } = finished;
        let key = ticket.job.key.clone();
        *self.spent.entry(key.clone()).or_default() += ticket.job.ran().unwrap_or(0.0);
        let ending = match end {
            End::Exited(126 | 127) => {
                self.queue.close(&ticket, Ended::Void)?;
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
                return self.again(&ticket, Ended::OutOfMemory, reason);
            }
            End::Lost(why) => return self.again(&ticket, Ended::Lost, why),
            End::Cancelled(who) => {
                self.queue.close(&ticket, Ended::Cancelled)?;
                self.cancelled.push(who);
                return Ok(());
            }
            End::NeverRuns(why) => {
                self.queue.cancel(std::slice::from_ref(&ticket))?;
                return Err(Error::Failed(format!(
                    "{} took the job but will never run it ({why}); correct the table [scheduler]",
                    self.queue.name()
                )));
            }
        };
        let structure = self.structures[&key];
        let attempt = Attempt {
            rung: ticket.job.variant,
            workdir: &ticket.job.folder,
            ending,
            timeout: Duration::try_from_secs_f64(ticket.job.seconds).unwrap_or_default(),
            seconds: ticket.job.ran().unwrap_or(0.0),
        };
        match self.runner.finish(&key, structure, &attempt)? {
            Next::Done(verdict) => {
                self.queue.close(&ticket, Ended::Done)?;
                self.settle(&key, verdict, false);
                // Quarantine has taken the folder of a rejection.
                let _ = std::fs::remove_dir_all(&ticket.job.folder);
            }
            Next::Rung(_, _) => {
                self.queue.close(&ticket, Ended::Unconverged)?;
                let _ = std::fs::remove_dir_all(&ticket.job.folder);
                self.due.push_front(key);
            }
            Next::Interrupted(reason) => {
                let how = match ending {
                    Ending::TimedOut => Ended::TimedOut,
                    Ending::Unknown => Ended::Lost,
                    _ => Ended::Interrupted,
                };
                self.again(&ticket, how, reason)?;
            }
        }
        Ok(())
    }

    /// Another attempt at what was interrupted, or none if it was so too often.
    fn again(&mut self, ticket: &Ticket, how: Ended, reason: String) -> Result<()> {
        let key = ticket.job.key.clone();
        let before = self.queue.history(&key).iter();
        let times = 1 + before.filter(|(ended, _)| *ended == how).count();
        let most = if how == Ended::Lost { LOSSES } else { TIMES };
        if times < most {
            self.queue.close(ticket, how)?;
            let _ = std::fs::remove_dir_all(&ticket.job.folder);
            self.due.push_front(key);
            return Ok(());
        }
        let reason = format!("{reason} (given up after {times} attempts that ended so)");
        let verdict = self.runner.give_up(&key, &reason, &ticket.job.folder)?;
        self.queue.close(ticket, Ended::GivenUp)?;
        debug_assert!(matches!(
            verdict,
            Verdict::Rejected {
                cause: Cause::Interrupted,
                ..
            }
        ));
        self.settle(&key, verdict, false);
        Ok(())
    }
}
