//! A host's list with ghosts gives what the periodic cell gives.

use crate::calls::{Atoms, Handles, Places, init, last_error, ok};
use crate::support::close::{assert_close, assert_rows_close};
use nepal::capi::compute::*;
use nepal::capi::contract::*;
use nepal::capi::model::nepal_model_cutoff;
use nepal::capi::results::*;
use nepal::capi::status::*;
use nepal::capi::system::*;
use nepal::system::{Cell, NeighborList};
use std::collections::HashMap;
use std::ptr::null;

/// Both ways sum the same terms in another order.
const TOLERANCE: f64 = 1e-11;

/// The example's atoms with ghosts in place of periodic images, as a host has them.
pub struct Host {
    pub n_local: usize,
    pub positions: Vec<[f64; 3]>,
    pub types: Vec<i32>,
    pub owner: Vec<usize>,
    pub counts: Vec<i32>,
    pub neighbors: Vec<i32>,
    pub tags: Vec<i64>,
}

impl Host {
    /// Ghosts up to `skin` beyond the cutoff, as hosts have them.
    pub fn new(atoms: &Atoms, cutoff: f64, skin: f64) -> Self {
        let all: Vec<usize> = (0..atoms.positions.len()).collect();
        Self::of(atoms, cutoff, skin, &all)
    }

    /// What a process has to which these atoms belong.
    pub fn of(atoms: &Atoms, cutoff: f64, skin: f64, locals: &[usize]) -> Self {
        let cell = Cell::new(atoms.cell, [true; 3]).expect("a cell");
        let list = NeighborList::build(&cell, &atoms.positions, cutoff + skin).expect("a list");
        let mut host = Self {
            n_local: locals.len(),
            positions: locals.iter().map(|&i| atoms.positions[i]).collect(),
            types: locals.iter().map(|&i| atoms.types[i]).collect(),
            owner: locals.to_vec(),
            counts: Vec::new(),
            neighbors: Vec::new(),
            tags: locals.iter().map(|&i| atoms.tags[i]).collect(),
        };
        let mut ghosts: HashMap<(usize, [i32; 3]), usize> = HashMap::new();
        for &i in locals {
            let mut count = 0;
            for (j, image) in list.of(i) {
                let own = locals.binary_search(&j);
                let index = if let ([0, 0, 0], Ok(own)) = (image, own) {
                    own
                } else {
                    *ghosts.entry((j, image)).or_insert_with(|| {
                        let shift = cell.translation(image);
                        let r = atoms.positions[j];
                        host.positions
                            .push(std::array::from_fn(|a| r[a] + shift[a]));
                        host.types.push(atoms.types[j]);
                        host.tags.push(atoms.tags[j]);
                        host.owner.push(j);
                        host.owner.len() - 1
                    })
                };
                host.neighbors.push(index as i32);
                count += 1;
            }
            host.counts.push(count);
        }
        host
    }

    pub fn view(&self) -> nepal_host_list_t {
        nepal_host_list_t {
            n_local: self.n_local,
            n_total: self.positions.len(),
            positions: self.positions.as_ptr().cast(),
            types: self.types.as_ptr(),
            counts: self.counts.as_ptr(),
            neighbors: self.neighbors.as_ptr(),
            tags: self.tags.as_ptr(),
            ..init()
        }
    }

    /// Forces or virials of ghosts added to those of their atoms.
    fn folded<const N: usize>(&self, values: &[[f64; N]]) -> Vec<[f64; N]> {
        let mut sums = vec![[0.0; N]; self.n_local];
        for (value, &owner) in values.iter().zip(&self.owner) {
            for (sum, x) in sums[owner].iter_mut().zip(value) {
                *sum += x;
            }
        }
        sums
    }
}

fn cutoff(handles: &Handles) -> f64 {
    let mut cutoff = 0.0;
    // SAFETY: a live handle.
    unsafe { ok(nepal_model_cutoff(handles.model, &mut cutoff)) };
    cutoff
}

fn periodic(handles: &Handles, atoms: &Atoms) -> Places {
    let n = atoms.types.len();
    let mut places = Places::new(handles.model, n, n);
    // SAFETY: the arrays have the shapes that the header asks for.
    unsafe {
        ok(nepal_calculator_compute(
            handles.calculator,
            &atoms.view(),
            &places.view(),
        ))
    };
    places
}

fn compare(host: &Host, found: &Places, expected: &Places) {
    assert!(
        expected.energy < -30.0,
        "eight bound atoms have {}",
        expected.energy
    );
    assert_close("energy", &[found.energy], &[expected.energy], TOLERANCE);
    assert_close("energies", &found.energies, &expected.energies, TOLERANCE);
    assert_rows_close(
        "forces",
        &host.folded(&found.forces),
        &expected.forces,
        TOLERANCE,
    );
    assert_close("virial", &found.virial, &expected.virial, TOLERANCE);
    assert_rows_close(
        "virials",
        &host.folded(&found.virials),
        &expected.virials,
        TOLERANCE,
    );
    assert_close(
        "descriptors",
        &found.descriptors,
        &expected.descriptors,
        TOLERANCE,
    );
    assert_close(
        "projections",
        &found.projections,
        &expected.projections,
        TOLERANCE,
    );
    // Small singular values of the active set magnify rounding.
    for (what, a, b) in [
        ("gamma", &found.gamma, &expected.gamma),
        ("rho", &found.rho, &expected.rho),
        ("grade", &found.grade, &expected.grade),
    ] {
        assert_close(what, a, b, 1e-8);
    }
}

#[test]
fn a_flat_list_and_rows_with_marked_neighbours_equal_the_periodic_cell() {
    let (handles, atoms) = (Handles::new(), Atoms::new());
    let expected = periodic(&handles, &atoms);
    let host = Host::new(&atoms, cutoff(&handles), 1.0);
    assert!(host.positions.len() > 3 * host.n_local, "there are ghosts");
    let n_total = host.positions.len();

    let mut flat = Places::new(handles.model, host.n_local, n_total);
    // SAFETY: the arrays have the shapes that the header asks for.
    unsafe {
        ok(nepal_calculator_compute_list(
            handles.calculator,
            &host.view(),
            &flat.view(),
        ));
    }
    compare(&host, &flat, &expected);

    // As LAMMPS marks special neighbours: two bits above the index, the sign bit among them.
    let marked: Vec<i32> = host
        .neighbors
        .iter()
        .enumerate()
        .map(|(k, &j)| j | ((k as u32 % 4) << 30) as i32)
        .collect();
    let mut start = 0;
    let rows: Vec<*const i32> = host
        .counts
        .iter()
        .map(|&n| {
            let row = &marked[start..];
            start += n as usize;
            row.as_ptr()
        })
        .collect();
    let mut view = nepal_host_list_t {
        neighbors: null(),
        rows: rows.as_ptr(),
        mask: NEPAL_NEIGHBOR_MASK_LAMMPS,
        ..host.view()
    };
    let mut masked = Places::new(handles.model, host.n_local, n_total);
    // SAFETY: as above.
    unsafe {
        ok(nepal_calculator_compute_list(
            handles.calculator,
            &view,
            &masked.view(),
        ))
    };
    compare(&host, &masked, &expected);

    view.mask = 0;
    // SAFETY: as above; marked neighbours are refused before they are used.
    let status =
        unsafe { nepal_calculator_compute_list(handles.calculator, &view, &masked.view()) };
    assert_eq!(status, NEPAL_STATUS_INVALID_ARGUMENT);
    assert!(last_error().contains("neighbour"), "{}", last_error());
}

#[test]
fn forces_are_added_where_the_host_wants_it() {
    let (handles, atoms) = (Handles::new(), Atoms::new());
    let expected = periodic(&handles, &atoms).forces;
    let mut forces = vec![[1.0, 2.0, 3.0]; 8];
    let results = nepal_results_t {
        flags: NEPAL_RESULTS_ADD_FORCES,
        forces: forces.as_mut_ptr().cast(),
        ..init()
    };
    // SAFETY: the arrays have the shapes that the header asks for.
    unsafe {
        ok(nepal_calculator_compute(
            handles.calculator,
            &atoms.view(),
            &results,
        ))
    };
    for (found, expected) in forces.iter().zip(&expected) {
        let expected: [f64; 3] = std::array::from_fn(|a| expected[a] + (a + 1) as f64);
        assert_eq!(found, &expected);
    }
}

#[test]
fn contraction_with_a_list_equals_the_periodic_cell() {
    let (handles, atoms) = (Handles::new(), Atoms::new());
    let host = Host::new(&atoms, cutoff(&handles), 1.0);
    let dim = periodic(&handles, &atoms).descriptors.len() / 8;
    let gradient: Vec<f64> = (0..8 * dim).map(|k| (k as f64).sin()).collect();
    let (mut forces, mut virial) = (vec![[f64::NAN; 3]; 8], [f64::NAN; 9]);
    let (mut ghosted, mut other) = (vec![[f64::NAN; 3]; host.positions.len()], [f64::NAN; 9]);
    // SAFETY: the arrays have the shapes that the header asks for.
    unsafe {
        ok(nepal_calculator_contract(
            handles.calculator,
            &atoms.view(),
            gradient.as_ptr(),
            forces.as_mut_ptr().cast(),
            virial.as_mut_ptr(),
        ));
        ok(nepal_calculator_contract_list(
            handles.calculator,
            &host.view(),
            gradient.as_ptr(),
            ghosted.as_mut_ptr().cast(),
            other.as_mut_ptr(),
        ));
    }
    assert!(forces.as_flattened().iter().any(|f| f.abs() > 1e-3));
    assert_rows_close("forces", &host.folded(&ghosted), &forces, TOLERANCE);
    assert_close("virial", &other, &virial, TOLERANCE);
    // With the energy's own gradient beside it.
    let own = periodic(&handles, &atoms);
    for (force, own) in forces.iter_mut().zip(&own.forces) {
        force.iter_mut().zip(own).for_each(|(f, own)| *f += own);
    }
    virial
        .iter_mut()
        .zip(&own.virial)
        .for_each(|(w, own)| *w += own);
    // SAFETY: as above.
    unsafe {
        ok(nepal_calculator_contract_with_energy_list(
            handles.calculator,
            &host.view(),
            gradient.as_ptr(),
            ghosted.as_mut_ptr().cast(),
            other.as_mut_ptr(),
        ));
    }
    assert_rows_close("forces of both", &host.folded(&ghosted), &forces, TOLERANCE);
    assert_close("virial of both", &other, &virial, TOLERANCE);
}

#[test]
fn contraction_is_the_derivative_of_the_descriptors() {
    let (handles, atoms) = (Handles::new(), Atoms::new());
    let dim = periodic(&handles, &atoms).descriptors.len() / 8;
    let weight: Vec<f64> = (0..8 * dim).map(|k| (k as f64).cos()).collect();
    let phi = |atoms: &Atoms| -> f64 {
        let q = periodic(&handles, atoms).descriptors;
        q.iter().zip(&weight).map(|(q, w)| q * w).sum()
    };
    let mut forces = vec![[f64::NAN; 3]; 8];
    // SAFETY: the arrays have the shapes that the header asks for; the virial is not wanted.
    unsafe {
        ok(nepal_calculator_contract(
            handles.calculator,
            &atoms.view(),
            weight.as_ptr(),
            forces.as_mut_ptr().cast(),
            std::ptr::null_mut(),
        ));
    }
    let h = 1e-4;
    for (atom, axis) in [(0, 0), (4, 2)] {
        let moved = |shift: f64| {
            let mut atoms = Atoms::new();
            atoms.positions[atom][axis] += shift;
            phi(&atoms)
        };
        let difference = -(moved(h) - moved(-h)) / (2.0 * h);
        assert_close("force", &[forces[atom][axis]], &[difference], 1e-6);
    }
}

#[test]
fn a_list_with_the_number_of_the_last_one_is_not_read() {
    let (handles, atoms) = (Handles::new(), Atoms::new());
    let host = Host::new(&atoms, cutoff(&handles), 1.0);
    let n_total = host.positions.len();
    let compute = |view: &nepal_host_list_t| {
        let mut places = Places::new(handles.model, host.n_local, n_total);
        // SAFETY: the arrays have the shapes that the header asks for.
        let status =
            unsafe { nepal_calculator_compute_list(handles.calculator, view, &places.view()) };
        (status, places.forces)
    };
    let numbered = |generation: u64| nepal_host_list_t {
        generation,
        ..host.view()
    };
    // Alone, each atom: not what the numbers below stand for.
    let nobody = vec![0; host.n_local];
    let empty = |generation: u64| nepal_host_list_t {
        counts: nobody.as_ptr(),
        ..numbered(generation)
    };
    let (status, expected) = compute(&numbered(7));
    assert_eq!(status, NEPAL_STATUS_SUCCESS);
    assert!(expected.as_flattened().iter().any(|f| f.abs() > 1e-3));
    let unread = nepal_host_list_t {
        counts: null(),
        neighbors: null(),
        ..numbered(7)
    };
    for view in [&empty(7), &unread, &numbered(0)] {
        assert_eq!(compute(view), (NEPAL_STATUS_SUCCESS, expected.clone()));
        compute(&numbered(7));
    }
    for generation in [0, 8] {
        let (status, forces) = compute(&empty(generation));
        assert_eq!(status, NEPAL_STATUS_SUCCESS);
        assert!(forces.as_flattened().iter().all(|f| *f == 0.0));
    }
    // A list that was refused leaves no number behind.
    let refused = nepal_host_list_t {
        neighbors: null(),
        ..numbered(9)
    };
    for _ in 0..2 {
        assert_eq!(compute(&refused).0, NEPAL_STATUS_INVALID_ARGUMENT);
    }
    compute(&numbered(9));
    let fewer = nepal_host_list_t {
        n_total: n_total - 1,
        ..numbered(9)
    };
    assert_eq!(compute(&fewer).0, NEPAL_STATUS_INVALID_ARGUMENT);
    let text = last_error();
    for word in ["`generation` 9", "n_total", "a number of its own"] {
        assert!(text.contains(word), "{text}");
    }
}
