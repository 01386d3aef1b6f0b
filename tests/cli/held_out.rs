//! What a campaign labels at its end: held-out frames of its scenarios, and cells of crystals.

use crate::campaign::{BUILT_IN, CAMPAIGN};
use crate::{fail, succeed};
use std::path::Path;

/// Silicon with a scenario of fragments beside that of whole cells, and all that can be asked for at the end.
fn campaign(validate: &str) -> String {
    let more = "[[explore]]\nname = \"large\"\n\
        start = { prototype = \"diamond\", elements = [\"Si\"], lattice = 5.43, repeat = [4, 4, 4] }\n\
        ensemble = \"svr\"\ntemperature = [300, 300]\ntimestep = 0.002\nsteps = 40\n\n[select]";
    CAMPAIGN
        .replace("@LABEL@", BUILT_IN)
        .replace("[select]", more)
        .replace("max_rounds = 2", "max_rounds = 1")
        + validate
}

fn write(folder: &Path, validate: &str) {
    std::fs::write(folder.join("c.toml"), campaign(validate)).unwrap();
}

fn json(folder: &Path, name: &str) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(folder.join("work").join(name)).unwrap()).unwrap()
}

#[test]
fn held_out_frames_and_properties_are_labelled_counted_and_never_trained_on() {
    let dir = tempfile::tempdir().unwrap();
    let crystal = "{ prototype = \"diamond\", elements = [\"Si\"], lattice = 5.43 }";
    let validate = format!(
        "\n[validate]\nframes = 3\n[validate.properties]\ncrystals = [{crystal}]\nvolumes = 5\nphonons = [1, 1, 1]\n"
    );
    write(dir.path(), &validate);
    let plan = succeed(dir.path(), &["run", "--dry-run", "c.toml"]);
    for line in [
        "6 held-out frames of the scenarios",
        "diamond Si: 5 volumes, 4 strained cells, 1 displaced supercells",
        // 6 at first, 3 of a round, 16 at the end.
        "at most 25 labels from here",
    ] {
        assert!(plan.contains(line), "{line}: {plan}");
    }
    let out = succeed(dir.path(), &["run", "c.toml"]);
    assert!(out.contains("held-out frames of all scenarios"), "{out}");
    assert!(out.contains("C44") && out.contains("phonons"), "{out}");
    let record = json(dir.path(), "final/validation.json");
    let held = &record["held_out"];
    assert_eq!(held["scenarios"][0][0], "warm");
    assert_eq!(held["scenarios"][0][1]["frames"], 3);
    assert_eq!(held["scenarios"][1][1]["fragments"], 3);
    assert_eq!(held["all"]["frames"], 6);
    // By the models of all rounds; the final one has trained on for a little.
    assert_eq!(held["curve"].as_array().unwrap().len(), 1);
    let labels = json(dir.path(), "final/labels.json");
    assert_eq!(labels["requested"], 16);
    let outcome = json(dir.path(), "final/outcome.json");
    assert_eq!(outcome["labels"], 6 + 16);
    let status = succeed(dir.path(), &["--output-mode", "json", "status", "c.toml"]);
    let status: serde_json::Value = serde_json::from_str(status.trim()).unwrap();
    assert_eq!(status["data"]["spent"]["labels"], 6 + 16);
    let read = |name: &str| std::fs::read_to_string(dir.path().join("work").join(name)).unwrap();
    assert!(!read("final/train.xyz").contains("held_out"));
    let properties = record["crystals"][0]["properties"].as_array().unwrap();
    let c44 = properties.iter().find(|p| p["name"] == "C44").unwrap();
    // The potential's own, by its authors' paper 56.4 GPa, at a cell of the model's.
    let reference = c44["reference"].as_f64().unwrap();
    assert!((reference / 56.4 - 1.0).abs() < 0.15, "{c44}");
    let report = read("report.html");
    for word in [
        "held-out frames of the scenarios",
        "figures/parity-force-held-out-frames.svg",
        "figures/phonons-diamond-Si.svg",
        "figures/state-diamond-Si.svg",
        "final/labels.json",
    ] {
        assert!(report.contains(word), "the report lacks {word}");
    }
    for link in report.split("href=\"").skip(1) {
        let file = link.split('"').next().unwrap();
        assert!(dir.path().join("work").join(file).exists(), "{file}");
    }
    // Nothing is done twice.
    let before = std::fs::metadata(dir.path().join("work/final/labelled.xyz")).unwrap();
    succeed(dir.path(), &["run", "c.toml"]);
    let after = std::fs::metadata(dir.path().join("work/final/labelled.xyz")).unwrap();
    assert_eq!(before.modified().unwrap(), after.modified().unwrap());
}

#[test]
fn what_is_set_apart_for_the_end_is_not_spent_by_rounds() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "\n[validate]\nframes = 2\n");
    let file = dir.path().join("c.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let tight = text.replace("max_rounds = 1", "max_rounds = 5\nmax_labels = 11");
    std::fs::write(&file, tight).unwrap();
    succeed(dir.path(), &["run", "c.toml"]);
    let outcome = json(dir.path(), "final/outcome.json");
    assert!(outcome["labels"].as_u64().unwrap() <= 11, "{outcome}");
    assert_eq!(json(dir.path(), "final/labels.json")["requested"], 4);
    for (validate, word) in [
        ("\n[validate]\n", "frames"),
        ("\n[validate.properties]\n", "crystals"),
        (
            "\n[validate.properties]\ncrystals = [{ file = 'a.xyz' }]\nvolumes = 3\n",
            "at least 5",
        ),
    ] {
        write(dir.path(), validate);
        let message = fail(dir.path(), &["run", "--dry-run", "c.toml"]);
        assert!(message.contains(word), "{message}");
    }
}
