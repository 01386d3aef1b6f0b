//! Modes that let part of what the target sees move.

use super::super::outcome::Outcome;
use super::super::{FragmentOptions, Mode, extract};
use super::*;
use crate::backend::Request;
use crate::system::NeighborList;
use crate::system::cell::{norm, sub};

/// Vectors to the neighbours closer than a distance, by length.
fn neighbors(structure: &Structure, atom: usize, cutoff: f64) -> Vec<(Element, V)> {
    let list = NeighborList::build(&structure.cell, &structure.positions, cutoff).unwrap();
    let mut found: Vec<(Element, V)> = list
        .vectors(atom, &structure.cell, &structure.positions)
        .map(|(j, r)| (structure.elements[j], r))
        .collect();
    found.sort_by(|a, b| norm(a.1).total_cmp(&norm(b.1)));
    found
}

#[test]
fn a_looser_mode_gives_a_smaller_cell_with_the_same_grade() {
    let crystal = shake(rock_salt([4, 4, 4]), 0.1, 21);
    let removed = nearest(&crystal, [12.9, 12.9, 12.9]);
    let place = crystal.positions[removed];
    let parent = without(crystal, removed);
    let target = nearest(&parent, place);
    let mut calculator = lead_telluride_trained();
    let results = calculator
        .compute(&parent, Request::GRADES | Request::DESCRIPTORS)
        .unwrap();
    let grade = results.grade[target];
    let exact = FragmentOptions {
        gamma_b: 3.0,
        ..FragmentOptions::default()
    };
    let mut sizes = Vec::new();
    for mode in [Mode::Exact, Mode::Tolerant(0.1), Mode::Angular] {
        let options = FragmentOptions {
            mode,
            ..exact.clone()
        };
        let outcome = extract(&mut calculator, &parent, target, &options).unwrap();
        let Outcome::Fragment(fragment) = outcome else {
            panic!("{mode:?}: {outcome}");
        };
        let s = &fragment.structure;
        // What the core promises.
        let radius = fragment.report.cutoff - 1e-6;
        let here = neighbors(s, fragment.target, radius);
        let there = neighbors(&parent, target, radius);
        assert_eq!(here.len(), there.len());
        for ((a, r), (b, q)) in here.iter().zip(&there) {
            assert!(a == b && norm(sub(*r, *q)) < 1e-6, "{mode:?}: {r:?} {q:?}");
        }
        // What the mode promises of the grade.
        let found = calculator.compute(s, Request::GRADES).unwrap().grade[fragment.target];
        let allowed = mode.tolerance().unwrap_or(1e-6) * grade.max(1.0);
        assert!(
            (found - grade).abs() <= allowed,
            "{mode:?}: {found} {grade}"
        );
        assert_eq!(fragment.mask[fragment.target], 1.0);
        sizes.push(fragment.len());
    }
    let half = sizes[0] / 2;
    assert!(sizes[1] < half && sizes[2] < half, "{sizes:?}");
}

#[test]
fn where_both_cutoffs_are_one_angular_is_exact() {
    let parent = shake(diamond([4, 4, 4]), 0.08, 12);
    let kind = BackendKind::default_for_build();
    let mut calculator = Calculator::new(silicon(), kind).unwrap();
    let made = |calculator: &mut Calculator, mode| {
        let options = FragmentOptions {
            mode,
            ..FragmentOptions::default()
        };
        match extract(calculator, &parent, 30, &options).unwrap() {
            Outcome::Fragment(fragment) => fragment.structure,
            other => panic!("{other}"),
        }
    };
    let exact = made(&mut calculator, Mode::Exact);
    assert_eq!(made(&mut calculator, Mode::Angular), exact);
}

#[test]
fn modes_have_names() {
    for mode in [Mode::Exact, Mode::Angular, Mode::Tolerant(Mode::TOLERANCE)] {
        assert_eq!(mode.name().parse::<Mode>().unwrap(), mode);
    }
    assert!("loose".parse::<Mode>().is_err());
    let options = FragmentOptions {
        mode: Mode::Tolerant(-0.1),
        ..FragmentOptions::default()
    };
    assert!(options.validate().is_err());
}
