//! Settings of the labellers that drive a density-functional code.

use super::dialect::Dialect;
use crate::label::{config, ladder, setup};
use nepal::error::{Error, Result};
use nepal::system::Structure;
use std::collections::BTreeMap;
use std::f64::consts::TAU;

/// Settings of a [`super::Dft`] labeller; what is not given has the default named.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DftSettings {
    /// Program with what stands before it, a list or one text (`cp2k.psmp`, `pw.x`, `abinit`, `vasp_std`;
    /// `mpirun -np 4 pw.x`); the input's name is appended where the code wants it.
    #[serde(default, deserialize_with = "config::words")]
    pub command: Vec<String>,
    /// `metal`, `insulator`, or a file with an input of your own and placeholders (for VASP the INCAR), such
    /// as `@CELL@`, `@COORD@`, `@KPOINTS@`, those of the built-in templates and of `values`. CP2K may send
    /// forces and stress to `=label.frc` and `=label.stress`.
    pub template: String,
    /// File of each element, relative to the campaign file; VASP's are joined to one POTCAR. Copied
    /// to where the program runs; their content identifies the label. Not for CP2K.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pseudopotentials: BTreeMap<String, String>,
    /// Monkhorst-Pack mesh, for all but CP2K Γ included.
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
    #[serde(default = "setup::one")]
    pub threads: usize,
    /// Processes that `command` starts, for the count of cores (1).
    #[serde(default = "setup::one")]
    pub processes: usize,
    /// Environment variables.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Longest wall time of one label in seconds (3600).
    #[serde(default = "setup::hour")]
    pub timeout: f64,
    /// The program's version, where it cannot be asked (VASP).
    #[serde(default)]
    pub version: Option<String>,
    /// What to try in turn when the SCF does not converge: tables of settings that replace these.
    /// They should change the way to the ground state, not the state. Without it slower mixing with
    /// more steps, for VASP other algorithms, for CP2K's `insulator` at Γ orbital transformation; `[]` for none.
    #[serde(default)]
    pub ladder: Option<Vec<toml::Table>>,
    /// Tighter settings for labels that are doubted, as a table of settings that replace these (the SCF threshold
    /// by a tenth, k-points closer by a quarter); `{}` for
    /// none, so that a doubted label is computed again as it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tight: Option<toml::Table>,

    /// Basis set and potential of each element. This and what follows is for CP2K alone.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub kinds: BTreeMap<String, Kind>,
    /// Files with basis sets, CP2K's own by name (`BASIS_MOLOPT`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basis_files: Option<Vec<String>>,
    /// File with potentials (`GTH_POTENTIALS`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub potential_file: Option<String>,
    /// Exchange and correlation (`PBE`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub functional: Option<String>,
    /// Plane-wave cutoff in Ry (400).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cutoff: Option<f64>,
    /// Relative cutoff in Ry (40).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rel_cutoff: Option<f64>,
    /// SCF threshold (1e-6).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eps_scf: Option<f64>,
    /// Most SCF steps (60).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_scf: Option<usize>,
    /// Share of the new density in mixing (0.3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mixing: Option<f64>,
    /// Empty orbitals of the `metal` template (10).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub added_mos: Option<usize>,
    /// Electronic temperature of the `metal` template, K (300).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub electronic_temperature: Option<f64>,
}

/// Basis set and potential of an element, as CP2K's data files name them.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kind {
    /// Basis set, such as `DZVP-MOLOPT-PBE-GTH-q1`.
    pub basis: String,
    /// Pseudopotential, such as `GTH-PBE-q1`.
    pub potential: String,
}

impl DftSettings {
    /// Refuses values that make no sense, and keys of another code.
    pub(super) fn validate(&self, dialect: &dyn Dialect) -> Result<()> {
        let wrong = |key: &str, expected: &str| {
            Err(Error::invalid(format!(
                "labeller {}: {key} must be {expected}",
                dialect.facts().name
            )))
        };
        let given = toml::Table::try_from(self)
            .map_err(|e| Error::invalid(format!("labeller {}: {e}", dialect.facts().name)))?;
        if let Some(key) = dialect
            .facts()
            .foreign
            .iter()
            .find(|key| given.contains_key(**key))
        {
            return wrong(
                key,
                &format!("left out: it is no setting of {}", dialect.facts().name),
            );
        }
        for (key, value) in [
            ("cutoff", self.cutoff),
            ("rel_cutoff", self.rel_cutoff),
            ("eps_scf", self.eps_scf),
            ("mixing", self.mixing),
            ("electronic_temperature", self.electronic_temperature),
            ("kspacing", self.kspacing),
        ] {
            if let Some(value) = value
                && !(value.is_finite() && value > 0.0)
            {
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
        Ok(())
    }

    /// What to try when the SCF does not converge.
    pub(super) fn ladder(&self, dialect: &dyn Dialect) -> Vec<toml::Table> {
        let built_in = || ladder::built_in(&dialect.ladder(self));
        self.ladder.clone().unwrap_or_else(built_in)
    }

    /// Settings for a second look at a label.
    pub(super) fn tight(&self, dialect: &dyn Dialect) -> Option<toml::Table> {
        if let Some(tight) = &self.tight {
            return Some(tight.clone());
        }
        let mut lines = dialect.tight(self);
        if let Some(spacing) = self.kspacing {
            lines.push_str(&format!("kspacing = {:?}\n", 0.75 * spacing));
        }
        ladder::built_in(&[lines]).pop()
    }

    /// The k-point mesh for a structure: how many points along each lattice vector.
    ///
    /// `kspacing` asks for the smallest mesh whose points are no farther apart, so a fragment has a mesh of its own,
    /// as dense as its parent's.
    pub(super) fn mesh(&self, structure: &Structure) -> [usize; 3] {
        let Some(spacing) = self.kspacing else {
            return self.kpoints.unwrap_or([1; 3]);
        };
        let (thickness, periodic) = (structure.cell.thickness(), structure.cell.periodic());
        std::array::from_fn(|d| match periodic[d] {
            // A little room, so that rounding in a cell made for n points does not make n + 1.
            true => ((TAU / thickness[d] / spacing - 1e-6).ceil() as usize).max(1),
            false => 1,
        })
    }
}
