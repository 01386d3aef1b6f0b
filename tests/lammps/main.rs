//! `pair_style nepal` in the real LAMMPS, which `support/needs.rs` finds.

#[macro_use]
extern crate nepal_harness;

#[path = "../support/mod.rs"]
mod support;

#[path = "../device/stand_in.rs"]
mod stand_in;

mod bias;
mod campaign;
mod charges;
mod docs;
mod dynamics;
mod errors;
mod examples;
mod forces;
mod fragments;
mod grades;
mod host;
mod kokkos;
mod loading;
mod published;
mod rebuilds;
mod sample;
mod steps;
mod wheels;

use support::needs::Need;

fn main() -> std::process::ExitCode {
    support::harness::main(&[Need::Lammps, Need::Cxx])
}
