//! Where jobs run: this machine.
//!
//! Knows nothing of physics: a job is a value and a function.

mod local;

pub use local::run_local;
