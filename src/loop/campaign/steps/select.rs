//! Chooses what the next round labels.

use crate::campaign::event::Observer;
use crate::campaign::ground::{Context, Flow, Step, create_parent};
use crate::campaign::journal::{hash_file, hash_json};
use crate::campaign::selection::{self, Method};
use crate::campaign::store::{SelectionRecord, read_json, write_json};
use crate::campaign::training::POSTERIOR;
use nepal::error::Result;
use nepal::system::xyz;

/// The choice among a round's candidates.
pub(in crate::campaign) struct Select;

/// Most structures that a round may choose. What was chosen within a tighter budget and is labelled by now stays: a
/// longer budget is for rounds to come.
fn most(context: &Context<'_>) -> Result<usize> {
    let config = &context.campaign.config;
    let reserved = context.campaign.reserved()?;
    let allowance = (context.campaign.spent(context.round)?).allowance(config, reserved);
    let now = config.select.max_structures.min(allowance.labels);
    let next = context.of(context.round + 1);
    let before: Option<SelectionRecord> = match next.path("labels.json").exists() {
        true => read_json(&context.path("selection.json")).ok(),
        false => None,
    };
    let then = before.and_then(|record| record.most);
    Ok(then.map_or(now, |then| then.min(now)))
}

impl Step for Select {
    fn name(&self) -> &'static str {
        "select"
    }

    fn inputs(&self, context: &Context<'_>) -> Result<String> {
        let config = &context.campaign.config;
        let mut explored = vec![
            hash_file(&context.path("candidates.xyz"))?,
            hash_file(&context.path("active_set.asi"))?,
        ];
        if config.select.method == Method::Sigma {
            explored.push(hash_file(&context.path(POSTERIOR))?);
        }
        if !config.fragments.is_default() {
            explored.push(hash_json(&config.fragments));
        }
        let scenarios = context.campaign.scenarios(context.round)?;
        let quotas: Vec<Option<usize>> = scenarios.iter().map(|s| s.quota).collect();
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
        let most = most(context)?;
        let (frames, mut record) = selection::select(context, most, observer)?;
        record.most = Some(most);
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
