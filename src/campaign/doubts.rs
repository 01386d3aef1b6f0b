//! Labels to doubt: large errors where the model is at home.
//!
//! An atom whose environment is well inside known ground and whose force is yet far from the model's tells
//! more of the label than of the model. Such labels are computed again; what comes out twice is believed.

use super::event::{Event, Observer};
use super::labelling::Asked;
use super::rounds::Context;
use super::store::{TrainingRecord, read_json, write_json};
use crate::backend::{BackendKind, Request};
use crate::calculator::Calculator;
use crate::error::Result;
use crate::grade::ActiveSet;
use crate::label::{Label, Outcome, Rejection, Verdict};
use crate::model::Model;
use crate::system::Frame;
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

/// Grade up to which an environment is known ground.
const KNOWN: f64 = 1.0;
/// Errors beyond the third quartile by this many times the distance of the quartiles are outliers.
const FENCE: f64 = 3.0;
/// And beyond this many times the training's force error: a narrow round has outliers of no weight.
const TRAINED: f64 = 6.0;
/// Fewer atoms of an element than this have no quartiles worth the name.
const ATOMS: usize = 20;
/// Two labels of one structure that differ by less are the same: eV/atom, and eV/Å.
const SAME: [f64; 2] = [1e-3, 1e-2];
/// Times that a label is computed before it is given up.
const TIMES: usize = 3;

/// Judges a round's labels by the model of the round before.
pub(super) struct Doubts {
    calculator: Calculator,
    /// Force error of its training, eV/Å.
    trained: f64,
    /// Keys of labels that were doubted: survives a restart.
    path: PathBuf,
}

impl Doubts {
    /// The judge of a round; there is none before the first model.
    pub fn of(context: &Context<'_>) -> Result<Option<Self>> {
        let Some(before) = context.round.checked_sub(1).map(|r| context.of(r)) else {
            return Ok(None);
        };
        let model = Arc::new(Model::load(before.path("nep.txt"))?);
        let set = ActiveSet::load(before.path("active_set.asi"), &model)?;
        let training: TrainingRecord = read_json(&before.path("training.json"))?;
        let mut calculator = Calculator::new(model, BackendKind::Cpu)?;
        calculator.set_active_set(Some(Arc::new(set)))?;
        Ok(Some(Self {
            calculator,
            trained: training.train.force_rmse.unwrap_or(0.0),
            path: context.path("doubted.json"),
        }))
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
        let doubted: Vec<String> = if self.path.exists() {
            read_json(&self.path)?
        } else {
            let list = self.suspects(frames, keys, outcomes)?;
            write_json(&self.path, &list)?;
            list
        };
        let mut told = false;
        loop {
            let mut again = Vec::new();
            for key in &doubted {
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
        if earlier.iter().any(|old| same(old, now)) {
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

    /// Keys of labels with an atom whose error is an outlier although its environment is known.
    fn suspects(
        &mut self,
        frames: &[Frame],
        keys: &[Option<String>],
        outcomes: &HashMap<String, Outcome>,
    ) -> Result<Vec<String>> {
        // Element, error, and the key where the environment is known.
        let mut errors: BTreeMap<&str, Vec<(f64, Option<&String>)>> = BTreeMap::new();
        for (frame, key) in frames.iter().zip(keys) {
            let Some(key) = key else { continue };
            let Some(Verdict::Accepted(label)) = outcomes.get(key).map(|o| &o.verdict) else {
                continue;
            };
            let request = Request::FORCES | Request::GRADES;
            let results = self.calculator.compute(&frame.structure, request)?;
            for (atom, element) in frame.structure.elements.iter().enumerate() {
                let masked = frame.force_mask.as_ref().is_some_and(|m| m[atom] == 0.0);
                if masked {
                    continue;
                }
                let (f, g) = (label.forces[atom], results.forces[atom]);
                let error = (0..3).map(|d| (f[d] - g[d]).powi(2)).sum::<f64>().sqrt();
                let known = results.grade[atom] < KNOWN;
                let list = errors.entry(element.symbol()).or_default();
                list.push((error, known.then_some(key)));
            }
        }
        let mut found: Vec<String> = Vec::new();
        for mut list in errors.into_values() {
            if list.len() < ATOMS {
                continue;
            }
            list.sort_by(|a, b| a.0.total_cmp(&b.0));
            let (low, high) = (list[list.len() / 4].0, list[3 * list.len() / 4].0);
            let limit = (high + FENCE * (high - low)).max(TRAINED * self.trained);
            let suspects = list.iter().filter(|(error, _)| *error > limit);
            found.extend(suspects.filter_map(|(_, key)| key.cloned()));
        }
        found.sort();
        found.dedup();
        Ok(found)
    }
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
