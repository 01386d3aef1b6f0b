//! Energies, forces, virials, features and grades.

use super::calculator::{Inner, nepal_calculator_t};
use super::deliver::{Knowledge, deliver};
use super::guard::guard;
use super::handle;
use super::options;
use super::ranks::Ranks;
use super::results::nepal_results_t;
use super::status::nepal_status_t;
use super::system::{Atoms, nepal_host_list_t, nepal_structure_t};
use crate::backend::{Request, System};
use crate::error::Result;
use crate::system::NeighborList;

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
    guard(|| {
        // SAFETY: the caller's promises, passed on.
        unsafe {
            handle::exclusive(calculator, |inner| {
                let results = options::read(results)?;
                let structure = options::read(structure)?;
                let atoms = Atoms::of_structure(&structure, inner.calculator.model())?;
                if inner.calculator.finds_neighbors() {
                    evaluate_atoms(inner, &atoms, &results)?;
                } else {
                    // In a trajectory one list serves many steps.
                    let mut kept = std::mem::take(&mut inner.neighbors);
                    let cutoff = inner.calculator.model().cutoff();
                    let done = kept
                        .update(&atoms.cell, atoms.positions, cutoff)
                        .and_then(|list| evaluate(inner, &atoms, list, &results));
                    inner.neighbors = kept;
                    done?;
                }
                if inner.serves(&results)? {
                    deliver(inner, &atoms, None, &Ranks::default())?;
                }
                results.write(inner.calculator.results())
            })
        }
    })
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
    guard(|| {
        // SAFETY: the caller's promises, passed on.
        unsafe {
            handle::exclusive(calculator, |inner| {
                let results = options::read(results)?;
                let host = options::read(list)?;
                let ranks = std::mem::take(&mut inner.ranks);
                let done = compute_list(inner, &host, &results, &ranks);
                inner.ranks = ranks;
                done
            })
        }
    })
}

/// # Safety
///
/// The arrays are as the structs say.
unsafe fn compute_list(
    inner: &mut Inner,
    host: &nepal_host_list_t,
    results: &nepal_results_t,
    ranks: &Ranks,
) -> Result<()> {
    let together = inner.serves(results)?;
    let mut asked = false;
    // SAFETY: promised by the caller.
    let done = unsafe {
        with_host_list(inner, host, |inner, atoms, list| {
            evaluate(inner, atoms, list, results)?;
            if together {
                asked = true;
                let reach = host.known;
                deliver(inner, atoms, Some(Knowledge { reach }), ranks)?;
            }
            results.write(inner.calculator.results())
        })
    };
    match done {
        // The others wait to hear from this rank.
        Err(error) if together && !asked => ranks.agree(Err(error)).map(|_| ()),
        done => done,
    }
}

impl Inner {
    /// True if a computation of these results also cuts fragments.
    fn serves(&self, results: &nepal_results_t) -> Result<bool> {
        Ok(self.hook.is_some() && results.wants_fragments()?)
    }
}

/// Runs `body` with a host's list in the memory that the calculator keeps for it.
///
/// # Safety
///
/// The arrays are as [`nepal_host_list_t`] says.
pub(super) unsafe fn with_host_list(
    inner: &mut Inner,
    host: &nepal_host_list_t,
    body: impl FnOnce(&mut Inner, &Atoms<'_>, &NeighborList) -> Result<()>,
) -> Result<()> {
    let mut list = std::mem::take(&mut inner.list);
    // SAFETY: promised by the caller.
    let result = unsafe { Atoms::of_list(host, inner.calculator.model(), &mut list) }
        .and_then(|atoms| body(inner, &atoms, &list));
    inner.list = list;
    result
}

/// What has to be computed for the results.
fn wanted(inner: &Inner, results: &nepal_results_t) -> Result<Request> {
    let mut request = results.request()?;
    if inner.serves(results)? {
        // What the active set learns from.
        request |= Request::PROJECTIONS;
    }
    results.check()?;
    Ok(request)
}

/// Computes what the results ask for; the backend finds the neighbours.
fn evaluate_atoms(inner: &mut Inner, atoms: &Atoms<'_>, results: &nepal_results_t) -> Result<()> {
    let request = wanted(inner, results)?;
    let found = crate::backend::Atoms {
        cell: &atoms.cell,
        positions: atoms.positions,
        types: &atoms.types,
    };
    let calculator = &mut inner.calculator;
    inner
        .threads
        .run(|| calculator.compute_atoms(&found, request))
}

/// Computes what the results ask for.
fn evaluate(
    inner: &mut Inner,
    atoms: &Atoms<'_>,
    list: &NeighborList,
    results: &nepal_results_t,
) -> Result<()> {
    let request = wanted(inner, results)?;
    let system = System {
        cell: &atoms.cell,
        positions: atoms.positions,
        types: &atoms.types,
        neighbors: list,
    };
    let calculator = &mut inner.calculator;
    let compute = || calculator.compute_system(&system, request).map(|_| ());
    inner.threads.run(compute)
}
