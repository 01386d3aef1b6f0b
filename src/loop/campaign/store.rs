//! The campaign's own records on disk: one JSON file a step.

use super::broken;
use super::pause::Group;
use super::stop::StopRecord;
use nepal::error::{Error, Result};
use nepal_train::Errors;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What training and grading of a round gave. In `round-NN/training.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TrainingRecord {
    /// Structures and atoms trained on.
    pub structures: usize,
    /// Atoms trained on.
    pub atoms: usize,
    /// Errors on the training set.
    pub train: Errors,
    /// Errors on the fixed test set.
    pub test: Option<Errors>,
    /// Errors on this round's labels, predicted by the model before it was trained on them.
    pub canary: Option<Errors>,
    /// Γ that 99.9 % of the training atoms do not exceed where their structures are left out of the active set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unseen_grade: Option<f64>,
    /// Loss by epoch: epoch, total loss.
    pub loss: Vec<(f64, f64)>,
    /// What the trainer had to say.
    pub warnings: Vec<String>,
}

/// What labelling of a round gave. In `round-NN/labels.json`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct LabelRecord {
    /// Structures handed over.
    pub requested: usize,
    /// Labels accepted.
    pub accepted: usize,
    /// Why others were not, by reason.
    pub rejected: BTreeMap<String, usize>,
    /// The same by scenario, and by source of first structures.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub groups: BTreeMap<String, Group>,
    /// Of the requested, those for the fixed test set.
    pub test: usize,
    /// Wall seconds of labels that were computed now; cached ones cost nothing.
    pub seconds: f64,
    /// Cores that each kept busy; 0 where an older nepal did not write it down.
    #[serde(default)]
    pub cores: usize,
}

/// What computing a round's labels took. In `round-NN/computed.json`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Computed {
    /// Wall seconds of labels that were computed then; cached ones cost nothing.
    pub seconds: f64,
}

impl LabelRecord {
    /// Accepted labels that were computed, rather than brought along by the user.
    pub(super) fn computed(&self) -> usize {
        if self.groups.is_empty() {
            return self.accepted;
        }
        let groups = self.groups.values();
        groups
            .map(|g| g.requested - g.rejected.values().sum::<usize>().min(g.requested))
            .sum()
    }
}

/// What labelled a round. In `round-NN/method.json`, for those who have the labels and not the program.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MethodRecord {
    /// Name of the method.
    pub name: String,
    /// Everything that it was given besides the structures.
    pub settings: String,
}

/// The frame of the round before that a run goes on from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resumed {
    /// Scenario and replica that found it.
    pub run: String,
    /// Step of that run.
    pub step: usize,
    /// By how much the model of then missed its label, eV/Å.
    pub force_rmse: f64,
}

/// One exploration run. In `round-NN/explore.json`, a list.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ExploreRecord {
    /// Scenario and replica.
    pub name: String,
    /// Steps done.
    pub steps: usize,
    /// Steps of a complete run.
    pub planned: usize,
    /// Times the run went back to a safe frame.
    pub breaks: usize,
    /// Whether the run reached its end.
    pub finished: bool,
    /// Environments kept.
    pub candidates: usize,
    /// Largest grade of the run.
    pub max_grade: f64,
    /// Stage of the scenario's ladder, from 0.
    #[serde(default)]
    pub stage: usize,
    /// Stages that are still to come.
    #[serde(default)]
    pub stages_left: usize,
    /// Where it starts, if not from the scenario's start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed: Option<Resumed>,
    /// Why there is nothing of this run, where its program failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    /// Atoms of each element that mixes, in a scenario over compositions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub composition: Vec<(String, usize)>,
    /// Largest σ of a force in its kept frames and its last, eV/Å, in such a scenario.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_sigma: Option<f64>,
    /// Step, time-local temperature (K), pressure (GPa), largest γ, ρ and Γ.
    pub trace: Vec<[f64; 6]>,
    /// Volume by atom (Å³) for each row of `trace`, where all directions are periodic and nepal's own dynamics ran.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<f64>,
    /// The way's own numbers, by name, for each row of `trace`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub series: BTreeMap<String, Vec<f64>>,
}

/// One structure chosen for labelling. In `round-NN/selection.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SelectedRecord {
    /// Scenario and replica.
    pub scenario: String,
    /// Step of the run.
    pub step: usize,
    /// Temperature at that step, K.
    pub temperature: f64,
    /// The target atom in the parent.
    pub atom: usize,
    /// Largest grade when it was chosen.
    pub grade: f64,
    /// What the method of selection ranks by: for D-optimality the gain per cost.
    #[serde(default)]
    pub score: f64,
    /// Atoms that are labelled.
    pub atoms: usize,
    /// `whole cell` or `fragment`, with what was verified.
    pub form: String,
}

/// What selection gave. In `round-NN/selection.json`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SelectionRecord {
    /// Candidates that exploration kept.
    pub candidates: usize,
    /// Those chosen.
    pub selected: Vec<SelectedRecord>,
    /// Why others were left out, by reason.
    pub refused: BTreeMap<String, usize>,
    /// Most that could be chosen, by the budgets of then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most: Option<usize>,
}

/// How the campaign ended. In `final/outcome.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct OutcomeRecord {
    pub reason: String,
    pub converged: bool,
    pub rounds: usize,
    pub labels: usize,
}

/// Everything known of a round.
#[derive(Clone, Debug)]
pub struct RoundRecord {
    /// Number of the round, from 0.
    pub round: usize,
    /// Labelling.
    pub labels: LabelRecord,
    /// Training, once done.
    pub training: Option<TrainingRecord>,
    /// Exploration, once done.
    pub explore: Vec<ExploreRecord>,
    /// Selection for the next round, once done.
    pub selection: Option<SelectionRecord>,
    /// The stop rules after this round, once judged.
    pub stop: Option<StopRecord>,
}

/// Counts by reason, in words.
pub(super) fn reasons(counts: &BTreeMap<String, usize>) -> String {
    let words: Vec<String> = counts
        .iter()
        .map(|(why, n)| format!("{n} x {why}"))
        .collect();
    words.join("; ")
}

/// Counts a reason with the others of its kind, which differ from it in numbers and paths alone: the first stands for
/// all of them.
pub(super) fn count(counts: &mut BTreeMap<String, usize>, reason: &str, n: usize) {
    let kind = kind_of(reason);
    let same = counts.iter_mut().find(|(known, _)| kind_of(known) == kind);
    match same {
        Some((_, count)) => *count += n,
        None => drop(counts.insert(reason.to_owned(), n)),
    }
}

/// A reason without what belongs to one structure: numbers, paths, and keys in hexadecimal digits.
fn kind_of(reason: &str) -> String {
    let part = |word: &str| {
        let bare = word.trim_matches(|c: char| c.is_ascii_punctuation() && c != '/');
        let keyed = |p: &str| p.len() >= 12 && p.bytes().all(|b| b.is_ascii_hexdigit());
        if bare.starts_with('/')
            || bare.matches('/').count() > 1
            || bare.split(['-', '.']).any(keyed)
        {
            return "/".to_owned();
        }
        let mut kind = String::new();
        let mut rest = word.chars().peekable();
        while let Some(c) = rest.next() {
            if !c.is_ascii_digit() {
                kind.push(c);
                continue;
            }
            while rest.next_if(|c| c.is_ascii_digit() || *c == '.').is_some() {}
            if rest.next_if(|c| "eE".contains(*c)).is_some() {
                rest.next_if(|c| "+-".contains(*c));
                while rest.next_if(char::is_ascii_digit).is_some() {}
            }
            // A sign belongs to its number.
            if kind.ends_with('-') {
                kind.pop();
            }
            kind.push('#');
        }
        kind
    };
    let words: Vec<String> = reason.split_whitespace().map(part).collect();
    words.join(" ")
}

/// Folder of a round, relative to the campaign's directory.
pub(super) fn round_folder(round: usize) -> String {
    format!("round-{round:02}")
}

/// Writes a record in one step.
pub(super) fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let mut text = serde_json::to_string_pretty(value)
        .map_err(|e| Error::Internal(format!("cannot encode {}: {e}", path.display())))?;
    text.push('\n');
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|e| Error::io("create", folder, e))?;
    }
    nepal::files::write_atomically(path, text.as_bytes())
}

/// Reads a record.
pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = std::fs::read(path).map_err(|e| Error::io("read", path, e))?;
    serde_json::from_slice(&text).map_err(|e| broken(path, e))
}

/// The same, if it is there.
pub(super) fn read_if_there<T: DeserializeOwned>(path: PathBuf) -> Result<Option<T>> {
    if path.exists() {
        read_json(&path).map(Some)
    } else {
        Ok(None)
    }
}

/// Reads what is known of all rounds.
pub(super) fn read_rounds(directory: &Path) -> Result<Vec<RoundRecord>> {
    let mut rounds = Vec::new();
    for round in 0.. {
        let folder = directory.join(round_folder(round));
        let Some(labels) = read_if_there(folder.join("labels.json"))? else {
            break;
        };
        let training = read_if_there(folder.join("training.json"))?;
        let explore = read_if_there(folder.join("explore.json"))?.unwrap_or_default();
        let selection = read_if_there(folder.join("selection.json"))?;
        rounds.push(RoundRecord {
            round,
            labels,
            training,
            explore,
            selection,
            stop: read_if_there(folder.join("stop.json"))?,
        });
    }
    Ok(rounds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_that_differ_in_numbers_and_paths_are_counted_as_one() {
        let mut counts = BTreeMap::new();
        for reason in [
            "the force on atom 3 is 120.5 eV/Å; the limit max_force is 100",
            "the force on atom 117 is -1.3e+07 eV/Å; the limit max_force is 100",
            "atom 0 is at [1.0, -2.5e-3, 0.1] Å",
            "atom 0 was computed as Na, it is Cl in the structure",
            "atom 12 is at [-1.0, 2, 0.1] Å",
            "cannot read /scratch/a/label.log: no such file",
            "cannot read /home/me/b.1/label.log: no such file",
            "it ended with status 1: running/0123456789abcdef-77-0/x.log is empty",
            "it ended with status 2: running/fedcba9876543210-78-11/x.log is empty",
        ] {
            count(&mut counts, reason, 1);
        }
        let numbers: Vec<usize> = counts.values().copied().collect();
        assert_eq!(numbers, [2, 1, 2, 2, 2], "{counts:?}");
    }
}
