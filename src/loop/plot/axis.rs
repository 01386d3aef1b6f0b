//! Axes: where they begin and end, and where they have ticks.

use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};
use std::ops::Range;

/// Ticks that an axis has about.
const TICKS: f64 = 6.0;
/// Part of the range that is left free at both ends.
const MARGIN: f64 = 0.04;

/// An axis for plotters. A logarithmic one is linear in the decadic logarithm.
#[derive(Clone)]
pub(super) struct Axis {
    log: bool,
    /// Ends, in places.
    pub range: (f64, f64),
    /// Ticks, in places.
    pub ticks: Vec<f64>,
}

impl Axis {
    /// An axis for these values, finite and, if it is logarithmic, positive.
    pub fn of(values: impl Iterator<Item = f64> + Clone, log: bool) -> Self {
        let place = |v: f64| if log { v.log10() } else { v };
        let ends = (f64::INFINITY, f64::NEG_INFINITY);
        let (low, high) = values
            .clone()
            .map(place)
            .fold(ends, |(a, b), v| (a.min(v), b.max(v)));
        let margin = match (high > low, log) {
            (true, _) => MARGIN * (high - low),
            (false, true) => 0.3,
            (false, false) => 0.5 * high.abs().max(1.0),
        };
        let range = (low - margin, high + margin);
        // What is counted has no halves.
        let least = if !log && values.into_iter().all(|v| v.fract() == 0.0) {
            1.0
        } else {
            0.0
        };
        let ticks = if log {
            decades(range)
        } else {
            even(range, least)
        };
        Self { log, range, ticks }
    }

    /// Where a value stands.
    pub fn place(&self, value: f64) -> f64 {
        if self.log { value.log10() } else { value }
    }

    /// The value at a place, in words.
    pub fn label(&self, place: f64) -> String {
        short(if self.log { 10f64.powf(place) } else { place })
    }
}

impl Ranged for Axis {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, place: &f64, (from, to): (i32, i32)) -> i32 {
        let share = (place - self.range.0) / (self.range.1 - self.range.0);
        from + (share * f64::from(to - from)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _hint: Hint) -> Vec<f64> {
        self.ticks.clone()
    }

    fn range(&self) -> Range<f64> {
        self.range.0..self.range.1
    }
}

/// Multiples of 1, 2 or 5 times a power of ten, no closer than `least`.
fn even((low, high): (f64, f64), least: f64) -> Vec<f64> {
    let rough = ((high - low) / TICKS).max(least);
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|k| k * power);
    let step = step
        .into_iter()
        .find(|s| *s >= rough * 0.999)
        .unwrap_or(rough);
    let first = (low / step).ceil() as i64;
    let last = (high / step).floor() as i64;
    (first..=last).map(|k| k as f64 * step).collect()
}

/// Powers of ten, with their twofold and fivefold where there are few, or what else is round.
fn decades((low, high): (f64, f64)) -> Vec<f64> {
    let within = |digits: &[f64], every: i64| -> Vec<f64> {
        let powers =
            (low.floor() as i64..=high.floor() as i64).filter(|p| p.rem_euclid(every) == 0);
        let all = powers.flat_map(|p| digits.iter().map(move |d| p as f64 + d.log10()));
        all.filter(|t| (low..=high).contains(t)).collect()
    };
    let every = ((high - low) / TICKS).ceil().max(1.0) as i64;
    let found = [within(&[1.0], every), within(&[1.0, 2.0, 5.0], 1)];
    match found.into_iter().find(|ticks| ticks.len() >= 3) {
        Some(ticks) => ticks,
        None => {
            let ends = (10f64.powf(low), 10f64.powf(high));
            even(ends, 0.0).into_iter().map(f64::log10).collect()
        }
    }
}

/// A tick label: few digits, no tail of zeros.
fn short(value: f64) -> String {
    let size = value.abs();
    // Rounding of logarithms is no size.
    if size >= 1e-12 && !(0.999e-3..1e6).contains(&size) {
        return format!("{value:.0e}");
    }
    let text = format!("{value:.4}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" {
        "0".into()
    } else {
        text.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(values: &[f64], log: bool) -> Vec<String> {
        let axis = Axis::of(values.iter().copied(), log);
        axis.ticks.iter().map(|t| axis.label(*t)).collect()
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(labels(&[0.0, 1.0, 2.0], false), ["0", "1", "2"]);
        assert_eq!(labels(&[0.0, 1.5], false), ["0", "0.5", "1", "1.5"]);
        assert_eq!(
            labels(&[0.01, 1000.0], true),
            ["0.01", "0.1", "1", "10", "100", "1000"]
        );
        assert_eq!(labels(&[3.0, 60.0], true), ["5", "10", "20", "50"]);
        // Less than a decade is logarithmic all the same, and has ticks.
        assert_eq!(labels(&[30.0, 38.0], true), ["30", "32", "34", "36", "38"]);
        assert!(labels(&[1e-9, 1e9], true).len() <= 8);
        // One value alone has a range.
        assert!(!labels(&[3.0], true).is_empty() && !labels(&[0.0], false).is_empty());
    }
}
