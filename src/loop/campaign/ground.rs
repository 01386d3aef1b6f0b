//! The ground that steps stand on: where a step is, how it ends, and how it is run.

use super::Campaign;
use super::event::{Event, Observer};
use super::journal::Journal;
use super::store::round_folder;
use nepal::error::{Error, Result};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// A step in hand: where its round is and what it may use.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub campaign: &'a Campaign,
    pub round: usize,
    /// Whether to return rather than wait for jobs.
    pub once: bool,
    /// Settings that changed since the last run.
    pub changes: Option<&'a Changes>,
}

/// What changed since the last run, and whether the user knows what that costs.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Keys of the campaign file.
    pub keys: Vec<String>,
    /// Whether labels may be given up for them.
    pub accepted: bool,
    /// Whether a step was refused for them.
    pub refused: AtomicBool,
}

impl<'a> Context<'a> {
    /// A round to look at.
    pub fn new(campaign: &'a Campaign, round: usize) -> Self {
        Self {
            campaign,
            round,
            once: false,
            changes: None,
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

    /// Whether this campaign has such a step in this round at all.
    ///
    /// **Errors**: records that cannot be read.
    fn is_due(&self, _context: &Context<'_>) -> Result<bool> {
        Ok(true)
    }

    /// Hash of everything that the results depend on: settings, and files that others left.
    ///
    /// **Errors**: files that cannot be read.
    fn inputs(&self, context: &Context<'_>) -> Result<String>;

    /// Does it, and gives the files that it left, relative to the campaign's directory. Each is written in one
    /// step; the same inputs give the same files, however often the work was cut short before.
    ///
    /// **Errors**: a [`Halt`].
    fn work(&self, context: &Context<'_>, observer: &mut dyn Observer) -> Flow<Vec<String>>;

    /// The first round whose labels depend on what this step gives in a round; `None` if none do.
    fn labels_from(&self, round: usize) -> Option<usize> {
        Some(round + 1)
    }

    /// How many labels that are there would be given up if the step was done again from other inputs.
    ///
    /// **Errors**: records that cannot be read.
    fn stake(&self, context: &Context<'_>) -> Result<usize> {
        let Some(first) = self.labels_from(context.round) else {
            return Ok(0);
        };
        let rounds = context.campaign.rounds()?;
        let later = rounds.iter().filter(|r| r.round >= first);
        Ok(later.map(|r| r.labels.computed()).sum())
    }

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
    if journal.is_outdated(&name, &inputs) {
        let stake = step.stake(context)?;
        if stake > 0 {
            give_up(&name, stake, context, journal)?;
        }
    }
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

/// Refuses to do a step again whose labels were paid for, unless the user has said that they may be given up.
fn give_up(name: &str, stake: usize, context: &Context<'_>, journal: &mut Journal) -> Result<()> {
    let Some(changes) = context.changes else {
        return Ok(());
    };
    if changes.accepted {
        return journal.accept_outdated();
    }
    changes.refused.store(true, Ordering::Relaxed);
    let what = match changes.keys.is_empty() {
        true => "files that the campaign file names, or the version of a program, changed since the last run"
            .to_owned(),
        false => format!(
            "the settings changed since the last run ({}), or a file that the campaign file names did",
            changes.keys.join(", ")
        ),
    };
    Err(Error::invalid(format!(
        "{what}. The step {name} has to be done again with them, and {stake} labels that are there would be computed \
         anew or given up. Nothing was touched: take the change back, or go on with --accept-changes (labels stay in \
         the cache)"
    )))
}

/// Creates the folder of a file to be written.
pub(super) fn create_parent(path: &Path) -> Result<()> {
    match path.parent() {
        Some(folder) => std::fs::create_dir_all(folder).map_err(|e| Error::io("create", folder, e)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaign::Silent;
    use crate::label::StopFlag;

    /// A step that ends as it is told.
    struct Told(fn() -> Flow<Vec<String>>);

    impl Step for Told {
        fn name(&self) -> &'static str {
            "told"
        }

        fn inputs(&self, _context: &Context<'_>) -> Result<String> {
            Ok("same".into())
        }

        fn work(&self, _context: &Context<'_>, _observer: &mut dyn Observer) -> Flow<Vec<String>> {
            (self.0)()
        }
    }

    #[test]
    fn steps_end_as_they_say_also_after_a_request_to_stop() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("c.toml");
        let text = "title='t'\nexplore=[{name='a',start={file='a.xyz'},ensemble='nve',temperature=[1,1],steps=1}]\n\
            initial=[{file='a.xyz'}]\n[model]\nnep_in='type 1 Si'\nfirst_epochs=1\nepochs=1\n\
            [label]\nkind='stillinger-weber'\n";
        std::fs::write(&file, text).unwrap();
        let campaign = Campaign::load(&file, StopFlag::default()).unwrap();
        let mut journal = Journal::open(dir.path()).unwrap();
        let mut observer = Silent::default();
        let context = Context::new(&campaign, 0);
        let mut ends = |step: fn() -> Flow<Vec<String>>, observer: &mut Silent| {
            run_step(&Told(step), &context, &mut journal, observer)
        };
        let wait = || Err(Halt::Waiting("for it".into()));
        assert_eq!(
            ends(wait, &mut observer).unwrap(),
            Ended::Waiting("for it".into())
        );
        let flag = observer.stop_flag();
        flag.store(true, std::sync::atomic::Ordering::Relaxed);
        // What went wrong is told, whether or not somebody wants to stop.
        let fail = || Err(Halt::Failed(Error::invalid("broken")));
        let message = ends(fail, &mut observer).unwrap_err().to_string();
        assert!(message.contains("broken"), "{message}");
        let stop = || Err(Halt::Stopped);
        assert_eq!(ends(stop, &mut observer).unwrap(), Ended::Stopped);
        flag.store(false, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(ends(|| Ok(Vec::new()), &mut observer).unwrap(), Ended::Done);
        assert_eq!(
            ends(|| panic!("is done"), &mut observer).unwrap(),
            Ended::Done
        );
    }
}
