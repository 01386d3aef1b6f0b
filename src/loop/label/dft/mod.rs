//! Density-functional codes that are driven through files: CP2K, Quantum ESPRESSO, ABINIT and VASP.
//!
//! One labeller for all: a `Dialect` says which files a code reads and what its output means.

mod abinit;
mod cp2k;
mod dialect;
mod found;
mod pseudopotential;
mod qe;
mod settings;
mod vasp;

pub use dialect::Code;
pub(crate) use found::found_label;
pub use settings::{DftSettings, Kind};

use super::ladder::Ladder;
use super::process::{Call, StopFlag};
use super::program::ask_version;
use super::runner::Attempt;
use super::setup::ProgramSetup;
use super::{Label, Labeller, NO_VIRIAL, Verdict, fill, outputs};
use dialect::{Dialect, Input, Printed};
use nepal::error::{Error, Result};
use nepal::system::Structure;
use std::collections::BTreeMap;
use std::path::Path;

/// Labels with a density-functional code, from a template in the code's own input language.
///
/// A label is accepted only if the output says that the SCF converged and reaches its end (CP2K and ABINIT print
/// all values and end with status 0 even if not, and QE says `JOB DONE`), and if nothing that the program says of its
/// input contradicts the structure.
pub struct Dft {
    dialect: &'static dyn Dialect,
    /// Settings and the template's text.
    ladder: Ladder<(DftSettings, String)>,
    setup: ProgramSetup,
    version: String,
}

impl Dft {
    /// A labeller from its settings; relative paths start at `base`, and `stop` ends running programs.
    ///
    /// Asks the program for its version, which is part of the cache key, unless the settings give one.
    ///
    /// **Errors**: [`Error::Failed`] if the program is missing, [`Error::Io`] for files that cannot
    /// be read, [`Error::InvalidArgument`] for settings that make no sense and pseudopotentials of other elements.
    pub fn new(code: Code, settings: &DftSettings, base: &Path, stop: StopFlag) -> Result<Self> {
        let dialect = code.dialect();
        let name = dialect.facts().name;
        let (steps, tight) = (settings.ladder(dialect), settings.tight(dialect));
        let ladder = Ladder::new(name, settings, &steps, tight, |settings: DftSettings| {
            settings.validate(dialect)?;
            let template = template_text(dialect, &settings, base)?;
            Ok((settings, template))
        })?;
        check_elements(name, &settings.pseudopotentials, base)?;
        let files = settings.pseudopotentials.values().chain(&settings.files);
        let setup = ProgramSetup::new(
            name,
            files.map(Path::new),
            base,
            settings.timeout,
            settings.threads.saturating_mul(settings.processes),
            &ladder,
            stop,
        )?;
        let stem = dialect.facts().program.split(['.', '_']).next();
        let stem = stem.unwrap_or_default();
        let version = match &settings.version {
            Some(version) => version.clone(),
            None => ask_version(
                name,
                &command(settings, dialect),
                |word| word.starts_with(stem) || stem == "cp2k" && word.contains(stem),
                |line| dialect.version(line),
                "install it",
                &setup.stop,
            )?,
        };
        Ok(Self {
            dialect,
            ladder,
            setup,
            version,
        })
    }

    /// What the input for a structure is made from.
    fn input<'a>(&'a self, structure: &'a Structure, rung: usize) -> Result<Input<'a>> {
        let (settings, template) = self.ladder.at(rung);
        let name = self.dialect.facts().name;
        let periodic = structure.cell.periodic();
        if periodic != [true; 3]
            && !self
                .dialect
                .takes_open_boundaries(is_built_in(self.dialect, settings))
        {
            return Err(Error::invalid(format!(
                "labeller {name}: plane waves are periodic in all directions; give molecules and slabs a \
                 cell with vacuum, or cp2k a `template` of your own with a &POISSON section (the structure is \
                 periodic along {periodic:?})"
            )));
        }
        Ok(Input {
            template,
            structure,
            settings,
        })
    }

    /// The verdict on what a program printed.
    fn judge(&self, printed: &Printed, structure: &Structure, rung: usize) -> Verdict {
        let (settings, template) = self.ladder.at(rung);
        // What a template of the user's own makes of the value is not known.
        let cutoff = is_built_in(self.dialect, settings).then(|| self.dialect.values(settings));
        let cutoff =
            cutoff.and_then(|values| dialect::finite(values.get(self.dialect.facts().cutoff)?));
        // A mesh that is asked for is ours where a file of its own has it, as VASP's, or the template takes it.
        let asked = settings.kpoints.is_some() || settings.kspacing.is_some();
        let ours = self.dialect.facts().needs.is_empty() || fill::uses(template, "KPOINTS");
        let wanted = Wanted {
            cutoff,
            mesh: (asked && ours).then(|| settings.mesh(structure)),
        };
        judge(
            self.dialect,
            printed,
            structure,
            &wanted,
            self.dialect.distrusts_stress(settings),
        )
    }
}

/// Settings of an input that an output may tell.
#[derive(Default)]
struct Wanted {
    cutoff: Option<f64>,
    mesh: Option<[usize; 3]>,
}

fn judge(
    dialect: &dyn Dialect,
    printed: &Printed,
    structure: &Structure,
    wanted: &Wanted,
    distrusted: Option<&str>,
) -> Verdict {
    let reading = match dialect.read(printed, structure) {
        Ok(reading) => reading,
        Err(fault) => return fault.into(),
    };
    let n = structure.len();
    if reading.forces.len() != n {
        return Verdict::rejected(format!(
            "the output has forces on {} atoms; the structure has {n}",
            reading.forces.len()
        ));
    }
    if let Some(reason) = reading.echo.contradiction(structure, wanted.cutoff) {
        return Verdict::rejected(reason);
    }
    if let (Some(found), Some(wanted)) = (reading.echo.mesh, wanted.mesh)
        && found != wanted
    {
        return Verdict::rejected(format!(
            "the output is of other settings: its mesh of k-points is {found:?}, {wanted:?} in the input"
        ));
    }
    let mut info = BTreeMap::from([("program".to_owned(), dialect.facts().name.to_owned())]);
    let told = [
        ("scf_steps", reading.scf_steps),
        ("program_version", reading.version),
    ];
    for (key, value) in told {
        info.extend(value.map(|value| (key.to_owned(), value)));
    }
    let volume = structure.cell.volume();
    let virial = reading.pressure.map(|p| p.map(|x| x * volume));
    let missing = match (distrusted, virial) {
        (Some(why), _) => Some(why.to_owned()),
        (None, None) => Some(format!(
            "the output has no stress tensor ({})",
            dialect.facts().stress_key
        )),
        (None, Some(_)) => None,
    };
    let virial = virial.filter(|_| missing.is_none());
    info.extend(missing.map(|why| (NO_VIRIAL.to_owned(), why)));
    Verdict::Accepted(Label {
        energy: reading.energy,
        forces: reading.forces,
        virial,
        info,
    })
}

/// The command, with the code's own program as default.
fn command(settings: &DftSettings, dialect: &dyn Dialect) -> Vec<String> {
    match settings.command.is_empty() {
        true => vec![dialect.facts().program.to_owned()],
        false => settings.command.clone(),
    }
}

fn is_built_in(dialect: &dyn Dialect, settings: &DftSettings) -> bool {
    let mut names = dialect.facts().templates.iter().map(|(name, _)| *name);
    names.any(|name| name == settings.template)
}

/// The template that settings name: built in, or a file; it must hold what tells structures apart.
fn template_text(dialect: &dyn Dialect, settings: &DftSettings, base: &Path) -> Result<String> {
    let name = dialect.facts().name;
    let mut templates = dialect.facts().templates.iter();
    let template = match templates.find(|(known, _)| *known == settings.template) {
        Some((_, text)) => (*text).to_owned(),
        None => {
            let path = base.join(&settings.template);
            std::fs::read_to_string(&path).map_err(|e| {
                let known: Vec<&str> = dialect.facts().templates.iter().map(|t| t.0).collect();
                let doing = format!(
                    "read the template of the labeller {name} (built in are {})",
                    known.join(", ")
                );
                Error::io(&doing, path, e)
            })?
        }
    };
    for needed in dialect.facts().needs {
        if !fill::uses(&template, needed) {
            return Err(Error::invalid(format!(
                "the {name} template has no @{needed}@; every structure would get the same label"
            )));
        }
    }
    Ok(template)
}

/// Refuses pseudopotentials that say that they are of another element than the one they are given for.
fn check_elements(name: &str, files: &BTreeMap<String, String>, base: &Path) -> Result<()> {
    for (symbol, file) in files {
        let path = base.join(file);
        let bytes = std::fs::read(&path).map_err(|e| Error::io("read", &path, e))?;
        let found = pseudopotential::elements(&String::from_utf8_lossy(&bytes));
        if !found.is_empty() && !matches!(found[..], [one] if one.symbol() == symbol) {
            let found: Vec<&str> = found.iter().map(|e| e.symbol()).collect();
            return Err(Error::invalid(format!(
                "labeller {name}: the pseudopotential of {symbol} is {}, which says that it is for {}; expected a file \
                 for {symbol} alone",
                path.display(),
                found.join(" and ")
            )));
        }
    }
    Ok(())
}

impl Labeller for Dft {
    fn name(&self) -> &str {
        self.dialect.facts().name
    }

    fn settings(&self) -> String {
        let (settings, template) = self.ladder.at(0);
        format!(
            "{template}\nversion {}\nkpoints {:?} spacing {:?}\n{}\nvalues {:?}\nfiles {:?}",
            self.version,
            settings.kpoints,
            settings.kspacing,
            self.dialect.potentials(settings),
            self.dialect.values(settings),
            self.setup.named_digests(),
        )
    }

    fn check(&self, structure: &Structure) -> Result<()> {
        self.dialect.files(&self.input(structure, 0)?).map(drop)
    }

    fn prepare(&self, structure: &Structure, rung: usize, workdir: &Path) -> Result<Option<Call>> {
        let input = self.input(structure, rung)?;
        self.setup.write(workdir, &self.dialect.files(&input)?)?;
        self.dialect.finish(&input, workdir)?;
        let settings = &self.ladder.at(0).0;
        let mut command = command(settings, self.dialect);
        command.extend(self.dialect.facts().arguments.iter().map(|&a| a.to_owned()));
        let mut env = settings.env.clone();
        env.entry("OMP_NUM_THREADS".to_owned())
            .or_insert_with(|| settings.threads.to_string());
        let output = self.dialect.facts().log;
        Ok(Some(self.setup.call(workdir, command, &env, output)))
    }

    fn collect(&self, structure: &Structure, attempt: &Attempt<'_>) -> Result<Verdict> {
        let log = self.dialect.facts().log;
        let mut printed = Printed::default();
        let mut unreadable = None;
        for &name in self.dialect.facts().outputs.iter().chain(&[log]) {
            match outputs::read(&attempt.workdir.join(name)) {
                Ok(text) => printed.0.extend(text.map(|text| (name, text))),
                Err(reason) => unreadable = Some(reason),
            }
        }
        let verdict = match unreadable {
            Some(reason) => Verdict::rejected(reason),
            None => self.judge(&printed, structure, attempt.rung),
        };
        Ok(verdict.with_ending(attempt, log))
    }

    fn setup(&self) -> Option<&ProgramSetup> {
        Some(&self.setup)
    }
}

#[cfg(all(test, unix))]
mod tests;
