use super::*;
use crate::{TrainOptions, errors, predict, train};
use nepal::BackendKind;
use nepal::system::{Cell, Structure};
use std::path::Path;

fn frames() -> Vec<Frame> {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .join("tests/data/gnep_trace/train.xyz");
    nepal::system::xyz::read_frames(path).unwrap()
}

fn config(extra: &str) -> NepIn {
    let text = format!(
        "type 2 Te Pb\ncutoff 6 4\nn_max 2 2\nbasis_size 4 4\nl_max 3 1\nneuron 4\n{extra}"
    );
    NepIn::parse(&text, "nep.in").unwrap()
}

fn atom(symbol: &str, energy: f64) -> Frame {
    let structure = Structure {
        cell: Cell::isolated(),
        elements: vec![Element::from_symbol(symbol).unwrap()],
        positions: vec![[0.0; 3]],
    };
    Frame {
        energy: Some(energy),
        ..Frame::new(structure)
    }
}

#[test]
fn a_carried_reference_is_exact_and_comes_off_again() {
    let frames = frames();
    for extra in ["", "version 5\n", "neuron2"] {
        let config = if extra == "neuron2" {
            NepIn {
                neurons: [4, 3],
                ..config("")
            }
        } else {
            config(extra)
        };
        let options = TrainOptions {
            epochs: Some(3),
            threads: Some(1),
            ..TrainOptions::default()
        };
        let trained = train(&config, &frames, &[], options).unwrap();
        let e = [-1234.5, -77.25];
        let carried = carry(&trained.model, &e).unwrap();
        // What counts is the file, which programs in single precision read as well.
        let carried = Model::parse(carried.to_text().as_bytes(), "nep.txt").unwrap();
        let a = predict(&trained.model, &frames, BackendKind::Reference).unwrap();
        let b = predict(&carried, &frames, BackendKind::Reference).unwrap();
        for ((a, b), frame) in a.iter().zip(&b).zip(&frames) {
            let expected = a.energy + shift(frame, &config.elements, &e, 1.0);
            assert!((b.energy - expected).abs() < 1e-9 * expected.abs());
            assert_eq!(a.forces.len(), b.forces.len());
            for (f, g) in a.forces.iter().zip(&b.forces) {
                assert!((0..3).all(|c| (f[c] - g[c]).abs() < 1e-12));
            }
        }
        if extra.starts_with("version") {
            assert!(uncarry(&carried).is_none());
            continue;
        }
        let (narrow, references) = uncarry(&carried).unwrap();
        assert_eq!((narrow, references), (trained.model.clone(), e.to_vec()));
        assert!(uncarry(&trained.model).is_none());
    }
    let nep3 = train(
        &config("version 3\n"),
        &frames,
        &[],
        TrainOptions {
            epochs: Some(1),
            ..TrainOptions::default()
        },
    )
    .unwrap();
    assert!(carry(&nep3.model, &[1.0, 2.0]).is_err());
    assert!(carry(&nep3.model, &[1.0, 1.0]).is_ok());
}

#[test]
fn references_are_found_and_atoms_demanded() {
    let mut frames = frames();
    let elements = config("").elements;
    let e = [-500.0, -2000.0];
    for frame in &mut frames {
        frame.energy = Some(shift(frame, &elements, &e, 1.0) + 0.01);
    }
    let found = references(EnergyReference::Fit, &elements, &frames).unwrap();
    assert!(
        (found[0] - e[0]).abs() < 0.2 && (found[1] - e[1]).abs() < 0.2,
        "{found:?}"
    );
    let error = references(EnergyReference::Atoms, &elements, &frames).unwrap_err();
    assert!(error.to_string().contains("missing: Te Pb"), "{error}");
    frames.push(atom("Pb", -1999.0));
    frames.push(atom("Te", -499.0));
    let found = references(EnergyReference::Atoms, &elements, &frames).unwrap();
    assert_eq!(found, [-499.0, -1999.0]);
}

/// With all-electron energies, training that knows the references reaches what it reaches without
/// them on ordinary ones; and goes on from its own model.
#[test]
fn training_on_absolute_energies_is_training_on_small_ones() {
    let plain = frames();
    let mut absolute = plain.clone();
    let elements = config("").elements;
    for frame in &mut absolute {
        let off = shift(frame, &elements, &[-5000.0, -15000.0], 1.0);
        frame.energy = frame.energy.map(|e| e + off);
    }
    let options = || TrainOptions {
        epochs: Some(60),
        threads: Some(1),
        ..TrainOptions::default()
    };
    let config = config("energy_reference fit\n");
    let a = train(&config, &plain, &[], options()).unwrap();
    let b = train(&config, &absolute, &[], options()).unwrap();
    let e = |t: &Trained| t.train.energy_rmse.unwrap();
    assert!(e(&b) < 1.3 * e(&a) + 1e-3, "{} {}", e(&a), e(&b));
    let found = errors(&b.model, &absolute, BackendKind::Reference).unwrap();
    assert!((found.energy_rmse.unwrap() - e(&b)).abs() < 1e-5);
    assert_eq!(b.model.header().neurons, [5, 0]);
    let again = TrainOptions {
        init: Some(&b.model),
        ..options()
    };
    let c = train(&config, &absolute, &[], again).unwrap();
    assert!((c.history[0].train[1] - b.train.force_rmse.unwrap()).abs() < 1e-3);
    assert_eq!(c.model.header().neurons, [5, 0]);
}
