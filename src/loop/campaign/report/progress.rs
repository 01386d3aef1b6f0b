//! How the campaign comes along: learning curve and forecast, grades and coverage, rules, costs.

use super::Sheet;
use super::plots::{series, spread};
use super::tables::{from, table};
use crate::campaign::stop::{Curve, MISSING, canary_points, learning_points};
use crate::campaign::store::RoundRecord;
use crate::plot::{Mark, Plot};
use maud::{Markup, html};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Seconds of an hour.
const HOUR: f64 = 3600.0;
/// Bins of a histogram of grades, by decade of Γ.
const BINS_PER_DECADE: f64 = 8.0;

/// Labels of one round and what they cost.
#[derive(Clone, Debug, Default)]
pub struct LedgerRow {
    /// Round.
    pub round: usize,
    /// Structures handed over.
    pub requested: usize,
    /// Accepted.
    pub accepted: usize,
    /// Rejected.
    pub rejected: usize,
    /// Atoms of those accepted.
    pub atoms: usize,
    /// Wall seconds of those that were computed now.
    pub seconds: f64,
    /// Core hours.
    pub core_hours: f64,
    /// Price.
    pub money: f64,
}

/// Error against training structures, the fitted curve, and where it will be.
pub fn learning(data: &Sheet<'_>) -> Markup {
    let points = learning_points(&data.rounds);
    let Some(&(last, _)) = points.last() else {
        return Markup::default();
    };
    let milli = |points: &[(f64, f64)]| points.iter().map(|p| (p.0, 1e3 * p.1)).collect();
    let tested = data
        .rounds
        .iter()
        .any(|r| r.training.as_ref().is_some_and(|t| t.test.is_some()));
    // What exploration found is what the model is for; made test frames may be nothing of the kind.
    let mut lines = vec![series(
        "new labels, before training",
        2,
        Mark::Dots,
        milli(&canary_points(&data.rounds)),
    )];
    if tested {
        lines.push(series("fixed test set", 1, Mark::Dots, milli(&points)));
    }
    let held = data.validation.as_ref().and_then(|v| v.held_out.as_ref());
    if let Some(held) = held {
        lines.push(series("held-out frames", 3, Mark::Dots, milli(&held.curve)));
    }
    let first = points.iter().map(|p| p.0).fold(last, f64::min);
    // What is over has nothing ahead.
    let end = match data.reason {
        Some(_) => last,
        None => 2.0 * last,
    };
    let judged = data.rounds.iter().rev().find_map(|r| r.stop.as_ref());
    let mut words = String::new();
    if let Some(curve) = judged.and_then(|j| j.curve) {
        let along = (0..=60).map(|k| first + (end - first) * f64::from(k) / 60.0);
        lines.push(series(
            match data.reason {
                Some(_) => "fit",
                None => "fit and forecast",
            },
            0,
            Mark::Line,
            along.map(|n| (n, 1e3 * curve.at(n))).collect(),
        ));
        words = formula(&curve, last);
    }
    let errors = || points.iter().map(|p| p.1);
    let (least, most) = (
        errors().fold(f64::MAX, f64::min),
        errors().fold(0.0, f64::max),
    );
    match data.target_force {
        // Farther off it would leave a corner to the curve.
        Some(target) if least < 4.0 * target && target < 4.0 * most => {
            let ends = [first, end].map(|n| (n, 1e3 * target)).to_vec();
            lines.push(series("", 0, Mark::Level, ends));
            let _ = write!(words, " Dashed: the target.");
        }
        Some(target) => {
            let _ = write!(
                words,
                " The target, {:.3} meV/Å, is off the picture.",
                1e3 * target
            );
        }
        None => {}
    }
    if data.reason.is_some() {
        // What is over has nothing ahead.
    } else if judged.is_some_and(|j| j.reached().is_some()) {
        let _ = write!(words, " The goals are reached: no labels to go.");
    } else if let Some(to_go) = judged.and_then(|j| j.to_go.map(|r| (r, &j.to_go_text))) {
        let tell =
            |x: Option<f64>| x.map_or_else(|| "out of reach".to_owned(), |n| format!("{n:.0}"));
        let (range, what) = to_go;
        let _ = write!(
            words,
            " Labels to go {what}: {} (in two thirds of drawn futures {} to {}).",
            tell(range.value),
            tell(range.low),
            tell(range.high)
        );
    } else if let Some(judged) = judged {
        let _ = write!(words, " No forecast yet {}.", judged.to_go_text);
    }
    let plot = Plot {
        x: "training structures".into(),
        y: "force RMSE (meV/Å)".into(),
        log_x: true,
        log_y: true,
        size: (520, 340),
        series: lines,
    };
    let set = match tested {
        true => "the fixed test set",
        false => "new labels before training",
    };
    data.figure(
        "learning-curve",
        &plot,
        &format!(
            "Learning curve: the force error against the number of training structures. Fit and stop rule go by {set}.{}{words}",
            match held {
                Some(_) => " Held-out frames are those of the end, by the model of each round: the error where the model is used.",
                None => "",
            }
        ),
        &data.files("training.json"),
    )
}

fn formula(curve: &Curve, n: f64) -> String {
    if curve.b <= 0.0 {
        return " It does not fall with the labels yet.".into();
    }
    format!(
        " Fit: {:.3} eV/Å · N^-{:.2} + {:.1} meV/Å; twice the labels would gain {:.0} %.",
        curve.a,
        curve.b,
        1e3 * curve.c,
        100.0 * curve.gain_of_doubling(n)
    )
}

/// Share of graded steps in bins of the largest grade, by round.
pub fn histograms(data: &Sheet<'_>) -> Markup {
    let mut lines = Vec::new();
    let mut top: f64 = 0.0;
    for round in &data.rounds {
        let grades: Vec<f64> = round
            .explore
            .iter()
            .flat_map(|e| &e.trace)
            .map(|p| p[5].clamp(1e-2, 1e6))
            .collect();
        if grades.is_empty() {
            continue;
        }
        let mut bins: BTreeMap<i64, usize> = BTreeMap::new();
        for g in &grades {
            *bins
                .entry((g.log10() * BINS_PER_DECADE).floor() as i64)
                .or_default() += 1;
        }
        let (Some((&low, _)), Some((&high, _))) = (bins.first_key_value(), bins.last_key_value())
        else {
            continue;
        };
        let mut points = Vec::new();
        for bin in low - 1..=high + 1 {
            let share = bins.get(&bin).copied().unwrap_or(0) as f64 / grades.len() as f64;
            top = top.max(100.0 * share);
            for edge in [bin, bin + 1] {
                points.push((10f64.powf(edge as f64 / BINS_PER_DECADE), 100.0 * share));
            }
        }
        lines.push((round.round, points));
    }
    let mut drawn: Vec<_> = spread(lines)
        .into_iter()
        .enumerate()
        .map(|(color, (round, points))| {
            series(&format!("round {round}"), color, Mark::Line, points)
        })
        .collect();
    for level in data.thresholds {
        drawn.push(series("", 0, Mark::Level, vec![(level, 0.0), (level, top)]));
    }
    let plot = Plot {
        x: "largest grade Γ of a step".into(),
        y: "share of graded steps (%)".into(),
        log_x: true,
        size: (520, 320),
        series: drawn,
        ..Plot::default()
    };
    data.figure(
        "grade-histogram",
        &plot,
        "How far exploration went beyond known ground, by round: the largest grade of each graded step. Dashed: the thresholds for keeping and for going back.",
        &data.files("explore.json"),
    )
}

/// Share of extrapolating steps, and of exploration that was completed, by round.
pub fn coverage(data: &Sheet<'_>) -> Markup {
    let mut outside = Vec::new();
    let mut done = Vec::new();
    for round in data.rounds.iter().filter(|r| !r.explore.is_empty()) {
        let n = round.round as f64;
        let share = crate::campaign::stop::extrapolating(round, data.thresholds[0]);
        outside.push((n, 100.0 * share));
        let steps: usize = round.explore.iter().map(|e| e.steps).sum();
        let planned: usize = round.explore.iter().map(|e| e.planned).sum();
        done.push((n, 100.0 * steps as f64 / planned.max(1) as f64));
    }
    let plot = Plot {
        x: "round".into(),
        y: "share (%)".into(),
        size: (520, 320),
        series: vec![
            series("steps that extrapolate", 1, Mark::Dots, outside),
            series("planned steps done", 0, Mark::Dots, done),
        ],
        ..Plot::default()
    };
    data.figure(
        "coverage",
        &plot,
        "Coverage by round: the share of graded steps above the threshold, and how much of the planned exploration was completed.",
        &data.files("explore.json"),
    )
}

/// The stop rules after the last round.
pub fn rules(data: &Sheet<'_>) -> Markup {
    let last = data.rounds.iter().rev().find(|r| r.stop.is_some());
    let rows = html! {
        @if let Some(round) = last {
            @let file = format!("round-{:02}/stop.json", round.round);
            @for judged in round.stop.iter().flat_map(|s| &s.rules) {
                tr {
                    td { (judged.rule.to_string()) }
                    td { @if judged.goal { "goal" } @else { "reported" } }
                    td {
                        @match judged.held {
                            Some(true) => "holds",
                            Some(false) => "does not hold",
                            None => "not measured",
                        }
                    }
                    (from(&judged.text, &file))
                }
            }
        }
    };
    table(
        "mixed",
        &["rule", "use", "after the last round", "found"],
        &rows,
    )
}

/// Properties of the crystal that a stop rule watches, by the model of each round.
pub fn properties(data: &Sheet<'_>) -> Markup {
    let of = |round: &'_ RoundRecord| round.stop.as_ref().map(|s| s.measured.properties.clone());
    let all: Vec<(usize, Vec<(String, f64)>)> = (data.rounds.iter())
        .filter_map(|r| Some((r.round, of(r).filter(|p| !p.is_empty())?)))
        .collect();
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in all.iter().flat_map(|(_, found)| found) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    let heads: Vec<String> = (names.iter())
        .map(|&name| match name {
            "lattice" => "lattice (of the given)".to_owned(),
            "energy" => "energy (eV/atom)".to_owned(),
            other => format!("{other} (GPa)"),
        })
        .collect();
    let mut head = vec!["round"];
    head.extend(heads.iter().map(String::as_str));
    let rows = html! {
        @for (round, found) in &all {
            tr {
                (from(round, &format!("round-{round:02}/stop.json")))
                @for &name in &names {
                    @let value = found.iter().find(|(n, v)| n == name && *v != MISSING);
                    td { (value.map_or("–".into(), |(_, v)| format!("{v:.4}"))) }
                }
            }
        }
    };
    table("numbers", &head, &rows)
}

/// What labels have cost.
pub fn ledger(data: &Sheet<'_>) -> Markup {
    if data.ledger.is_empty() {
        return Markup::default();
    }
    let priced = data.ledger.iter().any(|r| r.money > 0.0);
    let mut head = vec![
        "round",
        "labels asked for",
        "accepted",
        "rejected",
        "atoms",
        "wall time of labels (s)",
        "core hours",
    ];
    if priced {
        head.push(match data.currency.as_str() {
            "" => "price",
            currency => currency,
        });
    }
    let mut sum = LedgerRow::default();
    for row in &data.ledger {
        sum.requested += row.requested;
        sum.accepted += row.accepted;
        sum.rejected += row.rejected;
        sum.atoms += row.atoms;
        sum.seconds += row.seconds;
        sum.core_hours += row.core_hours;
        sum.money += row.money;
    }
    let cells = |row: &LedgerRow, name: Markup| {
        html! {
            tr {
                (name)
                td { (row.requested) }
                td { (row.accepted) }
                td { (row.rejected) }
                td { (row.atoms) }
                td { (format_args!("{:.1}", row.seconds)) }
                td { (format_args!("{:.4}", row.core_hours)) }
                @if priced { td { (format_args!("{:.2}", row.money)) } }
            }
        }
    };
    let rows = html! {
        @for row in &data.ledger {
            @if row.round < data.rounds.len() {
                (cells(row, from(row.round, &format!("round-{:02}/labels.json", row.round))))
            } @else {
                (cells(row, from("end", "final/labels.json")))
            }
        }
        (cells(&sum, html! { td { "all" } }))
    };
    let hours = data.total_seconds / HOUR;
    html! {
        (table("numbers", &head, &rows))
        p {
            (format_args!(
                "All finished steps together took {hours:.3} hours of wall-clock time; labels from the cache or from files cost nothing."
            ))
        }
    }
}
