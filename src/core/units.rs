//! Physical constants and unit conversions.
//!
//! nepal computes in LAMMPS metal units throughout: Å, eV, ps, K, e, atomic mass units. Masses
//! enter the equations of motion in eV ps²/Å², through [`MASS`].
//!
//! Source: CODATA 2018 (exact SI definitions where they exist).

/// Boltzmann constant in eV/K.
pub const BOLTZMANN: f64 = 8.617333262145179e-5;
/// Reduced Planck constant in eV ps.
pub const HBAR: f64 = 6.582119569509067e-4;
/// One atomic mass unit in eV ps²/Å².
pub const MASS: f64 = 1.0364269656262175e-4;
/// One eV/Å³ in GPa.
pub const EV_PER_A3_IN_GPA: f64 = 160.2176634;
/// One eV/Å³ in bar.
pub const EV_PER_A3_IN_BAR: f64 = 1.602176634e6;
/// One hartree in eV.
pub const HARTREE: f64 = 27.211386245988;
/// One bohr in Å.
pub const BOHR: f64 = 0.529177210903;
/// Coulomb constant e²/(4πε₀) in eV Å, the six decimals used by every NEP program's ZBL term.
pub const COULOMB: f64 = 14.399645;
