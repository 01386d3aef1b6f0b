//! A tour through the ABI, errors included, under valgrind: nothing leaks, nothing is read twice.

use crate::build::{Compiled, Language, have, root};

/// Any invalid access and any memory that nothing points at any more makes the exit status 9. The
/// worker threads of the process stay for its life and are no leak.
pub const VALGRIND: [&str; 5] = [
    "valgrind",
    "--quiet",
    "--leak-check=full",
    "--errors-for-leak-kinds=definite",
    "--error-exitcode=9",
];

#[test]
fn the_tour_ends_well() {
    let program = Compiled::link(Language::C, &root().join("tests/abi/tour.c"));
    program.output(&[], &["examples/data"]);
}

#[test]
fn the_tour_leaves_no_memory_behind() {
    if !have("valgrind") {
        return;
    }
    let program = Compiled::link(Language::C, &root().join("tests/abi/tour.c"));
    program.output(&VALGRIND, &["examples/data"]);
}
