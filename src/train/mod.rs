//! Training: loss, gradients, optimiser; `nep.in` in, `nep.txt` out.
//!
//! The loss is that of GPUMD's `nep`, so that numbers compare:
//! `λ_e RMSE_e + λ_f RMSE_f + λ_v RMSE_v + L1 + L2`. A step goes down its gradient with the root
//! mean squares in the denominators taken from a running mean over recent batches, which makes the
//! gradient of a batch a sum over structures. The energies' constant shift, which GPUMD takes off
//! after each generation, is carried by the common bias throughout.
//!
//! Knows nothing of campaigns.

mod data;
mod errors;
mod evolve;
#[cfg(test)]
mod gradient_tests;
mod initial;
mod kernel;
mod keywords;
mod nep_in;
mod objective;
mod optimize;
mod outcome;
mod output;
mod precondition;
#[cfg(test)]
mod residual_tests;
mod residuals;
mod run;
mod targets;
#[cfg(test)]
mod trace_tests;

pub use errors::{Errors, Prediction, errors, predict};
pub use nep_in::{NepIn, Optimizer};
pub use outcome::{Method, Progress, Record, Stop, Trained};
pub use output::{write_loss, write_predictions};
pub use run::{ProgressCallback, TrainOptions, train};
