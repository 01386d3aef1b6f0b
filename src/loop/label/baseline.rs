//! Delta learning: a baseline taken off the labels before training, so that the model learns what
//! the baseline misses.
//!
//! A fixed repulsion needs no baseline: `zbl` in the settings is taken off too, and the model carries
//! it.

use super::{Ask, Labeller, LabellerConfig, Part, StopFlag, Verdict, from_config};
use nepal::BackendKind;
use nepal::calculator::{Calculator, Potential};
use nepal::error::{Error, Result};
use nepal::model::Model;
use nepal::system::{Frame, Structure};
use nepal_train::record::BaselineRecord;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Where frames keep what a baseline gave for them: the prefix of its keys.
const PREFIX: &str = "baseline_";

/// A method whose energies, forces and virials are taken off the labels.
pub struct Baseline {
    source: Source,
    record: BaselineRecord,
    /// What answers, once it has been asked. Locked by nobody: it makes the method one that threads may share and clone.
    ask: Mutex<Option<Ask>>,
}

#[derive(Clone)]
enum Source {
    /// Numbers that stand with the frames, their names with this prefix.
    Keys(String),
    Model(Arc<Model>),
    Labeller(Arc<dyn Labeller>),
}

impl Clone for Baseline {
    /// The same method, asked anew: for another thread.
    fn clone(&self) -> Self {
        Self {
            source: self.source.clone(),
            record: self.record.clone(),
            ask: Mutex::default(),
        }
    }
}

impl Baseline {
    /// A baseline from its specification.
    ///
    /// - `keys` or `keys:PREFIX` (`baseline_`): the frames bring it, as `PREFIXenergy` and
    ///   `PREFIXvirial` (9 numbers) in the comment line and the columns `PREFIXforces`.
    /// - a file ending in `.toml`: a reference method, the keys of a campaign's `[label]` table
    ///   alone: a pair style of LAMMPS, a calculator of ASE, any command.
    /// - any other file: a NEP.
    ///
    /// **Errors**: what is wrong with the file or the method's set-up.
    pub fn new(spec: &str, stop: &StopFlag) -> Result<Self> {
        let record = |method: String, digest: String| BaselineRecord {
            spec: spec.to_owned(),
            method,
            digest,
        };
        if let Some(rest) = spec
            .strip_prefix("keys")
            .filter(|r| r.is_empty() || r.starts_with(':'))
        {
            let prefix = rest.strip_prefix(':').unwrap_or(PREFIX).to_owned();
            return Ok(Self {
                record: record(
                    format!("{prefix}energy, {prefix}forces of each frame"),
                    String::new(),
                ),
                source: Source::Keys(prefix),
                ask: Mutex::default(),
            });
        }
        let path = PathBuf::from(spec);
        if path.extension().is_some_and(|e| e == "toml") {
            let text = std::fs::read_to_string(&path).map_err(|e| Error::io("read", &path, e))?;
            let config = LabellerConfig::from_toml(&text)
                .map_err(|e| Error::invalid(format!("{}: {e}", path.display())))?;
            let base = path.parent().unwrap_or(Path::new("."));
            let labeller = from_config(&config, base, stop)?;
            let method = labeller.settings();
            return Ok(Self {
                record: record(labeller.name().to_owned(), digest(method.as_bytes())),
                source: Source::Labeller(labeller),
                ask: Mutex::default(),
            });
        }
        let model = Model::load(&path)?;
        if model.kind().is_tensor() {
            return Err(Error::invalid(format!(
                "{}: a model of dipoles or polarizabilities gives no energies, and so is no baseline",
                path.display()
            )));
        }
        let symbols: Vec<&str> = model.elements().iter().map(|e| e.symbol()).collect();
        let method = format!("{} for {}", model.header().token(), symbols.join(" "));
        Ok(Self {
            record: record(method, format!("{:016x}", model.fingerprint())),
            source: Source::Model(Arc::new(model)),
            ask: Mutex::default(),
        })
    }

    /// The baseline of a side file, whose paths start at `folder`.
    ///
    /// **Errors**: as [`Baseline::new`]; [`Error::InvalidArgument`] if the method is no longer the one
    /// that was taken off.
    pub fn of_record(record: &BaselineRecord, folder: &Path, stop: &StopFlag) -> Result<Self> {
        let spec = if record.spec.starts_with("keys") {
            record.spec.clone()
        } else {
            folder.join(&record.spec).display().to_string()
        };
        let found = Self::new(&spec, stop)?;
        if found.record.digest != record.digest {
            return Err(Error::invalid(format!(
                "{spec}: the baseline has changed since training (digest {}, then {}); a sum with it would be wrong",
                found.record.digest, record.digest
            )));
        }
        Ok(found)
    }

    /// What a host has to add to the model, in words.
    pub fn needs(&self) -> String {
        match &self.source {
            Source::Keys(_) => "it has to be computed where the frames had it from".into(),
            Source::Model(_) => {
                "in LAMMPS: pair_style hybrid/overlay nepal nepal, and a pair_coeff line for each; in ASE: \
                 SumCalculator"
                    .into()
            }
            Source::Labeller(labeller) => match labeller.name() {
                "lammps" => "in LAMMPS: pair_style hybrid/overlay nepal with the pair style of the file".into(),
                _ => "in ASE: SumCalculator of the model and this method".into(),
            },
        }
    }

    /// What a side file in `folder` keeps, with its file named as seen from there.
    pub fn record_from(&self, folder: &Path) -> BaselineRecord {
        let mut record = self.record.clone();
        if let (Ok(file), Ok(folder)) = (
            Path::new(&record.spec).canonicalize(),
            folder.canonicalize(),
        ) {
            let near = file.strip_prefix(&folder).unwrap_or(&file);
            record.spec = near.display().to_string();
        }
        record
    }

    /// What a side file keeps.
    pub fn record(&self) -> &BaselineRecord {
        &self.record
    }

    fn evaluate(&mut self, frame: &Frame) -> Result<Part> {
        match &self.source {
            Source::Keys(prefix) => keys(frame, prefix),
            _ => self.ask(&frame.structure),
        }
    }

    fn ask(&mut self, structure: &Structure) -> Result<Part> {
        match self.ask.get_mut().unwrap_or_else(PoisonError::into_inner) {
            Some(ask) => ask(structure),
            none => none.insert(asked(&self.source)?)(structure),
        }
    }

    /// Writes beside the labels of frames what the baseline gives for them, where `keys` finds it.
    ///
    /// **Errors**: as [`Baseline::subtract`].
    pub fn note(&mut self, frames: &mut [Frame]) -> Result<()> {
        for (index, frame) in frames.iter_mut().enumerate() {
            let (energy, forces, virial) = self.ask(&frame.structure).map_err(|e| {
                Error::Failed(format!(
                    "the baseline ({}) fails for frame {}: {e}",
                    self.record.method,
                    index + 1
                ))
            })?;
            let key = |name: &str| format!("{PREFIX}{name}");
            frame.info.insert(key("energy"), energy.to_string());
            frame.info.remove(&key("virial"));
            if let Some(virial) = virial {
                let words = virial.map(|x| x.to_string());
                frame.info.insert(key("virial"), words.join(" "));
            }
            frame.set_real_column(&key("forces"), 3, forces.into_flattened());
        }
        Ok(())
    }

    /// Takes the baseline off the labels. Virials of frames for which the baseline has none are
    /// dropped; their number is returned.
    ///
    /// **Errors**: [`Error::Failed`] naming the frame that the baseline cannot do.
    pub fn subtract(&mut self, frames: &mut [Frame]) -> Result<usize> {
        self.shift(frames, -1.0)
    }

    /// Adds the baseline to the energies, forces and virials of frames: those of a model that was
    /// trained without. Virials are dropped as in [`Baseline::subtract`].
    ///
    /// **Errors**: as [`Baseline::subtract`].
    pub fn add(&mut self, frames: &mut [Frame]) -> Result<usize> {
        self.shift(frames, 1.0)
    }

    fn shift(&mut self, frames: &mut [Frame], sign: f64) -> Result<usize> {
        let mut dropped = 0;
        for (index, frame) in frames.iter_mut().enumerate() {
            let (energy, forces, virial) = self.evaluate(frame).map_err(|e| {
                Error::Failed(format!(
                    "the baseline ({}) fails for frame {}: {e}",
                    self.record.method,
                    index + 1
                ))
            })?;
            frame.energy = frame.energy.map(|e| e + sign * energy);
            if let Some(own) = &mut frame.forces {
                let all = own.as_flattened_mut().iter_mut();
                all.zip(forces.as_flattened())
                    .for_each(|(f, b)| *f += sign * b);
            }
            frame.virial = match (frame.virial, virial) {
                (Some(own), Some(b)) => Some(std::array::from_fn(|c| own[c] + sign * b[c])),
                (Some(_), None) => {
                    dropped += 1;
                    None
                }
                (None, _) => None,
            };
        }
        Ok(dropped)
    }
}

/// What answers for a source. Programs that can stay are started once.
fn asked(source: &Source) -> Result<Ask> {
    match source {
        Source::Keys(_) => Err(Error::invalid(
            "the baseline stands with frames that are labelled already; new structures need a nep.txt or a .toml file \
             with a method",
        )),
        Source::Model(model) => {
            let calculator = Calculator::new(Arc::clone(model), BackendKind::Cpu)?;
            Ok(super::ask_potential(Box::new(calculator)))
        }
        Source::Labeller(labeller) => {
            if let Some(ask) = labeller.asked()? {
                return Ok(ask);
            }
            let labeller = Arc::clone(labeller);
            Ok(Box::new(move |structure| {
                let folder = tempfile::tempdir()
                    .map_err(|e| Error::io("create a folder in", std::env::temp_dir(), e))?;
                match labeller.label(structure, folder.path())? {
                    Verdict::Accepted(label) => Ok((label.energy, label.forces, label.virial)),
                    Verdict::Rejected { reason, .. } => Err(Error::Failed(reason)),
                }
            }))
        }
    }
}

impl Potential for Baseline {
    fn energy_forces_virial(
        &mut self,
        structure: &Structure,
    ) -> Result<(f64, Vec<[f64; 3]>, [f64; 9])> {
        let (energy, forces, virial) = self.ask(structure)?;
        let virial = match virial {
            Some(virial) => virial,
            // There is no stress that could move such a cell.
            None if structure.cell.periodic() != [true; 3] => [0.0; 9],
            None => {
                return Err(Error::Unsupported(format!(
                    "the baseline ({}) gives no stress of a periodic cell, which a sum with it needs",
                    self.record.method
                )));
            }
        };
        Ok((energy, forces, virial))
    }
}

fn digest(bytes: &[u8]) -> String {
    format!("{:016x}", nepal::files::fnv1a(bytes))
}

/// What a model says of a frame, with the baseline that was noted beside its labels.
///
/// **Errors**: [`Error::InvalidArgument`] if there is none.
pub fn add_noted(frame: &Frame, (mut energy, mut forces, mut virial): Part) -> Result<Part> {
    let (e, f, w) = keys(frame, PREFIX)?;
    energy += e;
    let all = forces.as_flattened_mut().iter_mut();
    all.zip(f.as_flattened()).for_each(|(a, b)| *a += b);
    virial = virial
        .zip(w)
        .map(|(a, b)| std::array::from_fn(|c| a[c] + b[c]));
    Ok((energy, forces, virial))
}

/// The baseline that a frame brings along.
fn keys(frame: &Frame, prefix: &str) -> Result<Part> {
    let missing = |what: &str| Error::invalid(format!("it has no {prefix}{what}"));
    let key = format!("{prefix}energy");
    let text = frame.info.get(&key).ok_or_else(|| missing("energy"))?;
    let energy: f64 = text
        .parse()
        .ok()
        .filter(|e: &f64| e.is_finite())
        .ok_or_else(|| Error::invalid(format!("{key} is {text:?}; expected a number in eV")))?;
    let forces = match frame.real_column(&format!("{prefix}forces")) {
        Some((values, 3)) => values.as_chunks::<3>().0.to_vec(),
        Some((_, width)) => {
            return Err(Error::invalid(format!(
                "the column {prefix}forces has {width} numbers an atom; expected 3"
            )));
        }
        None if frame.forces.is_none() => vec![[0.0; 3]; frame.len()],
        None => return Err(missing("forces")),
    };
    let key = format!("{prefix}virial");
    let virial = match frame.info.get(&key) {
        None => None,
        Some(text) => {
            let numbers: Vec<f64> = text
                .split_whitespace()
                .map_while(|w| w.parse().ok())
                .collect();
            Some(<[f64; 9]>::try_from(numbers).map_err(|_| {
                Error::invalid(format!("{key} is {text:?}; expected 9 numbers in eV"))
            })?)
        }
    };
    Ok((energy, forces, virial))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nepal_train::predict;

    fn data(name: &str) -> PathBuf {
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
            .join("tests/data")
            .join(name)
    }

    fn frames() -> Vec<Frame> {
        nepal::system::xyz::read_frames(data("gnep_trace/train.xyz")).unwrap()
    }

    #[test]
    fn a_nep_comes_off_and_goes_back() {
        let path = data("gnep_trace/nep.txt");
        let mut baseline = Baseline::new(path.to_str().unwrap(), &StopFlag::default()).unwrap();
        let model = Model::load(&path).unwrap();
        let original = frames();
        let mut delta = original.clone();
        assert_eq!(baseline.subtract(&mut delta).unwrap(), 0);
        let expected = predict(&model, &original, BackendKind::Reference).unwrap();
        for ((a, b), p) in delta.iter().zip(&original).zip(&expected) {
            if let (Some(a), Some(b)) = (a.energy, b.energy) {
                assert!((a + p.energy - b).abs() < 1e-8);
            }
            if let (Some(a), Some(b)) = (a.virial, b.virial) {
                assert!((0..9).all(|c| (a[c] + p.virial[c] - b[c]).abs() < 1e-8));
            }
        }
        baseline.add(&mut delta).unwrap();
        for (a, b) in delta.iter().zip(&original) {
            let (a, b) = (a.forces.as_ref().unwrap(), b.forces.as_ref().unwrap());
            for (a, b) in a.as_flattened().iter().zip(b.as_flattened()) {
                assert!((a - b).abs() < 1e-12);
            }
        }
        let mut record = baseline.record().clone();
        let again = Baseline::of_record(&record, Path::new("."), &StopFlag::default());
        assert!(again.is_ok());
        record.digest = "0".repeat(16);
        let error = Baseline::of_record(&record, Path::new("."), &StopFlag::default());
        assert!(error.err().unwrap().to_string().contains("has changed"));
    }

    #[test]
    fn frames_bring_their_baseline_or_are_named() {
        let mut baseline = Baseline::new("keys:d3_", &StopFlag::default()).unwrap();
        let mut frame = frames().remove(0);
        let error = baseline
            .subtract(std::slice::from_mut(&mut frame))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("frame 1") && error.contains("d3_energy"),
            "{error}"
        );
        frame.info.insert("d3_energy".into(), "-1.5".into());
        let count = frame.len();
        frame.set_real_column("d3_forces", 3, vec![0.25; 3 * count]);
        frame.virial = Some([1.0; 9]);
        let (energy, force) = (frame.energy.unwrap(), frame.forces.as_ref().unwrap()[0][0]);
        let dropped = baseline.subtract(std::slice::from_mut(&mut frame)).unwrap();
        assert_eq!(dropped, 1);
        assert!(frame.virial.is_none());
        assert!((frame.energy.unwrap() - (energy + 1.5)).abs() < 1e-12);
        assert!((frame.forces.as_ref().unwrap()[0][0] - (force - 0.25)).abs() < 1e-12);
    }

    #[test]
    fn a_reference_method_of_a_campaign_can_be_a_baseline() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sw.toml");
        std::fs::write(&path, "kind = \"stillinger-weber\"\n").unwrap();
        let mut baseline = Baseline::new(path.to_str().unwrap(), &StopFlag::default()).unwrap();
        let structure = nepal::system::Structure {
            cell: nepal::system::Cell::isolated(),
            elements: vec![nepal::Element::from_symbol("Si").unwrap(); 2],
            positions: vec![[0.0; 3], [2.35, 0.0, 0.0]],
        };
        let mut frame = Frame::new(structure);
        frame.energy = Some(1.0);
        baseline.subtract(std::slice::from_mut(&mut frame)).unwrap();
        // Stillinger–Weber's pair at its minimum binds with 2.17 eV.
        let binding = frame.energy.unwrap() - 1.0;
        assert!((binding - 2.168).abs() < 0.01, "{binding}");
    }
}
