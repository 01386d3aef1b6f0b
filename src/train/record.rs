//! The side file of a model, `nep.json`: how it was made, how good it is, and what must be added to
//! what it says.

use super::errors::Errors;
use super::outliers::Outlier;
use super::posterior::Calibration;
use nepal::error::{Error, Result};
use nepal::files::write_atomically;
use nepal::model::Model;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What a side file keeps of a baseline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BaselineRecord {
    /// How it was given: `keys:PREFIX`, a `nep.txt`, or a TOML file.
    pub spec: String,
    /// What it is: the labeller's settings, or the model's elements.
    pub method: String,
    /// Digest of that and of the file, 16 hexadecimal digits; empty for keys.
    pub digest: String,
}

impl BaselineRecord {
    /// Writes a side file of a model that tells of its baseline alone.
    ///
    /// **Errors**: [`Error::Io`].
    pub fn save(&self, path: impl AsRef<Path>, model: &Model) -> Result<()> {
        let needed = Needed {
            schema: SCHEMA,
            model: format!("{:016x}", model.fingerprint()),
            baseline: Some(self.clone()),
        };
        write_json(path.as_ref(), &needed)
    }
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let mut text = serde_json::to_string_pretty(value)
        .map_err(|e| Error::Internal(format!("a training record has no JSON form: {e}")))?;
    text.push('\n');
    write_atomically(path, text.as_bytes())
}

/// Version of the format.
const SCHEMA: u32 = 1;

/// Everything a training run tells in its side file.
#[derive(Clone, Debug, Serialize)]
pub struct TrainingRecord {
    /// Version of the format.
    pub schema: u32,
    /// Fingerprint of the model, 16 hexadecimal digits.
    pub model: String,
    /// Who trained: `nepal` with its version, or the other program.
    pub trainer: String,
    /// The settings, as a `nep.in`.
    pub nep_in: String,
    /// Structures and atoms of the training set.
    pub train_size: [usize; 2],
    /// Structures and atoms of the test set.
    pub test_size: [usize; 2],
    /// What the test set was held out by, if it was.
    pub split: Option<String>,
    /// Errors on the training set, of what the model itself learns.
    pub train: Errors,
    /// Errors on the test set.
    pub test: Option<Errors>,
    /// What was taken off the labels before training and must be added to what the model says.
    pub baseline: Option<BaselineRecord>,
    /// Calibration of the posterior, if one was made.
    pub calibration: Option<Calibration>,
    /// Labels of the training set that fit worst.
    pub outliers: Vec<Outlier>,
    /// Everything that was dropped, ignored or assumed.
    pub warnings: Vec<String>,
    /// Passes over the data, or generations.
    pub epochs: usize,
    /// Wall clock, s.
    pub seconds: f64,
    /// Name of the device that computed; `None` for the processor.
    pub device: Option<String>,
    /// Why training ended.
    pub stop: String,
}

impl TrainingRecord {
    /// The version that this program writes.
    pub const SCHEMA: u32 = SCHEMA;

    /// Writes the side file in one step.
    ///
    /// **Errors**: [`Error::Io`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        write_json(path.as_ref(), self)
    }
}

/// The part of a side file that is needed to use the model.
#[derive(Serialize, Deserialize)]
struct Needed {
    schema: u32,
    model: String,
    baseline: Option<BaselineRecord>,
}

/// The baseline of a model's side file, if it has one.
///
/// **Errors**: [`Error::Io`]; [`Error::Parse`] for other content; [`Error::InvalidArgument`] if the
/// file belongs to another model.
pub fn baseline_of(path: impl AsRef<Path>, model: &Model) -> Result<Option<BaselineRecord>> {
    let path = path.as_ref();
    let text = std::fs::read_to_string(path).map_err(|e| Error::io("read", path, e))?;
    let name = path.display().to_string();
    let found: Needed = serde_json::from_str(&text)
        .map_err(|e| Error::parse(&name, e.line(), format!("not a model's side file: {e}")))?;
    if found.schema != SCHEMA {
        return Err(Error::parse(
            name,
            1,
            format!("expected schema {SCHEMA}, found {}", found.schema),
        ));
    }
    let own = format!("{:016x}", model.fingerprint());
    if found.model != own {
        return Err(Error::invalid(format!(
            "{name} belongs to another model (fingerprint {}, this one has {own})",
            found.model
        )));
    }
    Ok(found.baseline)
}
