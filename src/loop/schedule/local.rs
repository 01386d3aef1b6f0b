//! This machine: several jobs at once within a budget of cores and memory.
//!
//! Jobs are processes of their own that outlive a driver that is killed. The next driver finds them by
//! process number and start time, or by the variable that each carries in its environment.

mod process;
#[cfg(all(test, target_os = "linux"))]
mod tests;

use super::Scheduler;
use super::job::{End, Job, JobStatus, Refusal, SCRIPT, State, Ticket};
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

    fn look_at(&mut self, ticket: &Ticket) -> JobStatus {
        let state = |state| JobStatus {
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
                JobStatus {
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

    fn look(&mut self, tickets: &[Ticket]) -> Result<Vec<JobStatus>, Refusal> {
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

/// This process, for other processes of the machine.
pub(crate) fn own_process() -> String {
    process::id_of(std::process::id())
}

/// Whether a process that [`own_process`] named still runs.
pub(crate) fn is_running(id: &str) -> bool {
    process::is_running(id)
}

/// Whether a job is or was a process of a machine.
pub(crate) fn is_process(ticket: &Ticket) -> bool {
    ticket.id.as_deref().and_then(process::parse).is_some()
}

/// Whether a job was a process of this machine that runs no more.
pub(crate) fn is_gone(ticket: &Ticket) -> bool {
    is_process(ticket) && adopted(ticket).is_none()
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
