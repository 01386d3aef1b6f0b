//! MaxVol with the rows on the device: the CPU's rows, in its order, ties included.

use crate::support::gas::Uniform;
use crate::support::{self};
use crate::variants::backend;
use nepal::grade::{ActiveSet, BuildOptions, Features, MaxvolOptions, maxvol};
use nepal::{BackendKind, Precision, Structure};

const OPTIONS: MaxvolOptions = MaxvolOptions {
    tolerance: 1.01,
    max_iterations: 10_000,
    batch: 400,
    final_pass: true,
    refresh: 20,
};

fn random(count: usize, n: usize, seed: u64) -> Vec<f64> {
    let mut random = Uniform(seed);
    // Sizes of many decades, as reduced features have them.
    (0..count * n)
        .map(|k| (2.0 * random.next() - 1.0) * 10f64.powi(-((k % n) as i32) / 8))
        .collect()
}

/// Rows of a pool with what makes ties: each row several times, negatives, rows that differ in the
/// last digits, zeros.
fn degenerate(count: usize, n: usize) -> Vec<f64> {
    let few = random(count / 6, n, 5);
    let mut data = few.clone();
    data.extend(few.iter().map(|x| -x));
    data.extend(&few);
    data.extend(few.iter().map(|x| x * (1.0 + 2.0 * f64::EPSILON)));
    data.extend(vec![0.0; few.len()]);
    data.extend(few.iter().map(|x| 0.5 * x));
    data
}

/// Rows that lie on a grid: every |C| is one of few numbers.
fn grid(count: usize, n: usize) -> Vec<f64> {
    let mut random = Uniform(9);
    (0..count * n)
        .map(|_| (3.0 * random.next()).floor() - 1.0)
        .collect()
}

#[test]
fn the_rows_of_largest_volume_are_those_of_the_cpu() {
    let mut cuda = backend(Precision::F64);
    let pools = [
        ("random", 30, random(1200, 30, 3)),
        ("one column", 1, random(300, 1, 3)),
        ("as many rows as columns", 33, random(33, 33, 7)),
        ("degenerate", 18, degenerate(900, 18)),
        ("grid", 11, grid(600, 11)),
        ("wide", 50, random(300, 50, 2)),
    ];
    for (name, n, data) in pools {
        let count = data.len() / n;
        let mut swaps = 0;
        for batch in [OPTIONS.batch, usize::MAX] {
            for refresh in [OPTIONS.refresh, 0] {
                let options = MaxvolOptions {
                    batch,
                    refresh,
                    ..OPTIONS
                };
                let found = cuda.maxvol(&data, n, &options).unwrap();
                let expected = maxvol(&data, n, &options).unwrap();
                assert_eq!(found.selected, expected.selected, "{name} {batch}");
                assert_eq!(found.iterations, expected.iterations, "{name} {batch}");
                assert_eq!(found.ln_det.to_bits(), expected.ln_det.to_bits(), "{name}");
                assert!((found.max - expected.max).abs() <= 1e-9 * expected.max);
                swaps += expected.iterations.iter().sum::<usize>();
                // Fewer exchanges than it takes: both stop at the same.
                let few = MaxvolOptions {
                    max_iterations: 7,
                    ..options.clone()
                };
                let found = cuda.maxvol(&data, n, &few).unwrap();
                assert_eq!(found.selected, maxvol(&data, n, &few).unwrap().selected);
            }
        }
        println!("{name}: {swaps} exchanges");
        assert!(count == n || n == 1 || swaps > 0, "{name}");
    }
}

#[test]
fn pools_without_an_answer_are_refused_as_by_the_cpu() {
    let mut cuda = backend(Precision::F64);
    let short = random(9, 10, 1);
    let mut flat = random(500, 10, 1);
    for row in flat.chunks_exact_mut(10) {
        row[9] = row[3] + row[4];
    }
    let mut lacking = random(500, 10, 1);
    for row in lacking.chunks_exact_mut(10) {
        row[2] = 0.0;
    }
    let mut broken = random(500, 10, 1);
    broken[77] = f64::NAN;
    for data in [short, flat, lacking, broken] {
        match (
            cuda.maxvol(&data, 10, &OPTIONS),
            maxvol(&data, 10, &OPTIONS),
        ) {
            (Ok(found), Ok(expected)) => assert_eq!(found.selected, expected.selected),
            (Err(found), Err(expected)) => assert_eq!(found.to_string(), expected.to_string()),
            (found, expected) => panic!("{found:?} {expected:?}"),
        }
    }
    assert!(cuda.maxvol(&random(9, 10, 1), 10, &OPTIONS).is_err());
    // And a pool after one that failed.
    let data = random(100, 10, 1);
    let found = cuda.maxvol(&data, 10, &OPTIONS).unwrap();
    let expected = maxvol(&data, 10, &OPTIONS).unwrap();
    assert_eq!(found.selected, expected.selected);
}

/// Whole sets of the PbTe training data.
#[test]
fn active_sets_built_with_a_device_are_those_of_the_cpu() {
    let mut cuda = backend(Precision::F64);
    let model = support::model("active_set_pbte");
    let bytes = support::read_bytes("pbte_nep_train/train.xyz");
    let frames = nepal::system::xyz::FrameReader::new(bytes.as_slice(), "train.xyz");
    let structures: Vec<Structure> = frames.map(|frame| frame.unwrap().structure).collect();
    let mut cpu = BackendKind::default_for_build().create().unwrap();
    let features = Features::collect(&model, cpu.as_mut(), &structures).unwrap();
    let (options, help) = (BuildOptions::compat(), cuda.volume_device().unwrap());
    let (found, _) = ActiveSet::build_on(Some(help), &model, &features, &options, None).unwrap();
    let (expected, report) = ActiveSet::build(&model, &features, &options).unwrap();
    let swaps: usize = report.elements.iter().flat_map(|e| &e.iterations).sum();
    assert!(swaps > 0);
    assert_eq!(found, expected);
}
