//! A device that is lost or full, and what belongs to another: told, and the program goes on.
#![allow(unsafe_code)]

use crate::failures::{FOLDER, assert_says, child};
use crate::resident::Arrays;
use crate::stand_in::stand_in;
use crate::support::{self, gas};
use nepal::{BackendKind, Calculator, Error, Precision, Request};
use nepal_cuda::Cuda;
use std::sync::Arc;

/// Later releases have statuses that this one has no name for.
#[test]
fn a_status_that_nobody_knows_is_one_all_the_same() {
    for (status, words) in [
        ("226", ["(226)", "start again from the last saved state"]),
        ("4711", ["an error without a name (4711)", "nvidia-smi"]),
    ] {
        let environment = [("FAKE_CUDA_LOSE", "30"), ("FAKE_CUDA_LOST_STATUS", status)];
        assert_says(&child("failures::in_a_child", &environment), &words);
        assert_says(&child("limits::arrays_on_a_device", &environment), &words);
    }
}

/// Steps with arrays on the device until something fails; the CPU then works as before.
#[test]
#[ignore = "run by a_status_that_nobody_knows_is_one_all_the_same"]
fn arrays_on_a_device() {
    let model = support::model(FOLDER);
    let structure = gas::rattled(model.elements(), [3, 2, 2], 2.9, [true; 3]);
    let mut cuda = Cuda::new(stand_in().options(), Precision::F64).unwrap();
    let mut arrays = Arrays::new(&structure, true);
    let types = vec![0i32; structure.len()];
    let mut failures = Vec::new();
    for _ in 0..20 {
        let atoms = arrays.atoms(&structure, &types);
        let results = arrays.results(false, false);
        // SAFETY: on the stand-in a device array is any array, and these are as large as said.
        let done = unsafe { cuda.compute_on_device(&model, None, &atoms, &results) };
        failures.extend(done.err());
    }
    let said = failures.iter().all(|e| matches!(e, Error::Backend(_)));
    assert!(said && failures.len() > 2, "{failures:?}");
    println!("{}", failures[0]);
    support::calculator(&model, BackendKind::default_for_build())
        .compute(&structure, Request::FORCES)
        .unwrap();
}

/// What is too large fails; what fits goes on.
#[test]
fn memory_that_runs_out_between_calls_is_told_and_given_back() {
    let text = child("limits::too_many_atoms", &[("FAKE_CUDA_MEMORY", "4000000")]);
    assert_says(&text, &["is out of memory", "MB more are needed", "DONE"]);
}

#[test]
#[ignore = "run by memory_that_runs_out_between_calls_is_told_and_given_back"]
fn too_many_atoms() {
    let model = support::model(FOLDER);
    let [few, many] = [3, 16].map(|n| gas::rattled(model.elements(), [n; 3], 2.9, [true; 3]));
    let cuda = Cuda::new(stand_in().options(), Precision::F64).unwrap();
    let mut cuda = Calculator::with_backend(Arc::clone(&model), Box::new(cuda));
    let energy = cuda.compute(&few, Request::FORCES).unwrap().energy;
    for _ in 0..2 {
        println!("{}", cuda.compute(&many, Request::FORCES).unwrap_err());
        let again = cuda.compute(&few, Request::FORCES).unwrap().energy;
        assert!((again - energy).abs() < 1e-9 * energy.abs());
    }
    println!("DONE");
}

/// A stream of another device than the calculator's.
#[test]
fn a_stream_of_another_context_is_refused() {
    use std::ffi::c_void;
    type Handle = *mut c_void;
    let model = support::model(FOLDER);
    let structure = gas::rattled(model.elements(), [3, 2, 2], 2.9, [true; 3]);
    let mut cuda = Cuda::new(stand_in().options(), Precision::F64).unwrap();
    let mut arrays = Arrays::new(&structure, true);
    let types = vec![0i32; structure.len()];
    let (mut context, mut stream): (Handle, Handle) = (std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: the library is the stand-in, whose functions have these types.
    unsafe {
        let library = libloading::Library::new(&stand_in().driver).unwrap();
        let retain = library
            .get::<unsafe extern "C" fn(*mut Handle, i32) -> i32>(b"cuDevicePrimaryCtxRetain")
            .unwrap();
        let push = library
            .get::<unsafe extern "C" fn(Handle) -> i32>(b"cuCtxPushCurrent_v2")
            .unwrap();
        let create = library
            .get::<unsafe extern "C" fn(*mut Handle, u32) -> i32>(b"cuStreamCreate")
            .unwrap();
        let pop = library
            .get::<unsafe extern "C" fn(*mut Handle) -> i32>(b"cuCtxPopCurrent_v2")
            .unwrap();
        assert_eq!(retain(&mut context, 1), 0);
        assert_eq!(push(context), 0);
        assert_eq!(create(&mut stream, 0), 0);
        assert_eq!(pop(&mut context), 0);
    }
    let mut step = |stream| {
        let atoms = nepal_cuda::DeviceAtoms {
            stream,
            ..arrays.atoms(&structure, &types)
        };
        let results = arrays.results(false, false);
        // SAFETY: as in the other tests; the stream is what is tried.
        unsafe { cuda.compute_on_device(&model, None, &atoms, &results) }
    };
    step(std::ptr::null_mut()).unwrap();
    let error = step(stream).unwrap_err().to_string();
    assert_says(&error, &["(400)", "a stream is of another context", "NULL"]);
    step(std::ptr::null_mut()).unwrap();
}
