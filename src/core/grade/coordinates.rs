//! Features in the coordinates of the active set: where distance and volume have a meaning.

use super::linalg::{dot, multiply, rows as matrix};
use super::{ActiveSet, Sets};
use crate::error::{Error, Result};

/// Length given to a row of an element that has no set at all: far outside, yet finite.
const UNKNOWN_LENGTH: f64 = 1e3;

impl ActiveSet {
    /// Feature rows of one type in terms of the active rows: the coefficients c, whose largest size is
    /// γ, followed by the direction outside what they span, of length ρ. The
    /// active rows are unit vectors, so that 1 is the edge of what is known in every direction.
    ///
    /// Gives the number of coordinates and the coordinates of all rows.
    ///
    /// **Shapes**: `rows` `[N][width]`, the result `[N][coordinates]`.
    /// **Errors**: as [`ActiveSet::grade_rows`].
    pub fn coordinates(&self, t: usize, rows: &[f64]) -> Result<(usize, Vec<f64>)> {
        if !rows.len().is_multiple_of(self.width) {
            return Err(Error::invalid(format!(
                "{} feature values are not a whole number of rows of {}",
                rows.len(),
                self.width
            )));
        }
        match &self.sets {
            Sets::Compat(sets) => match sets.get(t).and_then(Option::as_ref) {
                Some(set) => {
                    let n = self.width;
                    let inverse = matrix(&set.inverse, n, n);
                    Ok((n, multiply(matrix(rows, rows.len() / n, n), inverse)))
                }
                None => Err(self.no_set(t)),
            },
            Sets::Ridge(sets) => Ok(match sets.get(t).and_then(Option::as_ref) {
                Some(set) if set.rows() > 0 => set.coordinates(&set.sides_of_rows(rows)),
                _ => far_out(rows, self.width),
            }),
        }
    }
}

/// Rows of an element about which nothing is known.
fn far_out(rows: &[f64], width: usize) -> (usize, Vec<f64>) {
    let mut out = rows.to_vec();
    for row in out.chunks_exact_mut(width) {
        let length = dot(row, row).sqrt().max(f64::MIN_POSITIVE);
        row.iter_mut().for_each(|x| *x *= UNKNOWN_LENGTH / length);
    }
    (width, out)
}
