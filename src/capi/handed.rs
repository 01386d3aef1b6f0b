//! Systems in the two ways that C hands them over, ready for a calculator.

use super::calculator::{Inner, nepal_calculator_t};
use super::status::nepal_status_t;
use super::system::{Atoms, nepal_host_list_t, nepal_structure_t};
use super::{handle, options};
use crate::error::Result;

/// What an entry got.
#[derive(Clone, Copy)]
pub(super) enum Handed {
    /// Atoms in a cell; the calculator finds the neighbours.
    Structure(*const nepal_structure_t),
    /// Local atoms and ghosts with the host's own list.
    List(*const nepal_host_list_t),
}

/// Runs `body` with the atoms that C handed over; a host's list is in the memory that is kept for it.
///
/// # Safety
///
/// The struct is as its documentation says.
pub(super) unsafe fn with_atoms<R>(
    inner: &mut Inner,
    handed: Handed,
    body: impl FnOnce(&mut Inner, &Atoms<'_>) -> Result<R>,
) -> Result<R> {
    match handed {
        Handed::Structure(structure) => {
            // SAFETY: promised by the caller.
            let atoms = unsafe {
                let structure = options::read(structure)?;
                Atoms::of_structure(&structure, inner.calculator.model())?
            };
            body(inner, &atoms)
        }
        Handed::List(host) => {
            let mut list = std::mem::take(&mut inner.list);
            // SAFETY: promised by the caller.
            let result = unsafe {
                options::read(host)
                    .and_then(|host| Atoms::of_list(&host, inner.calculator.model(), &mut list))
            }
            .and_then(|atoms| {
                let list = Some(&list.list);
                body(inner, &Atoms { list, ..atoms })
            });
            inner.list = list;
            result
        }
    }
}

/// An entry of a calculator that does something with atoms.
///
/// # Safety
///
/// As for [`with_atoms`], and the calculator is a handle that nepal made.
pub(super) unsafe fn on_atoms(
    calculator: *mut nepal_calculator_t,
    handed: Handed,
    body: impl FnOnce(&mut Inner, &Atoms<'_>) -> Result<()>,
) -> nepal_status_t {
    // SAFETY: promised by the caller.
    unsafe { handle::call(calculator, |inner| with_atoms(inner, handed, body)) }
}
