//! The ledger of jobs: what was handed over, under which name and number, and how it ended.
//!
//! A [`Log`], written before it is acted on. After a crash it tells which jobs are out there; those whose submission
//! was cut short are looked for by name.

use super::job::{Job, Ticket};
use crate::log::{Kind, Log};
use nepal::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

const KIND: Kind = Kind {
    head: "jobs",
    record: "a record of a job",
    advice: "restore the file from a backup, or end the jobs that run and remove it (labels are kept)",
};

/// How an attempt ended, as far as it decides about the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// With a result, good or bad, that is stored elsewhere.
    Done,
    /// With a result that asks for other settings.
    Unconverged,
    /// At its time limit.
    TimedOut,
    /// For want of memory.
    OutOfMemory,
    /// Before its end, for another reason of its own.
    Interrupted,
    /// With its node, or thrown off it.
    Lost,
    /// By somebody's hand.
    Cancelled,
    /// It never ran, or nobody wants it any more.
    Void,
    /// In vain, as others before: no more attempts.
    GivenUp,
}

/// An attempt that is over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Past {
    /// How it ended.
    pub how: Ended,
    /// With which settings, as the caller counts them.
    pub variant: usize,
    /// Wall seconds that it ran.
    pub seconds: f64,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum Record {
    /// Jobs are about to be handed over.
    Batch { batch: String, jobs: Vec<Job> },
    /// They were, and this is what the scheduler calls them.
    Submitted { batch: String, id: String },
    /// They were not.
    Refused { batch: String },
    /// One of them is over and dealt with.
    Ended {
        batch: String,
        index: usize,
        how: Ended,
        #[serde(default)]
        seconds: f64,
    },
}

/// Name of the file in its folder.
const FILE: &str = "jobs.jsonl";

/// Place of a job: batch and index.
pub(super) type Place = (String, usize);

/// The open ledger, held by one driver at a time.
pub(super) struct Ledger {
    log: Log,
    /// What it says.
    pub jobs: Jobs,
}

/// What the records come to.
#[derive(Default)]
pub(super) struct Jobs {
    /// Jobs that are out.
    pub open: BTreeMap<Place, Ticket>,
    /// Earlier attempts by key.
    pub history: HashMap<String, Vec<Past>>,
}

impl Ledger {
    /// Opens or creates `jobs.jsonl` in a folder and takes its lock.
    pub fn open(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(|e| Error::io("create", folder, e))?;
        let mut jobs = Jobs::default();
        let log = Log::open(folder.join(FILE), &KIND, |record| jobs.apply(record))?;
        Ok(Self { log, jobs })
    }

    /// Jobs that are out by the ledger in a folder; only reads, and takes no lock.
    ///
    /// **Errors**: those of [`Log::read`].
    pub fn open_in(folder: &Path) -> Result<Vec<Ticket>> {
        let mut jobs = Jobs::default();
        Log::read(&folder.join(FILE), &KIND, |record| jobs.apply(record))?;
        Ok(jobs.open.into_values().collect())
    }

    fn write(&mut self, record: Record) -> Result<()> {
        self.log.append(&record)?;
        self.jobs.apply(record);
        Ok(())
    }

    /// Notes jobs that are about to be handed over.
    pub fn batch(&mut self, batch: &str, jobs: Vec<Job>) -> Result<()> {
        self.write(Record::Batch {
            batch: batch.into(),
            jobs,
        })
    }

    /// Notes that they were, with the scheduler's number.
    pub fn submitted(&mut self, batch: &str, id: &str) -> Result<()> {
        self.write(Record::Submitted {
            batch: batch.into(),
            id: id.into(),
        })
    }

    /// Notes that they were not.
    pub fn refused(&mut self, batch: &str) -> Result<()> {
        self.write(Record::Refused {
            batch: batch.into(),
        })
    }

    /// Notes that a job is over and dealt with, and how long it ran.
    pub fn ended(&mut self, place: &Place, how: Ended, seconds: f64) -> Result<()> {
        self.write(Record::Ended {
            batch: place.0.clone(),
            index: place.1,
            how,
            seconds,
        })
    }

    /// Forgets all; for when nothing is open and no attempt matters any more.
    pub fn clear(&mut self) -> Result<()> {
        self.jobs = Jobs::default();
        self.log.clear()
    }
}

impl Jobs {
    fn apply(&mut self, record: Record) {
        match record {
            Record::Batch { batch, jobs } => {
                let of = jobs.len();
                for (index, job) in jobs.into_iter().enumerate() {
                    let ticket = Ticket {
                        job,
                        batch: batch.clone(),
                        index,
                        of,
                        id: None,
                        owner: None,
                    };
                    self.open.insert((batch.clone(), index), ticket);
                }
            }
            Record::Submitted { batch, id } => {
                for (_, ticket) in self.of_batch(&batch) {
                    ticket.id = Some(id.clone());
                }
            }
            Record::Refused { batch } => {
                let places: Vec<Place> = self.of_batch(&batch).map(|(p, _)| p.clone()).collect();
                for place in places {
                    self.open.remove(&place);
                }
            }
            Record::Ended {
                batch,
                index,
                how,
                seconds,
            } => {
                if let Some(ticket) = self.open.remove(&(batch, index)) {
                    let history = self.history.entry(ticket.job.key).or_default();
                    history.push(Past {
                        how,
                        variant: ticket.job.variant,
                        seconds,
                    });
                }
            }
        }
    }

    fn of_batch(&mut self, batch: &str) -> impl Iterator<Item = (&Place, &mut Ticket)> {
        let range = (batch.to_owned(), 0)..=(batch.to_owned(), usize::MAX);
        self.open.range_mut(range)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(key: &str) -> Job {
        Job {
            key: key.into(),
            attempt: 0,
            variant: 2,
            folder: "/f".into(),
            cores: 1,
            memory: None,
            seconds: 1.0,
        }
    }

    #[test]
    fn the_next_driver_knows_what_is_out() {
        let folder = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::open(folder.path()).unwrap();
        assert!(Ledger::open(folder.path()).is_err(), "locked");
        ledger.batch("b1", vec![job("a"), job("b")]).unwrap();
        ledger.submitted("b1", "7").unwrap();
        ledger
            .ended(&("b1".into(), 0), Ended::TimedOut, 7.5)
            .unwrap();
        ledger.batch("b2", vec![job("c")]).unwrap();
        ledger.refused("b2").unwrap();
        ledger.batch("b3", vec![job("d")]).unwrap();
        drop(ledger);
        let ledger = Ledger::open(folder.path()).unwrap();
        let open: Vec<_> = ledger.jobs.open.values().collect();
        assert_eq!(open.len(), 2);
        assert_eq!(
            (open[0].job.key.as_str(), open[0].id.as_deref()),
            ("b", Some("7"))
        );
        assert_eq!(
            (open[1].job.key.as_str(), open[1].id.as_deref()),
            ("d", None)
        );
        let past = Past {
            how: Ended::TimedOut,
            variant: 2,
            seconds: 7.5,
        };
        assert_eq!(ledger.jobs.history["a"], [past]);
    }

    #[test]
    fn a_cut_last_line_is_forgiven_and_others_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::open(folder.path()).unwrap();
        ledger.batch("b1", vec![job("a")]).unwrap();
        ledger.submitted("b1", "7").unwrap();
        drop(ledger);
        let path = folder.path().join("jobs.jsonl");
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 5]).unwrap();
        let mut ledger = Ledger::open(folder.path()).unwrap();
        assert_eq!(ledger.jobs.open.values().next().unwrap().id, None);
        ledger.submitted("b1", "8").unwrap();
        drop(ledger);
        assert_eq!(
            Ledger::open(folder.path())
                .unwrap()
                .jobs
                .open
                .values()
                .next()
                .unwrap()
                .id,
            Some("8".into())
        );
        let mut spoilt = whole.clone();
        spoilt[whole.len() / 2] = b'\n';
        std::fs::write(&path, spoilt).unwrap();
        let message = Ledger::open(folder.path()).err().unwrap().to_string();
        assert!(message.contains("jobs.jsonl:"), "{message}");
    }
}
