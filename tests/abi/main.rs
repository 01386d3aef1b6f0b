//! Whether the C ABI is what the header says: header, symbols, layout, bad input, host lists,
//! examples in C and C++, leaks.

#[macro_use]
extern crate nepal_harness;

#[path = "../support/mod.rs"]
mod support;

mod arguments;
mod build;
mod building;
mod callback;
mod calls;
mod charges;
mod example_data;
mod examples;
mod fork;
mod header;
mod host_list;
mod leaks;
mod learning;
mod ranks;
mod sink;
mod symbols;
mod systems;
mod versions;

fn main() -> std::process::ExitCode {
    support::harness::main(&[])
}
