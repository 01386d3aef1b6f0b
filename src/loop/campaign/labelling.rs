//! Labelling a round: through the cache, several at once, rejected ones counted and left out.

use super::Campaign;
use super::control;
use super::doubts::Doubts;
use super::event::{Event, Observer};
use super::jobs::{Flow, forget_attempts, label_by_jobs};
use super::journal::{Journal, hash_bytes, hash_file};
use super::pause::{Group, Pause, PausedBy};
use super::rounds::{Context, reasons, run_step};
use super::store::{LabelRecord, MethodRecord, read_json, write_json};
use crate::label::{Label, LabelCache, LabelRunner, Outcome, Verdict};
use crate::schedule;
use nepal::error::{Error, Result};
use nepal::system::{Frame, Structure, xyz};
use std::collections::{BTreeMap, BTreeSet, HashMap};
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
        let paused = failing(context, &record, observer)?;
        let mut outputs = Vec::new();
        let mut labelled = labelled.into_iter();
        for ((_, to), size) in parts.into_iter().zip(sizes) {
            let part: Vec<Frame> = labelled.by_ref().take(size).flatten().collect();
            if to == "test.xyz" {
                record.test = part.len();
            } else if part.is_empty() && size > 0 && paused.is_empty() {
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
        campaign.set_pauses(PausedBy::Label, context.round, &paused)?;
        // Done again since a file was spoilt, the round costs nothing, but it has cost.
        let before: Option<LabelRecord> = read_json(&context.path("labels.json")).ok();
        let same = before.filter(|b| b.requested == record.requested);
        record.seconds = record.seconds.max(same.map_or(0.0, |b| b.seconds));
        record.cores = campaign.label_cores()?;
        write_json(&context.path("labels.json"), &record)?;
        outputs.push(context.relative("labels.json"));
        let method = MethodRecord {
            name: runner.labeller().name().to_owned(),
            settings: runner.labeller().settings(),
        };
        write_json(&context.path("method.json"), &method)?;
        outputs.push(context.relative("method.json"));
        Ok(outputs)
    })?;
    // Not before the step is noted: until then the attempts tell what labels have cost. Those of a later round are
    // none of one that was done again.
    if ran && !context.of(context.round + 1).path("to-label.xyz").exists() {
        forget_attempts(campaign, &campaign.label_runner(None, "running")?)?;
    }
    Ok(())
}

/// The scenarios to pause since too many of their labels failed. Where all scenarios fail, or the first structures of
/// all sources, or so many labels that no single group is to blame, the method must be wrong: an error.
fn failing(
    context: &Context<'_>,
    record: &LabelRecord,
    observer: &mut dyn Observer,
) -> Result<Vec<Pause>> {
    let campaign = context.campaign;
    let share = campaign.config.label.max_rejected;
    let mut all = Group::default();
    record.groups.values().for_each(|group| all.add(group));
    let failing: Vec<(&String, &Group)> =
        record.groups.iter().filter(|g| g.1.fails(share)).collect();
    let pauses: Vec<Pause> = failing
        .iter()
        .filter(|(name, _)| campaign.config.explore.iter().any(|s| s.name == **name))
        .map(|(name, group)| Pause {
            scenario: (*name).clone(),
            by: PausedBy::Label,
            round: context.round,
            reason: group.text(),
            resumed: None,
        })
        .collect();
    let rest = || {
        let active = campaign.active(context.round)?;
        let goes_on = |s: &&super::Scenario| !pauses.iter().any(|p| p.scenario == s.name);
        Ok::<bool, Error>(active.iter().any(goes_on))
    };
    let hopeless = match context.round {
        0 => failing.len() == record.groups.len(),
        _ => !rest()?,
    };
    let wrong = match failing.is_empty() {
        true => all.fails(share),
        false => hopeless,
    };
    if wrong {
        return Err(Error::Failed(format!(
            "{}, more than max_rejected = {share} allows; their files are in {}. Correct the [label] table \
             (changed settings label again), or raise max_rejected to go on without them",
            all.text(),
            campaign.directory.join("labels/quarantine").display()
        )));
    }
    for (name, group) in &failing {
        let paused = pauses.iter().any(|p| p.scenario == **name);
        let what = match paused {
            true => "the scenario is paused (`nepal-loop resume` ends that), others go on",
            false => "the others are used",
        };
        observer.event(Event::Warning(format!("{name}: {}; {what}", group.text())));
    }
    Ok(pauses)
}

/// What a frame to label belongs to: its scenario, or the source that it comes from.
fn group_of(campaign: &Campaign, frame: &Frame) -> String {
    let info = |key: &str| frame.info.get(key).map(String::as_str);
    match (info("scenario"), info("origin")) {
        (Some(run), _) => campaign.config.scenario_of(run).to_owned(),
        (None, Some(source)) => source.to_owned(),
        (None, None) => "other".to_owned(),
    }
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
    // What an earlier driver doubted is out for its second look, or due for it.
    let second = match &doubts {
        Some(doubts) => doubts.set_aside(runner)?,
        None => BTreeSet::new(),
    };
    let asked = Asked {
        campaign,
        runner,
        structures: &structures,
        order: &order,
        tight: &second,
    };
    let mut outcomes = asked.label(observer)?;
    control::keep(runner, &structures, &order, &outcomes)?;
    if let Some(doubts) = doubts {
        doubts.resolve(&asked, frames, &keys, &mut outcomes, observer)?;
    }
    let all = outcomes
        .iter()
        .map(|(key, o)| (structures[key], &o.verdict));
    if let Some(line) = crate::label::virials_missing(all) {
        observer.event(Event::Warning(line));
    }
    record.requested += frames.len();
    let mut labelled = Vec::new();
    for (frame, key) in frames.iter().zip(keys) {
        let Some(key) = key else {
            record.accepted += 1;
            labelled.push(Some(frame.clone()));
            continue;
        };
        let group = record.groups.entry(group_of(campaign, frame)).or_default();
        group.requested += 1;
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
                *group.rejected.entry(reason.clone()).or_default() += 1;
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
    /// Those that are looked at a second time, with tighter settings where the method has such.
    pub tight: &'a BTreeSet<String>,
}

impl Asked<'_> {
    /// Labels all that is not known yet.
    pub fn label(&self, observer: &mut dyn Observer) -> Result<HashMap<String, Outcome>> {
        let Self {
            campaign,
            runner,
            structures,
            order,
            tight,
        } = *self;
        if runner.labeller().in_process() {
            return label_here(campaign, runner, structures, order, observer);
        }
        match label_by_jobs(campaign, runner, structures, order, tight, observer)? {
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
