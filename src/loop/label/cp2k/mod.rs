//! CP2K: density-functional theory with Gaussians and plane waves.

mod parse;
mod settings;
mod template;

pub use parse::parse;
pub use settings::Cp2kSettings;
pub use template::Kind;

use super::command::{digest, timeout};
use super::ladder;
use super::process::{Call, Ending, StopFlag};
use super::program::{ask_version, root_variables};
use super::{Labeller, Verdict};
use nepal::error::{Error, Result};
use nepal::system::Structure;
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
    /// What to try when the SCF does not converge: in words, settings and template; last the tighter
    /// settings, if there are any.
    rungs: Vec<(String, Cp2kSettings, String)>,
    /// How many of these are the ladder.
    ladder: usize,
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
        let template = template_text(&settings, base)?;
        let mut rungs = Vec::new();
        let steps = settings.ladder();
        let ladder = steps.len();
        for rung in steps.into_iter().chain(settings.tight()) {
            let changed: Cp2kSettings = ladder::overlay("cp2k", &settings, &rung)?;
            changed.validate()?;
            let template = template_text(&changed, base)?;
            rungs.push((ladder::describe(&rung), changed, template));
        }
        let mut files = Vec::new();
        for file in &settings.files {
            let path = base.join(file);
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            files.push((path.clone(), name.into_owned(), digest(&path)?));
        }
        let version = match &settings.version {
            Some(version) => version.clone(),
            None => ask_version(
                "cp2k",
                &settings.command,
                |word| word.contains("cp2k"),
                |line| Some(line.to_owned()),
                "install CP2K",
            )?,
        };
        Ok(Self {
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

    /// The input for a structure.
    ///
    /// **Errors**: [`Error::InvalidArgument`] for placeholders without a value and elements without
    /// basis and potential.
    pub fn input(&self, structure: &Structure) -> Result<String> {
        self.input_at(structure, 0)
    }

    /// The same with the settings of a rung of the ladder, from 1.
    fn input_at(&self, structure: &Structure, rung: usize) -> Result<String> {
        let (settings, text) = match rung.checked_sub(1).and_then(|i| self.rungs.get(i)) {
            Some((_, settings, text)) => (settings, text),
            None => (&self.settings, &self.template),
        };
        let built_in = template::BUILT_IN
            .iter()
            .any(|(name, _)| *name == settings.template);
        if built_in && structure.cell.periodic() != [true; 3] {
            return Err(Error::invalid(
                "the built-in CP2K templates are for cells that are periodic in all directions; give \
                 a `template` of your own, with a &POISSON section, for molecules and slabs",
            ));
        }
        template::input(
            text,
            structure,
            settings.mesh(structure),
            &settings.kinds,
            &settings.placeholders(),
        )
    }
}

/// The template that settings name: built in, or a file.
fn template_text(settings: &Cp2kSettings, base: &Path) -> Result<String> {
    let name = settings.template.as_str();
    if let Some((_, text)) = template::BUILT_IN.iter().find(|(known, _)| *known == name) {
        return Ok((*text).to_owned());
    }
    let path = base.join(name);
    std::fs::read_to_string(&path).map_err(|e| {
        let known: Vec<&str> = template::BUILT_IN.iter().map(|(name, _)| *name).collect();
        let doing = format!("read the CP2K template (built in are {})", known.join(", "));
        Error::io(&doing, path, e)
    })
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

    fn prepare(&self, structure: &Structure, rung: usize, workdir: &Path) -> Result<Option<Call>> {
        let input = workdir.join(INPUT);
        let text = self.input_at(structure, rung)?;
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
        Ok(Some(Call {
            command,
            env,
            folder: workdir.to_owned(),
            output: OUTPUT.to_owned(),
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
        let read = |name: &str| std::fs::read_to_string(workdir.join(name)).ok();
        let output = read(OUTPUT).unwrap_or_default();
        let verdict = parse(
            &output,
            read("label.frc").as_deref(),
            read("label.stress").as_deref(),
            structure,
        )?;
        Ok(verdict.with_ending(ending, timeout, &workdir.join(OUTPUT)))
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
        self.settings.cores()
    }
}

#[cfg(all(test, unix))]
mod tests;
