//! Models with charges and dispersion where a host has the list: one process with ghosts, and several,
//! here threads, each with a part of the atoms.

use crate::calls::{Atoms, c, init, last_error, ok};
use crate::host_list::Host;
use crate::ranks::{Member, Wire, broadcast, gather};
use crate::support::close::{assert_close, assert_rows_close};
use crate::support::{calculator, data, gas, model};
use nepal::capi::calculator::*;
use nepal::capi::compute::*;
use nepal::capi::dispersion::*;
use nepal::capi::model::*;
use nepal::capi::ranks::*;
use nepal::capi::results::*;
use nepal::capi::status::*;
use nepal::nep::d3::D3;
use nepal::{BackendKind, Evaluation, Request, Structure};
use std::ffi::c_void;
use std::ptr::null_mut;

const MODELS: [&str; 5] = [
    "water_qnep_mode1",
    "synthetic_variants/nep4_charge2",
    "synthetic_variants/nep4_charge3",
    "synthetic_variants/nep4_vdw",
    "synthetic_variants/nep4_charge_vdw",
];

/// Both ways sum the same terms in another order.
const TOLERANCE: f64 = 1e-10;

/// A process: what it exchanges through, and its atoms.
struct Process<'a> {
    member: Member<'a>,
    host: &'a Host,
}

unsafe extern "C" fn gather_for(
    user: *mut c_void,
    send: *const c_void,
    bytes: usize,
    receive: *mut c_void,
) -> nepal_status_t {
    // SAFETY: a member begins a process.
    unsafe { gather(member(user), send, bytes, receive) }
}

unsafe extern "C" fn broadcast_for(
    user: *mut c_void,
    root: i32,
    data: *mut c_void,
    bytes: usize,
) -> nepal_status_t {
    // SAFETY: as above.
    unsafe { broadcast(member(user), root, data, bytes) }
}

fn member(user: *mut c_void) -> *mut c_void {
    // SAFETY: the process that the test gave.
    unsafe { (&raw mut (*user.cast::<Process>()).member).cast() }
}

unsafe extern "C" fn sum(user: *mut c_void, numbers: *mut f64, n: usize) -> nepal_status_t {
    // SAFETY: the pointers that the test and the library gave.
    unsafe {
        let n_ranks = (*user.cast::<Process>()).member.n_ranks;
        let numbers = std::slice::from_raw_parts_mut(numbers, n);
        let mut all = vec![0.0; n * n_ranks];
        gather_for(
            user,
            numbers.as_ptr().cast(),
            8 * n,
            all.as_mut_ptr().cast(),
        );
        for (k, x) in numbers.iter_mut().enumerate() {
            *x = (0..n_ranks).map(|rank| all[rank * n + k]).sum();
        }
    }
    0
}

/// As a host that knows the owners of its ghosts.
unsafe extern "C" fn forward(user: *mut c_void, numbers: *mut f64) -> nepal_status_t {
    // SAFETY: as above.
    unsafe {
        let Process { member, host } = &*user.cast::<Process>();
        let numbers = std::slice::from_raw_parts_mut(numbers, host.owner.len());
        let mut own = vec![0.0; 1000];
        for (x, &owner) in numbers[..host.n_local].iter().zip(&host.owner) {
            own[owner] = *x;
        }
        let mut all = vec![0.0; 1000 * member.n_ranks];
        gather_for(user, own.as_ptr().cast(), 8000, all.as_mut_ptr().cast());
        for (x, &owner) in numbers.iter_mut().zip(&host.owner).skip(host.n_local) {
            *x = (0..member.n_ranks)
                .map(|rank| all[1000 * rank + owner])
                .sum();
        }
    }
    0
}

/// How the processes are set up.
#[derive(Clone, Copy, Debug)]
struct Setup {
    folder: &'static str,
    backend: u32,
    n_ranks: usize,
    /// Whether the host sums and forwards itself.
    helps: bool,
    mesh_error: f64,
    /// With D3 of these cutoffs.
    d3: Option<[f64; 2]>,
}

/// What the processes say together, with statuses and texts of each.
fn run(
    setup: Setup,
    structure: &Structure,
    spoil: impl Fn(usize, &mut Host) + Sync,
) -> (Evaluation, Vec<(nepal_status_t, String)>) {
    let (n_ranks, n) = (setup.n_ranks, structure.len());
    let wire = Wire::new(n_ranks);
    let (wire, spoil) = (&wire, &spoil);
    let parts: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..n_ranks)
            .map(|rank| scope.spawn(move || part(setup, rank, wire, structure, spoil)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("the thread ends well"))
            .collect()
    });
    let mut whole = Evaluation {
        energies: vec![0.0; n],
        forces: vec![[0.0; 3]; n],
        virials: vec![[0.0; 9]; n],
        charges: vec![0.0; n],
        born_charges: vec![[0.0; 9]; n],
        ..Evaluation::default()
    };
    let mut told = Vec::new();
    for (found, owner, status) in parts {
        told.push(status);
        whole.energy += found.energy;
        (whole.virial.iter_mut().zip(found.virial)).for_each(|(to, w)| *to += w);
        for (to, from) in [
            (&mut whole.energies, &found.energies),
            (&mut whole.charges, &found.charges),
        ] {
            from.iter().zip(&owner).for_each(|(x, &i)| to[i] += x);
        }
        for (rows, &i) in found.forces.iter().zip(&owner) {
            (0..3).for_each(|a| whole.forces[i][a] += rows[a]);
        }
        for (to, from) in [
            (&mut whole.virials, &found.virials),
            (&mut whole.born_charges, &found.born_charges),
        ] {
            for (row, &i) in from.iter().zip(&owner) {
                (0..9).for_each(|a| to[i][a] += row[a]);
            }
        }
    }
    (whole, told)
}

fn part(
    setup: Setup,
    rank: usize,
    wire: &Wire,
    structure: &Structure,
    spoil: impl Fn(usize, &mut Host),
) -> (Evaluation, Vec<usize>, (nepal_status_t, String)) {
    let n_ranks = setup.n_ranks;
    let path = data(&format!("{}/nep.txt", setup.folder));
    let (mut handle, mut calculator) = (null_mut(), null_mut());
    let mut cutoff = 0.0;
    let options = nepal_calculator_options_t {
        backend: setup.backend,
        threads: 2,
        ..init()
    };
    // SAFETY: a text that ends with NUL, places that exist.
    unsafe {
        ok(nepal_model_load(
            c(path.to_str().unwrap()).as_ptr(),
            &mut handle,
        ));
        ok(nepal_model_cutoff(handle, &mut cutoff));
        ok(nepal_calculator_new(handle, &options, &mut calculator));
        if let Some([pairs, counted]) = setup.d3 {
            let name = c("PBE");
            ok(nepal_calculator_set_dftd3(
                calculator,
                name.as_ptr(),
                pairs,
                counted,
            ));
            cutoff = f64::max(cutoff, pairs.max(counted));
        }
    }
    let types = model(setup.folder).types_of(&structure.elements).unwrap();
    let atoms = Atoms {
        positions: structure.positions.clone(),
        types: types.iter().map(|&t| t as i32).collect(),
        cell: *structure.cell.vectors(),
        tags: (0..structure.len() as i64).map(|i| 7 * i + 3).collect(),
    };
    // Of three processes the first has no atom.
    let owns = |i: usize| match n_ranks {
        3 => 1 + i % 2,
        n => i % n,
    };
    let locals: Vec<usize> = (0..structure.len()).filter(|&i| owns(i) == rank).collect();
    let mut host = Host::of(&atoms, cutoff, 0.4, &locals);
    spoil(rank, &mut host);
    let member = Member {
        wire,
        rank,
        n_ranks,
    };
    let process = Process {
        member,
        host: &host,
    };
    let ranks = nepal_ranks_t {
        rank: rank as i32,
        n_ranks: n_ranks as i32,
        gather: Some(gather_for),
        broadcast: Some(broadcast_for),
        sum: setup.helps.then_some(sum as _),
        forward: setup.helps.then_some(forward as _),
        user_data: (&raw const process).cast_mut().cast(),
        ..init()
    };
    let (n_local, n_total) = (host.n_local, host.positions.len());
    let charged = setup.folder.contains("charge") || setup.folder.contains("qnep");
    let with = |n: usize| if charged { n } else { 0 };
    let mut out = Evaluation {
        energies: vec![0.0; n_local],
        forces: vec![[0.0; 3]; n_total],
        virials: vec![[0.0; 9]; n_total],
        charges: vec![0.0; with(n_local)],
        born_charges: vec![[0.0; 9]; with(n_total)],
        ..Evaluation::default()
    };
    let mut results = nepal_results_t {
        energy: &mut out.energy,
        energies: out.energies.as_mut_ptr(),
        forces: out.forces.as_mut_ptr().cast(),
        virial: out.virial.as_mut_ptr(),
        virials: out.virials.as_mut_ptr().cast(),
        mesh_error: setup.mesh_error,
        ..init()
    };
    if charged {
        results.charges = out.charges.as_mut_ptr();
        results.born_charges = out.born_charges.as_mut_ptr().cast();
    }
    let mut list = host.view();
    list.cell = atoms.cell.as_ptr().cast();
    if setup.helps {
        list.tags = std::ptr::null();
    }
    // SAFETY: live handles, arrays of the right shape.
    let told = unsafe {
        if n_ranks > 1 || setup.helps {
            ok(nepal_calculator_set_ranks(calculator, &ranks));
        }
        let status = nepal_calculator_compute_list(calculator, &list, &results);
        (status, last_error())
    };
    // SAFETY: made above, freed once.
    unsafe {
        nepal_calculator_free(calculator);
        nepal_model_free(handle);
    }
    (out, host.owner.clone(), told)
}

fn structure(folder: &str) -> Structure {
    gas::rattled(model(folder).elements(), [4, 3, 3], 2.9, [true; 3])
}

fn expected(folder: &str, d3: Option<[f64; 2]>) -> Evaluation {
    let model = model(folder);
    let mut wanted = Request::FORCES | Request::VIRIAL | Request::VIRIALS;
    wanted |= nepal::backend::available(&model) & (Request::CHARGES | Request::BORN_CHARGES);
    let mut calculator = calculator(&model, BackendKind::Reference);
    let d3 = d3.map(|[pairs, counted]| D3::new("pbe", pairs, counted).expect("known"));
    calculator.set_dispersion(d3).expect("elements with D3");
    calculator
        .compute(&structure(folder), wanted)
        .unwrap_or_else(|e| panic!("{e}"))
        .clone()
}

fn compare(setup: Setup, expected: &Evaluation, tolerance: f64) {
    let (found, told) = run(setup, &structure(setup.folder), |_, _| {});
    assert!(
        told.iter().all(|(status, _)| *status == 0),
        "{setup:?}: {told:?}"
    );
    let named = |what: &str| format!("{what} {setup:?}");
    let numbers = [
        ("energies", &found.energies, &expected.energies),
        ("charges", &found.charges, &expected.charges),
    ];
    for (what, a, b) in numbers {
        assert_close(&named(what), &a[..b.len()], b, tolerance);
    }
    assert_close(
        &named("energy"),
        &[found.energy],
        &[expected.energy],
        tolerance,
    );
    assert_close(&named("virial"), &found.virial, &expected.virial, tolerance);
    assert_rows_close(&named("forces"), &found.forces, &expected.forces, tolerance);
    assert_rows_close(
        &named("virials"),
        &found.virials,
        &expected.virials,
        tolerance,
    );
    let n = expected.born_charges.len();
    let born = &found.born_charges[..n];
    assert_rows_close(
        &named("Born charges"),
        born,
        &expected.born_charges,
        tolerance,
    );
}

#[test]
fn charges_do_not_depend_on_the_number_of_processes() {
    for folder in MODELS {
        let expected = expected(folder, None);
        assert!(expected.forces.as_flattened().iter().any(|f| f.abs() > 0.1));
        for (backend, n_ranks, helps) in [
            (NEPAL_BACKEND_CPU, 1, false),
            (NEPAL_BACKEND_CPU, 1, true),
            (NEPAL_BACKEND_CPU, 2, true),
            (NEPAL_BACKEND_CPU, 4, false),
            (NEPAL_BACKEND_CPU, 3, true),
            (NEPAL_BACKEND_REFERENCE, 2, false),
        ] {
            let setup = Setup {
                folder,
                backend,
                n_ranks,
                helps,
                mesh_error: -1.0,
                d3: None,
            };
            compare(setup, &expected, TOLERANCE);
        }
        let setup = Setup {
            folder,
            backend: NEPAL_BACKEND_CPU,
            n_ranks: 3,
            helps: false,
            mesh_error: 1e-10,
            d3: None,
        };
        compare(setup, &expected, 1e-8);
    }
}

#[test]
fn d3_does_not_depend_on_the_number_of_processes() {
    let d3 = Some([9.0, 7.0]);
    for folder in ["pbte_nep_train", "water_qnep_mode1"] {
        let expected = expected(folder, d3);
        for (n_ranks, helps) in [(1, false), (3, true), (4, false)] {
            let setup = Setup {
                folder,
                backend: NEPAL_BACKEND_CPU,
                n_ranks,
                helps,
                mesh_error: -1.0,
                d3,
            };
            compare(setup, &expected, TOLERANCE);
        }
    }
}

#[test]
fn what_is_missing_for_sums_is_said_on_all_processes() {
    let setup = |n_ranks| Setup {
        folder: MODELS[0],
        backend: NEPAL_BACKEND_CPU,
        n_ranks,
        helps: false,
        mesh_error: 0.0,
        d3: None,
    };
    let atoms = structure(MODELS[0]);
    // A position before the first sum, a name of a ghost between two.
    let nan = |rank: usize, host: &mut Host| {
        if rank == 1 {
            host.positions[0][2] = f64::NAN;
        }
    };
    let stranger = |rank: usize, host: &mut Host| {
        if rank == 1 {
            *host.tags.last_mut().unwrap() = -5;
        }
    };
    let cases: [(&(dyn Fn(usize, &mut Host) + Sync), &str); 2] = [
        (&nan, "atom 0 has the position"),
        (&stranger, "has the tag -5"),
    ];
    for (spoil, words) in cases {
        let (_, told) = run(setup(3), &atoms, spoil);
        for (rank, (status, text)) in told.iter().enumerate() {
            let expected = match rank {
                1 => NEPAL_STATUS_INVALID_ARGUMENT,
                _ => NEPAL_STATUS_FAILED,
            };
            assert_eq!(*status, expected, "{text}");
            assert!(text.contains(words), "{text}");
        }
    }
}
