//! Runs a program with a time limit, and ends all that it started.

use nepal::error::{Error, Result};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Asks running programs to end; clones share the request.
#[derive(Clone, Debug, Default)]
pub struct StopFlag(Arc<AtomicBool>);

impl StopFlag {
    /// Asks for the stop; it cannot be taken back.
    pub fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// True after [`StopFlag::stop`].
    pub fn is_stopped(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl From<Arc<AtomicBool>> for StopFlag {
    fn from(flag: Arc<AtomicBool>) -> Self {
        Self(flag)
    }
}

/// A program to run.
#[derive(Clone, Debug)]
pub struct Call {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Variables set on top of nepal's own.
    pub env: BTreeMap<String, String>,
    /// Where it runs.
    pub folder: PathBuf,
    /// File in `folder` for standard output and standard error.
    pub output: String,
    /// Longest wall time.
    pub timeout: Duration,
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// By itself, with this status; 0 is success.
    Exited(i32),
    /// By this signal: a crash, the kernel out of memory, or somebody.
    Killed(i32),
    /// Killed after the time limit.
    TimedOut,
    /// Nobody knows: its end was not seen and it left no status. Its output has to speak for it.
    Unknown,
}

impl From<ExitStatus> for Ending {
    fn from(status: ExitStatus) -> Self {
        #[cfg(unix)]
        if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
            return Self::Killed(signal);
        }
        Self::from_code(status.code().unwrap_or(1))
    }
}

impl Ending {
    /// The ending that a shell reports as this status: above 128 its program died of a signal.
    pub fn from_code(code: i32) -> Self {
        match code {
            129..=192 => Self::Killed(code - 128),
            code => Self::Exited(code),
        }
    }

    /// Whether the program was ended from outside, which says nothing of its structure.
    pub fn is_interrupted(&self) -> bool {
        // HUP, INT, KILL, TERM, XCPU, and USR1 and USR2, which schedulers send.
        const OUTSIDE: [i32; 7] = [1, 2, 9, 10, 12, 15, 24];
        match self {
            Self::Exited(_) => false,
            Self::Killed(signal) => OUTSIDE.contains(signal),
            Self::TimedOut | Self::Unknown => true,
        }
    }

    /// Why the run is no good, if it is not.
    pub fn failure(&self, timeout: Duration) -> Option<String> {
        match self {
            Self::Exited(0) | Self::Unknown => None,
            Self::Exited(code) => Some(format!("the program ended with exit status {code}")),
            Self::Killed(signal) => Some(format!("the program was killed by signal {signal}")),
            Self::TimedOut => Some(format!(
                "the program was stopped after its time limit of {} s",
                timeout.as_secs_f64()
            )),
        }
    }
}

impl Call {
    /// Runs the program and waits for it. Its process group is killed at the time limit and when
    /// the flag is raised.
    ///
    /// **Errors**: [`Error::Failed`] if it cannot be started or the flag was raised, [`Error::Io`]
    /// if its output file cannot be made.
    pub fn run(&self, stop: &StopFlag) -> Result<Ending> {
        let mut child = self.spawn()?;
        let deadline = Instant::now() + self.timeout;
        let mut pause = Duration::from_millis(2);
        loop {
            match child.try_wait() {
                Ok(Some(status)) => return Ok(status.into()),
                Ok(None) => {}
                Err(e) => {
                    kill_group(&mut child);
                    return Err(Error::Failed(format!(
                        "lost sight of {}: {e}",
                        self.command[0]
                    )));
                }
            }
            let stopped = stop.is_stopped();
            if stopped || Instant::now() >= deadline {
                kill_group(&mut child);
                if stopped {
                    return Err(Error::Failed(format!(
                        "{} was stopped on request",
                        self.command[0]
                    )));
                }
                return Ok(Ending::TimedOut);
            }
            std::thread::sleep(pause);
            // Quick for programs of milliseconds, idle for those of hours.
            pause = (pause * 2).min(Duration::from_millis(100));
        }
    }

    fn spawn(&self) -> Result<Child> {
        let Some((program, arguments)) = self.command.split_first() else {
            return Err(Error::invalid("the command is empty; name a program"));
        };
        let output = self.folder.join(&self.output);
        let file = File::create(&output).map_err(|e| Error::io("create", &output, e))?;
        let copy = file
            .try_clone()
            .map_err(|e| Error::io("open", &output, e))?;
        let mut command = Command::new(resolve(program));
        command
            .args(arguments)
            .envs(&self.env)
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(copy);
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        command.spawn().map_err(|e| {
            Error::Failed(format!(
                "cannot start {program}: {e}; install it or give its path in `command`"
            ))
        })
    }
}

/// Programs given with a folder are looked for from where nepal runs, not from the work folder.
fn resolve(program: &str) -> PathBuf {
    let path = Path::new(program);
    if path.components().count() > 1 {
        std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
    } else {
        path.to_owned()
    }
}

/// Kills the program and all it started (MPI ranks, shell children), and collects its status.
fn kill_group(child: &mut Child) {
    #[cfg(unix)]
    {
        use rustix::process::{Pid, Signal, kill_process_group};
        // An error means that the group is gone already.
        let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
    }
    // A program may have gone into a group of its own, and waiting for it must end.
    let _ = child.kill();
    let _ = child.wait();
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::label::outputs::last_lines;

    fn shell(folder: &Path, script: &str, timeout: Duration) -> Call {
        Call {
            command: ["sh", "-c", script].map(str::to_owned).into(),
            env: BTreeMap::from([("NEPAL_TEST".to_owned(), "seen".to_owned())]),
            folder: folder.to_owned(),
            output: "out".to_owned(),
            timeout,
        }
    }

    #[test]
    fn output_environment_and_status_come_through() {
        let folder = tempfile::tempdir().unwrap();
        let minute = Duration::from_secs(60);
        let script = "echo $NEPAL_TEST; echo bad >&2; exit 3";
        let ending = shell(folder.path(), script, minute)
            .run(&StopFlag::default())
            .unwrap();
        assert!(ending.failure(minute).unwrap().contains('3'));
        assert_eq!(last_lines(&folder.path().join("out"), 2), "seen | bad");
        let ending = shell(folder.path(), "pwd", minute).run(&StopFlag::default());
        assert_eq!(ending.unwrap().failure(minute), None);
        let found = last_lines(&folder.path().join("out"), 1);
        assert_eq!(Path::new(&found), folder.path().canonicalize().unwrap());
    }

    #[test]
    fn the_time_limit_ends_grandchildren_too() {
        let folder = tempfile::tempdir().unwrap();
        let limit = Duration::from_millis(300);
        let start = Instant::now();
        let script = "(sleep 2; echo late > survivor) & echo started; sleep 60";
        let ending = shell(folder.path(), script, limit)
            .run(&StopFlag::default())
            .unwrap();
        assert_eq!(ending, Ending::TimedOut);
        assert!(ending.failure(limit).unwrap().contains("0.3 s"));
        assert!(start.elapsed() < Duration::from_secs(30));
        assert_eq!(last_lines(&folder.path().join("out"), 1), "started");
        std::thread::sleep(Duration::from_millis(2500));
        assert!(!folder.path().join("survivor").exists());
    }

    #[test]
    fn a_stop_request_ends_the_program() {
        let folder = tempfile::tempdir().unwrap();
        let stop = StopFlag::default();
        let call = shell(folder.path(), "sleep 60", Duration::from_secs(60));
        let start = Instant::now();
        let error = std::thread::scope(|scope| {
            let run = scope.spawn(|| call.run(&stop));
            std::thread::sleep(Duration::from_millis(100));
            stop.stop();
            run.join().unwrap().unwrap_err()
        });
        assert!(error.to_string().contains("on request"), "{error}");
        assert!(start.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn a_missing_program_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut call = shell(folder.path(), "", Duration::from_secs(1));
        call.command = vec!["no-such-program-here".to_owned()];
        let message = call.run(&StopFlag::default()).unwrap_err().to_string();
        assert!(message.contains("no-such-program-here"), "{message}");
        call.command.clear();
        assert!(call.run(&StopFlag::default()).is_err());
    }

    /// A program that left the group which is killed must not hold up the driver.
    #[test]
    fn a_program_in_a_group_of_its_own_is_ended_too() {
        let folder = tempfile::tempdir().unwrap();
        let script = "import os, time\nos.setpgid(0, os.getpgid(os.getppid()))\ntime.sleep(60)";
        let mut call = shell(folder.path(), "", Duration::from_millis(800));
        call.command = ["python3", "-c", script].map(str::to_owned).into();
        let start = Instant::now();
        assert_eq!(call.run(&StopFlag::default()).unwrap(), Ending::TimedOut);
        assert!(start.elapsed() < Duration::from_secs(30));
    }
}
