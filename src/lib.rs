//! Neuroevolution potentials with extrapolation grades and fragments.
//!
//! [`Calculator`] is the one front door: a [`Model`] on a backend, atoms in, energies, forces, virials
//! and grades out. [`fragment`] cuts small periodic cells around atoms that leave known ground.
//! [`capi`] offers all of it to C. What a calculator stands on comes from the crate `nepal-core` and is
//! handed on here.
#![deny(missing_docs)]
#![deny(unsafe_code)]

pub mod calculator;
#[allow(unsafe_code)]
pub mod capi;
pub mod fragment;

pub use nepal_core::{
    ActiveSet, Cell, Contraction, Element, Error, Evaluation, Frame, Model, NeighborList,
    Precision, Request, Result, Structure,
};
pub use nepal_core::{
    backend, element, error, files, grade, model, nep, posterior, sealed, simd, system, units,
};

pub use calculator::{BackendKind, Calculator, Potential};
