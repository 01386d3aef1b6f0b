//! Everything about the bonds of a block that does not depend on the parameters, eight atoms at a time.

use super::chunk::{Row, Shape};
use super::forward::forces::{polynomial, powers};
use super::lanes::{LANES, Lanes, Load};
use pulp::{Simd, WithSimd};
use std::f64::consts::PI;

/// Taylor coefficients of sin and cos in the square of the argument, for arguments up to π/2: the next terms are below
/// 1e-16.
const SIN: [f64; 10] = series(1);
const COS: [f64; 11] = series(0);

/// (-1)^k / (2k + first)!
const fn series<const N: usize>(first: usize) -> [f64; N] {
    let mut out = [1.0; N];
    let mut k = 1;
    while k < N {
        let n = 2 * k + first;
        out[k] = -out[k - 1] / (n * (n - 1)) as f64;
        k += 1;
    }
    out
}

/// Bonds between a block and its neighbours of one type, of one part.
pub(super) struct AddBonds<'a> {
    pub shape: &'a Shape,
    /// Radial (0) or angular (1).
    pub part: usize,
    pub cutoff: f64,
    /// As in [`super::chunk::Sites`].
    pub vectors: &'a [[Row; 3]],
    /// Receives the rows of each.
    pub rows: &'a mut Vec<Row>,
    /// Receives the sums of the basis over the bonds.
    pub sums: &'a mut Vec<Row>,
}

impl AddBonds<'_> {
    /// Runs on the best instruction set of the machine.
    pub fn run(self) {
        nepal::simd::arch().dispatch(self);
    }

    #[inline(always)]
    fn add<const F: bool>(self) {
        let Self { shape, part, .. } = self;
        let n_k = shape.k[part];
        let n_lm = if part == 0 { 1 } else { shape.lm };
        let mut sums = vec![Lanes::<F>::ZERO; n_k * n_lm];
        let mut f = vec![[Lanes::<F>::ZERO; 2]; n_k];
        let mut s = vec![Lanes::<F>::splat(1.0); n_lm];
        let width = shape.bond_rows(part);
        for vector in self.vectors {
            // A slot that is not used is the atom itself, one Å away, without weight.
            let vector: [Lanes<F>; 3] = vector.map(Load::load);
            let square = vector[0] * vector[0] + vector[1] * vector[1] + vector[2] * vector[2];
            let (mut r, mut inverse, mut there) = ([1.0; LANES], [1.0; LANES], [0.0; LANES]);
            for lane in 0..LANES {
                if square.0[lane] != 0.0 {
                    r[lane] = square.0[lane].sqrt();
                    inverse[lane] = 1.0 / r[lane];
                    there[lane] = 1.0;
                }
            }
            let unit = vector.map(|x| x * Lanes(inverse));
            if part == 1 {
                functions(unit, shape.l_max, &mut s);
            }
            basis(Lanes(r), self.cutoff, Lanes(there), &mut f);
            for (sums, [f, _]) in sums.chunks_exact_mut(n_lm).zip(&f) {
                for (sum, s) in sums.iter_mut().zip(&s) {
                    *sum = sum.add_product(*f, *s);
                }
            }
            let base = self.rows.len();
            self.rows.resize(base + width, [0.0; LANES]);
            let (values, place) = self.rows[base..].split_at_mut(width - 4);
            let (of_basis, slopes) = values.split_at_mut(width - 4 - n_k);
            for (row, [f, _]) in of_basis.iter_mut().zip(&f) {
                *row = f.0.map(|x| x as f32);
            }
            for (row, [_, df]) in slopes.iter_mut().zip(&f) {
                *row = df.0.map(|x| x as f32);
            }
            for (row, x) in place.iter_mut().zip(unit.iter().chain([&Lanes(r)])) {
                *row = x.0.map(|x| x as f32);
            }
        }
        self.sums.extend(sums.iter().map(|s| s.0.map(|x| x as f32)));
    }
}

impl WithSimd for AddBonds<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        if S::F64_LANES > 1 {
            self.add::<true>();
        } else {
            self.add::<false>();
        }
    }
}

/// [`nepal::nep::angular::functions`] of eight unit vectors.
#[inline(always)]
fn functions<const F: bool>([x, y, z]: [Lanes<F>; 3], l_max: usize, s: &mut [Lanes<F>]) {
    let (p, z2) = (powers(x, y, l_max), z * z);
    for l in 1..=l_max {
        s[l * l - 1] = polynomial(l, 0, z, z2)[0];
        for m in 1..=l {
            let [zlm, _] = polynomial(l, m, z, z2);
            s[l * l + 2 * m - 2] = zlm * p[m][0];
            s[l * l + 2 * m - 1] = zlm * p[m][1];
        }
    }
}

/// [`nepal::nep::radial::basis`] of eight distances inside the cutoff, with the derivatives beside; zero where `there` is.
#[inline(always)]
fn basis<const F: bool>(r: Lanes<F>, cutoff: f64, there: Lanes<F>, f: &mut [[Lanes<F>; 2]]) {
    let one = Lanes::splat(1.0);
    let t = r * Lanes::splat(1.0 / cutoff);
    // cos πt = -sin y and sin πt = cos y, with y between -π/2 and π/2.
    let y = (t - Lanes::splat(0.5)) * Lanes::splat(PI);
    let square = y * y;
    let (mut sin, mut cos) = (Lanes::splat(SIN[9]), Lanes::splat(COS[10]));
    for k in (0..9).rev() {
        sin = Lanes::splat(SIN[k]).add_product(sin, square);
    }
    for k in (0..10).rev() {
        cos = Lanes::splat(COS[k]).add_product(cos, square);
    }
    let half = Lanes::splat(0.5) * there;
    let fc = (one - sin * y) * half;
    let dfc = cos * half * Lanes::splat(-PI / cutoff);
    let u = t - one;
    let x = (u * u).add_product(u, u) - one;
    let dx = u * Lanes::splat(4.0 / cutoff);
    let dfx = dx * fc;
    let half = Lanes::splat(0.5);
    // T_k and U_(k-1) of this order and the one before.
    let (mut t0, mut t1) = (one, one);
    let (mut u0, mut u1) = (-one, Lanes::ZERO);
    for (k, out) in f.iter_mut().enumerate() {
        if k == 0 {
            *out = [fc, dfc];
            continue;
        }
        if k == 1 {
            (t1, u1) = (x, one);
            u0 = Lanes::ZERO;
        } else {
            let twice = x + x;
            (t0, t1) = (t1, twice * t1 - t0);
            (u0, u1) = (u1, twice * u1 - u0);
        }
        let rise = half * (t1 + one);
        let slope = half * u1 * Lanes::splat(k as f64);
        *out = [rise * fc, (rise * dfc).add_product(slope, dfx)];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn angular_functions_of_eight_are_those_of_one() {
        use nepal::nep::angular::{MAX_L, MAX_LM};
        let mut units = [[0.0; LANES]; 3];
        let mut each = Vec::new();
        for lane in 0..LANES {
            let (a, b) = (0.4 + 0.37 * lane as f64, 0.9 * lane as f64);
            let u = [a.sin() * b.cos(), a.sin() * b.sin(), a.cos()];
            (0..3).for_each(|c| units[c][lane] = u[c]);
            let mut s = [0.0; MAX_LM];
            nepal::nep::angular::functions(u, MAX_L, &mut s);
            each.push(s);
        }
        let mut found = [Lanes::<false>::ZERO; MAX_LM];
        functions(units.map(Lanes), MAX_L, &mut found);
        for (lane, expected) in each.iter().enumerate() {
            for (lm, x) in expected.iter().enumerate() {
                let close = 1e-14 * x.abs().max(100.0);
                assert!((found[lm].0[lane] - x).abs() < close, "{lane} {lm}");
            }
        }
    }

    #[test]
    fn the_basis_of_eight_is_that_of_one() {
        const K: usize = 13;
        let (mut f, mut df) = ([0.0; K], [0.0; K]);
        for cutoff in [3.5, 8.0] {
            for step in 0..40 {
                let r: [f64; LANES] =
                    std::array::from_fn(|i| cutoff * (step as f64 + i as f64 / 8.0) / 40.0);
                let mut there = [1.0; LANES];
                there[3] = 0.0;
                let mut fused = [[Lanes::<true>::ZERO; 2]; K];
                let mut plain = [[Lanes::<false>::ZERO; 2]; K];
                basis(Lanes(r), cutoff, Lanes(there), &mut fused);
                basis(Lanes(r), cutoff, Lanes(there), &mut plain);
                for lane in 0..LANES {
                    nepal::nep::radial::basis(r[lane], cutoff, &mut f, &mut df);
                    for k in 0..K {
                        let expected = [f[k], df[k]].map(|x| x * there[lane]);
                        for d in 0..2 {
                            let found = [fused[k][d].0[lane], plain[k][d].0[lane]];
                            // U_k grows with the square of k.
                            let close = 2e-15 * (1 + k * k * k) as f64;
                            assert!(
                                found.iter().all(|x| (x - expected[d]).abs() < close),
                                "{} {k} {d}: {found:?} {expected:?}",
                                r[lane]
                            );
                        }
                    }
                }
            }
        }
    }
}
