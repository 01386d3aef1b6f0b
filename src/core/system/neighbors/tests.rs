use super::*;
use crate::system::cell::norm;

/// All images out to a generous range, the slow way.
fn brute_force(cell: &Cell, positions: &[[f64; 3]], cutoff: f64) -> Vec<Vec<f64>> {
    let thickness = cell.thickness();
    let range: [i32; 3] = std::array::from_fn(|d| {
        let along = || positions.iter().map(|&r| cell.fractional(r)[d]);
        let spread =
            along().fold(f64::NEG_INFINITY, f64::max) - along().fold(f64::INFINITY, f64::min);
        if cell.periodic()[d] {
            (cutoff / thickness[d] + spread).ceil() as i32
        } else {
            0
        }
    });
    let mut all = Vec::new();
    for (i, &ri) in positions.iter().enumerate() {
        let mut distances = Vec::new();
        for (j, &rj) in positions.iter().enumerate() {
            for a in -range[0]..=range[0] {
                for b in -range[1]..=range[1] {
                    for c in -range[2]..=range[2] {
                        if i == j && [a, b, c] == [0; 3] {
                            continue;
                        }
                        let r = norm(sub(add(rj, cell.translation([a, b, c])), ri));
                        if r < cutoff {
                            distances.push(r);
                        }
                    }
                }
            }
        }
        distances.sort_by(f64::total_cmp);
        all.push(distances);
    }
    all
}

fn compare(cell: &Cell, positions: &[[f64; 3]], cutoff: f64) {
    let list = NeighborList::build(cell, positions, cutoff).unwrap();
    let expected = brute_force(cell, positions, cutoff);
    for (i, row) in expected.iter().enumerate() {
        let mut found: Vec<f64> = list
            .vectors(i, cell, positions)
            .map(|(_, r)| norm(r))
            .collect();
        found.sort_by(f64::total_cmp);
        assert_eq!(found.len(), row.len(), "atom {i} of {cell:?}");
        for (a, b) in found.iter().zip(row) {
            assert!((a - b).abs() < 1e-9);
        }
    }
}

fn scatter(n: usize, spread: f64) -> Vec<[f64; 3]> {
    let mut state = 12345u64;
    let mut next = || {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    (0..n)
        .map(|_| std::array::from_fn(|_| (next() - 0.5) * spread))
        .collect()
}

#[test]
fn lists_match_brute_force() {
    let skewed = [[3.1, 0.2, 0.0], [2.9, 3.3, 0.1], [-1.4, 2.2, 4.0]];
    let left_handed = [[0.0, 4.0, 0.0], [5.0, 0.0, 0.0], [0.3, 0.1, 6.0]];
    let large = [[21.0, 0.0, 0.0], [3.0, 25.0, 0.0], [-4.0, 2.0, 19.0]];
    for vectors in [skewed, left_handed, large] {
        for periodic in [
            [true; 3],
            [true, false, true],
            [false; 3],
            [false, false, true],
        ] {
            let cell = Cell::new(vectors, periodic).unwrap();
            compare(&cell, &scatter(1, 3.0), 6.0);
            compare(&cell, &scatter(30, 15.0), 3.9);
        }
    }
}

#[test]
fn an_atom_alone_sees_its_images() {
    let cell = Cell::orthorhombic([2.0, 2.0, 2.0]).unwrap();
    let list = NeighborList::build(&cell, &[[0.0; 3]], 2.5).unwrap();
    assert_eq!(list.count(0), 6);
    let none = NeighborList::build(&Cell::isolated(), &[], 3.0).unwrap();
    assert!(none.is_empty());
}

/// Cells that are legal and absurd: an error at once, where the list had filled the memory.
#[test]
fn cells_with_millions_of_images_are_refused() {
    let c = [0.0118, 0.0452, 1e-308];
    for vectors in [
        [[0.05, 0.0, 0.0], [0.0, 0.05, 0.0], [0.0, 0.0, 0.05]],
        [[0.1, 0.0, 0.0], [0.0, 0.1, 0.0], [0.0, 0.0, 0.1]],
        [[5.0, 0.0, 0.0], [0.0, 5.0, 0.0], [0.0, 0.0, 1e-5]],
        [[5.4, -0.004, -0.004], [-0.013, 5.4, 0.12], c],
        [[1e-3, 0.0, 0.0], [0.0, 1e-3, 0.0], [0.0, 0.0, 1e6]],
    ] {
        for periodic in [[true; 3], [true, true, false], [false, false, true]] {
            let cell = Cell::new(vectors, periodic).unwrap();
            let start = std::time::Instant::now();
            let built = NeighborList::build(&cell, &scatter(2, 0.1), 6.0);
            let periods = (0..3).filter(|&d| periodic[d]).map(|d| norm(vectors[d]));
            if periods.fold(f64::INFINITY, f64::min) < 0.01 {
                let error = built.unwrap_err().to_string();
                assert!(error.contains("is the cell flat, or"), "{error}");
            }
            assert!(start.elapsed().as_secs() < 5, "{cell:?}");
        }
    }
    // Atoms on top of one another, without any image.
    let same = vec![[0.0; 3]; 20_000];
    let error = NeighborList::build(&Cell::isolated(), &same, 6.0).unwrap_err();
    assert!(
        error.to_string().contains("on top of one another"),
        "{error}"
    );
    let far = NeighborList::build(&Cell::orthorhombic([4.0; 3]).unwrap(), &[[1e12; 3]], 3.0);
    assert!(far.unwrap_err().to_string().contains("cells away"));
}

/// A lattice that reduces to an ordinary one has the neighbours of that one, as translations of the
/// cell that was given.
#[test]
fn skewed_cells_have_the_neighbours_of_the_reduced_lattice() {
    let short = [[4.1, 0.2, 0.0], [0.3, 3.9, 0.1], [0.0, 0.4, 4.3]];
    let combine = |n: [[f64; 3]; 3]| {
        n.map(|n| [0, 1, 2].map(|a| (0..3).map(|d| n[d] * short[d][a]).sum::<f64>()))
    };
    let long = combine([[1.0, 0.0, 0.0], [3000.0, 1.0, 0.0], [-7000.0, 900.0, 1.0]]);
    let atoms = scatter(7, 9.0);
    for periodic in [[true; 3], [true, true, false]] {
        let cell = Cell::new(long, periodic).unwrap();
        let plain = Cell::new(short, periodic).unwrap();
        let list = NeighborList::build(&cell, &atoms, 5.0).unwrap();
        let expected = NeighborList::build(&plain, &atoms, 5.0).unwrap();
        for i in 0..atoms.len() {
            let distances = |list: &NeighborList, cell: &Cell| {
                let mut found: Vec<f64> = list
                    .vectors(i, cell, &atoms)
                    .map(|(_, r)| norm(r))
                    .collect();
                found.sort_by(f64::total_cmp);
                found
            };
            let (a, b) = (distances(&list, &cell), distances(&expected, &plain));
            assert_eq!(a.len(), b.len());
            assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-6));
        }
    }
}

#[test]
fn bad_input_is_refused() {
    let cell = Cell::isolated();
    assert!(NeighborList::build(&cell, &[[f64::NAN; 3]], 3.0).is_err());
    assert!(NeighborList::build(&cell, &[[0.0; 3]], 0.0).is_err());
    assert!(NeighborList::from_host(&[2], vec![0], 1).is_err());
    assert!(NeighborList::from_host(&[1], vec![7], 2).is_err());
}
