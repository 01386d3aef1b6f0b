//! nepal's form on real structures.

use super::{features, train};
use crate::support::{self, backends, calculator};
use nepal::grade::{ActiveSet, BuildOptions, Features};
use nepal::{BackendKind, Cell, Element, Model, Request, Structure};
use std::sync::Arc;

fn build(model: &Model, training: &Features) -> Arc<ActiveSet> {
    let (set, report) = ActiveSet::build(model, training, &BuildOptions::default()).unwrap();
    for element in &report.elements {
        assert!(element.rank == 0 || element.max_gamma <= 1.0, "{report}");
    }
    Arc::new(set)
}

/// Γ of all atoms.
fn grades(model: &Arc<Model>, set: &Arc<ActiveSet>, structure: &Structure) -> Vec<f64> {
    let mut calculator = calculator(model, BackendKind::default_for_build());
    calculator.set_active_set(Some(Arc::clone(set))).unwrap();
    let found = calculator.compute(structure, Request::GRADES).unwrap();
    for ((gamma, rho), grade) in found.gamma.iter().zip(&found.rho).zip(&found.grade) {
        assert!(grade >= gamma && *rho >= 0.0);
    }
    found.grade.clone()
}

#[test]
fn training_atoms_are_inside_and_backends_agree() {
    let model = support::model("active_set_pbte");
    let structures = train();
    let set = build(&model, &features(&model, &structures));
    for backend in backends() {
        let mut calculator = calculator(&model, backend);
        calculator.set_active_set(Some(Arc::clone(&set))).unwrap();
        for structure in [&structures[0], &structures[24]] {
            let found = calculator.compute(structure, Request::GRADES).unwrap();
            assert!(found.grade.iter().all(|&g| g <= 1.0 + 1e-6), "{backend:?}");
            assert!(found.projections.is_empty());
        }
    }
}

#[test]
fn grades_do_not_depend_on_how_a_structure_is_written_down() {
    let model = support::model("active_set_pbte");
    let structures = train();
    let set = build(&model, &features(&model, &structures[..8]));
    let structure = &structures[20];
    let expected = grades(&model, &set, structure);
    let close = |found: &[f64], what: &str| {
        for (a, b) in found.iter().zip(&expected) {
            assert!((a - b).abs() <= 1e-7 * b.max(1.0), "{what}: {a} {b}");
        }
    };
    // A rotation about (1, 1, 1) by an irrational angle, then a translation.
    let (s, c) = (0.7f64.sin(), 0.7f64.cos());
    let rotate = |v: [f64; 3]| -> [f64; 3] {
        let k = 1.0 / 3.0f64.sqrt();
        let along = k * (v[0] + v[1] + v[2]) * (1.0 - c);
        std::array::from_fn(|a| c * v[a] + k * s * (v[(a + 2) % 3] - v[(a + 1) % 3]) + k * along)
    };
    let cell = Cell::new(structure.cell.vectors().map(rotate), [true; 3]).unwrap();
    let positions = structure
        .positions
        .iter()
        .map(|&r| {
            let r = rotate(r);
            [r[0] + 0.3, r[1] - 11.0, r[2] + 40.0]
        })
        .collect();
    let turned = Structure::new(cell, structure.elements.clone(), positions).unwrap();
    close(&grades(&model, &set, &turned), "rotated");

    let reversed = Structure::new(
        structure.cell.clone(),
        structure.elements.iter().rev().copied().collect(),
        structure.positions.iter().rev().copied().collect(),
    )
    .unwrap();
    let mut found = grades(&model, &set, &reversed);
    found.reverse();
    close(&found, "other order");

    let repeated = structure.repeated([2, 1, 1]).unwrap();
    let found = grades(&model, &set, &repeated);
    close(&found[..expected.len()], "supercell, first copy");
    close(&found[expected.len()..], "supercell, second copy");
}

#[test]
fn isolated_atoms_and_unseen_pairs_are_flagged() {
    let model = support::model("active_set_pbte");
    let structures = train();
    let set = build(&model, &features(&model, &structures));
    for element in model.elements() {
        let alone = Structure::new(Cell::isolated(), vec![*element], vec![[0.0; 3]]).unwrap();
        assert!(grades(&model, &set, &alone)[0] > 2.0);
    }
    // Pure elements only: no environment has a pair of unlike atoms.
    let pure: Vec<Structure> = model
        .elements()
        .iter()
        .flat_map(|&element| {
            structures[..4]
                .iter()
                .map(move |s| with_element(s, element))
        })
        .collect();
    let set = build(&model, &features(&model, &pure));
    let mixed = grades(&model, &set, &structures[0]);
    assert!(mixed.iter().all(|&g| g > 2.0));
}

fn with_element(structure: &Structure, element: Element) -> Structure {
    let mut structure = structure.clone();
    structure.elements.fill(element);
    structure
}

#[test]
fn a_host_may_leave_the_set_without_an_element() {
    let model = support::model("active_set_pbte");
    let structures = train();
    let pure = with_element(&structures[0], model.elements()[0]);
    let set = build(&model, &features(&model, [&pure]));
    let found = grades(&model, &set, &structures[1]);
    for (grade, element) in found.iter().zip(&structures[1].elements) {
        assert_eq!(grade.is_infinite(), *element == model.elements()[1]);
    }
}
