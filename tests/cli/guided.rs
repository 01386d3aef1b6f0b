//! Campaigns whose scenarios have a way, killed at odd moments and continued.

use crate::campaign::{BUILT_IN, CAMPAIGN, bytes};
use crate::{fail, program, succeed};
use std::time::Duration;
use tempfile::TempDir;

/// The test campaign, each replaced once.
fn campaign(replaced: &[(&str, &str)]) -> String {
    let mut text = CAMPAIGN.replace("@LABEL@", BUILT_IN);
    for (old, new) in replaced {
        assert!(text.contains(old), "{old}");
        text = text.replacen(old, new, 1);
    }
    text
}

/// Runs a campaign to its end, and again with kills in between: these files and the last model come out the same.
fn undisturbed_and_killed(text: &str, files: &[&str]) -> TempDir {
    let undisturbed = tempfile::tempdir().unwrap();
    let killed = tempfile::tempdir().unwrap();
    for dir in [&undisturbed, &killed] {
        std::fs::write(dir.path().join("c.toml"), text).unwrap();
    }
    succeed(undisturbed.path(), &["run", "c.toml"]);
    let (mut patience, mut kills) = (15, 0);
    loop {
        let mut child = program()
            .current_dir(killed.path())
            .args(["--output-mode", "quiet", "run", "c.toml"])
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(patience));
        if let Some(status) = child.try_wait().unwrap() {
            assert!(matches!(status.code(), Some(0 | 3)), "{status}");
            break;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        (patience, kills) = (patience * 4 / 3, kills + 1);
    }
    assert!(kills > 2, "{kills} kills");
    let always = [
        "round-00/candidates.xyz",
        "round-00/explore.json",
        "final/nep.txt",
    ];
    for file in files.iter().chain(&always) {
        let same = bytes(undisturbed.path(), file) == bytes(killed.path(), file);
        assert!(same, "{file} differs");
    }
    undisturbed
}

fn json(dir: &TempDir, file: &str) -> serde_json::Value {
    serde_json::from_slice(&bytes(dir.path(), file)).unwrap()
}

fn last(run: &serde_json::Value, name: &str) -> f64 {
    let series = run["series"][name].as_array();
    series.and_then(|s| s.last()?.as_f64()).unwrap()
}

/// Hyperactive learning: the bias has the posterior of its round.
#[test]
fn hyperactive_learning_is_killed_and_goes_on() {
    let text = campaign(&[
        (
            "steps = 300",
            "steps = 300\nreplicas = 2\nmoves = { every = 20, volume = 1 }\n\
             way = { kind = \"hal\", tau = [0.2, 0.4], history = 20, stop = \"end\" }",
        ),
        (
            "max_structures = 3",
            "max_structures = 3\nmethod = \"sigma\"",
        ),
    ]);
    let dir = undisturbed_and_killed(&text, &["round-00/posterior.json", "round-01/to-label.xyz"]);
    let runs = json(&dir, "round-00/explore.json");
    assert_eq!(runs.as_array().unwrap().len(), 2);
    let run = &runs[0];
    assert!(last(run, "tau") > 0.0 && last(run, "sigma") > 0.0 && last(run, "largest f") > 0.0);
    let pushed = last(run, "bias over force");
    assert!(pushed > 0.02 && pushed < 1.0, "{pushed}");
    assert!(last(run, "cell moves taken") > 0.0);
    // What is not known by deviations is labelled, most uncertain first.
    let chosen = json(&dir, "round-00/selection.json");
    let scores: Vec<f64> = chosen["selected"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["score"].as_f64().unwrap())
        .collect();
    assert!(
        !scores.is_empty() && scores.is_sorted_by(|a, b| a >= b),
        "{chosen}"
    );
}

/// A committee is trained in each round, each member from itself, and both ways go by it.
#[test]
fn a_committee_guides_and_is_killed_and_goes_on() {
    let text = campaign(&[
        ("final_epochs = 20", "final_epochs = 20\ncommittee = 3"),
        ("break = 8.0", "break = 80.0"),
        (
            "steps = 300",
            "steps = 300\nway = { kind = \"hal\", signal = \"committee\", history = 20, stop = \"end\" }\n\n\
             [[explore]]\nname = \"viable\"\n\
             start = { prototype = \"diamond\", elements = [\"Si\"], lattice = 5.43, rattle = 0.05 }\n\
             ensemble = \"langevin\"\ntemperature = [300, 900]\ntimestep = 0.002\nsteps = 600\n\
             way = { kind = \"anharmonic\", signal = \"committee\" }",
        ),
    ]);
    let members = [
        "round-00/nep_1.txt",
        "round-00/nep_2.txt",
        "round-01/nep_1.txt",
    ];
    let dir = undisturbed_and_killed(&text, &members);
    let [first, second, later] = members.map(|file| bytes(dir.path(), file));
    let own = bytes(dir.path(), "round-00/nep.txt");
    assert!(first != second && first != own && second != own && first != later);
    assert!(!dir.path().join("work/round-00/nep_3.txt").exists());
    let runs = json(&dir, "round-00/explore.json");
    let [hal, viable] = [&runs[0], &runs[1]];
    let [tau, sigma] = ["tau", "sigma"].map(|name| last(hal, name));
    assert!(tau > 0.0 && sigma > 0.0, "{tau} {sigma} {hal}");
    let pushed = last(hal, "bias over force");
    assert!(pushed > 0.02 && pushed < 1.0, "{pushed}");
    assert!(last(viable, "largest σ (eV/Å)") > 0.0);
    // No posterior was asked for.
    assert!(!dir.path().join("work/round-00/posterior.json").exists());

    // The same from the command line, and what is missing or wrong in words.
    let model = |k: &str| format!("work/round-00/nep{k}.txt");
    let arguments = format!(
        "explore --model {} --active-set work/round-00/active_set.asi --structure work/round-00/test.xyz --out out.xyz \
         --temperature 300 300 --steps 60 --way hal,signal=committee,history=20",
        model("")
    );
    let words: Vec<&str> = arguments.split(' ').collect();
    let (one, two) = (model("_1"), model("_2"));
    succeed(
        dir.path(),
        &[&words[..], &["--committee", &one, &two]].concat(),
    );
    let said = fail(dir.path(), &words);
    assert!(said.contains("a committee needs two models"), "{said}");
    for (old, new, told) in [
        (
            "committee = 3",
            "committee = 1",
            "expected at least 2 models",
        ),
        (
            "first_epochs",
            "start = \"work/round-00/nep.txt\"\nfirst_epochs",
            "would agree where it is wrong",
        ),
    ] {
        std::fs::write(dir.path().join("wrong.toml"), text.replacen(old, new, 1)).unwrap();
        let said = fail(dir.path(), &["run", "wrong.toml"]);
        assert!(said.contains(told), "{said}");
    }
}

/// What a way needs is looked at before a label is paid for; a scenario that cannot begin is told.
#[test]
fn starts_are_looked_at_and_told() {
    let dir = tempfile::tempdir().unwrap();
    let other = "2\nLattice=\"9 0 0 0 9 0 0 0 9\"\nSi 0 0 0\nSi 4 0 0\n";
    std::fs::write(dir.path().join("end.xyz"), other).unwrap();
    let path = campaign(&[(
        "steps = 300",
        "steps = 300\nway = { kind = \"path\", end = \"end.xyz\" }",
    )]);
    std::fs::write(dir.path().join("c.toml"), path).unwrap();
    let said = fail(dir.path(), &["run", "c.toml"]);
    assert!(said.contains("start of the scenario warm"), "{said}");
    assert!(said.contains("other atoms than the start"), "{said}");
    assert!(
        !dir.path().join("work/labels/labels").exists(),
        "labels were paid for"
    );

    // A dimer in each corner of the cell, which a few labels around it do not make known.
    let dir = tempfile::tempdir().unwrap();
    let stretched = campaign(&[
        ("break = 8.0", "break = 1.6"),
        ("lattice = 5.43 }", "lattice = 5.43, rattle = 0.5 }"),
        ("steps = 300", "steps = 20"),
        ("max_structures = 3", "max_structures = 1"),
    ]);
    std::fs::write(dir.path().join("c.toml"), stretched).unwrap();
    let output = program()
        .current_dir(dir.path())
        .args(["run", "c.toml"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    assert!(
        said.contains("the scenario warm begins beyond break"),
        "{said}"
    );
}

/// A path that finds no other minimum pauses its scenario; the campaign goes on with the others.
#[test]
fn a_run_that_comes_to_nothing_is_told_and_the_others_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let both = campaign(&[(
        "steps = 300",
        "steps = 300\n\n[[explore]]\nname = \"way\"\n\
         start = { prototype = \"diamond\", elements = [\"Si\"], lattice = 5.43 }\n\
         ensemble = \"svr\"\ntemperature = [50, 50]\ntimestep = 0.001\nsteps = 20\n\
         way = { kind = \"path\", hop = 3 }",
    )]);
    std::fs::write(dir.path().join("c.toml"), &both).unwrap();
    let output = program()
        .current_dir(dir.path())
        .args(["run", "c.toml"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    assert!(matches!(output.status.code(), Some(0 | 3)), "{said}");
    assert!(said.contains("came back to the same minimum"), "{said}");
    assert!(
        said.contains("way: no run came to anything; the scenario is paused"),
        "{said}"
    );
    assert!(dir.path().join("work/final/nep.txt").exists());
}
