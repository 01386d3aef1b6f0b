//! Scenarios of exploration and their ladders.

use super::{Source, default_timestep, one};
use crate::campaign::engines::EngineConfig;
use crate::explore::{Anisotropy, Moves, Way};
use nepal::error::{Error, Result};
use nepal::system::Structure;
use serde::{Deserialize, Serialize};

/// One exploration: a structure, an ensemble, a path in temperature and pressure.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Name in report and files.
    pub name: String,
    /// Where it starts.
    pub start: Source,
    /// `nve`, `langevin`, `svr` (stochastic velocity rescaling) or `npt` (with stochastic cell
    /// rescaling).
    pub ensemble: String,
    /// Start and end temperature, K.
    pub temperature: [f64; 2],
    /// Start and end pressure, GPa; for `npt`.
    #[serde(default)]
    pub pressure: [f64; 2],
    /// How the cell changes, for `npt`: `false` keeps its shape, `true` lets the edges change independently, `"full"`
    /// edges and angles.
    #[serde(default)]
    pub anisotropic: Anisotropy,
    /// Strain of the start structure, in components of the tensor: xx, yy, zz, yz, xz, xy. It stays, unless
    /// the ensemble moves the cell.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub strain: [f64; 6],
    /// Time step, ps.
    #[serde(default = "default_timestep")]
    pub timestep: f64,
    /// Number of steps of a complete run.
    pub steps: usize,
    /// Walkers: independent runs of this scenario in each round, each with its own velocities and random
    /// numbers; of a start with several structures each takes the next one.
    #[serde(default = "one")]
    pub replicas: usize,
    /// Stages after the first, which is `temperature`, `pressure`, `strain` and `steps`: the scenario goes on to the
    /// next when a round of it is clean, and is not clean before its last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ladder: Vec<Stage>,
    /// What guides the search, by its `kind` and its own options; plain dynamics without it.
    #[serde(default, skip_serializing_if = "Way::is_plain")]
    pub way: Way,
    /// Monte Carlo moves between the steps of dynamics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moves: Option<Moves>,
    /// Another program that runs it, instead of the built-in dynamics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<EngineConfig>,
    /// Most structures of this scenario that are labelled in a round.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<usize>,
}

/// A stage of a scenario's ladder; what it does not say is as in the stage before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Stage {
    /// Start and end temperature, K.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<[f64; 2]>,
    /// Start and end pressure, GPa.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pressure: Option<[f64; 2]>,
    /// Number of steps of a complete run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<usize>,
    /// Strain of the start structure; as `strain` of the scenario.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strain: Option<[f64; 6]>,
}

/// What a stage comes to, with what it takes from those before.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rung {
    /// Start and end temperature, K.
    pub temperature: [f64; 2],
    /// Start and end pressure, GPa.
    pub pressure: [f64; 2],
    /// Steps of a complete run.
    pub steps: usize,
    /// Strain of the start structure: xx, yy, zz, yz, xz, xy.
    pub strain: [f64; 6],
}

impl Scenario {
    /// Refuses moves that cannot be made.
    pub(super) fn check_moves(&self) -> Result<()> {
        let Some(moves) = &self.moves else {
            return Ok(());
        };
        moves.validate()?;
        if self.engine.is_some() || !self.way.is_dynamics() || self.ensemble == "nve" {
            return Err(Error::invalid(
                "moves go between the steps of the built-in dynamics at a temperature; drop `moves`, or `engine` and ways that are no dynamics, and choose langevin, svr or npt",
            ));
        }
        let elements = match &self.start.composition {
            Some(mixed) => &mixed.elements,
            None => &self.start.elements,
        };
        let one = elements.iter().all(|e| *e == elements[0]);
        if moves.swaps > 0 && self.start.prototype.is_some() && one {
            return Err(Error::invalid(format!(
                "moves: swaps need atoms of two elements; the start has {elements:?} alone: set swaps = 0, or start from an alloy",
            )));
        }
        Ok(())
    }

    /// A stage, counted from 0; the last one for numbers beyond it.
    pub fn stage(&self, number: usize) -> Rung {
        let mut now = Rung {
            temperature: self.temperature,
            pressure: self.pressure,
            steps: self.steps,
            strain: self.strain,
        };
        for stage in self.ladder.iter().take(number) {
            now.temperature = stage.temperature.unwrap_or(now.temperature);
            now.pressure = stage.pressure.unwrap_or(now.pressure);
            now.steps = stage.steps.unwrap_or(now.steps);
            now.strain = stage.strain.unwrap_or(now.strain);
        }
        now
    }
}

impl Rung {
    /// A start structure with the stage's strain.
    ///
    /// **Errors**: [`nepal::Error::InvalidArgument`] for a strain that turns the cell inside out.
    pub fn strained(&self, start: &Structure) -> Result<Structure> {
        if self.strain == [0.0; 6] {
            return Ok(start.clone());
        }
        let [xx, yy, zz, yz, xz, xy] = self.strain;
        start.strained(&[[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
    }
}

fn is_zero(strain: &[f64; 6]) -> bool {
    *strain == [0.0; 6]
}
