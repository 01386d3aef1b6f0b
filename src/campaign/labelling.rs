//! Labelling a round: through the cache, several at once, rejected ones counted and left out.

use super::Campaign;
use super::event::{Event, Observer};
use super::journal::{Journal, hash_bytes, hash_file};
use super::rounds::{Context, reasons, run_step};
use super::store::{LabelRecord, write_json};
use crate::error::{Error, Result};
use crate::label::{LabelCache, LabelRunner, Outcome, Verdict};
use crate::schedule;
use crate::system::{Frame, xyz};
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
    run_step(context, journal, observer, "label", &inputs, |observer| {
        let runner = campaign.label_runner(None)?;
        let mut outputs = Vec::new();
        let mut record = LabelRecord::default();
        for (from, to) in parts {
            let frames = xyz::read_frames(context.path(from))?;
            let parallel = campaign.config.label.parallel;
            let labelled = label_frames(&runner, parallel, &frames, observer, &mut record)?;
            if to == "test.xyz" {
                record.test = labelled.len();
            } else if labelled.is_empty() && !frames.is_empty() {
                return Err(Error::Failed(format!(
                    "round {}: none of {} structures could be labelled ({}); see {}",
                    context.round,
                    frames.len(),
                    reasons(&record.rejected),
                    campaign.directory.join("labels/quarantine").display()
                )));
            }
            xyz::write_frames(context.path(to), &labelled)?;
            outputs.push(context.relative(to));
        }
        write_json(&context.path("labels.json"), &record)?;
        outputs.push(context.relative("labels.json"));
        Ok(outputs)
    })
}

/// Labels structures through the cache, several at once; rejected ones are counted and left out.
fn label_frames(
    runner: &LabelRunner,
    parallel: usize,
    frames: &[Frame],
    observer: &mut dyn Observer,
    record: &mut LabelRecord,
) -> Result<Vec<Frame>> {
    let stop = observer.stop_flag();
    let mut results: Vec<Option<Result<Outcome>>> = frames.iter().map(|_| None).collect();
    // Labels that came with the structure are used as they are.
    let tasks: Vec<usize> = (0..frames.len())
        .filter(|&i| !has_label(&frames[i]))
        .collect();
    let total = tasks.len() as u64;
    let mut done = 0;
    schedule::run_local(
        &tasks,
        parallel,
        &stop,
        |_, &index| runner.label(&frames[index].structure),
        |task, result| {
            results[tasks[task]] = Some(result);
            done += 1;
            observer.event(Event::Progress {
                what: "labels".into(),
                done,
                total,
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
    record.requested += frames.len();
    let mut labelled = Vec::new();
    for (frame, result) in frames.iter().zip(results) {
        let Some(result) = result else {
            record.accepted += 1;
            labelled.push(frame.clone());
            continue;
        };
        let outcome = result?;
        record.seconds += outcome.seconds;
        match outcome.verdict {
            Verdict::Accepted(label) => {
                record.accepted += 1;
                let mut frame = frame.clone();
                frame.energy = Some(label.energy);
                frame.forces = Some(label.forces);
                // A fragment's stress belongs to its boundary as much as to its core.
                frame.virial = label.virial.filter(|_| frame.force_mask.is_none());
                labelled.push(frame);
            }
            Verdict::Rejected { reason, .. } => {
                *record.rejected.entry(reason).or_default() += 1;
            }
        }
    }
    if !record.rejected.is_empty() {
        observer.event(Event::Warning(format!(
            "labels rejected and quarantined: {}",
            reasons(&record.rejected)
        )));
    }
    Ok(labelled)
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
        let runner = self.label_runner(cache)?;
        let mut record = LabelRecord::default();
        let parallel = self.config.label.parallel;
        let labelled = label_frames(&runner, parallel, frames, observer, &mut record)?;
        Ok((labelled, record))
    }

    /// The reference method with its cache.
    fn label_runner(&self, cache: Option<&Path>) -> Result<LabelRunner> {
        let own = match &self.config.label.cache {
            Some(folder) => self.base.join(folder),
            None => self.directory.join("labels"),
        };
        LabelRunner::new(
            std::sync::Arc::clone(self.labeller()?),
            self.config.label.limits,
            LabelCache::open(cache.unwrap_or(&own))?,
            self.directory.join("running"),
        )
    }
}
