//! Screened charges in real space: pairs inside the radial cutoff.

use super::long_range::{Field, Row, Source};
use crate::backend::System;
use crate::model::Electrostatics;
use crate::nep::bell::polynomial;
use crate::nep::long_range::screened_pair;
use crate::simd::compiled_for;
use crate::system::cell::{dot, sub};
use crate::units::COULOMB;
use rayon::prelude::*;
use std::f64::consts::FRAC_2_SQRT_PI;

/// Pairs that are computed together.
const LANES: usize = 8;

/// Adds half of each pair to its centre. **Shapes**: `packed` `[places]`, positions as the engine
/// packs them.
pub(super) fn add(
    arch: pulp::Arch,
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
        compiled_for!(arch, {
            let origin = at(entries.local(i));
            let mut some = Lanes::new(source.strengths[i]);
            for &j in &entries.index[entries.offsets[i]..entries.offsets[i + 1]] {
                let vector = sub(at(j as usize), origin);
                let square = dot(vector, vector);
                if square < cutoff * cutoff {
                    some.push(&pair, vector, square, charge_of(j as usize));
                }
            }
            some.end(&pair, row)
        })
    });
    // In the order of the atoms, so that a run repeats to the last bit.
    let virials: Vec<[f64; 9]> = virials.collect();
    for w in virials {
        field.virial.iter_mut().zip(w).for_each(|(to, w)| *to += w);
    }
}

/// Neighbours of a centre, and what those before them gave, in lanes.
struct Lanes {
    own: f64,
    count: usize,
    vector: [[f64; LANES]; 3],
    square: [f64; LANES],
    charge: [f64; LANES],
    slope: [f64; LANES],
    force: [[f64; LANES]; 3],
    /// xx, yy, zz, xy, yz, zx.
    virial: [[f64; LANES]; 6],
}

/// Terms of the polynomial, which leave 1e-15.
const TERMS: usize = 24;

/// The screened interaction of two unit charges: erf(√z)/√z has no branch, so that one polynomial in
/// z = (αr)² serves all distances.
struct Pair {
    alpha: f64,
    /// Coefficients in -1..1 between no distance and the cutoff, highest power first.
    series: [f64; TERMS],
    /// 2 over the square of the cutoff.
    scale: f64,
    /// What is taken off: value and slope at the cutoff.
    end: [f64; 2],
    cutoff: f64,
}

impl Pair {
    fn new(alpha: f64, cutoff: f64, how: Electrostatics) -> Self {
        let last = (alpha * cutoff).powi(2);
        let value = |t: f64| {
            let x = (0.5 * last * (t + 1.0)).sqrt();
            if x > 1e-9 {
                libm::erf(x) / x
            } else {
                FRAC_2_SQRT_PI
            }
        };
        let mut series = [0.0; TERMS];
        (series.iter_mut().rev().zip(polynomial(TERMS, value))).for_each(|(to, c)| *to = c);
        let mut pair = Self {
            alpha,
            series,
            scale: 2.0 / (cutoff * cutoff),
            end: [0.0; 2],
            cutoff,
        };
        if how == Electrostatics::RealSpace {
            // The polynomial's slope is least exact at its end.
            let (phi, dphi) = screened_pair(cutoff, alpha, cutoff, Electrostatics::Full);
            pair.end = [phi, dphi];
        }
        pair
    }

    /// Value (eV/e²), and derivative over the distance, at the square of a distance of at most the
    /// cutoff, Å, and the inverse of the distance.
    #[inline(always)]
    fn at(&self, square: f64, inverse: f64) -> (f64, f64) {
        let t = square * self.scale - 1.0;
        let (mut value, mut slope) = (0.0, 0.0);
        for c in self.series {
            slope = slope * t + value;
            value = value * t + c;
        }
        let phi = COULOMB * (inverse - self.alpha * value);
        // dt/dr over r is twice the scale.
        let dphi = -COULOMB * (inverse * inverse * inverse + 2.0 * self.alpha * self.scale * slope);
        let [end, slope_at_end] = self.end;
        (
            phi - end - slope_at_end * (square * inverse - self.cutoff),
            dphi - slope_at_end * inverse,
        )
    }
}

impl Lanes {
    #[inline(always)]
    fn new(own: f64) -> Self {
        let zero = [0.0; LANES];
        Self {
            own,
            count: 0,
            vector: [zero; 3],
            square: [1.0; LANES],
            charge: zero,
            slope: zero,
            force: [zero; 3],
            virial: [zero; 6],
        }
    }

    #[inline(always)]
    fn push(&mut self, pair: &Pair, vector: [f64; 3], square: f64, charge: f64) {
        for a in 0..3 {
            self.vector[a][self.count] = vector[a];
        }
        self.square[self.count] = square;
        self.charge[self.count] = charge;
        self.count += 1;
        if self.count == LANES {
            self.sum(pair);
            self.count = 0;
        }
    }

    #[inline(always)]
    fn sum(&mut self, pair: &Pair) {
        let (x, y, z) = (&self.vector[0], &self.vector[1], &self.vector[2]);
        for l in 0..LANES {
            let inverse = 1.0 / self.square[l].sqrt();
            let (phi, dphi) = pair.at(self.square[l], inverse);
            let other = self.charge[l];
            self.slope[l] += other * phi;
            let scale = other * dphi;
            let (fx, fy, fz) = (scale * x[l], scale * y[l], scale * z[l]);
            self.force[0][l] += fx;
            self.force[1][l] += fy;
            self.force[2][l] += fz;
            self.virial[0][l] += fx * x[l];
            self.virial[1][l] += fy * y[l];
            self.virial[2][l] += fz * z[l];
            self.virial[3][l] += fx * y[l];
            self.virial[4][l] += fy * z[l];
            self.virial[5][l] += fz * x[l];
        }
    }

    /// Adds what there is to the row of the centre; gives the virial.
    #[inline(always)]
    fn end(mut self, pair: &Pair, row: Row<'_>) -> [f64; 9] {
        self.charge[self.count..].fill(0.0);
        self.sum(pair);
        let total = |lanes: [f64; LANES]| lanes.iter().sum::<f64>();
        let slope = total(self.slope);
        *row.energy += 0.5 * self.own * slope;
        *row.slope += slope;
        for a in 0..3 {
            // f_ij - f_ji of the two halves.
            row.force[a] += self.own * total(self.force[a]);
        }
        let [xx, yy, zz, xy, yz, zx] = self.virial.map(|lanes| -0.5 * self.own * total(lanes));
        let virial = [xx, xy, zx, xy, yy, yz, zx, yz, zz];
        if let Some(to) = row.virial {
            to.iter_mut().zip(virial).for_each(|(to, w)| *to += w);
        }
        virial
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_polynomial_is_the_formula() {
        for how in [Electrostatics::Full, Electrostatics::RealSpace] {
            let (alpha, cutoff) = (std::f64::consts::PI / 7.3, 7.3);
            let pair = Pair::new(alpha, cutoff, how);
            for i in 1..=1000 {
                let r = cutoff * f64::from(i) / 1000.0;
                let (value, slope) = pair.at(r * r, 1.0 / r);
                let (found, expected) = ((value, slope * r), screened_pair(r, alpha, cutoff, how));
                assert!((found.0 - expected.0).abs() < 1e-12 * expected.0.abs().max(1.0));
                assert!((found.1 - expected.1).abs() < 1e-11 * expected.1.abs().max(1.0));
            }
        }
    }
}
