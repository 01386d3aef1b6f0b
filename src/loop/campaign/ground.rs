//! The ground that steps stand on: where a step is, how it ends, and how it is run.

use super::Campaign;
use super::event::{Event, Observer};
use super::journal::Journal;
use super::store::round_folder;
use nepal::error::{Error, Result};
use std::path::{Path, PathBuf};

/// A step in hand: where its round is and what it may use.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub campaign: &'a Campaign,
    pub round: usize,
    /// Whether to return rather than wait for jobs.
    pub once: bool,
}

impl<'a> Context<'a> {
    /// A round to look at.
    pub fn new(campaign: &'a Campaign, round: usize) -> Self {
        Self {
            campaign,
            round,
            once: false,
        }
    }

    /// A file of this round.
    pub fn path(&self, name: &str) -> PathBuf {
        self.campaign.directory().join(self.relative(name))
    }

    /// The same, relative to the campaign's directory.
    pub fn relative(&self, name: &str) -> String {
        format!("{}/{name}", round_folder(self.round))
    }

    /// Another round.
    pub fn of(&self, round: usize) -> Self {
        Self { round, ..*self }
    }
}

/// What ends a step before its end.
#[derive(Debug)]
pub(super) enum Halt {
    /// Jobs are out, in words; the step is done again later and finds what they left.
    Waiting(String),
    /// The user asked to stop.
    Stopped,
    /// It cannot go on.
    Failed(Error),
}

impl From<Error> for Halt {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<Halt> for Error {
    /// For work outside of a campaign's rounds, where a stop is an error like others.
    fn from(halt: Halt) -> Self {
        match halt {
            Halt::Failed(error) => error,
            Halt::Waiting(line) => Error::Failed(format!("{line}; run again to continue")),
            Halt::Stopped => Error::Failed(
                "stopped as asked; what is finished is kept, run again to continue".into(),
            ),
        }
    }
}

/// A result of work that may have to wait or to stop.
pub(super) type Flow<T> = std::result::Result<T, Halt>;

/// What came of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// It is done.
    Done,
    /// Jobs are out; in words.
    Waiting(String),
    /// The user asked to stop.
    Stopped,
}

/// A part of a round. See [`super::steps`] for how to add one.
pub(super) trait Step {
    /// Its name in the journal, with the number of the round behind it.
    fn name(&self) -> &'static str;

    /// Hash of everything that the results depend on: settings, and files that others left.
    ///
    /// **Errors**: files that cannot be read.
    fn inputs(&self, context: &Context<'_>) -> Result<String>;

    /// Does it, and gives the files that it left, relative to the campaign's directory. Each is written in one
    /// step; the same inputs give the same files, however often the work was cut short before.
    ///
    /// **Errors**: a [`Halt`].
    fn work(&self, context: &Context<'_>, observer: &mut dyn Observer) -> Flow<Vec<String>>;

    /// Clears what only work in hand needs, once the journal says that the step is done.
    ///
    /// **Errors**: files that cannot be removed.
    fn clear(&self, _context: &Context<'_>) -> Result<()> {
        Ok(())
    }
}

/// Announces a step and does it, unless that was done from the same inputs and its files are intact.
pub(super) fn run_step(
    step: &dyn Step,
    context: &Context<'_>,
    journal: &mut Journal,
    observer: &mut dyn Observer,
) -> Result<Ended> {
    let inputs = step.inputs(context)?;
    let name = format!("{}-{:02}", step.name(), context.round);
    observer.event(Event::Step {
        round: context.round,
        step: step.name().to_owned(),
        cached: journal.is_done(&name, &inputs),
    });
    match journal.step(&name, &inputs, || step.work(context, observer)) {
        Ok(ran) => {
            if ran {
                step.clear(context)?;
            }
            Ok(match observer.stop_requested() {
                true => Ended::Stopped,
                false => Ended::Done,
            })
        }
        Err(Halt::Waiting(line)) => Ok(Ended::Waiting(line)),
        Err(Halt::Stopped) => Ok(Ended::Stopped),
        Err(Halt::Failed(error)) => Err(error),
    }
}

/// Creates the folder of a file to be written.
pub(super) fn create_parent(path: &Path) -> Result<()> {
    match path.parent() {
        Some(folder) => std::fs::create_dir_all(folder).map_err(|e| Error::io("create", folder, e)),
        None => Ok(()),
    }
}
