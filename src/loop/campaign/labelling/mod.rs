//! Labelling: through the cache, several at once, rejected ones counted and left out. What the steps `label` and
//! `doubts` share.

mod claims;
mod control;
mod second;

pub(super) use claims::Claims;
pub(super) use second::{Doubt, SecondLooks};

use super::event::{Event, Observer};
use super::ground::{Context, Flow, Halt};
use super::jobs::{forget_attempts, label_by_jobs};
use super::journal::{hash_bytes, hash_file};
use super::store::{LabelRecord, count, reasons};
use super::{Campaign, Scenario, identity};
use crate::label::{Label, LabelCache, LabelRunner, Outcome, Verdict};
use crate::schedule;
use nepal::error::{Error, Result};
use nepal::system::{Frame, Structure, xyz};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Between two looks at a label that another campaign computes, at first; later it is a second.
const NAP: Duration = Duration::from_millis(20);

/// Structures to label in a round, as its files have them: the file, and where the labels go.
pub(super) fn parts(context: &Context<'_>) -> Vec<(&'static str, &'static str)> {
    let mut parts = vec![("to-label.xyz", "labelled.xyz")];
    if context.round == 0 {
        parts.push(("to-label-test.xyz", "test.xyz"));
    }
    parts
}

/// What labels of a round depend on: hashes of the structures, and of the method's settings.
pub(super) fn inputs(context: &Context<'_>) -> Result<(Vec<String>, String)> {
    let asked = parts(context)
        .iter()
        .map(|part| hash_file(&context.path(part.0)))
        .collect::<Result<_>>()?;
    let settings = context.campaign.labeller()?.settings();
    Ok((asked, hash_bytes(settings.as_bytes())))
}

/// Structures to label: all parts together, so that none waits for another.
#[derive(Default)]
pub(super) struct Batch {
    pub frames: Vec<Frame>,
    /// Frames of each part.
    pub sizes: Vec<usize>,
    /// Keys of the frames; none where the label came with the structure and is used as it is.
    pub keys: Vec<Option<String>>,
    structures: BTreeMap<String, Structure>,
    /// Keys in the order in which they were asked for, each once.
    pub order: Vec<String>,
}

impl Batch {
    /// Some structures.
    pub fn new(frames: Vec<Frame>, runner: &LabelRunner) -> Self {
        let mut batch = Self::default();
        batch.add(frames, runner);
        batch
    }

    /// What a round asks for.
    pub fn of(context: &Context<'_>, runner: &LabelRunner) -> Result<Self> {
        let mut batch = Self::default();
        for (from, _) in parts(context) {
            batch.add(xyz::read_frames(context.path(from))?, runner);
        }
        Ok(batch)
    }

    fn add(&mut self, frames: Vec<Frame>, runner: &LabelRunner) {
        self.sizes.push(frames.len());
        for frame in frames {
            let key = (!has_label(&frame)).then(|| runner.key(&frame.structure));
            if let Some(key) = &key
                && !self.structures.contains_key(key)
            {
                let structure = frame.structure.clone();
                self.structures.insert(key.clone(), structure);
                self.order.push(key.clone());
            }
            self.keys.push(key);
            self.frames.push(frame);
        }
    }

    /// How many labels the cache does not have.
    pub fn missing(&self, runner: &LabelRunner) -> Result<usize> {
        let mut missing = 0;
        for key in &self.order {
            missing += usize::from(runner.cache().get(key)?.is_none());
        }
        Ok(missing)
    }

    /// Whether there is anything to compute.
    fn is_known(&self, runner: &LabelRunner) -> Result<bool> {
        for key in &self.order {
            if runner.cache().get(key)?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Labels all that is not known yet, those of `tight` with tighter settings where the method has such.
    pub fn label(
        &self,
        campaign: &Campaign,
        runner: &LabelRunner,
        tight: &BTreeSet<String>,
        once: bool,
        observer: &mut dyn Observer,
    ) -> Flow<HashMap<String, Outcome>> {
        if !self.is_known(runner)? {
            runner.cache().check_writable()?;
        }
        control::check(campaign, runner, &self.structures, observer)?;
        let (structures, order) = (&self.structures, &self.order);
        let outcomes = match runner.labeller().in_process() {
            true => label_here(campaign, runner, structures, order, observer)?,
            false => label_by_jobs(campaign, runner, structures, order, tight, once, observer)?,
        };
        control::keep(runner, structures, order, &outcomes)?;
        Ok(outcomes)
    }

    /// The frames with their labels, `None` for what was rejected; all is counted.
    pub fn labelled(
        &self,
        campaign: &Campaign,
        outcomes: &mut HashMap<String, Outcome>,
        record: &mut LabelRecord,
        observer: &mut dyn Observer,
    ) -> Result<Vec<Option<Frame>>> {
        let verdicts = outcomes.iter().filter_map(|(key, outcome)| {
            let structure = self.structures.get(key)?;
            Some((structure, &outcome.verdict))
        });
        if let Some(line) = crate::label::virials_missing(verdicts) {
            observer.event(Event::Warning(line));
        }
        record.requested += self.frames.len();
        let mut labelled = Vec::new();
        for (frame, key) in self.frames.iter().zip(&self.keys) {
            let Some(key) = key else {
                record.accepted += 1;
                labelled.push(Some(frame.clone()));
                continue;
            };
            let group = record.groups.entry(group_of(campaign, frame)).or_default();
            group.requested += 1;
            let outcome = outcomes
                .get_mut(key)
                .ok_or_else(|| Error::Internal(format!("label {key} was lost")))?;
            // The same structure twice costs once.
            record.seconds += std::mem::take(&mut outcome.seconds);
            labelled.push(match &outcome.verdict {
                Verdict::Accepted(label) => {
                    record.accepted += 1;
                    Some(with_label(frame, label))
                }
                Verdict::Rejected { reason, .. } => {
                    count(&mut record.rejected, reason, 1);
                    count(&mut group.rejected, reason, 1);
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
}

/// What a frame to label belongs to: its scenario, or the source that it comes from.
pub(super) fn group_of(campaign: &Campaign, frame: &Frame) -> String {
    let info = |key: &str| frame.info.get(key).map(String::as_str);
    match (info("scenario"), info("origin")) {
        (Some(run), _) => campaign.config.scenario_of(run).to_owned(),
        (None, Some(source)) => source.to_owned(),
        (None, None) => "other".to_owned(),
    }
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

/// Labels of a method that computes in this process, on a few threads.
fn label_here(
    campaign: &Campaign,
    runner: &LabelRunner,
    structures: &BTreeMap<String, Structure>,
    order: &[String],
    observer: &mut dyn Observer,
) -> Flow<HashMap<String, Outcome>> {
    let stop = observer.stop_flag();
    let claims = campaign.claims(runner)?;
    let label = |_: usize, key: &String| -> Result<Option<Outcome>> {
        let structure = &structures[key];
        if runner.cached(structure)?.is_some() {
            return runner.label(structure).map(Some);
        }
        // Another campaign that shares the cache computes it: in a moment it is there.
        let mut nap = NAP;
        while claims.take(key)?.is_some() {
            if stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            std::thread::sleep(nap);
            nap = (2 * nap).min(50 * NAP);
        }
        let outcome = runner.label(structure);
        claims.release(key)?;
        outcome.map(Some)
    };
    let mut results = Vec::new();
    schedule::run_local(
        order,
        campaign.config.label.parallel,
        &stop,
        label,
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
    let mut outcomes = HashMap::new();
    for result in results {
        if let Some(outcome) = result? {
            outcomes.insert(outcome.key.clone(), outcome);
        }
    }
    match observer.stop_requested() {
        true => Err(Halt::Stopped),
        false => Ok(outcomes),
    }
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
        identity::part(self)?;
        // Jobs of its own, so that those of a campaign that waits are left alone.
        let runner = self.label_runner(cache, "running/label")?;
        let mut record = LabelRecord::default();
        let batch = Batch::new(frames.to_vec(), &runner);
        let mut outcomes = batch.label(self, &runner, &BTreeSet::new(), false, observer)?;
        let labelled = batch.labelled(self, &mut outcomes, &mut record, observer)?;
        forget_attempts(self, &runner)?;
        Ok((labelled.into_iter().flatten().collect(), record))
    }

    /// What others who share the cache may not compute as well.
    pub(super) fn claims(&self, runner: &LabelRunner) -> Result<Claims> {
        let identity = identity::of(self)?;
        Claims::open(runner.cache().folder(), &identity, runner.work())
    }

    /// The reference method with its cache; programs run below `folder`.
    pub(super) fn label_runner(&self, cache: Option<&Path>, folder: &str) -> Result<LabelRunner> {
        let own = match &self.config.label.cache {
            Some(folder) => self.base.join(folder),
            None => self.directory.join("labels"),
        };
        // Runs in which the cell moves go by stresses, which a model without them would invent.
        let moving = |s: &Scenario| s.ensemble.eq_ignore_ascii_case("npt");
        let properties = self
            .config
            .validate
            .as_ref()
            .and_then(|v| v.properties.as_ref());
        let elastic = properties.is_some_and(|p| p.elastic);
        let runner = LabelRunner::new(
            std::sync::Arc::clone(self.labeller()?),
            self.config.label.limits,
            LabelCache::open(cache.unwrap_or(&own))?,
            self.directory.join(folder),
        )?;
        Ok(runner.needing_virials(elastic || self.config.explore.iter().any(moving)))
    }
}
