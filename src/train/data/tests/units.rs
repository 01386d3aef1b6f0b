//! Labels in other units, or of the other sign.

use super::*;

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

#[test]
fn energies_per_atom_are_named() {
    let frames = all_changed(|frame| frame.energy = frame.energy.map(|e| e / frame.len() as f64));
    let error = judged(&frames).0.unwrap_err().to_string();
    assert!(
        error.contains("energies per atom instead of those of the cell"),
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

/// One frame whose stress is far beyond what the others let expect is near nothing in any unit that is large enough.
#[test]
fn a_lone_stress_beyond_all_others_is_of_no_other_unit() {
    let mut frames = crystal(30);
    frames[7].virial = Some([
        900.0, -300.0, 200.0, -300.0, -700.0, 450.0, 200.0, 450.0, 300.0,
    ]);
    let (refused, warnings, ..) = judged(&frames);
    assert!(refused.is_ok(), "{refused:?}");
    assert!(
        warnings.iter().all(|w| !w.contains("stress in")),
        "{warnings:?}"
    );
}
