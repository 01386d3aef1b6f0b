mod units;

use super::*;
use crate::NepIn;
use nepal::element::Element;
use nepal::system::Cell;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn header() -> Header {
    NepIn::new(vec![Element::from_symbol("Si").unwrap()]).header()
}

/// Distorted fcc argon-like cells labelled by a Morse potential with a volume-dependent energy.
fn crystal(count: usize) -> Vec<Frame> {
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    (0..count)
        .map(|k| {
            let a = 3.9 + 0.02 * (k % 11) as f64;
            let size = 0.05 + 0.25 * ((k * 7) % count) as f64 / count as f64;
            let mut positions = Vec::new();
            for (x, y, z) in (0..8).map(|n| (n & 1, n >> 1 & 1, n >> 2 & 1)) {
                for site in [
                    [0.0, 0.0, 0.0],
                    [0.5, 0.5, 0.0],
                    [0.5, 0.0, 0.5],
                    [0.0, 0.5, 0.5],
                ] {
                    let shift = [x as f64, y as f64, z as f64];
                    positions.push(std::array::from_fn(|c| {
                        a * (site[c] + shift[c]) + size * (rng.random::<f64>() - 0.5)
                    }));
                }
            }
            let structure = Structure {
                cell: Cell::orthorhombic([2.0 * a; 3]).unwrap(),
                elements: vec![Element::from_symbol("Si").unwrap(); positions.len()],
                positions,
            };
            morse(structure)
        })
        .collect()
}

fn morse(structure: Structure) -> Frame {
    let list = NeighborList::build(&structure.cell, &structure.positions, 5.5).unwrap();
    let (depth, stiffness, r0) = (0.4, 1.4, 2.85);
    let mut forces = vec![[0.0; 3]; structure.len()];
    let mut energy = -4.0 * structure.len() as f64;
    let mut virial = [0.0; 9];
    for i in 0..structure.len() {
        for (_, v) in list.vectors(i, &structure.cell, &structure.positions) {
            let r = norm(v);
            let x = (-stiffness * (r - r0)).exp();
            energy += 0.5 * depth * (x * x - 2.0 * x);
            let slope = -2.0 * stiffness * depth * (x * x - x);
            for c in 0..3 {
                forces[i][c] += slope * v[c] / r;
            }
            for (ab, w) in virial.iter_mut().enumerate() {
                *w -= 0.5 * slope * v[ab / 3] * v[ab % 3] / r;
            }
        }
    }
    Frame {
        energy: Some(energy),
        forces: Some(forces),
        virial: Some(virial),
        ..Frame::new(structure)
    }
}

fn scale_forces(frame: &mut Frame, factor: f64) {
    for f in frame.forces.as_mut().unwrap().as_flattened_mut() {
        *f *= factor;
    }
}

/// The error that the rule `refuse` gives, and frames left and warnings of `drop` and `keep`.
fn judged(frames: &[Frame]) -> (Result<Vec<usize>>, Vec<String>, Vec<usize>, Result<usize>) {
    let places = |rule: BadData, warnings: &mut Vec<String>| {
        prepare_by(&header(), frames, "training", rule, warnings)
            .map(|s| s.iter().map(|s| s.frame).collect::<Vec<_>>())
    };
    let mut warnings = Vec::new();
    let refused = places(BadData::Refuse, &mut warnings);
    let mut warnings = Vec::new();
    let left = places(BadData::Drop, &mut warnings).unwrap();
    let kept = places(BadData::Keep, &mut Vec::new()).map(|s| s.len());
    (refused, warnings, left, kept)
}

fn all_but(count: usize, out: &[usize]) -> Vec<usize> {
    (0..count).filter(|i| !out.contains(i)).collect()
}

/// A set with one label of all frames changed.
fn all_changed(change: impl Fn(&mut Frame)) -> Vec<Frame> {
    let mut frames = crystal(30);
    frames.iter_mut().for_each(change);
    frames
}

#[test]
fn good_data_pass_unharmed() {
    let frames = crystal(24);
    let (refused, warnings, left, kept) = judged(&frames);
    assert_eq!(refused.unwrap(), all_but(24, &[]));
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!((left.len(), kept.unwrap()), (24, 24));
}

#[test]
fn labels_that_cannot_be_used_are_all_named() {
    let mut frames = crystal(12);
    frames[2].forces.as_mut().unwrap()[4][1] = f64::NAN;
    frames[5].energy = Some(f64::INFINITY);
    frames[7].forces.as_mut().unwrap().pop();
    frames[8].weight = -1.0;
    let (refused, warnings, left, kept) = judged(&frames);
    let error = refused.unwrap_err().to_string();
    assert!(error.contains("4 training frame(s) with labels"), "{error}");
    assert!(error.contains("frames 3, 6, 8, 9"), "{error}");
    assert!(error.contains("force on atom 5"), "{error}");
    assert!(error.contains("bad_data drop"), "{error}");
    assert_eq!(left, all_but(12, &[2, 5, 7, 8]));
    assert!(warnings[0].contains("left out"), "{warnings:?}");
    assert!(kept.is_err());
}

#[test]
fn an_element_outside_the_model_is_named() {
    let mut frames = crystal(6);
    frames[3].structure.elements[2] = Element::from_symbol("Ge").unwrap();
    let (refused, _, left, kept) = judged(&frames);
    let error = refused.unwrap_err().to_string();
    assert!(error.contains("frame 4: atom 3 is Ge"), "{error}");
    assert_eq!(left, all_but(6, &[3]));
    assert!(kept.is_err());
}

#[test]
fn missing_labels_are_told() {
    let mut frames = crystal(6);
    frames[0].energy = None;
    frames[1].forces = None;
    frames[2].energy = None;
    frames[2].forces = None;
    frames[2].virial = None;
    let (refused, warnings, left, _) = judged(&frames);
    assert_eq!(refused.unwrap(), all_but(6, &[2]));
    assert_eq!(left, all_but(6, &[2]));
    let all = warnings.join("\n");
    for text in [
        "1 training frame(s) with no atoms or no label: left out (frames 3)",
        "1 training frame(s) with no energy",
        "1 training frame(s) with no forces",
    ] {
        assert!(all.contains(text), "{all}");
    }
}

#[test]
fn a_set_that_counts_for_nothing_is_told() {
    let frames = all_changed(|frame| frame.weight = 0.0);
    let mut samples = prepare(&header(), &frames, "training", &mut Vec::new()).unwrap();
    let error = weigh_groups(&mut samples, &frames, &[]).unwrap_err();
    assert!(error.to_string().contains("the weight 0"), "{error}");
    samples[3].weight = 1.0;
    weigh_groups(&mut samples, &frames, &[]).unwrap();
}

#[test]
fn repetitions_and_contradictions_are_told_apart() {
    let mut frames = crystal(10);
    let (a, mut b) = (frames[1].clone(), frames[4].clone());
    b.energy = b.energy.map(|e| e + 0.5);
    frames.push(a);
    let (refused, warnings, left, kept) = judged(&frames);
    assert_eq!(refused.unwrap(), all_but(11, &[10]));
    assert_eq!((left, kept.unwrap()), (all_but(11, &[10]), 11));
    assert!(warnings[0].contains("repeat(s) an earlier one") && warnings[0].contains("frames 11"));
    frames.push(b);
    let (refused, _, left, kept) = judged(&frames);
    let error = refused.unwrap_err().to_string();
    assert!(
        error.contains("other labels") && error.contains("frames 5, 12"),
        "{error}"
    );
    assert_eq!((left, kept.unwrap()), (all_but(12, &[4, 10, 11]), 12));
}

#[test]
fn an_isolated_huge_force_is_left_out_but_hot_data_are_not() {
    let mut frames = crystal(20);
    frames[11].forces.as_mut().unwrap()[7] = [500.0, 0.0, 0.0];
    let (refused, warnings, left, kept) = judged(&frames);
    assert_eq!(refused.unwrap(), all_but(20, &[11]));
    assert_eq!((left, kept.unwrap()), (all_but(20, &[11]), 20));
    assert!(warnings[0].contains("500 eV/Å on atom 8"), "{warnings:?}");
    // Where many are large, large is usual.
    let mut frames = crystal(20);
    for frame in &mut frames[..8] {
        frame.forces.as_mut().unwrap()[0] = [60.0, 0.0, 0.0];
    }
    assert!(judged(&frames).1.iter().all(|w| !w.contains("huge")));
}

#[test]
fn test_frames_that_were_trained_on_are_told() {
    let frames = crystal(6);
    let mut warnings = Vec::new();
    warn_of_overlap(&frames[..4], &frames[3..], &mut warnings);
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].contains("1 test frame(s)") && warnings[0].contains("frames 1"));
}

#[test]
fn a_cell_that_is_too_dense_is_named_by_frame() {
    let mut frames = crystal(8);
    frames[3].structure.cell = Cell::orthorhombic([0.05; 3]).unwrap();
    let (refused, _, left, kept) = judged(&frames);
    let error = refused.unwrap_err().to_string();
    assert!(
        error.contains("frame 4: with 32 atoms in the cell"),
        "{error}"
    );
    assert_eq!(left, all_but(8, &[3]));
    assert!(kept.is_err());
}

#[test]
fn placeholders_of_virials_are_not_used() {
    for value in [0.0, -1e-6] {
        let frames = all_changed(|frame| frame.virial = Some([value; 9]));
        let mut warnings = Vec::new();
        let samples = prepare(&header(), &frames, "training", &mut warnings).unwrap();
        assert_eq!(samples.len(), 30);
        assert!(samples.iter().all(|s| s.virial.is_none()));
        assert!(
            warnings[0].contains("virial (or stress) of nine equal"),
            "{warnings:?}"
        );
    }
}

#[test]
fn placeholders_of_forces_are_not_used() {
    let mut frames = crystal(12);
    frames[3].forces = Some(vec![[0.0; 3]; 32]);
    // Symmetry asks for zeros in a perfect crystal.
    let a = frames[0].structure.cell.vectors()[0][0] / 2.0;
    let mut perfect = frames[0].clone();
    for r in &mut perfect.structure.positions {
        *r = r.map(|x| a * (2.0 * x / a).round() / 2.0);
    }
    perfect = morse(perfect.structure);
    perfect.forces = Some(vec![[0.0; 3]; 32]);
    frames.push(perfect);
    let mut warnings = Vec::new();
    let samples = prepare(&header(), &frames, "training", &mut warnings).unwrap();
    let without: Vec<usize> = (0..13).filter(|&i| samples[i].forces.is_none()).collect();
    assert_eq!((samples.len(), without), (13, vec![3]));
    assert!(
        warnings[0].contains("all exactly 0") && warnings[0].contains("frame 4"),
        "{warnings:?}"
    );
}

#[test]
fn forces_that_move_the_whole_are_told() {
    let mut frames = crystal(12);
    // Of an atom that was held: what it pushes back with is missing.
    frames[5].forces.as_mut().unwrap()[7] = [0.0; 3];
    for f in frames[8].forces.as_mut().unwrap() {
        f[1] += 0.2;
    }
    let (refused, warnings, ..) = judged(&frames);
    assert_eq!(refused.unwrap().len(), 12);
    assert!(
        warnings[0].contains("2 training frame(s) with forces that do not sum to zero"),
        "{warnings:?}"
    );
}

#[test]
fn energies_of_two_references_are_named() {
    let shifted = |by: f64| {
        let mut frames = crystal(30);
        for k in [4, 11, 20] {
            let n = frames[k].len() as f64;
            *frames[k].energy.as_mut().unwrap() += by * n;
        }
        frames
    };
    for by in [-3.0, 5.0] {
        let (refused, warnings, ..) = judged(&shifted(by));
        assert_eq!(refused.unwrap().len(), 30);
        let told = "3 training frame(s) with energies that may be of another reference";
        assert!(warnings.iter().any(|w| w.contains(told)), "{warnings:?}");
        assert!(
            warnings.iter().any(|w| w.contains("(frames 5, 12, 21;")),
            "{warnings:?}"
        );
    }
    let frames = shifted(-100.0);
    let (refused, ..) = judged(&frames);
    assert!(refused.unwrap_err().to_string().contains("5, 12, 21"));
    let found = doubts::references(&frames, &all_but(30, &[]), screen::Action::Refused);
    let places: Vec<usize> = found[0].frames.iter().map(|f| f.0).collect();
    assert_eq!((places, found[1].frames.len()), (vec![4, 11, 20], 0));
    // What is high because its atoms are pushed together is no other reference.
    let mut frames = crystal(30);
    let pair = frames[2].structure.positions[0].map(|x| x + 0.4);
    frames[2].structure.positions[1] = pair;
    frames[2] = morse(frames[2].structure.clone());
    let (_, warnings, ..) = judged(&frames);
    assert!(
        warnings.iter().all(|w| !w.contains("another reference")),
        "{warnings:?}"
    );
}

#[test]
fn fractional_coordinates_and_atoms_on_top_of_each_other_are_told() {
    let mut frames = crystal(8);
    let cell = frames[2].structure.cell.clone();
    for r in &mut frames[2].structure.positions {
        *r = cell.fractional(*r).map(|x| x.rem_euclid(1.0));
    }
    frames[5].structure.positions[1] = frames[5].structure.positions[0].map(|x| x + 0.2);
    let (refused, _, left, _) = judged(&frames);
    let error = refused.unwrap_err().to_string();
    assert!(
        error.contains("fractional coordinates") && error.contains("frame 3"),
        "{error}"
    );
    assert_eq!(left, all_but(8, &[2]));
    frames.remove(2);
    let mut warnings = Vec::new();
    prepare(&header(), &frames, "training", &mut warnings).unwrap();
    assert!(
        warnings[0].contains("atoms less than 0.5 Å apart"),
        "{warnings:?}"
    );
}

#[test]
fn real_data_pass() {
    let warnings = |name: &str| {
        let path = format!("{}/../../tests/data/{name}", env!("CARGO_MANIFEST_DIR"));
        let frames = nepal::system::xyz::read_frames(path).unwrap();
        let mut elements: Vec<Element> = Vec::new();
        for e in frames.iter().flat_map(|f| &f.structure.elements) {
            if !elements.contains(e) {
                elements.push(*e);
            }
        }
        let mut warnings = Vec::new();
        let header = NepIn::new(elements).header();
        prepare(&header, &frames, "training", &mut warnings).unwrap();
        warnings
    };
    let told = warnings("gnep_trace/train.xyz");
    assert!(told.iter().all(|w| !w.contains("do not go")), "{told:?}");
    // Ten energies of metals, which no pair potential gives: a doubt is told, and nobody is sent away for it.
    let told = warnings("emt/CuAu.xyz");
    assert!(told.iter().all(|w| w.contains("kept")), "{told:?}");
}
