//! The ridge form: against its definition written out, and what is promised of its scale.

use super::{features, train};
use crate::support::{self, backends, calculator, gas};
use faer::prelude::Solve;
use nepal::grade::{ActiveSet, BuildOptions, Effort, Extension, Features, GradeKind};
use nepal::{BackendKind, Cell, Model, Request, Structure};
use std::sync::Arc;

fn build(model: &Model, structures: &[Structure]) -> ActiveSet {
    let training = features(model, structures);
    let (set, report) = ActiveSet::build(model, &training, &BuildOptions::default()).unwrap();
    assert_eq!(set.kind(), GradeKind::Ridge);
    for element in &report.elements {
        assert!(element.rank == 0 || element.max_gamma <= 1.0, "{report}");
    }
    set
}

/// Scaled descriptors and types of a structure.
fn descriptors(model: &Arc<Model>, structure: &Structure) -> (Vec<u32>, Vec<f64>) {
    let mut calculator = calculator(model, BackendKind::Reference);
    let found = calculator.compute(structure, Request::DESCRIPTORS).unwrap();
    let types = model.types_of(&structure.elements).unwrap();
    (types, found.descriptors.clone())
}

fn grades(model: &Arc<Model>, set: &ActiveSet, structure: &Structure) -> Vec<f64> {
    let (types, q) = descriptors(model, structure);
    let found = set.grade_descriptors(model, &types, &q, Effort::Full);
    found.unwrap().iter().map(|g| g.total).collect()
}

/// x = (ŝ, 1) ⊗ (q̃, 1), written out.
fn written_out(model: &Model, t: usize, q: &[f64]) -> Vec<f64> {
    let net = model.network(t);
    let (h, dim) = (net.b0.len(), q.len());
    let root = (h as f64).sqrt();
    let mut s: Vec<f64> = (0..h)
        .map(|n| {
            let u: f64 = (0..dim).map(|d| net.w0[n * dim + d] * q[d]).sum();
            (1.0 - (u - net.b0[n]).tanh().powi(2)) / root
        })
        .collect();
    s.push(1.0);
    let mut side: Vec<f64> = (0..dim)
        .map(|d| {
            let column: f64 = (0..h).map(|n| net.w0[n * dim + d].powi(2)).sum();
            q[d] * column.sqrt() / root
        })
        .collect();
    side.push(1.0);
    s.iter()
        .flat_map(|s| side.iter().map(move |q| s * q))
        .collect()
}

/// Γ, γ and ρ from (λ I + Σ x xᵀ)⁻¹ as a matrix, where the active rows are those that the set names.
#[test]
fn grades_are_what_the_definition_says() {
    let model = support::model("active_set_pbte");
    let structures = train();
    let known = &structures[..3];
    let training = features(&model, known);
    let (set, report) = ActiveSet::build(&model, &training, &BuildOptions::default()).unwrap();
    let by_structure: Vec<_> = known.iter().map(|s| descriptors(&model, s)).collect();
    let probe = gas::rattled(model.elements(), [2, 2, 2], 3.25, [true; 3]);
    let (types, q) = descriptors(&model, &probe);
    let dim = model.dim();
    let found = set
        .grade_descriptors(&model, &types, &q, Effort::Full)
        .unwrap();
    for t in 0..model.elements().len() {
        let lambda = report.elements[t].lambda;
        let rows: Vec<Vec<f64>> = set
            .origins(t)
            .into_iter()
            .map(|origin| {
                let origin = origin.unwrap();
                let q = &by_structure[origin.structure as usize].1;
                written_out(&model, t, &q[origin.atom as usize * dim..][..dim])
            })
            .collect();
        let width = rows[0].len();
        let mut m = faer::Mat::<f64>::identity(width, width) * faer::Scale(lambda);
        for row in &rows {
            let x = faer::ColRef::from_slice(row);
            m += x * x.transpose();
        }
        let factor = m.llt(faer::Side::Lower).unwrap();
        for (atom, grade) in found
            .iter()
            .enumerate()
            .filter(|(k, _)| types[*k] as usize == t)
        {
            let x = written_out(&model, t, &q[atom * dim..][..dim]);
            let column = faer::ColRef::from_slice(&x).to_owned();
            let solved = factor.solve(&column);
            let total = (column.transpose() * &solved).sqrt();
            let rho = (lambda * (solved.transpose() * &solved)).sqrt();
            let close = |a: f64, b: f64| (a - b).abs() <= 1e-6 * b.max(0.1);
            assert!(close(grade.total, total), "{} {total}", grade.total);
            assert!(close(grade.rho, rho), "{} {rho}", grade.rho);
            let sum = grade.gamma.hypot(grade.rho);
            assert!(close(grade.total, sum), "{} {sum}", grade.total);
        }
    }
}

/// Probes of which some are near the data and some far.
fn probes(model: &Model) -> Vec<Structure> {
    let crystal = &train()[24];
    let mut all = vec![
        train()[20].clone(),
        gas::rattled(model.elements(), [2, 2, 2], 3.25, [true; 3]),
        crystal
            .strained(&[[-0.06, 0.0, 0.0], [0.0, -0.06, 0.0], [0.0, 0.0, -0.06]])
            .unwrap(),
    ];
    for element in model.elements() {
        let alone = Structure::new(Cell::isolated(), vec![*element], vec![[0.0; 3]]);
        all.push(alone.unwrap());
    }
    all
}

#[test]
fn more_data_never_raise_a_grade() {
    let model = support::model("active_set_pbte");
    let structures = train();
    let probes = probes(&model);
    let mut before: Option<Vec<Vec<f64>>> = None;
    for n in [1, 2, 5, 10, 20] {
        let set = build(&model, &structures[..n]);
        let now: Vec<Vec<f64>> = probes.iter().map(|p| grades(&model, &set, p)).collect();
        for (probe, (now, before)) in now.iter().zip(before.iter().flatten()).enumerate() {
            for (now, before) in now.iter().zip(before) {
                assert!(
                    *now <= before * (1.0 + 1e-9),
                    "probe {probe}, {n}: {now} {before}"
                );
            }
        }
        // What has no neighbours is far from any crystal, and as far as before.
        for alone in &now[3..] {
            assert!(alone[0] > 4.0, "{n}: {alone:?}");
        }
        before = Some(now);
    }
    // Held-out frames of the same distribution are at the edge, not far out.
    let last = before.unwrap();
    let mut held_out = last[0].clone();
    held_out.sort_by(f64::total_cmp);
    assert!(held_out[held_out.len() / 2] < 1.0 && held_out[held_out.len() - 1] < 2.0);
    // Offering the same once more adds nothing.
    let set = build(&model, &structures[..5]);
    let twice = [&structures[..5], &structures[..5]].concat();
    let again = build(&model, &twice);
    for t in 0..model.elements().len() {
        assert_eq!(set.rank(t), again.rank(t));
    }
}

#[test]
fn an_early_end_is_exact_above_the_threshold_and_a_bound_below() {
    let model = support::model("active_set_pbte");
    let set = build(&model, &train()[..5]);
    for probe in probes(&model) {
        let (types, q) = descriptors(&model, &probe);
        let exact = set
            .grade_descriptors(&model, &types, &q, Effort::Full)
            .unwrap();
        for threshold in [1.0, 1.5, 4.0] {
            for effort in [Effort::Above(threshold)] {
                let found = set.grade_descriptors(&model, &types, &q, effort).unwrap();
                for (found, exact) in found.iter().zip(&exact) {
                    assert_eq!(found.total > threshold, exact.total > threshold);
                    assert!(found.total >= exact.total * (1.0 - 1e-12));
                    if exact.total > threshold {
                        assert_eq!(found, exact);
                    }
                }
            }
        }
    }
}

/// The whole way of a calculator: neurons of the evaluation serve the first look, in either precision.
#[test]
fn a_calculator_finds_the_same_atoms_above_a_threshold() {
    let model = support::model("active_set_pbte");
    let set = Arc::new(build(&model, &train()[..5]));
    for backend in backends() {
        let mut calculator = calculator(&model, backend);
        calculator.set_active_set(Some(Arc::clone(&set))).unwrap();
        for probe in probes(&model).iter().chain(&train()[18..]) {
            calculator.set_grade_effort(Effort::Full);
            let exact = calculator.compute(probe, Request::GRADES).unwrap();
            let exact = exact.grade.clone();
            for threshold in [1.0, 1.5] {
                calculator.set_grade_effort(Effort::Above(threshold));
                let found = calculator.compute(probe, Request::GRADES).unwrap();
                for (found, exact) in found.grade.iter().zip(&exact) {
                    assert_eq!(*found > threshold, *exact > threshold, "{backend:?}");
                    if *exact > threshold {
                        assert!((found - exact).abs() <= 1e-9 * exact, "{backend:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn backends_projections_and_files_agree() {
    let model = support::model("active_set_pbte");
    let structures = train();
    let set = build(&model, &structures[..5]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("set.nas");
    set.save(&path).unwrap();
    let read = ActiveSet::load(&path, &model).unwrap();
    assert_eq!(read, set);
    let size = std::fs::metadata(&path).unwrap().len();
    assert!(size < 200_000, "{size}");
    let structure = &structures[20];
    let expected = grades(&model, &set, structure);
    assert_eq!(grades(&model, &read, structure), expected);
    for backend in backends() {
        let mut calculator = calculator(&model, backend);
        calculator
            .set_active_set(Some(Arc::new(set.clone())))
            .unwrap();
        let wanted = Request::GRADES | Request::PROJECTIONS;
        let found = calculator.compute(structure, wanted).unwrap().clone();
        let types = model.types_of(&structure.elements).unwrap();
        let tolerance = if backend.is_single() { 2e-3 } else { 1e-8 };
        let width = set.width();
        for (atom, (grade, expected)) in found.grade.iter().zip(&expected).enumerate() {
            assert!(
                (grade - expected).abs() <= tolerance * expected.max(1.0),
                "{backend:?}"
            );
            let row = &found.projections[atom * width..][..width];
            let by_row = set.grade_rows(types[atom] as usize, row).unwrap()[0].total;
            assert!((by_row - expected).abs() <= tolerance * expected.max(1.0));
        }
    }
}

#[test]
fn learning_an_environment_brings_it_inside_and_raises_nothing() {
    let model = support::model("active_set_pbte");
    let structures = train();
    let mut set = build(&model, &structures[..2]);
    let probes = probes(&model);
    let before: Vec<_> = probes.iter().map(|p| grades(&model, &set, p)).collect();
    let strained = features(&model, &probes[2..3]);
    let width = set.width();
    for t in 0..model.elements().len() {
        let row = &strained.rows(t)[..width];
        assert!(set.grade_rows(t, row).unwrap()[0].total > 1.5);
        let grown = set.extend(t, row, None).unwrap();
        assert!(matches!(grown, Extension::Grown(_)), "{grown:?}");
        let after = set.grade_rows(t, row).unwrap()[0].total;
        assert!(after < 1.0, "{after}");
        assert_eq!(set.extend(t, row, None).unwrap(), Extension::Unchanged);
    }
    for (probe, before) in probes.iter().zip(&before) {
        for (after, before) in grades(&model, &set, probe).iter().zip(before) {
            assert!(*after <= before * (1.0 + 1e-9));
        }
    }
}

/// An element that the data lack is far outside, through a file too, until the set has learnt one of its atoms.
#[test]
fn an_element_without_data_is_unknown_until_it_is_learnt() {
    let model = support::model("active_set_pbte");
    let mut pure = train()[0].clone();
    pure.elements.fill(model.elements()[0]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("set.nas");
    build(&model, &[pure]).save(&path).unwrap();
    let set = Arc::new(ActiveSet::load(&path, &model).unwrap());
    let structure = &train()[1];
    let types = model.types_of(&structure.elements).unwrap();
    let found = grades(&model, &set, structure);
    for (grade, t) in found.iter().zip(&types) {
        assert_eq!(grade.is_infinite(), *t == 1);
    }
    let mut calculator = calculator(&model, BackendKind::Reference);
    calculator.set_active_set(Some(set)).unwrap();
    assert!(calculator.learn(structure, 1.5).unwrap() > 1);
    let now = calculator.compute(structure, Request::GRADES).unwrap();
    assert!(now.grade.iter().all(|g| *g <= 1.5));
}

#[test]
fn coordinates_have_the_length_of_the_grade() {
    let model = support::model("active_set_pbte");
    let structures = train();
    let set = build(&model, &structures[..2]);
    let some: Features = features(&model, [&structures[20], &probes(&model)[2]]);
    for t in 0..model.elements().len() {
        let rows = &some.rows(t)[..40 * set.width()];
        let (n, x) = set.coordinates(t, rows).unwrap();
        let found = set.grade_rows(t, rows).unwrap();
        for (x, grade) in x.chunks_exact(n).zip(found) {
            let length = x.iter().map(|x| x * x).sum::<f64>().sqrt();
            assert!((length - grade.total).abs() <= 1e-6 * grade.total.max(1.0));
            let inside = x[..set.rank(t)].iter().map(|x| x * x).sum::<f64>().sqrt();
            assert!((inside - grade.gamma).abs() <= 1e-6 * grade.gamma.max(1.0));
        }
    }
}
