//! How the environments of a block's atoms change along a direction.

use crate::kernel::chunk::{Bonds, Shape};
use crate::kernel::forward::{polynomial, powers};
use crate::kernel::lanes::{LANES, Lanes, Load};
use nepal::nep::scalar::Scalar;

/// What a direction is made of.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Way {
    /// Displacements and strains.
    Atoms,
    /// The strain is the slope of a dipole.
    Dipole,
    /// The slopes of Born charges.
    Born,
}
/// The direction along which energies are differentiated, seen from a block.
pub(super) struct Frame<'a> {
    pub(super) way: Way,
    pub(super) born: &'a [[f64; 9]],
    pub(super) dielectric: f64,
    pub(super) displacement: &'a [[f64; 4]],
    pub(super) strain: &'a [[[f64; 3]; 3]],
    pub(super) structure: &'a [u32],
    /// First slot of the block.
    pub(super) first: usize,
}

impl Frame<'_> {
    /// Rates that belong to dipoles and Born charges: not in the loops of all.
    #[inline(never)]
    fn rare<const F: bool>(
        &self,
        index: &[u32; LANES],
        unit: &[Lanes<F>; 3],
        r: Lanes<F>,
        out: &mut [Lanes<F>; 3],
    ) {
        for lane in 0..LANES {
            let r = r.0[lane];
            if self.way == Way::Dipole {
                let structure = self.structure[self.first + lane] as usize;
                let field = self.strain.get(structure).map_or([0.0; 3], |s| s[0]);
                (0..3).for_each(|a| out[a].0[lane] = r * r * field[a]);
                continue;
            }
            let own = &self.born[self.first + lane];
            let other = &self.born[index[lane] as usize];
            for c in 0..9 {
                let v = 0.5 * self.dielectric * r * unit[c / 3].0[lane];
                out[c % 3].0[lane] += v * (own[c] - other[c]);
            }
        }
    }

    /// Rate of change of the vectors from the atoms of the block to the neighbours.
    #[inline(always)]
    fn rate<const F: bool>(
        &self,
        index: &[u32; LANES],
        unit: &[Lanes<F>; 3],
        r: Lanes<F>,
    ) -> [Lanes<F>; 3] {
        let mut out = [Lanes::ZERO; 3];
        if self.way != Way::Atoms {
            self.rare(index, unit, r, &mut out);
            return out;
        }
        for lane in 0..LANES {
            let slot = self.first + lane;
            let (own, other) = (
                &self.displacement[slot],
                &self.displacement[index[lane] as usize],
            );
            for a in 0..3 {
                out[a].0[lane] = other[a] - own[a];
            }
        }
        if !self.strain.is_empty() {
            for lane in 0..LANES {
                let strain = &self.strain[self.structure[self.first + lane] as usize];
                for b in 0..3 {
                    for a in 0..3 {
                        out[b].0[lane] += r.0[lane] * unit[a].0[lane] * strain[a][b];
                    }
                }
            }
        }
        out
    }
}

#[inline(always)]
fn dot<const F: bool>(a: &[Lanes<F>; 3], b: &[Lanes<F>; 3]) -> Lanes<F> {
    (a[0] * b[0])
        .add_product(a[1], b[1])
        .add_product(a[2], b[2])
}

#[inline(always)]
pub(super) fn radial_rates<const F: bool>(
    bonds: &Bonds,
    range: (usize, usize),
    frame: &Frame<'_>,
    out: &mut [Lanes<F>],
) {
    let n_k = out.len();
    let stride = n_k + 4;
    let rows = &bonds.rows[range.0 * stride..range.1 * stride];
    for (rows, index) in rows
        .chunks_exact(stride)
        .zip(&bonds.index[range.0..range.1])
    {
        let unit: [Lanes<F>; 3] = std::array::from_fn(|a| rows[n_k + a].load());
        let rate = frame.rate(index, &unit, rows[n_k + 3].load());
        let dr = dot(&unit, &rate);
        for (out, row) in out.iter_mut().zip(rows) {
            *out = out.add_product(row.load(), dr);
        }
    }
}

#[inline(always)]
pub(super) fn angular_rates<const F: bool, const L: usize>(
    shape: &Shape,
    bonds: &Bonds,
    range: (usize, usize),
    frame: &Frame<'_>,
    out: &mut [Lanes<F>],
) {
    let l_max = if L == 0 { shape.l_max } else { L };
    let lm = l_max * (l_max + 2);
    let n_k = shape.k[1];
    let stride = 2 * n_k + 4;
    let rows = &bonds.rows[range.0 * stride..range.1 * stride];
    for (rows, index) in rows
        .chunks_exact(stride)
        .zip(&bonds.index[range.0..range.1])
    {
        let unit: [Lanes<F>; 3] = std::array::from_fn(|a| rows[2 * n_k + a].load());
        let r: Lanes<F> = rows[2 * n_k + 3].load();
        let rate = frame.rate(index, &unit, r);
        let dr = dot(&unit, &rate);
        let mut inverse = [0.0; LANES];
        for lane in 0..LANES {
            inverse[lane] = 1.0 / r.0[lane];
        }
        let inverse = Lanes(inverse);
        let [dx, dy, dz]: [Lanes<F>; 3] =
            std::array::from_fn(|a| (rate[a] - unit[a] * dr) * inverse);
        let [x, y, z] = unit;
        let z2 = z * z;
        let p = powers(x, y, l_max);
        for m in 0..=l_max {
            let [re, im] = p[m];
            // d (x + iy)^m = m (x + iy)^(m-1) (dx + i dy)
            let (mut dre, mut dim) = (Lanes::ZERO, Lanes::ZERO);
            if m > 0 {
                let [re, im] = p[m - 1];
                dre = (re * dx).add_product(-im, dy).scale(m as f64);
                dim = (re * dy).add_product(im, dx).scale(m as f64);
            }
            for l in m.max(1)..=l_max {
                let [zlm, slope] = polynomial(l, m, z, z2);
                let dzlm = slope * dz;
                let at = if m == 0 { l * l - 1 } else { l * l + 2 * m - 2 };
                let s0 = zlm * re;
                let ds0 = (zlm * dre).add_product(dzlm, re);
                let s1 = zlm * im;
                let ds1 = (zlm * dim).add_product(dzlm, im);
                let values = rows[..n_k].iter().zip(&rows[n_k..2 * n_k]);
                for (out, (f, df)) in out.chunks_exact_mut(lm).zip(values) {
                    let (f, df): (Lanes<F>, Lanes<F>) = (f.load(), df.load());
                    let along = df * dr;
                    out[at] = out[at].add_product(f, ds0).add_product(along, s0);
                    if m > 0 {
                        out[at + 1] = out[at + 1].add_product(f, ds1).add_product(along, s1);
                    }
                }
            }
        }
    }
}
