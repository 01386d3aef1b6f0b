//! What tells one code from another.

use super::settings::DftSettings;
use super::{abinit::Abinit, cp2k::Cp2k, qe::Qe, vasp::Vasp};
use crate::label::checks::Echo;
use crate::label::setup::file_name;
use crate::label::{Fault, fill};
use nepal::element::Element;
use nepal::error::{Error, Result};
use nepal::system::Structure;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

/// A density-functional code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// CP2K, releases from 6.
    Cp2k,
    /// Quantum ESPRESSO's `pw.x`.
    Qe,
    /// ABINIT 9 and newer.
    Abinit,
    /// VASP 5 and 6.
    Vasp,
}

impl Code {
    pub(super) fn dialect(self) -> &'static dyn Dialect {
        match self {
            Self::Cp2k => &Cp2k,
            Self::Qe => &Qe,
            Self::Abinit => &Abinit,
            Self::Vasp => &Vasp,
        }
    }
}

/// What an input is made from.
pub(super) struct Input<'a> {
    pub template: &'a str,
    pub structure: &'a Structure,
    pub settings: &'a DftSettings,
}

impl Input<'_> {
    /// The template with the code's own placeholders from `own`, and the others from the settings, then from
    /// `defaults`.
    pub fn fill(
        &self,
        dialect: &dyn Dialect,
        own: &[(&str, String)],
        defaults: &[(&str, &str)],
    ) -> Result<String> {
        let values = dialect.values(self.settings);
        fill::fill(self.template, |name| {
            let found = own.iter().find(|(key, _)| *key == name);
            let default = defaults.iter().find(|(key, _)| *key == name);
            found
                .map(|(_, value)| value.clone())
                .or_else(|| values.get(name).cloned())
                .or_else(|| default.map(|(_, value)| (*value).to_owned()))
                .ok_or_else(|| {
                    let known = own.iter().map(|(key, _)| *key);
                    let known = known.chain(defaults.iter().map(|(key, _)| *key));
                    let known = known.chain(values.keys().map(String::as_str));
                    fill::unknown(dialect.facts().name, name, known)
                })
        })
    }

    /// The file of an element's pseudopotential, as the settings name it.
    ///
    /// **Errors**: [`Error::InvalidArgument`] if they name none.
    pub fn pseudopotential(&self, dialect: &dyn Dialect, element: Element) -> Result<&str> {
        let file = self.settings.pseudopotentials.get(element.symbol());
        file.map(String::as_str).ok_or_else(|| {
            Error::invalid(format!(
                "labeller {}: no pseudopotential for {element}; add it to the table `pseudopotentials`",
                dialect.facts().name
            ))
        })
    }

    /// Names of the pseudopotentials of some elements where the program runs.
    ///
    /// **Errors**: as [`Input::pseudopotential`].
    pub fn copies(&self, dialect: &dyn Dialect, kinds: &[Element]) -> Result<Vec<String>> {
        let files = kinds.iter().map(|&k| self.pseudopotential(dialect, k));
        files.map(|file| Ok(file_name(Path::new(file?)))).collect()
    }
}

/// Elements in order of their first atom.
pub(super) fn species(structure: &Structure) -> Vec<Element> {
    let mut species = Vec::new();
    for &element in &structure.elements {
        if !species.contains(&element) {
            species.push(element);
        }
    }
    species
}

/// A line for each row of three lengths, divided by `unit`; `head` begins each line.
pub(super) fn rows<'a, H: std::fmt::Display>(
    rows: impl IntoIterator<Item = (H, &'a [f64; 3])>,
    unit: f64,
) -> String {
    let mut text = String::new();
    for (head, r) in rows {
        let [x, y, z] = r.map(|x| x / unit);
        let _ = write!(text, "\n{head}{x:.12} {y:.12} {z:.12}");
    }
    text
}

/// What a program left, by file name; nothing is the same as an empty file.
#[derive(Default)]
pub(super) struct Printed(pub BTreeMap<&'static str, String>);

impl Printed {
    pub fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }
}

/// The result in an output, and what the program says that it is the result of.
#[derive(Default)]
pub(super) struct Reading {
    /// eV; the free energy where occupations are smeared.
    pub energy: f64,
    /// eV/Å, in the order of the structure.
    pub forces: Vec<[f64; 3]>,
    /// `-dE/d(strain)` over the volume, eV/Å³: positive when compressed.
    pub pressure: Option<[f64; 9]>,
    pub scf_steps: Option<String>,
    pub version: Option<String>,
    pub echo: Echo,
}

/// What is fixed about a code.
pub(super) struct Facts {
    /// Name of the labeller.
    pub name: &'static str,
    /// The usual name of the program.
    pub program: &'static str,
    /// What follows the program on the command line.
    pub arguments: &'static [&'static str],
    /// The file for what the program prints.
    pub log: &'static str,
    /// The files that tell the results.
    pub outputs: &'static [&'static str],
    /// The built-in templates, by name.
    pub templates: &'static [(&'static str, &'static str)],
    /// Placeholders without which every structure would get the same label.
    pub needs: &'static [&'static str],
    /// Keys of the settings that mean nothing to this code.
    pub foreign: &'static [&'static str],
    /// The placeholder of the SCF threshold, and its default.
    pub threshold: (&'static str, &'static str),
    /// The placeholder of the basis's cutoff.
    pub cutoff: &'static str,
    /// How to have the stress computed.
    pub stress_key: &'static str,
}

/// One code: what it reads and what it writes.
pub(super) trait Dialect: Send + Sync {
    /// What does not depend on settings.
    fn facts(&self) -> &'static Facts;
    /// Whether the code takes open boundaries, with this template.
    fn takes_open_boundaries(&self, _built_in: bool) -> bool {
        false
    }
    /// The version in the first line that a program says of itself.
    fn version(&self, line: &str) -> Option<String> {
        (!line.is_empty()).then(|| line.to_owned())
    }
    /// Values of placeholders that do not depend on the structure.
    fn values(&self, settings: &DftSettings) -> BTreeMap<String, String> {
        settings.values.clone()
    }
    /// What represents each element, as it identifies a label.
    fn potentials(&self, settings: &DftSettings) -> String {
        format!("pseudopotentials {:?}", settings.pseudopotentials)
    }
    /// Input files, names and texts.
    fn files(&self, input: &Input<'_>) -> Result<Vec<(String, String)>>;
    /// What is left to do in the work folder once all files are there.
    fn finish(&self, _input: &Input<'_>, _workdir: &Path) -> Result<()> {
        Ok(())
    }
    /// The result in the outputs, or why there is none.
    fn read(&self, printed: &Printed, structure: &Structure)
    -> std::result::Result<Reading, Fault>;
    /// What to try in turn when the SCF does not converge, a TOML table each.
    fn ladder(&self, settings: &DftSettings) -> Vec<String>;
    /// Settings for a second look, lines of TOML.
    fn tight(&self, settings: &DftSettings) -> String {
        let (name, default) = self.facts().threshold;
        let value = settings.values.get(name).map_or(default, String::as_str);
        finite(value).map_or_else(String::new, |value| {
            format!("values = {{ {name} = '{:e}' }}\n", value / 10.0)
        })
    }
    /// Why the code's stress cannot be trusted with these settings, if so.
    fn distrusts_stress(&self, _settings: &DftSettings) -> Option<&'static str> {
        None
    }
}

/// The text after the last occurrence of `marker`.
pub(super) fn last_after<'a>(text: &'a str, marker: &str) -> Option<&'a str> {
    text.rfind(marker).map(|at| &text[at + marker.len()..])
}

/// The first word after the last occurrence of `marker`.
pub(super) fn word_after<'a>(text: &'a str, marker: &str) -> Option<&'a str> {
    last_after(text, marker)?.split_whitespace().next()
}

/// A finite number; Fortran's `D` exponents are understood.
pub(super) fn finite(word: &str) -> Option<f64> {
    let number: Option<f64> = word.parse().ok();
    number
        .or_else(|| word.replace(['D', 'd'], "E").parse().ok())
        .filter(|x| x.is_finite())
}

/// The numbers that a text begins with, also where nothing but a minus sign parts two of them.
pub(super) fn numbers(text: &str) -> Vec<f64> {
    let mut parted = String::with_capacity(text.len() + 8);
    let mut before = ' ';
    for c in text.chars() {
        if c == '-' && (before.is_ascii_digit() || before == '.') {
            parted.push(' ');
        }
        parted.push(c);
        before = c;
    }
    parted.split_whitespace().map_while(finite).collect()
}

/// The first three numbers that a text begins with.
pub(super) fn triple(text: &str) -> Option<[f64; 3]> {
    numbers(text).first_chunk().copied()
}

/// Rows `1 x y z`, `2 x y z` and so on, as far as they go on so.
pub(super) fn counted_rows(text: &str) -> Vec<[f64; 3]> {
    let rows = text.lines().zip(1..).map_while(|(line, n)| {
        let row = numbers(line);
        (*row.first()? == f64::from(n)).then(|| row[1..].first_chunk().copied())?
    });
    rows.collect()
}

/// What an output says behind a mark, where it has the mark: then it has to be legible, or what the output is of
/// would not be compared.
pub(super) fn legible<T>(
    marked: bool,
    what: &str,
    found: Option<T>,
) -> std::result::Result<Option<T>, String> {
    match (marked, found) {
        (true, None) => Err(format!(
            "what the output says of its {what} is not legible: it was cut or changed, or is of a version with another \
             layout"
        )),
        (_, found) => Ok(found),
    }
}

/// The mesh of k-points that a text begins with.
pub(super) fn mesh(text: &str) -> Option<[usize; 3]> {
    let found = triple(text)?;
    let whole = found.iter().all(|n| n.fract() == 0.0 && *n >= 1.0);
    whole.then(|| found.map(|n| n as usize))
}

/// Three rows of three numbers.
pub(super) fn matrix<'a>(mut lines: impl Iterator<Item = &'a str>) -> Option<[[f64; 3]; 3]> {
    let rows = [lines.next()?, lines.next()?, lines.next()?].map(triple);
    let [Some(a), Some(b), Some(c)] = rows else {
        return None;
    };
    Some([a, b, c])
}
