//! Reference methods that label structures with energies, forces and virials.
//!
//! A [`Labeller`] turns a structure into a [`Verdict`]; [`LabelRunner`] puts the checks and the
//! [`LabelCache`] around it, and is what a campaign calls. Knows nothing of where or when jobs run.

mod ase;
mod cache;
mod checks;
mod command;
mod config;
pub mod cp2k;
pub mod dft;
pub(crate) mod fill;
pub(crate) mod lammps;
mod process;
mod program;
mod runner;
mod stillinger_weber;
mod teacher;

pub use ase::{Ase, AseSettings};
pub use cache::{Entry, LabelCache, label_key};
pub use checks::Limits;
pub use command::{CommandLabeller, CommandSettings};
pub(crate) use config::words;
pub use config::{LabellerConfig, NoSettings, from_config};
pub use cp2k::{Cp2k, Cp2kSettings};
pub use dft::{Dft, DftSettings};
pub use lammps::{Lammps, LammpsSettings};
pub use process::{Call, Ending, StopFlag};
pub use program::{find_program, program_version};
pub use runner::{LabelRunner, Outcome};
pub use stillinger_weber::StillingerWeber;
pub use teacher::{NepTeacher, NepTeacherSettings};

use crate::error::Result;
use crate::system::{Frame, Structure};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What a reference method says of a structure.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Label {
    /// Total energy in eV; the free energy where the method smears occupations.
    pub energy: f64,
    /// Forces in eV/Å. Shape `[n_atoms]`.
    pub forces: Vec<[f64; 3]>,
    /// Virial in eV, `-dE/d(strain)`, `xx xy xz yx yy yz zx zy zz`.
    pub virial: Option<[f64; 9]>,
    /// Where it comes from: program, version, SCF steps and the like.
    pub info: BTreeMap<String, String>,
}

impl Label {
    /// The structure with this label, as a data set keeps it; `info` goes into the comment line.
    pub fn frame(&self, structure: &Structure) -> Frame {
        Frame {
            energy: Some(self.energy),
            forces: Some(self.forces.clone()),
            virial: self.virial,
            info: self.info.clone(),
            ..Frame::new(structure.clone())
        }
    }
}

/// The outcome of a labelling that ran.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// A label to train on.
    Accepted(Label),
    /// No label, or none to trust.
    Rejected {
        /// Why: SCF not converged, net force, crashed, timed out, truncated output.
        reason: String,
        /// The folder with the program's files, if there are any.
        kept: Option<PathBuf>,
    },
}

impl Verdict {
    /// A rejection that leaves no files behind.
    pub fn rejected(reason: impl Into<String>) -> Self {
        Self::Rejected {
            reason: reason.into(),
            kept: None,
        }
    }

    /// The verdict of an output once it is known how its program ended: a failure is added to the
    /// reason of a rejection, and spoils an output that looks well; `log` is what the program said.
    fn with_failure(self, failure: Option<String>, log: &Path) -> Self {
        match (self, failure) {
            (Self::Accepted(_), Some(failure)) => Self::rejected(format!(
                "{failure} although the output looks complete; it said last: {}",
                process::last_lines(log, 2)
            )),
            (Self::Rejected { reason, kept }, Some(failure)) => Self::Rejected {
                reason: format!("{reason}; {failure}"),
                kept,
            },
            (verdict, None) => verdict,
        }
    }
}

/// A reference method.
pub trait Labeller: Send + Sync {
    /// Name of the method, such as `cp2k`.
    fn name(&self) -> &str;

    /// Everything besides the structure that determines the result: template, potentials, program
    /// version. Part of the cache key, so it must not depend on the machine or the time.
    fn settings(&self) -> String;

    /// Labels a structure; files go into `workdir`, which exists and is empty.
    ///
    /// A [`Verdict::Rejected`] is about this structure: the program ran and gave nothing to trust.
    ///
    /// **Errors**: what is wrong with the set-up and would fail for every structure (program
    /// missing, template unreadable), a structure that the method cannot take, or a stop request.
    fn label(&self, structure: &Structure, workdir: &Path) -> Result<Verdict>;

    /// The method as a potential for dynamics, if it is fast enough for that.
    fn potential(&self) -> Option<Box<dyn crate::Potential>> {
        None
    }

    /// Processor cores that one labelling keeps busy.
    fn cores(&self) -> usize {
        1
    }
}
