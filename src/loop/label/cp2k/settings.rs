//! Settings of the CP2K labeller.

use super::template::Kind;
use crate::label::{fill, ladder};
use nepal::error::{Error, Result};
use nepal::system::Structure;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Settings of a [`super::Cp2k`] labeller; what is not given has the default named.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cp2kSettings {
    /// Program and arguments, a list or one text (`cp2k.psmp`); `-i label.inp` is appended.
    #[serde(default = "program", deserialize_with = "super::super::config::words")]
    pub command: Vec<String>,
    /// `metal`, `insulator`, or a file with an input of your own and placeholders: `@CELL@`, `@COORD@`,
    /// `@KINDS@`, `@KPOINTS@`, `@CUTOFF@` and the others of the built-in templates, and those
    /// of `values`. It may send forces and stress to `=label.frc` and `=label.stress`.
    pub template: String,
    /// Basis set and potential of each element.
    #[serde(default)]
    pub kinds: BTreeMap<String, Kind>,
    /// Files with basis sets, CP2K's own by name (`BASIS_MOLOPT`).
    #[serde(default = "basis_files")]
    pub basis_files: Vec<String>,
    /// File with potentials (`GTH_POTENTIALS`).
    #[serde(default = "potential_file")]
    pub potential_file: String,
    /// Exchange and correlation (`PBE`).
    #[serde(default = "functional")]
    pub functional: String,
    /// Plane-wave cutoff in Ry (400).
    #[serde(default = "cutoff")]
    pub cutoff: f64,
    /// Relative cutoff in Ry (40).
    #[serde(default = "rel_cutoff")]
    pub rel_cutoff: f64,
    /// Monkhorst-Pack mesh.
    #[serde(default)]
    pub kpoints: Option<[usize; 3]>,
    /// Largest distance of k-points in 1/Å, with the factor 2π; instead of `kpoints`. Without either,
    /// the Γ point alone.
    #[serde(default)]
    pub kspacing: Option<f64>,
    /// SCF threshold (1e-6).
    #[serde(default = "eps_scf")]
    pub eps_scf: f64,
    /// Most SCF steps (60).
    #[serde(default = "max_scf")]
    pub max_scf: usize,
    /// Share of the new density in mixing (0.3).
    #[serde(default = "mixing")]
    pub mixing: f64,
    /// Empty orbitals of the `metal` template (10).
    #[serde(default = "added_mos")]
    pub added_mos: usize,
    /// Electronic temperature of the `metal` template, K (300).
    #[serde(default = "temperature")]
    pub electronic_temperature: f64,
    /// Values of further placeholders.
    #[serde(default)]
    pub values: BTreeMap<String, String>,
    /// Files that CP2K reads, such as basis sets of your own: copied to where it runs; their
    /// content identifies the label.
    #[serde(default)]
    pub files: Vec<PathBuf>,
    /// Threads of each process, `OMP_NUM_THREADS` (1).
    #[serde(default = "super::super::command::one")]
    pub threads: usize,
    /// Processes that `command` starts, for the count of cores (1).
    #[serde(default = "super::super::command::one")]
    pub processes: usize,
    /// Environment variables.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Longest wall time of one label in seconds (3600).
    #[serde(default = "super::super::command::hour")]
    pub timeout: f64,
    /// The program's version, where it cannot be asked.
    #[serde(default)]
    pub version: Option<String>,
    /// What to try in turn when the SCF does not converge: tables of settings that replace these.
    /// They should change the way to the ground state, not the state. Without it slower mixing with
    /// more steps, and orbital transformation for `insulator` at Γ; `[]` for none.
    #[serde(default)]
    pub ladder: Option<Vec<toml::Table>>,
    /// Tighter settings for labels that are doubted, as a table of settings that replace these (the SCF threshold
    /// by a tenth, k-points closer by a quarter); `{}` for
    /// none, so that a doubted label is computed again as it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tight: Option<toml::Table>,
}

fn program() -> Vec<String> {
    vec!["cp2k.psmp".to_owned()]
}
fn basis_files() -> Vec<String> {
    vec!["BASIS_MOLOPT".to_owned()]
}
fn potential_file() -> String {
    "GTH_POTENTIALS".to_owned()
}
fn functional() -> String {
    "PBE".to_owned()
}
fn cutoff() -> f64 {
    400.0
}
fn rel_cutoff() -> f64 {
    40.0
}
fn eps_scf() -> f64 {
    1e-6
}
fn max_scf() -> usize {
    60
}
fn mixing() -> f64 {
    0.3
}
fn added_mos() -> usize {
    10
}
fn temperature() -> f64 {
    300.0
}

impl Cp2kSettings {
    /// Refuses values that make no sense.
    pub(super) fn validate(&self) -> Result<()> {
        let wrong = |key: &str, expected: &str| {
            Err(Error::invalid(format!(
                "labeller cp2k: {key} must be {expected}"
            )))
        };
        if self.command.is_empty() {
            return wrong("command", "a program and its arguments");
        }
        for (key, value) in [
            ("cutoff", self.cutoff),
            ("rel_cutoff", self.rel_cutoff),
            ("eps_scf", self.eps_scf),
            ("mixing", self.mixing),
            ("electronic_temperature", self.electronic_temperature),
            ("kspacing", self.kspacing.unwrap_or(1.0)),
        ] {
            if !(value.is_finite() && value > 0.0) {
                return wrong(key, &format!("a positive number; found {value}"));
            }
        }
        if self.kpoints.is_some() && self.kspacing.is_some() {
            return wrong(
                "kpoints",
                "left out where kspacing is given, or the other way round",
            );
        }
        if self.kpoints.is_some_and(|mesh| mesh.contains(&0)) {
            return wrong("kpoints", "three counts from 1");
        }
        if self.threads == 0 || self.processes == 0 {
            return wrong("threads and processes", "at least 1");
        }
        Ok(())
    }

    /// What to try when the SCF does not converge.
    pub(super) fn ladder(&self) -> Vec<toml::Table> {
        if let Some(ladder) = &self.ladder {
            return ladder.clone();
        }
        let slower = |factor: f64, steps: usize| {
            let (mixing, max_scf) = (self.mixing * factor, self.max_scf.saturating_mul(steps));
            format!("mixing = {mixing:.6}\nmax_scf = {max_scf}")
        };
        let mut rungs = vec![slower(1.0 / 3.0, 4), slower(0.1, 8)];
        // Other meshes than Γ are not for orbital transformation.
        if self.template == "insulator" && self.kpoints.is_none() && self.kspacing.is_none() {
            rungs.push("template = 'insulator-ot'\nmax_scf = 50".to_owned());
        }
        let lines: Vec<&str> = rungs.iter().map(String::as_str).collect();
        ladder::built_in(&lines)
    }

    /// Settings for a second look at a label.
    pub(super) fn tight(&self) -> Option<toml::Table> {
        if let Some(tight) = &self.tight {
            return Some(tight.clone()).filter(|t| !t.is_empty());
        }
        let mut lines = format!(
            "eps_scf = {:e}\nmax_scf = {}\n",
            self.eps_scf / 10.0,
            self.max_scf.saturating_mul(2)
        );
        if let Some(spacing) = self.kspacing {
            lines.push_str(&format!("kspacing = {:?}\n", 0.75 * spacing));
        }
        ladder::built_in(&[&lines]).pop()
    }

    /// The k-point mesh for a structure.
    pub(super) fn mesh(&self, structure: &Structure) -> [usize; 3] {
        match (self.kpoints, self.kspacing) {
            (Some(mesh), _) => mesh,
            (None, Some(spacing)) => fill::mesh(structure, spacing),
            (None, None) => [1; 3],
        }
    }

    pub(super) fn cores(&self) -> usize {
        self.threads * self.processes
    }

    /// The values of all placeholders that do not depend on the structure.
    pub(super) fn placeholders(&self) -> BTreeMap<String, String> {
        let mut data_files: Vec<String> = self
            .basis_files
            .iter()
            .map(|file| format!("    BASIS_SET_FILE_NAME {file}"))
            .collect();
        data_files.push(format!("    POTENTIAL_FILE_NAME {}", self.potential_file));
        let mut values = BTreeMap::from(
            [
                ("NAME", "label".to_owned()),
                ("DATA_FILES", data_files.join("\n")),
                ("FUNCTIONAL", self.functional.clone()),
                ("CUTOFF", self.cutoff.to_string()),
                ("REL_CUTOFF", self.rel_cutoff.to_string()),
                ("EPS_SCF", format!("{:e}", self.eps_scf)),
                ("MAX_SCF", self.max_scf.to_string()),
                ("MIXING", self.mixing.to_string()),
                ("ADDED_MOS", self.added_mos.to_string()),
                (
                    "ELECTRONIC_TEMPERATURE",
                    self.electronic_temperature.to_string(),
                ),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        );
        values.extend(self.values.clone());
        values
    }
}
