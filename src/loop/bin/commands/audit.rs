//! `audit`: how far grades, posterior and committee can be trusted.

use super::{check_cells, check_output, read_labelled};
use crate::cli::AuditArgs;
use crate::output::Output;
use nepal::{Error, Model, Result};
use nepal_loop::campaign::Event;
use nepal_loop::campaign::audit::{AuditInput, audit, train_committee};
use std::process::ExitCode;

/// Compares the signals, and writes page, numbers and tables.
pub fn run(args: &AuditArgs, output: &mut dyn Output) -> Result<ExitCode> {
    let budget = super::minutes("--minutes", args.minutes)?;
    for path in [Some(&args.out), args.json.as_ref(), args.markdown.as_ref()] {
        path.map_or(Ok(()), |path| check_output(path))?;
    }
    let model = Model::load(&args.model)?;
    let training = read_labelled(&args.train, &args.labels, output)?;
    let dump = read_labelled(&args.dump, &args.labels, output)?;
    check_cells(&args.train, &training)?;
    check_cells(&args.dump, &dump)?;
    let committee = if args.members > 0 {
        train_committee(&model, &training, args.members, budget, |done| {
            output.event(Event::Progress {
                what: "committee".into(),
                done: done as u64,
                total: args.members as u64,
                detail: String::new(),
            });
        })?
    } else {
        args.committee
            .iter()
            .map(Model::load)
            .collect::<Result<_>>()?
    };
    let found = audit(&AuditInput {
        model: &model,
        training: &training,
        dump: &dump,
        committee: &committee,
    })?;
    for note in &found.notes {
        output.event(Event::Warning(note.clone()));
    }
    let title = format!("Audit of {}", args.model.display());
    let write = |path: &std::path::Path, text: String| {
        nepal::files::write_atomically(path, text.as_bytes())
    };
    write(&args.out, found.html(&title))?;
    let data = serde_json::to_value(&found)
        .map_err(|e| Error::Internal(format!("the audit as JSON: {e}")))?;
    if let Some(path) = &args.json {
        write(path, format!("{data:#}\n"))?;
    }
    if let Some(path) = &args.markdown {
        write(path, found.markdown())?;
    }
    let text = format!("{}\n-> {}", found.markdown(), args.out.display());
    output.result("audit", &text, data);
    Ok(ExitCode::SUCCESS)
}
