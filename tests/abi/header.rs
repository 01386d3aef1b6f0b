//! `include/nepal.h` is what `src/capi` says, whole, documented, and legal C and C++.

use crate::build::{Compiled, Language};
use crate::support::root;
use std::path::Path;

/// The files of `src/capi` that make the header, in the order of its functions.
const SOURCES: [&str; 22] = [
    "version",
    "status",
    "model",
    "active_set",
    "build",
    "calculator",
    "dispersion",
    "posterior",
    "system",
    "results",
    "compute",
    "contract",
    "grade",
    "grade_gradient",
    "sigma",
    "learn",
    "effort",
    "fragment",
    "fragment_around",
    "fragment_file",
    "ranks",
    "device",
];

/// The header that the sources call for.
fn generate() -> String {
    let folder = root().join("src/capi");
    let config =
        cbindgen::Config::from_file(folder.join("cbindgen.toml")).expect("a configuration");
    let mut builder = cbindgen::Builder::new().with_config(config);
    for name in SOURCES {
        builder = builder.with_src(folder.join(name).with_extension("rs"));
    }
    let mut bytes = Vec::new();
    builder.generate().expect("a header").write(&mut bytes);
    String::from_utf8(bytes).expect("UTF-8")
}

pub fn committed() -> String {
    let path = root().join("include/nepal.h");
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[test]
fn the_header_is_current() {
    let new = generate();
    if std::env::var_os("NEPAL_BLESS").is_some() {
        std::fs::write(root().join("include/nepal.h"), &new).expect("the header is written");
    }
    let old = committed();
    if let Some((line, (new, old))) = new
        .lines()
        .zip(old.lines())
        .enumerate()
        .find(|(_, (a, b))| a != b)
    {
        panic!(
            "include/nepal.h:{}: has {old:?}, src/capi calls for {new:?}; \
             run NEPAL_BLESS=1 cargo test --test abi and write the change into CHANGELOG.md under ABI",
            line + 1
        );
    }
    assert_eq!(new.len(), old.len(), "include/nepal.h ends early or late");
}

#[test]
fn every_exporting_file_is_listed() {
    for entry in std::fs::read_dir(root().join("src/capi")).expect("the folder") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|e| e != "rs") {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("a source");
        let stem = path.file_stem().and_then(|s| s.to_str()).expect("a name");
        let public = text
            .lines()
            .any(|l| l.contains("no_mangle)]") || l.starts_with("pub const "));
        assert_eq!(
            public,
            SOURCES.contains(&stem),
            "src/capi/{stem}.rs: listed in tests/abi/header.rs and exporting must agree"
        );
    }
}

/// Names of all functions declared in a header.
pub fn functions(header: &str) -> Vec<String> {
    let mut names: Vec<String> = header
        .lines()
        .filter(|l| !l.starts_with("//") && !l.starts_with(' ') && !l.starts_with("typedef"))
        .filter_map(|l| l.split_once('('))
        .filter_map(|(before, _)| before.rsplit([' ', '*']).next())
        .filter(|name| name.starts_with("nepal_"))
        .map(str::to_owned)
        .collect();
    names.sort();
    names
}

#[test]
fn everything_in_the_header_is_documented_and_dated() {
    let header = committed();
    let lines: Vec<&str> = header.lines().collect();
    let mut seen = 0;
    for (k, line) in lines.iter().enumerate() {
        let function = line.contains('(') && functions(line).len() == 1;
        let constant = line.starts_with("#define NEPAL_") && *line != "#define NEPAL_H";
        let kind = line.starts_with("typedef ");
        let field = line.starts_with("  ") && line.ends_with(';') && !line.contains(')');
        if !(function || constant || kind || field) {
            continue;
        }
        seen += 1;
        let comment: Vec<&str> = lines[..k]
            .iter()
            .rev()
            .map(|l| l.trim_start())
            .take_while(|l| l.starts_with("///"))
            .collect();
        assert!(
            !comment.is_empty(),
            "include/nepal.h:{}: {line} has no comment",
            k + 1
        );
        if !field {
            assert!(
                comment.iter().any(|l| l.contains("Since: 0.")),
                "include/nepal.h:{}: {line} does not say since when",
                k + 1
            );
        }
    }
    assert!(seen > 60, "only {seen} declarations were found");
}

/// The header alone, then what every struct is set up with.
const USE: &str = r#"
#include "nepal.h"
void use_all(void);
void use_all(void) {
  nepal_calculator_options_t options = NEPAL_CALCULATOR_OPTIONS_INIT;
  nepal_structure_t structure = NEPAL_STRUCTURE_INIT;
  nepal_host_list_t list = NEPAL_HOST_LIST_INIT;
  nepal_results_t results = NEPAL_RESULTS_INIT;
  nepal_fragment_options_t fragment = NEPAL_FRAGMENT_OPTIONS_INIT;
  nepal_active_set_options_t build = NEPAL_ACTIVE_SET_OPTIONS_INIT;
  nepal_ranks_t ranks = NEPAL_RANKS_INIT;
  nepal_device_atoms_t atoms = NEPAL_DEVICE_ATOMS_INIT;
  nepal_device_results_t places = NEPAL_DEVICE_RESULTS_INIT;
  (void)options; (void)structure; (void)list; (void)results; (void)fragment; (void)build;
  (void)ranks; (void)atoms; (void)places;
}
"#;

#[test]
#[needs(Cc, Cxx)]
fn the_header_is_strict_c_and_cpp() {
    let folder = tempfile::tempdir().expect("a folder");
    for (language, name) in [(Language::C, "use.c"), (Language::Cpp, "use.cpp")] {
        let source = folder.path().join(name);
        std::fs::write(&source, USE).expect("a source");
        Compiled::check(language, &source);
    }
}

#[test]
#[needs(Cc)]
fn sizes_and_offsets_are_pinned() {
    Compiled::check(Language::C, &root().join("tests/abi/layout.c"));
}

#[test]
#[needs(Cxx)]
fn the_cpp_layer_compiles_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = folder.path().join("alone.cpp");
    std::fs::write(&source, "#include \"nepal.hpp\"\n").expect("a source");
    Compiled::check(Language::Cpp, Path::new(&source));
}
