//! Whether the numbers are right.
//!
//! Each check is a function of a backend and runs over the list of [`support::backends`].

#[path = "../support/mod.rs"]
mod support;

mod additivity;
#[cfg(feature = "cpu")]
mod cpu;
mod derivatives;
mod dispersion;
mod frames;
mod golden;
mod grade;
mod hostile_files;
mod limits;
mod model_files;
mod properties;
mod sigma;
mod symmetry;
