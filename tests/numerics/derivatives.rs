//! Forces, virials and contractions against finite differences of what they are derivatives of.

use crate::support::close::{assert_close, assert_rows_close};
use crate::support::{self, Machine, gas::Uniform};
use nepal::{BackendKind, Calculator, Request, Structure};

/// Step in Å and in strain: a pair that crosses a cutoff, where the second derivative jumps, costs
/// an error in proportion to it; rounding one in inverse proportion.
fn step(backend: Machine) -> f64 {
    match backend.is_single() {
        true => 2e-3,
        false => 2e-5,
    }
}

/// Of the largest number: rounding of energies of 1e2 eV, and pairs at a cutoff, over the step.
fn tolerance(backend: Machine) -> f64 {
    match backend.is_single() {
        // Single precision over the step, and the step's own error: golden data checks these forces.
        true => 5e-2,
        false => 2e-7,
    }
}

/// Derivative by four points: error of fourth order in the step.
fn slope(step: f64, mut value: impl FnMut(f64) -> f64) -> f64 {
    let far = value(2.0 * step) - value(-2.0 * step);
    (8.0 * (value(step) - value(-step)) - far) / (12.0 * step)
}

/// Minus the derivatives of a scalar with respect to all positions.
fn forces(
    structure: &Structure,
    step: f64,
    mut scalar: impl FnMut(&Structure) -> f64,
) -> Vec<[f64; 3]> {
    let mut moved = structure.clone();
    (0..structure.len())
        .map(|i| {
            std::array::from_fn(|a| {
                let slope = slope(step, |h| {
                    moved.positions[i][a] = structure.positions[i][a] + h;
                    scalar(&moved)
                });
                moved.positions[i] = structure.positions[i];
                -slope
            })
        })
        .collect()
}

/// Minus the derivatives of a scalar with respect to the strain in `r -> r (1 + strain)`.
fn virial(structure: &Structure, step: f64, mut scalar: impl FnMut(&Structure) -> f64) -> [f64; 9] {
    std::array::from_fn(|index| {
        -slope(step, |h| {
            let mut strain = [[0.0; 3]; 3];
            strain[index / 3][index % 3] = h;
            scalar(&structure.strained(&strain).unwrap())
        })
    })
}

fn energy(calculator: &mut Calculator, structure: &Structure) -> f64 {
    calculator
        .compute(structure, Request::empty())
        .unwrap()
        .energy
}

#[test]
fn forces_and_virials_are_derivatives_of_the_energy() {
    for backend in support::backends() {
        for folder in support::energy_models() {
            let model = support::model(folder);
            let mut calculator = support::calculator(&model, backend);
            let structure = support::sample(folder, &model);
            let request = Request::FORCES | Request::VIRIAL;
            let found = calculator.compute(&structure, request).unwrap().clone();
            let name = |what: &str| format!("{backend:?} {folder} {what}");
            let expected = forces(&structure, step(backend), |s| energy(&mut calculator, s));
            let close = tolerance(backend);
            assert_rows_close(&name("forces"), &found.forces, &expected, close);
            let expected = virial(&structure, step(backend), |s| energy(&mut calculator, s));
            assert_close(&name("virial"), &found.virial, &expected, close);
        }
    }
}

#[test]
fn contractions_are_derivatives_of_any_scalar_of_the_descriptors() {
    for backend in support::backends() {
        for folder in support::energy_models() {
            let model = support::model(folder);
            let mut calculator = support::calculator(&model, backend);
            let structure = support::sample(folder, &model);
            let mut random = Uniform(3);
            // Φ = Σ g q with constant g: the simplest scalar that sees every component.
            let gradient: Vec<f64> = (0..structure.len() * model.dim())
                .map(|_| 2.0 * random.next() - 1.0)
                .collect();
            let found = calculator.contract(&structure, &gradient).unwrap().clone();
            let mut scalar = |s: &Structure| -> f64 {
                let found = calculator.compute(s, Request::DESCRIPTORS).unwrap();
                found
                    .descriptors
                    .iter()
                    .zip(&gradient)
                    .map(|(q, g)| q * g)
                    .sum()
            };
            let name = |what: &str| format!("{backend:?} {folder} {what}");
            let expected = forces(&structure, step(backend), &mut scalar);
            let close = tolerance(backend);
            assert_rows_close(&name("forces"), &found.forces, &expected, close);
            let expected = virial(&structure, step(backend), &mut scalar);
            assert_close(&name("virial"), &found.virial, &expected, close);
        }
    }
}

/// Models whose energy has other parts refuse.
#[test]
fn the_energy_and_a_scalar_are_contracted_together() {
    for backend in support::backends() {
        for folder in support::energy_models() {
            let model = support::model(folder);
            let structure = support::sample(folder, &model);
            let mut calculator = support::calculator(&model, backend);
            let gradient: Vec<f64> = (0..structure.len() * model.dim())
                .map(|k| 0.1 * (k as f64).sin())
                .collect();
            let plain = model.header().zbl.is_none() && !model.kind().is_long_ranged();
            let found = match calculator.contract_with_energy(&structure, &gradient) {
                Ok(found) if plain => found.clone(),
                Err(nepal::Error::Unsupported(_)) if !plain => continue,
                other => panic!("{backend:?} {folder}: {other:?}"),
            };
            let request = Request::FORCES | Request::VIRIAL;
            let (mut forces, mut virial) = {
                let own = calculator.compute(&structure, request).unwrap();
                (own.forces.clone(), own.virial)
            };
            let bias = calculator.contract(&structure, &gradient).unwrap();
            let sum = |to: &mut [f64], from: &[f64]| {
                to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
            };
            sum(forces.as_flattened_mut(), bias.forces.as_flattened());
            sum(&mut virial, &bias.virial);
            let close = if backend.is_single() { 2e-5 } else { 1e-10 };
            let name = |what: &str| format!("{backend:?} {folder} {what}");
            assert_rows_close(&name("forces"), &found.forces, &forces, close);
            assert_close(&name("virial"), &found.virial, &virial, close);
            let error = calculator.contract_with_energy(&structure, &gradient[1..]);
            assert!(error.unwrap_err().to_string().contains("numbers; expected"));
        }
    }
}

/// With dE/dq for dΦ/dq the contraction must give the forces of a model without repulsion.
#[test]
fn the_contraction_of_the_energy_gradient_gives_the_forces() {
    for backend in support::backends() {
        let folder = "si_2022_nep4_5body";
        let model = support::model(folder);
        let mut calculator = support::calculator(&model, backend);
        let structure = support::sample(folder, &model);
        let request = Request::FORCES | Request::VIRIAL | Request::DESCRIPTORS;
        let found = calculator.compute(&structure, request).unwrap().clone();
        let network = model.network(0);
        let mut gradient = vec![0.0; found.descriptors.len()];
        for (q, row) in found
            .descriptors
            .chunks_exact(model.dim())
            .zip(gradient.chunks_exact_mut(model.dim()))
        {
            nepal::nep::network::energy_and_gradient(&network, q, row);
        }
        let contraction = calculator.contract(&structure, &gradient).unwrap();
        let close = if backend.is_single() { 1e-4 } else { 1e-10 };
        assert_rows_close("forces", &contraction.forces, &found.forces, close);
        assert_close("virial", &contraction.virial, &found.virial, close);
    }
}

#[test]
fn a_gradient_of_the_wrong_length_is_refused() {
    let model = support::model("nep_cpu_test_nep");
    let mut calculator = support::calculator(&model, BackendKind::Reference);
    let structure = support::sample("nep_cpu_test_nep", &model);
    let short = vec![0.0; structure.len() * model.dim() - 1];
    let error = calculator.contract(&structure, &short).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("expected 8 atoms x 30 descriptors"),
        "{error}"
    );
}
