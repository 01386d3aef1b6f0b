//! MaxVol on random rows, held against another library.

use super::*;
use nalgebra::DMatrix;

const TIGHT: MaxvolOptions = MaxvolOptions {
    tolerance: 1.01,
    max_iterations: 10_000,
    batch: 10_000,
    final_pass: true,
    refresh: 200,
};

fn random(count: usize, n: usize, seed: u64) -> Vec<f64> {
    let mut random = crate::grade::tests::Random::new(seed);
    (0..count * n).map(|_| random.next()).collect()
}

fn ln_det(data: &[f64], n: usize, selected: &[usize]) -> f64 {
    let matrix = DMatrix::from_row_slice(n, n, &gather(data, n, selected));
    matrix
        .lu()
        .u()
        .diagonal()
        .iter()
        .map(|x| x.abs().ln())
        .sum()
}

/// Largest |C| over all rows, by another library.
fn largest(data: &[f64], n: usize, selected: &[usize]) -> f64 {
    let chosen = DMatrix::from_row_slice(n, n, &gather(data, n, selected));
    let all = DMatrix::from_row_slice(data.len() / n, n, data);
    (all * chosen.try_inverse().unwrap()).amax()
}

#[test]
fn no_row_is_above_the_tolerance_in_batches_or_without() {
    for (count, n) in [(400, 1), (400, 7), (500, 40), (40, 40), (41, 40)] {
        let data = random(count, n, 11);
        for batch in [10_000, 100, 1] {
            let found = maxvol(&data, n, &MaxvolOptions { batch, ..TIGHT }).unwrap();
            let max = largest(&data, n, &found.selected);
            assert!(max <= TIGHT.tolerance + 1e-9, "{count} {n} {batch}: {max}");
            assert!((found.max - max).abs() < 1e-9);
            assert!((found.ln_det - ln_det(&data, n, &found.selected)).abs() < 1e-9);
            let mut rows = found.selected.clone();
            rows.sort_unstable();
            rows.dedup();
            assert_eq!(rows.len(), n);
        }
    }
}

#[test]
fn batches_without_a_final_pass_leave_rows_behind() {
    let data = random(500, 20, 5);
    let options = MaxvolOptions {
        batch: 50,
        final_pass: false,
        ..TIGHT
    };
    let found = maxvol(&data, 20, &options).unwrap();
    assert_eq!(found.iterations.len(), 10);
    assert!(found.max > TIGHT.tolerance);
    assert!((found.max - largest(&data, 20, &found.selected)).abs() < 1e-9);
}

#[test]
fn the_volume_grows_with_each_exchange() {
    let data = random(600, 30, 3);
    let mut last = f64::NEG_INFINITY;
    for max_iterations in 0..40 {
        let options = MaxvolOptions {
            max_iterations,
            final_pass: false,
            ..TIGHT
        };
        let found = maxvol(&data, 30, &options).unwrap();
        assert!(found.ln_det >= last, "{max_iterations}");
        let expected = ln_det(&data, 30, &found.selected);
        assert!((found.ln_det - expected).abs() < 1e-9);
        last = found.ln_det;
        if found.iterations[0] < max_iterations {
            assert!(max_iterations > 5, "too easy to test anything");
            return;
        }
    }
    panic!("did not converge");
}

#[test]
fn computing_afresh_changes_nothing() {
    let data = random(600, 30, 8);
    let rare = maxvol(&data, 30, &TIGHT).unwrap();
    let often = maxvol(
        &data,
        30,
        &MaxvolOptions {
            refresh: 1,
            ..TIGHT
        },
    )
    .unwrap();
    assert_eq!(rare.selected, often.selected);
    assert!((rare.ln_det - often.ln_det).abs() < 1e-9);
}

#[test]
fn duplicates_and_order_do_not_spoil_the_bound() {
    let n = 12;
    let data = random(100, n, 21);
    let once = maxvol(&data, n, &TIGHT).unwrap();
    let twice = maxvol(&data.repeat(2), n, &TIGHT).unwrap();
    assert!((once.ln_det - twice.ln_det).abs() < 1e-9);
    let backwards: Vec<f64> = data.chunks_exact(n).rev().flatten().copied().collect();
    let reversed = maxvol(&backwards, n, &TIGHT).unwrap();
    assert!(largest(&backwards, n, &reversed.selected) <= TIGHT.tolerance + 1e-9);
}

#[test]
fn rows_that_do_not_span_are_refused() {
    let mut data = random(50, 6, 2);
    for row in data.chunks_exact_mut(6) {
        row[4] = 0.0;
    }
    assert!(maxvol(&data, 6, &TIGHT).is_err());
    assert!(maxvol(&random(5, 6, 2), 6, &TIGHT).is_err());
    assert!(maxvol(&[], 0, &TIGHT).is_err());
    let mut data = random(50, 6, 2);
    data[17] = f64::NAN;
    let message = maxvol(&data, 6, &TIGHT).unwrap_err().to_string();
    assert!(message.contains("row 2"), "{message}");
}

#[test]
fn ranges_are_those_of_array_split() {
    let split = |count, n, batch| -> Vec<usize> {
        batches(count, n, batch).iter().map(|r| r.len()).collect()
    };
    assert_eq!(split(3125, 144, 1000), [782, 781, 781, 781]);
    assert_eq!(split(10, 1, 4), [4, 3, 3]);
    assert_eq!(split(10, 6, 4), [10]);
}
