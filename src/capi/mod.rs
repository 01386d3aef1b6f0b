//! The C ABI and nothing else: handles, statuses, callbacks, the panic guard.
//!
//! `include/nepal.h` is generated from this folder and says what a C programmer needs to know. No
//! physics here: every function checks what C handed over and calls the Rust API.
//!
//! Safety of all exported functions: each pointer is NULL or points at what its documentation
//! says, for as long as the call lasts.

// The contract above is that of every entry; the header says it once as well.
#![allow(clippy::missing_safety_doc, non_camel_case_types)]
// Shapes are written as C programmers read them, [n_atoms][3], which rustdoc takes for links.
#![allow(rustdoc::broken_intra_doc_links)]

pub mod active_set;
pub mod build;
pub mod calculator;
pub mod compute;
pub mod contract;
pub mod device;
pub mod dispersion;
pub mod effort;
pub mod fragment;
pub mod fragment_around;
pub mod fragment_file;
pub mod grade;
pub mod grade_gradient;
pub mod learn;
pub mod model;
pub mod posterior;
pub mod ranks;
pub mod results;
pub mod sigma;
pub mod status;
pub mod system;
pub mod version;

mod arguments;
mod deliver;
mod delivery;
mod guard;
mod handed;
mod handle;
mod options;
mod peers;
mod text;
mod threads;
