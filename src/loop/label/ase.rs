//! Any calculator of ASE, the Atomic Simulation Environment, through a small Python program.

use super::command::{CommandLabeller, CommandSettings};
use super::ladder::{self, Ladder};
use super::outputs::last_lines;
use super::process::{Call, Ending, StopFlag};
use super::runner::Attempt;
use super::setup::{ProgramSetup, hour, one, timeout};
use super::{Labeller, Verdict, config};
use nepal::error::{Error, Result};
use nepal::system::Structure;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use toml::Value;

/// The program; it is handed to Python as an argument, so that no file has to be installed.
const WORKER: &str = include_str!("ase_worker.py");

/// Settings of an [`Ase`] labeller.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AseSettings {
    /// Python with ASE and the calculator, a list or one text (`python3`).
    #[serde(default = "python", deserialize_with = "config::words")]
    pub python: Vec<String>,
    /// Module and class, such as `tblite.ase:TBLite` or `gpaw:GPAW`.
    pub calculator: String,
    /// Keyword arguments of the class.
    #[serde(default)]
    pub arguments: toml::Table,
    /// Files that determine the result, such as parameters: their content identifies the label.
    #[serde(default)]
    pub files: Vec<PathBuf>,
    /// Environment variables.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Longest wall time of one label in seconds (3600).
    #[serde(default = "hour")]
    pub timeout: f64,
    /// Cores that one labelling keeps busy (1).
    #[serde(default = "one")]
    pub cores: usize,
    /// What to try in turn when the calculator raises: tables with other `arguments`, which are merged
    /// with these. They should change the way to the result, not the result.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ladder: Vec<toml::Table>,
    /// Tighter settings for labels that are doubted, as a table of settings that replace these,
    /// such as other `arguments` (for tblite a tenth of its `accuracy`); `{}` for
    /// none, so that a doubted label is computed again as it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tight: Option<toml::Table>,
}

fn python() -> Vec<String> {
    vec!["python3".to_owned()]
}

/// Labels with an ASE calculator, one Python process for each structure.
///
/// A calculator that raises (an SCF that did not converge, an element without parameters) gives no label;
/// the reason is the exception's text.
pub struct Ase {
    worker: CommandLabeller,
    version: String,
}

impl Ase {
    /// A labeller from its settings; relative paths start at `base`, and `stop` ends running programs.
    ///
    /// Imports the calculator once, for its version, which is part of the cache key.
    ///
    /// **Errors**: [`Error::Failed`] if Python, ASE or the calculator is missing, with what Python
    /// said; [`Error::Io`] for files that cannot be read, [`Error::InvalidArgument`] for settings that
    /// make no sense.
    pub fn new(settings: &AseSettings, base: &Path, stop: StopFlag) -> Result<Self> {
        let well_formed = |name: &str| {
            name.split_once(':')
                .is_some_and(|(module, class)| !module.is_empty() && !class.is_empty())
        };
        if !well_formed(&settings.calculator) {
            return Err(Error::invalid(format!(
                "labeller ase: `calculator` must be module:Class, such as tblite.ase:TBLite; found {:?}",
                settings.calculator
            )));
        }
        if settings.python.is_empty() {
            return Err(Error::invalid(
                "labeller ase: `python` is empty; name a Python",
            ));
        }
        let version = versions(settings, &stop)?;
        let make = |settings: AseSettings| {
            Ok(CommandSettings {
                command: command(&settings)?,
                ladder: Vec::new(),
                tight: None,
                method: String::new(),
                files: settings.files,
                env: settings.env,
                timeout: settings.timeout,
                cores: settings.cores,
            })
        };
        let ladder = Ladder::new("ase", settings, &settings.ladder, tight(settings), make)?;
        let worker = CommandLabeller::with_ladder("ase", ladder, base, stop)?;
        Ok(Self { worker, version })
    }
}

/// Settings for a second look at a label.
fn tight(settings: &AseSettings) -> Option<toml::Table> {
    if let Some(tight) = &settings.tight {
        return Some(tight.clone());
    }
    if !settings.calculator.starts_with("tblite") {
        return None;
    }
    let accuracy = match settings.arguments.get("accuracy") {
        Some(Value::Float(x)) => *x,
        Some(Value::Integer(n)) => *n as f64,
        Some(_) => return None,
        None => 1.0,
    };
    let line = format!("arguments = {{ accuracy = {:?} }}", accuracy / 10.0);
    ladder::built_in(&[line]).pop()
}

/// The command that labels with a calculator.
fn command(settings: &AseSettings) -> Result<Vec<String>> {
    let arguments = serde_json::to_string(&settings.arguments)
        .map_err(|e| Error::invalid(format!("labeller ase: arguments: {e}")))?;
    let mut command = settings.python.clone();
    command.extend(["-c", WORKER, "label", &settings.calculator].map(str::to_owned));
    command.extend([arguments, "{input}".to_owned(), "{output}".to_owned()]);
    Ok(command)
}

/// What Python says of ASE's and the calculator's version.
fn versions(settings: &AseSettings, stop: &StopFlag) -> Result<String> {
    let folder = tempfile::tempdir().map_err(|e| Error::io("create", "a temporary folder", e))?;
    let mut command = settings.python.clone();
    command.extend(["-c", WORKER, "versions", &settings.calculator].map(str::to_owned));
    let call = Call {
        command,
        env: settings.env.clone(),
        folder: folder.path().to_owned(),
        output: "versions".to_owned(),
        timeout: timeout(settings.timeout)?,
    };
    let ending = call.run(stop)?;
    let said = last_lines(&folder.path().join("versions"), 1);
    match ending {
        Ending::Exited(0) => Ok(said),
        _ => Err(Error::Failed(format!(
            "labeller ase: {} cannot use {}: {said}; install it into that Python, or name another in `python`",
            settings.python[0], settings.calculator
        ))),
    }
}

impl Labeller for Ase {
    fn name(&self) -> &str {
        "ase"
    }

    fn settings(&self) -> String {
        format!("versions {}\n{}", self.version, self.worker.settings())
    }

    fn prepare(&self, structure: &Structure, rung: usize, workdir: &Path) -> Result<Option<Call>> {
        self.worker.prepare(structure, rung, workdir)
    }

    fn collect(&self, structure: &Structure, attempt: &Attempt<'_>) -> Result<Verdict> {
        let mut verdict = self.worker.collect(structure, attempt)?;
        if let Verdict::Accepted(label) = &mut verdict {
            let own = [
                ("program", "ase"),
                ("program_version", self.version.as_str()),
            ];
            let own = own.map(|(key, value)| (key.to_owned(), value.to_owned()));
            label.info.extend(own);
        }
        Ok(verdict)
    }

    fn setup(&self) -> Option<&ProgramSetup> {
        self.worker.setup()
    }
}
