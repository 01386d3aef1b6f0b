//! The gradient of the loss with respect to the parameters.
//!
//! The derivative of the loss with respect to a structure's energy, its atoms' forces and its
//! virial is a number, a displacement of each atom and a strain. Along these, the energy's
//! derivative is S = Σ_i (a U_i + dU_i), and the gradient of the loss is that of S: one pass with
//! dual numbers forward and one back.

mod network;
mod rates;

use super::chunk::{Chunk, Geometry, Shape};
use super::forward::{contract, local_coefficients, rows_times};
use super::lanes::{DualLanes, LANES, Lanes};
use super::{Accumulator, Block, Buffers, Moves, Parameters, Scratch, by_tile};
use nepal::model::{Kind, Layout};
use nepal::nep::scalar::Scalar;
use network::{network, outer};
use rates::{Frame, Way, angular_rates, radial_rates};

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
