//! The plots of a report, each with its caption.

use super::{Sheet, slug};
use crate::campaign::store::RoundRecord;
use crate::plot::{Mark, Plot, Series, draw};
use maud::{Markup, PreEscaped, html};
use nepal_train::Errors;

/// A figure of the page with the files that it is drawn from, or nothing if there is nothing to draw.
pub fn figure(plot: &Plot, caption: &str, files: &[String]) -> Markup {
    figure_with(plot, caption, files, &Markup::default())
}

/// The same with more at its end.
pub(super) fn figure_with(plot: &Plot, caption: &str, files: &[String], more: &Markup) -> Markup {
    html! {
        @if let Some(svg) = draw(plot) {
            figure { (PreEscaped(svg)) figcaption { (caption) (links(files)) (more) } }
        }
    }
}

/// Links to files; those of many rounds by their numbers.
fn links(files: &[String]) -> Markup {
    // The same file of the next round needs no more than its number.
    let name =
        |k: usize, file: &'_ str| match file.strip_prefix("round-").and_then(|f| f.split_once('/'))
        {
            Some((number, _)) if k > 0 => number.to_owned(),
            _ => file.to_owned(),
        };
    html! {
        @for (k, file) in files.iter().enumerate() {
            @if k == 0 { br; "From " } @else { ", " }
            a href=(file) { (name(k, file)) }
        }
    }
}

pub(super) fn series(name: &str, color: usize, mark: Mark, points: Vec<(f64, f64)>) -> Series {
    Series {
        name: name.into(),
        color,
        mark,
        points,
    }
}

/// Energy and force errors by round.
pub fn errors(data: &Sheet<'_>) -> Markup {
    let points = |pick: &dyn Fn(&RoundRecord) -> Option<f64>| -> Vec<(f64, f64)> {
        data.rounds
            .iter()
            .filter_map(|r| Some((r.round as f64, pick(r)?)))
            .collect()
    };
    let panel = |what: &str, unit: &str, value: &dyn Fn(&Errors) -> f64| -> Markup {
        let of = |pick: &dyn Fn(&RoundRecord) -> Option<&Errors>| {
            points(&|r| pick(r).map(|e| 1e3 * value(e)))
        };
        let plot = Plot {
            x: "round".into(),
            y: format!("{what} RMSE ({unit})"),
            log_y: true,
            size: (520, 340),
            series: vec![
                series(
                    "training set",
                    0,
                    Mark::Dots,
                    of(&|r| r.training.as_ref().map(|t| &t.train)),
                ),
                series(
                    "fixed test set",
                    1,
                    Mark::Dots,
                    of(&|r| r.training.as_ref()?.test.as_ref()),
                ),
                series(
                    "new labels, before training",
                    2,
                    Mark::Dots,
                    of(&|r| r.training.as_ref()?.canary.as_ref()),
                ),
            ],
            ..Plot::default()
        };
        data.figure(
            &format!("errors-{what}"),
            &plot,
            &format!(
                "Root mean square {what} error by round. The new labels are predicted by the model that asked for them, before it is trained on them."
            ),
            &data.files("training.json"),
        )
    };
    html! {
        (panel("energy", "meV/atom", &|e| e.energy_rmse.unwrap_or(f64::NAN)))
        (panel("force", "meV/Å", &|e| e.force_rmse.unwrap_or(f64::NAN)))
    }
}

/// The largest grade along each run, one panel a scenario, one line a round.
pub fn grades(data: &Sheet<'_>) -> Markup {
    let mut names: Vec<&str> = Vec::new();
    for run in data.rounds.iter().flat_map(|r| &r.explore) {
        if !names.contains(&run.name.as_str()) {
            names.push(&run.name);
        }
    }
    let [save, stop] = data.thresholds;
    let mut figures = String::new();
    for name in names {
        let mut runs = Vec::new();
        for round in &data.rounds {
            let own = round.explore.iter().filter(|run| run.name == name);
            runs.extend(own.map(|run| (round.round, run)));
        }
        let mut lines = Vec::new();
        let mut end = 0.0f64;
        for (color, (round, run)) in spread(runs).into_iter().enumerate() {
            let points = thin(&run.trace).map(|p| (p[0], p[5].min(1e6))).collect();
            end = end.max(run.planned as f64);
            lines.push(series(&format!("round {round}"), color, Mark::Line, points));
        }
        for level in [save, stop] {
            lines.push(series("", 0, Mark::Level, vec![(0.0, level), (end, level)]));
        }
        let plot = Plot {
            x: "step".into(),
            y: "largest grade Γ".into(),
            log_y: true,
            size: (520, 320),
            series: lines,
            ..Plot::default()
        };
        figures.push_str(&data.figure(
            &format!("grades-{}", slug(name)),
            &plot,
            &format!(
                "{name}: the largest extrapolation grade of any atom along the run, in up to five rounds. Dashed: the thresholds for keeping an environment ({save}) and for going back to a safe frame ({stop})."
            ), &data.files("explore.json")).0);
    }
    PreEscaped(figures)
}

/// The first, the last and those between at equal distances: more than five lines hide each other.
pub(super) fn spread<T>(items: Vec<T>) -> Vec<T> {
    const MOST: usize = 5;
    let count = items.len();
    if count <= MOST {
        return items;
    }
    let kept: Vec<usize> = (0..MOST).map(|k| k * (count - 1) / (MOST - 1)).collect();
    let numbered = items.into_iter().enumerate();
    numbered
        .filter_map(|(n, item)| kept.contains(&n).then_some(item))
        .collect()
}

fn thin(trace: &[[f64; 6]]) -> impl Iterator<Item = &[f64; 6]> {
    let stride = trace.len().div_ceil(600).max(1);
    trace.chunks(stride).filter_map(|chunk| {
        // The worst point of each stretch: a spike must not vanish.
        chunk.iter().max_by(|a, b| a[5].total_cmp(&b[5]))
    })
}

/// Labels spent, by round.
pub fn labels(data: &Sheet<'_>) -> Markup {
    let mut sum = 0.0;
    let mut total = Vec::new();
    for round in &data.rounds {
        sum += round.labels.requested as f64;
        total.push((round.round as f64, sum));
    }
    let plot = Plot {
        x: "round".into(),
        y: "labels, in total".into(),
        size: (520, 340),
        series: vec![series("", 3, Mark::Dots, total)],
        ..Plot::default()
    };
    data.figure(
        "labels",
        &plot,
        "Reference calculations spent up to each round, the test set included.",
        &data.files("labels.json"),
    )
}

/// The loss of each training, end to end.
pub fn loss(data: &Sheet<'_>) -> Markup {
    let mut lines = Vec::new();
    let mut start = 0.0;
    for round in &data.rounds {
        let Some(training) = &round.training else {
            continue;
        };
        let points: Vec<(f64, f64)> = training.loss.iter().map(|p| (start + p.0, p.1)).collect();
        start = points.last().map_or(start, |p| p.0);
        lines.push(series("", round.round, Mark::Line, points));
    }
    let plot = Plot {
        x: "epoch, all rounds".into(),
        y: "loss".into(),
        log_y: true,
        size: (520, 300),
        series: lines,
        ..Plot::default()
    };
    data.figure(
        "loss",
        &plot,
        "The training loss, one colour a round; each round starts from the model before.",
        &data.files("training.json"),
    )
}

/// The plots of the comparison with the reference method.
pub fn validation(data: &Sheet<'_>) -> Markup {
    let Some(record) = &data.validation else {
        return Markup::default();
    };
    let mut figures = String::new();
    let by_temperature = |value: &dyn Fn(&Errors) -> f64| -> Vec<(f64, f64)> {
        record
            .fresh
            .iter()
            .map(|f| (f.temperature, 1e3 * value(&f.errors)))
            .collect()
    };
    for (what, unit, points) in [
        (
            "energy",
            "meV/atom",
            by_temperature(&|e| e.energy_rmse.unwrap_or(f64::NAN)),
        ),
        (
            "force",
            "meV/Å",
            by_temperature(&|e| e.force_rmse.unwrap_or(f64::NAN)),
        ),
    ] {
        let plot = Plot {
            x: "temperature (K)".into(),
            y: format!("{what} RMSE ({unit})"),
            size: (520, 320),
            series: vec![series("", 0, Mark::Dots, points)],
            ..Plot::default()
        };
        figures.push_str(&data.figure(
            &format!("fresh-{what}"),
            &plot,
            &format!("{what} error on fresh frames from dynamics of the reference method at each temperature."), &["final/validation.json".to_owned()]).0);
    }
    if let Some(rdf) = &record.rdf {
        let curve = |values: &[f64]| rdf.r.iter().copied().zip(values.iter().copied()).collect();
        let plot = Plot {
            x: "r (Å)".into(),
            y: "g(r)".into(),
            size: (520, 340),
            series: vec![
                series("reference method", 0, Mark::Line, curve(&rdf.reference)),
                series("model", 1, Mark::Line, curve(&rdf.model)),
            ],
            ..Plot::default()
        };
        figures.push_str(&data.figure(
            "rdf",
            &plot,
            &format!(
                "Radial distribution function of the liquid at {} K, each from dynamics of its own.",
                rdf.temperature
            ), &["final/validation.json".to_owned()]).0);
    }
    PreEscaped(figures)
}
