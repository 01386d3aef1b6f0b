//! The learning curve: how an error falls with the number of labels, and where it is going.

use crate::explore::random::generator;
use rand::RngExt;
use serde::{Deserialize, Serialize};

/// Samples of the bootstrap.
const SAMPLES: usize = 200;
/// Floors that are tried, as parts of the smallest error.
const FLOORS: usize = 20;
/// Fewest points for a floor: with fewer it could be anything.
const POINTS_FOR_FLOOR: usize = 5;

/// err = a N^-b + c.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// Error of a single label, above the floor.
    pub a: f64,
    /// How fast it falls.
    pub b: f64,
    /// The floor that it will not fall below.
    pub c: f64,
}

/// A number with the range that two thirds of the resampled curves give.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Range {
    /// Of the curve through all points; none if it never gets there, or only with more than a thousand
    /// times what there is.
    pub value: Option<f64>,
    /// The 16 % quantile.
    pub low: Option<f64>,
    /// The 84 % quantile.
    pub high: Option<f64>,
}

/// A curve through a few points says nothing beyond this many times their number of labels.
const REACH: f64 = 1e3;

impl Curve {
    /// Through some points (N, error) by least squares of the logarithms; `None` with fewer than three
    /// usable points or a single N. `floor` asks for c, which needs five points.
    pub fn fit(points: &[(f64, f64)], floor: bool) -> Option<Self> {
        let points: Vec<(f64, f64)> = points
            .iter()
            .copied()
            .filter(|p| p.0 > 0.0 && p.1 > 0.0 && p.0.is_finite() && p.1.is_finite())
            .collect();
        if points.len() < 3 {
            return None;
        }
        let least = points.iter().map(|p| p.1).fold(f64::INFINITY, f64::min);
        let floors = if floor && points.len() >= POINTS_FOR_FLOOR {
            FLOORS
        } else {
            1
        };
        let mut best: Option<(f64, Self)> = None;
        for k in 0..floors {
            let c = least * k as f64 / FLOORS as f64;
            let Some((a, b)) = line(&points, c) else {
                continue;
            };
            let curve = Self { a, b, c };
            let misfit: f64 = points
                .iter()
                .map(|p| (curve.at(p.0) / p.1).ln().powi(2))
                .sum();
            if best.is_none_or(|(least, _)| misfit < least) {
                best = Some((misfit, curve));
            }
        }
        best.map(|b| b.1)
    }

    /// The error with n labels.
    pub fn at(&self, n: f64) -> f64 {
        self.a * n.powf(-self.b) + self.c
    }

    /// Labels for an error; `None` if the curve never falls that far.
    pub fn labels_for(&self, error: f64) -> Option<f64> {
        let above = error - self.c;
        (self.b > 1e-3 && above > 0.0 && self.a > 0.0)
            .then(|| (self.a / above).powf(1.0 / self.b))
            .filter(|n| n.is_finite() && *n < 1e12)
    }

    /// Part of the error that twice as many labels would take away.
    pub fn gain_of_doubling(&self, n: f64) -> f64 {
        1.0 - self.at(2.0 * n) / self.at(n)
    }
}

/// a and b of ln(err − c) = ln a − b ln N.
fn line(points: &[(f64, f64)], c: f64) -> Option<(f64, f64)> {
    let n = points.len() as f64;
    let logs = || points.iter().map(|p| (p.0.ln(), (p.1 - c).ln()));
    let (x, y) = logs().fold((0.0, 0.0), |s, p| (s.0 + p.0 / n, s.1 + p.1 / n));
    let (xx, xy) = logs().fold((0.0, 0.0), |s, p| {
        (s.0 + (p.0 - x).powi(2), s.1 + (p.0 - x) * (p.1 - y))
    });
    if xx < 1e-12 || !y.is_finite() {
        return None;
    }
    let slope = xy / xx;
    Some(((y - slope * x).exp(), -slope))
}

/// Labels to go from the last point until an error is reached, resampling the residuals.
pub fn labels_to_go(points: &[(f64, f64)], target: f64, seed: u64) -> Option<Range> {
    let curve = Curve::fit(points, true)?;
    let now = points.last()?.0;
    let rest = |curve: &Curve| {
        let needed = curve.labels_for(target).filter(|n| *n < REACH * now);
        needed.map(|n| (n - now).max(0.0))
    };
    let residuals: Vec<f64> = points
        .iter()
        .map(|p| (p.1 / curve.at(p.0)).ln())
        .filter(|r| r.is_finite())
        .collect();
    let mut rng = generator(seed, 11);
    let mut found: Vec<f64> = Vec::new();
    for _ in 0..SAMPLES {
        let drawn: Vec<(f64, f64)> = points
            .iter()
            .map(|p| {
                let r = residuals[rng.random_range(0..residuals.len())];
                (p.0, curve.at(p.0) * r.exp())
            })
            .collect();
        let n = Curve::fit(&drawn, true).and_then(|c| rest(&c));
        found.push(n.unwrap_or(f64::INFINITY));
    }
    found.sort_by(f64::total_cmp);
    let quantile =
        |f: f64| Some(found[(f * (SAMPLES - 1) as f64) as usize]).filter(|n| n.is_finite());
    Some(Range {
        value: rest(&curve),
        low: quantile(0.16),
        high: quantile(0.84),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(a: f64, b: f64, c: f64) -> Vec<(f64, f64)> {
        [20.0, 40.0, 70.0, 120.0, 200.0, 350.0]
            .map(|n: f64| (n, a * n.powf(-b) + c))
            .to_vec()
    }

    #[test]
    fn exact_curves_are_found_again() {
        let found = Curve::fit(&points(3.0, 0.7, 0.0), true).unwrap();
        assert!((found.a - 3.0).abs() < 1e-9 && (found.b - 0.7).abs() < 1e-9 && found.c == 0.0);
        assert!((found.gain_of_doubling(100.0) - (1.0 - 0.5f64.powf(0.7))).abs() < 1e-9);
        // 3 N^-0.7 = 0.03 at N = 100^(1/0.7).
        let n = 100f64.powf(1.0 / 0.7);
        let range = labels_to_go(&points(3.0, 0.7, 0.0), 0.03, 1).unwrap();
        assert!((range.value.unwrap() - (n - 350.0)).abs() < 1e-6 * n);
        assert!((range.low.unwrap() - range.high.unwrap()).abs() < 1e-6 * n);
        // A floor: its grid is steps of a twentieth of the smallest error.
        let last = 3.0 * 350f64.powf(-0.7) / 0.5;
        let c = 0.5 * last;
        let floored = Curve::fit(&points(3.0, 0.7, c), true).unwrap();
        assert!((floored.c - c).abs() < 1e-9 && (floored.b - 0.7).abs() < 1e-6);
        assert!(floored.labels_for(0.9 * c).is_none());
        assert!(
            labels_to_go(&points(3.0, 0.7, c), 0.9 * c, 1)
                .unwrap()
                .value
                .is_none()
        );
    }

    #[test]
    fn noise_widens_the_range_and_few_points_give_none() {
        let mut noisy = points(3.0, 0.5, 0.0);
        for (k, p) in noisy.iter_mut().enumerate() {
            p.1 *= if k % 2 == 0 { 1.1 } else { 0.9 };
        }
        let range = labels_to_go(&noisy, 0.08, 1).unwrap();
        let (value, low, high) = (
            range.value.unwrap(),
            range.low.unwrap(),
            range.high.unwrap(),
        );
        assert!(low < value && value < high && high > 1.1 * low, "{range:?}");
        assert!(labels_to_go(&noisy[..2], 0.08, 1).is_none());
        assert!(Curve::fit(&[(5.0, 1.0), (5.0, 0.9), (5.0, 0.8)], false).is_none());
        // So flat a curve says nothing of where it ends.
        let flat = points(1.0, 0.05, 0.0);
        let far = labels_to_go(&flat, 0.4, 1).unwrap();
        assert_eq!((far.value, far.high), (None, None));
        // An error that rises never gets there.
        let rising = [(10.0, 1.0), (20.0, 1.2), (40.0, 1.5)];
        assert_eq!(labels_to_go(&rising, 0.5, 1).unwrap().value, None);
    }
}
