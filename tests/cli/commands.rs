//! Each command once, on small input, with the numbers it must give.

use crate::{data, fail, program, run, succeed};
use std::path::Path;

pub fn text(path: &Path) -> String {
    path.to_str().expect("a plain path").to_owned()
}

/// A silicon model and distorted cells, labelled by the model itself.
pub fn silicon(folder: &Path) -> (String, String) {
    let model = text(&data("si_2022_nep4_3body/nep.txt"));
    let reference: serde_json::Value = serde_json::from_str(
        &std::fs::read_to_string(data("si_2022_nep4_3body/ref.json")).unwrap(),
    )
    .unwrap();
    let frame = reference["frames"]
        .as_array()
        .unwrap()
        .iter()
        .find(|f| f["name"] == "random32")
        .unwrap();
    let row = |v: &serde_json::Value| -> Vec<f64> {
        v.as_array()
            .unwrap()
            .iter()
            .map(|x| x.as_f64().unwrap())
            .collect()
    };
    let cell: Vec<f64> = frame["cell"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(row)
        .collect();
    let cell: Vec<String> = cell.iter().map(f64::to_string).collect();
    let mut xyz = format!(
        "32\nLattice=\"{}\" Properties=species:S:1:pos:R:3\n",
        cell.join(" ")
    );
    for r in frame["positions"].as_array().unwrap() {
        let r = row(r);
        xyz.push_str(&format!("Si {} {} {}\n", r[0], r[1], r[2]));
    }
    let structures = folder.join("in.xyz");
    std::fs::write(&structures, xyz).unwrap();
    (model, text(&structures))
}

/// Before anything is read, let alone paid for.
#[test]
fn outputs_that_cannot_be_written_are_refused_first() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), "").unwrap();
    std::fs::write(dir.path().join("nep.in"), "type 1 Si\n").unwrap();
    std::fs::create_dir(dir.path().join("project")).unwrap();
    let (model, structures) = silicon(dir.path());
    let start = ["--active-set", "no", "--structure", "no"];
    let short = ["--temperature", "1", "1", "--steps", "1"];
    let explore = [&["--model", "no"][..], &start, &short].concat();
    let commands = [
        ("label", &["--config", "no", "--structures", "no"][..]),
        ("audit", &["--model", "no", "--train", "no", "--dump", "no"]),
        ("active-set", &["--model", "no", "--structures", "no"]),
        (
            "select",
            &["--model", "no", "--active-set", "no", "--structures", "no"],
        ),
        (
            "fragment",
            &["--model", "no", "--active-set", "no", "--structures", "no"],
        ),
        ("predict", &["--model", "no", "--structures", "no"]),
        ("learning-curve", &["--config", "no", "--train", "no"]),
        ("search", &["--config", "no", "--train", "no"]),
        ("train", &["--config", "nep.in", "--train", "no"]),
        ("export", &["no"]),
        ("explore", &explore),
        ("import", &["project"]),
    ];
    for (command, inputs) in commands {
        // Below a file, and where nobody may write.
        for (out, said) in [("file/below/out", "file/below"), ("/proc/out", "/proc/out")] {
            let arguments = [&[command], inputs, &["--out", out]].concat();
            let error = fail(dir.path(), &arguments);
            assert!(error.contains(said), "{command}: {error}");
        }
        // A folder that is not there is made before the inputs are missed.
        let out = format!("new/{command}/out");
        fail(dir.path(), &[&[command], inputs, &["--out", &out]].concat());
        let made = dir.path().join("new").join(command);
        assert!(made.is_dir(), "{command}");
    }
    // So are the files beside the output.
    for (command, beside) in [
        ("train", "taken/loss.out"),
        ("train", "taken/outliers.xyz"),
        ("train", "taken/out.json"),
        ("learning-curve", "taken/out.svg"),
        ("search", "taken/out.json"),
    ] {
        let folder = dir.path().join(beside);
        std::fs::create_dir_all(&folder).unwrap();
        let inputs = [command, "--config", "nep.in", "--train", "no", "--out"];
        let said = fail(dir.path(), &[&inputs[..], &["taken/out"]].concat());
        assert!(said.contains(beside), "{command}: {said}");
        std::fs::remove_dir(folder).unwrap();
    }
    // And the folder is of use.
    let inputs = ["predict", "--model", &model, "--structures", &structures];
    let out = "made/on/the/way.xyz";
    succeed(dir.path(), &[&inputs[..], &["--out", out]].concat());
    assert!(dir.path().join(out).exists());
    let out = "file/below/out";
    let arguments = [
        "audit", "--model", "no", "--train", "no", "--dump", "no", "--out", "a",
    ];
    let said = fail(dir.path(), &[&arguments[..], &["--json", out]].concat());
    assert!(said.contains("file/below"), "{said}");
    // What a killed run left there goes.
    let left = dir.path().join("a.0123456789abcdef.tmp");
    std::fs::write(&left, "").unwrap();
    std::thread::sleep(std::time::Duration::from_millis(600));
    fail(dir.path(), &arguments);
    assert!(!left.exists());
}

/// What an input holds is not lost to an output, nor one output to another.
#[test]
fn an_output_is_no_other_file_of_the_command() {
    let dir = tempfile::tempdir().unwrap();
    let (model, structures) = silicon(dir.path());
    let before = std::fs::read(&structures).unwrap();
    std::os::unix::fs::symlink(&structures, dir.path().join("link.xyz")).unwrap();
    let same = format!("--out={structures}");
    for (command, out) in [
        ("predict", &["--out", &structures][..]),
        ("predict", &[&same]),
        ("predict", &["--out", "link.xyz"]),
        ("active-set", &["--out", &structures]),
    ] {
        let inputs = [command, "--model", &model, "--structures", &structures];
        let said = fail(dir.path(), &[&inputs[..], out].concat());
        assert!(said.contains("named twice"), "{command} {out:?}: {said}");
        assert!(std::fs::read(&structures).unwrap() == before);
    }
    let audit = ["audit", "--model", "no", "--train", "no", "--dump", "no"];
    let outputs = ["--out", "a", "--json", "./a"];
    assert!(fail(dir.path(), &[&audit[..], &outputs].concat()).contains("named twice"));
    for minutes in ["1e300", "nan", "0"] {
        let outputs = ["--out", "a", "--minutes", minutes];
        let said = fail(dir.path(), &[&audit[..], &outputs].concat());
        assert!(said.contains("--minutes"), "{said}");
    }
}

/// Frames without atoms are as little as no frames.
#[test]
fn files_without_atoms_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (model, _) = silicon(dir.path());
    for (content, word) in [("", "an empty file"), ("0\n\n0\n\n", "2 without any atom")] {
        std::fs::write(dir.path().join("none.xyz"), content).unwrap();
        let inputs = ["active-set", "--model", &model, "--structures", "none.xyz"];
        let said = fail(dir.path(), &[&inputs[..], &["--out", "set.nas"]].concat());
        assert!(said.contains(word), "{said}");
        assert!(!dir.path().join("set.nas").exists());
    }
}

/// A bad cell among many is found by the number of its frame.
#[test]
fn the_frame_of_a_cell_that_is_too_dense_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (model, structures) = silicon(dir.path());
    let make_set = ["active-set", "--model", &model, "--structures", &structures];
    succeed(dir.path(), &[&make_set[..], &["--out", "set.nas"]].concat());
    let text = std::fs::read_to_string(&structures).unwrap();
    let (count, rest) = text.split_once('\n').unwrap();
    let (_, atoms) = rest.split_once('\n').unwrap();
    let dense = format!(
        "{count}\nLattice=\"0.1 0 0 0 0.1 0 0 0 0.1\" Properties=species:S:1:pos:R:3\n{atoms}"
    );
    std::fs::write(
        dir.path().join("bad.xyz"),
        format!("{text}{text}{dense}{text}"),
    )
    .unwrap();
    let labelled = |text: &str| text.replace("Properties", "energy=-1 Properties");
    let frames = [&text, &text, &dense, &text].map(|t| labelled(t));
    std::fs::write(dir.path().join("lab.xyz"), frames.concat()).unwrap();
    std::fs::write(dir.path().join("good.xyz"), labelled(&text)).unwrap();
    std::fs::write(dir.path().join("nep.in"), "type 1 Si\n").unwrap();
    let with_model = ["--model", &model, "--out", "o"];
    let with_set = ["--model", &model, "--active-set", "set.nas", "--out", "o"];
    for (command, arguments) in [
        (
            "active-set",
            [&["--structures", "bad.xyz"], &with_model[..]].concat(),
        ),
        (
            "predict",
            [&["--structures", "bad.xyz"], &with_model[..]].concat(),
        ),
        (
            "select",
            [&["--structures", "bad.xyz"], &with_set[..]].concat(),
        ),
        (
            "fragment",
            [&["--structures", "bad.xyz"], &with_set[..]].concat(),
        ),
        (
            "audit",
            [
                &["--train", "good.xyz", "--dump", "lab.xyz"],
                &with_model[..],
            ]
            .concat(),
        ),
        (
            "train",
            vec!["--config", "nep.in", "--train", "lab.xyz", "--out", "o"],
        ),
        (
            "search",
            vec!["--config", "nep.in", "--train", "lab.xyz", "--out", "o"],
        ),
        (
            "learning-curve",
            vec!["--config", "nep.in", "--train", "lab.xyz", "--out", "o"],
        ),
    ] {
        let said = fail(dir.path(), &[&[command], &arguments[..]].concat());
        assert!(said.contains("frame 3: with 32 atoms"), "{command}: {said}");
    }
}

#[test]
fn json_mode_speaks_json_with_a_schema() {
    let dir = tempfile::tempdir().unwrap();
    let out = succeed(dir.path(), &["--output-mode", "json", "doctor"]);
    let value: serde_json::Value = serde_json::from_str(out.trim()).unwrap();
    assert_eq!(value["schema"], 1);
    assert_eq!(value["kind"], "doctor");
    // What is found is tried: nepal itself everywhere, and a program that is there and fails is told of.
    let findings = value["data"]["findings"].as_array().unwrap();
    assert_eq!(findings[0]["works"], true, "{value}");
    let bin = dir.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    let lmp = bin.join("lmp");
    std::fs::write(&lmp, "#!/bin/sh\necho 'no licence'\nexit 3\n").unwrap();
    std::fs::set_permissions(&lmp, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/bin:/bin", bin.display());
    let said = program().arg("doctor").env("PATH", path).output().unwrap();
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let line = said.lines().find(|l| l.starts_with("BAD  LAMMPS"));
    assert!(line.is_some_and(|l| l.contains("no licence")), "{said}");
    let error = fail(
        dir.path(),
        &[
            "--output-mode",
            "json",
            "predict",
            "--model",
            "no.txt",
            "--structures",
            "a",
            "--out",
            "b",
        ],
    );
    let value: serde_json::Value = serde_json::from_str(error.trim()).unwrap();
    assert!(value["text"].as_str().unwrap().contains("no.txt"));
}

#[test]
fn errors_say_where_and_what_and_leave_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let (model, _) = silicon(dir.path());
    std::fs::write(dir.path().join("bad.xyz"), "1\n\nSi 0 0 nan\n").unwrap();
    std::fs::write(dir.path().join("iron.xyz"), "1\n\nFe 0 0 0\n").unwrap();
    let predict = |file: &str| {
        fail(
            dir.path(),
            &[
                "predict",
                "--model",
                &model,
                "--structures",
                file,
                "--out",
                "o.xyz",
            ],
        )
    };
    assert!(predict("bad.xyz").contains("bad.xyz:3:"));
    let message = predict("iron.xyz");
    assert!(
        message.contains("iron.xyz, frame 1") && message.contains("Fe"),
        "{message}"
    );
    assert!(!dir.path().join("o.xyz").exists());
    // Misuse of the command line has a status of its own.
    assert_eq!(run(dir.path(), &["predict"]).status.code(), Some(2));
}

#[test]
fn init_writes_a_campaign_that_loads_and_never_overwrites() {
    let dir = tempfile::tempdir().unwrap();
    let arguments = [
        "init",
        "--elements",
        "Si",
        "--prototype",
        "diamond",
        "--lattice",
        "5.43",
        "--label",
        "stillinger-weber",
        "c.toml",
    ];
    succeed(dir.path(), &arguments);
    assert!(succeed(dir.path(), &["status", "c.toml"]).contains("not started"));
    assert!(fail(dir.path(), &arguments).contains("c.toml"));
    // Each method's start is a campaign that loads, whether or not its program is here.
    for method in [
        "cp2k", "qe", "vasp", "abinit", "ase", "lammps", "nep", "command",
    ] {
        let file = format!("{method}.toml");
        let arguments = [
            "init",
            "--elements",
            "Na",
            "Cl",
            "--prototype",
            "rocksalt",
            "--lattice",
            "5.64",
            "--label",
            method,
            &file,
        ];
        succeed(dir.path(), &arguments);
        let text = std::fs::read_to_string(dir.path().join(&file)).unwrap();
        assert!(!text.contains('@'), "{text}");
    }
    let unknown = [
        "init",
        "--elements",
        "Si",
        "--prototype",
        "diamond",
        "--lattice",
        "5.43",
        "--label",
        "dftb",
        "x.toml",
    ];
    assert!(fail(dir.path(), &unknown).contains("vasp"));
}

#[test]
fn a_dry_run_tells_what_would_be_labelled_and_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let silicon = ["--elements", "Si", "--prototype", "diamond"];
    let rest = ["--lattice", "5.43", "--label", "stillinger-weber"];
    let with = ["--with", "rattle", "vacancies"];
    let all = [&["init", "c.toml"], &silicon[..], &rest, &with].concat();
    succeed(dir.path(), &all);
    let said = succeed(dir.path(), &["run", "--dry-run", "c.toml"]);
    assert!(said.contains("to compute"), "{said}");
    assert!(
        said.contains("at most 15 a round in 10 rounds") && said.contains("by a potential"),
        "{said}"
    );
    assert!(!dir.path().join("work").exists());
    let out = succeed(
        dir.path(),
        &["--output-mode", "json", "step", "--dry-run", "c.toml"],
    );
    let value: serde_json::Value = serde_json::from_str(out.trim()).unwrap();
    assert!(value["data"]["to_compute"] == 28, "{value}");
    let cited = succeed(dir.path(), &["cite", "c.toml"]);
    assert!(cited.contains("stillinger1985") && cited.contains("fan2021nep"));
}

#[test]
fn every_strategy_is_a_campaign_that_runs() {
    let dir = tempfile::tempdir().unwrap();
    for (strategy, words) in [
        ("dynamics", "name = \"heat\""),
        ("hal", "kind = \"hal\""),
        ("anharmonic", "kind = \"anharmonic\""),
        ("active", "kind = \"active\""),
        ("composition", "[explore.start.composition]"),
    ] {
        let file = format!("{strategy}.toml");
        let arguments = format!(
            "init {file} --strategy {strategy} --elements Cu,Au --prototype {} --lattice 3.9 --label command",
            if strategy == "composition" {
                "fcc"
            } else {
                "rocksalt"
            }
        );
        succeed(dir.path(), &arguments.split(' ').collect::<Vec<_>>());
        let text = std::fs::read_to_string(dir.path().join(&file)).unwrap();
        assert!(
            text.contains(words) && text.contains("name = \"heat\""),
            "{text}"
        );
        let said = succeed(dir.path(), &["run", "--dry-run", &file]);
        assert!(said.contains("to compute"), "{strategy}: {said}");
    }
    let one = "init one.toml --strategy composition --elements Cu --prototype fcc --lattice 3.6 --label command";
    let error = fail(dir.path(), &one.split(' ').collect::<Vec<_>>());
    assert!(error.contains("two elements"), "{error}");
}

#[test]
fn shells_and_man_learn_the_commands() {
    let dir = tempfile::tempdir().unwrap();
    let script = succeed(dir.path(), &["completions", "bash"]);
    assert!(script.contains("active-set") && script.contains("complete -F"));
    succeed(dir.path(), &["man", "man1"]);
    let page = std::fs::read_to_string(dir.path().join("man1/nepal-loop-run.1")).unwrap();
    assert!(page.contains("dry"), "{page}");
    let version = succeed(dir.path(), &["--version"]);
    assert!(version.contains("commit") && version.contains("features"));
}

#[test]
fn a_structure_of_no_format_is_told() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("notes.txt"), "no\nstructure\n").unwrap();
    let said = fail(
        dir.path(),
        &[
            "init",
            "c.toml",
            "--structure",
            "notes.txt",
            "--label",
            "nep",
        ],
    );
    assert!(
        said.contains("notes.txt: ") && said.contains("ASE"),
        "{said}"
    );
}
