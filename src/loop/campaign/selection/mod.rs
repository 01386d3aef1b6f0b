//! What of a round's candidates is labelled: which, in which order, whole or as fragments.
//!
//! Ranking is pure ([`choose`]); this file reads the candidates, counts budgets, cuts fragments and
//! writes down what was done.

mod choose;
mod cut;
mod gain;
mod known;
mod pool;
mod ranked;
mod scenario;
mod structures;
#[cfg(test)]
mod tests;
mod volume;

pub use crate::explore::ways::EnergyRule;
pub use choose::Method;
pub use ranked::SIGMA_COLUMN;
pub use scenario::{candidate_frame, ensemble};
pub use structures::{Picked, select_structures, select_structures_on};

pub(super) use cut::{Cut, cut, whole};
pub(super) use scenario::explore_options;

use super::config::{Config, SelectConfig};
use super::event::{Event, Observer};
use super::ground::Context;
use super::store::{SelectedRecord, SelectionRecord};
use super::training::POSTERIOR;
use crate::schedule;
use choose::Rules;
use known::Asked;
use nepal::calculator::Calculator;
use nepal::error::Result;
use nepal::grade::ActiveSet;
use nepal::model::Model;
use nepal::posterior::Posterior;
use nepal::system::{Frame, xyz};
use nepal::{BackendKind, Request};
use pool::Grouping;
use ranked::{Candidates, is_fragment, ranked};
use std::sync::Arc;

/// Cost of a label is atoms to this power, where the method is more than a potential: electronic
/// structure is cubic only for large cells.
const DEFAULT_EXPONENT: f64 = 2.0;

impl Config {
    /// The power of the number of atoms that a label costs.
    fn cost_exponent(&self) -> f64 {
        use crate::label::LabellerConfig as L;
        let default = match self.label.method {
            L::StillingerWeber(_) | L::Nep(_) | L::Lammps(_) => 1.0,
            _ => DEFAULT_EXPONENT,
        };
        self.select.cost_exponent.unwrap_or(default)
    }

    /// The scenario of a run: its name without the number of the walker.
    pub(super) fn scenario_of<'a>(&'a self, run: &'a str) -> &'a str {
        let named = |name: &str| self.explore.iter().any(|s| s.name == name);
        match run.rsplit_once('.') {
            Some((name, _)) if !named(run) && named(name) => name,
            _ => run,
        }
    }
}

/// Chooses and cuts; returns the frames to label and the record. At most `most` structures.
pub(super) fn select(
    context: &Context<'_>,
    most: usize,
    observer: &mut dyn Observer,
) -> Result<(Vec<Frame>, SelectionRecord)> {
    let campaign = context.campaign;
    let config = &campaign.config;
    let mut candidates = xyz::read_frames(context.path("candidates.xyz"))?;
    let mut record = SelectionRecord {
        candidates: candidates.len(),
        ..SelectionRecord::default()
    };
    if candidates.is_empty() {
        return Ok((Vec::new(), record));
    }
    let model = Arc::new(Model::load(context.path("nep.txt"))?);
    let set = Arc::new(ActiveSet::load(context.path("active_set.asi"), &model)?);
    if config.select.method == Method::Sigma {
        let posterior = Posterior::load(context.path(POSTERIOR), &model)?;
        let mut calculator = Calculator::new(Arc::clone(&model), BackendKind::Cpu)?;
        calculator.set_posterior(Some(Arc::new(posterior)))?;
        for frame in &mut candidates {
            let found = calculator.compute(&frame.structure, Request::SIGMA)?;
            frame.set_real_column(SIGMA_COLUMN, 1, found.sigma.clone());
        }
    }
    let info = |frame: &Frame, key: &str| frame.info.get(key).cloned().unwrap_or_default();
    let names = candidates
        .iter()
        .map(|f| config.scenario_of(&info(f, "scenario")).to_owned())
        .collect();
    let reference = match config.select.method {
        Method::Almomd => {
            let test = xyz::read_frames(context.of(0).path("test.xyz"))?;
            if test.is_empty() {
                super::training::training_frames(campaign, context.round)?
            } else {
                test
            }
        }
        _ => Vec::new(),
    };
    let grouping = Grouping {
        whole: config.select.whole_cell_atoms,
        fragment: config.select.fragment_atoms,
        targets: config.select.targets_per_frame,
        threshold: config.grade.save,
        exponent: config.cost_exponent(),
    };
    let rules = Rules {
        method: config.select.method,
        max: most,
        threshold: config.grade.save,
        duplicate: config.select.duplicate,
        anchors: config.select.anchors,
        quotas: config
            .explore
            .iter()
            .filter_map(|s| Some((s.name.clone(), s.quota?)))
            .collect(),
        seed: config.seed ^ nepal::files::fnv1a(format!("select/{}", context.round).as_bytes()),
    };
    let pool = Candidates {
        frames: &candidates,
        names,
        reference: &reference,
    };
    let mut asked = Asked::before(context)?;
    let (groups, chosen) = ranked(
        (&model, &set, None),
        &pool,
        &mut asked,
        &grouping,
        &rules,
        &config.select,
    )?;
    record.refused = chosen.left_out;
    let total = chosen.choices.len() as u64;
    let options = config.fragment_options()?;
    let mut made: Vec<Option<Result<Cut>>> = chosen.choices.iter().map(|_| None).collect();
    let mut done = 0;
    schedule::run_local(
        &chosen.choices,
        campaign.threads(),
        &observer.stop_flag(),
        |_, choice| -> Result<Cut> {
            let group = &groups[choice.group];
            let parent = &candidates[group.candidate];
            if is_fragment(parent) {
                return Ok(Cut {
                    frame: Some(parent.clone()),
                    form: "fragment, cut by the run".into(),
                });
            }
            if parent.len() <= config.select.whole_cell_atoms {
                return Ok(Cut {
                    frame: Some(whole(&parent.structure)),
                    form: "whole cell".into(),
                });
            }
            if config.model.baseline.is_some() {
                return Ok(Cut {
                    frame: None,
                    form: format!(
                        "fragments are shaped by the model's own forces, which are a difference to the baseline: cells \
                         above select.whole_cell_atoms = {} cannot be cut",
                        config.select.whole_cell_atoms
                    ),
                });
            }
            let mut calculator = Calculator::new(Arc::clone(&model), BackendKind::Cpu)?;
            calculator.set_active_set(Some(Arc::clone(&set)))?;
            cut(&mut calculator, &parent.structure, group.atom, &options)
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
    for (choice, result) in chosen.choices.iter().zip(made) {
        let Some(result) = result else { continue };
        let Cut { frame, form } = result?;
        let group = &groups[choice.group];
        let Some(mut frame) = frame else {
            *record.refused.entry(form).or_default() += 1;
            continue;
        };
        let parent = &candidates[group.candidate];
        record.selected.push(SelectedRecord {
            scenario: info(parent, "scenario"),
            step: info(parent, "step").parse().unwrap_or(0),
            temperature: info(parent, "temperature").parse().unwrap_or(0.0),
            atom: group.atom,
            // Records hold finite numbers only.
            grade: choice.grade.min(f64::MAX),
            score: choice.score.min(f64::MAX),
            atoms: frame.len(),
            form: form.clone(),
        });
        for key in ["scenario", "step", "temperature"] {
            frame.info.insert(key.into(), info(parent, key));
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
