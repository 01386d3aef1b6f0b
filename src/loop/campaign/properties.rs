//! Properties of crystals by labels of a few cells: equation of state, elastic constants, phonons.
//!
//! The final model says where a crystal is at rest and how its atoms go along with a strain; the reference method labels
//! those cells, and both methods' properties come from the same cells in the same way.

mod measure;
#[cfg(test)]
mod tests;

use super::Campaign;
use super::config::{PropertiesConfig, Source};
use super::sources;
use super::validate::Property;
use crate::explore::crystal::{relax, relax_cell};
use crate::explore::force_constants::{Move, moves};
use crate::explore::stiffness;
use crate::explore::symmetry::{operations, rotations};
use measure::Measured;
use nepal::calculator::Potential;
use nepal::error::{Error, Result};
use nepal::system::{Frame, Structure, xyz};
use serde::{Deserialize, Serialize};

/// Force at which a crystal is at rest, eV/Å, and most steps on the way there.
const REST: (f64, usize) = (1e-4, 3000);
/// Names of the six components.
const VOIGT: [char; 6] = ['1', '2', '3', '4', '5', '6'];
/// Keys of a frame: its crystal, and its number among that crystal's cells.
const KEYS: [&str; 2] = ["crystal", "cell"];

/// What is asked for of a crystal, and how its cells were made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Planned {
    name: String,
    /// The crystal at rest, as extended XYZ.
    rest: String,
    /// Volumes over that at rest.
    volumes: Vec<f64>,
    /// Strained components.
    strains: Vec<usize>,
    /// How the atoms go along with each of the six strains, Å.
    rates: Vec<Vec<[f64; 3]>>,
    /// Displaced atoms of the supercell.
    moves: Vec<Move>,
}

/// Frequencies of both at a wave vector.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Phonons {
    /// In units of the reciprocal vectors of the cell.
    pub q: [f64; 3],
    /// THz, ascending; imaginary ones as negative numbers.
    pub reference: Vec<f64>,
    /// The model's.
    pub model: Vec<f64>,
}

/// A crystal's properties by both methods. In `final/validation.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CrystalRecord {
    /// What it is.
    pub name: String,
    /// Labels that this took.
    pub labels: usize,
    /// Numbers of both.
    pub properties: Vec<Property>,
    /// Volume (Å³/atom), and energies of reference and model (eV/atom).
    pub energies: Vec<[f64; 3]>,
    /// Frequencies of both.
    pub phonons: Vec<Phonons>,
    /// What could not be had, and why.
    pub notes: Vec<String>,
}

/// Energy, forces and virial of a cell, as far as they are known.
type Labels = Option<(f64, Vec<[f64; 3]>, Option<[f64; 9]>)>;

impl PropertiesConfig {
    /// The volumes of the equation of state, over that at rest.
    fn relative_volumes(&self) -> Vec<f64> {
        let last = self.volumes.saturating_sub(1).max(1) as f64;
        (0..self.volumes)
            .map(|k| 1.0 + self.volume_range * (2.0 * k as f64 / last - 1.0))
            .collect()
    }

    /// Strains and moves of a crystal, by its symmetry.
    fn cells(&self, crystal: &Structure) -> Result<(Vec<usize>, Vec<Move>)> {
        let strains = match self.elastic {
            true => stiffness::strains(&rotations(&operations(crystal))),
            false => Vec::new(),
        };
        let moves = match self.phonons {
            Some(repeat) => {
                let s = crystal.repeated(repeat)?;
                moves(&s, &operations(&s), self.displacement)
            }
            None => Vec::new(),
        };
        Ok((strains, moves))
    }

    /// Labels that a crystal takes: of volumes, strains and moves.
    fn count(&self, crystal: &Structure) -> Result<[usize; 3]> {
        let (strains, moves) = self.cells(crystal)?;
        Ok([self.volumes, 2 * strains.len(), moves.len()])
    }
}

/// The crystals of the campaign file with their names.
fn crystals(campaign: &Campaign, settings: &PropertiesConfig) -> Result<Vec<(String, Structure)>> {
    let (base, seed) = (&campaign.base, campaign.config.seed);
    let mut all = Vec::new();
    for source in &settings.crystals {
        let found = sources::frames(std::slice::from_ref(source), base, seed, "properties")?;
        let many = found.len() > 1;
        for (k, frame) in found.into_iter().enumerate() {
            let number = if many {
                format!(" {}", k + 1)
            } else {
                String::new()
            };
            all.push((name(source) + &number, frame.structure));
        }
    }
    Ok(all)
}

fn name(source: &Source) -> String {
    match &source.file {
        Some(file) => file.display().to_string(),
        None => format!(
            "{} {}",
            source.prototype.as_deref().unwrap_or_default(),
            source.elements.join(" ")
        ),
    }
}

impl Campaign {
    /// Names of the crystals whose properties are asked for, and the labels that each takes: of volumes, strains and
    /// moves.
    pub(super) fn property_labels(&self) -> Result<Vec<(String, [usize; 3])>> {
        let settings = self
            .config
            .validate
            .as_ref()
            .and_then(|v| v.properties.as_ref());
        let Some(settings) = settings else {
            return Ok(Vec::new());
        };
        (crystals(self, settings)?.into_iter())
            .map(|(name, crystal)| Ok((name, settings.count(&crystal)?)))
            .collect()
    }
}

/// The cells of all crystals, and how they were made. A crystal that the model does not hold together is left out, with
/// a line that says so.
pub(super) fn plan(
    campaign: &Campaign,
    settings: &PropertiesConfig,
    model: &mut dyn Potential,
) -> Result<(Vec<Planned>, Vec<Frame>, Vec<String>)> {
    let (mut planned, mut frames, mut lost) = (Vec::new(), Vec::new(), Vec::new());
    for (name, start) in crystals(campaign, settings)? {
        let rest = match relax_cell(model, &start, REST.0, REST.1) {
            Ok(rest) => rest,
            Err(error) => {
                lost.push(format!(
                    "{name}: the model has no equilibrium near it ({error})"
                ));
                continue;
            }
        };
        let (one, cells) = Planned::new(settings, name, &rest, model)?;
        for (number, cell) in cells.into_iter().enumerate() {
            let mut frame = Frame::new(cell);
            frame.info.insert("origin".into(), "properties".into());
            for (key, value) in KEYS.into_iter().zip([planned.len(), number]) {
                frame.info.insert(key.into(), value.to_string());
            }
            frames.push(frame);
        }
        planned.push(one);
    }
    Ok((planned, frames, lost))
}

impl Planned {
    /// A crystal at rest, and its cells in the order of volumes, strains (either sign) and moves.
    fn new(
        settings: &PropertiesConfig,
        name: String,
        rest: &Structure,
        model: &mut dyn Potential,
    ) -> Result<(Self, Vec<Structure>)> {
        let (strains, moves) = settings.cells(rest)?;
        // Out of steps, a cell is what it is: both methods are asked of the same.
        let mut relaxed = |strain: [[f64; 3]; 3]| -> Result<Structure> {
            let mut s = rest.strained(&strain)?;
            match relax(model, &mut s, REST.0, REST.1) {
                Ok(_) | Err(Error::Failed(_)) => Ok(s),
                Err(error) => Err(error),
            }
        };
        let mut cells = Vec::new();
        let volumes = settings.relative_volumes();
        for volume in &volumes {
            let e = volume.cbrt() - 1.0;
            cells.push(relaxed([[e, 0.0, 0.0], [0.0, e, 0.0], [0.0, 0.0, e]])?);
        }
        let mut rates = Vec::new();
        for component in 0..if strains.is_empty() { 0 } else { 6 } {
            let [plus, minus] = [1.0, -1.0]
                .map(|sign| relaxed(stiffness::strain(component, sign * settings.strain)));
            let (plus, minus) = (plus?, minus?);
            let home =
                |s: &Structure, i: usize| rest.cell.cartesian(s.cell.fractional(s.positions[i]));
            rates.push(
                (0..rest.len())
                    .map(|i| {
                        let (a, b) = (home(&plus, i), home(&minus, i));
                        std::array::from_fn(|k| (a[k] - b[k]) / (2.0 * settings.strain))
                    })
                    .collect(),
            );
            if strains.contains(&component) {
                cells.extend([plus, minus]);
            }
        }
        if let Some(repeat) = settings.phonons {
            let s = rest.repeated(repeat)?;
            for (atom, by) in &moves {
                let mut moved = s.clone();
                for (x, d) in moved.positions[*atom].iter_mut().zip(by) {
                    *x += d;
                }
                cells.push(moved);
            }
        }
        let rest = xyz::to_text(&Frame::new(rest.clone()));
        let planned = Self {
            name,
            rest,
            volumes,
            strains,
            rates,
            moves,
        };
        Ok((planned, cells))
    }

    /// Number of cells.
    fn len(&self) -> usize {
        self.volumes.len() + 2 * self.strains.len() + self.moves.len()
    }

    fn rest(&self) -> Result<Structure> {
        let name = "final/properties.json";
        let first = xyz::FrameReader::new(self.rest.as_bytes(), name).next();
        let none = || Error::Failed(format!("{name} has no crystal"));
        Ok(first.ok_or_else(none)??.structure)
    }
}

/// Compares the methods by the labelled cells.
///
/// **Errors**: those of the model.
pub(super) fn compare(
    settings: &PropertiesConfig,
    planned: &[Planned],
    labelled: &[Frame],
    model: &mut dyn Potential,
) -> Result<Vec<CrystalRecord>> {
    let mut records = Vec::new();
    for (number, one) in planned.iter().enumerate() {
        let mut cells: Vec<Option<Structure>> = vec![None; one.len()];
        let mut labels: [Vec<Labels>; 2] = [vec![None; one.len()], vec![None; one.len()]];
        for frame in labelled {
            let of = |key: &str| frame.info.get(key).and_then(|x| x.parse::<usize>().ok());
            let (Some(crystal), Some(cell)) = (of(KEYS[0]), of(KEYS[1])) else {
                continue;
            };
            let (Some(energy), Some(forces)) = (frame.energy, &frame.forces) else {
                continue;
            };
            if crystal != number || cell >= one.len() {
                continue;
            }
            labels[0][cell] = Some((energy, forces.clone(), frame.virial));
            let (energy, forces, virial) = model.energy_forces_virial(&frame.structure)?;
            labels[1][cell] = Some((energy, forces, Some(virial)));
            cells[cell] = Some(frame.structure.clone());
        }
        let [reference, model] = [
            one.measure(settings, &cells, &labels[0])?,
            one.measure(settings, &cells, &labels[1])?,
        ];
        records.push(one.record(&reference, &model)?);
    }
    Ok(records)
}

impl Planned {
    fn record(&self, reference: &Measured, model: &Measured) -> Result<CrystalRecord> {
        let rest = self.rest()?;
        let mut properties = Vec::new();
        let mut row = |name: String, unit: &str, values: [f64; 2]| {
            properties.push(Property {
                name,
                unit: unit.into(),
                reference: values[0],
                model: values[1],
            });
        };
        if let (Some(a), Some(b)) = (reference.state, model.state) {
            row("volume".into(), "Å³/atom", [a.volume, b.volume]);
            row("energy".into(), "eV/atom", [a.energy, b.energy]);
            row("bulk modulus, E(V)".into(), "GPa", [a.bulk, b.bulk]);
        }
        if let (Some(a), Some(b)) = (reference.stiffness, model.stiffness) {
            for [i, j] in stiffness::distinct(&rotations(&operations(&rest))) {
                row(
                    format!("C{}{}", VOIGT[i], VOIGT[j]),
                    "GPa",
                    [a[i][j], b[i][j]],
                );
            }
        }
        let phonons: Vec<Phonons> = (reference.branches.iter().zip(&model.branches))
            .map(|(a, b)| Phonons {
                q: a.q,
                reference: a.frequencies.clone(),
                model: b.frequencies.clone(),
            })
            .collect();
        let highest = |of: fn(&Phonons) -> &Vec<f64>| {
            let all = phonons.iter().flat_map(of).copied();
            all.fold(f64::NEG_INFINITY, f64::max)
        };
        if !phonons.is_empty() {
            let both = [highest(|p| &p.reference), highest(|p| &p.model)];
            row("highest frequency".into(), "THz", both);
        }
        let mut notes = Vec::new();
        for (who, of) in [("reference", reference), ("model", model)] {
            notes.extend(of.notes.iter().map(|note| format!("{who}, {note}")));
        }
        Ok(CrystalRecord {
            name: self.name.clone(),
            labels: self.len(),
            properties,
            energies: (reference.energies.iter().zip(&model.energies))
                .map(|(a, b)| [a[0], a[1], b[1]])
                .collect(),
            phonons,
            notes,
        })
    }
}

impl CrystalRecord {
    /// Root mean square difference of the frequencies, THz, if there are any.
    pub fn frequency_rmse(&self) -> Option<f64> {
        let pairs = self
            .phonons
            .iter()
            .flat_map(|p| p.reference.iter().zip(&p.model));
        let (sum, count) = pairs.fold((0.0, 0), |(s, n), (a, b)| (s + (a - b).powi(2), n + 1));
        (count > 0).then(|| (sum / f64::from(count)).sqrt())
    }
}
