//! Delta learning: what a campaign does with a baseline.
//!
//! Labels are kept whole, with what the baseline gives for them beside them. The model learns the difference,
//! errors are of that, which are those of the sum, and whatever moves atoms goes by the sum.

use super::Campaign;
use crate::explore::Sum;
use crate::label::baseline::Baseline;
use nepal::BackendKind;
use nepal::calculator::{Calculator, Potential};
use nepal::error::{Error, Result};
use nepal::model::Model;
use nepal::system::Frame;
use std::path::Path;
use std::sync::Arc;

impl Campaign {
    /// The baseline that the model is trained beside, if there is one.
    ///
    /// **Errors**: those of [`Baseline::new`].
    pub fn baseline(&self) -> Result<Option<Baseline>> {
        let Some(spec) = &self.config.model.baseline else {
            return Ok(None);
        };
        if let Some(baseline) = self.baseline.get() {
            return Ok(Some(baseline.clone()));
        }
        let path = self.base.join(spec).display().to_string();
        let made = Baseline::new(&path, &self.stop)
            .map_err(|e| Error::invalid(format!("[model] baseline: {e}")))?;
        Ok(Some(self.baseline.get_or_init(|| made).clone()))
    }

    /// Digest of the baseline, for what depends on it.
    pub(super) fn baseline_digest(&self) -> Result<Option<String>> {
        Ok(self.baseline()?.map(|b| b.record().digest.clone()))
    }

    /// A model with the baseline.
    pub(super) fn with_baseline(&self, model: Calculator) -> Result<Sum> {
        let baseline = self.baseline()?;
        let baseline = baseline.map(|b| Box::new(b) as Box<dyn Potential>);
        Ok(Sum::new(model, baseline))
    }

    /// The potential of a model's file, baseline included.
    pub(super) fn potential(&self, model: &Path) -> Result<Box<dyn Potential>> {
        let calculator = Calculator::new(Arc::new(Model::load(model)?), BackendKind::Cpu)?;
        Ok(Box::new(self.with_baseline(calculator)?))
    }

    /// What the model learns of labelled frames of a round.
    pub(super) fn learnt(&self, mut frames: Vec<Frame>) -> Result<Vec<Frame>> {
        if self.config.model.baseline.is_some() {
            Baseline::new("keys", &self.stop)?.subtract(&mut frames)?;
        }
        Ok(frames)
    }

    /// Writes beside labels what the baseline gives for them.
    pub(super) fn note_baseline(&self, frames: &mut [Frame]) -> Result<()> {
        match self.baseline()? {
            Some(mut baseline) => baseline.note(frames),
            None => Ok(()),
        }
    }
}
