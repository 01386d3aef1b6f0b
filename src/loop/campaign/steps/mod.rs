//! The steps of a campaign, one file each.
//!
//! **To add a step: one file, one line.** The file has a unit struct with [`Step`](super::ground::Step): a name for
//! the journal, a hash of what the results depend on, and the work, which leaves files in the round's folder. The line
//! stands in `ROUND` of `rounds.rs`, where the step has its turn (or at the end of `run`, for what is done once).
//! What follows from that:
//!
//! - A step is done again if its inputs changed, or a file that it left did. What comes out must depend on the inputs
//!   alone: seeds from the configuration, nothing from the clock, the machine, or the number of threads. A setting that
//!   changes the result and is missing in the inputs is a fault that nobody sees.
//! - A process may be killed anywhere. Files are written in one step (`write_json`, `write_atomically`); what must
//!   survive within the step lies in files of its own, and names what it belongs to.
//! - [`Halt`](super::ground::Halt) ends work early: `Waiting` where jobs are out and `context.once` forbids to wait for
//!   them, `Stopped` where the observer asks for it, `Failed` for errors. The next run calls the step again.
//! - Work that was done from other inputs is not done again silently where labels hang on it: `labels_from` tells
//!   which. The user is asked first.
//! - Steps do not know each other, nor `rounds`. They meet in files, whose records are in `store`; what several need is
//!   below them: `labelling`, `training`, `selection`, `stop`, `jobs`.

mod check;
mod committee;
mod doubts;
mod drawn;
mod explore;
mod finish;
mod judge;
mod label;
mod posterior;
mod prepare;
mod select;
mod train;

pub(super) use check::Check;
pub(super) use committee::TrainCommittee;
pub(super) use doubts::Doubts;
pub(super) use drawn::{Draw, LabelDrawn};
pub(super) use explore::Explore;
pub(super) use finish::{FinalTraining, Validate};
pub(super) use judge::Judge;
pub(super) use label::Label;
pub(super) use posterior::FitPosterior;
pub(super) use prepare::Prepare;
pub(super) use select::Select;
pub(super) use train::Train;
