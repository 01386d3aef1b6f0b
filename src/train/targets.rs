//! What the loss compares with: targets, weights and sums of squared errors.

use super::data::Sample;
pub use super::errors::TERMS;
use super::kernel::{Chunk, Loss, Results, Slopes, components};
use super::robust::RobustLoss;
use nepal::model::Kind;
use std::ops::AddAssign;

/// What the loss of a chunk compares with. `factor`s multiply squared errors and hold all weights.
pub(super) struct Targets {
    pub kind: Kind,
    pub structures: Vec<StructureTarget>,
    /// Target force of each slot, eV/Å, and factor of its squared error (0 for none).
    pub forces: Vec<([f64; 3], f64)>,
    /// Born charge of each slot, e, and factor of its squared error (0 for none); empty without any.
    pub born: Vec<([f64; 9], f64)>,
    /// Structures with Born charges.
    n_born: f64,
    /// Weight of each slot in the reported force error.
    pub plain: Vec<f64>,
    pub force_loss: RobustLoss,
    pub energy_loss: RobustLoss,
    /// Slope of a robust loss at each slot where it was last looked at, for sums of squares that
    /// touch it there; empty for plain squares.
    pub slopes: Vec<f64>,
    /// The same for each structure's energy. Energies always take part as such sums of squares: the
    /// constant that is taken off them is then known in closed form.
    pub energy_slopes: Vec<f64>,
}

impl Targets {
    /// Targets of the slots and structures of a chunk, whose structures are `members`.
    pub fn new(
        kind: Kind,
        chunk: &Chunk,
        samples: &[Sample],
        members: &[usize],
        weighting: &Weighting<'_>,
    ) -> Self {
        let structures = members
            .iter()
            .map(|&s| {
                let sample = &samples[s];
                let w2 = sample.weight * sample.weight;
                let plain = sample.energy.map_or(0.0, |_| sample.energy_weight);
                // A dipole has no more than three components.
                let shear = match kind {
                    Kind::Dipole => 0.0,
                    _ => w2 * weighting.lambda_shear * weighting.lambda_shear,
                };
                StructureTarget {
                    n_atoms: sample.structure.len() as f64,
                    energy: sample.energy.unwrap_or(0.0),
                    energy_factor: w2 * plain,
                    energy_plain: plain,
                    has_energy: sample.energy.is_some(),
                    charge: kind.electrostatics().map(|_| sample.charge),
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
        let has_born = |s: &usize| samples[*s].born.is_some();
        let n_born = members.iter().filter(|s| has_born(s)).count();
        let born_of = |(atom, &structure): (&Option<u32>, &u32)| {
            let sample = &samples[members[structure as usize]];
            let own = atom.zip(sample.born.as_ref());
            own.map_or(([0.0; 9], 0.0), |(i, born)| {
                (born[i as usize], 1.0 / sample.types.len() as f64)
            })
        };
        let slots = chunk.atom.iter().zip(&chunk.structure);
        let born = if n_born > 0 {
            slots.map(born_of).collect()
        } else {
            Vec::new()
        };
        Self {
            kind,
            born,
            n_born: n_born as f64,
            structures,
            forces,
            plain,
            force_loss: weighting.force_loss,
            energy_loss: weighting.energy_loss,
            slopes: Vec::new(),
            energy_slopes: Vec::new(),
        }
    }

    /// Factor of a structure's squared energy error.
    pub fn energy_factor(&self, structure: usize) -> f64 {
        self.structures[structure].energy_factor * self.energy_slopes.get(structure).unwrap_or(&1.0)
    }

    /// Numbers of the errors of each part of the loss.
    pub fn counts(&self) -> [f64; TERMS] {
        let energies = self.structures.iter().filter(|s| s.has_energy);
        let virials = self.structures.iter().filter(|s| s.virial.is_some());
        [
            energies.count() as f64,
            3.0 * self.plain.iter().sum::<f64>(),
            self.n_components() * virials.count() as f64,
            self.structures
                .iter()
                .filter(|s| s.charge.is_some())
                .count() as f64,
            9.0 * self.n_born,
        ]
    }

    /// Number of residuals: energies, forces on slots, virials; with charges also total charges and Born
    /// charges of slots.
    pub fn len(&self) -> usize {
        let n = self.structures.len();
        let charges = self
            .structures
            .iter()
            .filter(|s| s.charge.is_some())
            .count();
        7 * n + 3 * self.forces.len() + charges + 9 * self.born.len()
    }

    /// Numbers of a virial, or of what stands for it.
    fn n_components(&self) -> f64 {
        match self.kind {
            Kind::Dipole => 3.0,
            _ => 6.0,
        }
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
    /// Total charge, e, of models with charges.
    pub charge: Option<f64>,
}

/// How the loss weights its parts.
pub(super) struct Weighting<'a> {
    pub type_weight: &'a [f64],
    pub force_delta: f64,
    pub lambda_shear: f64,
    pub force_loss: RobustLoss,
    pub energy_loss: RobustLoss,
}

/// Sums of squared errors: what every reported number is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Sums {
    /// Σ factor Δ^p of the energies, p = 0, 1, 2, weighted as in the loss.
    pub energy: [f64; 3],
    /// The same with `energy_weight` only.
    pub energy_plain: [f64; 3],
    /// Weights and weighted errors of the energies whose mean is the constant that is taken off.
    pub shift: [f64; 2],
    /// Structures with an energy.
    pub n_energy: f64,
    pub force: f64,
    pub force_plain: f64,
    /// Three per atom with a force (or its mask).
    pub n_force: f64,
    pub virial: f64,
    pub virial_plain: f64,
    /// Six per structure with a virial, three per one with a dipole.
    pub n_virial: f64,
    /// Of the total charges per atom.
    pub charge: f64,
    pub n_charge: f64,
    /// Of the Born charges, each structure by its number of atoms.
    pub born: f64,
    /// Nine per structure with Born charges.
    pub n_born: f64,
}

/// Numbers that [`Sums`] are.
pub(super) const SUMS: usize = 19;

impl Sums {
    /// As numbers, which add up like the sums.
    pub fn to_array(self) -> [f64; SUMS] {
        let [a, b, c] = self.energy;
        let [d, e, f] = self.energy_plain;
        let [g, h] = self.shift;
        let forces = [self.force, self.force_plain, self.n_force];
        let [i, j, k] = forces;
        let [l, m, n] = [self.virial, self.virial_plain, self.n_virial];
        let [o, p, q, r] = [self.charge, self.n_charge, self.born, self.n_born];
        [
            a,
            b,
            c,
            d,
            e,
            f,
            g,
            h,
            self.n_energy,
            i,
            j,
            k,
            l,
            m,
            n,
            o,
            p,
            q,
            r,
        ]
    }

    /// The sums of such numbers.
    pub fn of_array(x: [f64; SUMS]) -> Self {
        Self {
            energy: [x[0], x[1], x[2]],
            energy_plain: [x[3], x[4], x[5]],
            shift: [x[6], x[7]],
            n_energy: x[8],
            force: x[9],
            force_plain: x[10],
            n_force: x[11],
            virial: x[12],
            virial_plain: x[13],
            n_virial: x[14],
            charge: x[15],
            n_charge: x[16],
            born: x[17],
            n_born: x[18],
        }
    }
}

impl AddAssign for Sums {
    fn add_assign(&mut self, o: Self) {
        for p in 0..3 {
            self.energy[p] += o.energy[p];
            self.energy_plain[p] += o.energy_plain[p];
        }
        self.shift[0] += o.shift[0];
        self.shift[1] += o.shift[1];
        self.n_energy += o.n_energy;
        self.force += o.force;
        self.force_plain += o.force_plain;
        self.n_force += o.n_force;
        self.virial += o.virial;
        self.virial_plain += o.virial_plain;
        self.n_virial += o.n_virial;
        self.charge += o.charge;
        self.n_charge += o.n_charge;
        self.born += o.born;
        self.n_born += o.n_born;
    }
}

fn ratio(sum: f64, count: f64) -> f64 {
    if count > 0.0 { sum / count } else { 0.0 }
}

impl Sums {
    /// Mean energy error: the constant that GPUMD takes off in training. A robust loss keeps wrong
    /// energies out of it.
    pub fn shift(&self) -> f64 {
        ratio(self.shift[1], self.shift[0])
    }

    /// Mean squared errors of the parts as the loss weights them, with the energies shifted.
    pub fn weighted(&self, shift: f64) -> [f64; TERMS] {
        let [n, sum, square] = self.energy;
        let energy = (square - 2.0 * shift * sum + shift * shift * n).max(0.0);
        [
            ratio(energy, self.n_energy),
            ratio(self.force, self.n_force),
            ratio(self.virial, self.n_virial),
            ratio(self.charge, self.n_charge),
            ratio(self.born, self.n_born),
        ]
    }

    /// Numbers of the errors of each part.
    pub fn counts(&self) -> [f64; TERMS] {
        [
            self.n_energy,
            self.n_force,
            self.n_virial,
            self.n_charge,
            self.n_born,
        ]
    }

    /// Reported root mean square errors of the parts.
    pub fn plain(&self, shift: f64) -> [f64; TERMS] {
        let [n, sum, square] = self.energy_plain;
        let energy = (square - 2.0 * shift * sum + shift * shift * n).max(0.0);
        [
            ratio(energy, self.n_energy).sqrt(),
            ratio(self.force_plain, self.n_force).sqrt(),
            ratio(self.virial_plain, self.n_virial).sqrt(),
            ratio(self.charge, self.n_charge).sqrt(),
            ratio(self.born, self.n_born).sqrt(),
        ]
    }
}

/// Squared errors of a group and their derivatives.
pub(super) struct GroupLoss<'a> {
    pub targets: &'a Targets,
    pub factors: Option<[f64; TERMS]>,
    pub sums: Sums,
}

impl Loss for GroupLoss<'_> {
    fn slopes(&mut self, results: &Results<'_>, slopes: Slopes<'_>) -> bool {
        let targets = self.targets;
        let [fe, ff, fv, fq, fz] = self.factors.unwrap_or([0.0; TERMS]);
        let places = components(targets.kind);
        let sums = &mut self.sums;
        slopes.energy.clear();
        slopes.charge.clear();
        slopes.born.clear();
        for ((target, born), z) in targets.born.iter().zip(results.born) {
            let delta: [f64; 9] = std::array::from_fn(|c| z[c] - target[c]);
            sums.born += born * delta.iter().map(|d| d * d).sum::<f64>();
            slopes.born.push(delta.map(|d| 2.0 * fz * born * d));
        }
        sums.n_born += 9.0 * targets.n_born;
        slopes.strain.clear();
        if targets.structures.iter().any(|s| s.virial.is_some()) && fv != 0.0 {
            slopes
                .strain
                .resize(targets.structures.len(), [[0.0; 3]; 3]);
        }
        for (s, target) in targets.structures.iter().enumerate() {
            let n = target.n_atoms;
            let delta = results.energy[s] / n - target.energy;
            let (w, plain) = (targets.energy_factor(s), target.energy_plain);
            if target.has_energy {
                let robust = plain * targets.energy_slopes.get(s).unwrap_or(&1.0);
                sums.shift[0] += robust;
                sums.shift[1] += robust * delta;
                sums.n_energy += 1.0;
                for (p, power) in [1.0, delta, delta * delta].into_iter().enumerate() {
                    sums.energy[p] += w * power;
                    sums.energy_plain[p] += plain * power;
                }
            }
            slopes.energy.push(2.0 * fe * w * delta / n);
            if let (Some(total), Some(sum)) = (target.charge, results.charge.get(s)) {
                let delta = (sum - total) / n;
                sums.charge += delta * delta;
                sums.n_charge += 1.0;
                slopes.charge.push(2.0 * fq * delta / n);
            }
            if let Some((virial, factor)) = &target.virial {
                sums.n_virial += targets.n_components();
                for (c, (a, b)) in places.into_iter().enumerate() {
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
            let slope = targets.force_loss.slope(square);
            out.iter_mut().for_each(|o| *o *= slope);
            sums.force += factor * targets.force_loss.value(square);
            sums.force_plain += plain * square;
            sums.n_force += 3.0 * plain;
            slopes.displacement.push(out);
        }
        self.factors.is_some()
    }
}
