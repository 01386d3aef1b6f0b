//! What a killed run leaves for the next one.

use super::Run;
use super::limits::Limits;
use super::refine::Newton;
use crate::evolve::Evolution;
use crate::nep_in::NepIn;
use crate::optimize::Adam;
use crate::outcome::{Method, Record};
use crate::ranks::Ranks;
use crate::targets::TERMS;
use nepal::error::{Error, Result};
use nepal::files::write_atomically;
use nepal::sealed;
use nepal::system::Frame;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Time between two checkpoints.
const INTERVAL: Duration = Duration::from_secs(20);
const SCHEMA: u32 = 2;

/// Writes checkpoints of one run.
pub(super) struct Checkpoints {
    path: PathBuf,
    key: String,
    last: Instant,
}

/// Everything between two steps of a run that its continuation depends on.
#[derive(Serialize, Deserialize)]
pub(super) struct State {
    schema: u32,
    /// Hash of settings, data and start.
    key: String,
    epochs: usize,
    /// Wall clock spent.
    seconds: f64,
    method: Method,
    y: Vec<f64>,
    q_scaler: Vec<f64>,
    squares: [f64; TERMS],
    best: Option<(f64, Vec<f64>)>,
    history: Vec<Record>,
    rng: ([u8; 32], u128),
    /// Share of the run at the last evaluation, and evaluations since the best.
    pub assessed: f64,
    pub since_best: usize,
    pub adam: Adam,
    pub newton: Option<Newton>,
    pub evolution: Option<Evolution>,
}

/// What the stages keep besides the run itself.
pub(super) struct Stages<'a> {
    pub assessed: f64,
    pub since_best: usize,
    pub adam: &'a Adam,
    pub newton: Option<&'a Newton>,
    pub evolution: Option<&'a Evolution>,
}

/// Hash of what a continued run must have in common with the interrupted one.
pub(super) fn key(
    config: &NepIn,
    train: &[Frame],
    test: &[Frame],
    init: Option<&[f64]>,
    seed: u64,
    limits: &Limits,
) -> String {
    let mut hash = Sha256::new();
    hash.update(format!(
        "{SCHEMA} {config:?} {seed} {:?} {:?}",
        limits.epochs, limits.budget
    ));
    for (name, frames) in [("train", train), ("test", test)] {
        hash.update(format!("{name} {}", frames.len()));
        for frame in frames {
            // Debug output of numbers is exact.
            hash.update(format!("{frame:?}"));
        }
    }
    hash.update(format!("{init:?}"));
    hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
}

/// The state that the first process goes on from, if it has one, on all of them.
///
/// **Errors**: [`Error::Failed`] if a process is missing.
pub(super) fn of_first(ranks: &Ranks, state: Option<State>) -> Result<Option<State>> {
    if ranks.size() == 1 {
        return Ok(state);
    }
    let wrong = |e| Error::Internal(format!("a checkpoint has no JSON form: {e}"));
    let bytes = serde_json::to_vec(&state).map_err(wrong)?;
    serde_json::from_slice(&ranks.of_first(bytes)?).map_err(wrong)
}

impl Checkpoints {
    /// Looks for the checkpoint of an interrupted run.
    ///
    /// A file that belongs to another run, or that cannot be read, is moved aside, with a warning.
    ///
    /// **Errors**: [`Error::Io`].
    pub fn open(
        path: &Path,
        key: String,
        warnings: &mut Vec<String>,
    ) -> Result<(Self, Option<State>)> {
        let state = match std::fs::read(path) {
            Ok(bytes) => match sealed::open::<State>(&bytes) {
                Ok(state) if state.schema == SCHEMA && state.key == key => Some(state),
                found => {
                    let what = match found {
                        Ok(_) => "a checkpoint of other settings or data".to_owned(),
                        Err(damage) => format!("this checkpoint cannot be used, {damage}"),
                    };
                    let aside = path.with_extension("old");
                    std::fs::rename(path, &aside).map_err(|e| Error::io("move", path, e))?;
                    warnings.push(format!(
                        "{}: {what}; kept as {}, training starts anew",
                        path.display(),
                        aside.display()
                    ));
                    None
                }
            },
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
            Err(e) => return Err(Error::io("read", path, e)),
        };
        let checkpoints = Self {
            path: path.to_owned(),
            key,
            last: Instant::now(),
        };
        Ok((checkpoints, state))
    }

    /// Whether it is time for the next one.
    pub fn due(&self) -> bool {
        self.last.elapsed() >= INTERVAL
    }

    /// Writes one.
    ///
    /// **Errors**: [`Error::Io`]; the one before is then still there.
    pub fn save(&mut self, run: &Run<'_>, stages: Stages<'_>) -> Result<()> {
        let state = State {
            schema: SCHEMA,
            key: self.key.clone(),
            epochs: run.epochs,
            seconds: run.clock.elapsed().as_secs_f64(),
            method: run.method,
            y: run.y.clone(),
            q_scaler: run.q_scaler.clone(),
            squares: run.squares,
            best: run.best.clone(),
            history: run.history.clone(),
            rng: (run.rng.get_seed(), run.rng.get_word_pos()),
            assessed: stages.assessed,
            since_best: stages.since_best,
            adam: stages.adam.clone(),
            newton: stages.newton.map(Newton::without_sketch),
            evolution: stages.evolution.cloned(),
        };
        write_atomically(&self.path, sealed::seal(&state)?.as_bytes())?;
        self.last = Instant::now();
        Ok(())
    }

    /// Removes the file: the run is complete.
    pub fn remove(&self) {
        // A file that stays is recognised as this run's, and only costs a repetition of its end.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Run<'_> {
    /// Takes the state of an interrupted run.
    pub(super) fn restore(&mut self, state: &State) {
        self.epochs = state.epochs;
        self.clock.go_on_from(state.seconds);
        self.method = state.method;
        self.y.clone_from(&state.y);
        self.q_scaler.clone_from(&state.q_scaler);
        self.squares = state.squares;
        self.best.clone_from(&state.best);
        self.history.clone_from(&state.history);
        self.rng = ChaCha8Rng::from_seed(state.rng.0);
        self.rng.set_word_pos(state.rng.1);
        self.warnings.push(format!(
            "went on from a checkpoint at epoch {}, after {:.0} s",
            state.epochs, state.seconds
        ));
    }
}
