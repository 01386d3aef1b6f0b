//! Labelling a round: through the cache, several at once, rejected ones counted and left out.

use super::Campaign;
use super::control;
use super::doubts::Doubts;
use super::event::{Event, Observer};
use super::jobs::{Flow, forget_attempts, label_by_jobs};
use super::journal::{Journal, hash_bytes, hash_file};
use super::rounds::{Context, reasons, run_step};
use super::store::{LabelRecord, write_json};
use crate::error::{Error, Result};
use crate::label::{Label, LabelCache, LabelRunner, Outcome, Verdict};
use crate::schedule;
use crate::system::{Frame, Structure, xyz};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

pub(super) fn label_step(
    context: &Context<'_>,
    journal: &mut Journal,
    observer: &mut dyn Observer,
) -> Result<()> {
    let campaign = context.campaign;
    let mut parts = vec![("to-label.xyz", "labelled.xyz")];
    if context.round == 0 {
        parts.push(("to-label-test.xyz", "test.xyz"));
    }
    let asked: Vec<String> = parts
        .iter()
        .map(|part| hash_file(&context.path(part.0)))
        .collect::<Result<_>>()?;
    let inputs = (
        asked,
        hash_bytes(campaign.labeller()?.settings().as_bytes()),
    );
    let ran = run_step(context, journal, observer, "label", &inputs, |observer| {
        let runner = campaign.label_runner(None, "running")?;
        let mut frames = Vec::new();
        let mut sizes = Vec::new();
        for (from, _) in &parts {
            let part = xyz::read_frames(context.path(from))?;
            sizes.push(part.len());
            frames.extend(part);
        }
        // All parts together, so that none waits for another.
        let mut record = LabelRecord::default();
        // What this process computes comes out the same again.
        let doubts = match runner.labeller().in_process() {
            true => None,
            false => Some(Doubts::of(context)?),
        };
        let labelled = label_frames(campaign, &runner, &frames, doubts, observer, &mut record)?;
        check_share(campaign, &record)?;
        let mut outputs = Vec::new();
        let mut labelled = labelled.into_iter();
        for ((_, to), size) in parts.into_iter().zip(sizes) {
            let part: Vec<Frame> = labelled.by_ref().take(size).flatten().collect();
            if to == "test.xyz" {
                record.test = part.len();
            } else if part.is_empty() && size > 0 {
                return Err(Error::Failed(format!(
                    "round {}: none of {size} structures could be labelled ({}); see {}",
                    context.round,
                    reasons(&record.rejected),
                    campaign.directory.join("labels/quarantine").display()
                )));
            }
            xyz::write_frames(context.path(to), &part)?;
            outputs.push(context.relative(to));
        }
        write_json(&context.path("labels.json"), &record)?;
        outputs.push(context.relative("labels.json"));
        Ok(outputs)
    })?;
    // Not before the step is noted: until then the attempts tell what labels have cost.
    if ran {
        forget_attempts(campaign, &campaign.label_runner(None, "running")?)?;
    }
    Ok(())
}

/// Stops where so many labels fail that the method must be wrong.
fn check_share(campaign: &Campaign, record: &LabelRecord) -> Result<()> {
    let rejected: usize = record.rejected.values().sum();
    let share = campaign.config.label.max_rejected;
    if rejected < 3 || rejected as f64 <= share * record.requested as f64 {
        return Ok(());
    }
    Err(Error::Failed(format!(
        "{rejected} of {} labels were rejected, more than max_rejected = {share} allows: {}; their files are in \
         {}. Correct the [label] table (changed settings label again), or raise max_rejected to go on without \
         them",
        record.requested,
        reasons(&record.rejected),
        campaign.directory.join("labels/quarantine").display()
    )))
}

/// Labels structures through the cache, several at once. What was rejected is `None`, and counted.
fn label_frames(
    campaign: &Campaign,
    runner: &LabelRunner,
    frames: &[Frame],
    doubts: Option<Doubts>,
    observer: &mut dyn Observer,
    record: &mut LabelRecord,
) -> Result<Vec<Option<Frame>>> {
    // Labels that came with the structure are used as they are.
    let mut structures: BTreeMap<String, &Structure> = BTreeMap::new();
    let mut order = Vec::new();
    let mut keys = Vec::new();
    for frame in frames {
        let key = (!has_label(frame)).then(|| runner.key(&frame.structure));
        if let Some(key) = &key
            && structures.insert(key.clone(), &frame.structure).is_none()
        {
            order.push(key.clone());
        }
        keys.push(key);
    }
    control::check(campaign, runner, &structures, observer)?;
    let asked = Asked {
        campaign,
        runner,
        structures: &structures,
        order: &order,
    };
    let mut outcomes = asked.label(observer)?;
    control::keep(runner, &structures, &order, &outcomes)?;
    if let Some(doubts) = doubts {
        doubts.resolve(&asked, frames, &keys, &mut outcomes, observer)?;
    }
    record.requested += frames.len();
    let mut labelled = Vec::new();
    for (frame, key) in frames.iter().zip(keys) {
        let Some(key) = key else {
            record.accepted += 1;
            labelled.push(Some(frame.clone()));
            continue;
        };
        let outcome = outcomes
            .get_mut(&key)
            .ok_or_else(|| Error::Internal(format!("label {key} was lost")))?;
        // The same structure twice costs once.
        record.seconds += std::mem::take(&mut outcome.seconds);
        labelled.push(match &outcome.verdict {
            Verdict::Accepted(label) => {
                record.accepted += 1;
                Some(with_label(frame, label))
            }
            Verdict::Rejected { reason, .. } => {
                *record.rejected.entry(reason.clone()).or_default() += 1;
                None
            }
        });
    }
    if !record.rejected.is_empty() {
        observer.event(Event::Warning(format!(
            "labels rejected and quarantined: {}",
            reasons(&record.rejected)
        )));
    }
    Ok(labelled)
}

/// A frame with its label.
pub(super) fn with_label(frame: &Frame, label: &Label) -> Frame {
    let mut frame = frame.clone();
    frame.energy = Some(label.energy);
    frame.forces = Some(label.forces.clone());
    // A fragment's stress belongs to its boundary as much as to its core.
    frame.virial = label.virial.filter(|_| frame.force_mask.is_none());
    frame
}

/// Structures to label, by key, and the order in which they were asked for.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub campaign: &'a Campaign,
    pub runner: &'a LabelRunner,
    pub structures: &'a BTreeMap<String, &'a Structure>,
    pub order: &'a [String],
}

impl Asked<'_> {
    /// Labels all that is not known yet.
    pub fn label(&self, observer: &mut dyn Observer) -> Result<HashMap<String, Outcome>> {
        let Self {
            campaign,
            runner,
            structures,
            order,
        } = *self;
        if runner.labeller().in_process() {
            return label_here(campaign, runner, structures, order, observer);
        }
        let once = campaign.once();
        match label_by_jobs(campaign, runner, structures, order, once, observer)? {
            Flow::Done(outcomes) => Ok(outcomes),
            Flow::Waiting(line) => {
                campaign.wait(line);
                Err(Error::Failed("labels are being computed".into()))
            }
        }
    }
}

/// Labels of a method that computes in this process, on a few threads.
fn label_here(
    campaign: &Campaign,
    runner: &LabelRunner,
    structures: &BTreeMap<String, &Structure>,
    order: &[String],
    observer: &mut dyn Observer,
) -> Result<HashMap<String, Outcome>> {
    let stop = observer.stop_flag();
    let mut results = Vec::new();
    schedule::run_local(
        order,
        campaign.config.label.parallel,
        &stop,
        |_, key| runner.label(structures[key]),
        |_, result| {
            results.push(result);
            observer.event(Event::Progress {
                what: "labels".into(),
                done: results.len() as u64,
                total: order.len() as u64,
                detail: String::new(),
            });
        },
    );
    if observer.stop_requested() {
        return Err(Error::Failed(
            "stopped while labelling, as asked; finished labels are kept, run again to continue"
                .into(),
        ));
    }
    results
        .into_iter()
        .map(|result| result.map(|outcome| (outcome.key.clone(), outcome)))
        .collect()
}

/// Whether a frame from a file brought a label that the user trusts.
fn has_label(frame: &Frame) -> bool {
    frame.info.get("label_source").map(String::as_str) == Some("file")
}

impl Campaign {
    /// Labels structures with the campaign's reference method, outside of any round.
    ///
    /// **Errors**: [`Error::Io`] for the cache, [`Error::Failed`] when asked to stop.
    pub fn label(
        &self,
        frames: &[Frame],
        cache: Option<&Path>,
        observer: &mut dyn Observer,
    ) -> Result<(Vec<Frame>, LabelRecord)> {
        // Jobs of its own, so that those of a campaign that waits are left alone.
        let runner = self.label_runner(cache, "running/label")?;
        let mut record = LabelRecord::default();
        let labelled = label_frames(self, &runner, frames, None, observer, &mut record)?;
        forget_attempts(self, &runner)?;
        Ok((labelled.into_iter().flatten().collect(), record))
    }

    /// The reference method with its cache; programs run below `folder`.
    fn label_runner(&self, cache: Option<&Path>, folder: &str) -> Result<LabelRunner> {
        let own = match &self.config.label.cache {
            Some(folder) => self.base.join(folder),
            None => self.directory.join("labels"),
        };
        LabelRunner::new(
            std::sync::Arc::clone(self.labeller()?),
            self.config.label.limits,
            LabelCache::open(cache.unwrap_or(&own))?,
            self.directory.join(folder),
        )
    }
}
