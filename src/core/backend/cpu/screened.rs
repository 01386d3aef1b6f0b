//! Screened charges in real space: pairs inside the radial cutoff.

use super::long_range::{Field, Source};
use crate::backend::System;
use crate::model::Electrostatics;
use crate::system::cell::{dot, sub};
use crate::units::COULOMB;
use rayon::prelude::*;

/// Adds half of each pair to its centre. **Shapes**: `packed` `[places]`, positions as the engine
/// packs them.
pub(super) fn add(
    packed: &[[f64; 4]],
    system: &System<'_>,
    source: Source<'_>,
    (how, cutoff): (Electrostatics, f64),
    field: &mut Field,
) {
    let entries = system.neighbors.raw();
    let pair = Pair::new(source.alpha, cutoff, how);
    let charge_of = |place: usize| match entries.source.is_empty() {
        true => source.strengths[place],
        false => source.strengths[entries.source[place] as usize],
    };
    let at = |place: usize| {
        let [x, y, z, _] = packed[place];
        [x, y, z]
    };
    let rows = field.rows().enumerate().with_min_len(64);
    let virials = rows.map(|(i, row)| {
        let origin = at(entries.local(i));
        let own = source.strengths[i];
        let mut total = [0.0; 9];
        for &j in &entries.index[entries.offsets[i]..entries.offsets[i + 1]] {
            let vector = sub(at(j as usize), origin);
            let square = dot(vector, vector);
            if square >= cutoff * cutoff {
                continue;
            }
            let r = square.sqrt();
            let (phi, dphi) = pair.at(r);
            let other = charge_of(j as usize);
            *row.energy += 0.5 * own * other * phi;
            *row.slope += other * phi;
            let scale = own * other * dphi / r;
            for a in 0..3 {
                // f_ij - f_ji of the two halves.
                row.force[a] += scale * vector[a];
                for b in 0..3 {
                    total[3 * a + b] -= 0.5 * scale * vector[a] * vector[b];
                }
            }
        }
        if let Some(virial) = row.virial {
            virial.iter_mut().zip(total).for_each(|(to, w)| *to += w);
        }
        total
    });
    // In the order of the atoms, so that a run repeats to the last bit.
    let virials: Vec<[f64; 9]> = virials.collect();
    for w in virials {
        field.virial.iter_mut().zip(w).for_each(|(to, w)| *to += w);
    }
}

/// Terms of the series of erfc on an interval.
const TERMS: usize = 11;
/// Intervals per unit of the argument: the series' last term is below 1e-13.
const INTERVALS: f64 = 8.0;

/// The screened interaction of two unit charges from series of erfc, at a third of its cost.
struct Pair {
    alpha: f64,
    /// Taylor coefficients about the middle of each interval, highest first.
    series: Vec<[f64; TERMS]>,
    /// What is taken off: value and slope at the cutoff.
    end: [f64; 2],
    cutoff: f64,
}

impl Pair {
    fn new(alpha: f64, cutoff: f64, how: Electrostatics) -> Self {
        let count = (alpha * cutoff * INTERVALS).ceil() as usize + 1;
        let series = (0..count).map(|i| {
            let x = (i as f64 + 0.5) / INTERVALS;
            let mut row = [0.0; TERMS];
            row[TERMS - 1] = libm::erfc(x);
            // The n-th derivative of exp(-x²) is (-1)ⁿ Hₙ(x) exp(-x²).
            let (mut before, mut hermite) = (0.0, 1.0);
            let mut factor = -std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp();
            for n in 1..TERMS {
                factor /= n as f64;
                row[TERMS - 1 - n] = factor * hermite;
                let next = 2.0 * x * hermite - 2.0 * (n - 1) as f64 * before;
                (before, hermite) = (hermite, next);
                factor = -factor;
            }
            row
        });
        let mut pair = Self {
            alpha,
            series: series.collect(),
            end: [0.0; 2],
            cutoff,
        };
        if how == Electrostatics::RealSpace {
            let (phi, dphi) = pair.at(cutoff);
            pair.end = [phi, dphi];
        }
        pair
    }

    /// Value (eV/e²) and derivative at a distance of at most the cutoff, Å.
    #[inline(always)]
    fn at(&self, r: f64) -> (f64, f64) {
        let scaled = self.alpha * r * INTERVALS;
        let number = scaled as usize;
        let t = (scaled - number as f64 - 0.5) / INTERVALS;
        let (mut value, mut slope) = (0.0, 0.0);
        for c in self.series[number] {
            slope = slope * t + value;
            value = value * t + c;
        }
        let inverse = 1.0 / r;
        let phi = COULOMB * value * inverse;
        let dphi = (COULOMB * self.alpha * slope - phi) * inverse;
        let [end, slope_at_end] = self.end;
        (
            phi - end - slope_at_end * (r - self.cutoff),
            dphi - slope_at_end,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nep::long_range::screened_pair;

    #[test]
    fn series_are_the_formula() {
        for how in [Electrostatics::Full, Electrostatics::RealSpace] {
            let (alpha, cutoff) = (std::f64::consts::PI / 7.3, 7.3);
            let pair = Pair::new(alpha, cutoff, how);
            for i in 1..=1000 {
                let r = cutoff * f64::from(i) / 1000.0;
                let (found, expected) = (pair.at(r), screened_pair(r, alpha, cutoff, how));
                assert!((found.0 - expected.0).abs() < 1e-12 * expected.0.abs().max(1.0));
                assert!((found.1 - expected.1).abs() < 1e-11 * expected.1.abs().max(1.0));
            }
        }
    }
}
