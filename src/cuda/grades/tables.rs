//! An active set on a device.

use super::super::driver::Device;
use super::super::memory::Buffer;
use super::TILE;
use super::args::GradeArgs;
use nepal_core::error::Result;
use nepal_core::grade::{Parts, RidgeParts};
use nepal_core::model::{Model, Network as Weights};
use std::sync::Arc;

/// Lengths of the sides of atoms are multiples of this, the step of the tensor cores.
const STEP: usize = 16;

/// Twice the rounding of a product and as much again for the sum it goes to, on two machines (Higham,
/// Accuracy and Stability of Numerical Algorithms, 3.1): by how much sums may differ, for each product.
const ROUNDING: f64 = 2.0 * f64::EPSILON;

/// A network in f64.
#[derive(Debug)]
pub(super) struct Network {
    w0t: Buffer<f64>,
    b0: Buffer<f64>,
    w1: Buffer<f64>,
}

impl Network {
    pub fn new(device: &Arc<Device>, model: &Model, t: usize) -> Result<Self> {
        let net = model.network(t);
        let (n1, dim) = (net.b0.len(), model.dim());
        let transposed: Vec<f64> = (0..dim * n1)
            .map(|k| net.w0[k % n1 * dim + k / n1])
            .collect();
        Ok(Self {
            w0t: Buffer::from_slice(device, &transposed)?,
            b0: Buffer::from_slice(device, net.b0)?,
            w1: Buffer::from_slice(device, net.w1)?,
        })
    }

    pub fn enter(&self, args: &mut GradeArgs) {
        args.w0t = self.w0t.address();
        args.b0 = self.b0.address();
        args.w1 = self.w1.address();
    }

    pub fn bytes(&self) -> usize {
        self.w0t.bytes() + self.b0.bytes() + self.w1.bytes()
    }
}

/// The set of one type.
#[derive(Debug)]
pub(super) enum Set {
    Compat(Compat),
    Ridge(Ridge),
}

impl Set {
    /// The set of a type; none for one that knows nothing.
    pub fn new(
        device: &Arc<Device>,
        parts: &Parts<'_>,
        width: usize,
        net: &Weights<'_>,
    ) -> Result<Option<Self>> {
        Ok(match parts {
            Parts::Unknown => None,
            Parts::Compat(inverse) => Some(Self::Compat(Compat::new(device, inverse, width)?)),
            Parts::Ridge(set) => Some(Self::Ridge(Ridge::new(device, *set, net)?)),
        })
    }

    pub fn bytes(&self) -> usize {
        match self {
            Self::Compat(set) => set.inverse.bytes(),
            Self::Ridge(set) => {
                let sides = set.sides.iter().map(Buffer::bytes);
                set.units.bytes() + sides.sum::<usize>() + set.down.bytes() + set.back.bytes()
            }
        }
    }
}

/// A set of the compatibility form.
#[derive(Debug)]
pub(super) struct Compat {
    pub inverse: Buffer<f64>,
    /// Padded number of features.
    pub n: usize,
    /// What rounding can make of a grade, per length of the features.
    rounding: f64,
}

impl Compat {
    fn new(device: &Arc<Device>, inverse: &[f64], width: usize) -> Result<Self> {
        let n = width.next_multiple_of(TILE);
        let mut squares = vec![0.0; width];
        for row in inverse.chunks_exact(width) {
            for (s, x) in squares.iter_mut().zip(row) {
                *s += x * x;
            }
        }
        let longest = squares.into_iter().fold(0.0, f64::max).sqrt();
        let matrix = tiles([width; 2], n, |i, j| inverse[i * width + j]);
        Ok(Self {
            inverse: Buffer::from_slice(device, &matrix)?,
            n,
            rounding: ROUNDING * width as f64 * longest,
        })
    }

    pub fn enter(&self, args: &mut GradeArgs, threshold: Option<f64>) {
        args.k = self.n as u64;
        args.limit = threshold.unwrap_or(0.0);
        args.rounding[0] = self.rounding;
    }
}

/// A set of the ridge form.
#[derive(Debug)]
pub(super) struct Ridge {
    units: Buffer<f64>,
    /// ŝ and q̃ of the active rows, transposed.
    pub sides: [Buffer<f64>; 2],
    /// L⁻ᵀ: rows times this are L⁻¹ times columns.
    pub down: Buffer<f64>,
    /// L⁻¹.
    pub back: Buffer<f64>,
    /// Padded lengths of the sides.
    pub widths: [usize; 2],
    /// Padded number of rows.
    pub k: usize,
    lambda: f64,
    rounding: [f64; 2],
}

impl Ridge {
    fn new(device: &Arc<Device>, set: RidgeParts<'_>, net: &Weights<'_>) -> Result<Self> {
        let rows = set.rows();
        let k = rows.next_multiple_of(TILE);
        let (sides, inverse) = (set.sides(), set.inverse());
        let lengths = [set.neurons() + 1, set.units().len() + 1];
        let widths = lengths.map(|n| n.next_multiple_of(STEP));
        let upload = |values: Vec<f64>| Buffer::from_slice(device, &values);
        let side = |i: usize| {
            let (data, n) = (&sides[i], lengths[i]);
            upload(tiles([n, rows], widths[i], |j, row| data[row * n + j]))
        };
        Ok(Self {
            units: Buffer::from_slice(device, set.units())?,
            sides: [side(0)?, side(1)?],
            down: upload(tiles([rows; 2], k, |i, j| inverse[j * rows + i]))?,
            back: upload(tiles([rows; 2], k, |i, j| inverse[i * rows + j]))?,
            widths,
            k,
            lambda: set.lambda(),
            rounding: rounding(set, &sides, &inverse, net),
        })
    }

    pub fn enter(&self, args: &mut GradeArgs, threshold: Option<f64>) {
        args.k = self.k as u64;
        args.units = self.units.address();
        [args.h, args.d] = self.widths.map(|n| n as u64);
        args.lambda = self.lambda;
        args.limit = self.lambda * threshold.unwrap_or(0.0).powi(2);
        args.rounding = self.rounding;
    }
}

/// What rounding can make of λΓ² = k(x,x) − |L⁻¹ k|², per k(x,x), and per k(x,x) |q̃|.
///
/// Each number of k is e √k(x,x) √k(x_i,x_i) off, where e counts products and what they do to neurons: a
/// neuron's sum is at most |q̃| times its weights in the units of q̃, and 1 − tanh² has a slope below 0.77.
/// L⁻¹ passes that on, and its own sums, by its length.
fn rounding(
    set: RidgeParts<'_>,
    sides: &[Vec<f64>; 2],
    inverse: &[f64],
    net: &Weights<'_>,
) -> [f64; 2] {
    let square = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>();
    let (h, dim) = (set.neurons(), set.units().len());
    let neurons = net.w0.chunks_exact(dim).zip(net.b0).map(|(w, b)| {
        let weights = w.iter().zip(set.units()).filter(|(_, unit)| **unit > 0.0);
        weights.map(|(w, unit)| (w / unit).powi(2)).sum::<f64>() + b * b
    });
    let reach = neurons.fold(0.0, f64::max).sqrt();
    let rows = sides[0]
        .chunks_exact(h + 1)
        .zip(sides[1].chunks_exact(dim + 1));
    let known: f64 = rows.map(|(s, q)| square(s) * square(q)).sum();
    let passed = 2.0 * ROUNDING * (1.0 + (square(inverse) * known).sqrt());
    [
        passed * (set.rows() + h + dim + 6) as f64,
        passed * 0.77 * reach * (dim + 2) as f64,
    ]
}

/// A matrix in tiles of columns, `[columns / 32][padded][32]`, with zeros beyond its rows and columns.
fn tiles([rows, columns]: [usize; 2], padded: usize, at: impl Fn(usize, usize) -> f64) -> Vec<f64> {
    let mut out = vec![0.0; padded * columns.next_multiple_of(TILE)];
    for i in 0..rows {
        for j in 0..columns {
            out[(j / TILE * padded + i) * TILE + j % TILE] = at(i, j);
        }
    }
    out
}
