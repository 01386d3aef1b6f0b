//! Many targets of one frame: order, coverage, learning, counts.

use super::super::outcome::Outcome;
use super::super::{FragmentOptions, Origin, Tally, Target, harvest, to_frame, whole_to_frame};
use super::*;
use crate::backend::Request;
use crate::system::frame::ColumnData;

/// A hot crystal with two atoms far off their places, next to each other, and one far away.
fn disturbed() -> Structure {
    let mut parent = shake(diamond([5, 5, 5]), 0.05, 31);
    let at = [
        nearest(&parent, [5.4, 5.4, 5.4]),
        nearest(&parent, [18.9, 18.9, 18.9]),
    ];
    for (k, atom) in at.into_iter().enumerate() {
        parent.positions[atom][0] += 0.7 + 0.1 * k as f64;
    }
    parent
}

fn calculator() -> Calculator {
    graded(silicon(), &diamond([2, 2, 2]), 0.08)
}

fn run(threshold: f64, max: usize) -> (Vec<(Target, Outcome)>, Tally, Calculator) {
    let mut calculator = calculator();
    let mut seen = Vec::new();
    let options = FragmentOptions {
        optimise: false,
        gamma_b: 5.0,
        ..FragmentOptions::default()
    };
    let tally = harvest(
        &mut calculator,
        &disturbed(),
        threshold,
        max,
        &options,
        |target, outcome| {
            seen.push((*target, outcome.clone()));
            Ok(())
        },
    )
    .unwrap();
    (seen, tally, calculator)
}

#[test]
fn every_selected_atom_is_accounted_for() {
    let parent = disturbed();
    let mut plain = calculator();
    let grades = plain
        .compute(&parent, Request::GRADES)
        .unwrap()
        .grade
        .clone();
    let threshold = 2.0;
    let selected = grades.iter().filter(|g| **g > threshold).count();
    let (seen, tally, mut learned) = run(threshold, 100);
    assert!(
        selected >= 2 && tally.fragments >= 2,
        "{selected} {tally:?}"
    );
    let all = tally.fragments + tally.whole + tally.covered + tally.n_refused() + tally.left;
    assert_eq!(all, selected, "{tally:?}");
    assert!(tally.covered > 0, "{tally:?}");
    assert_eq!(seen.len(), tally.fragments + tally.n_refused());
    assert!(seen.windows(2).all(|w| w[0].0.grade >= w[1].0.grade));
    for (target, _) in &seen {
        assert_eq!(target.grade, grades[target.atom]);
    }
    // What was cut is known now, the other atoms' grades did not rise beyond rounding.
    let after = learned
        .compute(&parent, Request::GRADES)
        .unwrap()
        .grade
        .clone();
    for (target, outcome) in &seen {
        if matches!(outcome, Outcome::Fragment(_)) {
            assert!(after[target.atom] <= 1.01, "{}", after[target.atom]);
        }
    }
    // The limit counts tries; what it leaves out is counted.
    let (few, cut, _) = run(threshold, 1);
    assert_eq!((few.len(), cut.fragments), (1, 1));
    assert!(cut.left > 0);
    // The first fragment does not depend on what comes after.
    match (&few[0].1, &seen[0].1) {
        (Outcome::Fragment(a), Outcome::Fragment(b)) => assert_eq!(a.structure, b.structure),
        other => panic!("{other:?}"),
    }
}

#[test]
fn files_tell_where_a_fragment_comes_from() {
    let (seen, _, _) = run(10.0, 1);
    let (target, outcome) = &seen[0];
    let Outcome::Fragment(fragment) = outcome else {
        panic!("{outcome}");
    };
    let origin = Origin {
        parent_frame: Some(3),
        parent_hash: Some("beef".into()),
        step: Some(4200),
        grade: Some(target.grade),
    };
    let frame = to_frame(fragment, &origin);
    let key = |name: &str| frame.info.get(name).map(String::as_str);
    assert_eq!(key("parent_frame"), Some("3"));
    assert_eq!(key("parent_atom"), Some(target.atom.to_string().as_str()));
    assert_eq!(key("parent_hash"), Some("beef"));
    assert_eq!(key("step"), Some("4200"));
    assert_eq!(key("fragment_mode"), Some("exact"));
    assert_eq!(key("fragment_seed"), Some("0"));
    let number = |name: &str| key(name).unwrap().parse::<f64>().unwrap();
    assert_eq!(number("target_grade"), target.grade);
    assert!((number("target_grade_after") / target.grade - 1.0).abs() < 1e-6);
    assert!(number("grade_before") >= number("grade_after"));
    assert!(number("fragment_descriptor_deviation") < 1e-10);
    let at: usize = key("target").unwrap().parse().unwrap();
    let columns: Vec<&str> = frame.columns.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(columns, ["core", "grade", "grade_carved", "parent_id"]);
    match &frame.columns[0].data {
        ColumnData::Integer { width: 1, values } => assert_eq!(values[at], 1),
        other => panic!("{other:?}"),
    }
    // The file has the mask under its short name, and reading gives the frame back.
    let text = crate::system::xyz::to_text(&frame);
    assert!(text.contains(":mask:R:1:core:I:1"));
    let back = FrameReader::new(text.as_bytes(), "fragment.xyz")
        .next()
        .unwrap()
        .unwrap();
    assert_eq!(back, frame);
    let whole = whole_to_frame(&fragment.structure, 2, &origin);
    assert_eq!(whole.info["parent_atom"], "2");
    assert_eq!(whole.info["target"], "2");
    assert_eq!(whole.columns[0].name, "core");
}
