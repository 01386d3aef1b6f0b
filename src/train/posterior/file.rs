//! The side file of a posterior: JSON, tied to its model by a fingerprint. Calculators read a part of it.

use super::{Calibration, Posterior};
use nepal::error::Result;
use nepal::files::write_atomically;
use nepal::posterior::{SCHEMA, Saved};
use nepal::sealed;
use serde::Serialize;
use std::path::Path;

#[derive(Serialize)]
struct File<'a> {
    schema: u32,
    deviations: Saved,
    noise: [f64; 3],
    alpha: f64,
    beta: f64,
    calibration: &'a Calibration,
}

impl Posterior {
    /// Writes the posterior in one step, for [`nepal::posterior::Posterior::load`] and for people.
    ///
    /// **Errors**: [`Error::Io`](nepal::Error::Io).
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let file = File {
            schema: SCHEMA,
            deviations: self.evaluable.saved(),
            noise: self.noise,
            alpha: self.alpha,
            beta: self.beta,
            calibration: &self.calibration,
        };
        write_atomically(path.as_ref(), sealed::seal(&file)?.as_bytes())
    }
}
