#![doc = include_str!("../README.md")]
#![deny(missing_docs)]
#![deny(unsafe_code)]

pub mod backend;
pub mod calculator;
#[allow(unsafe_code)]
pub mod capi;
pub mod element;
pub mod error;
pub mod files;
pub mod fragment;
pub mod grade;
pub mod model;
pub mod nep;
pub mod system;
pub mod units;

#[cfg(feature = "loop")]
pub mod campaign;
#[cfg(feature = "loop")]
pub mod explore;
#[cfg(feature = "loop")]
pub mod label;
#[cfg(feature = "loop")]
mod plot;
#[cfg(feature = "loop")]
pub mod schedule;
#[cfg(feature = "loop")]
pub mod train;

pub use backend::{BackendKind, Contraction, Evaluation, Precision, Request};
pub use calculator::{Calculator, Potential};
pub use element::Element;
pub use error::{Error, Result};
pub use grade::ActiveSet;
pub use model::Model;
pub use system::{Cell, Frame, NeighborList, Structure};
