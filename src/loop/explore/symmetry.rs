//! The symmetry of a crystal as it stands, found by `moyo`.

use moyo::MoyoDataset;
use moyo::base::{Cell as MoyoCell, Lattice};
use nepal::system::Structure;
use nepal::system::cell::norm;

/// Atoms this far from a symmetric place (Å) still stand there.
const NEAR: f64 = 1e-3;

/// An operation that carries a structure into itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    /// Acts on Cartesian vectors: v' = R v.
    pub rotation: [[f64; 3]; 3],
    /// The atom that each atom is carried to. Shape `[n_atoms]`.
    pub to: Vec<usize>,
}

impl Operation {
    /// R v.
    pub fn turned(&self, v: [f64; 3]) -> [f64; 3] {
        self.rotation
            .map(|row| row[0] * v[0] + row[1] * v[1] + row[2] * v[2])
    }
}

/// All operations of a periodic structure, translations within its cell among them; of one without symmetry that leaves
/// all as it is.
pub fn operations(s: &Structure) -> Vec<Operation> {
    let places: Vec<[f64; 3]> = s.positions.iter().map(|&r| s.cell.fractional(r)).collect();
    let mut kinds: Vec<_> = s.elements.clone();
    kinds.sort_unstable();
    kinds.dedup();
    let number = |e| kinds.iter().position(|k| k == e).unwrap_or(0) as i32;
    let cell = MoyoCell::new(
        Lattice::from_basis(*s.cell.vectors()),
        places.iter().map(|&x| x.into()).collect(),
        s.elements.iter().map(number).collect(),
    );
    let found = match s.cell.periodic() == [true; 3] {
        true => MoyoDataset::with_default(&cell, NEAR).ok(),
        false => None,
    };
    let found = found.iter().flat_map(|d| d.operations.iter());
    let mut all: Vec<Operation> = found
        .filter_map(|o| {
            let (w, t) = (o.rotation_as_array(), o.translation_as_array());
            operation(s, &places, &w, t)
        })
        .collect();
    if all.is_empty() {
        all.push(Operation {
            rotation: [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
            to: (0..s.len()).collect(),
        });
    }
    all
}

/// An operation in fractional coordinates as it acts on the structure; none if it is none of the structure's.
fn operation(
    s: &Structure,
    places: &[[f64; 3]],
    w: &[[i32; 3]; 3],
    t: [f64; 3],
) -> Option<Operation> {
    let turned = |x: [f64; 3]| w.map(|row| (0..3).map(|k| f64::from(row[k]) * x[k]).sum::<f64>());
    let columns: [[f64; 3]; 3] = std::array::from_fn(|c| {
        let unit = std::array::from_fn(|k| f64::from(u8::from(k == c)));
        s.cell.cartesian(turned(s.cell.fractional(unit)))
    });
    let rotation = std::array::from_fn(|a| std::array::from_fn(|c| columns[c][a]));
    let mut to = Vec::with_capacity(s.len());
    let mut taken = vec![false; s.len()];
    for (x, element) in places.iter().zip(&s.elements) {
        let x = turned(*x);
        let there = (0..s.len()).find(|&j| {
            let between = std::array::from_fn(|k| {
                let d: f64 = x[k] + t[k] - places[j][k];
                d - d.round()
            });
            // Twice: both atoms may be off.
            s.elements[j] == *element && !taken[j] && norm(s.cell.cartesian(between)) < 2.0 * NEAR
        })?;
        taken[there] = true;
        to.push(there);
    }
    Some(Operation { rotation, to })
}

/// The rotations of some operations, each once.
pub fn rotations(operations: &[Operation]) -> Vec<[[f64; 3]; 3]> {
    let mut all: Vec<[[f64; 3]; 3]> = Vec::new();
    for o in operations {
        let same = |r: &[[f64; 3]; 3]| {
            let pairs = r.iter().flatten().zip(o.rotation.iter().flatten());
            pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) < NEAR
        };
        if !all.iter().any(same) {
            all.push(o.rotation);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explore::generate::crystal;
    use nepal::element::Element;

    #[test]
    fn operations_carry_crystals_into_themselves() {
        let of = |name: &str, elements: &[&str], repeat| {
            let elements: Vec<Element> = elements
                .iter()
                .map(|e| Element::from_symbol(e).unwrap())
                .collect();
            crystal(name, &elements, 4.0, repeat).unwrap()
        };
        // Order of the point group, and operations: that times the translations in the cell.
        for (name, elements, repeat, group, all) in [
            ("rocksalt", &["Na", "Cl"][..], [1; 3], 48, 192),
            ("rocksalt", &["Na", "Cl"], [2; 3], 48, 48 * 32),
            // A cell of another shape keeps the turns that it has itself.
            ("rocksalt", &["Na", "Cl"], [2, 1, 1], 16, 16 * 8),
            ("wurtzite", &["Ga", "N"], [1; 3], 12, 12),
            ("hcp", &["Mg"], [1; 3], 24, 24),
        ] {
            let s = of(name, elements, repeat);
            let found = operations(&s);
            assert_eq!(
                (rotations(&found).len(), found.len()),
                (group, all),
                "{name}"
            );
            for o in &found {
                // Turned vectors between atoms are vectors between their images.
                let (a, b) = (0, s.len() - 1);
                let between = |i: usize, j: usize| {
                    std::array::from_fn(|k| s.positions[j][k] - s.positions[i][k])
                };
                let (was, is) = (o.turned(between(a, b)), between(o.to[a], o.to[b]));
                let off = s.cell.fractional(std::array::from_fn(|k| was[k] - is[k]));
                assert!(off.iter().all(|x| (x - x.round()).abs() < 1e-6), "{off:?}");
            }
        }
        let mut odd = of("rocksalt", &["Na", "Cl"], [1; 3]);
        odd.positions[0] = [0.31, 0.17, 0.05];
        odd.positions[3][1] += 0.23;
        assert_eq!(operations(&odd).len(), 1);
    }
}
