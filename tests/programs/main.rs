//! Labellers and trainers with the programs that they start.

#[macro_use]
extern crate nepal_harness;

#[path = "../support/mod.rs"]
mod support;

mod ase;
mod cp2k;
mod lammps;
mod missing;
mod trainer;

use nepal_loop::label::{Labeller, LabellerConfig, StopFlag, from_config};
use std::path::Path;
use std::sync::Arc;

/// A labeller by its table in a campaign file that lies in a folder.
fn labeller_in(folder: &Path, table: &str) -> nepal::Result<Arc<dyn Labeller>> {
    from_config(
        &LabellerConfig::from_toml(table)?,
        folder,
        &StopFlag::default(),
    )
}

fn main() -> std::process::ExitCode {
    support::harness::main(&[])
}
