//! The final model's minima against the reference method's: metastable states that the model misses or invents.
//!
//! Frames of the model's own dynamics at each scenario's conditions, what the last rounds kept, and structures that
//! the user suspects are quenched with both, in a cell that stays. A minimum of the model that the reference leaves
//! is hallucinated, one of the reference that the model leaves is missing: errors at equilibrium say nothing of either.

use super::Campaign;
use super::config::{MinimaConfig, Scenario};
use super::event::{Event, Observer};
use super::ground::Context;
use super::selection::explore_options;
use super::sources;
use crate::explore::Ensemble;
use crate::explore::crystal::relax;
use crate::explore::dynamics::Step;
use crate::explore::{Md, MdOptions};
use crate::label::{Labeller, Verdict};
use nepal::calculator::Potential;
use nepal::error::{Error, Result};
use nepal::system::cell::{norm, sub};
use nepal::system::{Frame, NeighborList, Structure, xyz};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Rounds, counted from the last, whose candidates are quenched as well.
const ROUNDS: usize = 2;
/// Force at which a quench ends, eV/Å.
const REST: f64 = 0.01;
/// Two minima are one if their energies differ by less (eV) and their distances by less on average (Å).
const ALIKE: (f64, f64) = (0.01, 0.02);
/// Distances beyond this (Å) tell little of a minimum.
const RANGE: f64 = 6.0;
/// Time constant of the thermostat, ps.
const TAU: f64 = 0.1;

/// A minimum of one method, and what the other makes of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Minimum {
    /// What was quenched.
    pub from: String,
    /// Quenched structures that ended here.
    pub count: usize,
    /// Energy above the method's lowest minimum of the same atoms, eV.
    pub energy: f64,
    /// The same of where the other method relaxes it to, by that method.
    pub other: f64,
    /// The farthest that an atom moves on the way there, Å.
    pub moved: f64,
    /// Whether the other method has it, too.
    pub kept: bool,
    /// Number of its frame in `final/minima.xyz`, from 1.
    pub frame: usize,
}

/// The minima of both.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MinimaRecord {
    /// Structures that were quenched with the model.
    pub quenched: usize,
    /// Those quenched with the reference method, too.
    pub reference_quenched: usize,
    /// Minima of the model.
    pub model: Vec<Minimum>,
    /// Minima of the reference method.
    pub reference: Vec<Minimum>,
}

impl MinimaRecord {
    /// Those of the reference method that the model lacks.
    pub fn missing(&self) -> impl Iterator<Item = &Minimum> {
        self.reference.iter().filter(|m| !m.kept)
    }

    /// Those of the model that the reference method does not know.
    pub fn hallucinated(&self) -> impl Iterator<Item = &Minimum> {
        self.model.iter().filter(|m| !m.kept)
    }

    /// In a sentence.
    pub fn summary(&self) -> String {
        format!(
            "{} minima of the model, {} hallucinated; {} of the reference method, {} missing in the model",
            self.model.len(),
            self.hallucinated().count(),
            self.reference.len(),
            self.missing().count()
        )
    }
}

/// Compares, and writes the minima beside the model.
///
/// **Errors**: those of both methods; a label that is refused ends it.
pub(super) fn compare(
    campaign: &Campaign,
    settings: &MinimaConfig,
    model: &mut dyn Potential,
    observer: &mut dyn Observer,
) -> Result<MinimaRecord> {
    let labeller = Arc::clone(campaign.labeller()?);
    let fast = labeller.potential();
    let mut reference = Reference { labeller, fast };
    let pool = pool(campaign, settings, model)?;
    let mut tick = |done: usize, total: usize, detail: &str| {
        observer.event(Event::Progress {
            what: "quenching".into(),
            done: done as u64,
            total: total as u64,
            detail: detail.into(),
        });
        observer.stop_requested()
    };
    let (record, frames) = between(&pool, settings, model, &mut reference, &mut tick)?;
    xyz::write_frames(campaign.directory.join("final/minima.xyz"), &frames)?;
    Ok(record)
}

/// Told what is done of how much; true to stop.
type Tick<'a> = dyn FnMut(usize, usize, &str) -> bool + 'a;

/// The comparison itself, of structures with where they come from.
fn between(
    pool: &[(String, Structure)],
    settings: &MinimaConfig,
    model: &mut dyn Potential,
    reference: &mut dyn Potential,
    tick: &mut Tick<'_>,
) -> Result<(MinimaRecord, Vec<Frame>)> {
    // Evenly over the pool, all kinds of structures among them.
    let most = settings.references.min(pool.len());
    let chosen = (0..most).map(|k| &pool[k * pool.len() / most]);
    let mut found = [Vec::new(), Vec::new()];
    for (k, (from, structure)) in pool.iter().enumerate() {
        told(tick(k, pool.len(), "with the model"))?;
        add(&mut found[0], from, quenched(model, structure, settings)?);
    }
    for (k, (from, structure)) in chosen.enumerate() {
        told(tick(k, most, "with the reference method"))?;
        add(
            &mut found[1],
            from,
            quenched(reference, structure, settings)?,
        );
    }
    // What the other method makes of each.
    let mut ends = [Vec::new(), Vec::new()];
    let total = found[0].len() + found[1].len();
    for (k, rest) in found[0].iter().chain(&found[1]).enumerate() {
        told(tick(k, total, "each minimum with the other method"))?;
        let own = usize::from(k >= found[0].len());
        let end = match own {
            0 => quenched(reference, &rest.structure, settings)?,
            _ => quenched(model, &rest.structure, settings)?,
        };
        ends[own].push(end);
    }
    let mut record = MinimaRecord {
        quenched: pool.len(),
        reference_quenched: most,
        ..MinimaRecord::default()
    };
    let mut frames = Vec::new();
    // The lowest of each method, of the same atoms, wherever it was seen.
    let lowest = |method: usize, of: &Structure| {
        let own = found[method].iter().map(|r| (&r.structure, r.energy));
        let others = ends[1 - method].iter().map(|(s, e)| (s, *e));
        let same = own.chain(others).filter(|(s, _)| s.elements == of.elements);
        same.map(|(_, e)| e).fold(f64::INFINITY, f64::min)
    };
    for method in [0, 1] {
        for (rest, (end, other)) in found[method].iter().zip(&ends[method]) {
            let moved = farthest(&rest.structure, end);
            let minimum = Minimum {
                from: rest.from.clone(),
                count: rest.count,
                energy: rest.energy - lowest(method, &rest.structure),
                other: other - lowest(1 - method, end),
                moved,
                kept: moved <= settings.distance,
                frame: frames.len() + 1,
            };
            let mut frame = Frame::new(rest.structure.clone());
            let mut note = |key: &str, value: String| frame.info.insert(key.into(), value);
            note("method", ["model", "reference"][method].into());
            note("kept", minimum.kept.to_string());
            note("from", minimum.from.clone());
            frames.push(frame);
            [&mut record.model, &mut record.reference][method].push(minimum);
        }
    }
    Ok((record, frames))
}

fn told(stop: bool) -> Result<()> {
    match stop {
        true => Err(Error::Failed(
            "stopped as asked while minima were compared; run again to continue".into(),
        )),
        false => Ok(()),
    }
}

/// The reference method as a potential, whatever it takes.
struct Reference {
    labeller: Arc<dyn Labeller>,
    fast: Option<Box<dyn Potential>>,
}

impl Potential for Reference {
    fn energy_forces_virial(&mut self, s: &Structure) -> Result<(f64, Vec<[f64; 3]>, [f64; 9])> {
        if let Some(fast) = &mut self.fast {
            return fast.energy_forces_virial(s);
        }
        let folder =
            tempfile::tempdir().map_err(|e| Error::io("create", std::env::temp_dir(), e))?;
        match self.labeller.label(s, folder.path())? {
            Verdict::Accepted(label) => {
                Ok((label.energy, label.forces, label.virial.unwrap_or_default()))
            }
            Verdict::Rejected { reason, .. } => Err(Error::Failed(format!(
                "{} gives no label for a structure on its way to a minimum: {reason}; set [validate.minima] references \
                 lower, or remove the table",
                self.labeller.name()
            ))),
        }
    }
}

/// Structures to quench with where they come from.
fn pool(
    campaign: &Campaign,
    settings: &MinimaConfig,
    model: &mut dyn Potential,
) -> Result<Vec<(String, Structure)>> {
    let config = &campaign.config;
    let mut pool = Vec::new();
    let given = sources::frames(&settings.starts, &campaign.base, config.seed, "minima")?;
    for frame in given {
        let of = |key: &str| frame.info.get(key).cloned().unwrap_or_default();
        pool.push((
            format!("{} {}", of("origin"), of("number")),
            frame.structure,
        ));
    }
    let rounds = campaign.rounds()?.len();
    let each = settings.frames.div_ceil(config.explore.len().max(1));
    let newest = Context::new(campaign, rounds.saturating_sub(1)).path("nep.txt");
    let own = || campaign.potential(&newest);
    for scenario in &config.explore {
        let source = std::slice::from_ref(&scenario.start);
        let tag = &scenario.name;
        let starts = sources::frames_with(source, &campaign.base, config.seed, tag, Some(&own))?;
        let Some(start) = starts.into_iter().next() else {
            continue;
        };
        let start = start.structure;
        // Half from dynamics, half from what the last rounds kept, as far as that goes.
        let mut kept = kept(campaign, scenario, rounds, &start)?;
        let half = (each / 2).min(kept.len());
        kept = (0..half)
            .map(|k| kept[k * kept.len() / half].clone())
            .collect();
        pool.extend(visited(
            scenario,
            &start,
            each - half,
            settings,
            config,
            model,
        )?);
        pool.append(&mut kept);
    }
    Ok(pool)
}

/// What the last rounds kept of a scenario, in the cell of its start.
fn kept(
    campaign: &Campaign,
    scenario: &Scenario,
    rounds: usize,
    start: &Structure,
) -> Result<Vec<(String, Structure)>> {
    let mut kept = Vec::new();
    for round in rounds.saturating_sub(ROUNDS)..rounds {
        let path = Context::new(campaign, round).path("candidates.xyz");
        if !path.exists() {
            continue;
        }
        for frame in xyz::read_frames(path)? {
            let of = |key: &str| frame.info.get(key).map_or("", String::as_str);
            let s = &frame.structure;
            if campaign.config.scenario_of(of("scenario")) != scenario.name
                || s.elements != start.elements
            {
                continue;
            }
            let from = format!("{} of round {round}, step {}", of("scenario"), of("step"));
            let mut moved = start.clone();
            for (r, old) in moved.positions.iter_mut().zip(&s.positions) {
                *r = start.cell.cartesian(s.cell.fractional(*old));
            }
            kept.push((from, moved));
        }
    }
    Ok(kept)
}

/// Frames of the model's own dynamics in the cell of the start, as hot as the scenario gets.
fn visited(
    scenario: &Scenario,
    start: &Structure,
    count: usize,
    settings: &MinimaConfig,
    config: &super::config::Config,
    model: &mut dyn Potential,
) -> Result<Vec<(String, Structure)>> {
    let rung = scenario.stage(scenario.ladder.len());
    let options = MdOptions {
        ensemble: Ensemble::svr(TAU),
        temperature: (rung.temperature[0], rung.temperature[1]),
        steps: settings.steps,
        ..explore_options(scenario, &config.grade, config.seed).md
    };
    let mut md = Md::new(model, start, &options)?;
    let every = (settings.steps / count.max(1)).max(1);
    let mut frames = Vec::new();
    while frames.len() < count && md.steps_done() < settings.steps {
        // What came before is worth a look all the same.
        if let Step::Unstable(_) = md.step(model)? {
            break;
        }
        let step = md.steps_done();
        if step.is_multiple_of(every) {
            let from = format!("{}, dynamics, step {step}", scenario.name);
            frames.push((from, md.state().structure.clone()));
        }
    }
    Ok(frames)
}

/// A minimum with where it was found.
struct Rest {
    from: String,
    count: usize,
    structure: Structure,
    energy: f64,
    distances: BTreeMap<[&'static str; 2], Vec<f64>>,
}

fn add(found: &mut Vec<Rest>, from: &str, (structure, energy): (Structure, f64)) {
    let distances = distances(&structure);
    let same = |r: &&mut Rest| {
        r.structure.elements == structure.elements
            && (r.energy - energy).abs() < ALIKE.0
            && difference(&r.distances, &distances) < ALIKE.1
    };
    match found.iter_mut().find(same) {
        Some(rest) => rest.count += 1,
        None => found.push(Rest {
            from: from.into(),
            count: 1,
            structure,
            energy,
            distances,
        }),
    }
}

/// A structure at rest, and its energy; as far as the steps go.
fn quenched(
    potential: &mut dyn Potential,
    structure: &Structure,
    settings: &MinimaConfig,
) -> Result<(Structure, f64)> {
    let mut rest = structure.clone();
    let energy = match relax(potential, &mut rest, REST, settings.relax_steps) {
        Ok((energy, _)) => energy,
        // Out of steps; or the potential fails, which it then does again.
        Err(_) => potential.energy_forces_virial(&rest)?.0,
    };
    Ok((rest, energy))
}

/// Distances of all pairs of elements, ascending. Equal for structures that differ by which of equal atoms is where.
fn distances(s: &Structure) -> BTreeMap<[&'static str; 2], Vec<f64>> {
    let mut all: BTreeMap<_, Vec<f64>> = BTreeMap::new();
    let Ok(list) = NeighborList::build(&s.cell, &s.positions, RANGE) else {
        return all;
    };
    for i in 0..s.len() {
        for (j, r) in list.vectors(i, &s.cell, &s.positions) {
            let mut pair = [s.elements[i].symbol(), s.elements[j].symbol()];
            pair.sort_unstable();
            all.entry(pair).or_default().push(norm(r));
        }
    }
    all.values_mut().for_each(|d| d.sort_by(f64::total_cmp));
    all
}

/// Mean difference of two lists of distances, Å.
fn difference(
    a: &BTreeMap<[&'static str; 2], Vec<f64>>,
    b: &BTreeMap<[&'static str; 2], Vec<f64>>,
) -> f64 {
    let pairs = a.iter().filter_map(|(pair, a)| Some((a, b.get(pair)?)));
    let each = pairs.flat_map(|(a, b)| a.iter().zip(b).map(|(x, y)| (x - y).abs()));
    let (sum, count) = each.fold((0.0, 0), |(sum, n), d| (sum + d, n + 1));
    sum / f64::from(count.max(1))
}

/// The farthest that an atom moved from one structure to another, the drift of all left out.
fn farthest(a: &Structure, b: &Structure) -> f64 {
    let moves: Vec<[f64; 3]> = (a.positions.iter().zip(&b.positions))
        .map(|(x, y)| sub(*y, *x))
        .collect();
    let drift = |c: usize| moves.iter().map(|m| m[c]).sum::<f64>() / moves.len().max(1) as f64;
    let drift = [drift(0), drift(1), drift(2)];
    moves
        .iter()
        .map(|m| norm(sub(*m, drift)))
        .fold(0.0, f64::max)
}

#[cfg(test)]
mod tests;
