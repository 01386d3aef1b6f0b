//! Where new configurations come from.
//!
//! Built-in molecular dynamics over any potential ([`dynamics`]). Knows nothing of labels.

pub mod crystal;
pub mod dynamics;
pub mod generate;
pub mod random;
pub mod rdf;
#[cfg(test)]
pub(crate) mod testing;

pub use dynamics::{Barostat, Ensemble, Md, MdOptions, Thermostat};
