//! The gradient of the loss with respect to the parameters.
//!
//! The derivative of the loss with respect to a structure's energy, its atoms' forces and its
//! virial is a number, a displacement of each atom and a strain. Along these, the energy's
//! derivative is S = Σ_i (a U_i + dU_i), and the gradient of the loss is that of S: one pass with
//! dual numbers forward and one back.

mod network;

use super::chunk::{Bonds, Chunk, Geometry, Shape};
use super::forward::{contract, local_coefficients, polynomial, powers, rows_times};
use super::lanes::{DualLanes, LANES, Lanes, Load};
use super::{Accumulator, Block, Buffers, Moves, Parameters, Scratch, by_tile};
use nepal::model::{Kind, Layout};
use nepal::nep::scalar::Scalar;
use network::{network, outer};

/// Adds the gradient of S to `gradient`, in the order of the parameters.
#[inline(always)]
pub(super) fn run<const F: bool>(
    shape: &Shape,
    layout: &Layout,
    parameters: &Parameters<'_>,
    chunk: &Chunk,
    geometry: &Geometry,
    buffers: &mut Buffers<F>,
    gradient: &mut [f64],
) {
    let Buffers {
        blocks,
        scratch,
        accumulator,
        moves,
        fields,
        born,
        energy_slope,
        displacement,
        strain,
        charge_slope,
        born_slope,
        ..
    } = buffers;
    let mut sweep = Sweep {
        shape,
        parameters,
        chunk,
        geometry,
        way: if shape.kind == Kind::Dipole {
            Way::Dipole
        } else {
            Way::Atoms
        },
        displacement,
        strain,
        born: born_slope,
    };
    // dS/d(further output of the network), by head and slot.
    let mut rates = [0, 1].map(|head: usize| vec![0.0; fields[head].strength.len()]);
    let heads = chunk.long_range.len();
    if heads > 0 {
        for (b, &center) in chunk.blocks.iter().enumerate() {
            let coefficients = local_coefficients(shape, parameters, chunk, center);
            sweep.moves(b, &coefficients, &blocks[b].s, &mut moves[b], scratch);
            let net = parameters.network(center);
            let further = [net.charge, net.dispersion];
            for (rates, w1) in rates.iter_mut().zip(further).take(heads) {
                let (t, dx) = (&blocks[b].t[0], &moves[b].dx);
                let rate = rate_of_output(shape, net.w0, w1, t, dx, scratch);
                rates[b * LANES..][..LANES].copy_from_slice(&rate.0);
            }
        }
    }
    let each = chunk.long_range.iter().zip(&*fields).zip(&mut rates);
    for ((long_range, field), rates) in each {
        long_range.tangent(field, rates, energy_slope, displacement, strain);
    }
    if let (Some(charged), Some(index)) = (chunk.long_range.first(), layout.dielectric()) {
        let mut traces = vec![0.0; born_slope.len()];
        for (trace, y) in traces.iter_mut().zip(&*born_slope) {
            *trace = parameters.dielectric() * (y[0] + y[4] + y[8]);
        }
        if !traces.is_empty() {
            charged.center(&mut traces);
        }
        for (slot, rate) in rates[0].iter_mut().enumerate() {
            *rate += traces.get(slot).unwrap_or(&0.0);
            if let (Some(_), Some(own)) = (
                chunk.atom[slot],
                charge_slope.get(chunk.structure[slot] as usize),
            ) {
                *rate += own;
            }
        }
        let all = born.as_flattened().iter().zip(born_slope.as_flattened());
        gradient[index] += all.map(|(z, y)| z * y).sum::<f64>();
    }
    let mut coefficients = [Vec::new(), Vec::new()];
    let ways = if born_slope.is_empty() { 1 } else { 2 };
    for way in 0..ways {
        for (b, &center) in chunk.blocks.iter().enumerate() {
            if b == 0 || chunk.blocks[b - 1] != center {
                coefficients = local_coefficients(shape, parameters, chunk, center);
                accumulator.clear(shape, chunk.types.len());
            }
            let kept = heads > 0 && way == 0;
            let own = &mut moves[if kept { b } else { 0 }];
            if !kept {
                sweep.moves(b, &coefficients, &blocks[b].s, own, scratch);
            }
            let at = |values: &[f64]| -> Lanes<F> {
                let of = |lane: usize| values.get(b * LANES + lane).copied().unwrap_or(0.0);
                Lanes(std::array::from_fn(of))
            };
            let (zero, one) = (Lanes::ZERO, Lanes::splat(1.0));
            let rate = sweep.each(b, &|s| energy_slope[s]);
            let mut outputs = [Head {
                rate: zero,
                along: zero,
            }; 3];
            if way == 0 {
                outputs[0] = Head { rate, along: one };
                for (head, output) in outputs[1..].iter_mut().enumerate() {
                    *output = Head {
                        rate: at(&rates[head]),
                        along: at(&fields[head].potential),
                    };
                }
            } else {
                outputs[1].along = one;
            }
            let state = &blocks[b];
            let (fp, d) = match way {
                0 => (&state.fp, &state.d),
                _ => (&state.fp_heads[0], &state.d_charge),
            };
            sweep.back(b, state, (fp, d), outputs, own, scratch, accumulator);
            if b + 1 == chunk.blocks.len() || chunk.blocks[b + 1] != center {
                accumulator.flush(shape, layout, chunk, center, gradient);
            }
        }
        sweep.way = Way::Born;
    }
}

/// A pass over the blocks of a chunk along one direction.
struct Sweep<'a> {
    shape: &'a Shape,
    parameters: &'a Parameters<'a>,
    chunk: &'a Chunk,
    geometry: &'a Geometry,
    way: Way,
    displacement: &'a [[f64; 4]],
    strain: &'a [[[f64; 3]; 3]],
    born: &'a [[f64; 9]],
}

/// What a direction is made of.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    /// Displacements and strains.
    Atoms,
    /// The strain is the slope of a dipole.
    Dipole,
    /// The slopes of Born charges.
    Born,
}

impl Sweep<'_> {
    /// A number of the structure of each atom of a block.
    #[inline(always)]
    fn each<const F: bool>(&self, b: usize, of: &dyn Fn(usize) -> f64) -> Lanes<F> {
        Lanes(std::array::from_fn(|lane| {
            let slot = b * LANES + lane;
            match self.chunk.atom[slot] {
                Some(_) => of(self.chunk.structure[slot] as usize),
                None => 0.0,
            }
        }))
    }

    /// How the environment of a block's atoms changes.
    #[inline(always)]
    fn moves<const F: bool>(
        &self,
        b: usize,
        coefficients: &[Vec<f64>; 2],
        s: &[Lanes<F>],
        moves: &mut Moves<F>,
        scratch: &mut Scratch<F>,
    ) {
        let (shape, geometry, n_local) = (self.shape, self.geometry, self.chunk.types.len());
        let ([n_radial, n_angular], [k_radial, k_angular]) = (shape.n, shape.k);
        let (lm, dim) = (shape.lm, shape.dim);
        let frame = Frame {
            way: self.way,
            displacement: self.displacement,
            strain: self.strain,
            born: self.born,
            dielectric: self.parameters.dielectric(),
            structure: &self.chunk.structure,
            first: b * LANES,
        };
        let Moves { sums, dx, ds } = moves;
        let (radial_rate, angular_rate) = sums.split_at_mut(n_local * k_radial);
        radial_rate.fill(Lanes::ZERO);
        angular_rate.fill(Lanes::ZERO);
        for local in 0..n_local {
            let out = &mut radial_rate[local * k_radial..][..k_radial];
            let range = geometry.bonds[0].ranges[b * n_local + local];
            radial_rates(&geometry.bonds[0], range, &frame, out);
            let out = &mut angular_rate[local * k_angular * lm..][..k_angular * lm];
            let range = geometry.bonds[1].ranges[b * n_local + local];
            if shape.l_max == 4 {
                angular_rates::<F, 4>(shape, &geometry.bonds[1], range, &frame, out);
            } else {
                angular_rates::<F, 0>(shape, &geometry.bonds[1], range, &frame, out);
            }
        }
        by_tile!(n_radial, first, W => contract::<F, W, Lanes<F>>(&coefficients[0], n_radial, first, radial_rate, 1, dx));
        by_tile!(n_angular, first, W => contract::<F, W, Lanes<F>>(&coefficients[1], n_angular, first, angular_rate, lm, ds));
        for block in 0..shape.invariants.len() {
            for n in 0..n_angular {
                let dual = dual_sums(s, ds, n, lm, &mut scratch.dual);
                dx[n_radial + block * n_angular + n] = shape.invariants.value(block, dual).slope;
            }
        }
        if shape.kind == Kind::Temperature {
            // The one input that does not move with the atoms.
            dx[dim - 1] = Lanes::ZERO;
        }
        for (dx, &scale) in dx.iter_mut().zip(self.parameters.q_scaler) {
            *dx = dx.scale(scale);
        }
    }

    /// Back from S to the parameters, which counts `heads` in the outputs of a block; `fp` and `d` are the
    /// derivatives of what its direction acts on.
    #[allow(clippy::too_many_arguments)]
    #[inline(always)]
    fn back<const F: bool>(
        &self,
        b: usize,
        state: &Block<F>,
        (fp, d): (&[Lanes<F>], &[Lanes<F>]),
        heads: [Head<F>; 3],
        moves: &Moves<F>,
        scratch: &mut Scratch<F>,
        accumulator: &mut Accumulator<F>,
    ) {
        let (shape, geometry, n_local) = (self.shape, self.geometry, self.chunk.types.len());
        let ([n_radial, n_angular], [k_radial, k_angular]) = (shape.n, shape.k);
        let lm = shape.lm;
        let center = self.chunk.blocks[b];
        let (x, dx) = (&state.x, &moves.dx);
        let net = self.parameters.network(center);
        let acc = &mut accumulator.network;
        network(shape, &net, (x, dx, &state.t), heads, scratch, acc);
        if let Some(net) = self.parameters.scalar(center) {
            let trace =
                |s: usize| (self.strain.get(s)).map_or(0.0, |e| -(e[0][0] + e[1][1] + e[2][2]));
            let head = Head {
                rate: self.each(b, &trace),
                along: Lanes::ZERO,
            };
            std::mem::swap(&mut scratch.qbar, &mut scratch.more);
            let acc = &mut accumulator.scalar;
            network(
                shape,
                &net,
                (x, dx, &state.scalar_t),
                [head; 3],
                scratch,
                acc,
            );
            for (q, &more) in scratch.qbar.iter_mut().zip(&scratch.more) {
                *q += more;
            }
        }
        for (q, &scale) in scratch.qbar.iter_mut().zip(self.parameters.q_scaler) {
            *q = q.scale(scale);
        }
        // scratch.qbar now holds dS/dq.
        let s_bar = &mut scratch.s_bar[..n_angular * lm];
        for n in 0..n_angular {
            scratch.dual_gradient[..lm].fill(DualLanes::default());
            for block in 0..shape.invariants.len() {
                let dual = dual_sums(&state.s, &moves.ds, n, lm, &mut scratch.dual);
                let at = n_radial + block * n_angular + n;
                let factor = DualLanes::new(fp[at], scratch.qbar[at]);
                let out = &mut scratch.dual_gradient[..lm];
                shape.invariants.add_gradient(block, dual, factor, out);
            }
            for (s, g) in s_bar[n * lm..][..lm].iter_mut().zip(&scratch.dual_gradient) {
                *s = g.slope;
            }
        }
        let (radial_rate, angular_rate) = moves.sums.split_at(n_local * k_radial);
        let rows = n_local * k_radial;
        let radial = &geometry.radial[b * rows..][..rows];
        let [acc_radial, acc_angular] = &mut accumulator.coefficients;
        by_tile!(n_radial, first, W => outer::<F, W>(n_radial, first, 1, radial, radial_rate, &scratch.qbar, fp, acc_radial));
        let rows = n_local * k_angular * lm;
        let angular = &geometry.angular[b * rows..][..rows];
        by_tile!(n_angular, first, W => outer::<F, W>(n_angular, first, lm, angular, angular_rate, s_bar, d, acc_angular));
    }
}

/// Gathers one n of the angular sums with their rates.
#[inline(always)]
fn dual_sums<'a, const F: bool>(
    s: &[Lanes<F>],
    ds: &[Lanes<F>],
    n: usize,
    lm: usize,
    out: &'a mut [DualLanes<F>],
) -> &'a [DualLanes<F>] {
    let values = s[n * lm..][..lm].iter().zip(&ds[n * lm..][..lm]);
    for (out, (&s, &ds)) in out.iter_mut().zip(values) {
        *out = DualLanes::new(s, ds);
    }
    &out[..lm]
}

/// The direction along which energies are differentiated, seen from a block.
struct Frame<'a> {
    way: Way,
    born: &'a [[f64; 9]],
    dielectric: f64,
    displacement: &'a [[f64; 4]],
    strain: &'a [[[f64; 3]; 3]],
    structure: &'a [u32],
    /// First slot of the block.
    first: usize,
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
fn radial_rates<const F: bool>(
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
fn angular_rates<const F: bool, const L: usize>(
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

/// How the output U of a network counts in S: as rate U + along dU.
#[derive(Clone, Copy)]
struct Head<const F: bool> {
    rate: Lanes<F>,
    along: Lanes<F>,
}

/// Rate of a further output, of weights `w1`, of a block's atoms along the direction of `dx`.
#[inline(always)]
fn rate_of_output<const F: bool>(
    shape: &Shape,
    w0: &[f64],
    w1: &[f64],
    t1: &[Lanes<F>],
    dx: &[Lanes<F>],
    scratch: &mut Scratch<F>,
) -> Lanes<F> {
    let n1 = shape.neurons[0];
    let du = &mut scratch.du[..n1];
    by_tile!(n1, first, W => rows_times::<F, W>(w0, first, dx, du));
    let mut rate = Lanes::ZERO;
    for ((&t, &du), &w) in t1.iter().zip(&*du).zip(w1) {
        rate = rate.add_scaled((Lanes::splat(1.0) - t * t) * du, w);
    }
    rate
}
