//! The end of a campaign: a last training on all labels, and the comparison with the reference method.

use crate::campaign::event::{Event, Observer};
use crate::campaign::ground::{Context, Flow, Step};
use crate::campaign::journal::{hash_file, hash_json};
use crate::campaign::store::write_json;
use crate::campaign::training::{
    Plan, build_active_set, describe, labelled_frames, test_frames, train_model, training_frames,
};
use crate::campaign::validate;
use nepal::error::{Error, Result};
use nepal::grade::ActiveSet;
use nepal::model::Model;
use nepal::system::xyz;

/// What says of the model that it needs its baseline.
const SIDE_FILE: &str = "nep.json";

/// The last training; its context is that of the last round.
pub(in crate::campaign) struct FinalTraining;

/// The comparison with the reference method, where the campaign asks for it.
pub(in crate::campaign) struct Validate;

impl Step for FinalTraining {
    fn name(&self) -> &'static str {
        "final-training"
    }

    fn inputs(&self, context: &Context<'_>) -> Result<String> {
        let config = &context.campaign.config;
        let inputs = (
            hash_file(&context.path("nep.txt"))?,
            hash_file(&context.path("labelled.xyz"))?,
            &config.model.nep_in,
            config.model.final_epochs,
            config.seed,
        );
        Ok(hash_json(&inputs))
    }

    fn labels_from(&self, _round: usize) -> Option<usize> {
        None
    }

    fn work(&self, context: &Context<'_>, observer: &mut dyn Observer) -> Flow<Vec<String>> {
        let campaign = context.campaign;
        let folder = context.campaign.final_folder();
        std::fs::create_dir_all(&folder).map_err(|e| Error::io("create", &folder, e))?;
        let frames = training_frames(campaign, context.round)?;
        if let Some(epochs) = campaign.config.model.final_epochs {
            let test = test_frames(context)?;
            let previous = Model::load(context.path("nep.txt"))?;
            let plan = Plan {
                epochs,
                seed: campaign.config.seed,
                checkpoint: &folder.join("training.checkpoint.json"),
            };
            let (model, record) =
                train_model(campaign, &frames, &test, Some(&previous), plan, observer)?;
            let set_before = ActiveSet::load(context.path("active_set.asi"), &previous)?;
            let (set, _, _) = build_active_set(&model, &frames, Some(&set_before))?;
            model.save(folder.join("nep.txt"))?;
            set.save(folder.join("active_set.asi"))?;
            write_json(&folder.join("training.json"), &record)?;
            let test = record.test.as_ref().map_or_else(String::new, describe);
            observer.event(Event::Info(format!(
                "final model: train {}; test {test}",
                describe(&record.train)
            )));
        } else {
            for name in ["nep.txt", "active_set.asi", "training.json"] {
                let from = context.path(name);
                let content = std::fs::read(&from).map_err(|e| Error::io("read", &from, e))?;
                nepal::files::write_atomically(&folder.join(name), &content)?;
            }
        }
        xyz::write_frames(
            folder.join("train.xyz"),
            &labelled_frames(campaign, context.round)?,
        )?;
        let mut files = vec!["nep.txt", "active_set.asi", "training.json", "train.xyz"];
        if let Some(baseline) = campaign.baseline()? {
            let model = Model::load(folder.join("nep.txt"))?;
            let record = baseline.record_from(&folder);
            record.save(folder.join(SIDE_FILE), &model)?;
            files.push(SIDE_FILE);
            observer.event(Event::Warning(format!(
                "final/nep.txt is what {} misses: whoever uses it has to add that ({})",
                record.spec,
                baseline.needs()
            )));
        }
        Ok(files.iter().map(|name| format!("final/{name}")).collect())
    }
}

impl Step for Validate {
    fn name(&self) -> &'static str {
        "validate"
    }

    fn inputs(&self, context: &Context<'_>) -> Result<String> {
        let config = &context.campaign.config;
        let model = hash_file(&context.campaign.final_folder().join("nep.txt"))?;
        let own = (model, &config.validate, config.seed);
        // Of a campaign that labels nothing at its end they are those of earlier versions.
        let labelled = context.campaign.final_folder().join("labelled.xyz");
        Ok(match labelled.exists() {
            true => hash_json(&(own, hash_file(&labelled)?)),
            false => hash_json(&own),
        })
    }

    fn labels_from(&self, _round: usize) -> Option<usize> {
        None
    }

    fn work(&self, context: &Context<'_>, observer: &mut dyn Observer) -> Flow<Vec<String>> {
        let Some(settings) = &context.campaign.config.validate else {
            return Ok(Vec::new());
        };
        let record = validate::validate(context, settings, observer)?;
        write_json(
            &context.campaign.final_folder().join("validation.json"),
            &record,
        )?;
        let mut files = vec!["final/validation.json".into()];
        if record.minima.is_some() {
            files.push("final/minima.xyz".into());
        }
        Ok(files)
    }
}
