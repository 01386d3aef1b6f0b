//! The retry ladder: settings to try in turn where an SCF does not converge.

use nepal::error::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

/// The settings of a method and those to try instead, each made into what the method works with.
pub(super) struct Ladder<T> {
    base: T,
    /// In words, and made; last the tighter settings, if there are any.
    rungs: Vec<(String, T)>,
    /// How many of these are tried when the SCF does not converge.
    regular: usize,
}

impl<T> Ladder<T> {
    /// `steps` and `tight` are tables of settings that replace those of the method `name`; an empty `tight` is none.
    ///
    /// **Errors**: [`Error::InvalidArgument`] naming key and rung; those of `make`.
    pub fn new<S: Clone + Serialize + DeserializeOwned>(
        name: &str,
        settings: &S,
        steps: &[Table],
        tight: Option<Table>,
        make: impl Fn(S) -> Result<T>,
    ) -> Result<Self> {
        let tight = tight.filter(|table| !table.is_empty());
        let mut rungs = Vec::new();
        for step in steps.iter().chain(&tight) {
            let what = format!("labeller {name}: ladder {}", describe(step));
            if step.contains_key("ladder") {
                return Err(Error::invalid(format!(
                    "{what}: a rung holds no ladder of its own"
                )));
            }
            rungs.push((describe(step), make(replaced(&what, settings, step)?)?));
        }
        Ok(Self {
            base: make(settings.clone())?,
            rungs,
            regular: steps.len(),
        })
    }

    /// What belongs to a rung; 0 are the settings themselves.
    pub fn at(&self, rung: usize) -> &T {
        let above = rung.checked_sub(1).and_then(|i| self.rungs.get(i));
        above.map_or(&self.base, |(_, made)| made)
    }

    /// The rungs in words.
    pub fn words(&self) -> Vec<String> {
        let regular = self.rungs.iter().take(self.regular);
        regular.map(|(words, _)| words.clone()).collect()
    }

    /// The tighter settings in words.
    pub fn tight(&self) -> Option<String> {
        Some(self.rungs.get(self.regular)?.0.clone())
    }
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
fn describe(rung: &Table) -> String {
    let words: Vec<String> = rung.iter().map(|(key, v)| format!("{key} = {v}")).collect();
    words.join(", ")
}

/// A built-in ladder, one TOML table a line.
///
/// The texts are constants that a test reads, so a line that is not TOML is left out.
pub(super) fn built_in<S: AsRef<str>>(lines: &[S]) -> Vec<Table> {
    let tables = lines.iter().map(|line| line.as_ref().parse());
    tables.filter_map(std::result::Result::ok).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::label::DftSettings;

    #[test]
    fn rungs_replace_keys_and_keep_the_rest() {
        let base: DftSettings = toml::from_str(
            "template = 'metal'\nkspacing = 0.3\npseudopotentials.Si = 'Si.upf'\n\
             values = { A = '1', MIXING = '0.4' }",
        )
        .unwrap();
        let table = |text: &str| text.parse::<Table>().unwrap();
        let rung = table("values.MIXING = '0.1'\ntimeout = 9.0");
        let ladder = Ladder::new("qe", &base, &[rung], None, Ok).unwrap();
        let changed = ladder.at(1);
        assert_eq!(changed.values["MIXING"], "0.1");
        assert_eq!(changed.values["A"], "1");
        assert_eq!((changed.timeout, changed.kspacing), (9.0, Some(0.3)));
        assert_eq!(changed.template, "metal");
        assert_eq!((ladder.words().len(), ladder.tight()), (1, None));
        assert_eq!(ladder.at(0), &base);
        let wrong = Ladder::new("qe", &base, &[], Some(table("mixin = 3")), Ok);
        let message = wrong.err().unwrap().to_string();
        assert!(message.contains("mixin"), "{message}");
        let tight = Ladder::new("qe", &base, &[], Some(table("kspacing = 0.2")), Ok).unwrap();
        assert_eq!(tight.at(1).kspacing, Some(0.2));
        assert_eq!(tight.tight().unwrap(), "kspacing = 0.2");
    }
}
