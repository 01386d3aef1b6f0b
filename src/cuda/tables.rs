//! A model's numbers on a device, for the types that are present.

use super::args::Args;
use super::driver::Device;
use super::memory::{Buffer, Plain};
use super::source::Shape;
use nepal_core::backend::Precision;
use nepal_core::error::Result;
use nepal_core::model::Model;
use nepal_core::nep::long_range::root_c6;
use nepal_core::nep::zbl::ZblPair;
use std::sync::Arc;

/// Numbers in the precision of the work on pairs.
#[derive(Debug)]
enum Reals {
    Single(Buffer<f32>),
    Double(Buffer<f64>),
}

impl Reals {
    fn new(device: &Arc<Device>, precision: Precision, values: &[f64]) -> Result<Self> {
        Ok(match precision {
            Precision::F64 => Self::Double(padded(device, values.to_vec())?),
            Precision::Mixed => {
                Self::Single(padded(device, values.iter().map(|&x| x as f32).collect())?)
            }
        })
    }

    fn address(&self) -> u64 {
        match self {
            Self::Single(buffer) => buffer.address(),
            Self::Double(buffer) => buffer.address(),
        }
    }
}

/// A table always has an address, if it is empty too.
fn padded<T: Plain>(device: &Arc<Device>, mut values: Vec<T>) -> Result<Buffer<T>> {
    if values.is_empty() {
        values.push(T::default());
    }
    Buffer::from_slice(device, &values)
}

/// The tables, in the order of `Args`.
#[derive(Debug)]
pub(super) struct Tables {
    reals: [Reals; 11],
    bias: Buffer<f64>,
    free_root: Buffer<f64>,
}

impl Tables {
    /// The tables of a model for the types `present` (ascending), which become 0, 1, ...
    pub fn new(
        device: &Arc<Device>,
        model: &Model,
        shape: &Shape,
        present: &[u32],
    ) -> Result<Self> {
        let reals = |values: &[f64]| Reals::new(device, shape.precision, values);
        let networks = Networks::new(model, shape, present);
        let elements = model.elements();
        let free_roots: Vec<f64> = (present.iter())
            .filter(|_| model.kind().has_dispersion())
            .map(|&t| root_c6(elements[t as usize]))
            .collect();
        Ok(Self {
            reals: [
                reals(&coefficients(model, present, 0, shape.n_radial[0]))?,
                reals(&coefficients(model, present, 1, shape.n_angular_padded()))?,
                reals(&networks.w0)?,
                reals(&networks.w0t)?,
                reals(&networks.b0)?,
                reals(&networks.w1)?,
                reals(&networks.b1)?,
                reals(&networks.w2)?,
                reals(model.q_scaler())?,
                reals(&pairs(present, |a, b| {
                    let [r, a] = model.header().pair_cutoff(a, b);
                    vec![r, a, 1.0 / r, 1.0 / a]
                }))?,
                reals(&pairs(present, |a, b| repulsion(model, a, b)))?,
            ],
            bias: Buffer::from_slice(device, &networks.bias)?,
            free_root: padded(device, free_roots)?,
        })
    }

    /// Enters the addresses.
    pub fn enter(&self, args: &mut Args) {
        let fields = [
            &mut args.radial,
            &mut args.angular,
            &mut args.w0,
            &mut args.w0t,
            &mut args.b0,
            &mut args.w1,
            &mut args.b1,
            &mut args.w2,
            &mut args.scaler,
            &mut args.cutoffs,
            &mut args.zbl,
        ];
        for (field, reals) in fields.into_iter().zip(&self.reals) {
            *field = reals.address();
        }
        args.bias = self.bias.address();
        args.free_root = self.free_root.address();
    }
}

/// Numbers of each pair of types.
fn pairs(present: &[u32], of: impl Fn(usize, usize) -> Vec<f64>) -> Vec<f64> {
    let of = &of;
    let all = present.iter().flat_map(|&a| {
        present
            .iter()
            .flat_map(move |&b| of(a as usize, b as usize))
    });
    all.collect()
}

/// c_nk by types, n (zeros up to `rows`), k.
fn coefficients(model: &Model, present: &[u32], part: usize, rows: usize) -> Vec<f64> {
    let n_basis = model.layout().n_basis[part];
    pairs(present, |a, b| {
        let mut c = model.coefficients(part, a, b).to_vec();
        c.resize(rows * n_basis, 0.0);
        c
    })
}

fn repulsion(model: &Model, a: usize, b: usize) -> Vec<f64> {
    match ZblPair::new(model.header(), a, b) {
        Some(pair) => pair.parameters().to_vec(),
        None => vec![0.0; 12],
    }
}

/// The networks of the types, rows padded with zeros.
#[derive(Default)]
struct Networks {
    w0: Vec<f64>,
    w0t: Vec<f64>,
    b0: Vec<f64>,
    w1: Vec<f64>,
    b1: Vec<f64>,
    w2: Vec<f64>,
    bias: Vec<f64>,
}

impl Networks {
    fn new(model: &Model, shape: &Shape, present: &[u32]) -> Self {
        let mut all = Self::default();
        let (dim, n1) = (shape.dim, shape.neurons[0]);
        let (dim_padded, n1_padded) = (shape.dim_padded(), shape.neurons_padded());
        let row = |out: &mut Vec<f64>, values: &mut dyn Iterator<Item = f64>, len: usize| {
            let end = out.len() + len;
            out.extend(values);
            out.resize(end, 0.0);
        };
        let networks = present.iter().map(|&t| model.network(t as usize));
        let scalar = present
            .iter()
            .filter_map(|&t| model.scalar_network(t as usize));
        for net in networks.chain(scalar) {
            for w in net.w0.chunks_exact(dim) {
                row(&mut all.w0, &mut w.iter().copied(), dim_padded);
            }
            row(
                &mut all.w0,
                &mut std::iter::empty(),
                (n1_padded - n1) * dim_padded,
            );
            for d in 0..dim {
                let column = &mut (0..n1).map(|m| net.w0[m * dim + d]);
                row(&mut all.w0t, column, n1_padded);
            }
            row(&mut all.b0, &mut net.b0.iter().copied(), n1_padded);
            for w in net.w1.chunks_exact(n1) {
                row(&mut all.w1, &mut w.iter().copied(), n1_padded);
            }
            all.b1.extend(net.b1);
            all.w2.extend(net.w2);
            all.bias.push(net.bias);
        }
        // Heads for charges, then for C6, of all types.
        for charge in [true, false] {
            for &t in present {
                let net = model.network(t as usize);
                let weights = if charge { net.charge } else { net.dispersion };
                if !weights.is_empty() {
                    row(&mut all.w1, &mut weights.iter().copied(), n1_padded);
                }
            }
        }
        all
    }
}
