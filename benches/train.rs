//! One epoch of training on GPUMD's PbTe example, evaluation of the whole data included.

#[path = "support/pbte.rs"]
mod pbte;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use nepal_train::{TrainOptions, train};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

fn epoch(c: &mut Criterion) {
    let (config, frames) = pbte::training().expect("the example reads");
    let atoms: usize = frames.iter().map(|f| f.structure.len()).sum();
    let mut group = c.benchmark_group("train");
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(10));
    group.throughput(Throughput::Elements(atoms as u64));
    for threads in [1, 2] {
        group.bench_function(format!("epoch, {threads} threads"), |b| {
            b.iter_custom(|iterations| {
                // The first epoch carries what is done once: neighbours, start values.
                let (mut first, mut last) = (None, Instant::now());
                let mut watch = |_: &nepal_train::Progress| {
                    last = Instant::now();
                    first.get_or_insert(last);
                    ControlFlow::Continue(())
                };
                let options = TrainOptions {
                    epochs: Some(iterations as usize + 1),
                    threads: Some(threads),
                    progress: Some(&mut watch),
                    ..TrainOptions::default()
                };
                train(&config, &frames, &[], options).expect("it trains");
                last - first.unwrap_or(last)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, epoch);
criterion_main!(benches);
