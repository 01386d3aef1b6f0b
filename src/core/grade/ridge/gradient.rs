//! Gradients of γ, ρ and Γ with respect to the scaled descriptors.

use super::RidgeSet;
use super::lanes::Found;
use crate::grade::Measure;
use crate::grade::linalg::dot;
use crate::model::Network;
use crate::nep::network;

/// A measure of some atoms, and its gradient. Shapes: `q` and the gradient `[N][dim]`.
///
/// λ dΓ² = dk(x,x) − 2 c·dk_A and dγ² = 2 b·dk_A with b = (K_AA + λ)⁻¹ c; ρ² is the difference. Each
/// kernel is a product of the two sides, so that a derivative along one is a sum over active rows.
pub(in crate::grade) fn gradient(
    set: &RidgeSet,
    net: &Network<'_>,
    q: &[f64],
    measure: Measure,
) -> (Vec<f64>, Vec<f64>) {
    let dim = set.units.len();
    let count = q.len() / dim;
    if set.rows() == 0 {
        return (vec![f64::INFINITY; count], vec![0.0; q.len()]);
    }
    let x: Vec<f64> = q
        .chunks_exact(dim)
        .flat_map(|q| network::hidden(net, q))
        .collect();
    let sides = set.sides(q, &x);
    let (found, c) = set.solver().coefficients(&sides);
    let mut gradient = vec![0.0; q.len()];
    let mut values = Vec::with_capacity(count);
    let (h1, d1, k) = (set.neurons + 1, dim + 1, set.rows());
    for (n, out) in gradient.chunks_exact_mut(dim).enumerate() {
        let atom = Atom {
            x: &x[n * set.neurons..][..set.neurons],
            s: &sides.s[n * h1..][..h1],
            t: &sides.q[n * d1..][..d1],
            c: &c[n * k..][..k],
            found: found[n],
        };
        values.push(atom.gradient(set, net, measure, out));
    }
    (values, gradient)
}

/// Hidden neurons, both sides, coefficients and what comes of them.
struct Atom<'a> {
    x: &'a [f64],
    s: &'a [f64],
    t: &'a [f64],
    c: &'a [f64],
    found: Found,
}

impl Atom<'_> {
    fn gradient(
        &self,
        set: &RidgeSet,
        net: &Network<'_>,
        measure: Measure,
        out: &mut [f64],
    ) -> f64 {
        let (h, dim) = (set.neurons, set.units.len());
        let (h1, d1) = (h + 1, dim + 1);
        let Self { x, s, t, c, found } = *self;
        let (ss, tt) = (dot(s, s), dot(t, t));
        let active = || set.s.chunks_exact(h1).zip(set.q.chunks_exact(d1));
        let products: Vec<[f64; 2]> = active().map(|(si, ti)| [dot(si, s), dot(ti, t)]).collect();
        let lambda = set.lambda;
        let total2 = (found.left / lambda).max(0.0);
        let gamma2 = found.gamma2.min(total2);
        let rho2 = (total2 - gamma2).max(0.0);
        if !total2.is_finite() {
            out.fill(0.0);
            return f64::INFINITY;
        }
        // d(γ²) = 2 c·dc with dc = (K_AA + λ)⁻¹ dk: another solve. d(Γ²) = 2 (x − X_Aᵀ c)·dx / λ.
        let b = match measure {
            Measure::Total | Measure::Smooth { .. } => Vec::new(),
            Measure::Gamma | Measure::Rho => set.solver().solve(c),
        };
        // The measure squared is a·|x|²/λ + Σ w_i k_i up to what is constant: its slope along x and along k.
        let (value2, along_x, along_k): (f64, f64, Vec<f64>) = match measure {
            Measure::Total | Measure::Smooth { .. } => (
                total2,
                1.0 / lambda,
                c.iter().map(|c| -c / lambda).collect(),
            ),
            Measure::Gamma => (gamma2, 0.0, b),
            Measure::Rho => (
                rho2,
                1.0 / lambda,
                c.iter().zip(&b).map(|(c, b)| -c / lambda - b).collect(),
            ),
        };
        let value = value2.sqrt();
        if value == 0.0 {
            out.fill(0.0);
            return 0.0;
        }
        // Half of d(value²) by ŝ and q̃.
        let mut by_s: Vec<f64> = s[..h].iter().map(|s| along_x * tt * s).collect();
        let mut by_q: Vec<f64> = t[..dim].iter().map(|t| along_x * ss * t).collect();
        for ((w, [si_s, ti_t]), (si, ti)) in along_k.iter().zip(&products).zip(active()) {
            for (g, si) in by_s.iter_mut().zip(si) {
                *g += w * ti_t * si;
            }
            for (g, ti) in by_q.iter_mut().zip(ti) {
                *g += w * si_s * ti;
            }
        }
        let root = (h as f64).sqrt();
        for ((out, g), unit) in out.iter_mut().zip(&by_q).zip(&set.units) {
            *out = g * unit / value;
        }
        // ds/du = −2 h (1 − h²), u = w0 q − b0.
        for ((g, x), w) in by_s.iter().zip(x).zip(net.w0.chunks_exact(dim)) {
            let slope = g * -2.0 * x * (1.0 - x * x) / (root * value);
            for (out, w) in out.iter_mut().zip(w) {
                *out += slope * w;
            }
        }
        value
    }
}
