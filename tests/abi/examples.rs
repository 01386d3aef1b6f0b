//! The examples in all languages print the same lines, and leave no memory behind.

use crate::build::{Compiled, Language};
use crate::support::root;

#[path = "../../examples/energy_forces.rs"]
#[allow(dead_code)]
mod energy_forces;

/// What the Rust example prints.
fn expected() -> String {
    let mut out = Vec::new();
    energy_forces::run(&root().join("examples/data"), &mut out).expect("the example runs");
    String::from_utf8(out).expect("UTF-8")
}

#[test]
#[needs(Cc, Cxx)]
fn c_and_cpp_print_what_rust_prints() {
    let expected = expected();
    assert_eq!(expected.lines().count(), 10, "{expected}");
    for (language, source) in [
        (Language::C, "examples/c/energy_forces.c"),
        (Language::Cpp, "examples/cpp/energy_forces.cpp"),
    ] {
        let program = Compiled::link(language, &root().join(source));
        assert_eq!(
            program.output(&[], &["examples/data"]),
            expected,
            "{source}"
        );
    }
}

#[test]
#[needs(Cc, Cxx)]
fn the_examples_say_what_went_wrong() {
    for (language, source) in [
        (Language::C, "examples/c/energy_forces.c"),
        (Language::Cpp, "examples/cpp/energy_forces.cpp"),
    ] {
        let output = Compiled::link(language, &root().join(source)).run(&[], &["no/such/folder"]);
        assert_eq!(output.status.code(), Some(1), "{source}");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(text.contains("no/such/folder/nep.txt"), "{source}: {text}");
    }
}

#[test]
fn the_examples_are_short() {
    for source in [
        "energy_forces.rs",
        "c/energy_forces.c",
        "cpp/energy_forces.cpp",
    ] {
        let text = std::fs::read_to_string(root().join("examples").join(source)).expect("a source");
        assert!(
            text.lines().count() < 80,
            "examples/{source} has 80 lines or more"
        );
    }
}

#[test]
#[needs(Cc, Valgrind)]
fn the_c_example_leaves_no_memory_behind() {
    let program = Compiled::link(Language::C, &root().join("examples/c/energy_forces.c"));
    program.output(&crate::build::VALGRIND, &["examples/data"]);
}
