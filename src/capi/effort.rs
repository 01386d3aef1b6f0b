//! How much is done to grade atoms.

use super::calculator::nepal_calculator_t;
use super::handle;
use super::status::nepal_status_t;
use crate::error::{Error, Result};
use crate::grade::Effort;

/// Exact grades of all atoms, the default. Since: 0.1.
pub const NEPAL_EFFORT_FULL: u32 = 0;
/// Exact grades of all atoms above a threshold; the others, all at most the threshold, get a bound of theirs.
/// Since: 0.1.
pub const NEPAL_EFFORT_ABOVE: u32 = 1;
/// The same as `NEPAL_EFFORT_ABOVE`, which is as cheap as this was in version 0.1. Since: 0.1.
pub const NEPAL_EFFORT_LIKELY: u32 = 2;

/// Chooses how much later computations do to grade atoms.
///
/// With `NEPAL_EFFORT_ABOVE` an atom is above the threshold if and only if it is with
/// `NEPAL_EFFORT_FULL`. Sets in the compatibility form are always graded in full.
///
/// `effort` is one of `NEPAL_EFFORT_...`; `threshold`, the grade that matters, is at least 1, and 0
/// for `NEPAL_EFFORT_FULL`.
///
/// Errors: an unknown effort, or a threshold that does not fit.
///
/// Threads and ownership: one thread at a time on a calculator.
///
/// Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nepal_calculator_set_grade_effort(
    calculator: *mut nepal_calculator_t,
    effort: u32,
    threshold: f64,
) -> nepal_status_t {
    // SAFETY: the caller's promises, passed on.
    unsafe {
        handle::call(calculator, |inner| {
            inner
                .calculator
                .set_grade_effort(chosen(effort, threshold)?);
            Ok(())
        })
    }
}

fn chosen(effort: u32, threshold: f64) -> Result<Effort> {
    let chosen = match effort {
        NEPAL_EFFORT_FULL if threshold == 0.0 => return Ok(Effort::Full),
        NEPAL_EFFORT_FULL => {
            return Err(Error::invalid(format!(
                "`threshold` is {threshold}; NEPAL_EFFORT_FULL has none, so it is 0"
            )));
        }
        NEPAL_EFFORT_ABOVE | NEPAL_EFFORT_LIKELY => Effort::Above(threshold),
        other => {
            return Err(Error::invalid(format!(
                "effort {other} does not exist; expected NEPAL_EFFORT_FULL (0) to NEPAL_EFFORT_LIKELY (2)"
            )));
        }
    };
    if !(threshold >= 1.0 && threshold.is_finite()) {
        return Err(Error::invalid(format!(
            "`threshold` is {threshold}; expected a grade of at least 1"
        )));
    }
    Ok(chosen)
}
