//! One way to draw: lines, points and levels on linear or logarithmic axes, in colours that follow
//! the reader's light or dark theme.

mod axis;
mod cloud;
mod pdf;

pub use pdf::draw_pdf;

use axis::Axis;
use plotters::coord::Shift;
use plotters::prelude::*;
use std::fmt::Write;

/// How a series is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mark {
    /// Points joined by a line.
    Line,
    /// Line with a dot at each point.
    Dots,
    /// Points alone.
    Points,
    /// How many points lie where, the more the darker: for clouds that would hide themselves.
    Density,
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
#[derive(Clone, Debug, Default)]
pub struct Plot {
    /// Label of the horizontal axis, with its unit.
    pub x: String,
    /// Label of the vertical axis, with its unit.
    pub y: String,
    /// Whether the horizontal axis is logarithmic.
    pub log_x: bool,
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
/// Cells of a density along each axis, and steps of its shade.
const CELLS: usize = 64;
const SHADES: f64 = 6.0;
/// Height of a line of the legend, width of its letters on average, and of what stands before a name.
const LEGEND: [i32; 3] = [18, 7, 34];
const INK: RGBColor = RGBColor(9, 8, 7);
const FAINT: RGBColor = RGBColor(9, 8, 6);
const PAPER: RGBColor = RGBColor(9, 8, 5);

/// Colours of the stand-ins on paper, in their order, and those of ink, faint lines and the paper itself.
const ON_PAPER: [RGBColor; COLORS] = [
    RGBColor(0x1f, 0x6f, 0xeb),
    RGBColor(0xd9, 0x48, 0x0f),
    RGBColor(0x2b, 0x8a, 0x3e),
    RGBColor(0x86, 0x2e, 0x9c),
    RGBColor(0xb0, 0x88, 0x00),
    RGBColor(0x0b, 0x72, 0x85),
];
const INK_ON_PAPER: RGBColor = RGBColor(0x22, 0x22, 0x22);
const FAINT_ON_PAPER: RGBColor = RGBColor(0xdd, 0xdd, 0xdd);

/// The colour on paper that a stand-in is for; others are themselves.
fn on_paper(color: RGBColor) -> RGBColor {
    let index = STAND_INS.iter().position(|&s| s == color);
    match (index, color) {
        (Some(index), _) => ON_PAPER[index],
        (_, INK) => INK_ON_PAPER,
        (_, FAINT) => FAINT_ON_PAPER,
        (_, PAPER) => WHITE,
        _ => color,
    }
}

/// What of a plot can be drawn; `None` if that is nothing.
fn drawable(plot: &Plot) -> Option<Plot> {
    let usable = |&(x, y): &(f64, f64)| {
        let fits = |v: f64, log: bool| v.is_finite() && (!log || v > 0.0);
        fits(x, plot.log_x) && fits(y, plot.log_y)
    };
    let mut clean = plot.clone();
    for series in &mut clean.series {
        series.points.retain(usable);
    }
    clean.series.retain(|s| !s.points.is_empty());
    if clean.series.iter().all(|s| s.mark == Mark::Level) {
        return None;
    }
    Some(clean)
}

/// Draws a plot as SVG text; `None` if there is nothing finite to draw.
pub fn draw(plot: &Plot) -> Option<String> {
    let clean = drawable(plot)?;
    let mut text = String::new();
    let root = SVGBackend::with_string(&mut text, plot.size).into_drawing_area();
    paint(&clean, root).ok()?;
    Some(themed(&text, plot.size))
}

/// Draws a plot as an SVG file of its own, with its colours inside.
pub fn draw_alone(plot: &Plot) -> Option<String> {
    let text = draw(plot)?;
    let mut style = format!(
        "svg{{background:#fff;--paper:#fff;--ink:{};--faint:{}",
        hex(INK_ON_PAPER),
        hex(FAINT_ON_PAPER)
    );
    for (index, &color) in ON_PAPER.iter().enumerate() {
        let _ = write!(style, ";--c{index}:{}", hex(color));
    }
    let end = text.find('>')? + 1;
    let (width, height) = plot.size;
    let head = text[..end].replacen(
        "<svg ",
        &format!("<svg width=\"{width}\" height=\"{height}\" "),
        1,
    );
    Some(format!("{head}<style>{style}}}</style>{}", &text[end..]))
}

/// The points of a plot as a table: series, x and y, named by the axes.
pub fn csv(plot: &Plot) -> String {
    let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let mut text = format!("series,{},{}\n", quoted(&plot.x), quoted(&plot.y));
    for series in &plot.series {
        for (x, y) in &series.points {
            let _ = writeln!(text, "{},{x},{y}", quoted(&series.name));
        }
    }
    text
}

/// Drawing into memory fails for reasons that nobody can mend; the picture is then left out.
fn told(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn paint<B: DrawingBackend>(plot: &Plot, root: DrawingArea<B, Shift>) -> Result<(), String> {
    let points = || plot.series.iter().flat_map(|s| s.points.iter());
    let x = Axis::of(points().map(|p| p.0), plot.log_x);
    let y = Axis::of(points().map(|p| p.1), plot.log_y);
    let font = ("sans-serif", 13).into_font().color(&INK);
    // Above the axes a legend hides nothing.
    let mut place = (72, 6);
    for series in plot.series.iter().filter(|s| !s.name.is_empty()) {
        let width = LEGEND[2] + LEGEND[1] * series.name.chars().count() as i32;
        if place.0 > 72 && place.0 + width > plot.size.0 as i32 {
            place = (72, place.1 + LEGEND[0]);
        }
        let (left, top) = place;
        let swatch = match series.mark {
            Mark::Level => INK,
            _ => STAND_INS[series.color % COLORS],
        };
        let corners = [(left, top + 5), (left + 14, top + 9)];
        root.draw(&Rectangle::new(corners, swatch.filled()))
            .map_err(told)?;
        root.draw(&Text::new(
            series.name.clone(),
            (left + 20, top),
            font.clone(),
        ))
        .map_err(told)?;
        place.0 += width;
    }
    let named = plot.series.iter().any(|s| !s.name.is_empty());
    let top = if named { place.1 + LEGEND[0] } else { 8 };
    let mut chart = ChartBuilder::on(&root)
        .margin(8)
        .margin_top(top)
        .x_label_area_size(40)
        .y_label_area_size(64)
        .build_cartesian_2d(x.clone(), y.clone())
        .map_err(told)?;
    chart
        .configure_mesh()
        .x_desc(&plot.x)
        .y_desc(&plot.y)
        .max_light_lines(0)
        .bold_line_style(FAINT)
        .axis_style(INK)
        .label_style(font.clone())
        .axis_desc_style(font)
        .x_label_formatter(&|v| x.label(*v))
        .y_label_formatter(&|v| y.label(*v))
        .draw()
        .map_err(told)?;
    for series in &plot.series {
        let at = |&(a, b): &(f64, f64)| (x.place(a), y.place(b));
        let points: Vec<(f64, f64)> = series.points.iter().map(at).collect();
        mark(&mut chart, series, &points, [&x, &y]).map_err(told)?;
    }
    drop(chart);
    root.present().map_err(told)
}

fn mark<B: DrawingBackend>(
    chart: &mut ChartContext<'_, B, Cartesian2d<Axis, Axis>>,
    series: &Series,
    points: &[(f64, f64)],
    axes: [&Axis; 2],
) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
    let color = STAND_INS[series.color % COLORS];
    let dots = |radius: i32| {
        points
            .iter()
            .map(move |&p| Circle::new(p, radius, color.filled()))
    };
    let line = LineSeries::new(points.iter().copied(), color.stroke_width(2));
    match series.mark {
        Mark::Line => chart.draw_series(line).map(drop),
        Mark::Dots => {
            chart.draw_series(dots(3))?;
            chart.draw_series(line).map(drop)
        }
        Mark::Points => chart.draw_series(dots(2)).map(drop),
        Mark::Density => {
            let cells = cells(points, axes).into_iter();
            let cells =
                cells.map(|(corners, shade)| Rectangle::new(corners, color.mix(shade).filled()));
            chart.draw_series(cells).map(drop)
        }
        Mark::Level => {
            let points = points.iter().copied();
            let line = DashedLineSeries::new(points, 5, 4, INK.stroke_width(1));
            chart.draw_series(line).map(drop)
        }
    }
}

/// Corners and shade (0 to 1) of the cells of a density that have points.
fn cells(points: &[(f64, f64)], axes: [&Axis; 2]) -> Vec<([(f64, f64); 2], f64)> {
    let mut counts = std::collections::BTreeMap::<[usize; 2], usize>::new();
    let size = axes.map(|a| (a.range.1 - a.range.0) / CELLS as f64);
    for p in points {
        let cell = |k: usize, v: f64| ((v - axes[k].range.0) / size[k]) as usize;
        *counts.entry([cell(0, p.0), cell(1, p.1)]).or_default() += 1;
    }
    let most = counts.values().copied().max().unwrap_or(1) as f64;
    let corner = |i: usize, j: usize| {
        let at = |k: usize, n: usize| axes[k].range.0 + size[k] * n as f64;
        (at(0, i), at(1, j))
    };
    let shaded = counts.into_iter().map(|([i, j], count)| {
        let share = (count as f64).ln_1p() / most.ln_1p();
        (
            [corner(i, j), corner(i + 1, j + 1)],
            (SHADES * share).ceil() / SHADES,
        )
    });
    shaded.collect()
}

fn hex(c: RGBColor) -> String {
    format!("#{:02X}{:02X}{:02X}", c.0, c.1, c.2)
}

/// Replaces the stand-in colours by theme variables and lets the picture scale.
fn themed(svg: &str, size: (u32, u32)) -> String {
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
