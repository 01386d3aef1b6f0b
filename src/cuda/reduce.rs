//! Rows on the device that become one, in a fixed order.

use super::args::{Address, Args};
use super::driver::Device;
use super::memory::Buffer;
use super::program::Program;
use nepal_core::error::Result;
use std::sync::Arc;

/// Rows that the launches end in.
const ROWS: [usize; 3] = [16384, 128, 1];

/// Scratch of reductions, and the result of the last one.
#[derive(Debug)]
pub(super) struct Reduction {
    part: [Buffer<f64>; 2],
}

impl Reduction {
    pub fn new(device: &Arc<Device>) -> Self {
        Self {
            part: [0; 2].map(|_| Buffer::new(device)),
        }
    }

    /// One row of many by a kernel (`nepal_sum`, `nepal_largest`), until the next call; the sum of none is zero.
    pub fn run(
        &mut self,
        program: &Program,
        kernel: &'static str,
        numbers: Address,
        [rows, columns]: [usize; 2],
    ) -> Result<&Buffer<f64>> {
        let mut args = Args {
            rows: rows as u64,
            columns: columns as u64,
            input: numbers,
            ..Args::default()
        };
        for (pass, out_rows) in ROWS.into_iter().enumerate() {
            args.out = self.part[pass % 2].reserve(out_rows * columns)?;
            args.out_rows = out_rows as u64;
            program.launch(kernel, args.out_rows, &args)?;
            args.rows = args.out_rows;
            args.input = args.out;
        }
        Ok(&self.part[(ROWS.len() - 1) % 2])
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.part.iter().map(Buffer::bytes).sum()
    }
}
