//! Running sums on the device.

use super::args::Args;
use super::driver::Device;
use super::memory::Buffer;
use super::program::Program;
use nepal_core::error::Result;
use std::sync::Arc;

/// Shares that a scan is made of at most, and those that the scan of their sums is made of; the sums of these
/// are few enough for one thread.
const SHARES: [usize; 2] = [4096, 64];

/// Scratch of scans.
#[derive(Debug)]
pub(super) struct Scan {
    part: Buffer<u64>,
}

impl Scan {
    pub fn new(device: &Arc<Device>) -> Self {
        Self {
            part: Buffer::new(device),
        }
    }

    /// Replaces the `rows` numbers at `args.scan` by the sums of those before, followed by the sum
    /// of all: room for one more is needed.
    pub fn run(&mut self, program: &Program, args: &Args, rows: usize) -> Result<()> {
        let room = SHARES.map(|shares| shares + 1);
        let parts = self.part.reserve(room.iter().sum())?;
        let mut level = *args;
        level.rows = rows as u64;
        let mut levels = Vec::with_capacity(SHARES.len());
        for (k, most) in SHARES.into_iter().enumerate() {
            level.columns = level.rows.clamp(1, most as u64);
            level.scan_part = parts + (room[..k].iter().sum::<usize>() * size_of::<u64>()) as u64;
            program.launch("nepal_scan_parts", level.columns, &level)?;
            levels.push(level);
            [level.scan, level.rows] = [level.scan_part, level.columns];
        }
        level.columns = 1;
        levels.push(level);
        for level in levels.iter().rev() {
            program.launch("nepal_scan", level.columns, level)?;
        }
        Ok(())
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.part.bytes()
    }
}
