//! `active-set`: what grades need.

use super::{check_output, read_frames, shown};
use crate::cli::ActiveSetArgs;
use crate::output::Output;
use nepal::grade::{BuildOptions, Features, GradeKind, unseen_grade};
use nepal::{ActiveSet, BackendKind, Model, Result};
use nepal_loop::campaign::Event;
use serde_json::json;
use std::process::ExitCode;

/// Builds and writes the active set of a model over a training set.
pub fn run(args: &ActiveSetArgs, output: &mut dyn Output) -> Result<ExitCode> {
    check_output(&args.out)?;
    let model = Model::load(&args.model.model)?;
    let frames = read_frames(&args.structures)?;
    let mut backend = args
        .model
        .backend
        .parse::<BackendKind>()?
        .create_with(args.model.precision.parse()?)?;
    let structures = frames.iter().map(|f| &f.structure);
    let features = Features::collect(&model, &mut *backend, structures)
        .map_err(|e| e.within(&shown(&args.structures)))?;
    let kind = match args.compat {
        true => GradeKind::Compat,
        false => args.kind,
    };
    let options = BuildOptions {
        resolution: args.resolution,
        ..match kind {
            GradeKind::Compat => BuildOptions::compat(),
            GradeKind::Ridge => BuildOptions::default(),
        }
    };
    let (set, report) = ActiveSet::build_on(backend.volume()?, &model, &features, &options, None)?;
    set.save(&args.out)?;
    // No structure left out has a bound on its grade in the compatibility form.
    let unseen = match kind {
        GradeKind::Ridge => unseen_grade(&model, &features, &options)?.filter(|g| g.is_finite()),
        GradeKind::Compat => None,
    };
    let told = unseen.map_or_else(String::new, |g| {
        format!("; 99.9 % of atoms in structures left out are below {g:.2}")
    });
    for note in report.notes() {
        output.event(Event::Warning(note));
    }
    output.result(
        "active-set",
        &format!("{report}\n{} grade -> {}{told}", set.kind(), args.out.display()),
        json!({ "out": shown(&args.out), "grade": set.kind().to_string(), "summary": report.to_string(),
                "unseen_grade": unseen }),
    );
    Ok(ExitCode::SUCCESS)
}
