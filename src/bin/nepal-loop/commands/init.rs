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
command = [\"cp2k.psmp\"]       # or [\"mpirun\", \"-np\", \"4\", \"cp2k.psmp\"] with processes = 4
template = \"insulator\"        # or \"metal\", or a CP2K input of your own with placeholders
cutoff = 400                  # plane waves, Ry; too low a value shows as a net force and is refused
kspacing = 0.4                # largest distance of k-points, 1/Å; without it the Γ point alone
timeout = 3600                # seconds
";

/// Writes the file, checks that it is a valid campaign, and refuses to overwrite anything.
pub fn run(args: &InitArgs, output: &mut dyn Output) -> Result<ExitCode> {
    for symbol in &args.elements {
        Element::from_symbol(symbol)?;
    }
    let label = match args.label.as_str() {
        "stillinger-weber" => STILLINGER_WEBER.to_owned(),
        "cp2k" => CP2K.to_owned(),
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
    let mut kinds = String::new();
    if args.label == "cp2k" {
        for e in &args.elements {
            kinds.push_str(&format!(
                "kinds.{e} = {{ basis = \"DZVP-MOLOPT-SR-GTH\", potential = \"GTH-PBE\" }}\n"
            ));
        }
    }
    let quoted: Vec<String> = args.elements.iter().map(|e| format!("\"{e}\"")).collect();
    let text = TEMPLATE
        .replace("@LABEL@", &(label + &kinds))
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
