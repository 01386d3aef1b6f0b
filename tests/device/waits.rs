//! Calls that do not wait: what the host waits for is counted by the stand-in.
#![allow(unsafe_code)]

use crate::resident::Arrays;
use crate::stand_in::stand_in;
use crate::support::gas::Uniform;
use crate::support::{self, gas};
use crate::variants::backend;
use nepal::grade::{ActiveSet, BuildOptions, Effort, Features};
use nepal::{BackendKind, Model, Precision, Request, Structure};
use nepal_cuda::{Cuda, DeviceAtoms, DeviceResults, Strided};
use std::ffi::c_long;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Waits are counted for the process: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits in this process so far: for a stream, for an event.
fn waits() -> [c_long; 2] {
    let driver = &stand_in().driver;
    let mut out = [0; 2];
    // SAFETY: the library is the stand-in, whose function has this type.
    unsafe {
        let library = libloading::Library::new(driver).unwrap();
        let count: libloading::Symbol<'_, unsafe extern "C" fn(*mut c_long, *mut c_long)> =
            library.get(b"fakeCudaWaits").unwrap();
        let [a, b] = &mut out;
        count(a, b);
    }
    out
}

fn set(model: &Model, structure: &Structure) -> Arc<ActiveSet> {
    let mut cpu = BackendKind::default_for_build().create().unwrap();
    let features = Features::collect(model, cpu.as_mut(), [structure]).unwrap();
    let built = ActiveSet::build(model, &features, &BuildOptions::default()).unwrap();
    Arc::new(built.0)
}

fn atoms<'a>(arrays: &Arrays, structure: &'a Structure, types: &[i32]) -> DeviceAtoms<'a> {
    DeviceAtoms {
        n_atoms: structure.len(),
        positions: Strided {
            address: arrays.positions.as_ptr() as u64,
            strides: arrays.strides(3),
        },
        types: types.as_ptr() as u64,
        type_map: None,
        list: None,
        new_types: false,
        compare_types: false,
        still: false,
        ahead: true,
        cell: &structure.cell,
        stream: std::ptr::null_mut(),
    }
}

fn compute(
    cuda: &mut Cuda,
    model: &Model,
    set: (&Arc<ActiveSet>, Effort),
    atoms: &DeviceAtoms<'_>,
    results: &DeviceResults,
) -> nepal::Result<()> {
    // SAFETY: on the stand-in a device array is any array, and these are as large as said.
    unsafe { cuda.compute_on_device(model, Some(set), atoms, results) }
}

/// Whether the last call made lists.
fn lists(cuda: &Cuda) -> bool {
    let times = cuda.kernel_times().unwrap();
    times.iter().any(|(name, _)| *name == "nepal_fill")
}

fn types_of(model: &Model, structure: &Structure) -> Vec<i32> {
    let types = model.types_of(&structure.elements).unwrap();
    types.into_iter().map(|t| t as i32).collect()
}

/// This process has other tests beside this one, which wait too: a process of its own counts.
#[test]
fn steps_of_dynamics_wait_for_nothing_but_new_lists() {
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args([
        "--exact",
        "waits::steps_counted",
        "--ignored",
        "--nocapture",
    ]);
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
}

#[test]
#[ignore = "run by steps_of_dynamics_wait_for_nothing_but_new_lists"]
fn steps_counted() {
    let _alone = alone();
    let model = support::model("active_set_pbte");
    let mut cuda = backend(Precision::F64);
    let mut cpu = support::calculator(&model, BackendKind::Reference);
    let mut structure = gas::rattled(model.elements(), [5, 4, 4], 3.1, [true; 3]);
    let set = set(&model, &structure);
    cpu.set_active_set(Some(Arc::clone(&set))).unwrap();
    let mut arrays = Arrays::new(&structure, true);
    let types = types_of(&model, &structure);
    let mut random = Uniform(5);
    let wanted = Request::FORCES | Request::VIRIALS | Request::GRADES;
    let velocities: Vec<[f64; 3]> = structure
        .positions
        .iter()
        .map(|_| random.vector(0.02))
        .collect();
    let (mut waited, mut made) = (Vec::new(), Vec::new());
    cuda.time_kernels(true);
    for step in 0..40 {
        for (r, v) in structure.positions.iter_mut().zip(&velocities) {
            *r = std::array::from_fn(|d| r[d] + v[d]);
        }
        arrays.place(&structure);
        let atoms = atoms(&arrays, &structure, &types);
        let results = arrays.results(false, true);
        let before = waits();
        compute(
            &mut cuda,
            &model,
            (&set, Effort::Above(1.2)),
            &atoms,
            &results,
        )
        .unwrap();
        let after = waits();
        made.push(lists(&cuda));
        waited.push([after[0] - before[0], after[1] - before[1]]);
        let expected = cpu.compute(&structure, wanted).unwrap();
        arrays.check(&format!("{step}"), expected, 0.0);
        for (found, full) in arrays.grades[2].iter().zip(&expected.grade) {
            assert_eq!(*found > 1.2, *full > 1.2, "{found} {full}");
        }
        // SAFETY: as above.
        assert!(!unsafe { cuda.finish(&model) }.unwrap() || step < 2);
    }
    println!("{waited:?}");
    // The first two steps make lists, without and with a skin, and hear how large they are; later ones make them
    // now and then, and hear what the step before has found: how far atoms moved, how large lists were.
    assert!(waited[2..].iter().all(|w| w[0] == 0), "{waited:?}");
    assert!(waited.iter().all(|w| w[1] <= 2), "{waited:?}");
    assert!(made[2..].iter().any(|made| *made), "{made:?}");
    // Who waits does so once for lists.
    let mut waited = std::collections::BTreeSet::new();
    for _ in 0..40 {
        for (r, v) in structure.positions.iter_mut().zip(&velocities) {
            *r = std::array::from_fn(|d| r[d] + v[d]);
        }
        arrays.place(&structure);
        let atoms = DeviceAtoms {
            ahead: false,
            ..atoms(&arrays, &structure, &types)
        };
        let results = arrays.results(false, false);
        let before = waits();
        compute(&mut cuda, &model, (&set, Effort::Full), &atoms, &results).unwrap();
        let after = waits();
        let expected = cpu.compute(&structure, Request::FORCES | Request::VIRIALS);
        arrays.check("waiting", expected.unwrap(), 0.0);
        waited.insert((lists(&cuda), after[0] - before[0]));
    }
    assert_eq!(Vec::from_iter(waited), [(false, 1), (true, 2)]);
    cuda.time_kernels(false);
    // In the waiting mode grades above a threshold are one wait more.
    let mut of = |grades: bool| {
        let atoms = DeviceAtoms {
            ahead: false,
            ..atoms(&arrays, &structure, &types)
        };
        let results = arrays.results(false, grades);
        let before = waits();
        let effort = Effort::Above(1.2);
        compute(&mut cuda, &model, (&set, effort), &atoms, &results).unwrap();
        waits()[0] - before[0]
    };
    of(true);
    assert_eq!(of(true) - of(false), 1);
}

/// An atom at the threshold is where the device puts it until the call is finished; all else is final.
#[test]
fn what_was_left_open_is_finished() {
    let mut cuda = backend(Precision::F64);
    let _alone = alone();
    let model = support::model("active_set_pbte");
    let structure = gas::rattled(model.elements(), [4, 4, 4], 3.1, [true; 3]);
    let known = gas::rattled(model.elements(), [3, 3, 3], 3.1, [true; 3]);
    let set = set(&model, &known);
    let types = types_of(&model, &structure);
    let mut arrays = Arrays::new(&structure, true);
    let mut run = |effort: Effort, ahead: bool, finish: bool| {
        arrays.grades.iter_mut().for_each(|g| g.fill(-1.0));
        let results = arrays.results(false, true);
        let atoms = DeviceAtoms {
            ahead,
            ..atoms(&arrays, &structure, &types)
        };
        compute(&mut cuda, &model, (&set, effort), &atoms, &results).unwrap();
        // SAFETY: as above.
        let open = finish && unsafe { cuda.finish(&model) }.unwrap();
        (arrays.grades.clone(), open)
    };
    let (full, open) = run(Effort::Full, true, true);
    assert!(!open && full[2].iter().all(|g| g.is_finite()));
    let mut sorted = full[2].clone();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted[sorted.len() / 2];
    let effort = Effort::Above(middle);
    let (waiting, open) = run(effort, false, true);
    assert!(!open);
    let (hasty, _) = run(effort, true, false);
    for (k, full) in full[2].iter().enumerate() {
        let alike = (0..3).all(|c| hasty[c][k] == waiting[c][k]);
        assert!(alike || (full - middle).abs() < 1e-6, "{k}: {full}");
    }
    let (finished, open) = run(effort, true, true);
    assert!(open);
    assert_eq!(finished, waiting);
}

/// Steps too large for lists that nobody looked at are an error afterwards, once.
#[test]
fn lists_that_were_too_old_are_an_error_at_the_next_call() {
    let mut cuda = backend(Precision::F64);
    let _alone = alone();
    let model = support::model("active_set_pbte");
    let mut structure = gas::rattled(model.elements(), [4, 4, 4], 3.1, [true; 3]);
    let set = set(&model, &structure);
    let types = types_of(&model, &structure);
    let mut cpu = support::calculator(&model, BackendKind::Reference);
    let mut arrays = Arrays::new(&structure, true);
    let effort = Effort::Full;
    for finish in [false, true] {
        let mut step = |shift: f64| {
            structure.positions[3][0] += shift;
            arrays.place(&structure);
            let results = arrays.results(false, false);
            let atoms = atoms(&arrays, &structure, &types);
            compute(&mut cuda, &model, (&set, effort), &atoms, &results)
        };
        for shift in [0.0, 0.01, 0.01, 0.4] {
            step(shift).unwrap();
        }
        let done = match finish {
            // SAFETY: as above.
            true => unsafe { cuda.finish(&model) }.map(|_| ()),
            false => step(0.0),
        };
        let text = done.unwrap_err().to_string();
        assert!(text.contains("neighbour lists"), "{text}");
        let mut step = |shift: f64| {
            structure.positions[3][0] += shift;
            arrays.place(&structure);
            let results = arrays.results(false, false);
            let atoms = atoms(&arrays, &structure, &types);
            compute(&mut cuda, &model, (&set, effort), &atoms, &results)
        };
        step(0.0).unwrap();
        let expected = cpu
            .compute(&structure, Request::FORCES | Request::VIRIALS)
            .unwrap();
        arrays.check("after an error", expected, 0.0);
    }
}

/// A cell that shrinks at once to where lists are a fifth longer than there is room for.
#[test]
fn lists_that_outgrow_their_room_are_made_again_or_are_an_error() {
    let _alone = alone();
    let model = support::model("active_set_pbte");
    for periodic in [[true; 3], [true, false, true]] {
        let mut cuda = backend(Precision::F64);
        let mut structure = gas::rattled(model.elements(), [5, 4, 4], 3.1, periodic);
        let set = set(&model, &structure);
        let types = types_of(&model, &structure);
        let mut cpu = support::calculator(&model, BackendKind::Reference);
        let mut arrays = Arrays::new(&structure, true);
        let mut step = |shrink: f64, ahead: bool, right: bool| {
            let cell = structure.cell.vectors().map(|row| row.map(|x| x * shrink));
            structure.cell = nepal::Cell::new(cell, periodic).unwrap();
            for x in structure.positions.iter_mut().flatten() {
                *x *= shrink;
            }
            arrays.place(&structure);
            let results = arrays.results(false, false);
            let atoms = DeviceAtoms {
                ahead,
                ..atoms(&arrays, &structure, &types)
            };
            compute(&mut cuda, &model, (&set, Effort::Full), &atoms, &results)?;
            let expected = cpu.compute(&structure, Request::FORCES | Request::VIRIALS);
            if right {
                arrays.check(&format!("{periodic:?} {shrink}"), expected.unwrap(), 0.0);
            }
            nepal::Result::Ok(())
        };
        for (shrink, ahead) in [(1.0, true), (0.999, true), (0.9, false), (0.998, false)] {
            step(shrink, ahead, true).unwrap();
        }
        step(0.9, true, false).unwrap();
        let text = step(1.0, true, false).unwrap_err().to_string();
        assert!(text.contains("than there was room for"), "{text}");
        step(1.0, true, true).unwrap();
    }
}
