//! Lists that outlive small moves, ghosts of a host, and repeats to the last bit.

use crate::support::close::{assert_close, assert_rows_close};
use crate::support::gas::Uniform;
use crate::support::{self, gas};
use crate::variants::backend;
use nepal::backend::System;
use nepal::{
    BackendKind, Calculator, Cell, Evaluation, NeighborList, Precision, Request, Structure,
};
use std::collections::HashMap;
use std::sync::Arc;

const FOLDER: &str = "synthetic_variants/nep5_zbl";
const WANTED: Request = Request::FORCES
    .union(Request::VIRIAL)
    .union(Request::VIRIALS);

fn compare(name: &str, found: &Evaluation, expected: &Evaluation) {
    assert_close(name, &found.energies, &expected.energies, 1e-10);
    assert_rows_close(name, &found.forces, &expected.forces, 1e-10);
    assert_rows_close(name, &found.virials, &expected.virials, 1e-10);
    assert_close(name, &found.virial, &expected.virial, 1e-10);
}

/// Atoms drift, jump and come closer, the cell changes, atoms come and go: lists that were kept too
/// long would miss neighbours.
#[test]
fn a_trajectory_is_followed() {
    let model = support::model(FOLDER);
    let mut reference = support::calculator(&model, BackendKind::Reference);
    let cuda = backend(Precision::F64);
    let mut cuda = Calculator::with_backend(Arc::clone(&model), Box::new(cuda));
    let mut random = Uniform(11);
    let mut structure = gas::rattled(model.elements(), [4, 3, 3], 2.8, [true, true, false]);
    for step in 0..40 {
        let size = if step == 20 { 3.0 } else { 0.07 };
        for r in &mut structure.positions {
            let shift = random.vector(size);
            for d in 0..3 {
                r[d] += shift[d];
            }
        }
        if step == 25 {
            let stretched = structure.cell.vectors().map(|row| row.map(|x| 1.03 * x));
            structure.cell = Cell::new(stretched, structure.cell.periodic()).unwrap();
        }
        if step == 30 {
            structure.elements.pop();
            structure.positions.pop();
        }
        if step == 33 {
            structure.elements.reverse();
        }
        let expected = reference.compute(&structure, WANTED).unwrap();
        let found = cuda.compute(&structure, WANTED).unwrap();
        compare(&format!("step {step}"), found, expected);
    }
}

/// The stand-in runs threads in another order each time; the bits stay.
#[test]
fn repeats_are_the_same_to_the_last_bit() {
    let model = support::model(FOLDER);
    let structure = gas::rattled(model.elements(), [5, 4, 4], 2.8, [true; 3]);
    for precision in [Precision::F64, Precision::Mixed] {
        let mut runs = Vec::new();
        for _ in 0..2 {
            let cuda = backend(precision);
            let mut cuda = Calculator::with_backend(Arc::clone(&model), Box::new(cuda));
            let first = cuda.compute(&structure, WANTED).unwrap().clone();
            // The same step once more, on lists that were kept.
            let second = cuda.compute(&structure, WANTED).unwrap().clone();
            runs.extend([first, second]);
        }
        for run in &runs[1..] {
            assert_eq!(run.energy.to_bits(), runs[0].energy.to_bits());
            assert_eq!(run.forces, runs[0].forces);
            assert_eq!(run.virials, runs[0].virials);
            assert_eq!(run.virial, runs[0].virial);
        }
    }
}

/// A periodic structure as a host sees it: images are ghosts with positions of their own.
pub fn ghosts(structure: &Structure, cutoff: f64) -> (Vec<[f64; 3]>, Vec<usize>, NeighborList) {
    let list = NeighborList::build(&structure.cell, &structure.positions, cutoff).unwrap();
    let mut positions = structure.positions.clone();
    let mut owner: Vec<usize> = (0..structure.len()).collect();
    let mut known = HashMap::new();
    let mut counts = Vec::new();
    let mut index = Vec::new();
    for i in 0..structure.len() {
        let neighbors: Vec<_> = list.of(i).collect();
        counts.push(neighbors.len());
        for (j, image) in neighbors {
            let place = if image == [0; 3] {
                j
            } else {
                *known.entry((j, image)).or_insert_with(|| {
                    let t = structure.cell.translation(image);
                    let r = structure.positions[j];
                    positions.push([r[0] + t[0], r[1] + t[1], r[2] + t[2]]);
                    owner.push(j);
                    positions.len() - 1
                })
            };
            index.push(place as u32);
        }
    }
    // A ghost that nobody sees.
    positions.push([1e3; 3]);
    owner.push(0);
    let list = NeighborList::from_host(&counts, index, positions.len()).unwrap();
    (positions, owner, list)
}

#[test]
fn ghosts_of_a_host_get_their_forces() {
    let model = support::model(FOLDER);
    let mut reference = support::calculator(&model, BackendKind::Reference);
    let cuda = backend(Precision::F64);
    let mut cuda = Calculator::with_backend(Arc::clone(&model), Box::new(cuda));
    let structure = gas::rattled(model.elements(), [3, 3, 2], 2.8, [true; 3]);
    let (positions, owner, list) = ghosts(&structure, model.cutoff());
    let types = model.types_of(&structure.elements).unwrap();
    let types: Vec<u32> = owner.iter().map(|&i| types[i]).collect();
    let cell = Calculator::host_cell();
    for step in 0..3 {
        // Small moves of all, as a host makes them without a new list.
        let moved: Vec<[f64; 3]> = positions
            .iter()
            .zip(&owner)
            .map(|(r, &i)| {
                std::array::from_fn(|d| r[d] + 0.01 * f64::from(step) * (i as f64).sin())
            })
            .collect();
        let system = System {
            cell: &cell,
            positions: &moved,
            types: &types,
            neighbors: &list,
            whole: None,
        };
        let expected = reference.compute(system, WANTED).unwrap();
        let found = cuda.compute(system, WANTED).unwrap();
        compare(&format!("ghosts, step {step}"), found, expected);
        assert_eq!(found.forces.last(), Some(&[0.0; 3]));
    }
    // No local atoms at all.
    let none = NeighborList::from_host(&[], Vec::new(), positions.len()).unwrap();
    let system = System {
        cell: &cell,
        positions: &positions,
        types: &types,
        neighbors: &none,
        whole: None,
    };
    let found = cuda.compute(system, WANTED).unwrap();
    assert_eq!(found.energy, 0.0);
    assert!(found.forces.iter().all(|f| *f == [0.0; 3]));
}
