//! Plane-wave codes that are driven through files: Quantum ESPRESSO, ABINIT and VASP.
//!
//! One labeller for all: a `Dialect` says which files a code reads and what its output means.

mod abinit;
mod dialect;
mod qe;
mod settings;
mod vasp;

pub use dialect::{Code, parse};
pub use settings::DftSettings;

use super::command::{digest, timeout};
use super::fill;
use super::ladder;
use super::process::{Call, Ending, StopFlag};
use super::program::{ask_version, root_variables};
use super::{Labeller, Verdict};
use dialect::{Dialect, Input};
use nepal::error::{Error, Result};
use nepal::system::Structure;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What the program prints goes here.
const LOG: &str = "label.log";

/// Labels with a plane-wave code, from a template in the code's own input language.
///
/// A label is accepted only if the output says that the SCF converged and reaches its end: ABINIT prints
/// all values and ends with status 0 even if not, and QE says `JOB DONE`.
pub struct Dft {
    dialect: &'static dyn Dialect,
    settings: DftSettings,
    template: String,
    /// What to try when the SCF does not converge: in words, settings and template; last the tighter
    /// settings, if there are any.
    rungs: Vec<(String, DftSettings, String)>,
    /// How many of these are the ladder.
    ladder: usize,
    /// Files for the work folder: where they are, their name and digest.
    files: Vec<(PathBuf, String, String)>,
    version: String,
    timeout: Duration,
    stop: StopFlag,
}

impl Dft {
    /// A labeller from its settings; relative paths start at `base`, and `stop` ends running programs.
    ///
    /// Asks the program for its version, which is part of the cache key, unless the settings give one.
    ///
    /// **Errors**: [`Error::Failed`] if the program is missing, [`Error::Io`] for files that cannot
    /// be read, [`Error::InvalidArgument`] for settings that make no sense.
    pub fn new(code: Code, settings: DftSettings, base: &Path, stop: StopFlag) -> Result<Self> {
        let dialect = code.dialect();
        let name = dialect.name();
        settings.validate(name)?;
        let template = template_text(dialect, &settings, base)?;
        let mut rungs = Vec::new();
        let steps = settings.ladder(dialect);
        let ladder = steps.len();
        for rung in steps.into_iter().chain(settings.tight(dialect)) {
            let changed: DftSettings = ladder::overlay(name, &settings, &rung)?;
            changed.validate(name)?;
            let template = template_text(dialect, &changed, base)?;
            rungs.push((ladder::describe(&rung), changed, template));
        }
        let mut files = Vec::new();
        for file in settings.pseudopotentials.values().chain(&settings.files) {
            let path = base.join(file);
            let digest = digest(&path)?;
            files.push((path, dialect::file_name(file), digest));
        }
        let stem = dialect.program().split(['.', '_']).next();
        let stem = stem.unwrap_or_default();
        let version = match &settings.version {
            Some(version) => version.clone(),
            None => ask_version(
                name,
                &settings.command(dialect),
                |word| word.starts_with(stem),
                |line| dialect.version(line),
                "install it",
            )?,
        };
        Ok(Self {
            dialect,
            template,
            rungs,
            ladder,
            files,
            version,
            timeout: timeout(settings.timeout)?,
            settings,
            stop,
        })
    }

    /// The version of the program, as it tells it.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The input files for a structure: names and texts. Pseudopotentials are copied besides.
    ///
    /// **Errors**: [`Error::InvalidArgument`] for placeholders without a value, elements without a
    /// pseudopotential, and structures that are not periodic in all directions.
    pub fn input(&self, structure: &Structure) -> Result<Vec<(String, String)>> {
        self.input_at(structure, 0)
    }

    /// The same with the settings of a rung of the ladder, from 1.
    fn input_at(&self, structure: &Structure, rung: usize) -> Result<Vec<(String, String)>> {
        let (settings, template) = match rung.checked_sub(1).and_then(|i| self.rungs.get(i)) {
            Some((_, settings, template)) => (settings, template),
            None => (&self.settings, &self.template),
        };
        let name = self.dialect.name();
        if structure.cell.periodic() != [true; 3] {
            return Err(Error::invalid(format!(
                "labeller {name}: plane waves are periodic in all directions; give molecules and slabs a \
                 cell with vacuum (the structure is periodic along {:?})",
                structure.cell.periodic()
            )));
        }
        for element in &structure.elements {
            let symbol = element.symbol();
            if !self.settings.pseudopotentials.contains_key(symbol) {
                return Err(Error::invalid(format!(
                    "labeller {name}: no pseudopotential for {symbol}; add it to the table `pseudopotentials`"
                )));
            }
        }
        self.dialect.files(&Input {
            template,
            structure,
            mesh: settings.mesh(structure),
            pseudopotentials: &settings.pseudopotentials,
            values: &settings.values,
        })
    }

    /// Writes everything that the program reads.
    fn write_files(&self, structure: &Structure, rung: usize, workdir: &Path) -> Result<()> {
        for (name, text) in self.input_at(structure, rung)? {
            let path = workdir.join(name);
            std::fs::write(&path, text).map_err(|e| Error::io("write", path, e))?;
        }
        for (from, name, _) in &self.files {
            let to = workdir.join(name);
            std::fs::copy(from, &to).map_err(|e| Error::io("copy to", to, e))?;
        }
        self.dialect
            .finish(&self.settings.pseudopotentials, structure, workdir)
    }
}

/// The template that settings name: built in, or a file; it must hold what tells structures apart.
fn template_text(dialect: &dyn Dialect, settings: &DftSettings, base: &Path) -> Result<String> {
    let name = dialect.name();
    let template = match dialect.template(&settings.template) {
        Some(text) => text.to_owned(),
        None => {
            let path = base.join(&settings.template);
            std::fs::read_to_string(&path).map_err(|e| {
                let doing = format!(
                    "read the template of the labeller {name} (built in are metal and insulator)"
                );
                Error::io(&doing, path, e)
            })?
        }
    };
    for needed in dialect.needs() {
        if !fill::uses(&template, needed) {
            return Err(Error::invalid(format!(
                "the {name} template has no @{needed}@; every structure would get the same label"
            )));
        }
    }
    Ok(template)
}

impl Labeller for Dft {
    fn name(&self) -> &str {
        self.dialect.name()
    }

    fn settings(&self) -> String {
        let digests: Vec<String> = self
            .files
            .iter()
            .map(|(_, name, digest)| format!("{name} {digest}"))
            .collect();
        format!(
            "{}\nversion {}\nkpoints {:?} spacing {:?}\npseudopotentials {:?}\nvalues {:?}\nfiles {digests:?}",
            self.template,
            self.version,
            self.settings.kpoints,
            self.settings.kspacing,
            self.settings.pseudopotentials,
            self.settings.values,
        )
    }

    fn prepare(&self, structure: &Structure, rung: usize, workdir: &Path) -> Result<Option<Call>> {
        self.write_files(structure, rung, workdir)?;
        let mut command = self.settings.command(self.dialect);
        command.extend(self.dialect.arguments().iter().map(|&a| a.to_owned()));
        let mut env = root_variables();
        env.insert(
            "OMP_NUM_THREADS".to_owned(),
            self.settings.threads.to_string(),
        );
        env.extend(self.settings.env.clone());
        Ok(Some(Call {
            command,
            env,
            folder: workdir.to_owned(),
            output: LOG.to_owned(),
            timeout: self.timeout,
        }))
    }

    fn collect(
        &self,
        structure: &Structure,
        workdir: &Path,
        ending: Ending,
        timeout: Duration,
    ) -> Result<Verdict> {
        let read = |name: &str| {
            let bytes = std::fs::read(workdir.join(name)).ok()?;
            Some(String::from_utf8_lossy(&bytes).into_owned())
        };
        let output = read(self.dialect.output()).unwrap_or_default();
        let verdict = dialect::judge(
            self.dialect,
            &output,
            &read(LOG).unwrap_or_default(),
            structure,
            &self.settings.pseudopotentials,
        );
        Ok(verdict.with_ending(ending, timeout, &workdir.join(LOG)))
    }

    fn rungs(&self) -> Vec<String> {
        let ladder = self.rungs.iter().take(self.ladder);
        ladder.map(|(words, ..)| words.clone()).collect()
    }

    fn tight(&self) -> Option<String> {
        Some(self.rungs.get(self.ladder)?.0.clone())
    }

    fn stop(&self) -> StopFlag {
        self.stop.clone()
    }

    fn cores(&self) -> usize {
        self.settings.threads * self.settings.processes
    }
}

#[cfg(all(test, unix))]
mod tests;
