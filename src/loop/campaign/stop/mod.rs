//! When a campaign ends: rules judged after every round, and the forecast of what is to come.

mod curve;
mod rules;
#[cfg(test)]
mod tests;

pub use curve::{Curve, Range};
pub use rules::{
    Judged, Measured, Rule, StopRecord, canary_points, extrapolating, learning_points,
};

use super::ground::Context;
use super::training::{fit_posterior, thin};
use super::{Campaign, sources};
use crate::explore::Sum;
use crate::explore::crystal::{elastic, equilibrium};
use nepal::BackendKind;
use nepal::calculator::Calculator;
use nepal::error::{Error, Result};
use nepal::model::Model;
use nepal::system::xyz;
use std::sync::Arc;

/// Stands for a property that the model does not have, in records that hold numbers only; a change
/// from or to it is never small.
pub(in crate::campaign) const MISSING: f64 = 0.0;

/// Judges all stop rules after a round.
pub(super) fn judge(context: &Context<'_>) -> Result<StopRecord> {
    let config = &context.campaign.config;
    let mut rounds = context.campaign.rounds()?;
    rounds.truncate(context.round + 1);
    Ok(rules::judge(
        &config.stop,
        config.grade.save,
        &rounds,
        measure(context)?,
        config.seed,
    ))
}

/// What the rules need beyond the records, as far as they are asked for.
fn measure(context: &Context<'_>) -> Result<Measured> {
    let campaign = context.campaign;
    let stop = &campaign.config.stop;
    let mut measured = Measured::default();
    if stop.force_std.is_none() && stop.crystal.is_none() {
        return Ok(measured);
    }
    let model = Arc::new(Model::load(context.path("nep.txt"))?);
    let mut calculator = Calculator::new(model, BackendKind::Cpu)?;
    if stop.force_std.is_some() {
        measured.force_std = force_std(context, &mut calculator)?;
    }
    if let Some(source) = &stop.crystal {
        let mut student = campaign.with_baseline(calculator)?;
        measured.properties = properties(campaign, &mut student, source)?;
    }
    Ok(measured)
}

/// The largest standard deviation of a force on the round's candidates and the test set, from the
/// posterior of the output layer, calibrated on the test set, or on parts of the training set left out.
fn force_std(context: &Context<'_>, calculator: &mut Calculator) -> Result<Option<f64>> {
    let test = thin(xyz::read_frames(context.of(0).path("test.xyz"))?);
    let candidates = thin(xyz::read_frames(context.path("candidates.xyz"))?);
    let posterior = fit_posterior(context, calculator.model())?;
    let mut largest: Option<f64> = None;
    for frame in test.iter().chain(&candidates) {
        let found = posterior.deviations(calculator, &frame.structure)?;
        largest = found
            .forces
            .iter()
            .copied()
            .fold(largest, |m, s| Some(m.map_or(s, |m| m.max(s))));
    }
    Ok(largest)
}

/// Equilibrium and elastic constants of a cubic crystal.
fn properties(
    campaign: &Campaign,
    student: &mut Sum,
    source: &super::Source,
) -> Result<Vec<(String, f64)>> {
    let crystal = sources::frames(
        std::slice::from_ref(source),
        &campaign.base,
        campaign.config.seed,
        "stop",
    )?
    .into_iter()
    .next()
    .ok_or_else(|| Error::invalid("stop.crystal gives no structure"))?
    .structure;
    // A model that has no minimum there yet has no properties that could have settled.
    let Ok(rest) = equilibrium(student, &crystal) else {
        return Ok(vec![("lattice".into(), MISSING)]);
    };
    let mut out = vec![
        ("lattice".to_owned(), rest.scale),
        ("energy".to_owned(), rest.energy),
    ];
    match elastic(student, &crystal) {
        Ok(c) => out.extend([
            ("C11".to_owned(), c.c11),
            ("C12".to_owned(), c.c12),
            ("C44".to_owned(), c.c44),
        ]),
        Err(_) => out.push(("C11".into(), MISSING)),
    }
    Ok(out)
}
