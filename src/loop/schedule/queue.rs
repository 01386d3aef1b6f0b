//! Jobs in hand: submitted as there is room, watched, each found again after a crash.

mod watch;

use super::job::{End, Job, Refusal, Ticket};
use super::ledger::{Ended, Ledger, Past, Place};
use super::{Scheduler, SchedulerConfig, SchedulerKind};
use nepal::error::{Error, Result};
use sha2::{Digest, Sha256};
use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A job that is over. It stays in the ledger until [`Queue::close`].
#[derive(Clone, Debug, PartialEq)]
pub struct Finished {
    /// The job and where it was.
    pub ticket: Ticket,
    /// How it ended.
    pub end: End,
    /// Wall seconds that it ran, as far as its files tell.
    pub seconds: f64,
}

impl Finished {
    fn new(ticket: Ticket, end: End) -> Self {
        let seconds = ticket.job.spent();
        Self {
            ticket,
            end,
            seconds,
        }
    }
}

/// Jobs waiting to be submitted, and jobs out.
pub struct Queue {
    scheduler: Box<dyn Scheduler>,
    ledger: Ledger,
    folder: PathBuf,
    max_jobs: usize,
    pending: VecDeque<Job>,
    /// Times that a job was not found, or its files.
    doubts: HashMap<Place, u32>,
    /// Ended, handed to the caller, not closed yet: seconds that they ran.
    told: HashMap<Place, f64>,
    next_call: Instant,
    /// No submission before this.
    full_until: Instant,
    submitted_last: bool,
    calls: usize,
    trouble: Option<String>,
    waits: Option<String>,
}

impl Queue {
    /// Opens the ledger in a folder; jobs that an earlier driver left are taken over.
    ///
    /// **Errors**: [`Error::Io`], [`Error::Failed`] if another driver has it, [`Error::Parse`] if it is
    /// damaged, and settings that make no sense.
    pub fn open(folder: &Path, config: &SchedulerConfig) -> Result<Self> {
        let now = Instant::now();
        Ok(Self {
            scheduler: config.create()?,
            ledger: Ledger::open(folder)?,
            folder: std::path::absolute(folder).map_err(|e| Error::io("find", folder, e))?,
            max_jobs: config.max_jobs,
            pending: VecDeque::new(),
            doubts: HashMap::new(),
            told: HashMap::new(),
            next_call: now,
            full_until: now,
            submitted_last: false,
            calls: 0,
            trouble: None,
            waits: None,
        })
    }

    /// The jobs that are out by the ledger in a folder, for those who only watch.
    ///
    /// **Errors**: [`Error::Io`], [`Error::Parse`] if the ledger is damaged.
    pub fn open_in(folder: &Path) -> Result<Vec<Ticket>> {
        Ledger::open_in(folder)
    }

    /// Jobs that are out.
    pub fn tickets(&self) -> impl Iterator<Item = &Ticket> {
        self.ledger.jobs.open.values()
    }

    /// Number of jobs that are out.
    pub fn out(&self) -> usize {
        self.ledger.jobs.open.len()
    }

    /// Number of jobs that wait for submission.
    pub fn waiting(&self) -> usize {
        self.pending.len()
    }

    /// Number of jobs that could be taken now.
    pub fn room(&self) -> usize {
        self.max_jobs
            .saturating_sub(self.ledger.jobs.open.len() + self.pending.len())
    }

    /// Earlier attempts at a key.
    pub fn history(&self, key: &str) -> &[Past] {
        self.ledger.jobs.history.get(key).map_or(&[], Vec::as_slice)
    }

    /// Takes a job; it is submitted as soon as there is room.
    pub fn push(&mut self, job: Job) {
        self.pending.push_back(job);
    }

    /// What keeps jobs from running, if anything: the scheduler does not answer, the queue is full.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref().or(self.waits.as_deref())
    }

    /// Calls of the scheduler's commands so far.
    pub fn calls(&self) -> usize {
        self.calls
    }

    /// How long nothing can happen.
    pub fn pause(&self) -> Duration {
        self.next_call.saturating_duration_since(Instant::now())
    }

    /// Whether a pass would submit something that no pass has tried yet.
    pub fn wants_to_submit(&self) -> bool {
        !self.pending.is_empty()
            && self.ledger.jobs.open.len() < self.max_jobs
            && self.full_until <= Instant::now()
            && self.trouble.is_none()
    }

    /// One pass: a call of the scheduler if one is due, and what has ended.
    ///
    /// A scheduler that does not answer is no error: see [`Queue::trouble`].
    ///
    /// **Errors**: [`Error::Io`] for the ledger; [`Error::Failed`] for a submission that can never
    /// succeed.
    pub fn pass(&mut self) -> Result<Vec<Finished>> {
        if Instant::now() < self.next_call {
            return Ok(Vec::new());
        }
        if self.scheduler.interval().is_zero() {
            while self.due() && self.submit()? {}
            return self.look();
        }
        // What an earlier driver left has to be found before more is handed over.
        let unknown = self.ledger.jobs.open.values().any(|t| t.id.is_none());
        let watch = !self.ledger.jobs.open.is_empty() && (self.submitted_last || unknown);
        if self.due() && !watch {
            self.submit()?;
            self.submitted_last = true;
            Ok(Vec::new())
        } else {
            self.submitted_last = false;
            self.look()
        }
    }

    fn due(&self) -> bool {
        !self.pending.is_empty()
            && self.ledger.jobs.open.len() < self.max_jobs
            && Instant::now() >= self.full_until
    }

    /// Notes a call, so that the next one keeps its distance.
    fn called(&mut self) {
        self.calls += 1;
        self.next_call = Instant::now() + self.scheduler.interval();
    }

    /// Submits as much as fits; whether more may follow.
    fn submit(&mut self) -> Result<bool> {
        let room = self.max_jobs - self.ledger.jobs.open.len();
        let count = room
            .min(self.scheduler.batch_size())
            .min(self.pending.len());
        let jobs: Vec<Job> = self.pending.iter().take(count).cloned().collect();
        if !self.scheduler.has_room(&jobs) {
            return Ok(false);
        }
        let batch = self.new_name(&jobs);
        let folder = self.folder.join("batches").join(&batch);
        let remote = !self.scheduler.interval().is_zero();
        if remote {
            std::fs::create_dir_all(&folder).map_err(|e| Error::io("create", &folder, e))?;
        }
        self.ledger.batch(&batch, jobs.clone())?;
        self.pending.drain(..count);
        let answer = self.scheduler.submit(&batch, &folder, &jobs);
        self.called();
        let name = self.scheduler.name();
        let trouble = match answer {
            Ok(id) => {
                self.ledger.submitted(&batch, &id)?;
                self.trouble = None;
                return Ok(true);
            }
            Err(Refusal::Unsure(text)) => {
                // Found by name, or submitted again if it is not there.
                self.trouble = Some(format!("{name} did not confirm a submission: {text}"));
                return Ok(false);
            }
            Err(refusal) => refusal,
        };
        self.ledger.refused(&batch)?;
        for job in jobs.into_iter().rev() {
            self.pending.push_front(job);
        }
        match trouble {
            Refusal::Wrong(text) => Err(Error::Failed(format!(
                "{name} refuses the job: {text}; see {} and the table [scheduler]; nothing is lost, run again \
                 once it is right",
                folder.join("submit.sh").display()
            ))),
            Refusal::Full(text) => {
                if remote {
                    self.trouble = Some(format!("{name} takes no more jobs now: {text}"));
                    self.full_until = Instant::now() + 6 * self.scheduler.interval();
                }
                Ok(false)
            }
            Refusal::Down(text) | Refusal::Unsure(text) => {
                self.trouble = Some(format!("{name} does not answer: {text}"));
                self.full_until = Instant::now() + self.scheduler.interval();
                Ok(false)
            }
        }
    }

    /// A name that no submission had before, short enough for PBS.
    fn new_name(&self, jobs: &[Job]) -> String {
        let mut hash = Sha256::new();
        hash.update(self.folder.to_string_lossy().as_bytes());
        for job in jobs {
            hash.update(job.folder.to_string_lossy().as_bytes());
        }
        hash.update(std::process::id().to_le_bytes());
        let now = std::time::SystemTime::UNIX_EPOCH
            .elapsed()
            .unwrap_or_default();
        hash.update(now.as_nanos().to_le_bytes());
        let digest = hash.finalize();
        let hex: String = digest.iter().take(6).map(|b| format!("{b:02x}")).collect();
        format!("nl{hex}")
    }

    /// Notes that the caller has dealt with a job.
    ///
    /// **Errors**: [`Error::Io`].
    pub fn close(&mut self, ticket: &Ticket, how: Ended) -> Result<()> {
        let place = (ticket.batch.clone(), ticket.index);
        let told = self.told.remove(&place);
        self.doubts.remove(&place);
        if !self.ledger.jobs.open.contains_key(&place) {
            return Ok(());
        }
        let seconds = told.unwrap_or_else(|| ticket.job.spent());
        self.ledger.ended(&place, how, seconds)
    }

    /// Ends jobs that nobody wants any more.
    ///
    /// **Errors**: [`Error::Io`]; [`Error::Failed`] if the scheduler does not do it.
    pub fn cancel(&mut self, tickets: &[Ticket]) -> Result<()> {
        if tickets.is_empty() {
            return Ok(());
        }
        let answer = self.scheduler.cancel(tickets);
        self.called();
        if let Err(refusal) = answer {
            return Err(Error::Failed(format!(
                "{} does not end jobs: {refusal}; run again once it answers",
                self.scheduler.name()
            )));
        }
        for ticket in tickets {
            self.close(ticket, Ended::Void)?;
        }
        Ok(())
    }

    /// Leaves jobs to themselves when the driver is asked to stop: those of a scheduler go on and are
    /// found by the next driver, those of this machine are ended, unless they have left their result. How many
    /// go on.
    ///
    /// **Errors**: as [`Queue::cancel`].
    pub fn leave(&mut self) -> Result<usize> {
        self.pending.clear();
        if self.scheduler.outlives_driver() {
            return Ok(self.ledger.jobs.open.len());
        }
        // What has ended and could not be stored, for want of disk, is collected by the next driver.
        let open = self.ledger.jobs.open.values();
        let tickets: Vec<Ticket> = open
            .filter(|ticket| ticket.job.status().is_none())
            .cloned()
            .collect();
        self.cancel(&tickets)?;
        Ok(0)
    }

    /// Forgets all attempts once nothing is out, and removes what schedulers wrote; the folder, too, if nothing else
    /// is in it. The queue is of no use afterwards.
    ///
    /// **Errors**: [`Error::Io`].
    pub fn clear(&mut self) -> Result<()> {
        if !self.ledger.jobs.open.is_empty() {
            return Ok(());
        }
        self.ledger.clear()?;
        // Logs of batches; a job that still writes there is none of ours.
        let _ = std::fs::remove_dir_all(self.folder.join("batches"));
        // With no attempt to remember the ledger says nothing, and a folder without anything else can go.
        let own = |item: &std::fs::DirEntry| item.file_name() == "jobs.jsonl";
        let mut items = std::fs::read_dir(&self.folder)
            .into_iter()
            .flatten()
            .flatten();
        if items.all(|item| own(&item)) {
            let _ = std::fs::remove_file(self.folder.join("jobs.jsonl"));
            // Neither removes a folder that something else has come into.
            let _ = std::fs::remove_dir(&self.folder);
            let _ = self.folder.parent().map(std::fs::remove_dir);
        }
        Ok(())
    }

    /// The scheduler's name.
    pub fn name(&self) -> &str {
        self.scheduler.name()
    }
}

impl SchedulerConfig {
    /// Tells whether the scheduler answers, in a line.
    ///
    /// **Errors**: a [`Refusal`].
    pub fn probe(&self) -> std::result::Result<String, Refusal> {
        let mut scheduler = self.create().map_err(|e| Refusal::Wrong(e.to_string()))?;
        if self.kind == SchedulerKind::Local {
            return Ok("this machine".into());
        }
        scheduler.look(&[])?;
        Ok(format!("{} answers", scheduler.name()))
    }
}
