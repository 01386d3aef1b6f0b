//! Settings of the plane-wave labellers.

use super::dialect::Dialect;
use crate::label::{command, config, fill, ladder};
use nepal::error::{Error, Result};
use nepal::system::Structure;
use std::collections::BTreeMap;

/// Settings of a [`super::Dft`] labeller; what is not given has the default named.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DftSettings {
    /// Program with what stands before it, a list or one text (`pw.x`, `abinit`, `vasp_std`;
    /// `mpirun -np 4 pw.x`); the input's name is appended where the code wants it.
    #[serde(default, deserialize_with = "config::words")]
    pub command: Vec<String>,
    /// `metal`, `insulator`, or a file with an input of your own and placeholders (for VASP the INCAR).
    pub template: String,
    /// File of each element, relative to the campaign file; VASP's are joined to one POTCAR. Copied
    /// to where the program runs; their content identifies the label.
    pub pseudopotentials: BTreeMap<String, String>,
    /// Monkhorst-Pack mesh, Γ included.
    #[serde(default)]
    pub kpoints: Option<[usize; 3]>,
    /// Largest distance of k-points in 1/Å, with the factor 2π; instead of `kpoints`. Without either,
    /// the Γ point alone.
    #[serde(default)]
    pub kspacing: Option<f64>,
    /// Values of placeholders.
    #[serde(default)]
    pub values: BTreeMap<String, String>,
    /// Further files that the program reads: copied to where it runs; their content identifies
    /// the label.
    #[serde(default)]
    pub files: Vec<String>,
    /// Threads of each process, `OMP_NUM_THREADS` (1).
    #[serde(default = "command::one")]
    pub threads: usize,
    /// Processes that `command` starts, for the count of cores (1).
    #[serde(default = "command::one")]
    pub processes: usize,
    /// Environment variables.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Longest wall time of one label in seconds (3600).
    #[serde(default = "command::hour")]
    pub timeout: f64,
    /// The program's version, where it cannot be asked (VASP).
    #[serde(default)]
    pub version: Option<String>,
    /// What to try in turn when the SCF does not converge: tables of settings that replace these.
    /// They should change the way to the ground state, not the state. Without it slower mixing with
    /// more steps, for VASP other algorithms; `[]` for none.
    #[serde(default)]
    pub ladder: Option<Vec<toml::Table>>,
    /// Tighter settings for labels that are doubted, as a table of settings that replace these (the SCF threshold
    /// by a tenth, k-points closer by a quarter); `{}` for
    /// none, so that a doubted label is computed again as it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tight: Option<toml::Table>,
}

impl DftSettings {
    /// Refuses values that make no sense.
    pub(super) fn validate(&self, name: &str) -> Result<()> {
        let wrong = |key: &str, expected: &str| {
            Err(Error::invalid(format!(
                "labeller {name}: {key} must be {expected}"
            )))
        };
        if self.kspacing.is_some_and(|s| !(s.is_finite() && s > 0.0)) {
            return wrong("kspacing", "a positive number of 1/Å");
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
    pub(super) fn ladder(&self, dialect: &dyn Dialect) -> Vec<toml::Table> {
        match &self.ladder {
            Some(ladder) => ladder.clone(),
            None => ladder::built_in(dialect.ladder()),
        }
    }

    /// Settings for a second look at a label.
    pub(super) fn tight(&self, dialect: &dyn Dialect) -> Option<toml::Table> {
        if let Some(tight) = &self.tight {
            return Some(tight.clone()).filter(|t| !t.is_empty());
        }
        let (name, default) = dialect.threshold();
        let threshold = self.values.get(name).map_or(default, String::as_str);
        let mut lines = String::new();
        if let Some(spacing) = self.kspacing {
            lines.push_str(&format!("kspacing = {:?}\n", 0.75 * spacing));
        }
        // Fortran's 1d-8 is a number as well.
        if let Ok(value) = threshold.to_lowercase().replace('d', "e").parse::<f64>() {
            lines.push_str(&format!("values = {{ {name} = '{:e}' }}\n", value / 10.0));
        }
        ladder::built_in(&[&lines]).pop().filter(|t| !t.is_empty())
    }

    /// The command, with the code's own program as default.
    pub(super) fn command(&self, dialect: &dyn Dialect) -> Vec<String> {
        if self.command.is_empty() {
            vec![dialect.program().to_owned()]
        } else {
            self.command.clone()
        }
    }

    /// The k-point mesh for a structure.
    pub(super) fn mesh(&self, structure: &Structure) -> [usize; 3] {
        match (self.kpoints, self.kspacing) {
            (Some(mesh), _) => mesh,
            (None, Some(spacing)) => fill::mesh(structure, spacing),
            (None, None) => [1; 3],
        }
    }
}
