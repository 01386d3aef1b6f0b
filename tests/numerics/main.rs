//! Whether the numbers are right.
//!
//! Each check is a function of a backend and runs over the list of [`support::backends`].

#[path = "../support/mod.rs"]
mod support;

mod golden;
mod grade;
