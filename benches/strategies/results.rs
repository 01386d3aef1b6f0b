//! What cells gave, as JSON, as a table and as a plot.

use nepal::{Error, Result};
use plotters::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

/// A model on the way.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Point {
    pub labels: usize,
    /// Force error on the unknown, eV/Å.
    pub force_rmse: f64,
    /// Share of the unknown's atoms beyond a grade of 1.5.
    pub beyond: f64,
    /// Whether the hidden state is there, in the world that has one.
    pub hidden: Option<bool>,
}

/// One strategy in one world with one seed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Cell {
    pub world: String,
    pub way: String,
    pub seed: u64,
    pub points: Vec<Point>,
    pub stability: Vec<Stability>,
    pub seconds: f64,
}

/// Runs of the last model that were stable for so many steps, of so many.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Stability {
    pub steps: usize,
    pub runs: usize,
    pub survived: usize,
}

/// World, way and seed.
pub type Key<'a> = (&'a str, &'a str, u64);

impl Cell {
    fn key(&self) -> Key<'_> {
        (&self.world, &self.way, self.seed)
    }

    /// Whether so many runs of so many steps were tried.
    pub fn tried(&self, (runs, steps): (usize, usize)) -> bool {
        let mut all = self.stability.iter();
        all.any(|s| s.steps == steps && s.runs >= runs)
    }
}

#[derive(Default, Serialize, Deserialize)]
pub struct Results {
    cells: Vec<Cell>,
}

/// Mean and half the range.
fn spread(values: &[f64]) -> (f64, f64) {
    let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    (mean, 0.5 * (high - low))
}

/// Stable runs of some cells, by their length.
fn stable(cells: &[&Cell]) -> String {
    let mut sums: BTreeMap<usize, (usize, usize)> = BTreeMap::new();
    for s in cells.iter().flat_map(|c| &c.stability) {
        let sum = sums.entry(s.steps).or_default();
        *sum = (sum.0 + s.survived, sum.1 + s.runs);
    }
    let each = |(steps, (survived, runs)): (&usize, &(usize, usize))| {
        format!("{survived} of {runs} ({} ·10³ steps)", steps / 1000)
    };
    sums.iter().map(each).collect::<Vec<_>>().join(", ")
}

impl Results {
    pub fn read(path: &Path) -> Result<Self> {
        match std::fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|e| Error::Failed(format!("{}: {e}", path.display()))),
            Err(_) => Ok(Self::default()),
        }
    }

    pub fn write(&self, path: &Path) -> Result<()> {
        let bytes = serde_json::to_vec_pretty(self).map_err(|e| Error::Internal(e.to_string()))?;
        nepal::files::write_atomically(path, &bytes)
    }

    pub fn cell(&self, key: Key) -> Option<&Cell> {
        self.cells.iter().find(|c| c.key() == key)
    }

    /// Puts a cell in, in the place of one with the same key.
    pub fn set(&mut self, cell: Cell) {
        match self.cells.iter_mut().find(|c| c.key() == cell.key()) {
            Some(old) => *old = cell,
            None => self.cells.push(cell),
        }
    }

    pub fn add_stability(&mut self, key: Key, stability: Stability) {
        if let Some(cell) = self.cells.iter_mut().find(|c| c.key() == key) {
            cell.stability.retain(|s| s.steps != stability.steps);
            cell.stability.push(stability);
        }
    }

    /// Cells by world and way, in the order in which they came first.
    fn groups(&self) -> Vec<(&str, &str, Vec<&Cell>)> {
        let mut groups: Vec<(&str, &str, Vec<&Cell>)> = Vec::new();
        for cell in &self.cells {
            match groups
                .iter_mut()
                .find(|g| g.0 == cell.world && g.1 == cell.way)
            {
                Some(group) => group.2.push(cell),
                None => groups.push((&cell.world, &cell.way, vec![cell])),
            }
        }
        groups.sort_by_key(|g| g.0);
        groups
    }

    /// Labels after which an error was first reached, if it was.
    fn labels_to(cell: &Cell, error: f64) -> Option<usize> {
        cell.points
            .iter()
            .find(|p| p.force_rmse <= error)
            .map(|p| p.labels)
    }

    pub fn table(&self) -> String {
        let mut text = String::from(
            "| world | way | seeds | labels | force error on the unknown (meV/Å) | labels to the error that random frames end with | atoms beyond Γ 1.5 (%) | stable runs | hidden state |\n|---|---|---|---|---|---|---|---|---|\n",
        );
        let groups = self.groups();
        for (world, way, cells) in &groups {
            let random = groups.iter().find(|g| g.0 == *world && g.1 == "random");
            let ends = |cells: &[&Cell], of: &dyn Fn(&Point) -> f64| {
                let last = cells.iter().filter_map(|c| c.points.last());
                last.map(of).collect::<Vec<f64>>()
            };
            let error = spread(&ends(cells, &|p| 1e3 * p.force_rmse));
            let goal = random.map(|g| spread(&ends(&g.2, &|p| p.force_rmse)).0);
            let reached: Vec<Option<usize>> = (goal.iter())
                .flat_map(|goal| cells.iter().map(|c| Self::labels_to(c, *goal)))
                .collect();
            let to = match reached.iter().flatten().count() {
                0 => "–".into(),
                n => {
                    let sum: usize = reached.iter().flatten().sum();
                    format!("{:.0} ({n} of {})", sum as f64 / n as f64, reached.len())
                }
            };
            let hidden: Vec<bool> = (cells.iter())
                .filter_map(|c| c.points.last()?.hidden)
                .collect();
            let _ = writeln!(
                text,
                "| {world} | {way} | {} | {:.0} | {:.0} ± {:.0} | {to} | {:.1} | {} | {} |",
                cells.len(),
                spread(&ends(cells, &|p| p.labels as f64)).0,
                error.0,
                error.1,
                spread(&ends(cells, &|p| 100.0 * p.beyond)).0,
                stable(cells),
                match hidden.len() {
                    0 => "–".into(),
                    n => format!("{} of {n}", hidden.iter().filter(|h| **h).count()),
                }
            );
        }
        text
    }

    /// The table in a page between two marks, and a plot for each world beside it.
    pub fn page(&self, path: &Path) -> Result<()> {
        const MARKS: [&str; 2] = ["<!-- results -->\n", "<!-- end -->\n"];
        let mut body = format!("{}{}", MARKS[0], self.table());
        let mut worlds: BTreeMap<&str, Vec<(&str, Vec<&Cell>)>> = BTreeMap::new();
        for (world, way, cells) in self.groups() {
            worlds.entry(world).or_default().push((way, cells));
        }
        for (world, ways) in &worlds {
            let name = format!("strategies-{world}.svg");
            plot(&path.with_file_name(&name), world, ways)
                .map_err(|e| Error::Failed(e.to_string()))?;
            let _ = writeln!(body, "\n![{world}: force error against labels]({name})");
        }
        body.push_str(MARKS[1]);
        let before = std::fs::read_to_string(path).unwrap_or_default();
        let text = match (before.find(MARKS[0]), before.find(MARKS[1])) {
            (Some(a), Some(b)) => {
                format!("{}{body}{}", &before[..a], &before[b + MARKS[1].len()..])
            }
            _ => before + &body,
        };
        nepal::files::write_atomically(path, text.as_bytes())
    }
}

/// Mean curves of a world's ways, with their spread.
fn plot(
    path: &Path,
    world: &str,
    ways: &[(&str, Vec<&Cell>)],
) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let curve = |cells: &[&Cell]| -> Vec<(f64, f64, f64)> {
        let points = cells.iter().flat_map(|c| &c.points);
        let counts: BTreeSet<usize> = points.map(|p| p.labels).collect();
        // Every seed counts everywhere: batches differ, and some seeds end early.
        let last = |n: usize| {
            let last = cells
                .iter()
                .filter_map(move |c| c.points.iter().rfind(|p| p.labels <= n));
            last.map(|p| 1e3 * p.force_rmse)
        };
        let mean = |n: usize| {
            let (mean, half) = spread(&last(n).collect::<Vec<f64>>());
            (n as f64, mean, half)
        };
        counts.into_iter().map(mean).collect()
    };
    let curves: Vec<(&str, Vec<(f64, f64, f64)>)> =
        ways.iter().map(|(w, c)| (*w, curve(c))).collect();
    let all = || curves.iter().flat_map(|c| &c.1);
    let fold = |of: &dyn Fn(&(f64, f64, f64)) -> f64, larger: bool| {
        all()
            .map(of)
            .reduce(|a, b| if (b > a) == larger { b } else { a })
            .unwrap_or(1.0)
    };
    let (left, right) = (fold(&|p| p.0, false), fold(&|p| p.0, true));
    let (low, high) = (
        fold(&|p| (p.1 - p.2).max(1.0), false),
        fold(&|p| p.1 + p.2, true),
    );
    let area = SVGBackend::new(path, (640, 420)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(world, ("sans-serif", 16))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(56)
        .build_cartesian_2d(
            left..right.max(left + 1.0),
            (0.9 * low..1.1 * high).log_scale(),
        )?;
    chart
        .configure_mesh()
        .x_desc("labels")
        .y_desc("force error on the unknown (meV/Å)")
        .max_light_lines(0)
        .y_label_formatter(&|y| format!("{y:.0}"))
        .draw()?;
    for (k, (way, points)) in curves.iter().enumerate() {
        let color = Palette99::pick(k).to_rgba();
        for (x, mean, half) in points {
            chart.draw_series([PathElement::new(
                vec![(*x, (mean - half).max(0.9 * low)), (*x, mean + half)],
                color.stroke_width(1),
            )])?;
            chart.draw_series([Circle::new((*x, *mean), 3, color.filled())])?;
        }
        chart
            .draw_series(LineSeries::new(
                points.iter().map(|p| (p.0, p.1)),
                color.stroke_width(2),
            ))?
            .label(*way)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], color.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .background_style(WHITE.mix(0.8))
        .draw()?;
    area.present()?;
    Ok(())
}
