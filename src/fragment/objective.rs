//! What is minimised over the movable atoms and the cell: energy or boundary grade, with penalties.
//!
//! Variables z: positions r' of the movable atoms (Å) before straining, then six components of a
//! symmetric strain, scaled to Å. With the target at the origin movable atoms stand at r'(1 + ε) and
//! the cell is the draft's times (1 + ε); core atoms stay. Source: the product objective of the
//! fragment specification, Φ with the grade's gradient carried by [`Calculator::contract`].

use super::distances::Contacts;
use super::draft::Draft;
use super::lattice::{V, scale};
use crate::backend::{Request, System};
use crate::calculator::Calculator;
use crate::error::{Error, Result};
use crate::grade::Measure;
use crate::system::cell::{add, dot, norm, strain_vector};
use crate::system::{Cell, NeighborList};

/// One unit of a strain variable changes lengths of this many Å by one Å: balances strain and
/// positions for the optimiser.
pub(super) const STRAIN_LENGTH: f64 = 20.0;
/// Strain at which the objective becomes infinite.
const STRAIN_WALL: f64 = 0.2;
/// Room beyond the target's cutoff that movable atoms are kept out of, Å.
pub(super) const EXCLUSION_MARGIN: f64 = 0.1;
/// Displacement for the derivative of forces along a direction, Å.
const HESSIAN_STEP: f64 = 1e-4;
/// Exponent of the norm over the coefficients of an atom.
const COEFFICIENT_NORM: f64 = 8.0;

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

/// The objective on a draft.
pub(super) struct Objective<'a> {
    calculator: &'a mut Calculator,
    draft: &'a Draft,
    contacts: &'a Contacts,
    limits: Limits,
    movable: Vec<usize>,
    /// Projector onto the strained space.
    projector: [[f64; 3]; 3],
    /// Calls of the model so far.
    pub(super) evaluations: usize,
}

/// Number of strain variables, the last of all.
pub(super) const STRAINS: usize = 6;

/// The variables of a draft as it is.
pub(super) fn variables(draft: &Draft) -> Vec<f64> {
    let movable = (0..draft.len()).filter(|&i| !draft.core[i]);
    let mut z: Vec<f64> = movable.flat_map(|i| draft.positions[i]).collect();
    z.extend([0.0; STRAINS]);
    z
}

/// A value with what it needs to be carried to the variables.
struct Terms {
    value: f64,
    /// dΦ/dr of all atoms.
    gradient: Vec<V>,
    /// dΦ/dη for the strain η of everything, cell, core and movable atoms.
    strain: [[f64; 3]; 3],
}

impl<'a> Objective<'a> {
    pub(super) fn new(
        calculator: &'a mut Calculator,
        draft: &'a Draft,
        contacts: &'a Contacts,
        limits: Limits,
    ) -> Self {
        let movable = (0..draft.len()).filter(|&i| !draft.core[i]).collect();
        let mut projector = [[0.0; 3]; 3];
        if limits.strain > 0.0 {
            for e in draft.cut.basis() {
                for a in 0..3 {
                    for b in 0..3 {
                        projector[a][b] += e[a] * e[b];
                    }
                }
            }
        }
        Self {
            calculator,
            draft,
            contacts,
            limits,
            movable,
            projector,
            evaluations: 0,
        }
    }

    /// The strain in the variables: the projector from both sides of the symmetric matrix.
    pub(super) fn strain(&self, z: &[f64]) -> [[f64; 3]; 3] {
        let x = &z[3 * self.movable.len()..];
        let m = [[x[0], x[5], x[4]], [x[5], x[1], x[3]], [x[4], x[3], x[2]]];
        let m = m.map(|row| row.map(|v| v / STRAIN_LENGTH));
        multiply(&multiply(&self.projector, &m), &self.projector)
    }

    /// Cell and positions of all atoms; none if the strain is out of bounds.
    pub(super) fn place(&self, z: &[f64]) -> Result<Option<(Cell, Vec<V>)>> {
        let strain = self.strain(z);
        if strain.iter().flatten().any(|x| !(x.abs() < STRAIN_WALL)) {
            return Ok(None);
        }
        let mut positions = self.draft.positions.clone();
        for (k, &i) in self.movable.iter().enumerate() {
            positions[i] = strain_vector([z[3 * k], z[3 * k + 1], z[3 * k + 2]], &strain);
        }
        let finite = positions.iter().flatten().all(|x| x.is_finite());
        Ok(if finite {
            Some((self.draft.cell.strained(&strain)?, positions))
        } else {
            None
        })
    }

    /// Φ and its gradient with respect to the variables; infinite outside the allowed strains.
    ///
    /// **Errors**: those of the calculator.
    pub(super) fn value(&mut self, z: &[f64], weights: &Weights, out: &mut [f64]) -> Result<f64> {
        out.fill(0.0);
        let Some((cell, positions)) = self.place(z)? else {
            return Ok(f64::INFINITY);
        };
        let reach = self
            .calculator
            .model()
            .cutoff()
            .max(self.contacts.largest())
            .max(self.limits.cutoff + EXCLUSION_MARGIN)
            + 1e-6;
        let list = NeighborList::build(&cell, &positions, reach)?;
        let mut terms = Terms {
            value: 0.0,
            gradient: vec![[0.0; 3]; positions.len()],
            strain: [[0.0; 3]; 3],
        };
        self.add_penalties(&cell, &positions, &list, weights, &mut terms);
        let system = System {
            cell: &cell,
            positions: &positions,
            types: &self.draft.types,
            neighbors: &list,
        };
        let over_limit = self.add_model(&system, weights, &mut terms)?;
        let strain = self.strain(z);
        let volume = determinant(&strain);
        terms.value += weights.volume * (volume - 1.0).powi(2);
        let mut of_strain = self.pull_strain(&terms, &positions, &strain)?;
        let inverse = inverse(&strain)?;
        for a in 0..3 {
            for b in 0..3 {
                let over = (strain[a][b].abs() - self.limits.strain).max(0.0);
                terms.value += weights.strain * over * over;
                of_strain[a][b] += 2.0 * weights.strain * over * strain[a][b].signum()
                    // d det/dε = det (1 + ε)⁻ᵀ
                    + 2.0 * weights.volume * (volume - 1.0) * volume * inverse[b][a];
            }
        }
        self.to_variables(&terms.gradient, &of_strain, &strain, out);
        if let Some(direction) = over_limit {
            self.add_force_window(z, &direction, out)?;
        }
        Ok(terms.value)
    }

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
        };
        self.evaluations += 1;
        let request = Request::FORCES | Request::GRADES;
        let results = self.calculator.compute_system(&system, request)?;
        let count = self.movable.len().max(1) as f64;
        let above = (results.energy - self.limits.parent_energy) / count;
        Ok(above < 2.0 * self.limits.energy
            && self
                .movable
                .iter()
                .all(|&i| results.grade[i] < goal && norm(results.forces[i]) < self.limits.force))
    }

    /// Pair penalty and exclusion sphere.
    fn add_penalties(
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
    fn add_model(
        &mut self,
        system: &System<'_>,
        weights: &Weights,
        terms: &mut Terms,
    ) -> Result<Option<Vec<V>>> {
        let mut request = Request::FORCES | Request::VIRIAL;
        if weights.grade.is_some() {
            request |= Request::DESCRIPTORS;
        }
        self.evaluations += 1;
        let results = self.calculator.compute_system(system, request)?;
        let (energy, forces, virial) = (results.energy, results.forces.clone(), results.virial);
        let descriptors = results.descriptors.clone();
        let count = self.movable.len().max(1) as f64;
        // dΦ/dE, from the energy itself and from its window.
        let above = (energy - self.limits.parent_energy) / count - self.limits.energy;
        let over = above.max(0.0);
        terms.value += weights.energy * energy + weights.energy_window * over * over;
        let slope = weights.energy + 2.0 * weights.energy_window * over / count;
        terms.add_forces(slope, &forces, &virial);

        if let Some(p) = weights.grade {
            let set = self.calculator.active_set().cloned().ok_or_else(|| {
                Error::Internal("a grade is to be minimised without an active set".into())
            })?;
            let model = self.calculator.model().clone();
            let dim = model.dim();
            let types: Vec<u32> = self.movable.iter().map(|&i| system.types[i]).collect();
            let rows: Vec<f64> = self
                .movable
                .iter()
                .flat_map(|&i| &descriptors[i * dim..][..dim])
                .copied()
                .collect();
            let mut norm = 0.0;
            let measure = Measure::Smooth {
                p: COEFFICIENT_NORM,
            };
            let found = set.gradient_of_grade(&model, &types, &rows, measure, |grades| {
                let (value, slopes) = power_mean(grades, p);
                norm = value;
                slopes
            })?;
            terms.value += norm;
            let mut gradient = vec![0.0; system.n_local() * dim];
            for (row, &i) in found.gradient.chunks_exact(dim).zip(&self.movable) {
                gradient[i * dim..][..dim].copy_from_slice(row);
            }
            self.evaluations += 1;
            let carried = self.calculator.contract_system(system, &gradient)?;
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

    /// Adds the gradient of the force window, Σ w_b·dF_b, from forces displaced along w to both
    /// sides: with F = -dE/dr it is minus the derivative of the energy gradient along w.
    fn add_force_window(&mut self, z: &[f64], w: &[V], out: &mut [f64]) -> Result<()> {
        let largest = w.iter().map(|&v| norm(v)).fold(0.0, f64::max);
        let h = HESSIAN_STEP / largest;
        let strain = self.strain(z);
        let inverse = inverse(&strain)?;
        // Displacement of r by w at fixed strain: r' moves by w (1 + ε)⁻¹.
        let moves: Vec<V> = self
            .movable
            .iter()
            .map(|&i| row_times(w[i], &inverse))
            .collect();
        for side in [1.0, -1.0] {
            let mut moved = z.to_vec();
            for (k, m) in moves.iter().enumerate() {
                for a in 0..3 {
                    moved[3 * k + a] += side * h * m[a];
                }
            }
            let mut gradient = vec![0.0; z.len()];
            self.energy_gradient(&moved, &mut gradient)?;
            for (out, g) in out.iter_mut().zip(gradient) {
                *out -= side * g / (2.0 * h);
            }
        }
        // The direction in r' depends on the strain: d[w (1+ε)⁻¹] = -w (1+ε)⁻¹ dε (1+ε)⁻¹.
        let Some((cell, positions)) = self.place(z)? else {
            return Ok(());
        };
        let gradient = self.energy_terms(&cell, &positions)?.gradient;
        let mut of_strain = [[0.0; 3]; 3];
        for (m, &i) in moves.iter().zip(&self.movable) {
            for a in 0..3 {
                for b in 0..3 {
                    of_strain[a][b] += m[a] * gradient[i][b];
                }
            }
        }
        self.add_strain_variables(&of_strain, out);
        Ok(())
    }

    /// Gradient of the energy alone with respect to the variables.
    fn energy_gradient(&mut self, z: &[f64], out: &mut [f64]) -> Result<()> {
        let Some((cell, positions)) = self.place(z)? else {
            return Ok(());
        };
        let terms = self.energy_terms(&cell, &positions)?;
        let strain = self.strain(z);
        let of_strain = self.pull_strain(&terms, &positions, &strain)?;
        self.to_variables(&terms.gradient, &of_strain, &strain, out);
        Ok(())
    }

    fn energy_terms(&mut self, cell: &Cell, positions: &[V]) -> Result<Terms> {
        let list = NeighborList::build(cell, positions, self.calculator.model().cutoff())?;
        let system = System {
            cell,
            positions,
            types: &self.draft.types,
            neighbors: &list,
        };
        self.evaluations += 1;
        let results = self
            .calculator
            .compute_system(&system, Request::FORCES | Request::VIRIAL)?;
        let mut terms = Terms {
            value: results.energy,
            gradient: vec![[0.0; 3]; positions.len()],
            strain: [[0.0; 3]; 3],
        };
        terms.add_forces(1.0, &results.forces, &results.virial);
        Ok(terms)
    }

    /// dΦ/dε from dΦ/dη: core atoms do not follow the strain, and dη = (1 + ε)⁻¹ dε.
    fn pull_strain(
        &self,
        terms: &Terms,
        positions: &[V],
        strain: &[[f64; 3]; 3],
    ) -> Result<[[f64; 3]; 3]> {
        let mut eta = terms.strain;
        for i in 0..positions.len() {
            if self.draft.core[i] {
                for a in 0..3 {
                    for b in 0..3 {
                        eta[a][b] -= positions[i][a] * terms.gradient[i][b];
                    }
                }
            }
        }
        let inverse = inverse(strain)?;
        Ok(std::array::from_fn(|c| {
            std::array::from_fn(|b| (0..3).map(|a| inverse[a][c] * eta[a][b]).sum())
        }))
    }

    /// Writes the gradient of the variables: dΦ/dr' = dΦ/dr (1 + ε)ᵀ.
    fn to_variables(
        &self,
        gradient: &[V],
        of_strain: &[[f64; 3]; 3],
        strain: &[[f64; 3]; 3],
        out: &mut [f64],
    ) {
        for (k, &i) in self.movable.iter().enumerate() {
            for a in 0..3 {
                out[3 * k + a] = gradient[i][a] + dot(strain[a], gradient[i]);
            }
        }
        self.add_strain_variables(of_strain, out);
    }

    fn add_strain_variables(&self, of_strain: &[[f64; 3]; 3], out: &mut [f64]) {
        let g = multiply(&multiply(&self.projector, of_strain), &self.projector);
        let offset = 3 * self.movable.len();
        let six = [
            g[0][0],
            g[1][1],
            g[2][2],
            g[1][2] + g[2][1],
            g[0][2] + g[2][0],
            g[0][1] + g[1][0],
        ];
        for (out, g) in out[offset..].iter_mut().zip(six) {
            *out += g / STRAIN_LENGTH;
        }
    }
}

impl Terms {
    /// A term of the vector r from atom i to an image of atom j, with gradient `along` times r.
    fn add_pair(&mut self, i: usize, j: usize, r: V, value: f64, along: f64) {
        self.value += value;
        let g = scale(r, along);
        self.gradient[j] = add(self.gradient[j], g);
        self.gradient[i] = add(self.gradient[i], scale(g, -1.0));
        for a in 0..3 {
            for b in 0..3 {
                self.strain[a][b] += r[a] * g[b];
            }
        }
    }

    /// Adds `factor` times a scalar whose negative gradients are given.
    fn add_forces(&mut self, factor: f64, forces: &[V], virial: &[f64; 9]) {
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

/// [(1/n) Σ g^p]^(1/p) over the finite entries, and its derivatives; nothing is finite: 0.
pub(super) fn power_mean(grades: &[f64], p: f64) -> (f64, Vec<f64>) {
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

fn row_times(v: V, m: &[[f64; 3]; 3]) -> V {
    std::array::from_fn(|a| v[0] * m[0][a] + v[1] * m[1][a] + v[2] * m[2][a])
}

fn multiply(a: &[[f64; 3]; 3], b: &[[f64; 3]; 3]) -> [[f64; 3]; 3] {
    a.map(|row| row_times(row, b))
}

/// det(1 + ε).
fn determinant(strain: &[[f64; 3]; 3]) -> f64 {
    one_plus(strain).determinant()
}

/// (1 + ε)⁻¹.
fn inverse(strain: &[[f64; 3]; 3]) -> Result<[[f64; 3]; 3]> {
    let inverse = one_plus(strain)
        .try_inverse()
        .ok_or_else(|| Error::Internal("a fragment's strain flattens its cell".into()))?;
    Ok(std::array::from_fn(|a| {
        std::array::from_fn(|b| inverse[(a, b)])
    }))
}

fn one_plus(strain: &[[f64; 3]; 3]) -> nalgebra::Matrix3<f64> {
    nalgebra::Matrix3::from_fn(|a, b| strain[a][b] + if a == b { 1.0 } else { 0.0 })
}
