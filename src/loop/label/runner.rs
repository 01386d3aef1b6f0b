//! A labeller with its cache and checks: what a campaign calls.

mod virials;

pub(crate) use virials::virials_missing;

use super::cache::{Entry, LabelCache, Rejection, create_folder, label_key, remove_folder, sweep};
use super::{Call, Cause, Ending, Label, Labeller, Limits, NO_VIRIAL, Verdict};
use nepal::error::Result;
use nepal::system::Structure;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use virials::lacks_virial;

/// The key of a label's `info` that tells of tighter settings.
pub(crate) const TIGHT: &str = "tight";

/// A labeller, its limits, its cache and the folder where its programs run.
///
/// Shared between threads; two processes may share the cache and the folder.
#[derive(Clone)]
pub struct LabelRunner {
    labeller: Arc<dyn Labeller>,
    limits: Limits,
    cache: LabelCache,
    work: PathBuf,
    settings: String,
    needs_virial: bool,
}

/// A program that came to an end.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// Rung of the ladder of settings.
    pub rung: usize,
    /// Where it ran.
    pub workdir: &'a Path,
    /// How it ended.
    pub ending: Ending,
    /// Its time limit.
    pub timeout: Duration,
    /// Wall time in seconds.
    pub seconds: f64,
}

/// What follows from an attempt.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// Nothing: this is final, and remembered.
    Done(Verdict),
    /// Another attempt with the settings of this rung, since the SCF did not converge; in words, why.
    /// After tighter settings that is the ladder's foot.
    Rung(usize, String),
    /// The program never came to its end, for this reason; try again, or give up.
    Interrupted(String),
}

/// What [`LabelRunner::label`] found, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Key of the structure in the cache.
    pub key: String,
    /// The label, or why there is none.
    pub verdict: Verdict,
    /// True if nothing had to be computed.
    pub cached: bool,
    /// Wall time in seconds.
    pub seconds: f64,
}

impl LabelRunner {
    /// Puts a labeller, limits and a cache together; programs run in folders below `work`.
    ///
    /// **Errors**: [`nepal::Error::Io`], and limits that make no sense.
    pub fn new(
        labeller: Arc<dyn Labeller>,
        limits: Limits,
        cache: LabelCache,
        work: impl Into<PathBuf>,
    ) -> Result<Self> {
        limits.validate()?;
        let work = work.into();
        create_folder(&work)?;
        sweep(&work, 0);
        let settings = labeller.settings();
        Ok(Self {
            labeller,
            limits,
            cache,
            work,
            settings,
            needs_virial: false,
        })
    }

    /// The same runner that refuses labels of cells without a virial, for campaigns that run at constant pressure.
    /// As with limits, labels that are known already are judged anew.
    pub fn needing_virials(mut self, needed: bool) -> Self {
        self.needs_virial = needed;
        self
    }

    /// The labeller.
    pub fn labeller(&self) -> &dyn Labeller {
        self.labeller.as_ref()
    }

    /// The cache.
    pub fn cache(&self) -> &LabelCache {
        &self.cache
    }

    /// The cache key of a structure.
    pub fn key(&self, structure: &Structure) -> String {
        label_key(structure, self.labeller.name(), &self.settings)
    }

    /// What the cache says, under the limits of today; `None` if the program has to run.
    ///
    /// **Errors**: as [`LabelCache::get`].
    pub fn cached(&self, structure: &Structure) -> Result<Option<Verdict>> {
        self.known(&self.key(structure), structure)
    }

    fn known(&self, key: &str, structure: &Structure) -> Result<Option<Verdict>> {
        let Some(entry) = self.cache.get(key)? else {
            return Ok(None);
        };
        let rejected = |reason, kept, cause| Verdict::Rejected {
            reason,
            kept,
            cause,
        };
        let (label, kept, cause) = match entry {
            Entry::Accepted(label) => (label, None, Cause::Untrusted),
            // Only a limit stood against it: look whether it still does.
            Entry::Rejected {
                label: Some(label),
                kept,
                cause,
                ..
            } => (label, kept, cause),
            Entry::Rejected {
                cause: Cause::Interrupted,
                ..
            } => return Ok(None),
            // There is something new to try.
            Entry::Rejected {
                cause: Cause::Unconverged,
                ladder,
                ..
            } if ladder != self.labeller.rungs() => return Ok(None),
            Entry::Rejected {
                reason,
                kept,
                cause,
                ..
            } => return Ok(Some(rejected(reason, kept, cause))),
        };
        Ok(Some(match self.objection(&label, structure) {
            None => Verdict::Accepted(label),
            Some(reason) => rejected(reason, kept, cause),
        }))
    }

    /// What speaks against a label that its program gave.
    fn objection(&self, label: &Label, structure: &Structure) -> Option<String> {
        let found = self.limits.violation(label, structure);
        let lacks = self.needs_virial && lacks_virial(label, structure);
        found.or_else(|| {
            let why = label.info.get(NO_VIRIAL).map_or("", String::as_str);
            let reason = "the label has no virial, and runs at constant pressure and elastic constants need one";
            lacks.then(|| match why.is_empty() {
                true => reason.to_owned(),
                false => format!("{reason}: {why}"),
            })
        })
    }

    /// Labels a structure here and now, or looks it up; where the SCF does not converge all rungs of
    /// the ladder are tried. A rejection is remembered like a label, unless the program was
    /// interrupted: use [`LabelCache::forget`] to try again.
    ///
    /// **Errors**: as [`Labeller::label`] and [`LabelCache`]; they are not remembered.
    pub fn label(&self, structure: &Structure) -> Result<Outcome> {
        let start = Instant::now();
        let key = self.key(structure);
        let (verdict, cached) = match self.known(&key, structure)? {
            Some(verdict) => (verdict, true),
            None => (self.compute(&key, structure)?, false),
        };
        Ok(Outcome {
            key,
            verdict,
            cached,
            seconds: start.elapsed().as_secs_f64(),
        })
    }

    fn compute(&self, key: &str, structure: &Structure) -> Result<Verdict> {
        let mut rung = 0;
        loop {
            let workdir = self.new_workdir(key)?;
            let start = Instant::now();
            let verdict = match rung {
                0 => self.labeller.label(structure, &workdir),
                rung => self.labeller.label_at(structure, rung, &workdir),
            };
            let verdict = match verdict {
                Ok(verdict) => verdict,
                Err(e) => {
                    // Stopped, or never started: the files tell nothing that the error does not.
                    let _ = remove_folder(&workdir);
                    return Err(e);
                }
            };
            let seconds = start.elapsed().as_secs_f64();
            let next = self.judge(key, structure, rung, &workdir, seconds, verdict)?;
            match next {
                Next::Done(verdict) => {
                    if workdir.exists() {
                        remove_folder(&workdir)?;
                    }
                    return Ok(verdict);
                }
                Next::Rung(next, _) => {
                    remove_folder(&workdir)?;
                    rung = next;
                }
                Next::Interrupted(reason) => {
                    return self.give_up(key, &reason, &workdir);
                }
            }
        }
    }

    /// Writes the input files of a structure into an empty folder, and tells what to run there.
    ///
    /// **Errors**: as [`Labeller::prepare`].
    pub fn prepare(
        &self,
        structure: &Structure,
        rung: usize,
        workdir: &Path,
    ) -> Result<Option<Call>> {
        self.labeller.prepare(structure, rung, workdir)
    }

    /// Judges the files of an attempt and remembers what is final: a label, or a rejection, for which
    /// the folder goes into quarantine.
    ///
    /// **Errors**: as [`Labeller::collect`] and [`LabelCache`].
    pub fn finish(&self, key: &str, structure: &Structure, attempt: &Attempt<'_>) -> Result<Next> {
        let verdict = self.labeller.collect(structure, attempt)?;
        let seconds = attempt.seconds;
        self.judge(
            key,
            structure,
            attempt.rung,
            attempt.workdir,
            seconds,
            verdict,
        )
    }

    fn judge(
        &self,
        key: &str,
        structure: &Structure,
        rung: usize,
        workdir: &Path,
        seconds: f64,
        verdict: Verdict,
    ) -> Result<Next> {
        let rungs = self.labeller.rungs();
        let (mut reason, cause, label) = match verdict {
            Verdict::Accepted(mut label) => {
                let info = &mut label.info;
                info.insert("label_seconds".to_owned(), format!("{seconds:.3}"));
                if let Some(words) = rung.checked_sub(1).and_then(|i| rungs.get(i)) {
                    info.insert("rung".to_owned(), format!("{rung}: {words}"));
                }
                if rung > rungs.len()
                    && let Some(words) = self.labeller.tight()
                {
                    info.insert(TIGHT.to_owned(), words);
                }
                match self.objection(&label, structure) {
                    None => {
                        self.cache.put(key, &label)?;
                        return Ok(Next::Done(Verdict::Accepted(label)));
                    }
                    Some(reason) => (reason, Cause::Untrusted, Some(label)),
                }
            }
            Verdict::Rejected { reason, cause, .. } => {
                (without_folder(&reason, workdir), cause, None)
            }
        };
        match cause {
            Cause::Interrupted => return Ok(Next::Interrupted(reason)),
            Cause::Unconverged if rung < rungs.len() => return Ok(Next::Rung(rung + 1, reason)),
            // Tighter settings are a wish, not a must.
            Cause::Unconverged if rung > rungs.len() => return Ok(Next::Rung(0, reason)),
            _ => {}
        }
        if rung > 0 && rung <= rungs.len() {
            reason = format!("{reason}, also with {}", rungs[..rung].join("; "));
        }
        let ladder: &[String] = match cause {
            Cause::Unconverged => &rungs,
            _ => &[],
        };
        let rejection = Rejection {
            reason: &reason,
            cause,
            label: label.as_ref(),
            ladder,
            workdir: Some(workdir),
        };
        let kept = Some(self.cache.reject(key, &rejection)?);
        Ok(Next::Done(Verdict::Rejected {
            reason,
            kept,
            cause,
        }))
    }

    /// Gives up a structure whose program never came to its end: the files go into quarantine, but
    /// the structure is not held guilty and will be tried again when it is asked for again.
    ///
    /// **Errors**: as [`LabelCache::reject`].
    pub fn give_up(&self, key: &str, reason: &str, workdir: &Path) -> Result<Verdict> {
        let rejection = Rejection {
            reason,
            cause: Cause::Interrupted,
            workdir: Some(workdir),
            ..Rejection::default()
        };
        Ok(Verdict::Rejected {
            reason: reason.to_owned(),
            kept: Some(self.cache.reject(key, &rejection)?),
            cause: Cause::Interrupted,
        })
    }

    /// Labels a structure here and now, whatever the cache says, and remembers nothing.
    ///
    /// **Errors**: as [`Labeller::label`].
    pub fn label_afresh(&self, structure: &Structure) -> Result<Verdict> {
        let workdir = self.new_workdir(&self.key(structure))?;
        let verdict = self.labeller.label(structure, &workdir);
        let _ = remove_folder(&workdir);
        Ok(match verdict? {
            Verdict::Accepted(label) => match self.objection(&label, structure) {
                None => Verdict::Accepted(label),
                Some(reason) => Verdict::rejected(reason),
            },
            rejected => rejected,
        })
    }

    /// The settings for a second look at a label, as a rung; none if the method has no tighter ones.
    pub fn tight(&self) -> Option<usize> {
        let beyond = self.labeller.rungs().len() + 1;
        self.labeller.tight().map(|_| beyond)
    }

    /// The folder where programs run.
    pub fn work(&self) -> &Path {
        &self.work
    }

    /// A fresh folder that no other thread or process uses.
    fn new_workdir(&self, key: &str) -> Result<PathBuf> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let short = key.get(..16).unwrap_or(key);
        let name = format!("{short}-{}-{count}", std::process::id());
        let folder = self.work.join(name);
        // A process of the same number may have died here.
        if folder.exists() {
            remove_folder(&folder)?;
        }
        create_folder(&folder)?;
        Ok(absolute(&folder))
    }
}

/// A reason without the path of the folder it arose in, so that the same one reads the same for all structures.
fn without_folder(reason: &str, workdir: &Path) -> String {
    let mut reason = reason.to_owned();
    for folder in [absolute(workdir), workdir.to_owned()] {
        let folder = folder.display().to_string();
        if !folder.is_empty() {
            reason = reason
                .replace(&format!("{folder}/"), "")
                .replace(&folder, ".");
        }
    }
    reason
}

/// Programs run inside the folder, so its path must not be relative to where nepal runs.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests;
