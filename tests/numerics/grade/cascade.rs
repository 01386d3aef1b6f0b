//! Grades that cost less, and grades from noisy features.

use super::{features, train};
use crate::support;
use nepal::grade::{ActiveSet, BuildOptions, Effort, Features};
use nepal::{BackendKind, Calculator, Cell, Model, Request, Structure};
use std::sync::Arc;

/// Features rounded to single precision may change γ and Γ by so much, relative to the larger of
/// them and 1.
const ROUNDED: f64 = 1e-4;
/// A network evaluated in single precision as well: its sums cancel, and lose a digit.
const SINGLE: f64 = 1e-3;

fn build(model: &Model, training: &[Structure]) -> (ActiveSet, nepal::grade::BuildReport) {
    ActiveSet::build(model, &features(model, training), &BuildOptions::default()).unwrap()
}

/// A structure made smaller by a fraction of its lengths.
fn compressed(structure: &Structure, by: f64) -> Structure {
    let shrink = |v: &[f64; 3]| v.map(|x| x * (1.0 - by));
    let cell = Cell::new(
        structure.cell.vectors().map(|v| shrink(&v)),
        structure.cell.periodic(),
    )
    .unwrap();
    let positions = structure.positions.iter().map(shrink).collect();
    Structure::new(cell, structure.elements.clone(), positions).unwrap()
}

#[test]
fn the_same_atoms_are_above_a_threshold_however_they_are_found() {
    let model = support::model("active_set_pbte");
    let structures = train();
    let (set, report) = build(&model, &structures[..10]);
    let set = Arc::new(set);
    let mut calculator = Calculator::new(model.clone(), BackendKind::default_for_build()).unwrap();
    calculator.set_active_set(Some(set.clone())).unwrap();
    let (mut counted, mut missed) = (0, 0);
    for (structure, by) in [
        (&structures[3], 0.0),
        (&structures[20], 0.0),
        (&structures[22], 0.02),
    ] {
        let structure = compressed(structure, by);
        // Not 1: active rows have a γ of 1 up to rounding.
        for threshold in [1.1, 2.0, 5.0] {
            let mut grades = [
                Effort::Full,
                Effort::Above(threshold),
                Effort::Likely(threshold),
            ]
            .map(|effort| {
                calculator.set_grade_effort(effort);
                let found = calculator.compute(&structure, Request::GRADES).unwrap();
                assert!(found.descriptors.is_empty());
                found.grade.clone()
            });
            let [full, above, likely] = &mut grades;
            for ((full, above), likely) in full.iter().zip(above).zip(likely) {
                assert_eq!(
                    *full > threshold,
                    *above > threshold,
                    "{threshold}: {full} {above}"
                );
                if *full > threshold {
                    assert!((*full - *above).abs() <= 1e-10 * *full, "{full} {above}");
                    counted += 1;
                    missed += usize::from(*likely <= threshold);
                } else {
                    assert!(*likely <= threshold);
                }
            }
        }
    }
    assert!(counted > 20, "{counted}");
    // Four neurons say little: the recall is far better with thirty.
    assert!(missed * 2 < counted, "{missed} of {counted}");
    for element in &report.elements {
        let held_out = element.held_out.as_ref().unwrap();
        assert!(held_out.recall > 0.5, "{held_out:?}");
    }
}

/// Features as a program in single precision would make them.
fn single_precision(model: &Model, t: usize, q: &[f64]) -> Vec<f64> {
    let net = model.network(t);
    let dim = model.dim();
    let q: Vec<f32> = q.iter().map(|&x| x as f32).collect();
    let mut row = Vec::new();
    for (mu, (w, &b)) in net.w0.chunks_exact(dim).zip(net.b0).enumerate() {
        let mut u = -(b as f32);
        for (w, q) in w.iter().zip(&q) {
            u += *w as f32 * q;
        }
        let x = u.tanh();
        let slope = net.w1[mu] as f32 * (1.0 - x * x);
        row.extend(q.iter().map(|q| f64::from(slope * q)));
        row.extend([f64::from(-slope), f64::from(x)]);
    }
    row
}

#[test]
fn noise_of_single_precision_changes_nothing() {
    let model = support::model("active_set_pbte");
    let structures = train();
    let (set, _) = build(&model, &structures[..10]);
    let mut calculator = Calculator::new(model.clone(), BackendKind::default_for_build()).unwrap();
    for (structure, by) in [
        (&structures[3], 0.0),
        (&structures[20], 0.0),
        (&structures[22], 0.05),
    ] {
        let structure = compressed(structure, by);
        let types = model.types_of(&structure.elements).unwrap();
        let request = Request::DESCRIPTORS | Request::PROJECTIONS;
        let found = calculator.compute(&structure, request).unwrap();
        let q = &found.descriptors;
        let exact = set
            .grade_descriptors(&model, &types, q, Effort::Full)
            .unwrap();
        let width = model.layout().projection_len();
        let rows = found.projections.chunks_exact(width);
        for (((q, row), &t), exact) in q
            .chunks_exact(model.dim())
            .zip(rows)
            .zip(&types)
            .zip(&exact)
        {
            let rounded: Vec<f64> = row.iter().map(|&x| f64::from(x as f32)).collect();
            let single = single_precision(&model, t as usize, q);
            for (row, noise) in [(rounded, ROUNDED), (single, SINGLE)] {
                let noisy = set.grade_rows(t as usize, &row).unwrap()[0];
                for (a, b) in [(noisy.gamma, exact.gamma), (noisy.total, exact.total)] {
                    assert!((a - b).abs() <= noise * b.max(1.0), "{noisy:?} {exact:?}");
                }
            }
        }
    }
}

#[test]
fn features_from_descriptors_are_the_projections() {
    let model = support::model("active_set_pbte");
    let structure = &train()[5];
    let set = build(&model, &train()[..4]).0;
    let mut calculator = Calculator::new(model.clone(), BackendKind::default_for_build()).unwrap();
    let request = Request::DESCRIPTORS | Request::PROJECTIONS;
    let found = calculator.compute(structure, request).unwrap();
    let types = model.types_of(&structure.elements).unwrap();
    let mut rows = Features::new(&model);
    rows.push_atoms(0, &types, &found.projections).unwrap();
    let grades = set
        .grade_descriptors(&model, &types, &found.descriptors, Effort::Full)
        .unwrap();
    for t in 0..2 {
        let expected = set.grade_rows(t, rows.rows(t)).unwrap();
        for (origin, expected) in rows.origins(t).iter().zip(expected) {
            let found = grades[origin.atom as usize];
            assert!((found.total - expected.total).abs() <= 1e-7 * expected.total.max(1.0));
        }
    }
}
