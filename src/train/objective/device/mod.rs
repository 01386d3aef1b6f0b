//! Where training computes: the kernels' results and gradients from a GPU, if one is there.
//!
//! The device sees structures, parameters and slopes; losses, weights and optimisers stay on the
//! host and are the same code. What goes back and forth is three numbers an atom.

#[cfg(feature = "cuda")]
mod engine;
#[cfg(feature = "cuda")]
mod layout;
#[cfg(not(feature = "cuda"))]
mod none;

#[cfg(feature = "cuda")]
pub(crate) use engine::Engine;
#[cfg(not(feature = "cuda"))]
pub(crate) use none::Engine;

use super::Objective;
use nepal::error::{Error, Result};
use std::str::FromStr;

/// Atoms of a training set from which on [`Device::Auto`] takes a device: below, a device waits for
/// the host more than it computes.
const ENOUGH: usize = 2000;

/// Which device training uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Device {
    /// The first CUDA device if there is one that works and the training set has at least 2000
    /// atoms; else the processor.
    #[default]
    Auto,
    /// The processor.
    None,
    /// The CUDA device of this number, from 0; an error if it cannot be used.
    Number(usize),
}

impl FromStr for Device {
    type Err = Error;

    /// `auto`, `none`, or a number.
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "auto" => Ok(Self::Auto),
            "none" => Ok(Self::None),
            _ => text.parse().map(Self::Number).map_err(|_| {
                Error::invalid(format!(
                    "unknown device {text:?}; expected auto, none or a number from 0"
                ))
            }),
        }
    }
}

impl TryFrom<String> for Device {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Device> for String {
    fn from(device: Device) -> Self {
        device.to_string()
    }
}

impl std::fmt::Display for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::None => f.write_str("none"),
            Self::Number(number) => write!(f, "{number}"),
        }
    }
}

/// Work of a device: a group, and the row of the gradients that its own is added to.
#[derive(Clone, Copy)]
#[cfg_attr(not(feature = "cuda"), allow(dead_code))]
pub(crate) struct Job {
    pub group: usize,
    pub row: usize,
}

/// Lets objectives compute on a device. Returns its name, or `None` for the processor.
///
/// **Errors**: [`Error::Backend`] if a device was asked for by number and cannot be used.
pub(crate) fn attach(
    device: Device,
    objectives: &mut [&mut Objective],
    warnings: &mut Vec<String>,
) -> Result<Option<String>> {
    let number = match device {
        Device::None => return Ok(None),
        Device::Number(number) => number,
        Device::Auto => {
            let atoms: usize = objectives.iter().map(|o| o.n_atoms()).max().unwrap_or(0);
            if atoms < ENOUGH || !Engine::present() {
                return Ok(None);
            }
            0
        }
    };
    let mut engines = Vec::new();
    for objective in &*objectives {
        match Engine::new(number, objective) {
            Ok(engine) => engines.push(engine),
            Err(e) if device == Device::Auto => {
                warnings.push(format!("the GPU is not used: {e}"));
                return Ok(None);
            }
            Err(e) => return Err(e),
        }
    }
    let name = engines.first().map(Engine::name);
    for (objective, engine) in objectives.iter_mut().zip(engines) {
        objective.compute_on(engine);
    }
    Ok(name)
}
