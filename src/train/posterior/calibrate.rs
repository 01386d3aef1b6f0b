//! Factors that bring deviations to the size of true errors, and how often errors then stay below.

use super::design::Design;
use super::{Prediction, product, variances};
use faer::MatRef;
use nepal::posterior::LocalDeviation;
use nepal::system::Frame;
use serde::{Deserialize, Serialize};

/// Fewest force components from which an element gets a factor of its own.
const FEWEST: usize = 30;
/// Normal deviates that hold 68 % and 95 % of a Gaussian.
const LEVELS: [f64; 2] = [0.994_457_883, 1.959_963_985];

/// Shares of true errors below the deviation's 68 % and 95 % bounds, each measured with factors
/// fitted on the other half of the frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Coverage {
    /// Below the 68 % bound.
    pub at_68: f64,
    /// Below the 95 % bound.
    pub at_95: f64,
    /// Errors counted.
    pub count: usize,
}

/// The calibration of a posterior: the factors with the largest likelihood of the errors of labels
/// that were not fitted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Factor of the learnt force deviations of each element, those of calculators; all forces' own for an
    /// element with few.
    pub force: Vec<f64>,
    /// Factor of the last layer's own force deviations of each element.
    pub last_layer: Vec<f64>,
    /// The same for the forces of all elements, which spreads the committee.
    pub pooled: f64,
    /// Factor of the energy deviations.
    pub energy: f64,
    /// True with frames that were held out of training; false where parts of the training set
    /// stood in, which flatters.
    pub held_out: bool,
    /// Of force components by the learnt deviations; none without forces to measure on.
    pub force_coverage: Option<Coverage>,
    /// Of energies per atom.
    pub energy_coverage: Option<Coverage>,
}

/// An error with the variance that was expected of it.
struct Sample {
    bucket: usize,
    half: usize,
    error: f64,
    /// By the last layer, then as learnt. An energy has the first only.
    variance: [f64; 2],
}

/// Errors of labels with their expected variances.
#[derive(Default)]
pub(super) struct Samples {
    forces: Vec<Sample>,
    /// Descriptors of the atom of each three of them.
    q: Vec<Vec<f64>>,
    energies: Vec<Sample>,
}

impl Samples {
    /// Adds a frame: its design, itself, and what the model says of it; `update` moves the output
    /// weights before errors are taken.
    pub fn add(
        &mut self,
        (design, frame, prediction): (&Design, &Frame, &Prediction),
        factor: MatRef<'_, f64>,
        update: Option<&Vec<f64>>,
        half: usize,
    ) {
        let n = frame.len() as f64;
        let shift = |rows: MatRef<'_, f64>| -> Vec<f64> {
            match update {
                Some(step) => {
                    let step = MatRef::from_column_major_slice(step, step.len(), 1);
                    let moved = product(rows, step);
                    (0..moved.nrows()).map(|i| moved[(i, 0)]).collect()
                }
                None => vec![0.0; rows.nrows()],
            }
        };
        if let Some(e) = frame.energy {
            let row = design.energy();
            let row = MatRef::from_row_major_slice(&row, 1, row.len());
            self.energies.push(Sample {
                bucket: 0,
                half,
                error: (e - prediction.energy - shift(row)[0]) / n,
                variance: [variances(row, factor)[0] / (n * n), 0.0],
            });
        }
        if let Some(forces) = &frame.forces {
            let dim = design.q.len() / frame.len();
            let moved = shift(design.forces.as_ref());
            let expected = variances(design.forces.as_ref(), factor);
            for (i, (f, p)) in forces.iter().zip(&prediction.forces).enumerate() {
                if frame.force_mask.as_ref().is_some_and(|m| m[i] == 0.0) {
                    continue;
                }
                self.q.push(design.q[i * dim..][..dim].to_vec());
                for a in 0..3 {
                    self.forces.push(Sample {
                        bucket: design.types[i] as usize,
                        half,
                        error: f[a] - p[a] - moved[3 * i + a],
                        variance: [expected[3 * i + a], 0.0],
                    });
                }
            }
        }
    }

    /// Sets the factors of the learnt deviations, too.
    pub fn calibrate(
        mut self,
        local: &mut [Option<LocalDeviation>],
        held_out: bool,
    ) -> Calibration {
        for (of_atom, q) in self.forces.chunks_exact_mut(3).zip(&self.q) {
            if let Some(local) = &local[of_atom[0].bucket] {
                let deviation = local.deviations(std::iter::once(&q[..]))[0];
                for sample in of_atom {
                    sample.variance[1] = deviation * deviation / 3.0;
                }
            }
        }
        let any = |_: usize| true;
        let (last_layer, pooled) = factors(&self.forces, local.len(), 0, any);
        let (force, _) = factors(&self.forces, local.len(), 1, any);
        let (_, energy) = factors(&self.energies, 1, 0, any);
        for (local, factor) in local.iter_mut().zip(&force) {
            if let Some(local) = local {
                local.factor = *factor;
            }
        }
        Calibration {
            force_coverage: coverage(&self.forces, force.len(), 1),
            energy_coverage: coverage(&self.energies, 1, 0),
            force,
            last_layer,
            pooled,
            energy,
            held_out,
        }
    }
}

/// Factor of each bucket and of all together, from the samples of some halves.
///
/// The likelihood of errors e with deviations kσ is largest for k² = ⟨e²/σ²⟩.
fn factors(
    samples: &[Sample],
    buckets: usize,
    way: usize,
    used: impl Fn(usize) -> bool,
) -> (Vec<f64>, f64) {
    let mut sums = vec![[0.0; 2]; buckets];
    for s in samples {
        // An error that nothing was expected of tells nothing of a factor.
        let variance = s.variance[way];
        if used(s.half) && variance > 0.0 {
            sums[s.bucket][0] += s.error * s.error / variance;
            sums[s.bucket][1] += 1.0;
        }
    }
    let total = sums
        .iter()
        .fold([0.0; 2], |a, s| [a[0] + s[0], a[1] + s[1]]);
    let root = |[square, count]: [f64; 2]| {
        if count > 0.0 && square > 0.0 {
            (square / count).sqrt()
        } else {
            1.0
        }
    };
    let pooled = root(total);
    let own = |s: &[f64; 2]| {
        if s[1] >= FEWEST as f64 {
            root(*s)
        } else {
            pooled
        }
    };
    (sums.iter().map(own).collect(), pooled)
}

fn coverage(samples: &[Sample], buckets: usize, way: usize) -> Option<Coverage> {
    let mut below = [0usize; 2];
    let mut count = 0;
    for half in 0..2 {
        if !samples.iter().any(|s| s.half != half) {
            return None;
        }
        let (own, _) = factors(samples, buckets, way, |h| h != half);
        for s in samples.iter().filter(|s| s.half == half) {
            count += 1;
            let deviation = own[s.bucket] * s.variance[way].sqrt();
            for (below, level) in below.iter_mut().zip(LEVELS) {
                *below += usize::from(s.error.abs() <= level * deviation);
            }
        }
    }
    (count > 0).then(|| Coverage {
        at_68: below[0] as f64 / count as f64,
        at_95: below[1] as f64 / count as f64,
        count,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, StandardNormal};

    /// Gaussian errors of known size: the factor and the coverage are known.
    #[test]
    fn gaussian_errors_give_their_factor_and_cover() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let samples: Vec<Sample> = (0..20_000)
            .map(|i| {
                let bucket = i % 2;
                let deviation = 0.01 * (1.0 + (i % 7) as f64);
                let z: f64 = StandardNormal.sample(&mut rng);
                Sample {
                    bucket,
                    half: usize::from(i >= 10_000),
                    error: [3.0, 12.0][bucket] * deviation * z,
                    variance: [deviation * deviation, 0.0],
                }
            })
            .collect();
        let (own, _) = factors(&samples, 2, 0, |_| true);
        assert!((own[0] - 3.0).abs() < 0.06 && (own[1] - 12.0).abs() < 0.24);
        let c = coverage(&samples, 2, 0).unwrap();
        assert!((c.at_68 - 0.68).abs() < 0.015, "{c:?}");
        assert!((c.at_95 - 0.95).abs() < 0.008, "{c:?}");
        // One half alone cannot be measured by the other.
        assert!(coverage(&samples[..100], 2, 0).is_none());
    }
}
