//! `run`, `step`, `status` and `report`: a whole campaign.

use super::Listener;
use crate::cli::CampaignArgs;
use crate::output::Output;
use nepal::Result;
use nepal::campaign::{Campaign, Outcome, RoundRecord, StepOutcome};
use serde_json::json;
use std::fmt::Write;
use std::process::ExitCode;

/// Status of a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

/// Status of a step that leaves jobs behind: `EX_TEMPFAIL` of sysexits.h, try again later.
const WAITING: u8 = 75;

/// Runs or continues a campaign.
pub fn run(args: &CampaignArgs, output: &mut dyn Output) -> Result<ExitCode> {
    let campaign = Campaign::load(&args.campaign, super::stop_flag().into())?;
    match campaign.run(&mut Listener::new(output))? {
        Ok(outcome) => finished(&campaign, &outcome, output),
        Err(_) => Ok(interrupted(args, output)),
    }
}

/// Takes a campaign one pass further.
pub fn step(args: &CampaignArgs, output: &mut dyn Output) -> Result<ExitCode> {
    let campaign = Campaign::load(&args.campaign, super::stop_flag().into())?;
    match campaign.step(&mut Listener::new(output))? {
        StepOutcome::Finished(outcome) => finished(&campaign, &outcome, output),
        StepOutcome::Interrupted => Ok(interrupted(args, output)),
        StepOutcome::Waiting(line) => {
            output.result(
                "waiting",
                &format!("waiting: {line}"),
                json!({ "campaign": args.campaign, "waiting": line }),
            );
            Ok(ExitCode::from(WAITING))
        }
    }
}

fn interrupted(args: &CampaignArgs, output: &mut dyn Output) -> ExitCode {
    output.result(
        "interrupted",
        &format!(
            "stopped as asked; continue with: nepal-loop run {}",
            args.campaign.display()
        ),
        json!({ "campaign": args.campaign }),
    );
    ExitCode::from(INTERRUPTED)
}

/// Tells how a campaign ended.
fn finished(campaign: &Campaign, outcome: &Outcome, output: &mut dyn Output) -> Result<ExitCode> {
    let mut text = format!("{}\n", outcome.reason);
    let _ = writeln!(text, "rounds      {}", outcome.rounds);
    let _ = writeln!(text, "labels      {}", outcome.labels);
    let _ = writeln!(text, "model       {}", outcome.model.display());
    let _ = writeln!(text, "active set  {}", outcome.active_set.display());
    let _ = writeln!(text, "report      {}", outcome.report.display());
    if let Some(table) = campaign.validation_table()? {
        let _ = write!(text, "\n{table}");
    }
    output.result(
        "run",
        &text,
        json!({
            "reason": outcome.reason, "converged": outcome.converged, "rounds": outcome.rounds,
            "labels": outcome.labels, "model": outcome.model, "active_set": outcome.active_set,
            "report": outcome.report,
        }),
    );
    Ok(ExitCode::SUCCESS)
}

/// Tells how far a campaign is.
pub fn status(args: &CampaignArgs, output: &mut dyn Output) -> Result<ExitCode> {
    let campaign = Campaign::load(&args.campaign, super::stop_flag().into())?;
    let rounds = campaign.rounds()?;
    let mut text = format!("{}\n", campaign.config().title);
    if rounds.is_empty() {
        text.push_str("not started\n");
    } else {
        let _ = writeln!(
            text,
            "round  labels  rejected  train meV/atom  meV/Å  test meV/atom  meV/Å  max grade  kept  chosen"
        );
    }
    let mut data = Vec::new();
    for round in &rounds {
        text.push_str(&row(round));
        data.push(json!({
            "round": round.round, "labels": round.labels, "training": round.training,
            "explore": round.explore.iter().map(|e| json!({
                "name": e.name, "steps": e.steps, "planned": e.planned, "finished": e.finished,
                "max_grade": e.max_grade, "candidates": e.candidates, "breaks": e.breaks,
            })).collect::<Vec<_>>(),
            "selected": round.selection.as_ref().map(|s| s.selected.len()),
        }));
    }
    let ended = campaign.outcome_reason()?;
    let _ = writeln!(
        text,
        "{}",
        ended
            .as_deref()
            .unwrap_or("not finished: continue with `nepal-loop run`")
    );
    output.result("status", &text, json!({ "rounds": data, "ended": ended }));
    Ok(ExitCode::SUCCESS)
}

/// Numbers of a round, in the columns of [`status`].
fn row(round: &RoundRecord) -> String {
    let error = |e: Option<&nepal::train::Errors>| match e {
        None => format!("{:>14} {:>6}", "-", "-"),
        Some(e) => format!(
            "{:>14.2} {:>6.1}",
            1e3 * e.energy_rmse.unwrap_or(f64::NAN),
            1e3 * e.force_rmse.unwrap_or(f64::NAN)
        ),
    };
    let training = round.training.as_ref();
    let grade = round
        .explore
        .iter()
        .map(|e| e.max_grade)
        .fold(0.0, f64::max);
    let (kept, chosen) = round
        .selection
        .as_ref()
        .map_or((0, 0), |s| (s.candidates, s.selected.len()));
    format!(
        "{:>5}  {:>6}  {:>8}  {}  {} {:>10.2} {:>5} {:>7}\n",
        round.round,
        round.labels.accepted,
        round.labels.rejected.values().sum::<usize>(),
        error(training.map(|t| &t.train)),
        error(training.and_then(|t| t.test.as_ref())),
        grade,
        kept,
        chosen
    )
}

/// Writes the report of a campaign as far as it is.
pub fn report(args: &CampaignArgs, output: &mut dyn Output) -> Result<ExitCode> {
    let path = Campaign::load(&args.campaign, super::stop_flag().into())?.write_report()?;
    output.result(
        "report",
        &path.display().to_string(),
        json!({ "report": path }),
    );
    Ok(ExitCode::SUCCESS)
}
