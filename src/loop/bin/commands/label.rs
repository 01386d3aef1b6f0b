//! `label`: structures through a reference method.

use super::{Listener, check_output, read_frames, shown};
use crate::cli::LabelArgs;
use crate::output::Output;
use nepal::Result;
use nepal_loop::campaign::Campaign;
use serde_json::json;
use std::process::ExitCode;

/// Labels the structures of a file; rejected ones are counted, named and left out.
pub fn run(args: &LabelArgs, output: &mut dyn Output) -> Result<ExitCode> {
    check_output(&args.out)?;
    let campaign = Campaign::load(&args.config, super::stop_flag().into())?;
    let frames = read_frames(&args.structures)?;
    let (labelled, record, against) = campaign.label_against(
        &frames,
        &args.against,
        args.cache.as_deref(),
        &mut Listener::new(output),
    )?;
    nepal::system::xyz::write_frames(&args.out, &labelled)?;
    let mut text = format!(
        "{} of {} structures labelled -> {}",
        record.accepted,
        record.requested,
        args.out.display()
    );
    for (reason, count) in &record.rejected {
        text.push_str(&format!("\nrejected: {count} x {reason}"));
    }
    for other in &against {
        text.push_str(&format!("\n{}", other.line()));
    }
    output.result(
        "label",
        &text,
        json!({ "out": shown(&args.out), "labels": record, "against": against }),
    );
    Ok(if record.accepted == record.requested {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    })
}
