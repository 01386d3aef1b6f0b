//! Slurm: arrays by `sbatch --parsable`, all states by one `squeue`, what it forgot by `sacct`.

use super::Scheduler;
use super::command::{cancelled, refusal, run};
use super::config::SchedulerConfig;
use super::job::{End, Job, Refusal, SCRIPT, Sight, State, Ticket, quote};
use std::collections::HashMap;
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

/// Hands jobs to Slurm.
///
/// States come from one `squeue` for all jobs of the user, finished ones included as long as the
/// controller remembers them (`MinJobAge`), and from `sacct` after that, where accounting is on.
pub struct Slurm {
    config: SchedulerConfig,
}

impl Slurm {
    /// A scheduler with these settings.
    pub fn new(config: SchedulerConfig) -> Self {
        Self { config }
    }

    fn call(&self, words: &[&str]) -> Result<String, Refusal> {
        let command: Vec<String> = words.iter().map(|&w| w.to_owned()).collect();
        let answer = run(&self.config.wrapper, &command)?;
        if answer.success {
            Ok(answer.output)
        } else {
            Err(refusal(&self.config.wrapper, &answer))
        }
    }

    /// The script that `sbatch` gets: each task of the array runs the job of its line.
    fn script(&self, batch: &str, folder: &Path, jobs: &[Job]) -> String {
        let most = |value: fn(&Job) -> f64| jobs.iter().map(value).fold(0.0, f64::max);
        let cores = most(|j| j.cores as f64);
        let memory = most(|j| j.memory.unwrap_or(0) as f64);
        let minutes = (most(|j| j.seconds) / 60.0).ceil().max(1.0);
        let mut text = format!("#!/bin/bash\n#SBATCH --job-name={batch}\n");
        let log = folder.join("slurm.log");
        let _ = writeln!(
            text,
            "#SBATCH --output={}\n#SBATCH --open-mode=append\n#SBATCH --nodes=1\n#SBATCH --ntasks={cores}\n#SBATCH --time={minutes}",
            quote(&log.to_string_lossy())
        );
        if memory > 0.0 {
            let _ = writeln!(text, "#SBATCH --mem={memory}");
        }
        if let Some(partition) = &self.config.partition {
            let _ = writeln!(text, "#SBATCH --partition={partition}");
        }
        if let Some(account) = &self.config.account {
            let _ = writeln!(text, "#SBATCH --account={account}");
        }
        let id = if jobs.len() > 1 {
            let _ = writeln!(text, "#SBATCH --array=1-{}", jobs.len());
            "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID"
        } else {
            "$SLURM_JOB_ID"
        };
        let (directives, commands) = self.config.split_lines();
        for line in directives.into_iter().chain(commands) {
            let _ = writeln!(text, "{line}");
        }
        let list = quote(&folder.join("folders").to_string_lossy());
        let _ = writeln!(
            text,
            "folder=$(sed -n \"${{SLURM_ARRAY_TASK_ID:-1}}p\" {list})\nexec /bin/sh \"$folder/{SCRIPT}\" \"{id}\""
        );
        text
    }
}

impl Scheduler for Slurm {
    fn name(&self) -> &str {
        "Slurm"
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
        let write = |name: &str, text: String| {
            let path = folder.join(name);
            let failed = |e| Refusal::Down(format!("cannot write {}: {e}", path.display()));
            std::fs::write(&path, text).map_err(failed)
        };
        let folders = jobs.iter().map(|j| format!("{}\n", j.folder.display()));
        write("folders", folders.collect())?;
        write("submit.sh", self.script(batch, folder, jobs))?;
        let script = folder.join("submit.sh");
        let output = self.call(&["sbatch", "--parsable", &script.to_string_lossy()])?;
        // `ID` or `ID;cluster`; a site's own messages may stand before it.
        let id = output.split_whitespace().last().unwrap_or_default();
        let id = id.split(';').next().unwrap_or_default();
        if id.is_empty() || !id.bytes().all(|b| b.is_ascii_digit()) {
            return Err(Refusal::Unsure(format!(
                "sbatch did not tell the job's number but {:?}",
                output.trim()
            )));
        }
        Ok(id.to_owned())
    }

    fn look(&mut self, tickets: &[Ticket]) -> Result<Vec<Sight>, Refusal> {
        const FORMAT: &str = "JobArrayID:|,State:|,exit_code:|,Name:|,Reason:";
        let output = self.call(&["squeue", "--me", "-h", "-t", "all", "-O", FORMAT])?;
        let rows = Rows::parse(&output);
        Ok(tickets.iter().map(|ticket| rows.find(ticket)).collect())
    }

    fn history(&mut self, tickets: &[Ticket]) -> Result<Vec<Option<End>>, Refusal> {
        let number = |t: &Ticket| Some(task_id(t)?.split('_').next()?.to_owned());
        let mut ids: Vec<String> = tickets.iter().filter_map(number).collect();
        ids.sort();
        ids.dedup();
        if ids.is_empty() {
            return Ok(tickets.iter().map(|_| None).collect());
        }
        let format = "--format=JobID,State,ExitCode";
        let output = self.call(&["sacct", "-n", "-P", "-X", format, "-j", &ids.join(",")])?;
        let rows: HashMap<String, End> = output
            .lines()
            .filter_map(|line| {
                let mut words = line.split('|');
                let (id, state, code) = (words.next()?, words.next()?, words.next()?);
                match state_of(state, code, "") {
                    State::Ended(end) => Some((id.to_owned(), end)),
                    _ => None,
                }
            })
            .collect();
        let find = |ticket: &Ticket| rows.get(&task_id(ticket)?).cloned();
        Ok(tickets.iter().map(find).collect())
    }

    fn cancel(&mut self, tickets: &[Ticket]) -> Result<(), Refusal> {
        let ids: Vec<String> = tickets.iter().filter_map(task_id).collect();
        // A command line has room for some thousands of numbers.
        for ids in ids.chunks(1000) {
            let mut words = vec!["scancel"];
            words.extend(ids.iter().map(String::as_str));
            cancelled(self.call(&words))?;
        }
        Ok(())
    }
}

/// What Slurm calls a task: `12_3`, or `12` for a job without an array.
fn task_id(ticket: &Ticket) -> Option<String> {
    if ticket.owner.is_some() {
        return ticket.owner.clone();
    }
    let id = ticket.id.as_ref()?;
    Some(if ticket.of > 1 {
        format!("{id}_{}", ticket.index + 1)
    } else {
        id.clone()
    })
}

/// The answer of `squeue`.
#[derive(Default)]
struct Rows {
    /// By the name of a task.
    tasks: HashMap<String, State>,
    /// Pending tasks that are told together: number of the array, ranges, state.
    folded: HashMap<String, Vec<(String, State)>>,
    /// Number of a job or array by name.
    names: HashMap<String, String>,
}

impl Rows {
    fn parse(output: &str) -> Self {
        let mut rows = Self::default();
        for line in output.lines() {
            let words: Vec<&str> = line.splitn(5, '|').map(str::trim).collect();
            let [id, state, code, name, reason] = words[..] else {
                continue;
            };
            let state = state_of(state, code, reason);
            let number = id.split('_').next().unwrap_or(id);
            rows.names.insert(name.to_owned(), number.to_owned());
            match id.split_once("_[") {
                Some((number, ranges)) => {
                    let entry = rows.folded.entry(number.to_owned()).or_default();
                    entry.push((ranges.trim_end_matches(']').to_owned(), state));
                }
                None => {
                    rows.tasks.insert(id.to_owned(), state);
                }
            }
        }
        rows
    }

    fn find(&self, ticket: &Ticket) -> Sight {
        let id = match &ticket.id {
            Some(id) => Some(id.clone()),
            None => self.names.get(&ticket.batch).cloned(),
        };
        let named = Ticket {
            id: id.clone(),
            ..ticket.clone()
        };
        let state = task_id(&named).and_then(|task| self.tasks.get(&task).cloned());
        let folded = || {
            let task = task_id(&named)?;
            let (number, index) = task.split_once('_')?;
            let (list, index) = (self.folded.get(number)?, index.parse().ok()?);
            let holds = |(ranges, _): &&(String, State)| in_ranges(ranges, index);
            list.iter().find(holds).map(|(_, state)| state.clone())
        };
        Sight {
            state: state.or_else(folded).unwrap_or(State::Missing),
            id,
        }
    }
}

/// Whether `1-4,7,9-10%2` holds a number; a list that Slurm cut short (`...`) holds all.
fn in_ranges(ranges: &str, number: usize) -> bool {
    let ranges = ranges.split('%').next().unwrap_or_default();
    ranges.split(',').any(|range| {
        if range.contains("...") {
            return true;
        }
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        match (first.parse::<usize>(), last.parse::<usize>()) {
            (Ok(first), Ok(last)) => (first..=last).contains(&number),
            _ => false,
        }
    })
}

/// What a state of Slurm means. `code` is the raw status of `squeue` or `code:signal` of `sacct`.
fn state_of(state: &str, code: &str, reason: &str) -> State {
    // `CANCELLED by 1000`, and `COMPLETED+` where the column is narrow.
    let word = state.split([' ', '+']).next().unwrap_or_default();
    let lost = |why: &str| State::Ended(End::Lost(why.to_owned()));
    // Slurm never starts these; it would keep them in the queue for ever.
    const NEVER: [&str; 8] = [
        "PartitionConfig",
        "PartitionNodeLimit",
        "PartitionTimeLimit",
        "BadConstraints",
        "DependencyNeverSatisfied",
        "AccountNotAllowed",
        "InvalidAccount",
        "InvalidQOS",
    ];
    match word {
        "COMPLETED" => State::Ended(End::exited(0)),
        "FAILED" => State::Ended(End::exited(match exit_code(code) {
            // It failed, whatever the status says.
            0 => 1,
            code => code,
        })),
        "TIMEOUT" | "DEADLINE" => State::Ended(End::TimedOut),
        "OUT_OF_MEMORY" => State::Ended(End::OutOfMemory),
        "NODE_FAIL" => lost("its node failed"),
        "BOOT_FAIL" => lost("its node did not start"),
        "PREEMPTED" => lost("it was preempted"),
        "REVOKED" => lost("it was revoked"),
        "CANCELLED" => State::Ended(End::Cancelled(state.to_lowercase())),
        "PENDING" | "REQUEUED" | "REQUEUE_FED" | "RESV_DEL_HOLD" if NEVER.contains(&reason) => {
            State::Ended(End::NeverRuns(reason.to_owned()))
        }
        "REQUEUE_HOLD" | "SPECIAL_EXIT" => {
            lost("it was requeued and held after a failure to start")
        }
        "PENDING" if reason.starts_with("launch_failed") || reason.contains("requeued_held") => {
            lost("it was requeued and held after a failure to start")
        }
        "PENDING" | "REQUEUED" | "REQUEUE_FED" | "RESV_DEL_HOLD" | "CONFIGURING" => {
            let telling = !["", "None", "Priority", "Resources"].contains(&reason);
            State::Waiting(telling.then(|| reason.to_owned()))
        }
        "SUSPENDED" | "STOPPED" => State::Waiting(Some("suspended".into())),
        // RUNNING, COMPLETING, STAGE_OUT, SIGNALING, RESIZING and what newer versions may add.
        _ => State::Running,
    }
}

/// An exit status from `code:signal`, or from the status word of the operating system.
fn exit_code(text: &str) -> i32 {
    if let Some((code, signal)) = text.split_once(':') {
        return match (code.parse::<i32>(), signal.parse::<i32>()) {
            (_, Ok(signal)) if signal != 0 => 128 + signal,
            (Ok(code), _) => code,
            _ => 1,
        };
    }
    match text.parse::<i32>() {
        Ok(raw) if raw & 0x7f != 0 => 128 + (raw & 0x7f),
        Ok(raw) => raw >> 8,
        Err(_) => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket(id: Option<&str>, index: usize, of: usize) -> Ticket {
        Ticket {
            job: Job {
                key: "k".into(),
                attempt: 0,
                variant: 0,
                folder: "/f".into(),
                cores: 4,
                memory: None,
                seconds: 100.0,
            },
            batch: "nlabc".into(),
            index,
            of,
            id: id.map(str::to_owned),
            owner: None,
        }
    }

    /// What squeue of Slurm 22.05.8 printed.
    const OUTPUT: &str = "\
1_0|COMPLETED|0|nlold|None
1_5|FAILED|1280|nlold|NonZeroExitCode
7_[2-4,6,8-99,101-300%1]|PENDING|0|nlabc|JobArrayTaskLimit
7_1|RUNNING|0|nlabc|None
7_5|CANCELLED|15|nlabc|None
9|PENDING|0|nlbad|PartitionConfig
";

    #[test]
    fn one_answer_tells_of_all_jobs() {
        let rows = Rows::parse(OUTPUT);
        let state = |id, index, of| rows.find(&ticket(id, index, of)).state;
        assert_eq!(state(Some("7"), 0, 300), State::Running);
        let waiting = State::Waiting(Some("JobArrayTaskLimit".into()));
        assert_eq!(state(Some("7"), 98, 300), waiting);
        assert_eq!(state(Some("7"), 299, 300), waiting);
        assert_eq!(state(Some("7"), 300, 301), State::Missing);
        assert!(matches!(
            state(Some("7"), 4, 300),
            State::Ended(End::Cancelled(_))
        ));
        assert_eq!(state(Some("1"), 4, 9), State::Ended(End::Exited(5)));
        let never = State::Ended(End::NeverRuns("PartitionConfig".into()));
        assert_eq!(state(Some("9"), 0, 1), never);
        assert_eq!(state(Some("8"), 0, 1), State::Missing);
        // Found by name when the answer of sbatch was lost.
        let found = rows.find(&ticket(None, 0, 300));
        assert_eq!(found.id.as_deref(), Some("7"));
        assert_eq!(found.state, State::Running);
        assert!(in_ranges("1-3,7,...", 200));
    }

    #[test]
    fn every_state_has_its_rule() {
        let end = |state: &str, code: &str| match state_of(state, code, "") {
            State::Ended(end) => end,
            other => panic!("{state}: {other:?}"),
        };
        assert_eq!(end("COMPLETED", "0:0"), End::Exited(0));
        assert_eq!(end("FAILED", "7:0"), End::Exited(7));
        assert_eq!(end("FAILED", "0:11"), End::Exited(139));
        assert_eq!(end("FAILED", "11"), End::Exited(139));
        assert_eq!(end("FAILED", "0:0"), End::Exited(1));
        assert_eq!(end("TIMEOUT", "0:15"), End::TimedOut);
        assert_eq!(end("OUT_OF_MEMORY", "0:125"), End::OutOfMemory);
        for state in ["NODE_FAIL", "PREEMPTED", "BOOT_FAIL", "REQUEUE_HOLD"] {
            assert!(matches!(end(state, "0"), End::Lost(_)), "{state}");
        }
        assert_eq!(
            end("CANCELLED by 0", "0:15"),
            End::Cancelled("cancelled by 0".into())
        );
        for state in ["REQUEUED", "CONFIGURING", "PENDING"] {
            assert_eq!(state_of(state, "0", "Priority"), State::Waiting(None));
        }
        assert_eq!(state_of("COMPLETING", "0", ""), State::Running);
    }

    #[test]
    fn the_script_asks_for_what_the_jobs_need() {
        let config: SchedulerConfig = toml::from_str(
            "kind = 'slurm'\npartition = 'long'\nlines = ['module load cp2k', '#SBATCH --qos=low']",
        )
        .unwrap();
        let slurm = Slurm::new(config);
        let job = ticket(None, 0, 1).job;
        let text = slurm.script("nl1", Path::new("/b"), &[job.clone(), job.clone()]);
        for line in [
            "#SBATCH --ntasks=4",
            "#SBATCH --time=2",
            "#SBATCH --partition=long",
            "#SBATCH --array=1-2",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        // Directives after the first command would not be heard.
        assert!(text.find("--qos").unwrap() < text.find("module load").unwrap());
        assert!(
            !slurm
                .script("nl1", Path::new("/b"), &[job])
                .contains("--array")
        );
    }
}
