//! Studies of many trainings: how errors fall with data, and which settings are best at which cost.

mod curve;
mod search;
#[cfg(test)]
mod tests;

pub use curve::{CurvePoint, LearningCurve, LearningCurveOptions, PowerLaw, learning_curve};
pub use search::{Candidate, Search, SearchOptions, search};

use nepal::error::Result;
use nepal::model::Model;
use nepal::system::Frame;
use nepal_train::{
    Device, Errors, Method, NepIn, Progress, Record, Stop, TrainOptions, Trained, train,
};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// Called with what is being done and how much of it is, 0 to 1; `Break` ends the study, and what is
/// known so far is returned.
pub type StudyCallback<'a> = dyn FnMut(&str, f64) -> ControlFlow<()> + 'a;

/// How much each training of a study may take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Effort {
    /// Wall clock for all trainings together.
    Budget(Duration),
    /// Passes over the data of each training, which makes a study reproducible.
    Epochs(usize),
}

/// How one training of a study is done.
#[derive(Clone, Copy)]
struct How {
    effort: Effort,
    seed: u64,
    threads: Option<usize>,
    /// Whether a wall clock is only the longest that the fit may take to settle.
    until_settled: bool,
}

/// Passes that no training until it has settled comes to.
const ENDLESS: usize = 10_000_000;
/// A fit has settled when in the last part of its passes the loss fell by no more than the share: a measure that
/// knows neither the amount of data nor the machine.
const SETTLED: (f64, f64) = (0.2, 0.01);

/// Watches a fit until it has settled.
#[derive(Default)]
struct Fit {
    /// Passes over the data and the lowest loss so far, in the refinement; before it noise falls with the step size.
    seen: Vec<(usize, f64)>,
    settled: bool,
}

impl Fit {
    fn settled(&mut self, epoch: usize, record: &Record) -> bool {
        if record.method != Method::Refinement {
            return false;
        }
        let least = self.seen.last().map_or(f64::INFINITY, |s| s.1);
        self.seen.push((epoch, least.min(record.loss)));
        let start = (epoch as f64 * (1.0 - SETTLED.0)) as usize;
        let before = self.seen.partition_point(|s| s.0 <= start);
        if let (Some(then), Some(now)) = (before.checked_sub(1), self.seen.last()) {
            self.settled = now.1 > (1.0 - SETTLED.1) * self.seen[then].1;
        }
        self.settled
    }
}

/// The loss of GPUMD without regularisation: λ_e E + λ_f F + λ_v V of the errors.
fn score(config: &NepIn, errors: &Errors) -> f64 {
    config.lambda_e * errors.energy_rmse.unwrap_or(0.0)
        + config.lambda_f * errors.force_rmse.unwrap_or(0.0)
        + config.lambda_v * errors.virial_rmse.unwrap_or(0.0)
}

/// One training of a study, and whether it came to its end; `None` if the caller ended it.
fn one(
    config: &NepIn,
    train_frames: &[Frame],
    test: &[Frame],
    init: Option<&Model>,
    how: How,
    told: &mut dyn FnMut(f64) -> ControlFlow<()>,
) -> Result<Option<(Trained, bool)>> {
    let mut ended = false;
    let mut fit = Fit::default();
    let start = Instant::now();
    let mut progress = |p: &Progress| {
        let (fraction, enough) = match how.effort {
            Effort::Budget(most) if how.until_settled => {
                let part = start.elapsed().as_secs_f64() / most.as_secs_f64().max(1e-9);
                let enough = fit.settled(p.epoch, &p.record) || part >= 1.0;
                (part.min(1.0), enough)
            }
            _ => (p.fraction, false),
        };
        ended = told(fraction).is_break();
        match ended || enough {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    };
    let (epochs, budget) = match how.effort {
        Effort::Budget(_) if how.until_settled => (Some(ENDLESS), None),
        Effort::Budget(time) => (None, Some(time)),
        Effort::Epochs(n) => (Some(n), None),
    };
    let config = NepIn {
        // These would override what the study gives each training.
        seed: None,
        epochs: None,
        budget: None,
        ..config.clone()
    };
    let options = TrainOptions {
        threads: how.threads,
        epochs,
        budget,
        seed: how.seed,
        init,
        checkpoint: None,
        device: Device::Auto,
        ranks: None,
        warn: None,
        progress: Some(&mut progress),
    };
    // Without the test set: it may not choose the model that it measures.
    let mut trained = train(&config, train_frames, &[], options)?;
    if ended {
        return Ok(None);
    }
    let settled = fit.settled || trained.stop != Stop::Caller;
    trained.test = Some(nepal_train::errors(
        &trained.model,
        test,
        nepal::BackendKind::Cpu,
    )?);
    Ok(Some((trained, settled)))
}
