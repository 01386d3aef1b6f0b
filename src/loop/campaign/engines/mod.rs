//! Exploration by other programs: LAMMPS with nepal's pair style, GPUMD with its
//! `compute_extrapolation`, functions in Python.
//!
//! The user's own input is kept as it is; only placeholders are filled in: the potential, the lines
//! that watch the grade, and what the scenario says. What the program dumps is read back.

mod dump;
mod gpumd;
mod lammps;
mod python;
#[cfg(test)]
mod tests;

use super::config::{GradeConfig, Scenario};
use super::training::POSTERIOR;
use crate::label::fill::{fill, unknown, uses};
use crate::label::{Call, Ending};
use crate::schedule::SchedulerConfig;
use nepal::error::{Error, Result};
use nepal::system::{Frame, Structure};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What a program says, in the folder of its run.
const OUTPUT: &str = "output";

/// A program that explores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineConfig {
    /// Which program.
    pub kind: EngineKind,
    /// Program and arguments, such as `mpirun -np 4 lmp`; `-in FILE` is added for LAMMPS. For `python` the Python
    /// with ASE (and nepal, if the function wants its calculator), `python3` unless given.
    #[serde(default, deserialize_with = "crate::words::words")]
    pub command: Vec<String>,
    /// Python: a function of yours, `FILE.py:name`, relative to the campaign file. It is called with an `ase.Atoms`
    /// (whose calculator is the model with grades, where nepal is installed) and what the run is to be
    /// (`temperature`, `pressure`, `steps`, `timestep`, `seed`, `save`, `halt`), and yields `ase.Atoms`; their `info`
    /// may tell `step`, `temperature`, and `walk` where it takes several. After a frame above `break` those that
    /// follow in the same walk are left out.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub function: String,
    /// Input with placeholders, relative to the campaign file; a plain one of nepal's own unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<PathBuf>,
    /// Other files that the input reads, copied beside it; relative to the campaign file.
    #[serde(default)]
    pub files: Vec<PathBuf>,
    /// LAMMPS: nepal's plugin, loaded before the pair style; relative to the campaign file. Without it
    /// the pair style must be there already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<PathBuf>,
    /// LAMMPS: let the pair style cut fragments while it runs, instead of dumping whole frames.
    #[serde(default)]
    pub fragments: bool,
    /// Processor cores that a run keeps busy.
    #[serde(default = "one")]
    pub cores: usize,
    /// Longest wall time of a run, s.
    #[serde(default = "day")]
    pub timeout: f64,
    /// More placeholders.
    #[serde(default)]
    pub values: BTreeMap<String, String>,
    /// Variables of the environment.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Where its runs are jobs, as far as that differs from the campaign's `[scheduler]`: the same keys, such
    /// as a partition with a GPU. `cores` and the time limit come from here, `memory` from either.
    #[serde(default, skip_serializing)]
    pub scheduler: Option<toml::Table>,
}

/// The programs that can explore.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EngineKind {
    /// LAMMPS with nepal's pair style.
    Lammps,
    /// GPUMD.
    Gpumd,
    /// A function in Python.
    Python,
}

fn one() -> usize {
    1
}

fn day() -> f64 {
    86400.0
}

/// One run to be done by a program.
#[derive(Clone, Debug)]
pub(super) struct EngineRun<'a> {
    pub scenario: &'a Scenario,
    pub engine: &'a EngineConfig,
    pub grade: &'a GradeConfig,
    pub start: &'a Structure,
    /// Temperature (K), pressure (GPa), start and end; steps.
    pub temperature: [f64; 2],
    pub pressure: [f64; 2],
    pub steps: usize,
    pub seed: u64,
    /// Folder of its own.
    pub folder: PathBuf,
    /// Folder of the campaign file.
    pub base: &'a Path,
    /// The model, and its active set in the form that the program reads.
    pub model: PathBuf,
    pub active_set: PathBuf,
    /// Its posterior, where the way goes by deviations.
    pub posterior: Option<PathBuf>,
    /// Elements of the model, in its order.
    pub elements: Vec<String>,
    /// Its cutoff, Å.
    pub cutoff: f64,
    /// Words of the dispersion on top of it.
    pub dftd3: Option<String>,
    /// Whether fragments keep molecules.
    pub keep_molecules: bool,
}

/// What a program found.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    /// Kept frames with `step`, `temperature` and `grade`, or fragments with their own keys.
    pub candidates: Vec<Frame>,
    /// Step, temperature (K), pressure (GPa), largest γ, ρ (0: not told) and Γ.
    pub trace: Vec<[f64; 6]>,
    pub steps: usize,
    pub finished: bool,
    pub breaks: usize,
}

impl EngineConfig {
    /// Checks what can be told without running anything.
    ///
    /// **Errors**: [`Error::InvalidArgument`] naming the key.
    pub(super) fn check(&self) -> Result<()> {
        let python = self.kind == EngineKind::Python;
        if python {
            crate::label::python_function(&self.function)
                .map_err(|e| Error::invalid(format!("engine: function {e}")))?;
        } else if !self.function.is_empty() {
            return Err(Error::invalid(
                "engine: function belongs to the kind python; name that, or leave it out",
            ));
        }
        if (self.command.is_empty() && !python)
            || self.cores == 0
            || !(self.timeout > 0.0 && self.timeout < 1e10)
        {
            return Err(Error::invalid(
                "engine: expected a command, at least one core and a positive timeout, up to 1e10 s",
            ));
        }
        if self.kind != EngineKind::Lammps && (self.plugin.is_some() || self.fragments) {
            return Err(Error::invalid(
                "engine: plugin and fragments belong to lammps, not to other programs",
            ));
        }
        Ok(())
    }

    /// What runs, for messages.
    fn program(&self) -> &str {
        match self.kind {
            EngineKind::Python => &self.function,
            _ => self.command.first().map_or("", String::as_str),
        }
    }

    /// The input's text: the user's, which must have the places that nepal fills, or the built-in one.
    ///
    /// **Errors**: [`Error::Io`]; [`Error::InvalidArgument`] naming a missing placeholder.
    pub(super) fn template(&self, base: &Path) -> Result<String> {
        let built_in = match self.kind {
            EngineKind::Lammps => lammps::INPUT,
            EngineKind::Gpumd => gpumd::INPUT,
            EngineKind::Python => return python::source(self, base),
        };
        let Some(input) = &self.input else {
            return Ok(built_in.into());
        };
        let path = base.join(input);
        let text = std::fs::read_to_string(&path).map_err(|e| Error::io("read", &path, e))?;
        for (name, what) in [
            ("POTENTIAL", "where the potential is set"),
            ("GRADES", "before the run, where the grade is watched"),
        ] {
            if !uses(&text, name) {
                return Err(Error::invalid(format!(
                    "{}: expected the placeholder @{name}@ {what}; found none; put it on a line of its own",
                    path.display()
                )));
            }
        }
        Ok(text)
    }

    /// Where its runs are jobs: the campaign's scheduler with the engine's own settings.
    ///
    /// **Errors**: [`Error::InvalidArgument`] naming the key.
    pub(super) fn scheduler(&self, common: &SchedulerConfig) -> Result<SchedulerConfig> {
        // Cores and time of labels are none of a run's.
        let mut config = SchedulerConfig {
            cores: None,
            minutes: None,
            ..common.clone()
        };
        if let Some(own) = &self.scheduler {
            config = crate::label::replaced("engine.scheduler", &config, own)?;
            config.validate()?;
        }
        Ok(config)
    }

    /// Everything besides the structure that a run depends on.
    pub(super) fn fingerprint(&self, base: &Path) -> Result<Vec<String>> {
        let mut hashes = vec![super::journal::hash_bytes(self.template(base)?.as_bytes())];
        for file in &self.files {
            hashes.push(super::journal::hash_file(&base.join(file))?);
        }
        Ok(hashes)
    }
}

impl EngineRun<'_> {
    /// Writes what the program reads into the folder, which exists and is empty, and tells how to call it.
    ///
    /// **Errors**: what is wrong with the set-up.
    pub fn prepare(&self) -> Result<Call> {
        let folder = &self.folder;
        for file in &self.engine.files {
            let from = self.base.join(file);
            let name = file.file_name().unwrap_or(file.as_os_str());
            std::fs::copy(&from, folder.join(name)).map_err(|e| Error::io("copy", &from, e))?;
        }
        for (from, name) in [
            (Some(&self.model), "nep.txt"),
            (Some(&self.active_set), "active_set.asi"),
            (self.posterior.as_ref(), POSTERIOR),
        ] {
            let Some(from) = from else { continue };
            std::fs::copy(from, folder.join(name)).map_err(|e| Error::io("copy", from, e))?;
        }
        let more = match self.engine.kind {
            EngineKind::Lammps => lammps::prepare(self),
            EngineKind::Gpumd => gpumd::prepare(self),
            EngineKind::Python => python::prepare(self),
        }?;
        let mut command = self.engine.command.clone();
        if command.is_empty() {
            command.push("python3".into());
        }
        command.extend(more);
        Ok(Call {
            command,
            env: self.engine.env.clone(),
            folder: folder.clone(),
            output: OUTPUT.into(),
            timeout: Duration::try_from_secs_f64(self.engine.timeout)
                .map_err(|e| Error::invalid(format!("engine.timeout: {e}")))?,
        })
    }

    /// Reads what the program left in the folder.
    ///
    /// **Errors**: a program that failed before its first graded step, with the end of its output; files
    /// that cannot be read.
    pub fn collect(&self, ending: Ending) -> Result<Found> {
        match self.engine.kind {
            EngineKind::Lammps => lammps::collect(self, ending),
            EngineKind::Gpumd => gpumd::collect(self, ending),
            EngineKind::Python => python::collect(self, ending),
        }
    }

    /// Writes the input with all placeholders filled; `own` are those of the program.
    fn write_input(&self, name: &str, own: &[(&str, String)]) -> Result<()> {
        let template = self.engine.template(self.base)?;
        let common: Vec<(&str, String)> = vec![
            ("TEMPERATURE", self.temperature[0].to_string()),
            ("TEMPERATURE_END", self.temperature[1].to_string()),
            ("STEPS", self.steps.to_string()),
            ("SEED", (1 + self.seed % 899_999_999).to_string()),
            ("ELEMENTS", self.elements.join(" ")),
        ];
        let all = || common.iter().chain(own);
        let text = fill(&template, |wanted| {
            if let Some(value) = self.engine.values.get(wanted) {
                return Ok(value.clone());
            }
            match all().find(|(known, _)| *known == wanted) {
                Some((_, value)) => Ok(value.clone()),
                None => Err(unknown("exploration", wanted, all().map(|(name, _)| *name))),
            }
        })?;
        let path = self.folder.join(name);
        std::fs::write(&path, text).map_err(|e| Error::io("write", &path, e))
    }

    /// The error of a run that never came to a graded step.
    fn never_started(&self, ending: Ending) -> Error {
        let text = std::fs::read_to_string(self.folder.join(OUTPUT)).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(4).collect();
        let said: Vec<&str> = lines.into_iter().rev().collect();
        let how = match ending {
            Ending::Exited(126 | 127) => "it cannot be started where the jobs run".to_owned(),
            Ending::Exited(status) => format!("it ended with status {status}"),
            Ending::Killed(signal) => format!("signal {signal} ended it"),
            Ending::TimedOut => format!("it took more than {} s", self.engine.timeout),
            Ending::Unknown => "nobody saw its end".into(),
        };
        Error::Failed(format!(
            "explore {}: {} did not reach its first graded step ({how}); it said last: {}; its files are in {}",
            self.scenario.name,
            self.engine.program(),
            said.join(" / "),
            self.folder.display()
        ))
    }
}

/// Frames at least `spacing` steps apart, and the last one, which may be why the run ended.
fn thinned(frames: Vec<(usize, Frame)>, spacing: usize) -> Vec<Frame> {
    let count = frames.len();
    let mut last: Option<usize> = None;
    let mut kept = Vec::new();
    for (k, (step, frame)) in frames.into_iter().enumerate() {
        if k + 1 == count || last.is_none_or(|l| step >= l + spacing) {
            last = Some(step);
            kept.push(frame);
        }
    }
    kept
}
