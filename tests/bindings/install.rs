//! An installed copy, and the project of a stranger who finds it with CMake or pkg-config.

use crate::build::library;
use crate::python::expected;
use crate::support::root;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Runs a command; panics with what it said if it fails.
pub fn run(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{command:?}\n{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

/// The library that was just built, installed into a folder that is kept for this run of the tests.
pub fn installed() -> &'static Path {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let built = library();
        let built = built.parent().expect("a folder");
        let cmake = folder.path().join("cmake");
        run(Command::new("cmake")
            .arg("-S")
            .arg(root().join("bindings/cmake"))
            .arg("-B")
            .arg(&cmake)
            .arg(format!("-DNEPAL_LIBRARY_DIR={}", built.display()))
            // Not where it will lie: an installed copy may be moved.
            .arg(format!(
                "-DCMAKE_INSTALL_PREFIX={}",
                folder.path().join("first").display()
            ))
            .arg("-DCMAKE_INSTALL_LIBDIR=lib"));
        run(Command::new("cmake").arg("--build").arg(&cmake));
        run(Command::new("cmake").arg("--install").arg(&cmake));
        std::fs::rename(folder.path().join("first"), folder.path().join("prefix"))
            .expect("the copy is moved");
        folder
    });
    static PREFIX: OnceLock<PathBuf> = OnceLock::new();
    PREFIX.get_or_init(|| folder.path().join("prefix"))
}

/// A command of `pkg-config` that finds the installed copy.
pub fn pkg_config(arguments: &[&str]) -> Vec<String> {
    run(Command::new("pkg-config")
        .args(arguments)
        .arg("nepal")
        .env("PKG_CONFIG_PATH", installed().join("lib/pkgconfig")))
    .split_whitespace()
    .map(str::to_owned)
    .collect()
}

#[test]
#[needs(Cmake, Cc)]
fn the_installed_library_has_its_soname_and_links() {
    let lib = installed().join("lib");
    let version = env!("CARGO_PKG_VERSION");
    let soname = format!("libnepal.so.0.{}", env!("CARGO_PKG_VERSION_MINOR"));
    assert!(lib.join(format!("libnepal.so.{version}")).is_file());
    let links = [
        ("libnepal.so".to_owned(), soname.clone()),
        (soname.clone(), format!("libnepal.so.{version}")),
    ];
    for (link, to) in links {
        let found = std::fs::read_link(lib.join(&link)).expect("a link");
        assert_eq!(found, PathBuf::from(to), "{link}");
    }
    let dynamic = run(Command::new("readelf")
        .arg("-d")
        .arg(lib.join("libnepal.so")));
    assert!(
        dynamic.contains(&format!("soname: [{soname}]")),
        "{dynamic}"
    );
    for file in [
        "include/nepal.h",
        "include/nepal.hpp",
        "lib/libnepal.a",
        "lib/pkgconfig/nepal.pc",
    ] {
        assert!(installed().join(file).is_file(), "{file}");
    }
}

/// What a stranger writes: both examples in all three languages.
const PROJECT: &str = r#"
cmake_minimum_required(VERSION 3.16)
project(stranger LANGUAGES C CXX Fortran)
find_package(nepal 0.2 REQUIRED)
set(CMAKE_C_STANDARD 11)
set(CMAKE_CXX_STANDARD 17)
foreach(kind shared static)
  foreach(name energy_forces md)
    add_executable(c_${name}_${kind} ${EXAMPLES}/c/${name}.c)
    target_link_libraries(c_${name}_${kind} PRIVATE nepal::${kind} m)
    add_executable(cpp_${name}_${kind} ${EXAMPLES}/cpp/${name}.cpp)
    target_link_libraries(cpp_${name}_${kind} PRIVATE nepal::${kind})
  endforeach()
endforeach()
add_library(nepal_fortran STATIC ${NEPAL_FORTRAN_SOURCES})
target_link_libraries(nepal_fortran PUBLIC nepal::nepal)
foreach(name energy_forces md)
  add_executable(fortran_${name}_shared ${EXAMPLES}/fortran/${name}.f90)
  target_link_libraries(fortran_${name}_shared PRIVATE nepal_fortran)
endforeach()
"#;

#[test]
#[needs(Cmake, Cc, Cxx, Gfortran)]
fn a_strangers_cmake_project_builds_and_all_languages_print_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("CMakeLists.txt"), PROJECT).expect("a project");
    let build = folder.path().join("build");
    run(Command::new("cmake")
        .arg("-S")
        .arg(folder.path())
        .arg("-B")
        .arg(&build)
        .arg(format!("-DCMAKE_PREFIX_PATH={}", installed().display()))
        .arg(format!("-DEXAMPLES={}", root().join("examples").display())));
    run(Command::new("cmake").arg("--build").arg(&build));
    let output = |name: &str| {
        run(Command::new(build.join(name))
            .arg("examples/data")
            .current_dir(root())
            .env_remove("LD_LIBRARY_PATH"))
    };
    let md = output("c_md_shared");
    assert_eq!(md.lines().count(), 6, "{md}");
    assert_md(&md);
    let mut names = vec![
        "c_energy_forces_shared",
        "c_energy_forces_static",
        "c_md_static",
    ];
    names.extend(["cpp_energy_forces_shared", "cpp_energy_forces_static"]);
    names.extend(["cpp_md_shared", "cpp_md_static"]);
    names.extend(["fortran_energy_forces_shared", "fortran_md_shared"]);
    for name in names {
        let expected = if name.contains("_md_") {
            md.clone()
        } else {
            expected()
        };
        assert_eq!(output(name), expected, "{name}");
    }
    // The static programs need no libnepal at run time.
    for (kind, needed) in [("shared", true), ("static", false)] {
        let program = build.join(format!("c_md_{kind}"));
        let dynamic = run(Command::new("readelf").arg("-d").arg(program));
        assert_eq!(
            dynamic.contains("[libnepal.so"),
            needed,
            "{kind}: {dynamic}"
        );
    }
}

/// The total energy of the dynamics stays where it was, and the temperature is what it was given.
fn assert_md(text: &str) {
    let number = |line: &str, after: &str| -> f64 {
        let rest = line.split(after).nth(1).expect("the word");
        rest.split_whitespace()
            .next()
            .and_then(|x| x.parse().ok())
            .expect("a number")
    };
    let totals: Vec<f64> = text.lines().map(|line| number(line, "total ")).collect();
    for total in &totals {
        assert!((total - totals[0]).abs() < 0.02, "{totals:?}");
    }
    let kinetic = number(text, "kinetic ");
    assert!((number(text.lines().next_back().unwrap(), "kinetic ") - kinetic).abs() > 1.0);
}

#[test]
#[needs(Cmake, Cc)]
fn another_minor_version_is_not_found() {
    let minor: u32 = env!("CARGO_PKG_VERSION_MINOR").parse().expect("a number");
    for (version, found) in [
        (format!("0.{minor}"), true),
        (format!("0.{}", minor + 1), false),
        ("1.0".to_owned(), false),
        (format!("0.{}.9", minor - 1), false),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let text = format!(
            "cmake_minimum_required(VERSION 3.16)\nproject(x LANGUAGES C)\nfind_package(nepal {version} REQUIRED COMPONENTS static)\n\
             get_target_property(link nepal::nepal INTERFACE_LINK_LIBRARIES)\nmessage(STATUS \"links ${{link}}\")\n"
        );
        std::fs::write(folder.path().join("CMakeLists.txt"), text).expect("a project");
        let output = Command::new("cmake")
            .arg("-S")
            .arg(folder.path())
            .arg("-B")
            .arg(folder.path().join("build"))
            .arg(format!("-DCMAKE_PREFIX_PATH={}", installed().display()))
            .output()
            .expect("cmake starts");
        assert_eq!(output.status.success(), found, "{version}");
        if found {
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(text.contains("links nepal::static"), "{text}");
        }
    }
}

#[test]
#[needs(Cmake, PkgConfig, Cc)]
fn pkg_config_finds_both_libraries() {
    assert_eq!(pkg_config(&["--modversion"]), [env!("CARGO_PKG_VERSION")]);
    let folder = tempfile::tempdir().expect("a folder");
    for (name, flags) in [
        ("shared", vec!["--cflags", "--libs"]),
        ("static", vec!["--static", "--cflags", "--libs"]),
    ] {
        let program = folder.path().join(name);
        let mut command = Command::new("cc");
        command
            .arg(root().join("examples/c/energy_forces.c"))
            .arg("-o")
            .arg(&program);
        for flag in pkg_config(&flags) {
            match flag.as_str() {
                // What "static" means to a linker that would take the shared one first.
                "-lnepal" if name == "static" => command.arg("-l:libnepal.a"),
                flag => command.arg(flag),
            };
        }
        run(&mut command);
        let output = run(Command::new(&program)
            .arg("examples/data")
            .current_dir(root())
            .env("LD_LIBRARY_PATH", installed().join("lib")));
        assert_eq!(output, expected(), "{name}");
    }
}

/// The parts of the C++ layer that the examples do not show.
#[test]
#[needs(Cxx)]
fn the_cpp_layer_builds_sets_and_fragments() {
    use crate::build::{Compiled, Language};
    let program = Compiled::link(Language::Cpp, &root().join("tests/bindings/layer.cpp"));
    let folder = tempfile::tempdir().expect("a folder");
    let output = program.output(
        &[],
        &["examples/data", folder.path().to_str().expect("UTF-8")],
    );
    assert!(output.ends_with("checks passed\n"), "{output}");
}
