//! Training on the labels of a campaign: the model, its errors, its active set.

use super::Campaign;
use super::event::{Event, Observer};
use super::ground::{Context, Flow, Halt};
use super::store::TrainingRecord;
use crate::label::{Call, StopFlag};
use nepal::BackendKind;
use nepal::error::{Error, Result};
use nepal::grade::{ActiveSet, BuildOptions, Features, unseen_grade};
use nepal::model::Model;
use nepal::system::{Frame, xyz};
use nepal_train::TrainOptions;
use nepal_train::posterior::{Posterior, PosteriorOptions};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

/// All that the model learns up to a round.
pub(super) fn training_frames(campaign: &Campaign, round: usize) -> Result<Vec<Frame>> {
    campaign.learnt(labelled_frames(campaign, round)?)
}

/// All labelled frames up to a round, whole.
pub(super) fn labelled_frames(campaign: &Campaign, round: usize) -> Result<Vec<Frame>> {
    let mut frames = Vec::new();
    for round in 0..=round {
        frames.extend(xyz::read_frames(
            Context::new(campaign, round).path("labelled.xyz"),
        )?);
    }
    Ok(frames)
}

/// What a model should say of the test set.
pub(super) fn test_frames(context: &Context<'_>) -> Result<Vec<Frame>> {
    let frames = xyz::read_frames(context.of(0).path("test.xyz"))?;
    context.campaign.learnt(frames)
}

/// Errors in the units that people quote.
pub(super) fn describe(errors: &nepal_train::Errors) -> String {
    format!(
        "{:.2} meV/atom, {:.1} meV/Å",
        1000.0 * errors.energy_rmse.unwrap_or(f64::NAN),
        1000.0 * errors.force_rmse.unwrap_or(f64::NAN)
    )
}

/// File of a round's posterior.
pub(super) const POSTERIOR: &str = "posterior.json";

/// Most structures that deviations are fitted to, calibrated on, or looked for in.
const MAX_STRUCTURES: usize = 60;

/// Evenly spread ones of frames of which there are too many.
pub(super) fn thin(frames: Vec<Frame>) -> Vec<Frame> {
    let stride = frames.len().div_ceil(MAX_STRUCTURES).max(1);
    frames.into_iter().step_by(stride).collect()
}

/// The posterior of a round's model, calibrated on the test set, or on parts of the training set left out.
pub(super) fn fit_posterior(context: &Context<'_>, model: &Model) -> Result<Posterior> {
    let train = training_frames(context.campaign, context.round)?;
    let test = thin(test_frames(context)?);
    let options = PosteriorOptions {
        held_out: &test,
        ..PosteriorOptions::default()
    };
    Posterior::fit(model, &thin(train), &options)
}

/// How long to train, and where a killed training goes on from.
#[derive(Clone, Copy)]
pub(super) struct Plan<'a> {
    pub epochs: usize,
    pub seed: u64,
    pub checkpoint: &'a Path,
}

/// Epochs of a round's training.
pub(super) fn round_epochs(context: &Context<'_>) -> usize {
    let model = &context.campaign.config.model;
    match context.round {
        0 => model.first_epochs,
        _ => model.epochs,
    }
}

/// File of a member of the committee that is not the round's own model; from 1.
pub(super) fn member(k: usize) -> String {
    format!("nep_{k}.txt")
}

/// What a training gave.
struct Made {
    model: Model,
    loss: Vec<(f64, f64)>,
    warnings: Vec<String>,
    device: Option<String>,
}

/// Trains in this process.
fn train_here(
    campaign: &Campaign,
    frames: &[Frame],
    init: Option<&Model>,
    plan: Plan<'_>,
    observer: &mut dyn Observer,
) -> Flow<Made> {
    let mut interrupted = false;
    let mut progress = |p: &nepal_train::Progress| {
        observer.event(Event::Progress {
            what: "training".into(),
            // A step of the refinement takes several passes at once.
            done: p.epoch.min(plan.epochs) as u64,
            total: plan.epochs as u64,
            detail: super::describe_rmse(nepal::model::Kind::Potential, p.record.train),
        });
        interrupted = observer.stop_requested();
        if interrupted {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    let options = TrainOptions {
        threads: Some(campaign.threads()),
        epochs: Some(plan.epochs),
        checkpoint: Some(plan.checkpoint),
        seed: plan.seed,
        init,
        device: campaign.config.model.device,
        progress: Some(&mut progress),
        ..TrainOptions::default()
    };
    // The test set only measures: letting it choose the best epoch would spoil it.
    let trained = nepal_train::train(&campaign.nep_in, frames, &[], options)?;
    if interrupted {
        return Err(Halt::Stopped);
    }
    let loss = trained.history.iter().map(|r| (r.epoch as f64, r.loss));
    Ok(Made {
        loss: loss.collect(),
        model: trained.model,
        warnings: trained.warnings,
        device: trained.device,
    })
}

/// Trains in processes that the campaign's launcher starts; in a folder beside the checkpoint, from which a training
/// that was cut short goes on.
fn train_launched(
    campaign: &Campaign,
    frames: &[Frame],
    init: Option<&Model>,
    plan: Plan<'_>,
    observer: &mut dyn Observer,
) -> Flow<Made> {
    /// A year: the stop flag ends a training, no clock.
    const LONGEST: Duration = Duration::from_secs(365 * 86_400);
    let config = &campaign.config;
    let folder = plan.checkpoint.with_extension("launched");
    std::fs::create_dir_all(&folder).map_err(|e| Error::io("create", &folder, e))?;
    let write = |name: &str, text: &str| {
        nepal::files::write_atomically(&folder.join(name), text.as_bytes())
    };
    write("nep.in", &config.model.nep_in)?;
    xyz::write_frames(folder.join("train.xyz"), frames)?;
    let own = std::env::current_exe().map_err(|e| Error::io("find", "this program", e))?;
    let mut command = config.model.launch.clone();
    command.push(own.display().to_string());
    let words =
        "--output-mode quiet train --config nep.in --train train.xyz --out nep.txt --outliers 0";
    command.extend(words.split(' ').map(str::to_owned));
    command.extend([
        format!("--epochs={}", plan.epochs),
        format!("--seed={}", plan.seed),
    ]);
    if config.threads > 0 {
        command.push(format!("--threads={}", config.threads));
    }
    if let Some(model) = init {
        model.save(folder.join("init.txt"))?;
        command.push("--init=init.txt".into());
    }
    observer.event(Event::Info(format!(
        "training by {}",
        config.model.launch.join(" ")
    )));
    let call = Call {
        command,
        env: BTreeMap::new(),
        folder: folder.clone(),
        output: "train.log".into(),
        timeout: LONGEST,
    };
    let ended = call.run(&StopFlag::from(observer.stop_flag()));
    if observer.stop_requested() {
        return Err(Halt::Stopped);
    }
    if let Some(why) = ended?.failure(LONGEST) {
        let said = crate::label::last_lines(&folder.join("train.log"), 5);
        return Err(Halt::Failed(Error::Failed(format!(
            "[model] launch: {why}; it said last: {said}"
        ))));
    }
    let loss = nepal_train::read_loss(folder.join("loss.out"))?;
    let side: serde_json::Value = super::store::read_json(&folder.join("nep.json"))?;
    let warnings = side["warnings"].as_array().into_iter().flatten();
    let made = Made {
        model: Model::load(folder.join("nep.txt"))?,
        loss: loss.iter().map(|r| (r.epoch as f64, r.loss)).collect(),
        warnings: warnings
            .filter_map(|w| w.as_str())
            .map(str::to_owned)
            .collect(),
        device: None,
    };
    // What counts is written by the step.
    let _ = std::fs::remove_dir_all(&folder);
    Ok(made)
}

fn trained(
    campaign: &Campaign,
    frames: &[Frame],
    init: Option<&Model>,
    plan: Plan<'_>,
    observer: &mut dyn Observer,
) -> Flow<Made> {
    match campaign.config.model.launch.is_empty() {
        true => train_here(campaign, frames, init, plan, observer),
        false => train_launched(campaign, frames, init, plan, observer),
    }
}

/// Trains a member of the committee.
pub(super) fn train_member(
    campaign: &Campaign,
    frames: &[Frame],
    init: Option<&Model>,
    plan: Plan<'_>,
    observer: &mut dyn Observer,
) -> Flow<Model> {
    Ok(trained(campaign, frames, init, plan, observer)?.model)
}

/// Trains for a number of epochs and tells how it went.
pub(super) fn train_model(
    campaign: &Campaign,
    frames: &[Frame],
    test: &[Frame],
    init: Option<&Model>,
    plan: Plan<'_>,
    observer: &mut dyn Observer,
) -> Flow<(Model, TrainingRecord)> {
    let trained = trained(campaign, frames, init, plan, observer)?;
    if let Some(device) = &trained.device {
        observer.event(Event::Info(format!("trained on {device}")));
    }
    let test = if test.is_empty() {
        None
    } else {
        Some(nepal_train::errors(&trained.model, test, BackendKind::Cpu)?)
    };
    let record = TrainingRecord {
        structures: frames.len(),
        atoms: frames.iter().map(Frame::len).sum(),
        train: nepal_train::errors(&trained.model, frames, BackendKind::Cpu)?,
        test,
        canary: None,
        unseen_grade: None,
        loss: trained.loss,
        warnings: trained.warnings,
    };
    Ok((trained.model, record))
}

/// The active set of a model over its training set, with the grade of structures left out and what was special about it;
/// from the rows of a previous set on, whose training set was the beginning of this one.
pub(super) fn build_active_set(
    model: &Model,
    frames: &[Frame],
    previous: Option<&ActiveSet>,
) -> Result<(ActiveSet, Option<f64>, Vec<String>)> {
    let mut backend = BackendKind::Cpu.create()?;
    let structures = frames.iter().map(|f| &f.structure);
    let features = Features::collect(model, &mut *backend, structures)?;
    let options = BuildOptions::default();
    let (set, report) = ActiveSet::build_from(model, &features, &options, previous)?;
    let unseen = unseen_grade(model, &features, &options)?.filter(|g| g.is_finite());
    Ok((set, unseen, report.notes()))
}
