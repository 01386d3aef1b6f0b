//! What extrapolation grades add to an evaluation, and how long active sets take to build.

#[path = "support/systems.rs"]
mod systems;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use nepal::grade::{BuildOptions, Features, MaxvolOptions, maxvol};
use nepal::{ActiveSet, BackendKind, Calculator, Request, Structure};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

/// PbTe crystals with growing displacements: something to learn from.
fn training() -> Vec<Structure> {
    let (system, _, cells) = systems::SYSTEMS[1];
    let crystal = systems::smaller(&systems::frame(system).structure, cells, 2.0);
    (0..24)
        .map(|n| {
            let mut moved = crystal.clone();
            for (i, r) in moved.positions.iter_mut().enumerate() {
                for (a, x) in r.iter_mut().enumerate() {
                    // Incommensurate waves stand in for random numbers.
                    let phase = (7 * n + 1) as f64 * (i as f64 + 1.0) * (1.7 + a as f64);
                    *x += 0.02 * f64::from(n) * phase.sin();
                }
            }
            moved
        })
        .collect()
}

fn grades(c: &mut Criterion) {
    let model = systems::model("active_set_pbte");
    let mut backend = BackendKind::Cpu.create().expect("in this build");
    let structures = training();
    let features = Features::collect(&model, backend.as_mut(), &structures).expect("they evaluate");
    let mut group = c.benchmark_group("grade");
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(3));
    for (name, options) in [
        ("ridge", BuildOptions::default()),
        ("compat", BuildOptions::compat()),
    ] {
        group.bench_function(format!("build {name}"), |b| {
            b.iter(|| ActiveSet::build(&model, &features, &options).expect("it builds"));
        });
        let (set, _) = ActiveSet::build(&model, &features, &options).expect("it builds");
        let mut calculator =
            Calculator::new(model.clone(), BackendKind::Cpu).expect("in this build");
        calculator
            .set_active_set(Some(Arc::new(set)))
            .expect("the same model");
        let (system, _, cells) = systems::SYSTEMS[1];
        let structure = systems::smaller(&systems::frame(system).structure, cells, 6.0);
        group.throughput(Throughput::Elements(structure.len() as u64));
        for (what, request) in [
            ("forces", Request::FORCES),
            ("forces and grades", Request::FORCES | Request::GRADES),
        ] {
            group.bench_function(format!("{what}, {name}"), |b| {
                b.iter(|| {
                    black_box(
                        calculator
                            .compute(&structure, request)
                            .expect("it evaluates")
                            .energy,
                    )
                });
            });
        }
    }
    let rows = features.rows(0);
    // A few columns only: the features as a whole are short of full rank.
    let width = 24;
    let block: Vec<f64> = rows
        .chunks_exact(features.width())
        .flat_map(|row| row[..width].to_vec())
        .collect();
    let options = MaxvolOptions {
        tolerance: 1.01,
        max_iterations: 10_000,
        batch: 10_000,
        final_pass: true,
        refresh: 200,
    };
    group.throughput(Throughput::Elements(features.count(0) as u64));
    group.bench_function("maxvol", |b| {
        b.iter(|| maxvol(&block, width, &options).expect("full rank").max);
    });
    group.finish();
}

criterion_group!(benches, grades);
criterion_main!(benches);
