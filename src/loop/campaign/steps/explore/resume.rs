//! What a round hands on to the next one's runs: frames that say what is usual, and where to go on from.

use super::walker::Run;
use crate::campaign::ground::Context;
use crate::campaign::store::Resumed;
use nepal::BackendKind;
use nepal::error::Result;
use nepal::model::Model;
use nepal::system::{Structure, xyz};
use std::collections::BTreeMap;

/// How much of each element a structure has, as parts of all.
fn composition(structure: &Structure) -> BTreeMap<&str, f64> {
    let mut parts = BTreeMap::new();
    for element in &structure.elements {
        *parts.entry(element.symbol()).or_default() += 1.0 / structure.len() as f64;
    }
    parts
}

/// Test frames of the composition that a run explores: the model was not trained on them.
pub(super) fn held_out(context: &Context<'_>, run: &Run<'_>) -> Result<Vec<Structure>> {
    let own = composition(&run.start);
    let alike = |s: &Structure| {
        let other = composition(s);
        own.len() == other.len()
            && own
                .iter()
                .all(|(e, x)| other.get(e).is_some_and(|y| (x - y).abs() < 0.05))
    };
    let test = xyz::read_frames(context.of(0).path("test.xyz"))?;
    let structures = test.into_iter().map(|frame| frame.structure);
    Ok(structures.filter(alike).collect())
}

/// The frames of a scenario that were labelled for this round, with the whole cells that they are from: that whose
/// label the model of then missed by most comes first.
pub(super) fn worst(context: &Context<'_>, scenario: &str) -> Result<Vec<(Resumed, Structure)>> {
    let Some(before) = context.round.checked_sub(1).map(|round| context.of(round)) else {
        return Ok(Vec::new());
    };
    let labelled = context
        .campaign
        .learnt(xyz::read_frames(context.path("labelled.xyz"))?)?;
    let origin = |info: &BTreeMap<String, String>| {
        let run = info.get("scenario")?.clone();
        Some((run, info.get("step")?.parse::<usize>().ok()?))
    };
    let config = &context.campaign.config;
    let model = Model::load(before.path("nep.txt"))?;
    let mut missed: BTreeMap<(String, usize), f64> = BTreeMap::new();
    for frame in &labelled {
        let Some(from) = origin(&frame.info).filter(|(run, _)| config.scenario_of(run) == scenario)
        else {
            continue;
        };
        let errors = nepal_train::errors(&model, std::slice::from_ref(frame), BackendKind::Cpu)?;
        let error = missed.entry(from).or_default();
        *error = error.max(errors.force_rmse.unwrap_or_default());
    }
    if missed.is_empty() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    // A fragment is no start of a run; its parent is.
    for parent in xyz::read_frames(before.path("candidates.xyz"))? {
        let from = origin(&parent.info);
        if let Some((from, force_rmse)) = from.and_then(|from| missed.remove_entry(&from)) {
            let (run, step) = from;
            let record = Resumed {
                run,
                step,
                force_rmse,
            };
            found.push((record, parent.structure));
        }
    }
    found.sort_by(|a, b| b.0.force_rmse.total_cmp(&a.0.force_rmse));
    Ok(found)
}
