//! The pages of the site: what they tell one to type works, and they build.

use crate::host::{archive, lammps};
use crate::support::{needs, root};
use std::process::Command;

fn succeed(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}\n{said}");
    said
}

/// The interpreter, with the package, its library, `nepal-loop` and `lmp` in reach.
fn python() -> Command {
    let mut command = Command::new(needs::python().expect("it is needed"));
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_nepal-loop"));
    let before = std::env::var_os("PATH").unwrap_or_default();
    let path = [
        program.parent().expect("a folder").into(),
        lammps().package().into(),
    ]
    .into_iter()
    .chain(std::env::split_paths(&before));
    command
        .env("PATH", std::env::join_paths(path).expect("a path"))
        .env("PYTHONPATH", root().join("bindings/python"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("NEPAL_LIBRARY", archive().with_file_name("libnepal.so"))
        .env("LD_LIBRARY_PATH", lammps().libraries())
        .env("LAMMPS_PLUGIN_PATH", lammps().plugin_folder())
        .env("OMP_NUM_THREADS", "1");
    command
}

#[test]
#[needs(Lammps, Cxx, Cc, Python)]
fn what_the_pages_say_works() {
    let folder = tempfile::tempdir().expect("a folder");
    let said = succeed(
        python()
            .arg(root().join("docs/check.py"))
            .arg(folder.path()),
    );
    assert!(said.contains("blocks of 9 pages ran"), "{said}");
}

/// One that needs a package which is not installed is left out and told.
#[test]
#[needs(Lammps, Cxx, Cc, Python, Notebooks)]
fn the_notebooks_run() {
    let mut command = python();
    command.env("NEPAL_LOOP", env!("CARGO_BIN_EXE_nepal-loop"));
    let said = succeed(command.arg(root().join("examples/notebooks/run.py")));
    for name in ["1-first-potential", "2-audit", "3-fine-tuning", "4-lammps"] {
        assert!(
            said.contains(&format!("\n{name}: ")) || said.starts_with(name),
            "{said}"
        );
    }
}

#[test]
#[needs(Lammps, Cxx, Cc, Python)]
fn the_site_builds_without_a_warning() {
    let folder = tempfile::tempdir().expect("a folder");
    succeed(
        python()
            .args(["-m", "sphinx", "-q", "-W"])
            .arg(root().join("docs"))
            .arg(folder.path().join("site")),
    );
    assert!(folder.path().join("site/reference/python.html").exists());
}
