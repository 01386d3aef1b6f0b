//! The KIM model driver: installed into a collection of its own, and asked what KIM's verification
//! checks ask.

use crate::build::{Language, VALGRIND, library};
use crate::install::{installed, run};
use crate::support::root;
use std::path::Path;
use std::process::Command;

const DRIVER: &str = "NEP_nepal__MD_000000000000_000";
const NAME: &str = "NEP_test__MO_000000000000_000";

/// A collection of KIM items in a folder.
struct Collection<'a>(&'a Path);

impl Collection<'_> {
    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.0)
            .env("KIM_API_MODEL_DRIVERS_DIR", self.0.join("drivers"))
            .env("KIM_API_PORTABLE_MODELS_DIR", self.0.join("models"))
            .env("KIM_API_SIMULATOR_MODELS_DIR", self.0.join("simulators"))
            .env("CMAKE_PREFIX_PATH", installed())
            .env("LD_LIBRARY_PATH", self.0);
        command
    }

    fn install(&self, item: &Path) {
        let done = run(self
            .command("kim-api-collections-management")
            .args(["install", "environment"])
            .arg(item));
        assert!(done.contains("Success!"), "{done}");
    }

    fn add_model(&self, name: &str, file: &Path) {
        let script = root().join("bindings/kim/make-model.sh");
        run(self.command(script).arg(file).arg(name));
        self.install(&self.0.join(name));
    }
}

#[test]
#[needs(Kim, Cmake, PkgConfig, Cc, Cxx, Valgrind)]
fn a_kim_model_passes_the_verification_checks() {
    let folder = tempfile::tempdir().expect("a folder");
    let kim = Collection(folder.path());
    for kind in ["drivers", "models", "simulators"] {
        std::fs::create_dir(folder.path().join(kind)).expect("a folder");
    }
    for name in ["libnepal.so".to_owned(), crate::build::soname()] {
        std::os::unix::fs::symlink(library(), folder.path().join(name)).expect("a link");
    }
    kim.install(&root().join("bindings/kim").join(DRIVER));

    // The simulator.
    let program = folder.path().join("simulator");
    let flags = run(Command::new("pkg-config").args(["--cflags", "--libs", "libkim-api"]));
    let mut compiler = Language::Cpp.command();
    compiler.arg(root().join("tests/bindings/kim.cpp"));
    compiler
        .arg("-o")
        .arg(&program)
        .arg("-L")
        .arg(folder.path());
    compiler.args(["-lnepal", "-lpthread"]);
    run(compiler.args(flags.split_whitespace()));

    let models = [
        ("si", root().join("examples/data/nep.txt")),
        ("mo_w_se", root().join("tests/data/mo_w_se_nep3/nep.txt")),
        (
            "zbl",
            root().join("tests/data/synthetic_variants/nep4_zbl_flexible/nep.txt"),
        ),
    ];
    for (short, file) in &models {
        let name = NAME.replace("test", short);
        kim.add_model(&name, file);
        let output = run(kim.command(&program).arg(&name).arg(file));
        assert!(output.ends_with("checks passed\n"), "{short}: {output}");
    }
    // KIM's memory check.
    let name = NAME.replace("test", "si");
    let mut command = kim.command(VALGRIND[0]);
    command.args(&VALGRIND[1..]).arg(&program);
    let output = run(command.arg(&name).arg(&models[0].1).arg("small"));
    assert!(output.ends_with("checks passed\n"), "{output}");

    // What is no nep.txt of a potential is refused, with nepal's text in the log.
    let name = NAME.replace("test", "dipole");
    kim.add_model(&name, &root().join("tests/data/water_dipole_nep4/nep.txt"));
    let output = kim
        .command(&program)
        .arg(&name)
        .arg(&models[0].1)
        .output()
        .expect("the simulator starts");
    assert_eq!(output.status.code(), Some(2));
    let log = std::fs::read_to_string(folder.path().join("kim.log")).expect("the log");
    assert!(log.contains("dipole"), "{log}");
}
