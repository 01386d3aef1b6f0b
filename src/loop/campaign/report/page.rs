//! The page around plots and tables.

use super::{ReportData, escape, gallery, plots, progress, tables};
use std::fmt::Write;

/// The looks of a page.
pub const STYLE: &str = include_str!("style.css");

/// The whole page.
pub fn render(data: &ReportData) -> String {
    let mut html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{0}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{0}</h1>\n",
        escape(&data.title)
    );
    let class = if data.converged { "good" } else { "open" };
    let reason = data
        .reason
        .as_deref()
        .unwrap_or("The campaign is still running.");
    let _ = writeln!(html, "<p class=\"verdict {class}\">{}</p>", escape(reason));
    html.push_str(&summary(data));
    let mut section = |title: &str, intro: &str, content: String| {
        if content.is_empty() {
            return;
        }
        let _ = writeln!(html, "<section>\n<h2>{}</h2>", escape(title));
        if !intro.is_empty() {
            let _ = writeln!(html, "<p>{}</p>", escape(intro));
        }
        html.push_str(&content);
        html.push_str("</section>\n");
    };
    section(
        "Errors by round",
        "",
        format!(
            "<div class=\"figures\">{}{}</div>",
            plots::errors(data),
            plots::labels(data)
        ),
    );
    section(
        "Learning curve and forecast",
        "",
        wrap(progress::learning(data)),
    );
    section(
        "When it ends",
        "The rules are judged after every round; the campaign ends when its goals hold, or a budget is spent.",
        progress::rules(data),
    );
    section(
        "Rounds",
        "Root mean square errors; each row is one round of label, train, explore and select.",
        tables::rounds(data),
    );
    section(
        "Known ground",
        "An atom with a grade Γ up to 1 lies inside what the model was trained on. Γ is the larger of γ, the extrapolation inside the space that the training data span, and ρ/κ, what lies outside that space.",
        wrap(progress::histograms(data) + &progress::coverage(data) + &plots::grades(data)),
    );
    section(
        "The model against the reference method",
        "",
        wrap(plots::validation(data)) + &tables::validation(data),
    );
    section("Parity", "", wrap(plots::parity(data)));
    section(
        "Pictures of what was labelled",
        "Strong discs with a rim are atoms that stand where exploration found them; pale ones are the boundary of a fragment, which was moved until the model knows it. The ring marks the atom that the fragment was cut around.",
        gallery::render(&data.gallery),
    );
    section("What was labelled, and why", "", tables::chosen(data));
    section("What was left out, and why", "", tables::refused(data));
    section("What it cost", "", progress::ledger(data));
    section("Training", "", wrap(plots::loss(data)));
    section("Settings", "", tables::facts(data));
    section("Where the numbers come from", "", tables::sources(data));
    html.push_str("</main>\n</body>\n</html>\n");
    html
}

fn wrap(figures: String) -> String {
    if figures.is_empty() {
        figures
    } else {
        format!("<div class=\"figures\">{figures}</div>")
    }
}

/// The handful of numbers that a reader wants first.
fn summary(data: &ReportData) -> String {
    let labels: usize = data.rounds.iter().map(|r| r.labels.requested).sum();
    let steps: usize = data
        .rounds
        .iter()
        .flat_map(|r| &r.explore)
        .map(|e| e.steps)
        .sum();
    let mut cells = vec![
        (data.rounds.len().to_string(), "rounds"),
        (labels.to_string(), "labels, test set included"),
        (steps.to_string(), "steps explored"),
        (
            format!("{:.1} min", data.total_seconds / 60.0),
            "wall-clock time",
        ),
    ];
    let cost: f64 = data.ledger.iter().map(|r| r.core_hours).sum();
    cells.push((format!("{cost:.3}"), "core hours of labels"));
    // Those of the newest model, which after the final training is not that of the last round.
    for test in data.parity.iter().filter(|p| p.set == "test set") {
        let (digits, name) = match test.quantity {
            "energy" => (2, "energy error, test set"),
            _ => (1, "force error, test set"),
        };
        cells.push((format!("{:.digits$} m{}", 1e3 * test.rmse, test.unit), name));
    }
    let mut html = String::from("<div class=\"summary\">\n");
    for (value, name) in cells {
        let _ = writeln!(html, "<div><b>{value}</b><span>{name}</span></div>");
    }
    html.push_str("</div>\n");
    html
}
