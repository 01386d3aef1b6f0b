//! What a label must satisfy besides what its program says.

use super::Label;
use nepal::error::{Error, Result};

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

    /// What is wrong with a label for a structure of `n_atoms`, if anything.
    pub fn violation(&self, label: &Label, n_atoms: usize) -> Option<String> {
        if label.forces.len() != n_atoms {
            return Some(format!(
                "the label has forces on {} atoms; the structure has {n_atoms}",
                label.forces.len()
            ));
        }
        let virial = label.virial.iter().flatten();
        if !label.energy.is_finite()
            || label
                .forces
                .iter()
                .flatten()
                .chain(virial)
                .any(|x| !x.is_finite())
        {
            return Some("the label holds numbers that are not finite".to_owned());
        }
        let length = |f: [f64; 3]| nepal::system::cell::norm(f);
        let largest = label.forces.iter().map(|&f| length(f)).enumerate();
        if let Some((atom, force)) = largest.max_by(|a, b| a.1.total_cmp(&b.1))
            && force > self.max_force
        {
            return Some(format!(
                "the force on atom {atom} is {force:.1} eV/Å; the limit max_force is {}",
                self.max_force
            ));
        }
        let sum: [f64; 3] = std::array::from_fn(|a| label.forces.iter().map(|f| f[a]).sum::<f64>());
        let net = length(sum) / n_atoms.max(1) as f64;
        (net > self.max_net_force).then(|| {
            format!(
                "the net force is {net:.1e} eV/Å per atom; the limit max_net_force is {:.1e} \
                 (is the plane-wave cutoff too low for the pseudopotential?)",
                self.max_net_force
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(forces: Vec<[f64; 3]>) -> Label {
        Label {
            energy: -1.0,
            forces,
            virial: Some([0.0; 9]),
            info: Default::default(),
        }
    }

    #[test]
    fn each_limit_has_its_reason() {
        let limits = Limits::default();
        let good = label(vec![[1.0, 0.0, 0.0], [-1.0, 0.0005, 0.0]]);
        assert_eq!(limits.violation(&good, 2), None);
        assert_eq!(limits.violation(&label(Vec::new()), 0), None);
        let reason = |label: &Label, n| limits.violation(label, n).unwrap();
        assert!(reason(&good, 3).contains("forces on 2 atoms"));
        let net = label(vec![[1.0, 0.0, 0.0], [-1.0, 0.003, 0.0]]);
        assert!(reason(&net, 2).contains("1.5e-3"));
        let large = label(vec![[0.0, 101.0, 0.0], [0.0, -101.0, 0.0]]);
        assert!(reason(&large, 2).contains("max_force"));
        let nan = Label {
            energy: f64::NAN,
            ..good.clone()
        };
        assert!(reason(&nan, 2).contains("not finite"));
        let mut virial = good.clone();
        virial.virial = Some([f64::INFINITY; 9]);
        assert!(reason(&virial, 2).contains("not finite"));
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
