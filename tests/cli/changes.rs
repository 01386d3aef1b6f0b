//! Campaigns that change under way: other settings, a copied folder, a shared cache, a spoilt journal.

use crate::campaign::CAMPAIGN;
use crate::{ended, fail, program, run, succeed};
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// Labels by a NEP, and notes where each was computed.
const LABEL: &str = r#"set -e
sleep SECONDS
PROGRAM --output-mode quiet predict --model FOLDER/teacher.txt --structures "$1" --out "$2"
pwd >>FOLDER/calls
"#;

/// A campaign without a goal that it could reach, in a folder below `root`, which has teacher, script and calls.
fn campaign(root: &Path, name: &str, seconds: f64) -> PathBuf {
    let place = root.display().to_string();
    let teacher = crate::data("si_2022_nep4_3body/nep.txt");
    std::fs::copy(teacher, root.join("teacher.txt")).unwrap();
    let script = LABEL
        .replace("SECONDS", &seconds.to_string())
        .replace("FOLDER", &place)
        .replace("PROGRAM", env!("CARGO_BIN_EXE_nepal-loop"));
    std::fs::write(root.join("label.sh"), script).unwrap();
    let label = format!(
        "kind = \"command\"\nmethod = \"teacher\"\ncommand = [\"sh\", \"{place}/label.sh\", \"{{input}}\", \"{{output}}\"]"
    );
    let folder = root.join(name);
    std::fs::create_dir(&folder).unwrap();
    let text = CAMPAIGN
        .replace("@LABEL@", &label)
        .replace("max_rounds = 2", "max_rounds = 2\nclean_rounds = 9");
    std::fs::write(folder.join("c.toml"), text).unwrap();
    folder
}

fn edit(folder: &Path, pairs: &[(&str, &str)]) {
    let path = folder.join("c.toml");
    let mut text = std::fs::read_to_string(&path).unwrap();
    for (from, to) in pairs {
        assert!(text.contains(from), "{from}");
        text = text.replacen(from, to, 1);
    }
    std::fs::write(path, text).unwrap();
}

fn calls(root: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(root.join("calls")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn said(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Steps that were done rather than found finished.
fn done(said: &str) -> Vec<&str> {
    said.lines().filter(|l| l.starts_with("round ")).collect()
}

fn explored(folder: &Path, round: usize) -> String {
    std::fs::read_to_string(folder.join(format!("work/round-{round:02}/explore.json"))).unwrap()
}

const MORE: &str = r#"[[explore]]
name = "more"
start = { prototype = "diamond", elements = ["Si"], lattice = 5.5 }
ensemble = "svr"
temperature = [300, 600]
timestep = 0.002
steps = 100

[select]"#;

#[test]
fn more_threads_rounds_and_scenarios_redo_nothing() {
    let root = tempfile::tempdir().unwrap();
    let folder = campaign(root.path(), "a", 0.0);
    let output = run(&folder, &["run", "c.toml"]);
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    let before = (calls(root.path()), explored(&folder, 1));
    edit(&folder, &[("threads = 1", "threads = 2")]);
    let output = run(&folder, &["run", "c.toml"]);
    assert!(
        said(&output).contains("since the last run: threads"),
        "{}",
        said(&output)
    );
    assert_eq!(done(&said(&output)), Vec::<&str>::new());
    let longer = [
        ("max_rounds = 2", "max_rounds = 3"),
        ("[stop]", "[stop]\nmax_labels = 100"),
        ("[select]", MORE),
    ];
    edit(&folder, &longer);
    let output = run(&folder, &["run", "c.toml"]);
    let text = said(&output);
    assert!(ended(&output), "{text}");
    assert!(
        text.contains("more is new and takes part from round 2 on")
            && text.contains("stop.max_rounds"),
        "{text}"
    );
    let again = |l: &&str| l.starts_with("round 0") || l.starts_with("round 1");
    let again: Vec<&str> = done(&text).into_iter().filter(again).collect();
    // Looking ahead at the new scenario is no work done again.
    assert_eq!(again, ["round 0: check"], "{text}");
    assert_eq!(before.1, explored(&folder, 1));
    assert!(explored(&folder, 2).contains("\"more\""));
    assert_eq!(calls(root.path())[..before.0.len()], before.0[..]);
}

#[test]
fn changes_that_pay_again_are_told_and_refused() {
    let root = tempfile::tempdir().unwrap();
    let folder = campaign(root.path(), "a", 0.0);
    succeed(&folder, &["run", "c.toml"]);
    let paid = calls(root.path()).len();
    let labels = std::fs::read(folder.join("work/round-00/labelled.xyz")).unwrap();
    let untouched = || {
        assert_eq!(calls(root.path()).len(), paid);
        assert_eq!(
            std::fs::read(folder.join("work/round-00/labelled.xyz")).unwrap(),
            labels
        );
    };
    for (from, to, key) in [
        (
            "method = \"teacher\"",
            "method = \"tеacher\"",
            "label.method",
        ),
        ("seed = 3", "seed = 4", "seed"),
        (
            "first_epochs = 60",
            "first_epochs = 61",
            "model.first_epochs",
        ),
    ] {
        edit(&folder, &[(from, to)]);
        for _ in 0..2 {
            let text = fail(&folder, &["run", "c.toml"]);
            assert!(
                text.contains(&format!("since the last run ({key}), "))
                    && text.contains(" labels that are there")
                    && text.contains("--accept-changes"),
                "{key}: {text}"
            );
            untouched();
        }
        edit(&folder, &[(to, from)]);
        succeed(&folder, &["run", "c.toml"]);
        untouched();
    }
    edit(
        &folder,
        &[("method = \"teacher\"", "method = \"teacher 2\"")],
    );
    let text = fail(&folder, &["run", "c.toml"]);
    assert!(
        text.contains(&format!("and {paid} labels that are there")),
        "{paid}: {text}"
    );
    succeed(&folder, &["run", "--accept-changes", "c.toml"]);
    assert!(calls(root.path()).len() > paid);
    // Once agreed to, it is no change any more.
    let output = run(&folder, &["run", "c.toml"]);
    assert_eq!(done(&said(&output)), Vec::<&str>::new());
}

#[test]
fn a_copy_leaves_the_originals_jobs_alone() {
    let root = tempfile::tempdir().unwrap();
    let folder = campaign(root.path(), "a", 1.0);
    assert_eq!(run(&folder, &["step", "c.toml"]).status.code(), Some(75));
    let copy = root.path().join("b");
    let status = std::process::Command::new("cp")
        .arg("-r")
        .args([&folder, &copy])
        .status();
    assert!(status.unwrap().success());
    let output = run(&copy, &["run", "c.toml"]);
    assert!(
        ended(&output) && said(&output).contains("is a copy of"),
        "{}",
        said(&output)
    );
    assert!(ended(&run(&folder, &["run", "c.toml"])));
    let text = said(&run(&folder, &["run", "c.toml"]));
    assert!(!text.contains("is a copy"), "{text}");
    // Each has computed its own, the original all of them once.
    let own = |name: &str| {
        let inside = ["", name, "work", ""].join("/");
        calls(root.path())
            .into_iter()
            .filter(|c| c.contains(&inside))
            .collect::<Vec<_>>()
    };
    let quarantine = folder.join("work/labels/quarantine");
    assert_eq!(std::fs::read_dir(quarantine).unwrap().count(), 0);
    let (original, copied) = (own("a"), own("b"));
    assert!(original.iter().all(|c| c.ends_with("-0")), "{original:?}");
    assert!(!copied.is_empty() && copied.len() <= original.len());
    let final_model = |f: &Path| std::fs::read(f.join("work/final/nep.txt")).unwrap();
    assert_eq!(final_model(&folder), final_model(&copy));
    // A moved one is what it was.
    let moved = root.path().join("c");
    std::fs::rename(&folder, &moved).unwrap();
    let output = run(&moved, &["run", "c.toml"]);
    assert!(
        ended(&output) && !said(&output).contains("is a copy"),
        "{}",
        said(&output)
    );
    assert_eq!(done(&said(&output)), Vec::<&str>::new());
}

#[test]
fn campaigns_that_share_a_cache_compute_nothing_twice() {
    let root = tempfile::tempdir().unwrap();
    let names = ["a", "b"];
    let mut drivers = Vec::new();
    for name in names {
        let folder = campaign(root.path(), name, 0.3);
        edit(&folder, &[("[label]", "[label]\ncache = \"../cache\"")]);
        let child = program()
            .current_dir(&folder)
            .args(["run", "c.toml"])
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(folder.join("said")).unwrap())
            .spawn();
        drivers.push((folder, child.unwrap()));
    }
    for (folder, mut driver) in drivers {
        let code = driver.wait().unwrap().code();
        let said = std::fs::read_to_string(folder.join("said")).unwrap();
        assert_eq!(code, Some(3), "{said}");
    }
    let mut keys: Vec<String> = calls(root.path())
        .iter()
        .map(|c| c.rsplit('/').next().unwrap().to_owned())
        .collect();
    let all = keys.len();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), all, "computed twice");
    assert_eq!(
        std::fs::read_dir(root.path().join("cache/claims"))
            .unwrap()
            .count(),
        1,
        "the lock"
    );
}

#[test]
fn a_spoilt_journal_has_a_status_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let text = CAMPAIGN.replace("@LABEL@", "kind = \"stillinger-weber\"");
    std::fs::write(dir.path().join("c.toml"), text).unwrap();
    succeed(dir.path(), &["run", "c.toml"]);
    let journal = dir.path().join("work/journal.jsonl");
    let text = std::fs::read_to_string(&journal).unwrap();
    // One digit of one hash: still JSON.
    let place = text.find("\"inputs\":\"").unwrap() + 10;
    let mut bytes = text.clone().into_bytes();
    bytes[place] = if bytes[place] == b'0' { b'1' } else { b'0' };
    std::fs::write(&journal, bytes).unwrap();
    for command in ["status", "run", "step"] {
        let output = run(dir.path(), &[command, "c.toml"]);
        assert_eq!(
            output.status.code(),
            Some(4),
            "{command}: {}",
            said(&output)
        );
        assert!(
            said(&output).contains("journal.jsonl:"),
            "{}",
            said(&output)
        );
    }
    std::fs::write(&journal, text).unwrap();
    succeed(dir.path(), &["status", "c.toml"]);
}

#[test]
fn what_cannot_end_well_is_refused_before_the_first_label() {
    let root = tempfile::tempdir().unwrap();
    let folder = campaign(root.path(), "a", 0.0);
    let whole = std::fs::read_to_string(folder.join("c.toml")).unwrap();
    let validate = "[validate]\ncrystal = { prototype = \"diamond\", elements = [\"Si\"], lattice = 5.43 }\ntemperatures = [300]\nsteps = 10\n[stop]";
    for (from, to, word) in [
        ("type 1 Si", "type 1 Ge", "Si"),
        ("[grade]", "[grade]\nmax_breaks = 0", "max_breaks"),
        ("[label]", "[label]\ncores = 0", "cores"),
        (
            "max_rounds = 2",
            "max_rounds = 2\nmax_labels = 0",
            "max_labels",
        ),
        ("lattice = 5.43", "lattice = 0.543", "lattice"),
        ("lattice = 5.43\nstrain", "lattice = 1.1\nstrain", "apart"),
        ("rattle = 0.1", "rattle = -0.1", "rattle"),
        ("strain = 0.03", "strain = nan", "NaN"),
        ("strain = 0.03", "strain = 1e-300", "strain"),
        (
            "temperature = [300, 900]",
            "temperature = [300, inf]",
            "inf",
        ),
        (
            "temperature = [300, 900]",
            "temperature = [300, 6e7]",
            "60000000",
        ),
        (
            "rattle = 0.1",
            "rattle = 0.1\nrepeat = [1000, 1000, 1000]",
            "repeat",
        ),
        (
            "rattle = 0.1",
            "rattle = 0.1\nrepeat = [1000, 1, 1]",
            "repeat",
        ),
        ("threads = 1", "threads = 5000", "threads"),
        ("parallel = 1", "parallel = 0", "parallel"),
        ("[stop]", validate, "validate"),
        ("epochs = 20", "epochs = 0", "epochs"),
    ] {
        std::fs::write(folder.join("c.toml"), whole.replacen(from, to, 1)).unwrap();
        assert!(whole.contains(from), "{from}");
        let text = fail(&folder, &["run", "c.toml"]);
        assert!(text.contains(word), "{to}: {text}");
        assert!(
            calls(root.path()).is_empty(),
            "{to}: labelled before: {text}"
        );
    }
}

#[test]
fn a_scenario_that_the_method_cannot_take_is_refused_before_the_first_label() {
    let dir = tempfile::tempdir().unwrap();
    let frame = |pbc: &str| {
        format!(
            "1\nLattice=\"3 0 0 0 3 0 0 0 20\" Properties=species:S:1:pos:R:3 pbc=\"{pbc}\"\nSi 0 0 0\n"
        )
    };
    std::fs::write(dir.path().join("bulk.xyz"), frame("T T T")).unwrap();
    std::fs::write(dir.path().join("slab.xyz"), frame("T T F")).unwrap();
    std::fs::write(
        dir.path().join("Si.upf"),
        "<UPF><PP_HEADER element=\"Si\"/></UPF>\n",
    )
    .unwrap();
    let label = "kind = \"qe\"\ncommand = \"true\"\nversion = \"7.0\"\ntemplate = \"insulator\"\npseudopotentials.Si = \"Si.upf\"\nvalues = { ECUTWFC = \"40\" }";
    let mut text = CAMPAIGN.replace("@LABEL@", label).replace(
        "start = { prototype = \"diamond\", elements = [\"Si\"], lattice = 5.43 }",
        "start = { file = \"slab.xyz\" }",
    );
    let from = text.find("[[initial]]").unwrap();
    let to = text.find("[grade]").unwrap();
    text.replace_range(from..to, "[[initial]]\nfile = \"bulk.xyz\"\n");
    std::fs::write(dir.path().join("c.toml"), text).unwrap();
    let text = fail(dir.path(), &["run", "c.toml"]);
    assert!(
        text.contains("scenario warm") && text.contains("periodic"),
        "{text}"
    );
    assert!(!text.contains("round 0: label"), "{text}");
}

#[test]
fn a_campaign_starts_from_a_model_of_the_user() {
    let dir = tempfile::tempdir().unwrap();
    let text = CAMPAIGN.replace("@LABEL@", "kind = \"stillinger-weber\"");
    std::fs::write(dir.path().join("c.toml"), &text).unwrap();
    succeed(dir.path(), &["run", "c.toml"]);
    let next = text
        .replace("\"work\"", "\"next\"")
        .replace("[model]", "[model]\nstart = \"work/final/nep.txt\"");
    std::fs::write(dir.path().join("next.toml"), next).unwrap();
    succeed(dir.path(), &["run", "next.toml"]);
    assert!(dir.path().join("next/final/nep.txt").exists());
}

#[test]
fn warnings_of_the_library_are_shown() {
    let dir = tempfile::tempdir().unwrap();
    let text = CAMPAIGN.replace("@LABEL@", "kind = \"stillinger-weber\"");
    std::fs::write(dir.path().join("c.toml"), text).unwrap();
    let frame = "1\nLattice=\"5 0 0 0 5 0 0 0 5\" Properties=species:S:1:pos:R:3\nSi 0 0 0\n";
    std::fs::write(dir.path().join("in.xyz"), frame).unwrap();
    let label = [
        "label",
        "--config",
        "c.toml",
        "--structures",
        "in.xyz",
        "--out",
        "out.xyz",
    ];
    succeed(dir.path(), &label);
    let mut folders = vec![dir.path().join("work/labels/labels")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            match entry.path().is_dir() {
                true => folders.push(entry.path()),
                false => std::fs::write(entry.path(), "damaged").unwrap(),
            }
        }
    }
    let output = run(dir.path(), &label);
    assert!(
        said(&output).contains("warning: ") && said(&output).contains("is damaged"),
        "{}",
        said(&output)
    );
    let json: Vec<&str> = [&["--output-mode", "json"][..], &label].concat();
    std::fs::remove_dir_all(dir.path().join("work/labels/labels")).unwrap();
    assert!(
        said(&run(dir.path(), &json))
            .lines()
            .all(|l| l.starts_with('{'))
    );
}
