//! Calculators of ASE as labellers.

use crate::labeller_in;
use crate::support::needs;
use nepal::{Cell, Element, Structure};
use nepal_loop::label::{Labeller, Verdict};
use std::path::Path;
use std::sync::Arc;

fn ase(text: &str) -> nepal::Result<Arc<dyn Labeller>> {
    let python = needs::python().unwrap().display();
    labeller_in(
        Path::new("."),
        &format!("kind = \"ase\"\npython = \"{python}\"\n{text}"),
    )
}

fn argon() -> Structure {
    let element = Element::from_symbol("Ar").unwrap();
    let cell = Cell::orthorhombic([12.0, 13.0, 14.0]).unwrap();
    Structure::new(cell, vec![element; 2], vec![[0.0; 3], [3.0, 1.0, 1.5]]).unwrap()
}

#[test]
#[needs(Python)]
fn a_calculator_labels_with_our_signs() {
    let (sigma, epsilon) = (3.4, 0.0103);
    let text = format!(
        "calculator = \"ase.calculators.lj:LennardJones\"\n\
         arguments = {{ sigma = {sigma}, epsilon = {epsilon}, rc = 5.5, smooth = false }}"
    );
    let ase = ase(&text).unwrap();
    assert!(
        ase.settings().starts_with("versions ase "),
        "{}",
        ase.settings()
    );
    // The text of the worker is no part of what identifies a label.
    let settings = ase.settings();
    assert!(
        settings.contains("worker 1") && !settings.contains("import"),
        "{settings}"
    );
    let work = tempfile::tempdir().unwrap();
    let Verdict::Accepted(label) = ase.label(&argon(), work.path()).unwrap() else {
        panic!("rejected")
    };
    let d = [3.0, 1.0, 1.5_f64];
    let r2 = d.iter().map(|x| x * x).sum::<f64>();
    let c6 = (sigma * sigma / r2).powi(3);
    let shift = (sigma / 5.5_f64).powi(6);
    let energy = 4.0 * epsilon * (c6 * c6 - c6 - shift * shift + shift);
    assert!((label.energy - energy).abs() < 1e-12, "{}", label.energy);
    // The force on atom 1 along d, and the virial d ⊗ f.
    let slope = 24.0 * epsilon * (2.0 * c6 * c6 - c6) / r2;
    let virial = label.virial.unwrap();
    for a in 0..3 {
        assert!((label.forces[1][a] - slope * d[a]).abs() < 1e-12);
        for b in 0..3 {
            assert!((virial[3 * a + b] - slope * d[a] * d[b]).abs() < 1e-12);
        }
    }
}

#[test]
#[needs(Python)]
fn what_fails_in_python_is_told() {
    let make = |calculator: &str, arguments: &str| {
        let text = format!("calculator = \"{calculator}\"\narguments = {{ {arguments} }}");
        ase(&text)
    };
    let message = |calculator: &str| make(calculator, "").err().unwrap().to_string();
    assert!(message("no_such_module:Thing").contains("no_such_module"));
    assert!(message("ase").contains("module:Class"));
    // ASE's EMT knows a few metals, and no argon.
    let emt = make("ase.calculators.emt:EMT", "").unwrap();
    let work = tempfile::tempdir().unwrap();
    let Verdict::Rejected { reason, .. } = emt.label(&argon(), work.path()).unwrap() else {
        panic!("accepted")
    };
    assert!(reason.contains("Ar"), "{reason}");
}
