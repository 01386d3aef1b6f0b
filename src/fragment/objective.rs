//! What is minimised over the movable atoms and the cell: energy or boundary grade, with penalties.
//!
//! Variables z: positions r' of the movable atoms (Å) before straining, then six components of a
//! symmetric strain, scaled to Å. With the target at the origin movable atoms stand at r'(1 + ε) and
//! the cell is the draft's times (1 + ε); core atoms stay. Source: the product objective of the
//! fragment specification, Φ with the grade's gradient carried by [`Calculator::contract`].

use super::distances::Contacts;
use super::draft::Draft;
use super::hold::Hold;
use super::lattice::V;
use super::reference::Reference;
use super::terms::{EXCLUSION_MARGIN, Limits, Terms, Weights};
use crate::backend::System;
use crate::calculator::Calculator;
use crate::error::{Error, Result};
use crate::system::cell::{dot, norm, strain_vector};
use crate::system::{Cell, NeighborList};

/// One unit of a strain variable changes lengths of this many Å by one Å: balances strain and
/// positions for the optimiser.
pub(super) const STRAIN_LENGTH: f64 = 20.0;
/// Strain at which the objective becomes infinite.
const STRAIN_WALL: f64 = 0.2;
/// Displacement for the derivative of forces along a direction, Å.
const HESSIAN_STEP: f64 = 1e-4;

/// The objective on a draft.
pub(super) struct Objective<'a> {
    pub(super) calculator: &'a mut Calculator,
    pub(super) draft: &'a Draft,
    pub(super) contacts: &'a Contacts,
    pub(super) limits: Limits,
    pub(super) movable: Vec<usize>,
    /// Projector onto the strained space.
    projector: [[f64; 3]; 3],
    /// What holds the target where not all that it sees is frozen.
    pub(super) hold: Option<Hold>,
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
            hold: None,
            evaluations: 0,
        }
    }

    /// Keeps the target's grade and descriptors near those of the parent.
    ///
    /// **Errors**: those of the active set.
    pub(super) fn hold_target(&mut self, reference: &Reference, tolerance: f64) -> Result<()> {
        self.hold = Some(Hold::new(
            self.calculator,
            reference,
            self.draft.types[0],
            tolerance,
        )?);
        Ok(())
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
        if !strain.iter().flatten().all(|x| x.abs() < STRAIN_WALL) {
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
            whole: None,
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

    /// dΦ/dε from dΦ/dη: core atoms do not follow the strain, and dη = (1 + ε)⁻¹ dε.
    fn pull_strain(
        &self,
        terms: &Terms,
        positions: &[V],
        strain: &[[f64; 3]; 3],
    ) -> Result<[[f64; 3]; 3]> {
        let mut eta = terms.strain;
        for (i, (r, g)) in positions.iter().zip(&terms.gradient).enumerate() {
            if self.draft.core[i] {
                for (row, r) in eta.iter_mut().zip(r) {
                    for (x, g) in row.iter_mut().zip(g) {
                        *x -= r * g;
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
