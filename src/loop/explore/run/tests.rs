use super::*;
use crate::explore::testing::{LennardJones, argon_fcc};
use nepal::BackendKind;
use nepal::grade::{ActiveSet, BuildOptions, Features};
use nepal::model::Model;
use nepal::system::cell::norm;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

/// Argon whose grade is the force on each atom in units of `scale`, and that fails in one call.
struct Forced {
    lj: LennardJones,
    scale: f64,
    calls: usize,
    graded: usize,
    fail_in_call: usize,
}

impl Forced {
    fn new(scale: f64) -> Self {
        Self {
            lj: LennardJones::argon(),
            scale,
            calls: 0,
            graded: 0,
            fail_in_call: usize::MAX,
        }
    }
}

impl Potential for Forced {
    fn energy_forces_virial(&mut self, structure: &Structure) -> Result<Labels> {
        self.calls += 1;
        let mut labels = self.lj.energy_forces_virial(structure)?;
        if self.calls == self.fail_in_call {
            labels.1[0][1] = f64::NAN;
        }
        Ok(labels)
    }
}

impl GradedPotential for Forced {
    fn energy_forces_virial_grades(&mut self, structure: &Structure) -> Result<(Labels, Grades)> {
        self.graded += 1;
        let labels = self.energy_forces_virial(structure)?;
        let gamma: Vec<f64> = labels.1.iter().map(|&f| norm(f) / self.scale).collect();
        let grades = Grades {
            rho: vec![f64::NAN; gamma.len()],
            grade: gamma.clone(),
            gamma,
        };
        Ok((labels, grades))
    }
}

fn options() -> ExploreOptions {
    ExploreOptions {
        md: MdOptions {
            ensemble: Ensemble::svr(0.1),
            temperature: (5.0, 80.0),
            pressure: (0.0, 0.0),
            timestep: 0.01,
            steps: 600,
            seed: 11,
        },
        spacing: 40,
        ..ExploreOptions::default()
    }
}

/// Explores to the end without anyone stopping it.
fn run(potential: &mut Forced, options: &ExploreOptions) -> Exploration {
    let go_on = &mut |_, _| ControlFlow::Continue(());
    explore_with(potential, &argon_fcc(2, 5.4), options, go_on).unwrap()
}

#[test]
fn heating_leaves_known_ground_and_keeps_what_it_finds() {
    // Forces reach 2 x 0.05 eV/Å between the start and 80 K and stay below 10 x 0.05.
    let mut potential = Forced::new(0.05);
    let found = run(&mut potential, &options());
    assert!(found.finished && !found.escalated && found.rewinds.is_empty());
    assert_eq!(found.steps_done, 600);
    assert_eq!(potential.calls, 601, "one evaluation a step");
    assert_eq!(potential.graded, 61);
    assert_eq!(found.trace.len(), 61);
    assert!(found.trace[1].max_grade < 2.0, "cold is safe");
    assert!(found.trace.iter().all(|p| p.max_rho.is_nan()));
    assert!(found.candidates.len() > 3);
    assert_eq!(found.candidates[0].why, "first crossing");
    assert!(found.candidates.iter().any(|c| c.why == "local maximum"));
    for pair in found.candidates.windows(2) {
        assert!(pair[1].step >= pair[0].step + 40);
    }
    for c in &found.candidates {
        let point = found.trace.iter().find(|p| p.step == c.step).unwrap();
        assert_eq!(point.max_grade, c.grade);
        assert_eq!(c.grades[c.atom], c.grade);
        assert!(c.grade >= 1.5 && c.grades.iter().all(|&g| g <= c.grade));
        // The frame is the one that was graded, whatever the wrapping.
        let (_, forces, _) = LennardJones::argon()
            .energy_forces_virial(&c.structure)
            .unwrap();
        assert!((norm(forces[c.atom]) / 0.05 - c.grade).abs() < 1e-9);
    }
}

#[test]
fn a_seed_repeats_the_whole_exploration() {
    let one = run(&mut Forced::new(0.05), &options());
    let two = run(&mut Forced::new(0.05), &options());
    assert_eq!(one.candidates.len(), two.candidates.len());
    for (a, b) in one.candidates.iter().zip(&two.candidates) {
        assert_eq!((a.step, a.atom, a.grade), (b.step, b.atom, b.grade));
        assert_eq!(a.structure, b.structure);
    }
    assert_eq!(one.last, two.last);
    let mut other = options();
    other.md.seed = 12;
    assert_ne!(one.last, run(&mut Forced::new(0.05), &other).last);
}

#[test]
fn large_grades_send_the_run_back_and_give_it_up() {
    let mut strict = options();
    strict.break_ = 2.5;
    strict.save = 1.5;
    let found = run(&mut Forced::new(0.05), &strict);
    assert!(found.escalated && !found.finished);
    assert_eq!((found.breaks, found.rewinds.len()), (3, 3));
    assert!(found.steps_done < 600);
    for rewind in &found.rewinds {
        assert!(
            !rewind.unhealthy && rewind.reason.contains('Γ'),
            "{rewind:?}"
        );
        let goal = found
            .trace
            .iter()
            .find(|p| p.step == rewind.back_to)
            .unwrap();
        assert!(goal.max_grade < 1.5 && rewind.back_to < rewind.step);
        let safe_between = found
            .trace
            .iter()
            .any(|p| p.step > rewind.back_to && p.step < rewind.step && p.max_grade < 1.5);
        assert!(
            !safe_between,
            "the last safe frame is the one to go back to"
        );
        let kept = found
            .candidates
            .iter()
            .find(|c| c.step == rewind.step)
            .unwrap();
        assert!(kept.why == "break" && kept.grade >= 2.5);
    }
    let (_, forces, _) = LennardJones::argon()
        .energy_forces_virial(&found.last)
        .unwrap();
    assert!(forces.iter().all(|&f| norm(f) / 0.05 < 1.5));
}

#[test]
fn a_failure_costs_a_break_and_not_the_run() {
    let mut potential = Forced::new(1.0);
    potential.fail_in_call = 306;
    let found = run(&mut potential, &options());
    assert!(found.finished);
    assert_eq!(found.rewinds.len(), 1);
    let rewind = &found.rewinds[0];
    assert!(
        rewind.unhealthy && rewind.reason.contains("atom 0"),
        "{rewind:?}"
    );
    assert_eq!((rewind.step, rewind.back_to), (305, 300));
    let kept: Vec<_> = found.candidates.iter().map(|c| (c.step, c.why)).collect();
    assert_eq!(kept, [(300, "before failure")]);
}

#[test]
fn a_start_outside_known_ground_is_kept_and_given_up() {
    let mut hopeless = options();
    hopeless.save = 0.1;
    hopeless.break_ = 0.2;
    let mut start = argon_fcc(2, 5.4);
    start.positions[9][2] += 0.5;
    let go_on = &mut |_, _| ControlFlow::Continue(());
    let found = explore_with(&mut Forced::new(0.05), &start, &hopeless, go_on).unwrap();
    assert!(found.escalated);
    assert_eq!(found.candidates[0].step, 0);
    assert_eq!(found.candidates[0].atom, 9);
    assert_eq!(found.candidates.len(), 3);
    assert_eq!(found.last, start, "there is no other safe frame");
}

#[test]
fn the_caller_can_stop() {
    let mut seen = Vec::new();
    let found = explore_with(
        &mut Forced::new(0.05),
        &argon_fcc(2, 5.4),
        &options(),
        &mut |step, grade| {
            seen.push((step, grade));
            if step >= 50 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        },
    )
    .unwrap();
    assert!(!found.finished && !found.escalated);
    assert_eq!(found.steps_done, 50);
    let traced: Vec<_> = found.trace.iter().map(|p| (p.step, p.max_grade)).collect();
    assert_eq!(seen, traced);
}

#[test]
fn options_are_checked() {
    let good = options();
    assert!(good.validate().is_ok());
    for bad in [
        ExploreOptions {
            grade_every: 0,
            ..good.clone()
        },
        ExploreOptions {
            max_breaks: 0,
            ..good.clone()
        },
        ExploreOptions {
            break_: 1.0,
            ..good.clone()
        },
        ExploreOptions {
            save: f64::NAN,
            ..good.clone()
        },
    ] {
        assert!(bad.validate().is_err(), "{bad:?}");
    }
}

/// A real model with an active set of nearly perfect silicon: what melts is found.
#[test]
fn a_calculator_explores_with_its_active_set() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .join("tests/data/si_2022_nep4_3body");
    let model = Arc::new(Model::load(folder.join("nep.txt")).unwrap());
    let silicon = diamond(2);
    let go_on = &mut |_, _| ControlFlow::Continue(());
    let mut calculator = Calculator::new(Arc::clone(&model), BackendKind::Reference).unwrap();

    let mut cold = ExploreOptions::default();
    cold.md.temperature = (300.0, 300.0);
    cold.md.steps = 40;
    cold.md.timestep = 0.002;
    assert!(
        explore(&mut calculator, &silicon, &cold, go_on).is_err(),
        "no active set"
    );

    let mut known = Vec::new();
    let mut md = Md::new(&mut calculator, &silicon, &cold.md).unwrap();
    md.run(&mut calculator, 40, |md| {
        if md.steps_done().is_multiple_of(10) {
            known.push(md.state().structure.clone());
        }
    })
    .unwrap();
    let mut backend = BackendKind::Reference.create().unwrap();
    let features = Features::collect(&model, backend.as_mut(), &known).unwrap();
    let (set, _) = ActiveSet::build(&model, &features, &BuildOptions::default()).unwrap();
    calculator.set_active_set(Some(Arc::new(set))).unwrap();

    // The same run again: the graded frames are those of the active set, but for the start.
    let again = explore(&mut calculator, &silicon, &cold, go_on).unwrap();
    assert!(again.finished && again.trace.len() == 5);
    assert!(
        again.trace[1..].iter().all(|p| p.max_gamma < 1.05),
        "{:?}",
        again.trace
    );

    let mut hot = cold;
    hot.md.temperature = (3000.0, 3000.0);
    hot.break_ = 1e9;
    let found = explore(&mut calculator, &silicon, &hot, go_on).unwrap();
    assert!(!found.candidates.is_empty());
    assert!(
        found
            .candidates
            .iter()
            .all(|c| c.grade >= 2.0 && c.gamma <= c.grade)
    );

    // What was kept is known to the rest of the run, and to that alone.
    hot.md.steps = 200;
    hot.spacing = 10;
    (hot.break_, hot.max_breaks) = (4.0, 50);
    let before = calculator.active_set().cloned();
    let learning = explore(&mut calculator, &silicon, &hot, go_on).unwrap();
    assert_eq!(calculator.active_set().cloned(), before);
    hot.learn = false;
    let plain = explore(&mut calculator, &silicon, &hot, go_on).unwrap();
    let mut known = |found: &Exploration| {
        calculator.set_active_set(before.clone()).unwrap();
        let known = found.candidates.iter().filter(|c| {
            let (_, grades) = calculator
                .energy_forces_virial_grades(&c.structure)
                .unwrap();
            Calculator::learn(&mut calculator, &c.structure, 1.0).unwrap();
            grades.grade.iter().all(|&g| g < hot.save)
        });
        known.count()
    };
    assert!(learning.breaks > 0 && learning.candidates.len() > 1);
    assert_eq!((known(&learning), known(&plain) > 0), (0, true));
}

/// The diamond structure of silicon, `n` cubic cells along each side.
fn diamond(n: usize) -> Structure {
    let a = 5.43;
    let quarter = 0.25 * a;
    let mut cell = argon_fcc(1, a);
    cell.elements = vec![nepal::Element::from_symbol("Si").unwrap(); 8];
    let shifted: Vec<_> = cell
        .positions
        .iter()
        .map(|r| r.map(|x| x + quarter))
        .collect();
    cell.positions.extend(shifted);
    cell.repeated([n; 3]).unwrap()
}
