//! Grades on the device: those of the CPU, and the same atoms above a threshold.

use crate::support::close::assert_close;
use crate::support::gas::Uniform;
use crate::support::{self, gas};
use crate::variants::backend;
use nepal::backend::{Atoms, Backend};
use nepal::grade::{
    ActiveSet, BuildOptions, Effort, Features, Grade, GradeColumns, Grader, Measure,
};
use nepal::{BackendKind, Calculator, Evaluation, Model, Precision, Request, Structure};
use nepal_cuda::Cuda;
use std::sync::Arc;

/// The structures of the PbTe training set.
fn train() -> Vec<Structure> {
    let bytes = support::read_bytes("pbte_nep_train/train.xyz");
    nepal::system::xyz::FrameReader::new(bytes.as_slice(), "train.xyz")
        .map(|frame| frame.unwrap().structure)
        .collect()
}

fn model() -> Arc<Model> {
    support::model("active_set_pbte")
}

/// A set from some training structures.
fn build(model: &Model, structures: &[Structure], options: &BuildOptions) -> Arc<ActiveSet> {
    let mut cpu = BackendKind::default_for_build().create().unwrap();
    let features = Features::collect(model, cpu.as_mut(), structures).unwrap();
    Arc::new(ActiveSet::build(model, &features, options).unwrap().0)
}

/// The kinds of sets, few atoms behind each so that there is much above their thresholds; one of them
/// knows nothing of tellurium.
fn sets(model: &Model, structures: &[Structure]) -> Vec<(&'static str, Arc<ActiveSet>)> {
    let ridge = BuildOptions::default();
    let lead = gas::rattled(&model.elements()[..1], [3; 3], 3.3, [true; 3]);
    vec![
        ("ridge", build(model, &structures[..8], &ridge)),
        ("one look", build(model, &structures[..1], &ridge)),
        ("lead alone", build(model, &[lead], &ridge)),
        (
            "compat",
            build(model, structures, &BuildOptions::public_scripts()),
        ),
    ]
}

/// Descriptors of training atoms, and of atoms between and beyond them.
fn samples(model: &Arc<Model>, structures: &[Structure], count: usize) -> (Vec<u32>, Vec<f64>) {
    let mut cpu = support::calculator(model, BackendKind::default_for_build());
    let (mut types, mut known) = (Vec::new(), Vec::new());
    for structure in structures {
        let found = cpu.compute(structure, Request::DESCRIPTORS).unwrap();
        types.extend(model.types_of(&structure.elements).unwrap());
        known.extend_from_slice(&found.descriptors);
    }
    let dim = model.dim();
    let by_type: Vec<Vec<usize>> = (0..model.elements().len() as u32)
        .map(|t| (0..types.len()).filter(|&i| types[i] == t).collect())
        .collect();
    let mut random = Uniform(17);
    let (mut out_types, mut out) = (Vec::new(), Vec::new());
    for k in 0..count {
        let own = &by_type[k % by_type.len()];
        let mut pick = || own[(random.next() * own.len() as f64) as usize];
        let (a, b) = (pick(), pick());
        let (a, b) = (&known[a * dim..][..dim], &known[b * dim..][..dim]);
        let along = 2.6 * random.next();
        out_types.push((k % by_type.len()) as u32);
        out.extend(a.iter().zip(b).map(|(a, b)| a + along * (b - a)));
    }
    (out_types, out)
}

fn cuda(precision: Precision) -> Cuda {
    backend(precision)
}

/// What the device has of descriptors.
fn on_device(precision: Precision, q: &[f64]) -> Vec<f64> {
    match precision {
        Precision::Mixed => q.iter().map(|&x| f64::from(x as f32)).collect(),
        _ => q.to_vec(),
    }
}

/// Whether a grade is that of the CPU; what rounding does to ρ grows as it vanishes beside Γ.
fn same(found: &Grade, expected: &Grade) -> bool {
    let close = |f: f64, e: f64| {
        let either = f == e || (f.is_nan() && e.is_nan());
        either || (f - e).abs() <= 1e-6 * (0.1 + expected.total)
    };
    close(found.gamma, expected.gamma)
        && close(found.rho, expected.rho)
        && close(found.total, expected.total)
}

#[test]
fn exact_grades_are_those_of_the_cpu() {
    let (model, structures) = (model(), train());
    let (types, q) = samples(&model, &structures, 300);
    for precision in [Precision::F64, Precision::Mixed] {
        let mut cuda = cuda(precision);
        let q = on_device(precision, &q);
        for (name, set) in sets(&model, &structures) {
            let expected = set
                .grade_descriptors(&model, &types, &q, Effort::Full)
                .unwrap();
            let found = cuda
                .grade_descriptors(&model, &set, &types, &q, Effort::Full)
                .unwrap();
            for (found, expected) in found.iter().zip(&expected) {
                assert!(same(found, expected), "{name}: {found:?} {expected:?}");
            }
            let infinite = found.iter().filter(|g| g.total.is_infinite()).count();
            assert_eq!(infinite, if name == "lead alone" { 150 } else { 0 });
        }
    }
}

/// Descriptors that are no numbers, or too large to be squared.
#[test]
fn what_is_no_number_is_infinite() {
    let (model, structures) = (model(), train());
    let (types, q) = samples(&model, &structures, 40);
    let mut cuda = cuda(Precision::F64);
    let set = build(&model, &structures[..8], &BuildOptions::default());
    for bad in [f64::NAN, f64::INFINITY, 1e200] {
        let mut q = q.clone();
        q[7 * model.dim() + 3] = bad;
        for effort in [Effort::Full, Effort::Above(1.5)] {
            let grades = |found: nepal::Result<Vec<Grade>>| -> Vec<f64> {
                found.unwrap().iter().map(|g| g.total).collect()
            };
            let expected = grades(set.grade_descriptors(&model, &types, &q, effort));
            let found = grades(cuda.grade_descriptors(&model, &set, &types, &q, effort));
            assert_eq!(expected[7], f64::INFINITY);
            assert_eq!(found[7], f64::INFINITY, "{bad} {effort:?}");
            assert_eq!(found.iter().filter(|g| g.is_infinite()).count(), 1);
        }
    }
}

/// What runs under the sanitizers, in a process of its own.
#[test]
#[ignore = "run by failures::sanitizers_find_nothing"]
fn a_few_grades() {
    grade_some(2, 40);
}

/// What is counted of the grades: a hundred active rows, warps of atoms below and above a threshold.
pub fn exercise() {
    grade_some(8, 256);
}

fn grade_some(known: usize, atoms: usize) {
    let (model, structures) = (model(), train());
    let (types, q) = samples(&model, &structures, atoms);
    let set = build(&model, &structures[..known], &BuildOptions::default());
    let mut cuda = cuda(Precision::Mixed);
    for effort in [Effort::Full, Effort::Above(2.0)] {
        cuda.grade_descriptors(&model, &set, &types, &q, effort)
            .unwrap();
    }
}

/// Many atoms whose grades are spread about the thresholds, and a threshold just
/// below an atom's own grade: those above are those of the CPU, to the last.
#[test]
fn atoms_above_a_threshold_are_those_of_the_cpu() {
    let (model, structures) = (model(), train());
    let (types, q) = samples(&model, &structures, 3000);
    for precision in [Precision::F64, Precision::Mixed] {
        let mut cuda = cuda(precision);
        let q = on_device(precision, &q);
        for (name, set) in sets(&model, &structures) {
            if precision == Precision::Mixed && name == "compat" {
                continue;
            }
            let full = set
                .grade_descriptors(&model, &types, &q, Effort::Full)
                .unwrap();
            let mut sorted: Vec<f64> = full.iter().map(|g| g.total).collect();
            sorted.sort_by(f64::total_cmp);
            for threshold in [
                1.1,
                2.0,
                sorted[2300] * (1.0 - 1e-9),
                sorted[2930] * (1.0 - 1e-9),
            ] {
                let found = cuda
                    .grade_descriptors(&model, &set, &types, &q, Effort::Above(threshold))
                    .unwrap();
                let mut above = 0;
                for (k, (found, full)) in found.iter().zip(&full).enumerate() {
                    assert_eq!(
                        found.total > threshold,
                        full.total > threshold,
                        "{name}, {threshold}, atom {k}: {found:?} {full:?}"
                    );
                    if full.total > threshold {
                        above += 1;
                        assert!(same(found, full), "{name}: {found:?} {full:?}");
                    } else {
                        assert!(found.total >= full.total - 1e-6, "{found:?} {full:?}");
                    }
                }
                println!("{name} {precision:?} {threshold}: {above} above");
                assert!(above > 0 || threshold.is_infinite(), "{name} {threshold}");
                assert!(above < full.len() || name == "lead alone");
            }
        }
    }
}

/// 40 million atoms of PbTe with grades fit a device of 80 GB.
#[test]
fn an_atom_takes_less_than_two_kilobytes() {
    let model = support::model("pbte_nep_train");
    let mut cuda = cuda(Precision::Mixed);
    let structures = train();
    let crystal = structures[0].repeated([2, 2, 2]).unwrap();
    let set = build(&model, &structures[..1], &BuildOptions::default());
    let types = model.types_of(&crystal.elements).unwrap();
    let mut out = Evaluation::default();
    // The second step's lists have a skin.
    for step in 0..2 {
        let mut positions = crystal.positions.clone();
        positions[0][0] += 0.1 * f64::from(step);
        let atoms = Atoms {
            cell: &crystal.cell,
            positions: &positions,
            types: &types,
        };
        let wanted = Request::FORCES | Request::VIRIAL | Request::GRADES;
        cuda.evaluate_atoms(&model, &atoms, wanted, &mut out)
            .unwrap();
    }
    let columns = GradeColumns {
        gamma: &mut out.gamma,
        rho: &mut out.rho,
        grade: &mut out.grade,
    };
    cuda.grade(&model, &types, &set, Effort::Above(2.0), columns)
        .unwrap();
    let own = cuda.memory() - cuda.scratch_memory();
    let each = own / types.len();
    println!("{each} bytes for each of {} atoms", types.len());
    assert!(each < 2000, "{each}");
}

/// The whole way: descriptors that stay on the device.
#[test]
fn a_calculator_grades_on_the_device() {
    let (model, structures) = (model(), train());
    let cuda = cuda(Precision::F64);
    let mut cuda = Calculator::with_backend(Arc::clone(&model), Box::new(cuda));
    let mut cpu = support::calculator(&model, BackendKind::default_for_build());
    let set = build(&model, &structures[..8], &BuildOptions::default());
    for calculator in [&mut cuda, &mut cpu] {
        calculator.set_active_set(Some(Arc::clone(&set))).unwrap();
    }
    for effort in [Effort::Full, Effort::Above(1.5)] {
        for structure in [&structures[0], &structures[20]] {
            let [found, expected]: [Evaluation; 2] = [&mut cuda, &mut cpu].map(|calculator| {
                calculator.set_grade_effort(effort);
                let wanted = Request::GRADES | Request::FORCES;
                calculator.compute(structure, wanted).unwrap().clone()
            });
            assert!(found.descriptors.is_empty());
            assert_close(
                "forces",
                found.forces.as_flattened(),
                expected.forces.as_flattened(),
                1e-10,
            );
            let limit = if effort == Effort::Full { 0.0 } else { 1.5 };
            for k in 0..found.grade.len() {
                let (f, e) = (found.grade[k], expected.grade[k]);
                assert_eq!(f > limit, e > limit, "{effort:?} {k}: {f} {e}");
                if e > limit {
                    assert!((f - e).abs() <= 1e-6 * e, "{effort:?} {k}: {f} {e}");
                }
            }
        }
    }
    // Another set takes effect.
    let other = build(&model, &structures[8..10], &BuildOptions::default());
    cuda.set_active_set(Some(Arc::clone(&other))).unwrap();
    cpu.set_active_set(Some(other)).unwrap();
    for calculator in [&mut cuda, &mut cpu] {
        calculator.set_grade_effort(Effort::Full);
    }
    let expected = cpu.compute(&structures[20], Request::GRADES).unwrap();
    let found = cuda.compute(&structures[20], Request::GRADES).unwrap();
    for (f, e) in found.grade.iter().zip(&expected.grade) {
        assert!((f - e).abs() <= 1e-6 * e);
    }
}

/// Forces of the grades, and sets that learn, as on the CPU.
#[test]
fn gradients_of_grades_and_learning_are_those_of_the_cpu() {
    let (model, structures) = (model(), train());
    let cuda = cuda(Precision::F64);
    let set = build(&model, &structures[..1], &BuildOptions::default());
    let mut cuda = Calculator::with_backend(Arc::clone(&model), Box::new(cuda));
    let mut cpu = support::calculator(&model, BackendKind::default_for_build());
    let structure = &structures[20];
    let [found, expected] = [&mut cuda, &mut cpu].map(|calculator| {
        calculator.set_active_set(Some(Arc::clone(&set))).unwrap();
        let weigh = |values: &[f64]| vec![1.0; values.len()];
        let values = calculator
            .contract_grade(structure, Measure::Smooth { p: 4.0 }, weigh)
            .unwrap();
        let forces = calculator.contraction().forces.clone();
        let learnt = calculator.learn(structure, 1.0).unwrap();
        let after = calculator.compute(structure, Request::GRADES).unwrap();
        (values, forces, learnt, after.grade.clone())
    });
    assert_close("measures", &found.0, &expected.0, 1e-7);
    assert_close(
        "forces",
        found.1.as_flattened(),
        expected.1.as_flattened(),
        1e-7,
    );
    assert!(expected.2 > 0);
    assert_eq!(found.2, expected.2);
    assert_close("after learning", &found.3, &expected.3, 1e-6);
}
