//! What a running campaign is doing now, for those who watch it from outside.
//!
//! The driver leaves `live.json` beside the journal; nothing that matters depends on it.

use super::event::{Event, Observer};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Least time between two writes.
const INTERVAL: Duration = Duration::from_secs(1);
/// A driver on another machine that told nothing for so long has ended.
const SILENCE: f64 = 300.0;

/// What the driver told last.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Live {
    /// Process of the driver.
    pub pid: u32,
    /// Machine that it runs on.
    pub host: String,
    /// Round and step in hand.
    pub round: usize,
    /// Name of the step.
    pub step: String,
    /// When the step began, seconds since 1970.
    pub since: f64,
    /// When this was written.
    pub updated: f64,
    /// What is counted in the step; empty for nothing yet.
    pub what: String,
    /// How much is done.
    pub done: u64,
    /// How much there is.
    pub total: u64,
    /// A short text.
    pub detail: String,
}

impl Live {
    /// What the driver of a campaign told last; `None` if there is nothing readable.
    pub fn read(directory: &Path) -> Option<Self> {
        let text = std::fs::read(path(directory)).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Whether the driver still runs, as far as can be told from here.
    pub fn running(&self) -> bool {
        if self.pid != 0 && self.host == host() && Path::new("/proc/self").exists() {
            return Path::new("/proc").join(self.pid.to_string()).exists();
        }
        self.pid != 0 && now() - self.updated < SILENCE
    }

    /// Seconds until the step in hand is done, if it goes on as it did.
    pub fn step_left(&self) -> Option<f64> {
        let spent = self.updated - self.since;
        (self.done > 0 && self.done < self.total && spent > 0.0)
            .then(|| spent * (self.total - self.done) as f64 / self.done as f64)
    }
}

fn path(directory: &Path) -> PathBuf {
    directory.join("live.json")
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |d| d.as_secs_f64())
}

/// Name of this machine.
pub(super) fn host() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map_or_else(|_| String::new(), |name| name.trim().to_owned())
}

/// An observer that writes down what it hears and hands it on.
pub(super) struct Teller<'a> {
    inner: &'a mut dyn Observer,
    path: PathBuf,
    live: Live,
    written: Option<Instant>,
}

impl<'a> Teller<'a> {
    pub fn new(directory: &Path, inner: &'a mut dyn Observer) -> Self {
        Self {
            inner,
            path: path(directory),
            live: Live {
                pid: std::process::id(),
                host: host(),
                since: now(),
                ..Live::default()
            },
            written: None,
        }
    }

    fn write(&mut self, at_once: bool) {
        if !at_once && self.written.is_some_and(|w| w.elapsed() < INTERVAL) {
            return;
        }
        self.live.updated = now();
        self.written = Some(Instant::now());
        // A disk that is full is told of by the steps themselves.
        if let Ok(text) = serde_json::to_vec(&self.live) {
            let _ = nepal::files::write_atomically(&self.path, &text);
        }
    }
}

impl Drop for Teller<'_> {
    fn drop(&mut self) {
        self.live.pid = 0;
        self.write(true);
    }
}

impl Observer for Teller<'_> {
    fn event(&mut self, event: Event) {
        match &event {
            Event::Step {
                round,
                step,
                cached: false,
            } => {
                self.live = Live {
                    round: *round,
                    step: step.clone(),
                    since: now(),
                    pid: self.live.pid,
                    host: std::mem::take(&mut self.live.host),
                    ..Live::default()
                };
                self.write(true);
            }
            Event::Progress {
                what,
                done,
                total,
                detail,
            } => {
                self.live.what.clone_from(what);
                (self.live.done, self.live.total) = (*done, *total);
                self.live.detail.clone_from(detail);
                self.write(done >= total);
            }
            _ => {}
        }
        self.inner.event(event);
    }

    fn stop_flag(&self) -> Arc<AtomicBool> {
        self.inner.stop_flag()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaign::Silent;

    #[test]
    fn what_is_told_can_be_read_from_outside() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Live::read(dir.path()).is_none());
        let mut silent = Silent::default();
        let mut teller = Teller::new(dir.path(), &mut silent);
        teller.event(Event::Step {
            round: 3,
            step: "label".into(),
            cached: false,
        });
        let live = Live::read(dir.path()).unwrap();
        assert_eq!(
            (live.round, live.step.as_str(), live.total),
            (3, "label", 0)
        );
        assert!(live.running() && live.step_left().is_none());
        teller.event(Event::Progress {
            what: "labels".into(),
            done: 5,
            total: 5,
            detail: String::new(),
        });
        assert_eq!(Live::read(dir.path()).unwrap().done, 5);
        drop(teller);
        assert!(!Live::read(dir.path()).unwrap().running());
        let half = Live {
            done: 1,
            total: 4,
            since: 100.0,
            updated: 110.0,
            ..Live::default()
        };
        assert_eq!(half.step_left(), Some(30.0));
    }
}
