//! This machine: several jobs at once within a budget of cores and memory.
//!
//! Jobs are processes of their own that outlive a driver that is killed. The next driver finds them by
//! process number and start time, or by the variable that each carries in its environment.

use super::Scheduler;
use super::job::{End, Job, Refusal, SCRIPT, Sight, State, Ticket};
use std::collections::HashMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Environment variable with the name of a job's batch.
const VARIABLE: &str = "NEPAL_JOB";

/// What jobs may use together.
#[derive(Clone, Copy, Debug, Default)]
pub struct Budget {
    /// Cores; `None` for all.
    pub cores: Option<usize>,
    /// Memory in MB; `None` for no limit.
    pub memory: Option<usize>,
}

/// Runs jobs on this machine.
pub struct Local {
    budget: Budget,
    children: HashMap<String, Running>,
    /// What adopted jobs use: by identifier, cores and memory.
    adopted: HashMap<String, (usize, usize)>,
}

struct Running {
    child: Child,
    since: Instant,
    cores: usize,
    memory: usize,
}

impl Local {
    /// A scheduler with nothing running.
    pub fn new(budget: Budget) -> Self {
        Self {
            budget,
            children: HashMap::new(),
            adopted: HashMap::new(),
        }
    }

    /// Whether a job fits beside those that run; the first always does.
    fn fits(&self, job: &Job) -> bool {
        let running = self.children.values().map(|r| (r.cores, r.memory));
        let (mut cores, mut memory, mut count) = (0, 0, 0);
        for (c, m) in running.chain(self.adopted.values().copied()) {
            cores += c;
            memory += m;
            count += 1;
        }
        let all = std::thread::available_parallelism().map_or(1, usize::from);
        let within = cores + job.cores <= self.budget.cores.unwrap_or(all)
            && self
                .budget
                .memory
                .is_none_or(|limit| memory + job.memory.unwrap_or(0) <= limit);
        within || count == 0
    }

    fn look_at(&mut self, ticket: &Ticket) -> Sight {
        let state = |state| Sight {
            id: ticket.id.clone(),
            state,
        };
        let limit = Duration::try_from_secs_f64(ticket.job.seconds).unwrap_or(Duration::MAX);
        let own = ticket.id.as_ref().and_then(|id| self.children.get_mut(id));
        if let (Some(running), Some(id)) = (own, &ticket.id) {
            let end = match running.child.try_wait() {
                Ok(Some(status)) => Some(end_of(status)),
                Ok(None) if running.since.elapsed() < limit => None,
                Ok(None) => Some(End::TimedOut),
                Err(e) => Some(End::Lost(format!("lost sight of the process: {e}"))),
            };
            return match end {
                None => state(State::Running),
                Some(end) => {
                    // Whatever the script started and left behind goes with it.
                    if end != End::Exited(0) {
                        end_group(running.child.id());
                        let _ = running.child.wait();
                    }
                    self.children.remove(id);
                    state(State::Ended(end))
                }
            };
        }
        match adopted(ticket) {
            None => {
                if let Some(id) = &ticket.id {
                    self.adopted.remove(id);
                }
                state(State::Missing)
            }
            Some(process) => {
                let id = process.id();
                let uses = (ticket.job.cores, ticket.job.memory.unwrap_or(0));
                self.adopted.insert(id.clone(), uses);
                let state = if process.age() < ticket.job.seconds {
                    State::Running
                } else {
                    end_group(process.pid);
                    self.adopted.remove(&id);
                    State::Ended(End::TimedOut)
                };
                Sight {
                    id: Some(id),
                    state,
                }
            }
        }
    }
}

impl Scheduler for Local {
    fn name(&self) -> &str {
        "this machine"
    }

    fn batch_size(&self) -> usize {
        1
    }

    fn interval(&self) -> Duration {
        Duration::ZERO
    }

    fn outlives_driver(&self) -> bool {
        false
    }

    fn has_room(&self, jobs: &[Job]) -> bool {
        jobs.iter().all(|job| self.fits(job))
    }

    fn submit(&mut self, batch: &str, _folder: &Path, jobs: &[Job]) -> Result<String, Refusal> {
        let [job] = jobs else {
            return Err(Refusal::Wrong("one job at a time".into()));
        };
        if !self.fits(job) {
            return Err(Refusal::Full(String::new()));
        }
        let mut command = Command::new("/bin/sh");
        command
            .arg(job.folder.join(SCRIPT))
            .arg(batch)
            .current_dir(&job.folder)
            .env(VARIABLE, batch)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = command
            .spawn()
            .map_err(|e| Refusal::Down(format!("cannot start a process: {e}")))?;
        let id = process::id_of(child.id());
        let running = Running {
            child,
            since: Instant::now(),
            cores: job.cores,
            memory: job.memory.unwrap_or(0),
        };
        self.children.insert(id.clone(), running);
        Ok(id)
    }

    fn look(&mut self, tickets: &[Ticket]) -> Result<Vec<Sight>, Refusal> {
        Ok(tickets.iter().map(|ticket| self.look_at(ticket)).collect())
    }

    fn cancel(&mut self, tickets: &[Ticket]) -> Result<(), Refusal> {
        for ticket in tickets {
            let own = ticket.id.as_ref().and_then(|id| self.children.remove(id));
            if let Some(mut running) = own {
                end_group(running.child.id());
                let _ = running.child.wait();
            }
            if let Some(process) = adopted(ticket) {
                end_group(process.pid);
                self.adopted.remove(&process.id());
            }
        }
        Ok(())
    }
}

/// The process of a ticket that is no child of this driver.
fn adopted(ticket: &Ticket) -> Option<process::Process> {
    match (&ticket.owner, &ticket.id) {
        (Some(owner), _) => process::find(owner),
        (None, Some(id)) => process::parse(id).filter(|p| p.is_alive(&ticket.batch)),
        (None, None) => process::find(&ticket.batch),
    }
}

fn end_of(status: std::process::ExitStatus) -> End {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return End::Exited(128 + signal);
    }
    End::exited(status.code().unwrap_or(1))
}

/// Kills a job's script and all that it started (MPI ranks, shell children).
#[cfg(unix)]
fn end_group(pid: u32) {
    use rustix::process::{Pid, Signal, kill_process_group};
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // An error means that the group is gone already.
        let _ = kill_process_group(pid, Signal::KILL);
    }
}

#[cfg(not(unix))]
fn end_group(_pid: u32) {}

/// Processes of this machine, as Linux tells of them in `/proc`. Elsewhere none is ever found again;
/// since each attempt has a folder of its own, that costs a label but spoils none.
mod process {
    use super::VARIABLE;

    /// A process and when it started, in clock ticks since the machine did.
    pub struct Process {
        pub pid: u32,
        pub start: u64,
    }

    /// Ticks a second of the kernel's interface; 100 on every Linux.
    const TICKS: f64 = 100.0;

    impl Process {
        pub fn id(&self) -> String {
            format!("{}:{}", self.pid, self.start)
        }

        /// Whether it runs, is the same, and belongs to the batch.
        pub fn is_alive(&self, batch: &str) -> bool {
            start_of(self.pid) == Some(self.start) && carries(self.pid, batch)
        }

        /// Seconds since it started, by a clock that does not jump.
        pub fn age(&self) -> f64 {
            let uptime = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
            let uptime = uptime
                .split_whitespace()
                .next()
                .and_then(|w| w.parse().ok());
            uptime.map_or(0.0, |up: f64| up - self.start as f64 / TICKS)
        }
    }

    pub fn id_of(pid: u32) -> String {
        let start = start_of(pid).unwrap_or(0);
        Process { pid, start }.id()
    }

    pub fn parse(id: &str) -> Option<Process> {
        let (pid, start) = id.split_once(':')?;
        Some(Process {
            pid: pid.parse().ok()?,
            start: start.parse().ok()?,
        })
    }

    /// The leader of a batch: the first process that carries its name and leads its group.
    pub fn find(batch: &str) -> Option<Process> {
        let pids = std::fs::read_dir("/proc").ok()?.flatten();
        let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(|&pid: &u32| group_of(pid) == Some(pid) && carries(pid, batch))
            .find_map(|pid| {
                let start = start_of(pid)?;
                Some(Process { pid, start })
            })
    }

    fn carries(pid: u32, batch: &str) -> bool {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let wanted = format!("{VARIABLE}={batch}");
        environment
            .split(|&b| b == 0)
            .any(|v| v == wanted.as_bytes())
    }

    /// Fields of `/proc/PID/stat` from the third (the state), unless the process is a zombie.
    fn fields(pid: u32) -> Option<Vec<String>> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name before may hold anything, spaces and brackets too.
        let fields = text.rsplit_once(')')?.1.split_whitespace();
        let fields: Vec<String> = fields.map(str::to_owned).collect();
        (!matches!(fields.first()?.as_str(), "Z" | "X")).then_some(fields)
    }

    fn start_of(pid: u32) -> Option<u64> {
        fields(pid)?.get(19)?.parse().ok()
    }

    fn group_of(pid: u32) -> Option<u32> {
        fields(pid)?.get(2)?.parse().ok()
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    fn job(folder: &Path, script: &str, seconds: f64) -> Job {
        let job = Job {
            key: "k".into(),
            attempt: 0,
            variant: 0,
            folder: folder.to_owned(),
            cores: 1,
            memory: Some(100),
            seconds,
        };
        let command = ["sh", "-c", script].map(str::to_owned);
        job.write_script(&command, &Default::default(), "out")
            .unwrap();
        job
    }

    fn ticket(job: &Job, batch: &str, id: Option<&str>) -> Ticket {
        Ticket {
            job: job.clone(),
            batch: batch.into(),
            index: 0,
            of: 1,
            id: id.map(str::to_owned),
            owner: None,
        }
    }

    fn end(local: &mut Local, ticket: &Ticket) -> State {
        for _ in 0..2000 {
            let sight = local.look(std::slice::from_ref(ticket)).unwrap().remove(0);
            if sight.state != State::Running {
                return sight.state;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("it never ended")
    }

    #[test]
    fn jobs_end_as_they_do_and_time_limits_hold() {
        let folder = tempfile::tempdir().unwrap();
        let mut local = Local::new(Budget::default());
        for (script, seconds, expected) in [
            ("exit 3", 60.0, End::Exited(3)),
            ("true", 60.0, End::Exited(0)),
            ("kill -9 $$", 60.0, End::Exited(137)),
            ("sleep 60", 0.2, End::TimedOut),
        ] {
            let job = job(folder.path(), script, seconds);
            let id = local
                .submit("nl1", folder.path(), std::slice::from_ref(&job))
                .unwrap();
            let state = end(&mut local, &ticket(&job, "nl1", Some(&id)));
            assert_eq!(state, State::Ended(expected), "{script}");
        }
    }

    #[test]
    fn the_budget_holds() {
        let folder = tempfile::tempdir().unwrap();
        let mut local = Local::new(Budget {
            cores: Some(8),
            memory: Some(250),
        });
        let job = job(folder.path(), "sleep 60", 60.0);
        let jobs = std::slice::from_ref(&job);
        let first = local.submit("nl2", folder.path(), jobs).unwrap();
        let second = local.submit("nl3", folder.path(), jobs).unwrap();
        assert!(matches!(
            local.submit("nl4", folder.path(), jobs),
            Err(Refusal::Full(_))
        ));
        local
            .cancel(&[
                ticket(&job, "nl2", Some(&first)),
                ticket(&job, "nl3", Some(&second)),
            ])
            .unwrap();
        assert!(local.fits(&job));
        assert!(process::find("nl2").is_none());
    }

    #[test]
    fn the_next_driver_finds_what_runs() {
        let folder = tempfile::tempdir().unwrap();
        let mut first = Local::new(Budget::default());
        let batch = format!("nl-test-{}", std::process::id());
        let go = folder.path().join("go");
        let script = format!(
            "until [ -e '{}' ]; do sleep 0.02; done; exit 5",
            go.display()
        );
        let job = job(folder.path(), &script, 60.0);
        let id = first
            .submit(&batch, folder.path(), std::slice::from_ref(&job))
            .unwrap();
        // A driver that forgets its child is as good as dead.
        let Some(mut running) = first.children.remove(&id) else {
            panic!("no child")
        };
        let mut second = Local::new(Budget::default());
        let unknown = ticket(&job, &batch, None);
        let sight = second.look(&[unknown]).unwrap().remove(0);
        assert_eq!(
            sight,
            Sight {
                id: Some(id.clone()),
                state: State::Running
            }
        );
        std::fs::write(go, "").unwrap();
        running.child.wait().unwrap();
        let known = ticket(&job, &batch, Some(&id));
        assert_eq!(end(&mut second, &known), State::Missing);
        assert_eq!(job.status(), Some(5));
        // A number that another process has by now is not mistaken for it.
        let other = ticket(&job, "nl-other", Some(&process::id_of(std::process::id())));
        assert_eq!(second.look(&[other]).unwrap()[0].state, State::Missing);
    }
}
