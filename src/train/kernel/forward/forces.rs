//! Partial forces of bonds, and what they are summed to.

use super::contract;
use crate::kernel::chunk::{Bonds, Chunk, Row, Shape};
use crate::kernel::lanes::{LANES, Lanes, Load};
use crate::kernel::{Scratch, by_tile};
use nepal::nep::angular::Z;
use nepal::nep::scalar::Scalar;

/// What partial forces are summed to beside the forces.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Sum {
    Virial,
    Dipole,
    /// Of the charge, to Born charges, instead of to forces.
    Born,
}

/// Where partial forces of a block's bonds go.
pub(super) struct Sink<'a, const F: bool> {
    pub(super) kind: Sum,
    pub(super) force: &'a mut [[f64; 4]],
    pub(super) born: &'a mut [[f64; 9]],
    pub(super) own: [Lanes<F>; 3],
    pub(super) w: [Lanes<F>; 9],
}

impl<const F: bool> Sink<'_, F> {
    /// Takes a pair's partial force from the neighbours and adds it to the centres and the virial.
    #[inline(always)]
    fn add(&mut self, f: [Lanes<F>; 3], unit: [Lanes<F>; 3], r: Lanes<F>, index: &[u32; LANES]) {
        if self.kind == Sum::Born {
            return self.add_born(&f, &unit, &r, index);
        }
        for a in 0..3 {
            self.own[a] += f[a];
        }
        if self.kind == Sum::Dipole {
            let square = -(r * r);
            for a in 0..3 {
                self.w[a] = self.w[a].add_product(square, f[a]);
            }
            return;
        }
        let v = unit.map(|u| -(u * r));
        for (c, (a, b)) in [(0, 0), (1, 1), (2, 2), (0, 1), (1, 2), (2, 0)]
            .into_iter()
            .enumerate()
        {
            self.w[c] = self.w[c].add_product(v[a], f[b]);
        }
        for lane in 0..LANES {
            let other = &mut self.force[index[lane] as usize];
            for a in 0..3 {
                other[a] -= f[a].0[lane];
            }
        }
    }

    /// The same for Born charges, which are rare: not in the loops of all.
    #[inline(never)]
    fn add_born(
        &mut self,
        f: &[Lanes<F>; 3],
        unit: &[Lanes<F>; 3],
        r: &Lanes<F>,
        index: &[u32; LANES],
    ) {
        let v = unit.map(|u| (u * *r).scale(0.5));
        for c in 0..9 {
            let half = v[c / 3] * f[c % 3];
            self.w[c] += half;
            for lane in 0..LANES {
                self.born[index[lane] as usize][c] -= half.0[lane];
            }
        }
    }

    /// Hands what a block's centres have summed up to their slots and structures, and turns to Born charges.
    #[inline(always)]
    pub(super) fn finish(&mut self, b: usize, chunk: &Chunk, virial: &mut [[f64; 6]]) {
        for lane in 0..LANES {
            let slot = b * LANES + lane;
            if self.kind == Sum::Born {
                for c in 0..9 {
                    self.born[slot][c] += self.w[c].0[lane];
                }
                continue;
            }
            for a in 0..3 {
                self.force[slot][a] += self.own[a].0[lane];
            }
            let total = &mut virial[chunk.structure[slot] as usize];
            for c in 0..6 {
                total[c] += self.w[c].0[lane];
            }
        }
        self.kind = Sum::Born;
        self.w = [Lanes::ZERO; 9];
    }
}

#[inline(always)]
pub(super) fn radial_forces<const F: bool>(
    c: &[f64],
    n: usize,
    fp: &[Lanes<F>],
    bonds: &Bonds,
    range: (usize, usize),
    sink: &mut Sink<'_, F>,
) {
    let n_k = c.len() / n;
    let mut p = [Lanes::<F>::ZERO; 33];
    for (p, c) in p.iter_mut().zip(c.chunks_exact(n)) {
        for (&fp, &c) in fp.iter().zip(c) {
            *p = p.add_scaled(fp, c);
        }
    }
    let p = &p[..n_k];
    let stride = n_k + 4;
    let rows = &bonds.rows[range.0 * stride..range.1 * stride];
    for (rows, index) in rows
        .chunks_exact(stride)
        .zip(&bonds.index[range.0..range.1])
    {
        let mut slope = Lanes::ZERO;
        for (&p, &row) in p.iter().zip(rows) {
            slope = slope.add_product(p, row.load());
        }
        let unit: [Lanes<F>; 3] = std::array::from_fn(|a| rows[n_k + a].load());
        let f = unit.map(|u| u * slope);
        sink.add(f, unit, rows[n_k + 3].load(), index);
    }
}

/// Powers of x + iy up to `l_max`, real and imaginary part.
#[inline(always)]
pub(in crate::kernel) fn powers<const F: bool>(
    x: Lanes<F>,
    y: Lanes<F>,
    l_max: usize,
) -> [[Lanes<F>; 2]; 9] {
    let mut p = [[Lanes::ZERO; 2]; 9];
    p[0][0] = Lanes::splat(1.0);
    for m in 1..=l_max {
        let [re, im] = p[m - 1];
        p[m] = [(re * x).add_product(-im, y), (re * y).add_product(im, x)];
    }
    p
}

/// Z_lm(z) and its derivative; `z2` is the square of `z`.
#[inline(always)]
pub(in crate::kernel) fn polynomial<const F: bool>(
    l: usize,
    m: usize,
    z: Lanes<F>,
    z2: Lanes<F>,
) -> [Lanes<F>; 2] {
    // Only every second coefficient differs from zero: Horner's scheme in z².
    let c = Z[l - 1][m];
    let degree = l - m;
    let odd = degree % 2;
    let mut value = Lanes::splat(c[degree]);
    let mut slope = Lanes::ZERO;
    let mut at = degree;
    while at >= 2 {
        at -= 2;
        slope = value.add_product(slope, z2);
        value = Lanes::splat(c[at]).add_product(value, z2);
    }
    if odd == 1 {
        [value * z, value.add_product(slope.scale(2.0), z2)]
    } else {
        [value, (slope * z).scale(2.0)]
    }
}

#[inline(always)]
pub(super) fn angular_forces<const F: bool, const L: usize>(
    shape: &Shape,
    c: &[f64],
    d: &[Lanes<F>],
    bonds: &Bonds,
    range: (usize, usize),
    sink: &mut Sink<'_, F>,
    scratch: &mut Scratch<F>,
) {
    let l_max = if L == 0 { shape.l_max } else { L };
    let lm = l_max * (l_max + 2);
    let (n, n_k) = (shape.n[1], shape.k[1]);
    let stride = 2 * n_k + 4;
    let rows = &bonds.rows[range.0 * stride..range.1 * stride];
    let g = &mut scratch.g[..2 * n];
    for (rows, index) in rows
        .chunks_exact(stride)
        .zip(&bonds.index[range.0..range.1])
    {
        let (values, dg) = g.split_at_mut(n);
        let (f_rows, df_rows) = (&rows[..n_k], &rows[n_k..2 * n_k]);
        by_tile!(n, first, W => contract::<F, W, Row>(c, n, first, f_rows, 1, values));
        by_tile!(n, first, W => contract::<F, W, Row>(c, n, first, df_rows, 1, dg));
        // a = Σ g D for the tangential force, b = Σ g' D for the one along the bond.
        let a = &mut scratch.a[..lm];
        let b = &mut scratch.b[..lm];
        for q in 0..lm {
            let (mut x, mut y) = (Lanes::ZERO, Lanes::ZERO);
            for n in 0..n {
                let d = d[n * lm + q];
                x = x.add_product(d, values[n]);
                y = y.add_product(d, dg[n]);
            }
            a[q] = x;
            b[q] = y;
        }
        let unit: [Lanes<F>; 3] = std::array::from_fn(|i| rows[2 * n_k + i].load());
        let r: Lanes<F> = rows[2 * n_k + 3].load();
        let [x, y, z] = unit;
        let z2 = z * z;
        let p = powers(x, y, l_max);
        let mut gradient = [Lanes::ZERO; 3];
        let mut along = Lanes::ZERO;
        for m in 0..=l_max {
            let (mut a0, mut a1, mut d0, mut d1) =
                (Lanes::ZERO, Lanes::ZERO, Lanes::ZERO, Lanes::ZERO);
            let (mut b0, mut b1) = (Lanes::ZERO, Lanes::ZERO);
            for l in m.max(1)..=l_max {
                let [zlm, dz] = polynomial(l, m, z, z2);
                let re = if m == 0 { l * l - 1 } else { l * l + 2 * m - 2 };
                a0 = a0.add_product(a[re], zlm);
                d0 = d0.add_product(a[re], dz);
                b0 = b0.add_product(b[re], zlm);
                if m > 0 {
                    a1 = a1.add_product(a[re + 1], zlm);
                    d1 = d1.add_product(a[re + 1], dz);
                    b1 = b1.add_product(b[re + 1], zlm);
                }
            }
            let [re, im] = p[m];
            gradient[2] = gradient[2].add_product(d0, re).add_product(d1, im);
            along = along.add_product(b0, re).add_product(b1, im);
            if m > 0 {
                let factor = m as f64;
                let [re, im] = p[m - 1];
                gradient[0] = gradient[0].add_scaled((a0 * re).add_product(a1, im), factor);
                gradient[1] = gradient[1].add_scaled((a1 * re).add_product(-a0, im), factor);
            }
        }
        let mut inverse = [0.0; LANES];
        for lane in 0..LANES {
            inverse[lane] = 1.0 / r.0[lane];
        }
        let inverse = Lanes(inverse);
        let dot = (unit[0] * gradient[0])
            .add_product(unit[1], gradient[1])
            .add_product(unit[2], gradient[2]);
        let f: [Lanes<F>; 3] = std::array::from_fn(|i| {
            let tangential = gradient[i].add_product(-unit[i], dot);
            (along * unit[i]).add_product(tangential, inverse)
        });
        sink.add(f, unit, r, index);
    }
}
