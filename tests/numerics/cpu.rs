//! The threaded backend against the reference, on systems large enough to be shared out.

use crate::support::close::{assert_close, assert_rows_close};
use crate::support::{self, MIXED, Machine, gas};
use nepal::backend::{Conditions, Sums, available};
use nepal::system::xyz::FrameReader;
use nepal::{BackendKind, Calculator, Evaluation, Frame, Model, Request, Structure};
use std::io::BufReader;
use std::sync::Arc;

/// Relative to the largest number of an array.
fn tolerance(machine: Machine) -> f64 {
    match machine.is_single() {
        // Pairs in f32: sums of large terms that cancel, in atoms that are far from equilibrium.
        true => 1e-4,
        // Both in f64: what other orders of summation and fitted polynomials may cost.
        false => 1e-10,
    }
}

/// The threaded backend in both precisions.
fn machines() -> [Machine; 2] {
    [BackendKind::Cpu.into(), MIXED]
}

/// A few hundred atoms of all elements of a model, a slab.
fn slab(model: &Model) -> Structure {
    let periodic = [true, true, model.kind().is_long_ranged()];
    gas::rattled(model.elements(), [6, 6, 5], 2.9, periodic)
}

/// Term by term as the reference backend sums: a mesh has an error of its own, and tests of its own.
fn term_by_term(model: &Arc<Model>, backend: impl Into<Machine>) -> Calculator {
    let mut calculator = support::calculator(model, backend);
    calculator.set_conditions(Conditions {
        sums: Sums::Ewald,
        ..support::CONDITIONS
    });
    calculator
}

fn run(model: &Arc<Model>, structure: &Structure, backend: impl Into<Machine>) -> Evaluation {
    let mut calculator = term_by_term(model, backend);
    calculator
        .compute(structure, available(model))
        .unwrap()
        .clone()
}

/// The results of the threaded backend on so many threads.
fn run_threads(
    model: &Arc<Model>,
    structure: &Structure,
    machine: Machine,
    threads: usize,
) -> Evaluation {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .unwrap();
    pool.install(|| run(model, structure, machine))
}

fn assert_same(name: &str, a: &Evaluation, b: &Evaluation, close: f64) {
    let name = |what: &str| format!("{name} {what}");
    assert_close(&name("energy"), &[a.energy], &[b.energy], close);
    assert_close(&name("energies"), &a.energies, &b.energies, close);
    assert_rows_close(&name("forces"), &a.forces, &b.forces, close);
    assert_rows_close(&name("virials"), &a.virials, &b.virials, close);
    assert_close(&name("virial"), &a.virial, &b.virial, close);
    assert_close(&name("descriptors"), &a.descriptors, &b.descriptors, close);
    assert_close(&name("projections"), &a.projections, &b.projections, close);
    assert_close(&name("neurons"), &a.neurons, &b.neurons, close);
    assert_close(&name("charges"), &a.charges, &b.charges, close);
    assert_rows_close(&name("Born"), &a.born_charges, &b.born_charges, close);
    assert_close(&name("dipole"), &a.dipole, &b.dipole, close);
    assert_rows_close(&name("dipoles"), &a.dipoles, &b.dipoles, close);
    assert_close(&name("tensor"), &a.polarizability, &b.polarizability, close);
    assert_rows_close(
        &name("tensors"),
        &a.polarizabilities,
        &b.polarizabilities,
        close,
    );
}

#[test]
fn all_models_give_what_the_reference_gives() {
    let tensors = support::TENSORS.into_iter();
    for folder in support::energy_models().chain(tensors) {
        let model = support::model(folder);
        let structure = slab(&model);
        let expected = run(&model, &structure, BackendKind::Reference);
        let mut random = gas::Uniform(17);
        let gradient: Vec<f64> = (0..structure.len() * model.dim())
            .map(|_| random.next() - 0.5)
            .collect();
        let mut reference = support::calculator(&model, BackendKind::Reference);
        let contraction = reference.contract(&structure, &gradient).unwrap();
        for machine in machines() {
            let close = tolerance(machine);
            let found = run(&model, &structure, machine);
            assert_same(&format!("{folder} {machine:?}"), &found, &expected, close);
            let mut calculator = term_by_term(&model, machine);
            let found = calculator.contract(&structure, &gradient).unwrap();
            assert_rows_close(folder, &found.forces, &contraction.forces, close);
            assert_close(folder, &found.virial, &contraction.virial, close);
        }
    }
}

/// A system of the benchmarks with the results of another program.
fn bench_system(name: &str) -> Frame {
    let path = crate::support::root().join(format!("benches/data/{name}.xyz.gz"));
    let file = std::fs::File::open(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let text = BufReader::new(flate2::read::GzDecoder::new(file));
    FrameReader::new(text, name).next().unwrap().unwrap()
}

/// What is promised: eV per atom, and eV/Å on every force. The stored results have nine decimals.
#[test]
fn crystals_of_thousands_of_atoms_keep_to_the_stated_errors() {
    for (name, folder) in [
        ("c_diamond_4096", "c_2024_nep4"),
        ("pbte_8000", "pbte_nep_train"),
        ("unep_alloy_4000", "unep_v1_16_metals"),
        ("si_diamond_4096", "si_2022_nep4_5body"),
    ] {
        let frame = bench_system(name);
        let model = support::model(folder);
        for (machine, energy, force) in [(BackendKind::Cpu.into(), 1e-9, 1e-8), (MIXED, 1e-6, 2e-5)]
        {
            let mut calculator = support::calculator(&model, machine);
            let found = calculator
                .compute(&frame.structure, Request::FORCES)
                .unwrap();
            let error = (found.energy - frame.energy.unwrap()).abs() / frame.structure.len() as f64;
            assert!(error < energy, "{name} {machine:?}: {error:e} eV per atom");
            let forces = frame.forces.as_ref().unwrap();
            let pairs = found.forces.iter().flatten().zip(forces.iter().flatten());
            let worst = pairs.fold(0.0f64, |worst, (a, b)| worst.max((a - b).abs()));
            assert!(worst < force, "{name} {machine:?}: {worst:e} eV/Å");
        }
    }
}

#[test]
fn the_number_of_threads_changes_rounding_only_and_runs_repeat_to_the_bit() {
    for folder in ["c_2024_nep4", "bazro3_nep4", "pbte_nep_train"] {
        let model = support::model(folder);
        let structure = slab(&model);
        for machine in machines() {
            let one = run_threads(&model, &structure, machine, 1);
            for threads in [1, 2, 3] {
                let found = run_threads(&model, &structure, machine, threads);
                let name = format!("{folder} on {threads} threads");
                // Shares differ in which atoms they add up in f64, not in what a pair gives.
                assert_same(&name, &found, &one, 1e-10);
                let again = run_threads(&model, &structure, machine, threads);
                assert_eq!(again.energies, found.energies, "{folder}");
                assert_eq!(again.forces, found.forces, "{folder}");
                assert_eq!(again.virials, found.virials, "{folder}");
                assert_eq!(again.virial, found.virial, "{folder}");
                assert_eq!(again.projections, found.projections, "{folder}");
            }
        }
    }
}

/// Buffers outlive calls: what a calculator did before must not show.
#[test]
fn results_do_not_depend_on_what_was_computed_before() {
    let model = support::model("bazro3_nep4");
    let large = slab(&model);
    let small = gas::rattled(model.elements(), [2, 2, 2], 3.3, [true; 3]);
    for machine in machines() {
        let mut used = support::calculator(&model, machine);
        let mut before = Vec::new();
        for structure in [&large, &small, &large, &small] {
            before.push(used.compute(structure, available(&model)).unwrap().clone());
        }
        for (structure, found) in [&large, &small, &large, &small].into_iter().zip(&before) {
            let fresh = run(&model, structure, machine);
            assert_eq!(fresh.forces, found.forces);
            assert_eq!(fresh.energies, found.energies);
            assert_eq!(fresh.virial, found.virial);
        }
    }
}

/// Distances from far below one to just below the cutoff, where fitted functions are worst.
#[test]
fn dimers_agree_at_all_distances() {
    for folder in support::POTENTIALS {
        let model = support::model(folder);
        let mut reference = support::calculator(&model, BackendKind::Reference);
        let elements = model.elements();
        let pair = vec![elements[0], elements[elements.len() - 1]];
        for machine in machines() {
            let mut calculator = support::calculator(&model, machine);
            for step in 1..=200 {
                let r = f64::from(step) / 200.0 * (model.cutoff() + 0.05);
                let positions = vec![
                    [0.3, 0.1, 0.2],
                    [0.3 + r * 0.48, 0.1 - r * 0.6, 0.2 + r * 0.64],
                ];
                let dimer =
                    Structure::new(nepal::Cell::isolated(), pair.clone(), positions).unwrap();
                let expected = reference.compute(&dimer, available(&model)).unwrap();
                let found = calculator.compute(&dimer, available(&model)).unwrap();
                let name = format!("{folder} {machine:?} at {r} Å");
                assert_same(&name, found, expected, tolerance(machine));
            }
        }
    }
}

/// Thousands of atoms in disorder are evaluated in another order: nobody may see it but the clock.
#[test]
fn the_order_of_atoms_changes_nothing() {
    let model = support::model("pbte_nep_train");
    let ordered = gas::rattled(model.elements(), [17, 17, 16], 3.1, [true, true, true]);
    let n = ordered.len();
    assert!(n > 4096);
    // A step that shares no divisor with the number of atoms.
    let step = (1597..)
        .find(|step: &usize| {
            (2..=*step).all(|d| !usize::is_multiple_of(*step, d) || !n.is_multiple_of(d))
        })
        .unwrap();
    let order: Vec<usize> = (0..n).map(|m| m * step % n).collect();
    let mixed = Structure::new(
        ordered.cell.clone(),
        order.iter().map(|&i| ordered.elements[i]).collect(),
        order.iter().map(|&i| ordered.positions[i]).collect(),
    )
    .unwrap();
    let wanted = Request::FORCES
        | Request::VIRIALS
        | Request::VIRIAL
        | Request::DESCRIPTORS
        | Request::NEURONS;
    let mut calculator = support::calculator(&model, BackendKind::Cpu);
    let expected = calculator.compute(&ordered, wanted).unwrap().clone();
    let mut calculator = support::calculator(&model, BackendKind::Cpu);
    for turn in 0..3 {
        let mut mixed = mixed.clone();
        // The same atoms in other cells, so that a list is made anew.
        let shift = if turn == 1 {
            ordered.cell.vectors()[0]
        } else {
            [0.0; 3]
        };
        for x in &mut mixed.positions {
            *x = std::array::from_fn(|d| x[d] + shift[d]);
        }
        let found = calculator.compute(&mixed, wanted).unwrap();
        let close = |what: &str, found: &[f64], expected: &[f64], width: usize| {
            let rows = order.iter().flat_map(|&i| &expected[i * width..][..width]);
            let expected: Vec<f64> = rows.copied().collect();
            assert_close(what, found, &expected, 1e-10);
        };
        let (dim, neurons) = (model.dim(), model.header().neurons[0]);
        assert_close("virial", &found.virial, &expected.virial, 1e-10);
        close("energies", &found.energies, &expected.energies, 1);
        close(
            "forces",
            found.forces.as_flattened(),
            expected.forces.as_flattened(),
            3,
        );
        close(
            "virials",
            found.virials.as_flattened(),
            expected.virials.as_flattened(),
            9,
        );
        close(
            "descriptors",
            &found.descriptors,
            &expected.descriptors,
            dim,
        );
        close("neurons", &found.neurons, &expected.neurons, neurons);
    }
    // The gradient of a sum with different weights knows its atoms.
    let gradient: Vec<f64> = (0..n * model.dim()).map(|m| (m as f64).sin()).collect();
    let found = calculator.contract(&mixed, &gradient).unwrap().clone();
    let rows: Vec<f64> = {
        let mut rows = vec![0.0; gradient.len()];
        for (row, &i) in gradient.chunks_exact(model.dim()).zip(&order) {
            rows[i * model.dim()..][..model.dim()].copy_from_slice(row);
        }
        rows
    };
    let mut calculator = support::calculator(&model, BackendKind::Cpu);
    let expected = calculator.contract(&ordered, &rows).unwrap();
    let forces: Vec<[f64; 3]> = order.iter().map(|&i| expected.forces[i]).collect();
    assert_close(
        "gradient",
        found.forces.as_flattened(),
        forces.as_flattened(),
        1e-10,
    );
    // An error names the atom as the caller counts.
    let mut bad = mixed.clone();
    bad.positions[77] = bad.positions[4000];
    let error = calculator
        .compute(&bad, Request::FORCES)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("atom 77 ") || error.contains("atom 4000 "),
        "{error}"
    );
}
