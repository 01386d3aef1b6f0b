//! From what exploration kept to what is labelled: choose by gain, cut fragments from large cells.

use super::config::{GradeConfig, Scenario};
use super::event::{Event, Observer};
use super::rounds::Context;
use super::store::{SelectedRecord, SelectionRecord};
use crate::backend::BackendKind;
use crate::calculator::Calculator;
use crate::error::Result;
use crate::explore::{Barostat, Candidate, Ensemble, ExploreOptions, MdOptions, Thermostat};
use crate::fragment::{self, FragmentOptions, Origin};
use crate::grade::{ActiveSet, Features, Selection, select_above};
use crate::model::Model;
use crate::schedule;
use crate::system::{Frame, Structure, xyz};
use std::sync::Arc;

/// Time constant of the thermostat, ps.
const TAU_TEMPERATURE: f64 = 0.1;
/// Time constant of the barostat, ps.
const TAU_PRESSURE: f64 = 0.5;
/// Isothermal compressibility that sets the barostat's speed, 1/GPa.
const COMPRESSIBILITY: f64 = 0.02;
/// Friction of Langevin dynamics, 1/ps.
const FRICTION: f64 = 5.0;

/// The options of one exploration.
pub(super) fn explore_options(
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
        max_breaks: grade.max_breaks,
        ..ExploreOptions::default()
    }
}

/// The ensemble of a name that [`super::Config`] allows.
pub fn ensemble(name: &str, anisotropic: bool) -> Ensemble {
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
    frame.set_real_column("grade", 1, candidate.grades.clone());
    frame
}

/// What is made of one chosen structure.
struct Made {
    frame: Option<Frame>,
    form: String,
}

/// Chooses and cuts; returns the frames to label and the record.
pub(super) fn select(
    context: &Context<'_>,
    observer: &mut dyn Observer,
) -> Result<(Vec<Frame>, SelectionRecord)> {
    let config = &context.campaign.config;
    let candidates = xyz::read_frames(context.path("candidates.xyz"))?;
    let mut record = SelectionRecord {
        candidates: candidates.len(),
        ..SelectionRecord::default()
    };
    if candidates.is_empty() {
        return Ok((Vec::new(), record));
    }
    let model = Arc::new(Model::load(context.path("nep.txt"))?);
    let set = Arc::new(ActiveSet::load(context.path("active_set.asi"), &model)?);
    let mut backend = BackendKind::Cpu.create()?;
    let structures = candidates.iter().map(|f| &f.structure);
    let features = Features::collect(&model, &mut *backend, structures)?;
    let chosen = select_above(
        &set,
        &features,
        config.select.max_structures,
        config.grade.save,
    )?;
    let left_out = candidates.len() - chosen.len();
    if left_out > 0 {
        let why = if chosen.len() == config.select.max_structures {
            "budget of the round, or covered by a chosen structure"
        } else {
            "covered by a chosen structure"
        };
        record.refused.insert(why.into(), left_out);
    }
    let total = chosen.len() as u64;
    let mut made: Vec<Option<Result<Made>>> = chosen.iter().map(|_| None).collect();
    let mut done = 0;
    schedule::run_local(
        &chosen,
        context.campaign.threads(),
        &observer.stop_flag(),
        |_, choice: &Selection| -> Result<Made> {
            let parent = &candidates[choice.structure as usize];
            if parent.len() <= config.select.whole_cell_atoms {
                return Ok(Made {
                    frame: Some(whole(&parent.structure)),
                    form: "whole cell".into(),
                });
            }
            let mut calculator = Calculator::new(Arc::clone(&model), BackendKind::Cpu)?;
            calculator.set_active_set(Some(Arc::clone(&set)))?;
            let options = FragmentOptions {
                n_max: config.select.fragment_atoms,
                seed: config.seed,
                ..FragmentOptions::default()
            };
            cut(
                &mut calculator,
                &parent.structure,
                choice.atom as usize,
                &options,
            )
        },
        |index, result| {
            made[index] = Some(result);
            done += 1;
            observer.event(Event::Progress {
                what: "fragments".into(),
                done,
                total,
                detail: String::new(),
            });
        },
    );
    let mut frames = Vec::new();
    for (choice, result) in chosen.iter().zip(made) {
        let Some(result) = result else { continue };
        let Made { frame, form } = result?;
        let Some(mut frame) = frame else {
            *record.refused.entry(form).or_default() += 1;
            continue;
        };
        let parent = &candidates[choice.structure as usize];
        let info = |key: &str| parent.info.get(key).cloned().unwrap_or_default();
        record.selected.push(SelectedRecord {
            scenario: info("scenario"),
            step: info("step").parse().unwrap_or(0),
            temperature: info("temperature").parse().unwrap_or(0.0),
            atom: choice.atom as usize,
            grade: choice.grade,
            atoms: frame.len(),
            form: form.clone(),
        });
        for key in ["scenario", "step", "temperature"] {
            frame.info.insert(key.into(), info(key));
        }
        let round = context.round + 1;
        frame.info.insert("origin".into(), "exploration".into());
        frame.info.insert("round".into(), round.to_string());
        frame
            .info
            .insert("target_grade".into(), choice.grade.to_string());
        frame.info.insert("form".into(), form);
        frames.push(frame);
    }
    Ok((frames, record))
}

/// A whole cell to label, positions wrapped so that equal cells have equal hashes.
fn whole(structure: &Structure) -> Frame {
    let mut structure = structure.clone();
    for r in &mut structure.positions {
        *r = structure.cell.wrap(*r);
    }
    Frame::new(structure)
}

/// A fragment around an atom, or the reason why there is none.
fn cut(
    calculator: &mut Calculator,
    parent: &Structure,
    atom: usize,
    options: &FragmentOptions,
) -> Result<Made> {
    Ok(
        match fragment::extract(calculator, parent, atom, options)? {
            fragment::Outcome::Fragment(cut) => Made {
                form: format!("fragment: {}", cut.report.summary()),
                frame: Some(fragment::to_frame(&cut, &Origin::default())),
            },
            fragment::Outcome::WholeParent { reason } => Made {
                frame: Some(whole(parent)),
                form: format!("whole cell: {reason}"),
            },
            fragment::Outcome::Refused { reason } => Made {
                frame: None,
                form: format!("fragment refused: {reason}"),
            },
        },
    )
}
