//! The full objective against finite differences, in positions and strain.

use super::super::cells::{candidates, plans, sizes};
use super::super::composition::Composition;
use super::super::draft::{Draft, Stock};
use super::super::objective::{Objective, STRAINS, variables};
use super::super::options::{FragmentOptions, Mode, Shape};
use super::super::parent::Surroundings;
use super::super::random::SplitMix;
use super::super::reference::Reference;
use super::super::repair;
use super::super::terms::{Limits, Weights};
use super::*;

/// A cube cut from a crystal regardless of the lattice: clashes, wrong distances, large forces.
fn rough_draft<'a>(
    model: &'a Model,
    parent: &'a Structure,
    options: &FragmentOptions,
) -> (Surroundings<'a>, Draft) {
    let s = Surroundings::new(model, parent, 3, options).unwrap();
    let sizes = sizes(&s, options);
    let plan = plans(&s, sizes, options).remove(0);
    let composition = Composition::new(&s, options);
    let cell = candidates(&s, &plan, sizes, options).remove(0);
    let stock = Stock::new(&s, &plan, 2.0 * cell.cell.shortest(), options);
    let mut draft = stock
        .fill(&s, &plan, &cell, 300.0, 0.0, options)
        .unwrap()
        .unwrap();
    let refused = repair::clashes(&mut draft, &s.contacts, &composition).unwrap();
    assert_eq!(refused, None);
    (s, draft)
}

fn check(parent: &Structure, calculator: &mut Calculator, weights: Weights, limits: [f64; 2]) {
    check_mode(parent, calculator, weights, limits, Mode::Exact);
}

fn check_mode(
    parent: &Structure,
    calculator: &mut Calculator,
    weights: Weights,
    limits: [f64; 2],
    mode: Mode,
) {
    let options = FragmentOptions {
        mode,
        shapes: vec![Shape::Cube],
        ..FragmentOptions::default()
    };
    let model = calculator.model().clone();
    let (s, draft) = rough_draft(&model, parent, &options);
    let limits = Limits {
        strain: 0.004,
        force: limits[0],
        energy: limits[1],
        parent_energy: -4.0 * draft.len() as f64,
        // Wider than the core, so that the exclusion sphere acts.
        cutoff: s.core_radius + 0.2,
    };
    let mut z = variables(&draft);
    let n = z.len();
    // Away from the symmetric point, and beyond the strain limit in one component.
    for (x, e) in z[n - STRAINS..]
        .iter_mut()
        .zip([0.15, -0.1, 0.04, 0.03, -0.02, 0.05])
    {
        *x = e;
    }
    let reference = Reference::new(&s, calculator, false).unwrap();
    let mut objective = Objective::new(calculator, &draft, &s.contacts, limits);
    if let Some(tolerance) = s.tolerance {
        objective.hold_target(&reference, tolerance).unwrap();
    }
    let mut gradient = vec![0.0; n];
    let value = objective.value(&z, &weights, &mut gradient).unwrap();
    assert!(value.is_finite());
    let scale = gradient.iter().fold(0.0f64, |m, g| m.max(g.abs()));
    let mut random = SplitMix::new(5, 5);
    let mut picks: Vec<usize> = (n - STRAINS..n).collect();
    picks.extend((0..10).map(|_| (random.uniform() * (n - STRAINS) as f64) as usize));
    let mut scratch = vec![0.0; n];
    for k in picks {
        let h = 2e-5;
        let mut at = |step: f64| {
            let mut moved = z.clone();
            moved[k] += step;
            objective.value(&moved, &weights, &mut scratch).unwrap()
        };
        let numeric = (8.0 * (at(h) - at(-h)) - (at(2.0 * h) - at(-2.0 * h))) / (12.0 * h);
        let error = (gradient[k] - numeric).abs();
        assert!(
            error < 2e-5 * scale.max(1.0),
            "variable {k} of {n}: {} is not {numeric}",
            gradient[k]
        );
    }
}

#[test]
fn the_energy_objective_has_its_gradient() {
    let mut calculator = Calculator::new(silicon(), BackendKind::Reference).unwrap();
    let parent = shake(diamond([3, 3, 3]), 0.05, 1);
    check(&parent, &mut calculator, Weights::RELAX, [1e9, 1e9]);
}

#[test]
fn the_full_grade_objective_has_its_gradient() {
    let small = rock_salt([2, 2, 2]);
    let mut calculator = graded(lead_telluride(), &small, 0.08);
    let parent = shake(rock_salt([4, 4, 4]), 0.05, 2);
    for exponent in [4.0, 12.0] {
        // Limits below what the draft has: both windows are open.
        check(
            &parent,
            &mut calculator,
            Weights::grade(exponent),
            [0.1, -1.0],
        );
    }
}

#[test]
fn the_hold_on_the_target_has_its_gradient() {
    let small = rock_salt([2, 2, 2]);
    let mut calculator = graded(lead_telluride(), &small, 0.08);
    let parent = shake(rock_salt([4, 4, 4]), 0.05, 2);
    for weights in [Weights::RELAX, Weights::grade(4.0)] {
        let mode = Mode::Tolerant(0.05);
        check_mode(&parent, &mut calculator, weights, [0.1, -1.0], mode);
    }
}
