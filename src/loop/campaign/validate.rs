//! The final model against the reference method: held-out frames, crystals, fresh frames at each temperature, liquid.

use super::Campaign;
use super::config::{Source, ValidateConfig};
use super::event::{Event, Observer};
use super::ground::Context;
use super::held_out::{self, HeldOut};
use super::minima::{self, MinimaRecord};
use super::properties::{self, CrystalRecord, Planned};
use super::selection::ensemble;
use super::sources;
use super::store::read_json;
use crate::explore::crystal::{elastic, equilibrium};
use crate::explore::rdf::Rdf;
use crate::explore::{Anisotropy, Md, MdOptions};
use nepal::BackendKind;
use nepal::calculator::{Calculator, Potential};
use nepal::error::{Error, Result};
use nepal::model::Model;
use nepal::system::{Frame, Structure, xyz};
use nepal_train::Errors;
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use std::sync::Arc;

/// One property of both.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Property {
    /// What it is.
    pub name: String,
    /// Its unit.
    pub unit: String,
    /// The reference method's value.
    pub reference: f64,
    /// The model's value.
    pub model: f64,
}

/// Errors on frames that the reference method's own dynamics gave.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Fresh {
    /// Temperature, K.
    pub temperature: f64,
    /// Number of frames.
    pub frames: usize,
    /// Errors of the model.
    pub errors: Errors,
    /// Root mean square of the reference force components, eV/Å.
    pub force_rms: f64,
}

/// Radial distribution of the liquid with both.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RdfPair {
    /// Temperature, K.
    pub temperature: f64,
    /// Distances, Å.
    pub r: Vec<f64>,
    /// g(r) of the reference method.
    pub reference: Vec<f64>,
    /// g(r) of the model.
    pub model: Vec<f64>,
}

/// The whole comparison. In `final/validation.json`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ValidationRecord {
    /// Crystal properties.
    pub properties: Vec<Property>,
    /// Errors by temperature.
    pub fresh: Vec<Fresh>,
    /// The liquid.
    pub rdf: Option<RdfPair>,
    /// What the scenarios visit with the final model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_out: Option<HeldOut>,
    /// Properties of crystals by labels of their cells.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub crystals: Vec<CrystalRecord>,
    /// Minima of both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minima: Option<MinimaRecord>,
}

/// Atoms per edge of the cells that dynamics runs in, as conventional cells.
const SUPERCELL: usize = 2;
/// The liquid has larger cells, so that g(r) has room.
const LIQUID_SUPERCELL: usize = 3;
/// Time step of these runs, ps.
const TIMESTEP: f64 = 0.001;
/// Fresh frames at each temperature.
const FRESH_FRAMES: usize = 20;
/// Range of g(r), Å.
const RDF_RANGE: f64 = 8.0;
/// Temperature, in units of the liquid's, that melts the crystal before the run.
const MELT_FACTOR: f64 = 2.0;

/// Compares the final model with the reference method.
///
/// **Errors**: [`Error::Unsupported`] if the reference method is no potential that dynamics can
/// use; those of the runs.
pub(super) fn validate(
    context: &Context<'_>,
    settings: &ValidateConfig,
    observer: &mut dyn Observer,
) -> Result<ValidationRecord> {
    let campaign = context.campaign;
    let model = Model::load(campaign.directory.join("final/nep.txt"))?;
    let mut record = match &settings.crystal {
        Some(crystal) => against(campaign, settings, (crystal, &model), observer)?,
        None => ValidationRecord::default(),
    };
    let labelled = campaign.directory.join("final/labelled.xyz");
    if settings.frames > 0 || settings.properties.is_some() {
        record.held_out = held_out::judge(context, &model)?;
        if let Some(properties) = &settings.properties {
            let labelled = xyz::read_frames(labelled)?;
            let planned: Vec<Planned> =
                read_json(&campaign.directory.join("final/properties.json"))?;
            let mut student = campaign.potential(&campaign.directory.join("final/nep.txt"))?;
            record.crystals = properties::compare(properties, &planned, &labelled, &mut *student)?;
        }
    }
    if let Some(minima) = &settings.minima {
        let mut student =
            campaign.with_baseline(Calculator::new(Arc::new(model), BackendKind::Cpu)?)?;
        let found = minima::compare(campaign, minima, &mut student, observer)?;
        observer.event(Event::Info(found.summary()));
        record.minima = Some(found);
    }
    Ok(record)
}

/// Crystal, fresh frames and liquid.
fn against(
    campaign: &Campaign,
    settings: &ValidateConfig,
    (source, model): (&Source, &Model),
    observer: &mut dyn Observer,
) -> Result<ValidationRecord> {
    let labeller = campaign.labeller()?;
    let mut teacher = labeller.potential().ok_or_else(|| {
        Error::Unsupported(format!(
            "[validate] runs dynamics with the reference method, which {} is too slow for; remove the table",
            labeller.name()
        ))
    })?;
    let mut student =
        campaign.with_baseline(Calculator::new(Arc::new(model.clone()), BackendKind::Cpu)?)?;
    let mut baseline = campaign.baseline()?;
    let lattice = source.lattice;
    let source = std::slice::from_ref(source);
    let crystal = sources::frames(source, &campaign.base, campaign.config.seed, "validate")?
        .into_iter()
        .next()
        .ok_or_else(|| Error::invalid("[validate] crystal gives no structure"))?
        .structure;
    let properties = properties(&mut *teacher, &mut student, &crystal, lattice)?;
    let total = settings.temperatures.len() as u64 + if settings.liquid.is_some() { 2 } else { 0 };
    let mut done = 0;
    let mut tick = |detail: &str, observer: &mut dyn Observer| {
        done += 1;
        observer.event(Event::Progress {
            what: "validating".into(),
            done,
            total,
            detail: detail.into(),
        });
    };
    let seed = campaign.config.seed;
    let mut fresh = Vec::new();
    for &temperature in &settings.temperatures {
        let mut frames = fresh_frames(&mut *teacher, &crystal, temperature, settings.steps, seed)?;
        let forces = frames
            .iter()
            .filter_map(|f| f.forces.as_ref())
            .flatten()
            .flatten();
        let (sum, count) = forces.fold((0.0, 0.0), |(s, n), f| (s + f * f, n + 1.0));
        if let Some(baseline) = &mut baseline {
            baseline.subtract(&mut frames)?;
        }
        fresh.push(Fresh {
            temperature,
            frames: frames.len(),
            errors: nepal_train::errors(model, &frames, BackendKind::Cpu)?,
            force_rms: f64::sqrt(sum / f64::max(count, 1.0)),
        });
        tick(&format!("{temperature} K"), observer);
    }
    let mut rdf = None;
    if let Some(temperature) = settings.liquid {
        let start = crystal.repeated([LIQUID_SUPERCELL; 3])?;
        let (r, reference) = liquid(&mut *teacher, &start, temperature, settings.steps, seed)?;
        tick("liquid, reference method", observer);
        let (_, model) = liquid(&mut student, &start, temperature, settings.steps, seed)?;
        tick("liquid, model", observer);
        rdf = Some(RdfPair {
            temperature,
            r,
            reference,
            model,
        });
    }
    Ok(ValidationRecord {
        properties,
        fresh,
        rdf,
        ..ValidationRecord::default()
    })
}

fn properties(
    teacher: &mut dyn Potential,
    student: &mut dyn Potential,
    crystal: &Structure,
    lattice: f64,
) -> Result<Vec<Property>> {
    let both = [
        (equilibrium(teacher, crystal)?, elastic(teacher, crystal)?),
        (equilibrium(student, crystal)?, elastic(student, crystal)?),
    ];
    let row = |name: &str, unit: &str, values: [f64; 2]| Property {
        name: name.into(),
        unit: unit.into(),
        reference: values[0],
        model: values[1],
    };
    Ok(vec![
        row("lattice constant", "Å", both.map(|b| b.0.scale * lattice)),
        row("energy of the crystal", "eV/atom", both.map(|b| b.0.energy)),
        row("C11", "GPa", both.map(|b| b.1.c11)),
        row("C12", "GPa", both.map(|b| b.1.c12)),
        row("C44, relaxed", "GPa", both.map(|b| b.1.c44)),
        row("bulk modulus", "GPa", both.map(|b| b.1.bulk())),
    ])
}

fn options(name: &str, temperature: f64, steps: usize, seed: u64) -> MdOptions {
    MdOptions {
        ensemble: ensemble(name, Anisotropy::default()),
        temperature: (temperature, temperature),
        pressure: (0.0, 0.0),
        timestep: TIMESTEP,
        steps,
        seed,
    }
}

/// Frames from the teacher's dynamics at zero pressure; the first half of the run settles.
fn fresh_frames(
    teacher: &mut dyn Potential,
    crystal: &Structure,
    temperature: f64,
    steps: usize,
    seed: u64,
) -> Result<Vec<Frame>> {
    let start = crystal.repeated([SUPERCELL; 3])?;
    let mut md = Md::new(teacher, &start, &options("npt", temperature, steps, seed))?;
    let interval = (steps / 2 / FRESH_FRAMES).max(1);
    let mut kept = Vec::new();
    md.run(teacher, steps, |md| {
        let step = md.steps_done();
        if step > steps / 2 && step.is_multiple_of(interval) && kept.len() < FRESH_FRAMES {
            kept.push(md.state().structure.clone());
        }
    })?;
    kept.into_iter()
        .map(|structure| {
            let (energy, forces, virial) = teacher.energy_forces_virial(&structure)?;
            let mut frame = Frame::new(structure);
            (frame.energy, frame.forces, frame.virial) = (Some(energy), Some(forces), Some(virial));
            Ok(frame)
        })
        .collect()
}

/// g(r) of a liquid: melted hot, brought to temperature, then averaged.
fn liquid(
    potential: &mut dyn Potential,
    start: &Structure,
    temperature: f64,
    steps: usize,
    seed: u64,
) -> Result<(Vec<f64>, Vec<f64>)> {
    let mut melt = options("svr", MELT_FACTOR * temperature, steps, seed);
    melt.temperature.1 = temperature;
    let mut md = Md::new(potential, start, &melt)?;
    md.run(potential, steps, |_| ())?;
    let molten = md.state().structure.clone();
    let mut md = Md::new(
        potential,
        &molten,
        &options("npt", temperature, 2 * steps, seed + 1),
    )?;
    let mut rdf = Rdf::new(RDF_RANGE, 160)?;
    let mut failed = None;
    md.run(potential, 2 * steps, |md| {
        if md.steps_done() > steps && md.steps_done().is_multiple_of(20) {
            failed = failed.take().or(rdf.add(&md.state().structure).err());
        }
    })?;
    match failed {
        Some(error) => Err(error),
        None => Ok(rdf.curve()),
    }
}

/// Rows of properties below their head, if there are any.
fn property_rows(text: &mut String, head: &str, properties: &[Property]) {
    if !properties.is_empty() {
        let _ = writeln!(
            text,
            "{head:<22} {:>8} {:>11} {:>11} {:>10}",
            "unit", "reference", "model", "deviation"
        );
    }
    for p in properties {
        let _ = writeln!(
            text,
            "{:<22} {:>8} {:>11.4} {:>11.4} {:>+9.2} %",
            p.name,
            p.unit,
            p.reference,
            p.model,
            100.0 * (p.model / p.reference - 1.0)
        );
    }
}

impl Campaign {
    /// The comparison with the reference method as a table, if it was made.
    ///
    /// **Errors**: [`Error::Failed`] for a damaged record.
    pub fn validation_table(&self) -> Result<Option<String>> {
        let path = self.directory.join("final/validation.json");
        if self.config.validate.is_none() || !path.exists() {
            return Ok(None);
        }
        let record: ValidationRecord = read_json(&path)?;
        let mut text = String::new();
        if let Some(held) = &record.held_out {
            for (name, of) in (held.scenarios.iter().map(|(n, of)| (n.as_str(), of)))
                .chain([("all scenarios", &held.all)])
            {
                let _ = writeln!(text, "held-out frames of {name}: {}", of.words());
            }
        }
        property_rows(&mut text, "property", &record.properties);
        for crystal in &record.crystals {
            property_rows(&mut text, &crystal.name, &crystal.properties);
            if let Some(rmse) = crystal.frequency_rmse() {
                let _ = writeln!(text, "phonons: frequencies differ by {rmse:.3} THz (rms)");
            }
            for note in &crystal.notes {
                let _ = writeln!(text, "but {note}");
            }
        }
        for f in &record.fresh {
            let _ = writeln!(
                text,
                "fresh frames at {:>4.0} K: energy {:.2} meV/atom, force {:.1} meV/Å ({:.1} % of the rms force)",
                f.temperature,
                1e3 * f.errors.energy_rmse.unwrap_or(f64::NAN),
                1e3 * f.errors.force_rmse.unwrap_or(f64::NAN),
                100.0 * f.errors.force_rmse.unwrap_or(f64::NAN) / f.force_rms
            );
        }
        if let Some(rdf) = &record.rdf {
            let worst = rdf
                .reference
                .iter()
                .zip(&rdf.model)
                .map(|(a, b)| (a - b).abs())
                .fold(0.0, f64::max);
            let _ = writeln!(
                text,
                "liquid at {:.0} K: largest difference of g(r) {worst:.3}",
                rdf.temperature
            );
        }
        if let Some(minima) = &record.minima {
            let _ = writeln!(text, "{}", minima.summary());
        }
        Ok(Some(text))
    }
}
