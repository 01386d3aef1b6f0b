//! The real LAMMPS as a labeller.

use crate::labeller_in;
use crate::support::needs;
use nepal::{Cell, Element, Structure};
use nepal_loop::label::{Labeller, StillingerWeber, Verdict};
use std::path::Path;
use std::sync::Arc;

/// LAMMPS's Stillinger-Weber format, the silicon parameters of the 1985 paper, as our own teacher has.
const SILICON: &str =
    "Si Si Si 2.1683 2.0951 1.80 21.0 1.20 -0.333333333333 7.049556277 0.6022245584 4.0 0.0 0.0\n";

/// Its labels of silicon.
fn lammps(folder: &Path, more: &str) -> Arc<dyn Labeller> {
    let program = needs::lammps().unwrap().environment.join("bin/lmp");
    let text = format!(
        "kind = \"lammps\"\ncommand = \"{}\"\nelements = [\"Si\"]\n{more}",
        program.display()
    );
    labeller_in(folder, &text).unwrap()
}

/// Diamond, displaced, in a cell with the given vectors for its cubic ones.
fn silicon(vectors: [[f64; 3]; 3]) -> Structure {
    let cell = Cell::new(vectors, [true; 3]).unwrap();
    let sites = [[0.0; 3], [0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]];
    let positions = sites
        .iter()
        .flat_map(|s| [*s, s.map(|x| x + 0.25)])
        .enumerate()
        .map(|(i, s)| {
            let r = cell.cartesian(s);
            std::array::from_fn(|d| r[d] + 0.15 * (2.3 * i as f64 + 1.1 * d as f64).sin())
        })
        .collect();
    Structure::new(
        cell,
        vec![Element::from_symbol("Si").unwrap(); 8],
        positions,
    )
    .unwrap()
}

#[test]
#[needs(Lammps)]
fn lammps_and_our_own_teacher_agree_in_any_cell() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("Si.sw"), SILICON).unwrap();
    let lammps = lammps(
        folder.path(),
        "files = [\"Si.sw\"]\ncommands = [\"pair_style sw\", \"pair_coeff * * Si.sw Si\"]",
    );
    let cells = [
        [[5.5, 0.0, 0.0], [0.0, 5.4, 0.0], [0.0, 0.0, 5.6]],
        // Rotated and skewed.
        [[3.1, 4.4, 0.3], [-4.2, 3.3, 0.9], [0.4, -0.7, 5.7]],
        // Left-handed.
        [[0.2, 5.4, 0.0], [5.5, 0.1, 0.3], [0.4, 0.0, 5.3]],
    ];
    for vectors in cells {
        let structure = silicon(vectors);
        let work = tempfile::tempdir().unwrap();
        let verdict = lammps.label(&structure, work.path()).unwrap();
        let Verdict::Accepted(found) = verdict else {
            panic!("{verdict:?}")
        };
        let Verdict::Accepted(wanted) = StillingerWeber.label(&structure, work.path()).unwrap()
        else {
            panic!("rejected")
        };
        assert!(
            (found.energy - wanted.energy).abs() < 1e-6,
            "{} {}",
            found.energy,
            wanted.energy
        );
        for (f, w) in found.forces.iter().zip(&wanted.forces) {
            assert!((0..3).all(|d| (f[d] - w[d]).abs() < 1e-6), "{f:?} {w:?}");
        }
        for (f, w) in found.virial.unwrap().iter().zip(wanted.virial.unwrap()) {
            assert!((f - w).abs() < 1e-5, "{f} {w}");
        }
    }
}

#[test]
#[needs(Lammps)]
fn what_lammps_refuses_is_told_with_its_words() {
    let folder = tempfile::tempdir().unwrap();
    let lammps = lammps(folder.path(), "commands = [\"pair_style no/such\"]");
    let cube = [[5.5, 0.0, 0.0], [0.0, 5.5, 0.0], [0.0, 0.0, 5.5]];
    let Verdict::Rejected { reason, .. } = lammps.label(&silicon(cube), folder.path()).unwrap()
    else {
        panic!("accepted")
    };
    assert!(reason.contains("no/such"), "{reason}");
    let mut alloy = silicon(cube);
    alloy.elements[3] = Element::from_symbol("C").unwrap();
    let error = lammps.label(&alloy, folder.path()).unwrap_err().to_string();
    assert!(error.contains("no atom type for C"), "{error}");
}
