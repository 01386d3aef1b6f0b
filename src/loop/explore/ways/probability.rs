//! ALmoMD's probability: uncertain and energetically viable.
//!
//! One rule for the way `anharmonic`, which asks it of every graded frame, and for the method `almomd` of
//! selection. Source: the documentation and figure of ALmoMD (P_U, P_E), with its later code's P_E as an
//! alternative.

use serde::{Deserialize, Serialize};

/// Which of the two published forms of the energy's probability.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EnergyRule {
    /// 1 up to one standard deviation above the mean, 0.2 at 1.8, falling on.
    #[default]
    Figure,
    /// What the public code does since August 2024: 0.2 two standard deviations below the mean,
    /// rising to 1 at one above, however high the energy is.
    Head,
}

/// Middle and spread of a quantity.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spread {
    /// Median.
    pub middle: f64,
    /// Standard deviation of a normal distribution with the same median absolute deviation.
    pub width: f64,
}

/// Standard deviation of a normal distribution in units of its median absolute deviation.
const MAD_TO_SIGMA: f64 = 1.482_602_218_505_602;

impl Spread {
    /// Median and spread of some values; `None` without a finite one.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().filter(|x| x.is_finite()).collect();
        let middle = median(&mut values)?;
        let mut off: Vec<f64> = values.iter().map(|x| (x - middle).abs()).collect();
        let width = MAD_TO_SIGMA * median(&mut off)?;
        Some(Self {
            middle,
            // All values alike: any other one is far away.
            width: width.max(1e-12 * middle.abs()).max(f64::MIN_POSITIVE),
        })
    }
}

fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let n = values.len();
    match n {
        0 => None,
        _ if n % 2 == 1 => Some(values[n / 2]),
        _ => Some(0.5 * (values[n / 2 - 1] + values[n / 2])),
    }
}

/// What is usual.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Usual {
    /// Uncertainty of a frame.
    pub uncertainty: Spread,
    /// Potential energy, eV/atom.
    pub energy: Spread,
}

impl Usual {
    /// From uncertainties and energies of frames; `None` without finite ones.
    pub fn of(frames: &[[f64; 2]]) -> Option<Self> {
        Some(Self {
            uncertainty: Spread::of(frames.iter().map(|f| f[0]))?,
            energy: Spread::of(frames.iter().map(|f| f[1]))?,
        })
    }
}

/// The rule's own numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    /// Standard deviations above the middle at which an uncertainty has the probability 1/2.
    pub shift: f64,
    /// Width of the rise from 0 to 1 in standard deviations, up to a factor of √0.2.
    pub grad: f64,
    /// How energies are judged.
    pub energy: EnergyRule,
}

impl Default for Rule {
    /// 2 and 1, the figure's rule: ALmoMD's own.
    fn default() -> Self {
        Self {
            shift: 2.0,
            grad: 1.0,
            energy: EnergyRule::default(),
        }
    }
}

impl Rule {
    /// Probability that an uncertainty is worth a label:
    /// P_U = ½ [1 + erf((U − Ū − shift s) / (grad s √0.2))].
    pub fn uncertain(&self, value: f64, spread: Spread) -> f64 {
        if !value.is_finite() {
            return 1.0;
        }
        let above = value - spread.middle - self.shift * spread.width;
        0.5 * (1.0 + erf(above / (self.grad * spread.width * 0.2f64.sqrt())))
    }

    /// Probability that an energy is one that the material will visit.
    pub fn viable(&self, value: f64, spread: Spread) -> f64 {
        let z = (value - spread.middle) / spread.width;
        let p = match self.energy {
            EnergyRule::Figure => 0.2f64.powf((z - 1.0) / 0.8),
            EnergyRule::Head => 5f64.powf((z - 1.0) / 3.0),
        };
        if p.is_nan() { 0.0 } else { p.min(1.0) }
    }
}

/// The error function, to 1.2e-7: Numerical Recipes' Chebyshev fit of erfc.
fn erf(x: f64) -> f64 {
    const C: [f64; 10] = [
        -1.265_512_23,
        1.000_023_68,
        0.374_091_96,
        0.096_784_18,
        -0.186_288_06,
        0.278_868_07,
        -1.135_203_98,
        1.488_515_87,
        -0.822_152_23,
        0.170_872_77,
    ];
    let t = 1.0 / (1.0 + 0.5 * x.abs());
    let series = C.iter().rev().fold(0.0, |sum, c| sum * t + c);
    let erfc = t * (-x * x + series).exp();
    if x >= 0.0 { 1.0 - erfc } else { erfc - 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIT: Spread = Spread {
        middle: 3.0,
        width: 0.5,
    };

    #[test]
    fn tabulated_values_are_met() {
        for (x, y) in [
            (0.0, 0.0),
            (0.5, 0.520_499_878),
            (1.0, 0.842_700_793),
            (-2.0, -0.995_322_265),
        ] {
            assert!((erf(x) - y).abs() < 2e-7, "erf({x})");
        }
        let rule = Rule::default();
        let uncertain = |value| rule.uncertain(value, UNIT);
        assert!((uncertain(3.0 + 2.0 * 0.5) - 0.5).abs() < 1e-6);
        // Two thirds of the way up at 2 + √0.2·0.3041 (erf = 1/3).
        let x = 3.0 + 0.5 * (2.0 + 0.2f64.sqrt() * 0.304_570_19);
        assert!((uncertain(x) - 2.0 / 3.0).abs() < 1e-6);
        assert!(uncertain(3.0) < 1e-6 && uncertain(f64::INFINITY) == 1.0);
        let wide = Rule {
            shift: 1.0,
            grad: 3.0,
            ..rule
        };
        let x = 3.0 + 0.5 * (1.0 + 3.0 * 0.2f64.sqrt() * 0.304_570_19);
        assert!((wide.uncertain(x, UNIT) - 2.0 / 3.0).abs() < 1e-6);
        let at = |z: f64, energy| Rule { energy, ..rule }.viable(3.0 + 0.5 * z, UNIT);
        assert_eq!(at(1.0, EnergyRule::Figure), 1.0);
        assert_eq!(at(-4.0, EnergyRule::Figure), 1.0);
        assert!((at(1.8, EnergyRule::Figure) - 0.2).abs() < 1e-12);
        assert!((at(2.6, EnergyRule::Figure) - 0.04).abs() < 1e-12);
        assert!((at(-2.0, EnergyRule::Head) - 0.2).abs() < 1e-12);
        assert!((at(0.0, EnergyRule::Head) - 0.2f64.powf(1.0 / 3.0)).abs() < 1e-12);
        assert_eq!(at(50.0, EnergyRule::Head), 1.0);
        assert_eq!(rule.viable(f64::NAN, UNIT), 0.0);
    }

    #[test]
    fn outliers_do_not_move_middle_and_width() {
        let s = Spread::of([1.0, 2.0, 3.0, 4.0, 1e9, f64::NAN]).unwrap();
        assert_eq!(s.middle, 3.0);
        assert!((s.width - MAD_TO_SIGMA).abs() < 1e-12);
        assert!(Spread::of([f64::NAN]).is_none());
        assert_eq!(Spread::of([1.0, 2.0]).unwrap().middle, 1.5);
    }
}
