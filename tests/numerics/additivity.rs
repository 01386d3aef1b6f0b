//! A box cut into parts, each with ghosts, as a parallel host hands it over.

use crate::support::close::{assert_close, assert_rows_close};
use crate::support::{self, Machine, gas};
use nepal::backend::System;
use nepal::system::cell::{add, norm, sub};
use nepal::{Calculator, Evaluation, NeighborList, Request, Structure};
use std::collections::HashMap;

const EVERYTHING: Request = Request::FORCES
    .union(Request::VIRIAL)
    .union(Request::VIRIALS)
    .union(Request::DESCRIPTORS);

/// What one rank of a host has.
struct Part {
    /// The atom of the whole that each atom of the part, local or ghost, stands for.
    owner: Vec<usize>,
    n_local: usize,
    positions: Vec<[f64; 3]>,
    counts: Vec<usize>,
    index: Vec<u32>,
}

/// The atoms `mine` as locals, and as ghosts what lies within `reach` of them.
fn part(structure: &Structure, mine: &[usize], reach: f64) -> Part {
    let list = NeighborList::build(&structure.cell, &structure.positions, reach).unwrap();
    let mut owner = mine.to_vec();
    let mut positions: Vec<_> = mine.iter().map(|&i| structure.positions[i]).collect();
    let mut known: HashMap<(usize, [i32; 3]), u32> = HashMap::new();
    for (local, &i) in mine.iter().enumerate() {
        known.insert((i, [0; 3]), local as u32);
    }
    let (mut counts, mut index) = (Vec::new(), Vec::new());
    for &i in mine {
        counts.push(list.count(i));
        for (j, image) in list.of(i) {
            let ghost = *known.entry((j, image)).or_insert_with(|| {
                owner.push(j);
                positions.push(add(
                    structure.positions[j],
                    structure.cell.translation(image),
                ));
                owner.len() as u32 - 1
            });
            index.push(ghost);
        }
    }
    Part {
        n_local: mine.len(),
        owner,
        positions,
        counts,
        index,
    }
}

fn evaluate(calculator: &mut Calculator, structure: &Structure, part: &Part) -> Evaluation {
    let types = calculator.model().types_of(&structure.elements).unwrap();
    let types: Vec<u32> = part.owner.iter().map(|&i| types[i]).collect();
    let n_total = part.positions.len();
    let neighbors = NeighborList::from_host(&part.counts, part.index.clone(), n_total).unwrap();
    let system = System {
        cell: &Calculator::host_cell(),
        positions: &part.positions,
        types: &types,
        neighbors: &neighbors,
        whole: None,
    };
    calculator.compute(system, EVERYTHING).unwrap().clone()
}

/// Adds the results of parts onto the atoms of the whole.
fn gather(n_atoms: usize, parts: &[(&Part, Evaluation)]) -> Evaluation {
    let mut sum = Evaluation {
        energies: vec![0.0; n_atoms],
        forces: vec![[0.0; 3]; n_atoms],
        virials: vec![[0.0; 9]; n_atoms],
        ..Evaluation::default()
    };
    for (part, found) in parts {
        assert_eq!(found.energies.len(), part.n_local);
        assert_eq!(found.forces.len(), part.owner.len());
        sum.energy += found.energy;
        for c in 0..9 {
            sum.virial[c] += found.virial[c];
        }
        for (&i, e) in part.owner.iter().zip(&found.energies) {
            sum.energies[i] += e;
        }
        for ((&i, f), w) in part.owner.iter().zip(&found.forces).zip(&found.virials) {
            sum.forces[i] = add(sum.forces[i], *f);
            for (total, part) in sum.virials[i].iter_mut().zip(w) {
                *total += part;
            }
        }
    }
    sum
}

fn close(backend: Machine) -> f64 {
    if backend.is_single() { 1e-4 } else { 1e-10 }
}

/// The sample, or a larger box where it is too small to be cut.
fn samples(folder: &str, calculator: &Calculator) -> Vec<Structure> {
    let model = calculator.model();
    vec![
        support::sample(folder, model),
        gas::rattled(model.elements(), [4, 2, 2], 3.0, [true, true, false]),
    ]
}

#[test]
fn two_halves_with_ghosts_add_up_to_the_box() {
    for backend in support::backends() {
        for folder in support::POTENTIALS {
            let mut calculator = support::calculator(&support::model(folder), backend);
            for structure in samples(folder, &calculator) {
                let whole = calculator.compute(&structure, EVERYTHING).unwrap().clone();
                let reach = calculator.model().cutoff();
                let (left, right): (Vec<usize>, Vec<usize>) =
                    (0..structure.len()).partition(|i| i % 3 == 0);
                // The second half's list has a skin: farther neighbours must not count.
                let parts = [
                    part(&structure, &left, reach),
                    part(&structure, &right, reach + 1.0),
                ];
                let found: Vec<_> = parts
                    .iter()
                    .map(|part| (part, evaluate(&mut calculator, &structure, part)))
                    .collect();
                let sum = gather(structure.len(), &found);
                let name = |what: &str| format!("{backend:?} {folder} {what}");
                let close = close(backend);
                assert_close(&name("energy"), &[sum.energy], &[whole.energy], close);
                assert_close(&name("energies"), &sum.energies, &whole.energies, close);
                assert_rows_close(&name("forces"), &sum.forces, &whole.forces, close);
                assert_rows_close(&name("virials"), &sum.virials, &whole.virials, close);
                assert_close(&name("virial"), &sum.virial, &whole.virial, close);
                let dim = calculator.model().dim();
                for (row, &i) in found[1].1.descriptors.chunks_exact(dim).zip(&right) {
                    let expected = &whole.descriptors[i * dim..][..dim];
                    assert_close(&name("descriptors"), row, expected, close);
                }
            }
        }
    }
}

#[test]
fn ghosts_carry_no_energy_and_change_nothing_when_out_of_reach() {
    for backend in support::backends() {
        let model = support::model("pbte_nep_train");
        let mut calculator = support::calculator(&model, backend);
        let structure = gas::rattled(model.elements(), [2, 2, 2], 3.2, [false; 3]);
        let all: Vec<usize> = (0..structure.len()).collect();
        let mut part = part(&structure, &all, model.cutoff());
        let before = evaluate(&mut calculator, &structure, &part);
        // One more ghost, listed by every centre, beyond the cutoff of all.
        let far = add(structure.positions[0], [3.0 * model.cutoff(), 0.0, 0.0]);
        assert!(
            structure
                .positions
                .iter()
                .all(|&r| norm(sub(far, r)) > model.cutoff())
        );
        let ghost = part.positions.len() as u32;
        part.positions.push(far);
        part.owner.push(0);
        let mut index = Vec::new();
        let mut start = 0;
        for count in &mut part.counts {
            index.extend_from_slice(&part.index[start..start + *count]);
            index.push(ghost);
            start += *count;
            *count += 1;
        }
        part.index = index;
        let after = evaluate(&mut calculator, &structure, &part);
        assert_close(
            "energies",
            &after.energies,
            &before.energies,
            close(backend),
        );
        assert_eq!(after.forces.len(), before.forces.len() + 1);
        assert_eq!(after.forces.last(), Some(&[0.0; 3]));
        assert_eq!(after.virials.last(), Some(&[0.0; 9]));
    }
}

#[test]
fn systems_that_do_not_fit_are_refused() {
    for backend in support::backends() {
        let model = support::model("pbte_nep_train");
        let mut calculator = support::calculator(&model, backend);
        let neighbors = NeighborList::from_host(&[1, 1], vec![1, 0], 2).unwrap();
        let positions = [[0.0; 3], [3.0, 0.0, 0.0]];
        let mut refuse = |positions: &[[f64; 3]], types: &[u32], word: &str| {
            let system = System {
                cell: &Calculator::host_cell(),
                positions,
                types,
                neighbors: &neighbors,
                whole: None,
            };
            let error = calculator.compute(system, Request::FORCES).unwrap_err();
            assert!(matches!(error, nepal::Error::InvalidArgument(_)), "{error}");
            assert!(error.to_string().contains(word), "{error}");
        };
        refuse(&positions, &[0], "1 types were given for 2 atoms");
        refuse(&positions, &[0, 2], "atom 1 has type 2");
        refuse(&positions[..1], &[0], "2 centres");
    }
}
