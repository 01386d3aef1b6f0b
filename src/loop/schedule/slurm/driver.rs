//! The driver of a campaign as a Slurm job of its own: it takes one step when the jobs that are out have ended, and is
//! followed by the next.
//!
//! A driver in such a job first submits its successor, which waits for it: one that is killed is followed too. Once
//! the step is done the successor is made to wait for the jobs that are out instead.

use super::Slurm;
use crate::schedule::config::{DriverConfig, SchedulerConfig};
use crate::schedule::job::{Refusal, quote};
use nepal::error::{Error, Result};
use nepal::files::write_atomically;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Submissions that are tried before the chain is given up.
const TRIES: usize = 5;
/// Name of the jobs.
const NAME: &str = "nepal-step";

/// Submits and steers the jobs that step a campaign.
pub struct DriverJob {
    slurm: Slurm,
    driver: DriverConfig,
    /// For its files.
    folder: PathBuf,
    /// Takes a step; status 75 while jobs are out.
    command: Vec<String>,
    /// Where the command runs.
    place: PathBuf,
}

impl DriverJob {
    /// `None` where the settings have no table `driver`. The command steps a campaign when it is run in the
    /// folder `place`; `folder` is that of the scheduler's files.
    ///
    /// **Errors**: [`Error::Io`] for paths.
    pub fn new(
        config: &SchedulerConfig,
        folder: &Path,
        command: &[String],
        place: &Path,
    ) -> Result<Option<Self>> {
        let Some(driver) = &config.driver else {
            return Ok(None);
        };
        let absolute =
            |path: &Path| std::path::absolute(path).map_err(|e| Error::io("find", path, e));
        std::fs::create_dir_all(folder).map_err(|e| Error::io("create", folder, e))?;
        Ok(Some(Self {
            slurm: Slurm::new(config.clone()),
            driver: driver.clone(),
            folder: absolute(folder)?,
            command: command.to_vec(),
            place: absolute(place)?,
        }))
    }

    /// In a job that an earlier driver submitted: submits the next, which waits for this one. Elsewhere
    /// nothing. Whether it did.
    ///
    /// **Errors**: [`Error::Failed`] if Slurm does not take it.
    pub fn hold(&self) -> Result<bool> {
        let own = std::env::var("SLURM_JOB_ID").unwrap_or_default();
        if own.is_empty() || self.submitted().as_deref() != Some(&own) {
            return Ok(false);
        }
        self.submit(&format!("--dependency=afterany:{own}"))?;
        Ok(true)
    }

    /// Sees to it that a job takes the next step once those of these numbers have ended, or in a while if there
    /// are none; gives its number.
    ///
    /// **Errors**: [`Error::Failed`] if Slurm does not take it.
    pub fn next(&self, after: &[String]) -> Result<String> {
        let seconds = (6.0 * self.slurm.config.poll_seconds).ceil().max(60.0);
        let in_a_while = format!("--begin=now+{seconds}");
        if after.is_empty() {
            self.end()?;
            return self.submit(&in_a_while);
        }
        let dependency = format!("afterany:{}", after.join(":"));
        if let Some(id) = self.submitted() {
            let (job, wanted) = (format!("JobId={id}"), format!("Dependency={dependency}"));
            if self
                .slurm
                .call(&["scontrol", "update", &job, &wanted])
                .is_ok()
            {
                return Ok(id);
            }
            // It has begun, has ended, or was cancelled.
        }
        match self.submit(&format!("--dependency={dependency}")) {
            // Slurm has forgotten some of them.
            Err(e) if e.to_string().to_lowercase().contains("dependency") => {
                self.submit(&in_a_while)
            }
            answer => answer,
        }
    }

    /// Takes the next job out of the queue again; nothing if this is that job.
    ///
    /// **Errors**: [`Error::Failed`] if Slurm does not do it.
    pub fn end(&self) -> Result<()> {
        let Some(id) = self.submitted() else {
            return Ok(());
        };
        if std::env::var("SLURM_JOB_ID").as_deref() == Ok(id.as_str()) {
            return Ok(());
        }
        super::cancelled(self.slurm.call(&["scancel", "--state=PENDING", &id])).map_err(|e| {
            Error::Failed(format!(
                "Slurm does not end the job {id}, which would step the campaign again: {e}"
            ))
        })
    }

    /// The number of the job that was submitted last.
    fn submitted(&self) -> Option<String> {
        let text = std::fs::read_to_string(self.folder.join("driver.job")).ok()?;
        Some(text.trim().to_owned()).filter(|id| !id.is_empty())
    }

    fn submit(&self, when: &str) -> Result<String> {
        let script = self.folder.join("driver.sh");
        write_atomically(&script, self.script(when).as_bytes())?;
        let mut tries = 1;
        let id = loop {
            match self.slurm.hand_over(&script) {
                Ok(id) => break id,
                Err(Refusal::Wrong(text)) => {
                    return Err(Error::Failed(format!(
                        "Slurm refuses the job that steps the campaign: {text}; see {} and the table \
                         [scheduler.driver]",
                        script.display()
                    )));
                }
                Err(refusal) if tries >= TRIES => {
                    return Err(Error::Failed(format!(
                        "Slurm does not take the job that steps the campaign: {refusal}; start \
                         `nepal-loop step` again"
                    )));
                }
                Err(_) => {
                    tries += 1;
                    std::thread::sleep(self.slurm.config.interval());
                }
            }
        };
        write_atomically(&self.folder.join("driver.job"), id.as_bytes())?;
        Ok(id)
    }

    fn script(&self, when: &str) -> String {
        let (own, common) = (&self.driver, &self.slurm.config);
        let log = self.folder.join("driver.log");
        let mut text = format!("#!/bin/bash\n#SBATCH --job-name={NAME}\n#SBATCH {when}\n");
        let _ = writeln!(
            text,
            "#SBATCH --output={}\n#SBATCH --open-mode=append\n#SBATCH --nodes=1\n#SBATCH --ntasks=1",
            quote(&log.to_string_lossy())
        );
        let minutes = own.minutes.ceil().max(1.0);
        let _ = writeln!(
            text,
            "#SBATCH --cpus-per-task={}\n#SBATCH --time={minutes}",
            own.cores
        );
        if let Some(memory) = own.memory {
            let _ = writeln!(text, "#SBATCH --mem={memory}");
        }
        if let Some(partition) = own.partition.as_ref().or(common.partition.as_ref()) {
            let _ = writeln!(text, "#SBATCH --partition={partition}");
        }
        if let Some(account) = &common.account {
            let _ = writeln!(text, "#SBATCH --account={account}");
        }
        let lines = own.lines.iter().map(String::as_str);
        let (directives, commands): (Vec<_>, Vec<_>) = lines.partition(|l| l.starts_with('#'));
        for line in directives.into_iter().chain(commands) {
            let _ = writeln!(text, "{line}");
        }
        let words: Vec<String> = self.command.iter().map(|word| quote(word)).collect();
        // Jobs that are out are no failure.
        let _ = writeln!(
            text,
            "cd {} || exit 1\n{}\nstatus=$?\n[ $status -ne 75 ] || exit 0\nexit $status",
            quote(&self.place.to_string_lossy()),
            words.join(" ")
        );
        text
    }
}
