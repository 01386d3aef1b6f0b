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
pub mod dft;
pub(crate) mod fill;
mod ladder;
pub(crate) mod lammps;
mod outputs;
mod process;
mod program;
mod runner;
mod served;
mod setup;
mod stillinger_weber;
mod teacher;

pub(crate) use ase::function as python_function;
pub use ase::{Ase, AseSettings};
pub use cache::{Entry, LabelCache, Rejection, label_key};
pub use checks::Limits;
pub use command::{CommandLabeller, CommandSettings};
pub use config::{LabellerConfig, NoSettings, from_config};
pub(crate) use config::{all_read, suggest};
pub(crate) use dft::found_label;
pub use dft::{Dft, DftSettings};
pub(crate) use ladder::replaced;
pub use lammps::{Lammps, LammpsSettings};
pub(crate) use outputs::last_lines;
pub use process::{Call, Ending, StopFlag};
pub(crate) use program::locate as find_program_file;
pub use program::{find_program, program_version};
pub use runner::{Attempt, LabelRunner, Next, Outcome};
pub(crate) use runner::{TIGHT, virials_missing};
pub use setup::ProgramSetup;
pub use stillinger_weber::StillingerWeber;
pub use teacher::{NepTeacher, NepTeacherSettings};

use nepal::error::{Error, Result};
use nepal::system::{Frame, Structure};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The key of a label's `info` that says why there is no virial.
pub(crate) const NO_VIRIAL: &str = "no_virial";

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
    /// Whether all numbers are.
    pub(crate) fn is_finite(&self) -> bool {
        let virial = self.virial.iter().flatten();
        let mut numbers = self.forces.as_flattened().iter().chain(virial);
        self.energy.is_finite() && numbers.all(|x| x.is_finite())
    }

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
    /// reason of a rejection, and spoils an output that looks well; `log` is the file of what the program said.
    fn with_ending(self, attempt: &Attempt<'_>, log: &str) -> Self {
        let interrupted = attempt.ending.is_interrupted();
        let failure = attempt.ending.failure(attempt.timeout);
        let (reason, cause) = match (self, failure) {
            (verdict, None) if !interrupted => return verdict,
            (accepted @ Self::Accepted(_), None) => return accepted,
            (Self::Accepted(_), Some(failure)) => (
                format!(
                    "{failure} although the output looks complete; it said last: {}",
                    outputs::last_lines(&attempt.workdir.join(log), 2)
                ),
                Cause::Untrusted,
            ),
            (Self::Rejected { reason, cause, .. }, Some(failure)) => {
                (format!("{reason}; {failure}"), cause)
            }
            (Self::Rejected { reason, cause, .. }, None) => (reason, cause),
        };
        Self::Rejected {
            reason,
            kept: None,
            // An SCF that was given up is no less so for what happened afterwards.
            cause: match cause {
                Cause::Untrusted if interrupted => Cause::Interrupted,
                cause => cause,
            },
        }
    }
}

/// Energy (eV), forces (eV/Å) and, where there is one, virial (eV) of a structure.
pub type Part = (f64, Vec<[f64; 3]>, Option<[f64; 9]>);

/// A method that is asked about one structure after the other.
pub type Ask = Box<dyn FnMut(&Structure) -> Result<Part> + Send>;

/// A potential as such a method.
fn ask_potential(mut potential: Box<dyn nepal::Potential>) -> Ask {
    Box::new(move |structure| {
        let (energy, forces, virial) = potential.energy_forces_virial(structure)?;
        Ok((energy, forces, Some(virial)))
    })
}

/// A reference method.
pub trait Labeller: Send + Sync {
    /// Name of the method, such as `cp2k`.
    fn name(&self) -> &str;

    /// Everything besides the structure that determines the result: template, potentials, program
    /// version. Part of the cache key, so it must not depend on the machine or the time.
    fn settings(&self) -> String;

    /// Whether the method takes a structure, as far as that can be known without running anything.
    ///
    /// **Errors**: [`Error::InvalidArgument`] with what the method cannot do.
    fn check(&self, _structure: &Structure) -> Result<()> {
        Ok(())
    }

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

    /// The verdict on the files that the program of [`Labeller::prepare`] left in the work folder.
    ///
    /// A [`Verdict::Rejected`] is about this structure: the program ran and gave nothing to trust; or,
    /// with [`Cause::Interrupted`], it did not come to its end.
    ///
    /// **Errors**: [`Error::Internal`] for a method without a program.
    fn collect(&self, _structure: &Structure, _attempt: &Attempt<'_>) -> Result<Verdict> {
        Err(Error::Internal(format!(
            "the method {} has no program whose files could be read",
            self.name()
        )))
    }

    /// How the method runs its program; `None` if labels are computed in this process, by
    /// [`Labeller::label`] alone.
    fn setup(&self) -> Option<&ProgramSetup> {
        None
    }

    /// Settings to try in turn, in words, when the SCF does not converge. They change how it gets there,
    /// never what it converges to, and are no part of [`Labeller::settings`].
    fn rungs(&self) -> Vec<String> {
        self.setup().map_or_else(Vec::new, |s| s.rungs.clone())
    }

    /// Tighter settings for a second look at a label, in words: those of the rung after the last of
    /// [`Labeller::rungs`]. Another way to the same result, to higher precision; no part of
    /// [`Labeller::settings`] either.
    fn tight(&self) -> Option<String> {
        self.setup()?.tight.clone()
    }

    /// Whether labels are computed in this process.
    fn in_process(&self) -> bool {
        self.setup().is_none()
    }

    /// Raised when programs have to end.
    fn stop(&self) -> StopFlag {
        self.setup()
            .map_or_else(StopFlag::default, |s| s.stop.clone())
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
        let attempt = Attempt {
            rung,
            workdir,
            ending: call.run(&self.stop())?,
            timeout: call.timeout,
            seconds: 0.0,
        };
        self.collect(structure, &attempt)
    }

    /// The method as a potential for dynamics, if it is fast enough for that.
    fn potential(&self) -> Option<Box<dyn nepal::Potential>> {
        None
    }

    /// The method for many structures in a row, by what stays in between; `None` where each takes a run of its own.
    ///
    /// **Errors**: a program that cannot be started.
    fn asked(&self) -> Result<Option<Ask>> {
        Ok(self.potential().map(ask_potential))
    }

    /// Processor cores that one labelling keeps busy.
    fn cores(&self) -> usize {
        self.setup().map_or(1, |s| s.cores)
    }
}
