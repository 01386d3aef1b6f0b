//! The tables of a report.

use super::{ReportData, escape, selected};
use nepal_train::Errors;
use std::fmt::Write;

/// A cell: a text, perhaps a link to the file that it comes from.
#[derive(Clone, Debug)]
pub struct Cell {
    text: String,
    file: Option<String>,
}

impl Cell {
    /// A text with the file that it comes from, relative to the report.
    pub fn link(text: &str, file: &str) -> Self {
        Self {
            text: text.into(),
            file: Some(file.into()),
        }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self { text, file: None }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

/// A table from a head and rows of cells; all but the first column are right-aligned numbers.
pub fn table<C: Clone + Into<Cell>>(class: &str, head: &[&str], rows: &[Vec<C>]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut html = format!("<div class=\"scroll\"><table class=\"{class}\"><thead><tr>");
    for cell in head {
        let _ = write!(html, "<th>{}</th>", escape(cell));
    }
    html.push_str("</tr></thead><tbody>\n");
    for row in rows {
        html.push_str("<tr>");
        for cell in row {
            let cell: Cell = cell.clone().into();
            let text = escape(&cell.text);
            let _ = match cell.file {
                Some(file) => write!(html, "<td><a href=\"{}\">{text}</a></td>", escape(&file)),
                None => write!(html, "<td>{text}</td>"),
            };
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</tbody></table></div>\n");
    html
}

fn milli(errors: Option<&Errors>, value: impl Fn(&Errors) -> f64, digits: usize) -> String {
    errors.map_or_else(|| "–".into(), |e| format!("{:.digits$}", 1e3 * value(e)))
}

/// What happened in each round.
pub fn rounds(data: &ReportData) -> String {
    let rows: Vec<Vec<Cell>> = data
        .rounds
        .iter()
        .map(|r| {
            let train = r.training.as_ref().map(|t| &t.train);
            let test = r.training.as_ref().and_then(|t| t.test.as_ref());
            let canary = r.training.as_ref().and_then(|t| t.canary.as_ref());
            let worst = r.explore.iter().map(|e| e.max_grade).fold(0.0, f64::max);
            let steps: usize = r.explore.iter().map(|e| e.steps).sum();
            let planned: usize = r.explore.iter().map(|e| e.planned).sum();
            let chosen = r.selection.as_ref();
            let seconds = data.seconds.get(r.round).copied().unwrap_or_default();
            let folder = format!("round-{:02}", r.round);
            let from = |text: String, file: &str| Cell::link(&text, &format!("{folder}/{file}"));
            let (labels, training) = ("labels.json", "training.json");
            let (explore, selection) = ("explore.json", "selection.json");
            vec![
                Cell::from(r.round.to_string()),
                from(r.labels.accepted.to_string(), labels),
                from(
                    r.labels.rejected.values().sum::<usize>().to_string(),
                    labels,
                ),
                from(
                    milli(train, |e| e.energy_rmse.unwrap_or(f64::NAN), 2),
                    training,
                ),
                from(
                    milli(train, |e| e.force_rmse.unwrap_or(f64::NAN), 1),
                    training,
                ),
                from(
                    milli(test, |e| e.energy_rmse.unwrap_or(f64::NAN), 2),
                    training,
                ),
                from(
                    milli(test, |e| e.force_rmse.unwrap_or(f64::NAN), 1),
                    training,
                ),
                from(
                    milli(canary, |e| e.force_rmse.unwrap_or(f64::NAN), 1),
                    training,
                ),
                from(format!("{steps} / {planned}"), explore),
                from(format!("{worst:.2}"), explore),
                from(
                    chosen.map_or("–".into(), |s| s.candidates.to_string()),
                    selection,
                ),
                from(
                    chosen.map_or("–".into(), |s| s.selected.len().to_string()),
                    selection,
                ),
                Cell::link(
                    &format!("{:.0}", seconds.iter().sum::<f64>()),
                    "journal.jsonl",
                ),
            ]
        })
        .collect();
    table(
        "numbers",
        &[
            "round",
            "labels",
            "rejected",
            "train meV/atom",
            "train meV/Å",
            "test meV/atom",
            "test meV/Å",
            "new labels meV/Å",
            "steps explored / planned",
            "largest Γ",
            "kept",
            "chosen",
            "time (s)",
        ],
        &rows,
    )
}

/// What was chosen for labelling, and why.
pub fn chosen(data: &ReportData) -> String {
    let rows: Vec<Vec<Cell>> = selected(data)
        .map(|(round, s)| {
            let file = format!("round-{:02}/selection.json", round - 1);
            vec![
                Cell::link(&round.to_string(), &file),
                s.scenario.as_str().into(),
                s.step.to_string().into(),
                format!("{:.0}", s.temperature).into(),
                format!("{:.2}", s.grade).into(),
                format!("{:.3}", s.score).into(),
                s.atom.to_string().into(),
                s.atoms.to_string().into(),
                s.form.as_str().into(),
            ]
        })
        .collect();
    table(
        "mixed",
        &[
            "for round",
            "run",
            "step",
            "T (K)",
            "Γ when chosen",
            "score",
            "target atom",
            "atoms labelled",
            "form",
        ],
        &rows,
    )
}

/// What was not chosen or not labelled, and why.
pub fn refused(data: &ReportData) -> String {
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    for round in &data.rounds {
        let number = round.round.to_string();
        let from = |file: &str| Cell::link(&number, &format!("round-{:02}/{file}", round.round));
        if let Some(selection) = &round.selection {
            for (why, count) in &selection.refused {
                rows.push(vec![
                    from("selection.json"),
                    "candidate".into(),
                    count.to_string().into(),
                    why.as_str().into(),
                ]);
            }
        }
        for (why, count) in &round.labels.rejected {
            rows.push(vec![
                from("labels.json"),
                "label".into(),
                count.to_string().into(),
                why.as_str().into(),
            ]);
        }
    }
    table("mixed", &["round", "what", "count", "reason"], &rows)
}

/// The model against the reference method.
pub fn validation(data: &ReportData) -> String {
    let Some(record) = &data.validation else {
        return String::new();
    };
    let rows: Vec<Vec<String>> = record
        .properties
        .iter()
        .map(|p| {
            let deviation = 100.0 * (p.model / p.reference - 1.0);
            vec![
                p.name.clone(),
                p.unit.clone(),
                format!("{:.4}", p.reference),
                format!("{:.4}", p.model),
                format!("{deviation:+.2} %"),
            ]
        })
        .collect();
    let mut html = table(
        "mixed",
        &["property", "unit", "reference", "model", "deviation"],
        &rows,
    );
    let rows: Vec<Vec<String>> = record
        .fresh
        .iter()
        .map(|f| {
            vec![
                format!("{:.0}", f.temperature),
                f.frames.to_string(),
                format!("{:.2}", 1e3 * f.errors.energy_rmse.unwrap_or(f64::NAN)),
                format!("{:.1}", 1e3 * f.errors.force_rmse.unwrap_or(f64::NAN)),
                format!(
                    "{:.1}",
                    100.0 * f.errors.force_rmse.unwrap_or(f64::NAN) / f.force_rms
                ),
            ]
        })
        .collect();
    html.push_str(&table(
        "numbers",
        &[
            "T (K)",
            "fresh frames",
            "energy RMSE (meV/atom)",
            "force RMSE (meV/Å)",
            "of the rms force (%)",
        ],
        &rows,
    ));
    html.push_str(
        "<p class=\"from\">From <a href=\"final/validation.json\">final/validation.json</a></p>\n",
    );
    html
}

/// Names and values.
pub fn facts(data: &ReportData) -> String {
    let mut html = String::from("<dl>\n");
    for (name, value) in &data.facts {
        let _ = writeln!(html, "<dt>{}</dt><dd>{}</dd>", escape(name), escape(value));
    }
    html.push_str("</dl>\n");
    html
}

/// Where each number comes from.
pub fn sources(data: &ReportData) -> String {
    let mut html = String::from("<ul>\n");
    for (path, what) in &data.sources {
        let path = escape(path);
        let _ = writeln!(
            html,
            "<li><a href=\"{path}\"><code>{path}</code></a>: {}</li>",
            escape(what)
        );
    }
    html.push_str("</ul>\n");
    html
}
