//! Slurm: arrays by `sbatch --parsable`, all states by one `squeue`, what it forgot by `sacct`.

mod driver;
mod states;

pub use driver::DriverJob;

use super::Scheduler;
use super::command::{cancelled, refusal, run, write};
use super::config::SchedulerConfig;
use super::job::{End, Job, JobStatus, Refusal, SCRIPT, Ticket, quote};
use states::{Rows, ends};
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

    /// Hands over a script; gives the job's number.
    fn hand_over(&self, script: &Path) -> Result<String, Refusal> {
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
        let folders = jobs.iter().map(|j| format!("{}\n", j.folder.display()));
        write(folder, "folders", &folders.collect::<String>())?;
        let script = write(folder, "submit.sh", &self.script(batch, folder, jobs))?;
        self.hand_over(&script)
    }

    fn look(&mut self, tickets: &[Ticket]) -> Result<Vec<JobStatus>, Refusal> {
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
        let rows = ends(&output);
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

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn ticket(id: Option<&str>, index: usize, of: usize) -> Ticket {
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
