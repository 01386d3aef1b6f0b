//! All model variants on the stand-in, in both precisions, with lists of the host and of the device.

use crate::stand_in::{StandIn, stand_in};
use crate::support::close::{assert_close, assert_rows_close};
use crate::support::{self, gas};
use nepal::backend::{System, available};
use nepal::system::Cell;
use nepal::{
    BackendKind, Calculator, Evaluation, Model, NeighborList, Precision, Request, Structure,
};
use nepal_cuda::{Cuda, Options};
use std::sync::Arc;

impl StandIn {
    /// How the backend is led to the stand-in.
    pub fn options(&self) -> Options {
        Options {
            driver: Some(self.driver.clone()),
            nvrtc: Some(self.nvrtc.clone()),
            cache: Some(self.cache.clone()),
            ..Options::default()
        }
    }
}

/// A backend on the stand-in, or on the device of this machine with `NEPAL_TEST_DEVICE`: for the tests
/// that do not hand over arrays of the host as those of a device.
pub fn backend(precision: Precision) -> Cuda {
    let options = match std::env::var_os("NEPAL_TEST_DEVICE") {
        Some(_) => Options::from_environment(0),
        None => stand_in().options(),
    };
    Cuda::new(options, precision).unwrap_or_else(|e| panic!("{e}"))
}

/// Relative to the largest number of an array: as between the reference and the threaded backend.
pub fn tolerance(precision: Precision) -> f64 {
    match precision {
        Precision::Mixed => 1e-4,
        _ => 1e-10,
    }
}

/// A calculator on the stand-in, at what models are asked at.
pub fn calculator(model: &Arc<Model>, precision: Precision) -> Calculator {
    let backend = Box::new(backend(precision));
    let mut made = Calculator::with_backend(Arc::clone(model), backend);
    made.set_conditions(support::CONDITIONS);
    made
}

pub fn assert_same(name: &str, a: &Evaluation, b: &Evaluation, close: f64) {
    let name = |what: &str| format!("{name} {what}");
    assert_close(&name("energies"), &a.energies, &b.energies, close);
    assert_close(&name("energy"), &[a.energy], &[b.energy], close);
    assert_close(&name("descriptors"), &a.descriptors, &b.descriptors, close);
    assert_close(&name("neurons"), &a.neurons, &b.neurons, close);
    assert_close(&name("projections"), &a.projections, &b.projections, close);
    assert_rows_close(&name("forces"), &a.forces, &b.forces, close);
    assert_close(&name("virial"), &a.virial, &b.virial, close);
    assert_rows_close(&name("virials"), &a.virials, &b.virials, close);
    assert_close(&name("charges"), &a.charges, &b.charges, close);
    let born = [&a.born_charges, &b.born_charges];
    assert_rows_close(&name("Born charges"), born[0], born[1], close);
    assert_close(&name("dipole"), &a.dipole, &b.dipole, close);
    assert_rows_close(&name("dipoles"), &a.dipoles, &b.dipoles, close);
    let whole = [&a.polarizability, &b.polarizability];
    assert_close(&name("polarizability"), whole[0], whole[1], close);
    let shares = [&a.polarizabilities, &b.polarizabilities];
    assert_rows_close(&name("polarizabilities"), shares[0], shares[1], close);
}

/// Small structures that have all a list can have: images of an atom itself, skewed cells, surfaces.
fn samples(folder: &str, model: &Model) -> Vec<Structure> {
    let elements = model.elements();
    // Sums over reciprocal space have no surfaces.
    let slab = [true, model.kind().is_long_ranged(), true];
    vec![
        support::sample(folder, model),
        gas::rattled(elements, [1, 1, 1], 3.3, [true; 3]),
        gas::rattled(elements, [2, 3, 4], 2.9, slab),
    ]
}

/// A lattice given by long vectors is that of the short ones; what cannot be meant is refused as by the processor.
#[test]
fn cells_of_millions_of_images_give_the_same_or_the_same_error() {
    let model = support::model("synthetic_variants/nep4_minimal");
    let mut cuda = Calculator::with_backend(Arc::clone(&model), Box::new(backend(Precision::F64)));
    let mut reference = support::calculator(&model, BackendKind::Reference);
    let short = gas::rattled(model.elements(), [2, 2, 2], 2.9, [true; 3]);
    let [a, b, c] = *short.cell.vectors();
    let plus = |v: [f64; 3], n: f64, w: [f64; 3]| std::array::from_fn(|d| v[d] + n * w[d]);
    let mut long = short.clone();
    long.cell = Cell::new([a, plus(b, 30_000.0, a), c], [true; 3]).unwrap();
    let expected = reference.compute(&short, Request::FORCES | Request::VIRIAL);
    let expected = expected.unwrap().clone();
    for step in 0..4 {
        // Also where lists are kept, and another atom than the first is in another cell.
        let mut moved = long.clone();
        moved.positions[1] = plus(moved.positions[1], f64::from(step), a);
        let found = cuda.compute(&moved, Request::FORCES | Request::VIRIAL);
        assert_same("long vectors", found.unwrap(), &expected, 1e-6);
    }
    let mut dense = short.clone();
    dense.cell = Cell::new(
        [[0.05, 0.0, 0.0], [0.0, 0.05, 0.0], [0.0, 0.0, 0.05]],
        [true; 3],
    )
    .unwrap();
    let told = |calculator: &mut Calculator| {
        let error = calculator.compute(&dense, Request::FORCES).unwrap_err();
        error.to_string()
    };
    assert_eq!(told(&mut cuda), told(&mut reference));
    let found = cuda.compute(&short, Request::FORCES | Request::VIRIAL);
    assert_same("after it", found.unwrap(), &expected, 1e-9);
}

/// Compares a model's results on all its samples, with both kinds of lists.
fn compare(folder: &str, precision: Precision) {
    let model = support::model(folder);
    let mut reference = support::calculator(&model, BackendKind::Reference);
    let mut cuda = calculator(&model, precision);
    for (k, structure) in samples(folder, &model).iter().enumerate() {
        let wanted = available(&model);
        let expected = reference.compute(structure, wanted).unwrap().clone();
        let name = format!("{folder} {precision:?} {k}");
        let close = tolerance(precision);
        let found = cuda.compute(structure, wanted).unwrap();
        assert_same(&format!("{name}, its lists:"), found, &expected, close);

        let types = model.types_of(&structure.elements).unwrap();
        let list = NeighborList::build(&structure.cell, &structure.positions, model.cutoff());
        let system = System {
            cell: &structure.cell,
            positions: &structure.positions,
            types: &types,
            neighbors: &list.unwrap(),
            whole: None,
        };
        let found = cuda.compute(system, wanted).unwrap();
        assert_same(&format!("{name}, host's lists:"), found, &expected, close);

        // Without forces, energies and features are the same.
        let found = cuda.compute(structure, Request::DESCRIPTORS).unwrap();
        assert!(found.forces.is_empty() && found.neurons.is_empty());
        assert_close(&name, &found.energies, &expected.energies, close);
        assert_close(&name, &found.descriptors, &expected.descriptors, close);

        let slopes: Vec<f64> = (0..expected.descriptors.len())
            .map(|k| (k as f64).sin())
            .collect();
        let expected = reference.contract(structure, &slopes).unwrap().clone();
        let found = cuda.contract(structure, &slopes).unwrap();
        assert_rows_close(&name, &found.forces, &expected.forces, close);
        assert_close(&name, &found.virial, &expected.virial, close);
    }
}

#[test]
fn all_models_give_what_the_reference_gives() {
    compare_all(&support::POTENTIALS, Precision::F64);
    compare_all(&support::EXTENDED, Precision::F64);
    compare_all(&support::TENSORS, Precision::F64);
}

/// Compares models; one that fails does not keep the others from it.
fn compare_all(folders: &[&str], precision: Precision) {
    let failed: Vec<&&str> = folders
        .iter()
        .filter(|folder| std::panic::catch_unwind(|| compare(folder, precision)).is_err())
        .collect();
    assert!(failed.is_empty(), "{precision:?}: {failed:?} failed");
}

#[test]
fn models_in_mixed_precision_give_what_the_reference_gives() {
    compare_all(
        &[
            "pbte_nep_train",
            "unep_v1_16_metals",
            "synthetic_variants/nep4_all_higher_body",
            "synthetic_variants/nep4_two_hidden_layers",
            "synthetic_variants/nep5_zbl",
        ],
        Precision::Mixed,
    );
    compare_all(&support::EXTENDED, Precision::Mixed);
    compare_all(&support::TENSORS, Precision::Mixed);
}

/// What runs under the sanitizers, and on NVRTC's PTX, in a process of its own.
#[test]
#[ignore = "run by failures::sanitizers_find_nothing and by ptx"]
fn a_few_models() {
    for folder in [
        "synthetic_variants/nep4_all_higher_body",
        "synthetic_variants/nep5_zbl",
        "synthetic_variants/nep4_zbl_charge1",
        "synthetic_variants/nep3_dipole",
    ] {
        compare(folder, Precision::Mixed);
    }
    // Sanitizers find in one precision what there is in the other.
    if std::env::var_os("FAKE_NVRTC_REAL").is_some() {
        compare("pbte_nep_train", Precision::Mixed);
        compare("pbte_nep_train", Precision::F64);
        compare("synthetic_variants/nep4_two_hidden_layers", Precision::F64);
        compare("synthetic_variants/nep4_charge_vdw", Precision::F64);
        compare("synthetic_variants/nep3_polarizability", Precision::F64);
    }
}
