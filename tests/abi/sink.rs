//! What the tests of the fragment callback share: a crystal with a defect, and a callback that keeps
//! what it is handed.

use crate::calls::{Atoms, Handles, Places, ok};
use crate::support::close::assert_close;
use nepal::Cell;
use nepal::capi::calculator::*;
use nepal::capi::compute::*;
use nepal::capi::fragment::*;
use nepal::capi::status::*;
use std::ffi::c_void;
use std::ptr::{null, null_mut};

/// A diamond of `n`³ cubic cells, slightly rattled, atom `DEFECT` far off its place.
pub fn crystal(n: usize) -> Atoms {
    rattled(n, 0.04)
}

/// [`crystal`] with displacements of this size, Å.
pub fn rattled(n: usize, rattle: f64) -> Atoms {
    const BASIS: [[f64; 3]; 8] = [
        [0.0, 0.0, 0.0],
        [0.0, 0.5, 0.5],
        [0.5, 0.0, 0.5],
        [0.5, 0.5, 0.0],
        [0.25, 0.25, 0.25],
        [0.25, 0.75, 0.75],
        [0.75, 0.25, 0.75],
        [0.75, 0.75, 0.25],
    ];
    let edge = 5.431;
    let mut positions = Vec::new();
    for k in 0..n * n * n {
        let shift = [k / (n * n), (k / n) % n, k % n];
        for s in BASIS {
            let index = positions.len() as f64;
            positions.push(std::array::from_fn(|a| {
                edge * (s[a] + shift[a] as f64) + rattle * (1.7 * index + 2.1 * a as f64).sin()
            }));
        }
    }
    positions[DEFECT][0] += 0.90;
    positions[DEFECT][1] += 0.40;
    let count = positions.len();
    Atoms {
        positions,
        types: vec![0; count],
        tags: (0..count as i64).map(|i| 1000 + i).collect(),
        cell: Cell::orthorhombic([edge * n as f64; 3])
            .unwrap()
            .vectors()
            .to_owned(),
    }
}

pub const DEFECT: usize = 4;

/// A fragment, copied.
pub struct Seen {
    pub atoms: Atoms,
    pub core: Vec<i32>,
    pub mask: Vec<f64>,
    pub target: usize,
    pub fragment: nepal_fragment_t,
}

/// What a callback does.
#[derive(Default)]
pub struct Sink {
    pub seen: Vec<Seen>,
    pub answer: nepal_status_t,
    /// A calculator to misuse from inside.
    pub calculator: Option<*mut nepal_calculator_t>,
    pub inside: Option<nepal_status_t>,
}

pub unsafe extern "C" fn sink(
    user: *mut c_void,
    fragment: *const nepal_fragment_t,
) -> nepal_status_t {
    // SAFETY: the pointers that the test and the library gave.
    unsafe {
        let sink = &mut *user.cast::<Sink>();
        let f = *fragment;
        let rows = |p: *const f64, n| std::slice::from_raw_parts(p.cast::<[f64; 3]>(), n).to_vec();
        sink.seen.push(Seen {
            atoms: Atoms {
                positions: rows(f.positions, f.n_atoms),
                types: std::slice::from_raw_parts(f.types, f.n_atoms).to_vec(),
                tags: std::slice::from_raw_parts(f.tags, f.n_atoms).to_vec(),
                cell: std::array::from_fn(|i| std::array::from_fn(|j| f.cell[3 * i + j])),
            },
            core: std::slice::from_raw_parts(f.core, f.n_atoms).to_vec(),
            mask: std::slice::from_raw_parts(f.mask, f.n_atoms).to_vec(),
            target: f.target,
            fragment: f,
        });
        if let Some(calculator) = sink.calculator {
            let status = nepal_calculator_set_active_set(calculator, null());
            nepal_calculator_free(calculator);
            sink.inside = Some(status);
        }
        sink.answer
    }
}

/// Sets the callback.
pub fn watch(handles: &Handles, options: &nepal_fragment_options_t, user: &mut Sink) {
    let user = (&raw mut *user).cast();
    // SAFETY: live handles; the sink outlives the calls below.
    unsafe {
        ok(nepal_calculator_set_fragment_callback(
            handles.calculator,
            options,
            Some(sink),
            user,
        ));
    }
}

pub fn counts(handles: &Handles) -> [usize; 3] {
    let [mut a, mut b, mut c] = [usize::MAX; 3];
    // SAFETY: live handles, places that exist.
    unsafe {
        ok(nepal_calculator_fragment_counts(
            handles.calculator,
            &mut a,
            &mut b,
            &mut c,
        ));
    }
    [a, b, c]
}

/// Computes the atoms, everything wanted.
pub fn compute(handles: &Handles, atoms: &Atoms) -> (nepal_status_t, Places) {
    let n = atoms.types.len();
    let mut places = Places::new(handles.model, n, n);
    let mut structure = atoms.view();
    structure.step = 77;
    // SAFETY: live handles, arrays of the right shape.
    let status =
        unsafe { nepal_calculator_compute(handles.calculator, &structure, &places.view()) };
    (status, places)
}

/// The target sees in the fragment what it sees in the simulation.
pub fn check_fragment(handles: &Handles, seen: &Seen, parent: &Atoms, found: &Places) {
    let origin = parent
        .tags
        .iter()
        .position(|&t| t == seen.fragment.target_tag)
        .unwrap();
    assert_eq!(seen.atoms.tags[seen.target], seen.fragment.target_tag);
    assert_eq!(seen.fragment.grade, found.grade[origin]);
    assert_eq!(seen.fragment.gamma, found.gamma[origin]);
    assert_eq!(seen.fragment.rho, found.rho[origin]);
    assert_eq!((seen.fragment.step, seen.fragment.periodic), (77, [1; 3]));
    assert_eq!(seen.core[seen.target], 1);
    assert!(seen.mask.iter().all(|m| (0.0..=1.0).contains(m)));
    let n = seen.atoms.types.len();
    let mut places = Places::new(handles.model, n, n);
    let mut view = places.view();
    // No grades: the callback is not called from here.
    (view.gamma, view.rho, view.grade) = (null_mut(), null_mut(), null_mut());
    // SAFETY: live handles, arrays of the right shape.
    unsafe {
        ok(nepal_calculator_compute(
            handles.calculator,
            &seen.atoms.view(),
            &view,
        ))
    };
    let dim = places.descriptors.len() / n;
    let of = |places: &Places, i: usize| places.descriptors[i * dim..][..dim].to_vec();
    assert_close(
        "descriptors of the target",
        &of(&places, seen.target),
        &of(found, origin),
        1e-9,
    );
}
