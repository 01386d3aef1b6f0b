//! The part of a posterior's file that calculators need; `nepal-train` writes more beside it.

use super::{GAUSSIAN, LocalDeviation, Posterior, SCHEMA};
use crate::error::{Error, Result};
use crate::model::Model;
use faer::Mat;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// [`Posterior`] as it is saved.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Saved {
    model: String,
    energy: f64,
    #[serde(default = "gaussian")]
    energy_at_95: f64,
    forces: Vec<Option<LocalDeviation>>,
    columns: usize,
    /// Rows of the covariance's factor, one after the other.
    factor: Vec<f64>,
}

fn gaussian() -> f64 {
    GAUSSIAN[1][1]
}

/// The file, without what calculators do not need.
#[derive(Deserialize)]
struct File {
    #[serde(default)]
    schema: u32,
    deviations: Option<Saved>,
}

impl Posterior {
    /// What a file holds of it.
    pub fn saved(&self) -> Saved {
        let n = self.factor.nrows();
        Saved {
            model: format!("{:016x}", self.fingerprint),
            energy: self.energy[0],
            energy_at_95: self.energy[1],
            forces: self.forces.clone(),
            columns: n,
            factor: (0..n * n).map(|k| self.factor[(k / n, k % n)]).collect(),
        }
    }

    /// Reads the posterior of a model from a file that `nepal-loop train --posterior` wrote.
    ///
    /// **Errors**: [`Error::Io`]; [`Error::Parse`] for other content; [`Error::InvalidArgument`] for the
    /// posterior of another model.
    pub fn load(path: impl AsRef<Path>, model: &Model) -> Result<Self> {
        let path = path.as_ref();
        let data = std::fs::read(path).map_err(|e| Error::io("read", path, e))?;
        Self::read(&data, &path.display().to_string(), model)
    }

    /// Reads such a file's content; `name` stands for the file in messages.
    ///
    /// **Errors**: as [`Posterior::load`].
    pub fn read(data: &[u8], name: &str, model: &Model) -> Result<Self> {
        let file: File = crate::sealed::open(data).map_err(|damage| {
            let advice = "write it again with nepal-loop train --posterior";
            Error::parse(
                name,
                1,
                format!("not a posterior that can be used, {damage}; {advice}"),
            )
        })?;
        let (older, mut saved) = match file {
            File {
                schema: schema @ (2 | SCHEMA),
                deviations: Some(saved),
            } => (schema < SCHEMA, saved),
            File { schema, .. } => {
                return Err(Error::parse(
                    name,
                    1,
                    format!(
                        "expected a posterior of schema {SCHEMA}, found schema {schema}; make it anew: nepal-loop train --posterior"
                    ),
                ));
            }
        };
        if older {
            saved.energy *= GAUSSIAN[1][0];
            let forces = saved.forces.iter_mut().flatten();
            forces.for_each(|local| local.factor *= GAUSSIAN[0][0]);
        }
        let fingerprint = u64::from_str_radix(&saved.model, 16).map_err(|_| {
            Error::parse(
                name,
                1,
                format!("a model's fingerprint is {:?}", saved.model),
            )
        })?;
        super::check_fingerprint(fingerprint, model)?;
        let n = saved.columns;
        if n.checked_mul(n) != Some(saved.factor.len()) {
            return Err(Error::parse(
                name,
                1,
                format!(
                    "expected {n} times {n} numbers, found {}",
                    saved.factor.len()
                ),
            ));
        }
        let factor = Mat::from_fn(n, n, |i, j| saved.factor[i * n + j]);
        let energy = [saved.energy, saved.energy_at_95];
        let new = Self::new(model, factor, energy, saved.forces)
            .map_err(|e| Error::parse(name, 1, e.to_string()))?;
        Ok(Self { older, ..new })
    }
}
