//! The report: one self-contained HTML file with its plots as SVG inside.
//!
//! Takes plain data and gives text; reads no file and knows nothing of how campaigns run.

mod composition;
mod gallery;
pub(in crate::campaign) mod page;
pub(in crate::campaign) mod plots;
mod progress;
pub(in crate::campaign) mod tables;
#[cfg(test)]
pub(in crate::campaign) mod tests;
mod ways;

pub use composition::csv;
pub use gallery::Picture;
pub use progress::LedgerRow;

use super::store::{RoundRecord, SelectedRecord};
use super::validate::ValidationRecord;

/// Everything that a report shows.
#[derive(Clone, Debug)]
pub struct ReportData {
    /// Title of the campaign.
    pub title: String,
    /// Why it ended, or none while it runs.
    pub reason: Option<String>,
    /// Whether its goal was reached.
    pub converged: bool,
    /// Name and value of what was used: program versions, method, model, hashes.
    pub facts: Vec<(String, String)>,
    /// Thresholds of the grade: save, break.
    pub thresholds: [f64; 2],
    /// Scenarios with what guides their search.
    pub ways: Vec<(String, String)>,
    /// The rounds so far.
    pub rounds: Vec<RoundRecord>,
    /// Seconds by round for label, train, explore and select.
    pub seconds: Vec<[f64; 4]>,
    /// Seconds of all finished steps, those after the last round included.
    pub total_seconds: f64,
    /// Predicted against reference values.
    pub parity: Vec<Parity>,
    /// Comparison with the reference method.
    pub validation: Option<ValidationRecord>,
    /// The files that the numbers come from, relative to the report, with what they hold.
    pub sources: Vec<(String, String)>,
    /// Labels and their cost by round.
    pub ledger: Vec<LedgerRow>,
    /// Name of the currency of the ledger.
    pub currency: String,
    /// Target of the force error, eV/Å.
    pub target_force: Option<f64>,
    /// Some of the structures that were chosen.
    pub gallery: Vec<Picture>,
}

impl ReportData {
    /// The labels and the model that parity plots compare.
    fn parity_files(&self) -> Vec<String> {
        let mut files = self.files("labelled.xyz");
        let model = |s: &&(String, String)| s.0.ends_with("nep.txt");
        files.extend(self.sources.iter().find(model).map(|s| s.0.clone()));
        files
    }

    /// This file of all rounds that have it.
    fn files(&self, name: &str) -> Vec<String> {
        let has = |file: &String| self.sources.iter().any(|s| s.0 == *file);
        self.rounds
            .iter()
            .map(|r| format!("round-{:02}/{name}", r.round))
            .filter(has)
            .collect()
    }
}

/// Reference and predicted values of one quantity on one set.
#[derive(Clone, Debug)]
pub struct Parity {
    /// `training set` or `test set`.
    pub set: &'static str,
    /// `energy` or `force`.
    pub quantity: &'static str,
    /// Unit of both values.
    pub unit: &'static str,
    /// Reference and prediction.
    pub points: Vec<(f64, f64)>,
    /// Root mean square deviation.
    pub rmse: f64,
}

/// The report as one HTML page.
pub fn render(data: &ReportData) -> String {
    page::render(data)
}

/// All structures that were chosen, with the round that they were labelled for.
fn selected(data: &ReportData) -> impl Iterator<Item = (usize, &SelectedRecord)> {
    data.rounds.iter().flat_map(|round| {
        round
            .selection
            .iter()
            .flat_map(|s| &s.selected)
            .map(move |chosen| (round.round + 1, chosen))
    })
}
