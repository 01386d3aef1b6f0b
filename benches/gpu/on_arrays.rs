//! All that is checked and timed on arrays of the device, a line for each case.

use super::systems::{self, System};
use super::{arrays, guarded};
use nepal::Precision;
use std::path::Path;

/// Four models of the tests that are checked beside those that are timed.
const OTHERS: [&str; 4] = [
    "active_set_pbte",
    "nep4_all_higher_body",
    "nep4_two_hidden_layers",
    "nep5_zbl",
];

/// Says of each model whether arrays on the device get what the processor says; says whether all do.
pub fn check(
    mut systems: Vec<System>,
    models: Option<&Path>,
    sets: Option<&Path>,
    quick: bool,
) -> bool {
    let graded: Vec<_> = systems
        .iter()
        .map(|s| Some(s.kept_set(sets, quick)))
        .collect();
    for (name, model) in models.iter().flat_map(|folder| systems::below(folder)) {
        if let Some(name) = OTHERS.into_iter().find(|other| *other == name) {
            systems.push(System::of_any(name, model));
        }
    }
    let mut fine = true;
    for (k, system) in systems.iter().enumerate() {
        for precision in [Precision::F64, Precision::Mixed] {
            let set = graded.get(k).and_then(Option::as_ref);
            let done = guarded(|| arrays::check(system, set, precision));
            fine &= done.is_ok();
            let (word, said) = match done {
                Ok(said) => ("ok", said),
                Err(said) => ("BAD", said),
            };
            println!("{word}: arrays of {} {precision:?}: {said}", system.name);
        }
    }
    fine
}

/// Times steps on arrays of the device; says whether all were timed.
pub fn time(systems: &[System], sizes: &[usize], sets: Option<&Path>, quick: bool) -> bool {
    let mut fine = true;
    for &size in sizes {
        for system in systems {
            let set = system.kept_set(sets, quick);
            for case in arrays::CASES {
                match guarded(|| arrays::time(system, &set, size, case, quick)) {
                    Ok((n, ms)) => println!(
                        "{} {n} atoms, {case}: {ms:.3} ms a step, {:.3e} atom steps/s",
                        system.name,
                        n as f64 / ms * 1e3
                    ),
                    Err(e) => {
                        fine = false;
                        println!("BAD: {} {size} atoms, {case}: {e}", system.name);
                    }
                }
            }
        }
    }
    fine
}
