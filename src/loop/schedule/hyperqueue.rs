//! HyperQueue: thousands of short jobs as tasks of few allocations, which its workers fill.
//!
//! By the program `hq`, or by the Python package `hyperqueue`, which has server, workers and client but no program.
//! A server and its workers are the user's: in allocations, by `hq alloc add`, or on this machine.

use super::Scheduler;
use super::command::{refusal, run, write};
use super::config::SchedulerConfig;
use super::job::{End, Job, JobStatus, Refusal, SCRIPT, State, Ticket, quote};
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::Duration;

/// Speaks for `hq` where there is only the package.
const PACKAGE: &str = include_str!("hyperqueue/hq.py");

/// Hands jobs to a server of HyperQueue.
pub struct HyperQueue {
    config: SchedulerConfig,
    /// Whether there is the program.
    program: bool,
}

/// A job of HyperQueue: a batch of ours.
#[derive(Deserialize)]
struct Batch {
    id: Id,
    #[serde(default)]
    name: String,
    task_stats: Counts,
}

/// A number of `hq`, a text of the package.
#[derive(Clone, PartialEq, Deserialize)]
#[serde(untagged)]
enum Id {
    Number(u64),
    Text(String),
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

#[derive(Deserialize)]
struct Counts {
    running: usize,
    waiting: usize,
    failed: usize,
    canceled: usize,
}

#[derive(Deserialize)]
struct Task {
    id: usize,
    state: String,
    #[serde(default)]
    error: String,
}

#[derive(Deserialize)]
struct Submitted {
    id: Id,
}

impl HyperQueue {
    /// A scheduler with these settings; behind a wrapper there has to be the program.
    pub fn new(config: SchedulerConfig) -> Self {
        let search = std::env::var_os("PATH").unwrap_or_default();
        let here = std::env::split_paths(&search).any(|folder| folder.join("hq").is_file());
        let program = !config.wrapper.is_empty() || here;
        Self { config, program }
    }

    /// Runs a command; words of the program and of what speaks for it.
    fn call<T: for<'a> Deserialize<'a>>(
        &self,
        program: &[&str],
        package: &[&str],
    ) -> Result<T, Refusal> {
        let server = self.config.server.as_ref().map(|s| s.to_string_lossy());
        let command: Vec<&str> = match self.program {
            true => {
                let folder = server.as_deref().map(|folder| ["--server-dir", folder]);
                let mut words = vec!["hq", "--output-mode", "json"];
                words.extend(folder.iter().flatten());
                words.extend(program);
                words
            }
            false => {
                let python = self.config.python.as_deref().unwrap_or("python3");
                let server = server.as_deref().unwrap_or("");
                let mut words = vec![python, "-c", PACKAGE, server];
                words.extend(package);
                words
            }
        };
        let command: Vec<String> = command.into_iter().map(str::to_owned).collect();
        let answer = run(&self.config.wrapper, &command)?;
        if !answer.success {
            return Err(match refusal(&self.config.wrapper, &answer) {
                // A server that is away comes back; what cannot be understood does not.
                Refusal::Wrong(text) if text.contains("No module named 'hyperqueue'") => {
                    Refusal::Wrong("neither the program hq nor the Python package hyperqueue is there; put hq on the search path, or install the package and name its interpreter in `python`".into())
                }
                Refusal::Wrong(text) if !text.contains("Usage:") => Refusal::Down(text),
                other => other,
            });
        }
        serde_json::from_str(&answer.output)
            .map_err(|e| Refusal::Unsure(format!("hq said {:?}: {e}", answer.output.trim())))
    }
}

impl Scheduler for HyperQueue {
    fn name(&self) -> &str {
        "HyperQueue"
    }

    fn batch_size(&self) -> usize {
        self.config.array
    }

    fn interval(&self) -> Duration {
        self.config.interval()
    }

    fn outlives_driver(&self) -> bool {
        true
    }

    fn submit(&mut self, batch: &str, folder: &Path, jobs: &[Job]) -> Result<String, Refusal> {
        let folders = jobs.iter().map(|j| format!("{}\n", j.folder.display()));
        let list = write(folder, "folders", &folders.collect::<String>())?;
        let mut text = String::from("#!/bin/sh\n");
        for line in &self.config.lines {
            text.push_str(&format!("{line}\n"));
        }
        text.push_str(&format!(
            "task=${{NEPAL_TASK:-$HQ_TASK_ID}}\nfolder=$(sed -n \"${{task}}p\" {})\nexec /bin/sh \"$folder/{SCRIPT}\" \"{batch}_$task\"\n",
            quote(&list.to_string_lossy())
        ));
        let script = write(folder, "submit.sh", &text)?;
        let script = script.to_string_lossy().into_owned();
        let most = |value: fn(&Job) -> f64| jobs.iter().map(value).fold(0.0, f64::max);
        let cores = most(|j| j.cores as f64).to_string();
        let seconds = most(|j| j.seconds).ceil().to_string();
        let count = jobs.len().to_string();
        let (array, limit) = (format!("1-{count}"), format!("{seconds}s"));
        let mut words = vec![
            "submit", "--name", batch, "--array", &array, "--cpus", &cores,
        ];
        words.extend([
            "--time-limit",
            &limit,
            "--stdout",
            "none",
            "--stderr",
            "none",
        ]);
        let memory = format!("mem={}", most(|j| j.memory.unwrap_or(0) as f64));
        if jobs.iter().any(|j| j.memory.is_some()) {
            words.extend(["--resource", &memory]);
        }
        words.extend(["--", "/bin/sh", &script]);
        let package = [
            "submit", batch, &cores, &seconds, &count, "/bin/sh", &script,
        ];
        self.call(&words, &package)
            .map(|s: Submitted| s.id.to_string())
    }

    /// Files tell of tasks that have ended by themselves; the server tells whether the others can still do so.
    fn look(&mut self, tickets: &[Ticket]) -> Result<Vec<JobStatus>, Refusal> {
        let mut ids: Vec<&str> = tickets.iter().filter_map(|t| t.id.as_deref()).collect();
        ids.sort_unstable();
        ids.dedup();
        let mut package = vec!["jobs"];
        package.extend(&ids);
        let batches: Vec<Batch> = self.call(&["job", "list", "--all"], &package)?;
        let name_of = |t: &Ticket| match t.owner.as_ref().and_then(|o| o.rsplit_once('_')) {
            Some((batch, _)) => batch.to_owned(),
            None => t.batch.clone(),
        };
        let by_name: HashMap<&str, &Batch> = batches.iter().map(|b| (b.name.as_str(), b)).collect();
        let texts: Vec<String> = batches.iter().map(|b| b.id.to_string()).collect();
        let by_id: HashMap<&str, &Batch> = texts.iter().map(String::as_str).zip(&batches).collect();
        let batch_of = |t: &Ticket| match self.program {
            // A server that began anew gives old numbers to other jobs.
            true => by_name.get(name_of(t).as_str()).copied(),
            false => t.id.as_deref().and_then(|id| by_id.get(id)).copied(),
        };
        let ended: Vec<Option<i32>> = tickets.iter().map(|t| t.job.status()).collect();
        let open = || {
            tickets
                .iter()
                .zip(&ended)
                .filter(|(_, code)| code.is_none())
        };
        let mut doubtful: Vec<String> = open()
            .filter_map(|(t, _)| batch_of(t))
            .filter(|b| b.task_stats.failed + b.task_stats.canceled > 0)
            .map(|b| b.id.to_string())
            .collect();
        doubtful.sort_unstable();
        doubtful.dedup();
        let mut failed: BTreeMap<String, Vec<Task>> = BTreeMap::new();
        for ids in doubtful.chunks(100) {
            let list = ids.join(",");
            let mut package = vec!["failed"];
            package.extend(ids.iter().map(String::as_str));
            failed.append(&mut self.call(&["task", "list", &list], &package)?);
        }
        let state = |ticket: &Ticket, batch: &Batch| {
            let number = ticket.owner.as_ref().and_then(|o| o.rsplit_once('_'));
            let number = number
                .and_then(|(_, n)| n.parse().ok())
                .unwrap_or(ticket.index + 1);
            let tasks = failed.get(&batch.id.to_string());
            let task = tasks.and_then(|t| t.iter().find(|t| t.id == number));
            match task.map(|t| (t.state.as_str(), t.error.as_str())) {
                Some(("failed", error)) => State::Ended(end(error)),
                Some(("canceled", _)) => State::Ended(End::Cancelled("by `hq job cancel`".into())),
                _ if batch.task_stats.running + batch.task_stats.waiting > 0 => State::Running,
                // Its files may take a while to be seen.
                _ => State::Ended(End::Exited(0)),
            }
        };
        let look = |(ticket, code): (&Ticket, &Option<i32>)| {
            let batch = batch_of(ticket);
            let state = match (code, batch) {
                (Some(code), _) => State::Ended(End::exited(*code)),
                (None, Some(batch)) => state(ticket, batch),
                (None, None) => State::Missing,
            };
            let id = batch.map(|b| b.id.to_string());
            JobStatus {
                id: id.or_else(|| ticket.id.clone()),
                state,
            }
        };
        Ok(tickets.iter().zip(&ended).map(look).collect())
    }

    /// Those that have not begun never will; of a batch that nobody wants any more the others are ended, too.
    fn cancel(&mut self, tickets: &[Ticket]) -> Result<(), Refusal> {
        let mut batches: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        let mut begun = false;
        for ticket in tickets {
            // Another task has no business in the folder then.
            begun |= !ticket.job.withhold() && ticket.job.status().is_none();
            if let Some(id) = &ticket.id {
                batches.entry(id).or_insert((0, ticket.of)).0 += 1;
            }
        }
        let whole = batches.into_iter().filter(|(_, (count, of))| count == of);
        let ids: Vec<&str> = whole.map(|(id, _)| id).collect();
        if ids.is_empty() || !self.program || !begun {
            return Ok(());
        }
        // Answers with a text for each job, which says nothing that matters.
        match self.call::<serde_json::Value>(&["job", "cancel", &ids.join(",")], &[]) {
            Ok(_) | Err(Refusal::Unsure(_)) => Ok(()),
            Err(refusal) => Err(refusal),
        }
    }
}

/// What an error of a task means.
fn end(error: &str) -> End {
    let code = error.rsplit("exit code ").next().map(|tail| {
        let digits: String = tail.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<i32>()
    });
    match code {
        Some(Ok(124)) => End::TimedOut,
        Some(Ok(code)) => End::exited(code),
        _ if error.to_lowercase().contains("time limit") => End::TimedOut,
        _ => End::Lost(error.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_tasks_are_understood() {
        assert_eq!(end("Program terminated with exit code 3."), End::Exited(3));
        assert!(end("Program terminated with exit code 97.").is_taken());
        assert_eq!(end("Time limit reached"), End::TimedOut);
        assert!(matches!(end("worker lost"), End::Lost(_)));
    }

    #[test]
    fn what_hq_lists_is_read() {
        let text = r#"[{"id": 3, "name": "nlab", "task_count": 2, "task_stats":
            {"canceled": 0, "failed": 1, "finished": 1, "running": 0, "waiting": 0}}]"#;
        let list: Vec<Batch> = serde_json::from_str(text).unwrap();
        assert_eq!(
            (list[0].id.to_string().as_str(), list[0].name.as_str()),
            ("3", "nlab")
        );
        let text =
            r#"{"3": [{"id": 2, "state": "failed", "error": "Time limit reached", "cwd": "/x"}]}"#;
        let tasks: BTreeMap<String, Vec<Task>> = serde_json::from_str(text).unwrap();
        assert_eq!(end(&tasks["3"][0].error), End::TimedOut);
    }
}
