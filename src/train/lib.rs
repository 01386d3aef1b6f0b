//! Training: loss, gradients, optimiser; `nep.in` in, `nep.txt` out.
//!
//! The loss is that of GPUMD's `nep`, so that numbers compare:
//! `λ_e RMSE_e + λ_f RMSE_f + λ_v RMSE_v + L1 + L2`. A step goes down its gradient with the root
//! mean squares in the denominators taken from a running mean over recent batches, which makes the
//! gradient of a batch a sum over structures. The energies' constant shift, which GPUMD takes off
//! after each generation, is carried by the common bias throughout.
//!
//! Knows nothing of campaigns.
#![deny(missing_docs)]
#![deny(unsafe_code)]

mod charges;
mod conditions;
mod data;
mod errors;
mod evolve;
mod external;
#[cfg(test)]
mod gradient_tests;
mod initial;
mod kernel;
mod least_squares;
mod nep_in;
mod objective;
mod optimize;
mod outcome;
pub mod outliers;
mod output;
pub mod posterior;
mod precondition;
pub mod ranks;
pub mod record;
pub mod reference;
#[cfg(test)]
mod residual_tests;
mod residuals;
mod restart;
mod robust;
mod run;
#[doc(hidden)]
pub mod split;
mod targets;
#[cfg(test)]
mod trace_tests;

pub use conditions::conditions;
pub use data::BadData;
pub use errors::{Errors, Prediction, errors, predict};
pub use external::{ExternalOptions, train_with_gpumd};
pub use least_squares::LeastSquares;
pub use nep_in::{EnergyReference, Layer, NepIn, Optimizer};
pub use objective::device::Device;
pub use outcome::{Method, Progress, Record, Stop, Trained};
pub use output::{prediction_files, read_errors, read_loss, write_loss, write_predictions};
pub use ranks::Ranks;
pub use restart::Restart;
pub use robust::RobustLoss;
pub use run::{ProgressCallback, TrainOptions, train};
pub use targets::TERMS;
