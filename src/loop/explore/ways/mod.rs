//! Ways to explore: what makes the search for unknown environments more than plain dynamics.
//!
//! A way either guides dynamics ([`Guide`]: it bends the forces, moves atoms between steps, or judges frames
//! by more than their grades), or searches in a manner of its own ([`Way::search`]). A new way is one
//! file here, a variant of [`Way`], and its line in [`Way::guide`] or [`Way::search`].

mod active;
mod gathering;
mod path;
mod random_search;

pub use active::{Active, Atoms};
pub use path::Path;
pub use random_search::RandomSearch;

use super::dynamics::Md;
use super::potential::{GradedPotential, Labels};
use super::run::{Exploration, ExploreOptions};
use super::snapshot::Snapshot;
use nepal::error::{Error, Result};
use nepal::system::Structure;
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;
use std::str::FromStr;

/// Told the step and the largest Γ of every graded frame; may end the run.
pub type Progress<'a> = dyn FnMut(usize, f64) -> ControlFlow<()> + 'a;

/// How a scenario explores.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Way {
    /// Dynamics under the watch of the grade.
    #[default]
    Dynamics,
    /// Atoms and cell climb the grade to a window.
    Active(Active),
    /// The way from one minimum to another.
    Path(Path),
    /// Random crystals with symmetry on their way to rest.
    RandomSearch(RandomSearch),
}

impl Way {
    /// True for plain dynamics.
    pub fn is_plain(&self) -> bool {
        *self == Self::Dynamics
    }

    /// The file that the way needs beside the start structure.
    pub fn file(&self) -> Option<&std::path::Path> {
        match self {
            Self::Path(way) => way.end.as_deref(),
            _ => None,
        }
    }

    /// The same with its file looked for in a folder.
    pub fn within(mut self, folder: &std::path::Path) -> Self {
        if let Self::Path(way) = &mut self {
            way.end = way.end.take().map(|file| folder.join(file));
        }
        self
    }

    /// Checks that the numbers make sense.
    ///
    /// **Errors**: [`nepal::Error::InvalidArgument`] naming the option.
    pub fn validate(&self) -> Result<()> {
        match self {
            Self::Dynamics => Ok(()),
            Self::Active(way) => way.validate(),
            Self::Path(way) => way.validate(),
            Self::RandomSearch(way) => way.validate(),
        }
    }

    /// What guides the dynamics, where this way is one of dynamics.
    pub(super) fn guide(&self, _options: &ExploreOptions) -> Box<dyn Guide> {
        match self {
            // Searches have no dynamics to guide.
            Self::Dynamics | Self::Active(_) | Self::Path(_) | Self::RandomSearch(_) => {
                Box::new(Unguided)
            }
        }
    }

    /// The whole search, where this way is not one of dynamics.
    pub(super) fn search(
        &self,
        potential: &mut dyn GradedPotential,
        start: &Structure,
        options: &ExploreOptions,
        progress: &mut Progress<'_>,
    ) -> Option<Result<Exploration>> {
        match self {
            Self::Dynamics => None,
            Self::Active(way) => Some(way.search(potential, start, options, progress)),
            Self::Path(way) => Some(way.search(potential, start, options, progress)),
            Self::RandomSearch(way) => Some(way.search(potential, start, options, progress)),
        }
    }
}

impl FromStr for Way {
    type Err = Error;

    /// A kind and, after commas, its options: `hal,tau=0.2,axes=[1, 2]`.
    fn from_str(text: &str) -> Result<Self> {
        let mut depth = 0;
        let mut parts = text.split(|c| {
            depth += match c {
                '[' | '{' => 1,
                ']' | '}' => -1,
                _ => 0,
            };
            c == ',' && depth == 0
        });
        let kind = parts.next().unwrap_or_default().trim();
        let mut table = toml::Table::new();
        table.insert("kind".into(), kind.into());
        for part in parts {
            let (key, value) = part.split_once('=').ok_or_else(|| {
                Error::invalid(format!(
                    "the way {kind:?} has the option {part:?}; expected key=value"
                ))
            })?;
            let value = value.trim();
            // Words need no quotes.
            let value = value.parse().unwrap_or_else(|_| toml::Value::from(value));
            table.insert(key.trim().into(), value);
        }
        let way: Self = table
            .try_into()
            .map_err(|e| Error::invalid(format!("the way {text:?}: {}", e.to_string().trim())))?;
        way.validate()?;
        Ok(way)
    }
}

/// What a way adds to dynamics. All random numbers that it draws come from the run's seed.
pub(super) trait Guide: Send {
    /// Adds the way's own to energy, forces and virial, which come as the potential gives them; called at every
    /// evaluation.
    ///
    /// **Errors**: those of the potential.
    fn bend(
        &mut self,
        _potential: &mut dyn GradedPotential,
        _structure: &Structure,
        _labels: &mut Labels,
    ) -> Result<()> {
        Ok(())
    }

    /// Changes the state after a step: swaps, cell moves; true if it did. What it leaves has the energy, forces and
    /// virial of its positions, bent. Its trials are no frames of the run.
    ///
    /// **Errors**: those of the potential.
    fn moves(
        &mut self,
        _md: &mut Md,
        _potential: &mut dyn GradedPotential,
        _step: usize,
    ) -> Result<bool> {
        Ok(false)
    }

    /// Judges a graded frame that is within the limits of physics and of grades.
    ///
    /// **Errors**: those of the potential.
    fn judge(
        &mut self,
        _potential: &mut dyn GradedPotential,
        _frame: &Snapshot,
    ) -> Result<Verdict> {
        Ok(Verdict::default())
    }

    /// True if frames are kept by their grades (the run's thresholds) beside what [`Guide::judge`] keeps.
    fn keeps_by_grade(&self) -> bool {
        true
    }

    /// The way's own numbers of the last graded frame, for plots; always the same names in the same order.
    fn notes(&self) -> Vec<(&'static str, f64)> {
        Vec::new()
    }

    /// The run went back to an earlier frame.
    fn restarted(&mut self) {}
}

/// What a guide says of a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Why it is kept, if it is.
    pub keep: Option<&'static str>,
    /// True if the run has found what it was for.
    pub stop: bool,
}

/// Plain dynamics.
struct Unguided;

impl Guide for Unguided {}
