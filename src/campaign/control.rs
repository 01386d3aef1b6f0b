//! The control structure: does the method still give what it gave?

use super::Campaign;
use super::event::{Event, Observer};
use super::store::{read_json, write_json};
use crate::error::{Error, Result};
use crate::label::{LabelRunner, Verdict};
use crate::system::{Frame, Structure, xyz};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::SystemTime;

/// Largest difference of two labels of one structure, eV/atom.
const TOLERANCE: f64 = 1e-3;

/// What is known of the control structure, in `labels/control.json`; the structure itself is beside it.
#[derive(Serialize, Deserialize)]
struct Control {
    /// Cache key: structure, method, settings and program version.
    key: String,
    /// Energy in eV when it was first labelled.
    energy: f64,
    /// Seconds since 1970 of the last comparison.
    checked: u64,
}

/// Compares before labels are computed, if the last time is long enough ago.
///
/// The first structure that was ever labelled with these settings is the control. It is labelled again in a
/// folder of its own, past the cache, on this machine.
pub(super) fn check(
    campaign: &Campaign,
    runner: &LabelRunner,
    structures: &BTreeMap<String, &Structure>,
    order: &[String],
    observer: &mut dyn Observer,
) -> Result<()> {
    let hours = campaign.config.label.control_hours;
    if hours < 0.0 || runner.labeller().in_process() {
        return Ok(());
    }
    let folder = runner.cache().folder();
    let (path, frame) = (folder.join("control.json"), folder.join("control.xyz"));
    let now = SystemTime::UNIX_EPOCH
        .elapsed()
        .unwrap_or_default()
        .as_secs();
    let mut known: Vec<(&String, f64)> = Vec::new();
    let mut missing = false;
    for key in order {
        match runner.cached(structures[key])? {
            Some(Verdict::Accepted(label)) => known.push((key, label.energy)),
            Some(Verdict::Rejected { .. }) => {}
            None => missing = true,
        }
    }
    let control: Option<Control> = match path.exists() && frame.exists() {
        true => Some(read_json(&path)?),
        false => None,
    };
    let old = match control {
        Some(control) => Some((control, xyz::read_frames(&frame)?)),
        None => None,
    };
    // The key holds settings and version: a control of others says nothing of these.
    let fitting = old.and_then(|(control, mut frames)| {
        let frame = frames.pop()?;
        (runner.key(&frame.structure) == control.key).then_some((control, frame))
    });
    let Some((mut control, frame)) = fitting else {
        let Some(&(key, energy)) = known.first() else {
            return Ok(());
        };
        xyz::write_frames(&frame, [&Frame::new(structures[key].clone())])?;
        let control = Control {
            key: key.clone(),
            energy,
            checked: now,
        };
        return write_json(&path, &control);
    };
    // A clock that was set back is no reason to compare for ever.
    let age = now.abs_diff(control.checked) as f64 / 3600.0;
    if !missing || age < hours {
        return Ok(());
    }
    observer.event(Event::Info("labelling the control structure again".into()));
    let energy = match runner.label_afresh(&frame.structure)? {
        Verdict::Accepted(label) => label.energy,
        Verdict::Rejected { reason, .. } => {
            return Err(Error::Failed(format!(
                "the control structure {} could be labelled once and now cannot: {reason}; see what changed on \
                 this machine",
                folder.join("control.xyz").display()
            )));
        }
    };
    let difference = (energy - control.energy) / frame.len().max(1) as f64;
    if difference.abs() > TOLERANCE {
        return Err(Error::Failed(format!(
            "the control structure {} has {:.2} meV/atom more than when it was first labelled, with the same \
             settings: the program or its data files changed. Labels of both kinds must not be mixed: restore \
             what changed, or start again with another `version` in the [label] table",
            folder.join("control.xyz").display(),
            1e3 * difference
        )));
    }
    control.checked = now;
    write_json(&path, &control)
}
