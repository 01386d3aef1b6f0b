//! Where training starts: random descriptors and first layers, a solved output layer.

use super::charges;
use super::objective::{Objective, Spread};
use super::optimize::{Variables, networks};
use nalgebra::{DMatrix, DVector};
use nepal::error::{Error, Result};
use nepal::model::Kind;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// Rows of the least-squares problem beyond which structures are left out of it.
const MAX_ROWS: usize = 30_000;
/// Errors that the solution weights as equal: energy (eV/atom), force (eV/Å).
const SCALES: [f64; 2] = [0.003, 0.1];
/// Ridge relative to the mean diagonal of the normal equations.
const RIDGE: f64 = 1e-5;
/// Scale of a temperature, 1/K: GPUMD's.
const TEMPERATURE: f64 = 1e-3;

/// Descriptor scales 1/(max - min) over the data, 1 for descriptors that do not vary.
///
/// **Source**: GPUMD's `nep`, but from the coefficients that training starts with.
fn q_scaler(spread: &[Vec<Spread>]) -> Vec<f64> {
    let dim = spread.first().map_or(0, Vec::len);
    (0..dim)
        .map(|d| {
            let mut all = Spread::default();
            spread.iter().for_each(|s| all.merge(&s[d]));
            let range = all.high - all.low;
            if range.is_finite() && range > 1e-8 * all.high.abs().max(1e-8) {
                1.0 / range
            } else {
                1.0
            }
        })
        .collect()
}

/// The same for an objective's data; a temperature has its own scale.
pub(super) fn scales(objective: &Objective, parameters: &[f64]) -> Vec<f64> {
    let ones = vec![1.0; objective.layout.dim];
    let mut scaler = q_scaler(&objective.descriptors(parameters, &ones));
    if let (Kind::Temperature, Some(last)) = (objective.header.kind, scaler.last_mut()) {
        *last = TEMPERATURE;
    }
    scaler
}

/// Random parameters, with output weights of zero, and the descriptor scales.
pub(super) fn random(objective: &Objective, seed: u64) -> (Vec<f64>, Vec<f64>, Variables) {
    let layout = &objective.layout;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut normal = {
        let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 0x9e37_79b9_7f4a_7c15);
        move || -> f64 { StandardNormal.sample(&mut rng) }
    };
    let mut parameters = vec![0.0; layout.len()];
    for c in &mut parameters[layout.coefficients(0)..] {
        *c = rng.random::<f64>() - 0.5 + 0.1 * normal();
    }
    let scaler = scales(objective, &parameters);
    let spread = objective.descriptors(&parameters, &scaler);
    let variables = Variables::new(layout, &spread);
    // In the variables, each descriptor has mean 0 and deviation 1.
    let mut y = variables.of_parameters(&parameters);
    let [n1, n2] = layout.neurons;
    let first = 1.0 / (layout.dim as f64).sqrt();
    for (offset, t) in networks(layout) {
        let mut fill = |start: usize, len: usize, size: f64| {
            for y in &mut y[offset + start..][..len] {
                *y = size * normal();
            }
        };
        fill(layout.w0(t, 0), n1 * layout.dim, first);
        fill(layout.b0(t), n1, 0.5);
        if n2 > 0 {
            fill(layout.w1(t), n1 * n2, 1.0 / (n1 as f64).sqrt());
            fill(layout.b1(t), n2, 0.5);
        }
    }
    variables.to_parameters(&y, &mut parameters);
    if let Some(dielectric) = layout.dielectric() {
        let (charges, root) = charges::guess(objective);
        parameters[dielectric] = root;
        for (t, charge) in charges.into_iter().enumerate() {
            // The neurons at the mean descriptor, whose bias the variables have.
            let neurons: Vec<f64> = (0..n1).map(|mu| (-y[layout.b0(t) + mu]).tanh()).collect();
            let square: f64 = neurons.iter().map(|x| x * x).sum();
            let weights = parameters[layout.output(t, 1)..].iter_mut();
            for (w, x) in weights.zip(neurons) {
                *w = charge * x / square.max(1e-3);
            }
        }
    }
    (parameters, scaler, variables)
}

/// Sets the output weights and the common bias to the regularised least-squares solution for
/// energies and forces, or tensors: the output layer is linear.
///
/// **Errors**: [`Error::Failed`] if the normal equations are not positive definite.
pub(super) fn solve_output(
    objective: &Objective,
    parameters: &mut [f64],
    q_scaler: &[f64],
) -> Result<()> {
    let layout = &objective.layout;
    let [n1, n2] = layout.neurons;
    let (len, start): (usize, &dyn Fn(usize) -> usize) = if n2 == 0 {
        (n1, &|t| layout.w1(t))
    } else {
        (n2, &|t| layout.w2(t))
    };
    let mut weights: Vec<usize> = Vec::new();
    for (offset, t) in networks(layout) {
        weights.extend(offset + start(t)..offset + start(t) + len);
    }
    let bias = layout.scalar().unwrap_or(0) + layout.common_bias();
    for &index in weights.iter().chain([&bias]) {
        parameters[index] = 0.0;
    }
    if let Some(index) = layout.type_bias(0) {
        for t in 0..layout.n_networks {
            parameters[index + t * layout.network_len] = 0.0;
        }
    }
    let (mut target, energy_rows) = rows(objective, None);
    // What charges and C6 do is no part of the output layer's equations.
    let further = layout.n_outputs > 1;
    let fixed = further.then(|| rows(objective, Some((parameters, q_scaler))).0);
    if let Some(fixed) = &fixed {
        target -= fixed;
    }
    let columns: Vec<DVector<f64>> = weights
        .iter()
        .map(|&index| {
            parameters[index] = 1.0;
            let (mut column, _) = rows(objective, Some((parameters, q_scaler)));
            parameters[index] = 0.0;
            if let Some(fixed) = &fixed {
                column -= fixed;
            }
            column
        })
        .chain([-energy_rows])
        .collect();
    let matrix = DMatrix::from_columns(&columns);
    let mut normal = matrix.tr_mul(&matrix);
    let ridge = RIDGE * normal.trace() / normal.nrows() as f64;
    for i in 0..normal.nrows() {
        normal[(i, i)] += ridge;
    }
    // The bias is not penalised: energies may be anywhere.
    let last = normal.nrows() - 1;
    normal[(last, last)] -= ridge * (1.0 - 1e-9);
    let right = matrix.tr_mul(&target);
    let solution = normal
        .cholesky()
        .ok_or_else(|| Error::Failed("the output layer's normal equations are singular".into()))?
        .solve(&right);
    for (&index, &x) in weights.iter().chain([&bias]).zip(solution.iter()) {
        parameters[index] = x;
    }
    Ok(())
}

/// Weighted energies and forces as one vector, of the targets or of a parameter vector; and the
/// same for an energy of 1 per atom and no forces.
fn rows(
    objective: &Objective,
    parameters: Option<(&[f64], &[f64])>,
) -> (DVector<f64>, DVector<f64>) {
    let count: usize = objective
        .groups
        .iter()
        .map(|g| 3 * g.targets.forces.len() + g.targets.structures.len())
        .sum();
    let stride = count.div_ceil(MAX_ROWS).max(1);
    let ones = vec![0.0; objective.layout.len()];
    let scale = vec![1.0; objective.layout.dim];
    let (p, q) = parameters.unwrap_or((&ones, &scale));
    let is_target = parameters.is_none();
    let n_energy = objective.samples.len() as f64;
    let n_force: f64 = objective
        .groups
        .iter()
        .map(|g| g.chunk.n_atoms as f64)
        .sum();
    let groups: Vec<usize> = (0..objective.groups.len()).step_by(stride).collect();
    let is_tensor = objective.header.kind.is_tensor();
    let parts = objective.predict_some(&groups, p, q, |group, results| {
        let mut values = Vec::new();
        let mut constant = Vec::new();
        for (s, target) in group.targets.structures.iter().enumerate() {
            if let (true, Some((tensor, factors))) = (is_tensor, &target.virial) {
                for (c, factor) in factors.iter().enumerate() {
                    let own = results.virial[s][c] / target.n_atoms;
                    values.push(factor.sqrt() * if is_target { tensor[c] } else { own });
                    // The bias of a scalar network is there three times.
                    constant.push(if c < 3 { factor.sqrt() } else { 0.0 });
                }
                continue;
            }
            let w = (target.energy_factor / n_energy).sqrt() / SCALES[0];
            let value = if is_target {
                target.energy
            } else {
                results.energy[s] / target.n_atoms
            };
            values.push(w * value);
            constant.push(w);
        }
        for (f, (target, factor)) in results.force.iter().zip(&group.targets.forces) {
            let w = (factor / (3.0 * n_force)).sqrt() / SCALES[1];
            for a in 0..3 {
                values.push(w * if is_target { target[a] } else { f[a] });
                constant.push(0.0);
            }
        }
        (values, constant)
    });
    let (mut values, mut constant) = (Vec::new(), Vec::new());
    for (v, c) in parts {
        values.extend(v);
        constant.extend(c);
    }
    (DVector::from_vec(values), DVector::from_vec(constant))
}
