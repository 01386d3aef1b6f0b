//! All bindings ask cargo for the same library in the same folder, so that it is compiled once; without
//! cargo there is a sentence.

use crate::support::{needs, root};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a build is to ask for.
const BUILD: &str = "build --release --lib --locked -p nepal";

fn python() -> &'static Path {
    needs::python().expect("the test needs Python with packages")
}

/// Runs a build with a `cargo` that notes what it is asked and fails: arguments and target folder.
fn asked(command: &mut Command) -> (String, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let note = folder.path().join("note");
    let cargo = folder.path().join("cargo");
    let script = format!(
        "#!/bin/sh\nprintf '%s\\n' \"$*\" \"$PWD\" \"${{CARGO_TARGET_DIR:-target}}\" > {}\nexit 7\n",
        note.display()
    );
    std::fs::write(&cargo, script).expect("written");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&cargo, mode).expect("a program");
    let path = std::env::var("PATH").unwrap_or_default();
    let output = command
        .env("PATH", format!("{}:{path}", folder.path().display()))
        .env_remove("CARGO_TARGET_DIR")
        .env_remove("NEPAL_LIBRARY")
        .env_remove("NEPAL_LIB")
        .output()
        .expect("the build starts");
    assert!(
        !output.status.success(),
        "no failure without a cargo that works"
    );
    let said = std::fs::read_to_string(note).unwrap_or_else(|e| panic!("{e}: {output:?}"));
    let mut lines = said.lines();
    let arguments = lines.next().expect("arguments").trim().to_owned();
    let target = Path::new(lines.next().expect("a folder")).join(lines.next().expect("a folder"));
    (arguments, target)
}

#[test]
#[needs(Python, Cmake)]
fn the_builds_of_all_bindings_are_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut builds: Vec<Command> = Vec::new();
    // A LAMMPS that has what the script looks at.
    for name in ["pair.h", "mpi.h"] {
        std::fs::write(folder.path().join(name), "").expect("written");
    }
    let mut lammps = Command::new("bash");
    lammps
        .arg(root().join("bindings/lammps/build.sh"))
        .arg(folder.path().join("plugin.so"))
        .env("LAMMPS_DIR", folder.path())
        .env("MPI_INCLUDE", folder.path())
        .env("LAMMPS_SIZES", "-DLAMMPS_SMALLBIG")
        .env("LAMMPS_VERSION", "20250722");
    builds.push(lammps);
    let mut cmake = Command::new("bash");
    let line = "cmake -S \"$1\" -B \"$2\" && cmake --build \"$2\"";
    cmake
        .args(["-c", line, "bash"])
        .arg(root().join("bindings/cmake"))
        .arg(folder.path().join("cmake"));
    builds.push(cmake);
    let mut wheel = Command::new(python());
    wheel
        .args(["-c", "import hatch_build; hatch_build.library()"])
        .current_dir(root().join("bindings/python"))
        .env("PYTHONDONTWRITEBYTECODE", "1");
    builds.push(wheel);
    for build in &mut builds {
        let (arguments, target) = asked(build);
        assert_eq!(arguments, BUILD, "{build:?}");
        assert_eq!(target, root().join("target"), "{build:?}");
    }
}

#[test]
#[needs(Python)]
fn without_cargo_there_is_a_sentence() {
    let empty = tempfile::tempdir().expect("a folder");
    let output = Command::new(python())
        .args(["-c", "import hatch_build; hatch_build.library()"])
        .current_dir(root().join("bindings/python"))
        .env("PATH", empty.path())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env_remove("NEPAL_LIBRARY")
        .output()
        .expect("Python starts");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && text.contains("install Rust"),
        "{text}"
    );
    assert!(!text.contains("Traceback"), "{text}");
}
