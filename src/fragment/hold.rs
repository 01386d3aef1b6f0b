//! What holds a target whose shell may move: its grade and its descriptors stay near the parent's.

use super::reference::Reference;
use super::terms::MEASURE;
use crate::calculator::Calculator;
use crate::error::Result;

/// Weight of the squared change of the smooth grade over what is allowed.
const GRADE: f64 = 1.0;
/// Weight of the squared change of the descriptors over [`SPREAD`].
const DESCRIPTORS: f64 = 0.5;
/// Change of a descriptor, relative to the largest, that weighs as much as the allowed change of
/// the grade.
const SPREAD: f64 = 0.02;

/// The target as the parent has it.
pub(super) struct Hold {
    kind: u32,
    descriptors: Vec<f64>,
    /// Largest descriptor.
    scale: f64,
    /// Grade Γ, for checks.
    grade: f64,
    /// Smooth grade, for the penalty; none without an active set.
    smooth: Option<f64>,
    tolerance: f64,
}

impl Hold {
    /// From the parent's target.
    ///
    /// **Errors**: those of the active set.
    pub(super) fn new(
        calculator: &Calculator,
        reference: &Reference,
        kind: u32,
        tolerance: f64,
    ) -> Result<Self> {
        let descriptors = reference.target().to_vec();
        let mut hold = Self {
            kind,
            scale: descriptors.iter().fold(1e-300f64, |m, q| m.max(q.abs())),
            grade: reference.target_grade,
            smooth: None,
            tolerance,
            descriptors,
        };
        if let Some((value, _)) = hold.measure(calculator, &hold.descriptors)? {
            hold.smooth = Some(value);
        }
        Ok(hold)
    }

    /// Smooth grade of descriptors and its gradient, if there is an active set that knows the type.
    fn measure(&self, calculator: &Calculator, q: &[f64]) -> Result<Option<(f64, Vec<f64>)>> {
        let Some(set) = calculator.active_set() else {
            return Ok(None);
        };
        let model = calculator.model();
        let found = set.gradient_of_grade(model, &[self.kind], (q, &[]), MEASURE, |_| vec![1.0])?;
        let value = found.values[0];
        Ok(value.is_finite().then_some((value, found.gradient)))
    }

    /// Adds the gradient with respect to the target's descriptors; gives the penalty.
    ///
    /// **Errors**: those of the active set.
    pub(super) fn add(
        &self,
        calculator: &Calculator,
        q: &[f64],
        gradient: &mut [f64],
    ) -> Result<f64> {
        let mut value = 0.0;
        let unit = SPREAD * self.scale;
        for ((g, x), x0) in gradient.iter_mut().zip(q).zip(&self.descriptors) {
            let off = (x - x0) / unit;
            value += DESCRIPTORS * off * off;
            *g += 2.0 * DESCRIPTORS * off / unit;
        }
        if let (Some(goal), Some((found, slope))) = (self.smooth, self.measure(calculator, q)?) {
            let unit = self.tolerance * goal.max(1.0);
            let off = (found - goal) / unit;
            value += GRADE * off * off;
            for (g, s) in gradient.iter_mut().zip(slope) {
                *g += 2.0 * GRADE * off / unit * s;
            }
        }
        Ok(value)
    }

    /// True if a target with these descriptors and grade is within four fifths of the limit.
    pub(super) fn keeps(&self, grade: f64) -> bool {
        (grade - self.grade).abs() <= 0.8 * self.tolerance * self.grade.max(1.0)
    }
}
