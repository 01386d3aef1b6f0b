//! Ways to explore: what makes the search for unknown environments more than plain dynamics.
//!
//! A way either guides dynamics (`Guide`: it bends the forces, moves atoms between steps, or judges frames
//! by more than their grades), or searches in a manner of its own (`Way::search`). A new way is one
//! file here, a variant of [`Way`], and its line in `Way::guide` or `Way::search`.

mod active;
mod anharmonic;
mod gathering;
mod hal;
mod monte_carlo;
mod path;
mod probability;
mod random_search;

pub use active::{Active, Atoms};
pub use anharmonic::{Anharmonic, measured};
pub use hal::{Hal, Ramp, Saturate, Stop, Trigger};
pub use monte_carlo::MonteCarlo;
pub use path::Path;
pub use probability::{EnergyRule, Rule, Spread, Usual};
pub use random_search::RandomSearch;

use super::potential::{GradedPotential, Labels, Signal};
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
    /// Dynamics that keeps what is uncertain and energetically viable.
    Anharmonic(Anharmonic),
    /// Dynamics that are biased towards what is uncertain.
    Hal(Hal),
    /// Monte Carlo: atoms that move, change places or elements, come and go.
    MonteCarlo(MonteCarlo),
    /// Atoms and cell climb the grade to a window.
    Active(Active),
    /// The way from one minimum to another.
    Path(Path),
    /// Random crystals with symmetry on their way to rest.
    RandomSearch(RandomSearch),
}

impl Way {
    /// Its kind, as in a campaign file.
    pub fn name(&self) -> String {
        let told = serde_json::to_value(self).ok();
        let kind = told.as_ref().and_then(|way| way.get("kind")?.as_str());
        kind.unwrap_or_default().to_owned()
    }

    /// True for plain dynamics.
    pub fn is_plain(&self) -> bool {
        *self == Self::Dynamics
    }

    /// True if it goes by this signal: σ needs the model's posterior, a committee its members.
    pub fn goes_by(&self, signal: Signal) -> bool {
        match self {
            Self::Hal(hal) => hal.signal == signal,
            Self::Anharmonic(way) => way.signal == signal,
            _ => false,
        }
    }

    /// True if it is dynamics, which may have moves in between.
    pub fn is_dynamics(&self) -> bool {
        matches!(self, Self::Dynamics | Self::Anharmonic(_) | Self::Hal(_))
    }

    /// The file that the way needs beside the start structure.
    pub fn file(&self) -> Option<&std::path::Path> {
        match self {
            Self::Path(way) => way.end.as_deref(),
            _ => None,
        }
    }

    /// Checks that the file fits a start.
    ///
    /// **Errors**: as for reading it; [`nepal::Error::InvalidArgument`] for other atoms.
    pub fn check_start(&self, start: &Structure) -> Result<()> {
        match self.file() {
            Some(file) => path::on_the_way(file, start).map(|_| ()),
            None => Ok(()),
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
            Self::Anharmonic(way) => way.validate(),
            Self::Hal(hal) => hal.validate(),
            Self::MonteCarlo(mc) => mc.validate(),
            Self::Active(way) => way.validate(),
            Self::Path(way) => way.validate(),
            Self::RandomSearch(way) => way.validate(),
        }
    }

    /// Tells the way what is usual, from structures that its model was not trained on, if it wants to know that.
    ///
    /// **Errors**: those of the potential, and of `held_out`.
    pub fn inform(
        &mut self,
        potential: &mut dyn GradedPotential,
        held_out: impl FnOnce() -> Result<Vec<Structure>>,
    ) -> Result<()> {
        match self {
            Self::Anharmonic(way) if way.usual.is_none() => way.inform(potential, &held_out()?),
            _ => Ok(()),
        }
    }

    /// Whether [`Way::inform`] has something to tell it.
    pub fn asks_what_is_usual(&self) -> bool {
        matches!(self, Self::Anharmonic(way) if way.usual.is_none())
    }

    /// Whether the next round goes on from the frame whose label the model missed by most.
    pub fn resumes(&self) -> bool {
        matches!(self, Self::Anharmonic(way) if way.resume)
    }

    /// What guides the dynamics, where this way is one of dynamics.
    pub(super) fn guide(&self, options: &ExploreOptions) -> Box<dyn Guide> {
        match self {
            Self::Dynamics => Box::new(Unguided),
            Self::Anharmonic(way) => way.guide(options),
            Self::Hal(hal) => Box::new(hal.guide(options)),
            // Searches have no dynamics to guide.
            Self::Active(_) | Self::MonteCarlo(_) | Self::Path(_) | Self::RandomSearch(_) => {
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
            Self::Dynamics | Self::Hal(_) | Self::Anharmonic(_) => None,
            Self::Active(way) => Some(way.search(potential, start, options, progress)),
            Self::MonteCarlo(way) => Some(way.search(potential, start, options, progress)),
            Self::Path(way) => Some(way.search(potential, start, options, progress)),
            Self::RandomSearch(way) => Some(way.search(potential, start, options, progress)),
        }
    }
}

impl FromStr for Way {
    type Err = Error;

    /// A kind and, after commas, its options: `hal,tau=0.2,axes=[1, 2]`.
    fn from_str(text: &str) -> Result<Self> {
        let (kind, rest) = text.split_once(',').unwrap_or((text, ""));
        let mut table = options(rest)?;
        table.insert("kind".into(), kind.trim().into());
        let way: Self = table
            .try_into()
            .map_err(|e| Error::invalid(format!("the way {text:?}: {}", e.to_string().trim())))?;
        way.validate()?;
        Ok(way)
    }
}

/// Options between commas: `tau=0.2,axes=[1, 2]`.
pub(super) fn options(text: &str) -> Result<toml::Table> {
    let mut depth = 0;
    let parts = text.split(|c| {
        depth += match c {
            '[' | '{' => 1,
            ']' | '}' => -1,
            _ => 0,
        };
        c == ',' && depth == 0
    });
    let mut table = toml::Table::new();
    for part in parts.filter(|part| !part.trim().is_empty()) {
        let (key, value) = part.split_once('=').ok_or_else(|| {
            Error::invalid(format!("the option {part:?} is odd; expected key=value"))
        })?;
        let value = value.trim();
        // Words need no quotes.
        let value = value.parse().unwrap_or_else(|_| toml::Value::from(value));
        table.insert(key.trim().into(), value);
    }
    Ok(table)
}

/// What a way adds to dynamics. All random numbers that it draws come from the run's seed.
pub(super) trait Guide: Send {
    /// What [`Guide::bend`] bends along, if it does.
    fn signal(&self) -> Option<Signal> {
        None
    }

    /// Adds the way's own to energy, forces and virial, which come as the potential gives them, beside the
    /// signal; called at every evaluation.
    fn bend(&mut self, _signal: Labels, _labels: &mut Labels) {}

    /// A step was done; the last evaluation was of its end.
    fn stepped(&mut self, _step: usize) {}

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

    /// True if the last frame is kept where nothing else was.
    fn keeps_last(&self) -> bool {
        false
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
