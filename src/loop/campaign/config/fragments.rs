//! How fragments are cut.

use super::Config;
use nepal::Element;
use nepal::error::{Error, Result};
use nepal::fragment::{FragmentOptions, Mode};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How fragments are cut from cells that are too large to be labelled whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FragmentConfig {
    /// Formal charges in e, such as `{ Cs = 1, Pb = 2, I = -1 }`: fragments are then neutral. Of a model with charges its
    /// own unless given.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub charges: BTreeMap<String, f64>,
    /// Charge in e that a fragment may have where no neutral one passes; it is told, and the method labels the
    /// fragment as it labels all else.
    pub allow_charge: f64,
    /// Whether molecules are kept or dropped as a whole.
    pub keep_molecules: bool,
    /// How much of what the target sees must be the parent's.
    pub mode: FragmentMode,
    /// Change of the target's grade that the mode `tolerant` allows, relative.
    pub tolerance: f64,
}

/// How much of what a fragment's target sees must be the parent's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FragmentMode {
    /// All of it.
    #[default]
    Exact,
    /// What the angular descriptors see; smaller where the radial cutoff is much the longer one.
    Angular,
    /// The nearer neighbours, and the others up to `tolerance`.
    Tolerant,
}

impl Default for FragmentConfig {
    fn default() -> Self {
        Self {
            charges: BTreeMap::new(),
            allow_charge: 0.0,
            keep_molecules: false,
            mode: FragmentMode::Exact,
            tolerance: 0.05,
        }
    }
}

impl FragmentConfig {
    pub(in crate::campaign) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Whether there is something that only nepal's own cutting knows of.
    pub(super) fn needs_own_cutting(&self) -> bool {
        !self.charges.is_empty() || self.allow_charge > 0.0 || self.mode != FragmentMode::Exact
    }

    /// The charges by element, if there are any.
    fn formal_charges(&self) -> Result<Option<BTreeMap<Element, f64>>> {
        let charges = (self.charges.iter())
            .map(|(symbol, charge)| Ok((Element::from_symbol(symbol)?, *charge)))
            .collect::<Result<BTreeMap<_, _>>>()?;
        Ok((!charges.is_empty()).then_some(charges))
    }

    pub(super) fn check(&self) -> Result<()> {
        let wrong = |e: Error| Error::invalid(format!("fragments: {e}"));
        let charges = self.formal_charges().map_err(wrong)?;
        if charges.iter().flatten().any(|c| c.1.abs() > 20.0) {
            return Err(Error::invalid(
                "fragments.charges: expected formal charges in e, none beyond 20",
            ));
        }
        self.options().map_err(wrong)?.validate().map_err(wrong)
    }

    fn options(&self) -> Result<FragmentOptions> {
        Ok(FragmentOptions {
            mode: match self.mode {
                FragmentMode::Exact => Mode::Exact,
                FragmentMode::Angular => Mode::Angular,
                FragmentMode::Tolerant => Mode::Tolerant(self.tolerance),
            },
            formal_charges: self.formal_charges()?,
            allow_charge: self.allow_charge,
            keep_molecules: self.keep_molecules,
            ..FragmentOptions::default()
        })
    }
}

impl Config {
    /// The options of the fragments that rounds and held-out frames are cut by.
    ///
    /// **Errors**: what the file's check refuses.
    pub(in crate::campaign) fn fragment_options(&self) -> Result<FragmentOptions> {
        Ok(FragmentOptions {
            n_max: self.select.fragment_atoms,
            seed: self.seed,
            ..self.fragments.options()?
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_file_says_is_what_fragments_are_cut_by() {
        let config = |more: &str| -> Config {
            let text = "title='t'\ninitial=[]\nexplore=[]\n[model]\nnep_in=''\nfirst_epochs=1\nepochs=1\n\
                [label]\nkind='stillinger-weber'\n[select]\nfragment_atoms=77\n";
            toml::from_str(&format!("{text}{more}")).unwrap()
        };
        let plain = config("");
        let options = plain.fragment_options().unwrap();
        assert_eq!((options.n_max, options.formal_charges), (77, None));
        assert!(plain.fragments.is_default() && !plain.fragments.needs_own_cutting());
        let ionic = config(
            "[fragments]\ncharges = { Cs = 1, I = -1 }\nallow_charge = 1\nkeep_molecules = true\nmode = 'tolerant'\ntolerance = 0.1\n",
        );
        let options = ionic.fragment_options().unwrap();
        let charges = options.formal_charges.unwrap();
        assert_eq!(charges[&Element::from_symbol("I").unwrap()], -1.0);
        assert_eq!(
            (options.mode, options.allow_charge),
            (Mode::Tolerant(0.1), 1.0)
        );
        assert!(options.keep_molecules && ionic.fragments.needs_own_cutting());
        for (wrong, word) in [
            ("charges = { Xx = 1 }", "Xx"),
            ("charges = { Na = 40 }", "formal charges"),
            ("allow_charge = -1", "allow_charge"),
            ("mode = 'tolerant'\ntolerance = 0", "tolerant"),
        ] {
            let error = config(&format!("[fragments]\n{wrong}"))
                .fragments
                .check()
                .unwrap_err();
            assert!(error.to_string().contains(word), "{error}");
        }
    }
}
