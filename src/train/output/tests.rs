use super::*;
use crate::errors::Errors;
use crate::{errors, predict};
use nepal::BackendKind;
use nepal::model::Model;
use std::path::PathBuf;

fn folder(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .join("tests/data")
        .join(name)
}

#[test]
fn files_read_back_to_the_same_errors() {
    let model = Model::load(folder("gnep_trace").join("nep.txt")).unwrap();
    let mut frames =
        nepal::system::xyz::read_frames(folder("gnep_trace").join("train.xyz")).unwrap();
    // A frame of each kind: no energy, a masked atom, no forces.
    frames[0].energy = None;
    let mut mask = vec![1.0; frames[1].len()];
    mask[0] = 0.0;
    frames[1].force_mask = Some(mask);
    frames[3].forces = None;
    let predictions = predict(&model, &frames, BackendKind::Reference).unwrap();
    let dir = tempfile::tempdir().unwrap();
    write_predictions(dir.path(), "train", Kind::Potential, &predictions, &frames).unwrap();
    let expected = Errors::of(&predictions, &frames);
    let read = read_errors(dir.path(), "train").unwrap();
    assert_eq!(
        (read.n_energies, read.n_forces, read.n_virials),
        (expected.n_energies, expected.n_forces, expected.n_virials)
    );
    for (a, b) in [
        (read.energy_rmse, expected.energy_rmse),
        (read.force_rmse, expected.force_rmse),
        (read.force_max, expected.force_max),
        (read.virial_mae, expected.virial_mae),
    ] {
        let (a, b) = (a.unwrap(), b.unwrap());
        assert!((a - b).abs() < 1e-12 * b.abs().max(1e-3), "{a} {b}");
    }
    let atoms: usize = frames.iter().map(Frame::len).sum();
    let lines = |name: &str| {
        let text = std::fs::read_to_string(dir.path().join(name)).unwrap();
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(lines("force_train.out").len(), atoms);
    assert!(lines("energy_train.out")[0].ends_with(" -1e+06"));
    // GPUMD's stress: virial in GPa, with its sign.
    let virial: f64 = lines("virial_train.out")[2]
        .split(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    let stress: f64 = lines("stress_train.out")[2]
        .split(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    let frame = &frames[2];
    let expected = virial * frame.len() as f64 / frame.structure.cell.volume() * 160.2176634;
    assert!((stress - expected).abs() < 1e-9 * expected.abs());
}

/// The first frame of each of GPUMD's files, as its `nep` wrote them.
#[test]
fn gpumds_own_files_are_read_and_agree_with_ours() {
    let folder = folder("pbte_nep_train");
    let dir = tempfile::tempdir().unwrap();
    let kept: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(folder.join("outputs.json")).unwrap())
            .unwrap();
    for (name, lines) in kept.as_object().unwrap() {
        let lines: Vec<&str> = lines
            .as_array()
            .unwrap()
            .iter()
            .map(|l| l.as_str().unwrap())
            .collect();
        std::fs::write(dir.path().join(name), lines.join("\n")).unwrap();
    }
    let history = read_loss(dir.path().join("loss.out")).unwrap();
    assert_eq!(history.last().unwrap().epoch, 20000);
    assert_eq!(
        history.last().unwrap().train,
        [0.00041, 0.0399, 0.0, 0.0, 0.0]
    );
    assert!(history[0].test.is_none());
    let diverged = dir.path().join("diverged.out");
    std::fs::write(&diverged, "100 nan 0 0 nan nan nan 0 0 0\n").unwrap();
    let error = read_loss(&diverged).unwrap_err().to_string();
    assert!(error.contains("expected 10 numbers"), "{error}");
    let theirs = read_errors(dir.path(), "train").unwrap();
    assert_eq!((theirs.n_energies, theirs.n_forces), (1, 250));
    assert_eq!(theirs.n_virials, 0);

    let model = Model::load(folder.join("nep.txt")).unwrap();
    let file = std::fs::File::open(folder.join("train.xyz.gz")).unwrap();
    let frames: Vec<Frame> = nepal::system::xyz::FrameReader::new(
        std::io::BufReader::new(flate2::read::GzDecoder::new(file)),
        "train.xyz",
    )
    .take(1)
    .collect::<Result<_>>()
    .unwrap();
    let ours = errors(&model, &frames, BackendKind::Cpu).unwrap();
    let close = |a: Option<f64>, b: Option<f64>, tolerance: f64| {
        assert!((a.unwrap() - b.unwrap()).abs() < tolerance, "{a:?} {b:?}");
    };
    // Six digits of energies near -3.7 eV, and single precision.
    close(theirs.energy_rmse, ours.energy_rmse, 2e-5);
    close(theirs.force_rmse, ours.force_rmse, 1e-5);
    let predictions = predict(&model, &frames, BackendKind::Cpu).unwrap();
    let again = tempfile::tempdir().unwrap();
    write_predictions(
        again.path(),
        "train",
        Kind::Potential,
        &predictions,
        &frames,
    )
    .unwrap();
    for name in ["virial_train.out", "stress_train.out"] {
        let row = |folder: &Path| -> Vec<f64> {
            let text = std::fs::read_to_string(folder.join(name)).unwrap();
            let words = text.lines().next().unwrap().split_whitespace();
            words.map(|w| w.parse().unwrap()).collect()
        };
        let (a, b) = (row(dir.path()), row(again.path()));
        assert_eq!(a.len(), b.len());
        for (a, b) in a.iter().zip(&b) {
            assert!((a - b).abs() < 1e-4 * b.abs().max(1.0), "{name}: {a} {b}");
        }
    }
}
