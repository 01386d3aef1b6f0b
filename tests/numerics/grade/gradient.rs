//! Gradients of grades against finite differences of positions and strain.

use super::{features, train};
use crate::support::{self, backends, calculator, gas};
use nepal::grade::{ActiveSet, BuildOptions, GradeKind, Measure};
use nepal::{Calculator, Model, Request, Structure};

/// Weights that are neither equal nor of one sign.
fn weights(values: &[f64]) -> Vec<f64> {
    (0..values.len())
        .map(|k| 1.0 + 0.3 * (k as f64).sin() - 0.2 * k as f64)
        .collect()
}

fn phi(
    set: &ActiveSet,
    model: &Model,
    calculator: &mut Calculator,
    structure: &Structure,
    measure: Measure,
) -> (f64, Vec<f64>) {
    let types = model.types_of(&structure.elements).unwrap();
    let found = calculator.compute(structure, Request::DESCRIPTORS).unwrap();
    let g = set
        .gradient_of_grade(model, &types, (&found.descriptors, &[]), measure, weights)
        .unwrap();
    let sum = g.values.iter().zip(weights(&g.values)).map(|(v, w)| v * w);
    (sum.sum(), g.gradient)
}

#[test]
fn of_positions_and_strain() {
    let model = support::model("active_set_pbte");
    let training = features(&model, &train()[..6]);
    let options = [BuildOptions::default(), BuildOptions::compat()];
    let sets = options.map(|o| ActiveSet::build(&model, &training, &o).unwrap().0);
    let structure = gas::rattled(model.elements(), [2, 2, 2], 3.25, [true; 3]);
    let measures = [
        Measure::Gamma,
        Measure::Total,
        Measure::Rho,
        Measure::Smooth { p: 2.0 },
        Measure::Smooth { p: 8.0 },
    ];
    // Steps this small drown in single precision.
    for backend in backends().into_iter().filter(|b| !b.is_single()) {
        let mut calculator = calculator(&model, backend);
        for set in &sets {
            // The compatibility form has no ρ.
            let infinite = |m: &Measure| *m == Measure::Rho && set.kind() == GradeKind::Compat;
            for measure in measures.into_iter().filter(|m| !infinite(m)) {
                let (value, gradient) = phi(set, &model, &mut calculator, &structure, measure);
                let found = calculator.contract(&structure, &gradient).unwrap().clone();
                let mut at = |s: &Structure| phi(set, &model, &mut calculator, s, measure).0;
                let h = 1e-5;
                let mut check = |what: String, plus: &Structure, minus: &Structure, found: f64| {
                    let expected = -(at(plus) - at(minus)) / (2.0 * h);
                    assert!(
                        (found - expected).abs() <= 1e-5 * expected.abs().max(value.abs()).max(1.0),
                        "{} {measure:?} {what}: {found} {expected}",
                        set.kind()
                    );
                };
                for atom in [0, 5] {
                    for axis in 0..3 {
                        let moved = |h: f64| {
                            let mut s = structure.clone();
                            s.positions[atom][axis] += h;
                            s
                        };
                        let what = format!("atom {atom} axis {axis}");
                        check(what, &moved(h), &moved(-h), found.forces[atom][axis]);
                    }
                }
                for (a, b) in [(0, 0), (1, 2), (2, 1)] {
                    let strained = |h: f64| {
                        let mut strain = [[0.0; 3]; 3];
                        strain[a][b] = h;
                        structure.strained(&strain).unwrap()
                    };
                    let what = format!("strain {a} {b}");
                    check(what, &strained(h), &strained(-h), found.virial[3 * a + b]);
                }
            }
        }
    }
}

/// Above a threshold the gradient is the full one, below it there is none, and the measures say on which side atoms are.
#[test]
fn above_a_threshold_it_is_the_full_one() {
    let model = support::model("active_set_pbte");
    let training = features(&model, &train()[..6]);
    let structure = gas::rattled(model.elements(), [2, 2, 2], 3.25, [true; 3]);
    let types = model.types_of(&structure.elements).unwrap();
    for options in [BuildOptions::default(), BuildOptions::compat()] {
        let (set, _) = ActiveSet::build(&model, &training, &options).unwrap();
        let mut calculator = calculator(&model, backends()[0]);
        let wanted = Request::DESCRIPTORS | Request::NEURONS;
        let found = calculator.compute(&structure, wanted).unwrap();
        let parts = (&found.descriptors[..], &found.neurons[..]);
        let measure = Measure::Smooth { p: 8.0 };
        let full = set
            .gradient_of_grade(&model, &types, parts, measure, weights)
            .unwrap();
        let mut sorted = full.values.clone();
        sorted.sort_by(f64::total_cmp);
        let threshold = sorted[sorted.len() / 2];
        let above = set
            .gradient_of_grade_above(&model, &types, parts, (measure, threshold), weights)
            .unwrap();
        let dim = model.dim();
        for (i, (&a, &b)) in full.values.iter().zip(&above.values).enumerate() {
            let rows = [&full.gradient, &above.gradient].map(|g| &g[i * dim..][..dim]);
            if set.kind() == GradeKind::Compat || a > threshold {
                let close = |x: f64, y: f64| (x - y).abs() <= 1e-9 * x.abs().max(1.0);
                let same = rows[0].iter().zip(rows[1]).all(|(x, y)| close(*x, *y));
                assert!(close(a, b) && same, "{}, atom {i}: {a} {b}", set.kind());
            } else {
                assert!(b >= a - 1e-9 && b <= threshold, "atom {i}: {a} {b}");
                assert!(rows[1].iter().all(|x| *x == 0.0));
            }
        }
    }
}
