//! Structures of a campaign file: from files or generators.

use super::config::Source;
use crate::element::Element;
use crate::error::{Error, Result};
use crate::explore::generate::{Distortion, crystal, distort, packing};
use crate::files::fnv1a;
use crate::system::{Frame, Structure, xyz};
use std::path::Path;

/// All structures of a list of sources. `tag` and `seed` make the random ones different from those
/// of other lists and the same in each run.
pub(super) fn frames(
    sources: &[Source],
    base: &Path,
    seed: u64,
    tag: &str,
) -> Result<Vec<Frame>> {
    let mut frames = Vec::new();
    for (index, source) in sources.iter().enumerate() {
        let name = format!("{tag}[{index}]");
        let found = match &source.file {
            Some(file) => from_file(source, &base.join(file))?,
            None => generated(source, seed, &name)
                .map_err(|e| Error::invalid(format!("{name}: {e}")))?,
        };
        for (number, mut frame) in found.into_iter().enumerate() {
            frame.info.insert("origin".into(), name.clone());
            frame.info.insert("number".into(), number.to_string());
            frames.push(frame);
        }
    }
    Ok(frames)
}

/// Frames of a file; their labels count only if the user says so.
fn from_file(source: &Source, path: &Path) -> Result<Vec<Frame>> {
    let mut frames = xyz::read_frames(path)?;
    for (number, frame) in frames.iter_mut().enumerate() {
        if source.labelled {
            if frame.energy.is_none() || frame.forces.is_none() {
                return Err(Error::invalid(format!(
                    "{}, frame {}: labelled = true, but the frame has no energy or no forces",
                    path.display(),
                    number + 1
                )));
            }
            frame.info.insert("label_source".into(), "file".into());
        } else {
            *frame = Frame::new(frame.structure.clone());
        }
    }
    Ok(frames)
}

fn generated(source: &Source, seed: u64, name: &str) -> Result<Vec<Frame>> {
    let elements: Vec<Element> = source
        .elements
        .iter()
        .map(|symbol| Element::from_symbol(symbol))
        .collect::<Result<_>>()?;
    let prototype = source.prototype.as_deref().unwrap_or_default();
    let distortion = Distortion {
        volume_strain: source.volume_strain,
        strain: source.strain,
        rattle: source.rattle,
        vacancies: source.vacancies,
    };
    (0..source.count)
        .map(|number| {
            let seed = seed ^ fnv1a(format!("{name}/{number}").as_bytes());
            let start: Structure = if prototype == "packing" {
                packing(&elements, source.lattice, source.repeat, seed)?
            } else {
                crystal(prototype, &elements, source.lattice, source.repeat)?
            };
            Ok(Frame::new(distort(&start, &distortion, seed)?))
        })
        .collect()
}
