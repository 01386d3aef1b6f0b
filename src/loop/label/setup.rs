//! What all labellers that run a program have in common: files, time limit, cores, ladder, stop.

use super::ladder::Ladder;
use super::process::{Call, StopFlag};
use super::program::root_variables;
use nepal::error::{Error, Result};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How a labeller runs its program.
pub struct ProgramSetup {
    /// Files that the program reads: where they are, their name and digest.
    files: Vec<(PathBuf, String, String)>,
    pub(crate) timeout: Duration,
    pub(super) cores: usize,
    pub(super) rungs: Vec<String>,
    pub(super) tight: Option<String>,
    pub(super) stop: StopFlag,
}

impl ProgramSetup {
    /// For the labeller `name`; relative paths start at `base`, `seconds` are the longest wall time of a label.
    ///
    /// **Errors**: [`Error::Io`] for files that cannot be read, [`Error::InvalidArgument`] for two of one name, for
    /// no cores, and for a time limit that is none.
    pub(super) fn new<'a, T>(
        name: &str,
        files: impl IntoIterator<Item = &'a Path>,
        base: &Path,
        seconds: f64,
        cores: usize,
        ladder: &Ladder<T>,
        stop: StopFlag,
    ) -> Result<Self> {
        let mut known: Vec<(PathBuf, String, String)> = Vec::new();
        for file in files {
            let path = base.join(file);
            let (short, digest) = (file_name(file), digest(&path)?);
            if known.iter().any(|(_, n, d)| *n == short && *d != digest) {
                return Err(Error::invalid(format!(
                    "labeller {name}: two files are called {short}, and both would be copied to where the program \
                     runs; give them different names"
                )));
            }
            known.push((path, short, digest));
        }
        if cores == 0 {
            return Err(Error::invalid(format!(
                "labeller {name}: cores, threads and processes must be at least 1"
            )));
        }
        Ok(Self {
            files: known,
            timeout: timeout(seconds)?,
            cores,
            rungs: ladder.words(),
            tight: ladder.tight(),
            stop,
        })
    }

    /// Digests of the files alone.
    pub(super) fn digests(&self) -> Vec<&str> {
        self.files.iter().map(|f| f.2.as_str()).collect()
    }

    /// Names and digests of the files.
    pub(super) fn named_digests(&self) -> Vec<String> {
        let files = self.files.iter();
        files.map(|(_, name, d)| format!("{name} {d}")).collect()
    }

    /// Writes texts, given by name, into the work folder and copies the files there.
    ///
    /// **Errors**: [`Error::Io`].
    pub(super) fn write(&self, workdir: &Path, texts: &[(String, String)]) -> Result<()> {
        for (name, text) in texts {
            let path = workdir.join(name);
            std::fs::write(&path, text).map_err(|e| Error::io("write", path, e))?;
        }
        for (from, name, _) in &self.files {
            let to = workdir.join(name);
            std::fs::copy(from, &to).map_err(|e| Error::io("copy to", to, e))?;
        }
        Ok(())
    }

    /// The program in its folder; what it prints goes into the file `output`.
    pub(super) fn call(
        &self,
        workdir: &Path,
        command: Vec<String>,
        env: &BTreeMap<String, String>,
        output: &str,
    ) -> Call {
        let mut all = root_variables();
        all.extend(env.clone());
        Call {
            command,
            env: all,
            folder: workdir.to_owned(),
            output: output.to_owned(),
            timeout: self.timeout,
        }
    }
}

/// The name without its folder.
pub(super) fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// SHA-256 of a file, hexadecimal.
pub(super) fn digest(path: &Path) -> Result<String> {
    let content = std::fs::read(path).map_err(|e| Error::io("read", path, e))?;
    Ok(super::cache::hex(&Sha256::digest(&content)))
}

/// A time limit from seconds.
///
/// **Errors**: [`Error::InvalidArgument`] unless positive and finite.
pub(super) fn timeout(seconds: f64) -> Result<Duration> {
    Duration::try_from_secs_f64(seconds)
        .ok()
        // Beyond all clocks a moment in the future has no number.
        .filter(|d| !d.is_zero() && d.as_secs() < 10_000_000_000)
        .ok_or_else(|| {
            Error::invalid(format!(
                "timeout must be a positive number of seconds, up to 1e10; found {seconds}"
            ))
        })
}

pub(super) fn hour() -> f64 {
    3600.0
}

pub(super) fn one() -> usize {
    1
}
