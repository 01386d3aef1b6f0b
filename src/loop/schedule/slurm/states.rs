//! What Slurm tells of jobs: rows of `squeue`, lines of `sacct`, states and exit statuses.

use super::task_id;
use crate::schedule::job::{End, JobStatus, State, Ticket};
use std::collections::HashMap;

/// The answer of `squeue`.
#[derive(Default)]
pub(super) struct Rows {
    /// By the name of a task.
    tasks: HashMap<String, State>,
    /// Pending tasks that are told together: number of the array, ranges, state.
    folded: HashMap<String, Vec<(String, State)>>,
    /// Number of a job or array by name.
    names: HashMap<String, String>,
}

impl Rows {
    pub fn parse(output: &str) -> Self {
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

    pub fn find(&self, ticket: &Ticket) -> JobStatus {
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
        JobStatus {
            state: state.or_else(folded).unwrap_or(State::Missing),
            id,
        }
    }
}

/// How jobs ended by `sacct -n -P -X --format=JobID,State,ExitCode`; those that have not are left out. Of a job
/// that was requeued and is listed more than once the last line counts.
pub(super) fn ends(output: &str) -> HashMap<String, End> {
    let mut ends = HashMap::new();
    for line in output.lines() {
        let mut words = line.split('|');
        let (Some(id), Some(state), Some(code)) = (words.next(), words.next(), words.next()) else {
            continue;
        };
        match state_of(state, code, "") {
            State::Ended(end) => ends.insert(id.to_owned(), end),
            _ => ends.remove(id),
        };
    }
    ends
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
    use crate::schedule::slurm::tests::ticket;

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

    /// What `sacct -n -P -X --format=JobID,State,ExitCode` of Slurm 22.05.8 with slurmdbd and MariaDB 10.11 printed on a
    /// node of its own: 1 to 4 ended by themselves, 7 at its time limit, 8 was cancelled, 10 preempted, 17 lost its node
    /// (slurmd killed); 9 was requeued by hand and 12 by preemption, each seen before and after its second run; of the
    /// array 15, cancelled while its first task ran, the tasks that never began are not told of.
    const ACCOUNTING: &str = "\
1|COMPLETED|0:0
2|FAILED|7:0
3|FAILED|0:11
4_1|COMPLETED|0:0
4_2|FAILED|4:0
7|TIMEOUT|0:0
8|CANCELLED by 0|0:0
9|REQUEUED|0:0
10|PREEMPTED|0:0
12|PREEMPTED|0:0
15_1|CANCELLED by 0|0:0
17|NODE_FAIL|0:0
";
    const LATER: &str = "9|COMPLETED|0:0\n12|COMPLETED|0:0\n";
    /// The same with `-D`, which shows all runs of a job.
    const RUNS: &str = "9|REQUEUED|0:0\n9|COMPLETED|0:0\n12|PREEMPTED|0:0\n12|COMPLETED|0:0\n";

    #[test]
    fn the_accounting_is_read_as_it_is_printed() {
        let found = ends(ACCOUNTING);
        for (id, end) in [
            ("1", End::Exited(0)),
            ("2", End::Exited(7)),
            ("3", End::Exited(139)),
            ("4_1", End::Exited(0)),
            ("4_2", End::Exited(4)),
            ("7", End::TimedOut),
            ("8", End::Cancelled("cancelled by 0".into())),
            ("10", End::Lost("it was preempted".into())),
            ("12", End::Lost("it was preempted".into())),
            ("15_1", End::Cancelled("cancelled by 0".into())),
            ("17", End::Lost("its node failed".into())),
        ] {
            assert_eq!(found.get(id), Some(&end), "{id}");
        }
        // One that waits for its second run has not ended.
        assert!(!found.contains_key("9") && !found.contains_key("15_2"));
        for text in [LATER, RUNS] {
            let found = ends(text);
            assert_eq!(found.get("9"), Some(&End::Exited(0)));
            assert_eq!(found.get("12"), Some(&End::Exited(0)));
        }
    }

    /// `squeue` of the same node: tasks that were cancelled before they began are folded like those that wait.
    #[test]
    fn what_never_began_is_told_of_together() {
        let rows = Rows::parse(
            "15_1|CANCELLED|15|nlabc|None\n15_[2-5%1]|CANCELLED|0|nlabc|JobArrayTaskLimit\n\
             12|PENDING|0|soft|BeginTime\n14|PENDING|0|never|DependencyNeverSatisfied\n",
        );
        for index in 0..5 {
            let state = rows.find(&ticket(Some("15"), index, 5)).state;
            assert!(matches!(state, State::Ended(End::Cancelled(_))), "{index}");
        }
        let state = |id| rows.find(&ticket(Some(id), 0, 1)).state;
        assert_eq!(state("12"), State::Waiting(Some("BeginTime".into())));
        assert!(matches!(state("14"), State::Ended(End::NeverRuns(_))));
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
}
