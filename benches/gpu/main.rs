//! Speed of the CUDA backend on the device at hand; needs a driver and NVRTC, nothing else: models
//! are in the program, structures are generated.
//!
//! `gpu [--out FOLDER] [--sizes 10000,100000] [--systems PbTe,carbon] [--quick]`: checks first, then
//! times force steps, force steps with grades in every step and in every tenth, and the derivatives that
//! training takes of the PbTe training set; writes `gpu.json` and
//! `gpu.md` to the folder. `--quick` is a trial: small yardsticks, few steps. `--floor` only says what
//! every step has to compute and to move. `--compile 90` compiles the kernels of all systems for
//! devices of compute capability 9.0 and keeps them in `NEPAL_KERNEL_CACHE`; it needs no device.
//! Without a device nothing is timed or written, the reason is told, and the status is 3.

mod floor;
mod report;
mod systems;
mod training;

use nepal::backend::cuda::{Cuda, Options};
use nepal::backend::{Atoms, Backend};
use nepal::grade::{ActiveSet, Effort};
use nepal::{BackendKind, Calculator, Evaluation, Precision, Request, Structure};
use report::Row;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;
use systems::System;

/// Steps that are timed, after some that are not.
const STEPS: usize = 30;
const WARM: usize = 4;
/// Atoms above this grade are asked for.
const THRESHOLD: f64 = 2.0;
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
        for system in &systems {
            for precision in [Precision::Mixed, Precision::F64] {
                let options = Options::from_environment(0);
                nepal::backend::cuda::precompile(&system.model, precision, capability, &options)
                    .unwrap_or_else(|e| panic!("{e}"));
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
    let checks: Vec<String> = systems.iter().flat_map(check).collect();
    let (name, arch) = cuda.device();
    let device = format!("{name}, compute capability {}.{}", arch / 10, arch % 10);
    println!("{device}");
    checks.iter().for_each(|line| println!("{line}"));
    let peaks = peaks(&mut cuda, &systems[0], quick);
    let trained = training::measure(&systems[0], quick);
    println!("{}", trained.text());
    let mut rows = Vec::new();
    for system in &systems {
        let set = system.active_set(quick);
        for &size in &sizes {
            for every in EVERY {
                match measure(system, &set, size, every, if quick { 2 } else { STEPS }) {
                    Ok(row) => {
                        println!("{}", row.line());
                        rows.push(row);
                    }
                    Err(e) => println!("{} with {size} atoms: NOT MEASURED: {e}", system.name),
                }
            }
        }
    }
    report::write(&out, &device, &checks, peaks, &rows, &trained);
}

/// Compares the device with the reference backend, in both precisions, and two runs bit by bit.
fn check(system: &System) -> Vec<String> {
    let wanted = Request::FORCES | Request::VIRIAL | Request::VIRIALS | Request::DESCRIPTORS;
    let structure = system.crystal(100);
    let mut reference = Calculator::new(Arc::clone(&system.model), BackendKind::Reference)
        .expect("the reference backend is always there");
    let expected = reference.compute(&structure, wanted).expect("a crystal");
    [(Precision::F64, 1e-10), (Precision::Mixed, 1e-4)]
        .map(|(precision, tolerance)| {
            let run = || {
                let mut cuda = Calculator::with_precision(
                    Arc::clone(&system.model),
                    BackendKind::Cuda,
                    precision,
                )
                .expect("the device was there");
                cuda.compute(&structure, wanted)
                    .unwrap_or_else(|e| panic!("{e}"))
                    .clone()
            };
            let (found, again) = (run(), run());
            assert_eq!(found.forces, again.forces, "{}: a repeat differs", system.name);
            let far = |a: &[f64], b: &[f64]| {
                let scale = b.iter().fold(1.0f64, |m, x| m.max(x.abs()));
                let errors = a.iter().zip(b).map(|(a, b)| (a - b).abs() / scale);
                assert_eq!(a.len(), b.len());
                errors.fold(0.0, f64::max)
            };
            let worst = [
                far(&found.energies, &expected.energies),
                far(found.forces.as_flattened(), expected.forces.as_flattened()),
                far(found.virials.as_flattened(), expected.virials.as_flattened()),
                far(&found.virial, &expected.virial),
                far(&found.descriptors, &expected.descriptors),
            ];
            let largest = worst.into_iter().fold(0.0, f64::max);
            assert!(largest <= tolerance, "{} {precision:?}: {worst:?}", system.name);
            format!("{} {precision:?}: differs from the reference by {largest:.1e} at most (allowed {tolerance:.0e})", system.name)
        })
        .to_vec()
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
    let (mut wall, mut total, mut exact) = (Vec::new(), 0.0, 0.0);
    let mut kernels: BTreeMap<&'static str, f64> = BTreeMap::new();
    let mut random = systems::Random(5);
    for step in 0..WARM + steps {
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
            cuda.grade(&system.model, &types, set, effort, &mut out)?;
            exact = cuda.graded_exactly() as f64 / structure.len() as f64;
        }
        if step >= WARM {
            let seconds = start.elapsed().as_secs_f64();
            wall.push(seconds);
            total += seconds;
            for (name, ms) in cuda.kernel_times()? {
                *kernels.entry(name).or_default() += ms / steps as f64;
            }
        }
    }
    wall.sort_by(f64::total_cmp);
    Ok(Row {
        system: system.name,
        atoms: structure.len(),
        every,
        kernels,
        wall: wall[wall.len() / 2],
        mean_wall: total / steps as f64,
        exact,
        bytes: cuda.memory(),
        floor: floor::of(system),
    })
}
