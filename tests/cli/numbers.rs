//! Commands that give numbers: those of the library.

use crate::commands::{silicon, text};
use crate::{data, program, run, succeed};
use nepal::system::xyz;
use nepal::{BackendKind, Calculator, Model, Request};
use std::path::Path;
use std::sync::Arc;

#[test]
fn a_named_instruction_set_runs_or_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (model, structures) = silicon(dir.path());
    let predict = |simd: &str| {
        let arguments = ["predict", "--model", &model, "--structures", &structures];
        let mut command = program();
        command.args(arguments).args(["--out", "out.xyz"]);
        let command = command.current_dir(dir.path()).env("NEPAL_SIMD", simd);
        command.output().unwrap()
    };
    assert!(predict("scalar").status.success());
    let refused = predict("sse9");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(
        !refused.status.success() && said.contains("NEPAL_SIMD is \"sse9\""),
        "{said}"
    );
    let mut version = program();
    let told = version
        .arg("--version")
        .env("NEPAL_SIMD", "scalar")
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&told.stdout).contains("models on scalar"));
}

#[test]
fn training_writes_a_model_that_predicts() {
    let dir = tempfile::tempdir().unwrap();
    let (model, structures) = silicon(dir.path());
    succeed(
        dir.path(),
        &[
            "predict",
            "--model",
            &model,
            "--structures",
            &structures,
            "--out",
            "train.xyz",
        ],
    );
    std::fs::write(
        dir.path().join("nep.in"),
        "type 1 Si\ncutoff 5 4\nn_max 3 3\nbasis_size 4 4\nl_max 2 0 0\nneuron 5\n",
    )
    .unwrap();
    let train = [
        "train",
        "--config",
        "nep.in",
        "--train",
        "train.xyz",
        "--epochs",
        "30",
        "--out",
        "nep.txt",
    ];
    succeed(dir.path(), &train);
    let first = std::fs::read(dir.path().join("nep.txt")).unwrap();
    assert!(dir.path().join("loss.out").exists());
    succeed(
        dir.path(),
        &[
            "predict",
            "--model",
            "nep.txt",
            "--structures",
            "train.xyz",
            "--out",
            "again.xyz",
        ],
    );
    succeed(dir.path(), &train);
    assert_eq!(
        first,
        std::fs::read(dir.path().join("nep.txt")).unwrap(),
        "not reproducible"
    );
}

/// A crystal of 512 atoms, one of them off its place, and a set that knows the crystal only.
fn disturbed(folder: &Path) -> nepal::Structure {
    let silicon = nepal::Element::from_symbol("Si").unwrap();
    let crystal = |n| nepal_loop::explore::generate::crystal("diamond", &[silicon], 5.43, [n; 3]);
    let known: Vec<nepal::Frame> = (0..6)
        .map(|k| {
            let distortion = nepal_loop::explore::generate::Distortion {
                strain: 0.01,
                rattle: 0.02 + 0.01 * k as f64,
                ..Default::default()
            };
            let cell = crystal(2).unwrap();
            let moved = nepal_loop::explore::generate::distort(&cell, &distortion, k).unwrap();
            nepal::Frame::new(moved)
        })
        .collect();
    xyz::write_frames(folder.join("known.xyz"), &known).unwrap();
    let distortion = nepal_loop::explore::generate::Distortion {
        rattle: 0.03,
        ..Default::default()
    };
    let cell = crystal(4).unwrap();
    let mut parent = nepal_loop::explore::generate::distort(&cell, &distortion, 9).unwrap();
    parent.positions[100][0] += 0.6;
    let mut frame = nepal::Frame::new(parent.clone());
    frame.info.insert("step".into(), "1234".into());
    let quiet = nepal::Frame::new(crystal(2).unwrap());
    xyz::write_frames(folder.join("dump.xyz"), &[quiet, frame]).unwrap();
    parent
}

#[test]
fn fragments_from_files_are_those_of_rust() {
    let dir = tempfile::tempdir().unwrap();
    let parent = disturbed(dir.path());
    let path = text(&data("si_2022_nep4_3body/nep.txt"));
    succeed(
        dir.path(),
        &[
            "active-set",
            "--model",
            &path,
            "--structures",
            "known.xyz",
            "--out",
            "set.nas",
        ],
    );
    let arguments = [
        "fragment",
        "--model",
        &path,
        "--active-set",
        "set.nas",
        "--structures",
        "dump.xyz",
        "--out",
        "fragments.xyz",
        "--threshold",
        "3",
        "--mode",
        "exact",
        "--seed",
        "4",
        "--max-per-frame",
        "2",
    ];
    let said = succeed(dir.path(), &arguments);
    assert!(said.contains("fragments from 2 frames"), "{said}");
    let found = xyz::read_frames(dir.path().join("fragments.xyz")).unwrap();

    let model = Arc::new(Model::load(&path).unwrap());
    let set = nepal::ActiveSet::load(dir.path().join("set.nas"), &model).unwrap();
    let mut calculator = Calculator::new(Arc::clone(&model), BackendKind::Cpu).unwrap();
    calculator.set_active_set(Some(Arc::new(set))).unwrap();
    let options = nepal::fragment::FragmentOptions {
        seed: 4,
        ..Default::default()
    };
    let mut made = Vec::new();
    let quiet = xyz::read_frames(dir.path().join("dump.xyz"))
        .unwrap()
        .remove(0);
    for structure in [&quiet.structure, &parent] {
        let each = |target: &nepal::fragment::Target, outcome: &nepal::fragment::Outcome| {
            if let nepal::fragment::Outcome::Fragment(fragment) = outcome {
                made.push((*target, fragment.clone()));
            }
            Ok(())
        };
        nepal::fragment::harvest(&mut calculator, structure, 3.0, 2, &options, each).unwrap();
    }
    assert!(!made.is_empty(), "{said}");
    assert_eq!(found.len(), made.len(), "{said}");
    for (frame, (target, fragment)) in found.iter().zip(&made) {
        assert_eq!(frame.structure, fragment.structure);
        assert_eq!(frame.force_mask.as_ref(), Some(&fragment.mask));
        assert_eq!(frame.info["parent_frame"], "1");
        assert_eq!(frame.info["parent_atom"], target.atom.to_string());
        assert_eq!(frame.info["target"], fragment.target.to_string());
        assert_eq!(frame.info["step"], "1234");
        assert_eq!(frame.info["parent_hash"].len(), 16);
        assert_eq!(frame.info["target_grade"], target.grade.to_string());
    }
    // The same command gives the same file.
    let first = std::fs::read(dir.path().join("fragments.xyz")).unwrap();
    succeed(dir.path(), &arguments);
    assert_eq!(
        std::fs::read(dir.path().join("fragments.xyz")).unwrap(),
        first
    );
    // A named atom needs no grade.
    let mut named: Vec<&str> = arguments[..9].to_vec();
    named.extend(["--atom", "50", "--charges", "Si=0", "--keep-molecules"]);
    succeed(dir.path(), &named);
    let one = xyz::read_frames(dir.path().join("fragments.xyz")).unwrap();
    assert!(one.iter().any(|f| f.info["parent_atom"] == "50"));
    let mut wrong = arguments.to_vec();
    wrong[12] = "loose";
    let output = run(dir.path(), &wrong);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn predict_gives_the_reference_numbers_and_grades() {
    let dir = tempfile::tempdir().unwrap();
    let (model, structures) = silicon(dir.path());
    succeed(
        dir.path(),
        &[
            "active-set",
            "--model",
            &model,
            "--structures",
            &structures,
            "--out",
            "set.asi",
        ],
    );
    for backend in ["reference", "cpu"] {
        succeed(
            dir.path(),
            &[
                "predict",
                "--model",
                &model,
                "--structures",
                &structures,
                "--out",
                "out.xyz",
                "--active-set",
                "set.asi",
                "--backend",
                backend,
            ],
        );
        let out = xyz::read_frames(dir.path().join("out.xyz")).unwrap();
        let frame = xyz::read_frames(&structures).unwrap().remove(0);
        let mut calculator = Calculator::new(
            Arc::new(Model::load(&model).unwrap()),
            BackendKind::Reference,
        )
        .unwrap();
        let expected = calculator
            .compute(&frame.structure, Request::FORCES | Request::VIRIAL)
            .unwrap();
        assert!((out[0].energy.unwrap() - expected.energy).abs() < 1e-8);
        for (a, b) in out[0].forces.as_ref().unwrap().iter().zip(&expected.forces) {
            assert!((0..3).all(|c| (a[c] - b[c]).abs() < 1e-8));
        }
        for (a, b) in out[0].virial.unwrap().iter().zip(&expected.virial) {
            assert!((a - b).abs() < 1e-7);
        }
        let (gamma, _) = out[0].real_column("gamma").unwrap();
        // The set was built from this very structure.
        assert!(gamma.iter().all(|&g| g > 0.0 && g < 1.02), "{gamma:?}");
        assert!(out[0].real_column("rho").is_some());
        let (energies, _) = out[0].real_column("energies").unwrap();
        assert!((energies.iter().sum::<f64>() - expected.energy).abs() < 1e-8);
    }

    // Results that the input carries, of another model or of its labels, are not told as this one's.
    let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
    let old = read("out.xyz").replace(" energy=", " free_energy=-1 force_95=2 energy=");
    std::fs::write(dir.path().join("old.xyz"), old).unwrap();
    let again = [
        "predict",
        "--model",
        &model,
        "--structures",
        "old.xyz",
        "--out",
        "new.xyz",
    ];
    succeed(dir.path(), &again);
    let new = read("new.xyz");
    for name in ["gamma", "rho", "grade", "free_energy", "force_95"] {
        assert!(!new.contains(name), "{name}: {new}");
    }
}
