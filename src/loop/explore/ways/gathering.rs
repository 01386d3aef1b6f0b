//! What a search that is no dynamics has seen and kept.

use super::super::dynamics::State;
use super::super::potential::{GradedPotential, Grades, Labels};
use super::super::record::{Candidate, TracePoint};
use super::super::run::{Exploration, ExploreOptions, Rewind};
use super::super::snapshot::Snapshot;
use nepal::calculator::Potential;
use nepal::error::Result;
use nepal::system::Structure;
use std::collections::BTreeMap;

/// Candidates, trace and plotted numbers of a search.
pub(super) struct Gathering<'a> {
    options: &'a ExploreOptions,
    volume: f64,
    candidates: Vec<Candidate>,
    trace: Vec<TracePoint>,
    series: BTreeMap<&'static str, Vec<f64>>,
    rewinds: Vec<Rewind>,
    last: Structure,
}

/// Labels that are known.
struct Known(Labels);

impl Potential for Known {
    fn energy_forces_virial(&mut self, _: &Structure) -> Result<Labels> {
        Ok(self.0.clone())
    }
}

/// A structure at rest with its grades.
pub(super) fn snapshot(
    structure: &Structure,
    labels: Labels,
    grades: Grades,
    step: usize,
) -> Result<Snapshot> {
    Ok(Snapshot {
        state: State::at_rest(&mut Known(labels), structure, false)?,
        grades,
        step,
    })
}

impl<'a> Gathering<'a> {
    pub fn new(options: &'a ExploreOptions, start: &Structure) -> Self {
        Self {
            options,
            volume: start.cell.volume(),
            candidates: Vec::new(),
            trace: Vec::new(),
            series: BTreeMap::new(),
            rewinds: Vec::new(),
            last: start.clone(),
        }
    }

    /// Takes volumes as ratios to this one from now on, Å³.
    pub fn measure_from(&mut self, volume: f64) {
        self.volume = volume;
    }

    /// Grades a structure and puts it into the trace with the way's own numbers, always of the same names.
    ///
    /// **Errors**: those of the potential.
    pub fn look(
        &mut self,
        potential: &mut dyn GradedPotential,
        structure: &Structure,
        step: usize,
        notes: &[(&'static str, f64)],
    ) -> Result<Snapshot> {
        let (labels, grades) = potential.energy_forces_virial_grades(structure)?;
        let now = snapshot(structure, labels, grades, step)?;
        self.note(&now, notes);
        Ok(now)
    }

    /// Puts a graded frame into the trace.
    pub fn note(&mut self, now: &Snapshot, notes: &[(&'static str, f64)]) {
        self.trace.push(now.trace_point());
        for &(name, value) in notes {
            self.series.entry(name).or_default().push(value);
        }
    }

    /// What limit of physics a frame passes, if any.
    ///
    /// **Errors**: those of the neighbour list.
    pub fn trouble(&self, frame: &Snapshot) -> Result<Option<String>> {
        let health = &self.options.health;
        match health.quick(&frame.state, 0.0, self.volume) {
            None => health.distances(&frame.state.structure),
            found => Ok(found),
        }
    }

    /// Keeps a frame for labels.
    pub fn keep(&mut self, frame: &Snapshot, why: &'static str) {
        self.candidates.push(frame.candidate(why));
    }

    /// The search left what it did at a step, for a reason.
    pub fn gave_up(&mut self, step: usize, reason: String, unhealthy: bool) {
        self.rewinds.push(Rewind {
            step,
            back_to: 0,
            reason,
            unhealthy,
        });
    }

    /// Steps between two grades.
    pub fn every(&self) -> usize {
        self.options.grade_every
    }

    /// Keeps what a recorder has kept.
    pub fn keep_all(&mut self, found: Vec<Candidate>) {
        self.candidates.extend(found);
    }

    /// The frame that the search ends with.
    pub fn leave(&mut self, structure: Structure) {
        self.last = structure;
    }

    /// The result after so many steps; `finished` unless it was broken off.
    pub fn finish(self, steps_done: usize, finished: bool) -> Exploration {
        Exploration {
            candidates: self.candidates,
            trace: self.trace,
            steps_done,
            breaks: self.rewinds.len(),
            rewinds: self.rewinds,
            finished,
            // What a search gives up is one of many tries.
            escalated: false,
            found: false,
            series: self.series,
            last: self.last,
        }
    }
}
