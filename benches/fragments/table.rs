//! Rows of the study and what is made of them.

use nepal::{Error, Result};
use std::fmt::Write;

/// What became of one target. Grades are the largest of a movable atom; 0 for no fragment.
#[derive(Clone, Debug, Default)]
pub struct Row {
    pub material: String,
    pub target: usize,
    pub grade: f64,
    pub parent_atoms: usize,
    pub naive_atoms: usize,
    pub naive: f64,
    pub naive_exact: bool,
    pub relaxed: f64,
    pub atoms: usize,
    pub shape: String,
    pub carved: f64,
    pub optimised: f64,
    pub exact: bool,
    pub seconds: f64,
    pub evaluations: usize,
    pub outcome: String,
}

impl Row {
    pub fn line(&self) -> String {
        let shape = if self.shape.is_empty() {
            "-"
        } else {
            &self.shape
        };
        format!(
            "{}\t{}\t{:.3}\t{}\t{}\t{:.3}\t{}\t{:.3}\t{}\t{shape}\t{:.3}\t{:.3}\t{}\t{:.2}\t{}\t{}",
            self.material,
            self.target,
            self.grade,
            self.parent_atoms,
            self.naive_atoms,
            self.naive,
            self.naive_exact,
            self.relaxed,
            self.atoms,
            self.carved,
            self.optimised,
            self.exact,
            self.seconds,
            self.evaluations,
            self.outcome
        )
    }

    fn parse(line: &str) -> Option<Self> {
        let mut f = line.split('\t');
        Some(Self {
            material: f.next()?.to_owned(),
            target: f.next()?.parse().ok()?,
            grade: f.next()?.parse().ok()?,
            parent_atoms: f.next()?.parse().ok()?,
            naive_atoms: f.next()?.parse().ok()?,
            naive: f.next()?.parse().ok()?,
            naive_exact: f.next()?.parse().ok()?,
            relaxed: f.next()?.parse().ok()?,
            atoms: f.next()?.parse().ok()?,
            shape: f.next()?.to_owned(),
            carved: f.next()?.parse().ok()?,
            optimised: f.next()?.parse().ok()?,
            exact: f.next()?.parse().ok()?,
            seconds: f.next()?.parse().ok()?,
            evaluations: f.next()?.parse().ok()?,
            outcome: f.next()?.to_owned(),
        })
    }
}

pub fn read(path: &str) -> Result<Vec<Row>> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::Failed(format!("{path}: {e}")))?;
    text.lines()
        .map(|line| {
            Row::parse(line)
                .ok_or_else(|| Error::Failed(format!("{path}: no row of the study: {line}")))
        })
        .collect()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// A table in Markdown, one line a material and one for all.
pub fn summary(rows: &[Row]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for row in rows {
        if !names.contains(&row.material.as_str()) {
            names.push(&row.material);
        }
    }
    let mut text = String::from(
        "| material | targets | exported | exact | naive < 2 | relaxed < 2 | carved < 2 | optimised < 2 | \
         atoms (naive) | s median / 95 % |\n|---|---|---|---|---|---|---|---|---|---|\n",
    );
    let mut line = |name: &str, rows: &[&Row]| {
        let n = rows.len() as f64;
        let made: Vec<&&Row> = rows.iter().filter(|r| r.atoms > 0).collect();
        let below = |grade: fn(&Row) -> f64| {
            let good = rows.iter().filter(|r| (1e-9..2.0).contains(&grade(r)));
            100.0 * good.count() as f64 / n
        };
        let mut seconds: Vec<f64> = rows.iter().map(|r| r.seconds).collect();
        seconds.sort_by(f64::total_cmp);
        let _ = writeln!(
            text,
            "| {name} | {} | {} | {:.1} % | {:.0} % | {:.0} % | {:.0} % | {:.1} % | {} ({}) | {:.1} / {:.1} |",
            rows.len(),
            made.len(),
            100.0 * made.iter().filter(|r| r.exact).count() as f64 / made.len().max(1) as f64,
            below(|r| r.naive),
            below(|r| r.relaxed),
            below(|r| r.carved),
            below(|r| r.optimised),
            median(made.iter().map(|r| r.atoms as f64).collect()),
            median(
                rows.iter()
                    .filter(|r| r.naive_atoms > 0)
                    .map(|r| r.naive_atoms as f64)
                    .collect()
            ),
            median(seconds.clone()),
            seconds[(0.95 * (n - 1.0)) as usize],
        );
    };
    for name in names {
        let own: Vec<&Row> = rows.iter().filter(|r| r.material == name).collect();
        line(name, &own);
    }
    line("all", &rows.iter().collect::<Vec<_>>());
    text
}
