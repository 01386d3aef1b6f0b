//! An audit of the small PbTe model on a few frames.

use super::*;
use crate::campaign::report::tests::assert_page;
use flate2::read::GzDecoder;
use nepal::system::xyz::FrameReader;

fn frames() -> Vec<Frame> {
    let bytes = include_bytes!("../../../../tests/data/pbte_nep_train/train.xyz.gz");
    let reader = std::io::BufReader::new(GzDecoder::new(bytes.as_slice()));
    FrameReader::new(reader, "train.xyz")
        .map(|frame| frame.unwrap())
        .collect()
}

#[test]
fn grades_see_what_was_planted() {
    let text = include_str!("../../../../tests/data/active_set_pbte/nep.txt");
    let model = Model::parse(text.as_bytes(), "nep.txt").unwrap();
    let frames = frames();
    let input = AuditInput {
        model: &model,
        training: &frames[..6],
        dump: &frames[20..22],
        committee: &[],
    };
    let found = audit(&input).unwrap();
    assert_eq!((found.training, found.dump), ([6, 1500], [2, 500]));
    let kind = |name: &str| {
        found
            .planted
            .iter()
            .position(|k| k.0.starts_with(name))
            .unwrap()
    };
    let signal = |name: &str| found.signals.iter().find(|s| s.name == name);
    let ridge = signal("ridge Γ").unwrap();
    for (name, least) in [("gas atom", 1.0), ("dimer", 1.0), ("compressed 6", 0.3)] {
        let share = ridge.detected[kind(name)].unwrap();
        assert!(share >= least, "{name}: {share}");
    }
    assert!(ridge.above_two.is_some() && ridge.deciles.len() == 10);
    assert!(
        signal("last-layer force deviation")
            .unwrap()
            .correlation
            .unwrap()
            > 0.0
    );
    // One atom has no forces to deviate, but its energy tells.
    let gas = kind("gas atom");
    assert_eq!(
        signal("last-layer force deviation").unwrap().detected[gas],
        Some(0.0)
    );
    let learnt = signal("learnt force deviation").unwrap();
    let [at_68, at_95] = learnt.coverage.unwrap();
    assert!(
        (at_68 - 0.68).abs() < 0.15 && (at_95 - 0.95).abs() < 0.08,
        "{at_68} {at_95}"
    );
    assert!(learnt.detected[kind("compressed 6")].unwrap() > 0.2);
    assert!(signal("committee force deviation").is_none());
    for element in &found.unseen_elements {
        assert_eq!(element.ridge, None, "{element:?}");
    }
    let page = found.html("Audit <1>");
    assert!(page.contains("Audit &lt;1&gt;") && page.contains("<svg"));
    assert!(found.markdown().contains("| ridge Γ |"));

    let unlabelled: Vec<Frame> = frames[20..21]
        .iter()
        .map(|f| Frame::new(f.structure.clone()))
        .collect();
    let found = audit(&AuditInput {
        dump: &unlabelled,
        ..input
    })
    .unwrap();
    assert!(found.signals.iter().all(|s| s.correlation.is_none()));
    assert!(found.notes.iter().any(|n| n.contains("without forces")));
}

#[test]
fn a_page_is_what_it_was() {
    let signal = |name: &str, above_two| SignalAudit {
        name: name.into(),
        correlation: Some(0.625),
        deciles: vec![
            Decile {
                signal: 1.0,
                mean: 0.05,
                usual: 0.06,
                most: 0.1,
            },
            Decile {
                signal: 2.0,
                mean: 0.2,
                usual: 0.25,
                most: 0.5,
            },
        ],
        threshold: 1.25,
        detected: vec![Some(0.75), None],
        above_two,
        coverage: name.contains("force").then_some([0.7, 0.94]),
        recalibrated: name.contains("learnt").then_some([0.68, 0.955]),
        factors: name.contains("force").then_some([0.95, 2.1]),
    };
    let audit = Audit {
        schema: 3,
        elements: vec!["Pb".into(), "Te".into()],
        training: [6, 1500],
        dump: [2, 500],
        members: 2,
        force_rmse: [Some(0.04), None],
        planted: vec![("gas <atom>".into(), 4), ("dimer".into(), 2)],
        signals: vec![
            signal("ridge Γ", Some(vec![Some(1.0), Some(0.5)])),
            signal("last-layer force deviation", None),
            signal("learnt force deviation", None),
            signal("committee force deviation", None),
        ],
        unseen_elements: vec![UnseenElement {
            element: "Te".into(),
            compatibility: Some(12.5),
            ridge: None,
        }],
        notes: vec!["a note with <marks> & more".into()],
    };
    assert_page("audit.html", &audit.html("Audit <1>"));
}
