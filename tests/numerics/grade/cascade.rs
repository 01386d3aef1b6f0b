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
    ActiveSet::build(model, &features(model, training), &BuildOptions::two_part()).unwrap()
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

/// How many atoms of known, new and compressed structures are above thresholds, and how many of
/// those the prefilter misses; that all others are found exactly is checked.
fn above_and_missed(model: &Arc<Model>, structures: &[Structure], set: ActiveSet) -> [usize; 2] {
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
    [counted, missed]
}

#[test]
fn the_same_atoms_are_above_a_threshold_however_they_are_found() {
    let structures = train();
    let model = support::model("active_set_pbte");
    let (set, _) = build(&model, &structures[..10]);
    let [counted, _] = above_and_missed(&model, &structures, set);
    assert!(counted > 20, "{counted}");
    // Thirty neurons tell what is unusual; the four of the model above cannot.
    let model = support::model("pbte_nep_train");
    let (set, report) = build(&model, &structures[..20]);
    let [counted, missed] = above_and_missed(&model, &structures, set);
    assert!(counted > 20, "{counted}");
    assert!(missed * 20 <= counted, "{missed} of {counted}");
    for element in &report.elements {
        let held_out = element.held_out.as_ref().unwrap();
        assert!(held_out.novel > 0 && held_out.recall > 0.95, "{held_out:?}");
    }
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
