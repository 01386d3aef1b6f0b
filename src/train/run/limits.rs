//! When training ends.

use crate::NepIn;
use crate::ranks::Ranks;
use std::sync::Arc;
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
    pub(super) fn expired(&self, elapsed: Duration) -> bool {
        self.budget.is_some_and(|b| elapsed >= b)
    }

    pub(super) fn fraction(&self, epoch: f64, elapsed: Duration) -> f64 {
        let by_epoch = self.epochs.map_or(0.0, |n| epoch / n.max(1) as f64);
        let by_time = self
            .budget
            .map_or(0.0, |b| elapsed.as_secs_f64() / b.as_secs_f64().max(1e-9));
        by_epoch.max(by_time)
    }
}

/// Wall clock of a run. Processes that train together all have that of the first, as of their last exchange: so they
/// decide alike.
pub(super) struct Clock {
    start: Instant,
    ranks: Arc<Ranks>,
    /// Seconds on their clock when the run began.
    from: f64,
}

impl Clock {
    pub fn new(ranks: &Arc<Ranks>) -> Self {
        Self {
            start: Instant::now(),
            ranks: Arc::clone(ranks),
            from: ranks.clock().unwrap_or_default(),
        }
    }

    pub fn elapsed(&self) -> Duration {
        match self.ranks.clock() {
            Some(now) => Duration::from_secs_f64((now - self.from).max(0.0)),
            None => self.start.elapsed(),
        }
    }

    /// Goes on from so many seconds.
    pub fn go_on_from(&mut self, seconds: f64) {
        let seconds = seconds.max(0.0);
        let earlier = Instant::now().checked_sub(Duration::from_secs_f64(seconds));
        self.start = earlier.unwrap_or_else(Instant::now);
        self.from = self.ranks.clock().unwrap_or_default() - seconds;
    }
}
