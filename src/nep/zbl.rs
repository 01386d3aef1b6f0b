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
    #[cfg(feature = "cuda")]
    pub(crate) fn parameters(&self) -> [f64; 12] {
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
}
