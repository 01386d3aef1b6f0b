//! Trains a round's model, measures its errors and builds its active set.

use crate::campaign::event::{Event, Observer};
use crate::campaign::ground::{Context, Flow, Step};
use crate::campaign::journal::{hash_file, hash_json};
use crate::campaign::store::write_json;
use crate::campaign::training::{
    Plan, build_active_set, describe, round_epochs, test_frames, train_model, training_frames,
};
use nepal::BackendKind;
use nepal::error::Result;
use nepal::grade::ActiveSet;
use nepal::model::Model;
use nepal::system::xyz;
use std::path::PathBuf;

/// The training of a round.
pub(in crate::campaign) struct Train;

/// The round before, if there is one.
fn before<'a>(context: &Context<'a>) -> Option<Context<'a>> {
    context.round.checked_sub(1).map(|round| context.of(round))
}

/// The model that training starts from: that of the round before, or what the user gave.
fn start(context: &Context<'_>) -> Option<PathBuf> {
    let campaign = context.campaign;
    match before(context) {
        Some(before) => Some(before.path("nep.txt")),
        None => campaign
            .config
            .model
            .start
            .as_ref()
            .map(|p| campaign.base.join(p)),
    }
}

impl Step for Train {
    fn name(&self) -> &'static str {
        "train"
    }

    /// Neither the number of threads nor the device is among them: a campaign that moves to another machine goes on
    /// with the models that it has.
    fn inputs(&self, context: &Context<'_>) -> Result<String> {
        let config = &context.campaign.config;
        let labels: Vec<String> = (0..=context.round)
            .map(|r| hash_file(&context.of(r).path("labelled.xyz")))
            .collect::<Result<_>>()?;
        let start = start(context).map(|path| hash_file(&path)).transpose()?;
        let inputs = (
            labels,
            start,
            &config.model.nep_in,
            round_epochs(context),
            config.seed,
        );
        Ok(hash_json(&inputs))
    }

    fn work(&self, context: &Context<'_>, observer: &mut dyn Observer) -> Flow<Vec<String>> {
        let campaign = context.campaign;
        let init = start(context).as_ref().map(Model::load).transpose()?;
        let fresh = campaign.learnt(xyz::read_frames(context.path("labelled.xyz"))?)?;
        let canary = init
            .as_ref()
            .filter(|_| !fresh.is_empty())
            .map(|model| nepal_train::errors(model, &fresh, BackendKind::Cpu))
            .transpose()?;
        let frames = training_frames(campaign, context.round)?;
        let test = test_frames(context)?;
        let plan = Plan {
            epochs: round_epochs(context),
            seed: campaign.config.seed,
            checkpoint: &context.path("training.checkpoint.json"),
        };
        let (model, mut record) =
            train_model(campaign, &frames, &test, init.as_ref(), plan, observer)?;
        record.canary = canary;
        // A model that the user gave comes without an active set of these structures.
        let set_before = match (before(context), &init) {
            (Some(before), Some(model)) => {
                Some(ActiveSet::load(before.path("active_set.asi"), model)?)
            }
            _ => None,
        };
        let (set, unseen, notes) = build_active_set(&model, &frames, set_before.as_ref())?;
        record.unseen_grade = unseen;
        record.warnings.extend(notes);
        model.save(context.path("nep.txt"))?;
        set.save(context.path("active_set.asi"))?;
        write_json(&context.path("training.json"), &record)?;
        for warning in &record.warnings {
            observer.event(Event::Warning(warning.clone()));
        }
        observer.event(Event::Info(format!(
            "{} structures: train {}{}",
            record.structures,
            describe(&record.train),
            record
                .test
                .as_ref()
                .map_or_else(String::new, |t| format!("; test {}", describe(t)))
        )));
        Ok(["nep.txt", "active_set.asi", "training.json"]
            .map(|name| context.relative(name))
            .into())
    }
}
