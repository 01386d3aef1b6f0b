//! Whether the bindings work for those who use them: Python, C and C++ projects against an installed
//! copy, Fortran, KIM, GPUMD.

#[macro_use]
extern crate nepal_harness;

#[path = "../support/mod.rs"]
mod support;

#[allow(dead_code)]
#[path = "../abi/build.rs"]
mod build;

#[path = "../device/stand_in.rs"]
mod stand_in;

mod cargo;
mod fortran;
mod gpumd;
mod install;
mod kim;
mod python;

fn main() -> std::process::ExitCode {
    support::harness::main(&[])
}
