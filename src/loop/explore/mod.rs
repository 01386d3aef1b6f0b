//! Where new configurations come from.
//!
//! Built-in molecular dynamics over any potential ([`dynamics`]) and its run under the watch of the
//! extrapolation grade ([`explore`]); structures to begin with ([`generate`], [`defects`],
//! [`clusters`]); properties that
//! tell whether a potential is right ([`crystal`], [`phonons`], [`rdf`]). Knows nothing of labels.

pub mod alloy;
pub mod clusters;
pub mod committee;
pub mod crystal;
pub mod defects;
mod fire;
pub mod force_constants;
pub mod generate;
pub mod health;
mod moves;
pub mod phonons;
mod potential;
pub mod prototypes;
pub mod rdf;
mod record;
mod run;
mod sample;
mod snapshot;
pub mod state_equation;
pub mod stiffness;
mod sum;
pub mod symmetry;
#[cfg(test)]
pub(crate) mod testing;
mod trials;
mod variables;
pub mod ways;

pub use nepal_dynamics::{self as dynamics, random};

pub use health::HealthOptions;
pub use moves::Moves;
pub use nepal_dynamics::{Anisotropy, Barostat, Ensemble, Md, MdOptions, Thermostat};
pub use potential::{GradedPotential, Grades, Signal};
pub use record::{Candidate, LAST_FRAME, TracePoint};
pub use run::{Exploration, ExploreOptions, Rewind, explore, explore_with};
pub use sample::{Sampled, Visited, sample};
pub use sum::Sum;
pub use ways::Way;
