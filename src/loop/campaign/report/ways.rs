//! How the campaign explored: where labels came from by scenario and way, and the ways' own numbers.

use super::plots::{series, spread};
use super::tables::{from, table};
use super::{Sheet, selected, slug};
use crate::campaign::minima::Minimum;
use crate::plot::{Mark, Plot};
use maud::{Markup, html};
use std::collections::BTreeSet;

/// Points of a line beyond this number hide each other.
const MAX_POINTS: usize = 600;

/// Whether a run, which may have the number of its walker behind its name, is one of a scenario.
fn is_of(run: &str, scenario: &str) -> bool {
    let walker = run.strip_prefix(scenario);
    walker.is_some_and(|w| {
        w.is_empty()
            || w.strip_prefix('.')
                .is_some_and(|n| n.parse::<usize>().is_ok())
    })
}

/// What each scenario did and what came of it, over all rounds.
pub fn labels(data: &Sheet<'_>) -> Markup {
    let rows = html! {
        @for (scenario, way) in &data.ways {
            @let runs = || data.rounds.iter().flat_map(|r| &r.explore).filter(|e| is_of(&e.name, scenario));
            @let chosen = || selected(data).map(|(_, s)| s).filter(|s| is_of(&s.scenario, scenario));
            @let count = chosen().count();
            @if runs().next().is_some() {
                tr {
                    td { (scenario) }
                    td { (way) }
                    td { (runs().count()) }
                    td { (runs().map(|e| e.steps).sum::<usize>()) }
                    td { (runs().map(|e| e.breaks).sum::<usize>()) }
                    td { (runs().map(|e| e.candidates).sum::<usize>()) }
                    td { (count) }
                    td { @if count > 0 {
                        (format_args!("{:.2}", chosen().map(|s| s.grade).sum::<f64>() / count as f64))
                    } @else { "–" } }
                    td { (chosen().map(|s| s.atoms).sum::<usize>()) }
                }
            }
        }
    };
    table(
        "mixed",
        &[
            "scenario",
            "way",
            "runs",
            "steps",
            "went back",
            "kept",
            "labels asked for",
            "mean Γ when chosen",
            "atoms labelled",
        ],
        &rows,
    )
}

/// The ways' own numbers along the runs, one figure for each scenario and number.
pub fn numbers(data: &Sheet<'_>) -> Markup {
    html! {
        @for (scenario, way) in &data.ways {
            @let runs = || data.rounds.iter().flat_map(|r| r.explore.iter().map(move |e| (r.round, e)))
                .filter(|(_, e)| is_of(&e.name, scenario));
            @let names: BTreeSet<&str> = runs().flat_map(|(_, e)| e.series.keys().map(String::as_str)).collect();
            @for name in names {
                @let lines = spread(runs().filter(|(_, e)| e.series.contains_key(name)).collect());
                @let lines = lines.into_iter().enumerate().map(|(color, (round, run))| {
                    let walker = run.name.strip_prefix(scenario.as_str()).unwrap_or_default();
                    let label = match walker.strip_prefix('.') {
                        Some(walker) => format!("round {round}, walker {walker}"),
                        None => format!("round {round}"),
                    };
                    let steps = run.trace.iter().map(|p| p[0]);
                    let points: Vec<(f64, f64)> = steps.zip(run.series[name].iter().copied()).collect();
                    // A line needs two points, and a run may end with its first.
                    let mark = if points.len() < 3 { Mark::Dots } else { Mark::Line };
                    series(&label, color, mark, thin(&points))
                });
                @let plot = Plot {
                    x: "step".into(),
                    y: name.into(),
                    size: (520, 300),
                    series: lines.collect(),
                    ..Plot::default()
                };
                (data.figure(
                    &format!("way-{}-{}", slug(scenario), slug(name)),
                    &plot,
                    &format!("{scenario} ({way}): {name} along the run, in up to five runs."),
                    &data.files("explore.json"),
                ))
            }
        }
    }
}

/// The largest of each stretch: a spike must not vanish.
fn thin(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let stride = points.len().div_ceil(MAX_POINTS).max(1);
    let largest = |chunk: &[(f64, f64)]| chunk.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1));
    points.chunks(stride).filter_map(largest).collect()
}

/// Minima of the model and of the reference method, those first that only one of them has.
pub fn minima(data: &Sheet<'_>) -> Markup {
    let Some(record) = data.validation.as_ref().and_then(|v| v.minima.as_ref()) else {
        return Markup::default();
    };
    let missing = record.missing().map(|m| ("missing in the model", m));
    let invented = record
        .hallucinated()
        .map(|m| ("hallucinated by the model", m));
    let kept = |m: &&Minimum| m.kept;
    let both = record
        .model
        .iter()
        .filter(kept)
        .map(|m| ("model's, kept by the reference", m));
    let back = record
        .reference
        .iter()
        .filter(kept)
        .map(|m| ("reference's, kept by the model", m));
    let rows = html! {
        @for (what, m) in missing.chain(invented).chain(both).chain(back) {
            tr {
                td { (what) }
                (from(m.frame, "final/minima.xyz"))
                td { (format_args!("{:.3}", m.energy)) }
                td { (format_args!("{:.3}", m.other)) }
                td { (format_args!("{:.2}", m.moved)) }
                td { (m.count) }
                td { (m.from) }
            }
        }
    };
    html! {
        p { (format_args!(
            "{} structures were quenched with the model, {} of them with the reference method: {}. Energies are those \
             above the lowest minimum of the same atoms, by the method that has the minimum and, where the other one \
             relaxes it to, by that.",
            record.quenched, record.reference_quenched, record.summary()
        )) }
        (table(
            "mixed",
            &[
                "minimum",
                "frame",
                "energy (eV)",
                "relaxed by the other (eV)",
                "farthest move there (Å)",
                "times found",
                "first quenched from",
            ],
            &rows,
        ))
    }
}
