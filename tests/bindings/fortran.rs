//! The Fortran modules: strict compilation, their own tests, and the sizes of the mirrored structs.

use crate::build::{VALGRIND, library};
use crate::install::run;
use crate::support::root;
use std::path::Path;
use std::process::Command;

const SOURCES: [&str; 5] = [
    "nepal_c",
    "nepal_support",
    "nepal_objects",
    "nepal_fragments",
    "nepal",
];

/// Compiles the modules and a program, with every warning an error and every check at run time.
fn compile(folder: &Path, program: &Path) {
    let built = library();
    for name in [
        "libnepal.so".to_owned(),
        format!("libnepal.so.0.{}", env!("CARGO_PKG_VERSION_MINOR")),
    ] {
        std::os::unix::fs::symlink(&built, folder.join(name)).expect("a link to the library");
    }
    let mut command = Command::new("gfortran");
    command.args([
        "-std=f2018",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-g",
        "-fcheck=all",
        "-J",
    ]);
    command.arg(folder);
    for name in SOURCES {
        command.arg(root().join(format!("bindings/fortran/{name}.f90")));
    }
    command
        .arg(program)
        .arg("-L")
        .arg(folder)
        .args(["-lnepal", "-o"]);
    run(command.arg(folder.join("program")));
}

/// Runs the modules' tests in a folder, under another program if one is given.
fn start(folder: &Path, under: &[&str], size: Option<&str>) -> String {
    compile(
        folder,
        &root().join("bindings/fortran/tests/test_nepal.f90"),
    );
    let program = folder.join("program");
    let (first, rest) = under.split_first().unzip();
    let mut command = Command::new(first.map_or(program.as_os_str(), |p| p.as_ref()));
    if let Some(rest) = rest {
        command.args(rest).arg(&program);
    }
    run(command
        .args([Path::new("examples/data"), folder])
        .args(size)
        .current_dir(root())
        .env("LD_LIBRARY_PATH", folder))
}

#[test]
#[needs(Gfortran)]
fn the_fortran_modules_pass_their_tests() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = start(folder.path(), &[], None);
    assert!(output.ends_with("checks passed\n"), "{output}");
    // The numbers of tests/abi/layout.c, in the order of the test's declarations.
    let sizes = output
        .lines()
        .find_map(|line| line.strip_prefix("sizes "))
        .expect("the sizes");
    let layout = std::fs::read_to_string(root().join("tests/abi/layout.c")).expect("the layout");
    let names = [
        "structure",
        "active_set_options",
        "calculator_options",
        "results",
        "host_list",
        "fragment_options",
        "fragment",
    ];
    for (name, size) in names.iter().zip(sizes.split_whitespace()) {
        let line = format!("SIZE(nepal_{name}_t, {size});");
        assert!(
            layout.contains(&line),
            "nepal_{name}_t has {size} bytes in Fortran"
        );
    }
}

#[test]
#[needs(Gfortran, Valgrind)]
fn the_fortran_modules_leave_no_memory_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    start(folder.path(), &VALGRIND, Some("small"));
}
