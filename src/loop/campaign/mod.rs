//! The campaign: configuration, journal, rounds of explore, select, label and train, the stop
//! rules, and the report.
//!
//! A campaign is a directory. Each step is journalled before it is acted on, is deterministic, and
//! leaves its files in one step, so that a run killed at any moment continues to the same result.
//! Labels live in a content-addressed cache and are computed once.

mod against;
pub mod audit;
pub mod cite;
mod collect;
mod config;
mod delta;
mod engines;
mod event;
mod export;
mod ground;
pub mod held_out;
mod identity;
pub mod import;
mod jobs;
pub mod journal;
mod labelling;
mod ledger;
mod live;
pub mod minima;
mod pause;
mod plan;
pub mod properties;
pub mod report;
mod rounds;
mod selection;
mod sources;
mod status;
mod steps;
pub mod stop;
mod store;
mod training;
pub mod validate;

pub use against::Against;
pub use config::{
    BudgetConfig, Config, FragmentConfig, FragmentMode, GradeConfig, Harmonic, LabelSection, Melt,
    MinimaConfig, ModelConfig, PropertiesConfig, Rung, Scenario, SelectConfig, Slab, Source, Stage,
    StopConfig, ValidateConfig,
};
pub use engines::{EngineConfig, EngineKind};
pub use event::{Event, Observer, Silent};
pub use ledger::Spent;
pub use live::Live;
pub use pause::{Group, Pause, PausedBy};
pub use plan::Plan;
pub use selection::{
    EnergyRule, Method, Picked, SIGMA_COLUMN, candidate_frame, ensemble, select_structures,
    select_structures_on,
};
pub use status::{LabelCounts, Status};
pub use store::{ExploreRecord, RoundRecord, SelectedRecord};

use crate::label::baseline::Baseline;
use crate::label::{Labeller, StopFlag};
use journal::Journal;
use nepal::error::{Error, Result};
use nepal_train::NepIn;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// A campaign that can be run.
pub struct Campaign {
    config: Config,
    /// Folder of the TOML file, which paths in it refer to.
    base: PathBuf,
    /// Where everything goes.
    directory: PathBuf,
    nep_in: NepIn,
    stop: StopFlag,
    labeller: OnceLock<Arc<dyn Labeller>>,
    baseline: OnceLock<Baseline>,
    /// Whether labels may be given up for settings that changed.
    accept_changes: bool,
    /// The campaign that this one was found to be a copy of.
    copied_from: OnceLock<PathBuf>,
}

/// How a campaign ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The stop rule that held, in words.
    pub reason: String,
    /// Whether the goal was reached, rather than a budget used up.
    pub converged: bool,
    /// The final model.
    pub model: PathBuf,
    /// Its active set.
    pub active_set: PathBuf,
    /// The report.
    pub report: PathBuf,
    /// Rounds of exploration.
    pub rounds: usize,
    /// Labels spent, test set included.
    pub labels: usize,
}

/// What ends a run before its goal: the user asked, or an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupted {
    /// [`Observer::stop_requested`] became true; run again to continue.
    Asked,
}

/// What a single pass over a campaign came to.
#[derive(Clone, Debug)]
pub enum StepOutcome {
    /// The campaign is finished.
    Finished(Outcome),
    /// Jobs are out; in words. Step again later.
    Waiting(String),
    /// The user asked to stop.
    Interrupted,
}

impl Campaign {
    /// Reads a campaign file and prepares its parts; touches nothing on disk. `stop` ends programs that
    /// label.
    ///
    /// **Errors**: those of [`Config::load`] and of `nep.in`.
    pub fn load(path: &Path, stop: StopFlag) -> Result<Self> {
        let config = Config::load(path)?;
        let base = path
            .parent()
            .filter(|p| !p.as_os_str().is_empty())
            .map_or_else(|| PathBuf::from("."), Path::to_owned);
        let name = format!("{} [model] nep_in", path.display());
        let nep_in = NepIn::parse(&config.model.nep_in, &name)?;
        if nep_in.kind != nepal::model::Kind::Potential {
            return Err(Error::Unsupported(format!(
                "{name}: a campaign makes potentials, not models of {}; remove model_type and charge_mode",
                nep_in.kind.name()
            )));
        }
        if nep_in.budget.is_some() {
            return Err(Error::invalid(format!(
                "{name}: a campaign trains by epochs, so that a run that is killed ends like one that is not; \
                 remove `budget` and set first_epochs, epochs and final_epochs in [model]"
            )));
        }
        Ok(Self::of_parts(config, base, nep_in, stop))
    }

    fn of_parts(config: Config, base: PathBuf, nep_in: NepIn, stop: StopFlag) -> Self {
        Self {
            directory: base.join(&config.directory),
            config,
            base,
            nep_in,
            stop,
            labeller: OnceLock::new(),
            baseline: OnceLock::new(),
            accept_changes: false,
            copied_from: OnceLock::new(),
        }
    }

    /// Where the final model is, and the labels that it is judged by.
    fn final_folder(&self) -> PathBuf {
        self.directory.join("final")
    }

    /// The same campaign, which goes on with settings that changed since the last run although labels that are there
    /// are given up for them.
    #[must_use]
    pub fn accepting_changes(mut self) -> Self {
        self.accept_changes = true;
        self
    }

    /// Whether what the campaign has written down about its steps and jobs can be read.
    ///
    /// **Errors**: [`Error::Parse`] naming file and line of a record that is spoilt; [`Error::Io`].
    pub fn intact(&self) -> Result<()> {
        journal::finished_steps(&self.directory)?;
        for folder in self.queues() {
            crate::schedule::Queue::open_in(&folder)?;
        }
        Ok(())
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The campaign's directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The reference method; looked for when first needed, so that a campaign can be told of where
    /// its program is not installed.
    ///
    /// **Errors**: those of [`crate::label::from_config`].
    pub fn labeller(&self) -> Result<&Arc<dyn Labeller>> {
        if self.labeller.get().is_none() {
            let made =
                crate::label::from_config(&self.config.label.method, &self.base, &self.stop)?;
            // Another thread may have been faster; both made the same.
            let _ = self.labeller.set(made);
        }
        self.labeller
            .get()
            .ok_or_else(|| Error::Internal("the labeller was lost".into()))
    }

    /// Runs the campaign to its end, or continues it.
    ///
    /// Returns `Err(Interrupted)` inside `Ok` when the observer asked to stop.
    ///
    /// **Errors**: the first error of a step; everything finished before it is kept.
    pub fn run(
        &self,
        observer: &mut dyn Observer,
    ) -> Result<std::result::Result<Outcome, Interrupted>> {
        match self.pass(false, observer)? {
            StepOutcome::Finished(outcome) => Ok(Ok(outcome)),
            StepOutcome::Interrupted => Ok(Err(Interrupted::Asked)),
            StepOutcome::Waiting(line) => Err(Error::Internal(format!(
                "a run does not wait, but did: {line}"
            ))),
        }
    }

    /// One pass: collects what has finished, submits what is due, and goes on as far as nothing has to
    /// be waited for; training and exploration are done on the way. Call it again, from cron for
    /// example, until it is finished.
    ///
    /// **Errors**: as [`Campaign::run`].
    pub fn step(&self, observer: &mut dyn Observer) -> Result<StepOutcome> {
        self.pass(true, observer)
    }

    fn pass(&self, once: bool, observer: &mut dyn Observer) -> Result<StepOutcome> {
        let mut journal = Journal::open(&self.directory)?;
        nepal::files::sweep(&self.directory, 1);
        let settled = identity::settle(self, &journal)?;
        let observer = &mut live::Teller::new(&self.directory, observer);
        if let Some(original) = self.copied_from.get() {
            observer.event(Event::Warning(format!(
                "this campaign is a copy of {}; it goes on by itself and leaves jobs and processes of the original alone",
                original.display()
            )));
        }
        let changes = ground::Changes {
            keys: settled.changed,
            accepted: self.accept_changes,
            ..ground::Changes::default()
        };
        if !changes.keys.is_empty() {
            observer.event(Event::Info(format!(
                "settings that changed since the last run: {}",
                changes.keys.join(", ")
            )));
        }
        for (name, round) in self.enrol()? {
            observer.event(Event::Info(format!(
                "the scenario {name} is new and takes part from round {round} on"
            )));
        }
        let result = rounds::run(self, once, &changes, &mut journal, observer);
        if changes.refused.into_inner() {
            return result;
        }
        identity::note_settings(self, settled.identity)?;
        result
    }

    /// Writes the report from what is there, and returns its path.
    ///
    /// **Errors**: [`Error::Failed`] before the first training; [`Error::Io`].
    pub fn write_report(&self) -> Result<PathBuf> {
        let data = collect::report_data(self)?;
        let path = self.directory.join("report.html");
        let page = report::render(&data);
        let folder = self.directory.join(report::FIGURES);
        std::fs::create_dir_all(&folder).map_err(|e| Error::io("create", &folder, e))?;
        for (name, bytes) in page.files() {
            nepal::files::write_atomically(&folder.join(name), &bytes)?;
        }
        nepal::files::write_atomically(&path, page.html.as_bytes())?;
        let map = report::csv(&data.rounds);
        if !map.is_empty() {
            let path = self.directory.join("composition.csv");
            nepal::files::write_atomically(&path, map.as_bytes())?;
        }
        Ok(path)
    }

    /// Why the campaign ended, if it did.
    ///
    /// **Errors**: [`Error::Failed`] for a damaged record.
    pub fn outcome_reason(&self) -> Result<Option<String>> {
        Ok(self.outcome_record()?.map(|record| record.reason))
    }

    fn outcome_record(&self) -> Result<Option<store::OutcomeRecord>> {
        store::read_if_there(self.directory.join("final/outcome.json"))
    }

    /// What is known of each round so far.
    ///
    /// **Errors**: [`Error::Io`] or [`Error::Parse`] for damaged records.
    pub fn rounds(&self) -> Result<Vec<RoundRecord>> {
        store::read_rounds(&self.directory)
    }

    /// Number of threads to use.
    fn threads(&self) -> usize {
        if self.config.threads > 0 {
            self.config.threads
        } else {
            std::thread::available_parallelism().map_or(1, usize::from)
        }
    }
}

/// A damaged or missing file of the campaign.
fn broken(path: &Path, what: impl std::fmt::Display) -> Error {
    Error::Failed(format!(
        "{}: {what}; remove the file and run the campaign again to rebuild it",
        path.display()
    ))
}

/// Errors of energies and forces in the units that people quote, or of a tensor per atom.
pub fn describe_rmse(kind: nepal::model::Kind, errors: [f64; nepal_train::TERMS]) -> String {
    if kind.is_tensor() {
        return format!("{:.6} per atom", errors[2]);
    }
    format!(
        "{:.2} meV/atom, {:.1} meV/Å",
        1e3 * errors[0],
        1e3 * errors[1]
    )
}
