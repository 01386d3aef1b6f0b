//! Scenarios whose labels fail: paused while the others go on, and resumed.

use crate::campaign::CAMPAIGN;
use crate::{ended, fail, run, succeed};
use std::path::Path;

/// Labels by a NEP; cells of sixteen atoms fail while there is a file `failing`.
const LABEL: &str = r#"set -e
[ -e FOLDER/failing ] && [ "$(head -n 1 "$1")" = 16 ] && { echo "bad method"; exit 4; }
PROGRAM --output-mode quiet predict --model FOLDER/teacher.txt --structures "$1" --out "$2"
"#;

const ODD: &str = r#"[[explore]]
name = "odd"
start = { prototype = "diamond", elements = ["Si"], lattice = 5.43, repeat = [2, 1, 1], rattle = 0.2 }
ensemble = "svr"
temperature = [2500, 2500]
timestep = 0.002
steps = 300
replicas = 2

"#;

fn campaign(folder: &Path, only_odd: bool, rounds: usize) {
    let teacher = crate::data("si_2022_nep4_3body/nep.txt");
    std::fs::copy(teacher, folder.join("teacher.txt")).unwrap();
    let place = folder.display().to_string();
    let script = LABEL
        .replace("FOLDER", &place)
        .replace("PROGRAM", env!("CARGO_BIN_EXE_nepal-loop"));
    std::fs::write(folder.join("label.sh"), script).unwrap();
    let label = format!(
        "kind = \"command\"\nmethod = \"teacher\"\ncommand = [\"sh\", \"{place}/label.sh\", \"{{input}}\", \"{{output}}\"]"
    );
    let mut text = CAMPAIGN
        .replace("@LABEL@", &label)
        .replace("final_epochs = 20\n", "")
        .replace("spacing = 50", "spacing = 20")
        .replace("[select]", &format!("{ODD}[select]"))
        .replace(
            "max_structures = 3",
            "max_structures = 10\nduplicate = 0.01",
        )
        .replace("max_rounds = 2", &format!("max_rounds = {rounds}"));
    if only_odd {
        let from = text.find("[[explore]]\nname = \"warm\"").unwrap();
        let to = text.find("[[explore]]\nname = \"odd\"").unwrap();
        text.replace_range(from..to, "");
    }
    std::fs::write(folder.join("c.toml"), text).unwrap();
}

/// Scenarios that a round explored.
fn explored(folder: &Path, round: usize) -> Vec<String> {
    let path = folder.join(format!("work/round-{round:02}/explore.json"));
    let runs: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let names = runs.as_array().unwrap().iter();
    names.map(|r| r["name"].as_str().unwrap().into()).collect()
}

#[test]
fn a_scenario_whose_labels_fail_is_paused_and_resumed() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    campaign(folder, false, 3);
    std::fs::write(folder.join("failing"), "").unwrap();
    let output = run(folder, &["run", "c.toml"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(ended(&output), "{said}");
    assert!(said.contains("the scenario is paused"), "{said}");
    assert_eq!(explored(folder, 0), ["warm", "odd.0", "odd.1"]);
    assert_eq!(explored(folder, 1), ["warm"]);
    assert_eq!(explored(folder, 2), ["warm"]);
    let status = succeed(folder, &["status", "c.toml"]);
    assert!(
        status.contains("paused  odd since round 1") && status.contains("exit status 4"),
        "{status}"
    );
    let report = std::fs::read_to_string(folder.join("work/report.html")).unwrap();
    assert!(report.contains("odd since round 1"));
    // What is done stays done, whether or not somebody resumes.
    let again = run(folder, &["run", "c.toml"]);
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(
        !said
            .lines()
            .any(|l| l.starts_with("round") && l.contains(": explore")),
        "{said}"
    );
    // Put right and resumed, the scenario is explored again: in the last round, since the campaign has ended.
    std::fs::remove_file(folder.join("failing")).unwrap();
    assert!(fail(folder, &["resume", "c.toml", "warm"]).contains("not paused"));
    assert!(succeed(folder, &["resume", "c.toml"]).contains("odd"));
    succeed(folder, &["run", "c.toml"]);
    assert_eq!(explored(folder, 1), ["warm"]);
    assert_eq!(explored(folder, 2), ["warm", "odd.0", "odd.1"]);
    assert!(!succeed(folder, &["status", "c.toml"]).contains("paused"));
}

#[test]
fn where_no_scenario_is_left_the_campaign_ends() {
    let dir = tempfile::tempdir().unwrap();
    campaign(dir.path(), true, 2);
    std::fs::write(dir.path().join("failing"), "").unwrap();
    let said = fail(dir.path(), &["run", "c.toml"]);
    assert!(said.contains("max_rejected"), "{said}");
    // Settings that are put right label again, and the campaign goes on.
    std::fs::remove_file(dir.path().join("failing")).unwrap();
    let config = dir.path().join("c.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let text = text.replace("method = \"teacher\"", "method = \"teacher, put right\"");
    std::fs::write(&config, text).unwrap();
    let said = fail(dir.path(), &["run", "c.toml"]);
    assert!(
        said.contains("label.method") && said.contains("--accept-changes"),
        "{said}"
    );
    succeed(dir.path(), &["run", "--accept-changes", "c.toml"]);
    assert_eq!(explored(dir.path(), 1), ["odd.0", "odd.1"]);
}
