//! Grades that cost less, and grades from noisy features.

use super::{features, train};
use crate::support;
use nepal::grade::{ActiveSet, BuildOptions, Effort, Features};
use nepal::{BackendKind, Calculator, Cell, Model, Precision, Request, Structure};
use std::sync::Arc;

/// Features rounded to single precision, and pairs summed in it, may change γ and Γ by so much,
/// relative to the larger of them and 1.
const NOISE: f64 = 1e-4;

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
fn noise_of_single_precision_changes_nothing() {
    let model = support::model("active_set_pbte");
    let structures = train();
    let (set, _) = build(&model, &structures[..10]);
    let set = Arc::new(set);
    let kind = BackendKind::default_for_build();
    let calculators = [Precision::F64, Precision::Mixed]
        .map(|precision| Calculator::with_precision(model.clone(), kind, precision));
    // The reference backend knows only f64.
    let mut calculators: Vec<Calculator> = calculators.into_iter().flatten().collect();
    for (structure, by) in [
        (&structures[3], 0.0),
        (&structures[20], 0.0),
        (&structures[22], 0.05),
    ] {
        let structure = compressed(structure, by);
        let types = model.types_of(&structure.elements).unwrap();
        let request = Request::DESCRIPTORS | Request::PROJECTIONS | Request::GRADES;
        let mut exact = Vec::new();
        for calculator in &mut calculators {
            calculator.set_active_set(Some(set.clone())).unwrap();
            let found = calculator.compute(&structure, request).unwrap();
            if exact.is_empty() {
                let q = &found.descriptors;
                exact = set
                    .grade_descriptors(&model, &types, q, Effort::Full)
                    .unwrap();
            }
            let width = model.layout().projection_len();
            let rows = found.projections.chunks_exact(width);
            for (i, (row, exact)) in rows.zip(&exact).enumerate() {
                let rounded: Vec<f64> = row.iter().map(|&x| f64::from(x as f32)).collect();
                let noisy = set.grade_rows(types[i] as usize, &rounded).unwrap()[0];
                for (a, b) in [
                    (noisy.gamma, exact.gamma),
                    (noisy.total, exact.total),
                    (found.gamma[i], exact.gamma),
                    (found.grade[i], exact.total),
                ] {
                    assert!((a - b).abs() <= NOISE * b.max(1.0), "{a} {exact:?}");
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
