use super::*;
use crate::NepIn;
use nepal::Request;
use nepal::model::{Layout, Version};
use std::path::{Path, PathBuf};

fn folder(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .join("tests/data")
        .join(name)
}

fn frames() -> Vec<Frame> {
    nepal::system::xyz::read_frames(folder("gnep_trace").join("train.xyz")).unwrap()
}

/// A random model of some shape for tellurium and lead.
fn model(version: Version, neurons: [usize; 2]) -> Model {
    let settings = "type 2 Te Pb\ncutoff 6 4\nn_max 2 2\nbasis_size 4 4\nl_max 3 1\n";
    let header = NepIn {
        version,
        neurons,
        ..NepIn::parse(settings, "nep.in").unwrap()
    }
    .header();
    let layout = Layout::new(&header);
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
    let parameters = (0..layout.len()).map(|_| 0.4 * normal()).collect();
    let scales = (0..layout.dim)
        .map(|_| 0.05 + 0.01 * normal().abs())
        .collect();
    Model::new(header, parameters, scales).unwrap()
}

fn rattled(frames: &[Frame], count: usize, size: f64) -> Vec<Frame> {
    let mut rng = ChaCha8Rng::seed_from_u64(9);
    (0..count)
        .map(|k| {
            let mut frame = Frame::new(frames[k % frames.len()].structure.clone());
            for x in frame.structure.positions.as_flattened_mut() {
                let z: f64 = StandardNormal.sample(&mut rng);
                *x += size * z;
            }
            frame
        })
        .collect()
}

/// Labels of a model, with noise on the forces.
fn label(model: &Model, frames: &mut [Frame], noise: f64, seed: u64) {
    let found = predict(model, frames, BackendKind::Reference).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    for (frame, p) in frames.iter_mut().zip(found) {
        let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
        frame.energy = Some(p.energy + 0.1 * noise * frame.len() as f64 * normal());
        frame.virial = Some(p.virial);
        let mut forces = p.forces;
        for x in forces.as_flattened_mut() {
            *x += noise * normal();
        }
        frame.forces = Some(forces);
    }
}

/// Energies are linear in the columns, so a step of 1 must change everything by the design.
#[test]
fn the_design_is_what_a_step_of_the_output_weights_does() {
    let frames = frames();
    for (version, neurons) in [
        (Version::Nep3, [3, 0]),
        (Version::Nep4, [3, 0]),
        (Version::Nep5, [3, 0]),
        (Version::Nep4, [3, 2]),
    ] {
        let model = model(version, neurons);
        let columns = Columns::new(&model);
        let mut calculator = Calculator::new(Arc::new(model.clone()), BackendKind::Cpu).unwrap();
        let structure = &frames[1].structure;
        let design = Design::new(&mut calculator, &columns, structure).unwrap();
        let energy = design.energy();
        let before = &predict(&model, &frames[1..2], BackendKind::Reference).unwrap()[0];
        for (k, &p) in columns.parameters.iter().enumerate() {
            let mut moved = model.parameters().to_vec();
            moved[p] += 1.0;
            let moved =
                Model::new(model.header().clone(), moved, model.q_scaler().to_vec()).unwrap();
            let after = &predict(&moved, &frames[1..2], BackendKind::Reference).unwrap()[0];
            let close = |a: f64, b: f64| {
                assert!(
                    (a - b).abs() < 1e-9 * b.abs().max(1.0),
                    "{version:?} {k}: {a} {b}"
                );
            };
            close(energy[k], after.energy - before.energy);
            for (i, (a, b)) in after.forces.iter().zip(&before.forces).enumerate() {
                for c in 0..3 {
                    close(design.forces[(3 * i + c, k)], a[c] - b[c]);
                }
            }
            for (row, (a, b)) in SYMMETRIC.into_iter().enumerate() {
                let of = |p: &Prediction| 0.5 * (p.virial[a] + p.virial[b]);
                close(design.virial[(row, k)], of(after) - of(before));
            }
        }
    }
}

/// Labels that are drawn from the posterior itself: its calibration finds the factor with which they
/// were drawn, its bounds hold as many errors as they should, and its deviations are the spread of
/// its committee.
#[test]
fn deviations_committee_calibration_and_coverage_agree() {
    let model = model(Version::Nep4, [5, 0]);
    let mut training = rattled(&frames(), 20, 0.1);
    label(&model, &mut training, 0.1, 1);
    let options = PosteriorOptions::default();
    let first = Posterior::fit(&model, &training, &options).unwrap();
    assert!(!first.calibration().held_out);
    let drawn = first.calibration().pooled;
    assert!(drawn > 0.0 && drawn.is_finite());
    let beta = first.precisions()[1];
    // The noise is the training set's own error, so the data's precision is near 1.
    assert!((0.7..1.5).contains(&beta), "{beta}");

    let mut held_out = rattled(&frames(), 150, 0.15);
    let members = first.committee(&model, held_out.len(), 3).unwrap();
    for (frame, member) in held_out.chunks_mut(1).zip(&members) {
        label(member, frame, 0.0, 0);
    }
    let options = PosteriorOptions {
        held_out: &held_out,
        ..PosteriorOptions::default()
    };
    let second = Posterior::fit(&model, &training, &options).unwrap();
    let c = second.calibration();
    assert!(c.held_out);
    assert!((c.pooled / drawn - 1.0).abs() < 0.1, "{} {drawn}", c.pooled);
    // What was learnt has one deviation for the three components, which here differ.
    let coverage = c.force_coverage.unwrap();
    assert!((coverage.at_68 - 0.68).abs() < 0.09, "{coverage:?}");
    assert!((coverage.at_95 - 0.95).abs() < 0.03, "{coverage:?}");
    let coverage = c.energy_coverage.unwrap();
    assert!((coverage.at_68 - 0.68).abs() < 0.12, "{coverage:?}");

    let mut calculator = Calculator::new(Arc::new(model.clone()), BackendKind::Cpu).unwrap();
    let deviations = first
        .deviations(&mut calculator, &held_out[0].structure)
        .unwrap();
    let mut square = vec![0.0; held_out[0].len()];
    let best = &predict(&model, &held_out[..1], BackendKind::Cpu).unwrap()[0];
    for member in &members {
        let p = &predict(member, &held_out[..1], BackendKind::Cpu).unwrap()[0];
        for (i, (a, b)) in p.forces.iter().zip(&best.forces).enumerate() {
            square[i] += (0..3).map(|c| (a[c] - b[c]).powi(2)).sum::<f64>();
        }
    }
    let types = model.types_of(&held_out[0].structure.elements).unwrap();
    for (i, s) in square.iter().enumerate() {
        let spread = (s / members.len() as f64).sqrt();
        let own = first.calibration().last_layer[types[i] as usize] / drawn;
        let ratio = deviations.forces[i] / (own * spread);
        assert!((ratio - 1.0).abs() < 0.25, "{i}: {ratio}");
    }
    assert!(deviations.energies.iter().all(|&s| s > 0.0) && deviations.energy > 0.0);

    // What a calculator says: the same energies, and forces that were learnt.
    calculator
        .set_posterior(Some(Arc::clone(first.evaluable())))
        .unwrap();
    let mut pairs = Vec::new();
    for frame in &held_out[..20] {
        let exact = first.deviations(&mut calculator, &frame.structure).unwrap();
        let found = calculator
            .compute(&frame.structure, Request::SIGMA | Request::SIGMA_ENERGIES)
            .unwrap();
        let close = |a: f64, b: f64| assert!((a / b - 1.0).abs() < 1e-8, "{a} {b}");
        close(found.sigma_energy, exact.energy);
        found
            .sigma_energies
            .iter()
            .zip(&exact.energies)
            .for_each(|(&a, &b)| close(a, b));
        assert!(found.descriptors.is_empty() && found.neurons.is_empty());
        let logs = found.sigma.iter().zip(&exact.forces);
        pairs.extend(logs.map(|(a, b)| [a.ln(), b.ln()]));
    }
    let mean =
        |of: &dyn Fn(&[f64; 2]) -> f64| pairs.iter().map(of).sum::<f64>() / pairs.len() as f64;
    let [a, b] = [mean(&|p| p[0]), mean(&|p| p[1])];
    let spread = |k: usize, m: f64| mean(&|p| (p[k] - m).powi(2)).sqrt();
    let alike = mean(&|p| (p[0] - a) * (p[1] - b)) / (spread(0, a) * spread(1, b));
    assert!(alike > 0.6, "{alike} of {} atoms, {a} {b}", pairs.len());
}

/// What the data do not determine stays uncertain, and more data make it less so.
#[test]
fn more_data_make_surer() {
    let model = model(Version::Nep4, [5, 0]);
    let mut training = rattled(&frames(), 40, 0.1);
    label(&model, &mut training, 0.1, 2);
    let mut calculator = Calculator::new(Arc::new(model.clone()), BackendKind::Cpu).unwrap();
    let mut raw = |frames: &[Frame]| {
        let mut p = Posterior::fit(&model, frames, &PosteriorOptions::default()).unwrap();
        p.calibration.last_layer = vec![1.0; 2];
        let d = p
            .deviations(&mut calculator, &training[0].structure)
            .unwrap();
        d.forces.iter().sum::<f64>()
    };
    let (few, many) = (raw(&training[..5]), raw(&training));
    assert!(many < 0.6 * few, "{many} {few}");
}

#[test]
fn a_file_gives_the_same_posterior_for_the_same_model_only() {
    let known = model(Version::Nep5, [4, 0]);
    let mut training = rattled(&frames(), 6, 0.1);
    label(&known, &mut training, 0.05, 3);
    let posterior = Posterior::fit(&known, &training, &PosteriorOptions::default()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("posterior.json");
    posterior.save(&path).unwrap();
    let load = |model: &Model| nepal::posterior::Posterior::load(&path, model);
    assert_eq!(load(&known).unwrap(), **posterior.evaluable());
    let other = model(Version::Nep5, [5, 0]);
    let error = posterior.committee(&other, 1, 0).unwrap_err().to_string();
    assert!(error.contains("another model"), "{error}");
    assert!(
        load(&other)
            .unwrap_err()
            .to_string()
            .contains("another model")
    );
    let text = std::fs::read_to_string(&path).unwrap();
    let noise = text.find("\"noise\":[").unwrap() + 9;
    let spoilt = format!("{}9{}", &text[..=noise], &text[noise + 1..]);
    for (text, expected) in [
        (&spoilt[..], "checksum does not fit"),
        ("{\"schema\":1}", "no checksum"),
    ] {
        std::fs::write(&path, text).unwrap();
        let error = load(&known).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    assert!(Posterior::fit(&known, &[], &PosteriorOptions::default()).is_err());
}

#[test]
fn free_atoms_get_their_energies_and_the_rest_hardly_moves() {
    for version in [Version::Nep4, Version::Nep5] {
        let model = model(version, [6, 0]);
        let mut training = rattled(&frames(), 20, 0.1);
        label(&model, &mut training, 0.1, 4);
        let posterior = Posterior::fit(&model, &training, &PosteriorOptions::default()).unwrap();
        let atom = |element: Element| {
            Frame::new(Structure {
                cell: nepal::system::Cell::isolated(),
                elements: vec![element],
                positions: vec![[0.0; 3]],
            })
        };
        let free = |m: &Model, element: Element| {
            predict(m, &[atom(element)], BackendKind::Reference).unwrap()[0].energy
        };
        let wanted: Vec<(Element, f64)> = model
            .elements()
            .iter()
            .zip([-0.02, 0.03])
            .map(|(&e, step)| (e, free(&model, e) + step))
            .collect();
        let bound = posterior.with_free_atoms(&model, &wanted).unwrap();
        for &(element, energy) in &wanted {
            let found = free(&bound, element);
            assert!((found - energy).abs() < 1e-7, "{found} {energy}");
        }
        let rmse = |m: &Model| {
            let e = crate::errors(m, &training, BackendKind::Cpu).unwrap();
            [e.energy_rmse.unwrap(), e.force_rmse.unwrap()]
        };
        let ([e0, f0], [e1, f1]) = (rmse(&model), rmse(&bound));
        assert!(f1 < 1.5 * f0 && e1 < 10.0 * e0, "{e0} {e1} {f0} {f1}");
    }
}

/// The posterior of the examples is of their model, as if its labels had been another one's of the same
/// element. `NEPAL_BLESS=1` fits it anew.
#[test]
fn the_posterior_of_the_examples_sees_their_displaced_atom() {
    let data = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/data"));
    let example = Model::load(data.join("nep.txt")).unwrap();
    let path = data.join("posterior.json");
    if std::env::var_os("NEPAL_BLESS").is_some() {
        let other = Model::load(folder("si_2022_nep4_5body").join("nep.txt")).unwrap();
        let read = nepal::system::xyz::read_frames(data.join("training.xyz")).unwrap();
        let mut training = read;
        label(&other, &mut training, 0.0, 0);
        let options = PosteriorOptions::default();
        let fitted = Posterior::fit(&example, &training, &options).unwrap();
        fitted.save(&path).unwrap();
    }
    assert!(std::fs::metadata(&path).unwrap().len() < 200_000);
    let stored = nepal::posterior::Posterior::load(&path, &example).unwrap();
    let mut calculator = Calculator::new(Arc::new(example), BackendKind::Cpu).unwrap();
    calculator.set_posterior(Some(Arc::new(stored))).unwrap();
    let atoms = nepal::system::xyz::read_frames(data.join("si8.xyz")).unwrap();
    let found = calculator
        .compute(
            &atoms[0].structure,
            Request::SIGMA | Request::SIGMA_ENERGIES,
        )
        .unwrap();
    // The bond that it leaves behind changes its neighbour's place, too.
    let known = found.sigma[0];
    assert!(
        known > 0.0 && found.sigma[4] > 10.0 * known,
        "{:?}",
        found.sigma
    );
    assert!(found.sigma_energy > 0.0 && found.sigma_energies.len() == 8);
}
