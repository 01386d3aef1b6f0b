//! A process that was forked computes as its parent does: threads are made anew.

use crate::calls::{Atoms, Handles, Places};
use crate::sink::crystal;
use nepal::capi::build::nepal_active_set_grade;
use nepal::capi::calculator::*;
use nepal::capi::compute::nepal_calculator_compute;

unsafe extern "C" {
    fn fork() -> i32;
    fn waitpid(process: i32, status: *mut i32, options: i32) -> i32;
    fn _exit(status: i32) -> !;
    fn alarm(seconds: u32) -> u32;
}

/// What a child's `body` gives, which ends the child if it takes longer than a minute.
fn in_child(body: impl FnOnce() -> i32) -> i32 {
    let mut status = -1;
    // SAFETY: the child calls nothing but the body and leaves without cleaning up.
    unsafe {
        let child = fork();
        assert!(child >= 0, "no process");
        if child == 0 {
            alarm(60);
            _exit(body());
        }
        assert_eq!(waitpid(child, &mut status, 0), child);
    }
    status
}

#[test]
fn a_forked_calculator_computes_and_can_be_freed() {
    let (handles, atoms) = (Handles::new(), crystal(4));
    let n = atoms.types.len();
    let mut own: *mut nepal_calculator_t = std::ptr::null_mut();
    let options = nepal_calculator_options_t {
        threads: 2,
        ..crate::calls::init()
    };
    // SAFETY: live handles, arrays of the right shape.
    unsafe {
        crate::calls::ok(nepal_calculator_new(handles.model, &options, &mut own));
    }
    let energy = |calculator, atoms: &Atoms| {
        let mut places = Places::new(handles.model, n, n);
        let mut view = places.view();
        [view.gamma, view.rho, view.grade] = [std::ptr::null_mut(); 3];
        // SAFETY: as above.
        let status = unsafe { nepal_calculator_compute(calculator, &atoms.view(), &view) };
        (status, places.energy.to_bits())
    };
    // The threads of both pools are running.
    let expected = energy(handles.calculator, &atoms);
    assert_eq!((expected.0, energy(own, &atoms)), (0, expected));
    let status = in_child(|| {
        let shared = energy(handles.calculator, &atoms) == expected;
        let pool = energy(own, &atoms) == expected;
        // A calculator that the child makes, and a child of the child.
        let fresh = Handles::new();
        let fresh = energy(fresh.calculator, &atoms) == expected;
        let next = in_child(|| i32::from(energy(own, &atoms) != expected));
        let rows = vec![0.5; 400 * 2000];
        let mut gamma = vec![0.0; 400];
        // SAFETY: more rows than are read.
        let graded = unsafe {
            nepal_active_set_grade(
                handles.active_set,
                0,
                rows.as_ptr(),
                400,
                gamma.as_mut_ptr(),
                std::ptr::null_mut(),
                std::ptr::null_mut(),
            )
        };
        // SAFETY: made above, used no more here.
        unsafe { nepal_calculator_free(own) };
        i32::from(!(shared && pool && fresh && next == 0 && graded == 0))
    });
    assert_eq!(status, 0, "a signal (14: it hung) or a wrong result");
    assert_eq!(energy(own, &atoms), expected);
    // SAFETY: made above, freed once in this process.
    unsafe { nepal_calculator_free(own) };
}
