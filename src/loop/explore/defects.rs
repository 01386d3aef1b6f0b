//! Defects and surfaces: atoms in voids, exchanged atoms, slabs of any face.

use super::random::generator;
use nepal::error::{Error, Result};
use nepal::system::cell::{cross, dot, norm, sub};
use nepal::system::{Cell, Structure};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Random places among which the widest void is looked for.
const TRIALS: usize = 400;
/// Lattice vectors that span a face are looked for among those with coefficients up to this.
const REACH: i32 = 4;

/// A copy with atoms added in wide voids, each of an element drawn from those that are there.
///
/// **Errors**: [`Error::InvalidArgument`] for a structure without atoms.
pub fn interstitials(structure: &Structure, count: usize, seed: u64) -> Result<Structure> {
    if structure.is_empty() {
        return Err(Error::invalid("an empty structure has no voids"));
    }
    let mut rng = generator(seed, 3);
    let mut out = structure.clone();
    for _ in 0..count {
        let element = out.elements[rng.random_range(0..out.len())];
        let mut best = ([0.0; 3], -1.0);
        for _ in 0..TRIALS {
            let r = out
                .cell
                .cartesian(std::array::from_fn(|_| rng.random::<f64>()));
            let room = out
                .positions
                .iter()
                .map(|x| nearest_image(&out.cell, sub(*x, r)))
                .fold(f64::INFINITY, f64::min);
            if room > best.1 {
                best = (r, room);
            }
        }
        out.elements.push(element);
        out.positions.push(best.0);
    }
    Ok(out)
}

/// A copy in which pairs of unlike atoms have exchanged places.
///
/// **Errors**: [`Error::InvalidArgument`] if all atoms are of one element.
pub fn antisites(structure: &Structure, count: usize, seed: u64) -> Result<Structure> {
    let mut out = structure.clone();
    let Some(first) = out.elements.first().copied() else {
        return Ok(out);
    };
    if count > 0 && out.elements.iter().all(|e| *e == first) {
        return Err(Error::invalid(
            "antisites need two elements; all atoms are of one",
        ));
    }
    let mut rng: ChaCha8Rng = generator(seed, 4);
    for _ in 0..count {
        loop {
            let (a, b) = (
                rng.random_range(0..out.len()),
                rng.random_range(0..out.len()),
            );
            if out.elements[a] != out.elements[b] {
                out.elements.swap(a, b);
                break;
            }
        }
    }
    Ok(out)
}

/// A slab with the face (hkl) of a crystal: `layers` times the shortest lattice vector out of the face,
/// and `vacuum` Å above. The cell stays periodic, its third vector is normal to the face.
///
/// **Errors**: [`Error::InvalidArgument`] for (000), a face with indices beyond 4, no layer, or a
/// crystal that is not periodic.
pub fn slab(crystal: &Structure, face: [i32; 3], layers: usize, vacuum: f64) -> Result<Structure> {
    let bad = |what: &str| {
        Err(Error::invalid(format!(
            "slab ({} {} {}): {what}",
            face[0], face[1], face[2]
        )))
    };
    if face == [0; 3] || face.iter().any(|i| i.abs() > REACH) {
        return bad("expected indices that are not all zero and at most 4");
    }
    if layers == 0 || !(vacuum >= 0.0) || crystal.cell.periodic() != [true; 3] {
        return bad("expected at least one layer, a vacuum of 0 Å or more, and a periodic crystal");
    }
    let a = *crystal.cell.vectors();
    let real = |n: [i32; 3]| -> [f64; 3] {
        std::array::from_fn(|c| (0..3).map(|d| f64::from(n[d]) * a[d][c]).sum())
    };
    let steps = |n: [i32; 3]| -> i32 { (0..3).map(|d| n[d] * face[d]).sum() };
    let mut all: Vec<([i32; 3], f64)> = Vec::new();
    for x in -REACH..=REACH {
        for y in -REACH..=REACH {
            for z in -REACH..=REACH {
                let n = [x, y, z];
                all.push((n, norm(real(n))));
            }
        }
    }
    // Shortest first; among equals the order of the loop, so that the choice repeats.
    all.sort_by(|p, q| {
        (p.1 + 1e-9 * f64::from(-p.0[0])).total_cmp(&(q.1 + 1e-9 * f64::from(-q.0[0])))
    });
    let within = || all.iter().filter(|p| steps(p.0) == 0 && p.0 != [0; 3]);
    let Some(u) = within().next().map(|p| real(p.0)) else {
        return bad("no lattice vector lies in it");
    };
    let Some(v) = within()
        .map(|p| real(p.0))
        .find(|v| norm(cross(u, *v)) > 1e-6 * norm(u) * norm(*v))
    else {
        return bad("no two lattice vectors span it");
    };
    // Out of the face by the fewest planes.
    let out_of = all
        .iter()
        .filter(|p| steps(p.0) > 0)
        .min_by_key(|p| steps(p.0));
    let Some(w) = out_of.map(|p| real(p.0)) else {
        return bad("no lattice vector leads out of it");
    };
    let mut normal = cross(u, v);
    normal = normal.map(|x| x / norm(normal));
    let v = if dot(normal, w) < 0.0 {
        normal = normal.map(|x| -x);
        v.map(|x| -x)
    } else {
        v
    };
    let third = w.map(|x| x * layers as f64);
    let block = Cell::new([u, v, third], [true; 3])?;
    let thickness = dot(third, normal);
    // All atoms of the crystal that lie in the block.
    let reach = (0..3)
        .map(|d| {
            let corner: f64 = [u, v, third].iter().map(|e| norm(*e)).sum();
            (corner / crystal.cell.thickness()[d]).ceil() as i32 + 1
        })
        .max()
        .unwrap_or(1);
    let (mut elements, mut positions) = (Vec::new(), Vec::new());
    for x in -reach..=reach {
        for y in -reach..=reach {
            for z in -reach..=reach {
                let t = real([x, y, z]);
                for (element, r) in crystal.elements.iter().zip(&crystal.positions) {
                    let r: [f64; 3] = std::array::from_fn(|c| r[c] + t[c]);
                    // Atoms on a face of the block belong to the side at zero.
                    let s = block.fractional(r).map(|s| s + 1e-9);
                    if s.iter().all(|s| (0.0..1.0).contains(s)) {
                        elements.push(*element);
                        positions.push(r);
                    }
                }
            }
        }
    }
    let height = thickness + vacuum;
    let cell = Cell::new([u, v, normal.map(|x| x * height)], [true; 3])?;
    for r in &mut positions {
        *r = cell.wrap(*r);
    }
    Structure::new(cell, elements, positions)
}

/// Length of the shortest image of a vector, in cells that are not too oblique.
fn nearest_image(cell: &Cell, v: [f64; 3]) -> f64 {
    let mut s = cell.fractional(v);
    for (x, periodic) in s.iter_mut().zip(cell.periodic()) {
        if periodic {
            *x -= x.round();
        }
    }
    norm(cell.cartesian(s))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explore::generate::crystal;
    use nepal::element::Element;
    use nepal::system::NeighborList;

    fn element(symbol: &str) -> Element {
        Element::from_symbol(symbol).unwrap()
    }

    #[test]
    fn interstitials_go_where_there_is_room() {
        // The widest void of the simple cubic lattice is its body centre, √3/2 a from eight atoms.
        let sc = crystal("sc", &[element("Po")], 4.0, [1; 3]).unwrap();
        let filled = interstitials(&sc, 1, 3).unwrap();
        assert_eq!(filled.len(), 2);
        let room = nearest_image(&filled.cell, sub(filled.positions[1], filled.positions[0]));
        assert!(room > 0.9 * 3f64.sqrt() * 2.0, "{room}");
        assert_eq!(filled, interstitials(&sc, 1, 3).unwrap());
    }

    #[test]
    fn antisites_keep_the_composition() {
        let salt = crystal("rocksalt", &[element("Na"), element("Cl")], 5.6, [2; 3]).unwrap();
        let mixed = antisites(&salt, 2, 1).unwrap();
        let count = |s: &Structure| s.elements.iter().filter(|e| e.symbol() == "Na").count();
        assert_eq!(count(&mixed), count(&salt));
        let moved = mixed
            .elements
            .iter()
            .zip(&salt.elements)
            .filter(|(a, b)| a != b)
            .count();
        assert!(moved == 2 || moved == 4, "{moved}");
        let metal = crystal("fcc", &[element("Cu")], 3.6, [1; 3]).unwrap();
        assert!(antisites(&metal, 1, 1).is_err());
        assert!(antisites(&metal, 0, 1).is_ok());
    }

    #[test]
    fn slabs_have_the_density_and_distances_of_the_crystal() {
        let a = 3.6;
        let copper = crystal("fcc", &[element("Cu")], a, [1; 3]).unwrap();
        // Planes of the conventional cell: a/√(h²+k²+l²) apart, and a³ holds four atoms.
        for (face, layers) in [
            ([1, 0, 0], 2),
            ([1, 1, 0], 3),
            ([1, 1, 1], 4),
            ([2, 1, 0], 3),
        ] {
            let s = slab(&copper, face, layers, 12.0).unwrap();
            let [u, v, c] = *s.cell.vectors();
            let area = norm(cross(u, v));
            let square: i32 = face.iter().map(|i| i * i).sum();
            let apart = a / f64::from(square).sqrt();
            let thickness = layers as f64 * apart;
            assert!((norm(c) - thickness - 12.0).abs() < 1e-9, "{face:?}");
            let atoms = 4.0 * area * thickness / a.powi(3);
            assert!(
                (s.len() as f64 - atoms).abs() < 1e-6,
                "{face:?}: {} {atoms}",
                s.len()
            );
            assert!(dot(u, c).abs() < 1e-9 && dot(v, c).abs() < 1e-9);
            let near = NeighborList::build(&s.cell, &s.positions, 0.999 * a / 2f64.sqrt()).unwrap();
            assert_eq!(near.entries(), 0, "{face:?}");
            // Inside, an atom has its twelve neighbours; some atoms at the faces lack some.
            let shell =
                NeighborList::build(&s.cell, &s.positions, 1.001 * a / 2f64.sqrt()).unwrap();
            assert!((0..s.len()).any(|i| shell.count(i) < 12), "{face:?}");
            assert!((0..s.len()).all(|i| shell.count(i) <= 12), "{face:?}");
        }
        assert!(slab(&copper, [0, 0, 0], 1, 10.0).is_err());
        assert!(slab(&copper, [1, 0, 0], 0, 10.0).is_err());
    }
}
