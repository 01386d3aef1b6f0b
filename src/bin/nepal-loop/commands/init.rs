//! `init`: a commented campaign file to start from.

use crate::cli::InitArgs;
use crate::output::Output;
use nepal::campaign::Campaign;
use nepal::{Element, Error, Result};
use serde_json::json;
use std::process::ExitCode;

const TEMPLATE: &str = include_str!("campaign.template.toml");
const STILLINGER_WEBER: &str = "kind = \"stillinger-weber\"   # classical silicon, built in\n";
const CP2K: &str = "\
kind = \"cp2k\"
command = \"cp2k\"              # e.g. \"mpirun -np 4 cp2k.psmp\"
template = \"cp2k.inp\"         # CP2K input with the placeholders @NAME@, @CELL@, @COORD@
";

/// Writes the file, checks that it is a valid campaign, and refuses to overwrite anything.
pub fn run(args: &InitArgs, output: &mut dyn Output) -> Result<ExitCode> {
    for symbol in &args.elements {
        Element::from_symbol(symbol)?;
    }
    let label = match args.label.as_str() {
        "stillinger-weber" => STILLINGER_WEBER,
        "cp2k" => CP2K,
        other => {
            return Err(Error::invalid(format!(
                "--label is {other:?}; allowed are stillinger-weber and cp2k"
            )));
        }
    };
    if !(args.lattice > 0.0 && args.temperature > 0.0) {
        return Err(Error::invalid(
            "--lattice (Å) and --temperature (K) must be positive",
        ));
    }
    let quoted: Vec<String> = args.elements.iter().map(|e| format!("\"{e}\"")).collect();
    let text = TEMPLATE
        .replace("@LABEL@", label)
        .replace("@SYMBOLS@", &args.elements.join(" "))
        .replace("@COUNT@", &args.elements.len().to_string())
        .replace("@ELEMENTS@", &quoted.join(", "))
        .replace("@PROTOTYPE@", &args.prototype)
        .replace("@LATTICE@", &args.lattice.to_string())
        .replace("@TEMPERATURE@", &args.temperature.to_string())
        .replace("@CUTOFF@", &format!("{} {}", args.cutoff[0], args.cutoff[1]));
    let mut file = std::fs::File::create_new(&args.campaign)
        .map_err(|e| Error::io("create", &args.campaign, e))?;
    std::io::Write::write_all(&mut file, text.as_bytes())
        .map_err(|e| Error::io("write", &args.campaign, e))?;
    if args.label == "cp2k" {
        let template = args.campaign.with_file_name("cp2k.inp");
        if !template.exists() {
            let kinds: Vec<Element> = args
                .elements
                .iter()
                .map(|e| Element::from_symbol(e))
                .collect::<Result<_>>()?;
            nepal::files::write_atomically(
                &template,
                nepal::label::cp2k::default_template(&kinds).as_bytes(),
            )?;
        }
    }
    Campaign::load(&args.campaign)?;
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
