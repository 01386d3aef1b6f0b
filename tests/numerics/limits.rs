//! The ends of the range: no atom, one atom, far atoms, atoms at the cutoff.

use crate::support::close::assert_close;
use crate::support::{self, Machine, gas};
use nepal::{Calculator, Cell, Element, Evaluation, Model, Request, Structure};

const EVERYTHING: Request = Request::FORCES
    .union(Request::VIRIAL)
    .union(Request::VIRIALS)
    .union(Request::DESCRIPTORS);

fn close(backend: Machine) -> f64 {
    if backend.is_single() { 1e-5 } else { 1e-10 }
}

/// Energy of an atom without neighbours: all descriptors vanish, the biases remain.
fn isolated(model: &Model, t: usize) -> f64 {
    let network = model.network(t);
    let first: Vec<f64> = network.b0.iter().map(|b| (-b).tanh()).collect();
    let sum: f64 = if network.w2.is_empty() {
        first.iter().zip(network.w1).map(|(x, w)| x * w).sum()
    } else {
        let rows = network.w1.chunks_exact(first.len());
        rows.zip(network.b1)
            .zip(network.w2)
            .map(|((row, b), w)| {
                let u: f64 = row.iter().zip(&first).map(|(w, x)| w * x).sum();
                w * (u - b).tanh()
            })
            .sum()
    };
    sum - network.bias
}

#[test]
fn no_atoms_give_zero() {
    for backend in support::backends() {
        for folder in support::POTENTIALS {
            let model = support::model(folder);
            let mut calculator = support::calculator(&model, backend);
            // Results of a call before must not shine through.
            let sample = support::sample(folder, &model);
            calculator.compute(&sample, EVERYTHING).unwrap();
            for cell in [
                Cell::isolated(),
                Cell::orthorhombic([3.0, 4.0, 5.0]).unwrap(),
            ] {
                let empty = Structure::new(cell, Vec::new(), Vec::new()).unwrap();
                let found = calculator.compute(&empty, EVERYTHING).unwrap();
                assert_eq!((found.energy, found.virial), (0.0, [0.0; 9]), "{folder}");
                assert!(found.energies.is_empty() && found.forces.is_empty());
                assert!(found.virials.is_empty() && found.descriptors.is_empty());
                assert!(calculator.contract(&empty, &[]).unwrap().forces.is_empty());
            }
        }
    }
}

#[test]
fn results_that_were_not_asked_for_are_empty() {
    for backend in support::backends() {
        let model = support::model("pbte_nep_train");
        let mut calculator = support::calculator(&model, backend);
        let sample = support::sample("pbte_nep_train", &model);
        let everything = EVERYTHING | Request::PROJECTIONS;
        calculator.compute(&sample, everything).unwrap();
        for one in everything.iter() {
            let found = calculator.compute(&sample, one).unwrap();
            let filled = [
                (Request::FORCES, !found.forces.is_empty()),
                (Request::VIRIAL, found.virial != [0.0; 9]),
                (Request::VIRIALS, !found.virials.is_empty()),
                (Request::DESCRIPTORS, !found.descriptors.is_empty()),
                (Request::PROJECTIONS, !found.projections.is_empty()),
            ];
            for (request, filled) in filled {
                assert_eq!(
                    filled,
                    request == one,
                    "{backend:?}: {request:?} asked for {one:?}"
                );
            }
            assert_eq!(found.energies.len(), sample.len());
        }
    }
}

#[test]
fn an_atom_alone_has_the_energy_of_the_biases() {
    for backend in support::backends() {
        for folder in support::POTENTIALS {
            let model = support::model(folder);
            let mut calculator = support::calculator(&model, backend);
            for (t, &element) in model.elements().iter().enumerate() {
                let atom =
                    Structure::new(Cell::isolated(), vec![element], vec![[1.0, 2.0, 3.0]]).unwrap();
                let found = calculator.compute(&atom, EVERYTHING).unwrap();
                assert_close(
                    folder,
                    &[found.energy],
                    &[isolated(&model, t)],
                    close(backend),
                );
                assert_eq!(found.forces, [[0.0; 3]]);
                assert_eq!(found.virial, [0.0; 9]);
                assert!(found.descriptors.iter().all(|&q| q == 0.0));
            }
        }
    }
}

#[test]
fn atoms_beyond_the_cutoff_do_not_interact_however_far() {
    for backend in support::backends() {
        let model = support::model("synthetic_variants/nep4_typewise_cutoffs");
        let mut calculator = support::calculator(&model, backend);
        let elements = model.elements().to_vec();
        for far in [model.cutoff(), 1e3, 1e7] {
            let positions = (0..3).map(|i| [i as f64 * far, 0.0, 0.0]).collect();
            let apart = Structure::new(Cell::isolated(), elements.clone(), positions).unwrap();
            let found = calculator.compute(&apart, EVERYTHING).unwrap();
            let expected: Vec<f64> = (0..3).map(|t| isolated(&model, t)).collect();
            assert_close("energies", &found.energies, &expected, close(backend));
            assert_eq!(found.forces, [[0.0; 3]; 3], "{far} Å");
        }
    }
}

/// Two atoms of a model at a distance.
fn dimer(calculator: &mut Calculator, elements: [Element; 2], r: f64) -> Evaluation {
    let positions = vec![[0.0; 3], [r * 0.6, 0.0, -r * 0.8]];
    let pair = Structure::new(Cell::isolated(), elements.to_vec(), positions).unwrap();
    calculator.compute(&pair, EVERYTHING).unwrap().clone()
}

#[test]
fn energy_and_forces_go_to_zero_at_the_cutoff_without_a_step() {
    for backend in support::backends() {
        if backend.is_single() {
            // Steps this small drown in single precision.
            continue;
        }
        for folder in support::POTENTIALS {
            let model = support::model(folder);
            let mut calculator = support::calculator(&model, backend);
            let elements = model.elements();
            let pair = [elements[0], elements[elements.len() - 1]];
            let cutoffs = model.header().pair_cutoff(0, elements.len() - 1);
            for cutoff in cutoffs {
                let delta = 1e-6;
                let below = dimer(&mut calculator, pair, cutoff - delta);
                let above = dimer(&mut calculator, pair, cutoff + delta);
                let (f, g) = (below.forces[0], above.forces[0]);
                let strength = f.iter().chain(&g).fold(0.0f64, |m, x| m.max(x.abs()));
                let step = (below.energy - above.energy).abs();
                assert!(
                    step <= 4.0 * delta * strength + 1e-12 * below.energy.abs().max(1.0),
                    "{folder}: the energy jumps by {step} eV at {cutoff} Å"
                );
                for a in 0..3 {
                    // Bounded curvature: the force changes in proportion to the distance.
                    let jump = (f[a] - g[a]).abs();
                    assert!(
                        jump < 1e-3,
                        "{folder}: the force jumps by {jump} eV/Å at {cutoff} Å"
                    );
                }
            }
            let last = cutoffs[0].max(cutoffs[1]);
            let beyond = dimer(&mut calculator, pair, last);
            assert_eq!(beyond.forces, [[0.0; 3]; 2], "{folder}");
            let inside = dimer(&mut calculator, pair, 0.8 * last);
            assert_ne!(inside.forces, [[0.0; 3]; 2], "{folder}");
        }
    }
}

#[test]
fn a_cell_much_smaller_than_the_cutoff_is_a_small_part_of_a_crystal() {
    for backend in support::backends() {
        for (folder, periodic) in [
            ("c_2024_nep4", [true; 3]),
            ("pbte_nep_train", [true; 3]),
            ("mo_w_se_nep3", [true, true, false]),
            ("si_2022_nep4_3body", [false, false, true]),
        ] {
            let model = support::model(folder);
            let mut calculator = support::calculator(&model, backend);
            let tiny = gas::rattled(model.elements(), [1, 1, 1], 2.4, periodic);
            assert_eq!(tiny.len(), 1);
            let one = calculator.compute(&tiny, EVERYTHING).unwrap().clone();
            let n = periodic.map(|on| if on { 4 } else { 1 });
            let crystal = tiny.repeated(n).unwrap();
            let found = calculator.compute(&crystal, EVERYTHING).unwrap();
            let scale = one.virial.iter().fold(1.0f64, |m, w| m.max(w.abs()));
            for (e, f) in found.energies.iter().zip(&found.forces) {
                assert_close(folder, &[*e], &[one.energy], close(backend));
                // A lattice point feels no force.
                assert_close(folder, f, &[0.0; 3], close(backend) * scale);
            }
            let mean = found.virial.map(|w| w / crystal.len() as f64);
            assert_close(folder, &mean, &one.virial, close(backend));
        }
    }
}

#[test]
fn what_cannot_be_evaluated_is_refused_by_name() {
    let model = support::model("pbte_nep_train");
    for backend in support::backends() {
        let mut calculator = support::calculator(&model, backend);
        let mut structure = support::sample("pbte_nep_train", &model);
        structure.positions[3][1] = f64::NAN;
        let error = calculator.compute(&structure, Request::FORCES).unwrap_err();
        assert!(error.to_string().contains("atom 3"), "{error}");
        structure.positions[3][1] = f64::INFINITY;
        assert!(calculator.compute(&structure, Request::FORCES).is_err());
        structure.positions[3][1] = 0.0;
        structure.elements[2] = Element::from_symbol("Au").unwrap();
        let error = calculator
            .compute(&structure, Request::FORCES)
            .unwrap_err()
            .to_string();
        assert!(error.contains("Au") && error.contains("Te Pb"), "{error}");
        structure.elements.pop();
        let error = calculator.compute(&structure, Request::FORCES).unwrap_err();
        assert!(matches!(error, nepal::Error::InvalidArgument(_)), "{error}");
        let sample = support::sample("pbte_nep_train", &model);
        let error = calculator.compute(&sample, Request::GRADES).unwrap_err();
        assert!(error.to_string().contains("active set"), "{error}");
        // After all that it still works.
        assert!(calculator.compute(&sample, Request::FORCES).is_ok());
    }
}

#[test]
fn projections_of_two_hidden_layers_are_refused() {
    let folder = "synthetic_variants/nep4_two_hidden_layers";
    let model = support::model(folder);
    for backend in support::backends() {
        let mut calculator = support::calculator(&model, backend);
        let sample = support::sample(folder, &model);
        let error = calculator
            .compute(&sample, Request::PROJECTIONS)
            .unwrap_err();
        assert!(matches!(error, nepal::Error::Unsupported(_)), "{error}");
        assert!(error.to_string().contains("two hidden layers"), "{error}");
    }
}

#[test]
fn coinciding_atoms_are_refused_instead_of_giving_nan() {
    for backend in support::backends() {
        for folder in ["pbte_nep_train", "synthetic_variants/nep3_zbl"] {
            let model = support::model(folder);
            let mut calculator = support::calculator(&model, backend);
            let mut structure = support::sample(folder, &model);
            structure.positions[1] = structure.positions[0];
            let error = calculator.compute(&structure, EVERYTHING).unwrap_err();
            assert!(matches!(error, nepal::Error::InvalidArgument(_)), "{error}");
            assert!(error.to_string().contains("atom 0"), "{error}");
            let gradient = vec![1.0; structure.len() * model.dim()];
            assert!(calculator.contract(&structure, &gradient).is_err());
        }
    }
}
