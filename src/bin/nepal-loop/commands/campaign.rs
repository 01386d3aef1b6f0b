//! `run` and `report`: a whole campaign.

use super::Listener;
use crate::cli::CampaignArgs;
use crate::output::Output;
use nepal::Result;
use nepal::campaign::Campaign;
use serde_json::json;
use std::fmt::Write;
use std::process::ExitCode;

/// Status of a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

/// Runs or continues a campaign.
pub fn run(args: &CampaignArgs, output: &mut dyn Output) -> Result<ExitCode> {
    let campaign = Campaign::load(&args.campaign, super::stop_flag().into())?;
    let outcome = campaign.run(&mut Listener::new(output))?;
    let Ok(outcome) = outcome else {
        output.result(
            "interrupted",
            &format!(
                "stopped as asked; continue with: nepal-loop run {}",
                args.campaign.display()
            ),
            json!({ "campaign": args.campaign }),
        );
        return Ok(ExitCode::from(INTERRUPTED));
    };
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
