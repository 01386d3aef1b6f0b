//! The fragment callback: who is handed over, what is learned, and how it stops a call.

use crate::build::{Compiled, Language, VALGRIND};
use crate::calls::{Atoms, Handles, Places, init, last_error, ok};
use crate::host_list::Host;
use crate::sink::*;
use crate::support::close::assert_close;
use crate::support::root;
use nepal::capi::calculator::*;
use nepal::capi::compute::*;
use nepal::capi::fragment::*;
use nepal::capi::results::*;
use nepal::capi::status::*;
use nepal::fragment::{FragmentOptions, Mode, Outcome, harvest};
use nepal::{ActiveSet, BackendKind, Calculator, Cell, Model, Structure};
use std::ptr::null_mut;
use std::sync::Arc;

#[test]
fn selected_atoms_are_handed_over_once_and_learned() {
    let (handles, atoms) = (Handles::new(), crystal(4));
    let mut user = Sink::default();
    watch(&handles, &init(), &mut user);
    let (status, found) = compute(&handles, &atoms);
    ok(status);
    let selected = found.grade.iter().filter(|&&g| g > 1.5).count();
    assert!(selected > 0, "the defect is not selected");
    let [delivered, covered, refused] = counts(&handles);
    assert_eq!(delivered, user.seen.len());
    assert_eq!(
        delivered + covered + refused,
        selected,
        "16 tries are enough for one defect"
    );
    assert!(delivered > 0, "nothing was carved");
    let largest = found.grade.iter().fold(0.0, |a: f64, &b| a.max(b));
    assert_eq!(
        user.seen[0].fragment.grade, largest,
        "the largest grade comes first"
    );
    for seen in &user.seen {
        assert!(seen.fragment.whole == 0 && seen.atoms.types.len() < atoms.types.len());
        check_fragment(&handles, seen, &atoms, &found);
    }

    // The targets are known now; whatever comes next is another atom.
    let first: Vec<i64> = user.seen.drain(..).map(|s| s.fragment.target_tag).collect();
    let (status, again) = compute(&handles, &atoms);
    ok(status);
    for tag in &first {
        let i = atoms.tags.iter().position(|t| t == tag).unwrap();
        assert!(
            again.grade[i] < found.grade[i],
            "{} was {}",
            again.grade[i],
            found.grade[i]
        );
        assert!(
            again.grade[i] <= 1.5,
            "{} is still selected",
            again.grade[i]
        );
    }
    assert!(
        user.seen
            .iter()
            .all(|s| !first.contains(&s.fragment.target_tag))
    );
    assert_eq!(again.energy, found.energy);
}

#[test]
fn a_set_that_learned_is_the_calculators_own() {
    let (handles, atoms) = (Handles::new(), crystal(4));
    let mut user = Sink::default();
    watch(&handles, &init(), &mut user);
    let (status, before) = compute(&handles, &atoms);
    ok(status);
    // SAFETY: live handles.
    unsafe {
        ok(nepal_calculator_set_active_set(
            handles.calculator,
            handles.active_set,
        ))
    };
    let (status, after) = compute(&handles, &atoms);
    ok(status);
    assert_eq!(before.grade, after.grade, "the shared set did not change");
}

#[test]
fn a_callback_stops_the_call_with_its_own_status() {
    let (handles, atoms) = (Handles::new(), crystal(4));
    for (answer, expected) in [
        (-12345, -12345),
        (i32::MIN, i32::MIN),
        (3, NEPAL_STATUS_CALLBACK),
    ] {
        let mut user = Sink {
            answer,
            ..Sink::default()
        };
        watch(&handles, &init(), &mut user);
        let (status, places) = compute(&handles, &atoms);
        assert_eq!(status, expected);
        assert!(
            last_error().contains(&answer.to_string()),
            "{}",
            last_error()
        );
        assert!(
            places.energy.is_nan(),
            "results are written on success only"
        );
        assert_eq!(user.seen.len(), 1);
        // Nobody has it yet, so it was not learned: the next round sees the same atom.
        assert_eq!(user.seen[0].fragment.target_tag, 1000 + DEFECT as i64);
    }
}

#[test]
fn a_callback_cannot_use_or_free_its_calculator() {
    let (handles, atoms) = (Handles::new(), crystal(4));
    let mut user = Sink {
        calculator: Some(handles.calculator),
        ..Sink::default()
    };
    watch(&handles, &init(), &mut user);
    let (status, _) = compute(&handles, &atoms);
    ok(status);
    assert_eq!(user.inside, Some(NEPAL_STATUS_INVALID_ARGUMENT));
}

#[test]
fn only_calls_with_grades_hand_over_and_never_more_than_asked_for() {
    let (handles, atoms) = (Handles::new(), crystal(4));
    let mut user = Sink::default();
    let options = nepal_fragment_options_t {
        max_fragments: 1,
        ..init()
    };
    watch(&handles, &options, &mut user);
    let mut energy = f64::NAN;
    let results = nepal_results_t {
        energy: &mut energy,
        ..init()
    };
    // SAFETY: live handles, arrays of the right shape.
    unsafe {
        ok(nepal_calculator_compute(
            handles.calculator,
            &atoms.view(),
            &results,
        ))
    };
    assert!(user.seen.is_empty() && energy.is_finite());
    ok(compute(&handles, &atoms).0);
    let [delivered, _, refused] = counts(&handles);
    assert_eq!(delivered + refused, 1);

    let options = nepal_fragment_options_t {
        save: 1e6,
        ..init()
    };
    let mut nothing = Sink::default();
    watch(&handles, &options, &mut nothing);
    ok(compute(&handles, &atoms).0);
    assert_eq!(counts(&handles), [0; 3]);
    assert!(nothing.seen.is_empty());
}

#[test]
fn ghosts_of_a_host_make_fragments_with_its_tags() {
    let (handles, atoms) = (Handles::new(), crystal(4));
    let (status, found) = compute(&handles, &atoms);
    ok(status);
    let mut user = Sink::default();
    watch(&handles, &init(), &mut user);
    let host = Host::new(&atoms, 5.0, 1.0);
    let mut places = Places::new(handles.model, host.n_local, host.positions.len());
    let mut list = host.view();
    list.step = 77;
    // SAFETY: live handles, arrays of the right shape.
    unsafe {
        ok(nepal_calculator_compute_list(
            handles.calculator,
            &list,
            &places.view(),
        ))
    };
    assert!(!user.seen.is_empty(), "{:?}", counts(&handles));
    for seen in &user.seen {
        assert!(
            seen.atoms
                .tags
                .iter()
                .all(|t| *t == -1 || atoms.tags.contains(t))
        );
        let mut close = seen.fragment;
        // Rounding differs between the two ways to hand over the atoms.
        let origin = (close.target_tag - 1000) as usize;
        assert_close("grade", &[close.grade], &[found.grade[origin]], 1e-8);
        (close.grade, close.gamma, close.rho) =
            (found.grade[origin], found.gamma[origin], found.rho[origin]);
        let seen = Seen {
            fragment: close,
            atoms: Atoms {
                positions: seen.atoms.positions.clone(),
                types: seen.atoms.types.clone(),
                tags: seen.atoms.tags.clone(),
                cell: seen.atoms.cell,
            },
            core: seen.core.clone(),
            mask: seen.mask.clone(),
            target: seen.target,
        };
        check_fragment(&handles, &seen, &atoms, &found);
    }
}

/// How far the atoms of a fragment are off their places in the simulation, relative to the target;
/// core atoms and others. Å.
fn displacements(seen: &Seen, parent: &Atoms) -> [Vec<f64>; 2] {
    let place = |tag: i64| parent.positions[(tag - 1000) as usize];
    let (target, origin) = (
        seen.atoms.positions[seen.target],
        place(seen.fragment.target_tag),
    );
    let mut off = [Vec::new(), Vec::new()];
    for (i, &tag) in seen.atoms.tags.iter().enumerate() {
        if tag == -1 {
            continue;
        }
        let r = seen.atoms.positions[i];
        // The fragment's cell may have moved the atom by one of its own vectors.
        let nearest = (0..27).map(|k| {
            let image = [k / 9 - 1, (k / 3) % 3 - 1, k % 3 - 1];
            let squares = (0..3).map(|a| {
                let shift: f64 = (0..3)
                    .map(|v| f64::from(image[v]) * seen.atoms.cell[v][a])
                    .sum();
                let d = (r[a] + shift - target[a]) - (place(tag)[a] - origin[a]);
                let edge = parent.cell[a][a];
                (d - edge * (d / edge).round()).powi(2)
            });
            squares.sum::<f64>().sqrt()
        });
        let distance = nearest.fold(f64::INFINITY, f64::min);
        off[usize::from(seen.core[i] == 0)].push(distance);
    }
    off
}

#[test]
fn fragments_are_optimised_on_request() {
    // Rattled so much that the boundary of a fragment is outside known ground.
    let atoms = rattled(4, 0.2);
    for (flags, moves) in [(0, false), (NEPAL_FRAGMENT_OPTIMISE, true)] {
        let handles = Handles::new();
        let mut user = Sink::default();
        let options = nepal_fragment_options_t {
            flags,
            max_fragments: 1,
            ..init()
        };
        watch(&handles, &options, &mut user);
        let (status, found) = compute(&handles, &atoms);
        ok(status);
        assert_eq!(counts(&handles)[0], 1, "the defect's fragment is refused");
        check_fragment(&handles, &user.seen[0], &atoms, &found);
        let [core, others] = displacements(&user.seen[0], &atoms);
        assert!(
            core.len() > 15 && others.len() > 15,
            "{} {}",
            core.len(),
            others.len()
        );
        assert!(core.iter().all(|d| *d < 1e-6), "{core:?}");
        let moved = others.iter().any(|d| (1e-4..0.5).contains(d));
        assert_eq!(moved, moves, "{others:?}");
    }
}

#[test]
fn refusals_are_counted_and_explained() {
    let (handles, atoms) = (Handles::new(), crystal(4));
    let mut user = Sink::default();
    let options = nepal_fragment_options_t {
        max_atoms: 20,
        max_fragments: 2,
        ..init()
    };
    watch(&handles, &options, &mut user);
    ok(compute(&handles, &atoms).0);
    let [delivered, _, refused] = counts(&handles);
    assert!(delivered == 0 && refused > 0, "{delivered} {refused}");
    let (mut buf, mut needed) = ([0u8; 300], 0);
    // SAFETY: live handles, places that exist.
    unsafe {
        let (text, size) = (buf.as_mut_ptr().cast(), buf.len());
        ok(nepal_calculator_fragment_refusal(
            handles.calculator,
            text,
            size,
            &mut needed,
        ));
    }
    let text = String::from_utf8_lossy(&buf[..needed - 1]);
    assert!(text.contains("atoms"), "{text}");
}

#[test]
fn options_out_of_range_are_refused_and_keep_the_old_callback() {
    let (handles, atoms) = (Handles::new(), crystal(4));
    let mut user = Sink::default();
    watch(&handles, &init(), &mut user);
    let bad = |change: fn(&mut nepal_fragment_options_t), word: &str| {
        let mut options = init();
        change(&mut options);
        // SAFETY: live handles; the callback is not set.
        let status = unsafe {
            nepal_calculator_set_fragment_callback(
                handles.calculator,
                &options,
                Some(sink),
                null_mut(),
            )
        };
        assert_eq!(status, NEPAL_STATUS_INVALID_ARGUMENT, "{word}");
        assert!(last_error().contains(word), "{}", last_error());
    };
    bad(|o| o.save = -1.0, "save");
    bad(|o| o.save = f64::NAN, "save");
    bad(|o| o.core_radius = 1.0, "core_radius");
    bad(|o| o.max_size = f64::INFINITY, "max_size");
    bad(|o| o.flags = 1 << 20, "flags");
    bad(|o| o.struct_size = 1, "INIT");
    ok(compute(&handles, &atoms).0);
    assert!(!user.seen.is_empty());
}

#[test]
#[needs(Cxx)]
fn cpp_callables_are_called_stop_and_throw() {
    let program = Compiled::link(Language::Cpp, &root().join("tests/abi/callback.cpp"));
    program.output(&[], &["examples/data"]);
}

#[test]
#[needs(Cxx, Valgrind)]
fn cpp_callables_leave_no_memory_behind() {
    let program = Compiled::link(Language::Cpp, &root().join("tests/abi/callback.cpp"));
    program.output(&VALGRIND, &["examples/data"]);
}

/// One frame, three ways in: the fragments of the callback are those of the Rust interface.
#[test]
fn fragments_are_those_of_rust_bit_for_bit() {
    let (handles, atoms) = (Handles::new(), crystal(4));
    for flags in [0, NEPAL_FRAGMENT_ANGULAR, NEPAL_FRAGMENT_TOLERANT] {
        // SAFETY: live handles.
        unsafe {
            ok(nepal_calculator_set_active_set(
                handles.calculator,
                handles.active_set,
            ))
        };
        let mut user = Sink::default();
        let options = nepal_fragment_options_t {
            flags: flags | NEPAL_FRAGMENT_OPTIMISE,
            seed: 5,
            max_fragments: 3,
            ..init()
        };
        watch(&handles, &options, &mut user);
        let (status, _) = compute(&handles, &atoms);
        ok(status);

        let data = root().join("examples/data");
        let model = Arc::new(Model::load(data.join("nep.txt")).unwrap());
        let set = ActiveSet::load(data.join("active_set.nas"), &model).unwrap();
        let kind = BackendKind::default_for_build();
        let mut calculator = Calculator::new(Arc::clone(&model), kind).unwrap();
        calculator.set_active_set(Some(Arc::new(set))).unwrap();
        let cell = Cell::new(atoms.cell, [true; 3]).unwrap();
        let elements = vec![model.elements()[0]; atoms.types.len()];
        let parent = Structure::new(cell, elements, atoms.positions.clone()).unwrap();
        let options = FragmentOptions {
            mode: match flags {
                NEPAL_FRAGMENT_ANGULAR => Mode::Angular,
                NEPAL_FRAGMENT_TOLERANT => Mode::Tolerant(Mode::TOLERANCE),
                _ => Mode::Exact,
            },
            seed: 5,
            ..FragmentOptions::default()
        };
        let mut made = Vec::new();
        let tally = harvest(
            &mut calculator,
            &parent,
            1.5,
            3,
            &options,
            |target, outcome| {
                if let Outcome::Fragment(fragment) = outcome {
                    made.push((*target, fragment.clone()));
                }
                Ok(())
            },
        )
        .unwrap();
        let [delivered, covered, refused] = counts(&handles);
        assert_eq!(delivered, tally.fragments + tally.whole);
        assert_eq!((covered, refused), (tally.covered, tally.n_refused()));
        assert!(!made.is_empty(), "{tally:?}");
        assert_eq!(user.seen.len(), made.len());
        for (seen, (target, fragment)) in user.seen.iter().zip(&made) {
            assert_eq!(seen.atoms.positions, fragment.structure.positions);
            assert_eq!(seen.atoms.cell, *fragment.structure.cell.vectors());
            assert_eq!(seen.mask, fragment.mask);
            assert_eq!(seen.fragment.target_tag, atoms.tags[target.atom]);
            assert_eq!(seen.fragment.grade, target.grade);
        }
    }
    // Both looser modes at once make no sense.
    let both = nepal_fragment_options_t {
        flags: NEPAL_FRAGMENT_ANGULAR | NEPAL_FRAGMENT_TOLERANT,
        ..init()
    };
    let mut user = Sink::default();
    // SAFETY: live handles.
    let status = unsafe {
        nepal_calculator_set_fragment_callback(
            handles.calculator,
            &both,
            Some(sink),
            (&raw mut user).cast(),
        )
    };
    assert_eq!(status, NEPAL_STATUS_INVALID_ARGUMENT);
    assert!(last_error().contains("one of them"), "{}", last_error());
}
