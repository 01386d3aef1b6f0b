//! Labellers from a configuration file.

use super::command::{CommandLabeller, CommandSettings};
use super::cp2k::{Cp2k, Cp2kSettings};
use super::process::StopFlag;
use super::teacher::{NepTeacher, NepTeacherSettings};
use super::{Labeller, Limits, StillingerWeber};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::Arc;

/// The `[label]` table of a campaign: the reference method, what its labels must satisfy, and how
/// many are computed at once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "toml::Table")]
pub struct LabelConfig {
    /// `kind` and the settings of that kind.
    #[serde(flatten)]
    pub method: Method,
    /// Labels computed at once on this machine (1).
    pub parallel: usize,
    /// Checks of every label.
    pub limits: Limits,
}

/// A reference method with its settings, chosen by `kind`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Method {
    /// The built-in silicon potential.
    StillingerWeber(NoSettings),
    /// CP2K.
    Cp2k(Box<Cp2kSettings>),
    /// Any program with extended XYZ files.
    Command(CommandSettings),
    /// A NEP.
    Nep(NepTeacherSettings),
}

/// A kind without settings; a key in it is an error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoSettings {}

impl LabelConfig {
    /// The configuration in a TOML text that holds nothing else.
    ///
    /// **Errors**: [`Error::InvalidArgument`] with the key and what is allowed.
    pub fn from_toml(text: &str) -> Result<Self> {
        toml::from_str(text).map_err(|e| Error::invalid(format!("[label]: {e}")))
    }

    /// Labels computed at once, at least one.
    pub fn parallel(&self) -> usize {
        self.parallel.max(1)
    }

    /// Checks of every label.
    pub fn limits(&self) -> Limits {
        self.limits
    }
}

impl TryFrom<toml::Table> for LabelConfig {
    type Error = String;

    /// By hand, since serde cannot refuse unknown keys in a flattened table.
    fn try_from(mut table: toml::Table) -> std::result::Result<Self, String> {
        let text = |e: toml::de::Error| e.message().to_owned();
        let parallel = match table.remove("parallel") {
            Some(value) => value
                .try_into()
                .map_err(|e| format!("parallel: {}", text(e)))?,
            None => 1,
        };
        let limits: Limits = match table.remove("limits") {
            Some(value) => value
                .try_into()
                .map_err(|e| format!("limits: {}", text(e)))?,
            None => Limits::default(),
        };
        limits.validate().map_err(|e| e.to_string())?;
        if parallel == 0 {
            return Err("parallel must be at least 1".to_owned());
        }
        Ok(Self {
            method: table.try_into().map_err(text)?,
            parallel,
            limits,
        })
    }
}

/// The labeller of a configuration. Relative paths start at `base`, the folder of the configuration file.
///
/// **Errors**: what is wrong with the settings, files or programs that are missing.
pub fn from_config(config: &LabelConfig, base: &Path) -> Result<Arc<dyn Labeller>> {
    from_config_with_stop(config, base, &StopFlag::default())
}

/// [`from_config`] with a flag that ends running programs: their labellings are then errors, not
/// rejections.
///
/// **Errors**: as [`from_config`].
pub fn from_config_with_stop(
    config: &LabelConfig,
    base: &Path,
    stop: &StopFlag,
) -> Result<Arc<dyn Labeller>> {
    Ok(match &config.method {
        Method::StillingerWeber(_) => Arc::new(StillingerWeber),
        Method::Cp2k(settings) => Arc::new(Cp2k::new((**settings).clone(), base, stop.clone())?),
        Method::Command(settings) => {
            Arc::new(CommandLabeller::new(settings.clone(), base, stop.clone())?)
        }
        Method::Nep(settings) => Arc::new(NepTeacher::new(settings, base)?),
    })
}

/// A program and its arguments: a list, or one text that is split at spaces.
pub(super) fn words<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a text or a list of texts")]
    enum Either {
        Text(String),
        List(Vec<String>),
    }
    Ok(match Either::deserialize(deserializer)? {
        Either::Text(text) => text.split_whitespace().map(str::to_owned).collect(),
        Either::List(list) => list,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labeller(text: &str) -> Result<Arc<dyn Labeller>> {
        from_config(&LabelConfig::from_toml(text)?, Path::new("."))
    }

    #[test]
    fn kinds_are_told_apart() {
        let silicon = LabelConfig::from_toml("kind = 'stillinger-weber'").unwrap();
        assert_eq!(
            from_config(&silicon, Path::new(".")).unwrap().name(),
            "stillinger-weber"
        );
        assert_eq!(
            (silicon.parallel(), silicon.limits()),
            (1, Limits::default())
        );
        let command = "kind = 'command'\ncommand = ['true']\nmethod = 'none'\ncores = 3";
        assert_eq!(labeller(command).unwrap().cores(), 3);
    }

    #[test]
    fn configurations_survive_writing() {
        let text = "kind = 'command'\ncommand = 'mpirun -np 2 label {input}'\nmethod = 'm'\n\
                    parallel = 2\nlimits.max_force = 50";
        let config = LabelConfig::from_toml(text).unwrap();
        assert_eq!((config.parallel(), config.limits().max_force), (2, 50.0));
        let Method::Command(settings) = &config.method else {
            panic!("{config:?}")
        };
        assert_eq!(settings.command, ["mpirun", "-np", "2", "label", "{input}"]);
        let again = LabelConfig::from_toml(&toml::to_string(&config).unwrap()).unwrap();
        assert_eq!(again, config);
        let json = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<LabelConfig>(&json).unwrap(), config);
    }

    #[test]
    fn mistakes_are_named() {
        let message = |text: &str| labeller(text).err().unwrap().to_string();
        assert!(message("kind = 'vasp6'").contains("stillinger-weber"));
        assert!(message("parallel = 2").contains("kind"));
        assert!(message("kind = 'stillinger-weber'\ncutof = 3").contains("cutof"));
        assert!(message("kind = 'stillinger-weber'\nparallel = 0").contains("parallel"));
        assert!(message("kind = 'stillinger-weber'\nlimits.force = 0").contains("max_net_force"));
        assert!(message("kind = 'stillinger-weber'\nlimits.max_force = 0").contains("max_force"));
        assert!(message("kind = 'command'\nmethod = ''\ncommand = []").contains("program"));
        assert!(message("kind = 'command'\nmethod = ''\ncommand = 7").contains("list of texts"));
        assert!(message("kind = 'command'\nmethod = ''\ncomand = []").contains("comand"));
        assert!(message("kind = 'nep'\nmodel = 'no-such-file.txt'").contains("no-such-file.txt"));
        let bad = "kind = 'command'\nmethod = ''\ncommand = ['x']\ntimeout = -1";
        assert!(message(bad).contains("timeout"));
    }
}
