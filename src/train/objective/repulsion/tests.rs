//! The trained repulsion: derivatives, and what a training makes of it.

use crate::{Device, LeastSquares, NepIn, TrainOptions, errors, train};
use nepal::BackendKind;
use nepal::model::{Model, Zbl};
use nepal::system::{Frame, xyz};

const SETTINGS: &str = "type 2 Te Pb\ncutoff 6 4\nn_max 2 2\nbasis_size 4 4\nl_max 3 1\nneuron 4\nzbl 2\ntrain_zbl 1\n";
/// Strong enough to be felt at the distances of the crystal.
const ROWS: [[f64; 10]; 3] = [
    [1.0, 3.8, 0.3, 0.9, 0.2, 0.5, 0.1, 0.3, 0.02, 0.2],
    [0.0, 3.9, 0.2, 0.8, 0.3, 0.4, 0.1, 0.3, 0.03, 0.2],
    [0.5, 3.6, 0.3, 0.9, 0.2, 0.6, 0.2, 0.3, 0.01, 0.1],
];

fn config(rows: &[[f64; 10]; 3], more: &str) -> NepIn {
    let mut config = NepIn::parse(&format!("{SETTINGS}{more}"), "nep.in").unwrap();
    config.zbl = Some(Zbl::Flexible(rows.to_vec()));
    config
}

fn frames() -> Vec<Frame> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/data/gnep_trace/train.xyz"
    );
    xyz::read_frames(path).unwrap()
}

fn wave(len: usize, rate: f64) -> Vec<f64> {
    (0..len)
        .map(|i| 0.5 * (rate * i as f64 + 0.3).sin())
        .collect()
}

#[test]
fn the_gradient_is_the_derivative_of_the_loss() {
    let config = config(&ROWS, "");
    let set = |weights| LeastSquares::new(&config, &frames(), weights, Device::None).unwrap();
    let q = vec![0.3; config.header().dim()];
    // Each kind of error alone, so that none hides behind a larger one.
    for weights in [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]] {
        let set = set(weights);
        let n = set.n_parameters();
        let start = n - 30;
        let mut p = wave(n, 0.7);
        // Where the run of the settings starts, and a little off.
        p[start..].copy_from_slice(&set.start_of_repulsion().unwrap());
        p[start..]
            .iter_mut()
            .zip(wave(30, 1.7))
            .for_each(|(p, x)| *p += 0.3 * x);
        let (_, gradient) = set.gradient(&p, &q);
        let size = gradient[start..].iter().fold(0.0f64, |m, g| m.max(g.abs()));
        assert!(size > 0.0, "{weights:?}");
        for k in start..n {
            let moved = |h: f64| {
                let mut p = p.clone();
                p[k] += h;
                set.gradient(&p, &q).0
            };
            let h = 1e-4;
            let slope =
                (8.0 * (moved(h) - moved(-h)) - (moved(2.0 * h) - moved(-2.0 * h))) / (12.0 * h);
            assert!(
                (slope - gradient[k]).abs() < 1e-6 * (size + slope.abs()),
                "{weights:?}, coordinate {}: {slope} {}",
                k - start,
                gradient[k]
            );
        }
        // The inner end of the second row is at its bound and stays.
        assert_eq!(gradient[start + 10], 0.0);
        let v = wave(n, 1.1);
        let pushed = set.push(&p, &q, &v);
        let y = wave(pushed.len(), 1.3);
        let dot = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
        let (left, right) = (dot(&pushed, &y), dot(&v, &set.pull(&p, &q, &y)));
        assert!((left - right).abs() < 1e-6 * left.abs(), "{left} {right}");
    }
}

#[test]
fn a_training_finds_the_repulsion_and_writes_it() {
    // Labels of a model whose repulsion is another.
    let mut frames = frames();
    let teacher = config(&ROWS, "");
    let set = LeastSquares::new(&teacher, &frames, [1.0; 3], Device::None).unwrap();
    let n = set.n_parameters() - 30;
    let mut header = teacher.header();
    header.max_neighbors = [100, 100];
    let values = wave(n, 0.7).iter().map(|x| 0.3 * x).collect();
    let teacher = Model::new(header, values, vec![0.3; 15]).unwrap();
    let labels = crate::predict(&teacher, &frames, BackendKind::Reference).unwrap();
    for (frame, label) in frames.iter_mut().zip(&labels) {
        frame.energy = Some(label.energy);
        frame.forces = Some(label.forces.clone());
        frame.virial = Some(label.virial);
    }
    let mut other = ROWS;
    for row in &mut other {
        row[2] *= 0.6;
        row[3] *= 1.2;
    }
    let options = || TrainOptions {
        epochs: Some(60),
        threads: Some(1),
        device: Device::None,
        ..TrainOptions::default()
    };
    let mut fixed = config(&other, "optimizer adam\nbad_data keep\n");
    let trained = train(&fixed, &frames, &[], options()).unwrap();
    fixed.train_zbl = false;
    let held = train(&fixed, &frames, &[], options()).unwrap();
    assert!(
        trained.train.force_rmse.unwrap() < 0.9 * held.train.force_rmse.unwrap(),
        "{:?} {:?}",
        trained.train,
        held.train
    );
    let rows = |model: &Model| match &model.header().zbl {
        Some(Zbl::Flexible(rows)) => rows.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(rows(&held.model), other);
    let found = rows(&trained.model);
    assert!(
        found
            .iter()
            .zip(&other)
            .all(|(a, b)| a != b && a[0] < a[1] && a[1] <= 4.0)
    );
    assert_eq!(found[1][0], 0.0);
    // The file has the rows, and says what training said.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("nep.txt");
    trained.model.save(&file).unwrap();
    let read = Model::load(&file).unwrap();
    for (a, b) in rows(&read).as_flattened().iter().zip(found.as_flattened()) {
        assert!((a - b).abs() < 1e-6 * b.abs().max(1e-3), "{a} {b}");
    }
    let expected = errors(&trained.model, &frames, BackendKind::Reference).unwrap();
    let close = |a: Option<f64>, b: Option<f64>| (a.unwrap() - b.unwrap()).abs() < 1e-5;
    assert!(close(trained.train.energy_rmse, expected.energy_rmse));
    assert!(close(trained.train.force_rmse, expected.force_rmse));
    assert!(close(trained.train.virial_rmse, expected.virial_rmse));
    // A second training goes on from there.
    fixed.train_zbl = true;
    let again = TrainOptions {
        init: Some(&trained.model),
        epochs: Some(1),
        ..options()
    };
    let second = train(&fixed, &frames, &[], again).unwrap();
    let best = trained
        .history
        .iter()
        .map(|r| r.loss)
        .fold(f64::MAX, f64::min);
    assert!((second.history[0].loss - best).abs() < 1e-4 * best);
}

#[test]
fn what_cannot_be_trained_is_refused() {
    let refused = |config: &NepIn| {
        let options = TrainOptions {
            epochs: Some(1),
            ..TrainOptions::default()
        };
        train(config, &frames(), &[], options)
            .unwrap_err()
            .to_string()
    };
    let mut none = config(&ROWS, "");
    none.zbl = None;
    assert!(refused(&none).contains("zbl.in"));
    let mut far = ROWS;
    far[2][1] = 4.5;
    let message = refused(&config(&far, ""));
    assert!(
        message.contains("line 3 of zbl.in") && message.contains("4.5"),
        "{message}"
    );
    assert!(refused(&config(&ROWS, "optimizer snes\n")).contains("snes"));
}
