//! The CUDA backend without a GPU: the same kernels, compiled by a C++ compiler and run on the host
//! by a stand-in for the driver, against the reference backend; and what NVRTC makes of them, translated
//! (`ptx`, `counts`). What it cannot show: races between blocks, the order of streams, speed, how tensor
//! cores round.

#[macro_use]
extern crate nepal_harness;

#[path = "../support/mod.rs"]
mod support;

mod counts;
mod failures;
mod first_minutes;
mod grades;
mod hosted;
mod kinds;
mod limits;
mod motion;
mod nvrtc;
mod promises;
mod ptx;
mod resident;
mod stand_in;
mod threshold;
mod training;
mod variants;
mod volume;
mod waits;

use support::needs::Need;

fn main() -> std::process::ExitCode {
    support::harness::main(&[Need::Cxx])
}
