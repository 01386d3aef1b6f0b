//! MaxVol over large pools: the rows stay on the device, exchanges are kernels.
//!
//! The CPU factorises and solves, which is little beside products with all rows and exchanges among
//! some of them, and decides where rounding could (see `grade/maxvol/device.rs`).

use super::args::Address;
use super::driver::Device;
use super::memory::Buffer;
use super::program::{Arguments, Program};
use super::source;
use super::{Cuda, Options};
use nepal_core::error::{Error, Result};
use nepal_core::grade::{Maxvol, MaxvolOptions, Swap, VolumeDevice};
use std::ops::Range;
use std::sync::Arc;

/// Numbers of a warp's tile, and features of a step of the tensor cores.
const TILE: usize = 32;
const STEP: usize = 4;
/// Exchanges given to the device before the host looks whether any was needed.
const AHEAD: usize = 64;

/// What the kernels get: the twin of `struct VolumeArgs` in `kernels/volume_args.cuh`, where the
/// fields are explained.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct VolumeArgs {
    data: Address,
    inverse: Address,
    rows: u64,
    n: u64,
    columns: u64,
    partial: Address,
    largest: Address,
    c: Address,
    step: Address,
    tolerance: f64,
    state: Address,
    swaps: Address,
    pivots: Address,
}

// SAFETY: eight bytes a field, in the order of `kernels/volume_args.cuh`.
unsafe impl Arguments for VolumeArgs {}

/// A pool on a device.
#[derive(Debug)]
pub(super) struct Volume {
    program: Program,
    rows: usize,
    n: usize,
    data: Buffer<f64>,
    inverse: Buffer<f64>,
    partial: Buffer<f64>,
    sizes: Buffer<f64>,
    c: Buffer<f64>,
    largest: Buffer<f64>,
    step: Buffer<f64>,
    state: Buffer<u64>,
    swaps: Buffer<u64>,
    pivots: Buffer<f64>,
}

impl Volume {
    /// The kernels, and no pool yet.
    ///
    /// **Errors**: [`Error::Backend`] without NVRTC, and when it or the driver fails.
    pub fn new(device: &Arc<Device>, options: &Options) -> Result<Self> {
        let d = device;
        Ok(Self {
            program: Program::new(d, &source::volume(), options)?,
            rows: 0,
            n: 0,
            data: Buffer::new(d),
            inverse: Buffer::new(d),
            partial: Buffer::new(d),
            sizes: Buffer::new(d),
            c: Buffer::new(d),
            largest: Buffer::new(d),
            step: Buffer::new(d),
            state: Buffer::new(d),
            swaps: Buffer::new(d),
            pivots: Buffer::new(d),
        })
    }

    /// Starts or stops timing the kernels.
    pub fn time(&mut self, on: bool) {
        self.program.time(on);
    }

    /// Milliseconds of each launch since the last call.
    pub fn times(&self) -> Result<Vec<(&'static str, f64)>> {
        self.program.times()
    }

    /// Bytes held on the device.
    pub fn bytes(&self) -> usize {
        let doubles = [
            &self.data,
            &self.inverse,
            &self.partial,
            &self.sizes,
            &self.c,
            &self.largest,
            &self.step,
            &self.pivots,
        ];
        doubles.map(Buffer::bytes).iter().sum::<usize>() + self.state.bytes() + self.swaps.bytes()
    }

    fn check(&self, rows: usize, width: usize) -> Result<()> {
        if rows > self.rows || width != self.n {
            return Err(Error::Internal(format!(
                "{rows} rows of {width} were asked of a pool of {} of {}",
                self.rows, self.n
            )));
        }
        Ok(())
    }
}

impl VolumeDevice for Volume {
    fn pool(&mut self, data: &[f64], n: usize) -> Result<()> {
        self.n = n;
        self.rows = data.len() / n;
        // Tiles reach beyond the last row; what they read there goes nowhere, but must be a number.
        self.data.zero(data.len() + TILE * n + STEP)?;
        self.data.upload(data)
    }

    fn sizes(&mut self, rows: Range<usize>, inverse: &[f64]) -> Result<Vec<f64>> {
        let n = self.n;
        self.check(rows.end, n)?;
        let columns = n.next_multiple_of(TILE);
        let mut padded = vec![0.0; n.next_multiple_of(STEP) * columns];
        for (to, from) in padded
            .chunks_exact_mut(columns)
            .zip(inverse.chunks_exact(n))
        {
            to[..n].copy_from_slice(from);
        }
        self.inverse.upload(&padded)?;
        let count = rows.len();
        let tiles = columns / TILE;
        let args = VolumeArgs {
            data: self.data.address() + (rows.start * n * size_of::<f64>()) as u64,
            inverse: self.inverse.address(),
            rows: count as u64,
            n: n as u64,
            columns: columns as u64,
            partial: self.partial.reserve(count * tiles * 4)?,
            largest: self.sizes.reserve(count)?,
            ..VolumeArgs::default()
        };
        let warps = count.div_ceil(TILE) * tiles;
        let program = &self.program;
        program.launch("nepal_volume_sizes", (warps * 32) as u64, &args)?;
        program.launch("nepal_volume_largest", count as u64, &args)?;
        let mut sizes = vec![0.0; count];
        self.sizes.download(&mut sizes)?;
        Ok(sizes)
    }

    fn exchange(
        &mut self,
        c: &[f64],
        largest: &[f64],
        tolerance: f64,
        limit: usize,
    ) -> Result<Vec<Swap>> {
        let (rows, n) = (largest.len(), self.n);
        if c.len() != rows * n {
            return Err(Error::Internal(
                "the coefficients have a wrong length".into(),
            ));
        }
        self.c.upload(c)?;
        self.largest.upload(largest)?;
        let args = VolumeArgs {
            rows: rows as u64,
            n: n as u64,
            largest: self.largest.address(),
            c: self.c.address(),
            step: self.step.reserve(n)?,
            tolerance,
            state: self.state.zero(3)?,
            swaps: self.swaps.reserve(2 * limit)?,
            pivots: self.pivots.reserve(limit)?,
            ..VolumeArgs::default()
        };
        let program = &self.program;
        let mut state = [0; 3];
        let mut given = 0;
        while given < limit && state[0] == 0 {
            let now = AHEAD.min(limit - given);
            for _ in 0..now {
                program.launch("nepal_volume_pick", 32, &args)?;
                program.launch("nepal_volume_update", 32 * rows as u64, &args)?;
            }
            given += now;
            self.state.download(&mut state)?;
        }
        let made = state[1] as usize;
        let (mut swaps, mut pivots) = (vec![0; 2 * made], vec![0.0; made]);
        self.swaps.download(&mut swaps)?;
        self.pivots.download(&mut pivots)?;
        let pairs = swaps.chunks_exact(2).zip(pivots);
        Ok(pairs
            .map(|(at, pivot)| Swap {
                row: at[0] as usize,
                column: at[1] as usize,
                pivot,
            })
            .collect())
    }
}

impl Cuda {
    /// [`maxvol`](nepal_core::grade::maxvol) with the rows on the device: the same rows in the same
    /// order, ties included; `max` may differ by rounding. The first batch is factorised by the CPU. Memory
    /// on the device: 8 bytes for each number of the pool, and for 5 n rows.
    ///
    /// **Shapes** and **errors**: as there; [`Error::Backend`].
    pub fn maxvol(&mut self, data: &[f64], n: usize, options: &MaxvolOptions) -> Result<Maxvol> {
        let device = self.0.volume()?;
        nepal_core::grade::maxvol_with(data, n, options, Some(device))
    }
}
