//! The page around plots and tables.

use super::{ReportData, composition, gallery, plots, progress, tables, ways};
use maud::{DOCTYPE, Markup, PreEscaped, html};

/// The looks of a page.
pub const STYLE: &str = include_str!("style.css");

/// A page of its own.
pub fn page(title: &str, content: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body { main { h1 { (title) } (content) } }
        }
    };
    page.into_string()
}

/// A section, or nothing without content.
pub fn section(title: &str, intro: &str, content: &Markup) -> Markup {
    html! {
        @if !content.0.is_empty() {
            section {
                h2 { (title) }
                @if !intro.is_empty() { p { (intro) } }
                (content)
            }
        }
    }
}

/// Figures side by side, or nothing without any.
pub fn figures(content: &Markup) -> Markup {
    html! { @if !content.0.is_empty() { div.figures { (content) } } }
}

/// Numbers with their names, in large letters.
pub fn summary(cells: &[(String, &str)]) -> Markup {
    html! {
        div.summary {
            @for (value, name) in cells { div { b { (value) } span { (name) } } }
        }
    }
}

/// The whole page.
pub fn render(data: &ReportData) -> String {
    let class = if data.converged { "good" } else { "open" };
    // Whether one runs now, the files do not tell.
    let reason = data
        .reason
        .as_deref()
        .unwrap_or("Not finished: the campaign goes on where it is when it is run.");
    let curve = match data.reason {
        Some(_) => "Learning curve",
        None => "Learning curve and forecast",
    };
    let content = html! {
        p class={ "verdict " (class) } { (reason) }
        (summary(&first_numbers(data)))
        (section("Errors by round", "", &figures(&html! { (plots::errors(data)) (plots::labels(data)) })))
        (section(curve, "", &figures(&progress::learning(data))))
        (section(
            "When it ends",
            "The rules are judged after every round; the campaign ends when its goals hold, or a budget is spent.",
            &progress::rules(data),
        ))
        (section(
            "Rounds",
            "Root mean square errors; each row is one round of label, train, explore and select.",
            &tables::rounds(data),
        ))
        (section(
            "Known ground",
            "An atom with a grade Γ up to 1 lies inside what the model was trained on. Γ² is γ², how far it lies along what the training data span, plus ρ², what lies outside that.",
            &figures(&html! { (progress::histograms(data)) (progress::coverage(data)) (plots::grades(data)) }),
        ))
        (section("What is known, over compositions", "", &composition::render(data)))
        (section(
            "How it explored",
            "Each scenario with its way, over all rounds: what its runs kept, and how many of the labels that were asked for are its.",
            &html! { (ways::labels(data)) (figures(&ways::numbers(data))) },
        ))
        (section(
            "The model against the reference method",
            "",
            &html! { (figures(&plots::validation(data))) (tables::validation(data)) },
        ))
        (section(
            "Metastable states",
            "A minimum that the model has and the reference method leaves is hallucinated; one of the reference method that the model leaves is missing.",
            &ways::minima(data),
        ))
        (section("Parity", "", &figures(&plots::parity(data))))
        (section(
            "Pictures of what was labelled",
            "Strong discs with a rim are atoms that stand where exploration found them; pale ones are the boundary of a fragment, which was moved until the model knows it. The ring marks the atom that the fragment was cut around.",
            &gallery::render(&data.gallery),
        ))
        (section("What was labelled, and why", "", &tables::chosen(data)))
        (section("What was left out, and why", "", &tables::refused(data)))
        (section("What it cost", "", &progress::ledger(data)))
        (section("Training", "", &figures(&plots::loss(data))))
        (section("Settings", "", &tables::facts(data)))
        (section("Where the numbers come from", "", &tables::sources(data)))
    };
    page(&data.title, &content)
}

/// The handful of numbers that a reader wants first.
fn first_numbers(data: &ReportData) -> Vec<(String, &'static str)> {
    let labels: usize = data.rounds.iter().map(|r| r.labels.requested).sum();
    let runs = data.rounds.iter().flat_map(|r| &r.explore);
    let steps: usize = runs.map(|e| e.steps).sum();
    let cost: f64 = data.ledger.iter().map(|r| r.core_hours).sum();
    let mut cells = vec![
        (data.rounds.len().to_string(), "rounds"),
        (labels.to_string(), "labels, test set included"),
        (steps.to_string(), "steps explored"),
        (
            format!("{:.1} min", data.total_seconds / 60.0),
            "wall-clock time",
        ),
        (format!("{cost:.3}"), "core hours of labels"),
    ];
    // Those of the newest model, which after the final training is not that of the last round.
    for test in data.parity.iter().filter(|p| p.set == "test set") {
        let (digits, name) = match test.quantity {
            "energy" => (2, "energy error, test set"),
            _ => (1, "force error, test set"),
        };
        cells.push((format!("{:.digits$} m{}", 1e3 * test.rmse, test.unit), name));
    }
    cells
}
