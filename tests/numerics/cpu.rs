//! The threaded backend against the reference, on systems large enough to be shared out.

use crate::support::close::{assert_close, assert_rows_close};
use crate::support::{self, gas};
use nepal::{BackendKind, Evaluation, Model, Request, Structure};
use std::sync::Arc;

const EVERYTHING: Request = Request::FORCES
    .union(Request::VIRIAL)
    .union(Request::VIRIALS)
    .union(Request::DESCRIPTORS);

/// Both in f64: what other orders of summation and fitted polynomials may cost.
const CLOSE: f64 = 1e-10;

fn request(model: &Model) -> Request {
    if model.header().neurons[1] > 0 {
        EVERYTHING
    } else {
        EVERYTHING | Request::PROJECTIONS
    }
}

/// A few hundred atoms of all elements of a model, a slab.
fn slab(model: &Model) -> Structure {
    gas::rattled(model.elements(), [6, 6, 5], 2.9, [true, true, false])
}

fn run(model: &Arc<Model>, structure: &Structure, backend: BackendKind) -> Evaluation {
    let mut calculator = support::calculator(model, backend);
    calculator
        .compute(structure, request(model))
        .unwrap()
        .clone()
}

/// The results of the threaded backend on so many threads.
fn run_threads(model: &Arc<Model>, structure: &Structure, threads: usize) -> Evaluation {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .unwrap();
    pool.install(|| run(model, structure, BackendKind::Cpu))
}

fn assert_same(name: &str, a: &Evaluation, b: &Evaluation) {
    let name = |what: &str| format!("{name} {what}");
    assert_close(&name("energy"), &[a.energy], &[b.energy], CLOSE);
    assert_close(&name("energies"), &a.energies, &b.energies, CLOSE);
    assert_rows_close(&name("forces"), &a.forces, &b.forces, CLOSE);
    assert_rows_close(&name("virials"), &a.virials, &b.virials, CLOSE);
    assert_close(&name("virial"), &a.virial, &b.virial, CLOSE);
    assert_close(&name("descriptors"), &a.descriptors, &b.descriptors, CLOSE);
    assert_close(&name("projections"), &a.projections, &b.projections, CLOSE);
}

#[test]
fn all_models_give_what_the_reference_gives() {
    for folder in support::POTENTIALS {
        let model = support::model(folder);
        let structure = slab(&model);
        let expected = run(&model, &structure, BackendKind::Reference);
        let found = run(&model, &structure, BackendKind::Cpu);
        assert_same(folder, &found, &expected);
        let mut random = gas::Uniform(17);
        let gradient: Vec<f64> = (0..structure.len() * model.dim())
            .map(|_| random.next() - 0.5)
            .collect();
        let [mut first, mut second] = [BackendKind::Reference, BackendKind::Cpu]
            .map(|backend| support::calculator(&model, backend));
        let expected = first.contract(&structure, &gradient).unwrap();
        let found = second.contract(&structure, &gradient).unwrap();
        assert_rows_close(folder, &found.forces, &expected.forces, CLOSE);
        assert_close(folder, &found.virial, &expected.virial, CLOSE);
    }
}

#[test]
fn the_number_of_threads_changes_rounding_only_and_runs_repeat_to_the_bit() {
    for folder in ["c_2024_nep4", "bazro3_nep4", "pbte_nep_train"] {
        let model = support::model(folder);
        let structure = slab(&model);
        let one = run_threads(&model, &structure, 1);
        for threads in [1, 2, 3] {
            let found = run_threads(&model, &structure, threads);
            assert_same(&format!("{folder} on {threads} threads"), &found, &one);
            let again = run_threads(&model, &structure, threads);
            assert_eq!(again.energies, found.energies, "{folder}");
            assert_eq!(again.forces, found.forces, "{folder}");
            assert_eq!(again.virials, found.virials, "{folder}");
            assert_eq!(again.virial, found.virial, "{folder}");
            assert_eq!(again.projections, found.projections, "{folder}");
        }
    }
}

/// Buffers outlive calls: what a calculator did before must not show.
#[test]
fn results_do_not_depend_on_what_was_computed_before() {
    let model = support::model("bazro3_nep4");
    let large = slab(&model);
    let small = gas::rattled(model.elements(), [2, 2, 2], 3.3, [true; 3]);
    let mut used = support::calculator(&model, BackendKind::Cpu);
    let mut before = Vec::new();
    for structure in [&large, &small, &large, &small] {
        before.push(used.compute(structure, request(&model)).unwrap().clone());
    }
    for (structure, found) in [&large, &small, &large, &small].into_iter().zip(&before) {
        let fresh = run(&model, structure, BackendKind::Cpu);
        assert_eq!(fresh.forces, found.forces);
        assert_eq!(fresh.energies, found.energies);
        assert_eq!(fresh.virial, found.virial);
    }
}

/// Distances from far below one to just below the cutoff, where fitted functions are worst.
#[test]
fn dimers_agree_at_all_distances() {
    for folder in support::POTENTIALS {
        let model = support::model(folder);
        let [mut first, mut second] = [BackendKind::Reference, BackendKind::Cpu]
            .map(|backend| support::calculator(&model, backend));
        let elements = model.elements();
        let pair = vec![elements[0], elements[elements.len() - 1]];
        for step in 1..=200 {
            let r = f64::from(step) / 200.0 * (model.cutoff() + 0.05);
            let positions = vec![
                [0.3, 0.1, 0.2],
                [0.3 + r * 0.48, 0.1 - r * 0.6, 0.2 + r * 0.64],
            ];
            let dimer = Structure::new(nepal::Cell::isolated(), pair.clone(), positions).unwrap();
            let expected = first.compute(&dimer, request(&model)).unwrap();
            let found = second.compute(&dimer, request(&model)).unwrap();
            assert_same(&format!("{folder} at {r} Å"), found, expected);
        }
    }
}
