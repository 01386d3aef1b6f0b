//! Cargo.toml, the macros and the functions agree about the version.

use crate::build::{Compiled, Language};

const PROGRAM: &str = r#"
#include "nepal.h"
#include <stdio.h>
int main(void) {
  printf("%d %u %d %u\n", NEPAL_VERSION_NUMBER, (unsigned)nepal_version_number(),
         NEPAL_ABI_VERSION, (unsigned)nepal_abi_version());
  return 0;
}
"#;

#[test]
#[needs(Cc)]
fn versions_agree() {
    let part = |text: &str| text.parse::<u32>().expect("a number");
    let major = part(env!("CARGO_PKG_VERSION_MAJOR"));
    let minor = part(env!("CARGO_PKG_VERSION_MINOR"));
    let patch = part(env!("CARGO_PKG_VERSION_PATCH"));
    let number = 10_000 * major + 100 * minor + patch;
    // While the version is 0.x the minor version is that of the ABI and of the soname.
    let abi = if major == 0 { minor } else { major };
    let folder = tempfile::tempdir().expect("a folder");
    let source = folder.path().join("versions.c");
    std::fs::write(&source, PROGRAM).expect("a source");
    let printed = Compiled::link(Language::C, &source).output(&[], &[]);
    assert_eq!(printed, format!("{number} {number} {abi} {abi}\n"));
}
