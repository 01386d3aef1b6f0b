//! Bad arguments give a status and a text, never a crash, and change nothing.

use crate::calls::{Handles, c, example, init, last_error, ok};
use crate::symbols;
use nepal::capi::active_set::*;
use nepal::capi::build::*;
use nepal::capi::calculator::*;
use nepal::capi::compute::*;
use nepal::capi::contract::*;
use nepal::capi::device::*;
use nepal::capi::dispersion::*;
use nepal::capi::effort::*;
use nepal::capi::fragment::*;
use nepal::capi::fragment_around::*;
use nepal::capi::fragment_file::*;
use nepal::capi::grade::*;
use nepal::capi::grade_gradient::*;
use nepal::capi::learn::*;
use nepal::capi::model::*;
use nepal::capi::posterior::*;
use nepal::capi::ranks::*;
use nepal::capi::sigma::*;
use nepal::capi::status::*;
use nepal::capi::version::*;
use std::collections::BTreeSet;
use std::ffi::c_char;
use std::ptr::null_mut;

/// Memory that is no object of nepal's: zeros, and bytes of all kinds.
fn garbage() -> [[u64; 64]; 2] {
    [
        [0; 64],
        std::array::from_fn(|k| 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(k as u64 + 1)),
    ]
}

/// Calls everything with one pointer for each handle and struct, and tells the names.
///
/// # Safety
///
/// `p` is NULL, or readable for 512 bytes.
unsafe fn call_all(p: *mut u64) -> Vec<(&'static str, nepal_status_t)> {
    let (model, set, calculator) = (p.cast(), p.cast(), p.cast());
    let text = p.cast::<c_char>();
    let (mut n, mut x, mut t, mut u) = (0usize, 0.0f64, 0i32, 0u32);
    let (n, x, t, u) = match p.is_null() {
        true => (null_mut(), null_mut(), null_mut(), null_mut()),
        false => (&raw mut n, &raw mut x, &raw mut t, &raw mut u),
    };
    let mut buf = [0 as c_char; 8];
    let b = buf.as_mut_ptr();
    let (mut m, mut s, mut c) = (null_mut(), null_mut(), null_mut());
    let (m, s, c) = match p.is_null() {
        true => (null_mut(), null_mut(), null_mut()),
        false => (&raw mut m, &raw mut s, &raw mut c),
    };
    // SAFETY: NULL or readable, as promised; handles without a mark are not used.
    unsafe {
        nepal_model_free(model);
        nepal_active_set_free(set);
        nepal_posterior_free(p.cast());
        nepal_calculator_free(calculator);
        vec![
            ("nepal_model_load", nepal_model_load(text, m)),
            ("nepal_model_parse", nepal_model_parse(text, 512, text, m)),
            ("nepal_model_save", nepal_model_save(model, text)),
            ("nepal_model_n_types", nepal_model_n_types(model, n)),
            (
                "nepal_model_element",
                nepal_model_element(model, 0, b, 8, n),
            ),
            ("nepal_model_type", nepal_model_type(model, text, t)),
            ("nepal_model_kind", nepal_model_kind(model, b, 8, n)),
            ("nepal_model_cutoff", nepal_model_cutoff(model, x)),
            ("nepal_model_dim", nepal_model_dim(model, n)),
            (
                "nepal_model_projection_length",
                nepal_model_projection_length(model, n),
            ),
            (
                "nepal_active_set_load",
                nepal_active_set_load(text, model, s),
            ),
            (
                "nepal_active_set_parse",
                nepal_active_set_parse(text, 512, text, model, s),
            ),
            ("nepal_active_set_kind", nepal_active_set_kind(set, u)),
            (
                "nepal_active_set_build",
                nepal_active_set_build(model, p.cast(), 1, p.cast(), s),
            ),
            ("nepal_active_set_save", nepal_active_set_save(set, text)),
            ("nepal_active_set_rank", nepal_active_set_rank(set, 0, n)),
            (
                "nepal_active_set_report",
                nepal_active_set_report(set, b, 8, n),
            ),
            (
                "nepal_active_set_grade",
                nepal_active_set_grade(set, 0, x, 1, x, x, x),
            ),
            (
                "nepal_calculator_new",
                nepal_calculator_new(model, p.cast(), c),
            ),
            (
                "nepal_calculator_backend",
                nepal_calculator_backend(calculator, b, 8, n),
            ),
            (
                "nepal_calculator_set_active_set",
                nepal_calculator_set_active_set(calculator, set),
            ),
            (
                "nepal_calculator_set_dftd3",
                nepal_calculator_set_dftd3(calculator, p.cast(), 9.0, 6.0),
            ),
            (
                "nepal_calculator_set_posterior",
                nepal_calculator_set_posterior(calculator, p.cast()),
            ),
            (
                "nepal_posterior_load",
                nepal_posterior_load(text, model, s.cast()),
            ),
            (
                "nepal_posterior_parse",
                nepal_posterior_parse(text, 512, text, model, s.cast()),
            ),
            (
                "nepal_calculator_compute",
                nepal_calculator_compute(calculator, p.cast(), p.cast()),
            ),
            (
                "nepal_calculator_compute_list",
                nepal_calculator_compute_list(calculator, p.cast(), p.cast()),
            ),
            (
                "nepal_calculator_compute_device",
                nepal_calculator_compute_device(calculator, p.cast(), p.cast()),
            ),
            (
                "nepal_calculator_finish_device",
                nepal_calculator_finish_device(calculator),
            ),
            ("nepal_device_count", nepal_device_count(n)),
            (
                "nepal_calculator_contract",
                nepal_calculator_contract(calculator, p.cast(), x, x, x),
            ),
            (
                "nepal_calculator_contract_list",
                nepal_calculator_contract_list(calculator, p.cast(), x, x, x),
            ),
            (
                "nepal_calculator_contract_with_energy_list",
                nepal_calculator_contract_with_energy_list(calculator, p.cast(), x, x, x),
            ),
            (
                "nepal_calculator_set_grade_effort",
                nepal_calculator_set_grade_effort(calculator, 0, 0.0),
            ),
            (
                "nepal_calculator_learn",
                nepal_calculator_learn(calculator, p.cast(), 2.0, n),
            ),
            (
                "nepal_calculator_learn_list",
                nepal_calculator_learn_list(calculator, p.cast(), 2.0, n),
            ),
            (
                "nepal_calculator_set_fragment_callback",
                nepal_calculator_set_fragment_callback(calculator, p.cast(), None, p.cast()),
            ),
            (
                "nepal_calculator_fragment_around",
                nepal_calculator_fragment_around(calculator, p.cast(), 0, p.cast(), None, p.cast()),
            ),
            (
                "nepal_calculator_set_fragment_file",
                nepal_calculator_set_fragment_file(calculator, p.cast(), text),
            ),
            (
                "nepal_calculator_set_ranks",
                nepal_calculator_set_ranks(calculator, p.cast()),
            ),
            (
                "nepal_calculator_contract_sigma",
                nepal_calculator_contract_sigma(calculator, p.cast(), x, x, x),
            ),
            (
                "nepal_calculator_sigma_count",
                nepal_calculator_sigma_count(calculator, p.cast()),
            ),
            (
                "nepal_calculator_sigma_columns_list",
                nepal_calculator_sigma_columns_list(calculator, p.cast(), x),
            ),
            (
                "nepal_calculator_sigma_gradient_list",
                nepal_calculator_sigma_gradient_list(calculator, p.cast(), x, x, x),
            ),
            (
                "nepal_calculator_contract_grade",
                nepal_calculator_contract_grade(calculator, p.cast(), 3, 0.0, x, x, x, x),
            ),
            (
                "nepal_calculator_contract_grade_list",
                nepal_calculator_contract_grade_list(calculator, p.cast(), 3, 0.0, x, x, x, x),
            ),
            (
                "nepal_calculator_grade_gradient",
                nepal_calculator_grade_gradient(calculator, p.cast(), 1, 0.0, x, x),
            ),
            (
                "nepal_calculator_grade_gradient_list",
                nepal_calculator_grade_gradient_list(calculator, p.cast(), 1, 0.0, x, x),
            ),
            (
                "nepal_calculator_fragment_counts",
                nepal_calculator_fragment_counts(calculator, n, n, n),
            ),
            (
                "nepal_calculator_fragment_refusal",
                nepal_calculator_fragment_refusal(calculator, b, 8, n),
            ),
        ]
    }
}

#[test]
fn every_function_refuses_null_and_garbage() {
    // SAFETY: NULL, and memory of 512 bytes.
    let of_null = unsafe { call_all(null_mut()) };
    for (name, status) in &of_null {
        assert_eq!(
            *status,
            NEPAL_STATUS_INVALID_ARGUMENT,
            "{name}: {}",
            last_error()
        );
    }
    for memory in &mut garbage() {
        // SAFETY: as above; a zero byte ends the text.
        memory[63] = 0;
        for (name, status) in unsafe { call_all(memory.as_mut_ptr()) } {
            // A machine may have devices.
            assert!(
                status > 0 || name == "nepal_device_count",
                "{name} gave {status}"
            );
        }
    }
    let called: BTreeSet<String> = of_null
        .iter()
        .map(|(name, _)| *name)
        .chain([
            // Called above without a status, below, or in `versions`.
            "nepal_model_free",
            "nepal_active_set_free",
            "nepal_posterior_free",
            "nepal_calculator_free",
            "nepal_last_error",
            "nepal_version_number",
            "nepal_abi_version",
        ])
        .map(str::to_owned)
        .collect();
    assert_eq!(called.into_iter().collect::<Vec<_>>(), symbols::promised());
    assert_eq!(nepal_version_number(), NEPAL_VERSION_NUMBER);
    assert_eq!(nepal_abi_version(), NEPAL_ABI_VERSION);
    // SAFETY: NULL where it is refused.
    let status = unsafe { nepal_last_error(null_mut(), 0, null_mut()) };
    assert_eq!(status, NEPAL_STATUS_INVALID_ARGUMENT);
}

#[test]
fn handles_of_another_kind_and_freed_ones_are_refused() {
    let handles = Handles::new();
    let mut x = 0.0;
    // SAFETY: live handles, mixed up on purpose; the mark is read only.
    unsafe {
        for other in [handles.active_set.cast(), handles.calculator.cast()] {
            assert_eq!(
                nepal_model_cutoff(other, &mut x),
                NEPAL_STATUS_INVALID_ARGUMENT
            );
            assert!(
                last_error().contains("not a nepal_model_t"),
                "{}",
                last_error()
            );
        }
    }
}

#[test]
fn out_handles_are_null_after_a_failure() {
    let mut model = std::ptr::dangling_mut();
    // SAFETY: a text that ends with NUL, a place that exists.
    let status = unsafe { nepal_model_load(c("/no/such/nep.txt").as_ptr(), &mut model) };
    assert_eq!(status, NEPAL_STATUS_IO);
    assert!(model.is_null());
    assert!(
        last_error().contains("/no/such/nep.txt"),
        "{}",
        last_error()
    );

    let data = b"nep4 1 Si\ncutoff 5\n";
    // SAFETY: as above.
    let status = unsafe {
        nepal_model_parse(
            data.as_ptr().cast(),
            data.len(),
            c("si.txt").as_ptr(),
            &mut model,
        )
    };
    assert_eq!(status, NEPAL_STATUS_PARSE);
    assert!(model.is_null());
    assert!(last_error().starts_with("si.txt:2: "), "{}", last_error());
}

#[test]
fn models_round_trip_and_tell_about_themselves() {
    let folder = tempfile::tempdir().unwrap();
    let path = c(folder.path().join("copy.txt").to_str().unwrap());
    let handles = Handles::new();
    let text = std::fs::read(example("nep.txt").to_str().unwrap()).unwrap();
    let (mut parsed, mut n, mut needed, mut t) = (null_mut(), 0, 0, -1);
    let mut buf = [0u8; 3];
    // SAFETY: live handles, places that exist.
    unsafe {
        ok(nepal_model_save(handles.model, path.as_ptr()));
        ok(nepal_model_parse(
            text.as_ptr().cast(),
            text.len(),
            path.as_ptr(),
            &mut parsed,
        ));
        let again = c(folder.path().join("again.txt").to_str().unwrap());
        ok(nepal_model_save(parsed, again.as_ptr()));
        let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
        assert_eq!(read("copy.txt"), read("again.txt"));
        nepal_model_free(parsed);

        ok(nepal_model_n_types(handles.model, &mut n));
        assert_eq!(n, 1);
        let element = |t, buf: &mut [u8], needed: &mut usize| {
            nepal_model_element(handles.model, t, buf.as_mut_ptr().cast(), buf.len(), needed)
        };
        ok(element(0, &mut buf, &mut needed));
        assert_eq!((&buf, needed), (b"Si\0", 3));
        assert_eq!(
            element(0, &mut buf[..2], &mut needed),
            NEPAL_STATUS_BUFFER_TOO_SMALL
        );
        assert_eq!((&buf[..2], needed), (&b"S\0"[..], 3));
        for t in [-1, 1, i32::MAX] {
            assert_eq!(
                element(t, &mut buf, &mut needed),
                NEPAL_STATUS_INVALID_ARGUMENT
            );
        }
        ok(nepal_model_type(handles.model, c("Si").as_ptr(), &mut t));
        assert_eq!(t, 0);
        for symbol in ["C", "si ", ""] {
            let status = nepal_model_type(handles.model, c(symbol).as_ptr(), &mut t);
            assert_eq!(status, NEPAL_STATUS_INVALID_ARGUMENT, "{symbol}");
        }
        let mut kind = 0;
        ok(nepal_active_set_kind(handles.active_set, &mut kind));
        assert_eq!(kind, NEPAL_GRADE_RIDGE);
    }
}

#[test]
fn backends_are_numbers_that_are_checked() {
    let handles = Handles::new();
    let (plain, mixed) = (NEPAL_PRECISION_F64, NEPAL_PRECISION_MIXED);
    for (backend, threads, precision, expected) in [
        (NEPAL_BACKEND_REFERENCE, 0, plain, NEPAL_STATUS_SUCCESS),
        (NEPAL_BACKEND_REFERENCE, 1, plain, NEPAL_STATUS_SUCCESS),
        (
            NEPAL_BACKEND_REFERENCE,
            5000,
            plain,
            NEPAL_STATUS_INVALID_ARGUMENT,
        ),
        (NEPAL_BACKEND_REFERENCE, 0, mixed, NEPAL_STATUS_UNSUPPORTED),
        (NEPAL_BACKEND_REFERENCE, 0, 2, NEPAL_STATUS_INVALID_ARGUMENT),
        (17, 0, plain, NEPAL_STATUS_INVALID_ARGUMENT),
        (u32::MAX, 0, plain, NEPAL_STATUS_INVALID_ARGUMENT),
    ] {
        let options = nepal_calculator_options_t {
            backend,
            threads,
            precision,
            ..init()
        };
        let mut calculator = null_mut();
        let (mut buf, mut needed) = ([0u8; 20], 0);
        // SAFETY: live handles, places that exist.
        unsafe {
            let status = nepal_calculator_new(handles.model, &options, &mut calculator);
            assert_eq!(status, expected, "{backend}");
            assert_eq!(calculator.is_null(), expected != NEPAL_STATUS_SUCCESS);
            if !calculator.is_null() {
                let buf = &mut buf;
                ok(nepal_calculator_backend(
                    calculator,
                    buf.as_mut_ptr().cast(),
                    buf.len(),
                    &mut needed,
                ));
                assert_eq!(&buf[..needed], b"reference\0");
            }
            nepal_calculator_free(calculator);
        }
    }
}
