//! What a label must satisfy besides what its program says, and that it is of the structure that was asked for.

use super::Label;
use nepal::error::{Error, Result};
use nepal::system::Structure;
use nepal::system::cell::{norm, sub};

/// Largest difference of a lattice vector that was asked for and one that was computed, Å: CP2K prints three decimals.
const CELL: f64 = 1e-3;
/// The same of a position, apart from lattice translations, Å: VASP prints five decimals.
const POSITION: f64 = 1e-4;
/// Most cells that an image of an atom may be away.
const FARTHEST: f64 = 1e6;
/// The same of a cutoff, as a share of it: CP2K prints one decimal of a hartree.
const CUTOFF: f64 = 5e-3;

/// What a program says of the calculation that it did, as far as it says it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Echo {
    /// Element of each atom, that of its pseudopotential where the program tells it.
    pub elements: Option<Vec<String>>,
    /// Lattice vectors as rows, Å.
    pub cell: Option<[[f64; 3]; 3]>,
    /// Which of them are periodic.
    pub periodic: Option<[bool; 3]>,
    /// Å, any image.
    pub positions: Option<Vec<[f64; 3]>>,
    /// For how many sets of positions forces were printed.
    pub ionic_steps: Option<usize>,
    /// Mesh of k-points.
    pub mesh: Option<[usize; 3]>,
    /// Cutoff of the basis, in the program's unit.
    pub cutoff: Option<f64>,
}

impl Echo {
    /// In what the calculation differs from the one that was asked for, if in anything.
    pub fn contradiction(&self, asked: &Structure, cutoff: Option<f64>) -> Option<String> {
        if let Some(steps) = self.ionic_steps
            && steps != 1
        {
            return Some(format!(
                "the output has forces of {steps} ionic steps; expected one: the input must ask for a single point, \
                 not for a relaxation or dynamics"
            ));
        }
        if let Some(reason) = self.other_elements(asked) {
            return Some(reason);
        }
        let periodic = asked.cell.periodic();
        if let Some(found) = self.periodic
            && found != periodic
        {
            return Some(format!(
                "the output is periodic along {}, the structure along {}",
                directions(found),
                directions(periodic)
            ));
        }
        let vectors = asked.cell.vectors();
        for (d, found) in self.cell.iter().flatten().enumerate() {
            if periodic[d] && !(norm(sub(*found, vectors[d])) <= CELL) {
                return Some(format!(
                    "the output is of another cell: lattice vector {} is {found:?} Å, {:?} Å in the structure",
                    d + 1,
                    vectors[d]
                ));
            }
        }
        for (atom, found) in self.positions.iter().flatten().enumerate() {
            let Some(wanted) = asked.positions.get(atom) else {
                break;
            };
            let mut s = asked.cell.fractional(sub(*found, *wanted));
            // Farther images have lost the digits that count.
            let far = s.iter().any(|x| !(x.abs() < FARTHEST));
            for (x, _) in s.iter_mut().zip(periodic).filter(|(_, on)| *on) {
                *x -= x.round();
            }
            if far || !(norm(asked.cell.cartesian(s)) <= POSITION) {
                return Some(format!(
                    "the output has other positions: atom {atom} is at {found:?} Å, at {wanted:?} Å in the structure \
                     (a labeller must not move or reorder atoms)"
                ));
            }
        }
        match (self.cutoff, cutoff) {
            (Some(found), Some(wanted)) if !((found - wanted).abs() <= CUTOFF * wanted) => {
                Some(format!(
                    "the output is of other settings: the cutoff is {found}, {wanted} in the input"
                ))
            }
            _ => None,
        }
    }

    fn other_elements(&self, asked: &Structure) -> Option<String> {
        let n = asked.len();
        for count in [
            self.elements.as_ref().map(Vec::len),
            self.positions.as_ref().map(Vec::len),
        ] {
            if count.is_some_and(|count| count != n) {
                return Some(format!(
                    "the output is of {} atoms, the structure has {n}",
                    count.unwrap_or_default()
                ));
            }
        }
        let mut pairs = self.elements.iter().flatten().zip(&asked.elements);
        let atom = pairs.position(|(found, wanted)| found != wanted.symbol())?;
        Some(format!(
            "atom {atom} was computed as {}, it is {} in the structure: other elements or pseudopotentials, or the \
             same in another order",
            self.elements.as_ref()?[atom],
            asked.elements[atom]
        ))
    }
}

/// `a b` for a cell that is periodic along its first two vectors.
fn directions(periodic: [bool; 3]) -> String {
    let names = ["a", "b", "c"].into_iter().zip(periodic);
    let names: Vec<&str> = names.filter_map(|(name, on)| on.then_some(name)).collect();
    match names.is_empty() {
        true => "none".to_owned(),
        false => names.join(" "),
    }
}

/// Energies that no calculation gives, eV per atom: below twice what all electrons of the elements are bound with
/// (Thomas-Fermi, 0.7687 hartree Z^(7/3)), and above anything that condensed matter withstands.
fn absurd(energy: f64, structure: &Structure) -> bool {
    let bound = |z: usize| 0.7687 * nepal::units::HARTREE * (z as f64).powf(7.0 / 3.0);
    let electrons: f64 = structure.elements.iter().map(|e| bound(e.number())).sum();
    let room = 1000.0 * structure.len().max(1) as f64;
    energy > room || energy < -2.0 * electrons - room
}

/// Limits that a label must keep to be trained on.
///
/// They are no part of the cache key: changed limits act on labels that are already there.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Largest force on one atom, eV/Å.
    pub max_force: f64,
    /// Largest length of the sum of all forces, divided by the number of atoms, eV/Å. A converged
    /// calculation is far below; one with too coarse a grid is not.
    pub max_net_force: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_force: 100.0,
            max_net_force: 1e-3,
        }
    }
}

impl Limits {
    /// Refuses limits that would refuse or accept everything.
    ///
    /// **Errors**: [`Error::InvalidArgument`] for limits that are not positive.
    pub fn validate(&self) -> Result<()> {
        for (key, value) in [
            ("max_force", self.max_force),
            ("max_net_force", self.max_net_force),
        ] {
            if value.is_nan() || value <= 0.0 {
                return Err(Error::invalid(format!(
                    "limits: {key} must be a positive number of eV/Å; found {value}"
                )));
            }
        }
        Ok(())
    }

    /// What is wrong with a label for a structure, if anything.
    pub fn violation(&self, label: &Label, structure: &Structure) -> Option<String> {
        let n_atoms = structure.len();
        if label.forces.len() != n_atoms {
            return Some(format!(
                "the label has forces on {} atoms; the structure has {n_atoms}",
                label.forces.len()
            ));
        }
        if !label.is_finite() {
            return Some("the label holds numbers that are not finite".to_owned());
        }
        if absurd(label.energy, structure) {
            return Some(format!(
                "the energy is {:.3e} eV for {n_atoms} atoms, which no method gives (is it in eV?)",
                label.energy
            ));
        }
        let largest = label.forces.iter().map(|&f| norm(f)).enumerate();
        if let Some((atom, force)) = largest.max_by(|a, b| a.1.total_cmp(&b.1))
            && force > self.max_force
        {
            return Some(format!(
                "the force on atom {atom} is {force:.1} eV/Å; the limit max_force is {}",
                self.max_force
            ));
        }
        let sum: [f64; 3] = std::array::from_fn(|a| label.forces.iter().map(|f| f[a]).sum::<f64>());
        let net = norm(sum) / n_atoms.max(1) as f64;
        if net > self.max_net_force {
            return Some(format!(
                "the net force is {net:.1e} eV/Å per atom; the limit max_net_force is {:.1e} \
                 (is the plane-wave cutoff too low for the pseudopotential?)",
                self.max_net_force
            ));
        }
        // Rotating everything costs no energy, so a virial is symmetric up to what a program rounds.
        let w = label.virial?;
        let room = 1e-2 * w.iter().fold(0.0, |m: f64, x| m.max(x.abs())) + 1e-3 * n_atoms as f64;
        let twist = [(1, 3), (2, 6), (5, 7)].map(|(i, j)| (w[i] - w[j]).abs());
        twist.iter().any(|&x| x > room).then(|| {
            "the virial is not symmetric; expected xx xy xz yx yy yz zx zy zz in eV".to_owned()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nepal::element::Element;
    use nepal::system::Cell;

    fn label(forces: Vec<[f64; 3]>) -> Label {
        Label {
            energy: -1.0,
            forces,
            virial: Some([0.0; 9]),
            info: Default::default(),
        }
    }

    fn salt() -> Structure {
        let elements = ["Na", "Cl"].map(|s| Element::from_symbol(s).unwrap());
        let cell = Cell::new(
            [[4.0, 0.0, 0.0], [0.5, 5.0, 0.0], [0.0, 0.0, 6.0]],
            [true, true, false],
        );
        let positions = vec![[0.1, 0.0, 0.0], [2.0, 2.0, 2.0]];
        Structure::new(cell.unwrap(), elements.into(), positions).unwrap()
    }

    #[test]
    fn each_limit_has_its_reason() {
        let limits = Limits::default();
        let salt = salt();
        let good = label(vec![[1.0, 0.0, 0.0], [-1.0, 0.0005, 0.0]]);
        assert_eq!(limits.violation(&good, &salt), None);
        let reason = |label: &Label| limits.violation(label, &salt).unwrap();
        assert!(reason(&label(vec![[0.0; 3]; 3])).contains("forces on 3 atoms"));
        let net = label(vec![[1.0, 0.0, 0.0], [-1.0, 0.003, 0.0]]);
        assert!(reason(&net).contains("1.5e-3"));
        let large = label(vec![[0.0, 101.0, 0.0], [0.0, -101.0, 0.0]]);
        assert!(reason(&large).contains("max_force"));
        let with_energy = |energy| Label {
            energy,
            ..good.clone()
        };
        assert!(reason(&with_energy(f64::NAN)).contains("not finite"));
        for absurd in [1e30, -1e30, 5e3, -1e6] {
            assert!(reason(&with_energy(absurd)).contains("no method"));
        }
        // All electrons of both atoms: -621.8 hartree.
        assert_eq!(limits.violation(&with_energy(-16921.0), &salt), None);
        let with_virial = |virial| Label {
            virial: Some(virial),
            ..good.clone()
        };
        assert!(reason(&with_virial([f64::INFINITY; 9])).contains("not finite"));
        let twisted = [1.0, 0.5, 0.0, -0.5, 1.0, 0.0, 0.0, 0.0, 1.0];
        assert!(reason(&with_virial(twisted)).contains("not symmetric"));
        let rounded = [10.0, 0.5, 0.0, 0.51, 1.0, 0.0, 0.0, 0.0, 1.0];
        assert_eq!(limits.violation(&with_virial(rounded), &salt), None);
    }

    #[test]
    fn a_label_is_of_the_structure_that_was_asked_for() {
        let salt = salt();
        let own = Echo {
            elements: Some(vec!["Na".to_owned(), "Cl".to_owned()]),
            cell: Some(*salt.cell.vectors()),
            periodic: Some([true, true, false]),
            positions: Some(salt.positions.clone()),
            ionic_steps: Some(1),
            cutoff: Some(400.0),
            ..Echo::default()
        };
        assert_eq!(own.contradiction(&salt, Some(400.0)), None);
        assert_eq!(Echo::default().contradiction(&salt, Some(400.0)), None);
        let refused = |change: &dyn Fn(&mut Echo)| {
            let mut echo = own.clone();
            change(&mut echo);
            echo.contradiction(&salt, Some(400.0)).unwrap_or_default()
        };
        let elements = |found: [&str; 2]| Some(found.map(str::to_owned).into());
        assert!(refused(&|e| e.elements = elements(["Cl", "Na"])).contains("computed as Cl"));
        assert!(refused(&|e| e.elements = Some(vec!["Na".to_owned()])).contains("1 atoms"));
        assert!(refused(&|e| e.periodic = Some([true; 3])).contains("a b c"));
        let stretched = [[4.01, 0.0, 0.0], [0.5, 5.0, 0.0], [0.0, 0.0, 6.0]];
        assert!(refused(&|e| e.cell = Some(stretched)).contains("another cell"));
        assert!(refused(&|e| e.ionic_steps = Some(7)).contains("7 ionic steps"));
        assert!(refused(&|e| e.cutoff = Some(300.0)).contains("cutoff"));
        let moved = |d: [f64; 3]| {
            let mut all = salt.positions.clone();
            all[1] = std::array::from_fn(|a| all[1][a] + d[a]);
            Some(all)
        };
        assert!(refused(&|e| e.positions = moved([0.001, 0.0, 0.0])).contains("atom 1"));
        assert!(refused(&|e| e.positions = moved([0.0, 0.0, 6.0])).contains("atom 1"));
        for nowhere in [f64::NAN, f64::INFINITY, 2.2e111] {
            assert!(refused(&|e| e.positions = moved([nowhere, 0.0, 0.0])).contains("atom 1"));
            assert!(refused(&|e| e.cell = Some([[nowhere; 3]; 3])).contains("another cell"));
        }
        // Another image of an atom is the same atom; open directions have neither images nor a length.
        assert_eq!(refused(&|e| e.positions = moved([4.5, 5.0, 0.0])), "");
        let vacuum = [[4.0, 0.0, 0.0], [0.5, 5.0, 0.0], [0.0, 0.0, 60.0]];
        assert_eq!(refused(&|e| e.cell = Some(vacuum)), "");
    }

    #[test]
    fn limits_must_be_positive() {
        assert!(Limits::default().validate().is_ok());
        let zero = Limits {
            max_force: 0.0,
            ..Limits::default()
        };
        assert!(
            zero.validate()
                .unwrap_err()
                .to_string()
                .contains("max_force")
        );
    }
}
