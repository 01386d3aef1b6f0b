//! Campaigns that learn what a baseline misses.

use crate::campaign::{BUILT_IN, CAMPAIGN};
use crate::commands::text;
use crate::{fail, root, succeed};
use nepal::system::xyz;
use std::path::Path;

const VALIDATE: &str = r#"
[validate]
crystal = { prototype = "diamond", elements = ["Si"], lattice = 5.43 }
temperatures = [300]
steps = 60
"#;

fn write(folder: &Path, model: &str, more: &str) {
    let campaign = CAMPAIGN
        .replace("@LABEL@", BUILT_IN)
        .replace("first_epochs = 60", &format!("first_epochs = 60\n{model}"));
    std::fs::write(folder.join("c.toml"), campaign + more).unwrap();
}

fn json(path: &Path) -> serde_json::Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap()
}

/// The baseline is the reference method itself, so that there is nothing left to learn: what goes by the model alone
/// anywhere is far from right.
#[test]
fn a_campaign_goes_by_the_sum_of_model_and_baseline() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join("work").join(name);
    std::fs::write(dir.path().join("base.toml"), BUILT_IN).unwrap();
    write(dir.path(), "baseline = \"base.toml\"", VALIDATE);
    succeed(dir.path(), &["run", "c.toml"]);
    // Labels are whole, with the baseline beside them.
    let labels = xyz::read_frames(at("round-00/labelled.xyz")).unwrap();
    for frame in &labels {
        let base: f64 = frame.info["baseline_energy"].parse().unwrap();
        assert!(frame.energy.unwrap() < -30.0 && (frame.energy.unwrap() - base).abs() < 1e-9);
    }
    let training = json(&at("final/training.json"));
    for set in ["train", "test"] {
        let error = training[set]["force_rmse"].as_f64().unwrap();
        assert!(error < 0.05, "{set} {error}");
    }
    // Crystal, elastic constants and fresh frames are those of the sum.
    let validation = json(&at("final/validation.json"));
    for property in validation["properties"].as_array().unwrap() {
        let [a, b] = ["reference", "model"].map(|k| property[k].as_f64().unwrap());
        assert!((a - b).abs() <= 0.05 * a.abs(), "{property}");
    }
    assert!(
        validation["fresh"][0]["errors"]["force_rmse"]
            .as_f64()
            .unwrap()
            < 0.05
    );
    let report = std::fs::read_to_string(at("report.html")).unwrap();
    assert!(report.contains("baseline"));
    let parity = std::fs::read_to_string(at("figures/parity-energy-test-set.csv")).unwrap();
    assert!(parity.lines().nth(1).unwrap().contains("-4."), "{parity}");
    // What is handed on says what it needs, and gives it.
    let (model, side) = (text(&at("final/nep.txt")), text(&at("final/nep.json")));
    let test = text(&at("round-00/test.xyz"));
    let inputs = ["predict", "--model", &model, "--structures", &test];
    let sum = ["--add-baseline", &side, "--out", "sum.xyz"];
    succeed(dir.path(), &[&inputs[..], &sum].concat());
    let sum = xyz::read_frames(dir.path().join("sum.xyz")).unwrap();
    for (a, b) in sum.iter().zip(xyz::read_frames(&test).unwrap()) {
        assert!((a.energy.unwrap() - b.energy.unwrap()).abs() < 0.02 * a.len() as f64);
    }
    let set = text(&at("final/active_set.asi"));
    let inputs = [
        "explore",
        "--model",
        &model,
        "--active-set",
        &set,
        "--structure",
        &test,
    ];
    let how = [
        "--temperature",
        "300",
        "300",
        "--steps",
        "20",
        "--out",
        "kept.xyz",
    ];
    succeed(
        dir.path(),
        &[&inputs[..], &how, &["--add-baseline", &side]].concat(),
    );
    // Another baseline is another campaign.
    std::fs::write(
        dir.path().join("base.toml"),
        format!("kind = \"nep\"\nmodel = \"{model}\"\n"),
    )
    .unwrap();
    let said = fail(
        dir.path(),
        &[&inputs[..], &how, &["--add-baseline", &side]].concat(),
    );
    assert!(said.contains("has changed since training"), "{said}");
}

#[test]
fn what_knows_the_model_alone_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let dipole = root().join("tests/data/water_dipole_nep4/nep.txt");
    let engine = "\n[explore.engine]\nkind = \"lammps\"\ncommand = [\"lmp\"]\n";
    let other = |explore: &str, select: &str| {
        let file = dir.path().join("c.toml");
        write(dir.path(), "baseline = \"b.toml\"", "");
        let found = std::fs::read_to_string(&file).unwrap();
        let found = found.replace("steps = 300\n", &format!("steps = 300\n{explore}"));
        let found = found.replace("[select]\n", &format!("[select]\n{select}\n"));
        std::fs::write(&file, found).unwrap();
        fail(dir.path(), &["run", "c.toml"])
    };
    let said = other(engine, "");
    assert!(said.contains("would run the model without it"), "{said}");
    let said = other("", "method = \"almomd\"");
    assert!(said.contains("almomd"), "{said}");
    let said = other("", "");
    assert!(
        said.contains("model] baseline") && said.contains("b.toml"),
        "{said}"
    );
    write(dir.path(), "baseline = \"keys\"", "");
    let said = fail(dir.path(), &["run", "c.toml"]);
    assert!(
        said.contains("exploration needs it for new structures"),
        "{said}"
    );
    write(
        dir.path(),
        &format!("baseline = \"{}\"", dipole.display()),
        "",
    );
    let said = fail(dir.path(), &["run", "c.toml"]);
    assert!(said.contains("no energies"), "{said}");
}

/// A calculator of ASE is started once and answers structure after structure.
#[test]
#[needs(Python)]
fn a_function_in_python_is_asked_again_and_again() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let function = "import os\nimport numpy as np\nprint('noise')\nopen(os.environ['COUNT'], 'a').write('x')\n\
        def pair(atoms, k):\n    if len(atoms) > 40: raise ValueError('too large')\n    \
        d = atoms.get_all_distances(mic=True)\n    v = atoms.get_all_distances(mic=True, vector=True)\n    \
        near = (d > 0) & (d < 2.8)\n    x = np.where(near, d - 2.35, 0)\n    n = v / np.where(d > 0, d, 1)[..., None]\n    \
        print('noise')\n    f = k * (x[..., None] * n).sum(1)\n    \
        return {'energy': k / 4 * (x**2).sum(), 'forces': f, 'stress': np.zeros(6)}\n";
    std::fs::write(at("pair.py"), function).unwrap();
    let python = root().join("target/python/bin/python");
    let table = format!(
        "kind = \"ase\"\npython = \"{}\"\nfunction = \"pair.py:pair\"\narguments = {{ k = 4.0 }}\n\
         env = {{ COUNT = \"{}\" }}\n",
        python.display(),
        at("count").display()
    );
    std::fs::write(at("base.toml"), table).unwrap();
    write(dir.path(), "baseline = \"base.toml\"", "");
    let campaign = std::fs::read_to_string(at("c.toml")).unwrap();
    let campaign = campaign
        .replace("max_rounds = 2", "max_rounds = 1")
        .replace("steps = 300", "steps = 40");
    std::fs::write(at("c.toml"), campaign).unwrap();
    succeed(dir.path(), &["run", "c.toml"]);
    let training = json(&at("work/final/training.json"));
    assert!(training["test"]["force_rmse"].as_f64().unwrap() < 2.0);
    let started = std::fs::read_to_string(at("count")).unwrap().len();
    assert!((2..12).contains(&started), "{started} programs");
    // Its own words where it cannot answer.
    let crystal = xyz::read_frames(at("work/round-00/test.xyz")).unwrap()[0]
        .structure
        .repeated([2, 2, 2]);
    let frame = nepal::Frame::new(crystal.unwrap());
    xyz::write_frames(at("large.xyz"), [&frame]).unwrap();
    let said = fail(
        dir.path(),
        &[
            "predict",
            "--model",
            "work/final/nep.txt",
            "--structures",
            "large.xyz",
            "--add-baseline",
            "work/final/nep.json",
            "--out",
            "o.xyz",
        ],
    );
    assert!(said.contains("too large"), "{said}");
}
