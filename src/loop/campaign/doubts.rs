//! Labels to doubt: large errors where the model should know.
//!
//! An atom whose environment is well inside known ground and whose force is yet far from the model's tells
//! more of the label than of the model. Such labels are computed again, with tighter settings where the method has such;
//! what comes out twice is believed, so that a good label costs a second computation at worst and stays as it was. A
//! method that errs twice in the same way, with tighter settings too, is not found out.
//!
//! The judge of a round is the model of the round before. The first round has none: there a short training on
//! its own labels is the judge, which the few wrong ones among them cannot bend to their side.

use super::Campaign;
use super::event::{Event, Observer};
use super::labelling::{Asked, with_label};
use super::rounds::Context;
use super::store::{TrainingRecord, read_json, write_json};
use super::training::{Plan, train_model};
use crate::label::{Label, LabelRunner, Outcome, Rejection, TIGHT, Verdict};
use nepal::calculator::Calculator;
use nepal::error::Result;
use nepal::grade::ActiveSet;
use nepal::model::Model;
use nepal::system::Frame;
use nepal::{BackendKind, Request};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

/// Grade up to which an environment is known ground.
const KNOWN: f64 = 1.0;
/// Errors beyond the third quartile by this many times the distance of the quartiles are outliers.
const FENCE: f64 = 3.0;
/// And beyond this many times the training's error: a narrow round has outliers of no weight. The second is
/// for energies of rounds too small for quartiles.
const TRAINED: [f64; 2] = [6.0, 20.0];
/// Fewer atoms of an element, and fewer energies, than this have no quartiles worth the name.
const COUNTS: [usize; 2] = [20, 8];
/// Smallest errors that are worth a label: eV/Å, and eV/atom.
const SMALL: [f64; 2] = [0.02, 2e-3];
/// Share of a round's labels that is doubted at most, the worst first, and a number that always may be.
const MOST: (f64, usize) = (0.05, 3);
/// Two labels of one structure that differ by less are the same: eV/atom, and eV/Å.
const SAME: [f64; 2] = [1e-3, 1e-2];
/// Times that a label is computed before it is given up.
const TIMES: usize = 3;
/// Part of the first training that its judge gets, and labels that it needs.
const FIRST: (usize, usize) = (3, 12);

/// Judges a round's labels.
pub(super) struct Doubts {
    /// The model of the round before.
    before: Option<Judge>,
    /// Keys of labels that were doubted: survives a restart.
    path: PathBuf,
    /// Of the training of a judge.
    checkpoint: PathBuf,
}

struct Judge {
    calculator: Calculator,
    /// Energy and force errors of its training, eV/atom and eV/Å; zero where the labels in question were
    /// among its data.
    trained: [f64; 2],
}

/// A doubted label, as the round's `doubted.json` lists them.
#[derive(Serialize, Deserialize)]
struct Doubt {
    key: String,
    /// Its largest error by the error that is an outlier's.
    times: f64,
}

/// What is known of one error: how large, of which label, and whether it counts against the label.
struct Finding<'a> {
    error: f64,
    key: &'a String,
    counts: bool,
}

impl Doubts {
    /// What judges a round.
    pub fn of(context: &Context<'_>) -> Result<Self> {
        let before = match context.round.checked_sub(1).map(|r| context.of(r)) {
            Some(before) => {
                let model = Arc::new(Model::load(before.path("nep.txt"))?);
                let set = ActiveSet::load(before.path("active_set.asi"), &model)?;
                let training: TrainingRecord = read_json(&before.path("training.json"))?;
                let mut calculator = Calculator::new(model, BackendKind::Cpu)?;
                calculator.set_active_set(Some(Arc::new(set)))?;
                let errors = [training.train.energy_rmse, training.train.force_rmse];
                Some(Judge {
                    calculator,
                    trained: errors.map(|e| e.unwrap_or(0.0)),
                })
            }
            None => None,
        };
        Ok(Self {
            before,
            path: context.path("doubted.json"),
            checkpoint: context.path("judge.checkpoint.json"),
        })
    }

    /// Keys of labels that an earlier driver has set aside.
    pub fn set_aside(&self, runner: &LabelRunner) -> Result<BTreeSet<String>> {
        let mut keys = BTreeSet::new();
        if self.path.exists() {
            for Doubt { key, .. } in read_json::<Vec<Doubt>>(&self.path)? {
                if !runner.cache().doubted(&key)?.is_empty() {
                    keys.insert(key);
                }
            }
        }
        Ok(keys)
    }

    /// Has doubtful labels computed again until two agree, or gives them up.
    pub fn resolve(
        mut self,
        asked: &Asked<'_>,
        frames: &[Frame],
        keys: &[Option<String>],
        outcomes: &mut HashMap<String, Outcome>,
        observer: &mut dyn Observer,
    ) -> Result<()> {
        let doubted: Vec<Doubt> = if self.path.exists() {
            read_json(&self.path)?
        } else {
            let list = self.suspects(asked.campaign, frames, keys, outcomes, observer)?;
            write_json(&self.path, &list)?;
            list
        };
        let mut told = false;
        loop {
            let mut again = Vec::new();
            for Doubt { key, .. } in &doubted {
                if self.stands(asked, key, outcomes)? {
                    again.push(key);
                }
            }
            if again.is_empty() {
                return Ok(());
            }
            if !told {
                observer.event(Event::Warning(format!(
                    "{} labels are far from the model where it should know; computing them again",
                    again.len()
                )));
                told = true;
            }
            let second = again.iter().map(|key| (*key).clone()).collect();
            let asked = Asked {
                tight: &second,
                ..*asked
            };
            let fresh = asked.label(observer)?;
            for key in again {
                if let Some(new) = fresh.get(key) {
                    outcomes.insert(key.clone(), new.clone());
                }
            }
        }
    }

    /// Whether a doubt stands, so that the label has to be computed again; it is set aside for that.
    fn stands(
        &self,
        asked: &Asked<'_>,
        key: &str,
        outcomes: &mut HashMap<String, Outcome>,
    ) -> Result<bool> {
        let cache = asked.runner.cache();
        let Some(outcome) = outcomes.get_mut(key) else {
            return Ok(false);
        };
        let Verdict::Accepted(now) = &outcome.verdict else {
            return Ok(false);
        };
        let earlier = cache.doubted(key)?;
        let agree: Vec<&Label> = earlier.iter().filter(|old| same(old, now)).collect();
        if !agree.is_empty() {
            // What tighter settings confirm is kept as all other labels are.
            let usual = agree.into_iter().find(|l| !l.info.contains_key(TIGHT));
            if let Some(usual) = usual.filter(|_| now.info.contains_key(TIGHT)) {
                cache.put(key, usual)?;
                outcome.verdict = Verdict::Accepted(usual.clone());
            }
            return Ok(false);
        }
        // One that was in quarantine until a limit was raised is no file of a label yet.
        if !cache.label_path(key).exists() {
            cache.put(key, now)?;
        }
        cache.set_aside(key)?;
        if earlier.len() + 1 < TIMES {
            return Ok(true);
        }
        let reason = format!(
            "{TIMES} labels of the structure differ from each other: the method does not repeat"
        );
        let rejection = Rejection {
            reason: &reason,
            ..Rejection::default()
        };
        let kept = Some(cache.reject(key, &rejection)?);
        outcome.verdict = Verdict::Rejected {
            reason,
            kept,
            cause: Default::default(),
        };
        Ok(false)
    }

    /// Keys of labels whose errors are outliers.
    fn suspects(
        &mut self,
        campaign: &Campaign,
        frames: &[Frame],
        keys: &[Option<String>],
        outcomes: &HashMap<String, Outcome>,
        observer: &mut dyn Observer,
    ) -> Result<Vec<Doubt>> {
        let mut labelled = Vec::new();
        for (frame, key) in frames.iter().zip(keys) {
            let Some(key) = key else { continue };
            if let Some(Verdict::Accepted(label)) = outcomes.get(key).map(|o| &o.verdict) {
                labelled.push((frame, key, label));
            }
        }
        let mut first = None;
        let judge = match &mut self.before {
            Some(judge) => judge,
            None if labelled.len() < FIRST.1 => return Ok(Vec::new()),
            None => {
                let plan = Plan {
                    epochs: (campaign.config.model.first_epochs / FIRST.0).max(1),
                    checkpoint: &self.checkpoint,
                };
                let data: Vec<Frame> = labelled.iter().map(|(f, _, l)| with_label(f, l)).collect();
                let (model, _) = train_model(campaign, &data, &[], None, plan, observer)?;
                first.insert(Judge {
                    calculator: Calculator::new(Arc::new(model), BackendKind::Cpu)?,
                    trained: [0.0; 2],
                })
            }
        };
        judge.suspects(&labelled)
    }
}

impl Judge {
    fn suspects(&mut self, labelled: &[(&Frame, &String, &Label)]) -> Result<Vec<Doubt>> {
        let graded = self.calculator.active_set().is_some();
        let mut energies: Vec<Finding<'_>> = Vec::new();
        let mut forces: BTreeMap<&str, Vec<Finding<'_>>> = BTreeMap::new();
        for &(frame, key, label) in labelled {
            let mut request = Request::FORCES;
            if graded {
                request |= Request::GRADES;
            }
            let results = self.calculator.compute(&frame.structure, request)?;
            let masked = |atom: usize| frame.force_mask.as_ref().is_some_and(|m| m[atom] == 0.0);
            for (atom, element) in frame.structure.elements.iter().enumerate() {
                if masked(atom) {
                    continue;
                }
                let (f, g) = (label.forces[atom], results.forces[atom]);
                let list = forces.entry(element.symbol()).or_default();
                list.push(Finding {
                    error: (0..3).map(|d| (f[d] - g[d]).powi(2)).sum::<f64>().sqrt(),
                    key,
                    counts: !graded || results.grade[atom] < KNOWN,
                });
            }
            // The energy of a fragment is its boundary's as much as its core's.
            if frame.force_mask.is_none() {
                energies.push(Finding {
                    error: (label.energy - results.energy).abs() / frame.len().max(1) as f64,
                    key,
                    counts: true,
                });
            }
        }
        let mut lists = Vec::new();
        for list in forces.into_values().filter(|l| l.len() >= COUNTS[0]) {
            lists.push((list, SMALL[0].max(TRAINED[0] * self.trained[1])));
        }
        let small = energies.len() < COUNTS[1];
        if !small || graded {
            let times = TRAINED[usize::from(small)];
            lists.push((energies, SMALL[1].max(times * self.trained[0])));
        }
        let mut found: BTreeMap<&String, f64> = BTreeMap::new();
        for (list, floor) in lists {
            let limit = fence(&list).max(floor);
            for finding in list.iter().filter(|f| f.counts && f.error > limit) {
                let worst = found.entry(finding.key).or_default();
                *worst = worst.max(finding.error / limit);
            }
        }
        let mut found: Vec<(&String, f64)> = found.into_iter().collect();
        found.sort_by(|a, b| b.1.total_cmp(&a.1));
        let share = (MOST.0 * labelled.len() as f64) as usize;
        found.truncate(share.max(MOST.1));
        let doubts = found.into_iter().map(|(key, times)| Doubt {
            key: key.clone(),
            times,
        });
        Ok(doubts.collect())
    }
}

/// The error above which others are outliers; none for a few energies.
fn fence(list: &[Finding<'_>]) -> f64 {
    let mut errors: Vec<f64> = list.iter().map(|f| f.error).collect();
    if errors.len() < COUNTS[1] {
        return 0.0;
    }
    errors.sort_by(f64::total_cmp);
    let (low, high) = (errors[errors.len() / 4], errors[3 * errors.len() / 4]);
    high + FENCE * (high - low)
}

/// Whether two labels of one structure agree.
fn same(a: &Label, b: &Label) -> bool {
    let atoms = a.forces.len().max(1) as f64;
    let forces = a.forces.iter().flatten().zip(b.forces.iter().flatten());
    (a.energy - b.energy).abs() <= SAME[0] * atoms
        && a.forces.len() == b.forces.len()
        && forces.map(|(x, y)| (x - y).abs()).fold(0.0, f64::max) <= SAME[1]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(energy: f64, force: f64) -> Label {
        Label {
            energy,
            forces: vec![[force, 0.0, 0.0], [-force, 0.0, 0.0]],
            virial: None,
            info: Default::default(),
        }
    }

    #[test]
    fn labels_agree_within_what_a_method_repeats() {
        assert!(same(&label(1.0, 0.5), &label(1.0015, 0.505)));
        assert!(!same(&label(1.0, 0.5), &label(1.003, 0.5)));
        assert!(!same(&label(1.0, 0.5), &label(1.0, 0.52)));
    }
}
