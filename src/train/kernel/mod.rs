//! Energies, forces, virials and the gradient of the loss, eight atoms at a time.
//!
//! Knows nothing of files, optimisers or threads.

// Loops over lanes and tiles by index are what the compiler turns into vector instructions.
#![allow(clippy::needless_range_loop)]

mod bonds;
mod buffers;
mod chunk;
mod forward;
mod lanes;
mod long_range;
mod spread;
mod tangent;

use buffers::{Accumulator, Block, Buffers, Moves, NetworkGradient, Scratch};
pub(super) use chunk::{Chunk, Geometry, Near, Shape, Sites};
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
    pub sites: [Sites; 2],
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
