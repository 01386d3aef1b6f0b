//! Free atoms, dimers and trimers in a periodic box: what no crystal teaches about short distances.

use super::random::generator;
use nepal::element::Element;
use nepal::error::{Error, Result};
use nepal::system::{Cell, Structure};
use rand::RngExt;

/// Distances of dimers, in units of the sum of the covalent radii.
const DIMER: [f64; 2] = [0.7, 2.2];
/// Distances of trimers, in the same units; shorter, so that a straight one needs no huge box.
const TRIMER: [f64; 2] = [0.7, 1.6];
/// Least space between a molecule and its image, Å.
const SPACE: f64 = 5.0;

/// One atom of each element in a cubic box of an edge (Å).
///
/// **Errors**: [`Error::InvalidArgument`] for a box that is not positive.
pub fn atoms(elements: &[Element], edge: f64) -> Result<Vec<Structure>> {
    elements
        .iter()
        .map(|&e| in_box(&[e], &[[0.0; 3]], edge))
        .collect()
}

/// Dimers of every pair of elements, `count` distances each, evenly from 0.7 to 2.2 of the sum of the
/// covalent radii.
///
/// **Errors**: [`Error::InvalidArgument`] if the box leaves less than 5 Å between a molecule and its image.
pub fn dimers(elements: &[Element], count: usize, edge: f64) -> Result<Vec<Structure>> {
    let mut out = Vec::new();
    for (k, &a) in elements.iter().enumerate() {
        for &b in &elements[k..] {
            let sum = a.covalent_radius() + b.covalent_radius();
            for n in 0..count {
                let part = if count > 1 {
                    n as f64 / (count - 1) as f64
                } else {
                    0.3
                };
                let d = sum * (DIMER[0] + part * (DIMER[1] - DIMER[0]));
                out.push(in_box(&[a, b], &[[0.0; 3], [d, 0.0, 0.0]], edge)?);
            }
        }
    }
    Ok(out)
}

/// Trimers of every three elements, `count` each, with random distances from 0.7 to 1.6 of the sum of the
/// covalent radii; the first atom is the middle one.
///
/// **Errors**: as [`dimers`].
pub fn trimers(elements: &[Element], count: usize, edge: f64, seed: u64) -> Result<Vec<Structure>> {
    let mut rng = generator(seed, 5);
    let mut out = Vec::new();
    for &middle in elements {
        for (k, &a) in elements.iter().enumerate() {
            for &b in &elements[k..] {
                for _ in 0..count {
                    let mut distance = |e: Element| -> f64 {
                        let sum = middle.covalent_radius() + e.covalent_radius();
                        sum * (TRIMER[0] + rng.random::<f64>() * (TRIMER[1] - TRIMER[0]))
                    };
                    let (ra, rb) = (distance(a), distance(b));
                    let least = TRIMER[0] * (a.covalent_radius() + b.covalent_radius());
                    // Angles that bring the outer two too close are drawn again; at π they never are.
                    let mut angle = std::f64::consts::PI;
                    for _ in 0..100 {
                        let drawn = rng.random::<f64>() * std::f64::consts::PI;
                        let apart = (ra * ra + rb * rb - 2.0 * ra * rb * drawn.cos()).sqrt();
                        if apart >= least {
                            angle = drawn;
                            break;
                        }
                    }
                    let end = [rb * angle.cos(), rb * angle.sin(), 0.0];
                    out.push(in_box(
                        &[middle, a, b],
                        &[[0.0; 3], [ra, 0.0, 0.0], end],
                        edge,
                    )?);
                }
            }
        }
    }
    Ok(out)
}

/// Edge (Å) of a box in which every dimer and trimer of some elements is farther than `cutoff` (Å) from
/// its image.
pub fn box_edge(elements: &[Element], cutoff: f64) -> f64 {
    let largest = elements
        .iter()
        .map(|e| e.covalent_radius())
        .fold(0.0, f64::max);
    let extent = 2.0 * largest * DIMER[1].max(2.0 * TRIMER[1]);
    (extent + cutoff.max(SPACE)).ceil()
}

/// Atoms around the middle of a box.
fn in_box(elements: &[Element], positions: &[[f64; 3]], edge: f64) -> Result<Structure> {
    let extent = (0..3)
        .map(|c| {
            let all = positions.iter().map(|r| r[c]);
            all.clone().fold(f64::MIN, f64::max) - all.fold(f64::MAX, f64::min)
        })
        .fold(0.0, f64::max);
    if !(edge >= extent + SPACE) {
        return Err(Error::invalid(format!(
            "a box of {edge} Å is too small for a molecule {extent:.2} Å long: give a larger lattice, at least the sum of that length and the model's cutoff"
        )));
    }
    let middle = |r: &[f64; 3]| r.map(|x| x + 0.5 * edge);
    Structure::new(
        Cell::orthorhombic([edge; 3])?,
        elements.to_vec(),
        positions.iter().map(middle).collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use nepal::system::cell::{norm, sub};

    #[test]
    fn every_pair_and_triple_is_there() {
        let elements = ["Na", "Cl"].map(|e| Element::from_symbol(e).unwrap());
        assert_eq!(atoms(&elements, 12.0).unwrap().len(), 2);
        let two = dimers(&elements, 4, 14.0).unwrap();
        assert_eq!(two.len(), 12);
        let sum = elements[0].covalent_radius() + elements[1].covalent_radius();
        let d = |s: &Structure| norm(sub(s.positions[1], s.positions[0]));
        assert!((d(&two[4]) - 0.7 * sum).abs() < 1e-12 && (d(&two[7]) - 2.2 * sum).abs() < 1e-12);
        let three = trimers(&elements, 2, box_edge(&elements, 5.0), 1).unwrap();
        // Two middle atoms, three pairs of outer ones, two of each.
        assert_eq!(three.len(), 12);
        for s in &three {
            for (i, j) in [(0, 1), (0, 2), (1, 2)] {
                let least =
                    0.7 * (s.elements[i].covalent_radius() + s.elements[j].covalent_radius());
                assert!(norm(sub(s.positions[i], s.positions[j])) > least - 1e-9);
            }
        }
        assert!(
            dimers(&elements, 2, 5.0)
                .unwrap_err()
                .to_string()
                .contains("lattice")
        );
    }
}
