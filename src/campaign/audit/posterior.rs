//! The Bayesian posterior of the output weights: how far forces could move without the training
//! data noticing.
//!
//! Descriptors and hidden neurons are held fixed, so energies and forces are linear in the output
//! weights and biases. Source: the Laplace approximation of the last layer, for interatomic
//! potentials e.g. Bigi et al., arXiv:2403.02251.

use crate::backend::Request;
use crate::calculator::Calculator;
use crate::error::{Error, Result};
use crate::system::Structure;
use faer::linalg::solvers::Solve;
use faer::{Mat, Side};

/// Prior precision of a weight, relative to what the data say about it on average.
const PRIOR: f64 = 1e-6;

/// The covariance of output weights and biases of all elements.
pub(in crate::campaign) struct Posterior {
    neurons: usize,
    n_types: usize,
    /// Shape `[columns][columns]`.
    covariance: Mat<f64>,
}

/// What the weights do to one structure.
struct Design {
    /// dE_i/d(weight) of each atom's own type, bias last. Shape `[n_atoms][neurons + 1]`.
    energies: Vec<f64>,
    types: Vec<u32>,
    /// Shape `[columns without biases][n_atoms][3]`: by type, then neuron.
    forces: Vec<Vec<[f64; 3]>>,
}

impl Design {
    fn new(calculator: &mut Calculator, structure: &Structure) -> Result<Self> {
        let model = calculator.model().clone();
        let (dim, h) = (model.dim(), model.header().neurons[0]);
        let types = model.types_of(&structure.elements)?;
        let q = calculator
            .compute(structure, Request::DESCRIPTORS)?
            .descriptors
            .clone();
        let mut neurons = Vec::with_capacity(types.len() * h);
        for (q, &t) in q.chunks_exact(dim).zip(&types) {
            let net = model.network(t as usize);
            for (w, b) in net.w0.chunks_exact(dim).zip(net.b0) {
                let u: f64 = w.iter().zip(q).map(|(w, q)| w * q).sum();
                neurons.push((u - b).tanh());
            }
        }
        let mut forces = Vec::new();
        for t in 0..model.elements().len() {
            let net = model.network(t);
            for mu in 0..h {
                let w = &net.w0[mu * dim..][..dim];
                let mut gradient = vec![0.0; q.len()];
                for (i, _) in types.iter().enumerate().filter(|(_, a)| **a as usize == t) {
                    let slope = 1.0 - neurons[i * h + mu].powi(2);
                    for (g, w) in gradient[i * dim..][..dim].iter_mut().zip(w) {
                        *g = slope * w;
                    }
                }
                forces.push(calculator.contract(structure, &gradient)?.forces.clone());
            }
        }
        let mut energies = Vec::with_capacity(types.len() * (h + 1));
        for row in neurons.chunks_exact(h) {
            energies.extend_from_slice(row);
            energies.push(-1.0);
        }
        Ok(Self {
            energies,
            types,
            forces,
        })
    }
}

impl Posterior {
    /// From training structures, with the noise of energies (eV/atom) and force components (eV/Å).
    ///
    /// **Errors**: what evaluating the structures says.
    pub fn new(
        calculator: &mut Calculator,
        structures: &[&Structure],
        noise: [f64; 2],
    ) -> Result<Self> {
        let model = calculator.model().clone();
        let (h, n_types) = (model.header().neurons[0], model.elements().len());
        let columns = n_types * (h + 1);
        let mut sum = Mat::<f64>::zeros(columns, columns);
        let mut add = |rows: &[f64]| {
            let rows = faer::MatRef::from_row_major_slice(rows, rows.len() / columns, columns);
            faer::linalg::matmul::matmul(
                sum.as_mut(),
                faer::Accum::Add,
                rows.transpose(),
                rows,
                1.0,
                faer::Par::Seq,
            );
        };
        for structure in structures {
            let design = Design::new(calculator, structure)?;
            let count = structure.len();
            let mut energy = vec![0.0; columns];
            for (row, &t) in design.energies.chunks_exact(h + 1).zip(&design.types) {
                for (x, y) in energy[t as usize * (h + 1)..].iter_mut().zip(row) {
                    *x += y / (count as f64 * noise[0]);
                }
            }
            add(&energy);
            let mut rows = vec![0.0; 3 * count * columns];
            for (k, forces) in design.forces.iter().enumerate() {
                let column = k / h * (h + 1) + k % h;
                for (i, x) in forces.as_flattened().iter().enumerate() {
                    rows[i * columns + column] = x / noise[1];
                }
            }
            add(&rows);
        }
        // In units that make the diagonal 1, the prior is the same for all weights.
        let unit: Vec<f64> = (0..columns)
            .map(|k| match sum[(k, k)] {
                x if x > 0.0 => 1.0 / x.sqrt(),
                _ => 1.0,
            })
            .collect();
        let scaled = Mat::from_fn(columns, columns, |i, j| {
            unit[i] * sum[(i, j)] * unit[j] + if i == j { PRIOR } else { 0.0 }
        });
        let factor = scaled.llt(Side::Lower).map_err(|_| {
            Error::Internal("the posterior of the output weights is not positive".into())
        })?;
        let inverse = factor.solve(Mat::<f64>::identity(columns, columns));
        Ok(Self {
            neurons: h,
            n_types,
            covariance: Mat::from_fn(columns, columns, |i, j| unit[i] * inverse[(i, j)] * unit[j]),
        })
    }

    /// Standard deviations of each atom's force, √(Σ over components), in eV/Å, and energy, eV.
    ///
    /// **Errors**: what evaluating the structure says.
    pub fn deviations(
        &self,
        calculator: &mut Calculator,
        structure: &Structure,
    ) -> Result<[Vec<f64>; 2]> {
        let h = self.neurons;
        let columns = self.n_types * (h + 1);
        let design = Design::new(calculator, structure)?;
        let mut forces = vec![0.0; structure.len()];
        let mut energies = vec![0.0; structure.len()];
        let variance = |row: &[f64]| -> f64 {
            let row = faer::MatRef::from_row_major_slice(row, 1, columns);
            (row * &self.covariance * row.transpose())[(0, 0)].max(0.0)
        };
        let mut row = vec![0.0; columns];
        for i in 0..structure.len() {
            for a in 0..3 {
                row.fill(0.0);
                for (k, column) in design.forces.iter().enumerate() {
                    row[k / h * (h + 1) + k % h] = column[i][a];
                }
                forces[i] += variance(&row);
            }
            forces[i] = forces[i].sqrt();
            row.fill(0.0);
            let start = design.types[i] as usize * (h + 1);
            row[start..][..h + 1].copy_from_slice(&design.energies[i * (h + 1)..][..h + 1]);
            energies[i] = variance(&row).sqrt();
        }
        Ok([forces, energies])
    }
}
