//! A NEP as teacher.

use super::command::digest;
use super::{Label, Labeller, Verdict};
use crate::backend::BackendKind;
use crate::calculator::{Calculator, Potential};
use crate::error::Result;
use crate::model::Model;
use crate::system::Structure;
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
}
