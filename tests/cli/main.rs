//! The `nepal-loop` binary as a user meets it: files in, files out, exit status, both voices.

#[macro_use]
extern crate nepal_harness;

#[path = "../support/mod.rs"]
mod support;

mod campaign;
mod changes;
mod commands;
mod delta;
mod drivers;
mod guided;
mod held_out;
mod hyperqueue;
mod keys;
mod labels;
mod numbers;
mod pauses;
mod report;
mod runs;
mod schedulers;
mod training;

use std::path::Path;
use std::process::{Command, Output};
pub use support::{data, root};

/// The program under test.
pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nepal-loop"));
    command.env_remove("RUST_LOG");
    command
}

/// Runs the program in a folder.
pub fn run(folder: &Path, arguments: &[&str]) -> Output {
    program()
        .current_dir(folder)
        .args(arguments)
        .output()
        .expect("the program starts")
}

/// Runs the program and demands success, which a campaign that a budget ended counts as; gives its standard output.
pub fn succeed(folder: &Path, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    assert!(
        ended(&output),
        "{arguments:?} failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("text")
}

/// Whether a command came to its end: of a campaign with its goal, or with a budget.
pub fn ended(output: &Output) -> bool {
    matches!(output.status.code(), Some(0 | 3))
}

/// Runs the program and demands the exit status of a failure; gives its standard error.
pub fn fail(folder: &Path, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    String::from_utf8(output.stderr).expect("text")
}

fn main() -> std::process::ExitCode {
    support::harness::main(&[])
}
