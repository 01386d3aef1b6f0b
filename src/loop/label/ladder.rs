//! The retry ladder: settings to try in turn where an SCF does not converge.

use nepal::error::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

/// The settings of a rung: those of the campaign with some keys replaced; tables are merged.
///
/// **Errors**: [`Error::InvalidArgument`] naming key and rung.
pub(super) fn overlay<T: Serialize + DeserializeOwned>(
    name: &str,
    settings: &T,
    rung: &Table,
) -> Result<T> {
    let what = format!("labeller {name}: ladder {}", describe(rung));
    if rung.contains_key("ladder") {
        return Err(Error::invalid(format!(
            "{what}: a rung holds no ladder of its own"
        )));
    }
    replaced(&what, settings, rung)
}

/// Settings with some keys replaced; tables are merged. `what` names them in messages.
///
/// **Errors**: [`Error::InvalidArgument`] naming the key.
pub(crate) fn replaced<T: Serialize + DeserializeOwned>(
    what: &str,
    settings: &T,
    own: &Table,
) -> Result<T> {
    let wrong = |e: &dyn std::fmt::Display| Error::invalid(format!("{what}: {e}"));
    let mut table = Table::try_from(settings).map_err(|e| wrong(&e))?;
    table.remove("ladder");
    merge(&mut table, own);
    let settings = Value::Table(table).try_into();
    settings.map_err(|e: toml::de::Error| wrong(&e))
}

fn merge(into: &mut Table, from: &Table) {
    for (key, value) in from {
        match (into.get_mut(key), value) {
            (Some(Value::Table(old)), Value::Table(new)) => merge(old, new),
            _ => {
                into.insert(key.clone(), value.clone());
            }
        }
    }
}

/// A rung in words: `mixing = 0.1, max_scf = 200`.
pub(super) fn describe(rung: &Table) -> String {
    let words: Vec<String> = rung.iter().map(|(key, v)| format!("{key} = {v}")).collect();
    words.join(", ")
}

/// A built-in ladder, one TOML table a line.
///
/// The texts are constants that a test reads, so a line that is not TOML is left out.
pub(super) fn built_in(lines: &[&str]) -> Vec<Table> {
    lines.iter().filter_map(|line| line.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::label::{Cp2kSettings, DftSettings};

    #[test]
    fn rungs_replace_keys_and_keep_the_rest() {
        let base: DftSettings = toml::from_str(
            "template = 'metal'\npseudopotentials.Si = 'Si.upf'\nvalues = { A = '1', MIXING = '0.4' }",
        )
        .unwrap();
        let rung: Table = "values.MIXING = '0.1'\ntimeout = 9.0".parse().unwrap();
        let changed = overlay("qe", &base, &rung).unwrap();
        assert_eq!(changed.values["MIXING"], "0.1");
        assert_eq!(changed.values["A"], "1");
        assert_eq!(changed.timeout, 9.0);
        assert_eq!(changed.template, "metal");
        let wrong: Table = "mixin = 3".parse().unwrap();
        let message = overlay("qe", &base, &wrong).unwrap_err().to_string();
        assert!(message.contains("mixin"), "{message}");
    }

    #[test]
    fn a_setting_left_out_survives() {
        let base: Cp2kSettings = toml::from_str("template = 'metal'\nkspacing = 0.3").unwrap();
        let rung: Table = "mixing = 0.05".parse().unwrap();
        let changed = overlay("cp2k", &base, &rung).unwrap();
        assert_eq!((changed.mixing, changed.kspacing), (0.05, Some(0.3)));
    }
}
