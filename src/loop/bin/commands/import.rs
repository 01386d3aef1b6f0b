//! `import`: labels and model of another project, and a campaign file that goes on from them.

use super::{methods, shown};
use crate::cli::ImportArgs;
use crate::output::Output;
use nepal::{Error, Frame, Result};
use nepal_loop::campaign::Campaign;
use nepal_loop::campaign::import::{Imported, Project, import, import_format};
use nepal_loop::label::Limits;
use nepal_train::NepIn;
use serde_json::json;
use std::path::Path;
use std::process::ExitCode;

const TEMPLATE: &str = include_str!("import.template.toml");

/// Reads the project, writes the folder, and checks that its campaign file is valid.
pub fn run(args: &ImportArgs, output: &mut dyn Output) -> Result<ExitCode> {
    let limits = Limits {
        max_force: args.max_force,
        max_net_force: args.max_net_force,
    };
    limits.validate()?;
    let out = &args.out;
    if out.exists() {
        return Err(Error::invalid(format!(
            "{}: expected a folder that is not there yet, so that nothing in it is lost",
            out.display()
        )));
    }
    std::fs::create_dir_all(out).map_err(|e| Error::io("create", out, e))?;
    let imported = bring(args, &limits, output);
    if imported.is_err() {
        // Only where nothing was written.
        let _ = std::fs::remove_dir(out);
    }
    imported
}

fn bring(args: &ImportArgs, limits: &Limits, output: &mut dyn Output) -> Result<ExitCode> {
    let (model, keys) = (args.model.as_deref(), args.labels.keys());
    let (project, found) = match (args.from, &args.format) {
        (None, Some(format)) => {
            let found = import_format(format, &args.project, model, &keys, limits)?;
            (Project::Outputs, found)
        }
        (given, _) => {
            let project = given.map_or_else(|| Project::recognise(&args.project), Ok)?;
            (
                project,
                import(project, &args.project, model, &keys, limits)?,
            )
        }
    };
    let campaign = campaign_file(&found, &args.label, &args.project)?;
    let out = &args.out;
    nepal::system::xyz::write_frames(out.join("train.xyz"), &found.frames)?;
    if !found.refused.is_empty() {
        nepal::system::xyz::write_frames(out.join("refused.xyz"), &found.refused)?;
    }
    if let Some(model) = &found.model {
        std::fs::copy(model, out.join("nep.txt")).map_err(|e| Error::io("copy", model, e))?;
    }
    let file = out.join("campaign.toml");
    std::fs::write(&file, campaign).map_err(|e| Error::io("write", &file, e))?;
    Campaign::load(&file, super::stop_flag().into())?;
    let mut text = format!(
        "{project}: {} labels -> {}\n",
        found.frames.len(),
        out.join("train.xyz").display()
    );
    for (why, count) in &found.reasons {
        text.push_str(&format!("refused: {count} x {why} (kept in refused.xyz)\n"));
    }
    match &found.model {
        Some(model) => text.push_str(&format!("model: {}\n", model.display())),
        None => text.push_str("model: none; the first training starts from scratch\n"),
    }
    for note in &found.notes {
        text.push_str(&format!("note: {note}\n"));
    }
    text.push_str(&format!(
        "read {0}, adapt it, then: nepal-loop run {0}",
        file.display()
    ));
    output.result(
        "import",
        &text,
        json!({ "out": shown(out), "labels": found.frames.len(), "refused": found.reasons,
                "model": found.model.as_deref().map(shown), "notes": found.notes,
                "campaign": shown(&file) }),
    );
    Ok(ExitCode::SUCCESS)
}

/// A campaign that starts from what was found.
fn campaign_file(found: &Imported, label: &str, project: &Path) -> Result<String> {
    let symbols = elements(found)?;
    let table = methods::table(label, &symbols).ok_or_else(|| {
        let known: Vec<&str> = methods::METHODS.iter().map(|(name, _)| *name).collect();
        Error::invalid(format!(
            "--label is {label:?}; allowed are {}",
            known.join(", ")
        ))
    })?;
    let nep_in = match (&found.nep_in, &found.model) {
        (Some(text), _) => text.clone(),
        (None, Some(model)) => settings_of(model)?,
        (None, None) => format!(
            "type       {} {}\ncutoff     6 5\nn_max      6 6\nbasis_size 8 8\nl_max      4 2 0\nneuron     30\n",
            symbols.len(),
            symbols.join(" ")
        ),
    };
    let quoted: Vec<String> = symbols.iter().map(|e| format!("\"{e}\"")).collect();
    let start = if found.model.is_some() {
        "start = \"nep.txt\"             # the project's model\n"
    } else {
        ""
    };
    let name = project
        .file_name()
        .map_or("imported".into(), |n| n.to_string_lossy());
    Ok(TEMPLATE
        .replace("@LABEL@", &table)
        .replace("@SYMBOLS@", &symbols.join(" "))
        .replace("@ELEMENTS@", &quoted.join(", "))
        .replace("@TITLE@", &name.replace(['"', '\\'], ""))
        .replace("@START@", start)
        .replace("@NEP_IN@", nep_in.trim_end()))
}

/// Elements in the order of the project's settings, else of the frames.
fn elements(found: &Imported) -> Result<Vec<String>> {
    if let Some(text) = &found.nep_in {
        let settings = NepIn::parse(text, "nep.in of the project")?;
        return Ok(settings
            .elements
            .iter()
            .map(|e| e.symbol().to_owned())
            .collect());
    }
    if let Some(model) = &found.model {
        let model = nepal::Model::load(model)?;
        return Ok(model
            .elements()
            .iter()
            .map(|e| e.symbol().to_owned())
            .collect());
    }
    let mut symbols: Vec<String> = Vec::new();
    for element in found
        .frames
        .iter()
        .flat_map(|f: &Frame| &f.structure.elements)
    {
        if !symbols.iter().any(|s| s == element.symbol()) {
            symbols.push(element.symbol().to_owned());
        }
    }
    Ok(symbols)
}

/// The header of a model as lines of nep.in.
fn settings_of(model: &Path) -> Result<String> {
    let model = nepal::Model::load(model)?;
    Ok(NepIn::of_header(model.header()).to_text())
}
