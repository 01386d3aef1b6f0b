//! How far a campaign is, in one record: for the terminal, and as JSON for other programs.

use super::Campaign;
use super::journal::finished_steps;
use super::ledger::Spent;
use super::live::Live;
use super::pause::Pause;
use super::stop::{Judged, Range};
use super::store::RoundRecord;
use crate::schedule::Queue;
use nepal::error::Result;
use nepal::system::xyz;
use serde::Serialize;
use std::path::PathBuf;

/// Counts of labels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LabelCounts {
    /// Not handed over yet, in the round in hand.
    pub queued: usize,
    /// With the scheduler: being computed, or in its queue.
    pub running: usize,
    /// Runs of exploration with the scheduler.
    pub runs: usize,
    /// Accepted, in all rounds.
    pub done: usize,
    /// Rejected and quarantined, in all rounds.
    pub rejected: usize,
}

/// How far a campaign is.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// Title of the campaign.
    pub title: String,
    /// Whether a driver works on it now, as far as can be told.
    pub running: bool,
    /// What the driver told last.
    pub live: Option<Live>,
    /// Labels.
    pub labels: LabelCounts,
    /// What they have cost.
    pub spent: Spent,
    /// Scenarios that are paused.
    pub paused: Vec<Pause>,
    /// Share of graded steps of the last round that extrapolated.
    pub extrapolating: Option<f64>,
    /// The stop rules after the last round.
    pub rules: Vec<Judged>,
    /// Structures to go until the goal.
    pub to_go: Option<Range>,
    /// What that forecast is about.
    pub to_go_text: String,
    /// Seconds until the step in hand is done.
    pub step_seconds_left: Option<f64>,
    /// Seconds until the goal, from the structures to go and the rounds so far.
    pub seconds_left: Option<Range>,
    /// Why it ended, if it did.
    pub ended: Option<String>,
    /// The rounds so far.
    #[serde(skip)]
    pub rounds: Vec<RoundRecord>,
}

impl Campaign {
    /// How far the campaign is. Only reads, and takes no lock.
    ///
    /// **Errors**: [`nepal::Error::Failed`] for damaged records.
    pub fn status(&self) -> Result<Status> {
        let rounds = self.rounds()?;
        let live = Live::read(&self.directory);
        let running = live.as_ref().is_some_and(Live::running);
        let ended = self.outcome_reason()?.filter(|_| !running);
        let judged = rounds.iter().rev().find_map(|r| r.stop.as_ref());
        let to_go = judged.and_then(|j| j.to_go).filter(|_| ended.is_none());
        let spent = self.spent_in_all(rounds.len())?;
        Ok(Status {
            title: self.config.title.clone(),
            running,
            labels: self.label_counts(&rounds, live.as_ref()),
            spent,
            paused: (self.pauses()?.into_iter())
                .filter(|p| p.resumed.is_none())
                .collect(),
            extrapolating: judged.map(|j| j.extrapolating),
            rules: judged.map_or_else(Vec::new, |j| j.rules.clone()),
            to_go,
            to_go_text: judged.map_or_else(String::new, |j| j.to_go_text.clone()),
            step_seconds_left: live.as_ref().filter(|_| running).and_then(Live::step_left),
            seconds_left: to_go.and_then(|range| self.seconds_for(range, &rounds)),
            live,
            ended,
            rounds,
        })
    }

    fn label_counts(&self, rounds: &[RoundRecord], live: Option<&Live>) -> LabelCounts {
        let mut counts = LabelCounts {
            done: rounds.iter().map(|r| r.labels.accepted).sum(),
            rejected: rounds.iter().flat_map(|r| r.labels.rejected.values()).sum(),
            ..LabelCounts::default()
        };
        let queues = self.queues();
        // `Campaign::status` has looked whether they can be read.
        let out = |folder: &PathBuf| Queue::open_in(folder).map_or(0, |jobs| jobs.len());
        counts.running = queues.iter().take(1).map(out).sum();
        counts.runs = queues.iter().skip(1).map(out).sum();
        let later = ["doubts", "label-drawn"];
        let labels =
            |l: &&Live| l.step == "label" || later.contains(&l.step.as_str()) && l.total > 0;
        if let Some(live) = live.filter(labels) {
            let mut open = live.total.saturating_sub(live.done) as usize;
            if live.total == 0 {
                let waiting = self
                    .directory
                    .join(format!("round-{:02}/to-label.xyz", live.round));
                open = xyz::read_frames(waiting).map_or(0, |f| f.len());
            }
            counts.queued = open.saturating_sub(counts.running);
        }
        counts
    }

    /// Seconds that labels to go will take, at the pace of the rounds so far.
    fn seconds_for(&self, to_go: Range, rounds: &[RoundRecord]) -> Option<Range> {
        let steps = finished_steps(&self.directory).ok()?;
        let seconds: f64 = steps.iter().map(|s| s.1).sum();
        let labels: usize = rounds.iter().map(|r| r.labels.accepted).sum();
        let each = seconds / labels.max(1) as f64;
        let scaled = |n: Option<f64>| n.map(|n| n * each);
        Some(Range {
            value: scaled(to_go.value),
            low: scaled(to_go.low),
            high: scaled(to_go.high),
        })
    }
}
