//! Running sums on the device.

use super::args::Args;
use super::driver::Device;
use super::memory::Buffer;
use super::program::Program;
use nepal_core::error::Result;
use std::sync::Arc;

/// Shares that a scan is made of.
const SHARES: usize = 4096;

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
        let shares = rows.clamp(1, SHARES);
        let mut own = *args;
        own.rows = rows as u64;
        own.columns = shares as u64;
        own.scan_part = self.part.reserve(SHARES)?;
        program.launch("nepal_scan_parts", own.columns, &own)?;
        program.launch("nepal_scan_ends", 1, &own)?;
        program.launch("nepal_scan", own.columns, &own)
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.part.bytes()
    }
}
