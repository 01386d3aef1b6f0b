//! DFT-D3 against simple-dftd3, NEP_CPU and finite differences.

use crate::support::close::{assert_close, assert_rows_close};
use crate::support::{calculator, gas, model, read_text};
use nepal::backend::{System, d3};
use nepal::nep::d3::D3;
use nepal::system::NeighborList;
use nepal::{BackendKind, Cell, Element, Error, Evaluation, Potential, Request, Structure};
use serde_json::Value;

const WANTED: Request = Request::FORCES
    .union(Request::VIRIAL)
    .union(Request::VIRIALS);

/// The tables of the paper have eight digits, which the eighth power of the damping radius magnifies.
const TOLERANCE: f64 = 1e-7;

fn rows<const N: usize>(value: &Value) -> Vec<[f64; N]> {
    let row = |row: &Value| std::array::from_fn(|a| row[a].as_f64().expect("a number"));
    value.as_array().expect("rows").iter().map(row).collect()
}

/// A frame of a `ref.json`.
fn structure(frame: &Value) -> Structure {
    let cell = rows::<3>(&frame["cell"]);
    let symbols = frame["symbols"].as_array().expect("symbols");
    let element = |s: &Value| Element::from_symbol(s.as_str().expect("a symbol")).expect("known");
    Structure::new(
        Cell::new([cell[0], cell[1], cell[2]], [true; 3]).expect("a cell"),
        symbols.iter().map(element).collect(),
        rows(&frame["positions"]),
    )
    .expect("a structure")
}

fn evaluate(correction: &D3, structure: &Structure) -> Evaluation {
    let mut elements = structure.elements.clone();
    elements.sort_unstable_by_key(|e| e.number());
    elements.dedup();
    let types: Vec<u32> = (structure.elements.iter())
        .map(|e| elements.iter().position(|x| x == e).expect("known") as u32)
        .collect();
    let list = NeighborList::build(&structure.cell, &structure.positions, correction.reach());
    let system = System {
        cell: &structure.cell,
        positions: &structure.positions,
        types: &types,
        neighbors: &list.expect("a list"),
        whole: None,
    };
    let mut out = Evaluation::default();
    d3::evaluate(correction, &elements, &system, WANTED, &mut out).expect("D3");
    out
}

#[test]
fn d3_is_that_of_simple_dftd3() {
    let data: Value = serde_json::from_str(&read_text("dftd3/ref.json")).expect("JSON");
    for frame in data["frames"].as_array().expect("frames") {
        let number = |name: &str| frame[name].as_f64().expect("a number");
        let name = frame["functional"].as_str().expect("a name");
        let cutoffs = [number("cutoff"), number("coordination_cutoff")];
        let correction = D3::new(name, cutoffs[0], cutoffs[1]).expect("known");
        let found = evaluate(&correction, &structure(frame));
        assert_close("energy", &[found.energy], &[number("energy")], TOLERANCE);
        let forces = rows(&frame["forces"]);
        assert_rows_close("forces", &found.forces, &forces, TOLERANCE);
        let virial: Vec<f64> = serde_json::from_value(frame["virial"].clone()).expect("numbers");
        assert_close("virial", &found.virial, &virial, TOLERANCE);
        let total: [f64; 9] = std::array::from_fn(|c| found.virials.iter().map(|w| w[c]).sum());
        assert_close("sum of virials", &total, &found.virial, 1e-11);
    }
}

#[test]
fn d3_is_that_of_nep_cpu() {
    let folder = "c_2022_nep3_dftd3";
    let data: Value =
        serde_json::from_str(&read_text(&format!("{folder}/ref.json"))).expect("JSON");
    let correction = D3::new("pbe", 10.0, 6.0).expect("known");
    for frame in data["frames"].as_array().expect("frames") {
        let (structure, expected) = (structure(frame), &frame["dftd3_pbe_10_6"]);
        let found = evaluate(&correction, &structure);
        // NEP_CPU has fewer digits of the bohr and the hartree.
        let energies: Vec<f64> =
            serde_json::from_value(expected["energies"].clone()).expect("numbers");
        assert_close("energies", &found.energies, &energies, 1e-6);
        assert_rows_close("forces", &found.forces, &rows(&expected["forces"]), 1e-5);
        // A calculator adds it to the model, on every backend.
        for kind in [BackendKind::Reference, BackendKind::Cpu] {
            let mut calculator = calculator(&model(folder), kind);
            let plain = calculator
                .compute(&structure, WANTED)
                .expect("the model")
                .clone();
            calculator
                .set_dispersion(Some(correction.clone()))
                .expect("carbon");
            let both = calculator.compute(&structure, WANTED).expect("both");
            let sum = |a: &[f64], b: &[f64]| -> Vec<f64> {
                a.iter().zip(b).map(|(a, b)| a + b).collect()
            };
            let pairs: [(&str, &[f64], &[f64], &[f64]); 4] = [
                ("energies", &both.energies, &plain.energies, &found.energies),
                (
                    "forces",
                    both.forces.as_flattened(),
                    plain.forces.as_flattened(),
                    found.forces.as_flattened(),
                ),
                ("virial", &both.virial, &plain.virial, &found.virial),
                (
                    "virials",
                    both.virials.as_flattened(),
                    plain.virials.as_flattened(),
                    found.virials.as_flattened(),
                ),
            ];
            for (what, both, plain, more) in pairs {
                assert_close(what, both, &sum(plain, more), 1e-11);
            }
        }
    }
}

#[test]
fn d3_forces_are_the_slope_of_the_energy() {
    let model = model("pbte_nep_train");
    let structure = gas::rattled(model.elements(), [2, 2, 2], 3.1, [true, true, false]);
    let mut calculator = calculator(&model, BackendKind::Cpu);
    calculator
        .set_dispersion(Some("pbe 9 7".parse().expect("D3")))
        .expect("lead");
    let (_, forces, _) = calculator.energy_forces_virial(&structure).expect("energy");
    let step = 1e-4;
    for (atom, axis) in [(0, 0), (3, 1), (7, 2)] {
        let mut at = |shift: f64| {
            let mut moved = structure.clone();
            moved.positions[atom][axis] += shift;
            calculator.energy_forces_virial(&moved).expect("energy").0
        };
        let slope = -(at(step) - at(-step)) / (2.0 * step);
        assert_close("force", &[forces[atom][axis]], &[slope], 1e-5);
    }
}

#[test]
fn d3_is_refused_where_it_has_no_place() {
    let correction = || Some("pbe,12,6".parse::<D3>().expect("D3"));
    let refused = calculator(&model("water_dipole_nep4"), BackendKind::Cpu)
        .set_dispersion(correction())
        .unwrap_err();
    assert!(matches!(refused, Error::Unsupported(_)), "{refused}");
}
