//! Whole campaigns: run to the end, killed at odd moments, continued.

use crate::{fail, program, succeed};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime};

/// A campaign that ends within seconds; its labels come from a command that counts its calls.
pub const CAMPAIGN: &str = r#"
title = "A test"
directory = "work"
seed = 3
threads = 1

[model]
first_epochs = 60
epochs = 20
final_epochs = 20
nep_in = """
type 1 Si
cutoff 5 4
n_max 3 2
basis_size 4 4
l_max 2 0 0
neuron 6
"""

[label]
@LABEL@
parallel = 1

[[initial]]
prototype = "diamond"
elements = ["Si"]
lattice = 5.43
strain = 0.03
rattle = 0.1
count = 4

[[test]]
prototype = "diamond"
elements = ["Si"]
lattice = 5.43
rattle = 0.1
count = 2

[grade]
save = 1.5
break = 8.0
spacing = 50

[[explore]]
name = "warm"
start = { prototype = "diamond", elements = ["Si"], lattice = 5.43 }
ensemble = "svr"
temperature = [300, 900]
timestep = 0.002
steps = 300

[select]
max_structures = 3

[stop]
max_rounds = 2
"#;

pub const BUILT_IN: &str = "kind = \"stillinger-weber\"";

pub fn write(folder: &Path, label: &str) {
    std::fs::write(folder.join("c.toml"), CAMPAIGN.replace("@LABEL@", label)).unwrap();
}

pub fn bytes(folder: &Path, name: &str) -> Vec<u8> {
    std::fs::read(folder.join("work").join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// Processes that the campaign's launcher starts give the models that one gives.
#[test]
fn a_campaign_trains_by_launched_processes() {
    let both = ["", "launch = [\"sh\", \"FOLDER/launch.sh\"]"].map(|launch| {
        let dir = tempfile::tempdir().unwrap();
        let script = "NEPAL_RANKS=2 NEPAL_RANK=1 \"$@\" &\nNEPAL_RANKS=2 NEPAL_RANK=0 \"$@\"\nr=$?\nwait\nexit $r\n";
        std::fs::write(dir.path().join("launch.sh"), script).unwrap();
        let launch = launch.replace("FOLDER", &dir.path().display().to_string());
        let campaign = CAMPAIGN
            .replace("@LABEL@", BUILT_IN)
            .replace("max_rounds = 2", "max_rounds = 1")
            .replacen("\nepochs = 20\n", &format!("\nepochs = 20\n{launch}\n"), 1);
        std::fs::write(dir.path().join("c.toml"), campaign).unwrap();
        succeed(dir.path(), &["run", "c.toml"]);
        assert!(!dir.path().join("work/round-00/training.checkpoint.launched").exists());
        bytes(dir.path(), "final/nep.txt")
    });
    assert!(both[0] == both[1]);
    let dir = tempfile::tempdir().unwrap();
    let campaign = CAMPAIGN.replace("@LABEL@", BUILT_IN);
    let campaign = campaign.replacen("\nepochs = 20\n", "\nepochs = 20\nlaunch = \"false\"\n", 1);
    std::fs::write(dir.path().join("c.toml"), campaign).unwrap();
    let said = fail(dir.path(), &["run", "c.toml"]);
    assert!(
        said.contains("[model] launch: the program ended with exit status 1"),
        "{said}"
    );
}

#[test]
fn a_campaign_runs_to_its_end_and_reports() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), BUILT_IN);
    let out = succeed(dir.path(), &["--output-mode", "json", "run", "c.toml"]);
    let value: serde_json::Value = serde_json::from_str(out.trim()).unwrap();
    assert!(value["data"]["rounds"].as_u64().unwrap() >= 1);
    assert!(value["data"]["labels"].as_u64().unwrap() >= 6);
    let report = String::from_utf8(bytes(dir.path(), "report.html")).unwrap();
    for word in [
        "<svg",
        "A test",
        "meV/atom",
        "What was labelled",
        "journal.jsonl",
        "For the methods section",
        "scenario initial[0]",
        "figures/parity-virial-training-set.svg",
    ] {
        assert!(report.contains(word), "the report lacks {word}");
    }
    assert!(
        !report.contains("http://") || report.contains("www.w3.org"),
        "not self-contained"
    );
    let status = succeed(dir.path(), &["status", "c.toml"]);
    assert!(
        status.contains("round") && !status.contains("not finished"),
        "{status}"
    );
    assert!(status.contains("rule    clean"), "{status}");
    // Every link of the report leads to a file.
    for link in report.split("href=\"").skip(1) {
        let file = link.split('"').next().unwrap();
        assert!(dir.path().join("work").join(file).exists(), "{file}");
    }
    let live = succeed(
        dir.path(),
        &["--output-mode", "json", "status", "--watch=0.1", "c.toml"],
    );
    let value: serde_json::Value = serde_json::from_str(live.lines().next().unwrap()).unwrap();
    assert_eq!(value["data"]["running"], false);
    assert_eq!(value["data"]["rules"].as_array().unwrap().len(), 5);
    // All labels with where they come from; they are a start for another campaign.
    succeed(dir.path(), &["export", "c.toml", "--out", "all.xyz"]);
    let all = std::fs::read_to_string(dir.path().join("all.xyz")).unwrap();
    for key in [
        "settings_hash=",
        "label_key=",
        "labeller=stillinger-weber",
        "set=test",
        "round=0",
    ] {
        assert!(all.contains(key), "{key}");
    }
    let model = dir.path().join("work/final/nep.txt");
    let model = model.to_str().unwrap();
    let import = [
        "import",
        "all.xyz",
        "--out",
        "next",
        "--model",
        model,
        "--label",
        "stillinger-weber",
    ];
    let said = succeed(dir.path(), &import);
    assert!(said.contains("labels -> next"), "{said}");
    assert!(succeed(dir.path(), &["status", "next/campaign.toml"]).contains("not started"));
    assert!(fail(dir.path(), &import).contains("next"));
    // Run again: nothing to do, the same answer.
    let model = bytes(dir.path(), "final/nep.txt");
    let again = succeed(dir.path(), &["--output-mode", "json", "run", "c.toml"]);
    assert_eq!(out, again);
    assert_eq!(model, bytes(dir.path(), "final/nep.txt"));
}

#[test]
fn a_campaign_killed_again_and_again_ends_like_an_undisturbed_one() {
    let undisturbed = tempfile::tempdir().unwrap();
    let killed = tempfile::tempdir().unwrap();
    for dir in [&undisturbed, &killed] {
        // A teacher NEP behind a script that notes each call: no label may be computed twice.
        std::fs::copy(
            crate::data("si_2022_nep4_3body/nep.txt"),
            dir.path().join("teacher.txt"),
        )
        .unwrap();
        let script = format!(
            "#!/bin/sh\nset -e\n'{}' --output-mode quiet predict --model '{1}/teacher.txt' --structures \"$1\" --out \"$2\"\necho call >> '{1}/calls'\n",
            env!("CARGO_BIN_EXE_nepal-loop"),
            dir.path().display()
        );
        std::fs::write(dir.path().join("label.sh"), script).unwrap();
        let label = "kind = \"command\"\nmethod = \"teacher\"\ncommand = [\"sh\", \"../label.sh\", \"{input}\", \"{output}\"]";
        write(
            dir.path(),
            &label.replace(
                "../label.sh",
                &dir.path().join("label.sh").display().to_string(),
            ),
        );
        // Labels at the end are no others.
        let crystal = "{ prototype = 'diamond', elements = ['Si'], lattice = 5.43 }";
        let more = format!(
            "\n[validate]\nframes = 2\nproperties = {{ crystals = [{crystal}], volumes = 5, elastic = false }}\n"
        );
        let file = dir.path().join("c.toml");
        let text = std::fs::read_to_string(&file).unwrap() + &more;
        std::fs::write(&file, text).unwrap();
    }
    succeed(undisturbed.path(), &["run", "c.toml"]);
    let mut patience = 40;
    let mut kills = 0;
    let mut stored: BTreeMap<PathBuf, SystemTime> = BTreeMap::new();
    let mut spoilt = None;
    loop {
        let mut child = program()
            .current_dir(killed.path())
            .args(["--output-mode", "quiet", "run", "c.toml"])
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(killed.path().join("said")).unwrap())
            .spawn()
            .unwrap();
        // The kill that spoils files comes as soon as the first labels are there and none is out: a repeated
        // step has no use for labels of the next round, and ends them.
        let finished = killed.path().join("work/round-00/labelled.xyz");
        let calm = || {
            let jobs = std::fs::read_to_string(killed.path().join("work/running/jobs.jsonl"));
            finished.exists() && jobs.is_ok_and(|text| text.lines().count() == 1)
        };
        let deadline = Instant::now() + Duration::from_millis(patience);
        while Instant::now() < deadline && !(spoilt.is_none() && calm()) {
            std::thread::sleep(Duration::from_millis(2));
        }
        if let Some(status) = child.try_wait().unwrap() {
            let said = std::fs::read_to_string(killed.path().join("said"));
            assert!(matches!(status.code(), Some(0 | 3)), "{said:?}");
            break;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
        for (label, time) in stored_labels(killed.path()) {
            stored.entry(label).or_insert(time);
        }
        // Once, when the first labels are there, what a crash of the whole machine can do as well.
        if spoilt.is_none() && calm() {
            let label = stored.keys().next().unwrap().clone();
            let control = killed.path().join("work/labels/control/control.json");
            for file in [&label, &finished, &control] {
                let content = std::fs::read(file).unwrap();
                std::fs::write(file, &content[..content.len() / 2]).unwrap();
            }
            let journal = killed.path().join("work/journal.jsonl");
            let mut content = std::fs::read(&journal).unwrap();
            let end = content.len() - 1;
            content[end - 10..end].fill(0);
            std::fs::write(&journal, content).unwrap();
            stored.remove(&label);
            spoilt = Some(label);
        }
        // Longer each time, so that every step is cut at some point and the end is reached.
        patience = patience * 7 / 6 + 1;
    }
    for file in [
        "final/nep.txt",
        "final/train.xyz",
        "final/active_set.asi",
        "final/labelled.xyz",
        "final/validation.json",
        "round-00/candidates.xyz",
    ] {
        assert!(
            bytes(undisturbed.path(), file) == bytes(killed.path(), file),
            "{file} differs"
        );
    }
    // A label in flight when the driver dies goes on, and the next driver takes it over.
    let calls = |dir: &Path| {
        let text = std::fs::read_to_string(dir.join("calls")).unwrap();
        text.lines().count()
    };
    let (plain, disturbed) = (calls(undisturbed.path()), calls(killed.path()));
    let spoilt = spoilt.expect("no kill came after the first labels");
    assert_eq!(plain + 1, disturbed, "calls after {kills} kills");
    stored.remove(&spoilt);
    let now = stored_labels(killed.path());
    assert_eq!(now.len(), stored_labels(undisturbed.path()).len());
    for (label, time) in &stored {
        assert_eq!(Some(time), now.get(label), "{label:?} was computed twice");
    }
    assert!(!stored.is_empty());
}

/// The labels of a campaign's cache with the time when they were stored.
fn stored_labels(folder: &Path) -> BTreeMap<PathBuf, SystemTime> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.join("work/labels/labels")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "json")
                && !path.ends_with("control.json")
            {
                found.insert(path, entry.metadata().unwrap().modified().unwrap());
            }
        }
    }
    found
}

#[test]
fn mistakes_in_the_campaign_file_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let try_with = |from: &str, to: &str| {
        let text = CAMPAIGN.replace("@LABEL@", BUILT_IN);
        assert!(text.contains(from), "{from}");
        std::fs::write(dir.path().join("c.toml"), text.replace(from, to)).unwrap();
        fail(dir.path(), &["run", "c.toml"])
    };
    for (from, to, word) in [
        ("save = 1.5", "save = 9.0", "save"),
        ("lattice = 5.43\nstrain", "latice = 5.43\nstrain", "latice"),
        ("ensemble = \"svr\"", "ensemble = \"nvt\"", "nvt"),
        (
            "prototype = \"diamond\"",
            "prototype = \"diamnd\"",
            "diamnd",
        ),
        ("type 1 Si", "type 1 Xx", "Xx"),
        ("stillinger-weber", "stillinger", "stillinger"),
        ("neuron 6", "neurons 6", "neurons"),
        (
            "temperature = [300, 900]",
            "temperature = [300, 600, 900]",
            "explore.temperature: expected 2 entries, found 3",
        ),
        (
            "temperature = [300, 900]",
            "temperature = [300, -900]",
            "temperature: expected positive numbers (K), found -900",
        ),
        (
            "timestep = 0.002",
            "timestep = 2.0",
            "timestep: expected a positive number of at most 0.1 ps, found 2; 1 fs is 0.001",
        ),
        (
            "steps = 300",
            "steps = 0",
            "steps: expected at least 1, found 0",
        ),
        (
            "[stop]",
            "[validate]\nproperties = { crystals = [{ prototype = \"diamond\", elements = [\"Si\"], lattice = 5.43 }], phonons = [4000000000, 4000000000, 4000000000] }\n[stop]",
            "supercell of 1 to",
        ),
        (
            "steps = 300",
            "steps = 300\nmoves = { swaps = 1 }",
            "swaps need atoms of two elements",
        ),
        (
            "steps = 300",
            "steps = 300\nway = { kind = \"hal\", tau = -1.0 }",
            "tau from 0 to 10",
        ),
        (
            "ensemble = \"svr\"",
            "ensemble = \"nve\"\nmoves = { volume = 1 }",
            "langevin",
        ),
    ] {
        let message = try_with(from, to);
        assert!(message.contains(word), "{to}: {message}");
        assert!(
            message.contains("c.toml") || message.contains("initial"),
            "{to}: {message}"
        );
    }
    assert!(!dir.path().join("work/round-00/labelled.xyz").exists());
}
