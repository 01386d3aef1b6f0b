//! Labels by content: a structure is labelled once, whoever asks.

use super::{Cause, Label};
use nepal::error::{Error, Result};
use nepal::files::write_atomically;
use nepal::system::Structure;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// First word of every file of a cache.
const MAGIC: &str = "nepal-label-1";

/// The key of a structure under a method: 64 hexadecimal digits.
///
/// SHA-256 over elements, cell, periodicity and positions, bit for bit, and the method's name and
/// settings. Structures that differ in the last bit, or by a lattice translation, have different keys.
pub fn label_key(structure: &Structure, method: &str, settings: &str) -> String {
    let mut hash = Sha256::new();
    for text in [MAGIC, method, settings] {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    }
    hash.update((structure.len() as u64).to_le_bytes());
    for element in &structure.elements {
        hash.update([element.number() as u8]);
    }
    hash.update(structure.cell.periodic().map(u8::from));
    let numbers = structure.cell.vectors().iter().chain(&structure.positions);
    for &x in numbers.flatten() {
        // -0.0 and 0.0 are the same place.
        hash.update((x + 0.0).to_bits().to_le_bytes());
    }
    hex(&hash.finalize())
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// What a cache knows of a key.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// A label that was accepted.
    Accepted(Label),
    /// A labelling that was rejected.
    Rejected {
        /// Why.
        reason: String,
        /// The program's values, if it gave any and only a limit was violated.
        label: Option<Label>,
        /// The folder with the program's files.
        kept: Option<PathBuf>,
        /// What kind of reason it is.
        cause: Cause,
        /// The ladder of settings that was tried in vain, as [`LabelCache::reject`] was told.
        ladder: Vec<String>,
    },
}

/// A rejection to remember.
#[derive(Clone, Debug, Default)]
pub struct Rejection<'a> {
    /// Why.
    pub reason: &'a str,
    /// What kind of reason it is.
    pub cause: Cause,
    /// The program's values if only a limit was violated, so that another limit can be tried without
    /// running the program again.
    pub label: Option<&'a Label>,
    /// The ladder of settings that was tried in vain.
    pub ladder: &'a [String],
    /// The folder with the program's files; it becomes the quarantine folder.
    pub workdir: Option<&'a Path>,
}

/// The content of a file: [`Entry`] with its key, so that a renamed file is found out.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CacheEntry {
    key: String,
    reason: Option<String>,
    label: Option<Label>,
    #[serde(default)]
    cause: Cause,
    #[serde(default)]
    ladder: Vec<String>,
}

/// A folder of labels that several processes may share.
///
/// Accepted labels are `labels/ab/<key>.json`; rejected ones are folders `quarantine/<key>` with the
/// reason in `rejected.json` beside the program's files. A file is written in one step and carries a
/// checksum; one that is damaged counts as missing and is overwritten by the next result.
#[derive(Clone, Debug)]
pub struct LabelCache {
    folder: PathBuf,
}

impl LabelCache {
    /// Opens a cache, creating the folder if need be.
    ///
    /// **Errors**: [`Error::Io`].
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self> {
        let cache = Self {
            folder: folder.into(),
        };
        for part in ["labels", "quarantine"] {
            let folder = cache.folder.join(part);
            create_folder(&folder)?;
            nepal::files::sweep(&folder, 1);
            sweep(&folder, 1);
        }
        Ok(cache)
    }

    /// Makes sure that results can be stored, before one is paid for.
    ///
    /// **Errors**: [`Error::Io`].
    pub fn check_writable(&self) -> Result<()> {
        let mut parts = ["labels", "quarantine"].into_iter();
        parts.try_for_each(|part| {
            nepal::files::Replacement::new(&self.folder.join(part).join("probe")).map(drop)
        })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where the accepted label of a key is or would be.
    pub fn label_path(&self, key: &str) -> PathBuf {
        let group = key.get(..2).unwrap_or("xx");
        self.folder
            .join("labels")
            .join(group)
            .join(format!("{key}.json"))
    }

    /// The folder that remembers the rejection of a key.
    pub fn quarantine_path(&self, key: &str) -> PathBuf {
        self.folder.join("quarantine").join(key)
    }

    /// What is known of a key; `None` if nothing, or if the file is damaged.
    ///
    /// **Errors**: [`Error::Io`] if a file is there but cannot be read.
    pub fn get(&self, key: &str) -> Result<Option<Entry>> {
        // An accepted label wins: it may have been found after a rejection.
        if let Some(CacheEntry {
            label: Some(label),
            reason: None,
            ..
        }) = read_record(&self.label_path(key), key)?
        {
            return Ok(Some(Entry::Accepted(label)));
        }
        let folder = self.quarantine_path(key);
        match read_record(&folder.join("rejected.json"), key)? {
            Some(CacheEntry {
                label,
                reason: Some(reason),
                cause,
                ladder,
                ..
            }) => Ok(Some(Entry::Rejected {
                reason,
                label,
                kept: Some(folder),
                cause,
                ladder,
            })),
            _ => Ok(None),
        }
    }

    /// Remembers an accepted label; an earlier rejection of the same key is forgotten.
    ///
    /// **Errors**: [`Error::Io`]; [`Error::InvalidArgument`] for a label with numbers that are not
    /// finite, which the file could not hold.
    pub fn put(&self, key: &str, label: &Label) -> Result<()> {
        if !label.is_finite() {
            return Err(Error::invalid(format!(
                "label {key} holds numbers that are not finite; it cannot be accepted"
            )));
        }
        let record = CacheEntry {
            key: key.to_owned(),
            reason: None,
            label: Some(label.clone()),
            cause: Cause::default(),
            ladder: Vec::new(),
        };
        write_record(&self.label_path(key), &record)?;
        let quarantine = self.quarantine_path(key);
        if quarantine.exists() {
            remove_folder(&quarantine)?;
        }
        Ok(())
    }

    /// Remembers a rejection and keeps the program's files in the quarantine folder, which is returned.
    ///
    /// **Errors**: [`Error::Io`].
    pub fn reject(&self, key: &str, rejection: &Rejection<'_>) -> Result<PathBuf> {
        let folder = self.quarantine_path(key);
        if folder.exists() {
            remove_folder(&folder)?;
        }
        match rejection.workdir {
            Some(from) if from.is_dir() => move_folder(from, &folder)?,
            _ => create_folder(&folder)?,
        }
        // Numbers that are not finite have no place in JSON, nor in any label to come.
        let record = CacheEntry {
            key: key.to_owned(),
            reason: Some(rejection.reason.to_owned()),
            label: rejection.label.filter(|l| l.is_finite()).cloned(),
            cause: rejection.cause,
            ladder: rejection.ladder.to_vec(),
        };
        write_record(&folder.join("rejected.json"), &record)?;
        Ok(folder)
    }

    /// Sets a label aside that is doubted, so that it is computed again: [`LabelCache::doubted`] has it
    /// from then on.
    ///
    /// **Errors**: [`Error::Io`].
    pub fn set_aside(&self, key: &str) -> Result<()> {
        let from = self.label_path(key);
        let folder = self.folder.join("doubted");
        create_folder(&folder)?;
        let to = (0..)
            .map(|n| self.doubted_path(key, n))
            .find(|path| !path.exists())
            .ok_or_else(|| Error::Internal("no name is left for a label".into()))?;
        std::fs::rename(&from, to).map_err(|e| Error::io("move", from, e))
    }

    /// The labels of a key that were set aside, oldest first.
    ///
    /// **Errors**: [`Error::Io`].
    pub fn doubted(&self, key: &str) -> Result<Vec<Label>> {
        let mut labels = Vec::new();
        for n in 0.. {
            let path = self.doubted_path(key, n);
            if !path.exists() {
                break;
            }
            labels.extend(read_record(&path, key)?.and_then(|record| record.label));
        }
        Ok(labels)
    }

    fn doubted_path(&self, key: &str, n: usize) -> PathBuf {
        self.folder.join("doubted").join(format!("{key}.{n}.json"))
    }

    /// Forgets a key, accepted or rejected, so that it is labelled again.
    ///
    /// **Errors**: [`Error::Io`].
    pub fn forget(&self, key: &str) -> Result<()> {
        let path = self.label_path(key);
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io("remove", &path, e));
            }
            _ => {}
        }
        let quarantine = self.quarantine_path(key);
        if quarantine.exists() {
            remove_folder(&quarantine)?;
        }
        Ok(())
    }
}

/// Writes `magic checksum` and the record as JSON on the next line.
fn write_record(path: &Path, record: &CacheEntry) -> Result<()> {
    let json = serde_json::to_string(record)
        .map_err(|e| Error::Internal(format!("label {} has no JSON: {e}", record.key)))?;
    let sum = hex(&Sha256::digest(json.as_bytes()));
    if let Some(parent) = path.parent() {
        create_folder(parent)?;
    }
    write_atomically(path, format!("{MAGIC} {sum}\n{json}\n").as_bytes())
}

/// The record of a file; `None` if it is missing or damaged.
fn read_record(path: &Path, key: &str) -> Result<Option<CacheEntry>> {
    let content = match std::fs::read(path) {
        Ok(content) => content,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::io("read", path, e)),
    };
    let record = decode(&content).filter(|record| record.key == key);
    if record.is_none() {
        tracing::warn!(
            "{} is damaged and counts as missing; the structure will be labelled again",
            path.display()
        );
    }
    Ok(record)
}

fn decode(content: &[u8]) -> Option<CacheEntry> {
    let text = std::str::from_utf8(content).ok()?;
    let (head, json) = text.split_once('\n')?;
    let json = json.strip_suffix('\n')?;
    let sum = head.strip_prefix(MAGIC)?.trim_start();
    (sum == hex(&Sha256::digest(json.as_bytes())))
        .then(|| serde_json::from_str(json).ok())
        .flatten()
}

/// Removes work folders of [`super::LabelRunner`] that dead processes left in a folder and, to a depth, in folders
/// below. Only what is a day old: processes of other machines may share the folder.
pub(super) fn sweep(folder: &Path, depth: usize) {
    const OLD: std::time::Duration = std::time::Duration::from_secs(86_400);
    for item in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, name) = (item.path(), item.file_name());
        let name = name.to_string_lossy();
        let Ok(found) = item.metadata() else { continue };
        let age = found.modified().ok().and_then(|m| m.elapsed().ok());
        let old = age.is_some_and(|age| age > OLD);
        if found.is_dir() && old && maker(&name).is_some_and(|pid| !lives(pid)) {
            let _ = std::fs::remove_dir_all(&path);
        } else if found.is_dir() && depth > 0 {
            sweep(&path, depth - 1);
        }
    }
}

/// The process in the name of a work folder, `KEY-PROCESS-COUNT`.
fn maker(name: &str) -> Option<i32> {
    let parts: Vec<&str> = name.split('-').collect();
    match parts[..] {
        [_, process, count] if count.parse::<u64>().is_ok() => process.parse().ok(),
        _ => None,
    }
}

#[cfg(unix)]
fn lives(pid: i32) -> bool {
    use rustix::process::{Pid, test_kill_process};
    // One of another user's is not ours to ask, and lives.
    let asked = Pid::from_raw(pid).map(test_kill_process);
    asked.is_some_and(|asked| asked != Err(rustix::io::Errno::SRCH))
}

#[cfg(not(unix))]
fn lives(_pid: i32) -> bool {
    true
}

pub(super) fn create_folder(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path).map_err(|e| Error::io("create", path, e))
}

pub(super) fn remove_folder(path: &Path) -> Result<()> {
    std::fs::remove_dir_all(path).map_err(|e| Error::io("remove", path, e))
}

/// Renames a folder, or copies its files where the target is on another file system.
fn move_folder(from: &Path, to: &Path) -> Result<()> {
    if std::fs::rename(from, to).is_ok() {
        return Ok(());
    }
    create_folder(to)?;
    let failed = |e| Error::io("copy", from, e);
    for item in std::fs::read_dir(from).map_err(failed)? {
        let item = item.map_err(failed)?;
        if item.path().is_file() {
            std::fs::copy(item.path(), to.join(item.file_name())).map_err(failed)?;
        }
    }
    remove_folder(from)
}

#[cfg(test)]
mod tests;
