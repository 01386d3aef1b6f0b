//! The tables of a report.

use super::{ReportData, selected};
use crate::campaign::validate::Property;
use maud::{Markup, Render, html};
use nepal_train::Errors;

/// A table from a head, in which units are kept together, and rows; nothing without rows.
pub fn table(class: &str, head: &[&str], rows: &Markup) -> Markup {
    html! {
        @if !rows.0.is_empty() {
            div.scroll {
                table class=(class) {
                    thead { tr { @for cell in head { th { (cell.replace("/Å", "/\u{2060}Å")) } } } }
                    tbody { (rows) }
                }
            }
        }
    }
}

/// Rows of plain cells.
pub fn plain(rows: &[Vec<String>]) -> Markup {
    html! { @for row in rows { tr { @for cell in row { td { (cell) } } } } }
}

/// A cell with the file that it comes from, relative to the report.
pub fn from(text: impl Render, file: &str) -> Markup {
    html! { td { a href=(file) { (text) } } }
}

/// A root mean square error in thousandths; a dash without errors.
fn milli(errors: Option<&Errors>, value: impl Fn(&Errors) -> Option<f64>, digits: usize) -> String {
    let value = errors.map(|e| 1e3 * value(e).unwrap_or(f64::NAN));
    value.map_or_else(|| "–".into(), |x| format!("{x:.digits$}"))
}

/// What happened in each round.
pub fn rounds(data: &ReportData) -> Markup {
    let energy = |errors: Option<&Errors>| milli(errors, |e| e.energy_rmse, 2);
    let force = |errors: Option<&Errors>| milli(errors, |e| e.force_rmse, 1);
    let trainings = || data.rounds.iter().filter_map(|r| r.training.as_ref());
    let tested = trainings().any(|t| t.test.is_some());
    let left_out = trainings().any(|t| t.unseen_grade.is_some());
    let rows = html! {
        @for r in &data.rounds {
            @let file = |name: &str| format!("round-{:02}/{name}", r.round);
            @let (labels, training) = (file("labels.json"), file("training.json"));
            @let (explore, selection) = (file("explore.json"), file("selection.json"));
            @let train = r.training.as_ref().map(|t| &t.train);
            @let test = r.training.as_ref().and_then(|t| t.test.as_ref());
            @let canary = r.training.as_ref().and_then(|t| t.canary.as_ref());
            @let unseen = r.training.as_ref().and_then(|t| t.unseen_grade);
            @let steps = r.explore.iter().map(|e| e.steps).sum::<usize>();
            @let planned = r.explore.iter().map(|e| e.planned).sum::<usize>();
            @let worst = r.explore.iter().map(|e| e.max_grade).fold(0.0, f64::max);
            @let chosen = r.selection.as_ref();
            @let count = |n: Option<usize>| n.map_or("–".into(), |n| n.to_string());
            @let seconds = data.seconds.get(r.round).copied().unwrap_or_default();
            tr {
                td { (r.round) }
                (from(r.labels.accepted, &labels))
                (from(r.labels.rejected.values().sum::<usize>(), &labels))
                (from(energy(train), &training))
                (from(force(train), &training))
                @if tested {
                    (from(energy(test), &training))
                    (from(force(test), &training))
                }
                (from(force(canary), &training))
                @if left_out { (from(unseen.map_or("–".into(), |g| format!("{g:.2}")), &training)) }
                (from(format_args!("{steps} / {planned}"), &explore))
                (from(format_args!("{worst:.2}"), &explore))
                (from(count(chosen.map(|s| s.candidates)), &selection))
                (from(count(chosen.map(|s| s.selected.len())), &selection))
                (from(format_args!("{:.0}", seconds.iter().sum::<f64>()), "journal.jsonl"))
            }
        }
    };
    let mut head = vec![
        "round",
        "labels",
        "rejected",
        "train meV/atom",
        "train meV/Å",
    ];
    if tested {
        head.extend(["test meV/atom", "test meV/Å"]);
    }
    head.push("new labels meV/Å");
    head.extend(left_out.then_some("Γ of 99.9 % left out"));
    head.extend(["steps explored / planned", "largest Γ", "kept", "chosen"]);
    head.push("time (s)");
    table("numbers", &head, &rows)
}

/// What was chosen for labelling, and why.
pub fn chosen(data: &ReportData) -> Markup {
    let rows = html! {
        @for (round, s) in selected(data) {
            tr {
                (from(round, &format!("round-{:02}/selection.json", round - 1)))
                td { (s.scenario) }
                td { (s.step) }
                td { (format_args!("{:.0}", s.temperature)) }
                td { (format_args!("{:.2}", s.grade)) }
                td { (format_args!("{:.3}", s.score)) }
                td { (s.atom) }
                td { (s.atoms) }
                td { (s.form) }
            }
        }
    };
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
pub fn refused(data: &ReportData) -> Markup {
    let rows = html! {
        @for round in &data.rounds {
            @let refused = round.selection.iter().flat_map(|s| &s.refused);
            @let refused = refused.map(|of| ("selection.json", "candidate", of));
            @let rejected = round.labels.rejected.iter().map(|of| ("labels.json", "label", of));
            @for (file, what, (why, count)) in refused.chain(rejected) {
                tr {
                    (from(round.round, &format!("round-{:02}/{file}", round.round)))
                    td { (what) }
                    td { (count) }
                    td { (why) }
                }
            }
        }
    };
    table("mixed", &["round", "what", "count", "reason"], &rows)
}

/// Errors on held-out frames by scenario.
pub fn held_out(data: &ReportData) -> Markup {
    let held = data.validation.as_ref().and_then(|v| v.held_out.as_ref());
    let Some(held) = held else {
        return Markup::default();
    };
    let rows = html! {
        @for (name, of) in held.scenarios.iter().map(|(n, of)| (n.as_str(), of)).chain([("all", &held.all)]) {
            @let run = held.runs.iter().find(|r| r.scenario == name);
            @let span = |of: [f64; 2]| match of[0] == of[1] {
                true => of[0].to_string(),
                false => format!("{} to {}", of[0], of[1]),
            };
            @let force = of.errors.force_rmse.unwrap_or(f64::NAN);
            tr {
                td { (name) }
                td { (run.map_or("–".into(), |r| span(r.temperature))) }
                td { (run.map_or("–".into(), |r| span(r.pressure))) }
                td { (of.frames) }
                td { (of.fragments) }
                td { (milli(Some(&of.errors).filter(|e| e.n_energies > 0), |e| e.energy_rmse, 2)) }
                td { (milli(Some(&of.errors), |e| e.force_rmse, 1)) }
                td { (format_args!("{:.1}", 100.0 * force / of.force_rms)) }
            }
        }
    };
    table(
        "numbers",
        &[
            "scenario",
            "T (K)",
            "P (GPa)",
            "held-out frames",
            "fragments",
            "energy RMSE (meV/atom)",
            "force RMSE (meV/Å)",
            "of the rms force (%)",
        ],
        &rows,
    )
}

/// Rows of properties.
pub fn properties(head: &str, list: &[Property]) -> Markup {
    let rows = html! {
        @for p in list {
            tr {
                td { (p.name) }
                td { (p.unit) }
                td { (format_args!("{:.4}", p.reference)) }
                td { (format_args!("{:.4}", p.model)) }
                td { (format_args!("{:+.2} %", 100.0 * (p.model / p.reference - 1.0))) }
            }
        }
    };
    table(
        "mixed",
        &[head, "unit", "reference", "model", "deviation"],
        &rows,
    )
}

/// The model against the reference method.
pub fn validation(data: &ReportData) -> Markup {
    let Some(record) = &data.validation else {
        return Markup::default();
    };
    let fresh = html! {
        @for f in &record.fresh {
            @let force = f.errors.force_rmse.unwrap_or(f64::NAN);
            tr {
                td { (format_args!("{:.0}", f.temperature)) }
                td { (f.frames) }
                td { (milli(Some(&f.errors), |e| e.energy_rmse, 2)) }
                td { (milli(Some(&f.errors), |e| e.force_rmse, 1)) }
                td { (format_args!("{:.1}", 100.0 * force / f.force_rms)) }
            }
        }
    };
    html! {
        (properties("property", &record.properties))
        (table(
            "numbers",
            &[
                "T (K)",
                "fresh frames",
                "energy RMSE (meV/atom)",
                "force RMSE (meV/Å)",
                "of the rms force (%)",
            ],
            &fresh,
        ))
        p.from { "From " a href="final/validation.json" { "final/validation.json" } }
    }
}

/// Names and values.
pub fn facts(data: &ReportData) -> Markup {
    html! {
        @if !data.facts.is_empty() {
            dl { @for (name, value) in &data.facts { dt { (name) } dd { (value) } } }
        }
    }
}

/// Where each number comes from.
pub fn sources(data: &ReportData) -> Markup {
    html! {
        @if !data.sources.is_empty() {
            details {
                summary { (data.sources.len()) " files" }
                ul {
                    @for (path, what) in &data.sources {
                        li { a href=(path) { code { (path) } } ": " (what) }
                    }
                }
            }
        }
    }
}
