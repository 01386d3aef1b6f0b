//! Properties of arbitrary models, cells, neighbour lists and frames.

use nepal::model::{Cutoff, Header, Kind, Layout, ManyBody, Version, Zbl};
use nepal::system::cell::{add, norm, sub};
use nepal::{Cell, Element, Model, NeighborList};
use proptest::collection::vec;
use proptest::prelude::*;

/// Finite numbers of all sizes, mostly ordinary ones.
fn number() -> impl Strategy<Value = f64> {
    use proptest::num::f64::{NEGATIVE, NORMAL, POSITIVE, SUBNORMAL, ZERO};
    prop_oneof![
        6 => -10.0..10.0,
        1 => POSITIVE | NEGATIVE | NORMAL | SUBNORMAL | ZERO,
    ]
}

fn header() -> impl Strategy<Value = Header> {
    let symbols = proptest::sample::subsequence((1..=94usize).collect::<Vec<_>>(), 1..4);
    let shape = (
        [0..4usize, 0..4],
        [0..4usize, 0..4],
        1..=8usize,
        any::<[bool; 6]>(),
    );
    let version = prop_oneof![
        Just(Version::Nep3),
        Just(Version::Nep4),
        Just(Version::Nep5)
    ];
    let numbers = vec(0.5..9.5f64, 40);
    (
        (version, proptest::sample::select(&Kind::ALL[..])),
        symbols,
        shape,
        0..4u8,
        0..3u8,
        [1..6usize, 0..4],
        [0..999usize, 0..999],
        numbers,
    )
        .prop_map(
            |((version, kind), symbols, shape, zbl, cutoff, neurons, max_neighbors, x)| {
                let elements: Vec<Element> = symbols
                    .into_iter()
                    .map(|z| Element::from_number(z).unwrap())
                    .collect();
                let (n_max, basis_size, l_max, flags) = shape;
                let n = elements.len();
                let mut x = x.into_iter().cycle();
                let mut next = || x.next().unwrap();
                let zbl_factor = 0.1 * next();
                let kind = match kind.exists(version, zbl > 0) {
                    true => kind,
                    false => Kind::Potential,
                };
                let zbl = match zbl {
                    0 => None,
                    1 => Some(Zbl::Universal {
                        inner: 0.5,
                        outer: 0.5 + next(),
                    }),
                    2 => Some(Zbl::Typewise {
                        inner: 0.7,
                        outer: next(),
                        factor: zbl_factor,
                    }),
                    _ => {
                        let row = |_| {
                            let mut row: [f64; 10] = std::array::from_fn(|_| next());
                            row[1] += row[0];
                            row
                        };
                        Some(Zbl::Flexible((0..n * (n + 1) / 2).map(row).collect()))
                    }
                };
                let cutoff = match cutoff {
                    _ if kind.electrostatics().is_some() => Cutoff::Uniform([next(), next()]),
                    0 => Cutoff::Uniform([next(), next()]),
                    // One type alone reads as the uniform form, which means the same.
                    1 if n > 1 => Cutoff::PerType((0..n).map(|_| [next(), next()]).collect()),
                    _ => Cutoff::Typewise {
                        global: [next(), next()],
                        factor: [0.0, 0.3 * next()],
                        // Not zero: that factor would turn a universal repulsion into a typewise one.
                        zbl_factor: if matches!(zbl, Some(Zbl::Typewise { .. })) {
                            zbl_factor
                        } else {
                            0.0
                        },
                    },
                };
                let mut flags = flags;
                for (flag, needed) in flags.iter_mut().zip([2, 1, 2, 3, 3, 4]) {
                    *flag &= needed <= l_max;
                }
                Header {
                    neurons: [
                        neurons[0],
                        if version == Version::Nep4 && !kind.is_long_ranged() {
                            neurons[1]
                        } else {
                            0
                        },
                    ],
                    version,
                    kind,
                    elements,
                    zbl,
                    cutoff,
                    max_neighbors,
                    n_max,
                    basis_size,
                    l_max,
                    many_body: ManyBody::from_flags(flags),
                }
            },
        )
}

fn model() -> impl Strategy<Value = Model> {
    header().prop_flat_map(|header| {
        let layout = Layout::new(&header);
        (
            Just(header),
            vec(number(), layout.len()),
            vec(number(), layout.dim),
        )
            .prop_map(|(header, parameters, scaler)| {
                Model::new(header, parameters, scaler).unwrap()
            })
    })
}

/// Cells with a volume, of either hand, skewed at will.
fn cell() -> impl Strategy<Value = Cell> {
    let vectors = [
        [-8.0..8.0f64, -8.0..8.0, -8.0..8.0],
        [-8.0..8.0, -8.0..8.0, -8.0..8.0],
        [-8.0..8.0, -8.0..8.0, -8.0..8.0],
    ];
    (vectors, any::<[bool; 3]>()).prop_filter_map("flat cell", |(vectors, periodic)| {
        let cell = Cell::new(vectors, periodic).ok()?;
        cell.thickness().iter().all(|&t| t > 0.8).then_some(cell)
    })
}

fn positions(n: std::ops::Range<usize>) -> impl Strategy<Value = Vec<[f64; 3]>> {
    vec([-15.0..15.0f64, -15.0..15.0, -15.0..15.0], n)
}

/// Distances to all neighbours, by trying all translations that could matter and more.
fn brute_force(cell: &Cell, positions: &[[f64; 3]], i: usize, cutoff: f64) -> Vec<f64> {
    let thickness = cell.thickness();
    let mut distances = Vec::new();
    for (j, &r) in positions.iter().enumerate() {
        let apart = cell.fractional(sub(r, positions[i]));
        let range: [Vec<i32>; 3] = std::array::from_fn(|d| {
            if cell.periodic()[d] {
                let reach = cutoff / thickness[d] + 1.0;
                ((-apart[d] - reach).floor() as i32..=(-apart[d] + reach).ceil() as i32).collect()
            } else {
                vec![0]
            }
        });
        for &a in &range[0] {
            for &b in &range[1] {
                for &c in &range[2] {
                    let distance = norm(sub(add(r, cell.translation([a, b, c])), positions[i]));
                    if distance < cutoff && !(j == i && [a, b, c] == [0; 3]) {
                        distances.push(distance);
                    }
                }
            }
        }
    }
    distances.sort_by(f64::total_cmp);
    distances
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_model_survives_writing_and_reading(model in model()) {
        let text = model.to_text();
        let again = match Model::parse(text.as_bytes(), "written") {
            Ok(again) => again,
            Err(e) => return Err(TestCaseError::fail(e.to_string())),
        };
        prop_assert!(again == model);
        prop_assert!(again.to_text() == text);
    }

    #[test]
    fn neighbor_lists_hold_what_brute_force_finds(
        cell in cell(),
        positions in positions(0..12),
        cutoff in 0.5..7.0f64,
    ) {
        let list = NeighborList::build(&cell, &positions, cutoff).unwrap();
        prop_assert_eq!(list.len(), positions.len());
        for i in 0..positions.len() {
            let mut found: Vec<f64> =
                list.vectors(i, &cell, &positions).map(|(_, r)| norm(r)).collect();
            found.sort_by(f64::total_cmp);
            // A distance that equals the cutoff may round to either side.
            let inner = brute_force(&cell, &positions, i, cutoff * (1.0 - 1e-12));
            let outer = brute_force(&cell, &positions, i, cutoff * (1.0 + 1e-12));
            prop_assert!((inner.len()..=outer.len()).contains(&found.len()), "atom {}", i);
            for (a, b) in found.iter().zip(&outer) {
                prop_assert!((a - b).abs() < 1e-9);
            }
        }
    }

    /// Every bond is listed from both ends, with opposite translations.
    #[test]
    fn neighbor_lists_are_symmetric(cell in cell(), positions in positions(1..10), cutoff in 0.5..6.0f64) {
        let list = NeighborList::build(&cell, &positions, cutoff).unwrap();
        let mut bonds: Vec<(usize, usize, [i32; 3])> = Vec::new();
        let mut reversed = Vec::new();
        for i in 0..list.len() {
            for (j, t) in list.of(i) {
                bonds.push((i, j, t));
                reversed.push((j, i, t.map(|x| -x)));
            }
        }
        bonds.sort_unstable();
        reversed.sort_unstable();
        prop_assert_eq!(bonds, reversed);
    }

    #[test]
    fn cells_invert(cell in cell(), r in [-50.0..50.0f64, -50.0..50.0, -50.0..50.0]) {
        let s = cell.fractional(r);
        prop_assert!(norm(sub(cell.cartesian(s), r)) < 1e-9);
        let wrapped = cell.wrap(r);
        let inside = cell.fractional(wrapped);
        for d in 0..3 {
            if cell.periodic()[d] {
                prop_assert!((-1e-9..1.0 + 1e-9).contains(&inside[d]));
                let moved = inside[d] - s[d];
                prop_assert!((moved - moved.round()).abs() < 1e-8);
            } else {
                prop_assert!((inside[d] - s[d]).abs() < 1e-9);
            }
        }
    }

    /// Arbitrary text never makes the readers panic.
    #[test]
    fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..300)) {
        let _ = Model::parse(bytes.as_slice(), "bytes");
        let _ = nepal::system::xyz::FrameReader::new(bytes.as_slice(), "bytes").count();
    }
}
