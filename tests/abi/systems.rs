//! Bad systems and lists are refused with a reason; empty and unusual ones are not.

use crate::calls::{Atoms, Handles, Places, init, last_error, ok};
use nepal::capi::active_set::*;
use nepal::capi::calculator::*;
use nepal::capi::compute::*;
use nepal::capi::contract::*;
use nepal::capi::device::*;
use nepal::capi::model::*;
use nepal::capi::results::*;
use nepal::capi::status::*;
use nepal::capi::system::*;
use std::ptr::{null, null_mut};

/// Computes and gives the status; on failure nothing may have been written.
#[track_caller]
fn refused(
    handles: &Handles,
    change: impl FnOnce(&mut nepal_structure_t, &mut nepal_results_t),
    expected: nepal_status_t,
    word: &str,
) {
    let atoms = Atoms::new();
    let mut places = Places::new(handles.model, 8, 8);
    let (mut structure, mut results) = (atoms.view(), places.view());
    change(&mut structure, &mut results);
    // SAFETY: live handles; arrays of the right shape or refused before they are read.
    let status = unsafe { nepal_calculator_compute(handles.calculator, &structure, &results) };
    assert_eq!(status, expected, "{}", last_error());
    assert!(last_error().contains(word), "{}", last_error());
    assert!(places.energy.is_nan() && places.forces[0][0].is_nan() && places.grade[0].is_nan());
}

#[test]
fn bad_systems_are_refused_with_a_reason() {
    let handles = Handles::new();
    let bad = NEPAL_STATUS_INVALID_ARGUMENT;
    let (wrong, negative) = ([1i32; 8], [-1i32; 8]);
    let numbers = [6i32; 8];
    let nan = [f64::NAN; 24];
    let flat = [1.0f64, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0];
    let h = &handles;
    refused(h, |s, _| s.types = wrong.as_ptr(), bad, "type 1");
    refused(h, |s, _| s.types = negative.as_ptr(), bad, "type -1");
    refused(h, |s, _| s.types = null(), bad, "types");
    refused(h, |s, _| s.atomic_numbers = numbers.as_ptr(), bad, "both");
    let carbon = |s: &mut nepal_structure_t, _: &mut _| {
        (s.types, s.atomic_numbers) = (null(), numbers.as_ptr());
    };
    refused(h, carbon, bad, "does not know C");
    refused(h, |s, _| s.positions = nan.as_ptr(), bad, "finite");
    refused(h, |s, _| s.positions = null(), bad, "positions");
    refused(
        h,
        |s, _| s.n_atoms = usize::MAX / 4,
        bad,
        "is the count right",
    );
    refused(h, |s, _| s.cell = null(), bad, "cell");
    refused(h, |s, _| s.cell = flat.as_ptr(), bad, "volume");
    refused(h, |s, _| s.periodic[2] = 2, bad, "periodic");
    refused(
        h,
        |s, _| s.reserved = 1,
        NEPAL_STATUS_UNSUPPORTED,
        "reserved",
    );
    refused(h, |s, _| s.struct_size = 0, bad, "INIT");
    refused(h, |s, _| s.struct_size = 8, bad, "INIT");
    refused(h, |_, r| r.struct_size = usize::MAX, bad, "INIT");
    refused(h, |_, r| r.flags = 8, bad, "flags");
    refused(
        h,
        |_, r| r.reserved = 9,
        NEPAL_STATUS_UNSUPPORTED,
        "reserved",
    );
    let odd = |s: &mut nepal_structure_t, _: &mut _| {
        s.positions = s.positions.wrapping_byte_add(1);
    };
    refused(h, odd, bad, "aligned");
    let odd = |_: &mut _, r: &mut nepal_results_t| r.forces = r.forces.wrapping_byte_add(1);
    refused(h, odd, bad, "aligned");
    // SAFETY: live handles.
    unsafe { ok(nepal_calculator_set_active_set(h.calculator, null())) };
    refused(h, |_, _| {}, bad, "active set");
}

#[test]
fn bad_lists_are_refused_with_a_reason() {
    let handles = Handles::new();
    let atoms = Atoms::new();
    let refused = |counts: &[i32], neighbors: &[i32], word: &str| {
        let list = nepal_host_list_t {
            n_local: 2,
            n_total: 8,
            positions: atoms.positions.as_ptr().cast(),
            types: atoms.types.as_ptr(),
            counts: counts.as_ptr(),
            neighbors: neighbors.as_ptr(),
            ..init()
        };
        let results: nepal_results_t = init();
        // SAFETY: live handles, arrays of the right shape.
        let status = unsafe { nepal_calculator_compute_list(handles.calculator, &list, &results) };
        assert_eq!(status, NEPAL_STATUS_INVALID_ARGUMENT, "{word}");
        assert!(last_error().contains(word), "{}", last_error());
    };
    refused(&[1, 1], &[1, 8], "atom 8");
    refused(&[1, 1], &[1, -1], "neighbour 0 of atom 1");
    refused(&[1, 1], &[0, 0], "neighbour 0 of atom 0");
    refused(&[1, -1], &[0, 0], "-1 neighbours");
    let mut list: nepal_host_list_t = init();
    list.n_local = 1;
    let results: nepal_results_t = init();
    // SAFETY: as above.
    let status = unsafe { nepal_calculator_compute_list(handles.calculator, &list, &results) };
    assert_eq!(status, NEPAL_STATUS_INVALID_ARGUMENT);
}

#[test]
fn no_atoms_are_a_system() {
    let handles = Handles::new();
    let mut places = Places::new(handles.model, 0, 0);
    let results = places.view();
    let structure = nepal_structure_t {
        periodic: [1; 3],
        ..init()
    };
    let list: nepal_host_list_t = init();
    // SAFETY: live handles, and no array is read.
    unsafe {
        ok(nepal_calculator_compute(
            handles.calculator,
            &structure,
            &results,
        ));
        assert_eq!((places.energy, places.virial), (0.0, [0.0; 9]));
        let mut virial = [1.0; 9];
        ok(nepal_calculator_contract(
            handles.calculator,
            &structure,
            null(),
            null_mut(),
            virial.as_mut_ptr(),
        ));
        assert_eq!(virial, [0.0; 9]);
        places.energy = 1.0;
        let results = places.view();
        ok(nepal_calculator_compute_list(
            handles.calculator,
            &list,
            &results,
        ));
        assert_eq!(places.energy, 0.0);
    }
}

#[test]
fn atomic_numbers_do_as_well_as_types() {
    let (handles, atoms) = (Handles::new(), Atoms::new());
    let numbers = [14i32; 8];
    let (mut of_types, mut of_numbers) = (f64::NAN, f64::NAN);
    let mut structure = atoms.view();
    // SAFETY: live handles, arrays of the right shape.
    unsafe {
        let results = nepal_results_t {
            energy: &mut of_types,
            ..init()
        };
        ok(nepal_calculator_compute(
            handles.calculator,
            &structure,
            &results,
        ));
        (structure.types, structure.atomic_numbers) = (null(), numbers.as_ptr());
        let results = nepal_results_t {
            energy: &mut of_numbers,
            ..init()
        };
        ok(nepal_calculator_compute(
            handles.calculator,
            &structure,
            &results,
        ));
    }
    assert_eq!(of_types, of_numbers);
}

#[test]
fn objects_outlive_what_they_were_made_from() {
    let mut handles = Handles::new();
    let atoms = Atoms::new();
    let mut places = Places::new(handles.model, 8, 8);
    // SAFETY: freed once; the fields are NULL afterwards, which the destructor accepts.
    unsafe {
        nepal_model_free(std::mem::replace(&mut handles.model, null_mut()));
        nepal_active_set_free(std::mem::replace(&mut handles.active_set, null_mut()));
        ok(nepal_calculator_compute(
            handles.calculator,
            &atoms.view(),
            &places.view(),
        ));
    }
    assert!(places.grade[0].is_finite());
}

#[test]
fn arrays_on_a_device_need_a_calculator_there() {
    let handles = Handles::new();
    let atoms = Atoms::new();
    let view = nepal_device_atoms_t {
        n_atoms: atoms.types.len(),
        positions: atoms.positions.as_ptr().cast(),
        types: atoms.types.as_ptr(),
        cell: atoms.cell.as_ptr().cast(),
        periodic: [1; 3],
        ..init()
    };
    let results: nepal_device_results_t = init();
    // SAFETY: arrays as told; nothing is read from them.
    let compute = |atoms: &nepal_device_atoms_t, results: &nepal_device_results_t| unsafe {
        nepal_calculator_compute_device(handles.calculator, atoms, results)
    };
    assert_eq!(compute(&view, &results), NEPAL_STATUS_UNSUPPORTED);
    // SAFETY: a live calculator.
    let finished = unsafe { nepal_calculator_finish_device(handles.calculator) };
    assert_eq!(finished, NEPAL_STATUS_UNSUPPORTED);
    assert!(
        last_error().contains("NEPAL_BACKEND_CUDA"),
        "{}",
        last_error()
    );
    let heated = nepal_device_results_t {
        temperature: 300.0,
        ..results
    };
    assert_eq!(compute(&view, &heated), NEPAL_STATUS_INVALID_ARGUMENT);
    assert!(last_error().contains("300 K"), "{}", last_error());
    for (wrong, word) in [
        (nepal_device_atoms_t { flags: 64, ..view }, "0x40"),
        (
            nepal_device_atoms_t {
                periodic: [2; 3],
                ..view
            },
            "`periodic`",
        ),
        (
            nepal_device_atoms_t {
                cell: null(),
                ..view
            },
            "`cell`",
        ),
        (
            nepal_device_atoms_t {
                types: null(),
                ..view
            },
            "`types`",
        ),
        (
            nepal_device_atoms_t {
                n_ghosts: 1,
                ..view
            },
            "1 ghosts",
        ),
        (
            nepal_device_atoms_t {
                neighbor_counts: atoms.types.as_ptr(),
                ..view
            },
            "`neighbor_strides`",
        ),
    ] {
        assert_eq!(compute(&wrong, &results), NEPAL_STATUS_INVALID_ARGUMENT);
        assert!(last_error().contains(word), "{}", last_error());
    }
}
