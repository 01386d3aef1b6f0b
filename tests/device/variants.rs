//! All model variants on the stand-in, in both precisions, with lists of the host and of the device.

use crate::stand_in::stand_in;
use crate::support::close::{assert_close, assert_rows_close};
use crate::support::{self, gas};
use nepal::backend::cuda::{Cuda, Options};
use nepal::{BackendKind, Calculator, Evaluation, Model, NeighborList, Precision, Request, Structure};
use std::sync::Arc;

const EVERYTHING: Request = Request::FORCES
    .union(Request::VIRIAL)
    .union(Request::VIRIALS)
    .union(Request::DESCRIPTORS)
    .union(Request::NEURONS);

/// A backend on the stand-in.
pub fn backend(precision: Precision) -> Option<Cuda> {
    let stand_in = stand_in()?;
    let options = Options {
        driver: Some(stand_in.driver.clone()),
        nvrtc: Some(stand_in.nvrtc.clone()),
        cache: Some(stand_in.cache.clone()),
        ..Options::default()
    };
    Some(Cuda::new(options, precision).unwrap_or_else(|e| panic!("{e}")))
}

/// Relative to the largest number of an array: as between the reference and the threaded backend.
fn tolerance(precision: Precision) -> f64 {
    match precision {
        Precision::Mixed => 1e-4,
        _ => 1e-10,
    }
}

fn request(model: &Model) -> Request {
    if model.header().neurons[1] > 0 {
        EVERYTHING
    } else {
        EVERYTHING | Request::PROJECTIONS
    }
}

fn assert_same(name: &str, a: &Evaluation, b: &Evaluation, close: f64) {
    let name = |what: &str| format!("{name} {what}");
    assert_close(&name("energies"), &a.energies, &b.energies, close);
    assert_close(&name("energy"), &[a.energy], &[b.energy], close);
    assert_close(&name("descriptors"), &a.descriptors, &b.descriptors, close);
    assert_close(&name("neurons"), &a.neurons, &b.neurons, close);
    assert_close(&name("projections"), &a.projections, &b.projections, close);
    assert_rows_close(&name("forces"), &a.forces, &b.forces, close);
    assert_close(&name("virial"), &a.virial, &b.virial, close);
    assert_rows_close(&name("virials"), &a.virials, &b.virials, close);
}

/// Small structures that have all a list can have: images of an atom itself, skewed cells, surfaces.
fn samples(folder: &str, model: &Model) -> Vec<Structure> {
    let elements = model.elements();
    vec![
        support::sample(folder, model),
        gas::rattled(elements, [1, 1, 1], 3.3, [true; 3]),
        gas::rattled(elements, [2, 3, 4], 2.9, [true, false, true]),
    ]
}

#[test]
fn all_models_give_what_the_reference_gives() {
    for folder in support::POTENTIALS {
        let model = support::model(folder);
        let mut reference = support::calculator(&model, BackendKind::Reference);
        for precision in [Precision::F64, Precision::Mixed] {
            let Some(cuda) = backend(precision) else { return };
            let mut cuda = Calculator::with_backend(Arc::clone(&model), Box::new(cuda));
            for (k, structure) in samples(folder, &model).iter().enumerate() {
                let expected = reference.compute(structure, request(&model)).unwrap().clone();
                let name = format!("{folder} {precision:?} {k}");
                let close = tolerance(precision);
                let found = cuda.compute(structure, request(&model)).unwrap();
                assert_same(&format!("{name}, its lists:"), found, &expected, close);

                let types = model.types_of(&structure.elements).unwrap();
                let list =
                    NeighborList::build(&structure.cell, &structure.positions, model.cutoff());
                let system = nepal::backend::System {
                    cell: &structure.cell,
                    positions: &structure.positions,
                    types: &types,
                    neighbors: &list.unwrap(),
                };
                let found = cuda.compute_system(&system, request(&model)).unwrap();
                assert_same(&format!("{name}, host's lists:"), found, &expected, close);
            }
        }
    }
}
