//! The start: Adam on small batches.

use super::Run;
use super::limits::Limits;
use crate::train::objective::Evaluation;
use crate::train::optimize::{Adam, schedule};
use rand::seq::SliceRandom;

/// Atoms of a step, roughly, when `batch` is not given: small steps train faster than exact ones.
const STEP_ATOMS: usize = 256;
/// How much of the running mean square errors a step replaces.
const MEMORY_RATE: f64 = 0.05;

impl Run<'_> {
    /// Structures of a step.
    pub(super) fn batch_size(&self) -> usize {
        let structures = self.train.samples.len();
        let atoms: usize = self.train.samples.iter().map(|s| s.types.len()).sum();
        let automatic = (STEP_ATOMS * structures + atoms / 2) / atoms.max(1);
        self.config.batch.unwrap_or(automatic).clamp(1, structures)
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

    /// One pass over the data. The step size falls to zero at `share` of the run.
    pub(super) fn epoch(&mut self, adam: &mut Adam, limits: &Limits, share: f64) {
        let batches = self.batches();
        let n = batches.len();
        let bias = self.train.layout.common_bias();
        for (index, batch) in batches.iter().enumerate() {
            let done = self.epochs as f64 + index as f64 / n as f64;
            let rate = schedule(limits.fraction(done, self.start.elapsed()) / share);
            let parameters = self.parameters();
            let mut counts = [0.0; 3];
            for &g in batch {
                let c = self.train.groups[g].targets.counts();
                for i in 0..3 {
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
            adam.step(&mut self.y, &gradient, rate * self.config.learning_rate);
            // The best bias is known, up to the batch's share of the data.
            self.y[bias] += sums.shift() * rate.min(1.0) / n as f64;
            let squares = sums.weighted(sums.shift());
            let squares_raw = sums.weighted(0.0);
            for i in 0..3 {
                if counts[i] > 0.0 {
                    let new = if i == 0 { squares_raw[0] } else { squares[i] };
                    self.squares[i] += MEMORY_RATE * (new - self.squares[i]);
                }
            }
        }
    }
}
