//! Processes of this machine, as Linux tells of them in `/proc`. Elsewhere none is ever found again;
//! since each attempt has a folder of its own, that costs a label but spoils none.

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

/// Whether the process of an identifier still runs.
pub fn is_running(id: &str) -> bool {
    parse(id).is_some_and(|p| start_of(p.pid) == Some(p.start))
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
