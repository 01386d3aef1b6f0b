//! One system evaluated a few times, for counting instructions and for measuring memory.
//!
//!     single SYSTEM PRECISION [EVALUATIONS]     a small crystal like one of benches/data
//!     single silicon PRECISION CELLS [STEPS]    diamond of CELLS³ cells: time and memory
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
    let number = rest
        .first()
        .map_or(1, |n| n.parse().expect("a number"));
    if system == "silicon" {
        let steps = rest.get(1).map_or(1, |n| n.parse().expect("a number"));
        return silicon(number, steps, precision);
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

/// A large crystal with small displacements: list, evaluation, peak memory.
fn silicon(cells: usize, steps: usize, precision: Precision) {
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
    let silicon = Element::from_symbol("Si").expect("an element");
    let cell = Cell::orthorhombic([a * cells as f64; 3]).expect("a cube");
    let structure = Structure::new(cell, vec![silicon; n], positions).expect("finite positions");
    let model = systems::model("si_2022_nep4_5body");
    let start = Instant::now();
    let list = NeighborList::build(&structure.cell, &structure.positions, model.cutoff())
        .expect("it builds");
    let seconds = start.elapsed().as_secs_f64();
    println!("{n} atoms, {} neighbours each", list.entries() / n);
    println!("list: {seconds:.2} s, {:.0} ns an atom", seconds / n as f64 * 1e9);
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
        println!("evaluation: {seconds:.2} s, {each:.0} ns an atom, {:.6} eV", energy / n as f64);
    }
    println!("peak: {}", peak());
}

/// Largest resident memory so far, where the system tells.
fn peak() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM"));
    line.map_or("unknown".into(), |line| line[6..].trim().to_owned())
}
