//! What a caller may choose about fragments.

use super::distances::PairDistances;
use crate::element::Element;
use crate::error::{Error, Result};
use std::collections::BTreeMap;

/// Families of periodic cells that are tried around a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Shape {
    /// Cubes (squares in a slab), along the axes and in random orientations.
    Cube,
    /// Parallelepipeds along the parent's lattice vectors.
    Aligned,
    /// Cells whose edges are translations that carry the target's surroundings onto themselves:
    /// supercells of the crystal around the target, however it is oriented, integer parts of the
    /// parent's cell included. Found from the atoms; none in a melt.
    Lattice,
    /// Face-centred cubic (hexagonal in a slab) repetition: 29 % fewer atoms than a cube for the
    /// same distance between images.
    Compact,
}

impl Shape {
    /// The name in reports and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cube => "cube",
            Self::Aligned => "aligned",
            Self::Lattice => "lattice",
            Self::Compact => "compact",
        }
    }
}

/// How much of what the target sees must be the parent's.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Mode {
    /// All of it: nothing within the cutoff moves, the descriptors agree to rounding.
    #[default]
    Exact,
    /// What the angular descriptors see and 0.5 Å more. The rest of the radial shell may move as
    /// long as the target's grade Γ changes by at most [`Mode::TOLERANCE`] of itself (of 1, where Γ
    /// is less); without an active set that limit is on the change of the descriptors, relative to
    /// the largest. Smaller cells where the radial cutoff is much the longer one; elsewhere the
    /// same as `Exact`.
    Angular,
    /// Neighbours up to 0.7 of the cutoff; the others may move as in `Angular`, with this limit in
    /// place of [`Mode::TOLERANCE`].
    Tolerant(f64),
}

impl Mode {
    /// Change of the target's grade that is allowed where no other is given.
    pub const TOLERANCE: f64 = 0.05;

    /// The name on the command line and in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Angular => "angular",
            Self::Tolerant(_) => "tolerant",
        }
    }

    /// Radius of the frozen core for a target with these cutoffs, Å, where none is given.
    pub(super) fn core_radius(self, radial: f64, angular: f64) -> f64 {
        let all = radial + 0.05;
        match self {
            Self::Exact => all,
            Self::Angular => all.min(angular + 0.5),
            Self::Tolerant(_) => all.min(0.7 * radial + 0.05),
        }
    }

    /// The allowed relative change of the target's grade; none where it must not change.
    pub(super) fn tolerance(self) -> Option<f64> {
        match self {
            Self::Exact => None,
            Self::Angular => Some(Self::TOLERANCE),
            Self::Tolerant(share) => Some(share),
        }
    }
}

impl std::str::FromStr for Mode {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "exact" => Ok(Self::Exact),
            "angular" => Ok(Self::Angular),
            "tolerant" => Ok(Self::Tolerant(Self::TOLERANCE)),
            other => Err(Error::invalid(format!(
                "the mode of fragments is {other:?}; expected exact, angular or tolerant"
            ))),
        }
    }
}

/// How forces of a fragment's atoms weigh in training. The target has 1 in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MaskRule {
    /// 1 for core atoms that see about what they see in the parent, 0 for the others. Leaves out
    /// labels that are right and mostly of use: trained like that, models need more of them.
    Faithful,
    /// 1 for core atoms; `1 / (1 + (Γ/γ_b)²)` for the others, 0 where there is no grade.
    Smooth,
    /// 1 for all: a label is right for the fragment as it is.
    All,
}

/// How a fragment is carved, optimised and accepted.
#[derive(Clone, Debug)]
pub struct FragmentOptions {
    /// How much of what the target sees must be the parent's.
    pub mode: Mode,
    /// Radius of the frozen core, Å; in mode `Exact` at least the target's radial cutoff. Default:
    /// what the mode asks for, cutoff + 0.05 Å in `Exact`.
    pub core_radius: Option<f64>,
    /// Smallest distance between periodic images, Å. Default: twice the core radius, plus the
    /// smallest pair distance for cells that do not follow the local lattice.
    pub min_size: Option<f64>,
    /// Largest distance between periodic images, Å. Default: what `n_max` allows.
    pub max_size: Option<f64>,
    /// Step between sizes, Å.
    pub step: f64,
    /// Largest number of atoms.
    pub n_max: usize,
    /// Families of cells to try.
    pub shapes: Vec<Shape>,
    /// Random orientations of cubes and compact cells, besides the one along the axes.
    pub orientations: usize,
    /// How many of the best cells are relaxed and optimised before giving up.
    pub cells: usize,
    /// Grade Γ that the movable atoms may have.
    pub gamma_b: f64,
    /// Whether the boundary is relaxed and its grade minimised with the model.
    pub optimise: bool,
    /// Largest number of steps of the energy relaxation.
    pub relax_steps: usize,
    /// Largest number of steps of the grade minimisation, for each of its two exponents.
    pub grade_steps: usize,
    /// Random displacements followed by another relaxation, where the first leaves a high grade.
    pub kicks: usize,
    /// Largest component of the cell's strain; 0 keeps the cell.
    pub max_strain: f64,
    /// Largest model force on a movable atom, eV/Å.
    pub f_max: f64,
    /// How far the fragment's energy per movable atom may lie above the parent's, eV.
    pub e_max: f64,
    /// Formal charges in e: the fragment is then neutral. Elements left out count as 0. Default: the mean
    /// charges around the target of a model that has charges, of another none.
    pub formal_charges: Option<BTreeMap<Element, f64>>,
    /// Charge up to which a fragment is neutral, e; with a model's own charges half of the smallest.
    pub charge_tolerance: f64,
    /// Charge that is left to a fragment where no neutral one passes, e; 0 refuses it.
    pub allow_charge: f64,
    /// How far the number of atoms of an element may be off the parent's composition, as a share
    /// of the fragment's atoms; two atoms are always allowed.
    pub composition_tolerance: f64,
    /// Keep or drop molecules (atoms linked by covalent distances) as a whole.
    pub keep_molecules: bool,
    /// Smallest pair distances of the training data; see [`super::minimum_distances`]. Default: from
    /// the parent's surroundings of the target and the covalent radii.
    pub d_min: Option<PairDistances>,
    /// Allowed ratio of the number of atoms to that of the parent in the same volume.
    pub density: [f64; 2],
    /// Vacuum along the parent's non-periodic directions, Å; at least the cutoff is used.
    pub vacuum: f64,
    /// The parent's non-periodic directions are where a host's knowledge ends (ghost atoms), not
    /// surfaces: fragments must lie inside the known region.
    pub truncated: bool,
    /// With `truncated`: how far around the target, along each axis, everything is known, Å. What is
    /// empty there is empty in the parent as well. Default: as far as there are atoms.
    pub known: Option<f64>,
    /// Training weights of the forces.
    pub mask: MaskRule,
    /// Seed of everything random: the same input gives the same fragment.
    pub seed: u64,
}

impl Default for FragmentOptions {
    fn default() -> Self {
        Self {
            mode: Mode::Exact,
            core_radius: None,
            min_size: None,
            max_size: None,
            step: 0.5,
            n_max: 300,
            shapes: vec![Shape::Lattice, Shape::Aligned, Shape::Cube, Shape::Compact],
            orientations: 2,
            cells: 3,
            gamma_b: 2.0,
            optimise: true,
            relax_steps: 60,
            grade_steps: 80,
            kicks: 1,
            max_strain: 0.03,
            f_max: 10.0,
            e_max: 0.3,
            formal_charges: None,
            charge_tolerance: 1e-6,
            allow_charge: 0.0,
            composition_tolerance: 0.06,
            keep_molecules: false,
            d_min: None,
            density: [0.9, 1.1],
            vacuum: 10.0,
            truncated: false,
            known: None,
            mask: MaskRule::Smooth,
            seed: 0,
        }
    }
}

impl FragmentOptions {
    /// Checks ranges.
    ///
    /// **Errors**: [`Error::InvalidArgument`] naming the option, what it may be and what was given.
    pub fn validate(&self) -> Result<()> {
        let positive = [
            ("mode tolerant", self.mode.tolerance().unwrap_or(1.0)),
            ("core_radius", self.core_radius.unwrap_or(1.0)),
            ("min_size", self.min_size.unwrap_or(1.0)),
            ("max_size", self.max_size.unwrap_or(1.0)),
            ("step", self.step),
            ("gamma_b", self.gamma_b),
            ("f_max", self.f_max),
            ("e_max", self.e_max),
            ("density[1]", self.density[1]),
            ("charge_tolerance", self.charge_tolerance),
        ];
        for (name, value) in positive {
            if !(value > 0.0 && value.is_finite()) {
                return Err(Error::invalid(format!(
                    "fragment option {name} is {value}; expected a positive number"
                )));
            }
        }
        let not_negative = [
            ("max_strain", self.max_strain),
            ("allow_charge", self.allow_charge),
            ("composition_tolerance", self.composition_tolerance),
            ("density[0]", self.density[0]),
            ("vacuum", self.vacuum),
        ];
        for (name, value) in not_negative {
            if !(value >= 0.0 && value.is_finite()) {
                return Err(Error::invalid(format!(
                    "fragment option {name} is {value}; expected zero or a positive number"
                )));
            }
        }
        if self.max_strain > 0.1 {
            return Err(Error::invalid(format!(
                "fragment option max_strain is {}; expected at most 0.1",
                self.max_strain
            )));
        }
        if self.step < 0.05 {
            return Err(Error::invalid(format!(
                "fragment option step is {} Å; expected at least 0.05",
                self.step
            )));
        }
        if self.shapes.is_empty() || self.cells == 0 {
            return Err(Error::invalid(
                "fragment options shapes and cells are empty or zero; give at least one shape and one cell",
            ));
        }
        Ok(())
    }
}
