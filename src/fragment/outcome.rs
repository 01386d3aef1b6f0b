//! What comes back: a fragment, the advice to label the whole parent, or a refusal with its reason.

use super::options::{Mode, Shape};
use crate::element::Element;
use crate::system::Structure;
use std::fmt;

/// A small periodic structure whose target sees exactly what it sees in the parent.
#[derive(Clone, Debug)]
pub struct Fragment {
    /// Cell, elements and positions; the target lies in the middle of the cell.
    pub structure: Structure,
    /// Index of the target in `structure`.
    pub target: usize,
    /// Atoms that stand where they stand in the parent. Shape `[n_atoms]`.
    pub core: Vec<bool>,
    /// Core atoms that also see about what they see in the parent: descriptors within 5 %. All core
    /// atoms where the model was not evaluated. Shape `[n_atoms]`.
    pub faithful: Vec<bool>,
    /// Weights of the forces in training, 0 to 1; the target has 1. Shape `[n_atoms]`.
    pub mask: Vec<f64>,
    /// The parent's atom that each atom was; none where one was inserted. Shape `[n_atoms]`.
    pub parent_index: Vec<Option<usize>>,
    /// Grade Γ after carving and repair, before any optimisation. Shape `[n_atoms]`, empty without
    /// an active set.
    pub grade_before: Vec<f64>,
    /// Grade Γ of the final structure. Shape `[n_atoms]`, empty without an active set.
    pub grade_after: Vec<f64>,
    /// How it was made and what was checked.
    pub report: FragmentReport,
}

impl Fragment {
    /// Number of atoms.
    pub fn len(&self) -> usize {
        self.structure.len()
    }

    /// True without atoms, which does not happen: a fragment holds its target.
    pub fn is_empty(&self) -> bool {
        self.structure.is_empty()
    }
}

/// How a fragment was made and what was checked.
#[derive(Clone, Debug, Default)]
pub struct FragmentReport {
    /// Family of the cell.
    pub shape: Option<Shape>,
    /// Distance between a core and its nearest image before straining, Å.
    pub size: f64,
    /// How much of what the target sees had to be the parent's.
    pub mode: Mode,
    /// Radius of the frozen core, Å.
    pub core_radius: f64,
    /// Distance within which the target's environment was compared, Å.
    pub cutoff: f64,
    /// Atoms over what the parent has in the same volume.
    pub density_ratio: f64,
    /// Boundary atoms dropped because they repeated another one.
    pub merged: usize,
    /// Atoms deleted because they clashed.
    pub deleted: usize,
    /// Atoms inserted, deleted or changed in element for the composition.
    pub edited: usize,
    /// What was done for the charge.
    pub neutrality: Neutrality,
    /// Components of the strain given to the cell, by rows.
    pub strain: [[f64; 3]; 3],
    /// Numbers of the verification.
    pub verification: Verification,
    /// State after each stage.
    pub stages: Vec<Stage>,
    /// Cells that were considered.
    pub cells_considered: usize,
    /// Cells that were taken through all steps, the accepted one included.
    pub cells_tried: usize,
    /// Why the cells tried before failed.
    pub rejected: Vec<Refusal>,
    /// Median grade Γ of the parent around the target; NaN without an active set.
    pub parent_grade: f64,
    /// Evaluations of the model.
    pub evaluations: usize,
    /// Seed used.
    pub seed: u64,
}

impl FragmentReport {
    /// One line for logs and reports: cell, boundary grade before and after, what was verified.
    pub fn summary(&self) -> String {
        let shape = self.shape.map_or("cell", Shape::name);
        let v = &self.verification;
        let grade = match self.stages.first() {
            Some(first) if v.grade.is_finite() => {
                format!(", boundary grade {:.2} -> {:.2}", first.grade_max, v.grade)
            }
            _ => String::new(),
        };
        let charge = match &self.neutrality {
            n if n.left.abs() > 0.0 => format!(", CHARGED by {:+.2} e", n.left),
            n if n.edits.is_empty() => String::new(),
            n => format!(" ({n})"),
        };
        format!(
            "{shape} of {:.2} Å, density ratio {:.2}, {} deleted, {} edited{charge}{grade}, {} neighbours \
             of the target exact to {:.0e} Å",
            self.size, self.density_ratio, self.deleted, self.edited, v.neighbors, v.deviation
        )
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fragment(fragment) => {
                write!(f, "{} atoms, {}", fragment.len(), fragment.report.summary())
            }
            Self::WholeParent { reason } => f.write_str(reason),
            Self::Refused { reason } => write!(f, "refused: {reason}"),
        }
    }
}

/// An atom that was put in or taken out of the boundary for the charge.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChargeEdit {
    /// The element.
    pub element: Element,
    /// Whether it was put in.
    pub inserted: bool,
    /// Its distance from the target, Å.
    pub distance: f64,
}

/// What formal charges made of a fragment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Neutrality {
    /// Charge as it was carved, e.
    pub carved: f64,
    /// Charge that it has, e: none, unless some is allowed.
    pub left: f64,
    /// Edits that cancelled the rest.
    pub edits: Vec<ChargeEdit>,
}

impl fmt::Display for Neutrality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let edits: Vec<String> = (self.edits.iter())
            .map(|e| {
                let done = if e.inserted { "put in" } else { "taken out" };
                format!("{} {done} {:.1} Å from the target", e.element, e.distance)
            })
            .collect();
        write!(f, "{:+} e as carved, {}", self.carved, edits.join(", "))
    }
}

/// Numbers of the verification of a fragment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Verification {
    /// Neighbours of the target within the cutoff.
    pub neighbors: usize,
    /// Largest deviation of a neighbour from its place in the parent, Å.
    pub deviation: f64,
    /// Largest difference of the target's descriptors, relative to the largest; NaN where it was not
    /// computed.
    pub descriptor_deviation: f64,
    /// Smallest ratio of a pair's distance to the smallest allowed one, over pairs that carving made.
    pub contact: f64,
    /// Grade Γ of the target in the parent and in the fragment; NaN without an active set.
    pub target_grade: [f64; 2],
    /// Largest grade Γ of a movable atom; NaN without an active set.
    pub grade: f64,
    /// The limit that it was held against.
    pub grade_limit: f64,
    /// Largest model force on a movable atom, eV/Å; NaN where it was not computed.
    pub force: f64,
    /// Model energy above the parent's, eV per movable atom; NaN where it was not computed.
    pub energy: f64,
    /// How much the model's force on the target differs from that in the parent, eV/Å: what the size of the
    /// fragment does through charges and dispersion, and the boundary through the target's neighbours. NaN for
    /// a model of short range, and where only a part of the parent is known.
    pub long_range: f64,
}

/// The boundary after a stage.
#[derive(Clone, Debug)]
pub struct Stage {
    /// `carved`, `relaxed`, `kicked` or `optimised`.
    pub name: &'static str,
    /// Largest grade Γ of the movable atoms; NaN without an active set.
    pub grade_max: f64,
    /// Median grade Γ of the movable atoms.
    pub grade_median: f64,
    /// Share of the movable atoms with Γ above `gamma_b`.
    pub share_over: f64,
    /// Largest force on a movable atom, eV/Å.
    pub force_max: f64,
    /// Energy above the parent's, eV per movable atom.
    pub energy: f64,
    /// Steps of the optimiser.
    pub steps: usize,
}

/// Result of an extraction.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// A fragment that passed every check.
    Fragment(Box<Fragment>),
    /// The parent itself should be labelled: it is small enough and no fragment is better.
    WholeParent {
        /// Why, in a sentence.
        reason: String,
    },
    /// No fragment.
    Refused {
        /// Why.
        reason: Refusal,
    },
}

/// Why there is no fragment.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Refusal {
    /// The parent is unphysical around the target.
    Parent {
        /// Elements of the pair.
        pair: (Element, Element),
        /// Their distance, Å.
        distance: f64,
    },
    /// Every cell that holds the core has too many atoms.
    TooLarge {
        /// Atoms of the smallest cell.
        atoms: usize,
        /// Largest number allowed.
        n_max: usize,
    },
    /// The region known around the target is smaller than any cell.
    OutsideKnown,
    /// Frozen atoms meet through the boundary in every cell.
    CoreContact,
    /// The parent's composition cannot be kept.
    Composition {
        /// Element that is off the most.
        element: Element,
        /// Its number of atoms.
        found: usize,
        /// The number that the parent's composition asks for.
        expected: f64,
    },
    /// The fragment cannot be made neutral.
    Charge {
        /// Charge left, e.
        charge: f64,
    },
    /// What was done for the charge left a boundary that does not pass.
    Neutrality {
        /// What was done.
        done: Neutrality,
        /// Why the boundary does not pass.
        reason: Box<Refusal>,
    },
    /// The number of atoms does not fit the volume.
    Density {
        /// Atoms over what the parent has in the same volume.
        ratio: f64,
    },
    /// The target's environment is not the parent's.
    Exactness {
        /// Neighbours within the cutoff in the fragment and in the parent.
        neighbors: [usize; 2],
        /// Largest deviation, Å.
        deviation: f64,
        /// Relative difference of the descriptors.
        descriptors: f64,
    },
    /// The target itself is not what it is in the parent, by more than the mode allows.
    Target {
        /// Relative change of its grade; of its descriptors without an active set.
        change: f64,
        /// Limit.
        limit: f64,
    },
    /// Atoms are too close.
    Contact {
        /// Elements of the closest pair.
        pair: (Element, Element),
        /// Its distance, Å.
        distance: f64,
        /// Smallest distance allowed, Å.
        allowed: f64,
    },
    /// A molecule that was to be kept came apart.
    Molecule {
        /// Elements of the broken bond.
        pair: (Element, Element),
        /// Its length, Å.
        distance: f64,
    },
    /// The boundary is outside what the model knows, whatever was tried.
    Grade {
        /// Largest grade Γ of a movable atom.
        reached: f64,
        /// Limit.
        limit: f64,
    },
    /// The boundary lies too high above the parent in the model's energy.
    Energy {
        /// Energy above the parent's, eV per movable atom.
        found: f64,
        /// Limit, eV per movable atom.
        limit: f64,
    },
    /// The model pulls at the boundary too hard.
    Force {
        /// Largest force on a movable atom, eV/Å.
        found: f64,
        /// Limit, eV/Å.
        limit: f64,
    },
}

impl Refusal {
    /// The reason in a few words, without its numbers: what refusals are counted by.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Parent { .. } => "unphysical parent",
            Self::TooLarge { .. } => "too many atoms",
            Self::OutsideKnown => "outside the known region",
            Self::CoreContact => "frozen atoms meet",
            Self::Composition { .. } => "composition",
            Self::Charge { .. } => "charge",
            Self::Neutrality { .. } => "boundary after edits for the charge",
            Self::Density { .. } => "density",
            Self::Exactness { .. } => "target not exact",
            Self::Target { .. } => "target changed",
            Self::Contact { .. } => "atoms too close",
            Self::Molecule { .. } => "broken molecule",
            Self::Grade { .. } => "boundary grade",
            Self::Force { .. } => "boundary force",
            Self::Energy { .. } => "boundary energy",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Parent {
                pair: (a, b),
                distance,
            } => write!(
                f,
                "the parent is unphysical around the target: {a} and {b} are {distance:.3} Å apart"
            ),
            Self::TooLarge { atoms, n_max } => write!(
                f,
                "the smallest cell that holds the core has {atoms} atoms; n_max is {n_max}"
            ),
            Self::OutsideKnown => {
                f.write_str("no cell fits into the region that is known around the target")
            }
            Self::CoreContact => {
                f.write_str("frozen atoms meet through the boundary in every cell")
            }
            Self::Composition {
                element,
                found,
                expected,
            } => write!(
                f,
                "{found} atoms of {element} where the parent's composition asks for {expected:.1}"
            ),
            Self::Charge { charge } => write!(
                f,
                "the formal charges leave {charge:+} e and no few edits of the boundary cancel them"
            ),
            Self::Neutrality { done, reason } => {
                write!(f, "neutral ({done}), but {reason}; a charge can be allowed")
            }
            Self::Density { ratio } => write!(
                f,
                "the fragment has {ratio:.2} times the atoms that the parent has in its volume"
            ),
            Self::Exactness {
                neighbors: [found, expected],
                deviation,
                descriptors,
            } => write!(
                f,
                "the target has {found} neighbours where the parent has {expected}, deviation \
                 {deviation:.1e} Å, descriptors {descriptors:.1e}"
            ),
            Self::Target { change, limit } => write!(
                f,
                "the target's grade changes by {:.1} %; {:.1} % is allowed",
                100.0 * change,
                100.0 * limit
            ),
            Self::Contact {
                pair: (a, b),
                distance,
                allowed,
            } => write!(
                f,
                "{a} and {b} are {distance:.3} Å apart; {allowed:.3} Å is allowed"
            ),
            Self::Molecule {
                pair: (a, b),
                distance,
            } => write!(
                f,
                "a molecule came apart: its {a} and {b} are {distance:.3} Å apart"
            ),
            Self::Grade { reached, limit } => write!(
                f,
                "a boundary atom has the grade {reached:.2}; {limit:.2} is allowed"
            ),
            Self::Energy { found, limit } => write!(
                f,
                "the boundary lies {found:.2} eV an atom above the parent; {limit:.2} is allowed"
            ),
            Self::Force { found, limit } => write!(
                f,
                "the model's force on a boundary atom is {found:.2} eV/Å; {limit:.2} is allowed"
            ),
        }
    }
}
