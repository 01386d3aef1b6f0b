//! Labels under other keys than `energy`, `forces`, `virial` and `stress`.
//!
//! A set is looked at as a whole: a label of another name is used only where no frame has the usual
//! one and nothing else could be meant; everything else that looks like a label is named.

mod names;

use super::comment;
use super::head::full_tensor;
use crate::error::{Error, Result};
use crate::system::frame::{ColumnData, Frame};
use names::{KINDS, Kind, Name, kind_of};
use std::collections::BTreeMap;

/// Keys that hold the labels, where the user says so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelKeys {
    /// Key of the total energy (eV).
    pub energy: Option<String>,
    /// Column of the forces (eV/Å).
    pub forces: Option<String>,
    /// Key of the virial (eV, positive in compression).
    pub virial: Option<String>,
    /// Key of the stress (eV/Å³, positive in tension).
    pub stress: Option<String>,
}

/// What became of labels under other keys, in words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Labels that are used.
    pub used: Vec<String>,
    /// What the user should look at.
    pub doubts: Vec<String>,
}

/// Energies that differ by less are the same, eV/atom,
const SAME_ENERGY: f64 = 1e-4;
/// forces as well, eV/Å, and virials, eV/atom and by their size: a stress has few digits.
const SAME_FORCE: f64 = 1e-4;
const SAME_VIRIAL: [f64; 2] = [1e-3, 0.01];

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Energy => "energy",
            Self::Forces => "forces",
            Self::Virial => "virial",
            Self::Stress => "stress",
        }
    }

    /// The label that a frame has for a kind; a stress is kept as a virial.
    fn label(self, frame: &Frame) -> Option<Vec<f64>> {
        match self {
            Self::Energy => frame.energy.map(|e| vec![e]),
            Self::Forces => frame.forces.as_ref().map(|f| f.as_flattened().to_vec()),
            Self::Virial | Self::Stress => frame.virial.map(|w| w.to_vec()),
        }
    }

    /// What stands under a key, as the label it would be.
    fn under(self, frame: &Frame, key: &str) -> Option<Vec<f64>> {
        if self == Self::Forces {
            let column = frame.columns.iter().find(|c| c.name == key)?;
            return match &column.data {
                ColumnData::Real { width: 3, values } => Some(values.clone()),
                ColumnData::Integer { width: 3, values } => {
                    Some(values.iter().map(|&x| x as f64).collect())
                }
                _ => None,
            };
        }
        let words = comment::words(frame.info.get(key)?);
        let numbers: Vec<f64> = words.map(comment::real).collect::<Option<_>>()?;
        let periodic = frame.structure.cell != crate::system::cell::Cell::isolated();
        match self {
            Self::Energy => (numbers.len() == 1).then_some(numbers),
            Self::Virial => full_tensor(&numbers).map(|w| w.to_vec()),
            _ => {
                let volume = frame.structure.cell.volume();
                let stress = full_tensor(&numbers).filter(|_| periodic)?;
                Some(stress.iter().map(|s| -s * volume).collect())
            }
        }
    }

    /// Whether two labels of a frame are the same but for rounding.
    fn same(self, a: &[f64], b: &[f64], atoms: usize) -> bool {
        let n = atoms as f64;
        let size = a.iter().fold(0.0f64, |s, x| s.max(x.abs()));
        let tolerance = match self {
            Self::Energy => SAME_ENERGY * n,
            Self::Forces => SAME_FORCE,
            Self::Virial | Self::Stress => SAME_VIRIAL[0] * n + SAME_VIRIAL[1] * size,
        };
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= tolerance)
    }

    /// Makes what stands under a key the label.
    fn take(self, frame: &mut Frame, key: &str) {
        let Some(found) = self.under(frame, key) else {
            return;
        };
        match self {
            Self::Energy => frame.energy = Some(found[0]),
            Self::Forces => {
                let rows = found.chunks_exact(3).map(|f| [f[0], f[1], f[2]]).collect();
                frame.forces = Some(rows);
                frame.columns.retain(|c| c.name != key);
            }
            Self::Virial | Self::Stress => frame.virial = found.try_into().ok(),
        }
        frame.info.remove(key);
        frame.spelling.remove(key);
    }

    /// Forgets the label.
    fn clear(self, frame: &mut Frame) {
        match self {
            Self::Energy => frame.energy = None,
            Self::Forces => frame.forces = None,
            Self::Virial | Self::Stress => frame.virial = None,
        }
    }
}

impl LabelKeys {
    fn of(&self, kind: Kind) -> Option<&str> {
        match kind {
            Kind::Energy => self.energy.as_deref(),
            Kind::Forces => self.forces.as_deref(),
            Kind::Virial => self.virial.as_deref(),
            Kind::Stress => self.stress.as_deref(),
        }
    }
}

/// Names of a set that may be labels, with the number of frames that have them.
fn candidates(frames: &[Frame]) -> BTreeMap<(Kind, Name, String), usize> {
    let mut found = BTreeMap::new();
    for frame in frames {
        let columns = frame.columns.iter().map(|c| &c.name);
        for key in columns.chain(frame.info.keys()) {
            let Some((kind, name)) = kind_of(key) else {
                continue;
            };
            if kind.under(frame, key).is_some() {
                *found.entry((kind, name, key.clone())).or_default() += 1;
            }
        }
    }
    found
}

/// Gives frames the labels that stand under other keys: those named, and those that leave no doubt.
///
/// **Errors**: [`Error::InvalidArgument`] for a named key that no frame has.
pub fn resolve(frames: &mut [Frame], keys: &LabelKeys) -> Result<Told> {
    let mut told = Told::default();
    for kind in KINDS {
        if let Some(key) = keys.of(kind) {
            named(frames, kind, key)?;
        }
    }
    // The key itself asks for the usual one: nothing else is looked at.
    let asked = |kind: Kind| match kind {
        Kind::Virial | Kind::Stress => keys.virial.is_some() || keys.stress.is_some(),
        kind => keys.of(kind).is_some(),
    };
    let all = candidates(frames);
    for kinds in [&KINDS[..1], &KINDS[1..2], &KINDS[2..]] {
        if asked(kinds[0]) {
            continue;
        }
        let mut some: Vec<(Kind, Name, &str, usize)> = all
            .iter()
            .filter(|((kind, ..), _)| kinds.contains(kind))
            .map(|((kind, name, key), count)| (*kind, *name, key.as_str(), *count))
            .collect();
        let have = frames
            .iter()
            .filter(|f| kinds[0].label(f).is_some())
            .count();
        if have > 0 {
            some.retain(|c| c.1 != Name::Short);
            beside(frames, kinds[0], &some, &mut told);
        } else if !some.is_empty() {
            instead(frames, kinds[0], &some, &mut told);
        }
    }
    let flat = |f: &Frame| f.info.keys().any(|k| k.eq_ignore_ascii_case("stress"));
    let without = frames
        .iter()
        .filter(|f| f.virial.is_none() && flat(f))
        .count();
    if without > 0 {
        told.doubts.push(format!(
            "{without} frame(s) have a stress but no Lattice: without a volume it says nothing and is not read"
        ));
    }
    Ok(told)
}

/// Reads a label from the key that the user names, and from nowhere else.
fn named(frames: &mut [Frame], kind: Kind, key: &str) -> Result<()> {
    // The usual key is read already; a stress only where no virial stands beside it.
    let usual = kind.word().eq_ignore_ascii_case(key);
    let found = frames.iter().any(|f| kind.under(f, key).is_some());
    if !found && !usual && !frames.is_empty() {
        let there: Vec<String> = candidates(frames)
            .into_keys()
            .filter(|(k, ..)| *k == kind)
            .map(|(_, _, key)| key)
            .collect();
        let there = if there.is_empty() {
            "nothing that looks like one".to_owned()
        } else {
            there.join(", ")
        };
        return Err(Error::invalid(format!(
            "--{}-key is {key:?}, but no frame has that; found {there}",
            kind.word()
        )));
    }
    for frame in frames {
        if !usual {
            kind.clear(frame);
        }
        kind.take(frame, key);
    }
    Ok(())
}

/// No frame has the usual key.
fn instead(frames: &mut [Frame], kind: Kind, some: &[(Kind, Name, &str, usize)], told: &mut Told) {
    let sure: Vec<_> = some.iter().filter(|c| c.1 == Name::Sure).collect();
    let agree = |frames: &[Frame], a: (Kind, &str), b: (Kind, &str)| {
        frames
            .iter()
            .all(|f| match (a.0.under(f, a.1), b.0.under(f, b.1)) {
                (Some(x), Some(y)) => a.0.same(&x, &y, f.len()),
                (a, b) => a.is_none() && b.is_none(),
            })
    };
    let what = kind.word();
    if let [first, rest @ ..] = &sure[..]
        && rest
            .iter()
            .all(|c| agree(frames, (first.0, first.2), (c.0, c.2)))
    {
        for frame in frames {
            first.0.take(frame, first.2);
        }
        told.used.push(format!(
            "{what}: read from {} ({} frames)",
            first.2, first.3
        ));
        return;
    }
    told.doubts.push(format!(
        "no frame has {what}, but there is {}: not read; if it is the label, say {}",
        listed(some),
        option(some)
    ));
}

/// Keys beside the usual one.
fn beside(frames: &[Frame], kind: Kind, some: &[(Kind, Name, &str, usize)], told: &mut Told) {
    let what = kind.word();
    let mut unread = Vec::new();
    for &(as_kind, name, key, count) in some {
        let (mut equal, mut zero, mut largest) = (true, true, 0.0f64);
        for frame in frames {
            let Some(other) = as_kind.under(frame, key) else {
                continue;
            };
            let label = kind.label(frame);
            zero &= label.as_ref().is_some_and(|l| l.iter().all(|x| *x == 0.0));
            equal &= (label.as_ref()).is_some_and(|l| as_kind.same(l, &other, frame.len()));
            if let Some(label) = label {
                let off = label.iter().zip(&other).map(|(a, b)| (a - b).abs());
                largest = largest.max(off.fold(0.0, f64::max) / frame.len().max(1) as f64);
            }
        }
        if equal {
            continue;
        }
        if zero {
            told.doubts.push(format!(
                "{what} is 0 in all {count} frame(s) that have other values under {key}: the zeros are read; if {key} is the label, say {}",
                option(&[(as_kind, name, key, count)])
            ));
        } else if key.eq_ignore_ascii_case("stress") {
            told.doubts.push(format!(
                "virial and stress contradict each other by up to {largest:.3} eV/atom in {count} frame(s): the virial is read; if the stress is right, say --stress-key {key}"
            ));
        } else if key.eq_ignore_ascii_case("free_energy") {
            told.doubts.push(format!(
                "energy and free_energy differ by up to {:.1} meV/atom: DFT forces are those of the free energy, so the energy read (extrapolated to sigma 0) belongs to other forces; say --energy-key free_energy",
                1e3 * largest
            ));
        } else {
            unread.push((as_kind, name, key, count));
        }
    }
    if !unread.is_empty() {
        told.doubts.push(format!(
            "{what} is read; {} looks like it, has other values and is not read; if it is the label, say {}",
            listed(&unread),
            option(&unread)
        ));
    }
}

fn listed(some: &[(Kind, Name, &str, usize)]) -> String {
    let words: Vec<String> = some
        .iter()
        .map(|(_, _, key, count)| format!("{key} ({count} frames)"))
        .collect();
    words.join(", ")
}

fn option(some: &[(Kind, Name, &str, usize)]) -> String {
    let words: Vec<String> = some
        .iter()
        .map(|(kind, _, key, _)| format!("--{}-key {key}", kind.word()))
        .collect();
    words.join(" or ")
}

#[cfg(test)]
mod tests;
