//! Which frames of a graded run are kept.

use nepal::system::Structure;
use serde::{Deserialize, Serialize};

/// Why a frame was kept that nothing else speaks for.
pub const LAST_FRAME: &str = "last frame";

/// An environment worth a label.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// The whole frame, positions wrapped into the cell.
    pub structure: Structure,
    /// The atom with the largest grade.
    pub atom: usize,
    /// γ of that atom.
    pub gamma: f64,
    /// ρ of that atom; NaN where the active set has none.
    pub rho: f64,
    /// Γ of that atom.
    pub grade: f64,
    /// Γ of all atoms. Shape `[n_atoms]`.
    pub grades: Vec<f64>,
    /// Step of the run.
    pub step: usize,
    /// Instantaneous temperature in K.
    pub temperature: f64,
    /// Instantaneous pressure in GPa.
    pub pressure: f64,
    /// Why it was kept: `first crossing`, `local maximum`, `break`, `before failure`, [`LAST_FRAME`], or a way's
    /// own reason.
    pub why: &'static str,
    /// True if it was kept by what a way knows beside grades, which may be small.
    pub by_way: bool,
}

/// One graded step of a run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TracePoint {
    /// Step of the run.
    pub step: usize,
    /// Instantaneous temperature in K.
    pub temperature: f64,
    /// Potential energy in eV.
    pub energy: f64,
    /// Instantaneous pressure in GPa.
    pub pressure: f64,
    /// Volume in Å³; zero unless all directions are periodic.
    pub volume: f64,
    /// Largest γ.
    pub max_gamma: f64,
    /// Largest ρ; NaN where the active set has none.
    pub max_rho: f64,
    /// Largest Γ.
    pub max_grade: f64,
}

/// Keeps the first frame of each excursion above the threshold and its maxima, `spacing` steps
/// apart.
///
/// A maximum is a frame that no other one within `spacing` steps after it exceeds.
#[derive(Debug)]
pub(super) struct Recorder {
    save: f64,
    spacing: usize,
    inside: bool,
    last: Option<usize>,
    pending: Option<Candidate>,
    kept: Vec<Candidate>,
}

impl Recorder {
    pub(super) fn new(save: f64, spacing: usize) -> Self {
        Self {
            save,
            spacing,
            inside: false,
            last: None,
            pending: None,
            kept: Vec::new(),
        }
    }

    /// Takes note of a graded frame; `make` builds the candidate if it is wanted.
    pub(super) fn frame(
        &mut self,
        step: usize,
        grade: f64,
        make: impl FnOnce(&'static str) -> Candidate,
    ) {
        if grade < self.save {
            self.end_crossing();
            return;
        }
        let first = !self.inside;
        self.inside = true;
        if self.last.is_none_or(|last| step >= last + self.spacing) {
            if first {
                self.keep(make("first crossing"));
            } else if self.pending.as_ref().is_none_or(|p| grade > p.grade) {
                self.pending = Some(make("local maximum"));
            }
        }
        if self
            .pending
            .as_ref()
            .is_some_and(|p| step >= p.step + self.spacing)
        {
            self.flush();
        }
    }

    /// Keeps a candidate whatever its distance from the last one, unless it is the same frame.
    pub(super) fn force(&mut self, candidate: Candidate) {
        self.end_crossing();
        if self.last != Some(candidate.step) {
            self.keep(candidate);
        }
    }

    /// True if nothing was kept.
    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_empty() && self.pending.is_none()
    }

    /// All candidates in the order of their steps.
    pub(super) fn finish(mut self) -> Vec<Candidate> {
        self.end_crossing();
        self.kept
    }

    fn end_crossing(&mut self) {
        self.flush();
        self.inside = false;
    }

    fn flush(&mut self) {
        if let Some(candidate) = self.pending.take() {
            self.keep(candidate);
        }
    }

    fn keep(&mut self, candidate: Candidate) {
        self.last = Some(candidate.step);
        self.kept.push(candidate);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explore::testing::argon_grid;

    /// Steps and reasons of what is kept of a series of grades, one every 10 steps.
    fn kept(grades: &[f64], spacing: usize) -> Vec<(usize, &'static str)> {
        let mut recorder = Recorder::new(2.0, spacing);
        for (k, &grade) in grades.iter().enumerate() {
            let step = 10 * k;
            recorder.frame(step, grade, |why| Candidate {
                structure: argon_grid(1, 5.0),
                atom: 0,
                gamma: grade,
                rho: 0.0,
                grade,
                grades: vec![grade],
                step,
                temperature: 0.0,
                pressure: 0.0,
                why,
                by_way: false,
            });
        }
        let candidates = recorder.finish();
        candidates.iter().map(|c| (c.step, c.why)).collect()
    }

    #[test]
    fn first_crossings_and_maxima_are_kept() {
        let (first, top) = ("first crossing", "local maximum");
        assert_eq!(kept(&[1.0, 1.9, 1.0], 20), []);
        let one = [1.0, 2.1, 2.5, 3.0, 4.0, 3.5, 2.5, 1.0];
        assert_eq!(kept(&one, 20), [(10, first), (40, top)]);
        // The maximum lies too close behind the crossing; what follows it does not.
        let steep = [1.0, 2.1, 9.0, 3.0, 2.5, 1.0];
        assert_eq!(kept(&steep, 20), [(10, first), (30, top)]);
        // Two maxima of one long crossing, and the second crossing too soon after the first's.
        let long = [2.5, 2.2, 3.0, 5.0, 4.0, 3.9, 2.5, 6.0, 3.0, 1.0, 3.0, 1.0];
        assert_eq!(
            kept(&long, 20),
            [(0, first), (30, top), (70, top), (100, first)]
        );
        let soon = [2.5, 1.0, 3.0, 1.0, 1.0];
        assert_eq!(kept(&soon, 30), [(0, first)]);
        // A crossing that the run's end cuts off.
        assert_eq!(kept(&[2.5, 2.2, 2.6], 20), [(0, first), (20, top)]);
    }
}
