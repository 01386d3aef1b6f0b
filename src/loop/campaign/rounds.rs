//! The rounds of a campaign: its steps in their order, until a stop rule holds.

use super::event::{Event, Observer};
use super::ground::{Changes, Context, Ended, Step, run_step};
use super::journal::Journal;
use super::steps::{
    Check, Doubts, Draw, Explore, FinalTraining, FitPosterior, Judge, Label, LabelDrawn, Prepare,
    Select, Train, TrainCommittee, Validate,
};
use super::stop::StopRecord;
use super::store::{ExploreRecord, OutcomeRecord, SelectionRecord, read_json, reasons, write_json};
use super::{Campaign, Outcome, StepOutcome};
use nepal::error::Result;

/// The steps of a round.
const ROUND: [&dyn Step; 8] = [
    &Label,
    &Doubts,
    &Train,
    &FitPosterior,
    &TrainCommittee,
    &Explore,
    &Select,
    &Judge,
];

/// Runs or continues a campaign; with `once` it returns rather than wait for jobs.
pub(super) fn run(
    campaign: &Campaign,
    once: bool,
    changes: &Changes,
    journal: &mut Journal,
    observer: &mut dyn Observer,
) -> Result<StepOutcome> {
    // Before a label is paid for.
    campaign.baseline()?;
    let start = Context {
        once,
        changes: Some(changes),
        ..Context::new(campaign, 0)
    };
    let mut context = start;
    if let Some(end) = steps(&[&Prepare, &Check], &context, journal, observer)? {
        return Ok(end);
    }
    let (reason, converged) = loop {
        if let Some(end) = steps(&ROUND, &context, journal, observer)? {
            return Ok(end);
        }
        if let Some(end) = judged(&context, observer)? {
            break end;
        }
        context = context.of(context.round + 1);
    };
    let last: [&dyn Step; 3] = [&FinalTraining, &Draw, &LabelDrawn];
    if let Some(end) = steps(&last, &context, journal, observer)? {
        return Ok(end);
    }
    if campaign.config.validate.is_some()
        && let Some(end) = steps(&[&Validate], &context, journal, observer)?
    {
        return Ok(end);
    }
    finish(&context, reason, converged).map(StepOutcome::Finished)
}

/// Does steps in their order; what ends the pass, if anything does.
fn steps(
    list: &[&dyn Step],
    context: &Context<'_>,
    journal: &mut Journal,
    observer: &mut dyn Observer,
) -> Result<Option<StepOutcome>> {
    for step in list {
        if !step.is_due(context)? {
            continue;
        }
        match run_step(*step, context, journal, observer)? {
            Ended::Done => {}
            Ended::Waiting(line) => return Ok(Some(StepOutcome::Waiting(line))),
            Ended::Stopped => return Ok(Some(StepOutcome::Interrupted)),
        }
    }
    Ok(None)
}

/// Why the campaign ends with this round and whether that is its goal, if it does.
fn judged(context: &Context<'_>, observer: &mut dyn Observer) -> Result<Option<(String, bool)>> {
    let campaign = context.campaign;
    let explored: Vec<ExploreRecord> = read_json(&context.path("explore.json"))?;
    let chosen: SelectionRecord = read_json(&context.path("selection.json"))?;
    let worst = explored.iter().map(|e| e.max_grade).fold(0.0, f64::max);
    observer.event(Event::Info(format!(
        "explored {} steps, largest grade {worst:.2}, {} environments kept, {} chosen",
        explored.iter().map(|e| e.steps).sum::<usize>(),
        chosen.candidates,
        chosen.selected.len()
    )));
    for (scenario, grade) in stuck(context, &explored)? {
        observer.event(Event::Warning(format!(
            "the scenario {scenario} begins beyond break = {} in this round as in the one before (grade {grade:.1}), so that \
             nothing of it is explored: look at its start (atoms too close?), raise max_structures, or have it labelled as \
             [[initial]]",
            campaign.config.grade.break_
        )));
    }
    let judged: StopRecord = read_json(&context.path("stop.json"))?;
    let rounds = context.round + 1;
    if let Some(reason) = judged.reached() {
        let paused = paused(context)?;
        return Ok(Some((format!("{reason}{paused}"), paused.is_empty())));
    }
    if rounds >= campaign.config.stop.max_rounds {
        let reason = format!("the budget of {rounds} rounds is used up");
        return Ok(Some((reason, false)));
    }
    let reserved = campaign.reserved()?;
    let allowance = (campaign.spent(context.round)?).allowance(&campaign.config, reserved);
    if let Some(limit) = allowance.limit {
        return Ok(Some((limit, false)));
    }
    Ok(
        (chosen.selected.is_empty() && chosen.candidates > 0).then(|| {
            let reason = format!(
                "exploration leaves known ground, but no candidate can be labelled: {}",
                reasons(&chosen.refused)
            );
            (reason, false)
        }),
    )
}

/// Scenarios all of whose runs began beyond `break` in this round and in the one before, with the largest of those grades now.
fn stuck(context: &Context<'_>, explored: &[ExploreRecord]) -> Result<Vec<(String, f64)>> {
    let Some(before) = context.round.checked_sub(1) else {
        return Ok(Vec::new());
    };
    let config = &context.campaign.config;
    let before: Vec<ExploreRecord> = read_json(&context.of(before).path("explore.json"))?;
    let least = |records: &[ExploreRecord], name: &str| {
        let own = records
            .iter()
            .filter(|e| config.scenario_of(&e.name) == name);
        let first = own.filter_map(|e| e.trace.first()).map(|t| t[5]);
        first.reduce(f64::min).unwrap_or_default()
    };
    let limit = config.grade.break_;
    let stays = |name: &str| [explored, &before].iter().all(|r| least(r, name) > limit);
    let names = config.explore.iter().map(|s| s.name.clone());
    Ok(names
        .filter(|name| stays(name))
        .map(|name| {
            let grade = least(explored, &name);
            (name, grade)
        })
        .collect())
}

/// Which scenarios a round was without, as the end of a sentence.
fn paused(context: &Context<'_>) -> Result<String> {
    let pauses = context.campaign.pauses()?;
    let names: Vec<&str> = pauses
        .iter()
        .filter(|p| p.holds(context.round))
        .map(|p| p.scenario.as_str())
        .collect();
    Ok(match names.is_empty() {
        true => String::new(),
        false => format!(
            "; but paused, and so not explored: {} (`nepal-loop resume`)",
            names.join(", ")
        ),
    })
}

/// Writes down how the campaign ended, and the report.
fn finish(context: &Context<'_>, reason: String, converged: bool) -> Result<Outcome> {
    let campaign = context.campaign;
    let rounds = context.round + 1;
    let records = campaign.rounds()?;
    let labels = records.iter().take(rounds).map(|r| r.labels.requested);
    let last = campaign.final_labels()?.map_or(0, |l| l.requested);
    let record = OutcomeRecord {
        reason,
        converged,
        rounds,
        labels: labels.sum::<usize>() + last,
    };
    let folder = campaign.final_folder();
    write_json(&folder.join("outcome.json"), &record)?;
    let report = campaign.write_report()?;
    Ok(Outcome {
        reason: record.reason,
        converged,
        model: folder.join("nep.txt"),
        active_set: folder.join("active_set.asi"),
        report,
        rounds,
        labels: record.labels,
    })
}
