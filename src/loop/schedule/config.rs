//! The table `[scheduler]` of a campaign file.

use super::{Budget, HyperQueue, Local, Scheduler, Slurm, Template};
use nepal::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// Where jobs run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SchedulerKind {
    /// This machine.
    #[default]
    Local,
    /// Slurm.
    Slurm,
    /// PBS Pro, OpenPBS or Torque.
    Pbs,
    /// LSF.
    Lsf,
    /// HyperQueue.
    HyperQueue,
}

/// Longest time limit, minutes.
const MINUTES: f64 = 1e8;

/// Where jobs run, and what they may use.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SchedulerConfig {
    /// `local` (this machine), `slurm`, `pbs`, `lsf` or `hyperqueue` (many short jobs as tasks of few allocations).
    pub kind: SchedulerKind,
    /// What stands before each command of the scheduler, such as `ssh login`, a list or one text; where
    /// `{command}` is in it, the command stands there as one text for a shell. The folders must be the
    /// same on both sides.
    #[serde(deserialize_with = "crate::words::words")]
    pub wrapper: Vec<String>,
    /// Partition or queue.
    pub partition: Option<String>,
    /// Account or project.
    pub account: Option<String>,
    /// Cores of a job; without it those that the labeller says it keeps busy.
    pub cores: Option<usize>,
    /// Memory of a job in MB; without it the scheduler's default.
    pub memory: Option<usize>,
    /// Time limit of a job in minutes; without it the labeller's `timeout` and a minute.
    pub minutes: Option<f64>,
    /// Lines at the head of every job script: further directives, `module load`, `export`.
    pub lines: Vec<String>,
    /// Most jobs in the queue at once (1000); on this machine `label.parallel` if that is fewer.
    pub max_jobs: usize,
    /// Most jobs of one array of Slurm or HyperQueue (500); 1 for no arrays.
    pub array: usize,
    /// Shortest time between two calls of the scheduler's commands in seconds (10).
    pub poll_seconds: f64,
    /// Cores of this machine that jobs may use together (all).
    pub machine_cores: Option<usize>,
    /// Memory of this machine in MB that jobs may use together; needs `memory`.
    pub machine_memory: Option<usize>,
    /// PBS and LSF: the command that submits the script `{script}` and prints the job's number.
    #[serde(deserialize_with = "crate::words::words")]
    pub submit: Vec<String>,
    /// PBS and LSF: the command that tells the state of all jobs.
    #[serde(deserialize_with = "crate::words::words")]
    pub status: Vec<String>,
    /// PBS and LSF: the command that ends the jobs `{ids}`.
    #[serde(deserialize_with = "crate::words::words")]
    pub cancel: Vec<String>,
    /// PBS and LSF: states besides the known ones, each `waiting`, `running`, `ended` or `lost`.
    pub states: BTreeMap<String, String>,
    /// HyperQueue: folder of the server; without it `HQ_SERVER_DIR`, or `~/.hq-server`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<PathBuf>,
    /// HyperQueue: interpreter with the package `hyperqueue`, used where there is no program `hq` (`python3`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub python: Option<String>,
    /// Slurm: steps are jobs as well, each submitted by the one before, so that a campaign that was stepped
    /// once goes on without a daemon or cron.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver: Option<DriverConfig>,
}

/// The job that takes a campaign's next step: training, built-in exploration and selection run in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DriverConfig {
    /// Its cores (1); give the campaign as many `threads`.
    pub cores: usize,
    /// Its memory in MB; without it the partition's default.
    pub memory: Option<usize>,
    /// Its time limit in minutes (1440). A training that is cut off goes on in the next job.
    pub minutes: f64,
    /// Its partition; without it that of the other jobs.
    pub partition: Option<String>,
    /// Lines at the head of its script: further directives, `module load`, `export`.
    pub lines: Vec<String>,
}

impl Default for DriverConfig {
    fn default() -> Self {
        Self {
            cores: 1,
            memory: None,
            minutes: 1440.0,
            partition: None,
            lines: Vec::new(),
        }
    }
}

impl Default for SchedulerConfig {
    fn default() -> Self {
        Self {
            kind: SchedulerKind::Local,
            wrapper: Vec::new(),
            partition: None,
            account: None,
            cores: None,
            memory: None,
            minutes: None,
            lines: Vec::new(),
            max_jobs: 1000,
            array: 500,
            poll_seconds: 10.0,
            machine_cores: None,
            machine_memory: None,
            submit: Vec::new(),
            status: Vec::new(),
            cancel: Vec::new(),
            states: BTreeMap::new(),
            server: None,
            python: None,
            driver: None,
        }
    }
}

impl SchedulerConfig {
    /// Refuses values that make no sense.
    ///
    /// **Errors**: [`Error::InvalidArgument`] naming the key.
    pub fn validate(&self) -> Result<()> {
        let wrong = |key: &str, expected: &str| {
            Err(Error::invalid(format!(
                "scheduler: {key} must be {expected}"
            )))
        };
        for (key, value) in [
            ("cores", self.cores),
            ("memory", self.memory),
            ("machine_cores", self.machine_cores),
            ("machine_memory", self.machine_memory),
            ("max_jobs", Some(self.max_jobs)),
            ("array", Some(self.array)),
        ] {
            if value == Some(0) {
                return wrong(key, "at least 1; found 0");
            }
        }
        let sensible = |minutes: f64| minutes > 0.0 && minutes <= MINUTES;
        if self.minutes.is_some_and(|m| !sensible(m)) {
            return wrong("minutes", "a positive number, up to 1e8");
        }
        if !(self.poll_seconds >= 0.0 && self.poll_seconds <= 3600.0) {
            return wrong("poll_seconds", "between 0 and 3600");
        }
        if self.machine_memory.is_some() && self.memory.is_none() {
            return wrong(
                "machine_memory",
                "given together with memory, that of a job",
            );
        }
        if self.kind == SchedulerKind::Local && !self.wrapper.is_empty() {
            return wrong(
                "wrapper",
                "left out where kind is local: it is for schedulers",
            );
        }
        if let Some(driver) = &self.driver {
            if self.kind != SchedulerKind::Slurm {
                return wrong(
                    "driver",
                    "left out where kind is not slurm; start `nepal-loop step` from cron there",
                );
            }
            if driver.cores == 0 || !sensible(driver.minutes) {
                return wrong(
                    "driver",
                    "of at least one core and a positive time, up to 1e8 minutes",
                );
            }
        }
        let driver = self.driver.as_ref().and_then(|d| d.partition.as_ref());
        for (key, name) in [
            ("partition", self.partition.as_ref()),
            ("account", self.account.as_ref()),
            ("driver.partition", driver),
        ] {
            // It is written into scripts as it is.
            let plain = |c: char| c.is_alphanumeric() || "_-.,:+@".contains(c);
            if name.is_some_and(|name| name.is_empty() || !name.chars().all(plain)) {
                return wrong(key, "a name of letters, digits and _ - . , : + @");
            }
        }
        for (state, meaning) in &self.states {
            if !["waiting", "running", "ended", "lost"].contains(&meaning.as_str()) {
                return wrong(
                    &format!("states.{state}"),
                    &format!("waiting, running, ended or lost; found {meaning:?}"),
                );
            }
        }
        Ok(())
    }

    /// The scheduler.
    ///
    /// **Errors**: those of [`SchedulerConfig::validate`].
    pub fn create(&self) -> Result<Box<dyn Scheduler>> {
        self.validate()?;
        Ok(match self.kind {
            SchedulerKind::Local => Box::new(Local::new(Budget {
                cores: self.machine_cores,
                memory: self.machine_memory,
            })),
            SchedulerKind::Slurm => Box::new(Slurm::new(self.clone())),
            SchedulerKind::Pbs => Box::new(Template::pbs(self.clone())),
            SchedulerKind::Lsf => Box::new(Template::lsf(self.clone())),
            SchedulerKind::HyperQueue => Box::new(HyperQueue::new(self.clone())),
        })
    }

    /// The time between two calls.
    pub(super) fn interval(&self) -> Duration {
        Duration::from_secs_f64(self.poll_seconds)
    }

    /// `lines` that are directives of the scheduler or comments, and the others, which are commands.
    pub(super) fn split_lines(&self) -> (Vec<&str>, Vec<&str>) {
        let lines = self.lines.iter().map(String::as_str);
        lines.partition(|line| line.starts_with('#'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_named() {
        let message = |text: &str| {
            let config: SchedulerConfig = match toml::from_str(text) {
                Ok(config) => config,
                Err(e) => return e.to_string(),
            };
            config.create().err().unwrap().to_string()
        };
        assert!(message("kind = 'slurmm'").contains("slurm"));
        assert!(message("partiton = 'x'").contains("partiton"));
        assert!(message("kind = 'slurm'\ncores = 0").contains("cores"));
        assert!(message("wrapper = 'ssh login'").contains("wrapper"));
        assert!(message("kind = 'pbs'\nstates = { Z = 'gone' }").contains("states.Z"));
        assert!(message("machine_memory = 100").contains("memory"));
        assert!(message("kind = 'pbs'\ndriver = {}").contains("cron"));
        assert!(message("kind = 'slurm'\ndriver = { cores = 0 }").contains("core"));
        assert!(message("kind = 'slurm'\npartition = \"a\\nrm -rf x\"").contains("partition"));
        assert!(message("kind = 'pbs'\npartition = 'a b'").contains("partition"));
        assert!(message("kind = 'slurm'\naccount = \"a\\n#SBATCH -x\"").contains("account"));
        assert!(message("kind = 'slurm'\nminutes = 1e300").contains("minutes"));
    }

    #[test]
    fn what_is_left_out_has_a_default() {
        let config: SchedulerConfig =
            toml::from_str("kind = 'slurm'\nwrapper = 'ssh login'").unwrap();
        assert_eq!(config.wrapper, ["ssh", "login"]);
        assert_eq!((config.poll_seconds, config.max_jobs), (10.0, 1000));
        assert_eq!(config.create().unwrap().name(), "Slurm");
    }
}
