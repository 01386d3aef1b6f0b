//! What a training leaves behind: the model and everything beside it.

use super::inputs::Inputs;
use crate::cli::TrainArgs;
use crate::output::Output;
use nepal::{BackendKind, Error, Frame, Model, Result};
use nepal_loop::campaign::Event;
use nepal_train::outliers::{Outlier, outliers, write_outliers};
use nepal_train::posterior::{Calibration, Posterior, PosteriorOptions};
use nepal_train::record::TrainingRecord;
use nepal_train::reference::free_atoms;
use nepal_train::{
    Errors, NepIn, Restart, Trained, predict, prediction_files, write_loss, write_predictions,
};
use std::path::{Path, PathBuf};

/// The folder of a file.
pub fn folder(path: &Path) -> &Path {
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty());
    parent.unwrap_or_else(|| ".".as_ref())
}

/// Everything that is written beside the model in the end.
pub fn beside(args: &TrainArgs, config: &NepIn) -> Vec<PathBuf> {
    let mut names = vec!["outliers.txt".to_owned(), "outliers.xyz".to_owned()];
    for set in ["train", "test"] {
        if set == "test" && args.test.is_none() && args.hold_out.is_none() {
            continue;
        }
        let quantities = prediction_files(config.kind).iter();
        names.extend(quantities.map(|name| format!("{name}_{set}.out")));
    }
    if !config.prediction {
        names.extend(["loss.out".to_owned(), "nep.restart".to_owned()]);
    }
    let mut paths: Vec<PathBuf> = names.iter().map(|n| folder(&args.out).join(n)).collect();
    paths.push(args.out.with_extension("json"));
    paths.extend((1..=args.committee).map(|k| member_path(&args.out, k)));
    paths
}

/// Moves the free atoms to their energies and takes the errors anew.
pub fn pin_free_atoms(trained: &mut Trained, inputs: &Inputs) -> Result<()> {
    let atoms = free_atoms(&inputs.train);
    if atoms.is_empty() {
        return Err(Error::invalid(
            "--pin-free-atoms needs training frames with one atom, alone within 6 Å, and its energy; found none",
        ));
    }
    let posterior = Posterior::fit(&trained.model, &inputs.train, &PosteriorOptions::default())?;
    trained.model = posterior.with_free_atoms(&trained.model, &atoms)?;
    trained.train_predictions = predict(&trained.model, &inputs.train, BackendKind::Cpu)?;
    trained.train = Errors::of(&trained.train_predictions, &inputs.train);
    if !inputs.test.is_empty() {
        trained.test_predictions = predict(&trained.model, &inputs.test, BackendKind::Cpu)?;
        trained.test = Some(Errors::of(&trained.test_predictions, &inputs.test));
    }
    Ok(())
}

/// Makes and writes the posterior and its committee, if they are asked for.
fn posterior(
    args: &TrainArgs,
    model: &Model,
    inputs: &Inputs,
    output: &mut dyn Output,
) -> Result<Option<Calibration>> {
    if args.posterior.is_none() && args.committee == 0 {
        return Ok(None);
    }
    let options = PosteriorOptions {
        held_out: &inputs.test,
        ..PosteriorOptions::default()
    };
    let posterior = Posterior::fit(model, &inputs.train, &options)?;
    let calibration = posterior.calibration().clone();
    if let Some(c) = &calibration.force_coverage {
        let source = if calibration.held_out {
            "frames of the test set, which also chose the model"
        } else {
            "training frames, each left out of the last layer in turn, which flatters; --test or --split hold some out"
        };
        let wide: Vec<String> = (model.elements().iter().zip(&calibration.force_at_95))
            .map(|(e, at)| format!("{at:.2} σ ({})", e.symbol()))
            .collect();
        output.event(Event::Info(format!(
            "σ of forces holds 68 % of the errors, {} hold 95 %; measured {:.1} and {:.1} % (on {source})",
            wide.join(", "),
            100.0 * c.at_68,
            100.0 * c.at_95
        )));
    }
    if calibration.force_coverage.is_none() {
        output.event(Event::Warning(
            "the deviations could not be calibrated, as no labelled forces were left out of the fit; give --test, or more structures"
                .into(),
        ));
    }
    if let Some(path) = &args.posterior {
        posterior.save(path)?;
    }
    for (k, member) in posterior
        .committee(model, args.committee, args.seed)?
        .iter()
        .enumerate()
    {
        member.save(member_path(&args.out, k + 1))?;
    }
    Ok(Some(calibration))
}

/// `nep_3.txt` beside `nep.txt`.
fn member_path(out: &Path, number: usize) -> PathBuf {
    let stem = out.file_stem().unwrap_or_default().to_string_lossy();
    let end = out
        .extension()
        .map_or(String::new(), |e| format!(".{}", e.to_string_lossy()));
    out.with_file_name(format!("{stem}_{number}{end}"))
}

/// Writes predictions and outliers beside the model.
pub fn write_sets(args: &TrainArgs, trained: &Trained, inputs: &Inputs) -> Result<Vec<Outlier>> {
    let folder = folder(&args.out);
    let kind = trained.model.kind();
    let (train, test) = (&trained.train_predictions, &trained.test_predictions);
    write_predictions(folder, "train", kind, train, &inputs.train)?;
    if !inputs.test.is_empty() {
        write_predictions(folder, "test", kind, test, &inputs.test)?;
    }
    let found = outliers(&trained.train_predictions, &inputs.train, args.outliers);
    write_outliers(folder, &found, &trained.train_predictions, &inputs.train)?;
    Ok(found)
}

/// Writes all files; gives the side file's content.
pub fn deliver(
    args: &TrainArgs,
    config: &NepIn,
    trained: &Trained,
    inputs: &Inputs,
    output: &mut dyn Output,
) -> Result<TrainingRecord> {
    let folder = folder(&args.out);
    trained.model.save(&args.out)?;
    // GPUMD's program has written its own.
    if args.trainer == "nepal" {
        Restart::of_model(&trained.model, &usable(trained, inputs))?
            .save(folder.join("nep.restart"))?;
    }
    write_loss(
        folder.join("loss.out"),
        trained.model.kind(),
        &trained.history,
    )?;
    let outliers = write_sets(args, trained, inputs)?;
    let calibration = posterior(args, &trained.model, inputs, output)?;
    let record = record(args, config, trained, inputs, outliers, calibration);
    record.save(args.out.with_extension("json"))?;
    Ok(record)
}

/// The training frames that were used.
fn usable(trained: &Trained, inputs: &Inputs) -> Vec<Frame> {
    let frames = inputs.train.iter().zip(&trained.train_predictions);
    let used = frames.filter(|(f, p)| !f.is_empty() && p.is_for(f));
    used.map(|(f, _)| f.clone()).collect()
}

/// The side file's content.
pub fn record(
    args: &TrainArgs,
    config: &NepIn,
    trained: &Trained,
    inputs: &Inputs,
    outliers: Vec<Outlier>,
    calibration: Option<Calibration>,
) -> TrainingRecord {
    let size = |frames: &[Frame]| [frames.len(), frames.iter().map(Frame::len).sum()];
    let trainer = if config.prediction {
        "none: prediction".to_owned()
    } else if args.trainer == "nepal" {
        format!("nepal {}", env!("CARGO_PKG_VERSION"))
    } else {
        format!("GPUMD: {}", args.program.join(" "))
    };
    TrainingRecord {
        schema: TrainingRecord::SCHEMA,
        model: format!("{:016x}", trained.model.fingerprint()),
        trainer,
        nep_in: config.to_text(),
        train_size: size(&inputs.train),
        test_size: size(&inputs.test),
        split: inputs.split.clone(),
        train: trained.train,
        test: trained.test,
        baseline: inputs
            .baseline
            .as_ref()
            .map(|b| b.record_from(folder(&args.out))),
        calibration,
        outliers,
        warnings: trained.warnings.clone(),
        epochs: trained.epochs,
        seconds: trained.seconds,
        device: trained.device.clone(),
        stop: format!("{:?}", trained.stop).to_lowercase(),
    }
}
