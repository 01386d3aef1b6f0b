//! Bounds of errors: the factors with which deviations hold 68 % and 95 % of what was never fitted, and how well
//! they do.
//!
//! Errors have heavier tails than a Gaussian, so each share has a factor of its own, read off the errors
//! themselves (split conformal prediction: Lei et al., J. Am. Stat. Assoc. 113, 1094 (2018)).

use super::design::Design;
use super::{Prediction, product, variances};
use faer::MatRef;
use nepal::posterior::{GAUSSIAN, LocalDeviation};
use nepal::system::Frame;
use serde::{Deserialize, Serialize};

/// Fewest atoms from which an element gets factors of its own.
const FEWEST: usize = 30;
/// Shares of errors that the bounds hold.
const LEVELS: [f64; 2] = [0.68, 0.95];
/// Stretches of frames that take turns at measuring the coverage.
const STRETCHES: usize = 10;

/// Shares of true errors within σ and within the bound of 95 %, each measured with factors
/// fitted on the other half of the frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Coverage {
    /// Within σ.
    pub at_68: f64,
    /// Within the bound of 95 %.
    pub at_95: f64,
    /// Errors counted.
    pub count: usize,
}

/// The calibration of a posterior on labels that were not fitted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Factor of the learnt force deviations of each element, those of calculators, to hold 68 % of the errors; all
    /// forces' own for an element with few.
    pub force: Vec<f64>,
    /// How many of the deviations with that factor hold 95 %.
    #[serde(default)]
    pub force_at_95: Vec<f64>,
    /// Factor of the last layer's own force deviations of each element, for 68 %.
    pub last_layer: Vec<f64>,
    /// How many of them hold 95 %.
    #[serde(default)]
    pub last_layer_at_95: Vec<f64>,
    /// Factor of the last layer's force deviations, of all elements, of largest likelihood, which spreads the committee.
    pub pooled: f64,
    /// Factor of the energy deviations, for 68 %.
    pub energy: f64,
    /// How many of them hold 95 %.
    #[serde(default)]
    pub energy_at_95: f64,
    /// True with frames that were held out of training; false where each training frame was left
    /// out of the last layer in turn, whose errors are a little too small: the hidden layers have seen it.
    pub held_out: bool,
    /// Of forces by the learnt deviations; none without forces to measure on.
    pub force_coverage: Option<Coverage>,
    /// Of energies per atom.
    pub energy_coverage: Option<Coverage>,
}

/// An error, of a force its length, with what was expected of it.
struct Sample {
    bucket: usize,
    half: bool,
    error: f64,
    /// By the last layer, then as learnt. An energy has the first only.
    expected: [f64; 2],
}

/// Errors of labels with their expected variances.
#[derive(Default)]
pub(super) struct Samples {
    forces: Vec<Sample>,
    /// Descriptors of the atom of each of them.
    q: Vec<Vec<f64>>,
    energies: Vec<Sample>,
}

impl Samples {
    /// Adds a frame, the one at `place` of so many: its design, itself, and what the model says of it; `update` moves
    /// the output weights before errors are taken.
    pub fn add(
        &mut self,
        (design, frame, prediction): (&Design, &Frame, &Prediction),
        factor: MatRef<'_, f64>,
        update: Option<&[f64]>,
        (place, count): (usize, usize),
    ) {
        let n = frame.len() as f64;
        let half = place * STRETCHES.min(count) / count % 2 == 1;
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
                error: (e - prediction.energy - shift(row)[0]).abs() / n,
                expected: [variances(row, factor)[0].sqrt() / n, 0.0],
            });
        }
        if let Some(forces) = &frame.forces {
            let dim = design.q.len() / frame.len();
            let moved = shift(design.forces.as_ref());
            let expected = design.force_deviations(factor);
            for (i, (f, p)) in forces.iter().zip(&prediction.forces).enumerate() {
                if frame.force_mask.as_ref().is_some_and(|m| m[i] == 0.0) {
                    continue;
                }
                self.q.push(design.q[i * dim..][..dim].to_vec());
                let square = |a: usize| (f[a] - p[a] - moved[3 * i + a]).powi(2);
                self.forces.push(Sample {
                    bucket: design.types[i] as usize,
                    half,
                    error: (0..3).map(square).sum::<f64>().sqrt(),
                    expected: [expected[i], 0.0],
                });
            }
        }
    }

    /// Sets the factors of the learnt deviations, too.
    pub fn calibrate(
        mut self,
        local: &mut [Option<LocalDeviation>],
        held_out: bool,
    ) -> Calibration {
        for (sample, q) in self.forces.iter_mut().zip(&self.q) {
            if let Some(local) = &local[sample.bucket] {
                sample.expected[1] = local.deviations(std::iter::once(&q[..]))[0];
            }
        }
        let any = |_: bool| true;
        let last_layer = bounds(&self.forces, local.len(), 0, 0, any);
        let force = bounds(&self.forces, local.len(), 1, 0, any);
        let energy = bounds(&self.energies, 1, 0, 1, any)[0];
        for (local, [factor, at_95]) in local.iter_mut().zip(&force) {
            if let Some(local) = local {
                (local.factor, local.at_95) = (*factor, *at_95);
            }
        }
        Calibration {
            force_coverage: coverage(&self.forces, local.len(), 1, 0),
            energy_coverage: coverage(&self.energies, 1, 0, 1),
            force: force.iter().map(|f| f[0]).collect(),
            force_at_95: force.iter().map(|f| f[1]).collect(),
            last_layer: last_layer.iter().map(|f| f[0]).collect(),
            last_layer_at_95: last_layer.iter().map(|f| f[1]).collect(),
            pooled: likeliest(&self.forces),
            energy: energy[0],
            energy_at_95: energy[1],
            held_out,
        }
    }
}

/// The likelihood of errors e with deviations kσ is largest for k² = ⟨e²/σ²⟩.
fn likeliest(samples: &[Sample]) -> f64 {
    let known = samples.iter().filter(|s| s.expected[0] > 0.0);
    let squares: Vec<f64> = known.map(|s| (s.error / s.expected[0]).powi(2)).collect();
    match squares.iter().sum::<f64>() / squares.len() as f64 {
        square if square > 0.0 => square.sqrt(),
        _ => 1.0,
    }
}

/// The factor of 68 % of each bucket from the samples of some halves, and how many times that the one of 95 % is.
/// `of` says what a Gaussian's are like: of forces (0) or energies (1).
fn bounds(
    samples: &[Sample],
    buckets: usize,
    way: usize,
    of: usize,
    used: impl Fn(bool) -> bool,
) -> Vec<[f64; 2]> {
    let mut ratios = vec![Vec::new(); buckets];
    for s in samples {
        // An error that nothing was expected of tells nothing of a factor.
        if used(s.half) && s.expected[way] > 0.0 {
            ratios[s.bucket].push(s.error / s.expected[way]);
        }
    }
    let mut all = ratios.concat();
    let pooled = held(&mut all, GAUSSIAN[of]);
    let own = |ratios: &mut Vec<f64>| match ratios.len() >= FEWEST {
        true => held(ratios, GAUSSIAN[of]),
        false => pooled,
    };
    ratios.iter_mut().map(own).collect()
}

/// What 68 % of the ratios do not exceed, and how many times that for 95 %. The next ratio, beside n of them, is as likely
/// in each of the n + 1 gaps, so that the ⌈(n + 1) share⌉-th smallest is the bound; where there are too few for that, the
/// largest or a Gaussian's, whichever is more.
fn held(ratios: &mut [f64], [usual, wide]: [f64; 2]) -> [f64; 2] {
    ratios.sort_by(f64::total_cmp);
    let n = ratios.len();
    let [low, high] = LEVELS.map(|share| ((n + 1) as f64 * share).ceil() as usize);
    let Some(&sigma) = ratios.get(low.min(n).wrapping_sub(1)).filter(|s| **s > 0.0) else {
        // No errors, or none to speak of.
        return [usual, wide];
    };
    let far = ratios[high.min(n) - 1] / sigma;
    [sigma, if high > n { far.max(wide) } else { far }]
}

fn coverage(samples: &[Sample], buckets: usize, way: usize, of: usize) -> Option<Coverage> {
    let mut within = [0usize; 2];
    for half in [false, true] {
        if !samples.iter().any(|s| s.half != half) {
            return None;
        }
        let own = bounds(samples, buckets, way, of, |h| h != half);
        for s in samples.iter().filter(|s| s.half == half) {
            let [factor, wide] = own[s.bucket];
            let sigma = factor * s.expected[way];
            within[0] += usize::from(s.error <= sigma);
            within[1] += usize::from(s.error <= wide * sigma);
        }
    }
    let count = samples.len();
    (count > 0).then(|| Coverage {
        at_68: within[0] as f64 / count as f64,
        at_95: within[1] as f64 / count as f64,
        count,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, StudentT};

    fn samples(count: usize) -> Vec<Sample> {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let tails = StudentT::new(3.0).unwrap();
        let sample = |i: usize| {
            let expected = 0.01 * (1.0 + (i % 7) as f64);
            let t: f64 = tails.sample(&mut rng);
            Sample {
                bucket: i % 2,
                half: i / 1000 % 2 == 1,
                error: [3.0, 12.0][i % 2] * expected * t.abs(),
                expected: [expected, 0.0],
            }
        };
        (0..count).map(sample).collect()
    }

    /// Errors of known size with heavy tails, Student's t of three degrees: |t| is below 1.1889 in 68 and below 3.1824 in
    /// 95 % of all. A Gaussian's factors would hold 77 and 93 %.
    #[test]
    fn errors_with_heavy_tails_are_held_as_often_as_said() {
        let samples = samples(20_000);
        let own = bounds(&samples, 2, 0, 0, |_| true);
        for (found, scale) in own.iter().zip([3.0, 12.0]) {
            assert!((found[0] / (1.188_9 * scale) - 1.0).abs() < 0.03, "{own:?}");
            assert!(
                (found[1] / (3.182_4 / 1.188_9) - 1.0).abs() < 0.05,
                "{own:?}"
            );
        }
        let c = coverage(&samples, 2, 0, 0).unwrap();
        assert!((c.at_68 - 0.68).abs() < 0.01, "{c:?}");
        assert!((c.at_95 - 0.95).abs() < 0.006, "{c:?}");
        // One half alone cannot be measured by the other.
        assert!(coverage(&samples[..100], 2, 0, 0).is_none());
    }

    /// Over many small sets of labels the next error is within the bounds as often as said, and not less.
    #[test]
    fn few_labels_do_not_flatter() {
        let ratios: Vec<f64> = samples(78_000)
            .iter()
            .step_by(2)
            .map(|s| s.error / s.expected[0])
            .collect();
        let mut within = [0.0; 2];
        for set in ratios.chunks_exact(26) {
            let [sigma, wide] = held(&mut set[..25].to_vec(), GAUSSIAN[0]);
            within[0] += f64::from(set[25] <= sigma) / 1500.0;
            within[1] += f64::from(set[25] <= wide * sigma) / 1500.0;
        }
        // The 18th and the 25th of 25.
        assert!((within[0] - 18.0 / 26.0).abs() < 0.03, "{within:?}");
        assert!((within[1] - 25.0 / 26.0).abs() < 0.02, "{within:?}");
        assert_eq!(held(&mut [], GAUSSIAN[0]), GAUSSIAN[0]);
        assert_eq!(held(&mut [2.0, 3.0], [1.0, 1.4]), [3.0, 1.4]);
        assert_eq!(held(&mut [0.0; 50], [1.0, 1.4]), [1.0, 1.4]);
    }
}
