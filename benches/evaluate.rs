//! Energy, forces and virial per model and backend, and the neighbour lists they need.

#[path = "support/systems.rs"]
mod systems;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use nepal::{BackendKind, Calculator, NeighborList, Precision, Request};
use std::hint::black_box;
use std::time::Duration;

fn evaluate(c: &mut Criterion) {
    let mut group = c.benchmark_group("evaluate");
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(3));
    for (system, folder, cells) in systems::SYSTEMS {
        let model = systems::model(folder);
        let structure = systems::smaller(&systems::frame(system).structure, cells, 4.0);
        group.throughput(Throughput::Elements(structure.len() as u64));
        for (name, backend, precision) in [
            ("reference", BackendKind::Reference, Precision::F64),
            ("cpu f64", BackendKind::Cpu, Precision::F64),
            ("cpu mixed", BackendKind::Cpu, Precision::Mixed),
        ] {
            let mut calculator = Calculator::with_precision(model.clone(), backend, precision)
                .expect("in this build");
            group.bench_function(BenchmarkId::new(name, system), |b| {
                b.iter(|| {
                    let request = Request::FORCES | Request::VIRIAL;
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
    group.finish();
}

fn neighbors(c: &mut Criterion) {
    let mut group = c.benchmark_group("neighbors");
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(3));
    for (system, folder, _) in systems::SYSTEMS {
        let cutoff = systems::model(folder).cutoff();
        let structure = systems::frame(system).structure;
        group.throughput(Throughput::Elements(structure.len() as u64));
        group.bench_function(system, |b| {
            b.iter(|| {
                NeighborList::build(&structure.cell, &structure.positions, cutoff)
                    .expect("a good structure")
                    .entries()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, evaluate, neighbors);
criterion_main!(benches);
