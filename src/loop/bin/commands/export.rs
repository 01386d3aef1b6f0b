//! `export`: all labels of a campaign in one file.

use super::{check_output, shown};
use crate::cli::ExportArgs;
use crate::output::Output;
use nepal::Result;
use nepal_loop::campaign::Campaign;
use serde_json::json;
use std::process::ExitCode;

/// Writes the labels with their provenance.
pub fn run(args: &ExportArgs, output: &mut dyn Output) -> Result<ExitCode> {
    check_output(&args.out)?;
    let campaign = Campaign::load(&args.campaign, super::stop_flag().into())?;
    let frames = campaign.export()?;
    match args.format.as_str() {
        "xyz" => nepal::system::xyz::write_frames(&args.out, &frames)?,
        other => nepal_loop::formats::write_by_python(&args.out, &frames, other)?,
    }
    let test = frames
        .iter()
        .filter(|f| f.info.get("set").is_some_and(|s| s == "test"))
        .count();
    let masked = frames.iter().filter(|f| f.force_mask.is_some()).count();
    let mut text = format!(
        "{} labels for training, {test} for testing -> {}",
        frames.len() - test,
        args.out.display()
    );
    if masked > 0 {
        text.push_str(&format!(
            "\n{masked} are fragments with a column mask: programs that cannot weigh single atoms train on moved ones"
        ));
    }
    output.result(
        "export",
        &text,
        json!({ "out": shown(&args.out), "train": frames.len() - test, "test": test, "masked": masked }),
    );
    Ok(ExitCode::SUCCESS)
}
