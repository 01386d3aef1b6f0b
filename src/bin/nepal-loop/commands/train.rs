//! `train`: a model from labels.

use super::{read_frames, stop_flag};
use crate::cli::TrainArgs;
use crate::output::Output;
use nepal::campaign::{Event, describe_rmse};
use nepal::train::{NepIn, TrainOptions, train, write_loss, write_predictions};
use nepal::{Error, Model, Result};
use serde_json::json;
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Trains and writes the model with GPUMD's output files beside it.
pub fn run(args: &TrainArgs, output: &mut dyn Output) -> Result<ExitCode> {
    let config = NepIn::load(&args.config)?;
    let frames = read_frames(&args.train)?;
    let test = args
        .test
        .as_deref()
        .map(read_frames)
        .transpose()?
        .unwrap_or_default();
    let init = args.init.as_ref().map(Model::load).transpose()?;
    let budget = match args.budget {
        Some(minutes) if minutes > 0.0 && minutes.is_finite() => {
            Some(Duration::from_secs_f64(60.0 * minutes))
        }
        None => None,
        Some(other) => {
            return Err(Error::invalid(format!(
                "--budget is {other}; expected a positive number of minutes"
            )));
        }
    };
    let start = Instant::now();
    let stop = stop_flag();
    let mut progress = |p: &nepal::train::Progress| {
        let total = budget.map_or(1000, |b| b.as_secs());
        let done = (p.fraction * total as f64) as u64;
        output.event(Event::Progress {
            what: "training".into(),
            done,
            total,
            detail: format!(
                "{}, epoch {}, {}",
                p.record.method,
                p.epoch,
                describe_rmse(p.record.train)
            ),
        });
        if stop.load(Ordering::Relaxed) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    let checkpoint = args.out.with_extension("checkpoint.json");
    let options = TrainOptions {
        threads: args.threads,
        epochs: args.epochs,
        budget,
        seed: args.seed,
        init: init.as_ref(),
        checkpoint: Some(&checkpoint),
        progress: Some(&mut progress),
    };
    let trained = train(&config, &frames, &test, options)?;
    trained.model.save(&args.out)?;
    let folder = args.out.parent().filter(|p| !p.as_os_str().is_empty());
    let folder = folder.unwrap_or_else(|| ".".as_ref());
    write_loss(folder.join("loss.out"), &trained.history)?;
    write_predictions(folder, "train", &trained.train_predictions, &frames)?;
    if !test.is_empty() {
        write_predictions(folder, "test", &trained.test_predictions, &test)?;
    }
    for warning in &trained.warnings {
        output.event(Event::Warning(warning.clone()));
    }
    let describe = |name: &str, e: &nepal::train::Errors| {
        let milli = |v: Option<f64>| v.map_or_else(|| "-".into(), |v| format!("{:.3}", 1e3 * v));
        format!(
            "{name:<6} energy {} meV/atom, force {} meV/Å, virial {} meV/atom",
            milli(e.energy_rmse),
            milli(e.force_rmse),
            milli(e.virial_rmse)
        )
    };
    let mut text = describe("train", &trained.train);
    if let Some(errors) = &trained.test {
        text.push('\n');
        text.push_str(&describe("test", errors));
    }
    if checkpoint.exists() {
        text.push_str("\nstopped before its end: the same command goes on from here");
    }
    text.push_str(&format!(
        "\n{:.1} s -> {}",
        start.elapsed().as_secs_f64(),
        args.out.display()
    ));
    output.result(
        "train",
        &text,
        json!({ "out": args.out, "train": trained.train, "test": trained.test,
                "seconds": start.elapsed().as_secs_f64(), "warnings": trained.warnings }),
    );
    Ok(ExitCode::SUCCESS)
}
