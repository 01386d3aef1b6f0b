//! Groups, neighbours and parameters of the prototypes.

use super::*;
use moyo::MoyoDataset;
use moyo::base::{Cell as MoyoCell, Lattice};
use nepal::system::NeighborList;

fn elements(n: usize) -> Vec<Element> {
    let all = ["Ba", "Ti", "O"].map(|s| Element::from_symbol(s).unwrap());
    all[..n].to_vec()
}

fn made(name: &str, n: usize) -> Structure {
    let given = Parameters {
        a: 4.0,
        c_over_a: None,
        u: None,
    };
    crystal(name, &elements(n), &given, [1; 3]).unwrap()
}

/// The space group that another code finds.
fn group(s: &Structure) -> i32 {
    let lattice = Lattice::from_basis(*s.cell.vectors());
    let places = s.positions.iter().map(|&r| s.cell.fractional(r).into());
    let numbers = s
        .elements
        .iter()
        .map(|e| e.symbol().len() as i32 * 7 + i32::from(e.symbol().as_bytes()[0]));
    let cell = MoyoCell::new(lattice, places.collect(), numbers.collect());
    MoyoDataset::with_default(&cell, 1e-4).unwrap().number
}

/// Name, elements, atoms in the cell, space group, nearest distance over a, neighbours there of the first atom.
/// Distances are those of the structures' geometry, not of the table above.
#[test]
fn prototypes_have_their_groups_and_neighbours() {
    let r = f64::sqrt;
    #[rustfmt::skip]
        let cases: [(&str, usize, usize, i32, f64, usize); 35] = [
            ("diamond", 1, 8, 227, r(3.0) / 4.0, 4), ("diamond", 2, 8, 216, r(3.0) / 4.0, 4),
            ("bcc", 1, 2, 229, r(3.0) / 2.0, 8), ("fcc", 1, 4, 225, r(0.5), 12), ("sc", 1, 1, 221, 1.0, 6),
            ("rocksalt", 1, 8, 221, 0.5, 6), ("rocksalt", 2, 8, 225, 0.5, 6),
            ("cscl", 1, 2, 229, r(3.0) / 2.0, 8), ("cscl", 2, 2, 221, r(3.0) / 2.0, 8),
            ("hcp", 1, 2, 194, 1.0, 12), ("simple-hexagonal", 1, 1, 191, 1.0, 8),
            ("beta-tin", 1, 4, 141, r(4.0 / 15.0), 6), ("graphite", 1, 4, 194, 1.0 / r(3.0), 3),
            ("omega", 1, 3, 191, 1.0 / r(3.0), 0), ("zincblende", 2, 8, 216, r(3.0) / 4.0, 4),
            ("wurtzite", 1, 4, 194, r(3.0 / 8.0), 4), ("wurtzite", 2, 4, 186, r(3.0 / 8.0), 4),
            ("nias", 2, 4, 194, HALF_ROOT, 6), ("h-bn", 2, 4, 194, 1.0 / r(3.0), 3),
            ("b2", 2, 2, 221, r(3.0) / 2.0, 8),
            ("l1_0", 1, 4, 225, r(0.5), 12), ("l1_0", 2, 4, 123, r(0.5), 12),
            ("l1_2", 1, 4, 225, r(0.5), 12), ("l1_2", 2, 4, 221, r(0.5), 12),
            ("d0_3", 1, 16, 229, r(3.0) / 4.0, 8), ("d0_3", 2, 16, 225, r(3.0) / 4.0, 8),
            ("a15", 1, 8, 223, 0.5, 2), ("a15", 2, 8, 223, 0.5, 2),
            ("fluorite", 2, 12, 225, r(3.0) / 4.0, 8), ("antifluorite", 2, 12, 225, r(3.0) / 4.0, 4),
            ("rutile", 2, 6, 136, r(2.0) - 1.0, 6), ("corundum", 2, 30, 167, 1.0 / r(6.0), 6),
            ("chalcopyrite", 3, 16, 122, r(3.0) / 4.0, 4), ("spinel", 3, 56, 227, r(3.0) / 8.0, 4),
            ("heusler", 3, 16, 225, r(3.0) / 4.0, 8),
        ];
    for (name, n, atoms, number, distance, count) in cases {
        let s = made(name, n);
        assert_eq!((s.len(), group(&s)), (atoms, number), "{name} {n}");
        let near = |d: f64| NeighborList::build(&s.cell, &s.positions, 4.0 * d).unwrap();
        assert_eq!(near(distance - 1e-6).entries(), 0, "{name} {n}");
        assert_eq!(near(distance + 1e-6).count(0), count, "{name} {n}");
    }
    let s = made("perovskite", 3);
    assert_eq!((s.len(), group(&s)), (5, 221));
    let near = NeighborList::build(&s.cell, &s.positions, 2.0 + 1e-6).unwrap();
    assert_eq!((near.count(0), near.count(1), near.count(2)), (0, 6, 2));
    for name in names() {
        assert!(
            name == "perovskite" || cases.iter().any(|c| c.0 == name),
            "{name}"
        );
    }
}

#[test]
fn parameters_are_taken_or_refused() {
    let make = |name: &str, n, c_over_a, u| {
        let given = Parameters {
            a: 4.0,
            c_over_a,
            u,
        };
        crystal(name, &elements(n), &given, [1; 3]).map_err(|e| e.to_string())
    };
    let s = make("hcp", 1, Some(1.58), None).unwrap();
    assert!((s.cell.vectors()[2][2] - 6.32).abs() < 1e-12);
    let s = make("rutile", 2, Some(0.644), Some(0.305)).unwrap();
    let at = |r: &[f64; 3]| (r[0] - 1.22).abs() + (r[1] - 1.22).abs() + r[2].abs() < 1e-9;
    assert!(s.positions[2..].iter().any(at), "{:?}", s.positions);
    assert!(make("L12", 2, None, None).is_ok());
    for (name, n, ratio, u, word) in [
        ("hexagonal", 1, None, None, "allowed are"),
        ("bcc", 2, None, None, "takes 1 element"),
        ("perovskite", 2, None, None, "order of CaTiO3"),
        ("fcc", 1, Some(1.1), None, "cubic"),
        ("hcp", 1, Some(-1.0), None, "positive"),
        ("hcp", 1, None, Some(0.3), "free site"),
    ] {
        let error = make(name, n, ratio, u).unwrap_err();
        assert!(error.contains(word), "{error}");
    }
}
