//! Functions that are linear in the neurons that the energy is linear in: their gradients, for many atoms.

use super::network::last_hidden;
use crate::model::{Model, Network};
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

/// Atoms that are done at once.
const BLOCK: usize = 128;

/// Adds the gradient of such a function with respect to the scaled descriptors; `weights` has those of the neurons of a
/// type, and may have more behind them.
///
/// **Shapes**: `types` `[n_atoms]`, `neurons` (of the first layer) `[n_atoms][neurons]`, `gradient` `[n_atoms][dim]`.
pub fn add_gradient(
    model: &Model,
    types: &[u32],
    neurons: &[f64],
    weights: impl Fn(usize) -> Vec<f64>,
    gradient: &mut [f64],
) {
    let (dim, h) = (model.dim(), model.header().neurons[0]);
    let (mut slopes, mut rows) = (vec![0.0; BLOCK * h], vec![0.0; BLOCK * dim]);
    for t in 0..model.elements().len() {
        let atoms: Vec<usize> = (0..types.len())
            .filter(|&i| types[i] as usize == t)
            .collect();
        let (network, weights) = (model.network(t), weights(t));
        let w0 = MatRef::from_row_major_slice(network.w0, h, dim);
        for atoms in atoms.chunks(BLOCK) {
            let count = atoms.len();
            for (&i, out) in atoms.iter().zip(slopes.chunks_exact_mut(h)) {
                back(&network, &neurons[i * h..][..h], &weights, out);
            }
            let slopes = MatRef::from_row_major_slice(&slopes[..count * h], count, h);
            let found = MatMut::from_row_major_slice_mut(&mut rows[..count * dim], count, dim);
            matmul(found, Accum::Replace, slopes, w0, 1.0, Par::Seq);
            for (&i, row) in atoms.iter().zip(rows.chunks_exact(dim)) {
                let out = gradient[i * dim..][..dim].iter_mut();
                out.zip(row).for_each(|(out, x)| *out += x);
            }
        }
    }
}

/// Adds the gradient of the energy of atoms; shapes as in [`add_gradient`].
///
/// **Source**: [`super::network::energy_and_gradient`], from neurons that are known.
pub fn add_energy_gradient(model: &Model, types: &[u32], neurons: &[f64], gradient: &mut [f64]) {
    let weights = |t: usize| {
        let network = model.network(t);
        match network.w2 {
            [] => network.w1.to_vec(),
            last => last.to_vec(),
        }
    };
    add_gradient(model, types, neurons, weights, gradient);
}

/// dU/du of the arguments u of the first layer's neurons `x`.
fn back(network: &Network<'_>, x: &[f64], weights: &[f64], out: &mut [f64]) {
    if network.w2.is_empty() {
        out.copy_from_slice(&weights[..x.len()]);
    } else {
        out.fill(0.0);
        let rows = network.w1.chunks_exact(x.len());
        for ((row, y), w) in rows.zip(last_hidden(network, x)).zip(weights) {
            let slope = w * (1.0 - y * y);
            out.iter_mut().zip(row).for_each(|(f, w)| *f += slope * w);
        }
    }
    out.iter_mut().zip(x).for_each(|(g, x)| *g *= 1.0 - x * x);
}
