//! Comparison of numbers, with a message that says where and by how much.

/// Fails unless every |a - b| is at most `tolerance * max(1, largest |b|)`; NaN always fails.
#[track_caller]
pub fn assert_close(what: &str, found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{what}: number of values");
    let scale = expected.iter().fold(1.0f64, |m, x| m.max(x.abs()));
    for (index, (a, b)) in found.iter().zip(expected).enumerate() {
        let error = (a - b).abs();
        assert!(
            error <= tolerance * scale,
            "{what}: value {index} is {a:.15e}, expected {b:.15e} (off by {error:.2e}, allowed {:.2e})",
            tolerance * scale
        );
    }
}

/// [`assert_close`] for rows of numbers.
#[track_caller]
pub fn assert_rows_close<const N: usize>(
    what: &str,
    found: &[[f64; N]],
    expected: &[[f64; N]],
    tolerance: f64,
) {
    assert_close(
        what,
        found.as_flattened(),
        expected.as_flattened(),
        tolerance,
    );
}
