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
use nepal_train::{Device, Errors, NepIn, Progress, TrainOptions, Trained, train};
use std::ops::ControlFlow;
use std::time::Duration;

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

/// The loss of GPUMD without regularisation: λ_e E + λ_f F + λ_v V of the errors.
fn score(config: &NepIn, errors: &Errors) -> f64 {
    config.lambda_e * errors.energy_rmse.unwrap_or(0.0)
        + config.lambda_f * errors.force_rmse.unwrap_or(0.0)
        + config.lambda_v * errors.virial_rmse.unwrap_or(0.0)
}

/// One training of a study; `None` if the caller ended it.
fn one(
    config: &NepIn,
    train_frames: &[Frame],
    test: &[Frame],
    init: Option<&Model>,
    (effort, seed, threads): (Effort, u64, Option<usize>),
    told: &mut dyn FnMut(f64) -> ControlFlow<()>,
) -> Result<Option<Trained>> {
    let mut ended = false;
    let mut progress = |p: &Progress| {
        let go = told(p.fraction);
        ended = go.is_break();
        go
    };
    let (epochs, budget) = match effort {
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
        threads,
        epochs,
        budget,
        seed,
        init,
        checkpoint: None,
        device: Device::Auto,
        warn: None,
        progress: Some(&mut progress),
    };
    // Without the test set: it may not choose the model that it measures.
    let mut trained = train(&config, train_frames, &[], options)?;
    if ended {
        return Ok(None);
    }
    trained.test = Some(nepal_train::errors(
        &trained.model,
        test,
        nepal::BackendKind::Cpu,
    )?);
    Ok(Some(trained))
}
