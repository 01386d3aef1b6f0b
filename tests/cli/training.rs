//! Training and what belongs to it: side files, posterior, baselines, other trainers, studies.

use crate::{data, fail, program, root, succeed};
use nepal::system::xyz;
use nepal::{BackendKind, Frame, Model};
use nepal_train::{Restart, read_errors};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

const SETTINGS: &str = "type 2 Te Pb\ncutoff 6 4\nn_max 2 2\nbasis_size 4 4\nl_max 3 1\nneuron 5\n";

/// A folder with nep.in and 24 frames of six runs in train.xyz, labelled by a model.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let some = xyz::read_frames(data("gnep_trace/train.xyz")).unwrap();
    let model = Model::load(data("gnep_trace/nep.txt")).unwrap();
    let mut frames: Vec<Frame> = (0..24)
        .map(|k| {
            let mut frame = Frame::new(some[k % some.len()].structure.clone());
            for (i, r) in frame.structure.positions.iter_mut().enumerate() {
                r[k % 3] += 0.015 * ((7 * i + 3 * k) % 13) as f64;
                r[(k + 1) % 3] += 0.015 * ((5 * i + k) % 17) as f64;
            }
            let run = format!("run{}", k / 4);
            frame.info.insert("trajectory".into(), run);
            frame
        })
        .collect();
    let found = nepal_train::predict(&model, &frames, BackendKind::Cpu).unwrap();
    for (frame, p) in frames.iter_mut().zip(found) {
        frame.energy = Some(p.energy);
        frame.forces = Some(p.forces);
        frame.virial = Some(p.virial);
    }
    xyz::write_frames(dir.path().join("train.xyz"), &frames).unwrap();
    std::fs::write(dir.path().join("nep.in"), SETTINGS).unwrap();
    dir
}

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

fn json(path: &Path) -> serde_json::Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn a_training_leaves_everything_that_is_needed_to_go_on() {
    let dir = folder();
    let at = |name: &str| dir.path().join(name);
    succeed(
        dir.path(),
        &words(
            "train --config nep.in --train train.xyz --hold-out 0.3 --epochs 60 --threads 1 \
             --posterior posterior.json --committee 2 --out nep.txt",
        ),
    );
    let record = json(&at("nep.json"));
    assert_eq!(record["split"], "the key trajectory");
    assert_eq!(record["train_size"][0], 16);
    assert_eq!(record["test_size"][0], 8);
    assert_eq!(record["calibration"]["held_out"], true);
    for set in ["train", "test"] {
        let read = read_errors(dir.path(), set).unwrap();
        let told = record[set]["force_rmse"].as_f64().unwrap();
        assert!((read.force_rmse.unwrap() - told).abs() < 1e-9 * told);
        assert!(at(&format!("stress_{set}.out")).exists());
    }
    assert!(at("outliers.txt").exists() && at("loss.out").exists());
    let model = Model::load(at("nep.txt")).unwrap();
    let members = ["nep_1.txt", "nep_2.txt"].map(|n| Model::load(at(n)).unwrap());
    assert!(members[0] != members[1] && members[0] != model);

    succeed(
        dir.path(),
        &words(
            "predict --model nep.txt --structures train.xyz --posterior posterior.json --out out.xyz",
        ),
    );
    let out = xyz::read_frames(at("out.xyz")).unwrap();
    let (std, _) = out[3].real_column("force_std").unwrap();
    assert!(std.len() == out[3].len() && std.iter().all(|s| *s > 0.0));
    assert!(out[3].info["energy_std"].parse::<f64>().unwrap() > 0.0);
    let wrong =
        "predict --model nep_1.txt --structures train.xyz --posterior posterior.json --out o.xyz";
    assert!(fail(dir.path(), &words(wrong)).contains("another model"));

    // The state for GPUMD is the model: going on from it starts with the model's errors.
    let restart = Restart::load(at("nep.restart")).unwrap();
    assert_eq!(restart.mean.len(), model.parameters().len());
    let first = record["train"]["force_rmse"].as_f64().unwrap();
    std::fs::create_dir(at("again")).unwrap();
    let mut kept = xyz::read_frames(at("train.xyz")).unwrap();
    // The same training set as before, which the descriptor scales come from.
    let test = read_forces(&at("force_test.out"));
    kept.retain(|f| !test.contains(&f.forces.as_ref().unwrap()[0]));
    assert_eq!(kept.len(), 16);
    xyz::write_frames(at("kept.xyz"), &kept).unwrap();
    succeed(
        dir.path(),
        &words(
            "train --config nep.in --train kept.xyz --init nep.restart --epochs 1 --threads 1 --out again/nep.txt",
        ),
    );
    let loss = nepal_train::read_loss(at("again/loss.out")).unwrap();
    assert!(
        (loss[0].train[1] - first).abs() < 1e-3 * first,
        "{loss:?} {first}"
    );

    // GPUMD's prediction mode.
    std::fs::create_dir(at("predicted")).unwrap();
    std::fs::write(at("prediction.in"), format!("{SETTINGS}prediction 1\n")).unwrap();
    succeed(
        dir.path(),
        &words("train --config prediction.in --train kept.xyz --out predicted/nep.txt"),
    );
    let again = read_errors(at("predicted"), "train").unwrap();
    assert!((again.force_rmse.unwrap() - first).abs() < 1e-6 * first);
    assert!(!at("predicted/nep.txt").exists());
}

/// Target forces of a `force_*.out`.
fn read_forces(path: &Path) -> Vec<[f64; 3]> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| {
            let numbers: Vec<f64> = words(line).iter().map(|w| w.parse().unwrap()).collect();
            [numbers[3], numbers[4], numbers[5]]
        })
        .collect()
}

#[test]
fn a_baseline_comes_off_and_is_added_on_request() {
    let dir = folder();
    let at = |name: &str| dir.path().join(name);
    // What this baseline misses is nothing: it labelled the frames.
    std::fs::copy(data("gnep_trace/nep.txt"), at("base.txt")).unwrap();
    std::fs::create_dir(at("delta")).unwrap();
    succeed(
        dir.path(),
        &words(
            "train --config nep.in --train train.xyz --baseline base.txt --epochs 20 --threads 1 --out delta/nep.txt",
        ),
    );
    let record = json(&at("delta/nep.json"));
    assert!(record["baseline"]["digest"].as_str().unwrap().len() == 16);
    assert!(record["train"]["force_rmse"].as_f64().unwrap() < 0.02);
    let predict = "predict --model delta/nep.txt --structures train.xyz --out sum.xyz";
    succeed(
        dir.path(),
        &words(&format!("{predict} --add-baseline delta/nep.json")),
    );
    let sum = xyz::read_frames(at("sum.xyz")).unwrap();
    let labels = xyz::read_frames(at("train.xyz")).unwrap();
    for (a, b) in sum.iter().zip(&labels) {
        let off = (a.energy.unwrap() - b.energy.unwrap()).abs() / a.len() as f64;
        assert!(off < 0.02, "{off}");
        assert_eq!(a.info["baseline"], "added");
    }
    std::fs::copy(at("delta/nep.txt"), at("base.txt")).unwrap();
    let error = fail(
        dir.path(),
        &words(&format!("{predict} --add-baseline delta/nep.json")),
    );
    assert!(error.contains("has changed since training"), "{error}");
}

/// Processes that a launcher numbered train one model, to the last digit that of one.
#[test]
fn processes_train_together() {
    let dir = folder();
    let at = |name: &str| dir.path().join(name);
    let line = "train --config nep.in --train train.xyz --epochs 300 --threads 1 --out";
    succeed(dir.path(), &words(&format!("{line} one/nep.txt")));
    let start = |out: &str, rank: usize, size: usize, epochs: &str| {
        let line = line.replace("300", epochs);
        let mut command = program();
        command.current_dir(dir.path());
        command.args(words(&format!("{line} {out}")));
        command.env("NEPAL_RANK", rank.to_string());
        command.env("NEPAL_RANKS", size.to_string());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    for size in [2, 3] {
        let out = format!("{size}/nep.txt");
        let all: Vec<_> = (0..size).map(|k| start(&out, k, size, "300")).collect();
        for (rank, child) in all.into_iter().enumerate() {
            let output = child.wait_with_output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{said}");
            // One speaks for all.
            assert_eq!(
                said.contains("processes train together"),
                rank == 0,
                "{said}"
            );
            assert_eq!(output.stdout.is_empty(), rank > 0);
        }
        assert_eq!(
            std::fs::read(at(&out)).unwrap(),
            std::fs::read(at("one/nep.txt")).unwrap()
        );
        assert!(!at(&out).with_extension("ranks").exists());
    }
    // One that is killed ends all, with a sentence, and what is there goes on.
    let mut all: Vec<_> = (0..2)
        .map(|k| start("killed/nep.txt", k, 2, "2000000"))
        .collect();
    let begin = Instant::now();
    while at("killed/nep.ranks").exists() || !at("killed").exists() {
        assert!(begin.elapsed().as_secs() < 60, "they do not meet");
        std::thread::sleep(Duration::from_millis(50));
    }
    std::thread::sleep(Duration::from_millis(500));
    all[1].kill().unwrap();
    all[1].wait().unwrap();
    let output = all.swap_remove(0).wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("number 1 (counted from 0) ended"), "{said}");
    // What a launcher says that cannot be.
    let mut command = program();
    command
        .current_dir(dir.path())
        .args(words(&format!("{line} o.txt")));
    let output = command
        .env("NEPAL_RANK", "3")
        .env("NEPAL_RANKS", "2")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("NEPAL_RANK=\"3\""), "{said}");
}

#[test]
#[needs(Python3)]
fn gpumds_program_trains_where_it_is() {
    let dir = folder();
    let at = |name: &str| dir.path().join(name);
    succeed(
        dir.path(),
        &words("train --config nep.in --train train.xyz --epochs 3 --out model.txt"),
    );
    let script = root().join("tests/support/fake_nep.py");
    std::fs::copy(script, at("fake_nep.py")).unwrap();
    std::fs::write(at("gpumd.in"), format!("{SETTINGS}generation 300\n")).unwrap();
    std::fs::create_dir(at("out")).unwrap();
    let script = at("fake_nep.py").display().to_string();
    let mut arguments =
        words("train --config gpumd.in --train train.xyz --trainer gpumd --out out/nep.txt");
    arguments.extend(["--program", "python3", &script]);
    succeed(dir.path(), &arguments);
    assert_eq!(
        Model::load(at("out/nep.txt")).unwrap(),
        Model::load(at("model.txt")).unwrap()
    );
    let record = json(&at("out/nep.json"));
    assert!(
        record["trainer"]
            .as_str()
            .unwrap()
            .starts_with("GPUMD: python3")
    );
    assert_eq!(record["epochs"], 300);
    assert!(at("out/gpumd/nep.in").exists() && at("out/force_train.out").exists());
}

#[test]
fn bad_frames_stop_a_training_or_are_left_out() {
    let dir = folder();
    let at = |name: &str| dir.path().join(name);
    let mut frames = xyz::read_frames(at("train.xyz")).unwrap();
    let double = frames[2].clone();
    frames.push(double);
    for f in frames[6].forces.as_mut().unwrap().as_flattened_mut() {
        *f /= 51.42;
    }
    frames[9].structure.elements[0] = nepal::Element::from_symbol("Si").unwrap();
    frames[13].forces.as_mut().unwrap()[2][1] = f64::NAN;
    xyz::write_frames(at("bad.xyz"), &frames).unwrap();
    let train = "train --train bad.xyz --epochs 2 --threads 1 --out nep.txt";
    let error = fail(dir.path(), &words(&format!("{train} --config nep.in")));
    assert!(error.contains("frame 10: atom 1 is Si"), "{error}");
    assert!(
        error.contains("frame 14: the force on atom 3 is not a finite"),
        "{error}"
    );
    std::fs::write(at("drop.in"), format!("{SETTINGS}bad_data drop\n")).unwrap();
    succeed(dir.path(), &words(&format!("{train} --config drop.in")));
    let record = json(&at("nep.json"));
    let warnings = record["warnings"].to_string();
    assert!(warnings.contains("does not list: left out"), "{warnings}");
    assert!(
        warnings.contains("exactly: left out (frames 25)"),
        "{warnings}"
    );
    // Predictions keep the order of the file: what was left out has a row, but no numbers.
    let energies = std::fs::read_to_string(at("energy_train.out")).unwrap();
    let rows: Vec<&str> = energies.lines().collect();
    assert_eq!(rows.len(), 25);
    assert!(rows[9].starts_with("-1e+06 ") && !rows[8].starts_with("-1e+06"));
}

#[test]
fn studies_write_table_plot_and_numbers() {
    let dir = folder();
    let at = |name: &str| dir.path().join(name);
    let text = succeed(
        dir.path(),
        &words(
            "learning-curve --config nep.in --train train.xyz --fractions 0.25 0.5 1 --seeds 1 \
             --budget 0.03 --threads 1 --out curve.json",
        ),
    );
    assert!(text.contains("held out"), "{text}");
    let curve = json(&at("curve.json"));
    assert_eq!(curve["points"].as_array().unwrap().len(), 3);
    assert!(at("curve.svg").exists());
    succeed(
        dir.path(),
        &words(
            "search --config nep.in --train train.xyz --candidates 3 --budget 0.05 --threads 1 --out best.in",
        ),
    );
    let search = json(&at("best.json"));
    assert_eq!(search["candidates"].as_array().unwrap().len(), 3);
    assert!(at("best.svg").exists());
    let best = nepal_train::NepIn::load(at("best.in")).unwrap();
    assert_eq!(best.elements.len(), 2);
}

#[test]
fn labels_under_other_keys_are_found_or_named() {
    let dir = folder();
    let text = std::fs::read_to_string(dir.path().join("train.xyz")).unwrap();
    let put = |name: &str, text: String| std::fs::write(dir.path().join(name), text).unwrap();
    let renamed = text
        .replace(" energy=", " REF_energy=")
        .replace(":forces:", ":REF_forces:");
    put("ref.xyz", renamed.replace(" virial=", " REF_virial="));
    put("mlip.xyz", text.replace(" energy=", " mlip_energy="));
    put(
        "zero.xyz",
        text.replace(" energy=", " energy=0 REF_energy="),
    );
    let train = |file: &str, more: &str| {
        let line = format!(
            "train --config nep.in --train {file} --epochs 2 --threads 1 --out m.txt {more}"
        );
        let output = crate::run(dir.path(), &words(&line));
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{told}");
        let out = String::from_utf8(output.stdout).unwrap();
        (out.lines().next().unwrap_or_default().to_owned(), told)
    };
    let (usual, told) = train("train.xyz", "");
    assert!(!told.contains("warning"), "{told}");
    assert_eq!(train("ref.xyz", "").0, usual);
    let (errors, told) = train("mlip.xyz", "");
    assert!(
        errors != usual && told.contains("mlip_energy (24 frames)"),
        "{told}"
    );
    assert_eq!(train("mlip.xyz", "--energy-key mlip_energy").0, usual);
    let (_, told) = train("zero.xyz", "");
    assert!(
        told.contains("is 0 in all 24 frame(s)") && told.contains("REF_energy"),
        "{told}"
    );
    assert_eq!(train("zero.xyz", "--energy-key REF_energy").0, usual);
}

#[test]
fn what_would_fail_at_the_end_fails_at_the_start() {
    let dir = folder();
    let line = |more: &str| format!("train --config nep.in --train train.xyz --threads 1 {more}");
    for (more, word) in [
        ("--budget 1e300 --out m.txt", "--budget is 1e300"),
        ("--budget 0 --out m.txt", "--budget is 0"),
        ("--epochs 1 --out .", "is a folder"),
        ("--epochs 1 --out nep.in/m.txt", "nep.in"),
    ] {
        let told = fail(dir.path(), &words(&line(more)));
        assert!(told.contains(word), "{told}");
        assert!(!dir.path().join("m.txt").exists());
    }
    succeed(
        dir.path(),
        &words(&line("--epochs 1 --out new/folder/m.txt")),
    );
    assert!(dir.path().join("new/folder/m.txt").exists());
    let study = "learning-curve --config nep.in --train train.xyz --budget 1e300 --out c.json";
    assert!(fail(dir.path(), &words(study)).contains("positive number of minutes"));
}

#[test]
fn a_path_that_is_not_utf8_is_a_path() {
    use std::os::unix::ffi::OsStrExt;
    let dir = folder();
    let out = std::ffi::OsStr::from_bytes(b"m\xff.txt");
    let output = crate::program()
        .current_dir(dir.path())
        .args(words(
            "--output-mode json train --config nep.in --train train.xyz --epochs 1 --out",
        ))
        .arg(out)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(dir.path().join(out).exists());
}
