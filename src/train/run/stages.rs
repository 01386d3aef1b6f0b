//! What is done when: descent first, refinement for the rest where it pays.

use super::checkpoint::{Checkpoints, Stages, State};
use super::limits::Limits;
use super::refine::Newton;
use super::{ProgressCallback, Run};
use crate::nep_in::Optimizer;
use crate::optimize::Adam;
use crate::outcome::{Method, Progress, Stop};
use crate::precondition;
use nepal::error::Result;
use std::ops::ControlFlow;
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
        mut checkpoints: Option<&mut Checkpoints>,
        state: Option<State>,
    ) -> Result<Stop> {
        let mut adam = Adam::new(self.y.len());
        let (mut newton, mut evolution) = (None, None);
        let (mut assessed, mut since_best) = (0.0, 0);
        let mut kicked = false;
        if let Some(state) = state {
            self.restore(&state);
            (assessed, since_best) = (state.assessed, state.since_best);
            (adam, newton, evolution) = (state.adam, state.newton, state.evolution);
        } else if self.config.optimizer == Optimizer::Evolution {
            self.method = Method::Evolution;
            evolution = Some(pool.install(|| self.first_evolution()));
        }
        let share = self.descent_share(limits, pool.current_num_threads());
        let mut descent = self.descent(share);
        let most = descent.passes.unwrap_or(usize::MAX);
        let every = limits.epochs.map(|n| {
            let passes = ((share * n as f64) as usize).min(most);
            passes.div_ceil(EVALUATIONS).max(1)
        });
        loop {
            let fraction = limits.fraction(self.epochs as f64, self.clock.elapsed());
            let told = self.tell(fraction, progress.as_deref_mut());
            let told = self.train.ranks.any(told.is_break());
            self.train.ranks.check()?;
            let stop = if told {
                Some(Stop::Caller)
            } else if limits.epochs.is_some_and(|n| self.epochs >= n) {
                Some(Stop::Epochs)
            } else if limits.expired(self.clock.elapsed()) {
                Some(Stop::Budget)
            } else {
                None
            };
            if let Some(checkpoints) = checkpoints.as_deref_mut()
                && newton.as_ref().is_none_or(Newton::is_between_sketches)
                && (checkpoints.due() || stop == Some(Stop::Caller))
            {
                let stages = Stages {
                    assessed,
                    since_best,
                    adam: &adam,
                    newton: newton.as_ref(),
                    evolution: evolution.as_ref(),
                };
                checkpoints.save(self, stages)?;
            }
            if let Some(stop) = stop {
                return Ok(stop);
            }
            let due = if let Some(evolution) = &mut evolution {
                pool.install(|| {
                    self.touch_energies();
                    self.generation(evolution);
                });
                let fraction = limits.fraction(self.epochs as f64, self.clock.elapsed());
                fraction >= assessed + 1.0 / EVALUATIONS as f64 || fraction >= 1.0
            } else if newton.is_none() && self.descended(limits, descent, self.epochs as f64) < 1.0
            {
                pool.install(|| {
                    self.touch_energies();
                    self.epoch(&mut adam, limits, descent);
                });
                self.epochs += 1;
                let fraction = limits.fraction(self.epochs as f64, self.clock.elapsed());
                self.descended(limits, descent, self.epochs as f64) >= 1.0
                    || every.map_or(fraction >= assessed + share / EVALUATIONS as f64, |every| {
                        self.epochs.is_multiple_of(every)
                    })
            } else {
                let newton = newton.get_or_insert_with(|| {
                    self.method = Method::Refinement;
                    self.take_best();
                    Newton::new(self.cost_of_sketch())
                });
                let taken = pool.install(|| self.refine(newton, limits));
                if newton.converged() {
                    // A wall clock is there to be used: the best of several minima.
                    if limits.epochs.is_some() || limits.budget.is_none() {
                        return Ok(Stop::Converged);
                    }
                    self.take_best();
                    descent = self.kick();
                    kicked = true;
                }
                taken
            };
            if kicked {
                (newton, self.method, kicked) = (None, Method::Descent, false);
                adam = Adam::new(self.y.len());
            }
            if due {
                assessed = limits.fraction(self.epochs as f64, self.clock.elapsed());
                let before = self.best.as_ref().map(|b| b.0);
                pool.install(|| self.assess())?;
                let improved = self.best.as_ref().map(|b| b.0) != before;
                since_best = if improved { 0 } else { since_best + 1 };
                if self.reached() {
                    return Ok(Stop::Target);
                }
                if self.config.early_stop > 0 && since_best >= self.config.early_stop {
                    return Ok(Stop::Early);
                }
            }
        }
    }

    /// Tells the caller how far the run is.
    fn tell(&self, fraction: f64, progress: Option<&mut ProgressCallback<'_>>) -> ControlFlow<()> {
        let (Some(progress), Some(record)) = (progress, self.history.last()) else {
            return ControlFlow::Continue(());
        };
        progress(&Progress {
            epoch: self.epochs,
            seconds: self.clock.elapsed().as_secs_f64(),
            fraction: fraction.min(1.0),
            record: record.clone(),
        })
    }

    /// Whether the last errors, the test set's if there is one, are those asked for.
    fn reached(&self) -> bool {
        let (Some(targets), Some(record)) = (&self.config.target_error, self.history.last()) else {
            return false;
        };
        let errors = record.test.unwrap_or(record.train);
        if self.config.kind.is_tensor() {
            return targets.last().is_some_and(|t| errors[2] <= *t);
        }
        targets.iter().zip(errors).all(|(t, e)| e <= *t)
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
            Optimizer::Auto | Optimizer::Evolution => {}
        }
        let atoms: usize = self.train.samples.iter().map(|s| s.types.len()).sum();
        let mut sketch = self.cost_of_sketch();
        let mut pass = atoms.max(1) as f64 * COSTS[0] / threads as f64;
        if let (Some(measured), Some(_)) = (self.pass, limits.budget) {
            // A device passes faster over the data than the host multiplies the sketch's rows.
            let (rows, products) = precondition::cost(self.train.layout.len());
            let groups = self.train.groups.len().max(1) as f64;
            pass = measured;
            sketch = rows / groups + products * COSTS[1] / (threads as f64 * pass);
        }
        let by_time = limits
            .budget
            .map(|budget: Duration| budget.as_secs_f64() / pass);
        let by_epochs = limits.epochs.map(|n| n as f64);
        let available = match (by_time, by_epochs) {
            (Some(a), Some(b)) => a.min(b),
            (a, b) => a.or(b).unwrap_or(0.0),
        };
        if (1.0 - share) * available > sketch + WORTH {
            share
        } else {
            1.0
        }
    }
}
