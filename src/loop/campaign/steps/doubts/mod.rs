//! Checks doubted labels, and hands the round's labels on to training.
//!
//! An atom whose environment is well inside known ground and whose force is yet far from the model's tells
//! more of the label than of the model. Such labels are computed again, with tighter settings where the method has such;
//! what comes out twice is believed, so that a good label costs a second computation at worst and stays as it was. A
//! method that errs twice in the same way, with tighter settings too, is not found out.
//!
//! The judge of a round is the model of the round before. The first round has none: there a short training on
//! its own labels is the judge, which the few wrong ones among them cannot bend to their side. What is computed in
//! this process comes out the same again and is not judged.

mod judge;
mod pauses;

use crate::campaign::event::{Event, Observer};
use crate::campaign::ground::{Context, Flow, Halt, Step};
use crate::campaign::jobs::forget_attempts;
use crate::campaign::journal::{hash_file, hash_json};
use crate::campaign::labelling::{self, Batch, Doubt, SecondLooks, with_label};
use crate::campaign::pause::PausedBy;
use crate::campaign::store::{
    Computed, LabelRecord, read_if_there, read_json, reasons, write_json,
};
use crate::campaign::training::{Plan, train_model};
use crate::label::{Label, LabelRunner, Outcome, Rejection, TIGHT, Verdict};
use judge::Judge;
use nepal::error::{Error, Result};
use nepal::system::{Frame, xyz};
use std::collections::HashMap;

/// Two labels of one structure that differ by less are the same: eV/atom, and eV/Å.
const SAME: [f64; 2] = [1e-3, 1e-2];
/// Times that a label is computed before it is given up.
const TIMES: usize = 3;
/// Part of the first training that its judge gets, and labels that it needs.
const FIRST: (usize, usize) = (3, 12);

/// The check of a round's labels.
pub(in crate::campaign) struct Doubts;

impl Step for Doubts {
    fn name(&self) -> &'static str {
        "doubts"
    }

    fn inputs(&self, context: &Context<'_>) -> Result<String> {
        let judge = match context.round.checked_sub(1) {
            Some(before) => Some(hash_file(&context.of(before).path("nep.txt"))?),
            None => None,
        };
        let inputs = (labelling::inputs(context)?, judge);
        Ok(match context.campaign.baseline_digest()? {
            Some(digest) => hash_json(&(inputs, digest)),
            None => hash_json(&inputs),
        })
    }

    fn work(&self, context: &Context<'_>, observer: &mut dyn Observer) -> Flow<Vec<String>> {
        let campaign = context.campaign;
        let runner = campaign.label_runner(None, "running")?;
        let batch = Batch::of(context, &runner)?;
        let looks = SecondLooks::of(context, &batch.order);
        let second = looks.set_aside(&runner)?;
        let mut outcomes = batch.label(campaign, &runner, &second, context.once, observer)?;
        if !runner.labeller().in_process() {
            let round = Round {
                context,
                runner: &runner,
                batch: &batch,
            };
            round.resolve(&looks, &mut outcomes, observer)?;
        }
        let mut record = LabelRecord::default();
        let labelled = batch.labelled(campaign, &mut outcomes, &mut record, observer)?;
        let paused = pauses::failing(context, &record, observer)?;
        let mut outputs = Vec::new();
        let mut labelled = labelled.into_iter();
        for ((_, to), &size) in labelling::parts(context).into_iter().zip(&batch.sizes) {
            let mut part: Vec<Frame> = labelled.by_ref().take(size).flatten().collect();
            campaign.note_baseline(&mut part)?;
            if to == "test.xyz" {
                record.test = part.len();
            } else if part.is_empty() && size > 0 && paused.is_empty() {
                return Err(Halt::Failed(Error::Failed(format!(
                    "round {}: none of {size} structures could be labelled ({}); see {}",
                    context.round,
                    reasons(&record.rejected),
                    runner.cache().folder().join("quarantine").display()
                ))));
            }
            xyz::write_frames(context.path(to), &part)?;
            outputs.push(context.relative(to));
        }
        campaign.set_pauses(PausedBy::Label, context.round, &paused)?;
        // Looked up by now, labels cost nothing, but they have cost; so have those of a round that is done again
        // since a file was spoilt.
        let computed: Option<Computed> = read_if_there(context.path("computed.json"))?;
        let before: Option<LabelRecord> = read_json(&context.path("labels.json")).ok();
        let same = before.filter(|b| b.requested == record.requested);
        record.seconds = (record.seconds)
            .max(computed.map_or(0.0, |c| c.seconds))
            .max(same.map_or(0.0, |b| b.seconds));
        record.cores = campaign.label_cores()?;
        write_json(&context.path("labels.json"), &record)?;
        outputs.push(context.relative("labels.json"));
        Ok(outputs)
    }

    /// Until the step is noted the attempts tell what labels have cost. Those of a later round are none of one that
    /// was done again.
    fn clear(&self, context: &Context<'_>) -> Result<()> {
        if context.of(context.round + 1).path("to-label.xyz").exists() {
            return Ok(());
        }
        let campaign = context.campaign;
        forget_attempts(campaign, &campaign.label_runner(None, "running")?)
    }
}

/// A round whose labels are judged.
struct Round<'a> {
    context: &'a Context<'a>,
    runner: &'a LabelRunner,
    batch: &'a Batch,
}

impl Round<'_> {
    /// Has doubtful labels computed again until two agree, or gives them up.
    fn resolve(
        &self,
        looks: &SecondLooks,
        outcomes: &mut HashMap<String, Outcome>,
        observer: &mut dyn Observer,
    ) -> Flow<()> {
        let doubted = match looks.read()? {
            Some(doubted) => doubted,
            None => {
                let found = self.suspects(outcomes, observer)?;
                looks.write(&found)?;
                found
            }
        };
        let mut told = false;
        loop {
            let mut again = Vec::new();
            for Doubt { key, .. } in &doubted {
                if self.stands(key, outcomes)? {
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
            let Context { campaign, once, .. } = *self.context;
            let (batch, runner) = (self.batch, self.runner);
            let fresh = batch.label(campaign, runner, &second, once, observer)?;
            for key in again {
                if let Some(new) = fresh.get(key) {
                    outcomes.insert(key.clone(), new.clone());
                }
            }
        }
    }

    /// Whether a doubt stands, so that the label has to be computed again; it is set aside for that.
    fn stands(&self, key: &str, outcomes: &mut HashMap<String, Outcome>) -> Result<bool> {
        let cache = self.runner.cache();
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

    /// Labels whose errors are outliers.
    fn suspects(
        &self,
        outcomes: &HashMap<String, Outcome>,
        observer: &mut dyn Observer,
    ) -> Flow<Vec<Doubt>> {
        let mut labelled = Vec::new();
        for (frame, key) in self.batch.frames.iter().zip(&self.batch.keys) {
            let Some(key) = key else { continue };
            if let Some(Verdict::Accepted(label)) = outcomes.get(key).map(|o| &o.verdict) {
                labelled.push((frame, key, label));
            }
        }
        let context = self.context;
        let mut judge = match context.round.checked_sub(1) {
            Some(before) => Judge::of(&context.of(before))?,
            None if labelled.len() < FIRST.1 => return Ok(Vec::new()),
            None => {
                let epochs = context.campaign.config.model.first_epochs;
                let plan = Plan {
                    epochs: (epochs / FIRST.0).max(1),
                    seed: context.campaign.config.seed,
                    checkpoint: &context.path("judge.checkpoint.json"),
                };
                let mut data: Vec<Frame> =
                    labelled.iter().map(|(f, _, l)| with_label(f, l)).collect();
                context.campaign.note_baseline(&mut data)?;
                let data = context.campaign.learnt(data)?;
                let (model, _) = train_model(context.campaign, &data, &[], None, plan, observer)?;
                Judge::trained_on_them(context.campaign, model)?
            }
        };
        Ok(judge.suspects(&labelled)?)
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
