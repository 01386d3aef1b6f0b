//! The images of a path, and the forces on them.

use super::super::super::potential::GradedPotential;
use super::super::super::variables::Frame;
use super::super::gathering::{Gathering, snapshot};
use nepal::error::{Error, Result};
use nepal::system::cell::norm;

/// The images, ends included.
pub(super) struct Band<'a> {
    pub(super) frame: &'a Frame,
    pub(super) z: Vec<Vec<f64>>,
    pub(super) energy: Vec<f64>,
    pub(super) gradient: Vec<Vec<f64>>,
}

impl<'a> Band<'a> {
    pub(super) fn new(frame: &'a Frame, z: Vec<Vec<f64>>) -> Self {
        Self {
            frame,
            energy: vec![0.0; z.len()],
            gradient: z.clone(),
            z,
        }
    }

    /// The highest image between the ends.
    pub(super) fn highest(&self) -> usize {
        let inner = 1..self.z.len() - 1;
        inner.fold(1, |best, k| {
            if self.energy[k] > self.energy[best] {
                k
            } else {
                best
            }
        })
    }

    /// Length of the path up to an image, Å.
    pub(super) fn length(&self, image: usize) -> f64 {
        (0..image).map(|k| apart(&self.z[k], &self.z[k + 1])).sum()
    }

    /// Distance along the path, height above the start, and the barrier.
    pub(super) fn notes(&self, image: usize) -> [(&'static str, f64); 3] {
        let above = |k: usize| self.energy[k] - self.energy[0];
        [
            ("distance along the path (Å)", self.length(image)),
            ("height (eV)", above(image)),
            ("barrier (eV)", above(self.highest()).max(0.0)),
        ]
    }

    /// The forces on the inner images, one after another.
    pub(super) fn forces(&self, spring: f64, climbs: bool) -> Vec<f64> {
        let top = self.highest();
        let mut forces = Vec::new();
        for k in 1..self.z.len() - 1 {
            let [before, here, after] = [k - 1, k, k + 1].map(|n| self.energy[n]);
            let step = |a: usize, b: usize| -> Vec<f64> {
                self.z[b]
                    .iter()
                    .zip(&self.z[a])
                    .map(|(x, y)| x - y)
                    .collect()
            };
            let (back, on) = (step(k - 1, k), step(k, k + 1));
            // Along the band uphill; at a maximum or minimum a mixture that changes without a jump.
            let (mut w_back, mut w_on) = (0.0, 1.0);
            if after < here && here < before {
                (w_back, w_on) = (1.0, 0.0);
            } else if !(before < here && here < after) {
                let (a, b) = ((after - here).abs(), (before - here).abs());
                let (large, small) = (a.max(b), a.min(b));
                (w_on, w_back) = if after > before {
                    (large, small)
                } else {
                    (small, large)
                };
                if large == 0.0 {
                    (w_on, w_back) = (1.0, 1.0);
                }
            }
            let mut tangent: Vec<f64> = on
                .iter()
                .zip(&back)
                .map(|(a, b)| w_on * a + w_back * b)
                .collect();
            let length = inner(&tangent, &tangent).sqrt().max(f64::MIN_POSITIVE);
            tangent.iter_mut().for_each(|t| *t /= length);
            let g = &self.gradient[k];
            let along = inner(g, &tangent);
            let size = |v: &[f64]| inner(v, v).sqrt();
            let pull = if climbs && k == top {
                2.0 * along
            } else {
                along + spring * (size(&on) - size(&back))
            };
            forces.extend(g.iter().zip(&tangent).map(|(g, t)| pull * t - g));
        }
        forces
    }

    /// Refuses a straight path through atoms, which no band gets away from.
    pub(super) fn refuse_clash(
        &self,
        gathering: &Gathering<'_>,
        potential: &mut dyn GradedPotential,
    ) -> Result<()> {
        for (k, z) in self.z.iter().enumerate() {
            let Some(image) = self.frame.place(z)? else {
                return Err(Error::invalid(
                    "path: the strain between the ends is above 0.5; give nearer ends",
                ));
            };
            let (labels, grades) = potential.energy_forces_virial_grades(&image)?;
            if let Some(reason) = gathering.trouble(&snapshot(&image, labels, grades, 0)?)? {
                return Err(Error::invalid(format!(
                    "path: image {k} on the straight way between the ends: {reason}; give frames on the way in the file of `end`, before the last"
                )));
            }
        }
        Ok(())
    }
}

pub(super) fn inner(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

pub(super) fn apart(a: &[f64], b: &[f64]) -> f64 {
    let squares = a.iter().zip(b).map(|(a, b)| (a - b).powi(2));
    squares.sum::<f64>().sqrt()
}

/// How far the farthest atom is from where it was, after taking the mean displacement out of `z`.
pub(super) fn farthest(atoms: usize, home: &[f64], z: &mut [f64]) -> f64 {
    let n = 3 * atoms;
    let mut mean = [0.0; 3];
    for k in 0..n {
        mean[k % 3] += (z[k] - home[k]) / (n / 3) as f64;
    }
    (0..n).for_each(|k| z[k] -= mean[k % 3]);
    let by = z.chunks(3).zip(home.chunks(3));
    by.map(|(a, b)| norm(std::array::from_fn(|c| a[c] - b[c])))
        .fold(0.0, f64::max)
}

/// Start, images and end, evenly along the straight way over the given points.
pub(super) fn straight(start: &[f64], way: &[Vec<f64>], images: usize) -> Vec<Vec<f64>> {
    let corners: Vec<&[f64]> = std::iter::once(start)
        .chain(way.iter().map(Vec::as_slice))
        .collect();
    let lengths: Vec<f64> = corners.windows(2).map(|w| apart(w[0], w[1])).collect();
    let total: f64 = lengths.iter().sum();
    let at = |share: f64| {
        let mut left = share * total;
        let mut leg = 0;
        while leg + 1 < lengths.len() && left > lengths[leg] {
            left -= lengths[leg];
            leg += 1;
        }
        let x = left / lengths[leg].max(f64::MIN_POSITIVE);
        let (a, b) = (corners[leg], corners[leg + 1]);
        a.iter().zip(b).map(|(a, b)| a + x * (b - a)).collect()
    };
    (0..images + 2)
        .map(|k| at(k as f64 / (images + 1) as f64))
        .collect()
}
