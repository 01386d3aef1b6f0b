//! Separable natural evolution strategies, the optimiser of GPUMD's `nep`: for comparison.
//!
//! Source: Schaul, Glasmachers & Schmidhuber, GECCO 2011, 845; the separate ranking of the
//! parameters of each type is GPUMD's.

use super::objective::Objective;
use super::optimize::networks;
use nepal::model::Layout;
use rayon::prelude::*;

/// Normal distribution of each parameter.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub(super) struct Evolution {
    pub mean: Vec<f64>,
    pub deviation: Vec<f64>,
    /// Generations so far.
    pub generation: usize,
}

/// Type whose ranking each parameter follows; the number of types for common ones.
pub(super) fn owners(layout: &Layout) -> Vec<usize> {
    let common = layout.n_types;
    let mut out = vec![common; layout.len()];
    if layout.n_networks > 1 {
        for (offset, t) in networks(layout) {
            out[offset + layout.network(t)..][..layout.network_len].fill(t);
        }
    }
    for part in 0..2 {
        for center in 0..layout.n_types {
            for other in 0..layout.n_types {
                for n in 0..layout.n_radial[part] {
                    for k in 0..layout.n_basis[part] {
                        out[layout.coefficient(part, n, k, center, other)] = center;
                    }
                }
            }
        }
    }
    // One network serves all types where there is only one type, too.
    if layout.n_types == 1 {
        out[..layout.network_len].fill(0);
    }
    out
}

impl Evolution {
    /// Individual of some standard normal deviates.
    pub fn individual(&self, s: &[f64]) -> Vec<f64> {
        let parameters = self.mean.iter().zip(&self.deviation).zip(s);
        parameters.map(|((m, d), s)| m + d * s).collect()
    }

    /// Moves the distribution towards the better individuals.
    ///
    /// `deviates` by individual; `fitness` by individual, and there by type with the total last.
    pub fn update(&mut self, owners: &[usize], deviates: &[Vec<f64>], fitness: &[Vec<f64>]) {
        let population = deviates.len();
        let types = fitness.first().map_or(1, Vec::len) - 1;
        let weights = utilities(population);
        // Utility of each individual, by type.
        let by_type: Vec<Vec<f64>> = (0..=types)
            .map(|t| {
                let mut order: Vec<usize> = (0..population).collect();
                order.sort_by(|&a, &b| fitness[a][t].total_cmp(&fitness[b][t]));
                let mut utility = vec![0.0; population];
                for (rank, individual) in order.into_iter().enumerate() {
                    utility[individual] = weights[rank];
                }
                utility
            })
            .collect();
        let m = (self.mean.len() / types.max(1)) as f64;
        let rate = (3.0 + m.ln()) / (10.0 * m.sqrt());
        for (v, &owner) in owners.iter().enumerate() {
            let (mut first, mut second) = (0.0, 0.0);
            for (s, u) in deviates.iter().zip(&by_type[owner]) {
                first += u * s[v];
                second += u * (s[v] * s[v] - 1.0);
            }
            self.mean[v] += self.deviation[v] * first;
            self.deviation[v] = (self.deviation[v] * (rate * second).exp()).min(1.0);
        }
    }
}

/// Weights of the ranks, best first; their sum is zero.
fn utilities(population: usize) -> Vec<f64> {
    let n = population as f64;
    let raw: Vec<f64> = (1..=population)
        .map(|r| ((n / 2.0 + 1.0).ln() - (r as f64).ln()).max(0.0))
        .collect();
    let sum: f64 = raw.iter().sum();
    raw.iter().map(|u| u / sum - 1.0 / n).collect()
}

/// Squared errors of one structure.
struct Errors {
    sample: usize,
    energy: Option<f64>,
    force: f64,
    virial: Option<f64>,
}

/// Weights of the loss as the fitness needs them.
pub(super) struct Terms {
    /// Weights of energies, forces, virials.
    pub lambda: [f64; 3],
    /// Weights of the L1 and L2 terms.
    pub regularisation: [f64; 2],
}

/// Loss of some parameters over a batch of samples, by type, the total last.
///
/// A type's errors are those of the structures that contain it, all their atoms included.
pub(super) fn fitness(
    objective: &Objective,
    batch: &[bool],
    z: &[f64],
    q_scaler: &[f64],
    owners: &[usize],
    terms: &Terms,
) -> Vec<f64> {
    let groups: Vec<usize> = (0..objective.groups.len())
        .filter(|&g| objective.groups[g].members.iter().any(|&m| batch[m]))
        .collect();
    let parts = objective.predict_some(&groups, z, q_scaler, |group, results| {
        let targets = &group.targets;
        let mut out: Vec<Errors> = (group.members.iter().zip(&targets.structures))
            .enumerate()
            .map(|(s, (&sample, t))| Errors {
                sample,
                energy: t
                    .has_energy
                    .then(|| results.energy[s] / t.n_atoms - t.energy),
                force: 0.0,
                virial: t.virial.map(|(target, factor)| {
                    (0..6)
                        .map(|c| {
                            let delta = results.virial[s][c] / t.n_atoms - target[c];
                            factor[c] * delta * delta
                        })
                        .sum()
                }),
            })
            .collect();
        for (slot, (target, factor)) in targets.forces.iter().enumerate() {
            let square: f64 = (0..3)
                .map(|a| (results.force[slot][a] - target[a]).powi(2))
                .sum();
            out[group.chunk.structure[slot] as usize].force += factor * square;
        }
        out
    });
    let errors: Vec<Errors> = (parts.into_iter().flatten())
        .filter(|e| batch[e.sample])
        .collect();
    let sample = |e: &Errors| &objective.samples[e.sample];
    let (mut sum, mut count) = (0.0, 0.0);
    for e in &errors {
        let weight = sample(e).energy_weight;
        if let Some(delta) = e.energy {
            sum += weight * delta;
            count += weight;
        }
    }
    let shift = if count > 0.0 { sum / count } else { 0.0 };
    let types = objective.layout.n_types;
    let common = objective.layout.common_bias();
    (0..=types)
        .map(|t| {
            let mut squares = [0.0; 3];
            let mut counts = [0.0; 3];
            for e in &errors {
                let sample = sample(e);
                if t < types && !sample.types.contains(&(t as u32)) {
                    continue;
                }
                if let Some(delta) = e.energy {
                    let weight = sample.weight * sample.weight * sample.energy_weight;
                    squares[0] += weight * (delta - shift) * (delta - shift);
                    counts[0] += 1.0;
                }
                squares[1] += e.force;
                counts[1] += 3.0 * sample.mask.iter().sum::<f64>();
                if let Some(virial) = e.virial {
                    squares[2] += virial;
                    counts[2] += match objective.header.kind {
                        nepal::model::Kind::Dipole => 3.0,
                        _ => 6.0,
                    };
                }
            }
            let mut loss = 0.0;
            for i in 0..3 {
                if counts[i] > 0.0 {
                    loss += terms.lambda[i] * f64::sqrt(squares[i] / counts[i]);
                }
            }
            let n = z.len() as f64 / if t < types { types as f64 } else { 1.0 };
            let (mut one, mut two) = (0.0, 0.0);
            for (index, x) in z.iter().enumerate() {
                if index != common && (t == types || owners[index] == t) {
                    one += x.abs();
                    two += x * x;
                }
            }
            loss + terms.regularisation[0] * one / n + terms.regularisation[1] * (two / n).sqrt()
        })
        .collect()
}

/// The batch that each generation uses: structures in the order of their energies, every
/// `n_batches`-th one. Shape `[n_batches][n_samples]`.
pub(super) fn batches(objective: &Objective, size: usize) -> Vec<Vec<bool>> {
    let n = objective.samples.len();
    let count = n.div_ceil(size.max(1)).max(1);
    let mut order: Vec<usize> = (0..n).collect();
    if count > 1 {
        let energy = |s: usize| objective.samples[s].energy.unwrap_or(0.0);
        order.sort_by(|&a, &b| energy(a).total_cmp(&energy(b)));
    }
    let mut out = vec![vec![false; n]; count];
    for (place, sample) in order.into_iter().enumerate() {
        out[place % count][sample] = true;
    }
    out
}

/// Fitness of all individuals.
pub(super) fn fitness_of_all(
    objective: &Objective,
    batch: &[bool],
    individuals: &[Vec<f64>],
    q_scaler: &[f64],
    owners: &[usize],
    terms: &Terms,
) -> Vec<Vec<f64>> {
    let fitness = |z: &Vec<f64>| fitness(objective, batch, z, q_scaler, owners, terms);
    if objective.has_device() {
        return individuals.iter().map(fitness).collect();
    }
    individuals.par_iter().map(fitness).collect()
}
