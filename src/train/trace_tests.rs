//! Loss and gradient against traces of GPUMD's `gnep` and `nep`.

use super::data;
use super::evolve::{self, Evolution};
use super::objective::{Evaluation, Objective};
use super::targets::Weighting;
use nepal::model::{Layout, Model};
use nepal::system::{Frame, xyz};
use std::path::{Path, PathBuf};

/// Geometry is kept in single precision here, in double there.
const SINGLE: f64 = 1e-5;

fn folder(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .join("tests/data")
        .join(name)
}

fn trace(name: &str) -> serde_json::Value {
    let text = std::fs::read_to_string(folder(name).join("trace.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn numbers(value: &serde_json::Value) -> Vec<f64> {
    let list = value.as_array().unwrap();
    list.iter().map(|x| x.as_f64().unwrap()).collect()
}

/// The settings of both traces.
fn objective(model: &Model, frames: &[Frame]) -> Objective {
    let samples = data::prepare(model.header(), frames, "training", &mut Vec::new()).unwrap();
    let order: Vec<usize> = (0..samples.len()).collect();
    let weighting = Weighting {
        type_weight: &[1.0, 1.5],
        force_delta: 0.5,
        lambda_shear: 2.0,
        force_loss: crate::RobustLoss::Square,
        energy_loss: crate::RobustLoss::Square,
    };
    Objective::new(model.header(), samples, &order, &weighting, 1e9).unwrap()
}

#[test]
fn the_gradient_is_that_of_gnep() {
    let model = Model::load(folder("gnep_trace").join("nep.txt")).unwrap();
    let frames = xyz::read_frames(folder("gnep_trace").join("train.xyz")).unwrap();
    let mut objective = objective(&model, &frames);
    let layout = Layout::new(model.header());
    let n = frames.len() as f64;
    let n_virials = frames.iter().filter(|f| f.virial.is_some()).count() as f64;
    // gnep's own weights in place of nep's.
    let samples = &objective.samples;
    for group in &mut objective.groups {
        for (s, target) in group.targets.structures.iter_mut().enumerate() {
            let weight = samples[group.members[s]].weight;
            target.energy_factor = weight * target.n_atoms / n;
            if let Some((_, factor)) = &mut target.virial {
                let diagonal = weight * target.n_atoms / (6.0 * n_virials);
                let off = 4.0 * diagonal;
                *factor = [diagonal, diagonal, diagonal, off, off, off];
            }
        }
        for (slot, (_, factor)) in group.targets.forces.iter_mut().enumerate() {
            let Some(atom) = group.chunk.atom[slot] else {
                continue;
            };
            let sample = &samples[group.members[group.chunk.structure[slot] as usize]];
            let tau = [1.0, 1.5][sample.types[atom as usize] as usize];
            let delta: f64 = 0.5 / (0.5 + sample.force_sizes[atom as usize]);
            *factor = sample.weight * tau * delta.sqrt() / (3.0 * sample.types.len() as f64 * n);
        }
    }
    let groups: Vec<usize> = (0..objective.groups.len()).collect();
    let bias = layout.common_bias();
    for step in trace("gnep_trace").as_array().unwrap() {
        let mut parameters = numbers(&step["parameters"]);
        parameters.insert(bias, 0.0);
        let (_, mut gradient) = objective.evaluate(
            &groups,
            &Evaluation {
                parameters: &parameters,
                q_scaler: model.q_scaler(),
                factors: Some([1.0, 2.0, 0.1, 0.0, 0.0]),
            },
        );
        gradient.remove(bias);
        let expected = numbers(&step["gradient"]);
        let size = expected.iter().fold(0.0f64, |m, g| m.max(g.abs()));
        for (index, (a, b)) in gradient.iter().zip(&expected).enumerate() {
            assert!((a - b).abs() < SINGLE * size, "{index}: {a} {b}");
        }
    }
}

#[test]
fn the_loss_is_that_of_nep() {
    let model = Model::load(folder("snes_trace").join("nep.txt")).unwrap();
    let mut frames = xyz::read_frames(folder("gnep_trace").join("train.xyz")).unwrap();
    frames.sort_by(|a, b| {
        let [a, b] = [a, b].map(|f| f.energy.unwrap() / f.len() as f64);
        a.total_cmp(&b)
    });
    for generation in trace("snes_trace").as_array().unwrap() {
        let batch = generation["batch"].as_u64().unwrap() as usize;
        let frames: Vec<Frame> = frames.iter().skip(batch).step_by(2).cloned().collect();
        let objective = objective(&model, &frames);
        let groups: Vec<usize> = (0..objective.groups.len()).collect();
        for individual in generation["individuals"].as_array().unwrap() {
            let parameters = numbers(&individual["parameters"]);
            let (sums, _) = objective.evaluate(
                &groups,
                &Evaluation {
                    parameters: &parameters,
                    q_scaler: model.q_scaler(),
                    factors: None,
                },
            );
            let squares = sums.weighted(sums.shift());
            for ((key, lambda), square) in [("fE", 1.0), ("fF", 1.0), ("fV", 0.1)]
                .into_iter()
                .zip(squares)
            {
                let expected = individual[key].as_f64().unwrap();
                let found = lambda * square.sqrt();
                assert!(
                    (found - expected).abs() < SINGLE * expected.max(1.0),
                    "{key}: {found} {expected}"
                );
            }
        }
    }
}

/// Two generations of GPUMD's evolution strategy: the ranking by type exactly, the distribution
/// after it.
#[test]
fn the_evolution_is_that_of_nep() {
    let model = Model::load(folder("snes_trace").join("nep.txt")).unwrap();
    let frames = xyz::read_frames(folder("gnep_trace").join("train.xyz")).unwrap();
    let objective = objective(&model, &frames);
    let file = std::fs::File::open(folder("snes_trace").join("generations.json.gz")).unwrap();
    let trace: serde_json::Value =
        serde_json::from_reader(flate2::read::GzDecoder::new(file)).unwrap();
    let rows = |key: &str| -> Vec<Vec<f64>> {
        trace[key].as_array().unwrap().iter().map(numbers).collect()
    };
    let owners = evolve::owners(&objective.layout);
    let batches = evolve::batches(&objective, 3);
    let lambda = (1e-6 * objective.layout.len() as f64 / 2.0).sqrt();
    let terms = evolve::Terms {
        lambda: [1.0, 1.0, 0.1],
        regularisation: [lambda; 2],
    };
    for generation in [1, 2] {
        let key = |name: &str| format!("g{generation}_{name}");
        let mut evolution = Evolution {
            mean: numbers(&trace[key("mu0")]),
            deviation: numbers(&trace[key("sigma0")]),
            generation,
        };
        let deviates = rows(&key("s"));
        let individuals: Vec<Vec<f64>> = deviates.iter().map(|s| evolution.individual(s)).collect();
        let fitness = evolve::fitness_of_all(
            &objective,
            &batches[generation % 2],
            &individuals,
            model.q_scaler(),
            &owners,
            &terms,
        );
        for (t, (total, order)) in rows(&key("ftot"))
            .iter()
            .zip(rows(&key("index")))
            .enumerate()
        {
            for (p, expected) in total.iter().enumerate() {
                let found = fitness[p][t];
                assert!(
                    (found - expected).abs() < SINGLE * expected,
                    "{found} {expected}"
                );
            }
            let mut found: Vec<usize> = (0..total.len()).collect();
            found.sort_by(|&a, &b| fitness[a][t].total_cmp(&fitness[b][t]));
            assert!(found.iter().zip(&order).all(|(&a, &b)| a as f64 == b));
        }
        evolution.update(&owners, &deviates, &fitness);
        for (found, expected) in [(&evolution.mean, "mu1"), (&evolution.deviation, "sigma1")] {
            for (a, b) in found.iter().zip(numbers(&trace[key(expected)])) {
                assert!((a - b).abs() < 1e-12, "{expected}: {a} {b}");
            }
        }
    }
}
