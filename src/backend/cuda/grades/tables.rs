//! An active set on a device.

use super::super::driver::Device;
use super::super::memory::Buffer;
use super::args::{GradeArgs, flags};
use super::half;
use crate::error::Result;
use crate::grade::device::{FirstLook, Parts, TwoPart};
use crate::model::Model;
use std::sync::Arc;

/// Sizes of matrices are multiples of this.
const PAD: usize = 32;
/// Features of a step of the tensor cores.
const STEP: usize = 16;
/// Columns of a warp: of coefficients, of probes.
const COLUMNS: [usize; 2] = [64, 32];
/// Half of the distance between halves, relative.
const UNIT: f64 = 1.0 / 2048.0;

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
}

impl Exact {
    /// The set of a type; none for one that knows nothing.
    pub fn new(device: &Arc<Device>, parts: &Parts<'_>, width: usize) -> Result<Option<Self>> {
        let n = width.next_multiple_of(PAD);
        let upload = |values: Vec<f64>| Buffer::from_slice(device, &values);
        let two_part = match parts {
            Parts::Unknown => return Ok(None),
            Parts::Compat(inverse) => {
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
                    look: None,
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
            look: Some(Look::new(device, two_part, width)?),
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

/// The set of one type in halves.
#[derive(Debug)]
pub(super) struct Look {
    units: Buffer<f64>,
    center: Buffer<f64>,
    weights: Buffer<u32>,
    probes: [Buffer<u32>; 2],
    /// Scale, offset and length of each column.
    columns: [Buffer<f64>; 3],
    pub tiles: usize,
    pub column_tiles: [usize; 2],
    error: f64,
    tiny: f64,
    all_size: f64,
    probe_error: f64,
    margin: f64,
}

impl Look {
    fn new(device: &Arc<Device>, set: TwoPart<'_>, width: usize) -> Result<Self> {
        let look = set.first_look();
        let counts = [look.columns - look.probes, look.probes];
        let column_tiles = [0, 1].map(|k| counts[k].div_ceil(COLUMNS[k]));
        let tiles = width.div_ceil(STEP);
        let columns = Columns::new(&look, width);
        let mut table = [Vec::new(), Vec::new(), Vec::new()];
        for part in 0..2 {
            for c in 0..column_tiles[part] * COLUMNS[part] {
                let here = (c < counts[part]).then_some(c + part * counts[0]);
                table[0].push(here.map_or(0.0, |c| columns.scale[c]));
                table[1].push(here.map_or(0.0, |c| look.offsets[c]));
                table[2].push(here.map_or(0.0, |c| columns.size[c]));
            }
        }
        let scaled = |j: usize, c: usize| match j < width && c < look.columns {
            true => f64::from(look.weights[j * look.columns + c]) / columns.scale[c],
            false => 0.0,
        };
        let rest = |x: f64| half::bits((x - half::value(half::bits(x))) / UNIT);
        let weights = fragments(tiles, column_tiles[0], COLUMNS[0], |j, c| {
            half::bits(if c < counts[0] { scaled(j, c) } else { 0.0 })
        });
        let probe = |j, c| scaled(j, c + counts[0]);
        let high = fragments(tiles, column_tiles[1], COLUMNS[1], |j, c| {
            half::bits(probe(j, c))
        });
        let low = fragments(tiles, column_tiles[1], COLUMNS[1], |j, c| rest(probe(j, c)));
        let upload = |values: &[f64]| Buffer::from_slice(device, values);
        let [scale, offset, size] = &table;
        let n = (tiles * STEP) as f64;
        // Twice the rounding of halves (features and weights); subnormal weights, which are at most
        // 2^-24 of the column's largest off; sums of n products in f32, which tensor cores may
        // truncate. Subnormal features are 2^-25 off. The last hundredth is for all else.
        let error =
            1.01 * (2.0 * UNIT + UNIT * UNIT + n.sqrt() * 2f64.powi(-24) + n * 2f64.powi(-22));
        // Pairs of halves leave 2^-22 of each factor; 16 products are summed in f32.
        let probe_error = 1.1 * (2f64.powi(-18) + 2f64.powi(-20));
        let squares = columns.size[..counts[0]].iter().map(|s| s * s);
        Ok(Self {
            units: upload(look.units)?,
            center: upload(look.center)?,
            weights: Buffer::from_slice(device, &weights)?,
            probes: [
                Buffer::from_slice(device, &high)?,
                Buffer::from_slice(device, &low)?,
            ],
            columns: [upload(scale)?, upload(offset)?, upload(size)?],
            tiles,
            column_tiles,
            error,
            tiny: 1.01 * n.sqrt() * 2f64.powi(-25),
            all_size: squares.sum::<f64>().sqrt(),
            probe_error: probe_error * look.probe_length * (look.probes as f64).sqrt(),
            margin: look.margin,
        })
    }

    /// Enters addresses and limits for a threshold.
    pub fn enter(&self, args: &mut GradeArgs, threshold: f64) {
        args.units = self.units.address();
        args.center = self.center.address();
        args.tiles = self.tiles as u64;
        args.weights = self.weights.address();
        [args.probes_high, args.probes_low] = [0, 1].map(|k| self.probes[k].address());
        [args.column_scale, args.column_offset, args.column_size] =
            [0, 1, 2].map(|k| self.columns[k].address());
        [args.column_tiles, args.probe_tiles] = self.column_tiles.map(|n| n as u64);
        args.error = self.error;
        args.tiny = self.tiny;
        args.all_size = self.all_size;
        args.probe_error = self.probe_error;
        args.threshold = threshold;
        args.residual_limit = self.margin * threshold * args.kappa * args.residual_scale;
    }

    fn bytes(&self) -> usize {
        let words = [&self.weights, &self.probes[0], &self.probes[1]];
        words.map(Buffer::bytes).iter().sum::<usize>()
            + self.columns.iter().map(Buffer::bytes).sum::<usize>()
            + self.units.bytes()
            + self.center.bytes()
    }
}

/// Powers of two above the largest weight of each column, and the columns' lengths.
struct Columns {
    scale: Vec<f64>,
    size: Vec<f64>,
}

impl Columns {
    fn new(look: &FirstLook<'_>, width: usize) -> Self {
        let (mut largest, mut squares) = (vec![0.0f64; look.columns], vec![0.0; look.columns]);
        for row in look.weights.chunks_exact(look.columns).take(width) {
            for ((&w, l), s) in row.iter().zip(&mut largest).zip(&mut squares) {
                let w = f64::from(w);
                *l = l.max(w.abs());
                *s += w * w;
            }
        }
        let scale = |&l: &f64| match l > 0.0 {
            true => 2f64.powi(l.log2().floor() as i32 + 1),
            false => 1.0,
        };
        Self {
            scale: largest.iter().map(scale).collect(),
            size: squares.iter().map(|s: &f64| s.sqrt()).collect(),
        }
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

/// Halves in the order of the fragments of B of mma.m16n8k16 (PTX ISA): column tile, step, eight
/// columns, lane, two words of two halves.
fn fragments(
    tiles: usize,
    column_tiles: usize,
    columns: usize,
    at: impl Fn(usize, usize) -> u16,
) -> Vec<u32> {
    let mut out = Vec::with_capacity(column_tiles * tiles * columns * 8);
    for first in (0..column_tiles * columns).step_by(columns) {
        for tile in 0..tiles {
            for eight in (0..columns).step_by(8) {
                for lane in 0..32 {
                    let column = first + eight + lane / 4;
                    for half in 0..2 {
                        let j = tile * STEP + lane % 4 * 2 + half * 8;
                        let pair = [at(j, column), at(j + 1, column)];
                        out.push(u32::from(pair[0]) | u32::from(pair[1]) << 16);
                    }
                }
            }
        }
    }
    out
}
