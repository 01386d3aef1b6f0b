//! Jobs, their states and their ends.

use nepal::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

/// The script of a job, in its folder.
pub(super) const SCRIPT: &str = "job.sh";
/// Written by the script as its last deed: the exit status, for when nobody watched.
const STATUS: &str = "job.status";
/// Made by the script as its first deed.
const STARTED: &str = "job.started";
/// A link to the identifier of the job that has the folder.
const OWNER: &str = "job.owner";
/// Exit status of a script that found its folder taken by another job.
const TAKEN: i32 = 97;

/// A program to run in a folder of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// What it computes; one open job a key.
    pub key: String,
    /// Number of the attempt, from 0.
    pub attempt: usize,
    /// Which settings, as the caller counts them.
    pub variant: usize,
    /// Where it runs; absolute.
    pub folder: PathBuf,
    /// Processor cores.
    pub cores: usize,
    /// Memory in MB; `None` for the scheduler's default.
    pub memory: Option<usize>,
    /// Time limit in seconds.
    pub seconds: f64,
}

impl Job {
    /// Writes the script that runs a program: output goes to the file `output`, its exit status to a file
    /// beside it.
    ///
    /// **Errors**: [`Error::Io`]; [`Error::InvalidArgument`] for names of variables that no shell takes.
    pub fn write_script(
        &self,
        command: &[String],
        env: &BTreeMap<String, String>,
        output: &str,
    ) -> Result<()> {
        let plain = |c: char| c == '_' || c.is_ascii_alphanumeric();
        if let Some(name) = env.keys().find(|name| {
            name.is_empty()
                || name.starts_with(|c: char| c.is_ascii_digit())
                || !name.chars().all(plain)
        }) {
            return Err(Error::invalid(format!(
                "the environment of a job has a variable {name:?}; expected letters, digits and _"
            )));
        }
        let mut text = String::from("#!/bin/sh\n");
        let _ = writeln!(
            text,
            "cd {} || exit 98",
            quote(&self.folder.to_string_lossy())
        );
        // A submission whose answer was lost may have been made twice: the first job to come has the folder.
        let _ = writeln!(
            text,
            "if [ -n \"$1\" ]; then\n    ln -s \"$1\" {OWNER} 2>/dev/null || [ \"$(readlink {OWNER})\" = \"$1\" ] || exit {TAKEN}\nfi"
        );
        let _ = writeln!(text, "rm -f {STATUS}\n: >{STARTED}");
        for (name, value) in env {
            let _ = writeln!(text, "export {name}={}", quote(value));
        }
        let words: Vec<String> = command.iter().map(|word| quote(word)).collect();
        let _ = writeln!(
            text,
            "{} </dev/null >{} 2>&1",
            words.join(" "),
            quote(output)
        );
        let _ = writeln!(
            text,
            "status=$?\necho \"$status\" >{STATUS}.new && mv {STATUS}.new {STATUS}\nexit $status"
        );
        let path = self.folder.join(SCRIPT);
        std::fs::write(&path, text).map_err(|e| Error::io("write", path, e))
    }

    /// The exit status that the script left, if it came to its end.
    pub(super) fn status(&self) -> Option<i32> {
        let text = std::fs::read_to_string(self.folder.join(STATUS)).ok()?;
        text.trim().parse().ok()
    }

    /// The identifier of the job that has the folder.
    pub(super) fn owner(&self) -> Option<String> {
        let link = std::fs::read_link(self.folder.join(OWNER)).ok()?;
        Some(link.to_string_lossy().into_owned())
    }

    /// Takes the folder away from a script that has not begun; whether that came in time.
    pub(super) fn withhold(&self) -> bool {
        #[cfg(unix)]
        return std::os::unix::fs::symlink("cancelled", self.folder.join(OWNER)).is_ok();
        #[cfg(not(unix))]
        false
    }

    /// Seconds that the program ran, if the script came to its end.
    pub fn ran(&self) -> Option<f64> {
        let time = |name: &str| self.folder.join(name).metadata().ok()?.modified().ok();
        let (from, to) = (time(STARTED)?, time(STATUS)?);
        Some(to.duration_since(from).unwrap_or_default().as_secs_f64())
    }

    /// Seconds that a job which is over has cost; one that was cut short ran until about now, and no longer
    /// than it was let.
    pub(super) fn spent(&self) -> f64 {
        let cut_short = || {
            let from = self.folder.join(STARTED).metadata().ok()?.modified().ok()?;
            let seconds = from.elapsed().unwrap_or_default().as_secs_f64();
            Some(seconds.min(self.seconds))
        };
        self.ran().or_else(cut_short).unwrap_or(0.0)
    }
}

/// A text as one word of a shell.
pub(super) fn quote(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./=:,+@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A job that was handed over, or is about to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Ticket {
    /// The job.
    pub job: Job,
    /// Name of its submission.
    pub batch: String,
    /// Place in the submission, from 0.
    pub index: usize,
    /// Number of jobs in the submission.
    pub of: usize,
    /// What the scheduler calls it; `None` while the answer to the submission is not known.
    pub id: Option<String>,
    /// The job that has the folder, where a submission was made twice and that one came first.
    pub owner: Option<String>,
}

/// What a scheduler tells of a job.
#[derive(Clone, Debug, PartialEq)]
pub struct JobStatus {
    /// What the scheduler calls it, if it was found by name.
    pub id: Option<String>,
    /// Its state.
    pub state: State,
}

/// The state of a job.
#[derive(Clone, Debug, PartialEq)]
pub enum State {
    /// In the queue; why it does not run, if that is worth telling.
    Waiting(Option<String>),
    /// Running, starting or ending.
    Running,
    /// Over.
    Ended(End),
    /// The scheduler does not know it.
    Missing,
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq)]
pub enum End {
    /// By itself, with this exit status; above 128 by a signal.
    Exited(i32),
    /// At its time limit.
    TimedOut,
    /// For want of memory.
    OutOfMemory,
    /// Its node failed, or it was thrown off for others; in words. It may be handed over again at once.
    Lost(String),
    /// Somebody cancelled it.
    Cancelled(String),
    /// The scheduler took it but will never run it, and says why.
    NeverRuns(String),
    /// Nobody knows; what it left has to speak for it.
    Unknown,
}

impl End {
    /// The end that an exit status of the script means.
    pub(super) fn exited(code: i32) -> Self {
        match code {
            98 => Self::Lost("the job's folder was not there".into()),
            code => Self::Exited(code),
        }
    }

    pub(super) fn is_taken(&self) -> bool {
        *self == Self::Exited(TAKEN)
    }
}

/// Why a scheduler did not do what it was asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Refusal {
    /// It does not answer; ask again later.
    Down(String),
    /// It did not answer a submission in time, and may have taken it.
    Unsure(String),
    /// No room: the queue, a quota or this machine is full; submit later.
    Full(String),
    /// It says that the request is wrong; asking again is no use.
    Wrong(String),
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Down(text) | Self::Unsure(text) | Self::Full(text) | Self::Wrong(text) => {
                f.write_str(text)
            }
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::path::Path;
    use std::process::Command;

    fn job(folder: &Path) -> Job {
        Job {
            key: "k".into(),
            attempt: 0,
            variant: 0,
            folder: folder.to_owned(),
            cores: 1,
            memory: None,
            seconds: 60.0,
        }
    }

    #[test]
    fn the_script_runs_the_program_as_it_is_named() {
        let base = tempfile::tempdir().unwrap();
        let folder = base.path().join("it's here");
        std::fs::create_dir(&folder).unwrap();
        let job = job(&folder);
        let command = [
            "sh",
            "-c",
            "echo \"$A|$1\"; pwd; exit 3",
            "x",
            "a 'b' $HOME",
        ];
        let env = [("A".to_owned(), "1 2".to_owned())].into();
        job.write_script(&command.map(str::to_owned), &env, "out")
            .unwrap();
        let run = |id: &str| {
            let mut script = Command::new("sh");
            script.arg(folder.join(SCRIPT)).arg(id);
            script.status().unwrap().code()
        };
        assert_eq!(job.status(), None);
        assert_eq!(run("7_1"), Some(3));
        assert_eq!(job.status(), Some(3));
        assert_eq!(job.owner().as_deref(), Some("7_1"));
        let said = std::fs::read_to_string(folder.join("out")).unwrap();
        assert_eq!(said.lines().next(), Some("1 2|a 'b' $HOME"));
        assert!(said.trim().ends_with("it's here"));
        // Another job has no business here, the same one, requeued, has.
        std::fs::remove_file(folder.join("out")).unwrap();
        assert_eq!(run("8_1"), Some(TAKEN));
        assert!(!folder.join("out").exists());
        assert_eq!(run("7_1"), Some(3));
    }
}
