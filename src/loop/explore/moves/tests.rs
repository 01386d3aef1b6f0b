use super::*;
use crate::explore::dynamics::{Ensemble, MdOptions};
use crate::explore::testing::{Levels, argon_grid};
use nepal::element::Element;

const TEMPERATURE: f64 = 300.0;

fn md(potential: &mut dyn Potential, start: &Structure, pressure: f64) -> Md {
    let options = MdOptions {
        ensemble: Ensemble::langevin(1.0),
        temperature: (TEMPERATURE, TEMPERATURE),
        pressure: (pressure, pressure),
        timestep: 0.001,
        steps: 1000,
        seed: 3,
    };
    Md::new(potential, start, &options).unwrap()
}

/// V^N exp(-PV/kT): mean (N+1) kT/P, variance (N+1) (kT/P)²; whether the shape changes or not, and few atoms, so
/// that the Jacobian counts. Of a gas any shape is as good: an energy that knows the shape alone, whatever the
/// volume, keeps it near a cube.
#[test]
fn volumes_of_the_ideal_gas() {
    let pressure = 0.05;
    let unit = BOLTZMANN * TEMPERATURE / (pressure / EV_PER_A3_IN_GPA);
    let mut gas = Levels(|s: &Structure| {
        let square: f64 = s.cell.vectors().iter().flatten().map(|x| x * x).sum();
        0.2 * (square / s.cell.volume().powf(2.0 / 3.0) - 3.0)
    });
    for (volume, cell) in [(1, 0), (0, 1)] {
        let options = Moves {
            volume,
            cell,
            strain: Some(0.15),
            ..Moves::default()
        };
        let mut mover = Mover::new(options, 5);
        let start = argon_grid(2, (9.0 * unit / 8.0).cbrt());
        let mut md = md(&mut gas, &start, pressure);
        let (mut sum, mut square, tries) = (0.0, 0.0, 100_000);
        for _ in 0..tries {
            mover.attempt(&mut md, &mut gas).unwrap();
            let v = md.state().structure.cell.volume() / unit;
            sum += v;
            square += v * v;
        }
        let mean = sum / f64::from(tries);
        let variance = square / f64::from(tries) - mean * mean;
        // Some twenty trials to a new volume: a standard error below 0.06.
        assert!((mean - 9.0).abs() < 0.25, "{volume} {cell}: {mean}");
        assert!((variance - 9.0).abs() < 1.2, "{volume} {cell}: {variance}");
        let notes: Vec<_> = mover.notes().collect();
        let fair = notes.len() == 1 && notes[0].1 > 0.2 && notes[0].1 < 0.95;
        assert!(fair, "{notes:?}");
    }
}

/// A heavy and a light atom in two places, one of which costs the heavy one something; velocities go along, and
/// are drawn anew each time: places follow Boltzmann, and so do velocities, whatever the masses.
#[test]
fn swaps_follow_boltzmann() {
    let cost = 0.03;
    let heavy = Element::from_symbol("Xe").unwrap();
    let mut start = argon_grid(2, 5.0);
    (start.elements, start.positions) = (
        vec![heavy, start.elements[0]],
        vec![[0.0; 3], [5.0, 5.0, 5.0]],
    );
    let mut levels = Levels(|s: &Structure| if s.positions[0][0] > 1.0 { cost } else { 0.0 });
    let options = Moves {
        swaps: 1,
        ..Moves::default()
    };
    options.check(&start).unwrap();
    let mut mover = Mover::new(options, 5);
    let mut md = md(&mut levels, &start, 0.0);
    let (mut high, mut kinetic, tries) = (0, 0.0, 40_000);
    for _ in 0..tries {
        md.draw_velocities();
        mover.attempt(&mut md, &mut levels).unwrap();
        high += i32::from(md.state().structure.positions[0][0] > 1.0);
        let [v, m] = [md.state().velocities[0], [md.state().masses()[0]; 3]];
        kinetic += v.iter().zip(m).map(|(v, m)| 0.5 * m * v * v).sum::<f64>();
    }
    let kt = BOLTZMANN * TEMPERATURE;
    let factor = (-cost / kt).exp();
    let found = f64::from(high) / f64::from(tries);
    let expected = factor / (1.0 + factor);
    assert!((found - expected).abs() < 0.012, "{found} {expected}");
    let mean = kinetic / f64::from(tries) / (1.5 * kt);
    assert!((mean - 1.0).abs() < 0.02, "{mean}");
}

#[test]
fn what_makes_no_sense_is_refused() {
    let refused = |moves: Moves| moves.validate().unwrap_err().to_string();
    assert!(refused(Moves::default()).contains("at least one of"));
    let swaps = Moves {
        swaps: 1,
        ..Moves::default()
    };
    assert!(refused(Moves { every: 0, ..swaps }).contains("every"));
    let strain = Some(0.5);
    assert!(refused(Moves { strain, ..swaps }).contains("strain is 0.5"));
    let error = "swaps=1,often=2".parse::<Moves>().unwrap_err();
    assert!(error.to_string().contains("unknown field"), "{error}");
    assert_eq!("swaps=1".parse::<Moves>().unwrap(), swaps);
    let mut gas = argon_grid(2, 5.0);
    let error = swaps.check(&gas).unwrap_err().to_string();
    assert!(error.contains("Ar alone"), "{error}");
    gas.cell = nepal::Cell::isolated();
    let volume = Moves {
        swaps: 0,
        cell: 1,
        ..swaps
    };
    assert!(
        volume
            .check(&gas)
            .unwrap_err()
            .to_string()
            .contains("three periodic")
    );
}
