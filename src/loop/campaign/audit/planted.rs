//! Novelty made on purpose: structures with atoms that no training set of ordinary structures has.

use nepal::element::Element;
use nepal::error::Result;
use nepal::system::{Cell, NeighborList, Structure};

/// Linear compressions.
const COMPRESSIONS: [f64; 2] = [0.03, 0.06];
/// Vacuum of a surface, Å.
const VACUUM: f64 = 15.0;
/// Atoms this near to a cut are at the surface, Å.
const DEPTH: f64 = 2.5;
/// Lengths of dimers in units of the shortest distance of the pair in the training set.
const DIMERS: [f64; 6] = [0.6, 0.75, 0.9, 1.1, 1.3, 1.6];
/// Distances are looked for up to here, Å.
const REACH: f64 = 6.0;

/// Structures of one kind of novelty, and the atoms that are novel.
#[derive(Clone, Debug, Default)]
pub(super) struct Planted {
    pub name: String,
    pub structures: Vec<(Structure, Vec<usize>)>,
}

impl Planted {
    fn new(name: impl Into<String>, structures: Vec<(Structure, Vec<usize>)>) -> Self {
        Self {
            name: name.into(),
            structures,
        }
    }
}

/// All kinds that the elements allow, from some ordinary structures.
pub(super) fn plant(ordinary: &[&Structure], elements: &[Element]) -> Result<Vec<Planted>> {
    let mut kinds = Vec::new();
    if elements.len() > 1 {
        let swaps: Result<_> = ordinary.iter().map(|s| antisite(s, elements)).collect();
        kinds.push(Planted::new("unseen pair (antisite)", swaps?));
    }
    for by in COMPRESSIONS {
        let smaller: Result<_> = ordinary
            .iter()
            .map(|s| Ok((scaled(s, [1.0 - by; 3])?, (0..s.len()).collect())))
            .collect();
        kinds.push(Planted::new(
            format!("compressed {:.0} % in length", 100.0 * by),
            smaller?,
        ));
    }
    let mut surfaces = Vec::new();
    for structure in ordinary {
        surfaces.extend(surface(structure)?);
    }
    kinds.push(Planted::new("surface", surfaces));
    let alone = |&e: &Element| Ok((cluster(&[e], &[[0.0; 3]])?, vec![0]));
    let gas: Result<_> = elements.iter().map(alone).collect();
    kinds.push(Planted::new("gas atom", gas?));
    kinds.push(Planted::new("dimer", dimers(ordinary, elements)?));
    kinds.retain(|kind| kind.structures.iter().any(|s| !s.1.is_empty()));
    Ok(kinds)
}

fn cluster(elements: &[Element], positions: &[[f64; 3]]) -> Result<Structure> {
    Structure::new(Cell::isolated(), elements.to_vec(), positions.to_vec())
}

/// One atom in the place of another; it is novel, and its nearest neighbours are.
fn antisite(structure: &Structure, elements: &[Element]) -> Result<(Structure, Vec<usize>)> {
    let mut swapped = structure.clone();
    let at = structure.len() / 2;
    if let Some(&other) = elements.iter().find(|&&e| e != structure.elements[at]) {
        swapped.elements[at] = other;
    }
    let mut near = distances(structure, &neighbors(structure)?, at);
    near.sort_by(|a, b| a.0.total_cmp(&b.0));
    let shell = near.first().map_or(0.0, |n| 1.25 * n.0);
    let mut novel: Vec<usize> = near.iter().filter(|n| n.0 <= shell).map(|n| n.1).collect();
    novel.push(at);
    novel.sort_unstable();
    novel.dedup();
    Ok((swapped, novel))
}

/// Neighbours of an atom with their distances.
fn distances(structure: &Structure, list: &NeighborList, atom: usize) -> Vec<(f64, usize)> {
    list.vectors(atom, &structure.cell, &structure.positions)
        .map(|(j, d)| (d.iter().map(|x| x * x).sum::<f64>().sqrt(), j))
        .collect()
}

fn neighbors(structure: &Structure) -> Result<NeighborList> {
    NeighborList::build(&structure.cell, &structure.positions, REACH)
}

/// A structure with its lattice vectors stretched, its atoms with them.
fn scaled(structure: &Structure, by: [f64; 3]) -> Result<Structure> {
    let old = structure.cell.vectors();
    let new: [[f64; 3]; 3] = std::array::from_fn(|k| old[k].map(|x| by[k] * x));
    let cell = Cell::new(new, structure.cell.periodic())?;
    let positions = structure
        .positions
        .iter()
        .map(|&r| cell.cartesian(structure.cell.fractional(r)))
        .collect();
    Structure::new(cell, structure.elements.clone(), positions)
}

/// A slab: the longest periodic direction is opened by vacuum. `None` without one.
fn surface(structure: &Structure) -> Result<Option<(Structure, Vec<usize>)>> {
    let cell = &structure.cell;
    let heights = cell.thickness();
    let Some(axis) = (0..3)
        .filter(|&a| cell.periodic()[a])
        .max_by(|&a, &b| heights[a].total_cmp(&heights[b]))
    else {
        return Ok(None);
    };
    let factor = 1.0 + VACUUM / heights[axis];
    let mut vectors = *cell.vectors();
    vectors[axis] = vectors[axis].map(|x| factor * x);
    let open = Cell::new(vectors, cell.periodic())?;
    let mut novel = Vec::new();
    let mut positions = Vec::with_capacity(structure.len());
    for (i, &r) in structure.positions.iter().enumerate() {
        let mut s = cell.fractional(r);
        s[axis] -= s[axis].floor();
        let from_cut = s[axis].min(1.0 - s[axis]) * heights[axis];
        if from_cut < DEPTH {
            novel.push(i);
        }
        s[axis] /= factor;
        positions.push(open.cartesian(s));
    }
    let slab = Structure::new(open, structure.elements.clone(), positions)?;
    Ok(Some((slab, novel)))
}

/// Two atoms of each pair of elements at several distances.
fn dimers(ordinary: &[&Structure], elements: &[Element]) -> Result<Vec<(Structure, Vec<usize>)>> {
    let mut out = Vec::new();
    for (k, &a) in elements.iter().enumerate() {
        for &b in &elements[k..] {
            let mut shortest = f64::INFINITY;
            for structure in ordinary {
                let list = neighbors(structure)?;
                for i in (0..structure.len()).filter(|&i| structure.elements[i] == a) {
                    for (d, j) in distances(structure, &list, i) {
                        if structure.elements[j] == b {
                            shortest = shortest.min(d);
                        }
                    }
                }
            }
            if shortest.is_infinite() {
                continue;
            }
            for factor in DIMERS {
                let positions = [[0.0; 3], [factor * shortest, 0.0, 0.0]];
                out.push((cluster(&[a, b], &positions)?, vec![0, 1]));
            }
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rocksalt() -> (Structure, [Element; 2]) {
        let pair = ["Te", "Pb"].map(|s| Element::from_symbol(s).unwrap());
        let mut positions = Vec::new();
        let mut elements = Vec::new();
        for k in 0..64u8 {
            let at = [k / 16, k / 4 % 4, k % 4];
            positions.push(at.map(|x| 3.2 * f64::from(x) + 0.1));
            elements.push(pair[usize::from(at[0] + at[1] + at[2]) % 2]);
        }
        let cell = Cell::orthorhombic([12.8; 3]).unwrap();
        (Structure::new(cell, elements, positions).unwrap(), pair)
    }

    #[test]
    fn novel_atoms_are_those_whose_surroundings_changed() {
        let (crystal, pair) = rocksalt();
        let kinds = plant(&[&crystal], &pair).unwrap();
        let find = |name: &str| kinds.iter().find(|k| k.name.starts_with(name)).unwrap();
        // The swapped atom and its six neighbours.
        assert_eq!(find("unseen pair").structures[0].1.len(), 7);
        let small = &find("compressed 3").structures[0];
        assert!((small.0.cell.volume() / crystal.cell.volume() - 0.97f64.powi(3)).abs() < 1e-12);
        // The layers at 0.1 and 9.7 of 12.8 Å; 3.1 from the upper cut is too deep.
        let slab = &find("surface").structures[0];
        assert_eq!(slab.1.len(), 16);
        assert!((slab.0.cell.thickness().iter().sum::<f64>() - 3.0 * 12.8 - VACUUM).abs() < 1e-9);
        let inside = distances(&slab.0, &neighbors(&slab.0).unwrap(), 0);
        assert!(inside.iter().all(|d| d.0 > 3.19));
        assert_eq!(find("gas atom").structures.len(), 2);
        let dimers = &find("dimer").structures;
        assert_eq!(dimers.len(), 18);
        assert!((dimers[6].0.positions[1][0] - 0.6 * 3.2).abs() < 1e-9);
    }
}
