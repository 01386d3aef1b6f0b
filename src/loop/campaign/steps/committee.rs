//! Trains the others of a round's committee, where a scenario goes by it.

use crate::campaign::event::{Event, Observer};
use crate::campaign::ground::{Context, Flow, Step};
use crate::campaign::journal::{hash_file, hash_json};
use crate::campaign::training::{Plan, member, round_epochs, train_member, training_frames};
use nepal::error::Result;
use nepal::model::Model;

/// The committee of a round but for its model: the same labels, settings and epochs, other seeds, each from its own
/// model of the round before.
pub(in crate::campaign) struct TrainCommittee;

/// A member that is done; where the step was cut short, with what it was trained from.
fn done_file(k: usize) -> String {
    format!("{}.done", member(k))
}

impl Step for TrainCommittee {
    fn name(&self) -> &'static str {
        "committee"
    }

    fn is_due(&self, context: &Context<'_>) -> Result<bool> {
        context.campaign.needs_committee(context.round)
    }

    fn inputs(&self, context: &Context<'_>) -> Result<String> {
        let config = &context.campaign.config;
        let labels: Vec<String> = (0..=context.round)
            .map(|r| hash_file(&context.of(r).path("labelled.xyz")))
            .collect::<Result<_>>()?;
        let starts: Vec<Option<String>> = (1..config.model.committee)
            .map(|k| {
                own_start(context, k)
                    .map(|path| hash_file(&path))
                    .transpose()
            })
            .collect::<Result<_>>()?;
        let epochs = round_epochs(context);
        let inputs = (labels, starts, &config.model.nep_in, epochs, config.seed);
        Ok(hash_json(&inputs))
    }

    fn work(&self, context: &Context<'_>, observer: &mut dyn Observer) -> Flow<Vec<String>> {
        let campaign = context.campaign;
        let inputs = self.inputs(context)?;
        let frames = training_frames(campaign, context.round)?;
        let count = campaign.config.model.committee;
        for k in 1..count {
            let (file, done) = (context.path(&member(k)), context.path(&done_file(k)));
            if file.exists() && std::fs::read_to_string(&done).is_ok_and(|of| of == inputs) {
                continue;
            }
            let start = own_start(context, k).map(Model::load).transpose()?;
            let plan = Plan {
                epochs: round_epochs(context),
                seed: campaign.config.seed.wrapping_add(k as u64),
                checkpoint: &context.path(&format!("{}.checkpoint.json", member(k))),
            };
            let model = train_member(campaign, &frames, start.as_ref(), plan, observer)?;
            model.save(&file)?;
            nepal::files::write_atomically(&done, inputs.as_bytes())?;
            observer.event(Event::Info(format!(
                "committee: {} of {count} models",
                k + 1
            )));
        }
        Ok((1..count).map(|k| context.relative(&member(k))).collect())
    }
}

/// What a member goes on from: itself in the round before, if there it was.
fn own_start(context: &Context<'_>, k: usize) -> Option<std::path::PathBuf> {
    let before = context.of(context.round.checked_sub(1)?);
    Some(before.path(&member(k))).filter(|path| path.exists())
}
