//! Whatever the parent and the options: what is handed out keeps every promise, twice the same.

use super::super::outcome::Outcome;
use super::super::{FragmentOptions, Mode, extract};
use super::geometry::check_promises;
use super::*;
use crate::backend::Request;
use crate::system::cell::norm;

/// A parent of some shape: tilted, thin, tiny, periodic or not, with holes or atoms off their
/// places.
fn parent(seed: u64) -> Structure {
    let mut random = SplitMix::new(seed, 40);
    let mut pick = |n: usize| (random.uniform() * n as f64) as usize;
    let repeat = match pick(4) {
        0 => [1 + pick(2), 1 + pick(3), 4],
        1 => [2, 4 + pick(2), 4],
        _ => [3 + pick(3), 4, 4 + pick(2)],
    };
    let periodic: [bool; 3] = std::array::from_fn(|_| pick(10) < 7);
    let rms = [0.03, 0.08, 0.2][pick(3)];
    let mut strain = [[0.0; 3]; 3];
    for (a, b) in [(0, 1), (0, 2), (1, 2)] {
        strain[a][b] = 0.3 * (pick(5) as f64 - 2.0);
    }
    let mut s = shake(diamond(repeat), rms, seed);
    for _ in 0..pick(4) {
        let gone = pick(s.len());
        s = without(s, gone);
    }
    if pick(2) == 0 {
        let moved = pick(s.len());
        s.positions[moved][pick(3)] += 0.5;
    }
    let tilt = pick(2) == 0;
    let s = if tilt {
        s.strained(&strain).unwrap()
    } else {
        s
    };
    let s = rotate(&s, seed);
    Structure {
        cell: Cell::new(*s.cell.vectors(), periodic).unwrap(),
        ..s
    }
}

#[test]
fn every_fragment_keeps_its_promises() {
    let mut calculator = graded(silicon(), &diamond([2, 2, 2]), 0.1);
    let mut made = 0;
    let mut refused = 0;
    for seed in 0..24u64 {
        let parent = parent(seed);
        let mut random = SplitMix::new(seed, 41);
        let target = (random.uniform() * parent.len() as f64) as usize;
        let options = FragmentOptions {
            mode: [Mode::Exact, Mode::Tolerant(0.1)][(seed % 2) as usize],
            gamma_b: 4.0,
            cells: 2,
            orientations: 1,
            grade_steps: 30,
            relax_steps: 30,
            seed,
            ..FragmentOptions::default()
        };
        let outcome = extract(&mut calculator, &parent, target, &options).unwrap();
        let Outcome::Fragment(fragment) = &outcome else {
            refused += usize::from(matches!(outcome, Outcome::Refused { .. }));
            continue;
        };
        made += 1;
        let report = &fragment.report;
        check_promises(&parent, target, fragment, &options, report.cutoff);
        let results = calculator
            .compute(&fragment.structure, Request::GRADES | Request::FORCES)
            .unwrap();
        for i in 0..fragment.len() {
            if fragment.core[i] {
                continue;
            }
            assert!(results.grade[i] <= report.verification.grade_limit * (1.0 + 1e-6));
            assert!(norm(results.forces[i]) <= options.f_max * (1.0 + 1e-6));
        }
        let grade = results.grade[fragment.target];
        let there = calculator.compute(&parent, Request::GRADES).unwrap().grade[target];
        let limit = options.mode.tolerance().unwrap_or(1e-6) * there.max(1.0);
        assert!(
            (grade - there).abs() <= limit,
            "seed {seed}: {grade} {there}"
        );
        assert_eq!(fragment.mask[fragment.target], 1.0);
        if made % 4 == 1 {
            match extract(&mut calculator, &parent, target, &options).unwrap() {
                Outcome::Fragment(again) => {
                    assert_eq!(again.structure, fragment.structure);
                    assert_eq!(again.mask, fragment.mask);
                }
                other => panic!("seed {seed}: {other}"),
            }
        }
    }
    assert!(made >= 6, "{made} fragments, {refused} refusals of 24");
}
