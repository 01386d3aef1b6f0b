//! The side file of a posterior: JSON, tied to its model by a fingerprint.

use super::{Calibration, Posterior};
use crate::sealed;
use faer::Mat;
use nepal::element::Element;
use nepal::error::{Error, Result};
use nepal::files::write_atomically;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Version of the format; 1 had no checksum.
const SCHEMA: u32 = 2;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    schema: u32,
    model: String,
    elements: Vec<String>,
    noise: [f64; 3],
    alpha: f64,
    beta: f64,
    calibration: Calibration,
    columns: usize,
    /// Rows of the covariance's factor, one after the other.
    factor: Vec<f64>,
}

impl Posterior {
    /// Writes the posterior in one step.
    ///
    /// **Errors**: [`Error::Io`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let n = self.factor.nrows();
        let saved = Saved {
            schema: SCHEMA,
            model: format!("{:016x}", self.fingerprint),
            elements: self.elements.iter().map(|e| e.symbol().into()).collect(),
            noise: self.noise,
            alpha: self.alpha,
            beta: self.beta,
            calibration: self.calibration.clone(),
            columns: n,
            factor: (0..n * n).map(|k| self.factor[(k / n, k % n)]).collect(),
        };
        write_atomically(path.as_ref(), sealed::seal(&saved)?.as_bytes())
    }

    /// Reads a posterior that [`Posterior::save`] wrote.
    ///
    /// **Errors**: [`Error::Io`]; [`Error::Parse`] for other content.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text = std::fs::read(path).map_err(|e| Error::io("read", path, e))?;
        let name = path.display().to_string();
        let saved: Saved = sealed::open(&text).map_err(|damage| {
            let advice = "write it again with train --posterior";
            Error::parse(
                &name,
                1,
                format!("not a posterior that can be used, {damage}; {advice}"),
            )
        })?;
        let bad = |message: String| Err(Error::parse(&name, 1, message));
        if saved.schema != SCHEMA {
            return bad(format!("expected schema {SCHEMA}, found {}", saved.schema));
        }
        let n = saved.columns;
        let elements: Result<Vec<Element>> = saved
            .elements
            .iter()
            .map(|e| Element::from_symbol(e))
            .collect();
        let elements = elements.map_err(|e| Error::parse(&name, 1, e.to_string()))?;
        if n.checked_mul(n) != Some(saved.factor.len())
            || saved.calibration.force.len() != elements.len()
        {
            return bad(format!(
                "expected {n} times {n} numbers and a factor per element, found {} and {}",
                saved.factor.len(),
                saved.calibration.force.len()
            ));
        }
        let Ok(fingerprint) = u64::from_str_radix(&saved.model, 16) else {
            return bad(format!("the model's fingerprint is {:?}", saved.model));
        };
        Ok(Self {
            fingerprint,
            elements,
            factor: Mat::from_fn(n, n, |i, j| saved.factor[i * n + j]),
            noise: saved.noise,
            alpha: saved.alpha,
            beta: saved.beta,
            calibration: saved.calibration,
        })
    }
}
