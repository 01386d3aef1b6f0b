//! The gradient of any function of the descriptors.

use super::arguments::{check, input, output};
use super::calculator::{Inner, nepal_calculator_t};
use super::handed::{Handed, on_atoms};
use super::status::nepal_status_t;
use super::system::{Atoms, nepal_host_list_t, nepal_structure_t};
use crate::calculator::Calculator;
use crate::error::{Error, Result};

/// Carries the gradient of a scalar Φ of the descriptors to positions and strain.
///
/// Give dΦ/dq for any Φ of the scaled descriptors of all atoms, such as a grade or a distance from
/// a training set, and get what an energy Φ would give: forces -dΦ/dr and the virial -dΦ/d(strain),
/// at the cost of one force evaluation.
///
/// Shapes: `dphi_dq` [n_atoms][dim]; `forces` [n_atoms][3] and `virial` [3][3], NULL if not wanted.
/// Units: those of Φ, per Å for forces.
///
/// Errors: as `nepal_calculator_compute`, and for a gradient that is not finite.
///
/// Threads and ownership: one thread at a time on a calculator; nothing is kept.
///
/// Source: the ordinary NEP force with dΦ/dq in the place of dE/dq.
///
/// Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nepal_calculator_contract(
    calculator: *mut nepal_calculator_t,
    structure: *const nepal_structure_t,
    dphi_dq: *const f64,
    forces: *mut f64,
    virial: *mut f64,
) -> nepal_status_t {
    // SAFETY: the caller's promises, passed on.
    unsafe {
        on_atoms(calculator, Handed::Structure(structure), |inner, atoms| {
            contract(inner, atoms, dphi_dq, [forces, virial], false)
        })
    }
}

/// `nepal_calculator_contract` with the host's own neighbour list.
///
/// Shapes: `dphi_dq` [n_local][dim]; `forces` [n_total][3], ghosts included, and `virial` [3][3],
/// NULL if not wanted. Units, errors, threads and source: as `nepal_calculator_contract`.
///
/// Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nepal_calculator_contract_list(
    calculator: *mut nepal_calculator_t,
    list: *const nepal_host_list_t,
    dphi_dq: *const f64,
    forces: *mut f64,
    virial: *mut f64,
) -> nepal_status_t {
    // SAFETY: the caller's promises, passed on.
    unsafe {
        on_atoms(calculator, Handed::List(list), |inner, atoms| {
            contract(inner, atoms, dphi_dq, [forces, virial], false)
        })
    }
}

/// Forces and virial of the energy plus Φ: `nepal_calculator_contract_list` with the energy's own gradient added to
/// `dphi_dq`.
///
/// A biased step costs one force evaluation and half of one, if Φ is of the grades or of σ, asked for before with the same
/// list; forces and the contraction cost two.
///
/// Shapes, units, threads and source: as `nepal_calculator_contract_list`.
///
/// Errors: as there; `NEPAL_STATUS_UNSUPPORTED` if the energy has parts beside that of the descriptors: a repulsion (ZBL),
/// charges, a dispersion correction. That depends on model and calculator alone, not on the atoms.
///
/// Since: 0.2.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nepal_calculator_contract_with_energy_list(
    calculator: *mut nepal_calculator_t,
    list: *const nepal_host_list_t,
    dphi_dq: *const f64,
    forces: *mut f64,
    virial: *mut f64,
) -> nepal_status_t {
    // SAFETY: the caller's promises, passed on.
    unsafe {
        on_atoms(calculator, Handed::List(list), |inner, atoms| {
            contract(inner, atoms, dphi_dq, [forces, virial], true)
        })
    }
}

/// # Safety
///
/// The arrays are as the entries say.
unsafe fn contract(
    inner: &mut Inner,
    atoms: &Atoms<'_>,
    dphi_dq: *const f64,
    [forces, virial]: [*mut f64; 2],
    with_energy: bool,
) -> Result<()> {
    let dim = inner.calculator.model().dim();
    // SAFETY: promised by the caller.
    let gradient = unsafe { input(dphi_dq, atoms.n_local().saturating_mul(dim), "dphi_dq") }?;
    if let Some(bad) = gradient.iter().position(|x| !x.is_finite()) {
        return Err(Error::invalid(format!(
            "`dphi_dq` of atom {} is {} in component {}; expected finite numbers",
            bad / dim,
            gradient[bad],
            bad % dim
        )));
    }
    for (place, name) in [(forces, "forces"), (virial, "virial")] {
        if !place.is_null() {
            check(place, 1, name)?;
        }
    }
    let carry = |calculator: &mut Calculator| match with_energy {
        true => (calculator.contract_with_energy(atoms.view(), gradient)).map(|_| ()),
        false => calculator.contract(atoms.view(), gradient).map(|_| ()),
    };
    inner.run(carry)?;
    let found = inner.calculator.contraction();
    // SAFETY: promised by the caller.
    unsafe {
        output(forces, found.forces.as_flattened(), "forces")?;
        output(virial, &found.virial, "virial")
    }
}
