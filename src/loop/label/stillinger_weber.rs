//! Silicon of Stillinger and Weber: a classical teacher.

use super::{Label, Labeller, Verdict};
use nepal::calculator::Potential;
use nepal::error::{Error, Result};
use nepal::system::cell::{dot, norm};
use nepal::system::{NeighborList, Structure};
use std::collections::BTreeMap;
use std::path::Path;

const EPSILON: f64 = 2.1683;
const SIGMA: f64 = 2.0951;
const A_CUT: f64 = 1.80;
const LAMBDA: f64 = 21.0;
const GAMMA: f64 = 1.20;
const BIG_A: f64 = 7.049556277;
const BIG_B: f64 = 0.6022245584;
const SILICON: usize = 14;

/// The Stillinger-Weber potential of silicon with its original parameters.
///
/// A pair term and a three-body term that favours tetrahedral angles. Fast, smooth up to its cutoff,
/// with a solid, a liquid and a melting point near 1680 K: a teacher with a known answer.
///
/// **Source**: Stillinger and Weber, Phys. Rev. B 31, 5262 (1985), Eqs. (2.3)-(2.7), with
/// `p = 4`, `q = 0` and ε fitted to the cohesive energy of 4.336 eV (50 kcal/mol per bond pair).
#[derive(Clone, Copy, Debug, Default)]
pub struct StillingerWeber;

/// A bond of one atom: the vector, the length and what the three-body term needs of it.
struct Bond {
    other: usize,
    vector: [f64; 3],
    length: f64,
    /// `exp(γσ / (r - aσ))`.
    screen: f64,
    /// Its derivative with respect to r.
    slope: f64,
    /// Gradient of the energy with respect to `vector`, collected.
    gradient: [f64; 3],
}

impl StillingerWeber {
    /// Distance at which all terms vanish, Å.
    pub const CUTOFF: f64 = A_CUT * SIGMA;

    /// Energy (eV), forces (eV/Å) and virial (eV) of a structure of silicon atoms.
    ///
    /// **Errors**: [`Error::InvalidArgument`] for other elements or positions that are not finite.
    pub fn evaluate(&self, structure: &Structure) -> Result<(f64, Vec<[f64; 3]>, [f64; 9])> {
        structure.validate()?;
        if let Some(atom) = structure
            .elements
            .iter()
            .position(|e| e.number() != SILICON)
        {
            return Err(Error::invalid(format!(
                "atom {atom} is {}; the stillinger-weber labeller knows only Si",
                structure.elements[atom]
            )));
        }
        let (cell, positions) = (&structure.cell, &structure.positions);
        let neighbors = NeighborList::build(cell, positions, Self::CUTOFF)?;
        let mut energy = 0.0;
        let mut forces = vec![[0.0; 3]; structure.len()];
        let mut virial = [0.0; 9];
        let mut bonds = Vec::new();
        for center in 0..structure.len() {
            bonds.clear();
            bonds.extend(
                neighbors
                    .vectors(center, cell, positions)
                    .filter_map(|(other, vector)| Bond::new(other, vector)),
            );
            energy += atom_energy(&mut bonds);
            for bond in &bonds {
                for a in 0..3 {
                    forces[center][a] += bond.gradient[a];
                    forces[bond.other][a] -= bond.gradient[a];
                    for b in 0..3 {
                        virial[3 * a + b] -= bond.vector[a] * bond.gradient[b];
                    }
                }
            }
        }
        Ok((energy, forces, virial))
    }
}

impl Bond {
    /// `None` so close to the cutoff that `exp(1 / (r - aσ))` is no longer a number above zero.
    fn new(other: usize, vector: [f64; 3]) -> Option<Self> {
        let length = norm(vector);
        let gap = length - StillingerWeber::CUTOFF;
        if gap > -1e-3 * SIGMA {
            return None;
        }
        let screen = (GAMMA * SIGMA / gap).exp();
        Some(Self {
            other,
            vector,
            length,
            screen,
            slope: -GAMMA * SIGMA / (gap * gap) * screen,
            gradient: [0.0; 3],
        })
    }

    /// Adds `factor * vector` to the gradient.
    fn add(&mut self, factor: f64, vector: [f64; 3]) {
        for (g, v) in self.gradient.iter_mut().zip(vector) {
            *g += factor * v;
        }
    }
}

/// Half of the atom's pair energies and all triplets that it is the centre of; fills the gradients.
fn atom_energy(bonds: &mut [Bond]) -> f64 {
    let mut energy = 0.0;
    for bond in bonds.iter_mut() {
        let (pair, slope) = pair_term(bond.length);
        // Each pair is met from both sides.
        energy += 0.5 * pair;
        bond.add(0.5 * slope / bond.length, bond.vector);
    }
    for k in 1..bonds.len() {
        let (before, rest) = bonds.split_at_mut(k);
        for bond in before {
            energy += triplet(bond, &mut rest[0]);
        }
    }
    energy
}

/// The pair energy (eV) and its derivative (eV/Å) at a distance below the cutoff.
fn pair_term(r: f64) -> (f64, f64) {
    let gap = r - StillingerWeber::CUTOFF;
    let envelope = (SIGMA / gap).exp();
    let quartic = BIG_B * (SIGMA / r).powi(4);
    let value = BIG_A * EPSILON * (quartic - 1.0) * envelope;
    let slope = -BIG_A * EPSILON * 4.0 * quartic / r * envelope - value * SIGMA / (gap * gap);
    (value, slope)
}

/// `λε (cos θ + 1/3)² h(r1) h(r2)`; adds its gradient to the two bonds.
fn triplet(one: &mut Bond, two: &mut Bond) -> f64 {
    let product = one.length * two.length;
    let cosine = dot(one.vector, two.vector) / product;
    let delta = cosine + 1.0 / 3.0;
    let strength = LAMBDA * EPSILON * delta;
    let angular = 2.0 * strength * one.screen * two.screen;
    // d cos θ / d r1 = r2 / (|r1||r2|) - cos θ r1 / |r1|²
    let along_one = strength * delta * one.slope * two.screen / one.length
        - angular * cosine / (one.length * one.length);
    let along_two = strength * delta * one.screen * two.slope / two.length
        - angular * cosine / (two.length * two.length);
    let (r1, r2) = (one.vector, two.vector);
    one.add(along_one, r1);
    one.add(angular / product, r2);
    two.add(along_two, r2);
    two.add(angular / product, r1);
    strength * delta * one.screen * two.screen
}

impl Potential for StillingerWeber {
    fn energy_forces_virial(
        &mut self,
        structure: &Structure,
    ) -> Result<(f64, Vec<[f64; 3]>, [f64; 9])> {
        self.evaluate(structure)
    }
}

impl Labeller for StillingerWeber {
    fn name(&self) -> &str {
        "stillinger-weber"
    }

    fn settings(&self) -> String {
        format!(
            "Si epsilon={EPSILON} sigma={SIGMA} a={A_CUT} lambda={LAMBDA} gamma={GAMMA} A={BIG_A} B={BIG_B} p=4 q=0"
        )
    }

    fn label(&self, structure: &Structure, _workdir: &Path) -> Result<Verdict> {
        let (energy, forces, virial) = self.evaluate(structure)?;
        Ok(Verdict::Accepted(Label {
            energy,
            forces,
            virial: Some(virial),
            info: BTreeMap::from([("program".to_owned(), self.name().to_owned())]),
        }))
    }

    fn potential(&self) -> Option<Box<dyn nepal::Potential>> {
        Some(Box::new(*self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nepal::element::Element;
    use nepal::system::Cell;
    use nepal::units::EV_PER_A3_IN_GPA;

    /// The conventional cell of diamond, 8 atoms.
    fn diamond(a: f64) -> Structure {
        let quarter = [
            [0, 0, 0],
            [0, 2, 2],
            [2, 0, 2],
            [2, 2, 0],
            [1, 1, 1],
            [1, 3, 3],
            [3, 1, 3],
            [3, 3, 1],
        ];
        let positions = quarter
            .iter()
            .map(|q| q.map(|x| f64::from(x) * a / 4.0))
            .collect();
        let silicon = Element::from_symbol("Si").unwrap();
        Structure::new(
            Cell::orthorhombic([a; 3]).unwrap(),
            vec![silicon; 8],
            positions,
        )
        .unwrap()
    }

    /// Displaces the atoms by up to `amplitude`, reproducibly.
    fn rattled(mut structure: Structure, amplitude: f64) -> Structure {
        let mut state = 1u64;
        for x in structure.positions.iter_mut().flatten() {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            *x += ((state >> 11) as f64 / (1u64 << 52) as f64 - 1.0) * amplitude;
        }
        structure
    }

    fn energy(structure: &Structure) -> f64 {
        StillingerWeber.evaluate(structure).unwrap().0
    }

    #[test]
    fn diamond_has_the_published_energy_and_lattice_constant() {
        let (e, forces, virial) = StillingerWeber.evaluate(&diamond(5.431)).unwrap();
        // Two bonds of depth ε an atom, and no angle term; published as 4.336 eV.
        assert!((e / 8.0 + 2.0 * EPSILON).abs() < 1e-6, "{}", e / 8.0);
        assert!(forces.iter().flatten().all(|f| f.abs() < 1e-12));
        // Zero pressure at the published lattice constant, to the digits it is given with.
        assert!(virial[0].abs() / diamond(5.431).cell.volume() * EV_PER_A3_IN_GPA < 0.02);
    }

    /// Moves the atoms downhill until the forces vanish.
    fn relaxed(mut structure: Structure) -> Structure {
        for _ in 0..400 {
            let (_, forces, _) = StillingerWeber.evaluate(&structure).unwrap();
            for (r, f) in structure.positions.iter_mut().zip(&forces) {
                for a in 0..3 {
                    r[a] += 0.03 * f[a];
                }
            }
        }
        let (_, forces, _) = StillingerWeber.evaluate(&structure).unwrap();
        assert!(forces.iter().flatten().all(|f| f.abs() < 1e-9));
        structure
    }

    /// Stress per strain in GPa from a central difference of the virial.
    fn stiffness(strain: [[f64; 3]; 3], component: usize, relax: bool) -> f64 {
        let h = 1e-4;
        let stress = |sign: f64| {
            let strain = strain.map(|row| row.map(|x| x * h * sign));
            let mut structure = diamond(5.4309).strained(&strain).unwrap();
            if relax {
                structure = relaxed(structure);
            }
            let (_, _, virial) = StillingerWeber.evaluate(&structure).unwrap();
            -virial[component] / structure.cell.volume() * EV_PER_A3_IN_GPA
        };
        (stress(1.0) - stress(-1.0)) / (2.0 * h)
    }

    #[test]
    fn elastic_constants_are_the_published_ones() {
        // Balamane, Halicioglu and Tiller, Phys. Rev. B 46, 2250 (1992), for an ε scaled to a
        // cohesive energy of 4.63 eV; all stiffnesses are proportional to ε. The last is for frozen
        // internal coordinates.
        let scale = 2.0 * EPSILON / 4.63;
        let mut uniaxial = [[0.0; 3]; 3];
        uniaxial[0][0] = 1.0;
        let mut shear = [[0.0; 3]; 3];
        shear[1][2] = 0.5;
        shear[2][1] = 0.5;
        for (found, expected) in [
            (stiffness(uniaxial, 0, true), 161.6),
            (stiffness(uniaxial, 4, true), 81.6),
            (stiffness(shear, 5, true), 60.3),
            (stiffness(shear, 5, false), 117.2),
        ] {
            let expected = expected * scale;
            assert!(
                (found - expected).abs() < 0.005 * expected,
                "{found} {expected}"
            );
        }
    }

    #[test]
    fn forces_and_virial_are_derivatives_of_the_energy() {
        let skew = [[0.02, 0.03, -0.01], [0.0, -0.04, 0.02], [0.05, 0.0, 0.01]];
        let structure = rattled(diamond(5.3), 0.4).strained(&skew).unwrap();
        let (_, forces, virial) = StillingerWeber.evaluate(&structure).unwrap();
        let h = 1e-5;
        for (atom, force) in forces.iter().enumerate() {
            for (a, f) in force.iter().enumerate() {
                let shifted = |sign: f64| {
                    let mut moved = structure.clone();
                    moved.positions[atom][a] += sign * h;
                    energy(&moved)
                };
                let expected = -(shifted(1.0) - shifted(-1.0)) / (2.0 * h);
                assert!((f - expected).abs() < 1e-6 * f.abs().max(1.0));
            }
        }
        for a in 0..3 {
            for b in 0..3 {
                let strained = |sign: f64| {
                    let mut strain = [[0.0; 3]; 3];
                    strain[a][b] = sign * h;
                    energy(&structure.strained(&strain).unwrap())
                };
                let expected = -(strained(1.0) - strained(-1.0)) / (2.0 * h);
                assert!((virial[3 * a + b] - expected).abs() < 1e-5 * expected.abs().max(1.0));
            }
        }
    }

    #[test]
    fn energy_does_not_depend_on_the_description() {
        let structure = rattled(diamond(5.5), 0.5);
        let e = energy(&structure);
        assert!((energy(&structure.repeated([2, 1, 3]).unwrap()) - 6.0 * e).abs() < 1e-10);
        let mut moved = structure.clone();
        moved.positions.reverse();
        for r in &mut moved.positions {
            *r = [-r[0] + 17.3, -r[1] - 2.0, -r[2] + 0.4];
        }
        assert!((energy(&moved) - e).abs() < 1e-10);
        let (_, forces, _) = StillingerWeber.evaluate(&structure).unwrap();
        for a in 0..3 {
            assert!(forces.iter().map(|f| f[a]).sum::<f64>().abs() < 1e-11);
        }
    }

    #[test]
    fn energy_is_smooth_at_the_cutoff() {
        let dimer = |r: f64| {
            let silicon = Element::from_symbol("Si").unwrap();
            Structure::new(
                Cell::isolated(),
                vec![silicon; 2],
                vec![[0.0; 3], [r, 0.0, 0.0]],
            )
            .unwrap()
        };
        // The minimum of the pair term is -ε at 2^(1/6) σ by construction.
        assert!((energy(&dimer(2f64.powf(1.0 / 6.0) * SIGMA)) + EPSILON).abs() < 1e-6);
        for below in [1e-12, 1e-4, 1e-3, 3e-3, 1e-2] {
            let (e, forces, _) = StillingerWeber
                .evaluate(&dimer(StillingerWeber::CUTOFF - below))
                .unwrap();
            assert!(e.abs() < 1e-15 && forces[0][0].abs() < 1e-15, "{below}");
        }
        assert_eq!(energy(&dimer(StillingerWeber::CUTOFF + 1e-9)), 0.0);
    }

    #[test]
    fn other_elements_are_refused() {
        let mut structure = diamond(5.431);
        structure.elements[3] = Element::from_symbol("Ge").unwrap();
        let message = StillingerWeber
            .evaluate(&structure)
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("atom 3") && message.contains("Ge"),
            "{message}"
        );
    }
}
