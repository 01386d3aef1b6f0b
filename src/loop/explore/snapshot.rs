//! A graded frame of a run.

use super::dynamics::State;
use super::potential::Grades;
use super::record::{Candidate, TracePoint};
use nepal::system::Structure;

/// A graded frame to go back to.
#[derive(Clone)]
pub struct Snapshot {
    pub state: State,
    pub grades: Grades,
    pub step: usize,
}

impl Snapshot {
    /// The atom with the largest grade; a NaN counts as largest.
    pub fn worst(&self) -> usize {
        self.grades.worst()
    }

    pub fn max_grade(&self) -> f64 {
        self.grades.largest()
    }

    pub fn candidate(&self, why: &'static str) -> Candidate {
        Candidate {
            step: self.step,
            temperature: self.state.temperature(),
            pressure: self.state.pressure(),
            ..self.grades.candidate(&self.state.structure, why)
        }
    }

    pub fn trace_point(&self) -> TracePoint {
        TracePoint {
            step: self.step,
            temperature: self.state.temperature(),
            pressure: self.state.pressure(),
            ..self
                .grades
                .trace_point(&self.state.structure, self.state.energy)
        }
    }
}

impl Grades {
    /// The atom with the largest grade; a NaN counts as largest.
    pub fn worst(&self) -> usize {
        let key = |i: usize| {
            if self.grade[i].is_nan() {
                f64::INFINITY
            } else {
                self.grade[i]
            }
        };
        // The first of equals, so that the choice does not depend on anything else.
        (0..self.grade.len()).fold(0, |best, i| if key(i) > key(best) { i } else { best })
    }

    /// The largest grade; a NaN counts as infinite.
    pub fn largest(&self) -> f64 {
        let worst = self.grade[self.worst()];
        if worst.is_nan() { f64::INFINITY } else { worst }
    }

    /// A frame with these grades as a candidate of step 0, without temperature and pressure.
    pub fn candidate(&self, structure: &Structure, why: &'static str) -> Candidate {
        let atom = self.worst();
        let mut structure = structure.clone();
        for r in &mut structure.positions {
            *r = structure.cell.wrap(*r);
        }
        Candidate {
            structure,
            atom,
            gamma: self.gamma[atom],
            rho: self.rho[atom],
            grade: self.grade[atom],
            grades: self.grade.clone(),
            step: 0,
            temperature: 0.0,
            pressure: 0.0,
            why,
            by_way: false,
        }
    }

    /// The same as a point of a trace.
    pub fn trace_point(&self, structure: &Structure, energy: f64) -> TracePoint {
        let cell = &structure.cell;
        // `f64::max` passes over NaN, so that a missing ρ stays NaN and nothing else does.
        let largest = |values: &[f64]| values.iter().copied().fold(f64::NAN, f64::max);
        TracePoint {
            step: 0,
            temperature: 0.0,
            energy,
            pressure: 0.0,
            volume: if cell.periodic() == [true; 3] {
                cell.volume()
            } else {
                0.0
            },
            max_gamma: largest(&self.gamma),
            max_rho: largest(&self.rho),
            max_grade: self.largest(),
        }
    }
}
