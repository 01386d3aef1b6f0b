//! The Python package: its own tests, run on the library that was just built.

use crate::build::library;
use crate::support::{needs, root};
use std::path::Path;
use std::process::Command;

fn python() -> &'static Path {
    needs::python().expect("the test needs Python with packages")
}

/// Packages that the tests use where they are installed.
const OTHERS: [&str; 11] = [
    "motep",
    "ASE's testdata",
    "phono3py",
    "pymatgen",
    "matcalc",
    "janus-core",
    "joblib",
    "pandas",
    "dpdata",
    "nbclient",
    "chromium",
];

/// The interpreter with the package and the library in its reach.
fn command(python: &Path) -> Command {
    let mut command = Command::new(python);
    command
        .current_dir(root())
        .env("PYTHONPATH", root().join("bindings/python"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("NEPAL_LIBRARY", library());
    // Beside the folder of the test programs; `cargo test --workspace` builds it.
    let program = library()
        .parent()
        .and_then(Path::parent)
        .map(|folder| folder.join("nepal-loop"));
    if let Some(program) = program.filter(|program| program.exists()) {
        command.env("NEPAL_LOOP", program);
    }
    command
}

#[test]
#[needs(Python, Cc)]
fn the_python_package_passes_its_tests() {
    let output = command(python())
        .args(["-m", "pytest", "-q", "-rs", "bindings/python/tests"])
        .output()
        .expect("Python starts");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(text.contains(" passed"), "{text}");
    // Programs of others may be missing where nobody asks for them; what is ours, and what this test needs, may not.
    let others: &[&str] = match needs::required(needs::Need::Ecosystem) {
        true => &["ASE's testdata", "nbclient", "chromium"],
        false => &OTHERS,
    };
    for skipped in text.lines().filter(|line| line.starts_with("SKIPPED")) {
        let excused = |name| skipped.ends_with(&format!("needs {name}"));
        assert!(others.iter().any(excused), "{skipped}");
    }
}

#[test]
#[needs(Python3)]
fn the_mirrors_of_the_header_are_current() {
    let output = command(Path::new("python3"))
        .args(["bindings/mirrors.py", "--check"])
        .output()
        .expect("Python starts");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
}

#[allow(dead_code)]
#[path = "../../examples/energy_forces.rs"]
mod energy_forces;

/// What the examples of all languages print.
pub fn expected() -> String {
    let mut out = Vec::new();
    energy_forces::run(&root().join("examples/data"), &mut out).expect("the example runs");
    String::from_utf8(out).expect("UTF-8")
}

#[test]
#[needs(Python)]
fn the_python_example_prints_what_rust_prints() {
    let program = "examples/python/energy_forces.py";
    let output = command(python())
        .args([program, "examples/data"])
        .output()
        .expect("Python starts");
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected());
    let failed = command(python())
        .args([program, "no/such/folder"])
        .output()
        .expect("Python starts");
    assert_eq!(failed.status.code(), Some(1));
    let text = String::from_utf8_lossy(&failed.stderr);
    assert!(text.contains("no/such/folder/nep.txt"), "{text}");
    assert!(!text.contains("Traceback"), "{text}");
}
