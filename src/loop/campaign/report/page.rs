//! The page around plots and tables.

use super::{
    ReportData, Sheet, composition, crystals, errors, gallery, plots, progress, tables, ways,
};
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
pub fn render(data: &Sheet<'_>) -> String {
    let class = if data.converged { "good" } else { "open" };
    let verdict = match (&data.reason, &data.running) {
        (Some(reason), _) => reason.clone(),
        (None, Some(step)) => format!("Running: {step}."),
        (None, None) => "Stopped before its end: it goes on where it is when it is run.".into(),
    };
    let curve = match data.reason {
        Some(_) => "Learning curve",
        None => "Learning curve and forecast",
    };
    let content = html! {
        p class={ "verdict " (class) } { (verdict) }
        (summary(&first_numbers(data)))
        (test_set(data))
        p.from { "Written " (data.written) " by nepal " (env!("CARGO_PKG_VERSION")) "." }
        (section("Errors by round", "", &figures(&html! { (plots::errors(data)) })))
        (section(curve, "", &figures(&html! { (progress::learning(data)) (plots::labels(data)) })))
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
            &figures(&html! {
                (progress::histograms(data)) (progress::coverage(data)) (errors::ground(data)) (errors::parts(data))
                (plots::grades(data))
            }),
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
            &html! {
                (figures(&plots::validation(data))) (tables::held_out(data)) (tables::validation(data))
                (crystals::render(data))
            },
        ))
        (section(
            "Properties of the crystal by round",
            "As the model of each round has them; how they settle needs no reference.",
            &progress::properties(data),
        ))
        (section(
            "Metastable states",
            "A minimum that the model has and the reference method leaves is hallucinated; one of the reference method that the model leaves is missing.",
            &ways::minima(data),
        ))
        (section("Parity", "", &figures(&html! { (errors::parity(data)) (errors::distribution(data)) })))
        (section(
            "Errors by element and scenario",
            "Of new labels, the error of the model that asked for them: what to expect where exploration leaves known ground.",
            &errors::breakdown(data),
        ))
        (section("Do grades tell errors?", "", &figures(&errors::against(data))))
        (section(
            "Structures that were labelled",
            "Strong balls with a rim are atoms that stand where exploration found them; pale ones are the boundary of a fragment, which was moved until the model knows it. The thick rim marks the atom that the fragment was cut around.",
            &gallery::render(&data.gallery),
        ))
        (section("What was labelled, and why", "", &folded("structures", &tables::chosen(data))))
        (section("What was left out, and why", "", &tables::refused(data)))
        (section("What it cost", "", &progress::ledger(data)))
        (section("Training", "", &figures(&plots::loss(data))))
        (section("For the methods section of a paper", "", &methods(data)))
        (section("Settings", "", &tables::facts(data)))
        (section("Where the numbers come from", "", &tables::sources(data)))
    };
    page(&data.title, &content)
}

/// A long table that is opened by those who want it.
fn folded(what: &str, table: &Markup) -> Markup {
    let rows = table.0.matches("<tr>").count().saturating_sub(1);
    html! {
        @if rows > 0 { details { summary { (rows) " " (what) } (table) } }
    }
}

/// What was done, as a paper tells it.
fn methods(data: &ReportData) -> Markup {
    let (text, works) = &data.methods;
    html! {
        @if !text.is_empty() {
            p { (text) }
            ol.works { @for work in works { li { (work) } } }
            p.from { "BibTeX: " code { "nepal-loop cite" } " with the campaign file." }
        }
    }
}

/// What the numbers of the test set are about.
fn test_set(data: &ReportData) -> Markup {
    let percent = |x: Option<f64>| x.map_or("–".into(), |x| format!("{x:.2} eV/Å"));
    let held = data.validation.as_ref().and_then(|v| v.held_out.as_ref());
    html! {
        @if let Some(held) = held {
            p.from {
                "The held-out frames are " (held.all.frames) " of the scenarios' own dynamics with the last model, each run with a seed of its own, labelled by the reference method and never trained on: their errors are those of the model's use. "
                @if held.all.fragments > 0 {
                    (held.all.fragments) " of them are fragments, of which the forces in the core count. "
                }
                @for run in held.runs.iter().filter(|r| r.ended.is_some()) {
                    "The run of " (run.scenario) " ended after " (run.steps[0]) " of " (run.steps[1]) " steps: " (run.ended.as_deref().unwrap_or_default()) ". "
                }
            }
        }
        @if let Some(test) = &data.test {
            p.from {
                "The fixed test set has " (test.frames) " frames, " (test.made_of)
                "; no scenario's dynamics made them. The rms of their forces is " (percent(test.force_rms))
                ", that of the labels from exploration " (percent(test.explored_rms))
                ". What the model is good for is told by "
                @if held.is_some() { "the held-out frames." }
                @else { "fresh frames of the reference method's own dynamics and by new labels." }
            }
        }
    }
}

/// The handful of numbers that a reader wants first.
fn first_numbers(data: &ReportData) -> Vec<(String, &'static str)> {
    let labels: usize = data.ledger.iter().map(|r| r.requested).sum();
    let runs = data.rounds.iter().flat_map(|r| &r.explore);
    let steps: usize = runs.map(|e| e.steps).sum();
    let cost: f64 = data.ledger.iter().map(|r| r.core_hours).sum();
    let mut cells = Vec::new();
    // First the scenarios' own conditions, then what was made to test with.
    if let Some(held) = data.validation.as_ref().and_then(|v| v.held_out.as_ref()) {
        let of = &held.all;
        if let Some(energy) = of.errors.energy_rmse {
            cells.push((
                format!("{:.2} meV/atom", 1e3 * energy),
                "energy error, held-out frames of the scenarios",
            ));
        }
        let force = of.errors.force_rmse.unwrap_or(f64::NAN);
        cells.push((
            format!(
                "{:.1} meV/Å ({:.1} %)",
                1e3 * force,
                100.0 * force / of.force_rms
            ),
            "force error (and of the rms force), held-out frames of the scenarios",
        ));
    }
    if let Some(record) = data.validation.as_ref().filter(|v| !v.fresh.is_empty()) {
        let share = |f: &crate::campaign::validate::Fresh| {
            let error = f.errors.force_rmse.unwrap_or(f64::NAN);
            format!(
                "{:.1} % at {} K",
                100.0 * error / f.force_rms,
                f.temperature
            )
        };
        let shares: Vec<String> = record.fresh.iter().map(share).collect();
        cells.push((
            shares.join(", "),
            "force error, of the rms force, fresh frames of the reference method's dynamics",
        ));
    }
    let canary = data
        .rounds
        .iter()
        .rev()
        .find_map(|r| r.training.as_ref()?.canary.as_ref());
    if let Some(error) = canary.and_then(|c| c.force_rmse) {
        cells.push((
            format!("{:.1} meV/Å", 1e3 * error),
            "force error, newest labels from exploration, before training on them",
        ));
    }
    // Those of the newest model, which after the final training is not that of the last round.
    for test in data.parity.iter().filter(|p| p.set == "test set") {
        let (digits, name) = match test.quantity {
            "energy" => (2, "energy error, fixed test set (below)"),
            "force" => (1, "force error, fixed test set (below)"),
            _ => continue,
        };
        cells.push((format!("{:.digits$} m{}", 1e3 * test.rmse, test.unit), name));
    }
    cells.extend([
        (data.rounds.len().to_string(), "rounds"),
        (labels.to_string(), "labels, those to test with included"),
        (steps.to_string(), "steps explored"),
        (
            format!("{:.1} min", data.total_seconds / 60.0),
            "wall-clock time",
        ),
        // Those of a cheap method are no hours.
        match cost < 0.01 {
            true => (format!("{:.1}", 3600.0 * cost), "core seconds of labels"),
            false => (format!("{cost:.2}"), "core hours of labels"),
        },
    ]);
    cells
}
