//! Labellers from a configuration file.

use super::ase::{Ase, AseSettings};
use super::command::{CommandLabeller, CommandSettings};
use super::dft::{Code, Dft, DftSettings};
use super::lammps::{Lammps, LammpsSettings};
use super::process::StopFlag;
use super::teacher::{NepTeacher, NepTeacherSettings};
use super::{Labeller, StillingerWeber};
pub(crate) use crate::words::words;
use nepal::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::Arc;

/// The table that chooses and sets up a labeller: `kind` and the settings of that kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum LabellerConfig {
    /// The built-in silicon potential.
    StillingerWeber(NoSettings),
    /// CP2K.
    Cp2k(Box<DftSettings>),
    /// Quantum ESPRESSO.
    Qe(Box<DftSettings>),
    /// ABINIT.
    Abinit(Box<DftSettings>),
    /// VASP.
    Vasp(Box<DftSettings>),
    /// A pair style of LAMMPS.
    Lammps(Box<LammpsSettings>),
    /// A calculator of ASE.
    Ase(Box<AseSettings>),
    /// Any program with extended XYZ files.
    Command(CommandSettings),
    /// A NEP.
    Nep(NepTeacherSettings),
}

/// A kind without settings; a key in it is an error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoSettings {}

impl LabellerConfig {
    /// The configuration in a TOML text that holds nothing else.
    ///
    /// **Errors**: [`Error::InvalidArgument`] with key, line and what is allowed.
    pub fn from_toml(text: &str) -> Result<Self> {
        toml::from_str(text)
            .map_err(|e| Error::invalid(suggest(&format!("labeller: {}", e.to_string().trim()))))
    }
}

/// A message about an unknown key with the nearest of those that it lists, if one is near.
pub(crate) fn suggest(message: &str) -> String {
    /// Keys of the table `[label]` that are none of a method's.
    const SHARED: [&str; 6] = [
        "kind",
        "parallel",
        "cache",
        "limits",
        "max_rejected",
        "control_hours",
    ];
    let found = message
        .split_once("unknown field `")
        .or_else(|| message.split_once("unknown variant `"));
    let Some((key, rest)) = found.and_then(|(_, tail)| tail.split_once('`')) else {
        return message.to_owned();
    };
    let listed: Vec<&str> = rest.split('`').skip(1).step_by(2).collect();
    let shared = SHARED.iter().filter(|_| listed.contains(&"timeout"));
    let scored = listed.iter().chain(shared);
    let scored = scored.map(|&known| (strsim::normalized_damerau_levenshtein(key, known), known));
    match scored.max_by(|a, b| a.0.total_cmp(&b.0)) {
        Some((score, known)) if score >= 0.6 => format!("{message}; did you mean `{known}`?"),
        _ => message.to_owned(),
    }
}

/// Refuses lists with more entries than their key takes: the TOML reader drops the rest in silence.
///
/// **Errors**: [`Error::InvalidArgument`] naming the key, below `place`.
pub(crate) fn all_read(place: &str, given: &toml::Value, read: &impl Serialize) -> Result<()> {
    let json =
        |value: serde_json::Result<_>| value.map_err(|e| Error::invalid(format!("{place}: {e}")));
    let read = json(serde_json::to_value(read))?;
    compare(place, &json(serde_json::to_value(given))?, &read)
}

fn compare(place: &str, given: &serde_json::Value, read: &serde_json::Value) -> Result<()> {
    use serde_json::Value::{Array, Object};
    match (given, read) {
        (Object(given), Object(read)) => given.iter().try_for_each(|(key, value)| {
            let place = match place {
                "" => key.clone(),
                _ => format!("{place}.{key}"),
            };
            read.get(key)
                .map_or(Ok(()), |read| compare(&place, value, read))
        }),
        (Array(given), Array(read)) if given.len() > read.len() => Err(Error::invalid(format!(
            "{place}: expected {} entries, found {}",
            read.len(),
            given.len()
        ))),
        (Array(given), Array(read)) => {
            (given.iter().zip(read)).try_for_each(|(given, read)| compare(place, given, read))
        }
        _ => Ok(()),
    }
}

/// The labeller of a configuration. Relative paths start at `base`, the folder of the configuration
/// file; `stop` ends running programs: their labellings are then errors, not rejections.
///
/// **Errors**: what is wrong with the settings, files or programs that are missing.
pub fn from_config(
    config: &LabellerConfig,
    base: &Path,
    stop: &StopFlag,
) -> Result<Arc<dyn Labeller>> {
    let dft = |code, settings: &DftSettings| -> Result<Arc<dyn Labeller>> {
        Ok(Arc::new(Dft::new(code, settings, base, stop.clone())?))
    };
    Ok(match config {
        LabellerConfig::StillingerWeber(_) => Arc::new(StillingerWeber),
        LabellerConfig::Cp2k(settings) => dft(Code::Cp2k, settings)?,
        LabellerConfig::Qe(settings) => dft(Code::Qe, settings)?,
        LabellerConfig::Abinit(settings) => dft(Code::Abinit, settings)?,
        LabellerConfig::Vasp(settings) => dft(Code::Vasp, settings)?,
        LabellerConfig::Lammps(settings) => {
            Arc::new(Lammps::new((**settings).clone(), base, stop.clone())?)
        }
        LabellerConfig::Ase(settings) => Arc::new(Ase::new(settings, base, stop.clone())?),
        LabellerConfig::Command(settings) => {
            Arc::new(CommandLabeller::new(settings, base, stop.clone())?)
        }
        LabellerConfig::Nep(settings) => Arc::new(NepTeacher::new(settings, base)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labeller(text: &str) -> Result<Arc<dyn Labeller>> {
        let config = LabellerConfig::from_toml(text)?;
        from_config(&config, Path::new("."), &StopFlag::default())
    }

    #[test]
    fn lists_that_are_too_long_are_named() {
        #[derive(Serialize, Deserialize)]
        struct Run {
            temperature: [f64; 2],
        }
        let told = |text: &str| {
            let read: Run = toml::from_str(text).unwrap();
            all_read(
                "explore",
                &text.parse::<toml::Table>().unwrap().into(),
                &read,
            )
        };
        assert!(told("temperature = [300, 900]").is_ok());
        let error = told("temperature = [300, 600, 900]").unwrap_err();
        assert!(
            error
                .to_string()
                .contains("explore.temperature: expected 2 entries, found 3")
        );
    }

    #[test]
    fn kinds_are_told_apart() {
        assert_eq!(
            labeller("kind = 'stillinger-weber'").unwrap().name(),
            "stillinger-weber"
        );
        let command = "kind = 'command'\ncommand = ['true']\nmethod = 'none'\ncores = 3";
        assert_eq!(labeller(command).unwrap().cores(), 3);
    }

    #[test]
    fn configurations_survive_writing() {
        let text = "kind = 'command'\ncommand = 'mpirun -np 2 label {input}'\nmethod = 'm'";
        let config = LabellerConfig::from_toml(text).unwrap();
        let LabellerConfig::Command(settings) = &config else {
            panic!("{config:?}")
        };
        assert_eq!(settings.command, ["mpirun", "-np", "2", "label", "{input}"]);
        let again = LabellerConfig::from_toml(&toml::to_string(&config).unwrap()).unwrap();
        assert_eq!(again, config);
        let json = serde_json::to_string(&config).unwrap();
        assert_eq!(
            serde_json::from_str::<LabellerConfig>(&json).unwrap(),
            config
        );
    }

    #[test]
    fn mistakes_are_named() {
        let message = |text: &str| labeller(text).err().unwrap().to_string();
        assert!(message("kind = 'vasp6'").contains("stillinger-weber"));
        assert!(message("parallel = 2").contains("kind"));
        assert!(message("kind = 'stillinger-weber'\ncutof = 3").contains("cutof"));
        let near = |text: &str, key: &str| {
            let said = message(text);
            assert!(said.ends_with(&format!("did you mean `{key}`?")), "{said}");
        };
        near("kind = 'vaps'\ntemplate = 'metal'", "vasp");
        near(
            "kind = 'qe'\ntemplate = 'x'\npseudopotental = {}",
            "pseudopotentials",
        );
        near("kind = 'ase'\ncalculator = 'a:B'\ntime_out = 3", "timeout");
        near(
            "kind = 'command'\nmethod = ''\ncommand = 'x'\nparalel = 2",
            "parallel",
        );
        assert!(!message("kind = 'nep'\nmodel = 'x'\nzzz = 1").contains("did you mean"));
        let cutoff = "kind = 'qe'\ntemplate = 'insulator'\ncutoff = 40.0";
        assert!(message(cutoff).contains("no setting of qe"));
        assert!(message("kind = 'command'\nmethod = ''\ncommand = []").contains("program"));
        assert!(message("kind = 'command'\nmethod = ''\ncommand = 7").contains("list of texts"));
        assert!(message("kind = 'command'\nmethod = ''\ncomand = []").contains("comand"));
        assert!(message("kind = 'nep'\nmodel = 'no-such-file.txt'").contains("no-such-file.txt"));
        let bad = "kind = 'command'\nmethod = ''\ncommand = ['x']\ntimeout = -1";
        assert!(message(bad).contains("timeout"));
    }
}
