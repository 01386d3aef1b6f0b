//! The library exports what `symbols.txt` lists and the header declares, and nothing else.

use crate::build::library;
use crate::header;
use std::process::Command;

/// Names that the ABI promises, sorted.
pub fn promised() -> Vec<String> {
    include_str!("symbols.txt")
        .lines()
        .map(str::to_owned)
        .collect()
}

#[test]
#[needs(Cc)]
fn the_library_exports_what_is_promised() {
    let output = Command::new("nm")
        .args(["-D", "--defined-only"])
        .arg(library())
        .output()
        .expect("nm runs");
    assert!(output.status.success());
    let mut found: Vec<String> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| line.rsplit(' ').next())
        .map(|name| name.split('@').next().unwrap_or(name).to_owned())
        .collect();
    found.sort();
    assert_eq!(
        found,
        promised(),
        "left: the library, right: tests/abi/symbols.txt"
    );
}

#[test]
fn the_header_declares_what_is_promised() {
    let declared = header::functions(&header::committed());
    assert_eq!(
        declared,
        promised(),
        "left: the header, right: tests/abi/symbols.txt"
    );
}
