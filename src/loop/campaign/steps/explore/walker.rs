//! A run of a round: where it starts, what it gave, and the file that keeps that until the round is explored.

use crate::campaign::config::Scenario;
use crate::campaign::ground::Context;
use crate::campaign::journal::hash_json;
use crate::campaign::selection;
use crate::campaign::store::{ExploreRecord, Resumed, write_json};
use crate::explore::{Candidate, Exploration, ExploreOptions, LAST_FRAME};
use nepal::error::Result;
use nepal::system::{Frame, Structure, xyz};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// One exploration to do.
pub(super) struct Run<'a> {
    pub name: String,
    pub scenario: &'a Scenario,
    pub stage: usize,
    pub start: Structure,
    /// Where the start comes from, if a round before left it.
    pub resumed: Option<Resumed>,
    pub options: ExploreOptions,
    /// Hash of everything that it depends on.
    pub key: String,
}

/// What a run gave.
#[derive(Serialize, Deserialize)]
pub(super) struct Done {
    /// That of the run.
    key: String,
    pub record: ExploreRecord,
    /// Extended XYZ.
    pub candidates: String,
}

impl Run<'_> {
    /// The key, once all else is known; `common` is what all runs of the round depend on.
    pub fn set_key(&mut self, common: &impl Serialize) {
        let start = xyz::to_text(&Frame::new(self.start.clone()));
        let own = (&self.name, self.scenario, self.stage, start);
        self.key = hash_json(&(common, own, self.options.md.seed));
    }

    /// Where its result is kept.
    fn path(&self, context: &Context<'_>) -> PathBuf {
        context.path(&format!("explore/{}.json", self.name))
    }

    /// What it gave in an earlier pass. A file that cannot be read is of no use, and no harm.
    pub fn stored(&self, context: &Context<'_>) -> Option<Done> {
        let bytes = std::fs::read(self.path(context)).ok()?;
        let done: Done = serde_json::from_slice(&bytes).ok()?;
        (done.key == self.key).then_some(done)
    }

    /// Keeps what it gave.
    pub fn store(&self, context: &Context<'_>, done: &Done) -> Result<()> {
        write_json(&self.path(context), done)
    }

    /// Forgets what it gave: it is in the round's files, or shall be tried again.
    pub fn forget(&self, context: &Context<'_>) {
        // What stays is overwritten, or has another key.
        let _ = std::fs::remove_file(self.path(context));
    }

    /// What it gave, as it is kept.
    pub fn done(&self, record: ExploreRecord, candidates: &[Frame]) -> Done {
        Done {
            key: self.key.clone(),
            record,
            candidates: candidates.iter().map(xyz::to_text).collect(),
        }
    }

    /// What a run gave that came to nothing.
    pub fn failed(&self, reason: String) -> Done {
        let record = ExploreRecord {
            failed: Some(reason),
            ..self.record()
        };
        self.done(record, &[])
    }

    /// The record of a run in which nothing has happened.
    pub fn record(&self) -> ExploreRecord {
        ExploreRecord {
            name: self.name.clone(),
            steps: 0,
            planned: self.options.md.steps,
            breaks: 0,
            finished: false,
            candidates: 0,
            max_grade: 0.0,
            stage: self.stage,
            stages_left: self.scenario.ladder.len() - self.stage,
            resumed: self.resumed.clone(),
            failed: None,
            composition: self.composition(),
            max_sigma: None,
            trace: Vec::new(),
            volumes: Vec::new(),
            series: BTreeMap::new(),
        }
    }

    /// Atoms of each element that mixes.
    fn composition(&self) -> Vec<(String, usize)> {
        let Some(composition) = &self.scenario.start.composition else {
            return Vec::new();
        };
        let count = |symbol: &String| {
            let of = |e: &&nepal::Element| e.symbol() == symbol;
            (
                symbol.clone(),
                self.start.elements.iter().filter(of).count(),
            )
        };
        composition.elements.iter().map(count).collect()
    }

    /// What the built-in dynamics found.
    pub fn explored(&self, found: &Exploration) -> Done {
        let finite = |x: f64| x.min(f64::MAX);
        // A run that nothing was found in is clean: its last frame is known ground.
        let known = |c: &&Candidate| c.why == LAST_FRAME;
        let worth: Vec<&Candidate> = found.candidates.iter().filter(|c| !known(c)).collect();
        let trace: Vec<[f64; 6]> = found
            .trace
            .iter()
            .map(|p| {
                [
                    p.step as f64,
                    p.temperature,
                    p.pressure,
                    finite(p.max_gamma),
                    finite(p.max_rho),
                    finite(p.max_grade),
                ]
            })
            .collect();
        let atoms = self.start.len().max(1) as f64;
        let record = ExploreRecord {
            steps: found.steps_done,
            breaks: found.breaks,
            finished: found.finished,
            candidates: worth.len(),
            max_grade: largest(&trace),
            trace,
            // A random search has other atoms in each structure.
            volumes: match found.trace.iter().all(|p| p.volume > 0.0)
                && self.scenario.way.name() != "random-search"
            {
                true => found.trace.iter().map(|p| p.volume / atoms).collect(),
                false => Vec::new(),
            },
            series: (found.series.iter())
                .map(|(name, values)| {
                    (
                        (*name).to_owned(),
                        values.iter().copied().map(finite).collect(),
                    )
                })
                .collect(),
            ..self.record()
        };
        let candidates: Vec<Frame> = worth
            .iter()
            .map(|c| selection::candidate_frame(&self.name, c))
            .collect();
        self.done(record, &candidates)
    }
}

/// The largest grade of a trace, finite because records hold finite numbers only.
pub(super) fn largest(trace: &[[f64; 6]]) -> f64 {
    trace.iter().map(|p| p[5]).fold(0.0, f64::max).min(f64::MAX)
}
