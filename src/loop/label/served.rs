//! A program that stays and answers structures line by line, for methods that take longer to start than to answer.

use super::outputs::last_lines;
use super::{Call, Part, StopFlag};
use nepal::error::{Error, Result};
use nepal::system::Structure;
use serde::Deserialize;
use serde_json::json;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Time between two looks whether to stop.
const NAP: Duration = Duration::from_millis(100);
/// File for what the program prints.
const LOG: &str = "served.log";

/// The program; it ends with its owner.
pub(super) struct Served {
    child: Child,
    questions: Option<ChildStdin>,
    /// Lines, as a thread reads them.
    answers: Receiver<String>,
    folder: TempDir,
    timeout: Duration,
    stop: StopFlag,
}

#[derive(Deserialize)]
struct Answer {
    error: Option<String>,
    energy: Option<f64>,
    #[serde(default)]
    forces: Vec<[f64; 3]>,
    virial: Option<[f64; 9]>,
}

impl Served {
    /// Starts the program of a call in a folder of its own, to which `files` are copied; the call's limit is that of an
    /// answer.
    ///
    /// **Errors**: [`Error::Io`].
    pub fn new(call: &Call, files: &[PathBuf], stop: StopFlag) -> Result<Self> {
        let command = &call.command;
        let temporary = std::env::temp_dir();
        let failed = |e| Error::io("create a folder in", &temporary, e);
        let folder = tempfile::tempdir().map_err(failed)?;
        for file in files {
            let to = folder.path().join(super::setup::file_name(file));
            std::fs::copy(file, &to).map_err(|e| Error::io("copy to", to, e))?;
        }
        let log = folder.path().join(LOG);
        let out = std::fs::File::create(&log).map_err(|e| Error::io("create", &log, e))?;
        let mut child = Command::new(&command[0])
            .args(&command[1..])
            .envs(&call.env)
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(out)
            .spawn()
            .map_err(|e| Error::io("start", Path::new(&command[0]), e))?;
        let lost = || Error::Internal("a program was started without its pipes".into());
        let questions = child.stdin.take().ok_or_else(lost)?;
        let out = BufReader::new(child.stdout.take().ok_or_else(lost)?);
        let (tell, answers) = channel();
        std::thread::spawn(move || {
            // It ends with the program, or when nobody listens any more.
            let mut lines = out.lines().map_while(std::io::Result::ok);
            while lines.next().is_some_and(|line| tell.send(line).is_ok()) {}
        });
        Ok(Self {
            child,
            questions: Some(questions),
            answers,
            folder,
            timeout: call.timeout,
            stop,
        })
    }

    /// The answer for a structure.
    ///
    /// **Errors**: [`Error::Failed`] with what the program said.
    pub fn ask(&mut self, structure: &Structure) -> Result<Part> {
        let cell = &structure.cell;
        let question = json!({
            "elements": structure.elements.iter().map(|e| e.symbol()).collect::<Vec<_>>(),
            "positions": structure.positions,
            "cell": (cell.periodic() != [false; 3]).then(|| cell.vectors()),
            "pbc": cell.periodic(),
        });
        let asked = self
            .questions
            .as_mut()
            .is_some_and(|pipe| writeln!(pipe, "{question}").is_ok() && pipe.flush().is_ok());
        let failed = |why: &str| Err(Error::Failed(why.to_owned()));
        let begin = Instant::now();
        let line = loop {
            match self.answers.recv_timeout(NAP) {
                Ok(line) => break line,
                _ if self.stop.is_stopped() => return failed("stopped as asked"),
                Err(RecvTimeoutError::Timeout) if asked && begin.elapsed() < self.timeout => {}
                Err(RecvTimeoutError::Timeout) if asked => {
                    return failed(&format!(
                        "the program did not answer within its time limit of {} s",
                        self.timeout.as_secs_f64()
                    ));
                }
                Err(_) => {
                    let said = last_lines(&self.folder.path().join(LOG), 1);
                    return failed(&format!("the program ended: {said}"));
                }
            }
        };
        let answer: Answer = serde_json::from_str(&line)
            .map_err(|e| Error::Failed(format!("the program answered {line:?}: {e}")))?;
        let finite = answer.forces.iter().flatten().all(|f| f.is_finite());
        match (answer.error, answer.energy) {
            (Some(error), _) => Err(Error::Failed(error)),
            (None, Some(energy)) if finite && answer.forces.len() == structure.len() => {
                Ok((energy, answer.forces, answer.virial))
            }
            _ => Err(Error::Failed(format!(
                "the program gave no energy, or not {} forces that are numbers",
                structure.len()
            ))),
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It ends with its input; one that hangs is not waited for.
        drop(self.questions.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
