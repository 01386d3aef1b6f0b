//! `init`: a commented campaign file to start from.

use super::methods;
use crate::cli::InitArgs;
use crate::output::Output;
use nepal::campaign::Campaign;
use nepal::{Element, Error, Result};
use serde_json::json;
use std::process::ExitCode;

const TEMPLATE: &str = include_str!("campaign.template.toml");

/// Writes the file, checks that it is a valid campaign, and refuses to overwrite anything.
pub fn run(args: &InitArgs, output: &mut dyn Output) -> Result<ExitCode> {
    for symbol in &args.elements {
        Element::from_symbol(symbol)?;
    }
    let label = methods::table(&args.label, &args.elements).ok_or_else(|| {
        let known: Vec<&str> = methods::METHODS.iter().map(|(name, _)| *name).collect();
        Error::invalid(format!(
            "--label is {:?}; allowed are {}",
            args.label,
            known.join(", ")
        ))
    })?;
    if !(args.lattice > 0.0 && args.temperature > 0.0) {
        return Err(Error::invalid(
            "--lattice (Å) and --temperature (K) must be positive",
        ));
    }
    let quoted: Vec<String> = args.elements.iter().map(|e| format!("\"{e}\"")).collect();
    let text = TEMPLATE
        .replace("@LABEL@", &label)
        .replace("@SCHEDULER@", methods::scheduler(&args.scheduler))
        .replace("@SYMBOLS@", &args.elements.join(" "))
        .replace("@COUNT@", &args.elements.len().to_string())
        .replace("@ELEMENTS@", &quoted.join(", "))
        .replace("@PROTOTYPE@", &args.prototype)
        .replace("@LATTICE@", &args.lattice.to_string())
        .replace("@TEMPERATURE@", &args.temperature.to_string())
        .replace(
            "@CUTOFF@",
            &format!("{} {}", args.cutoff[0], args.cutoff[1]),
        );
    let mut file = std::fs::File::create_new(&args.campaign)
        .map_err(|e| Error::io("create", &args.campaign, e))?;
    std::io::Write::write_all(&mut file, text.as_bytes())
        .map_err(|e| Error::io("write", &args.campaign, e))?;
    Campaign::load(&args.campaign, super::stop_flag().into())?;
    output.result(
        "init",
        &format!(
            "wrote {}; read it, adapt it, then: nepal-loop run {}",
            args.campaign.display(),
            args.campaign.display()
        ),
        json!({ "campaign": args.campaign }),
    );
    Ok(ExitCode::SUCCESS)
}
