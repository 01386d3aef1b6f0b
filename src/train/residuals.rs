//! The loss as a sum of squares: its residuals, and products with their Jacobian.
//!
//! A group's residuals are the energies of its structures, the forces on its slots (three each) and
//! the virials of its structures (six each), and with charges the sums of these in the structures and the
//! Born charges of slots (nine each), each error times the root of its factor.

use super::kernel::{Loss, Parameters, Pass, Results, Slopes, components};
use super::objective::device::Job;
use super::objective::repulsion::Bent;
use super::objective::{Group, Objective};
use super::robust::RobustLoss;
use super::targets::{TERMS, Targets};
use nepal::model::Kind;
use rayon::prelude::*;

/// Sizes of robust losses of energies are at least this many median errors.
const BULK: f64 = 2.0;

/// Roots of the factors of a group's squared errors.
pub(super) fn roots(targets: &Targets, factors: [f64; TERMS]) -> Vec<f64> {
    let [fe, ff, fv, fq, fz] = factors;
    let structures = &targets.structures;
    let mut out = Vec::with_capacity(targets.len());
    out.extend(structures.iter().enumerate().map(|(index, s)| {
        if s.has_energy {
            (fe * targets.energy_factor(index)).sqrt() / s.n_atoms
        } else {
            0.0
        }
    }));
    for (slot, (_, factor)) in targets.forces.iter().enumerate() {
        let slope = targets.slopes.get(slot).unwrap_or(&1.0);
        out.extend([(ff * factor * slope).sqrt(); 3]);
    }
    for s in structures {
        let factors = s.virial.map_or([0.0; 6], |(_, factors)| factors);
        out.extend(factors.map(|f| (fv * f).sqrt() / s.n_atoms));
    }
    let charged = structures.iter().filter(|s| s.charge.is_some());
    out.extend(charged.map(|s| fq.sqrt() / s.n_atoms));
    for (_, factor) in &targets.born {
        out.extend([(fz * factor).sqrt(); 9]);
    }
    out
}

/// Predictions in the order of the residuals, with the targets taken off if asked for.
fn unweighted(results: &Results<'_>, targets: &Targets, errors: bool) -> Vec<f64> {
    let t = if errors { 1.0 } else { 0.0 };
    let structures = &targets.structures;
    let mut out = Vec::with_capacity(targets.len());
    for (s, &energy) in structures.iter().zip(results.energy) {
        out.push(energy - t * s.n_atoms * s.energy);
    }
    for (force, (target, _)) in results.force.iter().zip(&targets.forces) {
        out.extend((0..3).map(|a| force[a] - t * target[a]));
    }
    for (s, virial) in structures.iter().zip(results.virial) {
        let target = s.virial.map_or([0.0; 6], |(target, _)| target);
        out.extend((0..6).map(|c| virial[c] - t * s.n_atoms * target[c]));
    }
    for (s, sum) in structures.iter().zip(results.charge) {
        out.push(sum - t * s.charge.unwrap_or(0.0));
    }
    for ((target, _), born) in targets.born.iter().zip(results.born) {
        out.extend((0..9).map(|c| born[c] - t * target[c]));
    }
    out
}

/// A point in parameter space with the factors of the squared errors there.
#[derive(Clone, Copy)]
pub(super) struct Point<'a> {
    pub parameters: &'a [f64],
    pub q_scaler: &'a [f64],
    pub factors: [f64; TERMS],
}

impl Objective {
    /// Makes the sum of squares touch a robust loss at some parameters: there it has its gradient.
    pub fn touch(&mut self, parameters: &[f64], q_scaler: &[f64]) {
        let robust =
            |g: &Group| [g.targets.force_loss, g.targets.energy_loss] != [RobustLoss::Square; 2];
        if !self.groups.iter().any(robust) {
            return;
        }
        let seen = self.predict(parameters, q_scaler, |group, results| {
            let targets = &group.targets;
            let forces = results.force.iter().zip(&targets.forces);
            let square = |f: &[f64; 4], t: &[f64; 3]| (0..3).map(|a| (f[a] - t[a]).powi(2)).sum();
            let slopes: Vec<f64> = forces
                .map(|(f, (t, _))| targets.force_loss.slope(square(f, t)))
                .collect();
            let energies = results.energy.iter().zip(&targets.structures);
            let errors: Vec<f64> = energies.map(|(e, s)| e / s.n_atoms - s.energy).collect();
            (slopes, errors)
        });
        let all = || seen.iter().map(|(_, errors)| errors.as_slice());
        let shift = self.middle_energy(all(), |e| e);
        // While most energies are far off, the size grows with them: none is given up too soon.
        let typical = BULK * self.middle_energy(all(), |e| (e - shift).abs());
        for (group, (slopes, errors)) in self.groups.iter_mut().zip(seen) {
            let targets = &mut group.targets;
            targets.slopes = slopes;
            let loss = targets.energy_loss.at_least(typical);
            let slope = |e: f64| loss.slope((e - shift) * (e - shift));
            targets.energy_slopes = errors.into_iter().map(slope).collect();
        }
    }

    /// Median of something of the energy errors (eV/atom), given by group: wrong ones do not move it.
    fn middle_energy<'a>(
        &self,
        errors: impl Iterator<Item = &'a [f64]>,
        of: impl Fn(f64) -> f64,
    ) -> f64 {
        let mut all: Vec<f64> = (self.groups.iter().zip(errors))
            .flat_map(|(group, errors)| group.targets.structures.iter().zip(errors))
            .filter(|(s, _)| s.has_energy)
            .map(|(_, &e)| of(e))
            .collect();
        if all.is_empty() {
            return 0.0;
        }
        let middle = all.len() / 2;
        *all.select_nth_unstable_by(middle, f64::total_cmp).1
    }

    /// Residuals of some groups, by group; without the targets if not `errors`. Groups of other processes' shares have
    /// none here.
    pub fn residuals(&self, groups: &[usize], at: &Point<'_>, errors: bool) -> Vec<Vec<f64>> {
        let own = self.share(groups.len()).1;
        let some = &groups[own.clone()];
        let found = self.predict_some(some, at.parameters, at.q_scaler, |group, results| {
            let mut rows = unweighted(results, &group.targets, errors);
            let roots = roots(&group.targets, at.factors);
            rows.iter_mut().zip(roots).for_each(|(r, w)| *r *= w);
            rows
        });
        if own.len() == groups.len() {
            return found;
        }
        let mut all = vec![Vec::new(); groups.len()];
        all[own].iter_mut().zip(found).for_each(|(a, f)| *a = f);
        all
    }

    /// J v: change of the residuals along a direction, by central differences; a device
    /// differentiates.
    pub fn push(&self, groups: &[usize], at: &Point<'_>, direction: &[f64]) -> Vec<Vec<f64>> {
        let size = |v: &[f64]| v.iter().map(|x| x * x).sum::<f64>().sqrt();
        let length = size(direction);
        if length == 0.0 {
            return self.residuals(
                groups,
                &Point {
                    factors: [0.0; TERMS],
                    ..*at
                },
                false,
            );
        }
        // The cube root of the precision balances rounding against curvature.
        let step = 6e-6 * size(at.parameters).max(1.0) / length;
        let by_device = self
            .on_device(|engine| engine.along(self, groups, at.parameters, at.q_scaler, direction));
        if let Some(mut rows) = by_device {
            let bent = self.repulsion.as_ref().zip(self.bent(at.parameters));
            for (rows, &group) in rows.iter_mut().zip(groups) {
                if let Some((repulsion, bent)) = &bent {
                    let along = &direction[self.layout.len()..];
                    repulsion.along(bent, group, &self.groups[group], along, rows);
                }
                let roots = roots(&self.groups[group].targets, at.factors);
                rows.iter_mut().zip(roots).for_each(|(r, w)| *r *= w);
            }
            return rows;
        }
        let [plus, minus] = [step, -step].map(|h| {
            let moved: Vec<f64> = at
                .parameters
                .iter()
                .zip(direction)
                .map(|(z, d)| z + h * d)
                .collect();
            let at = Point {
                parameters: &moved,
                ..*at
            };
            self.residuals(groups, &at, false)
        });
        let mut out = plus;
        for (a, b) in out.iter_mut().flatten().zip(minus.iter().flatten()) {
            *a = (*a - b) / (2.0 * step);
        }
        out
    }

    /// Jᵀ y summed over some groups, for one `y` of each.
    pub fn pull(&self, groups: &[usize], at: &Point<'_>, y: &[Vec<f64>]) -> Vec<f64> {
        let bent = self.bent(at.parameters);
        let by_device = self.on_device(|engine| {
            let jobs: Vec<Job> = groups.iter().map(|&group| Job { group, row: 0 }).collect();
            let make = |k: usize| {
                let inner = Pull::new(&self.groups[groups[k]], at.factors, &y[k]);
                self.repelled(groups[k], bent.as_ref(), inner)
            };
            engine.run(self, &jobs, at.parameters, at.q_scaler, 1, make)
        });
        if let Some((losses, mut gradient)) = by_device {
            let first = self.layout.len();
            losses.iter().for_each(|l| l.add_to(&mut gradient, first));
            return gradient;
        }
        let parameters = Parameters::new(&self.layout, at.parameters, at.q_scaler);
        let tasks: Vec<(usize, &Vec<f64>)> = groups.iter().copied().zip(y).collect();
        let (per_part, own) = self.share(groups.len());
        let parts: Vec<Vec<f64>> = tasks[own]
            .par_chunks(per_part)
            .map(|tasks| {
                let mut gradient = vec![0.0; self.n_parameters()];
                for &(group, y) in tasks {
                    self.pull_one(
                        (group, bent.as_ref()),
                        &parameters,
                        at.factors,
                        y,
                        &mut gradient,
                    );
                }
                gradient
            })
            .collect();
        self.ranks.total(self.n_parameters(), parts)
    }

    /// Jᵀ y of some groups, a row each; `y` gives that of a row. Shape `[rows][parameters]`.
    pub fn pull_rows(
        &self,
        groups: &[usize],
        at: &Point<'_>,
        y: impl Fn(usize) -> Vec<f64> + Sync,
    ) -> Vec<f64> {
        let (len, first) = (self.n_parameters(), self.layout.len());
        let bent = self.bent(at.parameters);
        let by_device = self.on_device(|engine| {
            let jobs = groups.iter().enumerate();
            let jobs: Vec<Job> = jobs.map(|(row, &group)| Job { group, row }).collect();
            let make = |k: usize| {
                let inner = Pull::new(&self.groups[groups[k]], at.factors, &y(k));
                self.repelled(groups[k], bent.as_ref(), inner)
            };
            engine.run(self, &jobs, at.parameters, at.q_scaler, groups.len(), make)
        });
        if let Some((losses, mut gradients)) = by_device {
            let rows = gradients.chunks_exact_mut(len).zip(losses);
            rows.for_each(|(row, loss)| loss.add_to(row, first));
            return gradients;
        }
        let parameters = Parameters::new(&self.layout, at.parameters, at.q_scaler);
        let own = self.ranks.own(groups.len());
        let mut values = vec![0.0; own.len() * len];
        let rows = values.par_chunks_mut(len).zip(own);
        rows.for_each(|(out, k)| {
            let group = (groups[k], bent.as_ref());
            self.pull_one(group, &parameters, at.factors, &y(k), out);
        });
        self.ranks.join(values)
    }

    /// Jᵀ y of one group, added to `gradient`.
    fn pull_one(
        &self,
        (index, bent): (usize, Option<&Bent>),
        parameters: &Parameters<'_>,
        factors: [f64; TERMS],
        y: &[f64],
        gradient: &mut [f64],
    ) {
        self.with_group(index, |group, geometry, workspace| {
            let mut loss = self.repelled(index, bent, Pull::new(group, factors, y));
            Pass {
                shape: &self.shape,
                parameters,
                chunk: &group.chunk,
                geometry,
                loss: &mut loss,
                workspace,
                gradient: &mut *gradient,
                range: None,
            }
            .run();
            loss.add_to(gradient, self.layout.len());
        });
    }
}

/// Hands given derivatives of the loss to the kernel.
struct Pull {
    /// In the order of the residuals.
    slopes: Vec<f64>,
    kind: Kind,
    n_structures: usize,
    virials: bool,
    /// Whether there are total charges, and numbers of Born charges.
    charges: bool,
    n_born: usize,
}

impl Pull {
    fn new(group: &Group, factors: [f64; TERMS], y: &[f64]) -> Self {
        let targets = &group.targets;
        let roots = roots(targets, factors);
        Self {
            slopes: roots.iter().zip(y).map(|(w, y)| w * y).collect(),
            kind: targets.kind,
            n_structures: targets.structures.len(),
            charges: targets.structures.iter().any(|s| s.charge.is_some()),
            n_born: 9 * targets.born.len(),
            virials: factors[2] != 0.0 && targets.structures.iter().any(|s| s.virial.is_some()),
        }
    }
}

impl Loss for Pull {
    fn slopes(&mut self, _: &Results<'_>, slopes: Slopes<'_>) -> bool {
        let n = self.n_structures;
        let (rest, born) = self.slopes.split_at(self.slopes.len() - self.n_born);
        let charges = if self.charges { n } else { 0 };
        let (rest, charges) = rest.split_at(rest.len() - charges);
        let (energy, rest) = rest.split_at(n);
        let (forces, virials) = rest.split_at(rest.len() - 6 * n);
        slopes.charge.clear();
        slopes.charge.extend_from_slice(charges);
        slopes.born.clear();
        let born = born.chunks_exact(9);
        slopes
            .born
            .extend(born.map(|z| std::array::from_fn::<f64, 9, _>(|c| z[c])));
        slopes.energy.clear();
        slopes.energy.extend_from_slice(energy);
        slopes.displacement.clear();
        slopes
            .displacement
            .extend(forces.chunks_exact(3).map(|f| [-f[0], -f[1], -f[2], 0.0]));
        slopes.strain.clear();
        if self.virials {
            slopes.strain.extend(virials.chunks_exact(6).map(|w| {
                let mut strain = [[0.0; 3]; 3];
                for (c, (a, b)) in components(self.kind).into_iter().enumerate() {
                    strain[a][b] = -w[c];
                }
                strain
            }));
        }
        true
    }
}
