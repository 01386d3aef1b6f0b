//! The whole way: carve, relax, minimise the grade, verify, export.

use super::super::outcome::Outcome;
use super::super::{Fragment, FragmentOptions, MaskRule, Origin, Shape, extract, to_frame};
use super::geometry::check_promises;
use super::*;

fn extracted(outcome: Outcome) -> Fragment {
    match outcome {
        Outcome::Fragment(fragment) => *fragment,
        other => panic!("no fragment: {other:?}"),
    }
}

/// A rotated lead telluride crystal with a vacancy, and the atom beside the vacancy.
fn defective(seed: u64) -> (Structure, usize) {
    let crystal = shake(rock_salt([4, 4, 4]), 0.12, seed);
    let removed = nearest(&crystal, [12.9, 12.9, 12.9]);
    let place = crystal.positions[removed];
    let parent = without(crystal, removed);
    let target = nearest(&parent, place);
    (rotate(&parent, seed), target)
}

#[test]
fn the_boundary_of_a_fragment_ends_inside_the_training_set() {
    let (parent, target) = defective(0);
    let mut calculator = lead_telluride_trained();
    // Cubes ignore the crystal: the boundary needs all the work.
    let options = FragmentOptions {
        shapes: vec![Shape::Cube],
        gamma_b: 3.0,
        ..FragmentOptions::default()
    };
    let fragment = extracted(extract(&mut calculator, &parent, target, &options).unwrap());
    check_promises(&parent, target, &fragment, &options, 8.0);
    let report = &fragment.report;
    let (first, last) = (&report.stages[0], report.verification.grade);
    assert!(report.verification.descriptor_deviation < 1e-10);
    assert!(last <= report.verification.grade_limit);
    assert!(last < first.grade_max);
    assert!(report.verification.force <= options.f_max);
    // The grades of the returned structure are those that were reported.
    let again = calculator
        .compute(&fragment.structure, crate::Request::GRADES)
        .unwrap();
    for (a, b) in again.grade.iter().zip(&fragment.grade_after) {
        assert!((a - b).abs() < 1e-6 * b.max(1.0), "{a} is not {b}");
    }
    assert_eq!(fragment.mask[fragment.target], 1.0);
    // Atoms at the edge of the core see the seam; movable atoms count less, and all are graded.
    assert!((0..fragment.len()).any(|i| fragment.core[i] && !fragment.faithful[i]));
    assert!((0..fragment.len()).all(|i| fragment.core[i] || !fragment.faithful[i]));
    assert!((0..fragment.len()).all(|i| fragment.core[i] == (fragment.mask[i] == 1.0)));
    assert!(fragment.faithful[fragment.target]);
    let strict = FragmentOptions {
        mask: MaskRule::Faithful,
        ..options.clone()
    };
    let again = extracted(extract(&mut calculator, &parent, target, &strict).unwrap());
    assert_eq!(again.structure, fragment.structure);
    for i in 0..fragment.len() {
        assert_eq!(again.mask[i], f64::from(u8::from(fragment.faithful[i])));
    }
    assert!(fragment.mask.iter().all(|&m| m > 0.0 && m <= 1.0));
    assert!(fragment.report.summary().contains("boundary grade"));
    let frame = to_frame(&fragment, &Origin::default());
    assert_eq!(frame.force_mask.as_deref(), Some(fragment.mask.as_slice()));
    assert_eq!(frame.real_column("grade").unwrap().0, fragment.grade_after);
    assert!(frame.info.contains_key("fragment_descriptor_deviation"));
}

#[test]
fn a_lattice_cell_needs_no_work() {
    let (parent, target) = defective(2);
    let mut calculator = lead_telluride_trained();
    let options = FragmentOptions {
        gamma_b: 3.0,
        ..FragmentOptions::default()
    };
    let fragment = extracted(extract(&mut calculator, &parent, target, &options).unwrap());
    check_promises(&parent, target, &fragment, &options, 8.0);
    assert_eq!(fragment.report.shape, Some(Shape::Lattice));
    assert_eq!(fragment.report.deleted, 0);
}

#[test]
fn without_an_active_set_the_boundary_is_relaxed() {
    let parent = shake(diamond([4, 4, 4]), 0.08, 12);
    let kind = BackendKind::default_for_build();
    let mut calculator = Calculator::new(silicon(), kind).unwrap();
    let options = FragmentOptions::default();
    let fragment = extracted(extract(&mut calculator, &parent, 30, &options).unwrap());
    check_promises(&parent, 30, &fragment, &options, 5.0);
    assert!(fragment.grade_after.is_empty());
    let report = &fragment.report;
    let carved = &report.stages[0];
    assert!(report.verification.energy < carved.energy);
    assert!(report.verification.force < 0.2 && carved.force_max > 0.5);
    let again = extracted(extract(&mut calculator, &parent, 30, &options).unwrap());
    assert_eq!(again.structure, fragment.structure);
}

#[test]
fn a_core_that_no_fragment_holds_is_refused_at_once() {
    let parent = shake(diamond([2, 2, 2]), 0.02, 1);
    let start = std::time::Instant::now();
    for radius in [50.0, 1000.0, 1e8] {
        let options = FragmentOptions {
            core_radius: Some(radius),
            ..FragmentOptions::default()
        };
        let error = super::super::carve(&silicon(), &parent, 0, &options).unwrap_err();
        assert!(error.to_string().contains("core radius"), "{error}");
    }
    assert!(start.elapsed().as_secs() < 10);
}
