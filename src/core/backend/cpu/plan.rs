//! Everything about a model that does not change between calls, in the layout the loops want.

use super::vector::Real;
use crate::model::{self, Kind, Model};
use crate::nep::angular;
use crate::nep::invariants::Invariants;
use crate::nep::zbl::ZblPair;

/// Scalars are read in tiles of so many; rows of tables are whole tiles.
pub(super) const TILE: usize = 4;

/// `n` rounded up to whole tiles.
pub(super) fn tiled(n: usize) -> usize {
    n.next_multiple_of(TILE)
}

/// Tables made once per model and precision.
pub(super) struct Plan<T> {
    pub(super) n_types: usize,
    pub(super) dim: usize,
    pub(super) l_max: usize,
    /// Angular functions, in whole tiles.
    pub(super) lm_rows: usize,
    /// Radial functions and basis functions of the radial and the angular part.
    pub(super) n: [usize; 2],
    pub(super) k: [usize; 2],
    pub(super) pairs: Vec<Pair<T>>,
    /// Angular cutoff of each pair, squared.
    pub(super) near2: Vec<f64>,
    /// Largest cutoff of each centre type with any type, squared.
    pub(super) reach2: Vec<f64>,
    pub(super) networks: Vec<Network<T>>,
    /// The scalar part of polarizabilities; empty without.
    pub(super) scalars: Vec<Network<T>>,
    /// Whether the last descriptor is the temperature.
    pub(super) has_temperature: bool,
    /// The network that serves each type.
    pub(super) network_of: Vec<usize>,
    pub(super) q_scaler: Vec<f64>,
    pub(super) invariants: Invariants,
    /// Largest reach of a repulsion, Å; 0 without.
    pub(super) zbl_outer: f64,
}

/// A centre type and a neighbour type.
pub(super) struct Pair<T> {
    pub(super) cutoff: [f64; 2],
    pub(super) series: [Series<T>; 2],
    pub(super) zbl: Option<ZblPair>,
}

/// The radial functions as Chebyshev series: g_n = f_c Σ_k a_nk T_k(x).
///
/// f_k = (T_k + 1) f_c / 2 for k > 0 and f_c for k = 0, so a_nk = c_nk / 2 and a_n0 takes the rest.
pub(super) struct Series<T> {
    /// a_nk. Shapes `[n][tiled(k)]` and `[k][tiled(n)]`.
    pub(super) by_n: Vec<T>,
    pub(super) by_k: Vec<T>,
    /// The series of the derivative with respect to x, in the same two layouts.
    pub(super) slope_by_n: Vec<T>,
    pub(super) slope_by_k: Vec<T>,
}

/// The network of a type for descriptors without scale, its first layer in both orders.
pub(super) struct Network<T> {
    pub(super) n1: usize,
    /// Shape `[dim][tiled(n1)]`.
    pub(super) by_q: Vec<T>,
    /// Shape `[n1][tiled(dim)]`.
    pub(super) by_neuron: Vec<T>,
    /// Shape `[tiled(n1)]`.
    pub(super) b0: Vec<T>,
    pub(super) w1: Vec<T>,
    /// Output weights of charge and C6, as far as there are, like `w1`.
    pub(super) heads: Vec<Vec<T>>,
    pub(super) bias: f64,
    /// A second hidden layer is left to the plain formulas.
    pub(super) two_layers: bool,
}

impl<T: Real> Plan<T> {
    pub(super) fn new(model: &Model) -> Self {
        let header = model.header();
        let layout = model.layout();
        let n_types = layout.n_types;
        let mut pairs = Vec::with_capacity(n_types * n_types);
        for a in 0..n_types {
            for b in 0..n_types {
                let cutoff = header.pair_cutoff(a, b);
                pairs.push(Pair {
                    cutoff,
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
        let near2 = pairs
            .iter()
            .map(|p: &Pair<T>| p.cutoff[1] * p.cutoff[1])
            .collect();
        let reach2 = pairs
            .chunks_exact(n_types)
            .map(|row| {
                let reach = row.iter().flat_map(|p| p.cutoff).fold(0.0, f64::max);
                reach * reach
            })
            .collect();
        let zbl = pairs.iter().filter_map(|p| p.zbl.as_ref());
        let zbl_outer = zbl.map(ZblPair::outer).fold(0.0, f64::max);
        Self {
            n_types,
            dim: layout.dim,
            l_max: header.l_max,
            lm_rows: tiled(angular::count(header.l_max)),
            n: layout.n_radial,
            k: layout.n_basis,
            pairs,
            near2,
            reach2,
            networks: (0..layout.n_networks)
                .map(|t| Network::new(model, model.network(t)))
                .collect(),
            scalars: (0..layout.n_networks)
                .filter_map(|t| Some(Network::new(model, model.scalar_network(t)?)))
                .collect(),
            has_temperature: model.kind() == Kind::Temperature,
            network_of: (0..n_types)
                .map(|t| if layout.n_networks == 1 { 0 } else { t })
                .collect(),
            q_scaler: model.q_scaler().to_vec(),
            invariants: Invariants::new(header),
            zbl_outer,
        }
    }

    /// The tables of a centre type and a neighbour type.
    #[inline(always)]
    pub(super) fn pair(&self, center: usize, kind: usize) -> &Pair<T> {
        &self.pairs[center * self.n_types + kind]
    }
}

impl<T: Real> Series<T> {
    fn new(c: &[f64], n: usize, k: usize) -> Self {
        let (n_pad, k_pad) = (tiled(n), tiled(k));
        let zeros = |len| vec![T::default(); len];
        let mut series = Self {
            by_n: zeros(n * k_pad),
            by_k: zeros(k * n_pad),
            slope_by_n: zeros(n * k_pad),
            slope_by_k: zeros(k * n_pad),
        };
        for (i, row) in c.chunks_exact(k).enumerate() {
            let mut a: Vec<f64> = row.iter().map(|c| 0.5 * c).collect();
            a[0] = row[0] + a[1..].iter().sum::<f64>();
            let slope = derivative(&a);
            for m in 0..k {
                series.by_n[i * k_pad + m] = T::of(a[m]);
                series.by_k[m * n_pad + i] = T::of(a[m]);
                series.slope_by_n[i * k_pad + m] = T::of(slope[m]);
                series.slope_by_k[m * n_pad + i] = T::of(slope[m]);
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

impl<T: Real> Network<T> {
    fn new(model: &Model, net: model::Network<'_>) -> Self {
        let dim = model.dim();
        let n1 = net.b0.len();
        let (n1_pad, dim_pad) = (tiled(n1), tiled(dim));
        let two_layers = !net.w2.is_empty();
        let zeros = |len| vec![T::default(); len];
        let mut network = Self {
            n1,
            by_q: zeros(dim * n1_pad),
            by_neuron: zeros(n1 * dim_pad),
            b0: zeros(n1_pad),
            w1: zeros(n1_pad),
            heads: [net.charge, net.dispersion]
                .iter()
                .filter(|head| !head.is_empty())
                .map(|head| head.iter().map(|&w| T::of(w)).collect())
                .collect(),
            bias: net.bias,
            two_layers,
        };
        for (to, &b) in network.b0.iter_mut().zip(net.b0) {
            *to = T::of(b);
        }
        if !two_layers {
            for (to, &w) in network.w1.iter_mut().zip(net.w1) {
                *to = T::of(w);
            }
        }
        for (mu, row) in net.w0.chunks_exact(dim).enumerate() {
            for (d, (&w, &scale)) in row.iter().zip(model.q_scaler()).enumerate() {
                network.by_q[d * n1_pad + mu] = T::of(w * scale);
                network.by_neuron[mu * dim_pad + d] = T::of(w * scale);
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
