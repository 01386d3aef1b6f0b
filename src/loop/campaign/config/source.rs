//! Where structures come from.

use super::{Composition, default_timestep, one};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Where structures come from: a file, or a generator.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Extended XYZ, POSCAR, or what ASE reads where `python3` has it; relative to the TOML file. Labels in it are used as they are when
    /// `labelled` is true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// Whether the labels in the file are trusted.
    #[serde(default)]
    pub labelled: bool,
    /// Crystal, such as `fcc`, `hcp`, `rocksalt`, `perovskite` (a wrong name is answered with all of them); `packing`
    /// for random packing, eight atoms a cell of the lattice constant; `atom`, `dimer` and `trimer` for one of each element, `count` of each
    /// pair, `count` of each three, in a box whose edge is the lattice constant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prototype: Option<String>,
    /// Element symbols of the prototype.
    #[serde(default)]
    pub elements: Vec<String>,
    /// Lattice constant in Å.
    #[serde(default)]
    pub lattice: f64,
    /// c/a of a hexagonal or tetragonal prototype; the ideal one unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub c_over_a: Option<f64>,
    /// Free coordinate of a prototype's site (wurtzite, rutile, corundum, chalcopyrite, spinel); the ideal one unless
    /// given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub u: Option<f64>,
    /// Repetitions of the conventional cell.
    #[serde(default = "ones")]
    pub repeat: [usize; 3],
    /// Largest isotropic strain, drawn uniformly.
    #[serde(default)]
    pub volume_strain: f64,
    /// Largest component of a random symmetric strain.
    #[serde(default)]
    pub strain: f64,
    /// Standard deviation of random displacements, Å.
    #[serde(default)]
    pub rattle: f64,
    /// Atoms removed at random.
    #[serde(default)]
    pub vacancies: usize,
    /// Atoms added in voids.
    #[serde(default)]
    pub interstitials: usize,
    /// Pairs of unlike atoms that exchange their places.
    #[serde(default)]
    pub antisites: usize,
    /// Cut into a slab with vacuum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slab: Option<Slab>,
    /// Melted by quick dynamics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub melt: Option<Melt>,
    /// Displaced along its phonons.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub harmonic: Option<Harmonic>,
    /// Elements that mix on its sites: `count` structures for each composition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub composition: Option<Composition>,
    /// Number of structures.
    #[serde(default = "one")]
    pub count: usize,
}

/// A surface: a crystal cut along a face, with vacuum.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slab {
    /// Miller indices of the face, in the cell as given.
    pub face: [i32; 3],
    /// Thickness, in steps of the lattice out of the face.
    pub layers: usize,
    /// Vacuum, Å.
    #[serde(default = "default_vacuum")]
    pub vacuum: f64,
}

/// How structures are melted before they are labelled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Melt {
    /// A NEP that survives it, such as a foundation model or that of an earlier campaign; relative to
    /// the TOML file.
    pub potential: PathBuf,
    /// Temperature, K.
    pub temperature: f64,
    /// Steps.
    #[serde(default = "default_melt_steps")]
    pub steps: usize,
    /// Time step, ps.
    #[serde(default = "default_timestep")]
    pub timestep: f64,
}

/// How structures are displaced along their phonons, from the force constants of a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Harmonic {
    /// Temperature, K.
    pub temperature: f64,
    /// Whether motion at rest counts as well; classical amplitudes without it.
    #[serde(default)]
    pub quantum: bool,
    /// The NEP whose force constants are taken, relative to the TOML file; of a scenario's start the round's own
    /// model without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub potential: Option<PathBuf>,
}

fn default_vacuum() -> f64 {
    12.0
}

fn default_melt_steps() -> usize {
    2000
}

fn ones() -> [usize; 3] {
    [1; 3]
}
