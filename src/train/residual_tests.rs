//! Products with the Jacobian, and the sketch of it.

use super::data;
use super::objective::{Evaluation, Objective};
use super::optimize::Variables;
use super::precondition::Preconditioner;
use super::residuals::Point;
use super::targets::Weighting;
use crate::RobustLoss;
use nepal::model::Model;
use nepal::system::xyz;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

fn setting(force_loss: RobustLoss) -> (Model, Objective) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/gnep_trace");
    let model = Model::load(format!("{folder}/nep.txt")).unwrap();
    let frames = xyz::read_frames(format!("{folder}/train.xyz")).unwrap();
    let samples = data::prepare(model.header(), &frames, "training", &mut Vec::new()).unwrap();
    let order: Vec<usize> = (0..samples.len()).collect();
    let weighting = Weighting {
        type_weight: &[1.0, 1.5],
        force_delta: 0.5,
        lambda_shear: 2.0,
        force_loss,
        energy_loss: force_loss,
    };
    let objective = Objective::new(model.header(), samples, &order, &weighting, 1e9).unwrap();
    (model, objective)
}

fn wave(len: usize, f: f64) -> Vec<f64> {
    (0..len).map(|i| (f * i as f64 + 0.3).sin()).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[test]
fn products_with_the_jacobian_fit_each_other_and_the_gradient() {
    let (model, objective) = setting(RobustLoss::Square);
    let groups: Vec<usize> = (0..objective.groups.len()).collect();
    let at = Point {
        parameters: model.parameters(),
        q_scaler: model.q_scaler(),
        factors: [0.7, 1.3, 0.4, 0.0, 0.0],
    };
    let v = wave(at.parameters.len(), 0.7);
    let pushed = objective.push(&groups, &at, &v);
    let y: Vec<Vec<f64>> = pushed.iter().map(|p| wave(p.len(), 1.1)).collect();
    let left = dot(&pushed.concat(), &y.concat());
    let right = dot(&v, &objective.pull(&groups, &at, &y));
    assert!((left - right).abs() < 1e-6 * left.abs(), "{left} {right}");
    let residuals = objective.residuals(&groups, &at, true);
    let half = objective.pull(&groups, &at, &residuals);
    let evaluation = Evaluation {
        parameters: at.parameters,
        q_scaler: at.q_scaler,
        factors: Some(at.factors),
    };
    let (sums, gradient) = objective.evaluate(&groups, &evaluation);
    let size = dot(&gradient, &gradient).sqrt();
    for (h, g) in half.iter().zip(&gradient) {
        assert!((2.0 * h - g).abs() < 1e-10 * size, "{h} {g}");
    }
    let square: f64 = residuals.iter().flatten().map(|r| r * r).sum();
    let [e, f, w] = [sums.energy[2], sums.force, sums.virial];
    let expected = 0.7 * e + 1.3 * f + 0.4 * w;
    assert!((square - expected).abs() < 1e-10 * expected);
}

#[test]
fn squares_that_touch_a_robust_loss_have_its_gradient() {
    for loss in [RobustLoss::Huber(0.2), RobustLoss::Cauchy(0.2)] {
        let (model, mut objective) = setting(loss);
        let groups: Vec<usize> = (0..objective.groups.len()).collect();
        let at = Point {
            parameters: model.parameters(),
            q_scaler: model.q_scaler(),
            factors: [0.7, 1.3, 0.4, 0.0, 0.0],
        };
        objective.touch(at.parameters, at.q_scaler);
        let slopes = objective.groups.iter().flat_map(|g| &g.targets.slopes);
        assert!(slopes.filter(|s| **s < 1.0).count() > 3);
        let residuals = objective.residuals(&groups, &at, true);
        let half = objective.pull(&groups, &at, &residuals);
        let evaluation = Evaluation {
            parameters: at.parameters,
            q_scaler: at.q_scaler,
            factors: Some(at.factors),
        };
        let (_, gradient) = objective.evaluate(&groups, &evaluation);
        let size = dot(&gradient, &gradient).sqrt();
        for (h, g) in half.iter().zip(&gradient) {
            assert!((2.0 * h - g).abs() < 1e-10 * size, "{h} {g}");
        }
    }
}

/// The solution of the sketched system is near that of the real one: conjugate gradients are left
/// with a spectrum around one.
#[test]
fn the_sketch_is_near_the_matrix() {
    let (model, objective) = setting(RobustLoss::Square);
    let groups: Vec<usize> = (0..objective.groups.len()).collect();
    let at = Point {
        parameters: model.parameters(),
        q_scaler: model.q_scaler(),
        factors: [0.7, 1.3, 0.4, 0.0, 0.0],
    };
    let spread = objective.descriptors(at.parameters, at.q_scaler);
    let variables = Variables::new(&objective.layout, &spread);
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let mut sketch = Preconditioner::new(&objective, &variables, &groups, &at, &mut rng);
    let n = at.parameters.len();
    let damping: Vec<f64> = sketch.diagonal.iter().map(|d| 0.1 * d + 1e-6).collect();
    sketch.damp(&damping, 0.1);
    for seed in 0..4 {
        let v = wave(n, 0.37 + 0.2 * f64::from(seed));
        let mut direction = vec![0.0; n];
        variables.to_parameters(&v, &mut direction);
        let mut av = objective.pull(&groups, &at, &objective.push(&groups, &at, &direction));
        variables.pull_back(&mut av);
        for i in 0..n {
            av[i] = 2.0 * av[i] + damping[i] * v[i];
        }
        let quotient = dot(&sketch.solve(&av, &damping), &av) / dot(&v, &av);
        assert!((0.4..2.5).contains(&quotient), "{quotient}");
    }
}
