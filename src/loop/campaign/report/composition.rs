//! What is not known, over compositions: a line for two elements, a triangle for three.

use super::plots::series;
use super::{Sheet, slug};
use crate::campaign::store::{ExploreRecord, RoundRecord};
use crate::plot::{COLORS, Mark, Plot};
use maud::{Markup, PreEscaped, html};
use std::fmt::Write;

/// Edge of a triangle and room around it, in its own units.
const EDGE: f64 = 300.0;
const MARGIN: f64 = 50.0;

/// The walker's scenario: its name without the number.
fn scenario(run: &ExploreRecord) -> &str {
    match run.name.rsplit_once('.') {
        Some((name, number)) if number.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => &run.name,
    }
}

/// Share of an element of a run, counted from 0.
fn share(run: &ExploreRecord, element: usize) -> f64 {
    let all: usize = run.composition.iter().map(|c| c.1).sum();
    run.composition[element].1 as f64 / all.max(1) as f64
}

/// A scenario over compositions, with its runs by round.
struct Map<'a> {
    name: &'a str,
    elements: Vec<&'a str>,
    rounds: Vec<(usize, Vec<&'a ExploreRecord>)>,
}

fn maps(rounds: &[RoundRecord]) -> Vec<Map<'_>> {
    let mut maps: Vec<Map<'_>> = Vec::new();
    for round in rounds {
        for run in round.explore.iter().filter(|r| !r.composition.is_empty()) {
            let name = scenario(run);
            let elements: Vec<&str> = run.composition.iter().map(|c| c.0.as_str()).collect();
            let place = maps
                .iter()
                .position(|m| m.name == name && m.elements == elements);
            let place = place.unwrap_or_else(|| {
                maps.push(Map {
                    name,
                    elements,
                    rounds: Vec::new(),
                });
                maps.len() - 1
            });
            let rounds = &mut maps[place].rounds;
            if rounds.last().is_none_or(|r| r.0 != round.round) {
                rounds.push((round.round, Vec::new()));
            }
            if let Some((_, runs)) = rounds.last_mut() {
                runs.push(run);
            }
        }
    }
    maps
}

/// What a map shows.
struct Shown {
    /// As a file's name has it.
    slug: &'static str,
    name: &'static str,
    of: fn(&ExploreRecord) -> Option<f64>,
    /// Where environments are kept, and where runs go back.
    levels: Option<[f64; 2]>,
}

/// Grades, and deviations in meV/Å where the runs have them.
fn shown(map: &Map<'_>, thresholds: [f64; 2]) -> Vec<Shown> {
    let grade = Shown {
        slug: "composition",
        name: "largest grade",
        of: |r| Some(r.max_grade),
        levels: Some(thresholds),
    };
    let sigma = Shown {
        slug: "composition-sigma",
        name: "largest σ (meV/Å)",
        of: |r| r.max_sigma.map(|s| 1e3 * s),
        levels: None,
    };
    let mut runs = map.rounds.iter().flat_map(|r| &r.1);
    let known = runs.any(|r| r.max_sigma.is_some());
    std::iter::once(grade)
        .chain(known.then_some(sigma))
        .collect()
}

/// The maps of all scenarios over compositions.
pub fn render(data: &Sheet<'_>) -> Markup {
    let caption = |map: &Map<'_>, shown: &Shown| match shown.levels {
        Some([save, stop]) => format!(
            "{}: largest grade of the walker at each composition. Above {save} an environment is kept, above {stop} the run goes back.",
            map.name
        ),
        None => format!(
            "{}: largest σ of a force in the frames that the walker at each composition kept and ended with.",
            map.name
        ),
    };
    html! {
        @for map in maps(&data.rounds) {
            @for shown in shown(&map, data.thresholds) {
                @let caption = caption(&map, &shown);
                @match map.elements.len() {
                    2 => { (data.figure(&format!("{}-{}", shown.slug, slug(map.name)), &line(&map, &shown), &caption, &data.files("explore.json"))) }
                    3 => { (triangle(&map, &shown, &caption)) }
                    _ => {}
                }
            }
            @if map.elements.len() > 3 { (table(&map)) }
        }
        @if !csv(&data.rounds).is_empty() {
            p { a href="composition.csv" { "composition.csv" } " has the numbers." }
        }
    }
}

/// All points of all maps, one a line; empty without any.
pub fn csv(rounds: &[RoundRecord]) -> String {
    let mut text = String::new();
    for map in maps(rounds) {
        let _ = writeln!(
            text,
            "# {}\nround,{},max_grade,kept,breaks,max_sigma",
            map.name,
            map.elements.join(",")
        );
        for (round, runs) in &map.rounds {
            for run in runs {
                let shares: Vec<String> = (0..map.elements.len())
                    .map(|k| share(run, k).to_string())
                    .collect();
                let _ = writeln!(
                    text,
                    "{round},{},{},{},{},{}",
                    shares.join(","),
                    run.max_grade,
                    run.candidates,
                    run.breaks,
                    run.max_sigma.map_or_else(String::new, |s| s.to_string())
                );
            }
        }
    }
    text
}

fn line(map: &Map<'_>, shown: &Shown) -> Plot {
    let skip = map.rounds.len().saturating_sub(COLORS - 1);
    let mut lines: Vec<_> = (map.rounds.iter().skip(skip).enumerate())
        .map(|(color, (round, runs))| {
            let mut points: Vec<(f64, f64)> = runs
                .iter()
                .filter_map(|r| Some((share(r, 1), (shown.of)(r)?.clamp(1e-3, 1e6))))
                .collect();
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            series(&format!("round {round}"), color, Mark::Dots, points)
        })
        .collect();
    if let Some([save, _]) = shown.levels {
        let level = vec![(0.0, save), (1.0, save)];
        lines.push(series("kept above", COLORS - 1, Mark::Level, level));
    }
    Plot {
        x: format!("share of {}", map.elements[1]),
        y: shown.name.into(),
        log_y: true,
        size: (520, 340),
        series: lines,
        ..Plot::default()
    }
}

/// The last round over three elements, the first at the top.
fn triangle(map: &Map<'_>, shown: &Shown, caption: &str) -> Markup {
    let height = EDGE * 0.75f64.sqrt();
    let at = |x: [f64; 3]| {
        let right = x[2] + 0.5 * x[0];
        (MARGIN + EDGE * right, MARGIN + height * (1.0 - x[0]))
    };
    let (width, tall) = (EDGE + 2.0 * MARGIN, height + 2.0 * MARGIN);
    let mut svg = format!(
        "<svg viewBox=\"0 0 {width:.0} {tall:.0}\" width=\"{width:.0}\" height=\"{tall:.0}\" role=\"img\">"
    );
    let corners = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
    let path: Vec<String> = corners
        .map(at)
        .iter()
        .map(|(x, y)| format!("{x:.1},{y:.1}"))
        .collect();
    let _ = write!(
        svg,
        "<polygon points=\"{}\" fill=\"none\" stroke=\"var(--faint)\"/>",
        path.join(" ")
    );
    for (k, corner) in corners.into_iter().enumerate() {
        let (x, y) = at(corner);
        let y = if k == 0 { y - 14.0 } else { y + 26.0 };
        let _ = write!(
            svg,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\" fill=\"var(--ink)\">{}</text>",
            map.elements[k]
        );
    }
    let (round, runs) = match map.rounds.last() {
        Some((round, runs)) => (*round, &runs[..]),
        None => (0, &[][..]),
    };
    for run in runs {
        let x = std::array::from_fn(|k| share(run, k));
        let (cx, cy) = at(x);
        let Some(value) = (shown.of)(run) else {
            continue;
        };
        // Known, kept, beyond; the larger the value, the larger the disc.
        let (color, size) = match shown.levels {
            Some([save, _]) if value < save => (2, value),
            Some([_, stop]) => (usize::from(value < stop), value),
            None => (0, value / 50.0),
        };
        let radius = 4.0 + 3.0 * (1.0 + size.min(1e3)).ln();
        let _ = write!(
            svg,
            "<circle cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"{radius:.1}\" fill=\"var(--c{color})\" fill-opacity=\"0.7\"><title>{} {:.3}, {} {:.3}, {} {:.3}: {} {value:.2}</title></circle>",
            map.elements[0], x[0], map.elements[1], x[1], map.elements[2], x[2], shown.name
        );
    }
    svg.push_str("</svg>");
    html! {
        figure {
            (PreEscaped(svg))
            figcaption {
                (caption) " Round " (round) "; larger discs are larger values"
                @if shown.levels.is_some() { ", one colour each for known ground, what was kept, and what was too far out" }
                "."
            }
        }
    }
}

/// The compositions of more elements whose grades are largest.
fn table(map: &Map<'_>) -> Markup {
    let mut runs: Vec<&ExploreRecord> = map.rounds.last().map(|r| r.1.clone()).unwrap_or_default();
    runs.sort_by(|a, b| b.max_grade.total_cmp(&a.max_grade));
    html! {
        table {
            tr { @for element in &map.elements { th { (element) } } th { "largest grade" } th { "largest σ (meV/Å)" } }
            @for run in runs.iter().take(20) {
                tr {
                    @for k in 0..map.elements.len() { td { (format!("{:.3}", share(run, k))) } }
                    td { (format!("{:.2}", run.max_grade)) }
                    td { (run.max_sigma.map_or("–".into(), |s| format!("{:.0}", 1e3 * s))) }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaign::store::LabelRecord;

    fn run(name: &str, composition: &[(&str, usize)], max_grade: f64) -> ExploreRecord {
        let text = format!(
            "{{\"name\":\"{name}\",\"steps\":1,\"planned\":1,\"breaks\":0,\"finished\":true,\"candidates\":0,\"max_grade\":{max_grade},\"trace\":[]}}"
        );
        let mut record: ExploreRecord = serde_json::from_str(&text).unwrap();
        record.composition = composition
            .iter()
            .map(|(s, n)| ((*s).to_owned(), *n))
            .collect();
        record
    }

    fn rounds(runs: Vec<ExploreRecord>) -> Vec<RoundRecord> {
        let round = RoundRecord {
            round: 0,
            labels: LabelRecord::default(),
            training: None,
            explore: runs,
            selection: None,
            stop: None,
        };
        vec![round]
    }

    #[test]
    fn points_stand_where_their_compositions_are() {
        let ternary = rounds(vec![
            run("mix.0", &[("A", 4), ("B", 0), ("C", 0)], 1.0),
            run("mix.1", &[("A", 0), ("B", 2), ("C", 2)], 9.0),
            run("melt", &[], 1.0),
        ]);
        let found = maps(&ternary);
        assert_eq!(
            (found.len(), found[0].name, found[0].rounds[0].1.len()),
            (1, "mix", 2)
        );
        let grades = &shown(&found[0], [1.5, 4.0]);
        assert_eq!(grades.len(), 1, "no deviations, no map of them");
        let text = triangle(&found[0], &grades[0], "").0;
        // The first element is at the top, and half of the others lies in the middle of the base.
        let height = EDGE * 0.75f64.sqrt();
        assert!(
            text.contains(&format!(
                "cx=\"{:.1}\" cy=\"{:.1}\"",
                MARGIN + 0.5 * EDGE,
                MARGIN
            )),
            "{text}"
        );
        let base = format!(
            "cx=\"{:.1}\" cy=\"{:.1}\"",
            MARGIN + 0.5 * EDGE,
            MARGIN + height
        );
        assert!(text.contains(&base), "{text}");
        assert!(
            csv(&ternary).contains("0,0,0.5,0.5,9,0,0,\n"),
            "{}",
            csv(&ternary)
        );
        let mut binary = rounds(vec![
            run("mix.1", &[("A", 1), ("B", 3)], 2.0),
            run("mix.0", &[("A", 4), ("B", 0)], 1.0),
        ]);
        binary[0].explore[0].max_sigma = Some(0.125);
        let map = &maps(&binary)[0];
        let [grade, sigma] = &shown(map, [1.5, 4.0])[..] else {
            panic!("grades and deviations");
        };
        let plot = line(map, grade);
        assert_eq!(plot.series[0].points, [(0.0, 1.0), (0.75, 2.0)]);
        assert_eq!(plot.series[1].points, [(0.0, 1.5), (1.0, 1.5)]);
        let plot = line(map, sigma);
        assert_eq!(
            (plot.series.len(), &plot.series[0].points[..]),
            (1, &[(0.75, 125.0)][..])
        );
        assert!(
            csv(&binary).contains("0,0.25,0.75,2,0,0,0.125\n"),
            "{}",
            csv(&binary)
        );
        assert!(csv(&rounds(vec![run("melt", &[], 1.0)])).is_empty());
    }
}
