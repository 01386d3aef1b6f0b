//! Crystals of silicon by the model's own labels.

use super::*;
use crate::explore::testing;

#[test]
fn a_method_against_itself_has_no_deviations_and_gaps_are_told() {
    let (mut model, crystal) = testing::silicon();
    let settings = PropertiesConfig {
        phonons: Some([1; 3]),
        ..PropertiesConfig::default()
    };
    assert_eq!(settings.count(&crystal).unwrap(), [7, 4, 1]);
    let rest = relax_cell(&mut model, &crystal, REST.0, REST.1).unwrap();
    let (one, cells) = Planned::new(&settings, "silicon".into(), &rest, &mut model).unwrap();
    assert_eq!(cells.len(), one.len());
    let mut frames: Vec<Frame> = (cells.into_iter().enumerate())
        .map(|(k, s)| {
            let (energy, forces, virial) = model.energy_forces_virial(&s).unwrap();
            let mut frame = Frame::new(s);
            (frame.energy, frame.forces) = (Some(energy), Some(forces));
            frame.virial = Some(virial);
            frame.info.insert(KEYS[0].into(), "0".into());
            frame.info.insert(KEYS[1].into(), k.to_string());
            frame
        })
        .collect();
    let planned = [one];
    let compared = |frames: &[Frame], model: &mut dyn Potential| {
        compare(&settings, &planned, frames, model)
            .unwrap()
            .swap_remove(0)
    };
    let record = compared(&frames, &mut model);
    let names: Vec<&str> = record.properties.iter().map(|p| p.name.as_str()).collect();
    let expected = [
        "volume",
        "energy",
        "bulk modulus, E(V)",
        "C11",
        "C12",
        "C44",
        "highest frequency",
    ];
    assert_eq!(names, expected);
    for p in &record.properties {
        assert!((p.model / p.reference - 1.0).abs() < 1e-6, "{p:?}");
    }
    assert!(record.notes.is_empty() && record.frequency_rmse().unwrap() < 1e-3);
    let value = |name: &str| {
        let of = |p: &&Property| p.name == name;
        record.properties.iter().find(of).unwrap().reference
    };
    // Two ways to the bulk modulus.
    let bulk = (value("C11") + 2.0 * value("C12")) / 3.0;
    assert!(
        (bulk / value("bulk modulus, E(V)") - 1.0).abs() < 0.03,
        "{bulk} {record:?}"
    );
    // What a method did not give is told, and takes nothing else with it.
    frames[8].virial = None;
    frames.pop();
    let record = compared(&frames, &mut model);
    let names: Vec<&str> = record.properties.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(names, expected[..3]);
    assert_eq!(record.notes.len(), 3, "{:?}", record.notes);
    assert!(record.notes[0].contains("virials") && record.notes[1].contains("rejected"));
}
