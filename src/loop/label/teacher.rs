//! A NEP as teacher.

use super::setup::digest;
use super::{Label, Labeller, Verdict};
use nepal::BackendKind;
use nepal::calculator::{Calculator, Potential};
use nepal::error::Result;
use nepal::model::Model;
use nepal::system::Structure;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Settings of a [`NepTeacher`].
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NepTeacherSettings {
    /// The model, a `nep.txt` file.
    pub model: PathBuf,
}

/// Labels with a model that is already there: to distil it, or to try a campaign out.
///
/// Evaluates on the reference backend, so that labels are the same everywhere.
pub struct NepTeacher {
    model: Arc<Model>,
    digest: String,
}

impl NepTeacher {
    /// A teacher from its settings; a relative path starts at `base`.
    ///
    /// **Errors**: as [`Model::load`].
    pub fn new(settings: &NepTeacherSettings, base: &Path) -> Result<Self> {
        let path = base.join(&settings.model);
        Ok(Self {
            model: Arc::new(Model::load(&path)?),
            digest: digest(&path)?,
        })
    }
}

impl Labeller for NepTeacher {
    fn name(&self) -> &str {
        "nep"
    }

    fn settings(&self) -> String {
        format!("model sha256 {} reference backend", self.digest)
    }

    fn label(&self, structure: &Structure, _workdir: &Path) -> Result<Verdict> {
        let mut calculator = Calculator::new(self.model.clone(), BackendKind::Reference)?;
        let (energy, forces, virial) = calculator.energy_forces_virial(structure)?;
        Ok(Verdict::Accepted(Label {
            energy,
            forces,
            virial: Some(virial),
            info: BTreeMap::from([
                ("program".to_owned(), self.name().to_owned()),
                ("model_sha256".to_owned(), self.digest.clone()),
            ]),
        }))
    }

    fn potential(&self) -> Option<Box<dyn nepal::Potential>> {
        let calculator = Calculator::new(self.model.clone(), BackendKind::Cpu).ok()?;
        Some(Box::new(calculator))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nepal::element::Element;
    use nepal::error::Error;
    use nepal::system::Cell;

    #[test]
    fn a_nep_teaches_what_it_computes() {
        let base =
            Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).join("tests/data/c_2024_nep4");
        let settings = NepTeacherSettings {
            model: "nep.txt".into(),
        };
        let teacher = NepTeacher::new(&settings, &base).unwrap();
        let carbon = Element::from_symbol("C").unwrap();
        let cell = Cell::orthorhombic([3.6, 3.7, 3.5]).unwrap();
        let positions = vec![[0.0; 3], [0.9, 1.0, 0.8], [1.7, 1.9, 0.1]];
        let structure = Structure::new(cell, vec![carbon; 3], positions).unwrap();
        let Verdict::Accepted(label) = teacher.label(&structure, Path::new(".")).unwrap() else {
            panic!("rejected")
        };
        let mut calculator =
            Calculator::new(teacher.model.clone(), BackendKind::Reference).unwrap();
        let (energy, forces, virial) = calculator.energy_forces_virial(&structure).unwrap();
        assert_eq!(
            (label.energy, label.forces, label.virial),
            (energy, forces, Some(virial))
        );
        assert!(teacher.settings().contains(&label.info["model_sha256"]));
        let mut other = structure.clone();
        other.elements[0] = Element::from_symbol("Si").unwrap();
        let refused = teacher.label(&other, Path::new("."));
        assert!(matches!(refused, Err(Error::InvalidArgument(_))));
    }
}
