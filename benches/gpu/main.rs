//! Speed of the CUDA backend on the device at hand; needs a driver and NVRTC, nothing else: models
//! are in the program, structures are generated.
//!
//! `gpu [--out FOLDER] [--sizes 10000,100000] [--systems PbTe,carbon] [--minutes 18] [--quick]`: checks
//! first, then times force steps, force steps with grades in every step and in every tenth, small
//! systems before large ones, the choice of rows of largest volume, and
//! the derivatives that training takes of the PbTe training set; what is known is in `gpu.json`
//! and `gpu.md` in the folder after every step, and what fails is told there and does not stop the rest.
//! After so many minutes nothing new is begun. `--quick` is a trial: small yardsticks, few steps.
//! `--floor` only says what every step has to compute and to move. `--compile 90` compiles the kernels
//! of all systems for devices of compute capability 9.0 and keeps them in `NEPAL_KERNEL_CACHE`, with
//! `--models FOLDER` those of the models in it too; it needs no device. Without a device nothing is
//! timed or written, the reason is told, and the status is 3; it is 1 if a check failed. `--device` only
//! says which device there is, `--only training` leaves out the rest.
//! `--arrays check` (with `--models`, of more models) and `--arrays time` work on arrays that lie on the device,
//! and print a line for each case at once. `--sets FOLDER` keeps active sets there, made with `--compile`.

mod arrays;
mod floor;
mod on_arrays;
mod report;
mod selection;
mod systems;
mod training;

use nepal::backend::{Atoms, Backend};
use nepal::grade::{ActiveSet, Effort, GradeColumns, Grader};
use nepal::{BackendKind, Calculator, Evaluation, Model, Precision, Request, Structure};
use nepal_cuda::{Cuda, Options};
use rayon::prelude::*;
use report::{Report, Row};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;
use systems::System;

/// Steps that are timed, after some that are not.
const STEPS: usize = 30;
const WARM: usize = 4;
/// Seconds of steps after which a system has been timed enough, if that many steps were.
const LIMIT: f64 = 10.0;
const FEWEST: u32 = 10;
/// Atoms above this grade are asked for.
const THRESHOLD: f64 = 2.0;
/// Models that the tests have in mixed precision too (tests/device/variants.rs and grades.rs), by folder.
const MIXED: [&str; 6] = [
    "active_set_pbte",
    "pbte_nep_train",
    "unep_v1_16_metals",
    "nep4_all_higher_body",
    "nep4_two_hidden_layers",
    "nep5_zbl",
];
/// Steps between grades; none at first.
const EVERY: [usize; 3] = [0, 1, 10];
/// Thermal amplitude of a step, Å: lists last some ten steps, as in dynamics at 300 K with 1 fs
/// they last longer.
const MOVE: f64 = 0.02;

fn main() {
    let mut out = PathBuf::from(".");
    let mut sizes = vec![10_000, 100_000, 1_000_000, 10_000_000];
    let mut arguments = std::env::args().skip(1);
    let (mut floor_only, mut quick, mut compile) = (false, false, None);
    let mut names = String::new();
    let mut minutes = 18.0;
    let mut models = None;
    let mut probe = false;
    let (mut on_arrays, mut sets_folder, mut only) = (None, None, None);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--out" => out = arguments.next().expect("--out FOLDER").into(),
            "--sizes" => {
                let list = arguments.next().expect("--sizes N,N,...");
                let parsed = list
                    .split(',')
                    .map(|n| n.parse().expect("a number of atoms"));
                sizes = parsed.collect();
            }
            "--systems" => names = arguments.next().expect("--systems NAME,NAME,..."),
            "--compile" => {
                let capability = arguments.next().expect("--compile CAPABILITY");
                compile = Some(capability.parse::<u32>().expect("10 major + minor"));
            }
            "--models" => models = Some(PathBuf::from(arguments.next().expect("--models FOLDER"))),
            "--minutes" => {
                let text = arguments.next().expect("--minutes N");
                minutes = text.parse().expect("a number of minutes");
            }
            "--arrays" => on_arrays = Some(arguments.next().expect("--arrays check|time")),
            "--sets" => sets_folder = Some(PathBuf::from(arguments.next().expect("--sets FOLDER"))),
            "--only" => only = Some(arguments.next().expect("--only training")),
            "--device" => probe = true,
            "--quick" => quick = true,
            "--floor" => floor_only = true,
            // What `cargo bench` adds.
            "--bench" => {}
            other => panic!("unknown argument {other}; see the head of benches/gpu/main.rs"),
        }
    }
    let mut systems = systems::all();
    if !names.is_empty() {
        systems.retain(|system| names.split(',').any(|name| name == system.name));
    }
    if let Some(capability) = compile {
        const BOTH: [Precision; 2] = [Precision::F64, Precision::Mixed];
        let mut all: Vec<(Arc<Model>, Precision)> = Vec::new();
        for system in &systems {
            all.extend(BOTH.map(|precision| (Arc::clone(&system.model), precision)));
        }
        for (name, model) in models.iter().flat_map(|folder| systems::below(folder)) {
            let precisions = if MIXED.contains(&name.as_str()) {
                &BOTH[..]
            } else {
                &BOTH[..1]
            };
            all.extend(precisions.iter().map(|&p| (Arc::clone(&model), p)));
        }
        all.par_iter().for_each(|(model, precision)| {
            let options = Options::from_environment(0);
            nepal_cuda::precompile(model, *precision, capability, &options)
                .unwrap_or_else(|e| panic!("{e}"));
        });
        if let Some(folder) = sets_folder {
            for system in &systems {
                system.kept_set(Some(&folder), quick);
            }
        }
        return;
    }
    if floor_only {
        print!("{}", report::floors(&systems));
        return;
    }
    let mut cuda = match Cuda::new(Options::from_environment(0), Precision::Mixed) {
        Ok(cuda) => cuda,
        Err(e) => {
            eprintln!("NOT MEASURED: {e}");
            std::process::exit(3);
        }
    };
    let started = Instant::now();
    let (name, arch) = cuda.device();
    let device = format!("{name}, compute capability {}.{}", arch / 10, arch % 10);
    println!("{device}");
    if probe {
        return;
    }
    if let Some(what) = on_arrays {
        drop(cuda);
        let done = match what.as_str() {
            "check" => on_arrays::check(systems, models.as_deref(), sets_folder.as_deref(), quick),
            _ => on_arrays::time(&systems, &sizes, sets_folder.as_deref(), quick),
        };
        std::process::exit(i32::from(!done));
    }
    let mut report = Report::new(&out, device);
    if only.is_some() {
        match guarded(|| Ok(training::measure(&systems[0], quick))) {
            Ok(trained) => report.trained(trained),
            Err(e) => report.failed(format!("derivatives of training: {e}")),
        }
        report.write();
        report.told();
        std::process::exit(i32::from(report.wrong()));
    }
    for system in &systems {
        for precision in [Precision::F64, Precision::Mixed] {
            report.check(guarded(|| check(system, precision)));
        }
    }
    match guarded(|| Ok(peaks(&mut cuda, &systems[0], quick))) {
        Ok(peaks) => report.peaks(peaks),
        Err(e) => report.failed(format!("the yardsticks: {e}")),
    }
    drop(cuda);
    match guarded(|| Ok(training::measure(&systems[0], quick))) {
        Ok(trained) => report.trained(trained),
        Err(e) => report.failed(format!("derivatives of training: {e}")),
    }
    let late = || started.elapsed().as_secs_f64() > 60.0 * minutes;
    let mut sets: BTreeMap<&str, Arc<ActiveSet>> = BTreeMap::new();
    for (k, &size) in sizes.iter().enumerate() {
        for system in &systems {
            for every in EVERY {
                let name = format!(
                    "{} with about {size} atoms, grades every {every}",
                    system.name
                );
                if late() {
                    report.failed(format!("{name}: no time left"));
                    continue;
                }
                let set = sets
                    .entry(system.name)
                    .or_insert_with(|| system.kept_set(sets_folder.as_deref(), quick));
                let steps = if quick { 2 } else { STEPS };
                match guarded(|| measure(system, set, size, every, steps)) {
                    Ok(row) => report.row(row),
                    Err(e) => report.failed(format!("{name}: {e}")),
                }
            }
        }
        // The largest systems come last of all.
        if k + 2 == sizes.len() || sizes.len() == 1 {
            for case in selection::cases(quick) {
                if late() {
                    report.failed(format!("{}: no time left", case.name));
                    continue;
                }
                match guarded(|| selection::measure(&case)) {
                    Ok(chosen) => report.selection(chosen),
                    Err(e) => report.failed(format!("{}: {e}", case.name)),
                }
            }
        }
    }
    report.write();
    report.told();
    if report.wrong() {
        std::process::exit(1);
    }
}

/// What a step gives, or why not: what panics fails, and no more.
fn guarded<T>(step: impl FnOnce() -> nepal::Result<T>) -> Result<T, String> {
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(step)) {
        Ok(done) => done.map_err(|e| e.to_string()),
        Err(reason) => Err(reason
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| reason.downcast_ref::<&str>().map(|&s| s.to_owned()))
            .unwrap_or_else(|| "a panic".into())),
    }
}

/// Compares the device with the reference backend, and two runs bit by bit.
fn check(system: &System, precision: Precision) -> nepal::Result<String> {
    let wanted = Request::FORCES | Request::VIRIAL | Request::VIRIALS | Request::DESCRIPTORS;
    let tolerance = match precision {
        Precision::F64 => 1e-10,
        _ => 1e-4,
    };
    let structure = system.crystal(100);
    let model = &system.model;
    let mut reference = Calculator::new(Arc::clone(model), BackendKind::Reference)?;
    let expected = reference.compute(&structure, wanted)?;
    let run = || -> nepal::Result<Evaluation> {
        let mut cuda = Calculator::with_precision(Arc::clone(model), BackendKind::Cuda, precision)?;
        Ok(cuda.compute(&structure, wanted)?.clone())
    };
    let (found, again) = (run()?, run()?);
    assert_eq!(found.forces, again.forces, "a repeat differs");
    let far = |a: &[f64], b: &[f64]| {
        let scale = b.iter().fold(1.0f64, |m, x| m.max(x.abs()));
        let errors = a.iter().zip(b).map(|(a, b)| (a - b).abs() / scale);
        assert_eq!(a.len(), b.len());
        // NaN is as wrong as can be.
        errors.fold(0.0f64, |m, x| if x.is_nan() { x } else { m.max(x) })
    };
    let worst = [
        far(&found.energies, &expected.energies),
        far(found.forces.as_flattened(), expected.forces.as_flattened()),
        far(
            found.virials.as_flattened(),
            expected.virials.as_flattened(),
        ),
        far(&found.virial, &expected.virial),
        far(&found.descriptors, &expected.descriptors),
    ];
    let name = system.name;
    assert!(
        worst.iter().all(|w| *w <= tolerance),
        "{name} {precision:?}: differs from the reference by {worst:?}"
    );
    let largest = worst.into_iter().fold(0.0, f64::max);
    Ok(format!(
        "{name} {precision:?}: differs from the reference by {largest:.1e} at most (allowed {tolerance:.0e})"
    ))
}

/// Bytes per second and single-precision operations per second of the device.
fn peaks(cuda: &mut Cuda, system: &System, quick: bool) -> [f64; 2] {
    let shrink = if quick { 14 } else { 0 };
    let structure = system.crystal(100);
    evaluate(cuda, system, &structure, &mut Evaluation::default());
    cuda.exercise(2, shrink).unwrap_or_else(|e| panic!("{e}"));
    cuda.time_kernels(true);
    let work = cuda.exercise(10, shrink).unwrap_or_else(|e| panic!("{e}"));
    let times = cuda.kernel_times().unwrap_or_else(|e| panic!("{e}"));
    ["nepal_copy", "nepal_multiply_add"]
        .map(|name| {
            let own = times.iter().filter(|(n, _)| *n == name).map(|(_, ms)| *ms);
            own.fold(f64::INFINITY, f64::min)
        })
        .iter()
        .zip(work)
        .map(|(ms, work)| work / (ms * 1e-3))
        .collect::<Vec<_>>()
        .try_into()
        .expect("two")
}

fn evaluate(cuda: &mut Cuda, system: &System, structure: &Structure, out: &mut Evaluation) {
    let types = system.types(structure);
    let atoms = Atoms {
        cell: &structure.cell,
        positions: &structure.positions,
        types: &types,
    };
    cuda.evaluate_atoms(&system.model, &atoms, Request::FORCES, out)
        .unwrap_or_else(|e| panic!("{e}"));
}

/// Times steps of a moving crystal of about so many atoms, with grades every so many steps.
fn measure(
    system: &System,
    set: &Arc<ActiveSet>,
    size: usize,
    every: usize,
    steps: usize,
) -> nepal::Result<Row> {
    let structure = system.crystal(size);
    let types = system.types(&structure);
    let mut cuda = Cuda::new(Options::from_environment(0), Precision::Mixed)?;
    let mut positions = structure.positions.clone();
    let mut out = Evaluation::default();
    let (mut wall, mut total) = (Vec::new(), 0.0);
    let mut kernels: BTreeMap<&'static str, f64> = BTreeMap::new();
    let mut random = systems::Random(5);
    let mut timed = 0;
    for step in 0..WARM + steps {
        if total > LIMIT && timed >= FEWEST {
            break;
        }
        for (r, home) in positions.iter_mut().zip(&structure.positions) {
            // A walk bound to the sites.
            for d in 0..3 {
                r[d] += MOVE * (random.next() - 0.5) - 0.02 * (r[d] - home[d]);
            }
        }
        if step == WARM {
            cuda.time_kernels(true);
        }
        let atoms = Atoms {
            cell: &structure.cell,
            positions: &positions,
            types: &types,
        };
        // The warm steps have grades too, so that their kernels are there.
        let grade = every > 0 && (step < WARM || (step - WARM).is_multiple_of(every));
        let start = Instant::now();
        let mut request = Request::FORCES;
        request.set(Request::GRADES, grade);
        cuda.evaluate_atoms(&system.model, &atoms, request, &mut out)?;
        if grade {
            let effort = Effort::Above(THRESHOLD);
            let columns = GradeColumns {
                gamma: &mut out.gamma,
                rho: &mut out.rho,
                grade: &mut out.grade,
            };
            cuda.grade(&system.model, &types, set, effort, columns)?;
        }
        if step >= WARM {
            let seconds = start.elapsed().as_secs_f64();
            wall.push(seconds);
            total += seconds;
            timed += 1;
            for (name, ms) in cuda.kernel_times()? {
                *kernels.entry(name).or_default() += ms;
            }
        }
    }
    for ms in kernels.values_mut() {
        *ms /= f64::from(timed);
    }
    wall.sort_by(f64::total_cmp);
    Ok(Row {
        system: system.name,
        atoms: structure.len(),
        every,
        kernels,
        wall: wall[wall.len() / 2],
        mean_wall: total / f64::from(timed),
        bytes: cuda.memory(),
        floor: floor::of(system),
    })
}
