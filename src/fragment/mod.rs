//! Small periodic fragments around atoms that leave known ground: carve, repair, optimise, verify.
//!
//! A fragment is a periodic cell of a few hundred atoms cut from a large frame around one atom, the
//! target, small enough for a reference method. What the target sees within the model's cutoff is
//! exactly what it sees in the parent; the atoms farther out are moved until the model knows their
//! environments. What cannot be made so is refused with a reason. Knows nothing of where frames come
//! from or how fragments are labelled.

mod assessment;
mod cells;
mod charges;
mod composition;
mod distances;
mod draft;
mod export;
mod extract;
mod harvest;
mod hold;
mod lattice;
pub mod lbfgs;
mod matching;
mod molecules;
mod objective;
mod options;
mod outcome;
mod parent;
mod random;
mod reference;
mod repair;
mod rigid;
mod search;
mod stages;
mod terms;
mod verify;

#[cfg(test)]
mod tests;

pub use distances::{Contacts, PairDistances, minimum_distances};
pub use export::{Origin, to_frame, whole_to_frame};
pub use extract::{carve, extract};
pub use harvest::{Harvest, Tally, Target, harvest};
pub(crate) use harvest::{rank, spoken_for};
pub use options::{FragmentOptions, MaskRule, Mode, Shape};
pub use outcome::{
    ChargeEdit, Fragment, FragmentReport, Neutrality, Outcome, Refusal, Stage, Verification,
};
