//! `train`: a model from labels.

mod deliver;
mod inputs;

use super::{shown, stop_flag};
use crate::cli::TrainArgs;
use crate::output::{Output, Quiet};
use inputs::Inputs;
use nepal::model::Kind;
use nepal::{BackendKind, Error, Model, Result};
use nepal_loop::campaign::{Event, describe_rmse};
use nepal_train::ranks::of_environment;
use nepal_train::record::TrainingRecord;
use nepal_train::reference::uncarry;
use nepal_train::{
    Errors, ExternalOptions, NepIn, Ranks, Stop, TrainOptions, Trained, predict, train,
    train_with_gpumd,
};
use serde_json::json;
use std::cell::RefCell;
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// Trains and writes the model with GPUMD's output files beside it.
pub fn run(args: &TrainArgs, output: &mut dyn Output) -> Result<ExitCode> {
    let budget = (args.budget)
        .map(|value| super::minutes("--budget", value))
        .transpose()?;
    let mut config = NepIn::load(&args.config)?;
    if !args.freeze.is_empty() {
        config.freeze.clone_from(&args.freeze);
    }
    check_kind(args, &config)?;
    let place = of_environment()?.filter(|place| place.1 > 1);
    if place.is_none_or(|place| place.0 == 0) {
        for path in std::iter::once(&args.out).chain(&args.posterior) {
            super::check_output(path)?;
        }
        for path in deliver::beside(args, &config) {
            super::check_writable(&path)?;
        }
    }
    let ranks = Arc::new(match place {
        Some((rank, count)) if args.trainer == "gpumd" || config.prediction => {
            return Err(Error::Unsupported(format!(
                "this is process {rank} of {count} that were started together, but only nepal's own training is shared out \
                 among processes; start one"
            )));
        }
        Some(place) => Ranks::meet(place, &args.out.with_extension("ranks"))?,
        None => Ranks::alone(),
    });
    // One speaks for all.
    let mut silent = Quiet;
    let output: &mut dyn Output = if ranks.is_first() {
        output
    } else {
        &mut silent
    };
    if ranks.size() > 1 {
        output.event(Event::Info(format!(
            "{} processes train together",
            ranks.size()
        )));
    }
    let inputs = Inputs::read(args, &config, output)?;
    if config.prediction {
        return predict_only(args, &config, &inputs, output);
    }
    let start = Instant::now();
    let stop = stop_flag();
    // Progress and early warnings take turns.
    let output = RefCell::new(output);
    let mut told = 0;
    let mut warn = |text: &str| {
        told += 1;
        output.borrow_mut().event(Event::Warning(text.to_owned()));
    };
    let mut progress = |p: &nepal_train::Progress| {
        let total = budget.map_or(1000, |b| b.as_secs());
        let done = (p.fraction * total as f64) as u64;
        output.borrow_mut().event(Event::Progress {
            what: "training".into(),
            done,
            total,
            detail: format!(
                "{}, epoch {}, {}",
                p.record.method,
                p.epoch,
                describe_rmse(config.kind, p.record.train)
            ),
        });
        if stop.load(Ordering::Relaxed) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    let checkpoint = args.out.with_extension("checkpoint.json");
    let mut trained = if args.trainer == "gpumd" {
        let folder = deliver::folder(&args.out).join("gpumd");
        let options = ExternalOptions {
            program: args.program.clone(),
            folder: args.work.clone().unwrap_or(folder),
            init: inputs.init.as_ref(),
            budget,
            progress: Some(&mut progress),
        };
        let text = std::fs::read_to_string(&args.config)
            .map_err(|e| Error::io("read", &args.config, e))?;
        train_with_gpumd(&text, &inputs.train, &inputs.test, options)?
    } else {
        let options = TrainOptions {
            threads: args.threads.or_else(|| share_of_threads(&ranks)),
            ranks: Some(Arc::clone(&ranks)),
            epochs: args.epochs,
            budget,
            seed: args.seed,
            init: inputs.init.as_ref(),
            checkpoint: Some(&checkpoint),
            device: args.device,
            warn: Some(&mut warn),
            progress: Some(&mut progress),
        };
        train(&config, &inputs.train, &inputs.test, options)?
    };
    let output = output.into_inner();
    if !ranks.is_first() {
        return Ok(ExitCode::SUCCESS);
    }
    for warning in trained.warnings.iter().skip(told) {
        output.event(Event::Warning(warning.clone()));
    }
    if args.pin_free_atoms {
        deliver::pin_free_atoms(&mut trained, &inputs)?;
    }
    let record = deliver::deliver(args, &config, &trained, &inputs, output)?;
    tell(args, &record, start.elapsed().as_secs_f64(), output);
    Ok(ExitCode::SUCCESS)
}

/// Refuses before a training what only potentials have after it.
fn check_kind(args: &TrainArgs, config: &NepIn) -> Result<()> {
    let asked = [
        ("--posterior", args.posterior.is_some()),
        ("--committee", args.committee > 0),
        ("--pin-free-atoms", args.pin_free_atoms),
        (
            "--baseline",
            args.baseline.is_some() && config.kind.is_tensor(),
        ),
    ];
    match asked.iter().find(|(_, asked)| *asked) {
        Some((flag, _)) if config.kind != Kind::Potential => Err(Error::Unsupported(format!(
            "{flag} does not go with models of {}; leave it out",
            config.kind.name()
        ))),
        _ => Ok(()),
    }
}

/// Threads of one of several processes where nobody says: those that it is bound to, or its part of the machine's.
fn share_of_threads(ranks: &Ranks) -> Option<usize> {
    const HERE: [&str; 2] = ["OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS"];
    if ranks.size() == 1 {
        return None;
    }
    let free = std::thread::available_parallelism().map_or(1, usize::from);
    let cores = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cores = cores.lines().filter(|l| l.starts_with("processor")).count();
    let variable = |name: &str| std::env::var(name).ok()?.parse::<usize>().ok();
    let slurm = || {
        // A number for each kind of node: "4(x2),1".
        let tasks = std::env::var("SLURM_STEP_TASKS_PER_NODE").ok()?;
        tasks.split(['(', ',']).next()?.parse().ok()
    };
    let here = HERE.iter().find_map(|name| variable(name)).or_else(slurm);
    Some(match free < cores {
        true => free,
        false => (free / here.unwrap_or(free).max(1)).max(1),
    })
}

/// GPUMD's `prediction 1`: the model is evaluated on the training set, and the test set if there is
/// one.
fn predict_only(
    args: &TrainArgs,
    config: &NepIn,
    inputs: &Inputs,
    output: &mut dyn Output,
) -> Result<ExitCode> {
    let start = Instant::now();
    let model = match &inputs.init {
        Some(model) => model.clone(),
        None => Model::load(args.config.with_file_name("nep.txt"))?,
    };
    // Reference energies may have added a neuron.
    let fits = |m: &Model| config.differences(m.header()).is_empty();
    if !fits(&model) && !uncarry(&model).is_some_and(|(narrow, _)| fits(&narrow)) {
        return Err(Error::invalid(format!(
            "the model does not fit the settings, as prediction 1 demands: {}",
            config.differences(model.header()).join("; ")
        )));
    }
    let train_predictions = predict(&model, &inputs.train, BackendKind::Cpu)?;
    let test_predictions = predict(&model, &inputs.test, BackendKind::Cpu)?;
    let trained = Trained {
        train: Errors::of(&train_predictions, &inputs.train),
        test: (!inputs.test.is_empty()).then(|| Errors::of(&test_predictions, &inputs.test)),
        train_predictions,
        test_predictions,
        model,
        history: Vec::new(),
        warnings: config.notes.clone(),
        epochs: 0,
        seconds: start.elapsed().as_secs_f64(),
        stop: Stop::Epochs,
        device: None,
    };
    let outliers = deliver::write_sets(args, &trained, inputs)?;
    let record = deliver::record(args, config, &trained, inputs, outliers, None);
    record.save(args.out.with_extension("json"))?;
    tell(args, &record, start.elapsed().as_secs_f64(), output);
    Ok(ExitCode::SUCCESS)
}

/// The result in words and as JSON.
fn tell(args: &TrainArgs, record: &TrainingRecord, seconds: f64, output: &mut dyn Output) {
    let describe = |name: &str, e: &nepal_train::Errors| {
        let milli = |v: Option<f64>| v.map_or_else(|| "-".into(), |v| format!("{:.3}", 1e3 * v));
        if let (Some(rmse), Some(mae)) = (e.tensor_rmse, e.tensor_mae) {
            return format!("{name:<6} rmse {rmse:.6}, mae {mae:.6} per atom");
        }
        let born = e
            .born_rmse
            .map_or_else(String::new, |z| format!(", Born charges {z:.4} e"));
        format!(
            "{name:<6} energy {} meV/atom, force {} meV/Å, virial {} meV/atom",
            milli(e.energy_rmse),
            milli(e.force_rmse),
            milli(e.virial_rmse)
        ) + &born
    };
    let mut text = describe("train", &record.train);
    if let Some(errors) = &record.test {
        text.push('\n');
        text.push_str(&describe("test", errors));
    }
    if !record.outliers.is_empty() {
        text.push_str(&format!(
            "\n{} label(s) stand out: outliers.txt, outliers.xyz",
            record.outliers.len()
        ));
    }
    if args.out.with_extension("checkpoint.json").exists() {
        text.push_str("\nstopped before its end: the same command goes on from here");
    }
    let device = record.device.as_deref().unwrap_or("the processor");
    text.push_str(&format!(
        "\n{seconds:.1} s on {device} -> {}",
        args.out.display()
    ));
    output.result(
        "train",
        &text,
        json!({ "out": shown(&args.out), "train": record.train, "test": record.test,
                "seconds": seconds, "device": record.device, "warnings": record.warnings,
                "calibration": record.calibration, "outliers": record.outliers.len() }),
    );
}
