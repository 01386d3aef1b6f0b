//! The first look of one type, in halves, with the bounds of its errors.

use super::super::driver::Device;
use super::super::memory::Buffer;
use super::args::GradeArgs;
use super::half;
use nepal_core::error::Result;
use nepal_core::grade::FirstLook;
use std::sync::Arc;

/// Features of a step of the tensor cores.
const STEP: usize = 16;
/// Columns of a warp for probes.
const PROBES: usize = 32;
/// Half of the distance between halves, relative.
const UNIT: f64 = 1.0 / 2048.0;

/// What the products of coefficients are of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Products {
    /// Halves.
    Single,
    /// Pairs of halves, the second of which has what the first leaves: three products each.
    Pairs,
}

impl Products {
    /// Columns of a warp.
    pub fn columns(self) -> usize {
        match self {
            Self::Single => 64,
            Self::Pairs => 32,
        }
    }

    /// Bound of the error of a sum of so many products, relative to the product of the lengths.
    pub fn error(self, width: usize) -> f64 {
        let n = width.next_multiple_of(STEP) as f64;
        match self {
            // Twice the rounding of halves (features and weights); subnormal weights, which are at
            // most 2^-24 of the column's largest off; sums of n products in f32, which tensor cores
            // may truncate. Subnormal features are 2^-25 off. The last hundredth is for all else.
            Self::Single => {
                1.01 * (2.0 * UNIT + UNIT * UNIT + n.sqrt() * 2f64.powi(-24) + n * 2f64.powi(-22))
            }
            // Pairs of halves leave 2^-22 of each factor, as does the product of what they leave; 16
            // products are summed in f32 (18 * 2^-23 where sums are cut off), their sums exactly, and
            // products with the second halves, 2^-11 of the rest, in f32.
            Self::Pairs => 1.1 * (2f64.powi(-18) + 2f64.powi(-20) + n * 2f64.powi(-32)),
        }
    }

    /// Error of a subnormal feature.
    fn subnormal(self) -> f64 {
        match self {
            Self::Single => 2f64.powi(-25),
            Self::Pairs => 2f64.powi(-36),
        }
    }
}

/// The set of one type in halves.
#[derive(Debug)]
pub(super) struct Look {
    units: Buffer<f64>,
    center: Buffer<f64>,
    weights: Buffer<u32>,
    /// What halves leave of the weights, where products are of pairs.
    weights_low: Option<Buffer<u32>>,
    probes: [Buffer<u32>; 2],
    /// Scale, offset and length of each column.
    columns: [Buffer<f64>; 3],
    pub tiles: usize,
    pub column_tiles: [usize; 2],
    error: f64,
    tiny: f64,
    all_size: f64,
    probe_error: f64,
    probe_tiny: f64,
    margin: f64,
}

impl Look {
    /// The look of a set; `rounding` is what f64 may lose of a product with a unit vector.
    pub fn new(
        device: &Arc<Device>,
        look: &FirstLook<'_>,
        width: usize,
        products: Products,
        rounding: f64,
    ) -> Result<Self> {
        let counts = [look.columns - look.probes, look.probes];
        let sizes = [products.columns(), PROBES];
        let column_tiles = [0, 1].map(|k| counts[k].div_ceil(sizes[k]));
        let tiles = width.div_ceil(STEP);
        let columns = Columns::new(look, width);
        let mut table = [Vec::new(), Vec::new(), Vec::new()];
        for part in 0..2 {
            for c in 0..column_tiles[part] * sizes[part] {
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
        // Weights of a part, and what halves leave of them.
        let halves = |part: usize, low: bool| {
            let values = fragments(tiles, column_tiles[part], sizes[part], |j, c| {
                let x = match c < counts[part] {
                    true => scaled(j, c + part * counts[0]),
                    false => 0.0,
                };
                let high = half::bits(x);
                match low {
                    true => half::bits((x - half::value(high)) / UNIT),
                    false => high,
                }
            });
            Buffer::from_slice(device, &values)
        };
        let upload = |values: &[f64]| Buffer::from_slice(device, values);
        let [scale, offset, size] = &table;
        let n = (tiles * STEP) as f64;
        let length = |values: &[f64]| values.iter().map(|x| x * x).sum::<f64>().sqrt();
        let probe_size = look.probe_length * (look.probes as f64).sqrt();
        let squares = columns.size[..counts[0]].iter().map(|s| s * s);
        Ok(Self {
            units: upload(look.units)?,
            center: upload(look.center)?,
            weights: halves(0, false)?,
            weights_low: match products {
                Products::Single => None,
                Products::Pairs => Some(halves(0, true)?),
            },
            probes: [halves(1, false)?, halves(1, true)?],
            columns: [upload(scale)?, upload(offset)?, upload(size)?],
            tiles,
            column_tiles,
            error: products.error(width),
            // Subnormal features, and what f64 loses of the center's part.
            tiny: 1.01 * n.sqrt() * products.subnormal() + rounding * length(look.center),
            all_size: squares.sum::<f64>().sqrt(),
            probe_error: Products::Pairs.error(width) * probe_size,
            probe_tiny: 1.01 * n.sqrt() * Products::Pairs.subnormal() * probe_size,
            margin: look.margin,
        })
    }

    /// The kernel of the coefficients, and its columns.
    pub fn kernel(&self) -> (&'static str, usize) {
        match self.weights_low {
            None => ("nepal_screen_coefficients", Products::Single.columns()),
            Some(_) => ("nepal_screen_pairs", Products::Pairs.columns()),
        }
    }

    /// Enters addresses and limits for a threshold.
    pub fn enter(&self, args: &mut GradeArgs, threshold: f64) {
        args.units = self.units.address();
        args.center = self.center.address();
        args.tiles = self.tiles as u64;
        args.weights = self.weights.address();
        args.weights_low = self.weights_low.as_ref().map_or(0, Buffer::address);
        [args.probes_high, args.probes_low] = [0, 1].map(|k| self.probes[k].address());
        [args.column_scale, args.column_offset, args.column_size] =
            [0, 1, 2].map(|k| self.columns[k].address());
        [args.column_tiles, args.probe_tiles] = self.column_tiles.map(|n| n as u64);
        args.error = self.error;
        args.tiny = self.tiny;
        args.all_size = self.all_size;
        args.probe_error = self.probe_error;
        args.probe_tiny = self.probe_tiny;
        args.threshold = threshold;
        args.residual_limit = self.margin * threshold * args.kappa * args.residual_scale;
    }

    pub fn bytes(&self) -> usize {
        let words = [&self.weights, &self.probes[0], &self.probes[1]];
        words.map(Buffer::bytes).iter().sum::<usize>()
            + self.columns.iter().map(Buffer::bytes).sum::<usize>()
            + self.weights_low.as_ref().map_or(0, Buffer::bytes)
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
