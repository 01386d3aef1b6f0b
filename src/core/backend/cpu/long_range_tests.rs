//! The mesh against the plain sum, and that against its formula.

use super::ewald::Ewald;
use super::long_range::{Field, Source};
use super::mesh::Mesh;
use super::spreading::Number;
use crate::backend::System;
use crate::backend::conditions::SINGLE;
use crate::nep::long_range::{Interaction, wave_vectors};
use crate::system::cell::dot;
use crate::system::{Cell, NeighborList};
use std::f64::consts::PI;

/// Atoms at random in a cell, and out of it, with strengths.
fn atoms(cell: &Cell, n: usize) -> (Vec<[f64; 3]>, Vec<f64>) {
    let mut state = 11u64;
    let mut next = || {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    let positions = (0..n).map(|_| cell.cartesian([0; 3].map(|_| 3.0 * next() - 1.0)));
    (positions.collect(), (0..n).map(|_| next() - 0.5).collect())
}

fn cells() -> [Cell; 3] {
    [
        [[11.0, 0.0, 0.0], [0.0, 12.0, 0.0], [0.0, 0.0, 13.0]],
        [[14.0, 1.0, 0.5], [9.0, 12.0, -2.0], [-6.0, 5.0, -15.0]],
        [[3.0, 0.0, 0.1], [0.0, 31.0, 0.0], [1.0, 0.0, 4.0]],
    ]
    .map(|vectors| Cell::new(vectors, [true; 3]).unwrap())
}

/// Atoms that interact, on one process.
fn source<'a>(what: Interaction, system: &'a System<'a>, strengths: &'a [f64]) -> Source<'a> {
    Source {
        what,
        alpha: PI / 5.0,
        cell: system.cell,
        positions: system.positions,
        strengths,
        atoms: system.positions.len() as f64,
        system,
    }
}

fn alone<'a>(cell: &'a Cell, positions: &'a [[f64; 3]], neighbors: &'a NeighborList) -> System<'a> {
    System {
        cell,
        positions,
        types: &[],
        neighbors,
        whole: None,
    }
}

fn root_mean_square(rows: impl IntoIterator<Item = f64>) -> f64 {
    let (sum, n) = rows
        .into_iter()
        .fold((0.0, 0.0), |(s, n), x| (s + x * x, n + 1.0));
    (sum / f64::max(n, 1.0)).sqrt()
}

fn apart<'a>(a: &'a [f64], b: &'a [f64]) -> f64 {
    root_mean_square(a.iter().zip(b).map(|(a, b)| a - b))
}

#[test]
fn the_plain_sum_is_its_formula() {
    for cell in cells() {
        let (positions, strengths) = atoms(&cell, 23);
        let list = NeighborList::default();
        let system = alone(&cell, &positions, &list);
        let source = source(Interaction::Charges, &system, &strengths);
        let mut found = Field::new(positions.len(), true);
        Ewald::new(&source)
            .add(pulp::Arch::new(), &source, &mut found)
            .unwrap();
        let mut energies = vec![0.0; positions.len()];
        for (_, k) in wave_vectors(&cell, source.alpha) {
            let (g, _) = source.what.weights(dot(k, k), source.alpha, cell.volume());
            for (i, &r) in positions.iter().enumerate() {
                let others = positions.iter().zip(&strengths);
                let sum: f64 = others
                    .map(|(&s, c)| c * (dot(k, r) - dot(k, s)).cos())
                    .sum();
                energies[i] += strengths[i] * g * sum;
            }
        }
        assert!(apart(&found.energies, &energies) < 1e-12);
        for a in 0..9 {
            let sum: f64 = found.virials.iter().map(|w| w[a]).sum();
            assert!((sum - found.virial[a]).abs() < 1e-10);
        }
    }
}

/// All that a new mesh gives.
fn of_mesh<R: Number>(source: &Source<'_>, error: f64) -> Field {
    let mut found = Field::new(source.positions.len(), true);
    Mesh::<R>::new(pulp::Arch::new(), source, error, None)
        .unwrap()
        .add(source, &mut found)
        .unwrap();
    found
}

#[test]
fn the_mesh_keeps_to_the_error_that_is_asked_for() {
    for cell in cells() {
        let (positions, strengths) = atoms(&cell, 100);
        let list = NeighborList::default();
        let system = alone(&cell, &positions, &list);
        for what in [Interaction::Charges, Interaction::Dispersion] {
            let source = source(what, &system, &strengths);
            let mut exact = Field::new(positions.len(), true);
            Ewald::new(&source)
                .add(pulp::Arch::new(), &source, &mut exact)
                .unwrap();
            let scale = root_mean_square(exact.forces.as_flattened().iter().copied());
            let of_slopes = root_mean_square(exact.slopes.iter().copied());
            let of_virials = root_mean_square(exact.virials.as_flattened().iter().copied());
            let apart = |found: Field, error: f64| {
                let forces =
                    apart(found.forces.as_flattened(), exact.forces.as_flattened()) / scale;
                let slopes = apart(&found.slopes, &exact.slopes) / of_slopes;
                let virials =
                    apart(found.virials.as_flattened(), exact.virials.as_flattened()) / of_virials;
                let virial = apart(&found.virial, &exact.virial) / root_mean_square(exact.virial);
                println!(
                    "{what:?} {error:e}: {forces:.1e} {slopes:.1e} {virials:.1e} {virial:.1e}"
                );
                for found in [forces, slopes, virials, virial] {
                    assert!(found < error, "{what:?} {error:e}: {found:e}");
                }
            };
            for error in [1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-11] {
                apart(of_mesh::<f64>(&source, error), error);
                if error >= SINGLE {
                    apart(of_mesh::<f32>(&source, error), error);
                }
            }
        }
    }
    let (cell, list) = (&cells()[0], NeighborList::default());
    let system = alone(cell, &[], &list);
    let source = source(Interaction::Charges, &system, &[]);
    for error in [0.0, 1e-12, 0.1, f64::NAN] {
        let refused = Mesh::<f64>::new(pulp::Arch::new(), &source, error, None)
            .map(|_| ())
            .unwrap_err();
        assert!(refused.to_string().contains("plain sum"), "{refused}");
    }
}

#[test]
fn a_mesh_that_is_kept_follows_the_cell() {
    let cells = [13.0, 13.01].map(|edge| Cell::orthorhombic([12.0, 12.5, edge]).unwrap());
    let (positions, strengths) = atoms(&cells[0], 40);
    let list = NeighborList::default();
    let mut kept = None;
    for (cell, what) in [
        (&cells[0], Interaction::Charges),
        (&cells[1], Interaction::Charges),
        (&cells[1], Interaction::Dispersion),
    ] {
        let system = alone(cell, &positions, &list);
        let source = source(what, &system, &strengths);
        let of = |mesh: Option<Mesh<f64>>| {
            let mut mesh = Mesh::<f64>::new(pulp::Arch::new(), &source, 1e-6, mesh).unwrap();
            let mut field = Field::new(positions.len(), false);
            mesh.add(&source, &mut field).unwrap();
            (mesh, field)
        };
        let (mesh, found) = of(kept.take());
        kept = Some(mesh);
        assert_eq!(found.forces, of(None).1.forces, "{what:?}");
    }
}
