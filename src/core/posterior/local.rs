//! The deviation of an atom's force from its own descriptors.

use super::product;
use crate::error::{Error, Result};
use faer::MatRef;
use serde::{Deserialize, Serialize};

/// A small network for the logarithm of the deviation, and how far an atom is from the training data.
///
/// σ is a bound: the force of 68 % of atoms is wrong by at most σ (the length of the error), that of 95 % by at most
/// `at_95` σ. With z = (q − mean) ∘ scale, σ = factor · min(10, max(1, |metric z|)) · exp(level + w1 · tanh(w0 z − b0)),
/// where the exponent stays within what the network was trained on. |metric z| is 1 on average over the training atoms
/// (Mahalanobis' distance over the root of the dimension): outside, where the network only guesses and errors
/// grow, the deviation grows with the distance, up to ten times.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalDeviation {
    /// Mean of the descriptors over the training atoms. Shape `[D]`.
    pub mean: Vec<f64>,
    /// What they are multiplied by. Shape `[D]`.
    pub scale: Vec<f64>,
    /// Shape `[D][D]`.
    pub metric: Vec<f64>,
    /// Shape `[K][D]`.
    pub w0: Vec<f64>,
    /// Shape `[K]`.
    pub b0: Vec<f64>,
    /// Shape `[K]`.
    pub w1: Vec<f64>,
    /// The network's output bias: the logarithm of a usual deviation in eV/Å.
    pub level: f64,
    /// Least and largest exponent.
    pub range: [f64; 2],
    /// What calibration found.
    pub factor: f64,
    /// How many σ hold 95 % of the errors.
    #[serde(default = "gaussian")]
    pub at_95: f64,
}

fn gaussian() -> f64 {
    super::GAUSSIAN[0][1]
}

/// The distance that counts at most: beyond it nothing is known but that.
const FARTHEST: f64 = 10.0;

impl LocalDeviation {
    /// Refuses numbers that do not fit a descriptor or are not finite.
    pub(super) fn check(&self, dim: usize) -> Result<()> {
        let k = self.b0.len();
        let shapes = [
            (self.mean.len(), dim),
            (self.scale.len(), dim),
            (self.metric.len(), dim * dim),
            (self.w0.len(), k * dim),
            (self.w1.len(), k),
        ];
        let numbers = [
            &self.mean[..],
            &self.scale,
            &self.metric,
            &self.w0,
            &self.b0,
            &self.w1,
            &self.range,
            &[self.level, self.factor, self.at_95],
        ];
        let finite = numbers.iter().all(|x| x.iter().all(|x| x.is_finite()));
        let ordered = self.range[0] <= self.range[1] && self.factor >= 0.0 && self.at_95 >= 1.0;
        if shapes.iter().all(|(found, wanted)| found == wanted) && finite && ordered {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "the posterior's force deviations do not fit {dim} descriptors, or are not finite; make it anew"
        )))
    }

    /// σ of atoms, eV/Å, from the descriptors of each.
    pub fn deviations<'a>(&self, atoms: impl Iterator<Item = &'a [f64]>) -> Vec<f64> {
        let (d, k) = (self.mean.len(), self.b0.len());
        let mut z = Vec::with_capacity(d * atoms.size_hint().0);
        for q in atoms {
            let row = q.iter().zip(&self.mean).zip(&self.scale);
            z.extend(row.map(|((q, m), s)| (q - m) * s));
        }
        let z = MatRef::from_row_major_slice(&z, z.len() / d, d);
        let both = [&self.metric[..], &self.w0].concat();
        let found = product(MatRef::from_row_major_slice(&both, d + k, d), z.transpose());
        (0..z.nrows())
            .map(|i| {
                let (away, inner) = found.col_as_slice(i).split_at(d);
                let distance: f64 = away.iter().map(|x| x * x).sum();
                let mut exponent = self.level;
                for ((u, b), w) in inner.iter().zip(&self.b0).zip(&self.w1) {
                    // tanh at a third of the library's time; what is lost near 0 is lost in the sum too.
                    exponent += w * (1.0 - 2.0 / (1.0 + (2.0 * (u - b)).exp()));
                }
                let exponent = exponent.clamp(self.range[0], self.range[1]);
                self.factor * distance.clamp(1.0, FARTHEST * FARTHEST).sqrt() * exponent.exp()
            })
            .collect()
    }
}
