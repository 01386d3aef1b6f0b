//! The end of a campaign: a last training on all labels, the comparison with the reference method,
//! and the report.

use super::event::{Event, Observer};
use super::journal::{Journal, hash_file};
use super::rounds::{Context, run_step};
use super::store::{read_json, write_json};
use super::training::{Plan, build_active_set, describe, train_model, training_frames};
use super::{Campaign, Interrupted, Outcome, validate};
use nepal::error::{Error, Result};
use nepal::grade::ActiveSet;
use nepal::model::Model;
use nepal::system::xyz;
use serde::{Deserialize, Serialize};

/// How the campaign ended. In `final/outcome.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct OutcomeRecord {
    pub reason: String,
    pub converged: bool,
    pub rounds: usize,
    pub labels: usize,
}

/// Trains once more, validates and reports.
pub(super) fn finish(
    campaign: &Campaign,
    journal: &mut Journal,
    observer: &mut dyn Observer,
    rounds: usize,
    reason: String,
    converged: bool,
) -> Result<std::result::Result<Outcome, Interrupted>> {
    let last = Context {
        campaign,
        round: rounds - 1,
    };
    let folder = campaign.directory.join("final");
    std::fs::create_dir_all(&folder).map_err(|e| Error::io("create", &folder, e))?;
    let config = &campaign.config;
    let inputs = (
        hash_file(&last.path("nep.txt"))?,
        hash_file(&last.path("labelled.xyz"))?,
        &config.model.nep_in,
        config.model.final_epochs,
        config.seed,
        campaign.threads(),
    );
    run_step(
        &last,
        journal,
        observer,
        "final-training",
        &inputs,
        |observer| {
            let frames = training_frames(campaign, last.round)?;
            let test = xyz::read_frames(Context { campaign, round: 0 }.path("test.xyz"))?;
            let previous = Model::load(last.path("nep.txt"))?;
            if let Some(epochs) = config.model.final_epochs {
                let plan = Plan {
                    epochs,
                    checkpoint: &folder.join("training.checkpoint.json"),
                };
                let (model, record) =
                    train_model(campaign, &frames, &test, Some(&previous), plan, observer)?;
                let set_before = ActiveSet::load(last.path("active_set.asi"), &previous)?;
                let (set, _) = build_active_set(&model, &frames, Some(&set_before))?;
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
                    let content = std::fs::read(last.path(name))
                        .map_err(|e| Error::io("read", last.path(name), e))?;
                    nepal::files::write_atomically(&folder.join(name), &content)?;
                }
            }
            xyz::write_frames(folder.join("train.xyz"), &frames)?;
            Ok(["nep.txt", "active_set.asi", "training.json", "train.xyz"]
                .map(|name| format!("final/{name}"))
                .into())
        },
    )?;
    if observer.stop_requested() {
        return Ok(Err(Interrupted::Asked));
    }
    if let Some(settings) = &config.validate {
        let inputs = (hash_file(&folder.join("nep.txt"))?, settings, config.seed);
        run_step(&last, journal, observer, "validate", &inputs, |observer| {
            let record = validate::validate(campaign, settings, observer)?;
            write_json(&folder.join("validation.json"), &record)?;
            Ok(vec!["final/validation.json".into()])
        })?;
    }
    let labels = campaign
        .rounds()?
        .iter()
        .take(rounds)
        .map(|r| r.labels.requested)
        .sum();
    let record = OutcomeRecord {
        reason,
        converged,
        rounds,
        labels,
    };
    write_json(&folder.join("outcome.json"), &record)?;
    let report = campaign.write_report()?;
    Ok(Ok(Outcome {
        reason: record.reason,
        converged,
        model: folder.join("nep.txt"),
        active_set: folder.join("active_set.asi"),
        report,
        rounds,
        labels,
    }))
}

impl Campaign {
    /// Why the campaign ended, if it did.
    ///
    /// **Errors**: [`Error::Failed`] for a damaged record.
    pub fn outcome_reason(&self) -> Result<Option<String>> {
        Ok(self.outcome_record()?.map(|record| record.reason))
    }

    pub(super) fn outcome_record(&self) -> Result<Option<OutcomeRecord>> {
        let path = self.directory.join("final/outcome.json");
        if path.exists() {
            read_json(&path).map(Some)
        } else {
            Ok(None)
        }
    }
}
