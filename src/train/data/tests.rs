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
fn forces_in_another_unit_are_found_frame_by_frame() {
    // From eV/Å to hartree/bohr, and numbers in kJ/mol/Å.
    for (factor, name) in [(1.0 / 51.42, "hartree/bohr"), (96.49, "kJ/mol/Å")] {
        let mut frames = crystal(30);
        for k in [3, 17, 22] {
            scale_forces(&mut frames[k], factor);
        }
        let (refused, _, left, kept) = judged(&frames);
        let error = refused.unwrap_err().to_string();
        assert!(
            error.contains("3 training frame(s) with forces apparently"),
            "{error}"
        );
        assert!(
            error.contains("frames 4, 18, 23") && error.contains(name),
            "{error}"
        );
        assert_eq!((left, kept.unwrap()), (all_but(30, &[3, 17, 22]), 30));
    }
}

#[test]
fn all_forces_in_another_unit_than_the_energies_are_found() {
    let mut frames = crystal(30);
    for frame in &mut frames {
        scale_forces(frame, 1.0 / 51.42);
    }
    let error = judged(&frames).0.unwrap_err().to_string();
    assert!(
        error.contains("30 training frame(s) with forces that do not go"),
        "{error}"
    );
    assert!(
        error.contains("0.0") && error.contains("as forces in hartree/bohr"),
        "{error}"
    );
}

#[test]
fn energies_in_another_unit_are_found() {
    let mut frames = crystal(30);
    frames[6].energy = frames[6].energy.map(|e| e / 27.2114);
    frames[9].energy = frames[9].energy.map(|e| e * 23.06);
    let (refused, _, left, _) = judged(&frames);
    let error = refused.unwrap_err().to_string();
    assert!(
        error.contains("energies apparently in another unit"),
        "{error}"
    );
    assert!(error.contains("frames 7, 10"), "{error}");
    assert_eq!(left, all_but(30, &[6, 9]));
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

/// A set with one label of all frames changed.
fn all_changed(change: impl Fn(&mut Frame)) -> Vec<Frame> {
    let mut frames = crystal(30);
    frames.iter_mut().for_each(change);
    frames
}

fn scale_virial(frame: &mut Frame, factor: f64) {
    frame.virial = frame.virial.map(|w| w.map(|x| factor * x));
}

#[test]
fn a_whole_set_of_forces_or_energies_in_another_unit_is_named() {
    let scaled = |energy: f64, force: f64| {
        all_changed(|frame| {
            frame.energy = frame.energy.map(|e| e * energy);
            scale_forces(frame, force);
        })
    };
    for (energy, force, expected) in [
        (1.0, -1.0, "gradients"),
        (1.0, 2.0 / 51.422, "forces in rydberg/bohr"),
        (1.0, 23.06, "forces in kcal/mol/Å"),
        (1.0, 96.49, "forces in kJ/mol/Å"),
        (1.0 / 27.2114, 1.0, "energies in hartree"),
        (2.0 / 27.2114, 1.0, "energies in rydberg"),
        (23.06, 1.0, "energies in kcal/mol"),
        (96.49, 1.0, "energies in kJ/mol"),
        (1.0, 1000.0, "no unit that nepal knows"),
        (1000.0, 1.0, "no unit that nepal knows"),
        // Both in atomic units are half an ångström apart, which a pair fit cannot tell: virials do, in
        // other words.
        (1.0 / 27.2114, 1.0 / 51.422, "do not go with"),
    ] {
        let error = judged(&scaled(energy, force)).0.unwrap_err().to_string();
        assert!(error.contains("30 training frame(s) with"), "{error}");
        assert!(error.contains(expected), "{expected}: {error}");
        // The virials tell which of two units it is.
        let wrong = ["forces in kcal", "energies in hartree"];
        let other = wrong
            .iter()
            .find(|w| !expected.contains(*w) && error.contains(*w));
        assert!(other.is_none() || energy != 1.0 && force != 1.0, "{error}");
    }
}

#[test]
fn virials_of_another_unit_or_sign_are_named() {
    for (factor, expected) in [
        (-1.0, "with the wrong sign"),
        (160.2177, "a stress in GPa"),
        (-160.2177, "a stress in GPa, with the wrong sign"),
        (1602.177, "a stress in kbar"),
        (1.602_177e6, "a stress in bar"),
        (-1.602_177e5, "a stress in MPa, with the wrong sign"),
        (7e7, "no unit that nepal knows"),
        (1.0 / 32.0, "virials per atom"),
        (23.06, "virials in kcal/mol"),
    ] {
        let frames = all_changed(|frame| scale_virial(frame, factor));
        let (refused, warnings, left, kept) = judged(&frames);
        let error = refused.unwrap_err().to_string();
        assert!(
            error.contains("virials (or stresses) that do not go"),
            "{error}"
        );
        assert!(error.contains(expected), "{expected}: {error}");
        assert!(warnings[0].contains("used without it"), "{warnings:?}");
        assert_eq!((left.len(), kept.unwrap()), (30, 30));
        let samples = prepare_by(
            &header(),
            &frames,
            "training",
            BadData::Drop,
            &mut Vec::new(),
        );
        assert!(samples.unwrap().iter().all(|s| s.virial.is_none()));
    }
    let frames = all_changed(|frame| {
        let volume = frame.structure.cell.volume();
        scale_virial(frame, -1.0 / volume);
    });
    let error = judged(&frames).0.unwrap_err().to_string();
    assert!(
        error.contains("a stress in eV/Å³ given as virial"),
        "{error}"
    );
}

#[test]
fn energies_per_atom_are_named() {
    let frames = all_changed(|frame| frame.energy = frame.energy.map(|e| e / frame.len() as f64));
    let error = judged(&frames).0.unwrap_err().to_string();
    assert!(
        error.contains("per atom instead of those of the cell"),
        "{error}"
    );
}

/// The forces of a nearly relaxed structure are those that a pair potential gets wrong, whatever their sign.
#[test]
fn small_forces_against_the_fit_are_no_gradients() {
    let mut frames = crystal(30);
    scale_forces(&mut frames[7], -0.01);
    let (refused, warnings, ..) = judged(&frames);
    assert!(refused.is_ok(), "{refused:?}");
    assert!(warnings.iter().all(|w| !w.contains("sign")), "{warnings:?}");
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
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/data/gnep_trace/train.xyz"
    );
    let frames = nepal::system::xyz::read_frames(path).unwrap();
    let mut elements: Vec<Element> = Vec::new();
    for e in frames.iter().flat_map(|f| &f.structure.elements) {
        if !elements.contains(e) {
            elements.push(*e);
        }
    }
    let mut warnings = Vec::new();
    prepare(
        &NepIn::new(elements).header(),
        &frames,
        "training",
        &mut warnings,
    )
    .unwrap();
    assert!(
        warnings.iter().all(|w| !w.contains("do not go")),
        "{warnings:?}"
    );
}

#[test]
fn virials_of_some_frames_in_another_unit_or_sign_are_named_by_frame() {
    for (factor, expected) in [
        (-1.0, "the virial or stress, with the wrong sign"),
        (160.2177, "a stress in GPa"),
        (1602.177, "a stress in kbar"),
        (1.0 / 32.0, "virials per atom"),
        (23.06, "virials in kcal/mol"),
    ] {
        for wrong in [&[3, 17, 22][..], &[1, 4, 7, 9, 12, 15, 18, 21, 24, 28]] {
            let mut frames = crystal(30);
            for &k in wrong {
                scale_virial(&mut frames[k], factor);
            }
            let error = judged(&frames).0.unwrap_err().to_string();
            let count = format!("{} training frame(s) with virials", wrong.len());
            assert!(error.contains(&count), "{factor}: {error}");
            assert!(error.contains(expected), "{factor}: {error}");
            let place = format!("frames {}, {}", wrong[0] + 1, wrong[1] + 1);
            assert!(error.contains(&place), "{error}");
            let samples = prepare_by(
                &header(),
                &frames,
                "training",
                BadData::Drop,
                &mut Vec::new(),
            );
            for sample in samples.unwrap() {
                assert_eq!(sample.virial.is_none(), wrong.contains(&sample.frame));
            }
        }
    }
}

#[test]
fn forces_of_some_frames_with_the_sign_of_a_gradient_are_named_by_frame() {
    let mut frames = crystal(30);
    for k in [2, 8, 20] {
        scale_forces(&mut frames[k], -1.0);
    }
    let error = judged(&frames).0.unwrap_err().to_string();
    assert!(error.contains("frames 3, 9, 21"), "{error}");
    assert!(error.contains("as gradients are"), "{error}");
}

#[test]
fn energies_and_forces_in_atomic_units_are_doubted_without_virials() {
    use std::io::Read;
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/data/pbte_nep_train/train.xyz.gz"
    );
    let mut text = String::new();
    let file = std::fs::File::open(path).unwrap();
    flate2::read::GzDecoder::new(file)
        .read_to_string(&mut text)
        .unwrap();
    let mut frames = nepal::system::xyz::FrameReader::new(text.as_bytes(), "train.xyz")
        .collect::<Result<Vec<_>>>()
        .unwrap();
    let elements = ["Te", "Pb"].map(|s| Element::from_symbol(s).unwrap());
    let header = NepIn::new(elements.to_vec()).header();
    let doubts = |frames: &[Frame]| {
        let mut warnings = Vec::new();
        prepare(&header, frames, "training", &mut warnings).unwrap();
        let doubts = warnings.iter().filter(|w| w.contains("hartree/bohr"));
        doubts.cloned().collect::<Vec<_>>()
    };
    assert_eq!(doubts(&frames), [""; 0]);
    for frame in &mut frames {
        frame.energy = frame.energy.map(|e| e / 27.2114);
        frame.virial = None;
        scale_forces(frame, 1.0 / 51.422);
    }
    let found = doubts(&frames);
    assert!(
        found.len() == 1 && found[0].contains("25 training"),
        "{found:?}"
    );
}

/// In alloys hardly two frames have one composition.
#[test]
fn energies_in_another_unit_are_found_among_frames_of_all_compositions() {
    let [si, ge, c] = ["Si", "Ge", "C"].map(|s| Element::from_symbol(s).unwrap());
    let header = NepIn::new(vec![si, ge, c]).header();
    let mut frames = crystal(40);
    for (k, frame) in frames.iter_mut().enumerate() {
        let n = frame.len();
        let (first, second) = (3 + (k * 11) % (n - 8), 1 + k % 5);
        for (i, element) in frame.structure.elements.iter_mut().enumerate() {
            *element = if i < first {
                ge
            } else if i < first + second {
                c
            } else {
                si
            };
        }
        // Per atom -4 eV of silicon, -6 of germanium, -9 of carbon.
        let shift = 2.0 * first as f64 + 5.0 * second as f64;
        frame.energy = frame.energy.map(|e| e - shift);
    }
    let told = |frames: &[Frame]| {
        let error = prepare(&header, frames, "training", &mut Vec::new()).err();
        error.map_or_else(String::new, |e| e.to_string())
    };
    assert_eq!(told(&frames), "");
    for k in [4, 11, 23, 30] {
        frames[k].energy = frames[k].energy.map(|e| e / 27.2114);
    }
    let error = told(&frames);
    assert!(
        error.contains("4 training frame(s) with energies"),
        "{error}"
    );
    assert!(
        error.contains("frames 5, 12, 24, 31") && error.contains("hartree"),
        "{error}"
    );
}
