//! Gradients of grades, carried to positions and strain.

use super::arguments::{check, optional, output};
use super::calculator::{Inner, nepal_calculator_t};
use super::handed::{Handed, on_atoms};
use super::status::nepal_status_t;
use super::system::{Atoms, nepal_host_list_t, nepal_structure_t};
use crate::calculator::Calculator;
use crate::error::{Error, Result};
use crate::grade::Measure;

/// γ: the length of the coefficients c, in compatible sets the largest |c|. Since: 0.1.
pub const NEPAL_MEASURE_GAMMA: u32 = 1;
/// ρ: the part of the features outside the active rows; infinite for compatible sets. Since: 0.1.
pub const NEPAL_MEASURE_RHO: u32 = 2;
/// The grade as it is reported: √(γ² + ρ²), in compatible sets γ. Since: 0.1.
pub const NEPAL_MEASURE_TOTAL: u32 = 3;
/// A smooth form of the grade: of compatible sets ‖c‖_p, where `exponent` is p, at least 2; in the ridge form
/// the grade itself, which is smooth. Since: 0.1.
pub const NEPAL_MEASURE_SMOOTH: u32 = 4;

/// Carries the gradient of Φ = Σ w_i g_i, a weighted sum of the atoms' grades, to positions and
/// strain.
///
/// For any other function Φ of grades give its derivatives dΦ/dg_i as the weights; for functions of
/// the descriptors use `nepal_calculator_contract`.
///
/// Shapes: `weights` [n_atoms], NULL for ones; `values` [n_atoms] the g_i, `forces` [n_atoms][3] and
/// `virial` [3][3], NULL if not wanted. `measure` is one of `NEPAL_MEASURE_...`; `exponent` counts
/// for `NEPAL_MEASURE_SMOOTH` alone and is 0 for the others. Units: forces -dΦ/dr in 1/Å; virial -dΦ/d(strain).
///
/// Errors: as `nepal_calculator_compute`; without an active set; for an unknown measure, an exponent
/// below 2 or weights that are not finite.
///
/// Threads and ownership: one thread at a time on a calculator; nothing is kept.
///
/// Source: differentiation of the B projection.
///
/// Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nepal_calculator_contract_grade(
    calculator: *mut nepal_calculator_t,
    structure: *const nepal_structure_t,
    measure: u32,
    exponent: f64,
    weights: *const f64,
    values: *mut f64,
    forces: *mut f64,
    virial: *mut f64,
) -> nepal_status_t {
    let out = [values, forces, virial];
    // SAFETY: the caller's promises, passed on.
    unsafe {
        on_atoms(calculator, Handed::Structure(structure), |inner, atoms| {
            contract(inner, atoms, (measure, exponent), weights, out)
        })
    }
}

/// `nepal_calculator_contract_grade` with the host's own neighbour list.
///
/// Shapes: `weights` and `values` [n_local]; `forces` [n_total][3], ghosts included, and `virial`
/// [3][3]. Units, errors, threads and source: as `nepal_calculator_contract_grade`.
///
/// Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nepal_calculator_contract_grade_list(
    calculator: *mut nepal_calculator_t,
    list: *const nepal_host_list_t,
    measure: u32,
    exponent: f64,
    weights: *const f64,
    values: *mut f64,
    forces: *mut f64,
    virial: *mut f64,
) -> nepal_status_t {
    let out = [values, forces, virial];
    // SAFETY: the caller's promises, passed on.
    unsafe {
        on_atoms(calculator, Handed::List(list), |inner, atoms| {
            contract(inner, atoms, (measure, exponent), weights, out)
        })
    }
}

/// The measure that C chose, with its exponent.
pub(super) fn measure_of((measure, exponent): (u32, f64)) -> Result<Measure> {
    let plain = match measure {
        NEPAL_MEASURE_GAMMA => Measure::Gamma,
        NEPAL_MEASURE_RHO => Measure::Rho,
        NEPAL_MEASURE_TOTAL => Measure::Total,
        NEPAL_MEASURE_SMOOTH => return Ok(Measure::Smooth { p: exponent }),
        other => {
            return Err(Error::invalid(format!(
                "`measure` is {other}; expected one of NEPAL_MEASURE_..., 1 to 4"
            )));
        }
    };
    if exponent != 0.0 {
        return Err(Error::invalid(format!(
            "`exponent` is {exponent}; it belongs to NEPAL_MEASURE_SMOOTH and is 0 for the others"
        )));
    }
    Ok(plain)
}

/// # Safety
///
/// The arrays are as the entries say.
unsafe fn contract(
    inner: &mut Inner,
    atoms: &Atoms<'_>,
    measure: (u32, f64),
    weights: *const f64,
    [values, forces, virial]: [*mut f64; 3],
) -> Result<()> {
    let measure = measure_of(measure)?;
    let count = atoms.n_local();
    // SAFETY: promised by the caller.
    let weights = unsafe { optional(weights, count, "weights") }?;
    if let Some(bad) = weights.and_then(|w| w.iter().position(|x| !x.is_finite())) {
        return Err(Error::invalid(format!(
            "the weight of atom {bad} is not finite; expected finite numbers"
        )));
    }
    for (place, name) in [(values, "values"), (forces, "forces"), (virial, "virial")] {
        if !place.is_null() {
            check(place, 1, name)?;
        }
    }
    let weigh = |_: &[f64]| weights.map_or_else(|| vec![1.0; count], <[f64]>::to_vec);
    let carry =
        |calculator: &mut Calculator| calculator.contract_grade(atoms.view(), measure, weigh);
    let measures = inner.run(carry)?;
    let found = inner.calculator.contraction();
    // SAFETY: promised by the caller.
    unsafe {
        output(values, &measures, "values")?;
        output(forces, found.forces.as_flattened(), "forces")?;
        output(virial, &found.virial, "virial")
    }
}
