//! Screened nuclear repulsion at short range.
//!
//! Source: Ziegler, Biersack, Littmark, The Stopping and Range of Ions in Solids (1985), as NEP
//! uses it: Liu et al., Phys. Rev. B 108, 054312 (2023).

use crate::model::{Header, Zbl};
use crate::units::COULOMB;
use std::f64::consts::PI;

/// Amplitudes and exponents of the universal screening function.
const UNIVERSAL: [f64; 8] = [
    0.18175, 3.1998, 0.50986, 0.94229, 0.28022, 0.4029, 0.02817, 0.20162,
];
/// Inverse of 0.46850 Å, the screening length of the universal function.
const INVERSE_LENGTH: f64 = 2.134563;

/// The repulsion of one pair of types.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ZblPair {
    /// Where the switch begins, Å.
    inner: f64,
    /// Where the repulsion ends, Å.
    outer: f64,
    screening: [f64; 8],
    /// K Z_i Z_j, eV Å.
    charge: f64,
    inverse_length: f64,
}

impl ZblPair {
    /// The repulsion between two types of a model, if it has any.
    pub fn new(header: &Header, a: usize, b: usize) -> Option<Self> {
        let zbl = header.zbl.as_ref()?;
        let (ea, eb) = (header.elements[a], header.elements[b]);
        let (za, zb) = (ea.number() as f64, eb.number() as f64);
        let (inner, outer, screening) = match zbl {
            Zbl::Universal { inner, outer } => (*inner, *outer, UNIVERSAL),
            Zbl::Typewise { outer, factor, .. } => {
                let radii = ea.covalent_radius() + eb.covalent_radius();
                (0.0, outer.min(factor * radii), UNIVERSAL)
            }
            Zbl::Flexible(rows) => {
                let (low, high) = (a.min(b), a.max(b));
                let n = header.n_types();
                // Rows of the upper triangle: 0-0, 0-1, ..., 1-1, ...
                let row = rows[low * n - low * (low + 1) / 2 + high];
                (row[0], row[1], std::array::from_fn(|i| row[i + 2]))
            }
        };
        Some(Self {
            inner,
            outer,
            screening,
            charge: COULOMB * za * zb,
            inverse_length: (za.powf(0.23) + zb.powf(0.23)) * INVERSE_LENGTH,
        })
    }

    /// Where the repulsion ends, Å.
    pub fn outer(&self) -> f64 {
        self.outer
    }

    /// Inner and outer end (Å), amplitudes and exponents, K Z_i Z_j (eV Å), 1 / length (1/Å).
    pub fn parameters(&self) -> [f64; 12] {
        let mut all = [0.0; 12];
        all[..2].copy_from_slice(&[self.inner, self.outer]);
        all[2..10].copy_from_slice(&self.screening);
        all[10..].copy_from_slice(&[self.charge, self.inverse_length]);
        all
    }

    /// Energy (eV) of the pair and its derivative (eV/Å); zero from [`ZblPair::outer`] on.
    pub fn energy(&self, r: f64) -> (f64, f64) {
        if r >= self.outer {
            return (0.0, 0.0);
        }
        let x = r * self.inverse_length;
        let (mut phi, mut dphi) = (0.0, 0.0);
        for term in self.screening.chunks_exact(2) {
            let value = term[0] * (-term[1] * x).exp();
            phi += value;
            dphi -= term[1] * value;
        }
        let bare = self.charge * phi / r;
        let dbare = (self.charge * dphi * self.inverse_length - bare) / r;
        let (switch, dswitch) = if r < self.inner {
            (1.0, 0.0)
        } else {
            let rate = PI / (self.outer - self.inner);
            let (sin, cos) = (rate * (r - self.inner)).sin_cos();
            (0.5 * (1.0 + cos), -0.5 * rate * sin)
        };
        (bare * switch, dbare * switch + bare * dswitch)
    }

    /// Derivatives of what [`ZblPair::energy`] gives, by the ten numbers of a flexible row: inner and
    /// outer end, then amplitudes and exponents in turn.
    pub fn gradient(&self, r: f64) -> [[f64; 2]; 10] {
        let mut out = [[0.0; 2]; 10];
        if r >= self.outer {
            return out;
        }
        let width = self.outer - self.inner;
        let inside = r >= self.inner;
        let y = PI * (r - self.inner) / width;
        let (sin, cos) = y.sin_cos();
        let (switch, dswitch) = if inside {
            (0.5 * (1.0 + cos), -0.5 * PI / width * sin)
        } else {
            (1.0, 0.0)
        };
        let (scale, charge) = (self.inverse_length, self.charge);
        let (mut bare, mut dbare) = (0.0, 0.0);
        for (k, term) in self.screening.chunks_exact(2).enumerate() {
            let value = charge * (-term[1] * scale * r).exp();
            let slope = -term[1] * scale * value;
            let (by_amplitude, rate) = (value / r, (slope - value / r) / r);
            bare += term[0] * by_amplitude;
            dbare += term[0] * rate;
            let rows = [
                (by_amplitude, rate),
                (-term[0] * scale * value, -term[0] * scale * slope),
            ];
            for (out, (f, df)) in out[2 + 2 * k..].iter_mut().zip(rows) {
                *out = [f * switch, df * switch + f * dswitch];
            }
        }
        if inside {
            // The argument of the switch moves with both ends, and its rate with their distance.
            for (out, (dy, dwidth)) in out
                .iter_mut()
                .zip([((y - PI) / width, -1.0), (-y / width, 1.0)])
            {
                let by_end = -0.5 * sin * dy;
                let rate = -0.5 * PI / width * (cos * dy - sin * dwidth / width);
                *out = [bare * by_end, dbare * by_end + bare * rate];
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::element::Element;
    use crate::model::{Cutoff, ManyBody, Version};

    #[test]
    fn derivatives_by_a_row_match_finite_differences() {
        let row = [0.7, 1.9, 0.2, 3.1, 0.5, 0.9, 0.3, 0.4, 0.03, 0.2];
        let pair = |row: [f64; 10]| {
            let header = Header {
                version: Version::Nep4,
                kind: crate::model::Kind::Potential,
                elements: ["Te", "Pb"]
                    .map(|s| Element::from_symbol(s).unwrap())
                    .to_vec(),
                zbl: Some(Zbl::Flexible(vec![row; 3])),
                cutoff: Cutoff::Uniform([5.0, 4.0]),
                max_neighbors: [0, 0],
                n_max: [1, 1],
                basis_size: [1, 1],
                l_max: 1,
                many_body: ManyBody::default(),
                neurons: [1, 0],
            };
            ZblPair::new(&header, 0, 1).unwrap()
        };
        for r in [0.4, 0.9, 1.5, 1.85, 1.95] {
            let found = pair(row).gradient(r);
            for k in 0..10 {
                let h = 1e-5;
                let moved = |h: f64| {
                    let mut row = row;
                    row[k] += h;
                    pair(row).energy(r)
                };
                let (plus, minus) = (moved(h), moved(-h));
                let slopes = [plus.0 - minus.0, plus.1 - minus.1].map(|d| d / (2.0 * h));
                let (energy, force) = pair(row).energy(r);
                for ((a, b), size) in found[k].into_iter().zip(slopes).zip([energy, force]) {
                    let allowed = 1e-7 * b.abs() + 1e-9 * size.abs();
                    assert!((a - b).abs() <= allowed, "{r} {k}: {a} {b}");
                }
            }
        }
    }
}
