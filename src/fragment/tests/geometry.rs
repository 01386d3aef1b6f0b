//! Cells, filling, repair and refusals: what needs no model evaluation.

use super::super::composition::Composition;
use super::super::outcome::Outcome;
use super::super::parent::Surroundings;
use super::super::search::search;
use super::super::{Fragment, FragmentOptions, Refusal, Shape, carve, extract};
use super::*;
use crate::backend::Request;
use crate::system::NeighborList;
use crate::system::cell::{norm, sub};
use std::collections::BTreeMap;

/// Checks by brute force what every fragment promises: the target's environment is the parent's, no
/// contacts that the parent does not have, sizes and limits.
pub(super) fn check_promises(
    parent: &Structure,
    target: usize,
    fragment: &super::super::Fragment,
    options: &FragmentOptions,
    cutoff: f64,
) {
    let sorted = |structure: &Structure, atom: usize| -> Vec<(Element, V)> {
        let list =
            NeighborList::build(&structure.cell, &structure.positions, cutoff - 1e-6).unwrap();
        list.vectors(atom, &structure.cell, &structure.positions)
            .map(|(j, r)| (structure.elements[j], r))
            .collect()
    };
    let there = sorted(parent, target);
    let here = sorted(&fragment.structure, fragment.target);
    assert_eq!(there.len(), here.len(), "number of neighbours");
    for (element, r) in &there {
        let matches = here
            .iter()
            .filter(|(e, q)| e == element && norm(sub(*q, *r)) < 1e-6);
        assert_eq!(matches.count(), 1);
    }
    let n = fragment.len();
    assert!(n <= options.n_max && n < parent.len());
    assert_eq!(
        parent.elements[target],
        fragment.structure.elements[fragment.target]
    );
    assert_eq!(fragment.parent_index[fragment.target], Some(target));
    assert_eq!((fragment.core.len(), fragment.mask.len()), (n, n));
    for (i, index) in fragment.parent_index.iter().enumerate() {
        if let Some(atom) = index {
            assert_eq!(parent.elements[*atom], fragment.structure.elements[i]);
        }
    }
    // Pairs closer than any bond are the parent's own.
    let close = |structure: &Structure| {
        NeighborList::build(&structure.cell, &structure.positions, 1.6).unwrap()
    };
    let (ours, theirs) = (close(&fragment.structure), close(parent));
    for i in 0..n {
        let s = &fragment.structure;
        for (j, r) in ours.vectors(i, &s.cell, &s.positions) {
            let known = fragment.parent_index[i].is_some_and(|atom| {
                theirs
                    .vectors(atom, &parent.cell, &parent.positions)
                    .any(|(k, q)| fragment.parent_index[j] == Some(k) && norm(sub(q, r)) < 1e-6)
            });
            assert!(known, "atoms {i} and {j} are {} Å apart", norm(r));
        }
    }
    let ratio = fragment.report.density_ratio;
    assert!((options.density[0]..=options.density[1]).contains(&ratio));
}

fn carved(outcome: Outcome) -> Box<super::super::Fragment> {
    match outcome {
        Outcome::Fragment(fragment) => fragment,
        other => panic!("no fragment: {other:?}"),
    }
}

#[test]
fn a_rotated_hot_crystal_closes_on_its_own_lattice() {
    let parent = rotate(&shake(diamond([4, 4, 4]), 0.08, 3), 3);
    let options = FragmentOptions {
        shapes: vec![Shape::Lattice],
        ..FragmentOptions::default()
    };
    let fragment = carved(carve(&silicon(), &parent, 100, &options).unwrap());
    check_promises(&parent, 100, &fragment, &options, 5.0);
    // Whole primitive cells, nothing lost on the seam.
    let volume = 5.43f64.powi(3) / 8.0;
    let sites = fragment.structure.cell.volume() / volume;
    assert!((sites - fragment.len() as f64).abs() < 0.5, "{sites}");
    assert_eq!(fragment.len() % 2, 0);
    assert_eq!(fragment.report.deleted, 0);
    assert!(fragment.len() <= 130, "{} atoms", fragment.len());
}

#[test]
fn every_shape_serves_a_crystal() {
    let parent = shake(diamond([4, 4, 4]), 0.05, 4);
    for shape in [Shape::Cube, Shape::Aligned, Shape::Compact, Shape::Lattice] {
        let options = FragmentOptions {
            shapes: vec![shape],
            n_max: 400,
            ..FragmentOptions::default()
        };
        let fragment = carved(carve(&silicon(), &parent, 17, &options).unwrap());
        assert_eq!(fragment.report.shape, Some(shape));
        check_promises(&parent, 17, &fragment, &options, 5.0);
    }
}

#[test]
fn slabs_keep_their_vacuum_and_wires_their_period() {
    let bulk = shake(diamond([5, 5, 2]), 0.05, 5);
    let mut vectors = *bulk.cell.vectors();
    vectors[2] = [0.0, 0.0, 40.0];
    let slab = Structure {
        cell: Cell::new(vectors, [true, true, false]).unwrap(),
        ..bulk
    };
    let options = FragmentOptions::default();
    let top = nearest(&slab, [13.0, 13.0, 10.0]);
    let fragment = carved(carve(&silicon(), &slab, top, &options).unwrap());
    check_promises(&slab, top, &fragment, &options, 5.0);
    assert_eq!(fragment.structure.cell.periodic(), [true, true, false]);
    // One period of a thin wire is kept, its length is not changed.
    let wire = shake(diamond([1, 6, 6]), 0.05, 6);
    let middle = nearest(&wire, [2.0, 16.0, 16.0]);
    let options = FragmentOptions {
        n_max: 200,
        ..options
    };
    let fragment = carved(carve(&silicon(), &wire, middle, &options).unwrap());
    check_promises(&wire, middle, &fragment, &options, 5.0);
    let kept = fragment.structure.cell.vectors()[0];
    assert!((norm(kept) - 5.43).abs() < 1e-9, "{kept:?}");
}

#[test]
fn the_inside_of_a_particle_is_cut_as_bulk() {
    let block = shake(diamond([6, 6, 6]), 0.05, 7);
    let particle = Structure {
        cell: Cell::isolated(),
        ..block
    };
    let target = nearest(&particle, [16.0, 16.0, 16.0]);
    for truncated in [false, true] {
        let options = FragmentOptions {
            truncated,
            ..FragmentOptions::default()
        };
        let fragment = carved(carve(&silicon(), &particle, target, &options).unwrap());
        check_promises(&particle, target, &fragment, &options, 5.0);
        assert_eq!(fragment.structure.cell.periodic(), [true; 3]);
    }
    // At the corner of what is known nothing can be cut.
    let options = FragmentOptions {
        truncated: true,
        ..FragmentOptions::default()
    };
    match carve(&silicon(), &particle, 0, &options).unwrap() {
        Outcome::Refused { reason } => assert_eq!(reason, Refusal::OutsideKnown),
        other => panic!("{other:?}"),
    }
}

#[test]
fn small_parents_are_labelled_whole() {
    let options = FragmentOptions::default();
    for n in [[1, 1, 1], [2, 2, 1], [2, 2, 2]] {
        let parent = shake(diamond(n), 0.05, 8);
        match carve(&silicon(), &parent, 0, &options).unwrap() {
            Outcome::WholeParent { reason } => assert!(reason.contains("whole parent")),
            other => panic!("{n:?}: {other:?}"),
        }
    }
}

#[test]
fn too_few_atoms_allowed_is_a_refusal() {
    let parent = shake(diamond([5, 5, 5]), 0.05, 9);
    let options = FragmentOptions {
        n_max: 40,
        ..FragmentOptions::default()
    };
    match carve(&silicon(), &parent, 0, &options).unwrap() {
        Outcome::Refused {
            reason: Refusal::TooLarge { n_max, .. },
        } => assert_eq!(n_max, 40),
        other => panic!("{other:?}"),
    }
}

#[test]
fn overlapping_parents_are_refused() {
    let mut parent = diamond([5, 5, 5]);
    parent.positions[1] = add(parent.positions[0], [0.5, 0.0, 0.0]);
    match carve(&silicon(), &parent, 0, &FragmentOptions::default()).unwrap() {
        Outcome::Refused {
            reason: Refusal::Parent { distance, .. },
        } => assert!((distance - 0.5).abs() < 1e-9),
        other => panic!("{other:?}"),
    }
}

#[test]
fn charges_are_balanced() {
    let crystal = shake(rock_salt([5, 5, 5]), 0.05, 10);
    let removed = nearest(&crystal, [13.0, 13.0, 13.0]);
    let parent = without(crystal, removed);
    let target = nearest(&parent, [14.0, 14.0, 14.0]);
    let charges = BTreeMap::from([(element("Pb"), 2.0), (element("Te"), -2.0)]);
    let neutral = FragmentOptions {
        formal_charges: Some(charges.clone()),
        ..FragmentOptions::default()
    };
    let fragment = carved(carve(&lead_telluride(), &parent, target, &neutral).unwrap());
    check_promises(&parent, target, &fragment, &neutral, 8.0);
    let charge: f64 = fragment.structure.elements.iter().map(|e| charges[e]).sum();
    assert_eq!(charge, 0.0);
    // Charges that no edit can balance.
    let odd = FragmentOptions {
        formal_charges: Some(BTreeMap::from([(element("Pb"), 2.0)])),
        ..FragmentOptions::default()
    };
    match carve(&lead_telluride(), &parent, target, &odd).unwrap() {
        Outcome::Refused {
            reason: Refusal::Charge { .. },
        } => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_model_with_charges_keeps_fragments_neutral() {
    // An oxide of two elements, from which an atom is missing near the target.
    let model = model("synthetic_variants/nep4_charge2");
    let oxide = fcc([4, 4, 4], 5.6, [0.5; 3], ["Ba", "O"]);
    let crystal = shake(oxide, 0.05, 4);
    let parent = without(crystal.clone(), nearest(&crystal, [13.0, 13.0, 13.0]));
    let target = nearest(&parent, [14.0, 14.0, 14.0]);
    let mut calculator = Calculator::new(Arc::clone(&model), BackendKind::Cpu).unwrap();
    let wanted = Request::CHARGES | Request::FORCES;
    let charges = calculator.compute(&parent, wanted).unwrap().charges.clone();
    let mean = |symbol: &str| {
        let own = charges.iter().zip(&parent.elements);
        let own: Vec<f64> = own
            .filter(|(_, e)| **e == element(symbol))
            .map(|(q, _)| *q)
            .collect();
        own.iter().sum::<f64>() / own.len() as f64
    };
    let (barium, oxygen) = (mean("Ba"), mean("O"));
    assert!(
        barium.abs() > 0.1 && oxygen.abs() > 0.1,
        "{barium} {oxygen}"
    );
    let left = |fragment: &Fragment| {
        let count = |s| {
            fragment
                .structure
                .elements
                .iter()
                .filter(|e| **e == element(s))
                .count()
        };
        count("Ba") as f64 * barium + count("O") as f64 * oxygen
    };
    let options = FragmentOptions::default();
    let nobody = FragmentOptions {
        formal_charges: Some(BTreeMap::new()),
        ..options.clone()
    };
    let careless = carved(carve(&model, &parent, target, &nobody).unwrap());
    let limit = 0.6 * barium.abs().min(oxygen.abs());
    assert!(left(&careless).abs() > limit, "{}", left(&careless));
    let fragment = carved(carve(&model, &parent, target, &options).unwrap());
    assert!(left(&fragment).abs() < limit, "{}", left(&fragment));
    // Optimised with the model: how far the target's force is off is told.
    let quick = FragmentOptions {
        relax_steps: 5,
        f_max: 1e3,
        e_max: 1e3,
        ..options
    };
    let fragment = carved(extract(&mut calculator, &parent, target, &quick).unwrap());
    assert!(left(&fragment).abs() < limit);
    let whole = calculator.compute(&parent, wanted).unwrap().forces[target];
    let here = calculator
        .compute(&fragment.structure, wanted)
        .unwrap()
        .forces[0];
    let apart = norm(sub(here, whole));
    let told = fragment.report.verification.long_range;
    assert!((told - apart).abs() < 1e-6 && told > 0.0, "{told} {apart}");
}

#[test]
fn a_missing_ion_is_made_up_for() {
    let model = lead_telluride();
    let parent = shake(rock_salt([4, 4, 4]), 0.05, 13);
    let charges = BTreeMap::from([(element("Pb"), 2.0), (element("Te"), -2.0)]);
    let options = FragmentOptions {
        formal_charges: Some(charges.clone()),
        shapes: vec![Shape::Lattice],
        ..FragmentOptions::default()
    };
    let s = Surroundings::new(&model, &parent, 0, &options).unwrap();
    let found = search(&s, &options).unwrap();
    let composition = Composition::new(&s, &options);
    let mut draft = found.drafts[0].clone();
    let removed = (0..draft.len()).rev().find(|&i| !draft.core[i]).unwrap();
    let place = draft.positions[removed];
    let kind = draft.elements[removed];
    let keep: Vec<bool> = (0..draft.len()).map(|i| i != removed).collect();
    draft.retain(&keep);
    // Thin: the atom goes back to where it was missing.
    draft.expected = draft.len() as f64 + 1.0;
    let mut thin = draft.clone();
    let way = composition.ways(&draft)[0];
    assert_eq!(composition.enforce(&mut thin, &s, way).unwrap(), None);
    assert_eq!((thin.edited, thin.len()), (1, draft.len() + 1));
    assert_eq!(*thin.elements.last().unwrap(), kind);
    let back = thin.cell.wrap(*thin.positions.last().unwrap());
    let away = sub(back, thin.cell.wrap(place));
    let s_away = thin.cell.fractional(away).map(|x| x - x.round());
    assert!(norm(thin.cell.cartesian(s_away)) < 1.0);
    // Dense: an atom of the other element goes.
    draft.expected = draft.len() as f64 - 1.0;
    let before = draft.len();
    assert_eq!(composition.enforce(&mut draft, &s, way).unwrap(), None);
    assert_eq!((draft.edited, draft.len()), (1, before - 1));
    let charge: f64 = draft.elements.iter().map(|e| charges[e]).sum();
    assert_eq!(charge, 0.0);
}

#[test]
fn molecules_are_cut_whole() {
    // Carbon dioxide on a cubic lattice, for a model of the right elements only: geometry suffices.
    let (c, o) = (element("C"), element("O"));
    let mut positions = Vec::new();
    let mut elements = Vec::new();
    let mut random = SplitMix::new(3, 3);
    for k in 0..6 * 6 * 6 {
        let site = [k / 36, k / 6 % 6, k % 6].map(|x| 4.5 * f64::from(x));
        let axis: V = std::array::from_fn(|_| random.normal());
        let unit = axis.map(|x| x / norm(axis));
        for (step, kind) in [(0.0, c), (1.16, o), (-1.16, o)] {
            positions.push(std::array::from_fn(|a| site[a] + step * unit[a]));
            elements.push(kind);
        }
    }
    let parent =
        Structure::new(Cell::orthorhombic([27.0; 3]).unwrap(), elements, positions).unwrap();
    let mut header = silicon().header().clone();
    header.elements = vec![c, o];
    let layout = crate::model::Layout::new(&header);
    let zeros = vec![0.0; layout.len()];
    let model = Model::new(header, zeros, vec![1.0; layout.dim]).unwrap();
    let options = FragmentOptions {
        keep_molecules: true,
        shapes: vec![Shape::Cube, Shape::Compact],
        ..FragmentOptions::default()
    };
    let target = 3 * 86;
    let whole = |fragment: &super::super::Fragment| {
        check_promises(&parent, target, fragment, &options, 5.0);
        let s = &fragment.structure;
        let list = NeighborList::build(&s.cell, &s.positions, 1.3).unwrap();
        for i in 0..s.len() {
            let bonds = if s.elements[i] == c { 2 } else { 1 };
            assert_eq!(list.count(i), bonds, "atom {i} of {}", s.len());
        }
    };
    whole(&carved(carve(&model, &parent, target, &options).unwrap()));
    // This model has no forces: what moves, moves to resolve contacts.
    let kind = BackendKind::default_for_build();
    let mut calculator = Calculator::new(std::sync::Arc::new(model), kind).unwrap();
    whole(&carved(
        extract(&mut calculator, &parent, target, &options).unwrap(),
    ));
}

#[test]
fn the_same_seed_gives_the_same_fragment() {
    let parent = shake(diamond([4, 4, 4]), 0.3, 11);
    let options = FragmentOptions {
        shapes: vec![Shape::Cube, Shape::Compact],
        ..FragmentOptions::default()
    };
    let a = carved(carve(&silicon(), &parent, 7, &options).unwrap());
    let b = carved(carve(&silicon(), &parent, 7, &options).unwrap());
    assert_eq!(a.structure, b.structure);
}

#[test]
fn bad_requests_are_errors() {
    let parent = diamond([4, 4, 4]);
    let options = FragmentOptions::default();
    assert!(carve(&silicon(), &parent, parent.len(), &options).is_err());
    let small_core = FragmentOptions {
        core_radius: Some(4.0),
        ..options.clone()
    };
    assert!(carve(&silicon(), &parent, 0, &small_core).is_err());
    let no_step = FragmentOptions {
        step: 0.0,
        ..options.clone()
    };
    assert!(carve(&silicon(), &parent, 0, &no_step).is_err());
    assert!(carve(&silicon(), &rock_salt([4, 4, 4]), 0, &options).is_err());
}

/// Random parents, tilted, thin, gaseous, with any periodicity: a fragment keeps its promises, or
/// there is a reason.
#[test]
fn promises_hold_for_random_parents() {
    let model = silicon();
    let mut fragments = 0;
    for seed in 0..40u64 {
        let mut random = SplitMix::new(seed, 9);
        let periodic: [bool; 3] = std::array::from_fn(|_| random.uniform() < 0.7);
        let base = if seed % 2 == 0 {
            diamond([4, 3 + (seed % 3) as usize, 5])
        } else {
            diamond([2 + (seed % 3) as usize, 5, 5])
        };
        let rms = [0.05, 0.15, 0.4][(seed % 3) as usize];
        let strain: [[f64; 3]; 3] = std::array::from_fn(|a| {
            std::array::from_fn(|b| {
                if a == b {
                    0.0
                } else {
                    0.25 * random.normal() * f64::from(a < b)
                }
            })
        });
        let tilted = shake(base, rms, seed).strained(&strain).unwrap();
        let parent = Structure {
            cell: Cell::new(*tilted.cell.vectors(), periodic).unwrap(),
            ..rotate(&tilted, seed)
        };
        let parent = Structure {
            cell: Cell::new(*rotate(&tilted, seed).cell.vectors(), periodic).unwrap(),
            ..parent
        };
        let target = (random.uniform() * parent.len() as f64) as usize;
        let options = FragmentOptions {
            seed,
            ..FragmentOptions::default()
        };
        match carve(&model, &parent, target, &options).unwrap() {
            Outcome::Fragment(fragment) => {
                check_promises(&parent, target, &fragment, &options, 5.0);
                fragments += 1;
            }
            Outcome::WholeParent { reason } => assert!(!reason.is_empty()),
            Outcome::Refused { reason } => assert!(!reason.to_string().is_empty()),
        }
    }
    assert!(
        fragments >= 20,
        "only {fragments} of 40 parents gave a fragment"
    );
}
