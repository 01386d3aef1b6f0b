//! What the output weights do to energies, forces and virial of a structure: linear, for fixed
//! descriptors and hidden neurons.

use faer::{Accum, Mat, MatRef, Par};
use nepal::backend::Request;
use nepal::calculator::Calculator;
use nepal::error::Result;
use nepal::model::{Model, Network};
use nepal::nep::network::hidden;
use nepal::system::Structure;

/// The parameters that the energy is linear in: output weights and output bias.
///
/// nep5 has one bias per type and its common bias says nothing new; the others have the common bias
/// alone, so that every set of values can be written as a `nep.txt`.
pub(super) struct Columns {
    /// Place of each column in the parameter vector. Weights by network, then biases.
    pub parameters: Vec<usize>,
    /// Output weights of a network.
    pub width: usize,
    /// Networks.
    networks: usize,
    /// Bias columns: one per network or one for all.
    biases: usize,
}

impl Columns {
    pub fn new(model: &Model) -> Self {
        let layout = model.layout();
        let [n1, n2] = layout.neurons;
        let (width, two) = if n2 == 0 { (n1, false) } else { (n2, true) };
        let networks = layout.n_networks;
        let mut parameters = Vec::new();
        for t in 0..networks {
            let start = if two { layout.w2(t) } else { layout.w1(t) };
            parameters.extend(start..start + width);
        }
        let biases = match layout.type_bias(0) {
            Some(_) => {
                parameters.extend((0..networks).filter_map(|t| layout.type_bias(t)));
                networks
            }
            None => {
                parameters.push(layout.common_bias());
                1
            }
        };
        Self {
            parameters,
            width,
            networks,
            biases,
        }
    }

    pub fn len(&self) -> usize {
        self.parameters.len()
    }

    /// Columns of weights, before those of biases.
    pub fn weights(&self) -> usize {
        self.networks * self.width
    }

    fn network(&self, t: u32) -> usize {
        if self.networks == 1 { 0 } else { t as usize }
    }

    fn bias(&self, t: u32) -> usize {
        self.weights() + if self.biases == 1 { 0 } else { t as usize }
    }
}

/// Rows of the linear problem, one structure.
pub(super) struct Design {
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
            let start = columns.network(t) * width;
            let mut emit = |mu: usize, value: f64, slope: &dyn Fn(usize) -> f64| {
                atoms[(i, start + mu)] = value;
                let place = (mu * n + i) * dim;
                for (d, g) in gradients[place..place + dim].iter_mut().enumerate() {
                    *g = slope(d);
                }
            };
            last_layer(&network, q_i, &mut emit);
            // Biases are subtracted.
            atoms[(i, columns.bias(t))] = -1.0;
        }
        let mut forces = Mat::zeros(3 * n, columns.len());
        let mut virial = Mat::zeros(6, columns.len());
        let mut gradient = vec![0.0; q.len()];
        for network in 0..columns.networks {
            let of: Vec<bool> = types
                .iter()
                .map(|&t| columns.network(t) == network)
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
            atoms,
            forces,
            virial,
        })
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

/// Variances of linear functions of the columns whose covariance is `factor` times its transpose.
///
/// **Shapes**: `rows` `[n][columns]`.
pub(super) fn variances(rows: MatRef<'_, f64>, factor: MatRef<'_, f64>) -> Vec<f64> {
    let product = product(rows, factor);
    (0..product.nrows())
        .map(|i| product.row(i).iter().map(|x| x * x).sum())
        .collect()
}

/// A matrix product on one thread: callers are parallel over structures or small.
pub(super) fn product(a: MatRef<'_, f64>, b: MatRef<'_, f64>) -> Mat<f64> {
    let mut out = Mat::zeros(a.nrows(), b.ncols());
    faer::linalg::matmul::matmul(out.as_mut(), Accum::Replace, a, b, 1.0, Par::Seq);
    out
}
