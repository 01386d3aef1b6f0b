//! What charges cost beside the short range: one qNEP of water with its charges, and a potential of the
//! same shape, in turn in one run. `cargo bench --bench long_range`.

#[path = "../tests/support/mod.rs"]
mod support;

use nepal::backend::{Conditions, Sums};
use nepal::model::{Kind, Layout};
use nepal::{BackendKind, Calculator, Model, Precision, Request};
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
    let model = support::model("water_qnep_mode1");
    let frames = support::reference::frames("water_qnep_mode1");
    let largest = frames.into_iter().max_by_key(|frame| frame.structure.len());
    let unit = largest.expect("a frame").structure;
    println!("atoms  precision  error  short (s)  with charges (s)  charges over short");
    for copies in [5, 12] {
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
                    "{:6}  {precision:?}  {error:e}  {:.4}  {:.4}  {:.2}",
                    structure.len(),
                    best[0],
                    best[1],
                    best[1] / best[0] - 1.0
                );
            }
        }
    }
}
