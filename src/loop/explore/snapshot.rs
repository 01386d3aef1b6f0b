//! A graded frame of a run.

use super::dynamics::State;
use super::potential::Grades;
use super::record::{Candidate, TracePoint};

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
        let grade = &self.grades.grade;
        let key = |i: usize| {
            if grade[i].is_nan() {
                f64::INFINITY
            } else {
                grade[i]
            }
        };
        // The first of equals, so that the choice does not depend on anything else.
        (0..grade.len()).fold(0, |best, i| if key(i) > key(best) { i } else { best })
    }

    pub fn max_grade(&self) -> f64 {
        let worst = self.grades.grade[self.worst()];
        if worst.is_nan() { f64::INFINITY } else { worst }
    }

    pub fn candidate(&self, why: &'static str) -> Candidate {
        let atom = self.worst();
        let mut structure = self.state.structure.clone();
        for r in &mut structure.positions {
            *r = structure.cell.wrap(*r);
        }
        Candidate {
            structure,
            atom,
            gamma: self.grades.gamma[atom],
            rho: self.grades.rho[atom],
            grade: self.grades.grade[atom],
            grades: self.grades.grade.clone(),
            step: self.step,
            temperature: self.state.temperature(),
            pressure: self.state.pressure(),
            why,
        }
    }

    pub fn trace_point(&self) -> TracePoint {
        let cell = &self.state.structure.cell;
        // `f64::max` passes over NaN, so that a missing ρ stays NaN and nothing else does.
        let largest = |values: &[f64]| values.iter().copied().fold(f64::NAN, f64::max);
        TracePoint {
            step: self.step,
            temperature: self.state.temperature(),
            energy: self.state.energy,
            pressure: self.state.pressure(),
            volume: if cell.periodic() == [true; 3] {
                cell.volume()
            } else {
                0.0
            },
            max_gamma: largest(&self.grades.gamma),
            max_rho: largest(&self.grades.rho),
            max_grade: self.max_grade(),
        }
    }
}
