//! The `nepal-loop` binary as a user meets it: files in, files out, exit status, both voices.

mod campaign;
mod commands;
mod drivers;
mod labels;
mod pauses;
mod runs;
mod schedulers;
mod training;

#[path = "../support/root.rs"]
mod root;

use root::root;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

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

/// Runs the program and demands success; gives its standard output.
pub fn succeed(folder: &Path, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    assert!(
        output.status.success(),
        "{arguments:?} failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("text")
}

/// Runs the program and demands the exit status of a failure; gives its standard error.
pub fn fail(folder: &Path, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    String::from_utf8(output.stderr).expect("text")
}

/// A file of the test data.
pub fn data(name: &str) -> PathBuf {
    root().join("tests/data").join(name)
}
