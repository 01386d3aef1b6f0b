//! Batch systems by their commands: PBS (Pro, OpenPBS, Torque) and LSF.
//!
//! Three commands, each replaceable: one submits a script and prints a number, one tells the states of all
//! jobs, one ends jobs.

use super::Scheduler;
use super::command::{cancelled, refusal, run, write};
use super::config::SchedulerConfig;
use super::job::{End, Job, JobStatus, Refusal, SCRIPT, State, Ticket, quote};
use std::collections::HashMap;
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

/// How the states of jobs are printed.
#[derive(Clone, Copy)]
enum Format {
    /// `Job Id: 12.host` and lines `    key = value`, as `qstat -f` prints.
    Blocks,
    /// `number|state|exit status|exit reason|name`, as `bjobs -o` can print.
    Table,
}

/// Hands jobs to a batch system by its commands.
pub struct Template {
    config: SchedulerConfig,
    name: &'static str,
    format: Format,
    submit: Vec<String>,
    status: Vec<String>,
    cancel: Vec<String>,
}

fn words(own: &[String], default: &[&str]) -> Vec<String> {
    if own.is_empty() {
        default.iter().map(|&w| w.to_owned()).collect()
    } else {
        own.to_vec()
    }
}

/// What a job is known by, and its state.
struct Row {
    id: String,
    name: String,
    state: State,
}

impl Template {
    /// PBS Pro or OpenPBS; for Torque give `status = "qstat -f"`.
    pub fn pbs(config: SchedulerConfig) -> Self {
        Self {
            submit: words(&config.submit, &["qsub", "{script}"]),
            status: words(&config.status, &["qstat", "-x", "-f"]),
            cancel: words(&config.cancel, &["qdel", "{ids}"]),
            name: "PBS",
            format: Format::Blocks,
            config,
        }
    }

    /// LSF.
    pub fn lsf(config: SchedulerConfig) -> Self {
        let columns = "jobid stat exit_code exit_reason job_name delimiter='|'";
        Self {
            submit: words(
                &config.submit,
                &["sh", "-c", "exec bsub < \"$0\"", "{script}"],
            ),
            status: words(&config.status, &["bjobs", "-a", "-noheader", "-o", columns]),
            cancel: words(&config.cancel, &["bkill", "{ids}"]),
            name: "LSF",
            format: Format::Table,
            config,
        }
    }

    fn call(&self, command: &[String]) -> Result<String, Refusal> {
        let answer = run(&self.config.wrapper, command)?;
        // LSF says so, with a failure, when there is nothing to tell.
        let none = ["No job found", "No unfinished job found", "No matching job"];
        if answer.success || none.iter().any(|text| answer.errors.contains(text)) {
            Ok(answer.output)
        } else {
            Err(refusal(&self.config.wrapper, &answer))
        }
    }

    fn script(&self, batch: &str, folder: &Path, job: &Job) -> String {
        let minutes = (job.seconds / 60.0).ceil().max(1.0);
        let log = folder.join("queue.log");
        let log = log.to_string_lossy();
        let mut text = String::from("#!/bin/bash\n");
        let (mark, lines) = match self.format {
            Format::Blocks => {
                let mut select = format!("select=1:ncpus={}", job.cores);
                if let Some(memory) = job.memory {
                    let _ = write!(select, ":mem={memory}mb");
                }
                let (hours, minutes) = ((minutes / 60.0).floor(), minutes % 60.0);
                let lines = vec![
                    format!("-N {batch}"),
                    "-j oe".to_owned(),
                    format!("-o {log}"),
                    format!("-l {select}"),
                    format!("-l walltime={hours}:{minutes:02}:00"),
                ];
                ("#PBS", lines)
            }
            Format::Table => {
                let mut lines = vec![
                    format!("-J {batch}"),
                    format!("-o {log}"),
                    format!("-n {}", job.cores),
                    "-R \"span[hosts=1]\"".to_owned(),
                    format!("-W {minutes}"),
                ];
                lines.extend(job.memory.map(|memory| format!("-M {memory}MB")));
                ("#BSUB", lines)
            }
        };
        let queue = self.config.partition.iter().map(|q| format!("-q {q}"));
        let flag = match self.format {
            Format::Blocks => "-A",
            Format::Table => "-P",
        };
        let account = self.config.account.iter().map(|a| format!("{flag} {a}"));
        for line in lines.into_iter().chain(queue).chain(account) {
            let _ = writeln!(text, "{mark} {line}");
        }
        let (directives, commands) = self.config.split_lines();
        for line in directives.into_iter().chain(commands) {
            let _ = writeln!(text, "{line}");
        }
        let id = match self.format {
            Format::Blocks => "$PBS_JOBID",
            Format::Table => "$LSB_JOBID",
        };
        let script = quote(&job.folder.join(SCRIPT).to_string_lossy());
        let _ = writeln!(text, "exec /bin/sh {script} \"{id}\"");
        text
    }

    fn state(&self, word: &str, exit: &str, reason: &str) -> State {
        if let Some(meaning) = self.config.states.get(word) {
            return match meaning.as_str() {
                "waiting" => State::Waiting(None),
                "running" => State::Running,
                "ended" => State::Ended(ended(exit)),
                _ => State::Ended(End::Lost(format!("state {word}"))),
            };
        }
        match (self.format, word) {
            (Format::Blocks, "Q" | "W" | "T") => State::Waiting(None),
            (Format::Blocks, "H") => State::Waiting(Some("held".into())),
            (Format::Blocks, "S" | "U") => State::Waiting(Some("suspended".into())),
            (Format::Blocks, "C" | "F" | "X") => State::Ended(match exit.parse::<i32>() {
                // PBS: killed for walltime -29, memory -27 and the like; 256 + signal for kills.
                Ok(-29) => End::TimedOut,
                Ok(-27 | -28) => End::OutOfMemory,
                Ok(code) if code < 0 => End::Lost(format!("PBS ended it with status {code}")),
                Ok(code) if code >= 256 && reason.contains("walltime") => End::TimedOut,
                Ok(code) if code >= 256 && reason.contains("mem") => End::OutOfMemory,
                Ok(code) if code >= 256 => End::Exited(128 + code % 128),
                Ok(code) => End::exited(code),
                Err(_) => End::Unknown,
            }),
            (Format::Table, "PEND" | "PROV" | "WAIT") => State::Waiting(None),
            (Format::Table, "PSUSP" | "USUSP" | "SSUSP") => {
                State::Waiting(Some("suspended".into()))
            }
            (Format::Table, "DONE") => State::Ended(End::exited(0)),
            (Format::Table, "EXIT") => State::Ended(if reason.contains("RUNLIMIT") {
                End::TimedOut
            } else if reason.contains("MEMLIMIT") || reason.contains("SWAP") {
                End::OutOfMemory
            } else if reason.contains("PREEMPT") || reason.contains("ZOMBIE") {
                End::Lost(reason.to_owned())
            } else if reason.contains("OWNER") || reason.contains("ADMIN") {
                End::Cancelled(reason.to_owned())
            } else {
                ended(exit)
            }),
            (Format::Table, "UNKWN") => State::Waiting(Some("its host does not answer".into())),
            (Format::Table, "ZOMBI") => State::Ended(End::Lost("its host was lost".into())),
            _ => State::Running,
        }
    }

    fn rows(&self, output: &str) -> Vec<Row> {
        match self.format {
            Format::Table => output.lines().filter_map(|line| self.row(line)).collect(),
            Format::Blocks => {
                let mut rows = Vec::new();
                for block in output.split("Job Id:").skip(1) {
                    let mut lines = block.lines();
                    let id = lines.next().unwrap_or_default().trim().to_owned();
                    let mut keys: HashMap<&str, &str> = HashMap::new();
                    for line in lines {
                        if let Some((key, value)) = line.split_once(" = ") {
                            keys.insert(key.trim(), value.trim());
                        }
                    }
                    let value = |key: &str| keys.get(key).copied().unwrap_or_default();
                    let exit = keys.get("Exit_status").or(keys.get("exit_status"));
                    rows.push(Row {
                        id,
                        name: value("Job_Name").to_owned(),
                        state: self.state(
                            value("job_state"),
                            exit.copied().unwrap_or_default(),
                            value("comment"),
                        ),
                    });
                }
                rows
            }
        }
    }

    fn row(&self, line: &str) -> Option<Row> {
        let words: Vec<&str> = line.split('|').map(str::trim).collect();
        let [id, state, exit, reason, name] = words[..] else {
            return None;
        };
        Some(Row {
            id: id.to_owned(),
            name: name.to_owned(),
            state: self.state(state, exit, reason),
        })
    }
}

fn ended(exit: &str) -> End {
    exit.parse().map_or(End::Unknown, End::exited)
}

impl Scheduler for Template {
    fn name(&self) -> &str {
        self.name
    }

    fn batch_size(&self) -> usize {
        1
    }

    fn interval(&self) -> Duration {
        self.config.interval()
    }

    fn outlives_driver(&self) -> bool {
        true
    }

    fn submit(&mut self, batch: &str, folder: &Path, jobs: &[Job]) -> Result<String, Refusal> {
        let [job] = jobs else {
            return Err(Refusal::Wrong("one job at a time".into()));
        };
        let script = write(folder, "submit.sh", &self.script(batch, folder, job))?;
        let name = script.to_string_lossy();
        let fill = |word: &String| word.replace("{script}", &name);
        let command: Vec<String> = self.submit.iter().map(fill).collect();
        let output = self.call(&command)?;
        submitted(&output).ok_or_else(|| {
            Refusal::Unsure(format!(
                "{} did not tell the job's number but {:?}",
                self.name,
                output.trim()
            ))
        })
    }

    fn look(&mut self, tickets: &[Ticket]) -> Result<Vec<JobStatus>, Refusal> {
        let rows = self.rows(&self.call(&self.status)?);
        let by_id: HashMap<&str, &Row> = rows.iter().map(|r| (r.id.as_str(), r)).collect();
        let by_name: HashMap<&str, &Row> = rows.iter().map(|r| (r.name.as_str(), r)).collect();
        let find = |ticket: &Ticket| {
            let row = match ticket.owner.as_ref().or(ticket.id.as_ref()) {
                Some(id) => by_id.get(id.as_str()),
                None => by_name.get(ticket.batch.as_str()),
            };
            row.map_or_else(
                || JobStatus {
                    id: ticket.id.clone(),
                    state: State::Missing,
                },
                |row| JobStatus {
                    id: Some(row.id.clone()),
                    state: row.state.clone(),
                },
            )
        };
        Ok(tickets.iter().map(find).collect())
    }

    fn cancel(&mut self, tickets: &[Ticket]) -> Result<(), Refusal> {
        let ids: Vec<String> = tickets.iter().filter_map(|t| t.id.clone()).collect();
        for ids in ids.chunks(500) {
            let fill = |word: &String| {
                if word == "{ids}" {
                    ids.to_vec()
                } else {
                    vec![word.clone()]
                }
            };
            let command: Vec<String> = self.cancel.iter().flat_map(fill).collect();
            cancelled(self.call(&command))?;
        }
        Ok(())
    }
}

/// The number in `12.host`, or in `Job <12> is submitted to queue <normal>.`
fn submitted(output: &str) -> Option<String> {
    if let Some((_, tail)) = output.split_once("Job <") {
        return tail.split('>').next().map(str::to_owned);
    }
    let line = output
        .lines()
        .rev()
        .map(str::trim)
        .find(|l| !l.is_empty())?;
    let id = line.split_whitespace().next()?;
    id.starts_with(|c: char| c.is_ascii_digit())
        .then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> SchedulerConfig {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn pbs_is_read() {
        let pbs = Template::pbs(config("kind = 'pbs'\nstates = { B = 'running' }"));
        let output = "Job Id: 12.host\n    Job_Name = nl1\n    job_state = F\n    Exit_status = 3\n\
                      \tcomment = x\n\nJob Id: 13.host\n    Job_Name = nl2\n    job_state = Q\n\
                      Job Id: 14.host\n    job_state = F\n    Exit_status = -29\n\
                      Job Id: 15.host\n    job_state = F\n    Exit_status = 271\n\
                      Job Id: 16.host\n    job_state = B\n";
        let rows = pbs.rows(output);
        let states: Vec<&State> = rows.iter().map(|r| &r.state).collect();
        assert_eq!(
            states,
            [
                &State::Ended(End::Exited(3)),
                &State::Waiting(None),
                &State::Ended(End::TimedOut),
                &State::Ended(End::Exited(143)),
                &State::Running,
            ]
        );
        assert_eq!(
            (rows[0].id.as_str(), rows[1].name.as_str()),
            ("12.host", "nl2")
        );
    }

    #[test]
    fn lsf_is_read() {
        let lsf = Template::lsf(config("kind = 'lsf'"));
        let output = "7|DONE|-|-|nl1\n8|EXIT|140|TERM_RUNLIMIT: job killed after reaching LSF run time limit|nl2\n\
                      9|EXIT|2|-|nl3\n10|PEND|-|-|nl4\n11|ZOMBI|-|-|nl5\n";
        let states: Vec<State> = lsf.rows(output).into_iter().map(|r| r.state).collect();
        assert_eq!(states[0], State::Ended(End::Exited(0)));
        assert_eq!(states[1], State::Ended(End::TimedOut));
        assert_eq!(states[2], State::Ended(End::Exited(2)));
        assert_eq!(states[3], State::Waiting(None));
        assert!(matches!(states[4], State::Ended(End::Lost(_))));
    }

    #[test]
    fn numbers_are_found_in_what_is_printed() {
        assert_eq!(submitted("12.host\n").as_deref(), Some("12.host"));
        let lsf = "Job <77> is submitted to queue <normal>.";
        assert_eq!(submitted(lsf).as_deref(), Some("77"));
        assert_eq!(submitted("hello\n"), None);
    }
}
