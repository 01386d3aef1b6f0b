//! The dynamics of a scenario, and what it keeps as frames.

use crate::campaign::config::{GradeConfig, Scenario};
use crate::explore::{
    Anisotropy, Barostat, Candidate, Ensemble, ExploreOptions, MdOptions, Thermostat,
};
use nepal::system::Frame;

/// Time constant of the thermostat, ps.
const TAU_TEMPERATURE: f64 = 0.1;
/// Time constant of the barostat, ps.
const TAU_PRESSURE: f64 = 0.5;
/// Isothermal compressibility that sets the barostat's speed, 1/GPa.
const COMPRESSIBILITY: f64 = 0.02;
/// Friction of Langevin dynamics, 1/ps.
const FRICTION: f64 = 5.0;

/// The options of one exploration.
pub(in crate::campaign) fn explore_options(
    scenario: &Scenario,
    grade: &GradeConfig,
    seed: u64,
) -> ExploreOptions {
    ExploreOptions {
        md: MdOptions {
            ensemble: ensemble(&scenario.ensemble, scenario.anisotropic),
            temperature: (scenario.temperature[0], scenario.temperature[1]),
            pressure: (scenario.pressure[0], scenario.pressure[1]),
            timestep: scenario.timestep,
            steps: scenario.steps,
            seed,
        },
        grade_every: grade.every,
        save: grade.save,
        break_: grade.break_,
        spacing: grade.spacing,
        learn: grade.learn,
        max_breaks: grade.max_breaks,
        way: scenario.way.clone(),
        moves: scenario.moves,
        ..ExploreOptions::default()
    }
}

/// The ensemble of a name that [`super::Config`] allows.
pub fn ensemble(name: &str, anisotropic: Anisotropy) -> Ensemble {
    match name {
        "nve" => Ensemble::Nve,
        "langevin" => Ensemble::langevin(FRICTION),
        "npt" => Ensemble::Npt(
            Thermostat::Svr {
                tau: TAU_TEMPERATURE,
            },
            Barostat {
                tau: TAU_PRESSURE,
                compressibility: COMPRESSIBILITY,
                anisotropic,
            },
        ),
        _ => Ensemble::svr(TAU_TEMPERATURE),
    }
}

/// A kept environment as a frame that tells where it comes from.
pub fn candidate_frame(run: &str, candidate: &Candidate) -> Frame {
    let mut frame = Frame::new(candidate.structure.clone());
    let mut note = |key: &str, value: String| {
        frame.info.insert(key.into(), value);
    };
    note("scenario", run.to_owned());
    note("step", candidate.step.to_string());
    note("temperature", format!("{:.1}", candidate.temperature));
    note("atom", candidate.atom.to_string());
    note("grade", candidate.grade.to_string());
    if candidate.by_way {
        note(super::ranked::KEPT, candidate.why.to_owned());
    }
    frame.set_real_column("grade", 1, candidate.grades.clone());
    frame
}
