//! The control structure: does the method still give what it gave?

use crate::campaign::Campaign;
use crate::campaign::event::{Event, Observer};
use crate::campaign::ground::{Flow, Halt};
use crate::campaign::store::{read_json, write_json};
use crate::label::{LabelRunner, Outcome, Verdict};
use nepal::error::{Error, Result};
use nepal::system::{Frame, Structure, xyz};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::time::SystemTime;

/// Largest difference of two labels of one structure, eV/atom.
const TOLERANCE: f64 = 1e-3;

/// What is known of the control structure, in `control/control.json` of the label cache; the structure itself
/// is beside it.
#[derive(Serialize, Deserialize)]
struct Control {
    /// Cache key: structure, method, settings and program version.
    key: String,
    /// Energy in eV when it was first labelled.
    energy: f64,
    /// Seconds since 1970 of the last comparison.
    checked: u64,
}

/// The control of these settings, if there is one.
fn stored(runner: &LabelRunner) -> Result<Option<(Control, Frame)>> {
    let (path, frame) = files(runner);
    if !path.exists() || !frame.exists() {
        return Ok(None);
    }
    // Damaged, it is of no use, but a label to come can take its place.
    let (Ok(control), Ok(mut frames)) = (read_json::<Control>(&path), xyz::read_frames(&frame))
    else {
        tracing::warn!("{} is damaged; another control is taken", path.display());
        return Ok(None);
    };
    // The key holds settings and version: a control of others says nothing of these.
    Ok(frames
        .pop()
        .filter(|frame| runner.key(&frame.structure) == control.key)
        .map(|frame| (control, frame)))
}

fn files(runner: &LabelRunner) -> (PathBuf, PathBuf) {
    let folder = runner.cache().folder().join("control");
    (folder.join("control.json"), folder.join("control.xyz"))
}

fn now() -> u64 {
    let since = SystemTime::UNIX_EPOCH.elapsed();
    since.unwrap_or_default().as_secs()
}

/// Takes the first label for a control, where there is none yet.
pub(super) fn keep(
    runner: &LabelRunner,
    structures: &BTreeMap<String, Structure>,
    order: &[String],
    outcomes: &HashMap<String, Outcome>,
) -> Result<()> {
    if runner.labeller().in_process() || stored(runner)?.is_some() {
        return Ok(());
    }
    for key in order {
        if let Some(Verdict::Accepted(label)) = outcomes.get(key).map(|o| &o.verdict) {
            let (path, frame) = files(runner);
            let control = Control {
                key: key.clone(),
                energy: label.energy,
                checked: now(),
            };
            write_json(&path, &control)?;
            return xyz::write_frames(&frame, [&Frame::new(structures[key].clone())]);
        }
    }
    Ok(())
}

/// Compares before labels are computed, if the last time is long enough ago.
///
/// The first structure that was ever labelled with these settings is the control. It is labelled again in a
/// folder of its own, past the cache, on this machine.
pub(super) fn check(
    campaign: &Campaign,
    runner: &LabelRunner,
    structures: &BTreeMap<String, Structure>,
    observer: &mut dyn Observer,
) -> Flow<()> {
    let hours = campaign.config.label.control_hours;
    if hours < 0.0 || runner.labeller().in_process() {
        return Ok(());
    }
    let Some((mut control, frame)) = stored(runner)? else {
        return Ok(());
    };
    // A clock that was set back is no reason to compare for ever.
    let now = now();
    if (now.abs_diff(control.checked) as f64) < 3600.0 * hours {
        return Ok(());
    }
    let mut missing = false;
    for structure in structures.values() {
        missing |= runner.cached(structure)?.is_none();
    }
    if !missing {
        return Ok(());
    }
    let (path, file) = files(runner);
    observer.event(Event::Info("labelling the control structure again".into()));
    let verdict = match runner.label_afresh(&frame.structure) {
        // The program was ended in the middle.
        Err(_) if runner.labeller().stop().is_stopped() => return Err(Halt::Stopped),
        verdict => verdict?,
    };
    let energy = match verdict {
        Verdict::Accepted(label) => label.energy,
        Verdict::Rejected { reason, .. } => {
            return Err(Halt::Failed(Error::Failed(format!(
                "the control structure {} could be labelled once and now cannot: {reason}; see what changed on \
                 this machine",
                file.display()
            ))));
        }
    };
    let difference = (energy - control.energy) / frame.len().max(1) as f64;
    if difference.abs() > TOLERANCE {
        return Err(Halt::Failed(Error::Failed(format!(
            "the control structure {} has {:.2} meV/atom more than when it was first labelled, with the same \
             settings: the program or its data files changed. Labels of both kinds must not be mixed: restore \
             what changed, or start again with another `version` in the [label] table",
            file.display(),
            1e3 * difference
        ))));
    }
    control.checked = now;
    Ok(write_json(&path, &control)?)
}
