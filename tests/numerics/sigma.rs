//! The gradient of the total energy's deviation against finite differences, and what it costs.

use crate::support::{self, Machine, backends, gas};
use nepal::posterior::Posterior;
use nepal::system::xyz;
use nepal::{BackendKind, Calculator, Model, Request, Structure};
use std::sync::Arc;
use std::time::Instant;

fn silicon(backend: impl Into<Machine>) -> Calculator {
    let folder = support::root().join("examples/data");
    let model = Arc::new(Model::load(folder.join("nep.txt")).unwrap());
    let posterior = Posterior::load(folder.join("posterior.json"), &model).unwrap();
    let mut calculator = support::calculator(&model, backend);
    calculator.set_posterior(Some(Arc::new(posterior))).unwrap();
    calculator
}

fn sigma(calculator: &mut Calculator, structure: &Structure) -> f64 {
    let found = calculator
        .compute(structure, Request::SIGMA_ENERGIES)
        .unwrap();
    found.sigma_energy
}

#[test]
fn of_positions_and_strain() {
    for backend in backends().into_iter().filter(|b| !b.is_single()) {
        let mut calculator = silicon(backend);
        let elements = calculator.model().elements().to_vec();
        // Enough atoms that they are sorted, and few that are their own neighbours.
        for cells in [[2, 1, 1], [3, 2, 2]] {
            let structure = gas::rattled(&elements, cells, 2.6, [true; 3]);
            let value = calculator
                .contract_sigma(&structure, Request::FORCES)
                .unwrap();
            let found = calculator.contraction().clone();
            let plain = calculator.results().forces.clone();
            let expected = sigma(&mut calculator, &structure);
            assert!(
                (value - expected).abs() < 1e-9 * expected,
                "{value} {expected}"
            );
            let again = calculator.compute(&structure, Request::FORCES).unwrap();
            assert_eq!(plain, again.forces);
            let h = 1e-5;
            let mut check = |what: String, plus: &Structure, minus: &Structure, found: f64| {
                let slope = sigma(&mut calculator, plus) - sigma(&mut calculator, minus);
                let expected = -slope / (2.0 * h);
                assert!(
                    (found - expected).abs() <= 1e-5 * expected.abs().max(value),
                    "{what}: {found} {expected}"
                );
            };
            for (atom, axis) in [(0, 0), (structure.len() - 1, 2), (1, 1)] {
                let moved = |h: f64| {
                    let mut s = structure.clone();
                    s.positions[atom][axis] += h;
                    s
                };
                let what = format!("atom {atom} axis {axis}");
                check(what, &moved(h), &moved(-h), found.forces[atom][axis]);
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

/// A translation costs no deviation, and one lone atom has no direction; without atoms σ is zero, and its
/// gradient with it.
#[test]
fn without_a_direction_there_is_no_force() {
    let mut calculator = silicon(BackendKind::Reference);
    let elements = calculator.model().elements().to_vec();
    let structure = gas::rattled(&elements, [2, 1, 1], 2.6, [true; 3]);
    calculator
        .contract_sigma(&structure, Request::FORCES)
        .unwrap();
    let total = calculator
        .contraction()
        .forces
        .iter()
        .fold([0.0; 3], |t, f| std::array::from_fn(|a: usize| t[a] + f[a]));
    assert!(total.iter().all(|x: &f64| x.abs() < 1e-10), "{total:?}");
    let lone = Structure::new(nepal::Cell::isolated(), vec![elements[0]], vec![[0.0; 3]]).unwrap();
    assert!(calculator.contract_sigma(&lone, Request::FORCES).unwrap() > 0.0);
    assert_eq!(calculator.contraction().forces, [[0.0; 3]]);
    let none = Structure::new(nepal::Cell::isolated(), vec![], vec![]).unwrap();
    assert_eq!(
        calculator.contract_sigma(&none, Request::FORCES).unwrap(),
        0.0
    );
    let posterior = Arc::clone(calculator.posterior().unwrap());
    let columns = vec![0.0; posterior.factor().nrows()];
    let (sigma, slope) = posterior.energy_slope(&columns).unwrap();
    assert!(sigma == 0.0 && slope.iter().all(|x| *x == 0.0));
    assert!(posterior.energy_slope(&columns[1..]).is_err());
    calculator.set_posterior(None).unwrap();
    let error = calculator.contract_sigma(&lone, Request::FORCES);
    assert!(error.unwrap_err().to_string().contains("no posterior"));
}

/// Forces with the gradient of σ cost little more than two plain evaluations; the bound is generous, as
/// machines are busy, and fails where a third evaluation comes in.
#[test]
fn costs_two_evaluations() {
    let mut calculator = silicon(BackendKind::Cpu);
    let file = support::root().join("examples/data/training.xyz");
    let frames = xyz::read_frames(file).unwrap();
    let largest = frames.iter().max_by_key(|f| f.len()).unwrap();
    let structure = largest.structure.repeated([2; 3]).unwrap();
    let forces = Request::FORCES | Request::VIRIAL;
    let mut least = [f64::INFINITY; 2];
    for _ in 0..15 {
        for (k, least) in least.iter_mut().enumerate() {
            let start = Instant::now();
            match k {
                0 => drop(calculator.compute(&structure, forces).unwrap()),
                _ => drop(calculator.contract_sigma(&structure, forces).unwrap()),
            }
            *least = least.min(start.elapsed().as_secs_f64());
        }
    }
    let ratio = least[1] / least[0];
    println!("{} atoms: {ratio:.2} plain evaluations", structure.len());
    assert!(ratio < 2.9, "{ratio}");
}
