//! CP2K: density-functional theory with Gaussians and plane waves.

mod parse;
mod settings;
mod template;

pub use parse::parse;
pub use settings::Cp2kSettings;
pub use template::Kind;

use super::command::{digest, timeout};
use super::process::{Call, Ending, StopFlag};
use super::program::{locate, program_version, root_variables};
use super::{Labeller, Verdict};
use crate::error::{Error, Result};
use crate::system::Structure;
use std::path::{Path, PathBuf};
use std::time::Duration;

const INPUT: &str = "label.inp";
const OUTPUT: &str = "label.out";

/// Labels with CP2K, from an input template.
///
/// A label is accepted only if CP2K says that the SCF converged and reaches its end: by default it
/// prints all values and ends with status 0 even if not.
pub struct Cp2k {
    settings: Cp2kSettings,
    template: String,
    /// Files for the work folder: where they are, their name and digest.
    files: Vec<(PathBuf, String, String)>,
    version: String,
    timeout: Duration,
    stop: StopFlag,
}

impl Cp2k {
    /// A labeller from its settings; relative paths start at `base`, and `stop` ends running programs.
    ///
    /// Asks the program for its version, which is part of the cache key, unless the settings give one.
    ///
    /// **Errors**: [`Error::Failed`] if the program is missing, [`Error::Io`] for files that cannot
    /// be read, [`Error::InvalidArgument`] for settings that make no sense.
    pub fn new(settings: Cp2kSettings, base: &Path, stop: StopFlag) -> Result<Self> {
        settings.validate()?;
        let template = match settings.template.as_str() {
            "metal" => template::METAL.to_owned(),
            "insulator" => template::INSULATOR.to_owned(),
            file => {
                let path = base.join(file);
                std::fs::read_to_string(&path).map_err(|e| {
                    Error::io(
                        "read the CP2K template (built in are metal and insulator)",
                        path,
                        e,
                    )
                })?
            }
        };
        let mut files = Vec::new();
        for file in &settings.files {
            let path = base.join(file);
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            files.push((path.clone(), name.into_owned(), digest(&path)?));
        }
        let version = match &settings.version {
            Some(version) => version.clone(),
            None => ask_version(&settings.command)?,
        };
        Ok(Self {
            template,
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

    /// The input for a structure.
    ///
    /// **Errors**: [`Error::InvalidArgument`] for placeholders without a value and elements without
    /// basis and potential.
    pub fn input(&self, structure: &Structure) -> Result<String> {
        let built_in = ["metal", "insulator"].contains(&self.settings.template.as_str());
        if built_in && structure.cell.periodic() != [true; 3] {
            return Err(Error::invalid(
                "the built-in CP2K templates are for cells that are periodic in all directions; give \
                 a `template` of your own, with a &POISSON section, for molecules and slabs",
            ));
        }
        template::input(
            &self.template,
            structure,
            self.settings.mesh(structure),
            &self.settings.kinds,
            &self.settings.placeholders(),
        )
    }
}

/// The version of the CP2K in a command line such as `mpirun -np 2 cp2k.psmp`.
fn ask_version(command: &[String]) -> Result<String> {
    let is_cp2k = |word: &&String| {
        let name = Path::new(word.as_str()).file_name().unwrap_or_default();
        name.to_string_lossy().contains("cp2k")
    };
    let program = command.iter().find(is_cp2k).unwrap_or(&command[0]);
    let path = locate(program).ok_or_else(|| {
        Error::Failed(format!(
            "labeller cp2k: the program {program} is not on this machine; install CP2K, give its path \
             in `command`, or its `version` if labels are computed elsewhere"
        ))
    })?;
    let path = std::path::absolute(&path).unwrap_or(path);
    let version = program_version(&path);
    if version.is_empty() {
        return Err(Error::Failed(format!(
            "labeller cp2k: {program} does not tell its version; give it as `version`, since it is part of \
             what identifies a label"
        )));
    }
    Ok(version)
}

impl Labeller for Cp2k {
    fn name(&self) -> &str {
        "cp2k"
    }

    fn settings(&self) -> String {
        let digests: Vec<String> = self
            .files
            .iter()
            .map(|(_, name, digest)| format!("{name} {digest}"))
            .collect();
        format!(
            "{}\nversion {}\nkpoints {:?} spacing {:?}\nkinds {:?}\nvalues {:?}\nfiles {digests:?}",
            self.template,
            self.version,
            self.settings.kpoints,
            self.settings.kspacing,
            self.settings.kinds,
            self.settings.placeholders(),
        )
    }

    fn label(&self, structure: &Structure, workdir: &Path) -> Result<Verdict> {
        let input = workdir.join(INPUT);
        let text = self.input(structure)?;
        std::fs::write(&input, text).map_err(|e| Error::io("write", &input, e))?;
        for (from, name, _) in &self.files {
            let to = workdir.join(name);
            std::fs::copy(from, &to).map_err(|e| Error::io("copy to", to, e))?;
        }
        let mut command = self.settings.command.clone();
        command.extend(["-i".to_owned(), INPUT.to_owned()]);
        let mut env = root_variables();
        env.insert(
            "OMP_NUM_THREADS".to_owned(),
            self.settings.threads.to_string(),
        );
        env.extend(self.settings.env.clone());
        let call = Call {
            command,
            env,
            folder: workdir.to_owned(),
            output: OUTPUT.to_owned(),
            timeout: self.timeout,
        };
        let ending = call.run(&self.stop)?;
        if ending == Ending::TimedOut {
            return Ok(Verdict::rejected(
                ending.failure(self.timeout).unwrap_or_default(),
            ));
        }
        let read = |name: &str| std::fs::read_to_string(workdir.join(name)).ok();
        let output = read(OUTPUT).unwrap_or_default();
        let verdict = parse(
            &output,
            read("label.frc").as_deref(),
            read("label.stress").as_deref(),
            structure,
        )?;
        Ok(verdict.with_failure(ending.failure(self.timeout), &workdir.join(OUTPUT)))
    }

    fn cores(&self) -> usize {
        self.settings.cores()
    }
}

#[cfg(all(test, unix))]
mod tests;
