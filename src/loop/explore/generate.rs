//! Structures to begin with: crystals, distorted crystals, random packings.

use super::prototypes::{self, Parameters};
use super::random::{gaussian_vector, generator};
use nepal::element::Element;
use nepal::error::{Error, Result};
use nepal::system::cell::{norm, sub};
use nepal::system::{Cell, Structure};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// A crystal of [`prototypes`] with lattice constant `a` (Å) and ideal parameters: the conventional cell, repeated.
///
/// **Errors**: as [`prototypes::crystal`].
pub fn crystal(
    prototype: &str,
    elements: &[Element],
    a: f64,
    repeat: [usize; 3],
) -> Result<Structure> {
    let given = Parameters {
        a,
        c_over_a: None,
        u: None,
    };
    prototypes::crystal(prototype, elements, &given, repeat)
}

/// Atoms at random in a cubic-like box of `repeat` cells of edge `a`, eight atoms a cell, none
/// closer than a distance that starts at 0.85 of the sum of covalent radii and gives way slowly.
///
/// **Errors**: [`Error::InvalidArgument`] without elements or a positive edge;
/// [`Error::Failed`] if the box is too small for its atoms.
pub fn packing(elements: &[Element], a: f64, repeat: [usize; 3], seed: u64) -> Result<Structure> {
    if elements.is_empty() {
        return Err(Error::invalid("a packing needs at least one element"));
    }
    let cell = Cell::orthorhombic(repeat.map(|n| n as f64 * a))?;
    let n_atoms = 8 * repeat.iter().product::<usize>();
    let mut rng = generator(seed, 1);
    let mut placed: Vec<(Element, [f64; 3])> = Vec::with_capacity(n_atoms);
    let mut share = 0.85;
    let mut misses = 0;
    while placed.len() < n_atoms {
        let element = elements[placed.len() % elements.len()];
        let r = cell.cartesian(std::array::from_fn(|_| rng.random()));
        let clash = placed.iter().any(|&(other, x)| {
            let least = share * (element.covalent_radius() + other.covalent_radius()) * 0.8;
            nearest_image(&cell, sub(x, r)) < least
        });
        if !clash {
            placed.push((element, r));
            misses = 0;
            continue;
        }
        misses += 1;
        if misses > 2000 {
            (share, misses) = (share * 0.97, 0);
        }
        if share < 0.5 {
            return Err(Error::Failed(format!(
                "cannot place {n_atoms} atoms at random with {a} Å per cell of eight; use a larger lattice"
            )));
        }
    }
    let (elements, positions) = placed.into_iter().unzip();
    Structure::new(cell, elements, positions)
}

/// Length of the shortest image of a vector in an orthorhombic cell.
fn nearest_image(cell: &Cell, v: [f64; 3]) -> f64 {
    let s = cell.fractional(v).map(|x| x - x.round());
    norm(cell.cartesian(s))
}

/// How a structure is distorted; see [`distort`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Distortion {
    /// Largest isotropic strain, drawn uniformly from both signs.
    pub volume_strain: f64,
    /// Largest component of a symmetric strain, drawn uniformly.
    pub strain: f64,
    /// Standard deviation of the displacements, Å.
    pub rattle: f64,
    /// Atoms removed.
    pub vacancies: usize,
}

/// A distorted copy: strained, with vacancies, then rattled.
///
/// **Errors**: [`Error::InvalidArgument`] if no atom would be left or the cell collapses.
pub fn distort(structure: &Structure, distortion: &Distortion, seed: u64) -> Result<Structure> {
    let mut rng = generator(seed, 2);
    let d = distortion;
    let isotropic = uniform(d.volume_strain, &mut rng);
    let mut strain = [[0.0; 3]; 3];
    for a in 0..3 {
        for b in a..3 {
            let e = uniform(d.strain, &mut rng);
            strain[a][b] = e;
            strain[b][a] = e;
        }
        strain[a][a] += isotropic;
    }
    let mut out = structure.strained(&strain)?;
    if d.vacancies >= out.len() {
        return Err(Error::invalid(format!(
            "cannot remove {} of {} atoms",
            d.vacancies,
            out.len()
        )));
    }
    for _ in 0..d.vacancies {
        let atom = rng.random_range(0..out.len());
        out.elements.remove(atom);
        out.positions.remove(atom);
    }
    if d.rattle > 0.0 {
        for r in &mut out.positions {
            let shift = gaussian_vector(&mut rng);
            for c in 0..3 {
                r[c] += d.rattle * shift[c];
            }
        }
    }
    Ok(out)
}

fn uniform(largest: f64, rng: &mut ChaCha8Rng) -> f64 {
    // A draw in any case, so that one setting does not shift the others' numbers.
    let x: f64 = rng.random();
    largest * (2.0 * x - 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nepal::system::NeighborList;

    fn element(symbol: &str) -> Element {
        Element::from_symbol(symbol).unwrap()
    }

    #[test]
    fn a_packing_keeps_atoms_apart_and_repeats_for_its_seed() {
        let make = |seed| packing(&[element("Si")], 5.43, [2; 3], seed).unwrap();
        let s = make(3);
        assert_eq!(s.len(), 64);
        assert_eq!(s, make(3));
        assert_ne!(s, make(4));
        let least = 0.5 * 0.8 * 2.0 * element("Si").covalent_radius();
        let list = NeighborList::build(&s.cell, &s.positions, least).unwrap();
        assert_eq!(list.entries(), 0);
        assert!(packing(&[element("Si")], 2.0, [2; 3], 1).is_err());
    }

    #[test]
    fn distortions_are_as_large_as_asked() {
        let s = crystal("diamond", &[element("Si")], 5.43, [3; 3]).unwrap();
        let rattled = distort(
            &s,
            &Distortion {
                rattle: 0.1,
                ..Distortion::default()
            },
            5,
        )
        .unwrap();
        let sum: f64 = rattled
            .positions
            .iter()
            .zip(&s.positions)
            .map(|(a, b)| norm(sub(*a, *b)).powi(2))
            .sum();
        let rms = (sum / (3 * s.len()) as f64).sqrt();
        assert!((rms - 0.1).abs() < 0.01, "{rms}");
        let fewer = distort(
            &s,
            &Distortion {
                vacancies: 2,
                volume_strain: 0.05,
                ..Distortion::default()
            },
            5,
        )
        .unwrap();
        assert_eq!(fewer.len(), s.len() - 2);
        let ratio = fewer.cell.volume() / s.cell.volume();
        assert!(ratio != 1.0 && (ratio.cbrt() - 1.0).abs() <= 0.05);
    }
}
