//! The loss of a set of structures and its gradient.

use super::data::Sample;
use super::errors::Prediction;
use super::kernel::{Chunk, Geometry, Loss, Parameters, Pass, Results, Shape, Slopes, Workspace};
use crate::error::Result;
use crate::model::{Header, Layout};
use crate::system::Structure;
use rayon::prelude::*;
use std::ops::AddAssign;
use std::sync::Mutex;

/// Small structures are evaluated together up to this many atoms.
const CHUNK_ATOMS: usize = 64;
/// Gradients are summed in at most this many groups, whose number does not depend on the threads.
const GROUPS: usize = 16;

/// What the loss of a chunk compares with. `factor`s multiply squared errors and hold all weights.
pub(super) struct Targets {
    pub structures: Vec<StructureTarget>,
    /// Target force of each slot, eV/Å, and factor of its squared error (0 for none).
    pub forces: Vec<([f64; 3], f64)>,
    /// Weight of each slot in the reported force error.
    pub plain: Vec<f64>,
}

impl Targets {
    /// Numbers of energies, force components and virial components.
    pub fn counts(&self) -> [f64; 3] {
        let energies = self.structures.iter().filter(|s| s.has_energy);
        let virials = self.structures.iter().filter(|s| s.virial.is_some());
        [
            energies.count() as f64,
            3.0 * self.plain.iter().sum::<f64>(),
            6.0 * virials.count() as f64,
        ]
    }
}

/// Targets of one structure.
pub(super) struct StructureTarget {
    pub n_atoms: f64,
    /// Energy, eV/atom.
    pub energy: f64,
    /// Factor of the squared energy error.
    pub energy_factor: f64,
    /// Weight in the reported energy error.
    pub energy_plain: f64,
    /// Whether there is a target energy: such structures count, also with a weight of 0.
    pub has_energy: bool,
    /// Virial, eV/atom, with the factors of the squared errors.
    pub virial: Option<([f64; 6], [f64; 6])>,
}

/// How the loss weights its parts.
pub(super) struct Weighting<'a> {
    pub type_weight: &'a [f64],
    pub force_delta: f64,
    pub lambda_shear: f64,
}

/// Sums of squared errors: what every reported number is made of.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sums {
    /// Σ factor Δ^p of the energies, p = 0, 1, 2, weighted as in the loss.
    pub energy: [f64; 3],
    /// The same with `energy_weight` only.
    pub energy_plain: [f64; 3],
    /// Structures with an energy.
    pub n_energy: f64,
    pub force: f64,
    pub force_plain: f64,
    /// Three per atom with a force (or its mask).
    pub n_force: f64,
    pub virial: f64,
    pub virial_plain: f64,
    /// Six per structure with a virial.
    pub n_virial: f64,
}

impl AddAssign for Sums {
    fn add_assign(&mut self, o: Self) {
        for p in 0..3 {
            self.energy[p] += o.energy[p];
            self.energy_plain[p] += o.energy_plain[p];
        }
        self.n_energy += o.n_energy;
        self.force += o.force;
        self.force_plain += o.force_plain;
        self.n_force += o.n_force;
        self.virial += o.virial;
        self.virial_plain += o.virial_plain;
        self.n_virial += o.n_virial;
    }
}

fn ratio(sum: f64, count: f64) -> f64 {
    if count > 0.0 { sum / count } else { 0.0 }
}

impl Sums {
    /// Mean energy error: the constant that GPUMD takes off in training.
    pub fn shift(&self) -> f64 {
        ratio(self.energy_plain[1], self.energy_plain[0])
    }

    /// Mean squared errors of energy, force and virial as the loss weights them, with the energies
    /// shifted.
    pub fn weighted(&self, shift: f64) -> [f64; 3] {
        let [n, sum, square] = self.energy;
        let energy = (square - 2.0 * shift * sum + shift * shift * n).max(0.0);
        [
            ratio(energy, self.n_energy),
            ratio(self.force, self.n_force),
            ratio(self.virial, self.n_virial),
        ]
    }

    /// Reported root mean square errors of energy, force and virial.
    pub fn plain(&self, shift: f64) -> [f64; 3] {
        let [n, sum, square] = self.energy_plain;
        let energy = (square - 2.0 * shift * sum + shift * shift * n).max(0.0);
        [
            ratio(energy, self.n_energy).sqrt(),
            ratio(self.force_plain, self.n_force).sqrt(),
            ratio(self.virial_plain, self.n_virial).sqrt(),
        ]
    }
}

/// A set of structures ready for evaluation.
pub(super) struct Objective {
    pub header: Header,
    pub layout: Layout,
    pub shape: Shape,
    pub samples: Vec<Sample>,
    pub groups: Vec<Group>,
    /// Largest numbers of radial and angular neighbours.
    pub max_neighbors: [usize; 2],
    workspaces: Mutex<Vec<Workspace>>,
}

/// A chunk with its targets; the geometry is kept if memory allows.
pub(super) struct Group {
    pub chunk: Chunk,
    pub targets: Targets,
    geometry: Option<Geometry>,
    /// Samples of the chunk's structures.
    pub members: Vec<usize>,
}

/// What one evaluation computes.
pub(super) struct Evaluation<'a> {
    pub parameters: &'a [f64],
    pub q_scaler: &'a [f64],
    /// Factors of the sums of squared energy, force and virial errors; `None` for no gradient.
    pub factors: Option<[f64; 3]>,
}

impl Objective {
    /// Lays out samples; `order` gives the order in which small ones share a chunk.
    ///
    /// **Errors**: as for neighbour lists.
    pub fn new(
        header: &Header,
        samples: Vec<Sample>,
        order: &[usize],
        weighting: &Weighting<'_>,
        memory: f64,
    ) -> Result<Self> {
        let shape = Shape::new(header);
        let mut members: Vec<Vec<usize>> = Vec::new();
        let mut atoms = usize::MAX;
        for &s in order {
            let n = samples[s].structure.len();
            if atoms >= CHUNK_ATOMS || atoms + n > 2 * CHUNK_ATOMS {
                members.push(Vec::new());
                atoms = 0;
            }
            atoms += n;
            if let Some(last) = members.last_mut() {
                last.push(s);
            }
        }
        let cutoff = cutoff(header);
        let built: Vec<Result<(Group, [usize; 2])>> = members
            .into_par_iter()
            .map(|members| {
                let parts = parts(&samples, &members);
                let chunk = Chunk::new(&parts);
                let (geometry, largest) = chunk.geometry(&shape, header, cutoff, &parts)?;
                let targets = targets(&chunk, &samples, &members, weighting);
                let kept = geometry.bytes() <= memory / samples.len() as f64 * members.len() as f64;
                Ok((
                    Group {
                        chunk,
                        targets,
                        geometry: kept.then_some(geometry),
                        members,
                    },
                    largest,
                ))
            })
            .collect();
        let mut max_neighbors = [0; 2];
        let mut groups = Vec::with_capacity(built.len());
        for item in built {
            let (group, largest) = item?;
            groups.push(group);
            for part in 0..2 {
                max_neighbors[part] = max_neighbors[part].max(largest[part]);
            }
        }
        Ok(Self {
            header: header.clone(),
            layout: Layout::new(header),
            shape,
            samples,
            groups,
            max_neighbors,
            workspaces: Mutex::new(Vec::new()),
        })
    }

    /// True if no geometry had to be left out for want of memory.
    pub fn all_kept(&self) -> bool {
        self.groups.iter().all(|g| g.geometry.is_some())
    }

    fn with_group<R>(
        &self,
        index: usize,
        run: impl FnOnce(&Group, &Geometry, &mut Workspace) -> R,
    ) -> R {
        let mut workspace = match self.workspaces.lock() {
            Ok(mut pool) => pool.pop().unwrap_or_default(),
            Err(_) => Workspace::default(),
        };
        let group = &self.groups[index];
        let result = match &group.geometry {
            Some(geometry) => run(group, geometry, &mut workspace),
            None => {
                let parts = parts(&self.samples, &group.members);
                let cutoff = cutoff(&self.header);
                let (geometry, _) = group
                    .chunk
                    .geometry(&self.shape, &self.header, cutoff, &parts)
                    .expect("the same neighbour list was built before");
                run(group, &geometry, &mut workspace)
            }
        };
        if let Ok(mut pool) = self.workspaces.lock() {
            pool.push(workspace);
        }
        result
    }

    /// Sums over some groups, and the gradient of the factored sum of squares if asked for.
    pub fn evaluate(&self, groups: &[usize], evaluation: &Evaluation<'_>) -> (Sums, Vec<f64>) {
        let parameters = Parameters::new(&self.layout, evaluation.parameters, evaluation.q_scaler);
        let len = evaluation.factors.map_or(0, |_| self.layout.len());
        let per_task = groups.len().div_ceil(GROUPS).max(1);
        let parts: Vec<(Sums, Vec<f64>)> = groups
            .par_chunks(per_task)
            .map(|task| {
                let mut gradient = vec![0.0; len];
                let mut sums = Sums::default();
                for &index in task {
                    self.with_group(index, |group, geometry, workspace| {
                        let mut loss = GroupLoss {
                            group,
                            factors: evaluation.factors,
                            sums: Sums::default(),
                        };
                        Pass {
                            shape: &self.shape,
                            parameters: &parameters,
                            chunk: &group.chunk,
                            geometry,
                            loss: &mut loss,
                            workspace,
                            gradient: &mut gradient,
                            range: None,
                        }
                        .run();
                        sums += loss.sums;
                    });
                }
                (sums, gradient)
            })
            .collect();
        let mut sums = Sums::default();
        let mut gradient = vec![0.0; len];
        for (s, g) in parts {
            sums += s;
            for (total, x) in gradient.iter_mut().zip(g) {
                *total += x;
            }
        }
        (sums, gradient)
    }

    /// Calls `visit` with the group and the forward results of each group, in order of the groups.
    pub fn predict<R: Send>(
        &self,
        parameters: &[f64],
        q_scaler: &[f64],
        visit: impl Fn(&Group, &Results<'_>) -> R + Sync,
    ) -> Vec<R> {
        let all: Vec<usize> = (0..self.groups.len()).collect();
        self.predict_some(&all, parameters, q_scaler, visit)
    }

    /// [`Objective::predict`] for some groups.
    pub fn predict_some<R: Send>(
        &self,
        groups: &[usize],
        parameters: &[f64],
        q_scaler: &[f64],
        visit: impl Fn(&Group, &Results<'_>) -> R + Sync,
    ) -> Vec<R> {
        let parameters = Parameters::new(&self.layout, parameters, q_scaler);
        groups
            .par_iter()
            .map(|&index| {
                self.with_group(index, |group, geometry, workspace| {
                    let mut loss = Visit {
                        group,
                        visit: &visit,
                        result: None,
                    };
                    Pass {
                        shape: &self.shape,
                        parameters: &parameters,
                        chunk: &group.chunk,
                        geometry,
                        loss: &mut loss,
                        workspace,
                        gradient: &mut [],
                        range: None,
                    }
                    .run();
                    loss.result.expect("the pass calls its loss once")
                })
            })
            .collect()
    }

    /// Predictions, with the repulsion put back, in the order of the caller's `n_frames` frames.
    pub fn predictions(
        &self,
        parameters: &[f64],
        q_scaler: &[f64],
        n_frames: usize,
    ) -> Vec<Prediction> {
        let parts = self.predict(parameters, q_scaler, |group, results| {
            let mut out: Vec<(usize, Prediction)> = Vec::new();
            for (s, &member) in group.members.iter().enumerate() {
                let sample = &self.samples[member];
                let n = sample.structure.len() as f64;
                let w: [f64; 6] =
                    std::array::from_fn(|c| results.virial[s][c] + n * sample.repulsion.virial[c]);
                let prediction = Prediction {
                    energy: results.energy[s] + n * sample.repulsion.energy,
                    forces: sample.repulsion.forces.clone(),
                    virial: [w[0], w[3], w[5], w[3], w[1], w[4], w[5], w[4], w[2]],
                };
                out.push((sample.frame, prediction));
            }
            for (slot, atom) in group.chunk.atom.iter().enumerate() {
                if let Some(atom) = atom {
                    let s = group.chunk.structure[slot] as usize;
                    let f = &mut out[s].1.forces[*atom as usize];
                    for (f, own) in f.iter_mut().zip(results.force[slot]) {
                        *f += own;
                    }
                }
            }
            out
        });
        let mut all = vec![Prediction::default(); n_frames];
        for (frame, prediction) in parts.into_iter().flatten() {
            all[frame] = prediction;
        }
        all
    }

    /// Number of atoms, sum and sum of squares, smallest and largest of each descriptor by type of
    /// the centre. Shape `[n_types][dim]`.
    pub fn descriptors(&self, parameters: &[f64], q_scaler: &[f64]) -> Vec<Vec<Spread>> {
        let parameters = Parameters::new(&self.layout, parameters, q_scaler);
        let all: Vec<Vec<Vec<Spread>>> = (0..self.groups.len())
            .into_par_iter()
            .map(|index| {
                self.with_group(index, |group, geometry, workspace| {
                    let mut spread =
                        vec![vec![Spread::default(); self.shape.dim]; self.shape.n_types];
                    Pass {
                        shape: &self.shape,
                        parameters: &parameters,
                        chunk: &group.chunk,
                        geometry,
                        loss: &mut Nothing,
                        workspace,
                        gradient: &mut [],
                        range: Some(&mut spread),
                    }
                    .run();
                    spread
                })
            })
            .collect();
        let mut total = vec![vec![Spread::default(); self.shape.dim]; self.shape.n_types];
        for part in all {
            for (total, part) in total.iter_mut().flatten().zip(part.iter().flatten()) {
                total.merge(part);
            }
        }
        total
    }
}

/// Statistics of one descriptor.
pub(super) use super::kernel::Spread;

struct Nothing;

impl Loss for Nothing {
    fn slopes(&mut self, _: &Results<'_>, _: Slopes<'_>) -> bool {
        false
    }
}

struct Visit<'a, V, R> {
    group: &'a Group,
    visit: &'a V,
    result: Option<R>,
}

impl<V: Fn(&Group, &Results<'_>) -> R, R> Loss for Visit<'_, V, R> {
    fn slopes(&mut self, results: &Results<'_>, _: Slopes<'_>) -> bool {
        self.result = Some((self.visit)(self.group, results));
        false
    }
}

fn cutoff(header: &Header) -> f64 {
    let n = header.n_types();
    (0..n * n)
        .flat_map(|ab| header.pair_cutoff(ab / n, ab % n))
        .fold(0.0, f64::max)
}

fn parts<'a>(samples: &'a [Sample], members: &[usize]) -> Vec<(&'a Structure, &'a [u32])> {
    members
        .iter()
        .map(|&s| (&samples[s].structure, samples[s].types.as_slice()))
        .collect()
}

fn targets(
    chunk: &Chunk,
    samples: &[Sample],
    members: &[usize],
    weighting: &Weighting<'_>,
) -> Targets {
    let structures = members
        .iter()
        .map(|&s| {
            let sample = &samples[s];
            let w2 = sample.weight * sample.weight;
            let plain = sample.energy.map_or(0.0, |_| sample.energy_weight);
            let shear = w2 * weighting.lambda_shear * weighting.lambda_shear;
            StructureTarget {
                n_atoms: sample.structure.len() as f64,
                energy: sample.energy.unwrap_or(0.0),
                energy_factor: w2 * plain,
                energy_plain: plain,
                has_energy: sample.energy.is_some(),
                virial: sample
                    .virial
                    .map(|v| (v, [w2, w2, w2, shear, shear, shear])),
            }
        })
        .collect();
    let mut forces = Vec::with_capacity(chunk.atom.len());
    let mut plain = Vec::with_capacity(chunk.atom.len());
    for (atom, &structure) in chunk.atom.iter().zip(&chunk.structure) {
        let sample = &samples[members[structure as usize]];
        let target = atom
            .zip(sample.forces.as_ref())
            .map(|(i, forces)| (i as usize, forces[i as usize]));
        let Some((i, force)) = target else {
            forces.push(([0.0; 3], 0.0));
            plain.push(0.0);
            continue;
        };
        let tau = weighting.type_weight[sample.types[i] as usize];
        let delta = if weighting.force_delta > 0.0 {
            weighting.force_delta / (weighting.force_delta + sample.force_sizes[i])
        } else {
            1.0
        };
        let mask = sample.mask[i];
        forces.push((
            force,
            sample.weight * sample.weight * tau * tau * delta * mask,
        ));
        plain.push(mask);
    }
    Targets {
        structures,
        forces,
        plain,
    }
}

/// Squared errors of a group and their derivatives.
struct GroupLoss<'a> {
    group: &'a Group,
    factors: Option<[f64; 3]>,
    sums: Sums,
}

impl Loss for GroupLoss<'_> {
    fn slopes(&mut self, results: &Results<'_>, slopes: Slopes<'_>) -> bool {
        let targets = &self.group.targets;
        let [fe, ff, fv] = self.factors.unwrap_or([0.0; 3]);
        let sums = &mut self.sums;
        slopes.energy.clear();
        slopes.strain.clear();
        if targets.structures.iter().any(|s| s.virial.is_some()) && fv != 0.0 {
            slopes
                .strain
                .resize(targets.structures.len(), [[0.0; 3]; 3]);
        }
        for (s, target) in targets.structures.iter().enumerate() {
            let n = target.n_atoms;
            let delta = results.energy[s] / n - target.energy;
            let (w, plain) = (target.energy_factor, target.energy_plain);
            if target.has_energy {
                sums.n_energy += 1.0;
                for (p, power) in [1.0, delta, delta * delta].into_iter().enumerate() {
                    sums.energy[p] += w * power;
                    sums.energy_plain[p] += plain * power;
                }
            }
            slopes.energy.push(2.0 * fe * w * delta / n);
            if let Some((virial, factor)) = &target.virial {
                sums.n_virial += 6.0;
                for (c, (a, b)) in [(0, 0), (1, 1), (2, 2), (0, 1), (1, 2), (2, 0)]
                    .into_iter()
                    .enumerate()
                {
                    let delta = results.virial[s][c] / n - virial[c];
                    sums.virial += factor[c] * delta * delta;
                    sums.virial_plain += delta * delta;
                    if let Some(strain) = slopes.strain.get_mut(s) {
                        strain[a][b] = -2.0 * fv * factor[c] * delta / n;
                    }
                }
            }
        }
        slopes.displacement.clear();
        let forces = results.force.iter().zip(&targets.forces);
        for ((f, (target, factor)), &plain) in forces.zip(&targets.plain) {
            let mut out = [0.0; 4];
            let mut square = 0.0;
            for a in 0..3 {
                let delta = f[a] - target[a];
                square += delta * delta;
                out[a] = -2.0 * ff * factor * delta;
            }
            sums.force += factor * square;
            sums.force_plain += plain * square;
            sums.n_force += 3.0 * plain;
            slopes.displacement.push(out);
        }
        self.factors.is_some()
    }
}
