//! Jobs of a campaign: handed to the scheduler, watched, collected whoever waited for them.
//!
//! A [`JobDriver`] drives one queue; what the jobs are about, labels or runs of exploration, is its [`JobKind`].

mod labels;

pub(super) use labels::{forget_attempts, label_by_jobs};

use super::Campaign;
use super::event::{Event, Observer};
use super::ground::{Flow, Halt};
use crate::schedule::{DriverJob, Finished, Job, Queue, Ticket};
use nepal::error::{Error, Result};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Attempts that end in the same way before a job is given up for this round.
pub(super) const TIMES: usize = 2;
/// The same for nodes that fail and jobs that are thrown off, which is nobody's fault.
pub(super) const LOSSES: usize = 6;

/// What follows from a job that is over; its ticket is closed.
pub(super) enum After {
    /// Nothing more to do for its key.
    Settled,
    /// Another attempt at this key.
    Again(String),
    /// Somebody cancelled it; in words.
    Cancelled(String),
}

/// Whose a key is that is due.
pub(super) enum Turn {
    /// To be handed over now.
    Own,
    /// Settled: another campaign has computed it.
    Settled,
    /// Of the campaign in this folder, which is at it.
    Others(PathBuf),
}

/// What jobs are about.
pub(super) trait JobKind {
    /// Asks whether a key is to be handed over.
    fn turn(&mut self, _key: &str, _queue: &Queue) -> Result<Turn> {
        Ok(Turn::Own)
    }

    /// In messages, such as `labels`.
    fn what(&self) -> &'static str;

    /// How many are settled, and how many there are.
    fn progress(&self) -> (usize, usize);

    /// Prepares the next attempt at a key, by what became of those before.
    fn prepare(&mut self, key: &str, queue: &Queue) -> Result<Job>;

    /// Deals with a job that is over, and closes its ticket.
    fn receive(&mut self, finished: Finished, queue: &mut Queue) -> Result<After>;
}

/// A queue and what its jobs are about.
pub(super) struct JobDriver<T> {
    pub queue: Queue,
    pub trade: T,
    /// Keys to hand over.
    pub due: VecDeque<String>,
    /// Keys that another campaign is at, and its folder.
    held: Vec<String>,
    holder: Option<PathBuf>,
    /// Passes that asked the scheduler something.
    passes: usize,
    /// Settled when it was told last.
    shown: usize,
    trouble: String,
}

impl<T: JobKind> JobDriver<T> {
    pub fn new(queue: Queue, trade: T) -> Self {
        Self {
            queue,
            trade,
            due: VecDeque::new(),
            held: Vec::new(),
            holder: None,
            passes: 0,
            shown: usize::MAX,
            trouble: String::new(),
        }
    }

    fn is_done(&self) -> bool {
        let (done, all) = self.trade.progress();
        done == all
    }

    /// Hands over what there is room for and deals with what is over; whether anything was.
    fn turn(&mut self, observer: &mut dyn Observer) -> Result<bool> {
        let mut busy = false;
        self.due.extend(std::mem::take(&mut self.held));
        while self.queue.room() > 0
            && let Some(key) = self.due.pop_front()
        {
            match self.trade.turn(&key, &self.queue)? {
                Turn::Own => {
                    let job = self.trade.prepare(&key, &self.queue)?;
                    self.queue.push(job);
                }
                Turn::Settled => busy = true,
                Turn::Others(folder) => {
                    if self.holder.as_ref() != Some(&folder) {
                        observer.event(Event::Info(format!(
                            "labels that the campaign in {} computes now are waited for",
                            folder.display()
                        )));
                        self.holder = Some(folder);
                    }
                    self.held.push(key);
                }
            }
        }
        let calls = self.queue.calls();
        let finished = self.queue.pass()?;
        self.passes += usize::from(self.queue.calls() > calls);
        busy |= !finished.is_empty();
        let mut cancelled = Vec::new();
        for job in finished {
            match self.trade.receive(job, &mut self.queue)? {
                After::Settled => {}
                After::Again(key) => self.due.push_front(key),
                After::Cancelled(who) => cancelled.push(who),
            }
        }
        if !cancelled.is_empty() {
            return Err(Error::Failed(format!(
                "{} jobs were cancelled outside of nepal ({}); run again to submit them again",
                cancelled.len(),
                cancelled[0]
            )));
        }
        let (done, all) = self.trade.progress();
        if self.shown != done {
            self.shown = done;
            observer.event(Event::Progress {
                what: self.trade.what().into(),
                done: done as u64,
                total: all as u64,
                detail: format!("{} in hand", self.queue.out()),
            });
        }
        let trouble = self.queue.trouble().unwrap_or_default().to_owned();
        if trouble != self.trouble && !trouble.is_empty() && !self.is_done() {
            observer.event(Event::Warning(trouble.clone()));
        }
        self.trouble = trouble;
        Ok(busy)
    }

    /// Whether nothing is left but to wait.
    fn only_waits(&self, busy: bool) -> bool {
        let looked = self.passes >= 2 || self.queue.out() == 0;
        self.is_done() || !busy && looked && !self.queue.wants_to_submit()
    }

    fn waiting_line(&self) -> String {
        let (done, all) = self.trade.progress();
        let mut line = format!(
            "{done} of {all} {} are there, {} jobs with {}, {} to submit",
            self.trade.what(),
            self.queue.out(),
            self.queue.name(),
            self.queue.waiting() + self.due.len()
        );
        if let (Some(holder), 1..) = (&self.holder, self.held.len()) {
            line.push_str(&format!(
                ", {} computed by the campaign in {}",
                self.held.len(),
                holder.display()
            ));
        }
        if !self.trouble.is_empty() {
            line.push_str("; ");
            line.push_str(&self.trouble);
        }
        line
    }
}

/// Passes until all is done; with `once` until there is nothing to do but wait, which halts the step.
///
/// When that fails or the observer asks to stop, jobs of a scheduler are left to themselves, to be found
/// again, and those of this machine are ended.
pub(super) fn work<T: JobKind>(
    desks: &mut [JobDriver<T>],
    once: bool,
    observer: &mut dyn Observer,
) -> Flow<()> {
    for desk in &mut *desks {
        desk.passes = 0;
    }
    let result = passes(desks, once, observer);
    if matches!(result, Ok(()) | Err(Halt::Waiting(_))) {
        return result;
    }
    let mut left = 0;
    for desk in &mut *desks {
        left += desk.queue.leave()?;
    }
    if left > 0 {
        observer.event(Event::Info(format!(
            "{left} jobs go on without the driver; run again to collect them"
        )));
    }
    result
}

fn passes<T: JobKind>(
    desks: &mut [JobDriver<T>],
    once: bool,
    observer: &mut dyn Observer,
) -> Flow<()> {
    let mut pause = Duration::from_millis(2);
    loop {
        let (mut busy, mut only_waits) = (false, true);
        for desk in &mut *desks {
            let moved = desk.turn(observer)?;
            busy |= moved;
            only_waits &= desk.only_waits(moved);
        }
        let mut open = desks.iter().filter(|desk| !desk.is_done()).peekable();
        if open.peek().is_none() {
            return Ok(());
        }
        if observer.stop_requested() {
            return Err(Halt::Stopped);
        }
        if once && only_waits {
            let lines: Vec<String> = open.map(JobDriver::waiting_line).collect();
            return Err(Halt::Waiting(lines.join("; ")));
        }
        if busy {
            pause = Duration::from_millis(2);
        }
        // Short naps, so that a request to stop is heard.
        let due = open.map(|desk| desk.queue.pause()).min();
        let nap = due
            .unwrap_or_default()
            .clamp(pause, Duration::from_millis(200));
        std::thread::sleep(nap);
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}

/// The open tickets of a queue by their keys.
pub(super) fn open_tickets(queue: &Queue) -> std::collections::HashMap<String, Ticket> {
    queue
        .tickets()
        .map(|t| (t.job.key.clone(), t.clone()))
        .collect()
}

/// A folder below `parent` that no program has run in: `name`, `name.1` and so on.
pub(super) fn new_folder(parent: &Path, name: &str) -> Result<PathBuf> {
    for more in 0.. {
        let folder = parent.join(match more {
            0 => name.to_owned(),
            more => format!("{name}.{more}"),
        });
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

/// A command as a job can run it: programs with a folder by their full path. On this machine the
/// program has to be there.
pub(super) fn runnable(mut command: Vec<String>, local: bool) -> Result<Vec<String>> {
    let Some(program) = command.first_mut() else {
        return Err(Error::invalid("the command is empty; name a program"));
    };
    if Path::new(program.as_str()).components().count() > 1 {
        let path = std::path::absolute(&*program);
        let path = path.map_err(|e| Error::io("find", &*program, e))?;
        *program = path.to_string_lossy().into_owned();
    }
    if local && crate::label::find_program_file(program).is_none() {
        return Err(Error::Failed(format!(
            "cannot start {program}: it is not there; install it or give its path in `command`"
        )));
    }
    Ok(command)
}

impl Campaign {
    /// The folder of a queue: that of labels is `running` itself, others are below it.
    pub(super) fn running(&self, name: &str) -> PathBuf {
        self.directory.join("running").join(name)
    }

    /// The jobs that take this campaign's steps, where `[scheduler.driver]` asks for such; `command` takes one when
    /// it is run in the folder of the campaign file.
    ///
    /// **Errors**: [`Error::Io`].
    pub fn driver_job(&self, command: &[String]) -> Result<Option<DriverJob>> {
        // The number that a copy brought along is of the original's driver.
        super::identity::part(self)?;
        let config = &self.config.scheduler;
        DriverJob::new(config, &self.running(""), command, &self.base)
    }

    /// Numbers of the jobs that are out, as Slurm knows them.
    pub fn jobs_out(&self) -> Vec<String> {
        let queues = self.queues().into_iter();
        let tickets = queues.flat_map(|f| Queue::open_in(&f).unwrap_or_default());
        let numbers = tickets.filter_map(|t| t.id);
        let mut ids: Vec<String> = numbers
            .filter(|id| id.bytes().all(|b| b.is_ascii_digit()))
            .collect();
        ids.sort();
        ids.dedup();
        ids
    }

    /// The folders of all queues: that of labels first, then those of explorations.
    pub(super) fn queues(&self) -> Vec<PathBuf> {
        let own = self.running("");
        let below = std::fs::read_dir(&own).into_iter().flatten().flatten();
        let mut others: Vec<PathBuf> = below
            .filter(|entry| entry.file_name().to_string_lossy().starts_with("explore"))
            .map(|entry| entry.path())
            .collect();
        others.sort();
        others.insert(0, own);
        others
    }
}
