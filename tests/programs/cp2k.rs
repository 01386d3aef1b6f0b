//! The real CP2K, where it is installed.

use crate::labeller_in;
use nepal::{Cell, Element, Structure};
use nepal_loop::label::{LabelCache, LabelRunner, Limits, Verdict};
use std::path::Path;

const SODIUM: &str = r#"
kind = "cp2k"
template = "metal"
cutoff = 80
basis_files = ["BASIS_MOLOPT_UZH"]
potential_file = "POTENTIAL_UZH"
kinds.Na = { basis = "DZVP-MOLOPT-PBE-GTH-q1", potential = "GTH-PBE-q1" }
"#;

/// Real CP2K on two atoms: force and virial are derivatives of the energy, with our signs and units;
/// the handedness of the cell does not matter; an SCF cut short is put into quarantine.
#[test]
#[needs(Cp2k)]
fn real_labels_from_cp2k() {
    let folder = tempfile::tempdir().unwrap();
    let runner = |extra: &str| {
        let settings =
            format!("kpoints = [2, 2, 2]\neps_scf = 1e-8\nelectronic_temperature = 1500\n{extra}");
        let cache = LabelCache::open(folder.path().join("cache")).unwrap();
        let work = folder.path().join("work");
        LabelRunner::new(
            labeller_in(Path::new("."), &format!("{SODIUM}\n{settings}")).unwrap(),
            Limits::default(),
            cache,
            work,
        )
        .unwrap()
    };
    let good = runner("");
    let label = |structure: &Structure| match good.label(structure).unwrap().verdict {
        Verdict::Accepted(label) => label,
        Verdict::Rejected { reason, .. } => panic!("{reason}"),
    };
    let element = Element::from_symbol("Na").unwrap();
    let cell = Cell::new(
        [[4.2, 0.0, 0.0], [0.3, 4.1, 0.0], [0.0, 0.0, 4.3]],
        [true; 3],
    )
    .unwrap();
    let structure =
        Structure::new(cell, vec![element; 2], vec![[0.0; 3], [2.4, 2.0, 1.9]]).unwrap();
    let middle = label(&structure);
    let h = 0.02;
    let moved = |sign: f64| {
        let mut moved = structure.clone();
        moved.positions[1][0] += sign * h;
        label(&moved).energy
    };
    let (found, expected) = (middle.forces[1][0], -(moved(1.0) - moved(-1.0)) / (2.0 * h));
    assert!(found.abs() > 0.05, "{found}");
    assert!((found - expected).abs() < 2e-3, "{found} {expected}");
    let strained = |sign: f64| {
        let mut strain = [[0.0; 3]; 3];
        strain[2][2] = sign * h;
        label(&structure.strained(&strain).unwrap()).energy
    };
    let virial = middle.virial.unwrap();
    let (found, expected) = (virial[8], -(strained(1.0) - strained(-1.0)) / (2.0 * h));
    assert!(found.abs() > 0.1, "{found}");
    assert!((found - expected).abs() < 0.03, "{found} {expected}");

    let v = structure.cell.vectors();
    let mut left_handed = structure.clone();
    left_handed.cell = Cell::new([v[1], v[0], v[2]], [true; 3]).unwrap();
    let mirrored = label(&left_handed);
    assert!((mirrored.energy - middle.energy).abs() < 1e-5);
    assert!((mirrored.virial.unwrap()[1] - virial[1]).abs() < 1e-3);

    assert!(good.label(&structure).unwrap().cached);
    // Too few steps: the ladder has more of them, and the same ground state.
    let rescued = runner("max_scf = 6").label(&structure).unwrap();
    let Verdict::Accepted(rescued) = rescued.verdict else {
        panic!("{:?}", rescued.verdict)
    };
    assert!(
        rescued.info["rung"].contains("max_scf = "),
        "{:?}",
        rescued.info
    );
    assert!(
        (rescued.energy - middle.energy).abs() < 1e-4,
        "{}",
        rescued.energy - middle.energy
    );
    let outcome = runner("max_scf = 3\nladder = []")
        .label(&structure)
        .unwrap();
    assert!(!outcome.cached, "other settings, another key");
    let Verdict::Rejected { reason, kept, .. } = outcome.verdict else {
        panic!("accepted without convergence")
    };
    assert!(reason.contains("did not converge"), "{reason}");
    assert!(kept.unwrap().join("label.out").exists());
}
