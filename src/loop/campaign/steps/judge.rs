//! Judges all stop rules after a round.

use crate::campaign::StopConfig;
use crate::campaign::event::Observer;
use crate::campaign::ground::{Context, Flow, Step};
use crate::campaign::journal::{hash_file, hash_json};
use crate::campaign::stop;
use crate::campaign::store::write_json;
use nepal::error::Result;

/// The stop rules.
pub(in crate::campaign) struct Judge;

impl Step for Judge {
    fn name(&self) -> &'static str {
        "judge"
    }

    fn inputs(&self, context: &Context<'_>) -> Result<String> {
        let config = &context.campaign.config;
        let mut files = Vec::new();
        for round in 0..=context.round {
            for name in ["explore.json", "selection.json", "training.json"] {
                files.push(hash_file(&context.of(round).path(name))?);
            }
        }
        // Budgets end a campaign, and are no rule: a longer one judges nothing anew.
        let rules = StopConfig {
            max_rounds: 0,
            max_labels: 0,
            ..config.stop.clone()
        };
        let inputs = (
            files,
            hash_file(&context.path("nep.txt"))?,
            rules,
            config.grade.save,
            config.seed,
        );
        Ok(hash_json(&inputs))
    }

    fn labels_from(&self, _round: usize) -> Option<usize> {
        None
    }

    fn work(&self, context: &Context<'_>, _observer: &mut dyn Observer) -> Flow<Vec<String>> {
        let record = stop::judge(context)?;
        write_json(&context.path("stop.json"), &record)?;
        Ok(vec![context.relative("stop.json")])
    }
}
