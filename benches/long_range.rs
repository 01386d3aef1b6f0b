//! What charges cost beside the short range: models with their charges, and potentials of the
//! same shape, in turn in one run. `cargo bench --bench long_range`.
//!
//! A qNEP of water whose cutoff of 4 Å makes the short range cheap and its wave vectors many, and one of NaCl (6 and 5 Å).

#[path = "../tests/support/mod.rs"]
mod support;

use nepal::backend::{Conditions, Sums};
use nepal::element::Element;
use nepal::model::{Kind, Layout};
use nepal::system::Cell;
use nepal::{BackendKind, Calculator, Model, Precision, Request, Structure};
use std::sync::Arc;
use std::time::Instant;

/// The short range alone: its time does not depend on the weights.
fn short(model: &Model) -> Model {
    let mut header = model.header().clone();
    header.kind = Kind::Potential;
    let layout = Layout::new(&header);
    let values = (0..layout.len()).map(|i| 0.01 * ((i * 37 % 101) as f64 - 50.0));
    Model::new(header, values.collect(), model.q_scaler().to_vec()).expect("a potential")
}

fn main() {
    println!("model  atoms  precision  error  short (s)  with charges (s)  charges over short");
    let frames = support::reference::frames("water_qnep_mode1");
    let largest = frames.into_iter().max_by_key(|frame| frame.structure.len());
    let water = largest.expect("a frame").structure;
    measure("water", support::model("water_qnep_mode1"), &water, [5, 12]);
    let path = support::root().join("examples/nacl-phonons/nep.txt");
    let model = Arc::new(Model::load(path).expect("the example's model"));
    measure("NaCl", model, &rock_salt(5.64), [10, 24]);
}

/// Eight atoms, a little off their places.
fn rock_salt(a: f64) -> Structure {
    let cell = Cell::new([[a, 0.0, 0.0], [0.0, a, 0.0], [0.0, 0.0, a]], [true; 3]).expect("a cell");
    let place = |k: usize| -> [f64; 3] {
        let site = [k & 1, (k >> 1) & 1, k >> 2];
        site.map(|x| a * (0.5 * x as f64 + 0.01 * ((k * 7 + x * 3) % 5) as f64))
    };
    let symbol = |k: usize| ["Na", "Cl"][(k & 1) ^ ((k >> 1) & 1) ^ (k >> 2)];
    let elements = (0..8).map(|k| Element::from_symbol(symbol(k)).expect("a symbol"));
    Structure::new(cell, elements.collect(), (0..8).map(place).collect()).expect("a crystal")
}

fn measure(name: &str, model: Arc<Model>, unit: &Structure, copies: [usize; 2]) {
    for copies in copies {
        let structure = unit.repeated([copies; 3]).expect("copies");
        for precision in [Precision::F64, Precision::Mixed] {
            let calculator = |model: Arc<Model>| {
                Calculator::with_precision(model, BackendKind::Cpu, precision).expect("the CPU")
            };
            let mut plain = calculator(Arc::new(short(&model)));
            let mut charged = calculator(Arc::clone(&model));
            for error in [1e-4, 1e-6] {
                charged.set_conditions(Conditions {
                    sums: Sums::Mesh(error),
                    ..Conditions::default()
                });
                // The first call of each makes its list; the best of the others counts.
                let mut best = [f64::INFINITY; 2];
                for round in 0..6 {
                    for (best, calculator) in best.iter_mut().zip([&mut plain, &mut charged]) {
                        let start = Instant::now();
                        let wanted = Request::FORCES | Request::VIRIAL;
                        calculator
                            .compute(&structure, wanted)
                            .expect("it evaluates");
                        if round > 0 {
                            *best = best.min(start.elapsed().as_secs_f64());
                        }
                    }
                }
                println!(
                    "{name:5}  {:6}  {precision:?}  {error:e}  {:.4}  {:.4}  {:.2}",
                    structure.len(),
                    best[0],
                    best[1],
                    best[1] / best[0] - 1.0
                );
            }
        }
    }
}
