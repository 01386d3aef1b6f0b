//! Gradients of γ, ρ and Γ with respect to the scaled descriptors.

use super::RidgeSet;
use super::lanes::Found;
use crate::grade::Measure;
use crate::grade::linalg::{dot, multiply, multiply_into, rows};
use crate::model::Network;
use faer::Accum;

/// A measure of some atoms, and its gradient. Shapes: descriptors and the gradient `[N][dim]`, hidden neurons
/// `[N][neurons]`.
///
/// λ dΓ² = dk(x,x) − 2 c·dk_A and dγ² = 2 b·dk_A with b = (K_AA + λ)⁻¹ c; ρ² is the difference. Each
/// kernel is a product of the two sides, so that a derivative along one is a sum over active rows.
pub(in crate::grade) fn gradient(
    set: &RidgeSet,
    net: &Network<'_>,
    (q, x): (&[f64], &[f64]),
    measure: Measure,
) -> (Vec<f64>, Vec<f64>) {
    let dim = set.units.len();
    let count = q.len() / dim;
    if set.rows() == 0 {
        return (vec![f64::INFINITY; count], vec![0.0; q.len()]);
    }
    let sides = set.sides(q, x);
    let (found, c) = set.solver().coefficients(&sides);
    let (h1, d1, k) = (set.neurons + 1, dim + 1, set.rows());
    let active = [rows(&set.s, k, h1), rows(&set.q, k, d1)];
    let own = [rows(&sides.s, count, h1), rows(&sides.q, count, d1)];
    // The kernel's two factors with each active row, which the slopes along the kernel then multiply.
    let [mut by_t, mut by_s] = [0, 1].map(|side| multiply(own[side], active[side].transpose()));
    let mut values = Vec::with_capacity(count);
    let mut slopes = Vec::with_capacity(count);
    for (n, found) in found.into_iter().enumerate() {
        let (value, along_x, factors) = slope(set, found, &c[n * k..][..k], measure);
        let [by_s, by_t] = [&mut by_s, &mut by_t].map(|rows| &mut rows[n * k..][..k]);
        for (i, factor) in factors.into_iter().enumerate() {
            by_s[i] *= factor;
            by_t[i] *= factor;
        }
        values.push(value);
        slopes.push(along_x);
    }
    let by_s = multiply(rows(&by_s, count, k), active[0]);
    let by_t = multiply(rows(&by_t, count, k), active[1]);
    let mut gradient = vec![0.0; q.len()];
    // What the neurons' arguments add meets their weights for all atoms at once.
    let mut by_u = vec![0.0; x.len()];
    let outs = gradient
        .chunks_exact_mut(dim)
        .zip(by_u.chunks_exact_mut(set.neurons));
    for (n, outs) in outs.enumerate() {
        if values[n] == 0.0 || !values[n].is_finite() {
            continue;
        }
        let atom = Atom {
            x: &x[n * set.neurons..][..set.neurons],
            s: &sides.s[n * h1..][..h1],
            t: &sides.q[n * d1..][..d1],
            by_s: &by_s[n * h1..][..h1],
            by_t: &by_t[n * d1..][..d1],
            along_x: slopes[n],
            value: values[n],
        };
        atom.gradient(set, outs);
    }
    let by_u = rows(&by_u, count, set.neurons);
    let w0 = rows(net.w0, set.neurons, dim);
    multiply_into(&mut gradient, Accum::Add, 1.0, by_u, w0);
    (values, gradient)
}

/// A measure; half the slope of its square along |x|², and along the kernels with the active rows, up to what is
/// constant.
fn slope(set: &RidgeSet, found: Found, c: &[f64], measure: Measure) -> (f64, f64, Vec<f64>) {
    let lambda = set.lambda;
    let total2 = (found.left / lambda).max(0.0);
    let gamma2 = found.gamma2.min(total2);
    let rho2 = (total2 - gamma2).max(0.0);
    if !total2.is_finite() {
        return (f64::INFINITY, 0.0, vec![0.0; c.len()]);
    }
    let of_total = || c.iter().map(move |c| -c / lambda);
    // d(γ²) = 2 c·dc with dc = (K_AA + λ)⁻¹ dk: another solve. d(Γ²) = 2 (x − X_Aᵀ c)·dx / λ.
    let (value2, along_x, along_k) = match measure {
        Measure::Total | Measure::Smooth { .. } => (total2, 1.0 / lambda, of_total().collect()),
        Measure::Gamma => (gamma2, 0.0, set.solver().solve(c)),
        Measure::Rho => {
            let b = set.solver().solve(c);
            let both = of_total().zip(&b).map(|(c, b)| c - b);
            (rho2, 1.0 / lambda, both.collect())
        }
    };
    (value2.sqrt(), along_x, along_k)
}

/// Hidden neurons, both sides, and what the active rows give along both.
struct Atom<'a> {
    x: &'a [f64],
    s: &'a [f64],
    t: &'a [f64],
    by_s: &'a [f64],
    by_t: &'a [f64],
    along_x: f64,
    value: f64,
}

impl Atom<'_> {
    /// Along the descriptors for fixed neurons, and along the arguments u of the neurons.
    fn gradient(&self, set: &RidgeSet, (by_q, by_u): (&mut [f64], &mut [f64])) {
        let scale = 1.0 / self.value;
        // Of |x|² = |s|² |t|².
        let [of_s, of_t] = [dot(self.t, self.t), dot(self.s, self.s)].map(|x| self.along_x * x);
        let by_t = self.by_t.iter().zip(self.t).map(|(g, t)| g + of_t * t);
        for ((out, g), unit) in by_q.iter_mut().zip(by_t).zip(&set.units) {
            *out = g * unit * scale;
        }
        // ds/du = −2 h (1 − h²), u = w0 q − b0.
        let scale = -2.0 * scale / (set.neurons as f64).sqrt();
        let by_s = self.by_s.iter().zip(self.s).map(|(g, s)| g + of_s * s);
        for ((out, g), x) in by_u.iter_mut().zip(by_s).zip(self.x) {
            *out = g * scale * x * (1.0 - x * x);
        }
    }
}
