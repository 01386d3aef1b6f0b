//! Structures of a campaign file: from files or generators.

use super::config::Source;
use crate::explore::generate::{Distortion, crystal, distort, packing};
use crate::explore::{Ensemble, Md, MdOptions, clusters, defects};
use nepal::BackendKind;
use nepal::calculator::Calculator;
use nepal::element::Element;
use nepal::error::{Error, Result};
use nepal::files::fnv1a;
use nepal::model::Model;
use nepal::system::{Frame, Structure, xyz};
use std::path::Path;
use std::sync::Arc;

/// Time constant of the thermostat that melts, ps.
const TAU: f64 = 0.05;

/// All structures of a list of sources. `tag` and `seed` make the random ones different from those
/// of other lists and the same in each run.
pub(super) fn frames(sources: &[Source], base: &Path, seed: u64, tag: &str) -> Result<Vec<Frame>> {
    let mut frames = Vec::new();
    for (index, source) in sources.iter().enumerate() {
        let name = format!("{tag}[{index}]");
        let found = if source.file.is_some() && !source.changes() {
            from_file(source, base)?
        } else {
            generated(source, base, seed, &name)
                .map_err(|e| Error::invalid(format!("{name}: {e}")))?
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
fn from_file(source: &Source, base: &Path) -> Result<Vec<Frame>> {
    let Some(file) = &source.file else {
        return Ok(Vec::new());
    };
    let path = base.join(file);
    let mut frames = xyz::read_frames(&path)?;
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

fn generated(source: &Source, base: &Path, seed: u64, name: &str) -> Result<Vec<Frame>> {
    let elements: Vec<Element> = source
        .elements
        .iter()
        .map(|symbol| Element::from_symbol(symbol))
        .collect::<Result<_>>()?;
    let seed_of = |number: usize| seed ^ fnv1a(format!("{name}/{number}").as_bytes());
    let (count, edge) = (source.count, source.lattice);
    let clusters = match source.prototype.as_deref() {
        Some("atom") => Some(clusters::atoms(&elements, edge)?),
        Some("dimer") => Some(clusters::dimers(&elements, count, edge)?),
        Some("trimer") => Some(clusters::trimers(&elements, count, edge, seed_of(0))?),
        _ => None,
    };
    if let Some(found) = clusters {
        return Ok(found.into_iter().map(Frame::new).collect());
    }
    let given = match &source.file {
        Some(_) => from_file(source, base)?,
        None => Vec::new(),
    };
    if source.file.is_some() && given.is_empty() {
        return Err(Error::invalid("the file holds no structure"));
    }
    (0..count)
        .map(|number| {
            let seed = seed_of(number);
            let prototype = source.prototype.as_deref().unwrap_or_default();
            let start = if source.file.is_some() {
                given[number % given.len()]
                    .structure
                    .repeated(source.repeat)?
            } else if prototype == "packing" {
                packing(&elements, source.lattice, source.repeat, seed)?
            } else {
                crystal(prototype, &elements, source.lattice, source.repeat)?
            };
            Ok(Frame::new(changed(source, start, base, seed)?))
        })
        .collect()
}

/// A structure with what a source asks for: surface, defects, strain and rattle, melting, in this order.
fn changed(source: &Source, start: Structure, base: &Path, seed: u64) -> Result<Structure> {
    let mut now = start;
    if let Some(slab) = &source.slab {
        now = defects::slab(&now, slab.face, slab.layers, slab.vacuum)?;
    }
    now = defects::antisites(&now, source.antisites, seed)?;
    if source.interstitials > 0 {
        now = defects::interstitials(&now, source.interstitials, seed)?;
    }
    let distortion = Distortion {
        volume_strain: source.volume_strain,
        strain: source.strain,
        rattle: source.rattle,
        vacancies: source.vacancies,
    };
    now = distort(&now, &distortion, seed)?;
    match &source.melt {
        None => Ok(now),
        Some(melt) => {
            let model = Arc::new(Model::load(base.join(&melt.potential))?);
            let mut calculator = Calculator::new(model, BackendKind::Cpu)?;
            let options = MdOptions {
                ensemble: Ensemble::svr(TAU),
                temperature: (melt.temperature, melt.temperature),
                pressure: (0.0, 0.0),
                timestep: melt.timestep,
                steps: melt.steps,
                seed,
            };
            let mut md = Md::new(&mut calculator, &now, &options)?;
            md.run(&mut calculator, melt.steps, |_| ())?;
            let mut molten = md.state().structure.clone();
            for r in &mut molten.positions {
                *r = molten.cell.wrap(*r);
            }
            Ok(molten)
        }
    }
}
