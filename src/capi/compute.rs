//! Energies, forces, virials, features and grades.

use super::calculator::{Inner, nepal_calculator_t};
use super::deliver::deliver;
use super::handed::{Handed, with_atoms};
use super::handle;
use super::options;
use super::peers;
use super::ranks::Ranks;
use super::results::nepal_results_t;
use super::status::nepal_status_t;
use super::system::{Atoms, nepal_host_list_t, nepal_structure_t};
use crate::backend::Request;
use crate::error::Result;

/// Evaluates atoms in a cell; nepal builds the neighbour list, and keeps it while the atoms move
/// little from one call to the next.
///
/// Cells may be smaller than the cutoff. Shapes and units: see the structs.
///
/// Errors: `NEPAL_STATUS_INVALID_ARGUMENT` for a type or an element that the model does not know,
/// positions that are not finite, a flat cell, grades without an active set; a negative status of
/// the fragment callback, untouched. Results are then not written.
///
/// Threads and ownership: one thread at a time on a calculator; no pointer is kept.
///
/// Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nepal_calculator_compute(
    calculator: *mut nepal_calculator_t,
    structure: *const nepal_structure_t,
    results: *const nepal_results_t,
) -> nepal_status_t {
    // SAFETY: the caller's promises, passed on.
    unsafe {
        handle::call(calculator, |inner| {
            let results = options::read(results)?;
            compute(
                inner,
                Handed::Structure(structure),
                &results,
                &Ranks::default(),
            )
        })
    }
}

/// Evaluates local atoms with the host's own neighbour list; forces come back on ghosts too.
///
/// The sum of the results of all processes is that of the whole system: energies belong to local
/// atoms only, and forces on a ghost are added to its atom by the host. Shapes and units: see the
/// structs.
///
/// Errors: as `nepal_calculator_compute`, and for a neighbour that does not exist or is the atom
/// itself.
///
/// Threads and ownership: as `nepal_calculator_compute`.
///
/// Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nepal_calculator_compute_list(
    calculator: *mut nepal_calculator_t,
    list: *const nepal_host_list_t,
    results: *const nepal_results_t,
) -> nepal_status_t {
    // SAFETY: the caller's promises, passed on.
    unsafe {
        handle::call(calculator, |inner| {
            let results = options::read(results)?;
            let ranks = std::mem::take(&mut inner.ranks);
            let done = compute(inner, Handed::List(list), &results, &ranks);
            ranks.resume();
            inner.ranks = ranks;
            done
        })
    }
}

/// Ranks that are in this together hear of each other's failures, panics included: none waits for one
/// that left.
///
/// # Safety
///
/// The arrays are as the structs say.
unsafe fn compute(
    inner: &mut Inner,
    handed: Handed,
    results: &nepal_results_t,
    ranks: &Ranks,
) -> Result<()> {
    let cuts = inner.serves(results)?;
    let shared = (inner.shares(handed, results)?).then_some(ranks);
    ranks.told();
    let mut asked = false;
    let done = ranks.caught(|| {
        // SAFETY: promised by the caller.
        unsafe {
            with_atoms(inner, handed, |inner, atoms| {
                evaluate(inner, atoms, results, shared)?;
                asked = cuts || shared.is_some();
                if cuts {
                    deliver(inner, atoms, ranks)?;
                }
                results.write(inner.calculator.results())
            })
        }
    });
    match done {
        // The others wait to hear from this rank.
        Err(error) if (cuts || shared.is_some()) && !asked && !ranks.told() => {
            ranks.agree(Err(error)).map(|_| ())
        }
        done => done,
    }
}

impl Inner {
    /// True if a computation of these results also cuts fragments.
    fn serves(&self, results: &nepal_results_t) -> Result<bool> {
        Ok(self.hook.is_some() && results.wants_fragments()?)
    }

    /// True if a computation of these results sums over all processes.
    fn shares(&self, handed: Handed, results: &nepal_results_t) -> Result<bool> {
        Ok(matches!(handed, Handed::List(_))
            && (self.calculator.model().kind().is_long_ranged()
                || self.calculator.dispersion().is_some())
            && !results.request()?.contains(Request::WITHOUT_ENERGIES))
    }
}

/// Computes what the results ask for; with ranks, all of them together.
fn evaluate(
    inner: &mut Inner,
    atoms: &Atoms<'_>,
    results: &nepal_results_t,
    ranks: Option<&Ranks>,
) -> Result<()> {
    let mut request = results.request()?;
    if inner.serves(results)? {
        // What the active set learns from.
        request |= Request::PROJECTIONS;
    }
    results.check(inner.calculator.model())?;
    inner.calculator.set_conditions(results.conditions()?);
    let Some(ranks) = ranks else {
        return inner.run(|calculator| calculator.compute(atoms.view(), request).map(|_| ()));
    };
    peers::run(inner, ranks, atoms, |calculator, peers| {
        let view = atoms.shared(Some(peers));
        calculator.compute(view, request).map(|_| ())
    })?;
    // One may have failed after the last sum.
    ranks.agree(Ok(None)).map(|_| ())
}
