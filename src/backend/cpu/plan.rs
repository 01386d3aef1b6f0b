//! Everything about a model that does not change between calls, in the layout the loops want.

use super::lanes::{Buffer, padded};
use crate::model::Model;
use crate::nep::angular;
use crate::nep::invariants::Invariants;
use crate::nep::zbl::ZblPair;

/// Tables made once per model.
pub(super) struct Plan {
    pub(super) n_types: usize,
    pub(super) dim: usize,
    pub(super) l_max: usize,
    /// Angular functions, and the same in whole tiles of four.
    pub(super) n_lm: usize,
    pub(super) lm_rows: usize,
    /// Radial functions and basis functions of the radial and the angular part, and in whole vectors.
    pub(super) n: [usize; 2],
    pub(super) n_pad: [usize; 2],
    pub(super) k: [usize; 2],
    pub(super) k_pad: [usize; 2],
    pub(super) pairs: Vec<Pair>,
    /// Largest cutoff of each centre type with any type, squared.
    pub(super) reach2: Vec<f64>,
    pub(super) networks: Vec<Network>,
    /// The network that serves each type.
    pub(super) network_of: Vec<usize>,
    pub(super) q_scaler: Vec<f64>,
    pub(super) invariants: Invariants,
    pub(super) has_zbl: bool,
}

/// A centre type and a neighbour type.
pub(super) struct Pair {
    pub(super) cutoff: [f64; 2],
    pub(super) series: [Series; 2],
    pub(super) zbl: Option<ZblPair>,
}

/// The radial functions as Chebyshev series: g_n = f_c Σ_k a_nk T_k(x).
///
/// f_k = (T_k + 1) f_c / 2 for k > 0 and f_c for k = 0, so a_nk = c_nk / 2 and a_n0 takes the rest.
pub(super) struct Series {
    /// a_nk. Shapes `[n][k_pad]` and `[k][n_pad]`.
    pub(super) by_n: Buffer,
    pub(super) by_k: Buffer,
    /// The series of the derivative with respect to x, in the same two layouts.
    pub(super) slope_by_n: Buffer,
    pub(super) slope_by_k: Buffer,
}

/// The network of a type, its first layer in both orders.
pub(super) struct Network {
    pub(super) n1: usize,
    pub(super) n1_pad: usize,
    pub(super) dim_pad: usize,
    /// Shape `[dim][n1_pad]`.
    pub(super) by_q: Buffer,
    /// Shape `[n1][dim_pad]`.
    pub(super) by_neuron: Buffer,
    pub(super) b0: Buffer,
    pub(super) w1: Buffer,
    pub(super) bias: f64,
    /// A second hidden layer is left to the plain formulas.
    pub(super) two_layers: bool,
}

impl Plan {
    pub(super) fn new(model: &Model) -> Self {
        let header = model.header();
        let layout = model.layout();
        let n_types = layout.n_types;
        let mut pairs = Vec::with_capacity(n_types * n_types);
        for a in 0..n_types {
            for b in 0..n_types {
                pairs.push(Pair {
                    cutoff: header.pair_cutoff(a, b),
                    series: [0, 1].map(|part| {
                        Series::new(
                            model.coefficients(part, a, b),
                            layout.n_radial[part],
                            layout.n_basis[part],
                        )
                    }),
                    zbl: ZblPair::new(header, a, b),
                });
            }
        }
        let reach2 = pairs
            .chunks_exact(n_types)
            .map(|row| {
                let reach = row.iter().flat_map(|p| p.cutoff).fold(0.0, f64::max);
                reach * reach
            })
            .collect();
        let n_lm = angular::count(header.l_max);
        Self {
            n_types,
            dim: layout.dim,
            l_max: header.l_max,
            n_lm,
            lm_rows: n_lm.next_multiple_of(4),
            n: layout.n_radial,
            n_pad: layout.n_radial.map(padded),
            k: layout.n_basis,
            k_pad: layout.n_basis.map(padded),
            pairs,
            reach2,
            networks: (0..layout.n_networks)
                .map(|t| Network::new(model, t))
                .collect(),
            network_of: (0..n_types)
                .map(|t| if layout.n_networks == 1 { 0 } else { t })
                .collect(),
            q_scaler: model.q_scaler().to_vec(),
            invariants: Invariants::new(header),
            has_zbl: header.zbl.is_some(),
        }
    }
}

impl Series {
    fn new(c: &[f64], n: usize, k: usize) -> Self {
        let (n_pad, k_pad) = (padded(n), padded(k));
        let mut series = Self {
            by_n: Buffer::zeros(n * k_pad),
            by_k: Buffer::zeros(k * n_pad),
            slope_by_n: Buffer::zeros(n * k_pad),
            slope_by_k: Buffer::zeros(k * n_pad),
        };
        for (i, row) in c.chunks_exact(k).enumerate() {
            let mut a: Vec<f64> = row.iter().map(|c| 0.5 * c).collect();
            a[0] = row[0] + a[1..].iter().sum::<f64>();
            let slope = derivative(&a);
            for m in 0..k {
                series.by_n[i * k_pad + m] = a[m];
                series.by_k[m * n_pad + i] = a[m];
                series.slope_by_n[i * k_pad + m] = slope[m];
                series.slope_by_k[m * n_pad + i] = slope[m];
            }
        }
        series
    }
}

/// The Chebyshev series of the derivative of a Chebyshev series.
fn derivative(a: &[f64]) -> Vec<f64> {
    let mut d = vec![0.0; a.len() + 2];
    for m in (1..a.len()).rev() {
        d[m - 1] = d[m + 1] + 2.0 * m as f64 * a[m];
    }
    d[0] *= 0.5;
    d.truncate(a.len());
    d
}

impl Network {
    fn new(model: &Model, t: usize) -> Self {
        let net = model.network(t);
        let dim = model.dim();
        let n1 = net.b0.len();
        let (n1_pad, dim_pad) = (padded(n1), padded(dim));
        let two_layers = !net.w2.is_empty();
        let mut network = Self {
            n1,
            n1_pad,
            dim_pad,
            by_q: Buffer::zeros(dim * n1_pad),
            by_neuron: Buffer::zeros(n1 * dim_pad),
            b0: Buffer::zeros(n1_pad),
            w1: Buffer::zeros(n1_pad),
            bias: net.bias,
            two_layers,
        };
        network.b0[..n1].copy_from_slice(net.b0);
        if !two_layers {
            network.w1[..n1].copy_from_slice(net.w1);
        }
        for (mu, row) in net.w0.chunks_exact(dim).enumerate() {
            for (d, &w) in row.iter().enumerate() {
                network.by_q[d * n1_pad + mu] = w;
                network.by_neuron[mu * dim_pad + d] = w;
            }
        }
        network
    }
}

#[cfg(test)]
mod tests {
    use super::derivative;

    #[test]
    fn series_are_differentiated() {
        // T_0 .. T_3 with derivatives 0, 1, 4x, 12x² - 3 = 6 T_2 + 3.
        assert_eq!(derivative(&[5.0, 1.0, 0.0, 0.0]), [1.0, 0.0, 0.0, 0.0]);
        assert_eq!(derivative(&[0.0, 0.0, 1.0, 0.0]), [0.0, 4.0, 0.0, 0.0]);
        assert_eq!(derivative(&[0.0, 0.0, 0.0, 1.0]), [3.0, 0.0, 6.0, 0.0]);
        assert_eq!(derivative(&[2.0]), [0.0]);
    }
}
