//! When training ends.

use crate::NepIn;
use std::time::{Duration, Instant};

/// Steps of a run, roughly, when neither the options, nor the settings, nor a budget say.
const STEPS: usize = 20_000;
/// Bounds on the epochs that follow from it.
const EPOCHS: [usize; 2] = [50, 5000];

/// Epochs and wall clock; whichever is further advanced counts.
pub(super) struct Limits {
    pub(super) epochs: Option<usize>,
    pub(super) budget: Option<Duration>,
}

impl Limits {
    pub(super) fn new(
        config: &NepIn,
        epochs: Option<usize>,
        budget: Option<Duration>,
        steps: usize,
    ) -> Self {
        let minutes = config.budget.map(|m| Duration::from_secs_f64(60.0 * m));
        let budget = budget.or(minutes);
        let default = (STEPS / steps.max(1)).clamp(EPOCHS[0], EPOCHS[1]);
        let default = budget.is_none().then_some(default);
        Self {
            epochs: epochs.or(config.epochs).or(default),
            budget,
        }
    }

    /// Whether the wall clock is over.
    pub(super) fn expired(&self, start: Instant) -> bool {
        self.budget.is_some_and(|b| start.elapsed() >= b)
    }

    pub(super) fn fraction(&self, epoch: f64, elapsed: Duration) -> f64 {
        let by_epoch = self.epochs.map_or(0.0, |n| epoch / n.max(1) as f64);
        let by_time = self
            .budget
            .map_or(0.0, |b| elapsed.as_secs_f64() / b.as_secs_f64().max(1e-9));
        by_epoch.max(by_time)
    }
}
