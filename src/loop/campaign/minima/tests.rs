//! Planted wells, and what counts as one minimum.

use super::*;
use nepal::element::Element;
use nepal::system::Cell;

/// Two atoms on a line whose energy has wells at some distances, each as deep as it says.
struct Wells(Vec<(f64, f64)>);

impl Potential for Wells {
    fn energy_forces_virial(&mut self, s: &Structure) -> Result<(f64, Vec<[f64; 3]>, [f64; 9])> {
        let d = sub(s.positions[1], s.positions[0]);
        let r = norm(d);
        // A bowl holds what no well does; Gauss wells 0.2 Å wide in it.
        let (mut energy, mut slope) = (0.05 * (r - 2.0).powi(2), 0.1 * (r - 2.0));
        for (at, deep) in &self.0 {
            let x = (r - at) / 0.2;
            let g = deep * (-0.5 * x * x).exp();
            energy -= g;
            slope += g * x / 0.2;
        }
        let f = d.map(|x| -slope * x / r);
        Ok((energy, vec![f.map(|x| -x), f], [0.0; 9]))
    }
}

fn pair(r: f64) -> (String, Structure) {
    let element = Element::from_symbol("Ar").unwrap();
    let cell = Cell::orthorhombic([20.0; 3]).unwrap();
    let positions = vec![[9.0; 3], [9.0 + r, 9.0, 9.0]];
    let structure = Structure::new(cell, vec![element; 2], positions).unwrap();
    (format!("pair of {r} Å"), structure)
}

#[test]
fn minima_that_one_lacks_are_named() {
    // Both know the well at 2 Å; the model invents one at 3 Å and misses that at 1.2 Å.
    let mut model = Wells(vec![(2.0, 0.5), (3.0, 0.3)]);
    let mut reference = Wells(vec![(2.0, 0.5), (1.2, 0.2)]);
    let pool: Vec<_> = [1.15, 1.9, 2.1, 2.9, 3.1].map(pair).into();
    let settings = MinimaConfig::default();
    let (record, frames) = between(
        &pool,
        &settings,
        &mut model,
        &mut reference,
        &mut |_, _, _| false,
    )
    .unwrap();
    assert_eq!(record.model.len(), 2, "{record:?}");
    assert_eq!(record.reference.len(), 2, "{record:?}");
    let [invented] = record.hallucinated().collect::<Vec<_>>()[..] else {
        panic!("{record:?}");
    };
    let [missing] = record.missing().collect::<Vec<_>>()[..] else {
        panic!("{record:?}");
    };
    assert_eq!(
        (invented.from.as_str(), invented.count),
        ("pair of 2.9 Å", 2)
    );
    assert_eq!(
        (missing.from.as_str(), missing.count),
        ("pair of 1.15 Å", 1)
    );
    // 0.5 − 0.3 and a little of the bowl; the reference takes it to the ground.
    assert!((invented.energy - 0.25).abs() < 0.02 && invented.other.abs() < 0.01);
    assert!((missing.energy - 0.33).abs() < 0.02 && missing.moved > 0.3);
    assert_eq!(frames.len(), 4);
    assert_eq!(frames[missing.frame - 1].info["method"], "reference");
    // A model that is the reference has nothing to tell.
    let (record, _) = between(
        &pool,
        &settings,
        &mut Wells(reference.0.clone()),
        &mut reference,
        &mut |_, _, _| false,
    )
    .unwrap();
    assert_eq!(record.missing().count() + record.hallucinated().count(), 0);
    let stopped = between(
        &pool,
        &settings,
        &mut model,
        &mut reference,
        &mut |_, _, _| true,
    );
    assert!(stopped.is_err());
}

#[test]
fn equal_atoms_that_changed_places_are_one_minimum() {
    let (_, a) = pair(2.0);
    let mut b = a.clone();
    b.positions.swap(0, 1);
    for r in &mut b.positions {
        r[2] += 3.0;
    }
    let mut found = Vec::new();
    add(&mut found, "a", (a.clone(), -0.5));
    add(&mut found, "b", (b.clone(), -0.501));
    add(&mut found, "c", (b, -0.6));
    let counts: Vec<usize> = found.iter().map(|r| r.count).collect();
    assert_eq!(counts, [2, 1]);
    let mut drifted = a.clone();
    drifted.positions.iter_mut().for_each(|r| r[0] += 1.0);
    assert!(farthest(&a, &drifted) < 1e-12);
}
