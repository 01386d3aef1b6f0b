//! All elastic constants of any crystal from few strained cells, for methods whose every evaluation is dear.
//!
//! Which strains suffice is told by the symmetry: the constants are a combination of those tensors that its rotations
//! leave alone. Atoms inside the strained cells stand where a cheap potential relaxes them to. A method that would have
//! them elsewhere is not asked to relax: the work of its forces along that way is taken off, so that what the
//! potential has wrong about the way enters the constants by its square alone.

use faer::linalg::solvers::Solve;
use faer::{Mat, Side};
use nepal::error::{Error, Result};
use nepal::system::cell::dot;
use nepal::units::EV_PER_A3_IN_GPA;

/// Elastic constants, in GPa; rows and columns are xx, yy, zz, yz, xz, xy.
pub type Stiffness = [[f64; 6]; 6];

/// Components of a tensor in that order.
const PAIRS: [[usize; 2]; 6] = [[0, 0], [1, 1], [2, 2], [1, 2], [0, 2], [0, 1]];
/// Shorter than this, what is left of a unit vector is rounding.
const NOTHING: f64 = 1e-6;

/// The strain of a component; shears are engineering strains, twice the tensor's component.
pub fn strain(component: usize, size: f64) -> [[f64; 3]; 3] {
    let [a, b] = PAIRS[component];
    let mut e = [[0.0; 3]; 3];
    e[a][b] += 0.5 * size;
    e[b][a] += 0.5 * size;
    e
}

/// The tensors that rotations leave alone: an orthonormal basis.
fn invariants(rotations: &[[[f64; 3]; 3]]) -> Vec<Stiffness> {
    let mut basis: Vec<Stiffness> = Vec::new();
    let full = |i: usize| if i < 3 { 1.0 } else { 2.0 };
    for i in 0..6 {
        for j in i..6 {
            let mut mean: Stiffness = [[0.0; 6]; 6];
            for r in rotations {
                // Component (k, l) of the turned tensor that has its (i, j) and (j, i) alone.
                let part = |k: usize, i: usize| {
                    let ([a, b], [c, d]) = (PAIRS[k], PAIRS[i]);
                    0.5 * full(i) * (r[a][c] * r[b][d] + r[a][d] * r[b][c])
                };
                for (k, row) in mean.iter_mut().enumerate() {
                    for (l, x) in row.iter_mut().enumerate() {
                        *x += part(k, i) * part(l, j) + part(k, j) * part(l, i);
                    }
                }
            }
            let flat = mean.as_flattened();
            let known: Vec<&[f64]> = basis.iter().map(|b| b.as_flattened()).collect();
            if let Some(new) = beyond(flat, &known) {
                let mut tensor = [[0.0; 6]; 6];
                tensor.as_flattened_mut().copy_from_slice(&new);
                basis.push(tensor);
            }
        }
    }
    basis
}

/// The direction in which a vector leaves the span of orthonormal others, if it does.
fn beyond(v: &[f64], known: &[&[f64]]) -> Option<Vec<f64>> {
    let length = |v: &[f64]| v.iter().map(|x| x * x).sum::<f64>().sqrt();
    let whole = length(v);
    let mut rest = v.to_vec();
    // Twice, for what the first pass leaves to rounding.
    for _ in 0..2 {
        for k in known {
            let along: f64 = rest.iter().zip(*k).map(|(a, b)| a * b).sum();
            rest.iter_mut().zip(*k).for_each(|(x, b)| *x -= along * b);
        }
    }
    let left = length(&rest);
    (left > NOTHING * whole && whole > NOTHING).then(|| rest.iter().map(|x| x / left).collect())
}

/// The strains from which all constants follow, as few as the symmetry allows.
pub fn strains(rotations: &[[[f64; 3]; 3]]) -> Vec<usize> {
    let basis = invariants(rotations);
    // How many of the basis can be told apart by the columns of some strains.
    let told = |chosen: &[usize]| {
        let mut known: Vec<Vec<f64>> = Vec::new();
        for tensor in &basis {
            let seen = chosen
                .iter()
                .flat_map(|&j| tensor.iter().map(move |row| row[j]));
            let others: Vec<&[f64]> = known.iter().map(Vec::as_slice).collect();
            let new = beyond(&seen.collect::<Vec<_>>(), &others);
            known.extend(new);
        }
        known.len()
    };
    let mut chosen: Vec<usize> = Vec::new();
    for j in 0..6 {
        let before = told(&chosen);
        if before == basis.len() {
            break;
        }
        chosen.push(j);
        if told(&chosen) == before {
            chosen.pop();
        }
    }
    chosen
}

/// The constants that differ, each by the first of its places; what the symmetry makes zero is left out.
pub fn distinct(rotations: &[[[f64; 3]; 3]]) -> Vec<[usize; 2]> {
    let basis = invariants(rotations);
    let column = |[i, j]: [usize; 2]| basis.iter().map(|t| t[i][j]).collect::<Vec<f64>>();
    let mut found: Vec<[usize; 2]> = Vec::new();
    for i in 0..6 {
        for j in i..6 {
            let own = column([i, j]);
            let zero = own.iter().all(|x| x.abs() < NOTHING);
            let same = |k: &[usize; 2]| {
                let pairs = || own.iter().zip(column(*k)).collect::<Vec<_>>();
                pairs().iter().all(|(a, b)| (*a - b).abs() < NOTHING)
                    || pairs().iter().all(|(a, b)| (*a + b).abs() < NOTHING)
            };
            if !zero && !found.iter().any(same) {
                found.push([i, j]);
            }
        }
    }
    // Along the axes first, as tables have them.
    found.sort_by_key(|&[i, j]| match (i == j, i < 3, j < 3) {
        (true, true, _) => 0,
        (_, _, true) => 1,
        (true, ..) => 2,
        _ => 3,
    });
    found
}

/// What a method says of a strained cell.
pub struct Strained<'a> {
    /// Volume, Å³.
    pub volume: f64,
    /// Virial, eV.
    pub virial: [f64; 9],
    /// Forces, eV/Å.
    pub forces: &'a [[f64; 3]],
}

/// The cells whose constants are asked for.
pub struct Cells<'a> {
    /// Rotations of the crystal.
    pub rotations: &'a [[[f64; 3]; 3]],
    /// Its volume at rest, Å³.
    pub volume: f64,
    /// Size of the strains.
    pub size: f64,
    /// How far each atom moves for each of the six strains beyond what the strain itself does, Å.
    /// Shape `[6][n_atoms]`.
    pub rates: &'a [Vec<[f64; 3]>],
}

impl Cells<'_> {
    /// The constants from some strains, each with the cell under it and the one under its opposite.
    ///
    /// **Errors**: [`Error::Failed`] if these strains do not suffice.
    pub fn stiffness(&self, strained: &[(usize, [Strained<'_>; 2])]) -> Result<Stiffness> {
        let basis = invariants(self.rotations);
        // dE/dη of a component along the way that the atoms go.
        let slope = |component: usize, s: &Strained<'_>| {
            let [a, b] = PAIRS[component];
            let work: f64 = (s.forces.iter().zip(&self.rates[component]))
                .map(|(f, u)| dot(*f, *u))
                .sum();
            -s.virial[3 * a + b] * self.volume / s.volume - work
        };
        let n = basis.len();
        let (mut normal, mut right) = (Mat::<f64>::zeros(n, n), Mat::<f64>::zeros(n, 1));
        for (j, [plus, minus]) in strained {
            for i in 0..6 {
                let found = (slope(i, plus) - slope(i, minus)) / (2.0 * self.size * self.volume);
                for (k, a) in basis.iter().enumerate() {
                    right[(k, 0)] += a[i][*j] * found * EV_PER_A3_IN_GPA;
                    for (l, b) in basis.iter().enumerate() {
                        normal[(k, l)] += a[i][*j] * b[i][*j];
                    }
                }
            }
        }
        let factor = normal.llt(Side::Lower).map_err(|_| {
            Error::Failed("the strained cells do not tell all elastic constants".into())
        })?;
        let parts = factor.solve(&right);
        let mut out = [[0.0; 6]; 6];
        for (k, tensor) in basis.iter().enumerate() {
            for (sum, x) in out.as_flattened_mut().iter_mut().zip(tensor.as_flattened()) {
                *sum += parts[(k, 0)] * x;
            }
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explore::crystal::{elastic, equilibrium, relax};
    use crate::explore::generate::crystal;
    use crate::explore::symmetry::{operations, rotations};
    use crate::explore::testing;
    use nepal::calculator::Potential;
    use nepal::element::Element;
    use nepal::system::Structure;

    #[test]
    fn symmetry_leaves_as_many_constants_as_books_say() {
        let of = |name: &str, elements: &[&str]| {
            let elements: Vec<Element> = elements
                .iter()
                .map(|e| Element::from_symbol(e).unwrap())
                .collect();
            rotations(&operations(&crystal(name, &elements, 4.0, [1; 3]).unwrap()))
        };
        // Nye, Physical Properties of Crystals, table 9: independent constants.
        for (name, elements, count, few) in [
            ("rocksalt", &["Na", "Cl"][..], 3, 2),
            ("wurtzite", &["Ga", "N"], 5, 3),
            ("rutile", &["Ti", "O"], 6, 4),
            ("corundum", &["Al", "O"], 6, 3),
        ] {
            let r = of(name, elements);
            assert_eq!(
                (invariants(&r).len(), strains(&r).len()),
                (count, few),
                "{name}"
            );
        }
        let cubic = of("fcc", &["Al"]);
        assert_eq!(distinct(&cubic), [[0, 0], [0, 1], [3, 3]]);
        let none = [[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]];
        assert_eq!((invariants(&none).len(), strains(&none).len()), (21, 6));
        assert_eq!(distinct(&none).len(), 21);
    }

    #[test]
    fn constants_are_those_of_relaxed_cells_also_where_another_potential_relaxed_them() {
        let (mut potential, crystal) = testing::silicon();
        let e = equilibrium(&mut potential, &crystal).unwrap().scale - 1.0;
        let rest = crystal
            .strained(&[[e, 0.0, 0.0], [0.0, e, 0.0], [0.0, 0.0, e]])
            .unwrap();
        let exact = elastic(&mut potential, &rest).unwrap();
        let turns = rotations(&operations(&rest));
        let h = 2e-3;
        // Relaxed atoms, and such as go only `part` of the way there.
        let mut constants = |part: f64, corrected: bool| {
            let mut at = |component: usize, size: f64| {
                let plain = rest.strained(&strain(component, size)).unwrap();
                let mut s = plain.clone();
                relax(&mut potential, &mut s, 1e-6, 2000).unwrap();
                for (r, p) in s.positions.iter_mut().zip(&plain.positions) {
                    *r = std::array::from_fn(|k| p[k] + part * (r[k] - p[k]));
                }
                let labels = potential.energy_forces_virial(&s).unwrap();
                let home = |s: &Structure| -> Vec<[f64; 3]> {
                    s.positions
                        .iter()
                        .map(|&r| rest.cell.cartesian(s.cell.fractional(r)))
                        .collect()
                };
                (home(&s), s.cell.volume(), labels)
            };
            let mut rates = Vec::new();
            let mut found = Vec::new();
            for component in 0..6 {
                let (plus, minus) = (at(component, h), at(component, -h));
                rates.push(
                    plus.0
                        .iter()
                        .zip(&minus.0)
                        .map(|(a, b)| {
                            std::array::from_fn(|k| {
                                if corrected {
                                    (a[k] - b[k]) / (2.0 * h)
                                } else {
                                    0.0
                                }
                            })
                        })
                        .collect::<Vec<[f64; 3]>>(),
                );
                found.push([plus, minus]);
            }
            let cells = Cells {
                rotations: &turns,
                volume: rest.cell.volume(),
                size: h,
                rates: &rates,
            };
            let used: Vec<_> = strains(&turns)
                .into_iter()
                .map(|j| {
                    let side = |k: usize| Strained {
                        volume: found[j][k].1,
                        virial: found[j][k].2.2,
                        forces: &found[j][k].2.1,
                    };
                    (j, [side(0), side(1)])
                })
                .collect();
            cells.stiffness(&used).unwrap()
        };
        for (part, tolerance) in [(1.0, 1e-3), (0.9, 0.02)] {
            let c = constants(part, true);
            for (found, exact) in [
                (c[0][0], exact.c11),
                (c[0][1], exact.c12),
                (c[3][3], exact.c44),
            ] {
                assert!(
                    (found / exact - 1.0).abs() < tolerance,
                    "{part}: {c:?} {exact}"
                );
            }
            assert!(c[0][3].abs() < 1e-6 && (c[4][4] - c[3][3]).abs() < 1e-6);
        }
        // Clamped, C44 of silicon is about twice as large: a tenth of the way is no small thing.
        let plain = constants(0.9, false)[3][3];
        let mended = constants(0.9, true)[3][3];
        assert!((plain - exact.c44).abs() > 5.0 * (mended - exact.c44).abs());
    }
}
