//! Commands of a scheduler: run with a time limit, behind a wrapper, and what their failures mean.

use super::job::{Refusal, quote};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Longest time for one command; a controller that hangs counts as down.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a scheduler's command said.
pub(super) struct Answer {
    pub success: bool,
    pub output: String,
    pub errors: String,
}

/// The words to run: a command behind a wrapper.
///
/// What stands behind `ssh` goes through a shell on the other side, so its words are quoted. For other
/// wrappers that do the same `{command}` stands for the command as one quoted text.
fn behind(wrapper: &[String], command: &[String]) -> Vec<String> {
    let quoted = || command.iter().map(|w| quote(w)).collect::<Vec<_>>();
    let program = wrapper.first().map(|word| Path::new(word).file_name());
    let remote = program.flatten().is_some_and(|name| name == "ssh");
    if wrapper.iter().any(|word| word.contains("{command}")) {
        let line = quoted().join(" ");
        let words = wrapper.iter().map(|w| w.replace("{command}", &line));
        words.collect()
    } else if remote {
        wrapper.iter().cloned().chain(quoted()).collect()
    } else {
        wrapper.iter().chain(command).cloned().collect()
    }
}

/// Writes what a scheduler is to read. A folder that cannot be written now may be later.
pub(super) fn write(folder: &Path, name: &str, text: &str) -> Result<PathBuf, Refusal> {
    let path = folder.join(name);
    match std::fs::write(&path, text) {
        Ok(()) => Ok(path),
        Err(e) => Err(Refusal::Down(format!(
            "cannot write {}: {e}",
            path.display()
        ))),
    }
}

/// Runs a command of the scheduler, behind `wrapper` (such as `ssh login`).
///
/// **Errors**: [`Refusal::Wrong`] if there is no such program, [`Refusal::Unsure`] if it hangs.
pub(super) fn run(wrapper: &[String], command: &[String]) -> Result<Answer, Refusal> {
    let words = behind(wrapper, command);
    let Some((program, arguments)) = words.split_first() else {
        return Err(Refusal::Wrong("a command of the scheduler is empty".into()));
    };
    let mut process = Command::new(program);
    process
        .args(arguments)
        .env("SLURM_BITSTR_LEN", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    // Ctrl-C is for the driver: a submission that is under way has to come to its end.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut process, 0);
    let mut child = process.spawn().map_err(|e| {
        let text = format!("cannot start {program}: {e}");
        match e.kind() {
            std::io::ErrorKind::NotFound => Refusal::Wrong(format!(
                "{text}; is the scheduler on this machine, or reached by `wrapper`?"
            )),
            _ => Refusal::Down(text),
        }
    })?;
    // Two readers, since either pipe may fill first.
    let reader = |pipe: Option<Box<dyn Read + Send>>| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            if let Some(mut pipe) = pipe {
                // What was read before an error is all there is.
                let _ = pipe.read_to_end(&mut bytes);
            }
            String::from_utf8_lossy(&bytes).into_owned()
        })
    };
    let output = reader(child.stdout.take().map(|p| Box::new(p) as _));
    let errors = reader(child.stderr.take().map(|p| Box::new(p) as _));
    let deadline = Instant::now() + PATIENCE;
    let mut pause = Duration::from_millis(2);
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < deadline => std::thread::sleep(pause),
            Ok(None) | Err(_) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(Refusal::Unsure(format!(
                    "{program} gave no answer within {} s",
                    PATIENCE.as_secs()
                )));
            }
        }
        pause = (pause * 2).min(Duration::from_millis(50));
    };
    Ok(Answer {
        success: status.success(),
        output: output.join().unwrap_or_default(),
        errors: errors.join().unwrap_or_default().trim().to_owned(),
    })
}

/// What HyperQueue says of an error as JSON, without its stack.
fn error(text: &str) -> Option<String> {
    let told: serde_json::Value = serde_json::from_str(text).ok()?;
    let said = told.get("error")?.as_str()?;
    let said = said.split("Stack backtrace").next().unwrap_or(said);
    let words: Vec<&str> = said.split_whitespace().collect();
    Some(words.join(" "))
}

/// What a failed command means, by what it said.
pub(super) fn refusal(wrapper: &[String], answer: &Answer) -> Refusal {
    let said = if answer.errors.is_empty() {
        answer.output.trim()
    } else {
        &answer.errors
    };
    let text = error(said).unwrap_or_else(|| said.lines().collect::<Vec<_>>().join(" | "));
    let lower = text.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    // Slurm, PBS and LSF in turn; then what a wrapper such as ssh says.
    const FULL: [&str; 12] = [
        "submitjob",
        "maxsubmit",
        "accounting/qos policy",
        "temporarily unable to accept",
        "resource temporarily unavailable",
        "maxjobcount",
        "would exceed",
        "maximum number of jobs",
        "limit of jobs",
        "user job limit",
        "pending job threshold",
        "job limit",
    ];
    const UNSURE: [&str; 4] = [
        "timed out",
        "zero bytes were transmitted",
        "unexpected message",
        "broken pipe",
    ];
    const DOWN: [&str; 12] = [
        "unable to contact",
        "connection refused",
        "cannot connect",
        "connection reset",
        "could not resolve",
        "no route to host",
        "network is unreachable",
        "lsf is down",
        "communication failure",
        "munge",
        "connection closed",
        "backup controller",
    ];
    if has(&FULL) {
        Refusal::Full(text)
    } else if has(&UNSURE) {
        Refusal::Unsure(text)
    } else if has(&DOWN) || (text.is_empty() && !wrapper.is_empty()) {
        Refusal::Down(text)
    } else {
        Refusal::Wrong(text)
    }
}

/// What a command that ends jobs came to: those that are gone already are no failure.
pub(super) fn cancelled(answer: Result<String, Refusal>) -> Result<(), Refusal> {
    // Slurm, PBS and LSF in turn.
    const GONE: [&str; 7] = [
        "invalid job id",
        "already completing or completed",
        "job has finished",
        "unknown job id",
        "invalid state for job",
        "already finished",
        "no matching job",
    ];
    match answer {
        Err(Refusal::Wrong(text)) => {
            let lower = text.to_lowercase();
            if GONE.iter().any(|words| lower.contains(words)) {
                Ok(())
            } else {
                Err(Refusal::Wrong(text))
            }
        }
        answer => answer.map(|_| ()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_a_sentence() {
        let said = r#"{"error": "Invalid server directory\n\nCaused by:\n    no folder\n\nStack backtrace:\n   0: x"}"#;
        let plain = "Invalid server directory Caused by: no folder";
        assert_eq!(error(said), Some(plain.to_owned()));
        assert_eq!(error("killed"), None);
    }

    #[test]
    fn failures_are_told_apart() {
        let meaning = |errors: &str| {
            refusal(
                &[],
                &Answer {
                    success: false,
                    output: String::new(),
                    errors: errors.into(),
                },
            )
        };
        let full = "sbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)";
        assert!(matches!(meaning(full), Refusal::Full(_)));
        assert!(matches!(
            meaning("sbatch: error: AssocMaxSubmitJobLimit"),
            Refusal::Full(_)
        ));
        let down = "slurm_load_jobs error: Unable to contact slurm controller (connect failure)";
        assert!(matches!(meaning(down), Refusal::Down(_)));
        let lost =
            "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation";
        assert!(matches!(meaning(lost), Refusal::Unsure(_)));
        let wrong = "sbatch: error: invalid partition specified: nope";
        assert!(matches!(meaning(wrong), Refusal::Wrong(_)));
        assert!(matches!(
            meaning("qsub: would exceed queue generic's per-user limit"),
            Refusal::Full(_)
        ));
        assert!(matches!(
            meaning("Cannot connect to specified server host 'pbs'."),
            Refusal::Down(_)
        ));
    }

    #[test]
    fn ending_what_has_ended_is_no_failure() {
        let answer = |text: &str| cancelled(Err(Refusal::Wrong(text.into())));
        for text in [
            "scancel: error: Kill job error on job id 7: Invalid job id specified",
            "qdel: Job has finished 12.host",
            "qdel: Unknown Job Id 12.host",
            "Job <12>: Job has already finished",
        ] {
            assert_eq!(answer(text), Ok(()), "{text}");
        }
        assert!(answer("qdel: Unauthorized Request 12.host").is_err());
        assert!(cancelled(Err(Refusal::Down("connection refused".into()))).is_err());
    }

    #[test]
    fn the_shell_behind_ssh_gets_the_words_that_were_meant() {
        let words = |list: &[&str]| list.iter().map(|&w| w.to_owned()).collect::<Vec<_>>();
        let command = words(&["squeue", "-O", "State:|,Name:|"]);
        assert_eq!(behind(&[], &command), command);
        assert_eq!(
            behind(&words(&["/usr/bin/ssh", "login"]), &command)[2..],
            ["squeue", "-O", "'State:|,Name:|'"]
        );
        assert_eq!(behind(&words(&["env", "A=1"]), &command)[2..], command[..]);
        assert_eq!(
            behind(&words(&["su", "me", "-c", "cd /x; {command}"]), &command)[3],
            "cd /x; squeue -O 'State:|,Name:|'"
        );
    }

    #[test]
    fn a_program_that_is_missing_is_named() {
        let words = ["no-such-scheduler-command".to_owned()];
        let Err(Refusal::Wrong(text)) = run(&[], &words) else {
            panic!("started")
        };
        assert!(text.contains("no-such-scheduler-command"), "{text}");
    }
}
