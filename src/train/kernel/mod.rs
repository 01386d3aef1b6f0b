//! Energies, forces, virials and the gradient of the loss, eight atoms at a time.
//!
//! Knows nothing of files, optimisers or threads.

// Loops over lanes and tiles by index are what the compiler turns into vector instructions.
#![allow(clippy::needless_range_loop)]

mod bonds;
mod chunk;
mod forward;
mod lanes;
mod long_range;
mod spread;
mod tangent;

pub(super) use chunk::{Chunk, Geometry, Near, Shape};
use lanes::{DualLanes, Lanes};
use long_range::Field;
pub(super) use long_range::LongRange;
pub(super) use spread::Spread;

use nepal::model::{Kind, Layout, Network};
use pulp::{Simd, WithSimd};

/// Runs `body` with a compile-time tile width `W` and the first index `first` until `count` is
/// covered. Expects the const `F` of the surrounding function.
macro_rules! by_tile {
    ($count:expr, $first:ident, $w:ident => $body:expr) => {{
        let mut $first = 0usize;
        while $first < $count {
            let left = $count - $first;
            macro_rules! with {
                ($width:literal) => {{
                    const $w: usize = $width;
                    $body;
                    $first += $width;
                }};
            }
            // Few widths, and one where nothing is gained: each is a copy of the code.
            match left {
                _ if !F => with!(1),
                8.. => with!(8),
                7 => with!(7),
                4..=6 => with!(4),
                2..=3 => with!(2),
                _ => with!(1),
            }
        }
    }};
}
use by_tile;

/// A parameter vector as the kernels read it.
pub(super) struct Parameters<'a> {
    layout: &'a Layout,
    values: &'a [f64],
    pub q_scaler: &'a [f64],
    /// c_nk by centre type, neighbour type, k, n.
    coefficients: [Vec<f64>; 2],
}

impl<'a> Parameters<'a> {
    pub fn new(layout: &'a Layout, values: &'a [f64], q_scaler: &'a [f64]) -> Self {
        let n_types = layout.n_types;
        let coefficients = [0, 1].map(|part| {
            let mut all = Vec::with_capacity(layout.coefficient_count(part));
            for center in 0..n_types {
                for other in 0..n_types {
                    for k in 0..layout.n_basis[part] {
                        for n in 0..layout.n_radial[part] {
                            all.push(values[layout.coefficient(part, n, k, center, other)]);
                        }
                    }
                }
            }
            all
        });
        Self {
            layout,
            values,
            q_scaler,
            coefficients,
        }
    }

    /// Number of parameters of the model.
    #[cfg_attr(not(feature = "cuda"), allow(dead_code))]
    pub fn len(&self) -> usize {
        self.layout.len()
    }

    /// c_nk of a part by centre type, neighbour type, k, n.
    #[cfg_attr(not(feature = "cuda"), allow(dead_code))]
    pub fn coefficients(&self, part: usize) -> &[f64] {
        &self.coefficients[part]
    }

    /// The network that serves a type; of polarizabilities that of the tensor.
    fn network(&self, t: usize) -> Network<'_> {
        self.network_at(0, t)
    }

    /// The network of the scalar part of polarizabilities.
    fn scalar(&self, t: usize) -> Option<Network<'_>> {
        (self.layout.scalar()).map(|offset| self.network_at(offset, t))
    }

    /// √ε∞, which scales Born charges; 1 without charges.
    fn dielectric(&self) -> f64 {
        self.layout
            .dielectric()
            .map_or(1.0, |index| self.values[index])
    }

    fn network_at(&self, offset: usize, t: usize) -> Network<'_> {
        let l = self.layout;
        let [n1, n2] = l.neurons;
        let p = &self.values[offset..];
        let (b1, w2): (&[f64], &[f64]) = if n2 == 0 {
            (&[], &[])
        } else {
            (&p[l.b1(t)..][..n2], &p[l.w2(t)..][..n2])
        };
        Network {
            w0: &p[l.w0(t, 0)..][..n1 * l.dim],
            b0: &p[l.b0(t)..][..n1],
            w1: &p[l.w1(t)..][..n1 * n2.max(1)],
            b1,
            w2,
            // The head behind the energy, and the one behind that: charge, C6 or both.
            charge: match l.n_outputs {
                1 => &[],
                _ => &p[l.output(t, 1)..][..n1],
            },
            dispersion: match l.n_outputs {
                3 => &p[l.output(t, 2)..][..n1],
                _ => &[],
            },
            bias: p[l.common_bias()] + l.type_bias(t).map_or(0.0, |index| p[index]),
        }
    }
}

/// What the forward pass leaves for the tangent pass, for one block.
#[derive(Default)]
struct Block<const F: bool> {
    /// Scaled descriptor.
    x: Vec<Lanes<F>>,
    /// dE/dq of the unscaled descriptor, and that of each further head.
    fp: Vec<Lanes<F>>,
    fp_heads: [Vec<Lanes<F>>; 2],
    /// Angular sums, `[n][lm]`.
    s: Vec<Lanes<F>>,
    /// dE/ds, and that of the charge.
    d: Vec<Lanes<F>>,
    d_charge: Vec<Lanes<F>>,
    /// Activations, and those of the scalar network.
    t: [Vec<Lanes<F>>; 2],
    scalar_t: [Vec<Lanes<F>>; 2],
}

/// Working space of one block.
#[derive(Default)]
struct Scratch<const F: bool> {
    a: Vec<Lanes<F>>,
    b: Vec<Lanes<F>>,
    g: Vec<Lanes<F>>,
    du: Vec<Lanes<F>>,
    du2: Vec<Lanes<F>>,
    dt: Vec<Lanes<F>>,
    second: Vec<Lanes<F>>,
    qbar: Vec<Lanes<F>>,
    more: Vec<Lanes<F>>,
    s_bar: Vec<Lanes<F>>,
    dual: Vec<DualLanes<F>>,
    dual_gradient: Vec<DualLanes<F>>,
}

/// How the environment of a block changes along a direction.
#[derive(Default)]
struct Moves<const F: bool> {
    /// Radial and angular sums of the basis, by local neighbour type.
    sums: Vec<Lanes<F>>,
    /// Scaled descriptor.
    dx: Vec<Lanes<F>>,
    /// Angular sums.
    ds: Vec<Lanes<F>>,
}

/// Gradient of a network's parameters, still apart for each lane.
#[derive(Default)]
struct NetworkGradient<const F: bool> {
    w0: Vec<Lanes<F>>,
    b0: Vec<Lanes<F>>,
    w1: Vec<Lanes<F>>,
    b1: Vec<Lanes<F>>,
    w2: Vec<Lanes<F>>,
    bias: Lanes<F>,
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
struct Accumulator<const F: bool> {
    network: NetworkGradient<F>,
    scalar: NetworkGradient<F>,
    /// By local neighbour type, k, n.
    coefficients: [Vec<Lanes<F>>; 2],
}

impl<const F: bool> Accumulator<F> {
    fn clear(&mut self, shape: &Shape, n_local: usize) {
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
    fn flush(
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
struct Buffers<const F: bool> {
    blocks: Vec<Block<F>>,
    scratch: Scratch<F>,
    accumulator: Accumulator<F>,
    /// Of all blocks where long-range interactions connect them, else of one.
    moves: Vec<Moves<F>>,
    fields: [Field; 2],
    /// Sum of the network's charges of each structure, e.
    charge: Vec<f64>,
    /// Born charge of each slot, √ε∞ apart; empty if it is not wanted.
    born: Vec<[f64; 9]>,
    /// Force on each slot.
    force: Vec<[f64; 4]>,
    /// Energy of each structure.
    energy: Vec<f64>,
    /// Virial of each structure, xx yy zz xy yz zx.
    virial: Vec<[f64; 6]>,
    /// dL/dE of each structure.
    energy_slope: Vec<f64>,
    /// -dL/dF of each slot.
    displacement: Vec<[f64; 4]>,
    /// -dL/dW of each structure; empty without virials.
    strain: Vec<[[f64; 3]; 3]>,
    /// dL/d(sum of the network's charges) of each structure; empty without charges.
    charge_slope: Vec<f64>,
    /// dL/dZ of each slot; empty without Born charges.
    born_slope: Vec<[f64; 9]>,
}

impl<const F: bool> Buffers<F> {
    /// Brings all buffers to the sizes of a chunk and clears the results.
    fn prepare(&mut self, shape: &Shape, chunk: &Chunk) {
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

/// Results of a forward pass.
pub(super) struct Results<'a> {
    /// Energy of each structure, eV.
    pub energy: &'a [f64],
    /// Force on each slot (first three numbers), eV/Å.
    pub force: &'a [[f64; 4]],
    /// Virial of each structure, eV, xx yy zz xy yz zx; its polarizability; or its dipole and zeros.
    pub virial: &'a [[f64; 6]],
    /// Sum of the network's charges of each structure, e; empty without charges.
    pub charge: &'a [f64],
    /// Born charge of each slot, e; empty if none is wanted.
    pub born: &'a [[f64; 9]],
}

/// Derivatives of the loss with respect to [`Results`], to be filled in.
pub(super) struct Slopes<'a> {
    /// dL/dE of each structure.
    pub energy: &'a mut Vec<f64>,
    /// -dL/dF of each slot (first three numbers).
    pub displacement: &'a mut Vec<[f64; 4]>,
    /// -dL/dW of each structure as a matrix, with the components of `W` at [`components`]; may be left empty.
    pub strain: &'a mut Vec<[[f64; 3]; 3]>,
    /// dL/d(sum of the network's charges) of each structure; may be left empty.
    pub charge: &'a mut Vec<f64>,
    /// dL/dZ of each slot; may be left empty.
    pub born: &'a mut Vec<[f64; 9]>,
}

/// Where the six numbers of a structure's virial, or what stands for it, lie in a matrix of slopes.
pub(super) fn components(kind: Kind) -> [(usize, usize); 6] {
    match kind {
        Kind::Dipole => [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)],
        _ => [(0, 0), (1, 1), (2, 2), (0, 1), (1, 2), (2, 0)],
    }
}

/// Turns results into slopes; returns whether a gradient is wanted.
pub(super) trait Loss {
    fn slopes(&mut self, results: &Results<'_>, slopes: Slopes<'_>) -> bool;
}

/// Working space of a thread.
#[derive(Default)]
pub(super) struct Workspace {
    plain: Buffers<false>,
    fused: Buffers<true>,
    /// For geometry that is not kept.
    pub near: Near,
    pub geometry: Geometry,
}

/// One evaluation of a chunk.
pub(super) struct Pass<'a> {
    pub shape: &'a Shape,
    pub parameters: &'a Parameters<'a>,
    pub chunk: &'a Chunk,
    pub geometry: &'a Geometry,
    /// A trait object: a type parameter would copy all kernels for each loss.
    pub loss: &'a mut dyn Loss,
    pub workspace: &'a mut Workspace,
    /// Receives the gradient of the loss, added. Shape `[n_parameters]`, or empty for none.
    pub gradient: &'a mut [f64],
    /// Receives statistics of the scaled descriptors, if given. Shape `[n_types][dim]`.
    pub range: Option<&'a mut Vec<Vec<Spread>>>,
}

impl Pass<'_> {
    /// Runs on the best instruction set of the machine.
    pub fn run(self) {
        nepal::simd::arch().dispatch(self);
    }
}

impl WithSimd for Pass<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let Workspace { plain, fused, .. } = self.workspace;
        let common = (self.shape, self.parameters, self.chunk, self.geometry);
        if S::F64_LANES > 1 {
            both::<true>(common, self.loss, fused, self.gradient, self.range);
        } else {
            both::<false>(common, self.loss, plain, self.gradient, self.range);
        }
    }
}

#[inline(always)]
fn both<const F: bool>(
    (shape, parameters, chunk, geometry): (&Shape, &Parameters<'_>, &Chunk, &Geometry),
    loss: &mut dyn Loss,
    buffers: &mut Buffers<F>,
    gradient: &mut [f64],
    range: Option<&mut Vec<Vec<Spread>>>,
) {
    forward::run(shape, parameters, chunk, geometry, buffers);
    if let Some(range) = range {
        for (b, block) in buffers.blocks[..chunk.blocks.len()].iter().enumerate() {
            for (x, spread) in block.x.iter().zip(&mut range[chunk.blocks[b]]) {
                for (lane, &x) in x.0.iter().enumerate() {
                    if chunk.atom[b * lanes::LANES + lane].is_some() {
                        spread.add(x);
                    }
                }
            }
        }
    }
    let dielectric = parameters.dielectric();
    let born: Vec<[f64; 9]> = buffers
        .born
        .iter()
        .map(|z| z.map(|x| dielectric * x))
        .collect();
    let results = Results {
        energy: &buffers.energy,
        force: &buffers.force,
        virial: &buffers.virial,
        charge: &buffers.charge,
        born: &born,
    };
    let slopes = Slopes {
        energy: &mut buffers.energy_slope,
        displacement: &mut buffers.displacement,
        strain: &mut buffers.strain,
        charge: &mut buffers.charge_slope,
        born: &mut buffers.born_slope,
    };
    if loss.slopes(&results, slopes) && !gradient.is_empty() {
        let layout = parameters.layout;
        tangent::run(
            shape, layout, parameters, chunk, geometry, buffers, gradient,
        );
    }
}
