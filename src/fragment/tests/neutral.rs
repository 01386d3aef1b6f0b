//! Fragments around a charged defect.

use super::super::outcome::{Outcome, Refusal};
use super::super::{FragmentOptions, Origin, Shape, extract, to_frame};
use super::*;
use std::collections::BTreeMap;

/// Lead telluride without an atom of lead, and the atom nearest to its place.
fn with_a_vacancy() -> (Structure, usize) {
    let crystal = shake(rock_salt([4, 4, 4]), 0.1, 21);
    let removed = nearest(&crystal, [12.9, 12.9, 12.9]);
    let place = crystal.positions[removed];
    assert_eq!(crystal.elements[removed], element("Pb"));
    let parent = without(crystal, removed);
    let first = nearest(&parent, place);
    (parent, first)
}

#[test]
fn a_charged_vacancy_is_made_up_for_outside_of_the_core_and_that_is_told() {
    let (parent, target) = with_a_vacancy();
    let mut calculator = lead_telluride_trained();
    let charges = BTreeMap::from([(element("Pb"), 2.0), (element("Te"), -2.0)]);
    let options = FragmentOptions {
        formal_charges: Some(charges.clone()),
        ..FragmentOptions::default()
    };
    let outcome = extract(&mut calculator, &parent, target, &options).unwrap();
    let Outcome::Fragment(fragment) = outcome else {
        panic!("{outcome}");
    };
    let charge: f64 = (fragment.structure.elements.iter())
        .map(|e| charges[e])
        .sum();
    let done = &fragment.report.neutrality;
    assert_eq!((charge, done.left), (0.0, 0.0));
    assert!(!done.edits.is_empty() && done.carved != 0.0, "{done:?}");
    for edit in &done.edits {
        assert!(edit.distance > fragment.report.core_radius, "{edit:?}");
    }
    let told = fragment.report.summary();
    assert!(
        told.contains("as carved, ") && told.contains("Å from the target"),
        "{told}"
    );
    // Of several ways that one was taken whose boundary is not far out before anything is moved.
    let carved = fragment.report.stages[0].grade_max;
    assert!(carved < 5.0, "{carved}");
    // A refusal says what was done as well.
    let strict = FragmentOptions {
        shapes: vec![Shape::Lattice],
        gamma_b: 1e-3,
        max_strain: 0.0,
        f_max: 1e-6,
        ..options
    };
    let outcome = extract(&mut calculator, &parent, target, &strict).unwrap();
    let Outcome::Refused { reason } = outcome else {
        panic!("{outcome}");
    };
    assert!(matches!(reason, Refusal::Neutrality { .. }), "{reason}");
    let told = reason.to_string();
    assert!(told.contains("from the target), but "), "{told}");
}

#[test]
fn a_charge_is_left_only_where_it_is_allowed() {
    let (parent, target) = with_a_vacancy();
    let mut calculator = lead_telluride_trained();
    // What no few edits cancel.
    let options = FragmentOptions {
        formal_charges: Some(BTreeMap::from([(element("Pb"), 2.0)])),
        ..FragmentOptions::default()
    };
    let outcome = extract(&mut calculator, &parent, target, &options).unwrap();
    assert!(
        matches!(
            outcome,
            Outcome::Refused {
                reason: Refusal::Charge { .. }
            }
        ),
        "{outcome}"
    );
    let allowing = FragmentOptions {
        allow_charge: 1e3,
        ..options
    };
    let outcome = extract(&mut calculator, &parent, target, &allowing).unwrap();
    let Outcome::Fragment(fragment) = outcome else {
        panic!("{outcome}");
    };
    let lead = element("Pb");
    let count = fragment
        .structure
        .elements
        .iter()
        .filter(|e| **e == lead)
        .count();
    assert_eq!(fragment.report.neutrality.left, 2.0 * count as f64);
    assert!(fragment.report.summary().contains("CHARGED"));
    let frame = to_frame(&fragment, &Origin::default());
    assert_eq!(frame.info["fragment_charge"], (2 * count).to_string());
}
