//! What a training run tells while it goes on and when it ends.

use super::errors::TERMS;
use super::errors::{Errors, Prediction};
use nepal::model::Model;

/// How the parameters are changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Method {
    /// Adam on small batches.
    Descent,
    /// Levenberg–Marquardt on all data.
    Refinement,
    /// GPUMD's evolution strategy.
    Evolution,
}

impl std::fmt::Display for Method {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Descent => "Adam",
            Self::Refinement => "Levenberg-Marquardt",
            Self::Evolution => "SNES",
        })
    }
}

/// One evaluation of the whole data.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Record {
    /// Passes over the data so far; those of a refinement are counted as what they cost.
    pub epoch: usize,
    /// How the parameters were found.
    pub method: Method,
    /// Wall clock since the start of training, s.
    pub seconds: f64,
    /// GPUMD's loss.
    pub loss: f64,
    /// Its L1 term, λ_1 included.
    pub l1: f64,
    /// Its L2 term, λ_2 included.
    pub l2: f64,
    /// Root mean square errors of energy (eV/atom), force (eV/Å), virial (eV/atom) or, in its place,
    /// dipole or polarizability (per atom), total charge (e/atom), Born charges (e); 0 for none.
    pub train: [f64; TERMS],
    /// The same on the test set.
    pub test: Option<[f64; TERMS]>,
}

/// How far training is.
#[derive(Clone, Debug)]
pub struct Progress {
    /// Passes over the data so far.
    pub epoch: usize,
    /// Wall clock since the start, s.
    pub seconds: f64,
    /// Share of the run that is done, 0 to 1.
    pub fraction: f64,
    /// The latest evaluation.
    pub record: Record,
}

/// Why training ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// All epochs are done.
    Epochs,
    /// The wall clock budget is spent.
    Budget,
    /// The test error no longer falls.
    Early,
    /// The loss no longer falls.
    Converged,
    /// The errors are at or below those asked for.
    Target,
    /// The caller asked for it.
    Caller,
}

/// Result of [`crate::train`].
#[derive(Clone, Debug)]
pub struct Trained {
    /// The best model: by the test set's loss if there is one, by the training loss otherwise.
    pub model: Model,
    /// Evaluations in the order of time.
    pub history: Vec<Record>,
    /// Errors of `model` on the training frames.
    pub train: Errors,
    /// Errors of `model` on the test frames, if there are any.
    pub test: Option<Errors>,
    /// Predictions of `model` for the training frames (default for frames left out).
    pub train_predictions: Vec<Prediction>,
    /// Predictions of `model` for the test frames.
    pub test_predictions: Vec<Prediction>,
    /// Everything that was dropped, ignored or assumed.
    pub warnings: Vec<String>,
    /// Passes over the data.
    pub epochs: usize,
    /// Wall clock, s.
    pub seconds: f64,
    /// Why training ended.
    pub stop: Stop,
    /// Name of the device that computed; `None` for the processor.
    pub device: Option<String>,
}
