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

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use nepal::element::Element;
    use nepal::system::Cell;

    fn settings(text: &str) -> AseSettings {
        toml::from_str(text).unwrap()
    }

    fn argon() -> Structure {
        let element = Element::from_symbol("Ar").unwrap();
        let cell = Cell::orthorhombic([12.0, 13.0, 14.0]).unwrap();
        Structure::new(cell, vec![element; 2], vec![[0.0; 3], [3.0, 1.0, 1.5]]).unwrap()
    }

    /// A Python that has ASE, if this machine has one: that of the other tests, or the system's.
    fn python_with_ase() -> Option<String> {
        let own = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../target/python/bin/python"
        );
        let has_ase = |python: &&str| {
            let mut call = std::process::Command::new(python);
            let output = call.args(["-c", "import ase"]).output();
            output.is_ok_and(|o| o.status.success())
        };
        [own, "python3"]
            .iter()
            .find(|p| has_ase(p))
            .map(|p| (*p).to_owned())
    }

    #[test]
    fn a_calculator_labels_with_our_signs() {
        let Some(python) = python_with_ase() else {
            eprintln!("skipped: no Python with ASE (pip install ase)");
            return;
        };
        let (sigma, epsilon) = (3.4, 0.0103);
        let text = format!(
            "python = \"{python}\"\ncalculator = \"ase.calculators.lj:LennardJones\"\n\
             arguments = {{ sigma = {sigma}, epsilon = {epsilon}, rc = 5.5, smooth = false }}"
        );
        let ase = Ase::new(&settings(&text), Path::new("."), StopFlag::default()).unwrap();
        assert!(
            ase.settings().starts_with("versions ase "),
            "{}",
            ase.settings()
        );
        let work = tempfile::tempdir().unwrap();
        let Verdict::Accepted(label) = ase.label(&argon(), work.path()).unwrap() else {
            panic!("rejected")
        };
        let d = [3.0, 1.0, 1.5_f64];
        let r2 = d.iter().map(|x| x * x).sum::<f64>();
        let c6 = (sigma * sigma / r2).powi(3);
        let shift = (sigma / 5.5_f64).powi(6);
        let energy = 4.0 * epsilon * (c6 * c6 - c6 - shift * shift + shift);
        assert!((label.energy - energy).abs() < 1e-12, "{}", label.energy);
        // The force on atom 1 along d, and the virial d ⊗ f.
        let slope = 24.0 * epsilon * (2.0 * c6 * c6 - c6) / r2;
        let virial = label.virial.unwrap();
        for a in 0..3 {
            assert!((label.forces[1][a] - slope * d[a]).abs() < 1e-12);
            for b in 0..3 {
                assert!((virial[3 * a + b] - slope * d[a] * d[b]).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn what_fails_in_python_is_told() {
        let Some(python) = python_with_ase() else {
            eprintln!("skipped: no Python with ASE (pip install ase)");
            return;
        };
        let make = |calculator: &str, arguments: &str| {
            let text = format!(
                "python = \"{python}\"\ncalculator = \"{calculator}\"\narguments = {{ {arguments} }}"
            );
            Ase::new(&settings(&text), Path::new("."), StopFlag::default())
        };
        let message = |calculator: &str| make(calculator, "").err().unwrap().to_string();
        assert!(message("no_such_module:Thing").contains("no_such_module"));
        assert!(message("ase").contains("module:Class"));
        // ASE's EMT knows a few metals, and no argon.
        let emt = make("ase.calculators.emt:EMT", "").unwrap();
        let work = tempfile::tempdir().unwrap();
        let Verdict::Rejected { reason, .. } = emt.label(&argon(), work.path()).unwrap() else {
            panic!("accepted")
        };
        assert!(reason.contains("Ar"), "{reason}");
    }
}
