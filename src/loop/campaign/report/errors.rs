//! What the model misses: parity, distributions, by element and scenario, against grades and deviations.

use super::plots::series;
use super::tables::table;
use super::{Missed, Parity, Sheet};
use crate::campaign::audit::statistics::{covered, deciles, quantile};
use crate::plot::{Mark, Plot};
use maud::{Markup, html};

/// A set with fewer points is drawn point by point.
const CLOUD: usize = 300;
/// Bins of a distribution.
const BINS: usize = 41;

/// Predicted against reference values of the newest model, a panel for each quantity and set.
pub fn parity(data: &Sheet<'_>) -> Markup {
    let model = match data.reason {
        Some(_) => "final",
        None => "newest",
    };
    html! {
        @for quantity in ["energy", "force", "virial"] {
            @for (color, set) in data.parity.iter().filter(|p| p.quantity == quantity).enumerate() {
                (panel(data, set, color, model))
            }
        }
    }
}

fn panel(data: &Sheet<'_>, set: &Parity, color: usize, model: &str) -> Markup {
    let Parity { quantity, unit, .. } = set;
    let ends = || set.points.iter().flat_map(|p| [p.0, p.1]);
    let low = ends().fold(f64::INFINITY, f64::min);
    let high = ends().fold(f64::NEG_INFINITY, f64::max);
    let mark = match set.points.len() {
        0..CLOUD => Mark::Points,
        _ => Mark::Density,
    };
    let plot = Plot {
        x: format!("reference {quantity} ({unit})"),
        y: format!("predicted {quantity} ({unit})"),
        size: (520, 460),
        series: vec![
            series("", color, mark, set.points.clone()),
            series("", 0, Mark::Level, vec![(low, low), (high, high)]),
        ],
        ..Plot::default()
    };
    let what = match mark {
        Mark::Density => " The stronger the colour, the more values.",
        _ => "",
    };
    data.figure(
        &format!("parity-{quantity}-{}", set.set.replace(' ', "-")),
        &plot,
        &format!(
            "{quantity}, {}: the {model} model against {} reference values. RMSE {:.2} m{unit}.{what}",
            set.set,
            set.points.len(),
            1e3 * set.rmse
        ),
        &data.parity_files(),
    )
}

/// How the errors of force components are distributed.
pub fn distribution(data: &Sheet<'_>) -> Markup {
    let sets = || data.parity.iter().filter(|p| p.quantity == "force");
    let errors = |set: &Parity| -> Vec<f64> {
        let points = set.points.iter();
        points.map(|p| 1e3 * (p.1 - p.0)).collect()
    };
    let sizes = |set: &Parity| -> Vec<f64> { errors(set).iter().map(|e| e.abs()).collect() };
    // Beyond that lie single ones, which the largest error tells of.
    let ends = sets().map(|set| quantile(&sizes(set), 0.995));
    let end = ends.fold(f64::MIN_POSITIVE, f64::max);
    let width = 2.0 * end / BINS as f64;
    let mut lines = Vec::new();
    for (color, set) in sets().enumerate() {
        let mut counts = [0usize; BINS];
        for error in errors(set).iter().filter(|e| e.abs() < end) {
            counts[((error + end) / width) as usize % BINS] += 1;
        }
        let density = |n: usize| n as f64 / (set.points.len() as f64 * width);
        let middle = |k: usize| -end + width * (k as f64 + 0.5);
        let points = counts
            .iter()
            .enumerate()
            .map(|(k, &n)| (middle(k), density(n)));
        let most = sizes(set).into_iter().fold(0.0, f64::max);
        let name = format!("{}, largest {most:.0} meV/Å", set.set);
        lines.push(series(&name, color, Mark::Line, points.collect()));
    }
    let plot = Plot {
        x: "error of a force component (meV/Å)".into(),
        y: "density (Å/meV)".into(),
        log_y: true,
        size: (520, 340),
        series: lines,
        ..Plot::default()
    };
    data.figure(
        "error-distribution",
        &plot,
        "Distribution of the errors of force components, without the farthest 0.5 %. A straight fall on both sides means that large errors are more frequent than with a Gaussian.",
        &data.parity_files(),
    )
}

/// Errors by element and by scenario.
pub fn breakdown(data: &Sheet<'_>) -> Markup {
    let cell = |missed: &Missed| match (missed.rmse(), missed.rms()) {
        (Some(error), Some(size)) => [
            missed.atoms.to_string(),
            format!("{:.1}", 1e3 * error),
            format!("{:.1}", 100.0 * error / size),
        ],
        _ => ["–"; 3].map(str::to_owned),
    };
    let rows = html! {
        @for kind in ["element", "scenario"] {
            @for row in data.breakdown.iter().filter(|r| r.kind == kind) {
                tr {
                    td { (kind) " " (row.name) }
                    @for text in cell(&row.training).iter().chain(&cell(&row.new)) { td { (text) } }
                }
            }
        }
    };
    table(
        "numbers",
        &[
            "forces of",
            "training atoms",
            "RMSE (meV/Å)",
            "of the rms force (%)",
            "new atoms",
            "RMSE before training (meV/Å)",
            "of the rms force (%)",
        ],
        &rows,
    )
}

/// Force errors of new labels against what was known of their atoms.
pub fn against(data: &Sheet<'_>) -> Markup {
    let errors: Vec<f64> = data.atoms.iter().map(|a| a.error).collect();
    let panel = |file: &str, name: &str, values: Vec<f64>, is_sigma: bool| {
        let found: Vec<(f64, f64)> = values.iter().copied().zip(errors.iter().copied()).collect();
        let scale = if is_sigma { 1e3 } else { 1.0 };
        let cloud: Vec<(f64, f64)> = found.iter().map(|p| (scale * p.0, 1e3 * p.1)).collect();
        let tenths = deciles(&values, &errors);
        let of = |pick: fn(&crate::campaign::audit::Decile) -> f64| {
            tenths
                .iter()
                .map(|d| (scale * d.signal, 1e3 * pick(d)))
                .collect::<Vec<_>>()
        };
        let mut lines = vec![
            series("atoms", 0, Mark::Density, cloud.clone()),
            series("68 % of each tenth", 1, Mark::Dots, of(|d| d.usual)),
            series("95 % of each tenth", 2, Mark::Dots, of(|d| d.most)),
        ];
        if is_sigma {
            let ends = || cloud.iter().map(|p| p.0).filter(|s| *s > 0.0);
            let ends = [ends().fold(f64::MAX, f64::min), ends().fold(0.0, f64::max)];
            let level = ends.map(|s| (s, s)).to_vec();
            lines.push(series("68 % as it should be", 0, Mark::Level, level));
        }
        let plot = Plot {
            x: name.into(),
            y: "force error (meV/Å)".into(),
            log_x: true,
            log_y: true,
            size: (520, 380),
            series: lines,
        };
        data.figure(
            file,
            &plot,
            &format!("Force errors of the atoms of new labels, before training on them, against {} of the model that asked for them. Tenths have the same number of atoms each.", name.trim_end_matches(" (meV/Å)")),
            &data.files("labelled.xyz"),
        )
    };
    let of = |pick: fn(&super::AtomError) -> f64| data.atoms.iter().map(pick).collect::<Vec<f64>>();
    let sigma: Option<Vec<[f64; 2]>> = data.atoms.iter().map(|a| a.sigma).collect();
    html! {
        @if !errors.is_empty() {
            (panel("error-grade", "the grade Γ", of(|a| a.grade), false))
            (panel("error-gamma", "γ", of(|a| a.gamma), false))
            (panel("error-rho", "ρ", of(|a| a.rho), false))
            @if let Some(sigma) = &sigma {
                @let [sigma, wide] = [0, 1].map(|k| sigma.iter().map(|s| s[k]).collect::<Vec<f64>>());
                @let [at_68, at_95] = covered([&sigma, &wide], &errors).map(|c| format!("{:.0} %", 100.0 * c));
                (panel("error-sigma", "σ (meV/Å)", sigma, true))
                p { "Calibration of σ: " (at_68) " of the errors are at most σ, which should be 68 %, and " (at_95) " within the bound of 95 %. New labels were chosen because they are unlike the training set, so that they may miss more often." }
            }
        }
    }
}

/// What γ and ρ each say of the steps that were explored.
pub fn parts(data: &Sheet<'_>) -> Markup {
    let trace = data
        .rounds
        .iter()
        .flat_map(|r| &r.explore)
        .flat_map(|e| &e.trace);
    let points: Vec<(f64, f64)> = trace.map(|p| (p[3], p[4])).collect();
    let [save, _] = data.thresholds;
    // Γ² = γ² + ρ².
    let arc = (0..=90).map(|k| f64::from(k).to_radians().sin_cos());
    let arc = arc
        .map(|(sin, cos)| (save * cos, save * sin))
        .filter(|p| p.0 > 0.05 * save && p.1 > 0.05 * save);
    let plot = Plot {
        x: "largest γ of a step".into(),
        y: "largest ρ of a step".into(),
        log_x: true,
        log_y: true,
        size: (520, 380),
        series: vec![
            series("graded steps", 0, Mark::Density, points),
            series("the threshold for keeping", 0, Mark::Level, arc.collect()),
        ],
    };
    data.figure(
        "gamma-rho",
        &plot,
        "γ and ρ apart, all rounds: γ large means farther along directions that the training data span, ρ large means directions that they do not have.",
        &data.files("explore.json"),
    )
}

/// Where exploration was, and where there are labels.
pub fn ground(data: &Sheet<'_>) -> Markup {
    let runs = data.rounds.iter().flat_map(|r| &r.explore);
    let points = runs.flat_map(|e| e.trace.iter().zip(&e.volumes));
    let explored = points.map(|(p, v)| (p[1], *v)).collect();
    let plot = Plot {
        x: "temperature of the moment (K)".into(),
        y: "volume (Å³/atom)".into(),
        size: (520, 380),
        series: vec![
            series("explored", 0, Mark::Density, explored),
            series("labelled", 1, Mark::Points, data.labelled_ground.clone()),
        ],
        ..Plot::default()
    };
    data.figure(
        "ground",
        &plot,
        "Explored and labelled ground: graded steps of nepal's own dynamics of all rounds, and the whole cells among the labels. Fragments have the temperature and volume of nothing.",
        &data.files("explore.json"),
    )
}
