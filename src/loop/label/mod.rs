//! Reference methods that label structures with energies, forces and virials.
//!
//! A [`Labeller`] turns a structure into a [`Verdict`]; [`LabelRunner`] puts the checks and the
//! [`LabelCache`] around it, and is what a campaign calls. Knows nothing of where or when jobs run.

mod ase;
pub mod baseline;
mod cache;
mod checks;
mod command;
mod config;
pub mod cp2k;
pub mod dft;
pub(crate) mod fill;
mod ladder;
pub(crate) mod lammps;
mod process;
mod program;
mod runner;
mod stillinger_weber;
mod teacher;

pub use ase::{Ase, AseSettings};
pub use cache::{Entry, LabelCache, Rejection, label_key};
pub use checks::Limits;
pub use command::{CommandLabeller, CommandSettings};
pub use config::{LabellerConfig, NoSettings, from_config};
pub use cp2k::{Cp2k, Cp2kSettings};
pub use dft::{Dft, DftSettings};
pub(crate) use ladder::replaced;
pub use lammps::{Lammps, LammpsSettings};
pub use process::{Call, Ending, StopFlag};
pub(crate) use program::locate as find_program_file;
pub use program::{find_program, program_version};
pub(crate) use runner::TIGHT;
pub use runner::{Attempt, LabelRunner, Next, Outcome};
pub use stillinger_weber::StillingerWeber;
pub use teacher::{NepTeacher, NepTeacherSettings};

use nepal::error::{Error, Result};
use nepal::system::{Frame, Structure};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

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
        /// What kind of reason it is, and so what may help.
        cause: Cause,
    },
}

/// Why there is no label, as far as it decides what to do next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// The program ran to its end and gave nothing to trust.
    #[default]
    Untrusted,
    /// The SCF did not converge: other settings may get there, see [`Labeller::rungs`].
    Unconverged,
    /// The program never came to its end (time, memory, disk, a node): says nothing of the structure.
    Interrupted,
}

/// What a parser holds against an output.
#[derive(Clone, Debug, PartialEq)]
struct Fault {
    reason: String,
    cause: Cause,
}

impl Fault {
    /// An SCF that did not converge.
    fn unconverged(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            cause: Cause::Unconverged,
        }
    }

    /// An output that stops early.
    fn cut(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            cause: Cause::Interrupted,
        }
    }
}

impl<T: Into<String>> From<T> for Fault {
    fn from(reason: T) -> Self {
        Self {
            reason: reason.into(),
            cause: Cause::Untrusted,
        }
    }
}

impl From<Fault> for Verdict {
    fn from(fault: Fault) -> Self {
        Self::Rejected {
            reason: fault.reason,
            kept: None,
            cause: fault.cause,
        }
    }
}

impl Verdict {
    /// A rejection that leaves no files behind.
    pub fn rejected(reason: impl Into<String>) -> Self {
        Fault::from(reason.into()).into()
    }

    /// The verdict of an output once it is known how its program ended: a failure is added to the
    /// reason of a rejection, and spoils an output that looks well; `log` is what the program said.
    fn with_ending(self, ending: Ending, timeout: Duration, log: &Path) -> Self {
        let interrupted = ending.is_interrupted();
        match (self, ending.failure(timeout)) {
            (Self::Accepted(_), Some(failure)) => Self::Rejected {
                reason: format!(
                    "{failure} although the output looks complete; it said last: {}",
                    process::last_lines(log, 2)
                ),
                kept: None,
                cause: if interrupted {
                    Cause::Interrupted
                } else {
                    Cause::Untrusted
                },
            },
            (
                Self::Rejected {
                    reason,
                    kept,
                    cause,
                },
                failure,
            ) => Self::Rejected {
                reason: match failure {
                    Some(failure) => format!("{reason}; {failure}"),
                    None => reason,
                },
                kept,
                // An SCF that was given up is no less so for what happened afterwards.
                cause: if interrupted && cause == Cause::Untrusted {
                    Cause::Interrupted
                } else {
                    cause
                },
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

    /// Writes what a program reads into `workdir`, which exists and is empty, and tells which program
    /// to run there; `None` for a method that computes in this process.
    ///
    /// `rung` counts attempts at an SCF that did not converge: 0 are the settings themselves, others
    /// those of [`Labeller::rungs`], and the one after these is [`Labeller::tight`].
    ///
    /// **Errors**: what is wrong with the set-up and would fail for every structure (template
    /// unreadable), or a structure that the method cannot take.
    fn prepare(
        &self,
        _structure: &Structure,
        _rung: usize,
        _workdir: &Path,
    ) -> Result<Option<Call>> {
        Ok(None)
    }

    /// The verdict on the files that the program of [`Labeller::prepare`] left in `workdir`.
    ///
    /// A [`Verdict::Rejected`] is about this structure: the program ran and gave nothing to trust; or,
    /// with [`Cause::Interrupted`], it did not come to its end.
    ///
    /// **Errors**: [`Error::Internal`] for a method without a program.
    fn collect(
        &self,
        _structure: &Structure,
        _workdir: &Path,
        _ending: Ending,
        _timeout: Duration,
    ) -> Result<Verdict> {
        Err(Error::Internal(format!(
            "the method {} has no program whose files could be read",
            self.name()
        )))
    }

    /// Settings to try in turn, in words, when the SCF does not converge. They change how it gets there,
    /// never what it converges to, and are no part of [`Labeller::settings`].
    fn rungs(&self) -> Vec<String> {
        Vec::new()
    }

    /// Tighter settings for a second look at a label, in words: those of the rung after the last of
    /// [`Labeller::rungs`]. Another way to the same result, to higher precision; no part of
    /// [`Labeller::settings`] either.
    fn tight(&self) -> Option<String> {
        None
    }

    /// Whether labels are computed in this process, by [`Labeller::label`] alone.
    fn in_process(&self) -> bool {
        false
    }

    /// Raised when programs have to end.
    fn stop(&self) -> StopFlag {
        StopFlag::default()
    }

    /// Labels a structure with the settings themselves, here and now.
    ///
    /// **Errors**: those of [`Labeller::prepare`], a program that is missing, or a stop request.
    fn label(&self, structure: &Structure, workdir: &Path) -> Result<Verdict> {
        self.label_at(structure, 0, workdir)
    }

    /// The same with the settings of a rung.
    ///
    /// **Errors**: those of [`Labeller::label`].
    fn label_at(&self, structure: &Structure, rung: usize, workdir: &Path) -> Result<Verdict> {
        let call = self.prepare(structure, rung, workdir)?.ok_or_else(|| {
            Error::Internal(format!("the method {} has no program to run", self.name()))
        })?;
        let ending = call.run(&self.stop())?;
        self.collect(structure, workdir, ending, call.timeout)
    }

    /// The method as a potential for dynamics, if it is fast enough for that.
    fn potential(&self) -> Option<Box<dyn nepal::Potential>> {
        None
    }

    /// Processor cores that one labelling keeps busy.
    fn cores(&self) -> usize {
        1
    }
}
