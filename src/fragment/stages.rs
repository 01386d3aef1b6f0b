//! From a carved draft to an optimised one: energy relaxation, kicks, grade minimisation.

use super::assessment::{Assessment, GOOD_ENOUGH};
use super::draft::Draft;
use super::lattice::scale;
use super::lbfgs;
use super::objective::{Objective, STRAINS, variables};
use super::options::FragmentOptions;
use super::outcome::Stage;
use super::parent::Surroundings;
use super::random::SplitMix;
use super::reference::Reference;
use super::rigid::Rigid;
use super::terms::{Limits, Weights};
use crate::calculator::Calculator;
use crate::error::{Error, Result};
use crate::system::NeighborList;
use crate::system::cell::{add, norm};
use std::cell::RefCell;

/// With a larger share of the boundary above `gamma_b` the seam is rebuilt by relaxation first.
const MOSTLY_OUT: f64 = 0.5;
/// Exponents of the smooth maximum over atoms, in turn.
const EXPONENTS: [f64; 2] = [4.0, 12.0];
/// Largest displacement in one step of the optimiser, Å.
const MAX_STEP: f64 = 0.15;
/// Residual force at which a relaxation ends, eV/Å.
const RELAXED: f64 = 0.05;
/// Gradient at which a grade minimisation ends, 1/Å.
const FLAT: f64 = 1e-4;
/// Standard deviation of a kick, Å.
const KICK: f64 = 0.3;
/// Steps of the optimiser between two looks at the grade.
const LOOK: usize = 10;

/// A draft with what the model says about it, before and after.
pub(super) struct Improved {
    pub(super) draft: Draft,
    pub(super) before: Assessment,
    pub(super) after: Assessment,
    pub(super) stages: Vec<Stage>,
    pub(super) strain: [[f64; 3]; 3],
    pub(super) evaluations: usize,
}

/// A point of the optimisation: the variables, the draft there, and what the model says.
#[derive(Clone)]
struct Point {
    z: Vec<f64>,
    draft: Draft,
    strain: [[f64; 3]; 3],
    assessment: Assessment,
    steps: usize,
}

struct Optimisation<'a, 'b> {
    s: &'a Surroundings<'b>,
    reference: &'a Reference,
    options: &'a FragmentOptions,
    calculator: &'a mut Calculator,
    /// The draft as carved, to which all variables refer.
    carved: &'a Draft,
    evaluations: usize,
}

/// Relaxes the movable atoms, then minimises their grade; the best state seen counts.
///
/// **Errors**: those of the calculator.
pub(super) fn improve(
    calculator: &mut Calculator,
    s: &Surroundings<'_>,
    draft: Draft,
    reference: &Reference,
    options: &FragmentOptions,
) -> Result<Improved> {
    let before = Assessment::new(calculator, &draft, reference, s.tolerance, options.gamma_b)?;
    let mut run = Optimisation {
        s,
        reference,
        options,
        calculator,
        carved: &draft,
        evaluations: 1,
    };
    let mut states = vec![(
        "carved",
        Point {
            z: variables(&draft),
            draft: draft.clone(),
            strain: [[0.0; 3]; 3],
            assessment: before.clone(),
            steps: 0,
        },
    )];
    if options.optimise && draft.core.iter().any(|&c| !c) {
        run.all_stages(&mut states)?;
    }
    let evaluations = run.evaluations;
    let stages = states
        .iter()
        .map(|(name, state)| state.assessment.stage(name, state.steps))
        .collect();
    let best = states
        .into_iter()
        .map(|(_, state)| state)
        .min_by(|a, b| {
            let badness = |state: &Point| state.assessment.badness(options);
            badness(a).total_cmp(&badness(b))
        })
        .ok_or_else(|| Error::Internal("a fragment went through no stage".into()))?;
    Ok(Improved {
        draft: best.draft,
        before,
        after: best.assessment,
        stages,
        strain: best.strain,
        evaluations,
    })
}

impl Optimisation<'_, '_> {
    fn all_stages(&mut self, states: &mut Vec<(&'static str, Point)>) -> Result<()> {
        let options = self.options;
        let graded = self.calculator.active_set().is_some();
        // A carved boundary that is good already is not relaxed in vain.
        if graded && states[0].1.assessment.good(options) {
            return Ok(());
        }
        // A seam that mostly fits is left as warm as it is: its grade is minimised at once.
        let carved = &states[0].1.assessment;
        if graded && carved.sound(options) && carved.share_over < MOSTLY_OUT {
            let from = states[0].1.z.clone();
            if self.minimise_grade(from, states)? {
                return Ok(());
            }
        }
        let mut from = states[0].1.z.clone();
        if options.keep_molecules
            && let Some(rigid) = Rigid::new(self.carved, &from)
        {
            from = self.rigid_step(&rigid, options.relax_steps)?;
        }
        let mut relaxed = self.step(&from, Weights::RELAX, options.relax_steps)?;
        states.push(("relaxed", relaxed.clone()));
        if graded && relaxed.assessment.good(options) {
            return Ok(());
        }
        let mut random = SplitMix::new(options.seed, 2);
        for _ in 0..options.kicks {
            if relaxed.assessment.sound(options) {
                break;
            }
            let mut z = relaxed.z.clone();
            let n = z.len() - STRAINS;
            for x in &mut z[..n] {
                *x += KICK / 3f64.sqrt() * random.normal();
            }
            let kicked = self.step(&z, Weights::RELAX, options.relax_steps)?;
            states.push(("kicked", kicked.clone()));
            if kicked.assessment.energy < relaxed.assessment.energy {
                relaxed = kicked;
            }
        }
        if graded {
            self.minimise_grade(relaxed.z, states)?;
        }
        Ok(())
    }

    /// Minimises the grade with rising exponents; true if that was good enough.
    fn minimise_grade(
        &mut self,
        mut z: Vec<f64>,
        states: &mut Vec<(&'static str, Point)>,
    ) -> Result<bool> {
        for exponent in EXPONENTS {
            let state = self.step(&z, Weights::grade(exponent), self.options.grade_steps)?;
            z.clone_from(&state.z);
            let done = state.assessment.good(self.options);
            states.push(("optimised", state));
            if done {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Moves molecules as a whole, downhill in energy; gives the variables reached.
    fn rigid_step(&mut self, rigid: &Rigid, iterations: usize) -> Result<Vec<f64>> {
        let limits = self.limits();
        let mut objective = Objective::new(self.calculator, self.carved, &self.s.contacts, limits);
        let settings = lbfgs::Settings {
            iterations,
            max_step: MAX_STEP,
            gradient: RELAXED,
        };
        let mut w = vec![0.0; rigid.len()];
        let mut gradient = Vec::new();
        lbfgs::minimise(
            &mut w,
            settings,
            |w, out| {
                let z = rigid.place(w);
                gradient.resize(z.len(), 0.0);
                let value = objective.value(&z, &Weights::RELAX, &mut gradient)?;
                rigid.pull_back(w, &gradient, out);
                Ok(value)
            },
            |_, _| Ok(false),
        )?;
        self.evaluations += objective.evaluations;
        Ok(rigid.place(&w))
    }

    fn limits(&self) -> Limits {
        let options = self.options;
        Limits {
            strain: options.max_strain,
            force: 0.5 * options.f_max,
            energy: 0.5 * options.e_max,
            parent_energy: self.reference.energy(&self.carved.types),
            cutoff: self.s.cutoff,
        }
    }

    /// Minimises one objective from some variables.
    fn step(&mut self, from: &[f64], weights: Weights, iterations: usize) -> Result<Point> {
        let options = self.options;
        let limits = self.limits();
        let mut objective = Objective::new(self.calculator, self.carved, &self.s.contacts, limits);
        if let Some(tolerance) = self.s.tolerance {
            objective.hold_target(self.reference, tolerance)?;
        }
        let settings = lbfgs::Settings {
            iterations,
            max_step: MAX_STEP,
            gradient: if weights.grade.is_some() {
                FLAT
            } else {
                RELAXED
            },
        };
        let goal = GOOD_ENOUGH * options.gamma_b;
        let mut z = from.to_vec();
        let objective = RefCell::new(objective);
        let steps = lbfgs::minimise(
            &mut z,
            settings,
            |z, g| objective.borrow_mut().value(z, &weights, g),
            |iteration, z| {
                if weights.grade.is_none() || iteration == 0 || iteration % LOOK != 0 {
                    return Ok(false);
                }
                objective.borrow_mut().below(z, goal)
            },
        )?;
        let objective = objective.into_inner();
        let strain = objective.strain(&z);
        let placed = objective.place(&z)?;
        self.evaluations += objective.evaluations + 1;
        let mut draft = self.carved.clone();
        if let Some((cell, positions)) = placed {
            draft.cell = cell;
            draft.positions = positions;
        }
        push_out(&mut draft, self.s)?;
        let assessment = Assessment::new(
            self.calculator,
            &draft,
            self.reference,
            self.s.tolerance,
            options.gamma_b,
        )?;
        Ok(Point {
            z,
            draft,
            strain,
            assessment,
            steps,
        })
    }
}

/// The penalty is soft: a movable atom left inside the target's cutoff is put onto its surface.
fn push_out(draft: &mut Draft, s: &Surroundings<'_>) -> Result<()> {
    const BEYOND: f64 = 1e-3;
    let list = NeighborList::build(&draft.cell, &draft.positions, s.cutoff)?;
    let inside: Vec<(usize, [f64; 3])> = list.vectors(0, &draft.cell, &draft.positions).collect();
    for (j, r) in inside {
        let distance = norm(r);
        if !draft.core[j] && distance > 1e-6 {
            let outward = scale(r, (s.cutoff + BEYOND) / distance - 1.0);
            draft.positions[j] = add(draft.positions[j], outward);
        }
    }
    Ok(())
}
