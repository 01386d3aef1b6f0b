//! Fits the posterior of a round's model, where a scenario or the selection goes by its deviations.

use crate::campaign::event::{Event, Observer};
use crate::campaign::ground::{Context, Flow, Halt, Step};
use crate::campaign::journal::{hash_file, hash_json};
use crate::campaign::training::{POSTERIOR, fit_posterior};
use nepal::error::{Error, Result};
use nepal::model::Model;

/// The posterior of a round.
pub(in crate::campaign) struct FitPosterior;

impl Step for FitPosterior {
    fn name(&self) -> &'static str {
        "posterior"
    }

    fn is_due(&self, context: &Context<'_>) -> Result<bool> {
        context.campaign.needs_posterior(context.round)
    }

    fn inputs(&self, context: &Context<'_>) -> Result<String> {
        let mut files: Vec<String> = (0..=context.round)
            .map(|r| hash_file(&context.of(r).path("labelled.xyz")))
            .collect::<Result<_>>()?;
        files.push(hash_file(&context.of(0).path("test.xyz"))?);
        files.push(hash_file(&context.path("nep.txt"))?);
        Ok(hash_json(&files))
    }

    fn work(&self, context: &Context<'_>, observer: &mut dyn Observer) -> Flow<Vec<String>> {
        let model = Model::load(context.path("nep.txt"))?;
        let posterior = fit_posterior(context, &model)?;
        let Some(found) = posterior.calibration().force_coverage else {
            return Err(Halt::Failed(Error::invalid(format!(
                "the deviations of round {} cannot be calibrated: no labelled forces were left out of the fit. Add a \
                 [[test]] source or more [[initial]] structures, or go by grades (signal = \"grade\" in the way, another \
                 select.method)",
                context.round
            ))));
        };
        posterior.save(context.path(POSTERIOR))?;
        observer.event(Event::Info(format!(
            "force deviations: {:.1} % of errors within σ, {:.1} % within the bound of 95 %",
            100.0 * found.at_68,
            100.0 * found.at_95
        )));
        Ok(vec![context.relative(POSTERIOR)])
    }
}
