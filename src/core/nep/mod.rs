//! The mathematics of NEP as pure functions, derivative beside value.
//!
//! Source throughout: Fan et al., Phys. Rev. B 104, 104309 (2021); J. Phys.: Condens. Matter 34,
//! 125902 (2022); J. Chem. Phys. 157, 114801 (2022). Knows nothing of atoms in memory or threads.

pub mod angular;
pub mod bell;
pub mod d3;
pub mod invariants;
pub mod linear;
pub mod long_range;
pub mod network;
pub mod radial;
pub mod scalar;
pub mod zbl;
