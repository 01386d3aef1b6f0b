//! Sets that learn, efforts of grading, and ρ as something to differentiate.

use crate::calls::{Atoms, Handles, Places, ok};
use crate::host_list::Host;
use crate::support::close::assert_close;
use nepal::capi::compute::*;
use nepal::capi::contract::*;
use nepal::capi::effort::*;
use nepal::capi::grade::*;
use nepal::capi::grade_gradient::*;
use nepal::capi::learn::*;
use nepal::capi::model::nepal_model_cutoff;
use nepal::capi::status::*;
use std::ptr::null_mut;

fn grades(handles: &Handles, atoms: &Atoms) -> Vec<f64> {
    let mut places = Places::new(handles.model, 8, 8);
    // SAFETY: the arrays have the shapes that the header asks for.
    unsafe {
        ok(nepal_calculator_compute(
            handles.calculator,
            &atoms.view(),
            &places.view(),
        ));
    }
    places.grade.clone()
}

#[test]
fn what_was_learned_is_not_novel_any_more() {
    let atoms = Atoms::new();
    for host in [false, true] {
        let handles = Handles::new();
        let before = grades(&handles, &atoms);
        let novel = before.iter().filter(|&&g| g > 2.0).count();
        assert!(novel > 0, "{before:?}");
        let learn = || {
            let mut learned = usize::MAX;
            let mut cutoff = 0.0;
            // SAFETY: live handles, and a place for one number.
            unsafe {
                ok(nepal_model_cutoff(handles.model, &mut cutoff));
                let calculator = handles.calculator;
                ok(if host {
                    let list = Host::new(&atoms, cutoff, 1.0);
                    nepal_calculator_learn_list(calculator, &list.view(), 2.0, &mut learned)
                } else {
                    nepal_calculator_learn(calculator, &atoms.view(), 2.0, &mut learned)
                });
            }
            learned
        };
        let learned = learn();
        assert!((1..=novel).contains(&learned), "{learned} of {novel}");
        assert!(grades(&handles, &atoms).iter().all(|&g| g <= 2.0));
        assert_eq!(learn(), 0);
        // SAFETY: refused before anything is written.
        let status =
            unsafe { nepal_calculator_learn(handles.calculator, &atoms.view(), 0.5, &mut 0) };
        assert_eq!(status, NEPAL_STATUS_INVALID_ARGUMENT);
        // Another calculator's set is as it was.
        assert_close("grades", &grades(&Handles::new(), &atoms), &before, 1e-12);
    }
}

#[test]
fn less_effort_reports_the_same_atoms() {
    let (handles, atoms) = (Handles::new(), Atoms::new());
    let full = grades(&handles, &atoms);
    let set = |effort, threshold| {
        // SAFETY: a live handle.
        unsafe { nepal_calculator_set_grade_effort(handles.calculator, effort, threshold) }
    };
    for effort in [NEPAL_EFFORT_ABOVE, NEPAL_EFFORT_LIKELY] {
        ok(set(effort, 2.0));
        for (full, found) in full.iter().zip(grades(&handles, &atoms)) {
            assert_eq!(*full > 2.0, found > 2.0, "{full} {found}");
            assert!(*full <= 2.0 || (full - found).abs() < 1e-9 * full);
        }
    }
    ok(set(NEPAL_EFFORT_FULL, 0.0));
    assert_close("grades", &grades(&handles, &atoms), &full, 1e-12);
    for (effort, threshold) in [(3, 2.0), (1, 0.5), (2, f64::NAN), (0, 2.0)] {
        assert_eq!(set(effort, threshold), NEPAL_STATUS_INVALID_ARGUMENT);
    }
}

#[test]
fn the_gradient_of_the_residual_contracts_to_forces() {
    let (handles, atoms) = (Handles::new(), Atoms::new());
    let dim = Places::new(handles.model, 8, 8).descriptors.len() / 8;
    let measured = |atoms: &Atoms| {
        let (mut values, mut gradient) = (vec![f64::NAN; 8], vec![f64::NAN; 8 * dim]);
        // SAFETY: arrays of the right shape.
        unsafe {
            ok(nepal_calculator_grade_gradient(
                handles.calculator,
                &atoms.view(),
                NEPAL_MEASURE_RHO,
                0.0,
                values.as_mut_ptr(),
                gradient.as_mut_ptr(),
            ));
        }
        (values.iter().sum::<f64>(), gradient)
    };
    let (sum, gradient) = measured(&atoms);
    let rho = {
        let mut places = Places::new(handles.model, 8, 8);
        // SAFETY: as above.
        unsafe {
            ok(nepal_calculator_compute(
                handles.calculator,
                &atoms.view(),
                &places.view(),
            ));
        }
        places.rho.iter().sum::<f64>()
    };
    assert_close("ρ", &[sum], &[rho], 1e-9);
    let mut forces = [[f64::NAN; 3]; 8];
    // SAFETY: arrays of the right shape; the virial is not wanted.
    unsafe {
        ok(nepal_calculator_contract(
            handles.calculator,
            &atoms.view(),
            gradient.as_ptr(),
            forces.as_mut_ptr().cast(),
            null_mut(),
        ));
    }
    let h = 1e-4;
    for (atom, axis) in [(4, 0), (1, 2)] {
        let moved = |shift: f64| {
            let mut atoms = Atoms::new();
            atoms.positions[atom][axis] += shift;
            measured(&atoms).0
        };
        let difference = -(moved(h) - moved(-h)) / (2.0 * h);
        assert_close("force", &[forces[atom][axis]], &[difference], 1e-4);
    }
}
