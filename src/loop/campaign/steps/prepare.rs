//! Makes the structures of the first training set and of the test set.

use crate::campaign::event::Observer;
use crate::campaign::ground::{Context, Flow, Step, create_parent};
use crate::campaign::journal::{hash_file, hash_json};
use crate::campaign::sources;
use nepal::error::Result;
use nepal::system::xyz;

/// Structures to label in round 0.
pub(in crate::campaign) struct Prepare;

impl Step for Prepare {
    fn name(&self) -> &'static str {
        "prepare"
    }

    fn inputs(&self, context: &Context<'_>) -> Result<String> {
        let (config, base) = (&context.campaign.config, &context.campaign.base);
        let files: Vec<String> = config
            .initial
            .iter()
            .chain(&config.test)
            .flat_map(|s| s.files())
            .map(|file| hash_file(&base.join(file)))
            .collect::<Result<_>>()?;
        let inputs = (&config.initial, &config.test, config.seed, files);
        Ok(hash_json(&inputs))
    }

    fn labels_from(&self, round: usize) -> Option<usize> {
        Some(round)
    }

    fn work(&self, context: &Context<'_>, _observer: &mut dyn Observer) -> Flow<Vec<String>> {
        let (config, base) = (&context.campaign.config, &context.campaign.base);
        let mut outputs = Vec::new();
        for (name, list, tag) in [
            ("to-label.xyz", &config.initial, "initial"),
            ("to-label-test.xyz", &config.test, "test"),
        ] {
            let frames = sources::frames(list, base, config.seed, tag)?;
            create_parent(&context.path(name))?;
            xyz::write_frames(context.path(name), &frames)?;
            outputs.push(context.relative(name));
        }
        Ok(outputs)
    }
}
