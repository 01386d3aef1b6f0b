//! Learns the last layer's force deviations from descriptors.
//!
//! The targets have no noise and need no labels, so that structures away from the training set can be made for
//! them: without those the network would guess wherever a run goes.

use super::design::Design;
use crate::optimize::{Adam, schedule};
use faer::{Mat, MatRef, Side};
use nepal::error::{Error, Result};
use nepal::model::Model;
use nepal::posterior::{GAUSSIAN, LocalDeviation, product};
use nepal::system::{Frame, Structure};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// Hidden neurons of the network.
const NEURONS: usize = 16;
/// Passes through the atoms, and the largest step.
const PASSES: usize = 60;
const RATE: f64 = 0.01;
/// Atoms of one step.
const BATCH: usize = 64;
/// Share of the usual deviation below which deviations are not told apart: atoms whose force is zero by
/// symmetry would have a logarithm of minus infinity.
const FLOOR: f64 = 0.1;
/// Of so many training frames one has a strained and rattled copy.
const ELSEWHERE: usize = 2;
/// Largest strain of those in length and in each component, and largest displacement in angular cutoffs.
const STRAIN: [f64; 2] = [0.05, 0.03];
const RATTLE: f64 = 0.05;

/// Descriptors and deviations of an element's atoms.
#[derive(Default)]
struct Atoms {
    q: Vec<f64>,
    deviations: Vec<f64>,
    /// How many, from the first, are of the training set.
    training: usize,
}

/// What is learnt from, by element.
pub(super) struct Lessons(Vec<Atoms>);

impl Lessons {
    pub fn new(n_types: usize) -> Self {
        Self((0..n_types).map(|_| Atoms::default()).collect())
    }

    /// Adds a structure's atoms, those of the training set first.
    pub fn add(&mut self, design: &Design, factor: MatRef<'_, f64>, training: bool) {
        let dim = design.q.len() / design.types.len();
        let deviations = design.force_deviations(factor);
        let atoms = design.types.iter().zip(design.q.chunks_exact(dim));
        for ((&t, q), s) in atoms.zip(deviations) {
            let atoms = &mut self.0[t as usize];
            atoms.q.extend_from_slice(q);
            atoms.deviations.push(s);
            atoms.training += usize::from(training);
        }
    }

    /// The networks, with factors of 1; none for an element without training atoms.
    ///
    /// **Errors**: [`Error::Failed`] for descriptors that are not finite.
    pub fn learn(&self, dim: usize) -> Result<Vec<Option<LocalDeviation>>> {
        let of = |atoms: &Atoms| (atoms.training > 0).then(|| learn(atoms, dim)).transpose();
        self.0.iter().map(of).collect()
    }
}

/// Strained and rattled copies of frames spread over the training set.
pub(super) fn elsewhere(model: &Model, frames: &[Frame]) -> Vec<Structure> {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let length = model.header().pair_cutoff(0, 0)[1];
    let mut out = Vec::new();
    for frame in frames.iter().step_by(ELSEWHERE) {
        let mut within = |size: f64| rng.random_range(-size..=size);
        let mut strain = [[0.0; 3]; 3];
        let even = within(STRAIN[0]);
        for a in 0..3 {
            for b in a..3 {
                let x = within(STRAIN[1]);
                strain[a][b] = x + if a == b { even } else { 0.0 };
                strain[b][a] = strain[a][b];
            }
        }
        let size = within(1.0).abs() * RATTLE * length;
        let Ok(mut structure) = frame.structure.strained(&strain) else {
            continue;
        };
        for x in structure.positions.as_flattened_mut() {
            let z: f64 = StandardNormal.sample(&mut rng);
            *x += size * z;
        }
        out.push(structure);
    }
    out
}

fn learn(atoms: &Atoms, dim: usize) -> Result<LocalDeviation> {
    let mut local = normalise(&atoms.q[..atoms.training * dim], dim)?;
    let z: Vec<f64> = atoms
        .q
        .chunks_exact(dim)
        .flat_map(|q| {
            let row = q.iter().zip(&local.mean).zip(&local.scale);
            row.map(|((q, m), s)| (q - m) * s)
        })
        .collect();
    let square = |s: &f64| s * s;
    let training = &atoms.deviations[..atoms.training];
    let usual = training.iter().map(square).sum::<f64>() / training.len() as f64;
    // Nothing is left open where no deviation is above zero; any small number says so.
    let floor = FLOOR * usual.max(f64::MIN_POSITIVE).sqrt();
    let target: Vec<f64> = atoms
        .deviations
        .iter()
        .map(|s| s.hypot(floor).ln())
        .collect();
    let level = target.iter().sum::<f64>() / target.len() as f64;
    let bounds = |[low, high]: [f64; 2], &y: &f64| [low.min(y), high.max(y)];
    local.range = target
        .iter()
        .fold([f64::INFINITY, f64::NEG_INFINITY], bounds);

    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let mut normal = |size: f64| -> f64 {
        let x: f64 = StandardNormal.sample(&mut rng);
        size * x
    };
    // Rows of w0 with b0 and w1 behind each, then the level.
    let width = dim + 2;
    let mut y: Vec<f64> = (0..NEURONS * width + 1)
        .map(|k| match (k == NEURONS * width, k % width) {
            (true, _) => level,
            (_, d) if d < dim => normal(0.5 / (dim as f64).sqrt()),
            (_, d) => normal(0.1) * f64::from(u8::from(d > dim)),
        })
        .collect();
    let mut adam = Adam::new(y.len());
    let mut order: Vec<usize> = (0..target.len()).collect();
    let steps = PASSES * target.len().div_ceil(BATCH);
    let mut gradient = vec![0.0; y.len()];
    let mut step = 0;
    for _ in 0..PASSES {
        order.shuffle(&mut rng);
        for batch in order.chunks(BATCH) {
            gradient.fill(0.0);
            for &i in batch {
                back(&y, &z[i * dim..][..dim], target[i], &mut gradient);
            }
            gradient.iter_mut().for_each(|g| *g /= batch.len() as f64);
            adam.step(
                &mut y,
                &gradient,
                RATE * schedule(step as f64 / steps as f64),
            );
            step += 1;
        }
    }
    for neuron in y[..NEURONS * width].chunks_exact(width) {
        local.w0.extend_from_slice(&neuron[..dim]);
        local.b0.push(neuron[dim]);
        local.w1.push(neuron[dim + 1]);
    }
    local.level = y[NEURONS * width];
    Ok(local)
}

/// Adds the gradient of half the squared error of one atom.
fn back(y: &[f64], z: &[f64], target: f64, gradient: &mut [f64]) {
    let (dim, width) = (z.len(), z.len() + 2);
    let mut hidden = [0.0; NEURONS];
    let mut error = y[NEURONS * width] - target;
    for (x, neuron) in hidden.iter_mut().zip(y.chunks_exact(width)) {
        let u: f64 = neuron[..dim].iter().zip(z).map(|(w, z)| w * z).sum();
        *x = (u - neuron[dim]).tanh();
        error += neuron[dim + 1] * *x;
    }
    gradient[NEURONS * width] += error;
    let parts = gradient.chunks_exact_mut(width).zip(y.chunks_exact(width));
    for (x, (gradient, neuron)) in hidden.iter().zip(parts) {
        let slope = error * neuron[dim + 1] * (1.0 - x * x);
        for (g, z) in gradient.iter_mut().zip(z) {
            *g += slope * z;
        }
        gradient[dim] -= slope;
        gradient[dim + 1] += error * x;
    }
}

/// Means, scales and metric of training atoms.
fn normalise(q: &[f64], dim: usize) -> Result<LocalDeviation> {
    /// Spread below which a descriptor counts as constant, relative to the widest; and variance that each
    /// direction has at least, relative to a descriptor's, alone and for each free number per atom.
    const LEAST: [f64; 3] = [1e-2, 1e-3, 0.1];
    let n = (q.len() / dim) as f64;
    let sum = |of: &dyn Fn(usize, f64) -> f64| -> Vec<f64> {
        let mut sums = vec![0.0; dim];
        for q in q.chunks_exact(dim) {
            for (d, (sum, &q)) in sums.iter_mut().zip(q).enumerate() {
                *sum += of(d, q) / n;
            }
        }
        sums
    };
    // Few atoms do not tell which directions are closed.
    let floor = LEAST[1] + LEAST[2] * dim as f64 / n;
    let mean = sum(&|_, q| q);
    let spread: Vec<f64> = sum(&|d, q| (q - mean[d]).powi(2))
        .iter()
        .map(|v| v.sqrt())
        .collect();
    let widest = spread.iter().copied().fold(0.0, f64::max);
    // All atoms alike: any other one is far away.
    let least = LEAST[0] * if widest > 0.0 { widest } else { 1.0 };
    let scale: Vec<f64> = spread.iter().map(|s| 1.0 / s.max(least)).collect();
    let z = Mat::from_fn(q.len() / dim, dim, |i, d| {
        (q[i * dim + d] - mean[d]) * scale[d]
    });
    let mut covariance = product(z.transpose(), z.as_ref());
    for a in 0..dim {
        for b in 0..dim {
            covariance[(a, b)] = covariance[(a, b)] / n + floor * f64::from(u8::from(a == b));
        }
    }
    let eigen = covariance.self_adjoint_eigen(Side::Lower).map_err(|_| {
        Error::Failed(
            "the descriptors' covariance has no eigenvalues; are all positions finite?".into(),
        )
    })?;
    let (vectors, values) = (eigen.U(), eigen.S().column_vector());
    let size = |k: usize| (values[k].max(floor) * dim as f64).sqrt();
    let metric = (0..dim * dim)
        .map(|k| vectors[(k % dim, k / dim)] / size(k / dim))
        .collect();
    Ok(LocalDeviation {
        mean,
        scale,
        metric,
        w0: Vec::new(),
        b0: Vec::new(),
        w1: Vec::new(),
        level: 0.0,
        range: [0.0; 2],
        factor: 1.0,
        at_95: GAUSSIAN[0][1],
    })
}
