//! The report: one self-contained HTML file with its plots as SVG inside.
//!
//! Takes plain data and gives text; reads no file and knows nothing of how campaigns run.

mod composition;
mod crystals;
mod errors;
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
use crate::plot::{Plot, csv as table_of, draw_alone, draw_pdf};
use maud::{Markup, html};
use std::cell::RefCell;
use std::ops::Deref;

/// Folder of the figures, beside the report.
pub const FIGURES: &str = "figures";

/// Everything that a report shows.
#[derive(Clone, Debug)]
pub struct ReportData {
    /// Title of the campaign.
    pub title: String,
    /// When the report was written.
    pub written: String,
    /// Round and step in hand, if a driver is at work.
    pub running: Option<String>,
    /// Why it ended, if it did.
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
    /// What the fixed test set is.
    pub test: Option<TestSet>,
    /// Errors by element and by scenario.
    pub breakdown: Vec<Breakdown>,
    /// Errors and grades of the atoms of new labels.
    pub atoms: Vec<AtomError>,
    /// Temperature (K) and volume by atom (Å³) of labelled whole cells.
    pub labelled_ground: Vec<(f64, f64)>,
    /// A paragraph for a paper, and the works that its numbers stand for.
    pub methods: (String, Vec<String>),
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
    /// `energy`, `force` or `virial`.
    pub quantity: &'static str,
    /// Unit of both values.
    pub unit: &'static str,
    /// Reference and prediction.
    pub points: Vec<(f64, f64)>,
    /// Root mean square deviation.
    pub rmse: f64,
}

/// What the fixed test set is.
#[derive(Clone, Debug)]
pub struct TestSet {
    /// Number of frames.
    pub frames: usize,
    /// What they were made of, in words.
    pub made_of: String,
    /// Root mean square of its force components, eV/Å.
    pub force_rms: Option<f64>,
    /// The same of the labels that exploration asked for.
    pub explored_rms: Option<f64>,
}

/// Sums over the forces of some atoms.
#[derive(Clone, Copy, Debug, Default)]
pub struct Missed {
    /// Number of atoms.
    pub atoms: usize,
    /// Squares of the errors, (eV/Å)².
    pub square: f64,
    /// Squares of the reference forces, (eV/Å)².
    pub reference: f64,
}

impl Missed {
    fn root(&self, sum: f64) -> Option<f64> {
        (self.atoms > 0).then(|| (sum / (3 * self.atoms) as f64).sqrt())
    }

    /// Root mean square error by component, eV/Å.
    pub fn rmse(&self) -> Option<f64> {
        self.root(self.square)
    }

    /// Root mean square of the reference components, eV/Å.
    pub fn rms(&self) -> Option<f64> {
        self.root(self.reference)
    }
}

/// Errors of what belongs to an element or a scenario.
#[derive(Clone, Debug)]
pub struct Breakdown {
    /// `element` or `scenario`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// The training set by the newest model.
    pub training: Missed,
    /// New labels by the models that asked for them.
    pub new: Missed,
}

/// What was known of an atom before its label, and by how much its force was missed.
#[derive(Clone, Copy, Debug)]
pub struct AtomError {
    /// γ.
    pub gamma: f64,
    /// ρ.
    pub rho: f64,
    /// Γ.
    pub grade: f64,
    /// σ of its force and the bound of 95 %, eV/Å, where there is a posterior.
    pub sigma: Option<[f64; 2]>,
    /// Length of the error, eV/Å.
    pub error: f64,
}

/// A report as it is written.
pub struct Page {
    /// The page.
    pub html: String,
    /// Its figures by their names.
    pub figures: Vec<(String, Plot)>,
}

impl Page {
    /// Names and contents of the files in [`FIGURES`]: each figure and its numbers.
    pub fn files(&self) -> impl Iterator<Item = (String, Vec<u8>)> + '_ {
        self.figures.iter().flat_map(|(name, plot)| {
            [
                (draw_alone(plot).map(String::into_bytes), "svg"),
                (draw_pdf(plot), "pdf"),
                (Some(table_of(plot).into_bytes()), "csv"),
            ]
            .into_iter()
            .filter_map(move |(bytes, kind)| Some((format!("{name}.{kind}"), bytes?)))
        })
    }
}

/// The report as one HTML page, with its figures.
pub fn render(data: &ReportData) -> Page {
    let sheet = Sheet {
        data,
        figures: RefCell::default(),
    };
    let html = page::render(&sheet);
    Page {
        html,
        figures: sheet.figures.into_inner(),
    }
}

/// The data with the figures that were drawn of them so far.
pub(in crate::campaign) struct Sheet<'a> {
    data: &'a ReportData,
    figures: RefCell<Vec<(String, Plot)>>,
}

impl Deref for Sheet<'_> {
    type Target = ReportData;

    fn deref(&self) -> &ReportData {
        self.data
    }
}

impl Sheet<'_> {
    /// A figure with its files, or nothing if there is nothing to draw.
    fn figure(&self, name: &str, plot: &Plot, caption: &str, sources: &[String]) -> Markup {
        let links = html! {
            br;
            a href={ (FIGURES) "/" (name) ".svg" } { "SVG" } ", "
            a href={ (FIGURES) "/" (name) ".pdf" } { "PDF" } ", "
            a href={ (FIGURES) "/" (name) ".csv" } { "numbers (CSV)" }
        };
        let drawn = plots::figure_with(plot, caption, sources, &links);
        if !drawn.0.is_empty() {
            self.figures
                .borrow_mut()
                .push((name.to_owned(), plot.clone()));
        }
        drawn
    }
}

/// Letters and digits of a name, for a file.
fn slug(name: &str) -> String {
    let keep = |c: char| if c.is_alphanumeric() { c } else { '-' };
    name.chars().map(keep).collect()
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
