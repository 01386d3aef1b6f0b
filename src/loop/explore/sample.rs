//! Frames of dynamics at set steps: what a scenario visits, whatever its grade.

use super::dynamics::{Md, Step};
use super::moves::Mover;
use super::potential::GradedPotential;
use super::run::ExploreOptions;
use nepal::error::Result;
use nepal::system::Structure;
use std::ops::ControlFlow;

/// A frame of a run.
#[derive(Clone, Debug)]
pub struct Visited {
    /// The atoms.
    pub structure: Structure,
    /// Step of the run.
    pub step: usize,
    /// Temperature of the moment, K.
    pub temperature: f64,
}

/// What a run visited.
#[derive(Clone, Debug)]
pub struct Sampled {
    /// Its frames.
    pub frames: Vec<Visited>,
    /// Steps done.
    pub steps: usize,
    /// Why it ended before its last step, if it did.
    pub ended: Option<String>,
}

/// Runs the plain dynamics of `options`, its moves among them, and gives the frames after `count` equal parts of it. It
/// ends where the grade passes `break` or the limits of physics are passed: from there on it says nothing of the
/// material.
///
/// **Errors**: those of the potential and of options that make no sense.
pub fn sample(
    potential: &mut dyn GradedPotential,
    start: &Structure,
    options: &ExploreOptions,
    count: usize,
    go_on: &dyn Fn() -> ControlFlow<()>,
) -> Result<Sampled> {
    options.validate()?;
    let volume = start.cell.volume();
    let steps = options.md.steps;
    let mut mover = options.moves.map(|m| Mover::new(m, options.md.seed));
    let mut md = Md::new(potential, start, &options.md)?;
    let mut found = Sampled {
        frames: Vec::new(),
        steps: 0,
        ended: None,
    };
    for step in 1..=steps {
        if go_on().is_break() {
            break;
        }
        if let Step::Unstable(reason) = md.step(potential)? {
            found.ended = Some(reason);
            break;
        }
        if let Some(mover) = mover.as_mut().filter(|m| m.is_due(step)) {
            mover.attempt(&mut md, potential)?;
            md.state_mut().evaluate(potential)?;
        }
        let state = md.state();
        let target = options.md.temperature_at(step);
        found.ended = options.health.quick(state, target, volume);
        // The parts of the run that are over by now, against those before.
        let due = step * count / steps > (step - 1) * count / steps;
        if found.ended.is_none() && (due || step.is_multiple_of(options.grade_every)) {
            let grades = potential.energy_forces_virial_grades(&state.structure)?.1;
            let grade = grades.largest();
            found.ended = match options.health.distances(&state.structure)? {
                None if grade >= options.break_ => Some(format!(
                    "the grade is {grade:.2} (limit {})",
                    options.break_
                )),
                other => other,
            };
        }
        if found.ended.is_some() {
            break;
        }
        found.steps = step;
        if due {
            let mut structure = state.structure.clone();
            for r in &mut structure.positions {
                *r = structure.cell.wrap(*r);
            }
            found.frames.push(Visited {
                structure,
                step,
                temperature: state.temperature(),
            });
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explore::dynamics::Ensemble;
    use crate::explore::testing;

    #[test]
    fn frames_are_spread_over_the_run_and_end_where_nothing_is_known() {
        let (mut calculator, crystal) = testing::silicon();
        let mut options = ExploreOptions::default();
        options.md.ensemble = Ensemble::svr(0.05);
        options.md.steps = 90;
        let go_on = || ControlFlow::Continue(());
        let found = sample(&mut calculator, &crystal, &options, 3, &go_on).unwrap();
        let steps: Vec<usize> = found.frames.iter().map(|f| f.step).collect();
        assert_eq!(
            (steps, found.steps, found.ended),
            (vec![30, 60, 90], 90, None)
        );
        // The same again; another seed goes another way.
        let again = sample(&mut testing::silicon().0, &crystal, &options, 3, &go_on).unwrap();
        assert_eq!(again.frames[2].structure, found.frames[2].structure);
        options.md.seed = 1;
        let other = sample(&mut calculator, &crystal, &options, 3, &go_on).unwrap();
        assert_ne!(other.frames[2].structure, found.frames[2].structure);
        (options.save, options.break_) = (0.01, 0.02);
        let cut = sample(&mut calculator, &crystal, &options, 3, &go_on).unwrap();
        assert!(cut.frames.is_empty() && cut.ended.unwrap().contains("grade"));
    }
}
