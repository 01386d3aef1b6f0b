//! What nepal stands on: models, atoms and their neighbours, evaluation on the processor, grades.
//!
//! Users take the crate `nepal`, which hands all of this on and has the calculator, fragments and
//! the C ABI. Layers, each of which may use those before it: [`error`], [`element`], [`units`] and
//! [`files`]; [`system`]; [`model`] and [`nep`]; [`backend`], [`grade`] and [`posterior`], which do not
//! know each other.
#![deny(missing_docs)]
#![deny(unsafe_code)]

pub mod backend;
pub mod element;
pub mod error;
mod features;
pub mod files;
pub mod grade;
pub mod model;
pub mod nep;
pub mod posterior;
pub mod sealed;
pub mod simd;
pub mod system;
pub mod units;

pub use backend::{Contraction, Evaluation, Precision, Request};
pub use element::Element;
pub use error::{Error, Result};
pub use grade::ActiveSet;
pub use model::Model;
pub use system::{Cell, Frame, NeighborList, Structure};
