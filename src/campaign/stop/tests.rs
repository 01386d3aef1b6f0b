//! The rules on made-up rounds.

use super::rules::judge;
use super::*;
use crate::campaign::config::StopConfig;
use crate::campaign::store::{ExploreRecord, RoundRecord, TrainingRecord};
use crate::train::Errors;

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
            loss: Vec::new(),
            warnings: Vec::new(),
        }),
        explore: vec![ExploreRecord {
            failed: None,
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

#[test]
fn the_forecast_follows_the_curves() {
    let config = StopConfig {
        goal: vec![Rule::Canary],
        canary_force: Some(0.01),
        ..StopConfig::default()
    };
    // 8/N: 0.01 at 800, 640 to go.
    let record = judge(&config, 2.0, &rounds(), Measured::default(), 1);
    assert!((record.curve.unwrap().b - 1.0).abs() < 1e-9);
    assert!((record.to_go.unwrap().value.unwrap() - 640.0).abs() < 1e-6);
    // The share of extrapolating steps: 8/N as well, and half a step of 100.
    let config = StopConfig::default();
    let record = judge(&config, 2.0, &rounds()[..3], Measured::default(), 1);
    assert!((record.to_go.unwrap().value.unwrap() - (1600.0 - 80.0)).abs() < 1e-6);
    let few = judge(&config, 2.0, &rounds()[..2], Measured::default(), 1);
    assert!(few.to_go.is_none() && few.to_go_text.contains("three"));
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
