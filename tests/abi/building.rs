//! Active sets built through C are those of the Rust API; a fragment around a named atom is that of
//! the callback.

use crate::calls::{Handles, c, init, last_error, ok};
use crate::sink::{DEFECT, Sink, crystal, sink};
use crate::support::close::assert_close;
use crate::support::root;
use nepal::capi::active_set::*;
use nepal::capi::build::*;
use nepal::capi::calculator::*;
use nepal::capi::fragment::*;
use nepal::capi::fragment_around::*;
use nepal::capi::status::*;
use nepal::capi::system::*;
use nepal::system::xyz;
use nepal::{ActiveSet, Model, Structure};
use std::ptr::{null, null_mut};

/// The training frames of the examples, owned, and as C sees them.
struct Training {
    structures: Vec<Structure>,
    types: Vec<i32>,
}

impl Training {
    fn new() -> Self {
        let frames = xyz::read_frames(root().join("examples/data/training.xyz")).unwrap();
        Self {
            structures: frames.into_iter().map(|f| f.structure).collect(),
            types: vec![0; 64],
        }
    }

    fn views(&self) -> Vec<nepal_structure_t> {
        self.structures
            .iter()
            .map(|s| nepal_structure_t {
                n_atoms: s.len(),
                positions: s.positions.as_ptr().cast(),
                types: self.types.as_ptr(),
                cell: s.cell.vectors().as_ptr().cast(),
                periodic: [1; 3],
                ..init()
            })
            .collect()
    }
}

fn build(
    handles: &Handles,
    views: &[nepal_structure_t],
    options: *const nepal_active_set_options_t,
) -> (nepal_status_t, *mut nepal_active_set_t) {
    let pointers: Vec<*const nepal_structure_t> = views.iter().map(|v| v as _).collect();
    let mut set = null_mut();
    // SAFETY: live handles, and pointers to structs that live.
    let status = unsafe {
        nepal_active_set_build(
            handles.model,
            pointers.as_ptr(),
            pointers.len(),
            options,
            &mut set,
        )
    };
    (status, set)
}

#[test]
fn a_set_is_that_of_the_examples_and_survives_a_file() {
    let handles = Handles::new();
    let training = Training::new();
    let (status, set) = build(&handles, &training.views(), null());
    ok(status);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("set.nas");
    let (mut kind, mut rank, mut needed) = (0, 0, 0);
    let mut report = [0u8; 500];
    // SAFETY: live handles, buffers of the size that is told.
    unsafe {
        ok(nepal_active_set_save(
            set,
            c(path.to_str().unwrap()).as_ptr(),
        ));
        ok(nepal_active_set_kind(set, &mut kind));
        ok(nepal_active_set_rank(set, 0, &mut rank));
        ok(nepal_active_set_report(
            set,
            report.as_mut_ptr().cast(),
            report.len(),
            &mut needed,
        ));
        assert_ne!(nepal_active_set_rank(set, 1, &mut rank), 0);
        assert!(last_error().contains("type 1"), "{}", last_error());
        nepal_active_set_free(set);
    }
    assert_eq!(kind, NEPAL_GRADE_RIDGE);
    let report = String::from_utf8(report[..needed - 1].to_vec()).unwrap();
    assert!(report.starts_with("Si: 256 environments, "), "{report}");
    let model = Model::load(root().join("examples/data/nep.txt")).unwrap();
    let stored = ActiveSet::load(root().join("examples/data/active_set.nas"), &model).unwrap();
    let written = ActiveSet::load(&path, &model).unwrap();
    assert_eq!(written.rank(0), stored.rank(0));
    assert_eq!(rank, stored.rank(0));
}

#[test]
fn grades_of_projections_are_those_of_a_computation() {
    use crate::calls::{Atoms, Places};
    use nepal::capi::compute::nepal_calculator_compute;
    let handles = Handles::new();
    let atoms = Atoms::new();
    let n = atoms.types.len();
    let mut places = Places::new(handles.model, n, n);
    let (mut gamma, mut rho, mut grade) = (vec![0.0; n], vec![0.0; n], vec![0.0; n]);
    // SAFETY: live handles, arrays of the right length.
    unsafe {
        ok(nepal_calculator_compute(
            handles.calculator,
            &atoms.view(),
            &places.view(),
        ));
        ok(nepal_active_set_grade(
            handles.active_set,
            0,
            places.projections.as_ptr(),
            n,
            gamma.as_mut_ptr(),
            rho.as_mut_ptr(),
            grade.as_mut_ptr(),
        ));
    }
    assert_close("gamma", &gamma, &places.gamma, 1e-12);
    assert_close("rho", &rho, &places.rho, 1e-12);
    assert_close("grade", &grade, &places.grade, 1e-12);
}

#[test]
fn a_bad_structure_is_named() {
    let handles = Handles::new();
    let training = Training::new();
    let mut views = training.views();
    let types = vec![3; 64];
    views[5].types = types.as_ptr();
    let (status, set) = build(&handles, &views, null());
    assert_eq!(status, NEPAL_STATUS_INVALID_ARGUMENT);
    assert!(set.is_null());
    assert!(
        last_error().starts_with("structure 5: atom 0 has type 3"),
        "{}",
        last_error()
    );
    for options in [
        nepal_active_set_options_t { kind: 4, ..init() },
        nepal_active_set_options_t {
            kind: NEPAL_GRADE_TWO_PART,
            ..init()
        },
        nepal_active_set_options_t {
            backend: 9,
            ..init()
        },
        nepal_active_set_options_t {
            tolerance: 0.5,
            ..init()
        },
        nepal_active_set_options_t {
            resolution: -1.0,
            ..init()
        },
    ] {
        let (status, _) = build(&handles, &training.views(), &options);
        assert_eq!(status, NEPAL_STATUS_INVALID_ARGUMENT, "{}", last_error());
    }
}

/// Runs `nepal_calculator_fragment_around`.
fn around(
    handles: &Handles,
    view: &nepal_structure_t,
    target: usize,
    options: &nepal_fragment_options_t,
    user: &mut Sink,
) -> nepal_status_t {
    // SAFETY: live handles; the sink outlives the call.
    unsafe {
        nepal_calculator_fragment_around(
            handles.calculator,
            view,
            target,
            options,
            Some(sink),
            (&raw mut *user).cast(),
        )
    }
}

#[test]
fn a_fragment_around_a_named_atom() {
    let handles = Handles::new();
    let atoms = crystal(4);
    let options = nepal_fragment_options_t {
        max_atoms: 120,
        ..init()
    };
    let mut user = Sink::default();
    ok(around(&handles, &atoms.view(), DEFECT, &options, &mut user));
    assert_eq!(user.seen.len(), 1);
    let seen = &user.seen[0];
    let n = seen.atoms.types.len();
    assert!(n <= 120 && n > 20, "{n}");
    assert_eq!(seen.fragment.target_tag, 1000 + DEFECT as i64);
    assert_eq!(seen.atoms.tags[seen.target], 1000 + DEFECT as i64);
    assert!(seen.fragment.grade > 2.0, "{}", seen.fragment.grade);
    assert!(seen.fragment.grades.is_null());
    assert_eq!(seen.mask[seen.target], 1.0);
    // The set has not learned the atom: asked again, its grade is the same.
    let first = seen.fragment.grade;
    ok(around(&handles, &atoms.view(), DEFECT, &options, &mut user));
    assert_eq!(user.seen[1].fragment.grade, first);

    user.answer = -3;
    assert_eq!(
        around(&handles, &atoms.view(), DEFECT, &options, &mut user),
        -3
    );
    user.answer = 0;
    let calls = user.seen.len();
    let status = around(&handles, &atoms.view(), 512, &options, &mut user);
    assert_eq!(status, NEPAL_STATUS_INVALID_ARGUMENT);
    assert!(last_error().contains("atom 512"), "{}", last_error());
    let small = nepal_fragment_options_t {
        max_atoms: 20,
        ..init()
    };
    let status = around(&handles, &atoms.view(), DEFECT, &small, &mut user);
    assert_eq!(status, NEPAL_STATUS_FAILED);
    assert!(
        last_error().contains("no fragment can be made around atom 4"),
        "{}",
        last_error()
    );
    assert_eq!(user.seen.len(), calls);
    // Without an active set there is no grade, but a fragment.
    // SAFETY: live handles.
    unsafe { ok(nepal_calculator_set_active_set(handles.calculator, null())) };
    ok(around(&handles, &atoms.view(), DEFECT, &options, &mut user));
    assert!(user.seen[calls].fragment.grade.is_nan());
}
