//! The active-learning campaign around `nepal` and `nepal-train`: exploration, labelling, scheduling,
//! and the loop that ties them together. The program `nepal-loop` is a thin layer over this crate.
#![deny(missing_docs)]
#![deny(unsafe_code)]

pub mod campaign;
pub mod explore;
pub mod formats;
pub mod label;
mod log;
mod plot;
pub mod schedule;
pub mod study;
mod words;
mod worker;
