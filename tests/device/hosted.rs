//! Ghosts, the neighbour list and the types of a host code, all of them on the device.
#![allow(unsafe_code)]

use crate::motion::ghosts;
use crate::support::close::assert_close;
use crate::support::{self, gas};
use crate::variants::backend;
use nepal::backend::System;
use nepal::grade::{ActiveSet, BuildOptions, Effort, Features};
use nepal::{BackendKind, Calculator, NeighborList, Precision, Request};
use nepal_cuda::{DeviceAtoms, DeviceList, DeviceResults, Strided};
use std::sync::Arc;

/// What a host has for bonds in the upper bits of a neighbour.
const MASK: u32 = 0x1FFF_FFFF;

/// A list as a host's rows of equal length: one atom after another, or one neighbour after another.
struct Rows {
    counts: Vec<i32>,
    neighbors: Vec<i32>,
    strides: [usize; 2],
}

impl Rows {
    fn new(list: &NeighborList, by_atom: bool) -> Self {
        let raw = list.raw();
        let (n, offsets) = (list.len(), raw.offsets);
        let counts: Vec<i32> = offsets.windows(2).map(|o| (o[1] - o[0]) as i32).collect();
        let longest = counts.iter().max().map_or(0, |&n| n as usize);
        let strides = if by_atom { [longest, 1] } else { [1, n] };
        // What is not a neighbour is never looked at.
        let mut neighbors = vec![i32::MAX; n * longest];
        for i in 0..n {
            for k in 0..counts[i] as usize {
                let bond = ((i + k) as u32 % 4) << 30;
                let place = raw.index[offsets[i] + k] | bond;
                neighbors[i * strides[0] + k * strides[1]] = place.cast_signed();
            }
        }
        Self {
            counts,
            neighbors,
            strides,
        }
    }

    fn on_device(&self, n_ghosts: usize, generation: u64) -> DeviceList {
        DeviceList {
            n_ghosts,
            counts: self.counts.as_ptr() as u64,
            neighbors: Strided {
                address: self.neighbors.as_ptr() as u64,
                strides: self.strides,
            },
            mask: MASK,
            generation,
        }
    }
}

/// Numbers in a layout, from rows of `width`.
fn laid(rows: &[f64], width: usize, by_atom: bool) -> Vec<f64> {
    let n = rows.len() / width;
    match by_atom {
        true => rows.to_vec(),
        false => (0..rows.len())
            .map(|k| rows[k % n * width + k / n])
            .collect(),
    }
}

fn strided(array: &[f64], width: usize, by_atom: bool) -> Strided {
    Strided {
        address: array.as_ptr() as u64,
        strides: if by_atom {
            [width, 1]
        } else {
            [1, array.len() / width]
        },
    }
}

#[test]
fn ghosts_and_lists_on_the_device_give_what_the_processor_gives() {
    let model = support::model("active_set_pbte");
    let mut cpu = support::calculator(&model, BackendKind::Reference);
    let structure = gas::rattled(model.elements(), [4, 3, 3], 3.1, [true; 3]);
    let mut features = BackendKind::default_for_build().create().unwrap();
    let features = Features::collect(&model, features.as_mut(), [&structure]).unwrap();
    let built = ActiveSet::build(&model, &features, &BuildOptions::default());
    let set = Arc::new(built.unwrap().0);
    cpu.set_active_set(Some(Arc::clone(&set))).unwrap();
    // The host's list has neighbours beyond the cutoff, and finds its types from 1 in another order.
    let (first, owner, list) = ghosts(&structure, model.cutoff() + 1.0);
    let own = model.types_of(&structure.elements).unwrap();
    let types: Vec<u32> = owner.iter().map(|&i| own[i]).collect();
    let map = [-1, 1, 0];
    let cell = Calculator::host_cell();
    let (n, n_local) = (first.len(), structure.len());
    let wanted = Request::FORCES | Request::VIRIAL | Request::VIRIALS | Request::GRADES;
    for (precision, close) in [(Precision::F64, 1e-10), (Precision::Mixed, 1e-4)] {
        let mut cuda = backend(precision);
        for (case, (by_atom, ahead)) in [(true, false), (false, false), (true, true), (false, true)]
            .into_iter()
            .enumerate()
        {
            let mut positions = first.clone();
            let mut kinds: Vec<i32> = types.iter().map(|&t| 2 - t as i32).collect();
            let mut now = types.clone();
            let rows = Rows::new(&list, by_atom);
            for step in 0..6 {
                // Further, in all, than lists of the device are good for.
                for (r, &i) in positions.iter_mut().zip(&owner) {
                    for (d, x) in r.iter_mut().enumerate() {
                        *x += 0.12 * ((7 * i + d + step) as f64).sin();
                    }
                }
                if step == 3 {
                    now.iter_mut().for_each(|t| *t = 1 - *t);
                    kinds.iter_mut().for_each(|t| *t = 3 - *t);
                }
                let name = format!("{precision:?} {by_atom} {ahead}, step {step}");
                let system = System {
                    cell: &cell,
                    positions: &positions,
                    types: &now,
                    neighbors: &list,
                    whole: None,
                };
                let expected = cpu.compute(system, wanted).unwrap();
                let there = laid(positions.as_flattened(), 3, by_atom);
                let (mut energies, mut forces) = (vec![0.5; n_local], vec![0.5; 3 * n]);
                let (mut virials, mut total) = (vec![0.5; 9 * n], [0.5; 10]);
                let mut grades = [0; 3].map(|_| vec![0.0; n_local]);
                let atoms = DeviceAtoms {
                    n_atoms: n,
                    positions: strided(&there, 3, by_atom),
                    types: kinds.as_ptr() as u64,
                    type_map: Some(&map),
                    list: Some(rows.on_device(n - n_local, (10 * case + step / 3 + 1) as u64)),
                    new_types: false,
                    compare_types: step == 4,
                    still: false,
                    // Steps this long are not for those who do not wait.
                    ahead: ahead && step != 3,
                    cell: &cell,
                    stream: std::ptr::null_mut(),
                };
                let graded = step % 2 == 1;
                let mut columns = grades.each_mut().map(|g| g.as_mut_ptr() as u64);
                if !graded {
                    columns = [0; 3];
                }
                let results = DeviceResults {
                    energies: energies.as_mut_ptr() as u64,
                    forces: strided(&forces, 3, by_atom),
                    virials: strided(&virials, 9, by_atom),
                    adding: true,
                    total_energy: total.as_mut_ptr() as u64,
                    total_virial: total[1..].as_mut_ptr() as u64,
                    gamma: columns[0],
                    rho: columns[1],
                    grade: columns[2],
                    ..DeviceResults::default()
                };
                let median = {
                    let mut sorted = expected.grade.clone();
                    sorted.sort_by(f64::total_cmp);
                    sorted[n_local / 2] * (1.0 + 1e-5)
                };
                let effort = if step == 5 {
                    Effort::Above(median)
                } else {
                    Effort::Full
                };
                // SAFETY: on the stand-in a device array is any array, and these are as large as said.
                let done = unsafe {
                    cuda.compute_on_device(&model, Some((&set, effort)), &atoms, &results)
                        .and_then(|()| cuda.finish(&model))
                };
                done.unwrap_or_else(|e| panic!("{name}: {e}"));
                for array in [&mut energies, &mut forces, &mut virials] {
                    array.iter_mut().for_each(|x| *x -= 0.5);
                }
                assert_close(&name, &energies, &expected.energies, close);
                let expect = laid(expected.forces.as_flattened(), 3, by_atom);
                assert_close(&name, &forces, &expect, close);
                let expect = laid(expected.virials.as_flattened(), 9, by_atom);
                assert_close(&name, &virials, &expect, close);
                assert_close(&name, &total[..1], &[expected.energy], close);
                assert_close(&name, &total[1..], &expected.virial, close);
                if !graded {
                    continue;
                }
                let tolerance = if precision == Precision::F64 {
                    1e-6
                } else {
                    2e-3
                };
                for (k, (&found, &grade)) in grades[2].iter().zip(&expected.grade).enumerate() {
                    if effort == Effort::Full || grade > median * 1.01 {
                        let off = (found - grade).abs();
                        assert!(
                            off <= tolerance * (0.1 + grade),
                            "{name} {k}: {found} {grade}"
                        );
                    } else if grade < median * 0.99 {
                        assert!(found <= median, "{name} {k}: {found} {grade}");
                    }
                }
            }
        }
    }
}

/// Ranks without atoms of their own, and what a host may get wrong.
#[test]
fn ranks_without_atoms_and_wrong_types_are_told() {
    let model = support::model("active_set_pbte");
    let structure = gas::rattled(model.elements(), [3, 2, 2], 3.1, [true; 3]);
    let (positions, owner, list) = ghosts(&structure, model.cutoff());
    let (n, n_local) = (positions.len(), structure.len());
    let cell = Calculator::host_cell();
    let rows = Rows::new(&list, true);
    let own = model.types_of(&structure.elements).unwrap();
    let kinds: Vec<i32> = owner.iter().map(|&i| own[i] as i32 + 1).collect();
    let mut cuda = backend(Precision::F64);
    let (mut forces, mut total) = (vec![0.5; 3 * n], [0.5; 10]);
    let results = DeviceResults {
        forces: strided(&forces, 3, true),
        total_energy: total.as_mut_ptr() as u64,
        total_virial: total[1..].as_mut_ptr() as u64,
        ..DeviceResults::default()
    };
    let mut compute = |n_atoms: usize, n_ghosts: usize, map: &[i32]| {
        let atoms = DeviceAtoms {
            n_atoms,
            positions: strided(positions.as_flattened(), 3, true),
            types: kinds.as_ptr() as u64,
            type_map: Some(map),
            list: Some(rows.on_device(n_ghosts, 0)),
            new_types: false,
            compare_types: false,
            still: false,
            ahead: false,
            cell: &cell,
            stream: std::ptr::null_mut(),
        };
        // SAFETY: as above.
        unsafe { cuda.compute_on_device(&model, None, &atoms, &results) }
    };
    compute(n, n, &[-1, 0, 1]).unwrap();
    assert_eq!(
        (forces.as_slice(), total),
        (vec![0.0; 3 * n].as_slice(), [0.0; 10])
    );
    total.fill(0.5);
    compute(0, 0, &[-1, 0, 1]).unwrap();
    assert_eq!(total, [0.0; 10]);
    for (ghosts, map, words) in [
        (
            n - n_local,
            &[-1, 0, -1][..],
            "is 2, which `type_map` of 3 types gives no type",
        ),
        (
            n - n_local,
            &[-1, 0],
            "is 2, which `type_map` of 2 types gives no type",
        ),
        (n - n_local, &[-1, 0, 7], "7"),
        (
            n + 1,
            &[-1, 0, 1],
            "are ghosts; expected no more than there are",
        ),
    ] {
        let error = compute(n, ghosts, map).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    compute(n, n - n_local, &[-1, 0, 1]).unwrap();
    forces.truncate(3 * n_local);
    assert!(total[0] != 0.0 && forces.iter().any(|x| *x != 0.0));
}
