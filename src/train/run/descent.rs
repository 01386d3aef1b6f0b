//! The start: Adam on small batches.

use super::Run;
use super::limits::Limits;
use crate::objective::Evaluation;
use crate::optimize::{Adam, schedule};
use crate::targets::TERMS;
use rand::seq::SliceRandom;

/// Atoms of a step, roughly, when `batch` is not given: small steps train faster than exact ones.
const STEP_ATOMS: usize = 256;
/// How much of the running mean square errors a step replaces.
const MEMORY_RATE: f64 = 0.05;
/// Steps that the largest step size is made for: noise drives the parameters as far as the step size
/// times the root of the number of steps, and neurons that were driven into saturation stay there.
const STEPS: usize = 8000;
/// Steps of a descent that a refinement follows, at most.
const MOST_STEPS: usize = 20_000;
/// Step size from given parameters, to that from random ones.
const WARM: f64 = 0.3;

/// The same for a descent out of a minimum, and its steps.
const KICK: (f64, usize) = (0.3, 3000);

/// Extent of a descent.
#[derive(Clone, Copy)]
pub(super) struct Descent {
    /// Share of the run after which it ends.
    share: f64,
    /// Passes over the data when it starts.
    from: usize,
    /// Passes over the data, at most.
    pub passes: Option<usize>,
    /// Largest step size, to that of the settings.
    rate: f64,
}

impl Run<'_> {
    /// Structures of a step.
    pub(super) fn batch_size(&self) -> usize {
        let structures = self.train.samples.len();
        let atoms: usize = self.train.samples.iter().map(|s| s.types.len()).sum();
        let automatic = (STEP_ATOMS * structures + atoms / 2) / atoms.max(1);
        self.config.batch.unwrap_or(automatic).clamp(1, structures)
    }

    /// The descent that takes a share of the run.
    pub(super) fn descent(&self, share: f64) -> Descent {
        let steps = self.train.samples.len().div_ceil(self.batch_size());
        Descent {
            share,
            from: 0,
            passes: (share < 1.0).then(|| (MOST_STEPS / steps.max(1)).max(20)),
            rate: if self.warm { WARM } else { 1.0 },
        }
    }

    /// A short descent from where the run is, to another minimum.
    pub(super) fn kick(&self) -> Descent {
        let steps = self.train.samples.len().div_ceil(self.batch_size());
        Descent {
            share: f64::INFINITY,
            from: self.epochs,
            passes: Some((KICK.1 / steps.max(1)).max(5)),
            rate: KICK.0,
        }
    }

    /// Groups of an epoch, shuffled and cut into batches.
    pub(super) fn batches(&mut self) -> Vec<Vec<usize>> {
        let mut order: Vec<usize> = (0..self.train.groups.len()).collect();
        order.shuffle(&mut self.rng);
        let size = self.batch_size();
        let mut batches: Vec<Vec<usize>> = Vec::new();
        let mut filled = usize::MAX;
        for group in order {
            if filled >= size {
                batches.push(Vec::new());
                filled = 0;
            }
            filled += self.train.groups[group].members.len();
            if let Some(last) = batches.last_mut() {
                last.push(group);
            }
        }
        batches
    }

    /// How far a descent is after so many passes over the data: 1 at its end.
    pub(super) fn descended(&self, limits: &Limits, descent: Descent, passes: f64) -> f64 {
        if descent.share <= 0.0 {
            return 1.0;
        }
        let by_run = limits.fraction(passes, self.clock.elapsed()) / descent.share;
        let own = passes - descent.from as f64;
        by_run.max(descent.passes.map_or(0.0, |most| own / most as f64))
    }

    /// One pass over the data. The step size falls to zero at the end of the descent.
    pub(super) fn epoch(&mut self, adam: &mut Adam, limits: &Limits, descent: Descent) {
        let batches = self.batches();
        let n = batches.len();
        let largest = self.config.learning_rate * descent.rate;
        let bias = self.train.layout.common_bias();
        for (index, batch) in batches.iter().enumerate() {
            let done = self.epochs as f64 + index as f64 / n as f64;
            let share = self.descended(limits, descent, done);
            let steps = (done - descent.from as f64) * n as f64 / share.max(1e-3);
            let rate = schedule(share) * (STEPS as f64 / steps.max(1.0)).sqrt().min(1.0);
            let parameters = self.parameters();
            let mut counts = [0.0; TERMS];
            for &g in batch {
                let c = self.train.groups[g].targets.counts();
                for i in 0..TERMS {
                    counts[i] += c[i];
                }
            }
            let factors = self.factors(self.squares, counts);
            let evaluation = Evaluation {
                parameters: &parameters,
                q_scaler: &self.q_scaler,
                factors: Some(factors),
            };
            let (sums, mut gradient) = self.train.evaluate(batch, &evaluation);
            self.add_regularisation(&parameters, &mut gradient);
            self.variables.pull_back(&mut gradient);
            gradient[bias] = 0.0;
            adam.step(&mut self.y, &gradient, rate * largest);
            // The best bias is known, up to the batch's share of the data.
            self.y[bias] += sums.shift() * rate.min(1.0) / n as f64;
            let squares = sums.weighted(sums.shift());
            let squares_raw = sums.weighted(0.0);
            for i in 0..TERMS {
                if counts[i] > 0.0 {
                    let new = if i == 0 { squares_raw[0] } else { squares[i] };
                    self.squares[i] += MEMORY_RATE * (new - self.squares[i]);
                }
            }
        }
    }
}
