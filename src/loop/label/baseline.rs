//! Delta learning: a baseline taken off the labels before training, so that the model learns what
//! the baseline misses.
//!
//! A fixed repulsion needs no baseline: `zbl` in the settings is taken off too, and the model carries
//! it.

use super::{Labeller, LabellerConfig, StopFlag, Verdict, from_config};
use nepal::calculator::Calculator;
use nepal::error::{Error, Result};
use nepal::model::Model;
use nepal::system::Frame;
use nepal::{BackendKind, Request};
use nepal_train::record::BaselineRecord;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A method whose energies, forces and virials are taken off the labels.
pub struct Baseline {
    source: Source,
    record: BaselineRecord,
}

enum Source {
    /// Numbers that stand with the frames, their names with this prefix.
    Keys(String),
    Model(Box<Calculator>),
    Labeller(Arc<dyn Labeller>),
}

/// Energy (eV), forces (eV/Å) and, where there is one, virial (eV) of a baseline.
type Part = (f64, Vec<[f64; 3]>, Option<[f64; 9]>);

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
            let prefix = rest.strip_prefix(':').unwrap_or("baseline_").to_owned();
            return Ok(Self {
                record: record(
                    format!("{prefix}energy, {prefix}forces of each frame"),
                    String::new(),
                ),
                source: Source::Keys(prefix),
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
            });
        }
        let model = Model::load(&path)?;
        let symbols: Vec<&str> = model.elements().iter().map(|e| e.symbol()).collect();
        let method = format!("{} for {}", model.header().token(), symbols.join(" "));
        Ok(Self {
            record: record(method, format!("{:016x}", model.fingerprint())),
            source: Source::Model(Box::new(Calculator::new(
                Arc::new(model),
                BackendKind::Cpu,
            )?)),
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

    /// What a side file keeps.
    pub fn record(&self) -> &BaselineRecord {
        &self.record
    }

    fn evaluate(&mut self, frame: &Frame) -> Result<Part> {
        match &mut self.source {
            Source::Keys(prefix) => keys(frame, prefix),
            Source::Model(calculator) => {
                let found =
                    calculator.compute(&frame.structure, Request::FORCES | Request::VIRIAL)?;
                Ok((found.energy, found.forces.clone(), Some(found.virial)))
            }
            Source::Labeller(labeller) => {
                let folder = tempfile::tempdir()
                    .map_err(|e| Error::io("create a folder in", std::env::temp_dir(), e))?;
                match labeller.label(&frame.structure, folder.path())? {
                    Verdict::Accepted(label) => Ok((label.energy, label.forces, label.virial)),
                    Verdict::Rejected { reason, .. } => Err(Error::Failed(reason)),
                }
            }
        }
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

fn digest(bytes: &[u8]) -> String {
    format!("{:016x}", nepal::files::fnv1a(bytes))
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
