//! Walkers and ladders.

use super::*;
use crate::campaign::{Campaign, ExploreRecord};
use crate::label::StopFlag;

const CAMPAIGN: &str = r#"
title = "ladders"
initial = [{ prototype = "sc", elements = ["Na"], lattice = 4.0 }]
[model]
first_epochs = 1
epochs = 1
nep_in = "type 1 Na\ncutoff 4 4\nn_max 1 1\nl_max 1 0 0\nneuron 1\n"
[label]
kind = "stillinger-weber"
[[explore]]
name = "a"
start = { file = "start.xyz" }
ensemble = "svr"
temperature = [300, 400]
steps = 10
replicas = 3
strain = [0.01, 0.01, 0.01, 0, 0, 0]
ladder = [{ strain = [0, 0, 0.1, 0, 0, 0], temperature = [400, 500] }]
[[explore]]
name = "b"
start = { prototype = "sc", elements = ["Na"], lattice = 4.0, rattle = 0.1 }
ensemble = "nve"
temperature = [300, 300]
steps = 10
"#;

fn done(name: &str, stage: usize, clean: bool) -> ExploreRecord {
    serde_json::from_value(serde_json::json!({
        "name": name, "steps": 10, "planned": 10, "breaks": 0, "finished": clean,
        "candidates": 0, "max_grade": 1.0, "trace": [], "stage": stage, "stages_left": 0,
    }))
    .unwrap()
}

#[test]
fn walkers_differ_and_climb_together() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("c.toml"), CAMPAIGN).unwrap();
    let frame = |a: f64| {
        format!("1\nLattice=\"{a} 0 0 0 {a} 0 0 0 {a}\" Properties=species:S:1:pos:R:3\nNa 0 0 0\n")
    };
    std::fs::write(dir.path().join("start.xyz"), frame(4.0) + &frame(5.0)).unwrap();
    let campaign = Campaign::load(&dir.path().join("c.toml"), StopFlag::default()).unwrap();
    let round = |round| Context::new(&campaign, round);
    let edges = |stages: &[usize]| -> Vec<[f64; 2]> {
        let found = runs(&round(0), stages).unwrap();
        let names: Vec<&str> = found.iter().map(|r| r.name.as_str()).collect();
        assert_eq!(names, ["a.0", "a.1", "a.2", "b"]);
        let seeds: std::collections::BTreeSet<u64> =
            found.iter().map(|r| r.options.md.seed).collect();
        assert_eq!(seeds.len(), 4);
        let cell = |r: &Run<'_>| r.start.cell.vectors()[0][0];
        let high = |r: &Run<'_>| r.start.cell.vectors()[2][2];
        let rounded = |x: f64| (1e9 * x).round() / 1e9;
        found
            .iter()
            .map(|r| [rounded(cell(r)), rounded(high(r))])
            .collect()
    };
    let b = [4.0, 4.0];
    assert_eq!(edges(&[0, 0]), [[4.04; 2], [5.05; 2], [4.04; 2], b]);
    assert_eq!(edges(&[1, 0]), [[4.0, 4.4], [5.0, 5.5], [4.0, 4.4], b]);
    let after = |clean: [bool; 4]| {
        let names = ["a.0", "a.1", "a.2", "b"];
        let records: Vec<ExploreRecord> = names
            .iter()
            .zip(clean)
            .map(|(n, c)| done(n, 0, c))
            .collect();
        let path = round(0).path("explore.json");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        write_json(&path, &records).unwrap();
        stages(&round(1)).unwrap()
    };
    // One walker that is not quiet keeps its scenario down; the top of a ladder is its top.
    assert_eq!(after([true, true, false, true]), [0, 0]);
    assert_eq!(after([true, true, true, false]), [1, 0]);
    assert_eq!(after([true; 4]), [1, 0]);
}

#[test]
fn walkers_go_on_from_the_labels_that_were_missed_by_most() {
    let dir = tempfile::tempdir().unwrap();
    let text = CAMPAIGN.replace("Na", "Si").replace(
        "ensemble = \"svr\"",
        "ensemble = \"svr\"\nway = { kind = \"anharmonic\" }",
    );
    std::fs::write(dir.path().join("c.toml"), text).unwrap();
    let campaign = Campaign::load(&dir.path().join("c.toml"), StopFlag::default()).unwrap();
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/data");
    let mut frames = nepal::system::xyz::read_frames(format!("{data}/training.xyz")).unwrap();
    frames.truncate(4);
    let froms = [("a.0", "5"), ("a.1", "7"), ("b", "9"), ("a.2", "5")];
    let model = Arc::new(Model::load(format!("{data}/nep.txt")).unwrap());
    let mut calculator = Calculator::new(model, BackendKind::Cpu).unwrap();
    for (k, (frame, (run, step))) in frames.iter_mut().zip(froms).enumerate() {
        let found = calculator.compute(&frame.structure, nepal::Request::FORCES);
        frame.forces = Some(found.unwrap().forces.clone());
        frame.info.insert("scenario".into(), run.into());
        frame.info.insert("step".into(), step.into());
        // The model of then is good at the first, and worse and worse at the others.
        for f in frame.forces.iter_mut().flatten() {
            f[0] += [0.0, 1.0, 3.0, 2.0][k];
        }
    }
    xyz_file(&campaign, "round-00/candidates.xyz", &frames);
    xyz_file(&campaign, "round-00/test.xyz", &frames[..2]);
    xyz_file(&campaign, "round-00/labelled.xyz", &frames);
    // Nothing was labelled of the walker a.2.
    xyz_file(&campaign, "round-01/labelled.xyz", &frames[..3]);
    xyz_file(&campaign, "start.xyz", &frames[3..]);
    std::fs::rename(
        campaign.directory().join("start.xyz"),
        dir.path().join("start.xyz"),
    )
    .unwrap();
    let model = campaign.directory().join("round-00/nep.txt");
    std::fs::copy(format!("{data}/nep.txt"), model).unwrap();
    let context = Context::new(&campaign, 1);
    let found = runs(&context, &[0, 0]).unwrap();
    let start = |k: usize| found[k].start.positions.clone();
    let of = |k: usize| frames[k].structure.positions.clone();
    assert_eq!([start(0), start(1), start(2)], [of(1), of(0), of(1)]);
    let record = found[0].record().resumed.unwrap();
    assert_eq!((record.run.as_str(), record.step), ("a.1", 7));
    assert!(
        (record.force_rmse - 1.0 / 3f64.sqrt()).abs() < 1e-9,
        "{record:?}"
    );
    assert_eq!(found[3].resumed, None);
    assert_eq!(resume::held_out(&context, &found[0]).unwrap().len(), 2);
    // Round 0 has none before it.
    assert_eq!(
        runs(&Context::new(&campaign, 0), &[0, 0]).unwrap()[0].resumed,
        None
    );
}

fn xyz_file(campaign: &Campaign, name: &str, frames: &[nepal::Frame]) {
    let path = campaign.directory().join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    nepal::system::xyz::write_frames(path, frames).unwrap();
}
