//! What a campaign tells while it runs. The library never prints; the caller decides how to show.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Something worth telling.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A step begins, or was found finished.
    Step {
        /// Round of the campaign.
        round: usize,
        /// Name of the step.
        step: String,
        /// Whether it was already done.
        cached: bool,
    },
    /// Progress inside a step.
    Progress {
        /// What is counted.
        what: String,
        /// How much is done.
        done: u64,
        /// How much there is.
        total: u64,
        /// A short text beside the bar.
        detail: String,
    },
    /// A line of results.
    Info(String),
    /// Something that the user should know.
    Warning(String),
}

/// Listens to a campaign, and may ask it to stop.
pub trait Observer {
    /// Called for each event, from one thread at a time.
    fn event(&mut self, event: Event);

    /// A flag that ends the campaign at the next safe point once it is true.
    fn stop_flag(&self) -> Arc<AtomicBool>;

    /// Whether the flag is up.
    fn stop_requested(&self) -> bool {
        self.stop_flag().load(Ordering::Relaxed)
    }
}

/// An observer that hears nothing and never asks to stop.
#[derive(Clone, Debug, Default)]
pub struct Silent {
    stop: Arc<AtomicBool>,
}

impl Observer for Silent {
    fn event(&mut self, _event: Event) {}

    fn stop_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stop)
    }
}
