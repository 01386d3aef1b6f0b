//! The rules on made-up rounds.

use super::rules::judge;
use super::*;
use crate::campaign::config::StopConfig;
use crate::campaign::store::{
    ExploreRecord, RoundRecord, SelectedRecord, SelectionRecord, TrainingRecord,
};
use nepal_train::Errors;

fn errors(force: f64) -> Errors {
    Errors {
        force_rmse: Some(force),
        ..Errors::default()
    }
}

fn round(
    number: usize,
    structures: usize,
    test: f64,
    canary: Option<f64>,
    above: usize,
) -> RoundRecord {
    let trace = (0..100)
        .map(|k| {
            [
                k as f64,
                300.0,
                0.0,
                1.0,
                0.0,
                if k < above { 3.0 } else { 1.0 },
            ]
        })
        .collect();
    RoundRecord {
        round: number,
        labels: Default::default(),
        training: Some(TrainingRecord {
            structures,
            atoms: structures,
            train: errors(test),
            test: Some(errors(test)),
            canary: canary.map(errors),
            unseen_grade: None,
            loss: Vec::new(),
            warnings: Vec::new(),
        }),
        explore: vec![ExploreRecord {
            failed: None,
            resumed: None,
            composition: Vec::new(),
            max_sigma: None,
            name: "run".into(),
            steps: 1000,
            planned: 1000,
            breaks: 0,
            finished: true,
            candidates: usize::from(above > 0),
            max_grade: 3.0,
            stage: 0,
            stages_left: 0,
            trace,
            volumes: Vec::new(),
            series: Default::default(),
        }],
        selection: None,
        stop: None,
    }
}

fn rounds() -> Vec<RoundRecord> {
    vec![
        round(0, 20, 0.4, None, 40),
        round(1, 40, 0.2, Some(0.9), 20),
        round(2, 80, 0.1, Some(0.12), 10),
        round(3, 160, 0.05, Some(0.08), 0),
    ]
}

fn held(record: &StopRecord, rule: Rule) -> Option<bool> {
    record.rules.iter().find(|r| r.rule == rule).unwrap().held
}

#[test]
fn each_rule_is_judged_and_any_is_the_goal() {
    let mut config = StopConfig {
        canary_force: Some(0.13),
        canary_rounds: 2,
        force_std: Some(0.2),
        ..StopConfig::default()
    };
    let measured = Measured {
        force_std: Some(0.3),
        properties: Vec::new(),
    };
    let all = rounds();
    let record = judge(&config, 2.0, &all, measured.clone(), 1);
    assert_eq!(held(&record, Rule::Clean), Some(true));
    assert_eq!(held(&record, Rule::Canary), Some(true));
    assert_eq!(held(&record, Rule::Uncertainty), Some(false));
    // The error halves with twice the labels.
    assert_eq!(held(&record, Rule::LearningCurve), Some(false));
    assert_eq!(held(&record, Rule::Properties), None);
    assert_eq!(record.extrapolating, 0.0);
    assert!(
        record
            .reached()
            .unwrap()
            .starts_with("nothing extrapolates")
    );
    config.goal = vec![Rule::Canary, Rule::Uncertainty];
    assert!(
        judge(&config, 2.0, &all, measured.clone(), 1)
            .reached()
            .is_none()
    );
    config.force_std = Some(0.3);
    assert!(
        judge(&config, 2.0, &all, measured.clone(), 1)
            .reached()
            .is_some()
    );
    config.goal = Vec::new();
    assert!(judge(&config, 2.0, &all, measured, 1).reached().is_none());
    // Two good rounds in a row, not one.
    let early = judge(&config, 2.0, &all[..3], Measured::default(), 1);
    assert_eq!(held(&early, Rule::Canary), Some(false));
    assert_eq!(held(&early, Rule::Clean), Some(false));
    assert!((early.extrapolating - 0.1).abs() < 1e-12);
}

/// What rounds of the example `nacl-tblite` recorded: structures trained on, largest grade, structures chosen.
const NACL: [(usize, f64, usize); 19] = [
    (18, 227.03, 8),
    (26, 905.28, 8),
    (34, 220.48, 8),
    (42, 131.89, 8),
    (50, 45.94, 6),
    (56, 48.22, 8),
    (64, 21.06, 8),
    (72, 25.15, 8),
    (80, 19.74, 4),
    (84, 8.55, 6),
    (90, 11.35, 7),
    (97, 9.40, 4),
    (101, 6.94, 5),
    (106, 7.16, 3),
    (109, 9.10, 3),
    (112, 6.47, 3),
    (115, 7.23, 3),
    (118, 7.26, 3),
    (121, 3.56, 0),
];

fn recorded(table: &[(usize, f64, usize)]) -> Vec<RoundRecord> {
    let chosen = SelectedRecord {
        scenario: "run".into(),
        step: 0,
        temperature: 300.0,
        atom: 0,
        grade: 1.0,
        score: 0.0,
        atoms: 1,
        form: "whole cell".into(),
    };
    let rows = table.iter().enumerate();
    rows.map(|(number, &(structures, worst, count))| {
        let mut record = round(number, structures, 0.1, None, 1);
        record.explore[0].max_grade = worst;
        record.selection = Some(SelectionRecord {
            selected: vec![chosen.clone(); count],
            ..SelectionRecord::default()
        });
        record
    })
    .collect()
}

#[test]
fn forecasts_of_a_real_campaign_hold_what_came() {
    let config = StopConfig::default();
    let rounds = recorded(&NACL);
    let (mut told, mut held) = (0, 0);
    for n in 1..=rounds.len() {
        let record = judge(&config, 4.0, &rounds[..n], Measured::default(), 1);
        let Some(range) = record.to_go else {
            assert!(n <= 6, "after round {}: {}", n - 1, record.to_go_text);
            continue;
        };
        let left = (NACL[18].0 - NACL[n - 1].0) as f64;
        eprintln!("round {}: {left} to go, {range:?}", n - 1);
        told += 1;
        held += usize::from((range.low..=range.high).contains(&Some(left)));
        assert!(range.high < Some(10.0 * left.max(5.0)), "{range:?}");
    }
    // Two of three would do for what the ranges promise.
    assert!(told >= 13 && 4 * held >= 3 * told, "{held} of {told}");
    // Sodium by CP2K: the runs still break off, and the grade at which they do tells nothing.
    let sodium = recorded(&[
        (20, 13.46, 6),
        (26, 20.36, 6),
        (32, 17.15, 6),
        (38, 19.54, 6),
        (44, 12.77, 6),
        (50, 15.67, 6),
    ]);
    let record = judge(&config, 2.0, &sodium, Measured::default(), 1);
    assert!(record.to_go.is_none() && record.to_go_text.contains("fall"));
}

#[test]
fn the_forecast_is_of_the_goals() {
    let mut rounds: Vec<RoundRecord> = (0..7)
        .map(|n| {
            // New labels: 8 over the structures before, exactly.
            let before = (n > 0).then(|| 8.0 / (20 << (n - 1)) as f64);
            round(n, 20 << n, 0.1, before, 1)
        })
        .collect();
    for r in &mut rounds {
        r.selection = recorded(&[(1, 1.0, 10)]).remove(0).selection;
    }
    let config = StopConfig {
        goal: vec![Rule::Canary],
        canary_force: Some(0.01),
        canary_rounds: 1,
        ..StopConfig::default()
    };
    // 8/N is 0.01 at 800; the last label was predicted by a model of 640 structures, and ten are added a round.
    let record = judge(&config, 2.0, &rounds, Measured::default(), 1);
    assert_eq!(record.to_go.unwrap().value, Some(170.0));
    let few = judge(&config, 2.0, &rounds[..4], Measured::default(), 1);
    assert!(few.to_go.is_none() && few.to_go_text.contains("needs 5 rounds"));
    // What is reached needs nothing more, after however few rounds.
    let easy = StopConfig {
        canary_force: Some(0.5),
        ..config.clone()
    };
    let record = judge(&easy, 2.0, &rounds[..4], Measured::default(), 1);
    assert_eq!(record.to_go.unwrap().high, Some(0.0));
    // A ladder that is still to be climbed has no forecast.
    rounds[6].explore[0].stages_left = 1;
    let record = judge(&StopConfig::default(), 2.0, &rounds, Measured::default(), 1);
    assert!(record.to_go_text.contains("ladder"));
}

#[test]
fn properties_must_have_settled() {
    let config = StopConfig {
        property_rounds: 2,
        property_tolerance: 0.02,
        ..StopConfig::default()
    };
    let values = |x: f64| Measured {
        force_std: None,
        properties: vec![("lattice".into(), 1.0), ("C11".into(), x)],
    };
    let mut all = rounds();
    for (k, x) in [150.0, 100.0, 101.0].into_iter().enumerate() {
        let record = judge(&config, 2.0, &all[..=k], values(x), 1);
        assert_eq!(held(&record, Rule::Properties), Some(false), "{k}");
        all[k].stop = Some(record);
    }
    let last = judge(&config, 2.0, &all, values(100.5), 1);
    assert_eq!(held(&last, Rule::Properties), Some(true));
    let jump = judge(&config, 2.0, &all, values(105.0), 1);
    assert_eq!(held(&jump, Rule::Properties), Some(false));
    let broken = judge(&config, 2.0, &all, values(f64::NAN), 1);
    assert_eq!(held(&broken, Rule::Properties), Some(false));
}
