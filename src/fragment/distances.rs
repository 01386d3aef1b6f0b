//! Smallest pair distances: what counts as a clash.

use crate::element::Element;
use crate::error::Result;
use crate::system::cell::norm;
use crate::system::{NeighborList, Structure};
use std::collections::BTreeMap;

/// Share of the sum of covalent radii ([`Element::covalent_radius`]) below which no bond is
/// expected: 0.82 Å for O–H, 1.8 Å for Si–Si.
const COVALENT_SHARE: f64 = 0.65;
/// A pair seen in the parent may come this much closer than it was seen,
const SEEN_SHARE: f64 = 0.95;
/// but no pair needs more than this share of the covalent radii: like ions keep far apart in a
/// crystal without clashing when they are closer.
const ENOUGH_SHARE: f64 = 0.85;
/// Farther pairs say nothing about contact, Å.
const REACH: f64 = 5.0;

/// Smallest distance of each unordered pair of elements, Å.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PairDistances {
    table: BTreeMap<(Element, Element), f64>,
}

impl PairDistances {
    /// The distance of a pair in Å, if the table has it.
    pub fn get(&self, a: Element, b: Element) -> Option<f64> {
        self.table.get(&(a.min(b), a.max(b))).copied()
    }

    /// Sets the distance of a pair, Å.
    pub fn set(&mut self, a: Element, b: Element, distance: f64) {
        self.table.insert((a.min(b), a.max(b)), distance);
    }

    /// Keeps the smaller of the distance in the table and this one.
    pub fn observe(&mut self, a: Element, b: Element, distance: f64) {
        let entry = self
            .table
            .entry((a.min(b), a.max(b)))
            .or_insert(f64::INFINITY);
        *entry = entry.min(distance);
    }

    /// True without a pair.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// All pairs with their distances in Å.
    pub fn iter(&self) -> impl Iterator<Item = ((Element, Element), f64)> + '_ {
        self.table.iter().map(|(&pair, &distance)| (pair, distance))
    }
}

/// The smallest distance of each pair of elements in training data, periodic images included;
/// pairs never closer than 5 Å are left out.
///
/// **Units**: Å. **Errors**: [`crate::Error::InvalidArgument`] for a structure with coordinates
/// that are not finite.
pub fn minimum_distances<'a>(
    structures: impl IntoIterator<Item = &'a Structure>,
) -> Result<PairDistances> {
    let mut table = PairDistances::default();
    for structure in structures {
        structure.validate()?;
        let list = NeighborList::build(&structure.cell, &structure.positions, REACH)?;
        for i in 0..structure.len() {
            for (j, r) in list.vectors(i, &structure.cell, &structure.positions) {
                table.observe(structure.elements[i], structure.elements[j], norm(r));
            }
        }
    }
    Ok(table)
}

/// Smallest distances by pair of types of a model, or of any list of elements: what counts as a clash.
#[derive(Clone, Debug)]
pub struct Contacts {
    n_types: usize,
    distance: Vec<f64>,
}

impl Contacts {
    /// Distances from a caller's table; pairs that it lacks from `seen` (the parent's) but not
    /// below, and without either from, the covalent radii.
    pub fn new(elements: &[Element], given: Option<&PairDistances>, seen: &PairDistances) -> Self {
        let mut distance = Vec::with_capacity(elements.len() * elements.len());
        for &a in elements {
            for &b in elements {
                let sum = a.covalent_radius() + b.covalent_radius();
                let covalent = COVALENT_SHARE * sum;
                let known = given.and_then(|table| table.get(a, b));
                let from_parent = seen
                    .get(a, b)
                    .map(|d| (SEEN_SHARE * d).clamp(covalent, ENOUGH_SHARE * sum));
                distance.push(known.or(from_parent).unwrap_or(covalent));
            }
        }
        Self {
            n_types: elements.len(),
            distance,
        }
    }

    /// Smallest distance of two types, Å.
    pub fn of(&self, a: u32, b: u32) -> f64 {
        self.distance[a as usize * self.n_types + b as usize]
    }

    /// The largest entry, Å.
    pub fn largest(&self) -> f64 {
        self.distance.iter().copied().fold(0.0, f64::max)
    }

    /// The smallest entry, Å.
    pub fn smallest(&self) -> f64 {
        self.distance.iter().copied().fold(f64::INFINITY, f64::min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::Cell;

    #[test]
    fn the_smallest_distances_of_rock_salt() {
        let (pb, te) = (
            Element::from_symbol("Pb").unwrap(),
            Element::from_symbol("Te").unwrap(),
        );
        let a = 6.4;
        let mut positions = Vec::new();
        let mut elements = Vec::new();
        for (k, site) in [[0.0; 3], [0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]]
            .into_iter()
            .enumerate()
        {
            positions.push(site.map(|x| x * a));
            elements.push(pb);
            positions.push([(site[0] + 0.5) * a, site[1] * a, site[2] * a]);
            elements.push(te);
            // One atom off its site.
            if k == 0 {
                positions[1][0] -= 0.3;
            }
        }
        let s = Structure::new(Cell::orthorhombic([a; 3]).unwrap(), elements, positions).unwrap();
        let table = minimum_distances([&s]).unwrap();
        assert!((table.get(te, pb).unwrap() - 2.9).abs() < 1e-12);
        assert!((table.get(pb, pb).unwrap() - a / 2f64.sqrt()).abs() < 1e-12);
        let contacts = Contacts::new(&[te, pb], None, &table);
        assert!((contacts.of(0, 1) - 0.95 * 2.9).abs() < 1e-12);
        assert_eq!(contacts.of(0, 1), contacts.of(1, 0));
        // Like ions may come closer than they are in the crystal.
        assert!(contacts.of(0, 0) < 3.0);
        let h = Element::from_symbol("H").unwrap();
        let o = Element::from_symbol("O").unwrap();
        let water = Contacts::new(&[o, h], None, &PairDistances::default());
        assert!(water.of(0, 1) < 0.9 && water.of(0, 1) > 0.75);
    }
}
