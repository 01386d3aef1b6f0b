//! Any calculator of ASE, the Atomic Simulation Environment, through a small Python program.

use super::command::{CommandLabeller, CommandSettings};
use super::ladder::{self, Ladder};
use super::outputs::last_lines;
use super::process::{Call, Ending, StopFlag};
use super::runner::Attempt;
use super::served::Served;
use super::setup::{ProgramSetup, hour, one, timeout};
use super::{Ask, Labeller, Verdict, config};
use crate::worker;
use nepal::error::{Error, Result};
use nepal::system::Structure;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use toml::Value;

/// Settings of an [`Ase`] labeller.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AseSettings {
    /// Python with ASE and the calculator, a list or one text (`python3`).
    #[serde(default = "python", deserialize_with = "config::words")]
    pub python: Vec<String>,
    /// Module and class, such as `tblite.ase:TBLite` or `gpaw:GPAW`.
    #[serde(default)]
    pub calculator: String,
    /// Instead of a calculator a function of yours, `FILE.py:name`; relative to the campaign file. It is called with
    /// an `ase.Atoms` and the arguments, and returns a dict of `energy` (eV), `forces` (eV/Å) and, of a periodic cell,
    /// `stress` (eV/Å³, positive in tension) or `virial` (eV). The content of the file identifies the label.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub function: String,
    /// Keyword arguments of the class or function.
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

/// Stands for the worker in what identifies a label; raised where its labels change.
const WORKER_VERSION: &str = "worker 1";

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
    /// The file of a function, which goes to where it is called.
    function: Option<PathBuf>,
    /// How to start what answers many structures.
    server: Call,
    files: Vec<PathBuf>,
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
        let what = what(settings)?;
        if settings.python.is_empty() {
            return Err(Error::invalid(
                "labeller ase: `python` is empty; name a Python",
            ));
        }
        let version = versions(settings, &what.versions(base), &stop)?;
        let mut files = settings.files.clone();
        files.extend(what.file.clone());
        let make = |settings: AseSettings| {
            Ok(CommandSettings {
                command: command(&settings, &what.name, Way::Label)?,
                ladder: Vec::new(),
                tight: None,
                method: String::new(),
                files: files.clone(),
                env: settings.env,
                timeout: settings.timeout,
                cores: settings.cores,
            })
        };
        let ladder = Ladder::new("ase", settings, &settings.ladder, tight(settings), make)?;
        let worker = CommandLabeller::with_ladder("ase", ladder, base, stop)?;
        Ok(Self {
            worker,
            version,
            server: Call {
                command: command(settings, &what.name, Way::Serve)?,
                env: settings.env.clone(),
                folder: PathBuf::new(),
                output: String::new(),
                timeout: timeout(settings.timeout)?,
            },
            files: files.iter().map(|file| base.join(file)).collect(),
            function: what.file.map(|file| base.join(file)),
        })
    }
}

/// What labels: how the worker is told, and the file that goes along.
struct What {
    name: String,
    file: Option<PathBuf>,
}

impl What {
    /// The name where the file has not been copied yet.
    fn versions(&self, base: &Path) -> String {
        let Some(file) = &self.file else {
            return self.name.clone();
        };
        let path = std::path::absolute(base.join(file)).unwrap_or_else(|_| base.join(file));
        let function = self.name.rsplit(':').next().unwrap_or_default();
        format!("{}:{function}", path.display())
    }
}

/// The calculator or the function of the settings.
fn what(settings: &AseSettings) -> Result<What> {
    let well_formed = settings
        .calculator
        .split_once(':')
        .is_some_and(|(module, class)| !module.is_empty() && !class.is_empty());
    match (well_formed, settings.function.is_empty()) {
        (true, true) => Ok(What {
            name: settings.calculator.clone(),
            file: None,
        }),
        (_, false) if settings.calculator.is_empty() => {
            let (file, name) = function(&settings.function)
                .map_err(|e| Error::invalid(format!("labeller ase: `function` {e}")))?;
            Ok(What {
                name,
                file: Some(file),
            })
        }
        (_, false) => Err(Error::invalid(
            "labeller ase: both `calculator` and `function` are given; name one of them",
        )),
        (false, true) => Err(Error::invalid(format!(
            "labeller ase: `calculator` must be module:Class, such as tblite.ase:TBLite, or `function` FILE.py:name; found {:?}",
            settings.calculator
        ))),
    }
}

/// The file of `FILE.py:function`, and the name by which a worker beside a copy of the file calls it.
///
/// **Errors**: in words, what is expected.
pub(crate) fn function(text: &str) -> std::result::Result<(PathBuf, String), String> {
    let parts = text.rsplit_once(':').filter(|(file, name)| {
        let plain = name
            .chars()
            .all(|c| c.is_alphanumeric() || c == '_' || c == '.');
        file.ends_with(".py") && !name.is_empty() && plain
    });
    let (file, name) = parts
        .ok_or_else(|| format!("must be FILE.py:name, such as labels.py:label; found {text:?}"))?;
    let file = PathBuf::from(file);
    let copied = super::setup::file_name(&file);
    Ok((file, format!("{copied}:{name}")))
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

/// One structure by files, or many in a row by lines.
enum Way {
    Label,
    Serve,
}

/// The command that labels with a calculator or function.
fn command(settings: &AseSettings, what: &str, way: Way) -> Result<Vec<String>> {
    let arguments = serde_json::to_string(&settings.arguments)
        .map_err(|e| Error::invalid(format!("labeller ase: arguments: {e}")))?;
    let mut command = settings.python.clone();
    let (text, verb, rest): (_, _, &[&str]) = match way {
        Way::Label => (worker::LABEL, "label", &["{input}", "{output}"]),
        Way::Serve => (worker::SERVE, "serve", &[]),
    };
    command.extend(["-c", text, verb, what].map(str::to_owned));
    command.push(arguments);
    command.extend(rest.iter().map(|&word| word.to_owned()));
    Ok(command)
}

/// What Python says of ASE's and the calculator's version.
fn versions(settings: &AseSettings, what: &str, stop: &StopFlag) -> Result<String> {
    let folder = tempfile::tempdir().map_err(|e| Error::io("create", "a temporary folder", e))?;
    let mut command = settings.python.clone();
    command.extend(["-c", worker::LABEL, "versions", what].map(str::to_owned));
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
            "labeller ase: {} cannot use {what}: {said}; install it into that Python, or name another in `python`",
            settings.python[0]
        ))),
    }
}

impl Labeller for Ase {
    fn name(&self) -> &str {
        "ase"
    }

    fn settings(&self) -> String {
        // The text of the worker may change where its labels do not.
        let settings = self.worker.settings();
        let settings = settings.replace(&format!("{:?}", worker::LABEL), WORKER_VERSION);
        format!("versions {}\n{settings}", self.version)
    }

    fn prepare(&self, structure: &Structure, rung: usize, workdir: &Path) -> Result<Option<Call>> {
        if let Some(file) = &self.function {
            let to = workdir.join(super::setup::file_name(file));
            std::fs::copy(file, &to).map_err(|e| Error::io("copy to", to, e))?;
        }
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

    fn asked(&self) -> Result<Option<Ask>> {
        let mut served = Served::new(&self.server, &self.files, self.stop())?;
        Ok(Some(Box::new(move |structure| served.ask(structure))))
    }
}
