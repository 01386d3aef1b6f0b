//! A sample of a report, compared with the page that is kept beside the tests.

use super::*;
use crate::campaign::store::RoundRecord;
use nepal::element::Element;
use nepal::system::{Cell, Frame, Structure};
use serde_json::{Value, json};

/// A page without its plots, which have tests of their own, one element a line: blanks between elements
/// mean nothing.
pub(in crate::campaign) fn skeleton(page: &str) -> String {
    let mut text = String::new();
    for (k, part) in page.split("<svg").enumerate() {
        let rest = match (k, part.split_once("</svg>")) {
            (0, _) => part,
            (_, Some((_, rest))) => {
                text.push_str("<svg/>");
                rest
            }
            (_, None) => panic!("a plot without an end"),
        };
        text.push_str(rest);
    }
    text.replace(page::STYLE, "STYLE")
        .replace(gallery::VIEWER, "VIEWER")
        .replace(
            concat!("nepal ", env!("CARGO_PKG_VERSION")),
            "nepal VERSION",
        )
        .replace('\n', "")
        .replace("><", ">\n<")
}

/// Compares a page with a file of `tests/data/pages`; `NEPAL_BLESS=1` writes it.
pub(in crate::campaign) fn assert_page(name: &str, page: &str) {
    let file = std::path::Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/data/pages"
    ))
    .join(name);
    let found = skeleton(page) + "\n";
    if std::env::var_os("NEPAL_BLESS").is_some() {
        std::fs::write(&file, &found).unwrap();
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    for (number, (found, kept)) in found.lines().zip(kept.lines()).enumerate() {
        assert_eq!(found, kept, "{name}, line {}", number + 1);
    }
    assert_eq!(found.len(), kept.len(), "{name}");
}

fn errors(energy: f64, force: f64) -> Value {
    json!({
        "energy_rmse": energy, "energy_mae": null, "force_rmse": force, "force_mae": null,
        "virial_rmse": null, "virial_mae": null, "force_max": null,
        "n_energies": 10, "n_forces": 100, "n_virials": 0
    })
}

fn record<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn round(number: usize) -> RoundRecord {
    let n = number as f64;
    let run = |name: &str| {
        json!({
            "name": name, "steps": 900 + 50 * number, "planned": 1000, "breaks": 1, "finished": number > 0,
            "candidates": 3, "max_grade": 4.5 - n, "volumes": [21.0, 22.5],
            "trace": [[0, 300, 0.1, 0.5, 0.2, 0.5], [500, 310, 0.2, 4.5 - n, 0.3, 4.5 - n]],
            "series": {"τ": [0.0, 0.2], "σ (eV)": [0.01, 0.04]}
        })
    };
    RoundRecord {
        round: number,
        labels: record(json!({
            "requested": 12 + number, "accepted": 10 + number,
            "rejected": {"did not converge & <stopped>": 2}, "test": 4, "seconds": 12.5, "cores": 2
        })),
        training: Some(record(json!({
            "structures": 10 + 20 * number, "atoms": 640, "train": errors(0.002, 0.08),
            "test": errors(0.003, 0.12 - 0.03 * n), "canary": if number > 0 { errors(0.004, 0.15) } else { Value::Null },
            "loss": [[1.0, 1.0], [100.0, 0.1]], "warnings": []
        }))),
        explore: vec![record(run("melt.0")), record(run("melt.1"))],
        selection: Some(record(json!({
            "candidates": 6,
            "selected": [{
                "scenario": "melt.0", "step": 500, "temperature": 310.4, "atom": 17, "grade": 3.25,
                "score": 0.125, "atoms": 64, "form": "fragment, verified"
            }],
            "refused": {"too like another": 5}
        }))),
        stop: Some(record(json!({
            "measured": {"force_std": null, "properties": [["lattice", 1.001], ["C11", 0.0]]},
            "rules": [
                {"rule": "clean", "goal": true, "held": false, "text": "3 candidates, wanted < 1"},
                {"rule": "canary", "goal": false, "held": true, "text": "150 meV/Å"},
                {"rule": "properties", "goal": false, "held": null, "text": "nothing to measure"}
            ],
            "extrapolating": 0.5,
            "curve": {"a": 0.5, "b": 0.4, "c": 0.01},
            "to_go": {"value": 175.0, "low": 90.0, "high": null}, "to_go_text": "until canary"
        }))),
    }
}

/// A campaign of two rounds that has everything a report can show.
pub(super) fn sample() -> ReportData {
    let elements = ["Na", "Cl"].map(|e| Element::from_symbol(e).unwrap());
    let cell = Cell::orthorhombic([6.0; 3]).unwrap();
    let structure = Structure::new(cell, elements.to_vec(), vec![[0.0; 3], [3.0; 3]]).unwrap();
    let parity = |set, quantity, unit, rmse| Parity {
        set,
        quantity,
        unit,
        points: vec![(0.0, 0.1), (1.0, 0.9)],
        rmse,
    };
    let breakdown = |kind, name: &str| Breakdown {
        kind,
        name: name.into(),
        training: Missed {
            atoms: 100,
            square: 3.0,
            reference: 300.0,
        },
        new: Missed::default(),
    };
    let ledger = |round| LedgerRow {
        round,
        requested: 12,
        accepted: 10,
        rejected: 2,
        atoms: 640,
        seconds: 12.5,
        core_hours: 0.007,
        money: 1.5,
    };
    let file = |path: &str, what: &str| (path.to_owned(), what.to_owned());
    ReportData {
        title: "Salt <& \"water\">".into(),
        written: "2026-11-30 12:00 UTC".into(),
        running: None,
        reason: None,
        converged: false,
        facts: vec![
            file("method", "DFT <PBE>\ncutoff 500 eV"),
            file("seed", "7"),
        ],
        thresholds: [2.0, 10.0],
        ways: vec![file("melt", "hal"), file("never <run>", "dynamics")],
        rounds: vec![round(0), round(1)],
        seconds: vec![[1.0, 2.0, 3.0, 4.0], [2.0; 4]],
        total_seconds: 90.0,
        parity: vec![
            parity("training set", "energy", "eV/atom", 0.002),
            parity("test set", "energy", "eV/atom", 0.003),
            parity("test set", "force", "eV/Å", 0.09),
            parity("test set", "virial", "eV/atom", 0.01),
        ],
        test: Some(TestSet {
            frames: 4,
            made_of: "4 of rocksalt Na Cl (rattle 0.1)".into(),
            force_rms: Some(1.5),
            explored_rms: Some(0.75),
        }),
        breakdown: vec![
            breakdown("element", "Na"),
            breakdown("element", "Cl"),
            breakdown("scenario", "melt"),
        ],
        atoms: (1..=40)
            .map(|k| AtomError {
                gamma: 0.1 * f64::from(k),
                rho: 0.05 * f64::from(k),
                grade: 0.112 * f64::from(k),
                sigma: Some([0.01 * f64::from(k), 0.02 * f64::from(k)]),
                error: 0.008 * f64::from(k),
            })
            .collect(),
        labelled_ground: vec![(900.0, 21.0), (1100.0, 22.0)],
        methods: (
            "A potential [1] of Na, Cl".into(),
            vec!["Fan, Zheyong et al., Phys. Rev. B 104, 104309 (2021)".into()],
        ),
        validation: Some(record(json!({
            "properties": [{"name": "lattice constant", "unit": "Å", "reference": 5.64, "model": 5.65}],
            "fresh": [
                {"temperature": 300.0, "frames": 20, "errors": errors(0.001, 0.05), "force_rms": 0.8},
                {"temperature": 900.0, "frames": 20, "errors": errors(0.002, 0.07), "force_rms": 1.2}
            ],
            "rdf": {"temperature": 1200.0, "r": [1.0, 2.0], "reference": [0.0, 1.5], "model": [0.0, 1.4]},
            "held_out": {
                "all": {"frames": 7, "fragments": 2, "errors": errors(0.002, 0.06), "force_rms": 1.0},
                "scenarios": [
                    ["melt", {"frames": 7, "fragments": 2, "errors": errors(0.002, 0.06), "force_rms": 1.0}]
                ],
                "runs": [{
                    "scenario": "melt", "temperature": [300.0, 900.0], "pressure": [0.0, 0.0],
                    "steps": [700, 1000], "frames": 7, "ended": "the grade is 5.00 (limit 4)"
                }],
                "curve": [[10.0, 0.12], [30.0, 0.07]]
            },
            "crystals": [{
                "name": "rocksalt Na Cl", "labels": 12,
                "properties": [{"name": "C11", "unit": "GPa", "reference": 50.0, "model": 49.0}],
                "energies": [[21.0, -3.1, -3.2], [22.0, -3.3, -3.3]],
                "phonons": [{"q": [0.0, 0.0, 0.5], "reference": [1.0, 2.0], "model": [1.1, 2.1]}],
                "notes": ["reference, elastic constants: a label was rejected"]
            }],
            "minima": {
                "quenched": 9, "reference_quenched": 5,
                "model": [
                    {"from": "melt, dynamics, step 5", "count": 8, "energy": 0.0, "other": 0.0, "moved": 0.01, "kept": true, "frame": 1},
                    {"from": "melt <2>", "count": 1, "energy": 0.31, "other": 0.0, "moved": 1.2, "kept": false, "frame": 2}
                ],
                "reference": [
                    {"from": "minima[0] 1", "count": 1, "energy": 0.2, "other": 0.0, "moved": 0.9, "kept": false, "frame": 3}
                ]
            }
        }))),
        sources: vec![
            file("round-00/labels.json", "labels & costs"),
            file("round-00/training.json", "errors"),
            file("round-01/training.json", "errors"),
            file("round-00/labelled.xyz", "labels"),
            file("round-01/nep.txt", "the model"),
        ],
        ledger: vec![ledger(0), ledger(1), ledger(2)],
        currency: "EUR".into(),
        target_force: Some(0.05),
        gallery: vec![Picture {
            caption: "round 1, Γ = 3.25 <melt>".into(),
            file: "round-01/labelled.xyz".into(),
            frame: 2,
            structure: Frame::new(structure),
        }],
    }
}

#[test]
fn a_report_is_what_it_was() {
    let unfinished = sample();
    assert_page("report.html", &render(&unfinished).html);
    // Before the first training there is little to show; nothing is drawn of nothing.
    let mut empty = sample();
    empty.rounds.clear();
    empty.parity.clear();
    empty.ledger.clear();
    empty.gallery.clear();
    empty.validation = None;
    empty.facts.clear();
    empty.sources.clear();
    empty.test = None;
    empty.breakdown.clear();
    empty.atoms.clear();
    empty.labelled_ground.clear();
    empty.methods.0.clear();
    assert_page("report-empty.html", &render(&empty).html);
}

#[test]
fn what_is_over_has_a_final_model_and_no_forecast() {
    let mut over = sample();
    over.reason = Some("Finished: no label is left to spend.".into());
    let page = render(&over).html;
    assert!(page.contains("the final model against") && !page.contains("Stopped before its end"));
    assert!(!page.contains("orecast") && !page.contains("Labels to go"));
    let page = render(&sample()).html;
    assert!(page.contains("Labels to go until canary: 175"));
    assert!(!page.contains("the final model") && page.contains("Stopped before its end"));
    let mut going = sample();
    going.running = Some("round 1, train".into());
    assert!(render(&going).html.contains("Running: round 1, train."));
}

#[test]
fn a_target_far_below_the_curve_leaves_it_its_room() {
    let mut far = sample();
    assert!(render(&far).html.contains("Dashed: the target."));
    far.target_force = Some(1e-6);
    let page = render(&far).html;
    assert!(page.contains("The target, 0.001 meV/Å, is off the picture."));
    assert!(!page.contains("Dashed: the target."));
}

#[test]
fn every_figure_is_a_file_with_its_numbers() {
    let page = render(&sample());
    let files: std::collections::BTreeMap<_, _> = page.files().collect();
    assert_eq!(
        files.len(),
        3 * page.figures.len(),
        "two figures have one name"
    );
    for link in page.html.split("href=\"figures/").skip(1) {
        let name = link.split('"').next().unwrap();
        assert!(files.contains_key(name), "{name}");
    }
    let text = |name: &str| String::from_utf8_lossy(&files[name]).into_owned();
    assert!(
        text("parity-force-test-set.csv").starts_with(
            "series,\"reference force (eV/Å)\",\"predicted force (eV/Å)\"\n\"\",0,0.1\n"
        )
    );
    assert!(text("error-sigma.svg").starts_with("<svg "));
    for (name, plot) in &page.figures {
        let pdf = text(&format!("{name}.pdf"));
        assert!(pdf.starts_with("%PDF-") && pdf.trim_end().ends_with("%%EOF"));
        assert!(
            !pdf.contains("?"),
            "{name}: a letter that the fonts lack: {} {}",
            plot.x,
            plot.y
        );
    }
}
