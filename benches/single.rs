//! One system evaluated a few times, for counting instructions and for measuring memory.
//!
//!     single SYSTEM PRECISION [EVALUATIONS]     a small crystal like one of benches/data
//!     single silicon PRECISION CELLS [STEPS [shuffled]]
//!                                               diamond of CELLS³ cells: time and memory; the atoms
//!                                               in an order that has nothing to do with space
//!     single md PRECISION [STEPS] [KELVIN]      the four systems of benches/data: a step with its
//!                                               share of neighbour lists, and a step without
//!     single small PRECISION                    cubes cut from the four systems: what an atom of few
//!                                               costs beside one of many
//!
//! Prints nothing else than what was measured; `instructions.py` and `results/cpu.md` use it.

#[path = "support/systems.rs"]
mod systems;

use nepal::{BackendKind, Calculator, Cell, Element, NeighborList, Precision, Request, Structure};
use std::time::Instant;

fn main() {
    // `cargo bench` adds an argument of its own.
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| a != "--bench")
        .collect();
    let [system, precision, rest @ ..] = arguments.as_slice() else {
        return println!("usage: single SYSTEM f64|mixed [EVALUATIONS]");
    };
    let precision: Precision = precision.parse().expect("f64 or mixed");
    let number = rest.first().map_or(1, |n| n.parse().expect("a number"));
    if system == "silicon" {
        let steps = rest.get(1).map_or(1, |n| n.parse().expect("a number"));
        let shuffled = rest.get(2).is_some_and(|word| word == "shuffled");
        return silicon(number, steps, precision, shuffled);
    }
    if system == "md" {
        let kelvin = rest.get(1).map_or(300.0, |t| t.parse().expect("a number"));
        for (name, folder, _) in systems::SYSTEMS {
            dynamics(name, folder, number, kelvin, precision);
        }
        return;
    }
    if system == "small" {
        return systems::SYSTEMS
            .into_iter()
            .for_each(|of| small(of, precision));
    }
    let (name, folder, cells) = systems::SYSTEMS
        .into_iter()
        .find(|(name, ..)| name == system)
        .expect("a system of benches/data");
    let structure = systems::smaller(&systems::frame(name).structure, cells, 4.0);
    let mut calculator =
        Calculator::with_precision(systems::model(folder), BackendKind::Cpu, precision)
            .expect("in this build");
    for _ in 0..number {
        calculator
            .compute(&structure, Request::FORCES | Request::VIRIAL)
            .expect("it evaluates");
    }
    println!("{} atoms", structure.len());
}

/// Best time of a call, with a list that stays and with a new one, for cubes of 1 to 5 unit cells and the whole.
fn small((name, folder, cells): (&str, &str, f64), precision: Precision) {
    let whole = systems::frame(name).structure;
    for edge in [1.0, 2.0, 3.0, 4.0, 5.0, cells] {
        let mut structure = systems::smaller(&whole, cells, edge);
        let mut calculator =
            Calculator::with_precision(systems::model(folder), BackendKind::Cpu, precision)
                .expect("in this build");
        let mut jump = structure.cell.vectors()[0][0];
        let best = [0.0, 1.0].map(|moves| {
            let calls = 0..(100_000 / structure.len()).clamp(20, 2000);
            let times = calls.map(|_| {
                // An atom in another cell is the same atom, but no list survives the jump.
                structure.positions[0][0] += moves * jump;
                jump = -jump;
                let start = Instant::now();
                calculator
                    .compute(&structure, Request::FORCES | Request::VIRIAL)
                    .expect("it evaluates");
                start.elapsed().as_secs_f64()
            });
            times.fold(f64::INFINITY, f64::min)
        });
        let n = structure.len();
        let [stays, new] = best.map(|seconds| seconds * 1e9 / n as f64);
        println!("{name}: {n} atoms, {stays:.0} ns an atom, {new:.0} ns with a new list");
    }
}

/// Velocity Verlet with a step of 1 fs: time of the evaluations as the atoms move, and of as many
/// at the last positions, which need no new list.
fn dynamics(name: &str, folder: &str, steps: usize, kelvin: f64, precision: Precision) {
    // eV/(Å amu) in Å/ps², and eV/K.
    const ACCELERATION: f64 = 9648.533212;
    const BOLTZMANN: f64 = 8.617333262e-5;
    const STEP: f64 = 1e-3;
    let mut structure = systems::frame(name).structure;
    let masses: Vec<f64> = structure.elements.iter().map(|e| e.mass()).collect();
    let mut state = 7u64;
    let mut uniform = || {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        ((state >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    };
    let mut velocities: Vec<[f64; 3]> = masses
        .iter()
        .map(|m| {
            let width = (BOLTZMANN * kelvin / m * ACCELERATION).sqrt();
            std::array::from_fn(|_| {
                let turn = std::f64::consts::TAU * uniform();
                width * (-2.0 * uniform().ln()).sqrt() * turn.cos()
            })
        })
        .collect();
    let mut calculator =
        Calculator::with_precision(systems::model(folder), BackendKind::Cpu, precision)
            .expect("in this build");
    let request = Request::FORCES | Request::VIRIAL;
    let mut forces = calculator
        .compute(&structure, request)
        .expect("it evaluates")
        .forces
        .clone();
    let mut moving = 0.0;
    for _ in 0..steps {
        for half in 0..2 {
            for (i, v) in velocities.iter_mut().enumerate() {
                for d in 0..3 {
                    v[d] += 0.5 * STEP * forces[i][d] / masses[i] * ACCELERATION;
                    if half == 0 {
                        structure.positions[i][d] += STEP * v[d];
                    }
                }
            }
            if half == 0 {
                let start = Instant::now();
                let found = calculator
                    .compute(&structure, request)
                    .expect("it evaluates");
                moving += start.elapsed().as_secs_f64();
                forces.clone_from(&found.forces);
            }
        }
    }
    let start = Instant::now();
    for _ in 0..steps {
        calculator
            .compute(&structure, request)
            .expect("it evaluates");
    }
    let still = start.elapsed().as_secs_f64();
    let each = |seconds: f64| seconds / (steps * structure.len()) as f64 * 1e9;
    println!(
        "{name}: {steps} steps at {kelvin} K, {:.0} ns an atom and step, {:.0} ns with a list that stays: lists take {:.1} %",
        each(moving),
        each(still),
        100.0 * (moving - still) / moving
    );
}

/// A large crystal with small displacements: list, evaluation, peak memory.
fn silicon(cells: usize, steps: usize, precision: Precision, shuffled: bool) {
    let basis = [[0.0; 3], [0.5, 0.5, 0.0], [0.5, 0.0, 0.5], [0.0, 0.5, 0.5]];
    let a = 5.431;
    let mut positions = Vec::with_capacity(8 * cells.pow(3));
    for n in 0..cells.pow(3) {
        let cell = [n / cells / cells, n / cells % cells, n % cells];
        for site in basis {
            for shift in [0.0, 0.25] {
                let m = positions.len() as f64;
                positions.push(std::array::from_fn(|d| {
                    // Incommensurate waves stand in for random numbers.
                    let wave = (m * (1.7 + d as f64)).sin();
                    a * (cell[d] as f64 + site[d] + shift) + 0.08 * wave
                }));
            }
        }
    }
    let n = positions.len();
    if shuffled {
        let mut state = 7u64;
        for last in (1..n).rev() {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            positions.swap(last, (state >> 33) as usize % (last + 1));
        }
    }
    let silicon = Element::from_symbol("Si").expect("an element");
    let cell = Cell::orthorhombic([a * cells as f64; 3]).expect("a cube");
    let structure = Structure::new(cell, vec![silicon; n], positions).expect("finite positions");
    let model = systems::model("si_2022_nep4_5body");
    let start = Instant::now();
    let list = NeighborList::build(&structure.cell, &structure.positions, model.cutoff())
        .expect("it builds");
    let seconds = start.elapsed().as_secs_f64();
    println!("{n} atoms, {} neighbours each", list.entries() / n);
    println!(
        "list: {seconds:.2} s, {:.0} ns an atom",
        seconds / n as f64 * 1e9
    );
    drop(list);
    println!("peak before the evaluation: {}", peak());
    let mut calculator =
        Calculator::with_precision(model, BackendKind::Cpu, precision).expect("in this build");
    for _ in 0..steps {
        let start = Instant::now();
        let energy = calculator
            .compute(&structure, Request::FORCES | Request::VIRIAL)
            .expect("it evaluates")
            .energy;
        let seconds = start.elapsed().as_secs_f64();
        let each = seconds / n as f64 * 1e9;
        println!(
            "evaluation: {seconds:.2} s, {each:.0} ns an atom, {:.6} eV",
            energy / n as f64
        );
    }
    println!("peak: {}", peak());
}

/// Largest resident memory so far, where the system tells.
fn peak() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM"));
    line.map_or("unknown".into(), |line| line[6..].trim().to_owned())
}
