//! The terms of the objective: what they weigh, how large they may be, their values and gradients.

use super::lattice::{V, scale};
use super::objective::Objective;
use crate::backend::{Request, System};
use crate::error::{Error, Result};
use crate::grade::Measure;
use crate::system::cell::{add, norm};
use crate::system::{Cell, NeighborList};

/// Room beyond the target's cutoff that movable atoms are kept out of, Å.
pub(super) const EXCLUSION_MARGIN: f64 = 0.1;
/// The grade that is minimised: Γ made smooth by a norm over the coefficients of an atom.
pub(super) const MEASURE: Measure = Measure::Smooth { p: 8.0 };

/// Weights of the terms. Energies in eV, lengths in Å.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weights {
    /// Of the model's energy.
    pub(super) energy: f64,
    /// Exponent of the smooth maximum over atoms of the grade; none leaves the grade out.
    pub(super) grade: Option<f64>,
    /// Of (d_min - r)².
    pub(super) pair: f64,
    /// Of (r_c + margin - r)² around the target.
    pub(super) exclusion: f64,
    /// Of (V/V0 - 1)².
    pub(super) volume: f64,
    /// Of the squared excess of strain components over their limit.
    pub(super) strain: f64,
    /// Of the squared excess of the energy per movable atom over its limit.
    pub(super) energy_window: f64,
    /// Of the squared excess of each force over its limit, averaged over the movable atoms.
    pub(super) force_window: f64,
}

impl Weights {
    /// Energy relaxation.
    pub(super) const RELAX: Self = Self {
        energy: 1.0,
        grade: None,
        pair: 30.0,
        exclusion: 30.0,
        volume: 0.0,
        strain: 3e5,
        energy_window: 0.0,
        force_window: 0.0,
    };

    /// Grade minimisation with the exponent `p` of the maximum over atoms.
    pub(super) fn grade(p: f64) -> Self {
        Self {
            energy: 0.0,
            grade: Some(p),
            pair: 30.0,
            exclusion: 60.0,
            volume: 20.0,
            strain: 1e5,
            energy_window: 20.0,
            force_window: 0.5,
        }
    }
}

/// Limits that the penalties hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Largest component of the strain; 0 freezes the cell.
    pub(super) strain: f64,
    /// Force on a movable atom, eV/Å.
    pub(super) force: f64,
    /// Energy per movable atom above the parent's, eV.
    pub(super) energy: f64,
    /// Energy of the atoms as the parent has them, eV.
    pub(super) parent_energy: f64,
    /// Cutoff around the target, Å.
    pub(super) cutoff: f64,
}

/// A value with what it needs to be carried to the variables.
pub(super) struct Terms {
    pub(super) value: f64,
    /// dΦ/dr of all atoms.
    pub(super) gradient: Vec<V>,
    /// dΦ/dη for the strain η of everything, cell, core and movable atoms.
    pub(super) strain: [[f64; 3]; 3],
}

impl Terms {
    /// A term of the vector r from atom i to an image of atom j, with gradient `along` times r.
    fn add_pair(&mut self, i: usize, j: usize, r: V, value: f64, along: f64) {
        self.value += value;
        let g = scale(r, along);
        self.gradient[j] = add(self.gradient[j], g);
        self.gradient[i] = add(self.gradient[i], scale(g, -1.0));
        for (row, r) in self.strain.iter_mut().zip(r) {
            for (x, g) in row.iter_mut().zip(g) {
                *x += r * g;
            }
        }
    }

    /// Adds `factor` times a scalar whose negative gradients are given.
    pub(super) fn add_forces(&mut self, factor: f64, forces: &[V], virial: &[f64; 9]) {
        for (g, &f) in self.gradient.iter_mut().zip(forces) {
            *g = add(*g, scale(f, -factor));
        }
        for a in 0..3 {
            for b in 0..3 {
                self.strain[a][b] -= factor * virial[3 * a + b];
            }
        }
    }
}

impl Objective<'_> {
    /// True if the largest grade Γ of the movable atoms is below a goal, and forces and energy
    /// within their windows.
    ///
    /// **Errors**: those of the calculator.
    pub(super) fn below(&mut self, z: &[f64], goal: f64) -> Result<bool> {
        let Some((cell, positions)) = self.place(z)? else {
            return Ok(false);
        };
        let list = NeighborList::build(&cell, &positions, self.calculator.model().cutoff())?;
        let system = System {
            cell: &cell,
            positions: &positions,
            types: &self.draft.types,
            neighbors: &list,
            whole: None,
        };
        self.evaluations += 1;
        let request = Request::FORCES | Request::GRADES;
        let results = self.calculator.compute(system, request)?;
        let count = self.movable.len().max(1) as f64;
        let above = (results.energy - self.limits.parent_energy) / count;
        let held = self
            .hold
            .as_ref()
            .is_none_or(|hold| hold.keeps(results.grade[0]));
        Ok(held
            && above < 2.0 * self.limits.energy
            && self
                .movable
                .iter()
                .all(|&i| results.grade[i] < goal && norm(results.forces[i]) < self.limits.force))
    }

    /// Pair penalty and exclusion sphere.
    pub(super) fn add_penalties(
        &self,
        cell: &Cell,
        positions: &[V],
        list: &NeighborList,
        weights: &Weights,
        terms: &mut Terms,
    ) {
        let draft = self.draft;
        let keep_out = self.limits.cutoff + EXCLUSION_MARGIN;
        for i in 0..positions.len() {
            for ((j, image), (_, r)) in list.of(i).zip(list.vectors(i, cell, positions)) {
                let distance = norm(r);
                let frozen = draft.core[i] && draft.core[j] && !draft.crosses(image);
                if frozen || distance < 1e-9 {
                    continue;
                }
                // Each pair is met from both sides.
                let over = self.contacts.of(draft.types[i], draft.types[j]) - distance;
                if over > 0.0 {
                    let half = 0.5 * weights.pair;
                    terms.add_pair(i, j, r, half * over * over, -2.0 * half * over / distance);
                }
                let over = keep_out - distance;
                if i == 0 && over > 0.0 {
                    let w = weights.exclusion;
                    terms.add_pair(i, j, r, w * over * over, -2.0 * w * over / distance);
                }
            }
        }
    }

    /// Energy, grade and windows. Returns the weights w_b of the force window's derivative if a
    /// force is over its limit: dΦ = Σ w_b·dF_b.
    pub(super) fn add_model(
        &mut self,
        system: &System<'_>,
        weights: &Weights,
        terms: &mut Terms,
    ) -> Result<Option<Vec<V>>> {
        let mut request = Request::FORCES | Request::VIRIAL;
        if weights.grade.is_some() || self.hold.is_some() {
            request |= Request::DESCRIPTORS;
        }
        self.evaluations += 1;
        let results = self.calculator.compute(system, request)?;
        let (energy, forces, virial) = (results.energy, results.forces.clone(), results.virial);
        let descriptors = results.descriptors.clone();
        let count = self.movable.len().max(1) as f64;
        // dΦ/dE, from the energy itself and from its window.
        let above = (energy - self.limits.parent_energy) / count - self.limits.energy;
        let over = above.max(0.0);
        terms.value += weights.energy * energy + weights.energy_window * over * over;
        let slope = weights.energy + 2.0 * weights.energy_window * over / count;
        terms.add_forces(slope, &forces, &virial);

        let dim = self.calculator.model().dim();
        let mut gradient = Vec::new();
        if let Some(p) = weights.grade {
            let set = self.calculator.active_set().cloned().ok_or_else(|| {
                Error::Internal("a grade is to be minimised without an active set".into())
            })?;
            let model = self.calculator.model().clone();
            let types: Vec<u32> = self.movable.iter().map(|&i| system.types[i]).collect();
            let rows: Vec<f64> = self
                .movable
                .iter()
                .flat_map(|&i| &descriptors[i * dim..][..dim])
                .copied()
                .collect();
            let mut norm = 0.0;
            let found = set.gradient_of_grade(&model, &types, (&rows, &[]), MEASURE, |grades| {
                let (value, slopes) = power_mean(grades, p);
                norm = value;
                slopes
            })?;
            terms.value += norm;
            gradient.resize(system.n_local() * dim, 0.0);
            for (row, &i) in found.gradient.chunks_exact(dim).zip(&self.movable) {
                gradient[i * dim..][..dim].copy_from_slice(row);
            }
        }
        if let Some(hold) = &self.hold {
            gradient.resize(system.n_local() * dim, 0.0);
            let target = &descriptors[..dim];
            terms.value += hold.add(self.calculator, target, &mut gradient[..dim])?;
        }
        if !gradient.is_empty() {
            self.evaluations += 1;
            let carried = self.calculator.contract(system, &gradient)?;
            terms.add_forces(1.0, &carried.forces, &carried.virial);
        }

        if weights.force_window == 0.0 {
            return Ok(None);
        }
        let mut direction = vec![[0.0; 3]; forces.len()];
        let mut any = false;
        for &i in &self.movable {
            let size = norm(forces[i]);
            let over = size - self.limits.force;
            if over > 0.0 {
                any = true;
                let w = weights.force_window / count;
                terms.value += w * over * over;
                direction[i] = scale(forces[i], 2.0 * w * over / size);
            }
        }
        Ok(any.then_some(direction))
    }

    pub(super) fn energy_terms(&mut self, cell: &Cell, positions: &[V]) -> Result<Terms> {
        let list = NeighborList::build(cell, positions, self.calculator.model().cutoff())?;
        let system = System {
            cell,
            positions,
            types: &self.draft.types,
            neighbors: &list,
            whole: None,
        };
        self.evaluations += 1;
        let results = self
            .calculator
            .compute(system, Request::FORCES | Request::VIRIAL)?;
        let mut terms = Terms {
            value: results.energy,
            gradient: vec![[0.0; 3]; positions.len()],
            strain: [[0.0; 3]; 3],
        };
        terms.add_forces(1.0, &results.forces, &results.virial);
        Ok(terms)
    }
}

/// [(1/n) Σ g^p]^(1/p) over the finite entries, and its derivatives; nothing is finite: 0.
fn power_mean(grades: &[f64], p: f64) -> (f64, Vec<f64>) {
    let finite = |g: &&f64| g.is_finite() && **g > 0.0;
    let largest = grades.iter().filter(finite).fold(0.0f64, |m, &g| m.max(g));
    let n = grades.iter().filter(finite).count();
    if n == 0 {
        return (0.0, vec![0.0; grades.len()]);
    }
    let sum: f64 = grades
        .iter()
        .filter(finite)
        .map(|g| (g / largest).powf(p))
        .sum();
    let mean = (sum / n as f64).powf(1.0 / p);
    let slopes = grades
        .iter()
        .map(|g| {
            if finite(&g) {
                (g / largest / mean).powf(p - 1.0) / n as f64
            } else {
                0.0
            }
        })
        .collect();
    (largest * mean, slopes)
}
