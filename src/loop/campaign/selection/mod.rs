//! What of a round's candidates is labelled: which, in which order, whole or as fragments.
//!
//! Ranking is pure ([`choose`]); this file reads the candidates, counts budgets, cuts fragments and
//! writes down what was done.

mod choose;
mod cut;
mod gain;
mod known;
mod pool;
mod scenario;
#[cfg(test)]
mod tests;
mod volume;

pub use crate::explore::ways::EnergyRule;
pub use choose::Method;
pub use scenario::{candidate_frame, ensemble};

pub(super) use scenario::explore_options;

use super::config::{Config, SelectConfig};
use super::event::{Event, Observer};
use super::ground::Context;
use super::store::{SelectedRecord, SelectionRecord};
use super::training::POSTERIOR;
use crate::explore::Signal;
use crate::explore::ways::{Rule, measured};
use crate::schedule;
use choose::{Chosen, Rules, choose};
use cut::{Cut, cut, whole};
use known::Asked;
use nepal::calculator::Calculator;
use nepal::error::{Error, Result};
use nepal::fragment::FragmentOptions;
use nepal::grade::{ActiveSet, Help};
use nepal::model::Model;
use nepal::posterior::Posterior;
use nepal::system::{Frame, xyz};
use nepal::{BackendKind, Request};
use pool::{Group, Grouping, groups};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Why a way kept a frame, whatever its grades.
const KEPT: &str = "kept";

/// The column of force deviations, eV/Å.
pub const SIGMA_COLUMN: &str = "force_std";

/// A structure that [`select_structures`] chose.
#[derive(Clone, Debug, PartialEq)]
pub struct Picked {
    /// Number of the structure, from 0.
    pub structure: usize,
    /// Its most novel atom.
    pub atom: usize,
    /// Its largest grade when it was chosen, those before it being known.
    pub grade: f64,
    /// What the method ranks by: gain per cost, grade, rows, distance.
    pub score: f64,
}

/// Chooses whole structures for labelling, best first, and tells how many were left out for which
/// reason. `reference` are frames whose grades and energies say what is usual, for
/// [`Method::Almomd`].
///
/// **Errors**: [`Error::InvalidArgument`] for a threshold below 1, or without reference frames where
/// the method needs them; what evaluating the structures says.
pub fn select_structures(
    model: &Arc<Model>,
    set: &Arc<ActiveSet>,
    frames: &[Frame],
    reference: &[Frame],
    options: &SelectConfig,
    threshold: f64,
    seed: u64,
) -> Result<(Vec<Picked>, BTreeMap<String, usize>)> {
    let known = (model, set);
    select_structures_on(None, known, frames, reference, options, threshold, seed)
}

/// [`select_structures`] for a model and its active set with the help of a device, which
/// [`Method::Maxvol`] makes use of: the same choice.
///
/// **Errors**: as [`select_structures`]; [`Error::Backend`] when the device fails.
pub fn select_structures_on(
    help: Help<'_>,
    (model, set): (&Arc<Model>, &Arc<ActiveSet>),
    frames: &[Frame],
    reference: &[Frame],
    options: &SelectConfig,
    threshold: f64,
    seed: u64,
) -> Result<(Vec<Picked>, BTreeMap<String, usize>)> {
    if threshold.is_nan() || threshold < 1.0 {
        return Err(Error::invalid(format!(
            "the threshold of the selection is {threshold}; expected at least 1"
        )));
    }
    let grouping = Grouping {
        whole: usize::MAX,
        fragment: usize::MAX,
        targets: 1,
        threshold,
        exponent: options.cost_exponent.unwrap_or(DEFAULT_EXPONENT),
    };
    let rules = Rules {
        method: options.method,
        max: options.max_structures,
        threshold,
        duplicate: options.duplicate,
        anchors: false,
        quotas: BTreeMap::new(),
        seed,
    };
    let pool = Candidates {
        frames,
        names: vec![String::new(); frames.len()],
        reference,
    };
    let help = help.filter(|_| options.method == Method::Maxvol);
    let (groups, chosen) = ranked(
        (model, set, help),
        &pool,
        &mut Asked::default(),
        &grouping,
        &rules,
        options,
    )?;
    let picked = chosen
        .choices
        .iter()
        .map(|c| Picked {
            structure: groups[c.group].candidate,
            atom: groups[c.group].atom,
            grade: c.grade,
            score: c.score,
        })
        .collect();
    Ok((picked, chosen.left_out))
}

/// Cost of a label is atoms to this power, where the method is more than a potential: electronic
/// structure is cubic only for large cells.
const DEFAULT_EXPONENT: f64 = 2.0;

/// Candidates with the scenarios that found them.
struct Candidates<'a> {
    frames: &'a [Frame],
    names: Vec<String>,
    /// Frames that say what is usual.
    reference: &'a [Frame],
}

/// Whether a candidate was cut from a large simulation while that ran.
fn is_fragment(frame: &Frame) -> bool {
    frame.force_mask.is_some() && frame.info.contains_key("parent_atom")
}

/// Groups and choice.
fn ranked(
    (model, set, help): (&Arc<Model>, &Arc<ActiveSet>, Help<'_>),
    candidates: &Candidates<'_>,
    asked: &mut Asked,
    grouping: &Grouping,
    rules: &Rules,
    options: &SelectConfig,
) -> Result<(Vec<Group>, Chosen)> {
    let mut calculator = Calculator::new(Arc::clone(model), BackendKind::Cpu)?;
    let mut all = Vec::new();
    let mut before: BTreeMap<String, usize> = BTreeMap::new();
    for (number, frame) in candidates.frames.iter().enumerate() {
        if let Some(why) = asked.meet(&frame.structure) {
            *before.entry(why.into()).or_default() += 1;
            continue;
        }
        let name = (number, candidates.names[number].as_str());
        // A fragment is small already, whatever its size.
        let whole = if is_fragment(frame) {
            usize::MAX
        } else {
            grouping.whole
        };
        let mut grouping = Grouping { whole, ..*grouping };
        if frame.info.contains_key(KEPT) {
            grouping.threshold = 0.0;
        }
        let found = groups(&mut calculator, set, &frame.structure, name, &grouping)?;
        if found.is_empty() {
            *before.entry("known ground".into()).or_default() += 1;
        }
        all.extend(found);
    }
    let worth = match rules.method {
        Method::Almomd => probabilities(model, set, candidates, &all, options)?,
        Method::Sigma => all
            .iter()
            .map(|group| deviation(candidates.frames, group.candidate))
            .collect::<Result<_>>()?,
        _ => Vec::new(),
    };
    let mut chosen = choose(set, &all, &worth, rules, help)?;
    for (why, count) in before {
        *chosen.left_out.entry(why).or_default() += count;
    }
    Ok((all, chosen))
}

/// The largest force deviation of a frame, eV/Å.
fn deviation(frames: &[Frame], index: usize) -> Result<f64> {
    match frames[index].real_column(SIGMA_COLUMN) {
        Some((values, 1)) => Ok(values.iter().copied().fold(0.0, f64::max)),
        _ => Err(Error::invalid(format!(
            "the method sigma needs the column {SIGMA_COLUMN}, which frame {} lacks; explore, predict and select write it with --posterior",
            index + 1
        ))),
    }
}

/// P_U P_E of each group, from the grades and energies that the model gives the reference frames.
fn probabilities(
    model: &Arc<Model>,
    set: &Arc<ActiveSet>,
    candidates: &Candidates<'_>,
    groups: &[Group],
    options: &SelectConfig,
) -> Result<Vec<f64>> {
    let mut calculator = Calculator::new(Arc::clone(model), BackendKind::Cpu)?;
    calculator.set_active_set(Some(Arc::clone(set)))?;
    let reference = candidates.reference.iter().map(|f| &f.structure);
    let usual = measured(&mut calculator, Signal::Grade, reference)?.ok_or_else(|| {
        Error::invalid("the method almomd needs frames that say what is usual; give a test set")
    })?;
    let rule = Rule {
        energy: options.energy_rule,
        ..Rule::default()
    };
    groups
        .iter()
        .map(|group| {
            let structure = &candidates.frames[group.candidate].structure;
            let energy = calculator.compute(structure, Request::FORCES)?.energy;
            let energy = energy / structure.len().max(1) as f64;
            Ok(rule.uncertain(group.grade, usual.uncertainty) * rule.viable(energy, usual.energy))
        })
        .collect()
}

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
            let mut calculator = Calculator::new(Arc::clone(&model), BackendKind::Cpu)?;
            calculator.set_active_set(Some(Arc::clone(&set)))?;
            let options = FragmentOptions {
                n_max: config.select.fragment_atoms,
                seed: config.seed,
                ..FragmentOptions::default()
            };
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
