//! The Python package: its own tests, run on the library that was just built.

use crate::build::{library, root};
use crate::support::required;
use std::path::PathBuf;
use std::process::Command;

/// A Python that has what the tests import: that of `NEPAL_PYTHON`, of `target/python` (which
/// `.ci/run` fills), or of the path.
pub fn python(modules: &str) -> Option<PathBuf> {
    let named = std::env::var_os("NEPAL_PYTHON").map(PathBuf::from);
    let candidates = [
        named,
        Some(root().join("target/python/bin/python")),
        Some("python3".into()),
    ];
    for python in candidates.into_iter().flatten() {
        let found = Command::new(&python)
            .args(["-c", &format!("import {modules}")])
            .output();
        if found.is_ok_and(|output| output.status.success()) {
            return Some(python);
        }
    }
    assert!(
        !required("python"),
        "NEPAL_REQUIRE names python, but none here can import {modules}"
    );
    println!(
        "SKIPPED: needs a Python with {modules} (pip install numpy ase phonopy pytest hatchling; NEPAL_PYTHON names it)"
    );
    None
}

/// The interpreter with the package and the library in its reach.
fn command(python: &PathBuf) -> Command {
    let mut command = Command::new(python);
    command
        .current_dir(root())
        .env("PYTHONPATH", root().join("bindings/python"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("NEPAL_LIBRARY", library());
    command
}

#[test]
fn the_python_package_passes_its_tests() {
    let Some(python) = python("numpy, ase, pytest") else {
        return;
    };
    let output = command(&python)
        .args(["-m", "pytest", "-q", "-rs", "bindings/python/tests"])
        .output()
        .expect("Python starts");
    let text = String::from_utf8_lossy(&output.stdout);
    println!("{text}");
    assert!(
        output.status.success(),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(text.contains(" passed"), "{text}");
}

#[test]
fn the_mirrors_of_the_header_are_current() {
    let Some(python) = python("sys") else {
        return;
    };
    let output = command(&python)
        .args(["bindings/mirrors.py", "--check"])
        .output()
        .expect("Python starts");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
}

#[path = "../../examples/energy_forces.rs"]
mod energy_forces;

/// What the examples of all languages print.
pub fn expected() -> String {
    let mut out = Vec::new();
    energy_forces::run(&root().join("examples/data"), &mut out).expect("the example runs");
    String::from_utf8(out).expect("UTF-8")
}

#[test]
fn the_python_example_prints_what_rust_prints() {
    let Some(python) = python("numpy") else {
        return;
    };
    let program = "examples/python/energy_forces.py";
    let output = command(&python)
        .args([program, "examples/data"])
        .output()
        .expect("Python starts");
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected());
    let failed = command(&python)
        .args([program, "no/such/folder"])
        .output()
        .expect("Python starts");
    assert_eq!(failed.status.code(), Some(1));
    let text = String::from_utf8_lossy(&failed.stderr);
    assert!(text.contains("no/such/folder/nep.txt"), "{text}");
    assert!(!text.contains("Traceback"), "{text}");
}
