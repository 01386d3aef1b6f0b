//! `train`: a model from labels.

use super::{read_frames, stop_flag};
use crate::cli::TrainArgs;
use crate::output::Output;
use nepal::campaign::Event;
use nepal::train::{NepIn, TrainOptions, train};
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
    let test = args.test.as_deref().map(read_frames).transpose()?.unwrap_or_default();
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
        let total = budget.map_or(p.epochs as u64, |b| b.as_secs());
        let done = budget.map_or(p.epoch as u64, |_| start.elapsed().as_secs());
        output.event(Event::Progress {
            what: "training".into(),
            done,
            total,
            detail: p.to_string(),
        });
        if stop.load(Ordering::Relaxed) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    let options = TrainOptions {
        threads: args.threads,
        epochs: args.epochs,
        budget,
        seed: args.seed,
        init: init.as_ref(),
        progress: Some(&mut progress),
    };
    let trained = train(&config, &frames, &test, options)?;
    trained.model.save(&args.out)?;
    let folder = args.out.parent().filter(|p| !p.as_os_str().is_empty());
    trained.write_outputs(folder.unwrap_or_else(|| ".".as_ref()), &frames, &test)?;
    for warning in &trained.warnings {
        output.event(Event::Warning(warning.clone()));
    }
    let describe = |name: &str, e: &nepal::train::Errors| {
        format!(
            "{name:<6} energy {:.3} meV/atom, force {:.2} meV/Å, virial {}",
            1e3 * e.energy_rmse,
            1e3 * e.force_rmse,
            e.virial_rmse.map_or("-".into(), |v| format!("{:.2} meV/atom", 1e3 * v))
        )
    };
    let mut text = describe("train", &trained.train);
    if let Some(errors) = &trained.test {
        text.push('\n');
        text.push_str(&describe("test", errors));
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
