//! The neural network of an atom: energy, its gradient, B projections.

use super::scalar::Scalar;
use crate::model::Network;

impl<'a> Network<'a> {
    /// The network whose output is the charge of an atom, e, before all are shifted.
    pub fn of_charge(self) -> Self {
        self.of_output(self.charge)
    }

    /// The network whose output, times [`super::long_range::DISPERSION_SCALE`], is the logarithm of √C6
    /// over its value in the free atom.
    pub fn of_dispersion(self) -> Self {
        self.of_output(self.dispersion)
    }

    fn of_output(self, w1: &'a [f64]) -> Self {
        Self {
            w1,
            bias: 0.0,
            ..self
        }
    }
}

/// Energy of an atom and its gradient with respect to the scaled descriptor.
///
/// U = Σ w1 tanh(w0·q - b0) - bias; with two hidden layers U = w2·tanh(w1·tanh(w0·q - b0) - b1) - bias.
///
/// **Shapes**: `q`, `gradient` `[dim]`. **Units**: eV.
/// **Source**: Fan et al., Phys. Rev. B 104, 104309 (2021), Eq. 8.
pub fn energy_and_gradient<T: Scalar>(network: &Network<'_>, q: &[T], gradient: &mut [T]) -> T {
    let dim = q.len();
    gradient.fill(T::default());
    let first: Vec<T> = network
        .b0
        .iter()
        .zip(network.w0.chunks_exact(dim))
        .map(|(&b, w)| {
            let mut u = T::constant(-b);
            for (&w, &q) in w.iter().zip(q) {
                u += q.scale(w);
            }
            u.tanh()
        })
        .collect();
    let mut energy = T::constant(-network.bias);
    // dU/d(first): the output weights, or carried back through the second layer.
    let mut back: Vec<T>;
    if network.w2.is_empty() {
        back = network.w1.iter().map(|&w| T::constant(w)).collect();
        for (&x, &w) in first.iter().zip(network.w1) {
            energy += x.scale(w);
        }
    } else {
        back = vec![T::default(); first.len()];
        let rows = network.w1.chunks_exact(first.len());
        for ((row, &b), &w2) in rows.zip(network.b1).zip(network.w2) {
            let mut u = T::constant(-b);
            for (&w, &x) in row.iter().zip(&first) {
                u += x.scale(w);
            }
            let x2 = u.tanh();
            energy += x2.scale(w2);
            let slope = (T::constant(1.0) - x2 * x2).scale(w2);
            for (&w, g) in row.iter().zip(&mut back) {
                *g += slope.scale(w);
            }
        }
    }
    for ((&x, &g), w) in first.iter().zip(&back).zip(network.w0.chunks_exact(dim)) {
        let slope = g * (T::constant(1.0) - x * x);
        for (&w, out) in w.iter().zip(gradient.iter_mut()) {
            *out += slope.scale(w);
        }
    }
    energy
}

/// The neurons of the first layer, tanh(w0·q - b0).
///
/// **Shapes**: `q` `[dim]`.
pub fn hidden<'a>(network: &Network<'a>, q: &'a [f64]) -> impl Iterator<Item = f64> + 'a {
    let rows = network.b0.iter().zip(network.w0.chunks_exact(q.len()));
    rows.map(move |(b, w)| {
        let u: f64 = w.iter().zip(q).map(|(w, q)| w * q).sum();
        (u - b).tanh()
    })
}

/// The neurons that the energy is linear in, from those of the first layer.
///
/// **Shapes**: `first` `[neurons]`.
pub fn last_hidden(network: &Network<'_>, first: &[f64]) -> Vec<f64> {
    if network.w2.is_empty() {
        return first.to_vec();
    }
    let rows = network.b1.iter().zip(network.w1.chunks_exact(first.len()));
    rows.map(|(b, w)| {
        let u: f64 = w.iter().zip(first).map(|(w, x)| w * x).sum();
        (u - b).tanh()
    })
    .collect()
}

/// The B projection: gradient of U with respect to the parameters of the network, neuron by neuron
/// (`dim` weights, bias, output weight). One hidden layer only.
///
/// **Shapes**: `q` `[dim]`, `b` `[neurons * (dim + 2)]`.
/// **Source**: Lysogorskiy et al., Phys. Rev. Mater. 7, 043801 (2023), for the idea; the order is
/// that of GPUMD's `compute_extrapolation`.
pub fn projection(network: &Network<'_>, q: &[f64], b: &mut [f64]) {
    let dim = q.len();
    debug_assert!(network.w2.is_empty());
    for (mu, row) in b.chunks_exact_mut(dim + 2).enumerate() {
        let w = &network.w0[mu * dim..][..dim];
        let u: f64 = w.iter().zip(q).map(|(w, q)| w * q).sum::<f64>() - network.b0[mu];
        let x = u.tanh();
        let slope = network.w1[mu] * (1.0 - x * x);
        for (out, &q) in row.iter_mut().zip(q) {
            *out = slope * q;
        }
        row[dim] = -slope;
        row[dim + 1] = x;
    }
}

/// dΦ/dq of the scaled descriptor for a scalar Φ of the B projection, given dΦ/dB.
///
/// **Shapes**: `q`, `gradient` `[dim]`, `db` `[neurons * (dim + 2)]`. One hidden layer only.
/// **Source**: differentiation of [`projection`].
pub fn projection_gradient(network: &Network<'_>, q: &[f64], db: &[f64], gradient: &mut [f64]) {
    let dim = q.len();
    gradient.fill(0.0);
    for (mu, a) in db.chunks_exact(dim + 2).enumerate() {
        let w = &network.w0[mu * dim..][..dim];
        let u: f64 = w.iter().zip(q).map(|(w, q)| w * q).sum::<f64>() - network.b0[mu];
        let x = u.tanh();
        let t = 1.0 - x * x;
        let w1 = network.w1[mu];
        let qa: f64 = q.iter().zip(a).map(|(q, a)| q * a).sum();
        // d(w1 t)/du = -2 w1 x t multiplies q·a_d - a_b; dx/du = t multiplies a_1.
        let along = t * (a[dim + 1] + 2.0 * w1 * x * (a[dim] - qa));
        for ((g, &a), &w) in gradient.iter_mut().zip(a).zip(w) {
            *g += w1 * t * a + along * w;
        }
    }
}
