//! One way to draw: lines, points and levels on linear or logarithmic axes, in colours that follow
//! the reader's light or dark theme.

mod cloud;

use plotters::coord::ranged1d::ValueFormatter;
use plotters::prelude::*;

/// How a series is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mark {
    /// Points joined by a line.
    Line,
    /// Line with a dot at each point.
    Dots,
    /// Points alone.
    Points,
    /// A thin dashed line, for levels and diagonals.
    Level,
}

/// Points of one name and colour.
#[derive(Clone, Debug)]
pub struct Series {
    /// Name in the legend; empty for none.
    pub name: String,
    /// Number of the colour.
    pub color: usize,
    /// How it is drawn.
    pub mark: Mark,
    /// The points.
    pub points: Vec<(f64, f64)>,
}

/// A plot.
#[derive(Clone, Debug)]
pub struct Plot {
    /// Label of the horizontal axis, with its unit.
    pub x: String,
    /// Label of the vertical axis, with its unit.
    pub y: String,
    /// Whether the vertical axis is logarithmic.
    pub log_y: bool,
    /// Width and height in pixels.
    pub size: (u32, u32),
    /// What is drawn.
    pub series: Vec<Series>,
}

/// Number of colours.
pub const COLORS: usize = 6;
/// Stand-ins that are replaced by theme variables; no two alike, and none that plotters uses.
const STAND_INS: [RGBColor; COLORS] = [
    RGBColor(1, 2, 3),
    RGBColor(1, 2, 4),
    RGBColor(1, 2, 5),
    RGBColor(1, 2, 6),
    RGBColor(1, 2, 7),
    RGBColor(1, 2, 8),
];
/// Decades from which on a logarithmic axis is one.
const LOG_DECADES: f64 = 2.0;
const INK: RGBColor = RGBColor(9, 8, 7);
const FAINT: RGBColor = RGBColor(9, 8, 6);
const PAPER: RGBColor = RGBColor(9, 8, 5);

/// Draws a plot as SVG text; `None` if there is nothing finite to draw.
pub fn draw(plot: &Plot) -> Option<String> {
    let usable = |&(x, y): &(f64, f64)| x.is_finite() && y.is_finite() && (!plot.log_y || y > 0.0);
    let mut clean = plot.clone();
    for series in &mut clean.series {
        series.points.retain(usable);
    }
    clean.series.retain(|s| !s.points.is_empty());
    if clean.series.iter().all(|s| s.mark == Mark::Level) {
        return None;
    }
    let mut text = String::new();
    paint(&clean, &mut text).ok()?;
    Some(themed(&text, plot.size))
}

/// Smallest and largest value, widened so that nothing lies on the frame.
fn range(values: impl Iterator<Item = f64>, log: bool) -> (f64, f64) {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| {
        (a.min(v), b.max(v))
    });
    if log {
        return (low / 1.3, high * 1.3);
    }
    let margin = if high > low {
        0.04 * (high - low)
    } else {
        0.5 * high.abs().max(1.0)
    };
    (low - margin, high + margin)
}

/// Draws a plot as an SVG file of its own, with its colours inside.
pub fn draw_alone(plot: &Plot) -> Option<String> {
    const STYLE: &str = "<style>svg{background:#fff;--paper:#fff;--ink:#222;--faint:#ddd;--c0:#1f6feb;--c1:#d9480f;--c2:#2b8a3e;--c3:#862e9c;--c4:#b08800;--c5:#0b7285}</style>";
    let text = draw(plot)?;
    let end = text.find('>')? + 1;
    let (width, height) = plot.size;
    let head = text[..end].replacen(
        "<svg ",
        &format!("<svg width=\"{width}\" height=\"{height}\" "),
        1,
    );
    Some(format!("{head}{STYLE}{}", &text[end..]))
}

/// Powers of ten between the smallest and the largest value.
fn decades(values: impl Iterator<Item = f64>) -> f64 {
    let (low, high) = values.fold((f64::INFINITY, 0.0_f64), |(a, b), v| (a.min(v), b.max(v)));
    (high / low).log10()
}

fn paint(plot: &Plot, text: &mut String) -> Result<(), String> {
    let root = SVGBackend::with_string(text, plot.size).into_drawing_area();
    let points = || plot.series.iter().flat_map(|s| s.points.iter());
    let (x0, x1) = range(points().map(|p| p.0), false);
    // A logarithmic axis has ticks at powers of ten only: less than two of them tell nothing.
    let log = plot.log_y && decades(points().map(|p| p.1)) >= LOG_DECADES;
    let (y0, y1) = range(points().map(|p| p.1), log);
    let share = |(x, y): (f64, f64)| {
        let y = if log {
            (y / y0).ln() / (y1 / y0).ln()
        } else {
            (y - y0) / (y1 - y0)
        };
        [(x - x0) / (x1 - x0), y]
    };
    let corner = emptiest(plot, share);
    let mut builder = ChartBuilder::on(&root);
    builder
        .margin(8)
        .x_label_area_size(40)
        .y_label_area_size(64);
    if log {
        let chart = builder
            .build_cartesian_2d(x0..x1, (y0..y1).log_scale())
            .map_err(told)?;
        furnish(chart, plot, corner)?;
    } else {
        let chart = builder.build_cartesian_2d(x0..x1, y0..y1).map_err(told)?;
        furnish(chart, plot, corner)?;
    }
    root.present().map_err(told)
}

type Chart<'a, 'b, Y> =
    ChartContext<'a, SVGBackend<'b>, Cartesian2d<plotters::coord::types::RangedCoordf64, Y>>;

/// Drawing into memory fails for reasons that nobody can mend; the picture is then left out.
fn told(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// The corner in which a legend hides least; `share` gives places as parts of the axes.
fn emptiest(plot: &Plot, share: impl Fn((f64, f64)) -> [f64; 2]) -> SeriesLabelPosition {
    /// Part of the axes that a legend covers.
    const SIZE: [f64; 2] = [0.4, 0.3];
    /// Places that are looked at along a line between two points.
    const STEPS: usize = 12;
    let mut hidden = [0usize; 4];
    let mut count = |[x, y]: [f64; 2]| {
        let (left, right) = (x < SIZE[0], x > 1.0 - SIZE[0]);
        let (low, high) = (y < SIZE[1], y > 1.0 - SIZE[1]);
        let corners = [right && high, left && high, right && low, left && low];
        for (number, inside) in hidden.iter_mut().zip(corners) {
            *number += usize::from(inside);
        }
    };
    // Levels may be hidden in part.
    for series in plot.series.iter().filter(|s| s.mark != Mark::Level) {
        for pair in series.points.windows(2) {
            let (a, b) = (share(pair[0]), share(pair[1]));
            let joined = matches!(series.mark, Mark::Line | Mark::Dots);
            for k in 1..=if joined { STEPS } else { 0 } {
                let t = k as f64 / STEPS as f64;
                count([a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1])]);
            }
        }
        series.points.iter().for_each(|&p| count(share(p)));
    }
    let places = [
        SeriesLabelPosition::UpperRight,
        SeriesLabelPosition::UpperLeft,
        SeriesLabelPosition::LowerRight,
        SeriesLabelPosition::LowerLeft,
    ];
    let best = (0..4).min_by_key(|&k| hidden[k]).unwrap_or(0);
    places
        .into_iter()
        .nth(best)
        .unwrap_or(SeriesLabelPosition::UpperRight)
}

fn furnish<'a, 'b, Y>(
    mut chart: Chart<'a, 'b, Y>,
    plot: &Plot,
    corner: SeriesLabelPosition,
) -> Result<(), String>
where
    'b: 'a,
    Y: Ranged<ValueType = f64> + ValueFormatter<f64> + 'b,
{
    let font = ("sans-serif", 13).into_font().color(&INK);
    chart
        .configure_mesh()
        .x_desc(&plot.x)
        .y_desc(&plot.y)
        .x_labels(6)
        .y_labels(6)
        .max_light_lines(0)
        .bold_line_style(FAINT)
        .axis_style(INK)
        .label_style(font.clone())
        .axis_desc_style(font.clone())
        .x_label_formatter(&|v| short(*v))
        .y_label_formatter(&|v| short(*v))
        .draw()
        .map_err(told)?;
    let mut named = false;
    for series in &plot.series {
        let color = STAND_INS[series.color % COLORS];
        let drawn = match series.mark {
            Mark::Line | Mark::Dots => {
                if series.mark == Mark::Dots {
                    chart
                        .draw_series(
                            series
                                .points
                                .iter()
                                .map(|&p| Circle::new(p, 3, color.filled())),
                        )
                        .map_err(told)?;
                }
                chart.draw_series(LineSeries::new(
                    series.points.iter().copied(),
                    color.stroke_width(2),
                ))
            }
            Mark::Points => chart.draw_series(
                series
                    .points
                    .iter()
                    .map(|&p| Circle::new(p, 2, color.filled())),
            ),
            Mark::Level => chart.draw_series(DashedLineSeries::new(
                series.points.iter().copied(),
                5,
                4,
                INK.stroke_width(1),
            )),
        }
        .map_err(told)?;
        if !series.name.is_empty() {
            named = true;
            let swatch = if series.mark == Mark::Level {
                INK
            } else {
                color
            };
            drawn.label(&series.name).legend(move |(x, y)| {
                Rectangle::new([(x, y - 2), (x + 14, y + 2)], swatch.filled())
            });
        }
    }
    if named {
        chart
            .configure_series_labels()
            .position(corner)
            .label_font(font)
            .background_style(PAPER.mix(0.8).filled())
            .margin(6)
            .draw()
            .map_err(told)?;
    }
    Ok(())
}

/// A tick label: few digits, no tail of zeros.
fn short(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-3..1e6).contains(&size) {
        return format!("{value:.0e}");
    }
    let text = format!("{value:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" {
        "0".into()
    } else {
        text.into()
    }
}

/// Replaces the stand-in colours by theme variables and lets the picture scale.
fn themed(svg: &str, size: (u32, u32)) -> String {
    let hex = |c: RGBColor| format!("#{:02X}{:02X}{:02X}", c.0, c.1, c.2);
    let mut text = cloud::gathered(svg);
    for (index, &color) in STAND_INS.iter().enumerate() {
        text = text.replace(&hex(color), &format!("var(--c{index})"));
    }
    text = text
        .replace(&hex(INK), "var(--ink)")
        .replace(&hex(FAINT), "var(--faint)")
        .replace(&hex(PAPER), "var(--paper)");
    let (width, height) = size;
    text.replacen(
        &format!("<svg width=\"{width}\" height=\"{height}\""),
        "<svg class=\"plot\"",
        1,
    )
}

#[cfg(test)]
mod tests;
