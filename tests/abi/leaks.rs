//! A tour through the ABI, errors included, under valgrind: nothing leaks, nothing is read twice.

use crate::build::{Compiled, Language, VALGRIND};
use crate::support::root;

#[test]
#[needs(Cc)]
fn the_tour_ends_well() {
    let program = Compiled::link(Language::C, &root().join("tests/abi/tour.c"));
    program.output(&[], &["examples/data"]);
}

#[test]
#[needs(Cc, Valgrind)]
fn the_tour_leaves_no_memory_behind() {
    let program = Compiled::link(Language::C, &root().join("tests/abi/tour.c"));
    program.output(&VALGRIND, &["examples/data"]);
}
