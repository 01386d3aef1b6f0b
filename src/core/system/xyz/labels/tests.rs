use super::*;
use crate::system::xyz::FrameReader;

fn frames(comment: &str, forces: &str, rows: &str) -> Vec<Frame> {
    let text = format!(
        "2\nLattice=\"4 0 0 0 4 0 0 0 4\" Properties=species:S:1:pos:R:3{forces} {comment}\nSi 0 0 0 {rows}\nSi 2 2 2 {rows}\n"
    );
    FrameReader::new(text.as_bytes(), "in.xyz")
        .collect::<Result<_>>()
        .unwrap()
}

fn resolved(comment: &str, forces: &str, rows: &str) -> (Frame, Told) {
    let mut found = frames(comment, forces, rows);
    let told = resolve(&mut found, &LabelKeys::default()).unwrap();
    (found.swap_remove(0), told)
}

#[test]
fn labels_under_names_without_doubt_are_used() {
    for (energy, forces) in [
        ("REF_energy", "REF_forces"),
        ("dft_energy", "dft_force"),
        ("free_energy", "forces"),
        ("total_energy", "force"),
        ("energy_qm", "DFT-forces"),
    ] {
        let (frame, told) = resolved(
            &format!("{energy}=-3.5 virials=\"1 2 3 2 5 6 3 6 9\""),
            &format!(":{forces}:R:3"),
            "1 2 3",
        );
        assert_eq!(frame.energy, Some(-3.5), "{energy}");
        assert_eq!(frame.forces.unwrap()[1], [1.0, 2.0, 3.0], "{forces}");
        assert_eq!(frame.virial.unwrap()[4], 5.0);
        assert!(told.doubts.is_empty(), "{told:?}");
        assert!(frame.info.is_empty() && frame.columns.is_empty());
    }
    let (frame, _) = resolved("REF_stress=\"1 2 3 4 5 6\"", "", "");
    assert_eq!(frame.virial.unwrap()[..2], [-64.0, -384.0]);
}

#[test]
fn what_only_looks_like_a_label_is_named() {
    for (comment, name) in [
        ("mace_energy=-3", "mace_energy"),
        ("E0=-3", "E0"),
        ("REF_energy=-3 dft_energy=-4", "REF_energy"),
        ("formation_energy=-1", "formation_energy"),
        ("TotEnergy=-1", "TotEnergy"),
        ("e_tot=-1", "e_tot"),
        ("energy0=-1", "energy0"),
    ] {
        let (frame, told) = resolved(comment, "", "");
        assert_eq!(frame.energy, None, "{comment}");
        assert!(told.doubts[0].contains(name), "{told:?}");
        assert!(told.doubts[0].contains("--energy-key"), "{told:?}");
    }
    for name in ["dft_f", "atomic_forces", "energy_gradient", "myforces"] {
        let (frame, told) = resolved("energy=-3", &format!(":{name}:R:3"), "1 2 3");
        assert!(frame.forces.is_none(), "{name}");
        assert!(told.doubts[0].contains(name), "{told:?}");
    }
    for name in ["vir", "pressure"] {
        let (frame, told) = resolved(&format!("{name}=\"1 2 3 2 5 6 3 6 9\""), "", "");
        assert!(frame.virial.is_none(), "{name}");
        assert!(told.doubts[0].contains(name), "{told:?}");
    }
    let (frame, told) = resolved("energy=-3", ":f:R:3", "1 2 3");
    assert!(frame.forces.is_none() && told.doubts[0].contains("f (1 frames)"));
    let (_, told) = resolved(
        "energy=-3 E0=-3.1 energy_cutoff=400 energy_weight=2",
        "",
        "",
    );
    assert_eq!(told, Told::default());
}

#[test]
fn keys_beside_the_usual_ones_are_told_if_they_differ() {
    let (frame, told) = resolved("energy=0.0 REF_energy=-3.5", "", "");
    assert_eq!(frame.energy, Some(0.0));
    assert!(told.doubts[0].contains("is 0 in all 1") && told.doubts[0].contains("REF_energy"));
    let (_, told) = resolved("energy=-3.5 free_energy=-3.6", "", "");
    assert!(told.doubts[0].contains("50.0 meV/atom"), "{told:?}");
    let (_, told) = resolved("energy=-3.5 dft_energy=-2", "", "");
    assert!(told.doubts[0].contains("dft_energy (1 frames)"), "{told:?}");
    let (_, told) = resolved(
        "energy=-3.5 free_energy=-3.5 dft_energy=-3.50000001",
        "",
        "",
    );
    assert_eq!(told, Told::default());
    let (frame, told) = resolved("energy=1", ":forces:R:3:force:R:3", "0 0 0 1 2 3");
    assert_eq!(frame.forces.unwrap()[0], [0.0; 3]);
    assert!(told.doubts[0].contains("forces is 0"), "{told:?}");
}

#[test]
fn named_keys_are_read_and_no_others() {
    let mut some = frames(
        "energy=0 mace_energy=-3.5 stress=\"1 0 0 0 0 0\"",
        ":f:R:3",
        "1 2 3",
    );
    let keys = LabelKeys {
        energy: Some("mace_energy".into()),
        forces: Some("f".into()),
        ..LabelKeys::default()
    };
    let told = resolve(&mut some, &keys).unwrap();
    assert_eq!(told, Told::default());
    assert_eq!(
        (some[0].energy, some[0].forces.as_ref().unwrap()[0]),
        (Some(-3.5), [1.0, 2.0, 3.0])
    );
    let keys = LabelKeys {
        energy: Some("nothing".into()),
        ..LabelKeys::default()
    };
    let error = resolve(&mut frames("dft_energy=1", "", ""), &keys).unwrap_err();
    assert!(error.to_string().contains("dft_energy"), "{error}");
}

#[test]
fn a_stress_without_a_volume_is_told() {
    let text = "1\nstress=\"1 2 3 4 5 6\" energy=1\nSi 0 0 0\n";
    let mut some: Vec<Frame> = FrameReader::new(text.as_bytes(), "in.xyz")
        .collect::<Result<_>>()
        .unwrap();
    let told = resolve(&mut some, &LabelKeys::default()).unwrap();
    assert!(some[0].virial.is_none());
    assert!(told.doubts[0].contains("no Lattice"), "{told:?}");
}
