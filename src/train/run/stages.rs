//! What is done when: descent first, refinement for the rest where it pays.

use super::limits::Limits;
use super::refine::Newton;
use super::{ProgressCallback, Run};
use crate::error::Result;
use crate::train::nep_in::Optimizer;
use crate::train::optimize::Adam;
use crate::train::outcome::{Method, Progress, Stop};
use crate::train::precondition;
use std::time::Duration;

/// Evaluations of the whole data in a descent.
const EVALUATIONS: usize = 100;
/// Share of a run that belongs to the descent if a refinement follows, from random and from given
/// parameters.
const SHARE: [f64; 2] = [0.25, 0.1];
/// Passes over the data that a refinement needs besides its sketch to be worth its start.
const WORTH: f64 = 100.0;
/// Core seconds of an atom's gradient and of a multiplication in a matrix product, roughly.
const COSTS: [f64; 2] = [5e-6, 1e-10];

impl Run<'_> {
    pub(super) fn optimise(
        &mut self,
        pool: &rayon::ThreadPool,
        limits: &Limits,
        mut progress: Option<&mut ProgressCallback<'_>>,
    ) -> Result<Stop> {
        let mut adam = Adam::new(self.y.len());
        let mut newton = None;
        let share = self.descent_share(limits, pool.current_num_threads());
        let every = limits
            .epochs
            .map(|n| ((share * n as f64) as usize).div_ceil(EVALUATIONS).max(1));
        let mut assessed = 0.0;
        let mut since_best = 0;
        loop {
            let fraction = limits.fraction(self.epochs as f64, self.start.elapsed());
            if let (Some(progress), Some(record)) = (progress.as_mut(), self.history.last()) {
                let state = Progress {
                    epoch: self.epochs,
                    seconds: self.start.elapsed().as_secs_f64(),
                    fraction: fraction.min(1.0),
                    record: record.clone(),
                };
                if progress(&state).is_break() {
                    return Ok(Stop::Caller);
                }
            }
            if limits.epochs.is_some_and(|n| self.epochs >= n) {
                return Ok(Stop::Epochs);
            }
            if limits.expired(self.start) {
                return Ok(Stop::Budget);
            }
            let due = if fraction < share {
                pool.install(|| self.epoch(&mut adam, limits, share));
                self.epochs += 1;
                let fraction = limits.fraction(self.epochs as f64, self.start.elapsed());
                let due = match every {
                    Some(every) => self.epochs.is_multiple_of(every),
                    None => fraction >= assessed + share / EVALUATIONS as f64,
                } || fraction >= share;
                if due {
                    assessed = fraction;
                }
                due
            } else {
                let newton = newton.get_or_insert_with(|| {
                    self.method = Method::Refinement;
                    self.take_best();
                    Newton::new(self.cost_of_sketch())
                });
                let taken = pool.install(|| self.refine(newton, limits));
                if newton.converged() {
                    return Ok(Stop::Converged);
                }
                taken
            };
            if due {
                let before = self.best.as_ref().map(|b| b.0);
                pool.install(|| self.assess())?;
                let improved = self.best.as_ref().map(|b| b.0) != before;
                since_best = if improved { 0 } else { since_best + 1 };
                if self.config.early_stop > 0 && since_best >= self.config.early_stop {
                    return Ok(Stop::Early);
                }
            }
        }
    }

    /// Goes back to the best parameters so far.
    fn take_best(&mut self) {
        if let Some((_, best)) = &self.best {
            self.y = self.variables.of_parameters(best);
        }
    }

    /// Passes over the data that a sketch of the Jacobian costs. Counted, not measured, so that a
    /// run that ends by epochs is reproducible.
    fn cost_of_sketch(&self) -> f64 {
        let atoms: usize = self.train.samples.iter().map(|s| s.types.len()).sum();
        let len = self.train.layout.len();
        let (rows, products) = precondition::cost(len);
        let groups = self.train.groups.len().max(1);
        rows / groups as f64 + products * COSTS[1] / (atoms.max(1) as f64 * COSTS[0])
    }

    /// Share of the run after which the refinement starts; 1 for never.
    fn descent_share(&self, limits: &Limits, threads: usize) -> f64 {
        let share = SHARE[usize::from(self.warm)];
        match self.config.optimizer {
            Optimizer::Adam => return 1.0,
            Optimizer::LevenbergMarquardt => return if self.warm { 0.0 } else { 0.05 },
            Optimizer::Auto => {}
        }
        let atoms: usize = self.train.samples.iter().map(|s| s.types.len()).sum();
        let by_time = limits.budget.map(|budget: Duration| {
            budget.as_secs_f64() * threads as f64 / (atoms.max(1) as f64 * COSTS[0])
        });
        let by_epochs = limits.epochs.map(|n| n as f64);
        let available = match (by_time, by_epochs) {
            (Some(a), Some(b)) => a.min(b),
            (a, b) => a.or(b).unwrap_or(0.0),
        };
        if (1.0 - share) * available > self.cost_of_sketch() + WORTH {
            share
        } else {
            1.0
        }
    }
}
