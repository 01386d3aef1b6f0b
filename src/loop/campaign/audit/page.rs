//! An audit as a page and as Markdown.

use super::{Audit, Decile, SignalAudit};
use crate::campaign::report::page::{self, section};
use crate::campaign::report::{plots, tables};
use crate::plot::{Mark, Plot, Series};
use maud::{Markup, html};
use std::fmt::Write;

/// The whole page.
pub(super) fn render(audit: &Audit, title: &str) -> String {
    let milli = |x: Option<f64>| x.map_or("–".to_owned(), |x| format!("{:.1} meV/Å", 1e3 * x));
    let numbers = [
        (audit.training[1].to_string(), "training atoms"),
        (audit.dump[1].to_string(), "atoms in the dump"),
        (milli(audit.force_rmse[0]), "force error, training set"),
        (milli(audit.force_rmse[1]), "force error, dump"),
        (audit.members.to_string(), "members of the committee"),
    ];
    let content = html! {
        (page::summary(&numbers))
        @if audit.signals.iter().any(|s| s.correlation.is_some()) {
            (section(
                "Does the signal rank errors?",
                "Spearman's correlation of each signal with the force errors of the dump's atoms, and the mean error of the tenths with the lowest and the highest signal.",
                &table(&ranks(audit)),
            ))
            (section(
                "Errors by tenths of the signal",
                "Each tenth has the same number of atoms, the lowest signal first.",
                &page::figures(&figures(audit)),
            ))
        }
        @if audit.signals.iter().any(|s| s.coverage.is_some()) {
            (section(
                "Are the deviations right?",
                "Share of the dump's atoms whose force error is at most σ, which should be 68 %, and within the bound of 95 %: as calibrated on the training set, of which each frame was left out of the last layer in turn, and with the factors that are right for the other half of the dump's frames. The committee's σ is the one of Gaussian errors. Last, what σ has to be multiplied with to hold 68 and 95 % of the dump's errors.",
                &html! {
                    (table(&coverage(audit)))
                    (page::figures(&calibration(audit)))
                },
            ))
        }
        (section(
            "Does it see what is novel?",
            "Share of planted novel atoms above the signal's own threshold, which 1 % of the dump's atoms exceed.",
            &table(&detection(audit, |s| Some(&s.detected))),
        ))
        (section(
            "The grades at a threshold of 2",
            "Share of the same atoms with a grade above 2, the usual threshold for keeping a structure.",
            &table(&detection(audit, |s| s.above_two.as_ref())),
        ))
        (section(
            "An element never seen",
            "The smallest grade of an element's atoms when the active set was made without it.",
            &table(&elements(audit)),
        ))
        @if !audit.notes.is_empty() {
            (section("Notes", "", &html! { ul { @for note in &audit.notes { li { (note) } } } }))
        }
    };
    page::page(title, &content)
}

/// A head and rows of cells.
type Cells = (Vec<String>, Vec<Vec<String>>);

fn table((head, rows): &Cells) -> Markup {
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    tables::table("numbers", &head, &tables::plain(rows))
}

/// The tables as Markdown.
pub(super) fn markdown(audit: &Audit) -> String {
    let milli = |x: Option<f64>| x.map_or("–".to_owned(), |x| format!("{:.1}", 1e3 * x));
    let mut text = format!(
        "{} training frames ({} atoms, {} meV/Å), dump of {} frames ({} atoms, {} meV/Å), committee of {}.\n",
        audit.training[0],
        audit.training[1],
        milli(audit.force_rmse[0]),
        audit.dump[0],
        audit.dump[1],
        milli(audit.force_rmse[1]),
        audit.members
    );
    let mut add = |title: &str, (head, rows): Cells| {
        if rows.is_empty() {
            return;
        }
        let _ = write!(text, "\n{title}\n\n| {} |\n|", head.join(" | "));
        for _ in &head {
            text.push_str(" --- |");
        }
        text.push('\n');
        for row in rows {
            let _ = writeln!(text, "| {} |", row.join(" | "));
        }
    };
    if audit.signals.iter().any(|s| s.correlation.is_some()) {
        add("Errors of the dump's atoms (meV/Å):", ranks(audit));
    }
    add(
        "Errors within the bounds of the deviations:",
        coverage(audit),
    );
    add(
        "Novel atoms above the threshold that 1 % of the dump exceeds (%):",
        detection(audit, |s| Some(&s.detected)),
    );
    add(
        "Novel atoms with a grade above 2 (%):",
        detection(audit, |s| s.above_two.as_ref()),
    );
    add(
        "Smallest grade of an element's atoms without it in the set:",
        elements(audit),
    );
    text
}

fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(|&w| w.to_owned()).collect()
}

fn ranks(audit: &Audit) -> Cells {
    let head = words(&[
        "signal",
        "rank correlation",
        "mean error, lowest tenth",
        "mean error, highest tenth",
        "95 % of the highest tenth",
    ]);
    let milli = |x: Option<f64>| x.map_or("–".to_owned(), |x| format!("{:.1}", 1e3 * x));
    let row = |s: &SignalAudit| {
        vec![
            s.name.clone(),
            s.correlation.map_or("–".into(), |c| format!("{c:.2}")),
            milli(s.deciles.first().map(|d| d.mean)),
            milli(s.deciles.last().map(|d| d.mean)),
            milli(s.deciles.last().map(|d| d.most)),
        ]
    };
    (head, audit.signals.iter().map(row).collect())
}

fn detection(
    audit: &Audit,
    pick: impl for<'a> Fn(&'a SignalAudit) -> Option<&'a Vec<Option<f64>>>,
) -> Cells {
    let mut head = words(&["signal", "threshold"]);
    head.extend(
        audit
            .planted
            .iter()
            .map(|(name, count)| format!("{name} ({count})")),
    );
    let rows = audit.signals.iter().filter_map(|s| {
        let shares = pick(s)?;
        let threshold = if std::ptr::eq(shares, &s.detected) {
            format!("{:.3}", s.threshold)
        } else {
            "2".into()
        };
        let mut row = vec![s.name.clone(), threshold];
        row.extend(
            shares
                .iter()
                .map(|x| x.map_or("–".into(), |x| format!("{:.0}", 100.0 * x))),
        );
        Some(row)
    });
    (head, rows.collect())
}

fn coverage(audit: &Audit) -> Cells {
    let head = words(&[
        "deviation",
        "within σ (%)",
        "within the bound of 95 %",
        "within σ, by the dump's other half",
        "within the bound of 95 %, by the other half",
        "factor for 68 %",
        "factor for 95 %",
    ]);
    let two = |x: Option<[f64; 2]>, text: fn(f64) -> String| match x {
        Some(both) => both.map(text),
        None => ["–".into(), "–".into()],
    };
    let percent = |x: f64| format!("{:.1}", 100.0 * x);
    let row = |s: &SignalAudit| {
        s.coverage?;
        let mut row = vec![s.name.clone()];
        row.extend(two(s.coverage, percent));
        row.extend(two(s.recalibrated, percent));
        row.extend(two(s.factors, |x| format!("{x:.2}")));
        Some(row)
    };
    (head, audit.signals.iter().filter_map(row).collect())
}

/// What 68 % of the errors do not exceed against σ, which should be that, and mean errors against the ridge grade.
fn calibration(audit: &Audit) -> Markup {
    let series = |name: &str, scale: f64, color: usize, of: fn(&Decile) -> f64| {
        let found = audit.signals.iter().find(|s| s.name == name)?;
        let points = found.deciles.iter();
        Some(Series {
            name: name.into(),
            color,
            mark: Mark::Dots,
            points: points.map(|d| (scale * d.signal, 1e3 * of(d))).collect(),
        })
    };
    let plot = |x: &str, y: &str, series: Vec<Series>| Plot {
        x: x.into(),
        y: y.into(),
        size: (520, 340),
        series,
        ..Plot::default()
    };
    let mut deviations: Vec<Series> = ["learnt force deviation", "last-layer force deviation"]
        .iter()
        .enumerate()
        .filter_map(|(color, name)| series(name, 1e3, color, |d| d.usual))
        .collect();
    let all = deviations.iter().flat_map(|s| &s.points);
    let most = all.map(|p| p.0).fold(0.0, f64::max);
    deviations.push(Series {
        name: "as it should be".into(),
        color: 2,
        mark: Mark::Level,
        points: vec![(0.0, 0.0), (most, most)],
    });
    let grades = series("ridge Γ", 1.0, 3, |d| d.mean).into_iter().collect();
    html! {
        (plots::figure(
            &plot("σ (meV/Å)", "68 % of force errors (meV/Å)", deviations),
            "Calibration: tenths of the atoms by their σ, and what 68 % of the errors of each do not exceed.",
            &[],
        ))
        (plots::figure(&plot("ridge Γ", "mean force error (meV/Å)", grades), "Mean errors by their grade.", &[]))
    }
}

fn elements(audit: &Audit) -> Cells {
    let head = words(&["element left out", "compatibility γ", "ridge Γ"]);
    let rows = audit.unseen_elements.iter().map(|e| {
        vec![
            e.element.clone(),
            e.compatibility
                .map_or("refused".into(), |g| format!("{g:.2}")),
            e.ridge.map_or("infinite".into(), |g| format!("{g:.2}")),
        ]
    });
    (head, rows.collect())
}

/// Mean errors by decile, two panels: grades, and deviations.
fn figures(audit: &Audit) -> Markup {
    let panel = |caption: &str, names: &[&str]| -> Markup {
        let series = audit
            .signals
            .iter()
            .filter(|s| names.iter().any(|n| s.name.starts_with(n)))
            .enumerate()
            .map(|(color, s)| Series {
                name: s.name.clone(),
                color,
                mark: Mark::Dots,
                points: s
                    .deciles
                    .iter()
                    .enumerate()
                    .map(|(k, d)| ((k + 1) as f64, 1e3 * d.mean))
                    .collect(),
            });
        let plot = Plot {
            x: "tenth of the signal".into(),
            y: "mean force error (meV/Å)".into(),
            size: (520, 340),
            series: series.collect(),
            ..Plot::default()
        };
        plots::figure(&plot, caption, &[])
    };
    html! {
        (panel(
            "Grades: the steeper, the better the grade ranks errors.",
            &["compatibility", "ridge"],
        ))
        (panel(
            "Deviations: the last layer's posterior, what was learnt of it, and the committee.",
            &["last-layer", "learnt", "committee"],
        ))
    }
}
