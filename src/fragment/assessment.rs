//! What the model says about a draft, and how good that is.

use super::draft::Draft;
use super::options::FragmentOptions;
use super::outcome::Stage;
use super::reference::{Reference, median};
use crate::backend::Request;
use crate::calculator::Calculator;
use crate::error::Result;
use crate::system::cell::norm;

/// A boundary better than this share of `gamma_b` needs no further work.
pub(super) const GOOD_ENOUGH: f64 = 0.8;

/// What the model says about a draft.
#[derive(Clone, Debug)]
pub(super) struct Assessment {
    /// Γ of all atoms; empty without an active set.
    pub(super) grades: Vec<f64>,
    movable_grades: Vec<f64>,
    /// Largest Γ of a movable atom; NaN without an active set.
    pub(super) grade_max: f64,
    grade_median: f64,
    pub(super) share_over: f64,
    /// Largest force on a movable atom, eV/Å.
    pub(super) force_max: f64,
    /// Change of the force on the target from that in the parent, eV/Å; NaN if that is unknown.
    pub(super) force_change: f64,
    /// Energy above the parent's, eV per movable atom.
    pub(super) energy: f64,
    /// Change of the target, see [`Reference::target_change`].
    pub(super) target_change: f64,
    /// What is allowed; nothing to hold against where it is exact.
    target_limit: Option<f64>,
    /// Scaled descriptors of all atoms. Shape `[n_atoms][dim]`.
    descriptors: Vec<f64>,
}

impl Assessment {
    /// Evaluates a draft.
    ///
    /// **Errors**: those of the calculator.
    pub(super) fn new(
        calculator: &mut Calculator,
        draft: &Draft,
        reference: &Reference,
        tolerance: Option<f64>,
        gamma_b: f64,
    ) -> Result<Self> {
        let mut request = Request::FORCES | Request::DESCRIPTORS;
        if calculator.active_set().is_some() {
            request |= Request::GRADES;
        }
        let results = calculator.compute(&draft.structure(), request)?;
        let movable: Vec<usize> = (0..draft.len()).filter(|&i| !draft.core[i]).collect();
        let grades: Vec<f64> = if results.grade.is_empty() {
            Vec::new()
        } else {
            movable.iter().map(|&i| results.grade[i]).collect()
        };
        let count = movable.len().max(1) as f64;
        Ok(Self {
            grade_max: if grades.is_empty() {
                f64::NAN
            } else {
                // A NaN grade must not pass as small.
                grades
                    .iter()
                    .fold(0.0, |m, &g| if g > m || g.is_nan() { g } else { m })
            },
            grade_median: median(&grades),
            share_over: grades.iter().filter(|g| **g > gamma_b).count() as f64 / count,
            grades: results.grade.clone(),
            movable_grades: grades,
            force_max: movable
                .iter()
                .map(|&i| norm(results.forces[i]))
                .fold(0.0, f64::max),
            energy: (results.energy - reference.energy(&draft.types)) / count,
            force_change: reference.force_change(results.forces[0]),
            target_change: reference.target_change(
                &results.descriptors[..reference.dim()],
                results.grade.first().copied(),
            ),
            target_limit: tolerance,
            descriptors: results.descriptors.clone(),
        })
    }

    /// The target's change over what is allowed; 0 where it is exact.
    pub(super) fn target_off(&self) -> f64 {
        self.target_limit.map_or(0.0, |limit| {
            let share = self.target_change / limit;
            if share.is_nan() { f64::INFINITY } else { share }
        })
    }

    /// Scaled descriptors of an atom.
    pub(super) fn of(&self, atom: usize, dim: usize) -> &[f64] {
        &self.descriptors[atom * dim..][..dim]
    }

    /// True if nothing is left to do; needs grades.
    pub(super) fn good(&self, options: &FragmentOptions) -> bool {
        self.grade_max <= GOOD_ENOUGH * options.gamma_b
            && self.target_off() < 1.0
            && self.force_max < 0.5 * options.f_max
            && self.energy < options.e_max
    }

    /// True if energy and forces are within their windows: no atom is badly placed.
    pub(super) fn sound(&self, options: &FragmentOptions) -> bool {
        self.force_max < options.f_max
            && self.energy < options.e_max
            && (self.target_limit.is_none() || self.target_off() < 1.0)
    }

    /// Order among carved cells: how many atoms are how far out, bounded for each, so that one bad
    /// contact does not hide a good cell.
    pub(super) fn rank(&self, gamma_b: f64) -> f64 {
        let movable = self.movable_grades.len().max(1) as f64;
        self.movable_grades
            .iter()
            .map(|g| {
                if g.is_nan() {
                    1.0
                } else {
                    1.0 - 1.0 / (1.0 + (g / gamma_b).powi(2))
                }
            })
            .sum::<f64>()
            / movable
            + 0.2 * (self.target_off() - 1.0).clamp(0.0, 1.0)
    }

    /// Order among states of one fragment: the highest grade, and how far forces and energy are
    /// beyond their limits.
    pub(super) fn badness(&self, options: &FragmentOptions) -> f64 {
        let grade = if self.grade_max.is_nan() {
            0.0
        } else {
            self.grade_max / options.gamma_b
        };
        let force = (self.force_max / options.f_max - 1.0).max(0.0);
        let energy = (self.energy / options.e_max - 1.0).max(0.0);
        // Without grades lower energy is better.
        let tie = if self.grade_max.is_nan() {
            1e-3 * self.energy.clamp(-1e3, 1e3)
        } else {
            0.0
        };
        let target = 10.0 * (self.target_off() - 1.0).clamp(0.0, 1e6);
        grade.max(GOOD_ENOUGH) + force + energy + target + tie
    }

    pub(super) fn stage(&self, name: &'static str, steps: usize) -> Stage {
        Stage {
            name,
            grade_max: self.grade_max,
            grade_median: self.grade_median,
            share_over: self.share_over,
            force_max: self.force_max,
            energy: self.energy,
            steps,
        }
    }
}
