//! `learning-curve` and `search`: studies of many trainings.

use super::{check_cells, read_labelled, shown, stop_flag};
use crate::cli::{LearningCurveArgs, SearchArgs, StudyArgs};
use crate::output::Output;
use nepal::files::write_atomically;
use nepal::{Error, Frame, Result};
use nepal_loop::campaign::Event;
use nepal_loop::study::{
    Effort, LearningCurveOptions, SearchOptions, learning_curve as curve, search as find,
};
use nepal_train::{NepIn, split};
use serde_json::json;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::Ordering;

/// Settings, training frames and held-out frames.
fn read(args: &StudyArgs, output: &mut dyn Output) -> Result<(NepIn, Vec<Frame>, Vec<Frame>)> {
    let config = NepIn::load(&args.config)?;
    if config.kind.is_tensor() {
        return Err(Error::Unsupported(format!(
            "{}: trainings are compared by their forces, which models of {} do not have; use train",
            args.config.display(),
            config.kind.name()
        )));
    }
    let frames = read_labelled(&args.train, &args.labels, output)?;
    // Trainings on parts of the set would count other frames.
    check_cells(&args.train, &frames)?;
    if let Some(path) = &args.test {
        let test = read_labelled(path, &args.labels, output)?;
        check_cells(path, &test)?;
        return Ok((config, frames, test));
    }
    let split = split::split(&frames, args.split_by.as_deref(), args.hold_out, args.seed)?;
    output.event(Event::Info(format!(
        "{} frames to train on, {} held out by {}",
        split.train.len(),
        split.test.len(),
        split.by
    )));
    let (train, test) = (
        split::pick(&frames, &split.train),
        split::pick(&frames, &split.test),
    );
    Ok((config, train, test))
}

fn budget(args: &StudyArgs) -> Result<Effort> {
    super::minutes("--budget", args.budget).map(Effort::Budget)
}

/// Tells progress, and ends at Ctrl-C.
fn told<'a>(output: &'a mut dyn Output) -> impl FnMut(&str, f64) -> ControlFlow<()> + 'a {
    let stop = stop_flag();
    move |what, fraction| {
        output.event(Event::Progress {
            what: "study".into(),
            done: (1000.0 * fraction) as u64,
            total: 1000,
            detail: what.to_owned(),
        });
        if stop.load(Ordering::Relaxed) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}

/// Refuses outputs that cannot be made, the file itself and those beside it.
fn check_outputs(out: &Path, beside: &[&str]) -> Result<()> {
    super::check_output(out)?;
    let mut others = beside.iter().map(|kind| out.with_extension(kind));
    others.try_for_each(|path| super::check_writable(&path))
}

/// Writes a picture if there is one.
fn picture(out: &Path, svg: Option<String>) -> Result<()> {
    match svg {
        Some(svg) => write_atomically(&out.with_extension("svg"), svg.as_bytes()),
        None => Ok(()),
    }
}

fn numbers(path: &Path, value: &impl serde::Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|e| Error::Internal(format!("a study has no JSON form: {e}")))?;
    write_atomically(path, (text + "\n").as_bytes())
}

/// Draws a learning curve.
pub fn learning_curve(args: &LearningCurveArgs, output: &mut dyn Output) -> Result<ExitCode> {
    check_outputs(&args.out, &["svg"])?;
    let (config, train, test) = read(&args.data, output)?;
    let options = LearningCurveOptions {
        fractions: args.fractions.clone(),
        seeds: args.seeds,
        seed: args.data.seed,
        effort: budget(&args.data)?,
        threads: args.data.threads,
    };
    let found = curve(&config, &train, &test, &options, &mut told(output))?;
    numbers(&args.out, &found)?;
    picture(&args.out, found.svg())?;
    let text = format!("{}-> {}", found.table(), args.out.display());
    output.result(
        "learning-curve",
        &text,
        json!({ "out": shown(&args.out), "energy": found.energy, "force": found.force,
                "trainings": found.points.len() }),
    );
    Ok(ExitCode::SUCCESS)
}

/// Searches for settings.
pub fn search(args: &SearchArgs, output: &mut dyn Output) -> Result<ExitCode> {
    check_outputs(&args.out, &["json", "svg"])?;
    let (config, train, test) = read(&args.data, output)?;
    let options = SearchOptions {
        candidates: args.candidates,
        effort: budget(&args.data)?,
        seed: args.data.seed,
        threads: args.data.threads,
    };
    let found = find(&config, &train, &test, &options, &mut told(output))?;
    let best = found
        .best()
        .ok_or_else(|| Error::Failed("the search ended before any candidate was trained".into()))?;
    write_atomically(&args.out, best.nep_in.as_bytes())?;
    numbers(&args.out.with_extension("json"), &found)?;
    picture(&args.out, found.svg())?;
    let text = format!("{}-> {}", found.table(), args.out.display());
    output.result(
        "search",
        &text,
        json!({ "out": shown(&args.out), "candidates": found.candidates.len(), "best": best,
                "complete": found.complete }),
    );
    Ok(ExitCode::SUCCESS)
}
