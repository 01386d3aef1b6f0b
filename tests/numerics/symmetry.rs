//! What must not change when atoms are moved, turned, renamed or repeated.

use crate::support::close::{assert_close, assert_rows_close};
use crate::support::{self, Machine, gas};
use nepal::system::cell::add;
use nepal::{Calculator, Cell, Evaluation, Request, Structure};

const EVERYTHING: Request = Request::FORCES
    .union(Request::VIRIAL)
    .union(Request::VIRIALS)
    .union(Request::DESCRIPTORS);

/// Of the largest number: the same sums in another order.
fn tolerance(backend: Machine) -> f64 {
    match backend.is_single() {
        true => 1e-4,
        false => 1e-10,
    }
}

fn compute(calculator: &mut Calculator, structure: &Structure) -> Evaluation {
    calculator.compute(structure, EVERYTHING).unwrap().clone()
}

/// Runs a check for all models on all backends.
fn for_all(mut check: impl FnMut(&str, &mut Calculator, &Structure, f64)) {
    for backend in support::backends() {
        for folder in support::energy_models() {
            let model = support::model(folder);
            let structure = support::sample(folder, &model);
            let mut calculator = support::calculator(&model, backend);
            let name = format!("{backend:?} {folder}");
            check(&name, &mut calculator, &structure, tolerance(backend));
        }
    }
}

/// `found` is `expected` after its atoms were put in the order `order`.
fn assert_same(name: &str, found: &Evaluation, expected: &Evaluation, order: &[usize], close: f64) {
    let n = order.len();
    let dim = expected.descriptors.len() / n;
    assert_close(
        &format!("{name} energy"),
        &[found.energy],
        &[expected.energy],
        close,
    );
    let energies: Vec<f64> = order.iter().map(|&i| expected.energies[i]).collect();
    assert_close(
        &format!("{name} energies"),
        &found.energies,
        &energies,
        close,
    );
    let forces: Vec<_> = order.iter().map(|&i| expected.forces[i]).collect();
    assert_rows_close(&format!("{name} forces"), &found.forces, &forces, close);
    let virials: Vec<_> = order.iter().map(|&i| expected.virials[i]).collect();
    assert_rows_close(&format!("{name} virials"), &found.virials, &virials, close);
    assert_close(
        &format!("{name} virial"),
        &found.virial,
        &expected.virial,
        close,
    );
    let descriptors: Vec<f64> = order
        .iter()
        .flat_map(|&i| &expected.descriptors[i * dim..][..dim])
        .copied()
        .collect();
    assert_close(
        &format!("{name} descriptors"),
        &found.descriptors,
        &descriptors,
        close,
    );
}

#[test]
fn translations_change_nothing() {
    for_all(|name, calculator, structure, close| {
        let before = compute(calculator, structure);
        let mut moved = structure.clone();
        for r in &mut moved.positions {
            *r = add(*r, [17.3, -9.1, 41.7]);
        }
        let same: Vec<usize> = (0..structure.len()).collect();
        assert_same(name, &compute(calculator, &moved), &before, &same, close);
    });
}

#[test]
fn another_periodic_image_of_an_atom_changes_nothing() {
    for_all(|name, calculator, structure, close| {
        let before = compute(calculator, structure);
        let mut moved = structure.clone();
        let periodic = structure.cell.periodic();
        for (i, r) in moved.positions.iter_mut().enumerate() {
            let image = std::array::from_fn(|d| {
                if periodic[d] {
                    (i as i32 + d as i32) % 5 - 2
                } else {
                    0
                }
            });
            *r = add(*r, structure.cell.translation(image));
        }
        let same: Vec<usize> = (0..structure.len()).collect();
        assert_same(name, &compute(calculator, &moved), &before, &same, close);
    });
}

#[test]
fn permutations_of_atoms_permute_the_results() {
    for_all(|name, calculator, structure, close| {
        let before = compute(calculator, structure);
        let n = structure.len();
        // 0 <- n-1 <- ..., but for a swap in front: no symmetry of the sample.
        let mut order: Vec<usize> = (0..n).rev().collect();
        order.swap(0, 1);
        let mut moved = structure.clone();
        moved.positions = order.iter().map(|&i| structure.positions[i]).collect();
        moved.elements = order.iter().map(|&i| structure.elements[i]).collect();
        assert_same(name, &compute(calculator, &moved), &before, &order, close);
    });
}

/// The structure and results under an orthogonal matrix, rows of which are the images of x, y, z.
fn turned(structure: &Structure, q: &[[f64; 3]; 3]) -> Structure {
    let turn = |r: &[f64; 3]| turn(*r, q);
    let vectors = structure.cell.vectors().each_ref().map(turn);
    Structure::new(
        Cell::new(vectors, structure.cell.periodic()).unwrap(),
        structure.elements.clone(),
        structure.positions.iter().map(turn).collect(),
    )
    .unwrap()
}

fn turn(r: [f64; 3], q: &[[f64; 3]; 3]) -> [f64; 3] {
    std::array::from_fn(|a| r[0] * q[0][a] + r[1] * q[1][a] + r[2] * q[2][a])
}

/// qᵀ w q.
fn turn_virial(w: &[f64; 9], q: &[[f64; 3]; 3]) -> [f64; 9] {
    std::array::from_fn(|index| {
        let (a, b) = (index / 3, index % 3);
        let mut sum = 0.0;
        for i in 0..3 {
            for j in 0..3 {
                sum += q[i][a] * w[3 * i + j] * q[j][b];
            }
        }
        sum
    })
}

fn check_turn(
    name: &str,
    calculator: &mut Calculator,
    structure: &Structure,
    q: &[[f64; 3]; 3],
    close: f64,
) {
    let mut expected = compute(calculator, structure);
    for f in &mut expected.forces {
        *f = turn(*f, q);
    }
    for w in expected.virials.iter_mut().chain([&mut expected.virial]) {
        *w = turn_virial(w, q);
    }
    let same: Vec<usize> = (0..structure.len()).collect();
    let found = compute(calculator, &turned(structure, q));
    assert_same(name, &found, &expected, &same, close);
}

#[test]
fn rotations_rotate_forces_and_virials() {
    // Rotation by an angle without symmetry about (1, 2, 3).
    let (sin, cos) = 0.83f64.sin_cos();
    let u = [1.0, 2.0, 3.0].map(|x| x / 14f64.sqrt());
    let cross = [[0.0, u[2], -u[1]], [-u[2], 0.0, u[0]], [u[1], -u[0], 0.0]];
    let q: [[f64; 3]; 3] = std::array::from_fn(|a| {
        std::array::from_fn(|b| {
            let one = if a == b { cos } else { 0.0 };
            one + (1.0 - cos) * u[a] * u[b] + sin * cross[a][b]
        })
    });
    for_all(|name, calculator, structure, close| {
        check_turn(name, calculator, structure, &q, close);
    });
}

#[test]
fn inversion_inverts_forces_also_in_a_left_handed_cell() {
    let q = [[-1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, -1.0]];
    for_all(|name, calculator, structure, close| {
        check_turn(name, calculator, structure, &q, close);
    });
}

#[test]
fn replicas_feel_what_the_original_feels() {
    for_all(|name, calculator, structure, close| {
        let periodic = structure.cell.periodic();
        let n = [2, 1, 3].map(|count| {
            if periodic[0] && periodic[1] && periodic[2] {
                count
            } else {
                1
            }
        });
        let n = if n == [1; 3] {
            periodic.map(|on| 1 + usize::from(on))
        } else {
            n
        };
        let copies = n[0] * n[1] * n[2];
        assert!(copies > 1, "{name}");
        let mut expected = compute(calculator, structure);
        let order: Vec<usize> = (0..copies * structure.len())
            .map(|i| i % structure.len())
            .collect();
        let mut found = compute(calculator, &structure.repeated(n).unwrap());
        assert_close(
            name,
            &[found.energy / copies as f64],
            &[expected.energy],
            close,
        );
        let mean = found.virial.map(|w| w / copies as f64);
        assert_close(name, &mean, &expected.virial, close);
        // Totals are compared; the rest is per atom.
        (found.energy, found.virial) = (0.0, [0.0; 9]);
        (expected.energy, expected.virial) = (0.0, [0.0; 9]);
        // Virials of single atoms are attributed to the neighbour, which is a copy: the same.
        let dim = expected.descriptors.len() / structure.len();
        assert_eq!(found.descriptors.len(), dim * order.len());
        expected.descriptors = expected.descriptors.repeat(copies);
        expected.energies = expected.energies.repeat(copies);
        expected.forces = expected.forces.repeat(copies);
        expected.virials = expected.virials.repeat(copies);
        let all: Vec<usize> = (0..order.len()).collect();
        assert_same(name, &found, &expected, &all, close);
    });
}

#[test]
fn another_choice_of_lattice_vectors_changes_nothing() {
    for_all(|name, calculator, structure, close| {
        if structure.cell.periodic() != [true; 3] {
            return;
        }
        let before = compute(calculator, structure);
        let [a, b, c] = *structure.cell.vectors();
        // b, a + b, c + 2a - b: the same lattice, skewed and of the other hand.
        let c = add(add(c, a.map(|x| 2.0 * x)), b.map(|x| -x));
        let cell = Cell::new([b, add(a, b), c], [true; 3]).unwrap();
        let moved = Structure::new(
            cell,
            structure.elements.clone(),
            structure.positions.clone(),
        )
        .unwrap();
        let same: Vec<usize> = (0..structure.len()).collect();
        assert_same(name, &compute(calculator, &moved), &before, &same, close);
    });
}

#[test]
fn a_direction_without_images_is_a_very_long_one() {
    for_all(|name, calculator, structure, close| {
        // Reciprocal sums need three directions.
        if calculator.model().kind().is_long_ranged() {
            return;
        }
        let elements = calculator.model().elements().to_vec();
        let far = 3.0 * calculator.model().cutoff() + 20.0;
        for open in [[true, false, false], [false, true, true], [true; 3]] {
            let periodic = open.map(|on| !on);
            let slab = gas::rattled(&elements, [2, 2, 2], 3.0, periodic);
            let mut vectors = *slab.cell.vectors();
            for d in 0..3 {
                if open[d] {
                    vectors[d] = vectors[d].map(|x| x * far);
                }
            }
            let cell = Cell::new(vectors, [true; 3]).unwrap();
            let boxed =
                Structure::new(cell, slab.elements.clone(), slab.positions.clone()).unwrap();
            let same: Vec<usize> = (0..slab.len()).collect();
            let (open, closed) = (compute(calculator, &slab), compute(calculator, &boxed));
            assert_same(name, &open, &closed, &same, close);
        }
        assert!(!structure.is_empty());
    });
}

#[test]
fn sums_agree_with_their_parts() {
    for_all(|name, calculator, structure, close| {
        let found = compute(calculator, structure);
        let energy: f64 = found.energies.iter().sum();
        assert_close(&format!("{name} energy"), &[found.energy], &[energy], close);
        let scale = found
            .forces
            .as_flattened()
            .iter()
            .fold(1.0f64, |m, f| m.max(f.abs()));
        for a in 0..3 {
            let net: f64 = found.forces.iter().map(|f| f[a]).sum();
            assert!(net.abs() < close * scale, "{name}: net force {net}");
        }
        let total: [f64; 9] = std::array::from_fn(|c| found.virials.iter().map(|w| w[c]).sum());
        assert_close(&format!("{name} virial"), &found.virial, &total, close);
        let w = found.virial;
        let transposed = [w[0], w[3], w[6], w[1], w[4], w[7], w[2], w[5], w[8]];
        assert_close(
            &format!("{name} virial, transposed"),
            &w,
            &transposed,
            close,
        );
        // A check of the sample itself: without forces the above says nothing.
        assert!(
            scale > 1e-3 || found.forces.as_flattened().iter().any(|f| f.abs() > 1e-3),
            "{name}"
        );
    });
}
