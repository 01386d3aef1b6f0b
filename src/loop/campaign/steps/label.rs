//! Has the structures of a round labelled: when it is done, the label cache knows all of them.

use crate::campaign::event::Observer;
use crate::campaign::ground::{Context, Flow, Step};
use crate::campaign::journal::hash_json;
use crate::campaign::labelling::{self, Batch, SecondLooks};
use crate::campaign::store::{Computed, MethodRecord, write_json};
use nepal::error::Result;

/// The labelling of a round.
pub(in crate::campaign) struct Label;

impl Step for Label {
    fn name(&self) -> &'static str {
        "label"
    }

    fn inputs(&self, context: &Context<'_>) -> Result<String> {
        Ok(hash_json(&labelling::inputs(context)?))
    }

    /// Labels of all rounds from this one on that the cache does not have under the settings of now.
    fn stake(&self, context: &Context<'_>) -> Result<usize> {
        let campaign = context.campaign;
        let runner = campaign.label_runner(None, "running")?;
        let mut missing = 0;
        for record in campaign
            .rounds()?
            .iter()
            .filter(|r| r.round >= context.round)
        {
            let batch = Batch::of(&context.of(record.round), &runner)?;
            missing += batch.missing(&runner)?.min(record.labels.computed());
        }
        Ok(missing)
    }

    fn work(&self, context: &Context<'_>, observer: &mut dyn Observer) -> Flow<Vec<String>> {
        let campaign = context.campaign;
        let runner = campaign.label_runner(None, "running")?;
        let batch = Batch::of(context, &runner)?;
        // What an earlier driver doubted is out for its second look, or due for it.
        let second = SecondLooks::of(context, &batch.order).set_aside(&runner)?;
        let outcomes = batch.label(campaign, &runner, &second, context.once, observer)?;
        let computed = Computed {
            seconds: outcomes.values().map(|outcome| outcome.seconds).sum(),
        };
        write_json(&context.path("computed.json"), &computed)?;
        let method = MethodRecord {
            name: runner.labeller().name().to_owned(),
            settings: runner.labeller().settings(),
        };
        write_json(&context.path("method.json"), &method)?;
        Ok(["computed.json", "method.json"]
            .map(|name| context.relative(name))
            .into())
    }
}
