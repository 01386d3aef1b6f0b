//! What tells one plane-wave code from another.

use super::{abinit::Abinit, qe::Qe, vasp::Vasp};
use crate::label::fill;
use crate::label::{Fault, Label, Verdict};
use nepal::element::Element;
use nepal::error::Result;
use nepal::system::Structure;
use std::collections::BTreeMap;
use std::path::Path;

/// A plane-wave code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
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
    pub mesh: [usize; 3],
    /// File of each element.
    pub pseudopotentials: &'a BTreeMap<String, String>,
    pub values: &'a BTreeMap<String, String>,
}

impl Input<'_> {
    /// The template with the code's own placeholders from `own`, and the others from `values`, then
    /// from `defaults`.
    pub fn fill(
        &self,
        method: &str,
        own: &[(&str, String)],
        defaults: &[(&str, String)],
    ) -> Result<String> {
        let of = |list: &[(&str, String)], name: &str| {
            let found = list.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| value.clone())
        };
        fill::fill(self.template, |name| {
            of(own, name)
                .or_else(|| self.values.get(name).cloned())
                .or_else(|| of(defaults, name))
                .ok_or_else(|| {
                    let known = own.iter().chain(defaults).map(|(key, _)| *key);
                    let known = known.chain(self.values.keys().map(String::as_str));
                    fill::unknown(method, name, known)
                })
        })
    }

    /// Name of an element's pseudopotential where the program runs.
    pub fn pseudopotential(&self, element: Element) -> String {
        let file = self.pseudopotentials.get(element.symbol());
        file.map_or_else(String::new, |file| file_name(file))
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

/// The name without its folder.
pub(super) fn file_name(path: &str) -> String {
    let name = Path::new(path).file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// One code: what it reads and what it writes.
pub(super) trait Dialect: Send + Sync {
    /// Name of the labeller.
    fn name(&self) -> &'static str;
    /// The usual name of the program.
    fn program(&self) -> &'static str;
    /// What follows the program on the command line.
    fn arguments(&self) -> &'static [&'static str];
    /// The file that tells the results.
    fn output(&self) -> &'static str;
    /// A built-in template.
    fn template(&self, name: &str) -> Option<&'static str>;
    /// Placeholders without which every structure would get the same label.
    fn needs(&self) -> &'static [&'static str] {
        &["CELL", "COORD"]
    }
    /// The version in the first line that a program says of itself.
    fn version(&self, line: &str) -> Option<String> {
        (!line.is_empty()).then(|| line.to_owned())
    }
    /// Input files, names and texts.
    fn files(&self, input: &Input<'_>) -> Result<Vec<(String, String)>>;
    /// What is left to do in the work folder once all files are there.
    fn finish(
        &self,
        _pseudopotentials: &BTreeMap<String, String>,
        _structure: &Structure,
        _workdir: &Path,
    ) -> Result<()> {
        Ok(())
    }
    /// The label in an output, or why there is none. `log` is what the program printed.
    fn read(
        &self,
        output: &str,
        log: &str,
        structure: &Structure,
    ) -> std::result::Result<Label, Fault>;
    /// What to try in turn when the SCF does not converge, a TOML table each.
    fn ladder(&self) -> &'static [&'static str];
    /// The placeholder of the SCF threshold, and its default.
    fn threshold(&self) -> (&'static str, &'static str);
    /// Why the code's stress cannot be trusted with these pseudopotentials, if so.
    fn distrusts_stress(
        &self,
        _pseudopotentials: &BTreeMap<String, String>,
    ) -> Option<&'static str> {
        None
    }
}

/// The verdict of a code's output.
///
/// `output` is the file that tells the results (QE: what `pw.x` prints, ABINIT: the `.abo` file, VASP: the
/// OUTCAR, of which the last ionic step counts).
pub fn parse(code: Code, output: &str, structure: &Structure) -> Verdict {
    judge(code.dialect(), output, "", structure, &BTreeMap::new())
}

pub(super) fn judge(
    dialect: &dyn Dialect,
    output: &str,
    log: &str,
    structure: &Structure,
    pseudopotentials: &BTreeMap<String, String>,
) -> Verdict {
    let mut label = match dialect.read(output, log, structure) {
        Ok(label) => label,
        Err(fault) => return fault.into(),
    };
    let n = structure.len();
    if label.forces.len() != n {
        return Verdict::rejected(format!(
            "the output has forces on {} atoms; the structure has {n}",
            label.forces.len()
        ));
    }
    if let Some(why) = dialect.distrusts_stress(pseudopotentials) {
        label.virial = None;
        label.info.insert("no_virial".to_owned(), why.to_owned());
    }
    Verdict::Accepted(label)
}

/// The text after the last occurrence of `marker`.
pub(super) fn last_after<'a>(text: &'a str, marker: &str) -> Option<&'a str> {
    text.rfind(marker).map(|at| &text[at + marker.len()..])
}

/// A finite number; Fortran's `D` exponents are understood.
pub(super) fn finite(word: &str) -> Option<f64> {
    let number: Option<f64> = word.parse().ok();
    number
        .or_else(|| word.replace(['D', 'd'], "E").parse().ok())
        .filter(|x| x.is_finite())
}

/// The first three numbers of some words.
pub(super) fn triple(words: &[&str]) -> Option<[f64; 3]> {
    match words {
        [x, y, z, ..] => Some([finite(x)?, finite(y)?, finite(z)?]),
        _ => None,
    }
}
