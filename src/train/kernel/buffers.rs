//! Working space of a chunk's passes.

use super::chunk::{Chunk, Shape};
use super::lanes::{DualLanes, Lanes};
use super::long_range::Field;
use nepal::model::{Kind, Layout};

/// What the forward pass leaves for the tangent pass, for one block.
#[derive(Default)]
pub(super) struct Block<const F: bool> {
    /// Scaled descriptor.
    pub(super) x: Vec<Lanes<F>>,
    /// dE/dq of the unscaled descriptor, and that of each further head.
    pub(super) fp: Vec<Lanes<F>>,
    pub(super) fp_heads: [Vec<Lanes<F>>; 2],
    /// Angular sums, `[n][lm]`.
    pub(super) s: Vec<Lanes<F>>,
    /// dE/ds, and that of the charge.
    pub(super) d: Vec<Lanes<F>>,
    pub(super) d_charge: Vec<Lanes<F>>,
    /// Activations, and those of the scalar network.
    pub(super) t: [Vec<Lanes<F>>; 2],
    pub(super) scalar_t: [Vec<Lanes<F>>; 2],
}

/// Working space of one block.
#[derive(Default)]
pub(super) struct Scratch<const F: bool> {
    pub(super) a: Vec<Lanes<F>>,
    pub(super) b: Vec<Lanes<F>>,
    pub(super) g: Vec<Lanes<F>>,
    pub(super) du: Vec<Lanes<F>>,
    pub(super) du2: Vec<Lanes<F>>,
    pub(super) dt: Vec<Lanes<F>>,
    pub(super) second: Vec<Lanes<F>>,
    pub(super) qbar: Vec<Lanes<F>>,
    pub(super) more: Vec<Lanes<F>>,
    pub(super) s_bar: Vec<Lanes<F>>,
    pub(super) dual: Vec<DualLanes<F>>,
    pub(super) dual_gradient: Vec<DualLanes<F>>,
}

/// How the environment of a block changes along a direction.
#[derive(Default)]
pub(super) struct Moves<const F: bool> {
    /// Radial and angular sums of the basis, by local neighbour type.
    pub(super) sums: Vec<Lanes<F>>,
    /// Scaled descriptor.
    pub(super) dx: Vec<Lanes<F>>,
    /// Angular sums.
    pub(super) ds: Vec<Lanes<F>>,
}

/// Gradient of a network's parameters, still apart for each lane.
#[derive(Default)]
pub(super) struct NetworkGradient<const F: bool> {
    pub(super) w0: Vec<Lanes<F>>,
    pub(super) b0: Vec<Lanes<F>>,
    pub(super) w1: Vec<Lanes<F>>,
    pub(super) b1: Vec<Lanes<F>>,
    pub(super) w2: Vec<Lanes<F>>,
    pub(super) bias: Lanes<F>,
}

impl<const F: bool> NetworkGradient<F> {
    fn clear(&mut self, shape: &Shape) {
        let [n1, n2] = shape.neurons;
        zero(&mut self.w0, n1 * shape.dim);
        zero(&mut self.b0, n1);
        zero(&mut self.w1, n1 * n2.max(shape.outputs));
        zero(&mut self.b1, n2);
        zero(&mut self.w2, n2);
        self.bias = Lanes::ZERO;
    }

    /// Adds the sums over the lanes to the gradient of a network that lies `offset` behind the first.
    #[inline(always)]
    fn flush(&self, layout: &Layout, offset: usize, center: usize, gradient: &mut [f64]) {
        let mut add =
            |start: usize, values: &[Lanes<F>]| add_sums(gradient, offset + start, values);
        add(layout.w0(center, 0), &self.w0);
        add(layout.b0(center), &self.b0);
        add(layout.w1(center), &self.w1);
        if layout.neurons[1] > 0 {
            add(layout.b1(center), &self.b1);
            add(layout.w2(center), &self.w2);
        }
        if let Some(index) = layout.type_bias(center) {
            add(index, &[self.bias]);
        }
        add(layout.common_bias(), &[self.bias]);
    }
}

fn zero<const F: bool>(v: &mut Vec<Lanes<F>>, len: usize) {
    v.clear();
    v.resize(len, Lanes::ZERO);
}

#[inline(always)]
fn add_sums<const F: bool>(gradient: &mut [f64], start: usize, values: &[Lanes<F>]) {
    for (g, v) in gradient[start..].iter_mut().zip(values) {
        *g += v.sum();
    }
}

/// Gradient of the parameters that serve one centre type, still apart for each lane.
#[derive(Default)]
pub(super) struct Accumulator<const F: bool> {
    pub(super) network: NetworkGradient<F>,
    pub(super) scalar: NetworkGradient<F>,
    /// By local neighbour type, k, n.
    pub(super) coefficients: [Vec<Lanes<F>>; 2],
}

impl<const F: bool> Accumulator<F> {
    pub(super) fn clear(&mut self, shape: &Shape, n_local: usize) {
        self.network.clear(shape);
        if shape.kind == Kind::Polarizability {
            self.scalar.clear(shape);
        }
        for part in 0..2 {
            let len = n_local * shape.k[part] * shape.n[part];
            zero(&mut self.coefficients[part], len);
        }
    }

    /// Adds the sums over the lanes to the gradient of all parameters.
    #[inline(always)]
    pub(super) fn flush(
        &self,
        shape: &Shape,
        layout: &Layout,
        chunk: &Chunk,
        center: usize,
        gradient: &mut [f64],
    ) {
        self.network.flush(layout, 0, center, gradient);
        if let Some(offset) = layout.scalar() {
            self.scalar.flush(layout, offset, center, gradient);
        }
        for part in 0..2 {
            let mut values = self.coefficients[part].iter();
            for &other in &chunk.types {
                for k in 0..shape.k[part] {
                    for n in 0..shape.n[part] {
                        let index = layout.coefficient(part, n, k, center, other);
                        if let Some(v) = values.next() {
                            gradient[index] += v.sum();
                        }
                    }
                }
            }
        }
    }
}

/// Working space of one chunk: inputs and outputs of the passes, reused between chunks.
#[derive(Default)]
pub(super) struct Buffers<const F: bool> {
    pub(super) blocks: Vec<Block<F>>,
    pub(super) scratch: Scratch<F>,
    pub(super) accumulator: Accumulator<F>,
    /// Of all blocks where long-range interactions connect them, else of one.
    pub(super) moves: Vec<Moves<F>>,
    pub(super) fields: [Field; 2],
    /// Sum of the network's charges of each structure, e.
    pub(super) charge: Vec<f64>,
    /// Born charge of each slot, √ε∞ apart; empty if it is not wanted.
    pub(super) born: Vec<[f64; 9]>,
    /// Force on each slot.
    pub(super) force: Vec<[f64; 4]>,
    /// Energy of each structure.
    pub(super) energy: Vec<f64>,
    /// Virial of each structure, xx yy zz xy yz zx.
    pub(super) virial: Vec<[f64; 6]>,
    /// dL/dE of each structure.
    pub(super) energy_slope: Vec<f64>,
    /// -dL/dF of each slot.
    pub(super) displacement: Vec<[f64; 4]>,
    /// -dL/dW of each structure; empty without virials.
    pub(super) strain: Vec<[[f64; 3]; 3]>,
    /// dL/d(sum of the network's charges) of each structure; empty without charges.
    pub(super) charge_slope: Vec<f64>,
    /// dL/dZ of each slot; empty without Born charges.
    pub(super) born_slope: Vec<[f64; 9]>,
}

impl<const F: bool> Buffers<F> {
    /// Brings all buffers to the sizes of a chunk and clears the results.
    pub(super) fn prepare(&mut self, shape: &Shape, chunk: &Chunk) {
        let zero = |v: &mut Vec<Lanes<F>>, len: usize| v.resize(len, Lanes::ZERO);
        let [n1, n2] = shape.neurons;
        let n_sums = shape.n[1] * shape.lm;
        if self.blocks.len() < chunk.blocks.len() {
            self.blocks.resize_with(chunk.blocks.len(), Block::default);
        }
        let heads = chunk.long_range.len();
        let born = chunk.long_range.iter().any(|l| l.born);
        for block in &mut self.blocks {
            zero(&mut block.x, shape.dim);
            zero(&mut block.fp, shape.dim);
            for (head, fp) in block.fp_heads.iter_mut().enumerate() {
                zero(fp, if head < heads { shape.dim } else { 0 });
            }
            zero(&mut block.s, n_sums);
            zero(&mut block.d, n_sums);
            zero(&mut block.d_charge, if born { n_sums } else { 0 });
            for t in [&mut block.t, &mut block.scalar_t] {
                zero(&mut t[0], n1);
                zero(&mut t[1], n2);
            }
        }
        let s = &mut self.scratch;
        let wide = n1.max(n2).max(shape.lm);
        for v in [&mut s.a, &mut s.b] {
            zero(v, wide);
        }
        zero(&mut s.g, 2 * shape.n[1]);
        zero(&mut s.qbar, shape.dim);
        zero(&mut s.more, shape.dim);
        zero(&mut s.s_bar, n_sums);
        zero(&mut s.du, n1);
        zero(&mut s.dt, n1);
        zero(&mut s.du2, n2);
        zero(&mut s.second, 2 * n2);
        s.dual.resize(shape.lm, DualLanes::default());
        s.dual_gradient.resize(shape.lm, DualLanes::default());
        let len = chunk.types.len() * (shape.k[0] + shape.k[1] * shape.lm);
        let kept = if heads > 0 { chunk.blocks.len() } else { 1 };
        self.moves.resize_with(kept.max(1), Moves::default);
        for moves in &mut self.moves {
            zero(&mut moves.sums, len);
            zero(&mut moves.dx, shape.dim);
            zero(&mut moves.ds, n_sums);
        }
        let slots = chunk.atom.len();
        for (head, field) in self.fields.iter_mut().enumerate() {
            field.strength.clear();
            let len = if head < heads { slots } else { 0 };
            field.strength.resize(len, 0.0);
        }
        self.charge.clear();
        self.born.clear();
        self.born.resize(if born { slots } else { 0 }, [0.0; 9]);
        self.force.clear();
        self.force.resize(chunk.atom.len(), [0.0; 4]);
        self.energy.clear();
        self.energy.resize(chunk.n_structures, 0.0);
        self.virial.clear();
        self.virial.resize(chunk.n_structures, [0.0; 6]);
    }
}
