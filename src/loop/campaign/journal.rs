//! The journal: what was begun and what was finished, in a `Log`.
//!
//! A step is written down before it is acted on. A step counts as done only if its record is
//! complete, was made from the same inputs, and the files that it left still have the recorded
//! hashes; otherwise it is done again, with the same result, since every step is deterministic.

use crate::log::{Kind, Log};
use nepal::error::{Error, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const KIND: Kind = Kind {
    head: "journal",
    record: "a journal record",
    advice: "restore the file from a backup, or remove it to start again (labels are kept)",
};

/// Name of the file in the campaign's directory.
const FILE: &str = "journal.jsonl";

/// One line of the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum Record {
    /// A step is about to be acted on.
    Begin {
        /// Name of the step, unique in the campaign.
        step: String,
        /// Hash of everything the step depends on.
        inputs: String,
    },
    /// A step is finished and its files are in place.
    Done {
        /// Name of the step.
        step: String,
        /// Hash of everything the step depended on.
        inputs: String,
        /// Hashes of the files that it left, by path relative to the campaign directory.
        outputs: BTreeMap<String, String>,
        /// Seconds that it took.
        seconds: f64,
        /// How inputs are hashed; 0 by an older nepal, whose hashes need not be today's.
        #[serde(default)]
        hashed: u32,
    },
    /// Steps that were done from other inputs are done again; the user knows what that costs.
    Accepted {
        /// Their names.
        steps: Vec<String>,
    },
}

/// How inputs of steps are hashed now.
const HASHED: u32 = 1;

/// A finished step.
#[derive(Debug)]
struct Done {
    inputs: String,
    outputs: BTreeMap<String, String>,
    seconds: f64,
    /// Whether another hash of inputs means that they changed, and nobody has agreed to that yet.
    binding: bool,
}

/// An open journal, held by one driver at a time.
#[derive(Debug)]
pub struct Journal {
    directory: PathBuf,
    log: Log,
    done: Steps,
}

/// Finished steps by name.
#[derive(Debug, Default)]
struct Steps(BTreeMap<String, Done>);

impl Steps {
    fn apply(&mut self, record: Record) {
        match record {
            Record::Begin { .. } => {}
            Record::Done {
                step,
                inputs,
                outputs,
                seconds,
                hashed,
            } => {
                let done = Done {
                    inputs,
                    outputs,
                    seconds,
                    binding: hashed == HASHED,
                };
                self.0.insert(step, done);
            }
            Record::Accepted { steps } => {
                for step in steps {
                    if let Some(done) = self.0.get_mut(&step) {
                        done.binding = false;
                    }
                }
            }
        }
    }
}

impl Journal {
    /// Opens or creates `journal.jsonl` in a directory and takes its lock.
    ///
    /// A last line that was cut off by a crash is removed; anything else that cannot be read is an
    /// error.
    ///
    /// **Errors**: [`Error::Io`]; [`Error::Failed`] if another driver holds the journal;
    /// [`Error::Parse`] naming the line.
    pub fn open(directory: &Path) -> Result<Self> {
        std::fs::create_dir_all(directory).map_err(|e| Error::io("create", directory, e))?;
        let mut done = Steps::default();
        let log = Log::open(directory.join(FILE), &KIND, |record| done.apply(record))?;
        Ok(Self {
            directory: directory.to_owned(),
            log,
            done,
        })
    }

    /// Runs a step unless it is already done; returns whether it was run.
    ///
    /// `work` leaves its files in the campaign directory, each written in one step, and returns
    /// their relative paths.
    ///
    /// **Errors**: those of `work`, and [`Error::Io`] for the journal itself.
    pub fn step<E: From<Error>>(
        &mut self,
        name: &str,
        inputs: &str,
        work: impl FnOnce() -> std::result::Result<Vec<String>, E>,
    ) -> std::result::Result<bool, E> {
        if self.is_done(name, inputs) {
            return Ok(false);
        }
        self.log.append(&Record::Begin {
            step: name.into(),
            inputs: inputs.into(),
        })?;
        let start = std::time::Instant::now();
        let mut outputs = BTreeMap::new();
        for path in work()? {
            let hash = hash_file(&self.directory.join(&path))?;
            outputs.insert(path, hash);
        }
        let record = Record::Done {
            step: name.into(),
            inputs: inputs.into(),
            outputs,
            seconds: start.elapsed().as_secs_f64(),
            hashed: HASHED,
        };
        self.log.append(&record)?;
        self.done.apply(record);
        Ok(true)
    }

    /// Whether a step was finished from other inputs, and nobody has agreed yet that it is done again.
    pub fn is_outdated(&self, name: &str, inputs: &str) -> bool {
        let done = self.done.0.get(name);
        done.is_some_and(|done| done.binding && done.inputs != inputs)
    }

    /// Notes that all steps so far may be done again from other inputs.
    ///
    /// **Errors**: [`Error::Io`].
    pub fn accept_outdated(&mut self) -> Result<()> {
        let record = Record::Accepted {
            steps: self.done.0.keys().cloned().collect(),
        };
        self.log.append(&record)?;
        self.done.apply(record);
        Ok(())
    }

    /// Whether a step was finished from these inputs and its files are intact.
    pub fn is_done(&self, name: &str, inputs: &str) -> bool {
        self.done.0.get(name).is_some_and(|done| {
            done.inputs == inputs
                && done.outputs.iter().all(|(path, hash)| {
                    hash_file(&self.directory.join(path)).is_ok_and(|found| found == *hash)
                })
        })
    }
}

/// Reads the steps that a campaign has finished, with their seconds, without taking the lock.
///
/// **Errors**: [`Error::Io`], [`Error::Parse`].
pub fn finished_steps(directory: &Path) -> Result<Vec<(String, f64)>> {
    let mut done = Steps::default();
    Log::read(&directory.join(FILE), &KIND, |record| done.apply(record))?;
    let steps = done.0.into_iter();
    Ok(steps.map(|(name, done)| (name, done.seconds)).collect())
}

/// SHA-256 of a file, in hexadecimal.
///
/// **Errors**: [`Error::Io`].
pub fn hash_file(path: &Path) -> Result<String> {
    let bytes = std::fs::read(path).map_err(|e| Error::io("read", path, e))?;
    Ok(hash_bytes(&bytes))
}

/// SHA-256 of bytes, in hexadecimal.
pub fn hash_bytes(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// SHA-256 of anything that serde can write: the inputs of a step.
pub fn hash_json(value: &impl Serialize) -> String {
    // Serialising plain data to memory fails only for maps with odd keys, which nothing here has.
    hash_bytes(&serde_json::to_vec(value).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(directory: &Path, name: &str, text: &str) -> Vec<String> {
        std::fs::write(directory.join(name), text).unwrap();
        vec![name.to_owned()]
    }

    #[test]
    fn a_finished_step_is_not_run_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(dir.path()).unwrap();
        assert!(
            journal
                .step("a", "1", || Result::Ok(write(dir.path(), "a", "x")))
                .unwrap()
        );
        assert!(
            !journal
                .step("a", "1", || -> Result<_> { panic!("must not run") })
                .unwrap()
        );
        drop(journal);
        let mut journal = Journal::open(dir.path()).unwrap();
        assert!(
            !journal
                .step("a", "1", || -> Result<_> { panic!("must not run") })
                .unwrap()
        );
        // Other inputs, a changed file, a missing file: each is a reason to run it again.
        assert!(
            journal
                .step("a", "2", || Result::Ok(write(dir.path(), "a", "y")))
                .unwrap()
        );
        std::fs::write(dir.path().join("a"), "z").unwrap();
        assert!(!journal.is_done("a", "2"));
        std::fs::remove_file(dir.path().join("a")).unwrap();
        assert!(!journal.is_done("a", "2"));
    }

    #[test]
    fn only_one_driver_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let first = Journal::open(dir.path()).unwrap();
        let message = Journal::open(dir.path()).unwrap_err().to_string();
        assert!(message.contains("another nepal-loop"), "{message}");
        drop(first);
        assert!(Journal::open(dir.path()).is_ok());
    }

    #[test]
    fn a_cut_last_line_is_forgiven_and_others_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(dir.path()).unwrap();
        for name in ["a", "b"] {
            journal
                .step(name, "1", || Result::Ok(write(dir.path(), name, name)))
                .unwrap();
        }
        drop(journal);
        let path = dir.path().join("journal.jsonl");
        let whole = std::fs::read(&path).unwrap();
        let last_line = whole[..whole.len() - 1]
            .iter()
            .rposition(|&b| b == b'\n')
            .unwrap()
            + 1;
        for cut in last_line..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let journal = Journal::open(dir.path()).unwrap();
            assert!(journal.is_done("a", "1"));
            assert!(!journal.is_done("b", "1"));
        }
        let mut spoiled = whole.clone();
        spoiled[whole.len() / 3] = b'\n';
        std::fs::write(&path, &spoiled).unwrap();
        assert!(
            Journal::open(dir.path())
                .unwrap_err()
                .to_string()
                .contains("journal.jsonl:")
        );
    }
}
