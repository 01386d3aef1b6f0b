//! Training of models that are more than short-range potentials: what a known model says is learnt again.

use super::*;
use crate::errors::{Prediction, errors, predict};
use nepal::element::Element;
use nepal::model::Layout;
use nepal::system::{Cell, Structure};
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};

fn teacher(folder: &str) -> Model {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data");
    Model::load(format!("{root}/{folder}/nep.txt")).unwrap()
}

/// Perovskite cells or pairs of water molecules, displaced at random.
fn structures(symbols: &[&str], places: &[[f64; 3]], a: f64, n: usize, seed: u64) -> Vec<Frame> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let make = |_| {
        let size = a * (0.97 + 0.06 * rng.random::<f64>());
        let cell = [[size, 0.1, 0.0], [0.0, size, 0.2], [-0.1, 0.0, size]];
        let cell = Cell::new(cell, [true; 3]).unwrap();
        let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
        let positions = places.iter().map(|p| p.map(|x| a * x + 0.06 * normal()));
        let positions = positions.collect();
        let elements = symbols.iter().map(|s| Element::from_symbol(s).unwrap());
        Frame::new(Structure::new(cell, elements.collect(), positions).unwrap())
    };
    (0..n).map(make).collect()
}

fn water(n: usize, seed: u64) -> Vec<Frame> {
    spread_water(6.2, n, seed)
}

/// The same in cells of another size, which also draws out the molecules.
fn spread_water(a: f64, n: usize, seed: u64) -> Vec<Frame> {
    let places = [
        [0.1, 0.1, 0.1],
        [0.257, 0.1, 0.1],
        [0.06, 0.252, 0.1],
        [0.55, 0.5, 0.45],
        [0.59, 0.652, 0.45],
        [0.55, 0.46, 0.602],
    ];
    structures(&["O", "H", "H", "O", "H", "H"], &places, a, n, seed)
}

fn perovskite(n: usize, seed: u64) -> Vec<Frame> {
    let places = [
        [0.0; 3],
        [0.5; 3],
        [0.5, 0.5, 0.0],
        [0.5, 0.0, 0.5],
        [0.0, 0.5, 0.5],
    ];
    structures(&["Ba", "Zr", "O", "O", "O"], &places, 4.2, n, seed)
}

fn joined(values: &[f64]) -> String {
    values
        .iter()
        .map(f64::to_string)
        .collect::<Vec<_>>()
        .join(" ")
}

/// The frames with everything that a model says of them.
fn labelled(model: &Model, mut frames: Vec<Frame>) -> Vec<Frame> {
    let all = predict(model, &frames, BackendKind::Cpu).unwrap();
    for (frame, p) in frames.iter_mut().zip(all) {
        let Prediction { tensor: t, .. } = &p;
        match t.len() {
            3 => drop(frame.info.insert("dipole".into(), joined(t))),
            6 => {
                let nine = [0, 3, 5, 3, 1, 4, 5, 4, 2].map(|c| t[c]);
                frame.info.insert("pol".into(), joined(&nine));
            }
            _ => {
                frame.energy = Some(p.energy);
                frame.forces = Some(p.forces);
                frame.virial = Some(p.virial);
            }
        }
        if !p.born.is_empty() {
            frame.set_real_column("bec", 9, p.born.as_flattened().to_vec());
        }
    }
    frames
}

fn options<'a>(epochs: usize) -> TrainOptions<'a> {
    TrainOptions {
        epochs: Some(epochs),
        threads: Some(1),
        ..TrainOptions::default()
    }
}

/// Root mean square of the targets of a test set, less the mean of each component, per atom.
fn spread(frames: &[Frame], key: &str) -> f64 {
    let rows: Vec<Vec<f64>> = (frames.iter())
        .map(|f| {
            let n = f.len() as f64;
            let words = f.info[key].split_whitespace();
            words.map(|w| w.parse::<f64>().unwrap() / n).collect()
        })
        .collect();
    let (n, width) = (rows.len() as f64, rows[0].len());
    let mean: Vec<f64> = (0..width)
        .map(|c| rows.iter().map(|r| r[c]).sum::<f64>() / n)
        .collect();
    let square: f64 = (rows.iter())
        .flat_map(|r| r.iter().zip(&mean).map(|(x, m)| (x - m) * (x - m)))
        .sum();
    (square / n / width as f64).sqrt()
}

const SHAPE: &str = "cutoff 5 4\nn_max 3 3\nbasis_size 6 6\nl_max 3 1\nneuron 6\nlambda_1 1e-4\nlambda_2 1e-4\noptimizer lm\nseed 3\n";

#[test]
fn tensors_of_published_models_are_learnt() {
    for (folder, first, key, make) in [
        (
            "water_dipole_nep4",
            "type 2 O H\nmodel_type 1",
            "dipole",
            water as fn(usize, u64) -> Vec<Frame>,
        ),
        (
            "bazro3_polarizability_nep4",
            "type 3 Ba Zr O\nmodel_type 2",
            "pol",
            perovskite,
        ),
    ] {
        let teacher = teacher(folder);
        let (train_set, test_set) = (
            labelled(&teacher, make(100, 1)),
            labelled(&teacher, make(20, 2)),
        );
        let config = NepIn::parse(&format!("{first}\n{SHAPE}"), "nep.in").unwrap();
        let trained = train(&config, &train_set, &[], options(3000)).unwrap();
        let reference = errors(&trained.model, &test_set, BackendKind::Reference).unwrap();
        let (error, all) = (reference.tensor_rmse.unwrap(), spread(&test_set, key));
        assert!(error < 0.25 * all, "{folder}: {error} of {all}");
        let own = errors(&trained.model, &train_set, BackendKind::Reference).unwrap();
        let (own, told) = (own.tensor_rmse.unwrap(), trained.train.tensor_rmse.unwrap());
        assert!((own - told).abs() < 1e-5 * all, "{folder}: {own} {told}");
        assert!(trained.train.energy_rmse.is_none());
        // What is read back is the same model.
        let text = trained.model.to_text();
        let again = Model::parse(text.as_bytes(), "nep.txt").unwrap();
        assert_eq!(again.kind(), config.kind);
    }
}

#[test]
fn charges_of_a_published_model_are_learnt() {
    let teacher = teacher("water_qnep_mode1");
    let order = teacher.elements().iter().map(|e| e.symbol());
    let order = order.collect::<Vec<_>>().join(" ");
    let (train_set, test_set) = (
        labelled(&teacher, water(60, 1)),
        labelled(&teacher, water(20, 2)),
    );
    let settings = format!("type 2 {order}\ncharge_mode 1\n{SHAPE}");
    let config = NepIn::parse(&settings, "nep.in").unwrap();
    let trained = train(&config, &train_set, &test_set, options(2000)).unwrap();
    let found = errors(&trained.model, &test_set, BackendKind::Reference).unwrap();
    let (force, born) = (found.force_rmse.unwrap(), found.born_rmse.unwrap());
    assert!(force < 0.4 && born < 0.1, "{found:?}");
    let record = trained.history.last().unwrap();
    assert!(record.train[3] < 0.02, "{record:?}");
    assert!(
        (record.test.unwrap()[4] - born).abs() < 0.1 * born,
        "{record:?} {born}"
    );
}

/// Nothing but dispersion, with C6 coefficients that environments make larger or smaller.
fn dispersion(charged: &Model) -> Model {
    let mut header = charged.header().clone();
    header.kind = Kind::Dispersion;
    let (from, to) = (charged.layout(), Layout::new(&header));
    let old = charged.parameters();
    let mut new = vec![0.0; to.len()];
    for t in 0..header.elements.len() {
        let (a, b) = (from.w0(t, 0), to.w0(t, 0));
        // Weights and biases of the first layer.
        let len = from.output(t, 0) - a;
        new[b..][..len].copy_from_slice(&old[a..][..len]);
        for (mu, w) in new[to.output(t, 1)..][..to.neurons[0]]
            .iter_mut()
            .enumerate()
        {
            *w = ((mu * 7 + t) % 5) as f64 - 2.0;
        }
    }
    let (a, b) = (from.coefficients(0), to.coefficients(0));
    new[b..].copy_from_slice(&old[a..]);
    Model::new(header, new, charged.q_scaler().to_vec()).unwrap()
}

#[test]
fn dispersion_beyond_the_cutoff_is_learnt() {
    let teacher = dispersion(&teacher("water_qnep_mode1"));
    let order = teacher.elements().iter().map(|e| e.symbol());
    let order = order.collect::<Vec<_>>().join(" ");
    let (train_set, test_set) = (
        labelled(&teacher, spread_water(8.5, 60, 1)),
        labelled(&teacher, spread_water(8.5, 20, 2)),
    );
    let error = |kind: &str| {
        let settings = format!("type 2 {order}\n{kind}\n{SHAPE}");
        let config = NepIn::parse(&settings, "nep.in").unwrap();
        let trained = train(&config, &train_set, &[], options(500)).unwrap();
        let text = trained.model.to_text();
        let again = Model::parse(text.as_bytes(), "nep.txt").unwrap();
        assert_eq!(again.kind(), config.kind);
        let found = errors(&again, &test_set, BackendKind::Reference).unwrap();
        let own = errors(&again, &train_set, BackendKind::Reference).unwrap();
        let (own, told) = (own.force_rmse.unwrap(), trained.train.force_rmse.unwrap());
        assert!((own - told).abs() < 1e-3 * told + 1e-6, "{own} {told}");
        found.force_rmse.unwrap()
    };
    let (with, without) = (error("vdw 1"), error(""));
    assert!(with < 0.5 * without, "{with} {without}");
}

#[test]
fn a_free_energy_is_learnt_at_each_temperature() {
    // Energies that grow with the temperature.
    let teacher = teacher("water_qnep_mode1");
    let mut all = labelled(&teacher, water(40, 1));
    for (k, frame) in all.iter_mut().enumerate() {
        let t = 1000.0 * (1 + k % 4) as f64;
        frame.info.insert("temperature".into(), t.to_string());
        let n = frame.len() as f64;
        frame.energy = frame.energy.map(|e| e - n * 1e-8 * t * t);
    }
    let order = teacher.elements().iter().map(|e| e.symbol());
    let order = order.collect::<Vec<_>>().join(" ");
    let settings = format!("type 2 {order}\nmodel_type 3\n{SHAPE}");
    let config = NepIn::parse(&settings, "nep.in").unwrap();
    let trained = train(&config, &all, &[], options(400)).unwrap();
    assert_eq!(*trained.model.q_scaler().last().unwrap(), 1e-3);
    let found = errors(&trained.model, &all, BackendKind::Reference).unwrap();
    // The temperature moves energies by 0.05 eV/atom.
    assert!(found.energy_rmse.unwrap() < 0.01, "{found:?}");
    all[3].info.remove("temperature");
    let message = train(&config, &all, &[], options(1))
        .unwrap_err()
        .to_string();
    assert!(message.contains("frame 4: no temperature"), "{message}");
}

#[test]
fn a_killed_training_of_dipoles_goes_on_as_if_it_had_not_been() {
    let frames = labelled(&teacher("water_dipole_nep4"), water(20, 1));
    let settings = format!("type 2 O H\nmodel_type 1\n{SHAPE}");
    let config = NepIn::parse(&settings, "nep.in").unwrap();
    let whole = train(&config, &frames, &[], options(200)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nep.checkpoint.json");
    let mut calls = 0;
    let mut progress = |_: &Progress| {
        calls += 1;
        match calls > 8 {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    };
    let first = TrainOptions {
        checkpoint: Some(&path),
        progress: Some(&mut progress),
        ..options(200)
    };
    let first = train(&config, &frames, &[], first).unwrap();
    assert_eq!(first.stop, Stop::Caller);
    let second = TrainOptions {
        checkpoint: Some(&path),
        ..options(200)
    };
    let second = train(&config, &frames, &[], second).unwrap();
    assert_eq!(second.model, whole.model);
}

#[test]
fn what_is_missing_for_a_kind_of_model_is_named() {
    let frames = labelled(&teacher("water_dipole_nep4"), water(6, 1));
    let run = |kind: &str, change: &dyn Fn(&mut [Frame]), more: &str| {
        let mut frames = frames.clone();
        change(&mut frames);
        let settings = format!("type 2 O H\n{kind}\n{SHAPE}{more}\n");
        let config = NepIn::parse(&settings, "nep.in").unwrap();
        train(&config, &frames, &[], options(2))
    };
    let without = |frames: &mut [Frame]| drop(frames[2].info.remove("dipole"));
    let message = run("model_type 1", &without, "").unwrap_err().to_string();
    assert!(
        message.contains("frame 3: no dipole=\"...\" (3 numbers"),
        "{message}"
    );
    let trained = run("model_type 1", &without, "bad_data drop").unwrap();
    assert!(trained.train_predictions[2].tensor.is_empty());
    assert!(trained.warnings.iter().any(|w| w.contains("frame 3")));
    let message = run("model_type 2", &|_| (), "").unwrap_err().to_string();
    assert!(
        message.contains("nothing to train polarizabilities on"),
        "{message}"
    );
    let two = |frames: &mut [Frame]| drop(frames[1].info.insert("dipole".into(), "1 2".into()));
    let message = run("model_type 1", &two, "").unwrap_err().to_string();
    assert!(
        message.contains("dipole takes 3 number(s), found \"1 2\""),
        "{message}"
    );
    let other = |frames: &mut [Frame]| {
        frames[1].structure = frames[0].structure.clone();
    };
    let charged = |frames: &mut [Frame]| {
        for frame in &mut *frames {
            frame.energy = Some(0.0);
        }
        frames[0].info.insert("charge".into(), "one".into());
    };
    let message = run("charge_mode 2", &charged, "").unwrap_err().to_string();
    assert!(message.contains("charge takes 1 number(s)"), "{message}");
    assert!(run("model_type 1", &other, "").is_ok());
    let config = NepIn::parse(&format!("type 2 O H\nmodel_type 1\n{SHAPE}"), "nep.in").unwrap();
    let device = TrainOptions {
        device: Device::Number(0),
        ..options(2)
    };
    let message = train(&config, &frames, &[], device)
        .unwrap_err()
        .to_string();
    assert!(message.contains("trained on processors"), "{message}");
}

/// A rotation of all atoms and dipoles leaves the loss as it is.
#[test]
fn the_loss_of_dipoles_does_not_turn_with_the_frame() {
    let model = teacher("water_dipole_nep4");
    let mut frames = water(3, 1);
    for (k, frame) in frames.iter_mut().enumerate() {
        let values = [0.3 + k as f64, -0.2, 0.9];
        frame.info.insert("dipole".into(), joined(&values));
    }
    let turn = |[x, y, z]: [f64; 3]| [0.6 * x - 0.8 * y, 0.8 * x + 0.6 * y, z];
    let turned: Vec<Frame> = (frames.iter())
        .map(|f| {
            let s = &f.structure;
            let cell = Cell::new(s.cell.vectors().map(turn), [true; 3]).unwrap();
            let positions = s.positions.iter().map(|&r| turn(r)).collect();
            let structure = Structure::new(cell, s.elements.clone(), positions).unwrap();
            let words = f.info["dipole"].split_whitespace();
            let values: Vec<f64> = words.map(|w| w.parse().unwrap()).collect();
            let mut out = Frame::new(structure);
            let values = turn([values[0], values[1], values[2]]);
            out.info.insert("dipole".into(), joined(&values));
            out
        })
        .collect();
    let error = |frames: &[Frame]| {
        errors(&model, frames, BackendKind::Cpu)
            .unwrap()
            .tensor_rmse
            .unwrap()
    };
    assert!((error(&frames) - error(&turned)).abs() < 1e-10);
}
