//! `pair_style nepal` in the real LAMMPS. Says SKIPPED where there is none; see `host.rs` for where
//! it is looked for.
#![cfg(target_os = "linux")]

#[path = "../support/mod.rs"]
mod support;

#[path = "../device/stand_in.rs"]
mod stand_in;

mod bias;
mod campaign;
mod dynamics;
mod errors;
mod examples;
mod forces;
mod fragments;
mod grades;
mod host;
mod loading;
mod published;
mod sample;
