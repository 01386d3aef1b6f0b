//! `run`, `step` and `resume`: a whole campaign.

use super::{Listener, shown};
use crate::cli::{ResumeArgs, RunArgs};
use crate::output::Output;
use nepal::{Error, Result};
use nepal_loop::campaign::{Campaign, Outcome, StepOutcome};
use serde_json::json;
use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;

/// Status of a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

/// Status of a step that leaves jobs behind: `EX_TEMPFAIL` of sysexits.h, try again later.
const WAITING: u8 = 75;

/// Status of a campaign that ended with a budget rather than with its goal.
const NOT_CONVERGED: u8 = 3;

/// Status for a journal, or a ledger of jobs, that is spoilt.
const SPOILT: u8 = 4;

/// A campaign whose journal can be read, or the status to end with.
pub fn load(
    file: &Path,
    output: &mut dyn Output,
) -> Result<std::result::Result<Campaign, ExitCode>> {
    let campaign = Campaign::load(file, super::stop_flag().into())?;
    Ok(match campaign.intact() {
        Ok(()) => Ok(campaign),
        Err(error @ (Error::Parse { .. } | Error::Unsupported(_))) => {
            output.error(&error);
            Err(ExitCode::from(SPOILT))
        }
        Err(error) => return Err(error),
    })
}

/// The campaign to drive, with what the flags say.
fn driven(
    args: &RunArgs,
    output: &mut dyn Output,
) -> Result<std::result::Result<Campaign, ExitCode>> {
    let campaign = load(&args.campaign, output)?;
    Ok(match args.accept_changes {
        true => campaign.map(Campaign::accepting_changes),
        false => campaign,
    })
}

/// Runs or continues a campaign.
pub fn run(args: &RunArgs, output: &mut dyn Output) -> Result<ExitCode> {
    if args.dry_run {
        return planned(args, output);
    }
    let campaign = match driven(args, output)? {
        Ok(campaign) => campaign,
        Err(code) => return Ok(code),
    };
    match campaign.run(&mut Listener::new(output))? {
        Ok(outcome) => finished(&campaign, &outcome, output),
        Err(_) => Ok(interrupted(args, output)),
    }
}

/// Takes a campaign one pass further.
pub fn step(args: &RunArgs, output: &mut dyn Output) -> Result<ExitCode> {
    if args.dry_run {
        return planned(args, output);
    }
    let campaign = match driven(args, output)? {
        Ok(campaign) => campaign,
        Err(code) => return Ok(code),
    };
    let next = campaign.driver_job(&own_command(args)?)?;
    let held = next.as_ref().map_or(Ok(false), |next| next.hold())?;
    let outcome = campaign.step(&mut Listener::new(output));
    let goes_on = matches!(
        outcome,
        Ok(StepOutcome::Waiting(_) | StepOutcome::Interrupted)
    );
    if let Some(next) = &next
        && held
        && !goes_on
    {
        next.end()?;
    }
    match outcome? {
        StepOutcome::Finished(outcome) => finished(&campaign, &outcome, output),
        StepOutcome::Interrupted => Ok(interrupted(args, output)),
        StepOutcome::Waiting(mut line) => {
            if let Some(next) = next {
                let id = next.next(&campaign.jobs_out())?;
                line.push_str(&format!("; job {id} takes the next step"));
            }
            output.result(
                "waiting",
                &format!("waiting: {line}"),
                json!({ "campaign": shown(&args.campaign), "waiting": line }),
            );
            Ok(ExitCode::from(WAITING))
        }
    }
}

/// Tells what a run would label.
fn planned(args: &RunArgs, output: &mut dyn Output) -> Result<ExitCode> {
    let campaign = match load(&args.campaign, output)? {
        Ok(campaign) => campaign,
        Err(code) => return Ok(code),
    };
    let plan = campaign.plan()?;
    output.result("plan", &plan.to_string(), json!(plan));
    Ok(ExitCode::SUCCESS)
}

/// The command that takes a step of this campaign, to be run in the folder of its file.
fn own_command(args: &RunArgs) -> Result<Vec<String>> {
    let program = std::env::current_exe().map_err(|e| Error::io("find", "nepal-loop", e))?;
    let file = args.campaign.file_name().unwrap_or_default();
    Ok(vec![
        program.to_string_lossy().into_owned(),
        "step".to_owned(),
        file.to_string_lossy().into_owned(),
    ])
}

fn interrupted(args: &RunArgs, output: &mut dyn Output) -> ExitCode {
    output.result(
        "interrupted",
        &format!(
            "stopped as asked; continue with: nepal-loop run {}",
            args.campaign.display()
        ),
        json!({ "campaign": shown(&args.campaign) }),
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
    Ok(match outcome.converged {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(NOT_CONVERGED),
    })
}

/// Ends the pauses of scenarios.
pub fn resume(args: &ResumeArgs, output: &mut dyn Output) -> Result<ExitCode> {
    let campaign = Campaign::load(&args.campaign, super::stop_flag().into())?;
    let names = campaign.resume(&args.scenarios)?;
    let text = match names.is_empty() {
        true => "no scenario is paused".to_owned(),
        false => format!(
            "explored again: {}; continue with `nepal-loop run` or `step`",
            names.join(", ")
        ),
    };
    output.result("resume", &text, json!({ "resumed": names }));
    Ok(ExitCode::SUCCESS)
}
