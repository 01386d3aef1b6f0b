//! The journal: what was begun and what was finished, one JSON record a line.
//!
//! A step is written down before it is acted on. A step counts as done only if its record is
//! complete, was made from the same inputs, and the files that it left still have the recorded
//! hashes; otherwise it is done again, with the same result, since every step is deterministic.

use nepal::error::{Error, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Version of the journal's format, in its first record.
const VERSION: u32 = 1;

/// One line of the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Record {
    /// First line of a journal.
    Journal {
        /// Version of the format.
        version: u32,
        /// Version of nepal that made it.
        nepal: String,
    },
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
    },
}

/// An open journal, held by one driver at a time.
#[derive(Debug)]
pub struct Journal {
    directory: PathBuf,
    file: File,
    done: BTreeMap<String, (String, BTreeMap<String, String>, f64)>,
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
        let path = directory.join("journal.jsonl");
        let (mut file, bytes) = nepal::files::open_locked(&path)?;
        let (done, good) = replay(&bytes, &path)?;
        file.set_len(good as u64)
            .and_then(|()| file.seek(SeekFrom::End(0)))
            .map_err(|e| Error::io("repair", &path, e))?;
        let mut journal = Self {
            directory: directory.to_owned(),
            file,
            done,
        };
        if good == 0 {
            journal.append(&Record::Journal {
                version: VERSION,
                nepal: env!("CARGO_PKG_VERSION").into(),
            })?;
        }
        Ok(journal)
    }

    /// Runs a step unless it is already done; returns whether it was run.
    ///
    /// `work` leaves its files in the campaign directory, each written in one step, and returns
    /// their relative paths.
    ///
    /// **Errors**: those of `work`, and [`Error::Io`] for the journal itself.
    pub fn step(
        &mut self,
        name: &str,
        inputs: &str,
        work: impl FnOnce() -> Result<Vec<String>>,
    ) -> Result<bool> {
        if self.is_done(name, inputs) {
            return Ok(false);
        }
        self.append(&Record::Begin {
            step: name.into(),
            inputs: inputs.into(),
        })?;
        let start = std::time::Instant::now();
        let mut outputs = BTreeMap::new();
        for path in work()? {
            let hash = hash_file(&self.directory.join(&path))?;
            outputs.insert(path, hash);
        }
        let seconds = start.elapsed().as_secs_f64();
        self.append(&Record::Done {
            step: name.into(),
            inputs: inputs.into(),
            outputs: outputs.clone(),
            seconds,
        })?;
        self.done
            .insert(name.into(), (inputs.into(), outputs, seconds));
        Ok(true)
    }

    /// Whether a step was finished from these inputs and its files are intact.
    pub fn is_done(&self, name: &str, inputs: &str) -> bool {
        self.done.get(name).is_some_and(|(from, outputs, _)| {
            from == inputs
                && outputs.iter().all(|(path, hash)| {
                    hash_file(&self.directory.join(path)).is_ok_and(|found| found == *hash)
                })
        })
    }

    /// Seconds that a finished step took.
    pub fn seconds(&self, name: &str) -> Option<f64> {
        self.done.get(name).map(|entry| entry.2)
    }

    fn append(&mut self, record: &Record) -> Result<()> {
        let mut line = serde_json::to_string(record)
            .map_err(|e| Error::Internal(format!("journal record: {e}")))?;
        line.push('\n');
        self.file
            .write_all(line.as_bytes())
            .and_then(|()| self.file.sync_data())
            .map_err(|e| Error::io("append to", self.directory.join("journal.jsonl"), e))
    }
}

type Done = BTreeMap<String, (String, BTreeMap<String, String>, f64)>;

/// The finished steps, and how many bytes of the journal are whole lines.
fn replay(bytes: &[u8], path: &Path) -> Result<(Done, usize)> {
    let mut done = BTreeMap::new();
    let whole = bytes.iter().rposition(|&b| b == b'\n').map_or(0, |p| p + 1);
    let mut good = 0;
    for (number, line) in bytes[..whole].split_inclusive(|&b| b == b'\n').enumerate() {
        let record = match serde_json::from_slice::<Record>(line) {
            Ok(record) => record,
            // A damaged last line is what a crash or a full disk leaves: its step is done again.
            Err(_) if good + line.len() == whole => break,
            Err(e) => {
                return Err(Error::parse(
                    path.display().to_string(),
                    number + 1,
                    format!(
                        "expected a journal record, found something else ({e}); restore the file from a backup, or remove it to start again (labels are kept)"
                    ),
                ));
            }
        };
        good += line.len();
        match record {
            Record::Journal { version, nepal } if version != VERSION => {
                return Err(Error::Unsupported(format!(
                    "{}: journal version {version}, written by nepal {nepal}; this nepal reads version {VERSION}",
                    path.display()
                )));
            }
            Record::Done {
                step,
                inputs,
                outputs,
                seconds,
            } => {
                done.insert(step, (inputs, outputs, seconds));
            }
            Record::Journal { .. } | Record::Begin { .. } => {}
        }
    }
    Ok((done, good))
}

/// Reads the steps that a campaign has finished, with their seconds, without taking the lock.
///
/// **Errors**: [`Error::Io`], [`Error::Parse`].
pub fn finished_steps(directory: &Path) -> Result<Vec<(String, f64)>> {
    let path = directory.join("journal.jsonl");
    let bytes = std::fs::read(&path).map_err(|e| Error::io("read", &path, e))?;
    let (done, _) = replay(&bytes, &path)?;
    Ok(done
        .into_iter()
        .map(|(name, entry)| (name, entry.2))
        .collect())
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
                .step("a", "1", || Ok(write(dir.path(), "a", "x")))
                .unwrap()
        );
        assert!(!journal.step("a", "1", || panic!("must not run")).unwrap());
        drop(journal);
        let mut journal = Journal::open(dir.path()).unwrap();
        assert!(!journal.step("a", "1", || panic!("must not run")).unwrap());
        // Other inputs, a changed file, a missing file: each is a reason to run it again.
        assert!(
            journal
                .step("a", "2", || Ok(write(dir.path(), "a", "y")))
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
                .step(name, "1", || Ok(write(dir.path(), name, name)))
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
