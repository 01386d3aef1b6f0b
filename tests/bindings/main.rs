//! Whether the bindings work for those who use them: Python, C and C++ projects against an installed
//! copy, Fortran, KIM, GPUMD. What needs a program that is not here says SKIPPED.
#![cfg(target_os = "linux")]
#![allow(dead_code)]

#[path = "../support/mod.rs"]
mod support;

#[path = "../abi/build.rs"]
mod build;

mod fortran;
mod gpumd;
mod install;
mod kim;
mod python;
