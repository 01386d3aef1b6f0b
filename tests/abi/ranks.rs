//! Several processes, here threads, agree on fragments; fragments in files; gradients of grades.

use crate::calls::{Atoms, Handles, Places, c, init, last_error, ok};
use crate::sink::{DEFECT, Seen, Sink, crystal, sink};
use crate::support::close::assert_close;
use nepal::capi::calculator::nepal_calculator_t;
use nepal::capi::compute::*;
use nepal::capi::contract::*;
use nepal::capi::fragment::*;
use nepal::capi::fragment_file::*;
use nepal::capi::grade::*;
use nepal::capi::grade_gradient::*;
use nepal::capi::model::nepal_model_cutoff;
use nepal::capi::ranks::*;
use nepal::capi::status::*;
use nepal::capi::system::*;
use nepal::system::xyz;
use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::{Barrier, Mutex};

/// Half the edge of the cube from which fragments are cut, Å.
const KNOWN: f64 = 10.5137;

/// One process's part of a periodic system, with ghosts.
struct Part {
    n_local: usize,
    positions: Vec<[f64; 3]>,
    types: Vec<i32>,
    tags: Vec<i64>,
    counts: Vec<i32>,
    neighbors: Vec<i32>,
}

impl Part {
    /// The slab number `rank` of `n_ranks` across x, atoms in another order on each.
    fn new(atoms: &Atoms, cutoff: f64, rank: usize, n_ranks: usize) -> Self {
        let edges: [f64; 3] = std::array::from_fn(|a| atoms.cell[a][a]);
        let width = edges[0] / n_ranks as f64;
        let low = [rank as f64 * width, 0.0, 0.0];
        let high = [low[0] + width, edges[1], edges[2]];
        let inside = |r: &[f64; 3]| (low[0]..high[0]).contains(&r[0]);
        let all = 0..atoms.positions.len();
        let mut locals: Vec<usize> = all
            .clone()
            .filter(|&i| inside(&atoms.positions[i]))
            .collect();
        if rank % 2 == 1 {
            locals.reverse();
        }
        let mut part = Self {
            n_local: locals.len(),
            positions: locals.iter().map(|&i| atoms.positions[i]).collect(),
            types: vec![0; locals.len()],
            tags: locals.iter().map(|&i| atoms.tags[i]).collect(),
            counts: Vec::new(),
            neighbors: Vec::new(),
        };
        for i in all {
            for image in 0..27 {
                let shift = [image / 9 - 1, image / 3 % 3 - 1, image % 3 - 1];
                let r: [f64; 3] =
                    std::array::from_fn(|a| atoms.positions[i][a] + f64::from(shift[a]) * edges[a]);
                let near =
                    (0..3).all(|a| r[a] > low[a] - KNOWN - 1.0 && r[a] < high[a] + KNOWN + 1.0);
                if near && !(shift == [0; 3] && inside(&r)) {
                    part.positions.push(r);
                    part.types.push(0);
                    part.tags.push(atoms.tags[i]);
                }
            }
        }
        for i in 0..part.n_local {
            let before = part.neighbors.len();
            for (j, r) in part.positions.iter().enumerate() {
                let square: f64 = (0..3).map(|a| (r[a] - part.positions[i][a]).powi(2)).sum();
                if j != i && square < cutoff * cutoff {
                    part.neighbors.push(j as i32);
                }
            }
            part.counts.push((part.neighbors.len() - before) as i32);
        }
        part
    }

    fn view(&self) -> nepal_host_list_t {
        nepal_host_list_t {
            n_local: self.n_local,
            n_total: self.positions.len(),
            positions: self.positions.as_ptr().cast(),
            types: self.types.as_ptr(),
            counts: self.counts.as_ptr(),
            neighbors: self.neighbors.as_ptr(),
            tags: self.tags.as_ptr(),
            step: 12,
            known: KNOWN,
            ..init()
        }
    }
}

/// What threads exchange through.
pub struct Wire {
    barrier: Barrier,
    bytes: Mutex<HashMap<usize, Vec<u8>>>,
}

impl Wire {
    pub fn new(n_ranks: usize) -> Self {
        Self {
            barrier: Barrier::new(n_ranks),
            bytes: Mutex::default(),
        }
    }
}

pub struct Member<'a> {
    pub wire: &'a Wire,
    pub rank: usize,
    pub n_ranks: usize,
}

pub unsafe extern "C" fn gather(
    user: *mut c_void,
    send: *const c_void,
    bytes: usize,
    receive: *mut c_void,
) -> nepal_status_t {
    // SAFETY: the pointers that the test and the library gave.
    unsafe {
        let member = &*user.cast::<Member>();
        let mine = std::slice::from_raw_parts(send.cast::<u8>(), bytes).to_vec();
        member.wire.bytes.lock().unwrap().insert(member.rank, mine);
        member.wire.barrier.wait();
        for rank in 0..member.n_ranks {
            let all = member.wire.bytes.lock().unwrap();
            receive
                .cast::<u8>()
                .add(rank * bytes)
                .copy_from(all[&rank].as_ptr(), bytes);
        }
        member.wire.barrier.wait();
    }
    0
}

pub unsafe extern "C" fn broadcast(
    user: *mut c_void,
    root: i32,
    data: *mut c_void,
    bytes: usize,
) -> nepal_status_t {
    // SAFETY: as above.
    unsafe {
        let member = &*user.cast::<Member>();
        if member.rank == root as usize {
            let mine = std::slice::from_raw_parts(data.cast::<u8>(), bytes).to_vec();
            member.wire.bytes.lock().unwrap().insert(0, mine);
        }
        member.wire.barrier.wait();
        if member.rank != root as usize {
            let all = member.wire.bytes.lock().unwrap();
            assert_eq!(all[&0].len(), bytes, "the ranks talk past each other");
            data.cast::<u8>().copy_from(all[&0].as_ptr(), bytes);
        }
        member.wire.barrier.wait();
    }
    0
}

/// What a thread saw: statuses and texts of its calls, and fragments.
type Story = (Vec<(nepal_status_t, String)>, Vec<Cut>);

/// A fragment: name and grade of its target, and its atoms.
struct Cut {
    tag: i64,
    grade: f64,
    atoms: Atoms,
}

/// Computes `rounds` times on so many threads; `spoil` may change a part.
fn run(n_ranks: usize, rounds: usize, spoil: impl Fn(usize, &mut Part) + Sync) -> Vec<Story> {
    let wire = Wire::new(n_ranks);
    let (wire, spoil) = (&wire, &spoil);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..n_ranks)
            .map(|rank| {
                scope.spawn(move || {
                    let handles = Handles::new();
                    let mut cutoff = 0.0;
                    let member = Member {
                        wire,
                        rank,
                        n_ranks,
                    };
                    let ranks = nepal_ranks_t {
                        rank: rank as i32,
                        n_ranks: n_ranks as i32,
                        gather: Some(gather),
                        broadcast: Some(broadcast),
                        user_data: (&raw const member).cast_mut().cast(),
                        ..init()
                    };
                    let mut user = Sink::default();
                    // SAFETY: live handles, things that outlive the calls below.
                    unsafe {
                        ok(nepal_model_cutoff(handles.model, &mut cutoff));
                        ok(nepal_calculator_set_ranks(handles.calculator, &ranks));
                        ok(nepal_calculator_set_fragment_callback(
                            handles.calculator,
                            &init(),
                            Some(sink),
                            (&raw mut user).cast(),
                        ));
                    }
                    let mut part = Part::new(&crystal(4), cutoff + 0.5, rank, n_ranks);
                    spoil(rank, &mut part);
                    let n_total = part.positions.len();
                    let mut places = Places::new(handles.model, part.n_local, n_total);
                    let told = (0..rounds)
                        .map(|_| {
                            // SAFETY: arrays of the right shape.
                            let status = unsafe {
                                nepal_calculator_compute_list(
                                    handles.calculator,
                                    &part.view(),
                                    &places.view(),
                                )
                            };
                            (status, last_error())
                        })
                        .collect();
                    let cut = |seen: Seen| Cut {
                        tag: seen.fragment.target_tag,
                        grade: seen.fragment.grade,
                        atoms: seen.atoms,
                    };
                    (told, user.seen.into_iter().map(cut).collect())
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("the thread ends well"))
            .collect()
    })
}

#[test]
fn fragments_do_not_depend_on_the_number_of_processes() {
    let collect = |n_ranks| {
        let mut seen = Vec::new();
        for (told, mine) in run(n_ranks, 4, |_, _| {}) {
            assert!(told.iter().all(|(status, _)| *status == 0), "{told:?}");
            seen.extend(mine);
        }
        seen.sort_by_key(|s: &Cut| s.tag);
        seen
    };
    let one = collect(1);
    assert!(one.len() > 1, "several rounds cut several fragments");
    assert!(one.iter().any(|s| s.tag == 1000 + DEFECT as i64));
    for n_ranks in [2, 3] {
        let many = collect(n_ranks);
        assert_eq!(many.len(), one.len());
        for (a, b) in many.iter().zip(&one) {
            assert_eq!(a.tag, b.tag);
            assert_close("grade", &[a.grade], &[b.grade], 1e-7);
            assert_eq!(a.atoms.tags, b.atoms.tags);
            assert_close(
                "positions",
                a.atoms.positions.as_flattened(),
                b.atoms.positions.as_flattened(),
                1e-9,
            );
        }
    }
}

#[test]
fn a_failure_of_one_process_is_told_to_all() {
    let stories = run(3, 1, |rank, part| {
        if rank == 1 {
            part.positions[0][2] = f64::NAN;
        }
    });
    for (rank, (told, seen)) in stories.iter().enumerate() {
        let (status, text) = &told[0];
        let expected = match rank {
            1 => NEPAL_STATUS_INVALID_ARGUMENT,
            _ => NEPAL_STATUS_FAILED,
        };
        assert_eq!(*status, expected, "{text}");
        assert!(text.contains("atom 0 has the position"), "{text}");
        assert!(seen.is_empty());
    }
}

#[test]
fn senseless_ranks_are_refused() {
    let handles = Handles::new();
    let good = nepal_ranks_t {
        n_ranks: 2,
        gather: Some(gather),
        broadcast: Some(broadcast),
        ..init()
    };
    for bad in [
        nepal_ranks_t { rank: 2, ..good },
        nepal_ranks_t { rank: -1, ..good },
        nepal_ranks_t { n_ranks: 0, ..good },
        nepal_ranks_t {
            gather: None,
            ..good
        },
    ] {
        // SAFETY: live handles.
        let status = unsafe { nepal_calculator_set_ranks(handles.calculator, &bad) };
        assert_eq!(status, NEPAL_STATUS_INVALID_ARGUMENT);
    }
}

#[test]
fn fragments_are_appended_to_a_file() {
    let (handles, atoms) = (Handles::new(), crystal(4));
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("fragments.xyz");
    let name = c(path.to_str().expect("UTF-8"));
    let set = |path: &std::ffi::CStr| {
        let calculator = handles.calculator;
        // SAFETY: live handles, a text that ends with NUL.
        unsafe { nepal_calculator_set_fragment_file(calculator, &init(), path.as_ptr()) }
    };
    let absent = c("/nowhere/at/all.xyz");
    assert_eq!(set(&absent), NEPAL_STATUS_IO);
    assert!(last_error().contains("/nowhere/at"), "{}", last_error());
    ok(set(&name));
    let n = atoms.types.len();
    let mut places = Places::new(handles.model, n, n);
    let mut delivered = 0;
    for round in 1..=2 {
        let mut structure = atoms.view();
        structure.step = 100 * round;
        // SAFETY: arrays of the right shape, places that exist.
        unsafe {
            ok(nepal_calculator_compute(
                handles.calculator,
                &structure,
                &places.view(),
            ));
            let mut others = [0; 2];
            let [a, b] = &mut others;
            ok(nepal_calculator_fragment_counts(
                handles.calculator,
                &mut delivered,
                a,
                b,
            ));
        }
    }
    let frames = xyz::read_frames(&path).expect("whole frames");
    assert!(delivered > 0);
    assert_eq!(frames.len(), delivered);
    let info = &frames[0].info;
    assert_eq!(info["step"], "100");
    assert_eq!(info["grade_kind"], "ridge");
    assert_eq!(info["parent_atom"], (1000 + DEFECT).to_string());
    let target: usize = info["target"].parse().expect("an index");
    assert!(frames[0].force_mask.as_ref().expect("a mask")[target] > 0.0);
    // NULL ends it.
    // SAFETY: live handles.
    unsafe {
        let calculator = handles.calculator;
        ok(nepal_calculator_set_fragment_file(
            calculator,
            &init(),
            std::ptr::null(),
        ));
        ok(nepal_calculator_compute(
            calculator,
            &atoms.view(),
            &places.view(),
        ));
    }
    assert_eq!(xyz::read_frames(&path).expect("frames").len(), delivered);
}

/// Sum of a measure over all atoms, and its gradient with respect to the descriptors.
fn measured(calculator: *mut nepal_calculator_t, atoms: &Atoms, dim: usize) -> (f64, Vec<f64>) {
    let n = atoms.types.len();
    let (mut values, mut gradient) = (vec![f64::NAN; n], vec![f64::NAN; n * dim]);
    // SAFETY: arrays of the right shape.
    unsafe {
        ok(nepal_calculator_grade_gradient(
            calculator,
            &atoms.view(),
            NEPAL_MEASURE_SMOOTH,
            4.0,
            values.as_mut_ptr(),
            gradient.as_mut_ptr(),
        ));
    }
    (values.iter().sum(), gradient)
}

#[test]
fn the_gradient_of_grades_contracts_to_forces() {
    let (handles, atoms) = (Handles::new(), Atoms::new());
    let dim = Places::new(handles.model, 8, 8).descriptors.len() / 8;
    let (sum, gradient) = measured(handles.calculator, &atoms, dim);
    assert!(sum > 1.0, "{sum}");
    let mut forces = [[f64::NAN; 3]; 8];
    // SAFETY: arrays of the right shape; the virial is not wanted.
    unsafe {
        ok(nepal_calculator_contract(
            handles.calculator,
            &atoms.view(),
            gradient.as_ptr(),
            forces.as_mut_ptr().cast(),
            std::ptr::null_mut(),
        ));
    }
    let h = 1e-4;
    for (atom, axis) in [(4, 0), (1, 2)] {
        let moved = |shift: f64| {
            let mut atoms = Atoms::new();
            atoms.positions[atom][axis] += shift;
            measured(handles.calculator, &atoms, dim).0
        };
        let difference = -(moved(h) - moved(-h)) / (2.0 * h);
        assert_close("force", &[forces[atom][axis]], &[difference], 1e-5);
    }
    // A measure that does not exist, an exponent that belongs to none.
    for (measure, exponent) in [
        (0, 0.0),
        (5, 0.0),
        (NEPAL_MEASURE_GAMMA, 2.0),
        (NEPAL_MEASURE_SMOOTH, 1.0),
    ] {
        // SAFETY: as above; refused before anything is written.
        let status = unsafe {
            nepal_calculator_grade_gradient(
                handles.calculator,
                &atoms.view(),
                measure,
                exponent,
                forces.as_mut_ptr().cast(),
                forces.as_mut_ptr().cast(),
            )
        };
        assert_eq!(status, NEPAL_STATUS_INVALID_ARGUMENT);
    }
}
