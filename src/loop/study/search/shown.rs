//! How a search is shown: a table and a picture.

use super::{Candidate, Search};
use crate::plot::{Mark, Plot, Series, draw_alone};

impl Search {
    /// The candidate of most rounds with the best score.
    pub fn best(&self) -> Option<&Candidate> {
        self.candidates.first()
    }

    /// The candidates as lines of text; a star marks those that are best at their cost.
    pub fn table(&self) -> String {
        let milli = |v: Option<f64>| v.map_or("-".into(), |v| format!("{:.2}", 1e3 * v));
        let mut text = String::from(
            "   rounds  meV/atom  meV/Å  µs/atom  cutoff     n_max  basis  l_max  neurons  parameters\n",
        );
        for c in &self.candidates {
            text.push_str(&format!(
                "{} {:>7} {:>9} {:>6} {:>8.2}  {:<10} {:<6} {:<6} {:<6} {:<8} {}\n",
                if c.pareto { '*' } else { ' ' },
                c.rounds,
                milli(c.test.energy_rmse),
                milli(c.test.force_rmse),
                c.cost,
                format!("{} {}", c.cutoff[0], c.cutoff[1]),
                format!("{} {}", c.n_max[0], c.n_max[1]),
                format!("{} {}", c.basis_size[0], c.basis_size[1]),
                c.l_max[0],
                c.neurons,
                c.parameters
            ));
        }
        text
    }

    /// Held-out force error against cost, as SVG; `None` if there is nothing to draw.
    pub fn svg(&self) -> Option<String> {
        let points = |pick: &dyn Fn(&Candidate) -> bool| -> Vec<(f64, f64)> {
            let some = self.candidates.iter().filter(|c| pick(c));
            let mut points: Vec<(f64, f64)> = some
                .filter_map(|c| Some((c.cost, 1e3 * c.test.force_rmse?)))
                .collect();
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            points
        };
        let series = |name: &str, color, mark, points| Series {
            name: name.into(),
            color,
            mark,
            points,
        };
        draw_alone(&Plot {
            x: "cost on one thread (µs per atom)".into(),
            y: "held-out force RMSE (meV/Å)".into(),
            size: (640, 420),
            series: vec![
                series("dropped", 4, Mark::Points, points(&|c| !c.pareto)),
                series("best at its cost", 0, Mark::Dots, points(&|c| c.pareto)),
            ],
            ..Plot::default()
        })
    }
}
