//! What to simulate: ensemble, temperature and pressure paths, time step.

use nepal::error::{Error, Result};
use serde::{Deserialize, Serialize};

/// How the temperature is held.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Thermostat {
    /// Langevin dynamics with a friction in 1/ps, integrated by the BAOAB splitting.
    ///
    /// **Source**: Leimkuhler & Matthews, Appl. Math. Res. Express 2013, 34 (2013).
    Langevin {
        /// Friction in 1/ps.
        friction: f64,
    },
    /// Stochastic velocity rescaling with a relaxation time in ps.
    ///
    /// **Source**: Bussi, Donadio & Parrinello, J. Chem. Phys. 126, 014101 (2007).
    Svr {
        /// Relaxation time of the kinetic energy in ps.
        tau: f64,
    },
}

/// How the pressure is held: stochastic cell rescaling.
///
/// **Source**: Bernetti & Bussi, J. Chem. Phys. 153, 114107 (2020).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Barostat {
    /// Relaxation time of the volume in ps.
    pub tau: f64,
    /// Isothermal compressibility in 1/GPa. Only its ratio to `tau` matters, and only for speed:
    /// the volume distribution does not depend on it. 0.01 suits hard crystals, 0.5 liquids.
    pub compressibility: f64,
    /// What changes besides the volume.
    pub anisotropic: Anisotropy,
}

/// How the cell changes at constant pressure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub enum Anisotropy {
    /// `false`: the shape is kept.
    #[default]
    Shape,
    /// `true`: the three Cartesian axes scale independently; angles of the cell stay where its axes lie along x, y
    /// and z.
    Axes,
    /// `"full"`: edges and angles change, by all six components of the strain.
    Full,
}

/// [`Anisotropy`] as it is written.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Flag(bool),
    Word(String),
}

impl From<Anisotropy> for Written {
    fn from(from: Anisotropy) -> Self {
        match from {
            Anisotropy::Shape => Self::Flag(false),
            Anisotropy::Axes => Self::Flag(true),
            Anisotropy::Full => Self::Word("full".into()),
        }
    }
}

impl TryFrom<Written> for Anisotropy {
    type Error = String;

    fn try_from(from: Written) -> std::result::Result<Self, String> {
        match from {
            Written::Flag(false) => Ok(Self::Shape),
            Written::Flag(true) => Ok(Self::Axes),
            Written::Word(word) if word == "full" => Ok(Self::Full),
            Written::Word(word) => Err(format!(
                "anisotropic is {word:?}; expected false, true (edges) or \"full\" (edges and angles)"
            )),
        }
    }
}

/// The statistical ensemble.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ensemble {
    /// Constant energy, velocity Verlet.
    Nve,
    /// Constant volume and temperature.
    Nvt(Thermostat),
    /// Constant pressure and temperature.
    Npt(Thermostat, Barostat),
}

impl Ensemble {
    /// Langevin dynamics at constant volume; friction in 1/ps.
    pub fn langevin(friction: f64) -> Self {
        Self::Nvt(Thermostat::Langevin { friction })
    }

    /// Stochastic velocity rescaling at constant volume; relaxation time in ps.
    pub fn svr(tau: f64) -> Self {
        Self::Nvt(Thermostat::Svr { tau })
    }

    /// Isotropic constant pressure with stochastic velocity rescaling; relaxation times in ps,
    /// for a compressibility of 0.01/GPa.
    pub fn npt(tau_t: f64, tau_p: f64) -> Self {
        Self::Npt(
            Thermostat::Svr { tau: tau_t },
            Barostat {
                tau: tau_p,
                compressibility: 0.01,
                anisotropic: Anisotropy::Shape,
            },
        )
    }

    pub(super) fn thermostat(&self) -> Option<Thermostat> {
        match *self {
            Self::Nve => None,
            Self::Nvt(thermostat) | Self::Npt(thermostat, _) => Some(thermostat),
        }
    }

    pub(super) fn barostat(&self) -> Option<Barostat> {
        match *self {
            Self::Npt(_, barostat) => Some(barostat),
            _ => None,
        }
    }

    /// Whether total momentum is conserved, so that three degrees of freedom are frozen.
    pub(super) fn conserves_momentum(&self) -> bool {
        !matches!(self.thermostat(), Some(Thermostat::Langevin { .. }))
    }
}

/// One molecular-dynamics run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MdOptions {
    /// The ensemble.
    pub ensemble: Ensemble,
    /// Temperature in K at the start and at the end; linear in between. The start value also sets
    /// the initial velocities.
    pub temperature: (f64, f64),
    /// Pressure in GPa at the start and at the end; linear in between. Constant pressure only.
    pub pressure: (f64, f64),
    /// Time step in ps.
    pub timestep: f64,
    /// Number of steps, over which temperature and pressure go from start to end.
    pub steps: usize,
    /// Seed of all random numbers of the run.
    pub seed: u64,
}

impl MdOptions {
    /// Checks that every number makes sense.
    ///
    /// **Errors**: [`Error::InvalidArgument`] naming the option.
    pub fn validate(&self) -> Result<()> {
        let positive = |name: &str, value: f64, unit: &str| {
            if value > 0.0 && value.is_finite() {
                Ok(())
            } else {
                Err(Error::invalid(format!(
                    "the {name} of the dynamics is {value} {unit}; expected a positive number"
                )))
            }
        };
        positive("time step", self.timestep, "ps")?;
        for t in [self.temperature.0, self.temperature.1] {
            if !(t >= 0.0 && t.is_finite()) {
                return Err(Error::invalid(format!(
                    "the temperature of the dynamics is {t} K; expected zero or a positive number"
                )));
            }
        }
        for p in [self.pressure.0, self.pressure.1] {
            if !p.is_finite() {
                return Err(Error::invalid(format!(
                    "the pressure of the dynamics is {p} GPa; expected a finite number"
                )));
            }
        }
        match self.ensemble.thermostat() {
            Some(Thermostat::Langevin { friction }) => positive("friction", friction, "1/ps")?,
            Some(Thermostat::Svr { tau }) => positive("thermostat time", tau, "ps")?,
            None => {}
        }
        if let Some(barostat) = self.ensemble.barostat() {
            positive("barostat time", barostat.tau, "ps")?;
            positive("compressibility", barostat.compressibility, "1/GPa")?;
        }
        Ok(())
    }

    /// Target temperature in K after a number of steps.
    pub fn temperature_at(&self, step: usize) -> f64 {
        self.ramp(self.temperature, step)
    }

    /// Target pressure in GPa after a number of steps.
    pub fn pressure_at(&self, step: usize) -> f64 {
        self.ramp(self.pressure, step)
    }

    fn ramp(&self, (start, end): (f64, f64), step: usize) -> f64 {
        if self.steps == 0 {
            return start;
        }
        start + (end - start) * (step as f64 / self.steps as f64).min(1.0)
    }
}
