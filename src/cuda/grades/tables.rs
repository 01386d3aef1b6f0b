//! An active set on a device.

use super::super::driver::Device;
use super::super::memory::Buffer;
use super::args::{GradeArgs, flags};
use super::look::{Look, Products};
use nepal_core::error::Result;
use nepal_core::grade::{CompatLook, Parts};
use nepal_core::model::Model;
use std::sync::Arc;

/// Sizes of matrices are multiples of this.
const PAD: usize = 32;

/// A first look whose bound for ordinary environments is wider than this shows little: most of them are
/// below γ = 1, and thresholds above.
const USEFUL: f64 = 0.5;

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

/// The set of one type in f64.
#[derive(Debug)]
pub(super) struct Exact {
    scale: Option<Buffer<f64>>,
    /// Directions, `[n][r]` and `[r][n]`.
    pub directions: Option<[Buffer<f64>; 2]>,
    pub inverse: Buffer<f64>,
    /// Padded numbers of features, directions and coefficients.
    pub n: usize,
    pub r: usize,
    pub k: usize,
    flags: u64,
    residual_scale: f64,
    kappa: f64,
    prefilter: Option<(Buffer<f64>, Buffer<f64>, f64)>,
    pub look: Option<Look>,
    /// What rounding can make of coefficients, per length of the features, and of residuals.
    rounding: [f64; 2],
}

/// Twice the rounding of a product and as much again for the sum it goes to, on two machines (Higham,
/// Accuracy and Stability of Numerical Algorithms, 3.1): by how much sums may differ, for each product.
const ROUNDING: f64 = 2.0 * f64::EPSILON;

/// Length of the longest column of a matrix with so many columns.
fn longest_column(matrix: &[f64], columns: usize) -> f64 {
    let mut squares = vec![0.0; columns];
    for row in matrix.chunks_exact(columns.max(1)) {
        for (s, x) in squares.iter_mut().zip(row) {
            *s += x * x;
        }
    }
    squares.into_iter().fold(0.0, f64::max).sqrt()
}

/// The first look of a compatibility set: whichever products are good enough for ordinary
/// environments, none if none are.
fn compat_look(device: &Arc<Device>, inverse: &[f64], width: usize) -> Result<Option<Look>> {
    let Some(look) = CompatLook::new(inverse, width) else {
        return Ok(None);
    };
    for products in [Products::Single, Products::Pairs] {
        if products.error(width) * look.spread <= USEFUL {
            return Look::new(
                device,
                &look.first_look(),
                width,
                products,
                ROUNDING * width as f64,
            )
            .map(Some);
        }
    }
    Ok(None)
}

impl Exact {
    /// The set of a type; none for one that knows nothing.
    pub fn new(device: &Arc<Device>, parts: &Parts<'_>, width: usize) -> Result<Option<Self>> {
        let n = width.next_multiple_of(PAD);
        let upload = |values: Vec<f64>| Buffer::from_slice(device, &values);
        let two_part = match parts {
            Parts::Unknown => return Ok(None),
            Parts::Compat(inverse) => {
                let longest = longest_column(inverse, width);
                return Ok(Some(Self {
                    scale: None,
                    directions: None,
                    inverse: upload(padded(width, width, |i, j| inverse[i * width + j]))?,
                    n,
                    r: 0,
                    k: n,
                    flags: 0,
                    residual_scale: 1.0,
                    kappa: 1.0,
                    prefilter: None,
                    look: compat_look(device, inverse, width)?,
                    rounding: [longest, 1.0].map(|l| ROUNDING * width as f64 * l),
                }));
            }
            Parts::TwoPart(set) => *set,
        };
        let [r, k] = two_part.sizes();
        let (v, inverse) = (two_part.directions(), two_part.inverse());
        let prefilter = match two_part.prefilter() {
            None => None,
            Some((mean, whitening, level)) => Some((
                Buffer::from_slice(device, mean)?,
                Buffer::from_slice(device, whitening)?,
                level,
            )),
        };
        // Each of the reduced features is a product with a unit vector.
        let products = ROUNDING * (width as f64 * (r as f64).sqrt() + r as f64);
        let size = match two_part.length() {
            true => inverse.iter().map(|x| x * x).sum::<f64>().sqrt(),
            false => longest_column(inverse, k),
        };
        let length = if two_part.length() { flags::LENGTH } else { 0 };
        Ok(Some(Self {
            scale: Some(Buffer::from_slice(device, two_part.scale())?),
            directions: Some([
                upload(padded(width, r, |j, i| v[i * width + j]))?,
                upload(padded(r, width, |i, j| v[i * width + j]))?,
            ]),
            inverse: upload(padded(r, k, |i, j| inverse[i * k + j]))?,
            n,
            r: r.next_multiple_of(PAD),
            k: k.next_multiple_of(PAD),
            flags: flags::TWO_PART | length,
            residual_scale: two_part.residual_scale(),
            kappa: two_part.kappa(),
            prefilter,
            look: Some(Look::new(
                device,
                &two_part.first_look(),
                width,
                Products::Single,
                products,
            )?),
            rounding: [products * size, products],
        }))
    }

    pub fn has_prefilter(&self) -> bool {
        self.prefilter.is_some()
    }

    pub fn enter(&self, args: &mut GradeArgs) {
        args.scale = self.scale.as_ref().map_or(0, Buffer::address);
        args.n = self.n as u64;
        args.r = self.r as u64;
        args.k = self.k as u64;
        args.flags = self.flags;
        args.residual_scale = self.residual_scale;
        args.kappa = self.kappa;
        args.rounding = self.rounding;
        if let Some((mean, whitening, level)) = &self.prefilter {
            args.mean = mean.address();
            args.whitening = whitening.address();
            args.level = *level;
        }
    }

    pub fn bytes(&self) -> usize {
        let directions = self.directions.iter().flatten().map(Buffer::bytes);
        directions.sum::<usize>()
            + self.scale.as_ref().map_or(0, Buffer::bytes)
            + self.inverse.bytes()
            + self.look.as_ref().map_or(0, Look::bytes)
    }
}

/// Rows and columns of a matrix, padded with zeros.
fn padded(rows: usize, columns: usize, at: impl Fn(usize, usize) -> f64) -> Vec<f64> {
    let [r, c] = [rows, columns].map(|n| n.next_multiple_of(PAD));
    let mut out = vec![0.0; r * c];
    for i in 0..rows {
        for j in 0..columns {
            out[i * c + j] = at(i, j);
        }
    }
    out
}
