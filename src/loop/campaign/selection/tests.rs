//! Choosing among planted candidates: duplicates, quotas, costs, brute force.

use super::choose::choose;
use super::gain::{Known, Row};
use super::pool::{Group, groups};
use super::*;
use crate::explore::generate::{Distortion, distort};
use nepal::grade::{BuildOptions, Features};
use nepal::system::Structure;
use std::collections::BTreeMap;

fn ground() -> (Arc<Model>, Arc<ActiveSet>, Vec<Frame>) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/data");
    let model = Arc::new(Model::load(format!("{folder}/nep.txt")).unwrap());
    let training = xyz::read_frames(format!("{folder}/training.xyz")).unwrap();
    let mut backend = BackendKind::Cpu.create().unwrap();
    let all = training.iter().map(|f| &f.structure);
    let features = Features::collect(&model, &mut *backend, all).unwrap();
    let (set, _) = ActiveSet::build(&model, &features, &BuildOptions::default()).unwrap();
    (model, Arc::new(set), training)
}

fn rattled(of: &Structure, rattle: f64, volume: f64, seed: u64) -> Structure {
    let distortion = Distortion {
        rattle,
        volume_strain: volume,
        ..Distortion::default()
    };
    distort(of, &distortion, seed).unwrap()
}

fn grouping(exponent: f64) -> Grouping {
    Grouping {
        whole: usize::MAX,
        fragment: usize::MAX,
        targets: 1,
        threshold: 1.5,
        exponent,
    }
}

fn rules(method: Method, max: usize) -> Rules {
    Rules {
        method,
        max,
        threshold: 1.5,
        duplicate: 0.1,
        anchors: false,
        quotas: BTreeMap::new(),
        seed: 5,
    }
}

fn all_groups(
    model: &Arc<Model>,
    set: &Arc<ActiveSet>,
    structures: &[Structure],
    scenario: impl Fn(usize) -> String,
) -> Vec<Group> {
    let mut calculator = Calculator::new(Arc::clone(model), BackendKind::Cpu).unwrap();
    let mut all = Vec::new();
    for (k, s) in structures.iter().enumerate() {
        all.extend(groups(&mut calculator, set, s, (k, &scenario(k)), &grouping(1.0)).unwrap());
    }
    all
}

#[test]
fn planted_duplicates_are_left_out_by_every_method() {
    let (model, set, training) = ground();
    let start = &training[0].structure;
    let a = rattled(start, 0.35, 0.0, 1);
    let mut shifted = a.clone();
    for r in &mut shifted.positions {
        r[0] += 2e-4;
        r[1] -= start.cell.vectors()[0][0];
    }
    shifted.positions[3][2] += 1e-3;
    let mut wrapped = a.clone();
    for c in 0..3 {
        wrapped.positions[0][c] += start.cell.vectors()[0][c];
    }
    let b = rattled(start, 0.35, 0.1, 2);
    let structures = [a, wrapped, shifted, training[1].structure.clone(), b];
    let mut frames: Vec<Frame> = structures.into_iter().map(Frame::new).collect();
    let by_sigma = SelectConfig {
        method: Method::Sigma,
        ..SelectConfig::default()
    };
    let error = select_structures(&model, &set, &frames, &training, &by_sigma, 1.5, 1).unwrap_err();
    assert!(error.to_string().contains("--posterior"), "{error}");
    for (k, frame) in frames.iter_mut().enumerate() {
        frame.set_real_column(SIGMA_COLUMN, 1, vec![0.1 * (k + 1) as f64; frame.len()]);
    }
    let (picked, _) =
        select_structures(&model, &set, &frames, &training, &by_sigma, 1.5, 1).unwrap();
    assert_eq!((picked[0].structure, picked[0].score), (4, 0.5));
    for name in Method::NAMES {
        let method: Method = name.parse().unwrap();
        let options = SelectConfig {
            method,
            max_structures: 5,
            ..SelectConfig::default()
        };
        let (picked, left) =
            select_structures(&model, &set, &frames, &training, &options, 1.5, 1).unwrap();
        let mut chosen: Vec<usize> = picked.iter().map(|p| p.structure).collect();
        chosen.sort_unstable();
        assert_eq!(
            left.get("the same structure twice"),
            Some(&1),
            "{name}: {left:?}"
        );
        assert_eq!(left.get("known ground"), Some(&1), "{name}: {left:?}");
        if method == Method::Almomd {
            // What is far above the usual energies is not viable.
            assert!(chosen.len() <= 2, "{chosen:?}");
            continue;
        }
        assert_eq!(chosen.len(), 2, "{name}: {chosen:?} {left:?}");
        assert!(chosen[0] == 0 || chosen[0] == 2, "{name}: {chosen:?}");
        assert_eq!(chosen[1], 4, "{name}");
        let why = [
            "duplicate of a chosen structure",
            "no environment in the largest volume",
        ];
        assert!(
            why.iter().any(|w| left.contains_key(*w)),
            "{name}: {left:?}"
        );
    }
}

#[test]
fn lazy_gains_choose_what_brute_force_does() {
    let (model, set, training) = ground();
    let structures: Vec<Structure> = (0..12)
        .map(|k| rattled(&training[0].structure, 0.2 + 0.02 * (k % 4) as f64, 0.05, k))
        .collect();
    let groups = all_groups(&model, &set, &structures, |_| String::new());
    let chosen = choose(&set, &groups, &[], &rules(Method::DOptimal, 4), None).unwrap();
    assert_eq!(chosen.choices.len(), 4);
    // Every gain anew, by the determinant itself: ln det(I + X Xᵀ) of all rows chosen so far.
    let mut rows: Vec<Row> = Vec::new();
    let mut total = 0.0;
    for (k, choice) in chosen.choices.iter().enumerate() {
        let gain = |g: &Group| {
            let mut with = rows.clone();
            with.extend(g.rows.iter().cloned());
            (Known::default().gain(&with) - total) / g.cost
        };
        let own = gain(&groups[choice.group]);
        assert!((own - choice.score).abs() < 1e-9 * own.abs().max(1.0));
        // Those after it were all open, and none was better.
        for later in &chosen.choices[k + 1..] {
            assert!(gain(&groups[later.group]) <= own * (1.0 + 1e-9));
        }
        rows.extend(groups[choice.group].rows.iter().cloned());
        total += own * groups[choice.group].cost;
    }
}

#[test]
fn costs_prefer_small_cells() {
    let (model, set, training) = ground();
    let small = rattled(&training[0].structure, 0.3, 0.0, 3);
    let frames: Vec<Frame> = [small.repeated([2, 2, 1]).unwrap(), small]
        .map(Frame::new)
        .into();
    let first = |exponent: f64| {
        let options = SelectConfig {
            cost_exponent: Some(exponent),
            max_structures: 1,
            ..SelectConfig::default()
        };
        select_structures(&model, &set, &frames, &[], &options, 1.5, 1)
            .unwrap()
            .0[0]
            .structure
    };
    // The larger cell holds the same environments four times: worth a little more, not four times.
    assert_eq!(first(0.0), 0);
    assert_eq!(first(1.0), 1);
}

#[test]
fn every_scenario_gets_its_anchor_and_no_more_than_its_quota() {
    let (model, set, training) = ground();
    // One scenario finds far worse environments than the other.
    let structures: Vec<Structure> = (0..6)
        .map(|k| {
            rattled(
                &training[0].structure,
                if k < 4 { 0.4 } else { 0.2 },
                0.05,
                k,
            )
        })
        .collect();
    let name = |k: usize| if k < 4 { "hot" } else { "mild" }.to_owned();
    let groups = all_groups(&model, &set, &structures, name);
    let names = |rules: &Rules| -> Vec<String> {
        let chosen = choose(&set, &groups, &[], rules, None).unwrap();
        let of = |c: &choose::Choice| groups[c.group].scenario.clone();
        chosen.choices.iter().map(of).collect()
    };
    let mut rules = rules(Method::Grade, 2);
    assert_eq!(names(&rules), ["hot", "hot"]);
    rules.anchors = true;
    assert_eq!(names(&rules), ["hot", "mild"]);
    rules.max = 6;
    rules.quotas.insert("hot".into(), 1);
    let all = names(&rules);
    assert_eq!(all.iter().filter(|n| *n == "hot").count(), 1);
    let chosen = choose(&set, &groups, &[], &rules, None).unwrap();
    assert!(
        chosen.left_out.contains_key("quota of the scenario"),
        "{:?}",
        chosen.left_out
    );
}

#[test]
fn the_farthest_point_comes_first() {
    let row = |x: [f64; 2]| Row { t: 0, x: x.into() };
    let group = |candidate: usize, x: [f64; 2]| Group {
        candidate,
        atom: 0,
        grade: 2.0,
        rows: vec![row(x)],
        features: vec![vec![0.0; 2]],
        cost: 1.0,
        scenario: String::new(),
    };
    // Among the rows of largest volume are one of each direction, not the shorter of two alike.
    let groups = [
        group(0, [5.0, 0.0]),
        group(1, [0.6, 0.5]),
        group(2, [0.0, 3.0]),
        group(3, [4.6, 0.1]),
    ];
    assert_eq!(volume::counts(&[2], &groups, None).unwrap(), [1, 0, 1, 0]);
    // Directions outside the subspace count if they reach beyond the edge.
    let outside = [group(0, [0.5, 4.0]), group(1, [0.5, 0.9])];
    assert_eq!(volume::counts(&[1], &outside, None).unwrap(), [1, 0]);
    assert_eq!(volume::counts(&[1], &outside[1..], None).unwrap(), [0]);
}
