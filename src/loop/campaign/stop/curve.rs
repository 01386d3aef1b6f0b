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

/// A forecast: the range that two thirds of the drawn futures give.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Range {
    /// The median.
    pub value: Option<f64>,
    /// The 16 % quantile.
    pub low: Option<f64>,
    /// The 84 % quantile.
    pub high: Option<f64>,
}

/// Fewest rounds that a forecast is made from.
const FEWEST: usize = 5;
/// Rounds ahead that are looked at.
const MOST_ROUNDS: f64 = 400.0;
/// A forecast whose ends differ by more than this factor is none.
const WIDEST: f64 = 10.0;

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

/// What is to be forecast: a quantity that falls with the structures and scatters from round to round.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Structures and the quantity, by round.
    pub points: &'a [(f64, f64)],
    /// It has to be below this,
    pub target: f64,
    /// in so many rounds in a row.
    pub rounds: usize,
    /// Structures that a round adds.
    pub pace: f64,
}

impl Question<'_> {
    /// Structures until the target is met: rounds to come are drawn about power laws through resampled points, with
    /// the scatter of the rounds so far, until one draw after the other meets it.
    ///
    /// **Errors**: why nothing can be told: too few rounds, a quantity that does not fall, or such scatter that the
    /// range would span more than a power of ten.
    pub fn forecast(&self, seed: u64) -> Result<Range, String> {
        let points = self.points;
        let row = points.iter().rev().take_while(|p| p.1 < self.target);
        let row = row.count();
        if row >= self.rounds {
            let none = Some(0.0);
            return Ok(Range {
                value: none,
                low: none,
                high: none,
            });
        }
        if points.len() < FEWEST {
            return Err(format!("needs {FEWEST} rounds, has {}", points.len()));
        }
        let curve = Curve::fit(points, false).ok_or("the rounds give no curve")?;
        // Two of the numbers that scatter went into the curve.
        let widened = (points.len() as f64 / (points.len() - 2) as f64).sqrt();
        let residuals: Vec<f64> = points
            .iter()
            .map(|p| widened * (p.1 / curve.at(p.0)).ln())
            .filter(|r| r.is_finite())
            .collect();
        if residuals.len() < FEWEST {
            return Err("the rounds give no curve".into());
        }
        let now = points.last().map_or(0.0, |p| p.0);
        let pace = self.pace.max(1.0);
        let mut rng = generator(seed, 11);
        let mut found = Vec::new();
        for _ in 0..SAMPLES {
            let mut draw = || residuals[rng.random_range(0..residuals.len())].exp();
            let drawn: Vec<(f64, f64)> = points
                .iter()
                .map(|p| (p.0, curve.at(p.0) * draw()))
                .collect();
            let Some(law) = Curve::fit(&drawn, false) else {
                continue;
            };
            let (mut structures, mut row) = (now, row);
            while row < self.rounds && structures < now + MOST_ROUNDS * pace {
                structures += pace;
                let met = law.at(structures) * draw() < self.target;
                row = if met { row + 1 } else { 0 };
            }
            let met = row >= self.rounds;
            found.push(if met { structures - now } else { f64::INFINITY });
        }
        found.sort_by(f64::total_cmp);
        let quantile = |f: f64| {
            let at = (f * found.len().saturating_sub(1) as f64) as usize;
            found.get(at).copied().filter(|n| n.is_finite())
        };
        let (low, value, high) = (quantile(0.16), quantile(0.5), quantile(0.84));
        match (low, high) {
            (Some(low), Some(high)) if high <= WIDEST * low.max(pace) => Ok(Range {
                value,
                low: Some(low),
                high: Some(high),
            }),
            (_, None) => Err("it does not fall fast enough yet to tell".into()),
            _ => Err("the rounds scatter too much to tell".into()),
        }
    }
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
        // A floor: its grid is steps of a twentieth of the smallest error.
        let last = 3.0 * 350f64.powf(-0.7) / 0.5;
        let c = 0.5 * last;
        let floored = Curve::fit(&points(3.0, 0.7, c), true).unwrap();
        assert!((floored.c - c).abs() < 1e-9 && (floored.b - 0.7).abs() < 1e-6);
    }

    fn ask(points: &[(f64, f64)], target: f64, rounds: usize) -> Result<Range, String> {
        let pace = 10.0;
        let question = Question {
            points,
            target,
            rounds,
            pace,
        };
        question.forecast(1)
    }

    #[test]
    fn an_exact_curve_is_followed_to_its_target() {
        // 3 N^-0.7 = 0.03 at N = 100^(1/0.7) = 719.7, the next tenth step beyond 350 is 720.
        let found = ask(&points(3.0, 0.7, 0.0), 0.03, 1).unwrap();
        assert_eq!(
            (found.low, found.value, found.high),
            (Some(370.0), Some(370.0), Some(370.0))
        );
        // Two rounds in a row are one more.
        let found = ask(&points(3.0, 0.7, 0.0), 0.03, 2).unwrap();
        assert_eq!(found.value, Some(380.0));
        // One that is met already.
        let found = ask(&points(3.0, 0.7, 0.0), 0.06, 1).unwrap();
        assert_eq!(found.value, Some(0.0));
    }

    #[test]
    fn noise_widens_the_range_and_what_cannot_be_told_is_not() {
        let mut noisy = points(3.0, 0.5, 0.0);
        for (k, p) in noisy.iter_mut().enumerate() {
            p.1 *= if k % 2 == 0 { 1.05 } else { 0.95 };
        }
        let range = ask(&noisy, 0.13, 1).unwrap();
        let ends = (range.low.unwrap(), range.high.unwrap());
        assert!(ends.1 > 1.3 * ends.0, "{range:?}");
        assert!(ask(&noisy[..4], 0.13, 1).unwrap_err().contains("5 rounds"));
        assert!(Curve::fit(&[(5.0, 1.0), (5.0, 0.9), (5.0, 0.8)], false).is_none());
        // So flat a curve says nothing of where it ends, and an error that rises never gets there.
        let flat = ask(&points(1.0, 0.05, 0.0), 0.4, 1).unwrap_err();
        assert!(flat.contains("fast enough"), "{flat}");
        let rising: Vec<(f64, f64)> = (1..7).map(|n| (f64::from(n), f64::from(n))).collect();
        assert!(ask(&rising, 0.5, 1).is_err());
    }
}
