//! What the output weights do to energies, forces and virial of a structure: linear, for fixed
//! descriptors and hidden neurons.

use faer::{Mat, MatRef};
use nepal::backend::Request;
use nepal::calculator::Calculator;
use nepal::error::Result;
use nepal::model::Network;
use nepal::nep::network::hidden;
use nepal::posterior::{Columns, variances};
use nepal::system::Structure;

/// Rows of the linear problem, one structure.
pub(super) struct Design {
    /// Types of the atoms and their scaled descriptors. Shapes `[n_atoms]`, `[n_atoms][dim]`.
    pub types: Vec<u32>,
    pub q: Vec<f64>,
    /// dE_i/d(column) of each atom. Shape `[n_atoms][columns]`.
    pub atoms: Mat<f64>,
    /// dF/d(column). Shape `[3 n_atoms][columns]`, atom-major.
    pub forces: Mat<f64>,
    /// dW/d(column), eV, xx yy zz xy yz zx. Shape `[6][columns]`.
    pub virial: Mat<f64>,
}

impl Design {
    /// **Errors**: what evaluating the structure says.
    pub fn new(
        calculator: &mut Calculator,
        columns: &Columns,
        structure: &Structure,
    ) -> Result<Self> {
        let model = calculator.model().clone();
        let (dim, width) = (model.dim(), columns.width);
        let types = model.types_of(&structure.elements)?;
        let n = types.len();
        let q = calculator
            .compute(structure, Request::DESCRIPTORS)?
            .descriptors
            .clone();
        let mut atoms = Mat::zeros(n, columns.len());
        // By neuron: gradients of the last hidden layer with respect to the descriptors.
        let mut gradients = vec![0.0; width * q.len()];
        for (i, (q_i, &t)) in q.chunks_exact(dim).zip(&types).enumerate() {
            let network = model.network(t as usize);
            let start = columns.network(t as usize) * width;
            let mut emit = |mu: usize, value: f64, slope: &dyn Fn(usize) -> f64| {
                atoms[(i, start + mu)] = value;
                let place = (mu * n + i) * dim;
                for (d, g) in gradients[place..place + dim].iter_mut().enumerate() {
                    *g = slope(d);
                }
            };
            last_layer(&network, q_i, &mut emit);
            // Biases are subtracted.
            atoms[(i, columns.bias(t as usize))] = -1.0;
        }
        let mut forces = Mat::zeros(3 * n, columns.len());
        let mut virial = Mat::zeros(6, columns.len());
        let mut gradient = vec![0.0; q.len()];
        for network in 0..columns.networks {
            let of: Vec<bool> = types
                .iter()
                .map(|&t| columns.network(t as usize) == network)
                .collect();
            if !of.contains(&true) {
                continue;
            }
            for mu in 0..width {
                let all = &gradients[mu * q.len()..][..q.len()];
                for (i, &of) in of.iter().enumerate() {
                    let place = i * dim..(i + 1) * dim;
                    if of {
                        gradient[place.clone()].copy_from_slice(&all[place]);
                    } else {
                        gradient[place].fill(0.0);
                    }
                }
                let column = network * width + mu;
                let found = calculator.contract(structure, &gradient)?;
                for (row, &f) in found.forces.as_flattened().iter().enumerate() {
                    forces[(row, column)] = f;
                }
                for (row, (a, b)) in super::SYMMETRIC.into_iter().enumerate() {
                    virial[(row, column)] = 0.5 * (found.virial[a] + found.virial[b]);
                }
            }
        }
        Ok(Self {
            types,
            q,
            atoms,
            forces,
            virial,
        })
    }

    /// Deviations of the atoms' forces under a covariance: roots of the summed variances.
    pub fn force_deviations(&self, factor: MatRef<'_, f64>) -> Vec<f64> {
        variances(self.forces.as_ref(), factor)
            .chunks_exact(3)
            .map(|v| v.iter().sum::<f64>().sqrt())
            .collect()
    }

    /// dE/d(column) of the whole structure.
    pub fn energy(&self) -> Vec<f64> {
        (0..self.atoms.ncols())
            .map(|c| self.atoms.col(c).iter().sum())
            .collect()
    }
}

/// The neurons of the last hidden layer with their gradients with respect to the descriptor.
fn last_layer(
    network: &Network<'_>,
    q: &[f64],
    emit: &mut dyn FnMut(usize, f64, &dyn Fn(usize) -> f64),
) {
    let dim = q.len();
    let first: Vec<f64> = hidden(network, q).collect();
    if network.w2.is_empty() {
        for (mu, &x) in first.iter().enumerate() {
            let w = &network.w0[mu * dim..][..dim];
            emit(mu, x, &|d| (1.0 - x * x) * w[d]);
        }
        return;
    }
    for (nu, (row, b)) in network
        .w1
        .chunks_exact(first.len())
        .zip(network.b1)
        .enumerate()
    {
        let u: f64 = row.iter().zip(&first).map(|(w, x)| w * x).sum();
        let x2 = (u - b).tanh();
        let mut slopes = vec![0.0; dim];
        for (mu, (&w, &x)) in row.iter().zip(&first).enumerate() {
            let back = (1.0 - x2 * x2) * w * (1.0 - x * x);
            for (s, w0) in slopes.iter_mut().zip(&network.w0[mu * dim..][..dim]) {
                *s += back * w0;
            }
        }
        emit(nu, x2, &|d| slopes[d]);
    }
}
