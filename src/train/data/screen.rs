//! What is wrong with labelled frames, and what is done about it.
//!
//! | finding | `refuse` | `drop` | `keep` |
//! |---|---|---|---|
//! | no atoms, or no label at all | left out | left out | left out |
//! | a label, mask or weight that cannot be used | error | left out | error |
//! | an element that `type` does not list | error | left out | error |
//! | no dipole, polarizability or temperature, for a model of it | error | left out | error |
//! | energy or forces apparently in another unit, or of the other sign | error | left out | kept |
//! | energies and forces that may be in atomic units | kept | kept | kept |
//! | virials apparently in another unit or of the other sign | error | without virial | kept |
//! | energies that may be of two references | kept | kept | kept |
//! | energies of two references beyond doubt | error | left out | kept |
//! | forces that do not sum to zero | kept | kept | kept |
//! | forces that are a placeholder | without forces | without forces | kept |
//! | a virial that is a placeholder | without virial | without virial | kept |
//! | fractional coordinates | error | left out | kept |
//! | atoms on top of each other | kept | kept | kept |
//! | the same structure with other labels | error | all of them left out | kept |
//! | a huge force where all others are ordinary | left out | left out | kept |
//! | an exact repetition | left out | left out | kept |
//!
//! Each is counted and named by frame, in the error or in the warnings.

use super::doubts::{self, huge, placeholders};
use super::geometry;
use super::units;
use crate::conditions::{missing, temperature};
use nepal::error::{Error, Result};
use nepal::model::{Header, Kind};
use nepal::system::{Frame, NeighborList};
use std::collections::HashMap;

/// Labels of one structure that differ by more contradict each other: eV/atom, eV/Å.
const CONTRADICTION: [f64; 2] = [1e-3, 0.02];

/// What is done about frames that look wrong: the keyword `bad_data`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BadData {
    /// Training does not start.
    #[default]
    Refuse,
    /// They are left out.
    Drop,
    /// They are used as they are, if they can be used at all.
    Keep,
}

impl BadData {
    /// The word of the settings.
    pub fn word(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Drop => "drop",
            Self::Keep => "keep",
        }
    }
}

/// What happens to the frames of a finding.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Action {
    Refused,
    LeftOut,
    WithoutForces,
    WithoutVirial,
    Kept,
}

/// Which frames are used, and of which the forces and the virial.
pub(super) struct Screened {
    pub used: Vec<bool>,
    pub forces: Vec<bool>,
    pub virial: Vec<bool>,
}

/// Frames with something wrong.
pub(super) struct Finding {
    pub what: String,
    /// Places in the list of frames, with what else there is to say.
    pub frames: Vec<(usize, String)>,
    pub action: Action,
    pub advice: &'static str,
}

/// Decides which frames are used.
///
/// **Errors**: [`Error::InvalidArgument`] with all findings that the rule refuses.
pub(super) fn screen(
    header: &Header,
    frames: &[Frame],
    set: &str,
    rule: BadData,
    warnings: &mut Vec<String>,
) -> Result<Screened> {
    let mut lists = Screened {
        used: vec![true; frames.len()],
        forces: vec![true; frames.len()],
        virial: vec![true; frames.len()],
    };
    let mut findings = unusable(header, frames, rule, &mut lists.used);
    findings.extend(geometry::findings(frames, rule, &lists.used));
    take_out(&findings, &mut lists);
    let good =
        |usable: &[bool]| -> Vec<usize> { (0..frames.len()).filter(|&i| usable[i]).collect() };
    let suspicious = |refused: bool| match (rule, refused) {
        (BadData::Keep, _) => Action::Kept,
        (BadData::Refuse, true) => Action::Refused,
        _ => Action::LeftOut,
    };
    let (repeated, contradicting) = repetitions(header.kind, frames, &good(&lists.used));
    findings.push(Finding {
        what: "repeat(s) an earlier one exactly".into(),
        frames: repeated,
        action: suspicious(false),
        advice: "give it a weight if it shall count more",
    });
    findings.push(Finding {
        what: "the same structure as another frame but other labels".into(),
        frames: contradicting,
        action: suspicious(true),
        advice: "keep those of one reference method",
    });
    findings.push(Finding {
        what: "forces that are all exactly 0, which symmetry does not ask for, a placeholder"
            .into(),
        frames: doubts::zero_forces(frames, &good(&lists.used)),
        action: match rule {
            BadData::Keep => Action::Kept,
            _ => Action::WithoutForces,
        },
        advice: "",
    });
    findings.push(Finding {
        what: "a virial (or stress) of nine equal numbers beside forces, a placeholder".into(),
        frames: placeholders(frames, &good(&lists.used)),
        action: match rule {
            BadData::Keep => Action::Kept,
            _ => Action::WithoutVirial,
        },
        advice: "",
    });
    take_out(&findings, &mut lists);
    // The units of tensors are the user's own.
    let energies = if header.kind.is_tensor() {
        Vec::new()
    } else {
        good(&lists.used)
    };
    for suspects in units::suspects(header, frames, &energies) {
        findings.push(Finding {
            what: suspects.what,
            frames: suspects.frames,
            action: match suspicious(true) {
                _ if suspects.vague => Action::Kept,
                Action::LeftOut if suspects.virial => Action::WithoutVirial,
                action => action,
            },
            advice: if suspects.vague {
                ""
            } else if suspects.virial {
                "nepal expects virial=-dE/d(strain) in eV, positive in compression, or stress in eV/Å³, positive in tension: convert them"
            } else {
                "nepal expects eV, Å and eV/Å: convert them"
            },
        });
    }
    take_out(&findings, &mut lists);
    let energies: &[usize] = if header.kind.is_tensor() {
        &[]
    } else {
        &good(&lists.used)
    };
    findings.extend(doubts::references(frames, energies, suspicious(true)));
    findings.push(Finding {
        what: "a huge force where all others are ordinary".into(),
        frames: huge(frames, &good(&lists.used)),
        action: suspicious(false),
        advice: "look at the calculation: unconverged, or atoms on top of each other",
    });
    take_out(&findings, &mut lists);
    if !header.kind.is_tensor() {
        findings.push(doubts::net_forces(frames, &good(&lists.used)));
    }
    findings.retain(|f| !f.frames.is_empty());
    let refused: Vec<String> = findings
        .iter()
        .filter(|f| f.action == Action::Refused)
        .map(|f| f.told(set))
        .collect();
    if !refused.is_empty() {
        return Err(Error::invalid(format!(
            "{}; or say bad_data drop to leave them out, or bad_data keep",
            refused.join("; ")
        )));
    }
    warnings.extend(findings.iter().map(|f| f.told(set)));
    Ok(lists)
}

fn take_out(findings: &[Finding], lists: &mut Screened) {
    for finding in findings {
        let list = match finding.action {
            Action::Kept => continue,
            Action::WithoutForces => &mut lists.forces,
            Action::WithoutVirial => &mut lists.virial,
            Action::Refused | Action::LeftOut => &mut lists.used,
        };
        finding.frames.iter().for_each(|f| list[f.0] = false);
    }
}

impl Finding {
    fn told(&self, set: &str) -> String {
        let what = match self.action {
            Action::Refused => self.advice,
            Action::LeftOut => "left out",
            Action::WithoutForces => "used without them",
            Action::WithoutVirial => "used without it",
            Action::Kept if self.advice.is_empty() => "kept",
            Action::Kept => "kept, as bad_data says",
        };
        // A single finding with something to say needs no list.
        let places = match &self.frames[..] {
            [(frame, detail)] if !detail.is_empty() => format!("frame {}: {detail}", frame + 1),
            frames => {
                let numbers: Vec<usize> = frames.iter().map(|f| f.0 + 1).collect();
                let mut text = format!("frames {}", super::shortened(&numbers));
                if let Some((frame, detail)) = frames.iter().find(|f| !f.1.is_empty()) {
                    text.push_str(&format!("; frame {}: {detail}", frame + 1));
                }
                text
            }
        };
        format!(
            "{} {set} frame(s) with {}: {what} ({places})",
            self.frames.len(),
            self.what
        )
    }
}

/// What cannot be used whatever the rule; `usable` loses it.
fn unusable(header: &Header, frames: &[Frame], rule: BadData, usable: &mut [bool]) -> Vec<Finding> {
    let [mut empty, mut labels, mut elements, mut without] = [const { Vec::new() }; 4];
    for (i, frame) in frames.iter().enumerate() {
        let unknown = frame
            .structure
            .elements
            .iter()
            .position(|e| !header.elements.contains(e));
        let labelled = header.kind.is_tensor()
            || frame.energy.is_some()
            || frame.forces.is_some()
            || frame.virial.is_some();
        if frame.is_empty() || !labelled {
            empty.push((i, String::new()));
        } else if let Some(reason) = unreadable(header, frame) {
            labels.push((i, reason));
        } else if let Some(reason) = missing(frame, header.kind) {
            without.push((i, reason));
        } else if let Some(atom) = unknown {
            let element = frame.structure.elements[atom];
            elements.push((i, format!("atom {} is {element}", atom + 1)));
        } else {
            continue;
        }
        usable[i] = false;
    }
    let action = match rule {
        BadData::Drop => Action::LeftOut,
        BadData::Refuse | BadData::Keep => Action::Refused,
    };
    vec![
        Finding {
            what: "no atoms or no label".into(),
            frames: empty,
            action: Action::LeftOut,
            advice: "",
        },
        Finding {
            what: "labels or geometry that cannot be used".into(),
            frames: labels,
            action,
            advice: "mend or remove them",
        },
        Finding {
            what: format!("nothing to train {} on", header.kind.name()),
            frames: without,
            action,
            advice: "give it in each frame, or train another model_type",
        },
        Finding {
            what: "an element that `type` does not list".into(),
            frames: elements,
            action,
            advice: "add it or remove the frame",
        },
    ]
}

/// Why a frame cannot be used, if so.
fn unreadable(header: &Header, frame: &Frame) -> Option<String> {
    let n = frame.len();
    let types = 0..header.n_types();
    let cutoff = types
        .map(|t| header.pair_cutoff(t, t)[0])
        .fold(0.0, f64::max);
    let structure = &frame.structure;
    let dense = || NeighborList::check_density(&structure.cell, n, cutoff);
    if let Err(error) = structure.validate().and_then(|()| dense()) {
        return Some(error.to_string());
    }
    if frame.energy.is_some_and(|e| !e.is_finite()) {
        return Some("the energy is not a finite number".into());
    }
    if frame
        .virial
        .is_some_and(|v| v.iter().any(|x| !x.is_finite()))
    {
        return Some("the virial has a component that is not a finite number".into());
    }
    if let Some(forces) = &frame.forces {
        if forces.len() != n {
            return Some(format!("{} forces for {n} atoms", forces.len()));
        }
        if let Some(atom) = forces.iter().position(|f| f.iter().any(|x| !x.is_finite())) {
            return Some(format!(
                "the force on atom {} is not a finite number",
                atom + 1
            ));
        }
    }
    if let Some(mask) = &frame.force_mask {
        if mask.len() != n {
            return Some(format!("{} force mask values for {n} atoms", mask.len()));
        }
        if mask.iter().any(|m| !(*m >= 0.0 && m.is_finite())) {
            return Some("the force mask has a value that is negative or not finite".into());
        }
    }
    [
        (frame.weight, "weight"),
        (frame.energy_weight, "energy_weight"),
    ]
    .into_iter()
    .find(|(weight, _)| !(*weight >= 0.0 && weight.is_finite()))
    .map(|(weight, key)| format!("{key} is {weight}; expected a number of at least 0"))
}

/// Bytes that tell a structure apart from others.
pub(super) fn identity(frame: &Frame) -> Vec<u8> {
    let s = &frame.structure;
    let mut bytes = Vec::with_capacity(24 * s.len() + 80);
    for x in s.cell.vectors().iter().chain(&s.positions).flatten() {
        bytes.extend_from_slice(&x.to_le_bytes());
    }
    bytes.extend(s.cell.periodic().map(u8::from));
    bytes.extend(s.elements.iter().flat_map(|e| e.symbol().bytes()));
    bytes
}

/// Frames that repeat an earlier one, and frames whose labels contradict those of another.
fn repetitions(
    kind: Kind,
    frames: &[Frame],
    used: &[usize],
) -> (Vec<(usize, String)>, Vec<(usize, String)>) {
    let mut groups: HashMap<Vec<u8>, Vec<usize>> = HashMap::new();
    for &i in used {
        let mut key = identity(&frames[i]);
        if let (Kind::Temperature, Ok(Some(t))) = (kind, temperature(&frames[i])) {
            key.extend_from_slice(&t.to_le_bytes());
        }
        groups.entry(key).or_default().push(i);
    }
    let (mut repeated, mut contradicting) = (Vec::new(), Vec::new());
    for group in groups.values().filter(|g| g.len() > 1) {
        let first = &frames[group[0]];
        if let Some(&other) = group[1..].iter().find(|&&i| contradicts(first, &frames[i])) {
            let pair = format!("as frame {}", group[0] + 1);
            contradicting.extend(group.iter().map(|&i| {
                let detail = if i == other {
                    pair.clone()
                } else {
                    String::new()
                };
                (i, detail)
            }));
            continue;
        }
        for &i in &group[1..] {
            let same = (0..3).all(|k| match k {
                0 => frames[i].energy == first.energy,
                1 => frames[i].forces == first.forces,
                _ => frames[i].virial == first.virial,
            });
            if same {
                repeated.push((i, String::new()));
            }
        }
    }
    repeated.sort();
    contradicting.sort();
    (repeated, contradicting)
}

fn contradicts(a: &Frame, b: &Frame) -> bool {
    let n = a.len() as f64;
    let energy = a.energy.zip(b.energy);
    if energy.is_some_and(|(a, b)| (a - b).abs() / n > CONTRADICTION[0]) {
        return true;
    }
    match (&a.forces, &b.forces) {
        (Some(a), Some(b)) => a
            .as_flattened()
            .iter()
            .zip(b.as_flattened())
            .any(|(a, b)| (a - b).abs() > CONTRADICTION[1]),
        _ => false,
    }
}
