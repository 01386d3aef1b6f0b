//! Where new configurations come from.
//!
//! Built-in molecular dynamics over any potential ([`dynamics`]). Knows nothing of labels.

pub mod dynamics;
pub mod random;
#[cfg(test)]
pub(crate) mod testing;

pub use dynamics::{Barostat, Ensemble, Md, MdOptions, Thermostat};
