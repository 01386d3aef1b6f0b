//! Chooses what the next round labels.

use crate::campaign::event::Observer;
use crate::campaign::ground::{Context, Flow, Step, create_parent};
use crate::campaign::journal::{hash_file, hash_json};
use crate::campaign::selection;
use crate::campaign::store::write_json;
use nepal::error::Result;
use nepal::system::xyz;

/// The choice among a round's candidates.
pub(in crate::campaign) struct Select;

/// Most structures that a round may choose.
fn most(context: &Context<'_>) -> Result<usize> {
    let config = &context.campaign.config;
    let allowance = context.campaign.spent(context.round)?.allowance(config);
    Ok(config.select.max_structures.min(allowance.labels))
}

impl Step for Select {
    fn name(&self) -> &'static str {
        "select"
    }

    fn inputs(&self, context: &Context<'_>) -> Result<String> {
        let config = &context.campaign.config;
        let explored = (
            hash_file(&context.path("candidates.xyz"))?,
            hash_file(&context.path("active_set.asi"))?,
        );
        let quotas: Vec<Option<usize>> = config.explore.iter().map(|s| s.quota).collect();
        let inputs = (
            explored,
            &config.select,
            &config.grade,
            config.seed,
            most(context)?,
            quotas,
        );
        Ok(hash_json(&inputs))
    }

    fn work(&self, context: &Context<'_>, observer: &mut dyn Observer) -> Flow<Vec<String>> {
        let (frames, record) = selection::select(context, most(context)?, observer)?;
        let next = context.of(context.round + 1);
        create_parent(&next.path("to-label.xyz"))?;
        xyz::write_frames(next.path("to-label.xyz"), &frames)?;
        write_json(&context.path("selection.json"), &record)?;
        Ok(vec![
            next.relative("to-label.xyz"),
            context.relative("selection.json"),
        ])
    }
}
